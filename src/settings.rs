//! The configuration: a directory of TOML files in, validated settings or everything that is wrong with them out.
//!
//! Raw texts are turned into validated types once, here at the edge, and nothing behind it checks them again: a path
//! begins with `/`, a bucket holds a token, a call exists. What is wrong is told all at once, each as
//! `file:line:column: what is wrong; what would be right`, for people correct files, not first lines. A file that
//! is not TOML gives only its syntax errors, for nobody knows what it would have said.
//!
//! Secrets are never here, only [`SecretRef`]s. Expressions are kept as written ([`JqSource`]); whoever compiles
//! them adds what is wrong with them at their place.
//!
//! The parts, one file per section, in the order they are read:
//!
//! - `files`: finds and reads the files; `reader`: takes a file apart and misses no error;
//! - `server`: `causeway.toml`, of `listen`, `access` (clients and operators), `store`, `logs`, `redact`, `defaults`;
//! - `integration`: `integrations/NAME.toml`, of `base_url`, `api_version`, `headers`, `auth`, `tls`, `timeouts`, `retry`,
//!   `breaker`, `pool`, `queue`, `limits` (by `glob`), and `endpoint`, of `idempotency`, `classify`, `cost`, `jq`;
//! - `operation`: `operations/NAME.toml`, whose `calls` must exist;
//! - `schema`: the same files' JSON Schemas, for editors.
//!
//! What is right and yet unwise is told apart from what is wrong, as [`Advice`]: it stops nothing.

mod access;
mod api_version;
mod auth;
mod base_url;
mod breaker;
mod calls;
mod classify;
mod cost;
mod defaults;
mod effective;
mod endpoint;
mod error;
mod files;
mod glob;
mod headers;
mod idempotency;
mod integration;
mod jq;
mod keys;
mod limits;
mod listen;
mod logs;
mod operation;
mod pool;
mod queue;
mod reader;
mod redact;
mod response_schema;
mod retry;
mod schema;
mod secret;
mod server;
mod store;
mod timeouts;
mod tls;
mod traces;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wrong;

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use causeway_core::name::{IntegrationName, InvalidName, OperationName};

pub use access::{ClientSettings, OperatorSettings, Role};
pub use api_version::ApiVersion;
pub use auth::AuthSettings;
pub use base_url::BaseUrl;
pub use breaker::WrittenBreaker;
pub use calls::Call;
pub use causeway_core::limits::LimitKind;
pub use classify::ClassifyRule;
pub use cost::CostSettings;
pub use defaults::DefaultSettings;
pub use effective::{Written, effective};
pub use endpoint::{BodyFormat, EndpointSettings};
pub use error::{Advice, At, Finding, Placed, Position, SettingsError, SettingsErrors};
pub use idempotency::{IdempotencySettings, KeyHeader, VerifySettings};
pub use integration::IntegrationSettings;
pub use jq::JqSource;
pub use keys::keys;
pub use limits::LimitSettings;
pub use listen::ListenSettings;
pub use logs::{LogBodies, LogFormat, LogSettings};
pub use operation::{
    AlternateSettings, FallbackSettings, InFlight, KeyMode, KeySettings, Mode, OperationSettings,
    StepSettings, UndoSettings,
};
pub use redact::RedactSettings;
pub use response_schema::{SchemaSettings, SchemaText};
pub use schema::{Schema, schemas};
pub use secret::SecretRef;
pub use server::ServerSettings;
pub use store::{EncryptionKey, EncryptionSettings, PostgresUrl, Retention, StoreSettings, StoreUrl};
pub use tls::{FilePath, IdentityFiles, TlsSettings};
pub use traces::TraceSettings;

use calls::Catalogue;
use files::{Source, Subject};
use reader::{Document, Table, shown};
pub(crate) use reader::{nearest, one_line};

/// The whole configuration, validated.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The server.
    pub server: ServerSettings,
    /// The integrations, by name; at least one.
    pub integrations: Vec<IntegrationSettings>,
    /// The operations, by name, each version for itself.
    pub operations: Vec<OperationSettings>,
    /// What all of it was read from.
    pub files: Vec<Written>,
    /// What is right and yet unwise.
    pub advice: Vec<Advice>,
}

/// All that reading a configuration finds out.
#[derive(Clone, Debug, PartialEq)]
pub struct Examined {
    /// What could be read: everything, if nothing is wrong.
    pub settings: Settings,
    /// What is wrong.
    pub errors: SettingsErrors,
    /// What is right and yet unwise.
    pub advice: Vec<Advice>,
    /// The files, in the order they are read, as they are shown.
    pub files: Vec<Arc<str>>,
}

impl Examined {
    /// Reads the configuration's directory: `causeway.toml` (may be absent), `integrations/*.toml`,
    /// `operations/*.toml`. Hidden files and files of other kinds are left alone.
    pub fn directory(dir: &Path) -> Self {
        let mut errors = SettingsErrors::default();
        let sources = files::read(dir, &mut errors);
        assemble(dir, &sources, errors)
    }

    /// The same from texts: pairs of a path inside the configuration's directory (`integrations/echo.toml`) and the
    /// file's text. Relative paths of secret files begin at the working directory.
    pub fn texts(files: &[(&str, &str)]) -> Self {
        let mut errors = SettingsErrors::default();
        let sources = files::embedded(files, &mut errors);
        assemble(Path::new(""), &sources, errors)
    }

    /// The settings, if nothing is wrong.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn settings(self) -> Result<Settings, SettingsErrors> {
        if self.errors.is_empty() { Ok(self.settings) } else { Err(self.errors) }
    }

    /// Adds what was found out to be wrong after reading, each where it belongs.
    pub fn and_wrong(&mut self, errors: SettingsErrors) {
        self.errors.extend(errors);
        self.errors.sort(&self.files);
    }
}

impl Settings {
    /// Reads a directory, as [`Examined::directory`] does.
    ///
    /// # Errors
    /// Everything that is wrong with all files, files that cannot be read included.
    pub fn load(dir: &Path) -> Result<Self, SettingsErrors> {
        Examined::directory(dir).settings()
    }

    /// Reads texts as if they stood in this directory: relative paths begin there.
    ///
    /// # Errors
    /// Everything that is wrong with all texts.
    pub fn from_texts_in(dir: &Path, files: &[(&str, &str)]) -> Result<Self, SettingsErrors> {
        let mut errors = SettingsErrors::default();
        let sources = files::embedded(files, &mut errors);
        assemble(dir, &sources, errors).settings()
    }

    /// Reads texts, as [`Examined::texts`] does.
    ///
    /// # Errors
    /// Everything that is wrong with all texts.
    pub fn from_texts(files: &[(&str, &str)]) -> Result<Self, SettingsErrors> {
        Examined::texts(files).settings()
    }
}

/// Reads a duration as configuration files and commands write it: a whole number and one of `ms s m h d`.
pub fn duration(text: &str) -> Option<Duration> {
    reader::forms::parse_duration(text)
}

/// What has been found so far.
struct Findings {
    errors: SettingsErrors,
    advice: Vec<Advice>,
}

/// Reads the sources in their order. The server comes before integrations, so what they start from is known, and
/// integrations before operations, so what a step calls is known.
fn assemble(dir: &Path, sources: &[Source], errors: SettingsErrors) -> Examined {
    let all_found = errors.is_empty();
    let mut found = Findings { errors, advice: Vec::new() };
    let mut settings = Settings {
        server: ServerSettings::default(),
        integrations: Vec::new(),
        operations: Vec::new(),
        files: sources.iter().filter_map(Written::of).collect(),
        advice: Vec::new(),
    };
    let mut catalogue = Catalogue::default();
    for source in sources {
        match &source.subject {
            Subject::Server => {
                settings.server = parse(dir, source, &mut found, ServerSettings::read).unwrap_or_default();
            }
            Subject::Integration(file) => {
                let name = name_of::<IntegrationName>(file, source, &mut found.errors);
                let defaults = &settings.server.defaults;
                let read = parse(dir, source, &mut found, |table| integration::read(name, table, defaults));
                catalogue.declare(file, read.as_ref().map(|read| read.declared.clone()));
                if let Some(read) = read {
                    found.errors.extend(read.errors);
                    settings.integrations.extend(read.settings);
                }
            }
            Subject::Operation(file) => {
                let name = operation_name(file, source, &mut found.errors);
                let read = parse(dir, source, &mut found, |table| operation::read(name, table, &catalogue));
                if let Some(operation) = read.flatten() {
                    add_operation(&mut settings.operations, operation, source, &mut found.errors);
                }
            }
        }
    }
    let some_integration = sources.iter().any(|source| matches!(source.subject, Subject::Integration(_)));
    if all_found && !some_integration {
        let message = "there is no integration; write integrations/NAME.toml with at least a base_url";
        found.errors.push(SettingsError::whole(files::integrations_of(dir), message));
    }
    integration::groups_that_disagree(&settings.integrations, &mut found.errors);
    found.advice.extend(access::advice(&settings.server.clients, &settings.operations));
    found.advice.extend(operation::advice(&settings.operations, &settings.integrations));
    let files: Vec<Arc<str>> = sources.iter().map(|source| Arc::clone(&source.shown)).collect();
    found.errors.sort(&files);
    settings.advice.clone_from(&found.advice);
    Examined { settings, errors: found.errors, advice: found.advice, files }
}

/// Lends the file's root table to `read`; `None` if the file has no text or is not TOML, which is told.
fn parse<T>(
    dir: &Path,
    source: &Source,
    found: &mut Findings,
    read: impl FnOnce(&mut Table<'_>) -> T,
) -> Option<T> {
    let document = Document::new(Arc::clone(&source.shown), dir, source.text.as_deref()?);
    let read = document.read(read);
    found.errors.extend(document.errors());
    found.advice.extend(document.advice());
    read
}

fn operation_name(file: &str, source: &Source, errors: &mut SettingsErrors) -> Option<operation::Named> {
    let Some((name, text)) = file.split_once('@') else {
        return name_of::<OperationName>(file, source, errors)
            .map(|name| operation::Named { name, version: None });
    };
    let version = text.parse::<u32>().ok().filter(|version| {
        // One spelling of each, so that no two files name the same.
        operation::VERSION.contains(version) && version.to_string() == text
    });
    if version.is_none() {
        let message = format!(
            "\"{}\" is no version; write a whole number from 1 to 1000000, such as {}@2.toml",
            shown(text),
            shown(name)
        );
        errors.push(SettingsError::whole(Arc::clone(&source.shown), message));
    }
    let name = name_of::<OperationName>(name, source, errors)?;
    version.map(|version| operation::Named { name, version: Some(version) })
}

/// Adds an operation, unless it is there in the same version already.
fn add_operation(
    operations: &mut Vec<OperationSettings>,
    operation: OperationSettings,
    source: &Source,
    errors: &mut SettingsErrors,
) {
    let same =
        |known: &&OperationSettings| (&known.name, known.version) == (&operation.name, operation.version);
    match operations.iter().find(same) {
        None => operations.push(operation),
        Some(known) => {
            let message = format!(
                "{} has version {} too; give one of them another version",
                known.label, operation.version
            );
            errors.push(SettingsError::whole(Arc::clone(&source.shown), message));
        }
    }
}

fn name_of<T: FromStr<Err = InvalidName>>(
    file: &str,
    source: &Source,
    errors: &mut SettingsErrors,
) -> Option<T> {
    let told = |error: InvalidName| {
        let message = format!("the file's name is taken for a name, and {error}; rename the file");
        errors.push(SettingsError::whole(Arc::clone(&source.shown), message));
    };
    file.parse().map_err(told).ok()
}
