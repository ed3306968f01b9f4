//! What is written and read of limits. Each function is one call's part of a transaction, and may be run twice.

use causeway_core::limits::Life;
use causeway_core::time::Wall;
use rusqlite::{Connection, OptionalExtension, params};

use super::super::limits::LimitRow;
use super::super::rows::{millis, wall};

/// Writes records down, and when the server was seen alive.
pub(super) fn keep(connection: &Connection, rows: &[LimitRow], life: Life) -> rusqlite::Result<()> {
    let mut write = connection.prepare_cached(
        "INSERT INTO limits (owner, name, key, until, record) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (owner, name, key) DO UPDATE SET until = excluded.until, record = excluded.record",
    )?;
    let mut delete =
        connection.prepare_cached("DELETE FROM limits WHERE owner = ?1 AND name = ?2 AND key = ?3")?;
    for LimitRow { owner, name, key, until, record } in rows {
        match record {
            Some(record) => write.execute(params![owner, name, key, until, record])?,
            None => delete.execute(params![owner, name, key])?,
        };
    }
    connection
        .prepare_cached(
            "INSERT INTO life (id, at, ended, untold_until) VALUES (1, ?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET \
             at = excluded.at, ended = excluded.ended, untold_until = excluded.untold_until",
        )?
        .execute(params![millis(life.at), life.ended, life.untold_until.map(millis)])
        .map(drop)
}

/// Everything that is kept.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<(Vec<LimitRow>, Option<Life>)> {
    let mut statement = connection.prepare_cached("SELECT owner, name, key, until, record FROM limits")?;
    let rows = statement.query_map([], |row| {
        Ok(LimitRow {
            owner: row.get(0)?,
            name: row.get(1)?,
            key: row.get(2)?,
            until: row.get(3)?,
            record: row.get(4)?,
        })
    })?;
    let rows = rows.collect::<rusqlite::Result<_>>()?;
    let mut statement = connection.prepare_cached("SELECT at, ended, untold_until FROM life")?;
    let life = statement.query_row([], |row| {
        let untold: Option<i64> = row.get(2)?;
        Ok(Life { at: wall(row.get(0)?), ended: row.get(1)?, untold_until: untold.map(wall) })
    });
    Ok((rows, life.optional()?))
}

/// Lets go of what tells nothing any more.
pub(super) fn forget_old(connection: &Connection, before: Wall, limit: usize) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM limits WHERE (owner, name, key) IN \
             (SELECT owner, name, key FROM limits WHERE until < ?1 ORDER BY until LIMIT ?2)",
        )?
        .execute(params![millis(before), i64::try_from(limit).unwrap_or(i64::MAX)])
}
