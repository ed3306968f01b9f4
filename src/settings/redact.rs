//! `[redact]`: what is masked in logs besides the built-in list.

use causeway_core::sanitise::{InvalidPattern, Pattern};
use http::HeaderName;

use super::headers::header_name;
use super::reader::{Table, Value, one_line, shown};

/// The most names a list may have.
const MAX_NAMES: usize = 1000;
/// The most patterns: each is matched against everything that is logged.
const MAX_PATTERNS: usize = 100;
/// The longest field name, in bytes.
const MAX_FIELD: usize = 128;

/// What is masked in addition to what is built in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedactSettings {
    /// Fields of JSON and form bodies and of queries.
    pub fields: Vec<String>,
    /// Headers.
    pub headers: Vec<HeaderName>,
    /// What is masked by its looks, whatever its name.
    pub patterns: Vec<Pattern>,
}

impl RedactSettings {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        Self {
            fields: table.list("fields", MAX_NAMES, field),
            headers: table.list("headers", MAX_NAMES, |value| header_name(&value)),
            patterns: table.list("patterns", MAX_PATTERNS, pattern),
        }
    }
}

fn field(value: Value<'_>) -> Option<String> {
    let text = value.string("the name of a field")?;
    if (1..=MAX_FIELD).contains(&text.len()) && !text.contains(char::is_control) {
        return Some(text.to_owned());
    }
    value.wrong(&format!(
        "this is not the name of a field; write 1 to {MAX_FIELD} bytes without control characters"
    ))
}

fn pattern(value: Value<'_>) -> Option<Pattern> {
    let text = value.string("a regular expression")?;
    match Pattern::new(text) {
        Ok(pattern) => Some(pattern),
        Err(why @ InvalidPattern::Syntax(_)) => value.wrong(&format!(
            "\"{}\" is not a regular expression: {}",
            shown(text),
            one_line(&why.to_string())
        )),
        Err(why) => value.wrong(&format!("\"{}\" {why}", shown(text))),
    }
}
