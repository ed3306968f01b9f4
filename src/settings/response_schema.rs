//! JSON Schemas: `response_schema`, which a provider's answers are checked against, and `input_schema`, which an
//! operation's input is.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use causeway_core::endpoint::SchemaMode;

use super::error::Position;
use super::reader::forms::choice;
use super::reader::{Table, Value};

/// The largest schema, in bytes.
const MAX_SCHEMA: u64 = 1 << 20;

const MODES: [(&str, SchemaMode); 2] = [("warn", SchemaMode::Warn), ("enforce", SchemaMode::Enforce)];

/// A schema as it is written, and where it is asked for, so that what is wrong with it can be told there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaText {
    /// The text.
    pub text: Arc<str>,
    /// The file, as it is named; `None` where the schema stands in the configuration itself.
    pub file: Option<String>,
    /// Where it stands or is named.
    pub at: Position,
}

impl SchemaText {
    /// The path of a file, or the schema itself as a table.
    pub(super) fn read(value: Value<'_>) -> Option<Self> {
        if !value.is_table() {
            return read_file(value);
        }
        value.shape(|| serde_json::json!({ "type": "object" }));
        let text = value.json()?.to_string();
        Some(Self { text: text.into(), file: None, at: value.position() })
    }
}

/// What a provider's answers are checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaSettings {
    /// The schema.
    pub schema: SchemaText,
    /// What a breach means; default `warn`.
    pub mode: SchemaMode,
}

impl SchemaSettings {
    pub(super) fn read(value: Value<'_>) -> Option<Self> {
        value.table("{ file = \"schemas/charge.json\", mode = \"warn\" }", |table: &mut Table<'_>| {
            let mode = table.or("mode", SchemaMode::Warn, choice(&MODES));
            let schema = table.required("file", "\"schemas/charge.json\"", read_file)?;
            Some(Self { schema, mode })
        })
    }
}

/// A relative path begins at the configuration's directory.
fn read_file(value: Value<'_>) -> Option<SchemaText> {
    let file = value.string("the path of a JSON Schema")?;
    if file.is_empty() || file.contains(char::is_control) {
        return value.wrong("this is not the path of a file; write one such as \"schemas/charge.json\"");
    }
    match read_bounded(&value.base().join(file)) {
        Ok(text) => Some(SchemaText { text: text.into(), file: Some(file.to_owned()), at: value.position() }),
        Err(error) => {
            value.wrong(&format!("the schema cannot be read: {error}; check the path and its permissions"))
        }
    }
}

fn read_bounded(path: &Path) -> Result<String, String> {
    let about = fs::metadata(path).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if about.len() > MAX_SCHEMA {
        return Err(format!("it is larger than {} MiB", MAX_SCHEMA >> 20));
    }
    fs::read_to_string(path).map_err(|error| error.to_string())
}
