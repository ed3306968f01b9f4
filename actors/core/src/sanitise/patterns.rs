//! What the configuration masks by its looks: regular expressions.
//!
//! They match in time linear in the text, and their size is bounded. Each is matched for itself, so that none hides
//! what another finds; where matches meet they are masked as one.

use std::fmt;

use regex::{Regex, RegexBuilder};
use thiserror::Error;

/// The longest pattern, in bytes.
pub const MAX_PATTERN: usize = 1024;
/// The most memory that a compiled pattern takes, in bytes.
const MAX_COMPILED: usize = 512 * 1024;
/// How deep groups may be nested.
const MAX_NESTED: u32 = 32;

/// A regular expression whose matches are masked.
#[derive(Clone)]
pub struct Pattern(Regex);

/// Why a pattern is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidPattern {
    /// It is empty or longer than [`MAX_PATTERN`].
    #[error("must have 1 to {MAX_PATTERN} bytes")]
    Length,
    /// It is not a regular expression; what is wrong, on one line.
    #[error("{0}")]
    Syntax(String),
    /// What it compiles to takes too much memory.
    #[error("is too large once compiled; ask for fewer repetitions")]
    Size,
    /// It matches where nothing stands.
    #[error("matches the empty string, so it would mask everywhere; ask for at least one character")]
    Empty,
}

impl Pattern {
    /// Reads a regular expression in the syntax of the `regex` crate.
    ///
    /// # Errors
    ///
    /// [`InvalidPattern`], if it is none, too large, or matches the empty string.
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        if !(1..=MAX_PATTERN).contains(&text.len()) {
            return Err(InvalidPattern::Length);
        }
        let mut parser = regex_syntax::ParserBuilder::new().nest_limit(MAX_NESTED).build();
        let parsed = parser.parse(text).map_err(|error| match error {
            regex_syntax::Error::Parse(error) => syntax(&error.kind()),
            regex_syntax::Error::Translate(error) => syntax(&error.kind()),
            other => syntax(&other),
        })?;
        if parsed.properties().minimum_len() == Some(0) {
            return Err(InvalidPattern::Empty);
        }
        RegexBuilder::new(text)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .nest_limit(MAX_NESTED)
            .build()
            .map(Self)
            .map_err(|error| {
                if matches!(error, regex::Error::CompiledTooBig(_)) {
                    InvalidPattern::Size
                } else {
                    syntax(&error)
                }
            })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

fn syntax(error: &dyn fmt::Display) -> InvalidPattern {
    let text = error.to_string();
    InvalidPattern::Syntax(text.lines().next_back().unwrap_or_default().to_owned())
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

/// Where any of the patterns matches: in order, parted.
pub(super) fn regions(patterns: &[Pattern], text: &[u8]) -> Vec<(usize, usize)> {
    let mut regions: Vec<(usize, usize)> = Vec::new();
    let Ok(text) = std::str::from_utf8(text) else { return regions };
    for Pattern(regex) in patterns {
        regions.extend(regex.find_iter(text).map(|found| (found.start(), found.end())));
    }
    regions.retain(|(start, end)| start < end);
    regions.sort_unstable();
    regions.dedup_by(|next, last| {
        let meet = next.0 < last.1;
        if meet {
            last.1 = last.1.max(next.1);
        }
        meet
    });
    regions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pattern_is_told() {
        for (text, told) in [
            ("(abc", "unclosed group"),
            ("[z-a]", "invalid character class range, the start must be <= the end"),
            ("a{2,1}", "invalid repetition count range, the start must be <= the end"),
            (r"\p{Nope}", "Unicode property not found"),
            ("(?=a)", "look-around, including look-ahead and look-behind, is not supported"),
            ("(?-u:\\xff)", "pattern can match invalid UTF-8"),
            ("", "must have 1 to 1024 bytes"),
            ("x*", "matches the empty string, so it would mask everywhere; ask for at least one character"),
            (r"\b", "matches the empty string, so it would mask everywhere; ask for at least one character"),
            ("a|", "matches the empty string, so it would mask everywhere; ask for at least one character"),
            ("^$", "matches the empty string, so it would mask everywhere; ask for at least one character"),
            (r"\w{1000}{1000}", "is too large once compiled; ask for fewer repetitions"),
        ] {
            assert_eq!(Pattern::new(text).map_err(|error| error.to_string()), Err(told.to_owned()), "{text}");
        }
        assert!(Pattern::new(&"a".repeat(1025)).is_err() && Pattern::new(&"(".repeat(1000)).is_err());
        assert!(Pattern::new(&format!("{}a{}", "(".repeat(40), ")".repeat(40))).is_err());
        assert_eq!(Pattern::new(r"EMP-\d+").unwrap().as_str(), r"EMP-\d+");
    }

    #[test]
    fn matches_that_meet_are_one() {
        let patterns: Vec<Pattern> =
            ["abc", "cd+", "x", "é"].iter().map(|text| Pattern::new(text).unwrap()).collect();
        assert_eq!(regions(&patterns, "abcddd xx é".as_bytes()), [(0, 6), (7, 8), (8, 9), (10, 12)]);
        assert_eq!(regions(&[], b"abc"), []);
    }
}
