//! `[redact]`: what is masked in logs besides the built-in list.

use http::HeaderName;

use super::headers::header_name;
use super::reader::{Table, Value};

/// The most names a list may have.
const MAX_NAMES: usize = 1000;
/// The longest field name, in bytes.
const MAX_FIELD: usize = 128;

/// Names whose values are masked, in addition to the built-in ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedactSettings {
    /// Fields of JSON and form bodies and of queries.
    pub fields: Vec<String>,
    /// Headers.
    pub headers: Vec<HeaderName>,
}

impl RedactSettings {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        Self {
            fields: table.list("fields", MAX_NAMES, field),
            headers: table.list("headers", MAX_NAMES, |value| header_name(&value)),
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
