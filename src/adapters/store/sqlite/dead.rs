//! What is written and read of dead letters. Each function is one call's part of a transaction, and may be run twice.

use causeway_actors::store::{DeadFilter, DeadGroup, Death, DueInquiry};
use causeway_core::name::RunId;
use causeway_core::time::Wall;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::super::rows::{
    BESIDE, End, RECORD, SealedLetter, SealedReopened, SealedUnfinished, UNFINISHED, millis, wall,
};
use super::runs::{read_unfinished, record_at};

const LETTER: &str = "d.run, d.integration, d.operation, d.step, d.class, d.code, d.died_at";

/// Says that a person has to look at a run.
pub(super) fn bury(connection: &Connection, end: &End, death: &Death) -> rusqlite::Result<()> {
    let End { id, at, inquire_at, .. } = end;
    let Death { integration, operation, step, class, code } = death;
    connection
        .prepare_cached(
            "INSERT INTO dead_letters (run, integration, operation, step, class, code, died_at, inquire_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (run) DO UPDATE SET \
             integration = excluded.integration, step = excluded.step, class = excluded.class, code = excluded.code, \
             died_at = excluded.died_at, inquire_at = excluded.inquire_at",
        )?
        .execute(params![id, integration, operation, step, class, code, at, inquire_at])
        .map(drop)
}

/// Nobody has to look at it any more.
pub(super) fn forget(connection: &Connection, run: &RunId) -> rusqlite::Result<bool> {
    let gone =
        connection.prepare_cached("DELETE FROM dead_letters WHERE run = ?1")?.execute([run.as_str()])?;
    Ok(gone == 1)
}

fn read_letter(row: &rusqlite::Row<'_>) -> rusqlite::Result<SealedLetter> {
    let death = Death {
        integration: row.get(1)?,
        operation: row.get(2)?,
        step: row.get(3)?,
        class: row.get(4)?,
        code: row.get(5)?,
    };
    Ok(SealedLetter { death, died_at: row.get(6)?, record: record_at(row, 7)? })
}

/// Dead letters, newest first.
pub(super) fn list(
    connection: &Connection,
    filter: &DeadFilter,
    limit: usize,
) -> rusqlite::Result<Vec<SealedLetter>> {
    let (such, mut values) = conditions(filter);
    values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    let sql = format!(
        "SELECT {LETTER}, {RECORD} FROM dead_letters d JOIN runs r ON r.id = d.run {BESIDE}{such} ORDER BY d.run DESC LIMIT ?"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(params_from_iter(values), read_letter)?.collect()
}

fn conditions(filter: &DeadFilter) -> (String, Vec<Value>) {
    let DeadFilter { run, integration, operation, code, before } = filter;
    let of = [
        ("d.run = ?", run.as_ref().map(ToString::to_string)),
        ("d.integration = ?", integration.clone()),
        ("d.operation = ?", operation.clone()),
        ("d.code = ?", code.clone()),
        ("d.run < ?", before.as_ref().map(ToString::to_string)),
    ];
    let (conditions, values): (Vec<&str>, Vec<Value>) =
        of.into_iter().filter_map(|(condition, value)| Some((condition, Value::Text(value?)))).unzip();
    let such =
        if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    (such, values)
}

/// How many there are of each kind.
pub(super) fn groups(connection: &Connection) -> rusqlite::Result<Vec<DeadGroup>> {
    let mut statement = connection.prepare_cached(
        "SELECT integration, operation, class, code, count(*), min(died_at), max(died_at) FROM dead_letters \
         GROUP BY integration, operation, class, code ORDER BY count(*) DESC, integration, operation, code LIMIT 1000",
    )?;
    let groups = statement.query_map([], |row| {
        let count: i64 = row.get(4)?;
        Ok(DeadGroup {
            integration: row.get(0)?,
            operation: row.get(1)?,
            class: row.get(2)?,
            code: row.get(3)?,
            count: u64::try_from(count).unwrap_or(0),
            first: wall(row.get(5)?),
            last: wall(row.get(6)?),
        })
    })?;
    groups.collect()
}

/// The run of a dead letter, with all that is needed to go on with it.
pub(super) fn run(connection: &Connection, id: &RunId) -> rusqlite::Result<Option<SealedUnfinished>> {
    let sql = format!(
        "SELECT {UNFINISHED} FROM runs r {BESIDE} WHERE r.id = ?1 AND p.status = 'ended' \
         AND EXISTS (SELECT 1 FROM dead_letters WHERE run = ?1)"
    );
    connection.prepare_cached(&sql)?.query_row([id.as_str()], read_unfinished).optional()
}

/// Those about which providers are to be asked by then.
pub(super) fn due_inquiries(
    connection: &Connection,
    by: Wall,
    limit: usize,
) -> rusqlite::Result<Vec<DueInquiry>> {
    let mut statement = connection.prepare_cached(
        "SELECT d.run, d.died_at, r.is_async FROM dead_letters d JOIN runs r ON r.id = d.run \
         WHERE d.inquire_at <= ?1 ORDER BY d.inquire_at LIMIT ?2",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        let run = RunId::new(row.get::<_, String>(0)?);
        Ok(DueInquiry { run, died_at: wall(row.get(1)?), is_async: row.get(2)? })
    };
    statement.query_map(params![millis(by), i64::try_from(limit).unwrap_or(i64::MAX)], read)?.collect()
}

/// Has providers asked about one then, or not any more.
pub(super) fn inquire_at(connection: &Connection, run: &RunId, at: Option<Wall>) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE dead_letters SET inquire_at = ?2 WHERE run = ?1")?
        .execute(params![run.as_str(), at.map(millis)])
        .map(drop)
}

/// Takes a run up again: it is queued, and no dead letter any more. `false`: it is none, or has changed.
pub(super) fn reopen(connection: &Connection, reopened: &SealedReopened) -> rusqlite::Result<bool> {
    let gone = connection
        .prepare_cached(
            "DELETE FROM dead_letters WHERE run = ?1 AND EXISTS (SELECT 1 FROM progress WHERE run = ?1 AND revision < ?2)",
        )?
        .execute(params![reopened.id, reopened.revision])?;
    // Asked once more, it has been taken up already.
    let again = "SELECT 1 FROM progress WHERE run = ?1 AND revision = ?2 AND status <> 'ended'";
    if gone == 0 {
        return connection.prepare_cached(again)?.exists(params![reopened.id, reopened.revision]);
    }
    connection
        .prepare_cached(
            "UPDATE progress SET status = 'accepted', revision = ?2, state = ?3, resolved = ?4 WHERE run = ?1",
        )?
        .execute(params![reopened.id, reopened.revision, reopened.state, reopened.is_resolved])?;
    // Whoever had it before holds an older fence.
    connection
        .prepare_cached(
            "INSERT INTO queue (run, integration, rank, lane, not_before, fence, tries, cancel) \
             SELECT id, ?2, ?3, coalesce(client, '-'), ?4, fence + 1, 0, 0 FROM runs JOIN ends ON run = id WHERE id = ?1",
        )?
        .execute(params![reopened.id, reopened.integration, reopened.rank, reopened.not_before])?;
    connection.prepare_cached("DELETE FROM ends WHERE run = ?1")?.execute([&reopened.id])?;
    Ok(true)
}

/// Lets dead letters go that are old, and their runs with them at their own time.
pub(super) fn forget_old(connection: &Connection, before: Wall, limit: usize) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM dead_letters WHERE run IN (SELECT run FROM dead_letters WHERE died_at < ?1 ORDER BY run LIMIT ?2)",
        )?
        .execute(params![millis(before), i64::try_from(limit).unwrap_or(i64::MAX)])
}
