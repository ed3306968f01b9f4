//! JSON text that has been checked once and is then passed on untouched.
//!
//! Most bodies only travel through: parsing them into a tree would cost more than the rest of the path. [`Json`] is
//! the bytes as they came, known to be well-formed, UTF-8 and no deeper than [`MAX_DEPTH`]; depth is checked *before*
//! anything recursive looks at the text.

use std::fmt;

use bytes::Bytes;
use serde::{Serialize, Serializer, de::IgnoredAny};
use serde_json::value::RawValue;

/// How deep arrays and objects may nest.
pub const MAX_DEPTH: usize = 128;

/// Why bytes are not taken as JSON. The message tells the position, never the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Not well-formed.
    #[error("not well-formed JSON at line {line} column {column}")]
    Malformed {
        /// 1-based line of the first fault.
        line: usize,
        /// 1-based column of the first fault.
        column: usize,
    },
    /// Not UTF-8.
    #[error("not valid UTF-8 at byte {0}")]
    NotUtf8(usize),
}

/// A well-formed JSON text, cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Bytes);

impl Json {
    /// The text `null`.
    pub const NULL: Self = Self(Bytes::from_static(b"null"));

    /// Checks `bytes` and takes them over without copying.
    ///
    /// # Errors
    /// [`JsonError`] if they are not UTF-8, not well-formed, or nested too deep.
    pub fn parse(bytes: Bytes) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(&bytes).map_err(|error| JsonError::NotUtf8(error.valid_up_to()))?;
        check_depth(text.as_bytes())?;
        serde_json::from_str::<IgnoredAny>(text)
            .map_err(|error| JsonError::Malformed { line: error.line(), column: error.column() })?;
        Ok(Self(bytes))
    }

    /// Takes bytes over that [`Self::parse`] has checked before, such as those that were sealed since.
    pub const fn checked(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Writes a value out as JSON; a value that cannot be written becomes `null`.
    pub fn of(value: &impl Serialize) -> Self {
        serde_json::to_vec(value).map_or(Self::NULL, |text| Self(Bytes::from(text)))
    }

    /// The text's bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("null")
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_slice::<&RawValue>(&self.0).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

/// Shows only the size: the content may be somebody's card.
impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({} bytes)", self.0.len())
    }
}

/// Checks nesting in one pass that knows only strings and brackets.
///
/// # Errors
/// [`JsonError::TooDeep`] beyond [`MAX_DEPTH`].
pub fn check_depth(text: &[u8]) -> Result<(), JsonError> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Json, JsonError> {
        Json::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn depth_is_counted_outside_strings() {
        assert!(parse(&format!("{}{}", "[".repeat(128), "]".repeat(128))).is_ok());
        assert_eq!(parse(&format!("{}{}", "[".repeat(129), "]".repeat(129))), Err(JsonError::TooDeep));
        assert!(parse(&format!("\"{}\\\"{}\"", "[".repeat(500), "{".repeat(500))).is_ok());
        assert_eq!(parse(&"[".repeat(1_000_000)), Err(JsonError::TooDeep));
    }

    #[test]
    fn malformed_text_is_refused_with_its_place() {
        assert_eq!(parse("{\"a\":}"), Err(JsonError::Malformed { line: 1, column: 6 }));
        assert!(parse("").is_err());
        assert!(parse("{} {}").is_err());
        assert_eq!(Json::parse(Bytes::from_static(b"\"\xff\"")), Err(JsonError::NotUtf8(1)));
    }

    #[test]
    fn text_is_passed_on_byte_by_byte() {
        let json = parse(" {\"a\" : 1.50, \"a\":1e3 } ").unwrap();
        assert_eq!(serde_json::to_string(&[&json]).unwrap(), "[{\"a\" : 1.50, \"a\":1e3 }]");
        assert!(!format!("{json:?}").contains("1.50"));
    }
}
