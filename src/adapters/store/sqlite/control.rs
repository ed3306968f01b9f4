//! What is written and read of operators' commands.

use causeway_actors::store::{Audited, Control, Deed};
use causeway_core::time::Wall;
use rusqlite::{Connection, params};

use super::super::rows::{millis, wall};

/// Writes down who does what, and with it what holds from then on.
pub(super) fn audit(connection: &Connection, deed: &Deed) -> rusqlite::Result<()> {
    // Asked a second time, it is there twice: better than not at all.
    connection
        .prepare_cached(
            "INSERT INTO audit (at, operator, action, subject, reason) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![millis(deed.at), deed.operator, deed.action, deed.subject, deed.reason])?;
    deed.control.as_ref().map_or(Ok(()), |control| keep(connection, control))
}

/// Writes down what holds from now on.
pub(super) fn keep(connection: &Connection, control: &Control) -> rusqlite::Result<()> {
    let Control { key, value } = control;
    let done = match value {
        Some(value) => connection
            .prepare_cached(
                "INSERT INTO control (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )?
            .execute(params![key, value]),
        None => connection.prepare_cached("DELETE FROM control WHERE key = ?1")?.execute([key]),
    };
    done.map(drop)
}

/// Everything that operators have said and that holds.
pub(super) fn controls(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = connection.prepare("SELECT key, value FROM control ORDER BY key")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Who has said what, newest first.
pub(super) fn trail(
    connection: &Connection,
    before: Option<i64>,
    limit: usize,
) -> rusqlite::Result<Vec<Audited>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, at, operator, action, subject, reason FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let trail = statement.query_map(params![before.unwrap_or(i64::MAX), limit], |row| {
        Ok(Audited {
            id: row.get(0)?,
            at: wall(row.get(1)?),
            operator: row.get(2)?,
            action: row.get(3)?,
            subject: row.get(4)?,
            reason: row.get(5)?,
        })
    })?;
    trail.collect()
}

/// Lets go of what is old.
pub(super) fn forget_old(connection: &Connection, before: Wall, limit: usize) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ?1 ORDER BY id LIMIT ?2)",
        )?
        .execute(params![millis(before), i64::try_from(limit).unwrap_or(i64::MAX)])
}
