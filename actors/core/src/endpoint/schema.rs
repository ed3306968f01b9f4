//! What a provider's answers should look like, and where one does not.
//!
//! The provider's own body is checked, before any mapping. A breach is told by the place in the *schema* that it
//! breaks: that stands in the configuration, whereas the body's names and values may be anybody's data.

use bytes::Bytes;

use crate::schema::{InvalidSchema, Schema};

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
#[derive(Clone, Debug)]
pub struct ResponseSchema {
    mode: SchemaMode,
    schema: Schema,
}

/// Where an answer breaks its schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body breaks its schema at {0}")]
pub struct Breach(String);

impl ResponseSchema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// As [`Schema::compile`].
    pub fn compile(text: &str, mode: SchemaMode) -> Result<Self, InvalidSchema> {
        Ok(Self { mode, schema: Schema::compile(text)? })
    }

    /// What a breach means.
    pub const fn mode(&self) -> SchemaMode {
        self.mode
    }

    /// Where a body breaks it; an empty one counts as `null`.
    pub fn check(&self, body: &Bytes) -> Result<(), Breach> {
        let body: &[u8] = if body.is_empty() { b"null" } else { body };
        self.schema.check(body).map_err(Breach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHARGE: &str = r##"{
        "type": "object", "required": ["id", "amount"],
        "properties": { "id": { "$ref": "#/$defs/id" }, "amount": { "type": "integer", "minimum": 0 } },
        "$defs": { "id": { "type": "string", "pattern": "^ch_" } }
    }"##;

    #[test]
    fn a_breach_names_the_schemas_place_and_no_data() {
        let schema = ResponseSchema::compile(CHARGE, SchemaMode::Enforce).unwrap();
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
}
