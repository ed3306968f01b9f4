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
//! - `server`: `causeway.toml`, of `listen`, `logs`, `redact`;
//! - `integration`: `integrations/NAME.toml`, of `base_url`, `headers`, `auth`, `timeouts`, `retry`, `breaker`, `pool`,
//!   `limits`, and `endpoint`, of `idempotency`, `classify`, `jq`;
//! - `operation`: `operations/NAME.toml`, whose `calls` must exist.

mod auth;
mod base_url;
mod breaker;
mod calls;
mod classify;
mod endpoint;
mod error;
mod files;
mod headers;
mod idempotency;
mod integration;
mod jq;
mod limits;
mod listen;
mod logs;
mod operation;
mod pool;
mod reader;
mod redact;
mod retry;
mod secret;
mod server;
mod timeouts;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use causeway_core::name::{IntegrationName, InvalidName, OperationName};

pub use auth::AuthSettings;
pub use base_url::BaseUrl;
pub use calls::Call;
pub use classify::ClassifyRule;
pub use endpoint::{BodyFormat, EndpointSettings};
pub use error::{Position, SettingsError, SettingsErrors};
pub use idempotency::IdempotencySettings;
pub use integration::IntegrationSettings;
pub use jq::JqSource;
pub use limits::{LimitKind, LimitSettings};
pub use listen::ListenSettings;
pub use logs::{LogBodies, LogFormat, LogSettings};
pub use operation::{OperationSettings, StepSettings};
pub use redact::RedactSettings;
pub use secret::SecretRef;
pub use server::ServerSettings;

use calls::Catalogue;
use files::{Source, Subject};
use reader::{Document, Table, shown};

/// The whole configuration, validated.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The server.
    pub server: ServerSettings,
    /// The integrations, by name; at least one.
    pub integrations: Vec<IntegrationSettings>,
    /// The operations, by name.
    pub operations: Vec<OperationSettings>,
}

impl Settings {
    /// Reads the configuration's directory: `causeway.toml` (may be absent), `integrations/*.toml`,
    /// `operations/*.toml`. Hidden files and files of other kinds are left alone.
    ///
    /// # Errors
    /// Everything that is wrong with all files, files that cannot be read included.
    pub fn load(dir: &Path) -> Result<Self, SettingsErrors> {
        let mut errors = SettingsErrors::default();
        let sources = files::read(dir, &mut errors);
        assemble(dir, &sources, errors)
    }

    /// The same from texts: pairs of a path inside the configuration's directory (`integrations/echo.toml`) and the
    /// file's text. Relative paths of secret files begin at the working directory.
    ///
    /// # Errors
    /// Everything that is wrong with all texts.
    pub fn from_texts(files: &[(&str, &str)]) -> Result<Self, SettingsErrors> {
        let mut errors = SettingsErrors::default();
        let sources = files::embedded(files, &mut errors);
        assemble(Path::new(""), &sources, errors)
    }
}

/// Reads a duration as configuration files and commands write it: a whole number and one of `ms s m h d`.
pub fn duration(text: &str) -> Option<Duration> {
    reader::forms::parse_duration(text)
}

/// Reads the sources in their order. Integrations come before operations, so what a step calls is known.
fn assemble(dir: &Path, sources: &[Source], mut errors: SettingsErrors) -> Result<Settings, SettingsErrors> {
    let all_found = errors.is_empty();
    let mut settings =
        Settings { server: ServerSettings::default(), integrations: Vec::new(), operations: Vec::new() };
    let mut catalogue = Catalogue::default();
    for source in sources {
        match &source.subject {
            Subject::Server => {
                settings.server = parse(dir, source, &mut errors, ServerSettings::read).unwrap_or_default();
            }
            Subject::Integration(file) => {
                let name = name_of::<IntegrationName>(file, source, &mut errors);
                let read = parse(dir, source, &mut errors, |table| integration::read(name, table));
                let (declared, read) = read.map(|read| (read.declared, read.settings)).unzip();
                catalogue.declare(file, declared);
                settings.integrations.extend(read.flatten());
            }
            Subject::Operation(file) => {
                let name = operation_name(file, source, &mut errors);
                let read = parse(dir, source, &mut errors, |table| operation::read(name, table, &catalogue));
                settings.operations.extend(read.flatten());
            }
        }
    }
    let some_integration = sources.iter().any(|source| matches!(source.subject, Subject::Integration(_)));
    if all_found && !some_integration {
        let message = "there is no integration; write integrations/NAME.toml with at least a base_url";
        errors.push(SettingsError::whole(files::integrations_of(dir), message));
    }
    if errors.is_empty() { Ok(settings) } else { Err(errors) }
}

/// Lends the file's root table to `read`; `None` if the file has no text or is not TOML, which is told.
fn parse<T>(
    dir: &Path,
    source: &Source,
    errors: &mut SettingsErrors,
    read: impl FnOnce(&mut Table<'_>) -> T,
) -> Option<T> {
    let document = Document::new(Arc::clone(&source.shown), dir, source.text.as_deref()?);
    let read = document.read(read);
    errors.extend(document.errors());
    read
}

fn operation_name(file: &str, source: &Source, errors: &mut SettingsErrors) -> Option<OperationName> {
    if let Some((name, _)) = file.split_once('@') {
        let message =
            format!("several versions of an operation are not available; name it {}.toml", shown(name));
        errors.push(SettingsError::whole(Arc::clone(&source.shown), message));
        return None;
    }
    name_of(file, source, errors)
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
