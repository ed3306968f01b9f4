//! What is written and read of attempts. Each function is one call's part of a transaction, and may be run twice.

use causeway_actors::store::AttemptFilter;
use causeway_core::time::Wall;
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::super::rows::{KeptAttempt, SealedAttempt, attempt_columns, millis, youngest};

/// Writes attempts down.
pub(super) fn append(connection: &Connection, attempts: &[SealedAttempt]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO attempts (id, at, run, integration, endpoint, correlation_id, outcome, status, record) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
    )?;
    for attempt in attempts {
        insert.execute(params![
            attempt.id,
            attempt.at,
            attempt.run,
            attempt.integration,
            attempt.endpoint,
            attempt.correlation_id,
            attempt.outcome,
            attempt.status,
            attempt.record,
        ])?;
    }
    Ok(())
}

/// Attempts, newest first.
pub(super) fn list(
    connection: &Connection,
    filter: &AttemptFilter,
    limit: usize,
) -> rusqlite::Result<Vec<KeptAttempt>> {
    let AttemptFilter { id, run, integration, endpoint, outcome, status, correlation_id, since, before } =
        filter;
    let text = |text: &Option<String>| text.clone().map(Value::Text);
    let of = [
        ("id = ?", text(id)),
        ("run = ?", run.as_ref().map(|run| Value::Text(run.to_string()))),
        ("integration = ?", text(integration)),
        ("endpoint = ?", text(endpoint)),
        ("outcome = ?", text(outcome)),
        ("status >= ?", status.map(|(from, _)| Value::Integer(from.into()))),
        ("status <= ?", status.map(|(_, to)| Value::Integer(to.into()))),
        ("correlation_id = ?", text(correlation_id)),
        ("at >= ?", since.map(|since| Value::Integer(millis(since)))),
        ("id < ?", text(before)),
    ];
    let (conditions, mut values): (Vec<&str>, Vec<Value>) =
        of.into_iter().filter_map(|(condition, value)| Some((condition, value?))).unzip();
    let such =
        if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    let columns = attempt_columns(id.is_some());
    let sql = format!("SELECT {columns} FROM attempts{such} ORDER BY id DESC LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(KeptAttempt {
            id: row.get(0)?,
            at: row.get(1)?,
            run: row.get(2)?,
            integration: row.get(3)?,
            endpoint: row.get(4)?,
            correlation_id: row.get(5)?,
            outcome: row.get(6)?,
            record: row.get(7)?,
            input: row.get(8)?,
        })
    };
    statement.query_map(params_from_iter(values), read)?.collect()
}

/// Lets go of what is old.
pub(super) fn forget_old(connection: &Connection, before: Wall, limit: usize) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM attempts WHERE id IN (SELECT id FROM attempts WHERE id < ?1 ORDER BY id LIMIT ?2)",
        )?
        .execute(params![youngest("att", before), i64::try_from(limit).unwrap_or(i64::MAX)])
}
