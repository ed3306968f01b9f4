//! What a provider's answers should look like, and where one does not.
//!
//! The provider's own body is checked, before any mapping. A breach is told by the place in the *schema* that it
//! breaks: that stands in the configuration, whereas the body's names and values may be anybody's data.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use crate::json::check_depth;

/// The longest place shown, in bytes.
const MAX_PLACE: usize = 200;
/// The largest compiled `pattern`, in bytes.
const MAX_PATTERN: usize = 1 << 20;

/// The code of the failure that a breach is under [`SchemaMode::Enforce`].
pub const SCHEMA_VIOLATED: &str = "response_schema_violated";

/// What a breach means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaMode {
    /// It is logged and counted; the result stands.
    Warn,
    /// It fails the attempt.
    Enforce,
}

impl SchemaMode {
    /// The name used in files, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Enforce => "enforce",
        }
    }
}

/// A JSON Schema that an endpoint's answers are checked against. Compiled once, cheap to clone.
#[derive(Clone)]
pub struct ResponseSchema {
    mode: SchemaMode,
    validator: Arc<Validator>,
}

impl fmt::Debug for ResponseSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResponseSchema").field(&self.mode).finish()
    }
}

/// Why a text is not taken as a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSchema(String);

/// Where an answer breaks its schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body breaks its schema at {0}")]
pub struct Breach(String);

impl ResponseSchema {
    /// Compiles a schema of draft 2020-12 (or of the draft that it names). References lead into the schema itself.
    ///
    /// # Errors
    /// [`InvalidSchema`] if it is no JSON, no schema, or refers to other documents.
    pub fn compile(text: &str, mode: SchemaMode) -> Result<Self, InvalidSchema> {
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
        Ok(Self { mode, validator: Arc::new(validator) })
    }

    /// What a breach means.
    pub const fn mode(&self) -> SchemaMode {
        self.mode
    }

    /// Where a body breaks it; an empty one counts as `null`.
    pub fn check(&self, body: &Bytes) -> Result<(), Breach> {
        let body: &[u8] = if body.is_empty() { b"null" } else { body };
        let document = check_depth(body).ok().and_then(|()| serde_json::from_slice::<Value>(body).ok());
        let document = document.ok_or_else(|| Breach("its beginning: it is no JSON".to_owned()))?;
        self.validator.validate(&document).map_err(|error| Breach(shown(error.schema_path().as_str())))
    }
}

fn shown(place: &str) -> String {
    let place: String = place.chars().filter(|character| !character.is_control()).take(MAX_PLACE).collect();
    if place.is_empty() { "/".to_owned() } else { place }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Result<ResponseSchema, InvalidSchema> {
        ResponseSchema::compile(text, SchemaMode::Enforce)
    }

    const CHARGE: &str = r##"{
        "type": "object", "required": ["id", "amount"],
        "properties": { "id": { "$ref": "#/$defs/id" }, "amount": { "type": "integer", "minimum": 0 } },
        "$defs": { "id": { "type": "string", "pattern": "^ch_" } }
    }"##;

    #[test]
    fn a_breach_names_the_schemas_place_and_no_data() {
        let schema = schema(CHARGE).unwrap();
        let breach = |body: &'static str| {
            schema.check(&Bytes::from_static(body.as_bytes())).err().map(|breach| breach.to_string())
        };
        assert_eq!(breach(r#"{"id":"ch_1","amount":5}"#), None);
        for (body, place) in [
            (r#"{"id":"hunter2","amount":5}"#, "pattern"),
            (r#"{"id":"ch_hunter2"}"#, "/required"),
            (r#"{"id":"ch_1","amount":"hunter2"}"#, "/properties/amount/type"),
            (r#"{"id":"ch_1","amount":-1}"#, "/properties/amount/minimum"),
            ("", "/type"),
            ("<html>hunter2", "no JSON"),
            ("[1,", "no JSON"),
        ] {
            let told = breach(body).unwrap_or_else(|| panic!("{body} passes"));
            assert!(told.contains(place) && !told.contains("hunter2"), "{body}: {told}");
        }
        let deep = Bytes::from("[".repeat(100_000));
        assert!(schema.check(&deep).is_err());
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
