//! The store: what must survive the process, behind the port of [`causeway_actors::store`].
//!
//! `store.url` chooses where it is: [`open`] gives an SQLite file back, or a PostgreSQL database. The parts: `sealing`
//! (nothing that travelled is on disk in the clear) with `cipher`, `payload` (how it is written before it is sealed), `rows` and `limits` (what
//! both write), `turns` (whose turn it is), `doubtful` (claims that were refused), `recent` (claims that wait for their first lease), `watch` (what a store tells of itself), `sqlite`, `postgres`.

mod cipher;
mod doubtful;
mod limits;
mod payload;
mod postgres;
mod recent;
mod rows;
pub mod sealing;
mod sqlite;
mod turns;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_actors::clock::Clock;
use causeway_actors::store::Store;
use secrecy::SecretString;

use crate::settings::{EncryptionSettings, StoreSettings, StoreUrl};
use postgres::PostgresStore;
use sealing::{KeyError, Keyring};
use sqlite::SqliteStore;

/// Why the store could not be opened: the server does not start without it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be reached, or is not ours.
    #[error("opening the store {place}: {what}")]
    Store {
        /// Where it is.
        place: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A key is missing or wrong.
    #[error("{0}")]
    Key(#[from] KeyError),
}

impl OpenError {
    fn of(place: &Path, what: impl std::fmt::Display) -> Self {
        Self::Store { place: place.display().to_string(), what: what.to_string() }
    }
}

/// Tells how many leases a former life has left.
fn tell_of_leases(runs: usize) {
    if runs > 0 {
        tracing::warn!(runs, "queued runs were executed when the server ended: they are taken up again");
    }
}

/// Opens the store; makes it where it is not there yet.
///
/// # Errors
/// [`OpenError`]: it cannot be reached or written to, belongs to another server, is of a newer version, or was sealed
/// under a key that is not there.
pub async fn open(
    store: &StoreSettings,
    encryption: &EncryptionSettings,
    clock: Clock,
) -> Result<Arc<dyn Store>, OpenError> {
    match &store.url {
        StoreUrl::Sqlite(path) => {
            let (path, keys) = (path.clone(), encryption.clone());
            let opened = tokio::task::spawn_blocking(move || {
                make_directory_of(&path)?;
                let keyring = keyring(&keys, &path)?;
                SqliteStore::open(&path, keyring, clock)
            });
            let opened = opened.await.map_err(|_| OpenError::Store {
                place: "sqlite".to_owned(),
                what: "opening it ended without a result".to_owned(),
            })?;
            Ok(Arc::new(opened?))
        }
        StoreUrl::Postgres(url) => {
            let at = || url.to_string();
            let password = store.password.as_ref().map(|password| super::secrets::resolve(&password.value));
            let password = password
                .transpose()
                .map_err(|error| OpenError::Store { place: at(), what: format!("its password: {error}") })?;
            let keyring = Keyring::of(resolved(encryption)?)?;
            Ok(Arc::new(PostgresStore::open(url, password, keyring, clock).await?))
        }
    }
}

/// Makes the directory that the file is in.
fn make_directory_of(path: &Path) -> Result<(), OpenError> {
    let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) else {
        return Ok(());
    };
    std::fs::create_dir_all(directory)
        .map_err(|error| OpenError::of(path, format!("its directory cannot be made: {error}")))
}

/// The keys that are configured, or the one beside the database.
fn keyring(settings: &EncryptionSettings, database: &Path) -> Result<Keyring, OpenError> {
    if settings.keys.is_empty() {
        let mut beside = database.as_os_str().to_owned();
        beside.push(".key");
        return Ok(Keyring::beside(&PathBuf::from(beside))?);
    }
    Ok(Keyring::of(resolved(settings)?)?)
}

/// The keys that are configured.
fn resolved(settings: &EncryptionSettings) -> Result<Vec<(String, SecretString)>, OpenError> {
    let mut keys = Vec::with_capacity(settings.keys.len());
    for key in &settings.keys {
        let secret = super::secrets::resolve(&key.key.value)
            .map_err(|error| KeyError::Unreadable { id: key.id.clone(), why: error.to_string() })?;
        keys.push((key.id.clone(), secret));
    }
    Ok(keys)
}
