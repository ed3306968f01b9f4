//! jq programs, kept as written.

use std::sync::Arc;

use causeway_core::mapping::CompileError;
use serde_json::json;

use super::error::{Position, SettingsError};
use super::reader::Value;

/// A jq program and where it stands, so that an error found when it is compiled can say where. Two are equal if their
/// texts are.
#[derive(Clone, Debug)]
pub struct JqSource {
    /// The program's text.
    pub source: String,
    /// Where its value begins in the file.
    pub at: Position,
    /// Where its text begins, behind the quotes; `None` where places in the text are not places in the file.
    text_at: Option<Position>,
}

impl PartialEq for JqSource {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for JqSource {}

impl JqSource {
    pub(super) fn read(value: Value<'_>) -> Option<Self> {
        value.shape(|| json!({ "minLength": 1 }));
        let source = value.string("a jq program as a string, such as '.body.id'")?;
        if source.trim().is_empty() {
            return value.wrong("the jq program is empty; write one such as '.', or remove the key");
        }
        let text_at = value.text_position();
        Some(Self { source: source.to_owned(), at: value.position(), text_at })
    }

    /// What is told of a program that does not compile, at the place in it where it stands.
    pub fn wrong(&self, error: &CompileError) -> SettingsError {
        let (at, what) = match (&self.text_at, error.place) {
            (Some(text), Some(place)) => {
                let column = if place.line == 1 { text.column + place.column - 1 } else { place.column };
                let file = Arc::clone(&text.file);
                (Position { file, line: text.line + place.line - 1, column }, error.message.clone())
            }
            (None, _) | (_, None) => (self.at.clone(), error.to_string()),
        };
        SettingsError::at(at, format!("this is no usable jq program: {what}"))
    }
}
