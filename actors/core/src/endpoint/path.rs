//! Path templates: `/v1/charges/{id}`, filled with percent-encoded values.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A path with named gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    /// Text before each gap, and the gap's name.
    gaps: Vec<(String, String)>,
    tail: String,
}

/// Why a text is no path template, or a template cannot be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// It does not begin with `/`.
    #[error("a path begins with `/`")]
    NotAbsolute,
    /// It has a query, a fragment, white space or a control character.
    #[error("a path has no `?`, `#`, white space or control characters; a query is the mapping's to yield")]
    IllegalCharacter,
    /// A brace without its partner, or an empty name.
    #[error("a gap in a path is written `{{name}}`")]
    BadGap,
    /// The mapping yields no value for a gap.
    #[error("the mapping yields no `path.{0}`")]
    Missing(String),
    /// The value would change which resource is meant.
    #[error("`path.{0}` is empty or a dot segment")]
    DotSegment(String),
    /// The mapping yields a value that the path has no gap for.
    #[error("the mapping yields a `path` with a value that the path has no gap for")]
    Unknown(String),
}

impl PathTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// [`InvalidPath`], saying what a path looks like.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        if !text.starts_with('/') {
            return Err(InvalidPath::NotAbsolute);
        }
        if text
            .chars()
            .any(|c| matches!(c, '?' | '#') || c.is_whitespace() || c.is_control() || !c.is_ascii())
        {
            return Err(InvalidPath::IllegalCharacter);
        }
        let (mut gaps, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (name, tail) = after.split_once('}').ok_or(InvalidPath::BadGap)?;
            if name.is_empty() || name.contains('{') || before.contains('}') {
                return Err(InvalidPath::BadGap);
            }
            gaps.push((before.to_owned(), name.to_owned()));
            rest = tail;
        }
        if rest.contains('}') {
            return Err(InvalidPath::BadGap);
        }
        Ok(Self { gaps, tail: rest.to_owned() })
    }

    /// The names of the gaps.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.gaps.iter().map(|(_, name)| name.as_str())
    }

    /// Fills the gaps and appends the query.
    ///
    /// # Errors
    /// [`InvalidPath`] for a value that is missing, superfluous or a dot segment.
    pub fn fill(
        &self,
        values: &[(String, String)],
        query: &[(String, String)],
    ) -> Result<String, InvalidPath> {
        if let Some((name, _)) = values.iter().find(|(name, _)| !self.names().any(|gap| gap == name)) {
            return Err(InvalidPath::Unknown(name.clone()));
        }
        let mut path = String::with_capacity(64);
        for (before, name) in &self.gaps {
            let (_, value) = values
                .iter()
                .find(|(given, _)| given == name)
                .ok_or_else(|| InvalidPath::Missing(name.clone()))?;
            if matches!(value.as_str(), "" | "." | "..") {
                return Err(InvalidPath::DotSegment(name.clone()));
            }
            path.push_str(before);
            path.extend(utf8_percent_encode(value, ENCODED));
        }
        path.push_str(&self.tail);
        for (index, (name, value)) in query.iter().enumerate() {
            path.push(if index == 0 { '?' } else { '&' });
            path.extend(utf8_percent_encode(name, ENCODED));
            path.push('=');
            path.extend(utf8_percent_encode(value, ENCODED));
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn gaps_are_filled_and_encoded() {
        let path = PathTemplate::parse("/v1/charges/{id}/refunds/{n}").unwrap();
        let filled = path.fill(&pairs(&[("id", "a/b ?ü"), ("n", "2")]), &pairs(&[("created[gte]", "1&2")]));
        assert_eq!(filled.unwrap(), "/v1/charges/a%2Fb%20%3F%C3%BC/refunds/2?created%5Bgte%5D=1%262");
        assert_eq!(path.fill(&pairs(&[("id", "x")]), &[]), Err(InvalidPath::Missing("n".to_owned())));
        assert_eq!(
            path.fill(&pairs(&[("id", ".."), ("n", "2")]), &[]),
            Err(InvalidPath::DotSegment("id".to_owned()))
        );
        assert_eq!(path.fill(&pairs(&[("ix", "1")]), &[]), Err(InvalidPath::Unknown("ix".to_owned())));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for (text, error) in [
            ("v1", InvalidPath::NotAbsolute),
            ("/v1?x=1", InvalidPath::IllegalCharacter),
            ("/v 1", InvalidPath::IllegalCharacter),
            ("/{id", InvalidPath::BadGap),
            ("/id}", InvalidPath::BadGap),
            ("/{}", InvalidPath::BadGap),
            ("/{a{b}}", InvalidPath::BadGap),
        ] {
            assert_eq!(PathTemplate::parse(text), Err(error), "{text}");
        }
    }
}
