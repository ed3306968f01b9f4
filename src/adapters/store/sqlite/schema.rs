//! The tables, and how older ones are brought up to date: forwards only, each step in a transaction of its own.
//!
//! `user_version` tells which steps a file has seen, `application_id` that it is ours.

use causeway_core::time::Wall;
use rusqlite::{Connection, params};

use super::super::sealing::Keyring;
use crate::failpoint::{Durable, Moment};

/// `CWAY`.
pub(super) const APPLICATION_ID: i64 = 0x4357_4159;

/// The steps, in order; one that has been released is never changed.
pub(super) const STEPS: [&str; 11] = [
    include_str!("schema/1_runs.sql"),
    include_str!("schema/2_queue.sql"),
    include_str!("schema/3_dead_letters.sql"),
    include_str!("schema/4_control.sql"),
    include_str!("schema/5_resolved.sql"),
    include_str!("schema/6_attempts.sql"),
    include_str!("schema/7_inquiries.sql"),
    include_str!("schema/8_recovered.sql"),
    include_str!("schema/9_limits.sql"),
    include_str!("schema/10_queue.sql"),
    include_str!("schema/11_progress.sql"),
];

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    /// SQLite says so.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// It is somebody else's.
    #[error("it is an SQLite database of another program; give another `store.url`")]
    Foreign,
    /// A later version of this program has used it.
    #[error("it is of version {found} and this program knows {}: run a newer Causeway, or restore an older copy", STEPS.len())]
    Newer {
        /// Its version.
        found: usize,
    },
    /// What is in it cannot be read with the keys that there are.
    #[error("its content {0}; add the key to [encryption]")]
    Keys(super::super::sealing::Unsealable),
}

/// Makes the tables, or brings them up to date.
pub(super) fn bring_up_to_date(connection: &mut Connection) -> Result<(), SchemaError> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (tables > 0 || application != 0) {
        return Err(SchemaError::Foreign);
    }
    if version > STEPS.len() {
        return Err(SchemaError::Newer { found: version });
    }
    for (number, step) in STEPS.iter().enumerate().skip(version) {
        Durable::Schema.reached(Moment::Before);
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", i64::try_from(number + 1).unwrap_or(i64::MAX))?;
        Durable::Schema.reached(Moment::Written);
        transaction.commit()?;
        Durable::Schema.reached(Moment::Committed);
        tracing::info!(version = number + 1, "the store's tables are brought up to date");
    }
    Ok(())
}

/// Makes sure that everything sealed in the file can be opened, and that the key that seals is known to it.
pub(super) fn check_keys(connection: &Connection, keyring: &Keyring) -> Result<(), SchemaError> {
    let mut statement = connection.prepare("SELECT key, sealed FROM seals")?;
    let seals = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
    for seal in seals {
        let (key, sealed) = seal?;
        keyring.open(&place(&key), &sealed).map_err(SchemaError::Keys)?;
    }
    let key = keyring.sealing();
    Durable::Seal.reached(Moment::Before);
    let transaction = connection.unchecked_transaction()?;
    transaction.execute(
        "INSERT INTO seals (key, sealed) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![key, keyring.seal(&place(key), b"causeway")],
    )?;
    Durable::Seal.reached(Moment::Written);
    transaction.commit()?;
    Durable::Seal.reached(Moment::Committed);
    Ok(())
}

fn place(key: &str) -> String {
    format!("seals/{key}")
}

/// Writes something.
pub(super) fn touch(connection: &Connection, at: Wall) -> rusqlite::Result<()> {
    let at = i64::try_from(at.unix_millis()).unwrap_or(i64::MAX);
    connection.prepare_cached("UPDATE checks SET at = ?1")?.execute([at]).map(drop)
}
