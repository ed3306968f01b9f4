//! `[store]` and `[encryption]`: where runs are kept, for how long, and what seals them.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ::url::Url;

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
const NOT_YET: [&str; 2] = ["webhooks", "events"];

/// `[store]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Where it is.
    pub url: StoreUrl,
    /// What a database server asks for.
    pub password: Option<Placed<SecretRef>>,
    /// How long things are kept.
    pub retention: Retention,
}

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// In a file; a relative path begins at the working directory.
    Sqlite(PathBuf),
    /// In a database.
    Postgres(PostgresUrl),
}

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresUrl {
    /// As it is written, without a password and without what stands below.
    pub text: String,
    /// The file with the authorities that its server's certificate may be of; `None`: the system's.
    pub authorities: Option<PathBuf>,
}

/// As an operator may see it.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.split('?').next().unwrap_or_default())
    }
}

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Runs, from their end; default 30 days.
    pub runs: Duration,
    /// What became of attempts; default 14 days.
    pub attempts: Duration,
    /// Dead letters that nobody has looked after; default 30 days.
    pub dead_letters: Duration,
    /// Who has done what; default a year.
    pub audit: Duration,
}

impl Default for StoreSettings {
    fn default() -> Self {
        let retention =
            Retention { runs: 30 * DAY, attempts: 14 * DAY, dead_letters: 30 * DAY, audit: 365 * DAY };
        Self { url: StoreUrl::Sqlite(PathBuf::from(DEFAULT_PATH)), password: None, retention }
    }
}

impl StoreSettings {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let default = Self::default();
        let url = table.or("url", default.url, url);
        let password = table.optional("password", |value| {
            let at = value.position();
            SecretRef::read(value).map(|value| Placed { value, at })
        });
        if password.is_some() && matches!(url, StoreUrl::Sqlite(_)) {
            table.wrong("password", "a store in a file asks for no password; seal it by [encryption]");
        }
        Self {
            url,
            password,
            retention: table.section("retention", |table| {
                table.not_yet(&NOT_YET);
                Retention {
                    runs: table.or("runs", default.retention.runs, duration(KEPT)),
                    attempts: table.or("attempts", default.retention.attempts, duration(KEPT)),
                    dead_letters: table.or("dead_letters", default.retention.dead_letters, duration(KEPT)),
                    audit: table.or("audit", default.retention.audit, duration(KEPT)),
                }
            }),
        }
    }
}

fn url(value: Value<'_>) -> Option<StoreUrl> {
    const FORM: &str = "\"sqlite://data/causeway.db\" or \"postgres://causeway@db.internal/causeway\"";
    let text = value.string(FORM)?;
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return match database(text) {
            Ok(url) => Some(StoreUrl::Postgres(url)),
            Err(wrong) => value.wrong(wrong),
        };
    }
    let path = text.strip_prefix("sqlite://");
    match path.filter(|path| !path.is_empty() && !path.contains(char::is_control)) {
        Some(path) => Some(StoreUrl::Sqlite(PathBuf::from(path))),
        // What is refused may carry a password.
        None => value.wrong(&format!("this is not where a store can be; write {FORM}")),
    }
}

/// What is wrong with it is told without showing it: it may carry a password.
fn database(text: &str) -> Result<PostgresUrl, &'static str> {
    const FORM: &str = "this is not where a database can be; write \"postgres://user@host:5432/database\"";
    let mut url = Url::parse(text).map_err(|_| FORM)?;
    let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if url.password().is_some() || query.iter().any(|(key, _)| key == "password") {
        return Err("a password does not belong into an address; write password = { env = \"…\" } beside it");
    }
    if url.fragment().is_some() || url.path().trim_start_matches('/').is_empty() {
        return Err(FORM);
    }
    let mut authorities = None;
    url.set_query(None);
    for (key, value) in &query {
        match (key.as_str(), value.as_str()) {
            ("sslrootcert", path) => authorities = Some(PathBuf::from(path)),
            // The certificate and the name in it are always checked.
            ("sslmode", "verify-full" | "verify-ca") => {
                url.query_pairs_mut().append_pair("sslmode", "require");
            }
            (key, value) => {
                url.query_pairs_mut().append_pair(key, value);
            }
        }
    }
    // It writes blanks as `+`, which only forms read so.
    Ok(PostgresUrl { text: url.as_str().replace('+', "%20"), authorities })
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
