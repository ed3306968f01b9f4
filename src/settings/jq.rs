//! jq programs, kept as written.

use super::error::Position;
use super::reader::Value;

/// A jq program and where it stands, so that an error found when it is compiled can say where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JqSource {
    /// The program's text.
    pub source: String,
    /// Where its value begins in the file.
    pub at: Position,
}

impl JqSource {
    pub(super) fn read(value: Value<'_>) -> Option<Self> {
        let source = value.string("a jq program as a string, such as '.body.id'")?;
        if source.trim().is_empty() {
            return value.wrong("the jq program is empty; write one such as '.', or remove the key");
        }
        Some(Self { source: source.to_owned(), at: value.position() })
    }
}
