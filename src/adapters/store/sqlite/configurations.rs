//! What is written and read of the configurations that runs began with. Each function is one call's part of a transaction, and
//! may be run twice.

use std::collections::HashSet;

use causeway_actors::store::ConfigurationId;
use causeway_core::time::Wall;
use rusqlite::{Connection, OptionalExtension, params};

use super::super::rows::millis;

/// The configurations that runs which have not ended and dead letters began with: each part goes by an index of its own.
const USED: &str = "SELECT r.configuration FROM progress p CROSS JOIN runs r ON r.id = p.run WHERE p.waited_for \
     UNION SELECT r.configuration FROM queue q CROSS JOIN runs r ON r.id = q.run \
     UNION SELECT r.configuration FROM dead_letters d CROSS JOIN runs r ON r.id = d.run";

/// Keeps the files of a configuration.
pub(super) fn keep(
    connection: &Connection,
    id: ConfigurationId,
    sealed: &[u8],
    at: Wall,
) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT INTO configurations (id, kept_at, files) VALUES (?1, ?2, ?3) \
             ON CONFLICT (id) DO UPDATE SET kept_at = excluded.kept_at",
            params![id.0, millis(at), sealed],
        )
        .map(drop)
}

/// The files of a configuration.
pub(super) fn one(connection: &Connection, id: ConfigurationId) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .query_row("SELECT files FROM configurations WHERE id = ?1", [id.0], |row| row.get(0))
        .optional()
}

/// Those that were kept last before then, are none of `current`, and that nobody goes by.
pub(super) fn unused(
    connection: &Connection,
    current: &[ConfigurationId],
    before: Wall,
) -> rusqlite::Result<Vec<ConfigurationId>> {
    let mut old = connection.prepare_cached("SELECT id FROM configurations WHERE kept_at < ?1")?;
    let old = old.query_map([millis(before)], |row| row.get(0).map(ConfigurationId))?;
    let mut old = old.collect::<rusqlite::Result<Vec<_>>>()?;
    old.retain(|id| !current.contains(id));
    if old.is_empty() {
        return Ok(old);
    }
    let mut used = connection.prepare_cached(USED)?;
    let used = used.query_map([], |row| row.get(0).map(ConfigurationId))?;
    let used = used.collect::<rusqlite::Result<HashSet<_>>>()?;
    old.retain(|id| !used.contains(id));
    Ok(old)
}

/// Lets go of these, unless they have been kept anew.
pub(super) fn forget(
    connection: &Connection,
    unused: &[ConfigurationId],
    before: Wall,
) -> rusqlite::Result<usize> {
    let mut delete =
        connection.prepare_cached("DELETE FROM configurations WHERE id = ?1 AND kept_at < ?2")?;
    unused.iter().try_fold(0, |gone, id| Ok(gone + delete.execute(params![id.0, millis(before)])?))
}
