//! Where a secret is to be read from. The settings never hold one.

use std::fmt;
use std::path::PathBuf;

use super::reader::{Table, Value};

/// The longest name of an environment variable, in bytes.
const MAX_VARIABLE: usize = 128;

/// What would be right where a secret belongs.
const REFERENCE: &str = "a reference, { env = \"NAME\" } or { file = \"/run/secrets/name\" }";

/// The name of a secret, not the secret: safe to print.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// An environment variable of the server.
    Env(String),
    /// A file. A relative path begins at the configuration's directory.
    File(PathBuf),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

impl SecretRef {
    /// Reads a reference. A string in its place is taken for a secret, so it is refused and never repeated.
    pub(super) fn read(value: Value<'_>) -> Option<Self> {
        if value.is_string() {
            return value.wrong(&format!("a secret must not stand in the configuration; write {REFERENCE}"));
        }
        value.table(REFERENCE, Self::read_source)
    }

    fn read_source(table: &mut Table<'_>) -> Option<Self> {
        let env = table.optional("env", |value| variable(&value)).map(Self::Env);
        let file = table.optional("file", |value| file(&value)).map(Self::File);
        table.not_yet(&["vault", "aws", "azure", "field", "ttl", "stale_for"]);
        match (table.had("env"), table.had("file")) {
            (true, false) => env,
            (false, true) => file,
            (true, true) => {
                table.wrong("file", "a secret has one source, and `env` is given too; remove one of them");
                None
            }
            (false, false) => {
                if !table.has_more() {
                    table.wrong_whole(&format!("no source is given; write {REFERENCE}"));
                }
                None
            }
        }
    }
}

/// What is refused here is not repeated: a secret in the place of its variable's name is an easy slip.
fn variable(value: &Value<'_>) -> Option<String> {
    let text = value.string("the name of an environment variable")?;
    let fits = text.len() <= MAX_VARIABLE
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if fits {
        return Some(text.to_owned());
    }
    let form = "letters, digits and `_`, not beginning with a digit";
    value.wrong(&format!("this is not the name of an environment variable; write {form}"))
}

fn file(value: &Value<'_>) -> Option<PathBuf> {
    let text = value.string("the path of a file")?;
    if text.is_empty() || text.contains(char::is_control) {
        return value.wrong("this is not the path of a file; write one such as \"/run/secrets/name\"");
    }
    Some(value.base().join(text))
}
