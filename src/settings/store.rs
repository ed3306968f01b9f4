//! `[store]` and `[encryption]`: where runs are kept, for how long, and what seals them.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::error::Placed;
use super::reader::forms::duration;
use super::reader::{Table, Value, shown};
use super::secret::SecretRef;

/// Where the store is, where nothing else is said.
const DEFAULT_PATH: &str = "data/causeway.db";
const DAY: Duration = Duration::from_secs(86_400);
/// Bounds of how long something is kept.
const KEPT: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(10 * 365 * 86_400);
/// The most keys.
const MAX_KEYS: usize = 16;
/// The longest id of a key, in bytes: it stands before everything that the key has sealed.
const MAX_ID: usize = 32;

/// What is kept for how long in later versions.
const NOT_YET: [&str; 3] = ["attempts", "webhooks", "events"];

/// `[store]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Where it is.
    pub url: StoreUrl,
    /// How long things are kept.
    pub retention: Retention,
}

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// In a file; a relative path begins at the working directory.
    Sqlite(PathBuf),
}

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Runs, from their end; default 30 days.
    pub runs: Duration,
    /// Dead letters that nobody has looked after; default 30 days.
    pub dead_letters: Duration,
    /// Who has done what; default a year.
    pub audit: Duration,
}

impl Default for StoreSettings {
    fn default() -> Self {
        let retention = Retention { runs: 30 * DAY, dead_letters: 30 * DAY, audit: 365 * DAY };
        Self { url: StoreUrl::Sqlite(PathBuf::from(DEFAULT_PATH)), retention }
    }
}

impl StoreSettings {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let default = Self::default();
        Self {
            url: table.or("url", default.url, url),
            retention: table.section("retention", |table| {
                table.not_yet(&NOT_YET);
                Retention {
                    runs: table.or("runs", default.retention.runs, duration(KEPT)),
                    dead_letters: table.or("dead_letters", default.retention.dead_letters, duration(KEPT)),
                    audit: table.or("audit", default.retention.audit, duration(KEPT)),
                }
            }),
        }
    }
}

fn url(value: Value<'_>) -> Option<StoreUrl> {
    const FORM: &str = "\"sqlite://data/causeway.db\"";
    let text = value.string(FORM)?;
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return value.wrong(&format!("a PostgreSQL store comes in a later version; write {FORM}"));
    }
    let path = text.strip_prefix("sqlite://");
    match path.filter(|path| !path.is_empty() && !path.contains(char::is_control)) {
        Some(path) => Some(StoreUrl::Sqlite(PathBuf::from(path))),
        // What is refused may carry a password.
        None => value.wrong(&format!("this is not where a store can be; write {FORM}")),
    }
}

/// `[encryption]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncryptionSettings {
    /// The keys: the first seals, all open. None: one is made beside the database.
    pub keys: Vec<EncryptionKey>,
}

/// A key, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionKey {
    /// What it goes by in what it has sealed.
    pub id: String,
    /// Where it is to be read: 32 bytes in base64.
    pub key: Placed<SecretRef>,
}

impl EncryptionSettings {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let mut ids: Vec<String> = Vec::new();
        let keys = table.list("keys", MAX_KEYS, |value| {
            value.table("a table { id, key }", |table| {
                let id = table.required("id", "\"k1\"", id);
                let key = table.required("key", "{ env = \"CAUSEWAY_KEY\" }", |value| {
                    let at = value.position();
                    SecretRef::read(value).map(|value| Placed { value, at })
                });
                let id = id?;
                if ids.contains(&id) {
                    table.wrong("id", &format!("another key has the id \"{id}\"; each has its own"));
                    return None;
                }
                ids.push(id.clone());
                Some(EncryptionKey { id, key: key? })
            })
        });
        Self { keys }
    }
}

fn id(value: Value<'_>) -> Option<String> {
    let text = value.string("a name such as \"k1\"")?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if (1..=MAX_ID).contains(&text.len()) && text.bytes().all(plain) {
        return Some(text.to_owned());
    }
    value.wrong(&format!("\"{}\" is no id; write 1 to {MAX_ID} of a–z, 0–9, `_`, `-`", shown(text)))
}
