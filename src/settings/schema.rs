//! The JSON Schemas of the configuration's files, for editors that complete and check them while they are written.
//!
//! They are asked of the readers themselves, so they cannot fall behind them.

use serde_json::Value as Json;

use super::calls::Catalogue;
use super::defaults::DefaultSettings;
use super::reader::schema;
use super::server::ServerSettings;
use super::{integration, operation};

/// The schema of one kind of file.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The name of the schema's own file.
    pub file: &'static str,
    /// JSON Schema 2020-12.
    pub schema: Json,
}

impl Schema {
    /// The schema's text, as its file has it.
    pub fn text(&self) -> String {
        // A value of strings and numbers can always be written.
        serde_json::to_string_pretty(&self.schema).unwrap_or_default() + "\n"
    }
}

/// The schemas of `causeway.toml`, of an integration's and of an operation's file.
pub fn schemas() -> [Schema; 3] {
    let defaults = DefaultSettings::default();
    let catalogue = Catalogue::default();
    [
        Schema {
            file: "causeway.json",
            schema: schema("Causeway: the server", |table| drop(ServerSettings::read(table))),
        },
        Schema {
            file: "integration.json",
            schema: schema("Causeway: an integration", |table| {
                drop(integration::read(None, table, &defaults))
            }),
        },
        Schema {
            file: "operation.json",
            schema: schema("Causeway: an operation", |table| drop(operation::read(None, table, &catalogue))),
        },
    ]
}
