//! JSON Schemas: of what callers send, and of what providers answer.
//!
//! A schema stands in the configuration, so it is trusted to mean well and not to be right: references lead into the
//! schema itself and never out of the process, patterns are linear in the text.

use std::fmt;
use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, Validator};
use serde::Serialize;
use serde_json::Value;

use crate::json::{Json, check_depth};

/// The longest place shown, in bytes.
const MAX_PLACE: usize = 200;
/// The longest message shown, in characters.
const MAX_MESSAGE: usize = 300;
/// The largest compiled `pattern`, in bytes.
const MAX_PATTERN: usize = 1 << 20;
/// The most errors told of one document.
pub const MAX_ERRORS: usize = 20;
/// Of a document larger than this, in bytes, only the first error is told: all of them may take many times its size.
const MAX_FOR_ALL: usize = 64 << 10;

/// A JSON Schema. Compiled once, cheap to clone.
#[derive(Clone)]
pub struct Schema {
    validator: Arc<Validator>,
    text: Json,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

/// Why a text is not taken as a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSchema(String);

/// Where a document breaks its schema, and how. The document's values are not repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The place in the document, as a JSON pointer (RFC 6901); empty for the whole.
    pub pointer: String,
    /// What is wrong with it.
    pub message: String,
}

impl Schema {
    /// Compiles a schema of draft 2020-12 (or of the draft that it names). References lead into the schema itself.
    ///
    /// # Errors
    /// [`InvalidSchema`] if it is no JSON, no schema, or refers to other documents.
    pub fn compile(text: &str) -> Result<Self, InvalidSchema> {
        check_depth(text.as_bytes()).map_err(|error| InvalidSchema(error.to_string()))?;
        let schema: Value =
            serde_json::from_str(text).map_err(|error| InvalidSchema(format!("this is no JSON: {error}")))?;
        if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
            return Err(InvalidSchema("a schema is an object, such as { \"type\": \"object\" }".to_owned()));
        }
        let mut options = jsonschema::options();
        if schema.get("$schema").is_none() {
            options = options.with_draft(Draft::Draft202012);
        }
        // Linear in the text, unlike the default engine.
        let options = options.with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN));
        let validator = options.build(&schema).map_err(|error| {
            let place = shown(error.schema_path().as_str());
            InvalidSchema(format!(
                "this is no usable JSON Schema (at {place}; references lead into the file itself): {error}"
            ))
        })?;
        Ok(Self { validator: Arc::new(validator), text: Json::of(&schema) })
    }

    /// The schema itself.
    pub const fn text(&self) -> &Json {
        &self.text
    }

    /// Whether a document keeps to it.
    ///
    /// # Errors
    /// The place in the schema that it breaks first.
    pub fn check(&self, document: &[u8]) -> Result<(), String> {
        let document = parsed(document).ok_or_else(|| "its beginning: it is no JSON".to_owned())?;
        self.validator.validate(&document).map_err(|error| shown(error.schema_path().as_str()))
    }

    /// Where a document breaks it: at most [`MAX_ERRORS`] places, and of a large document the first.
    pub fn violations(&self, document: &Json) -> Vec<Violation> {
        let bytes = document.bytes();
        let Some(value) = parsed(bytes) else { return Vec::new() };
        if self.validator.is_valid(&value) {
            return Vec::new();
        }
        let told = |error: &jsonschema::ValidationError<'_>| Violation {
            pointer: error.instance_path().as_str().chars().take(MAX_PLACE).collect(),
            message: error.masked().to_string().chars().take(MAX_MESSAGE).collect(),
        };
        if bytes.len() > MAX_FOR_ALL {
            return self.validator.validate(&value).err().iter().map(told).collect();
        }
        self.validator.iter_errors(&value).take(MAX_ERRORS).map(|error| told(&error)).collect()
    }
}

fn parsed(document: &[u8]) -> Option<Value> {
    check_depth(document).ok()?;
    serde_json::from_slice(document).ok()
}

fn shown(place: &str) -> String {
    let place: String = place.chars().filter(|character| !character.is_control()).take(MAX_PLACE).collect();
    if place.is_empty() { "/".to_owned() } else { place }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn schema(text: &str) -> Result<Schema, InvalidSchema> {
        Schema::compile(text)
    }

    const CHARGE: &str = r##"{
        "type": "object", "required": ["id", "amount"],
        "properties": { "id": { "$ref": "#/$defs/id" }, "amount": { "type": "integer", "minimum": 0 } },
        "$defs": { "id": { "type": "string", "pattern": "^ch_" } }
    }"##;

    #[test]
    fn violations_name_the_documents_places_and_no_values() {
        let schema = schema(CHARGE).unwrap();
        let of = |text: &str| {
            let document = Json::parse(Bytes::from(text.to_owned())).unwrap();
            let told = schema.violations(&document).into_iter();
            told.map(|it| (it.pointer, it.message)).collect::<Vec<_>>()
        };
        assert_eq!(of(r#"{"id":"ch_1","amount":5}"#), []);
        let told = of(r#"{"id":"hunter2","amount":"hunter3"}"#);
        let mut places: Vec<&str> = told.iter().map(|(pointer, _)| pointer.as_str()).collect();
        places.sort_unstable();
        assert_eq!(places, ["/amount", "/id"]);
        assert!(told.iter().all(|(_, message)| !message.contains("hunter")), "{told:?}");
        assert_eq!(of("[]")[0].0, "");
        assert!(of("{}").iter().any(|(_, message)| message.contains("amount")));
    }

    #[test]
    fn violations_are_bounded() {
        let schema = schema(r#"{ "items": { "type": "string" } }"#).unwrap();
        let of = |count: usize| {
            let text = format!("[{}]", vec!["1"; count].join(","));
            schema.violations(&Json::parse(Bytes::from(text)).unwrap()).len()
        };
        assert_eq!((of(3), of(1000), of(100_000)), (3, MAX_ERRORS, 1));
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for (text, part) in [
            ("{", "no JSON"),
            ("[]", "a schema is an object"),
            (r#"{"type":"nonsense"}"#, "no usable JSON Schema"),
            (r#"{"pattern":"("}"#, "no usable JSON Schema"),
            (r#"{"$ref":"https://example.com/schema.json"}"#, "references lead into the file"),
            (r#"{"$ref":"other.json"}"#, "references lead into the file"),
            (r#"{"pattern":"(a{1000}){1000}"}"#, "no usable JSON Schema"),
        ] {
            let error = schema(text).map(|_| ()).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
