//! What is written and read of runs. Each function is one call's part of a transaction, and may be run twice.

use causeway_actors::store::RunFilter;
use causeway_core::name::RunId;
use causeway_core::operation::RunStatus;
use causeway_core::time::Wall;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::super::rows::{
    BESIDE, End, RECORD, Row, RowQueue, SealedKnown, SealedRecord, SealedUnfinished, Standing, UNFINISHED,
    millis, shown_as, youngest,
};
use super::dead;

/// The fence of the run `?1`: while it is queued, that of its row there; when it has ended, the one under which it did; and none
/// before, of one whose caller waits.
const FENCE: &str = "coalesce((SELECT fence FROM queue WHERE run = ?1), (SELECT fence FROM ends WHERE run = ?1), \
                     (SELECT 0 FROM progress WHERE run = ?1))";

/// What becomes of the end that a run has had before.
const IF_ENDED: &str = "ON CONFLICT (run) DO UPDATE SET status = excluded.status, at = excluded.at, fence = excluded.fence, \
                        claim_until = excluded.claim_until, answer_status = excluded.answer_status, answer = excluded.answer";

/// Writes a run down; `Some` is the run that its key belongs to.
pub(super) fn claim(connection: &Connection, row: &Row) -> rusqlite::Result<Option<SealedKnown>> {
    // Asked again, or the key is taken, or the key was taken and has run out.
    for _ in 0..2 {
        if insert(connection, row)? {
            return Ok(None);
        }
        let same = connection.prepare_cached("SELECT 1 FROM runs WHERE id = ?1")?.exists([&row.id])?;
        let Some(claim) = row.claim.as_ref().filter(|_| !same) else { return Ok(None) };
        let let_go = connection
            .prepare_cached(
                "UPDATE runs SET claim = NULL WHERE claim = ?1 AND EXISTS \
                 (SELECT 1 FROM ends WHERE run = runs.id AND claim_until <= ?2)",
            )?
            .execute(params![claim.scope, row.created_at])?;
        if let_go == 0 {
            return known(connection, &claim.scope);
        }
    }
    Ok(None)
}

fn insert(connection: &Connection, row: &Row) -> rusqlite::Result<bool> {
    let (claim, queue) = (row.claim.as_ref(), row.queue.as_ref());
    let inserted = connection
        .prepare_cached(
            "INSERT INTO runs (id, client, operation, version, correlation_id, trace, priority, created_at, part, \
             is_async, claim, fingerprint, claim_retention, configuration, input) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) \
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            row.id,
            row.client,
            row.operation,
            row.version,
            row.correlation_id,
            row.trace,
            row.priority,
            row.created_at,
            row.part,
            queue.is_some(),
            claim.map(|claim| claim.scope),
            claim.map(|claim| claim.fingerprint),
            claim.map(|claim| claim.retention),
            row.configuration.0,
            row.input,
        ])?;
    if inserted == 0 {
        return Ok(false);
    }
    let status = if queue.is_some() { RunStatus::Accepted } else { RunStatus::Running };
    connection
        .prepare_cached(
            "INSERT INTO progress (run, status, waited_for, revision, state) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![row.id, status.as_str(), queue.is_none(), row.revision, row.state])?;
    if let Some(queue) = queue {
        enqueue(connection, &row.id, queue)?;
    }
    insert_all(connection, &row.children)?;
    Ok(true)
}

fn enqueue(connection: &Connection, id: &str, queue: &RowQueue) -> rusqlite::Result<()> {
    let RowQueue { integration, rank, lane, not_before } = queue;
    connection
        .prepare_cached(
            "INSERT INTO queue (run, integration, rank, lane, not_before, fence, tries, cancel) \
             VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0)",
        )?
        .execute(params![id, integration, rank, lane, not_before])
        .map(drop)
}

/// Writes runs in the background down; those that are there already stay as they are.
fn insert_all(connection: &Connection, children: &[Row]) -> rusqlite::Result<()> {
    children.iter().try_for_each(|child| insert(connection, child).map(drop))
}

fn known(connection: &Connection, scope: &[u8; 32]) -> rusqlite::Result<Option<SealedKnown>> {
    known_at(connection, scope, i64::MIN)
}

/// The run that a key belongs to at this time.
pub(super) fn known_at(
    connection: &Connection,
    scope: &[u8; 32],
    at: i64,
) -> rusqlite::Result<Option<SealedKnown>> {
    connection
        .prepare_cached(
            "SELECT r.id, r.fingerprint, e.answer_status, e.answer FROM runs r LEFT JOIN ends e ON e.run = r.id \
             WHERE r.claim = ?1 AND (e.claim_until IS NULL OR e.claim_until > ?2)",
        )?
        .query_row(params![scope, at], |row| {
            let answer: Option<u16> = row.get(2)?;
            let body: Option<Vec<u8>> = row.get(3)?;
            Ok(SealedKnown { id: row.get(0)?, fingerprint: row.get(1)?, answer: answer.zip(body) })
        })
        .optional()
}

/// Writes down how a run stands, unless something newer is there; `false` where somebody else has it.
pub(super) fn record(connection: &Connection, standing: &Standing) -> rusqlite::Result<bool> {
    let Standing { id, fence, revision, state, children } = standing;
    let written = connection
        .prepare_cached(&format!(
            "UPDATE progress SET state = ?2, revision = ?3 \
             WHERE run = ?1 AND {FENCE} = ?4 AND revision < ?3 AND status <> 'ended'"
        ))?
        .execute(params![id, state, revision, fence])?;
    // Something newer is there, or somebody else has it.
    if written == 0 && !is_ours(connection, id, *fence)? {
        return Ok(false);
    }
    insert_all(connection, children)?;
    Ok(true)
}

fn is_ours(connection: &Connection, id: &str, fence: u32) -> rusqlite::Result<bool> {
    connection.prepare_cached(&format!("SELECT 1 WHERE {FENCE} = ?2"))?.exists(params![id, fence])
}

/// Ends a run; `false` where somebody else has it.
pub(super) fn finish(connection: &Connection, end: &End) -> rusqlite::Result<bool> {
    let end_it = |or: &str, if_ended: &str| {
        connection
            .prepare_cached(&format!(
                "INSERT {or} INTO ends (run, status, at, fence, claim_until, answer_status, answer) \
                 SELECT id, ?2, ?3, ?4, ?3 + claim_retention, ?5, ?6 FROM runs WHERE id = ?1 AND {FENCE} = ?4 {if_ended}"
            ))?
            .execute(params![end.id, end.status, end.at, end.fence, end.answer_status, end.answer])
    };
    // Most have not ended before. (`OR IGNORE` keeps no copies of pages, as what could take itself back would.)
    if end_it("OR IGNORE", "")? == 0 && end_it("", IF_ENDED)? == 0 {
        return Ok(false);
    }
    match &end.state {
        Some(state) => connection
            .prepare_cached(
                "UPDATE progress SET status = 'ended', waited_for = 0, state = ?2 WHERE run = ?1",
            )?
            .execute(params![end.id, state])?,
        None => connection.prepare_cached("DELETE FROM progress WHERE run = ?1")?.execute([&end.id])?,
    };
    dequeue(connection, &end.id)?;
    insert_all(connection, &end.children)?;
    if let Some(death) = &end.death {
        dead::bury(connection, end, death)?;
    }
    Ok(true)
}

/// It is over, or there no more: it waits no longer and is executed no longer.
fn dequeue(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM queue WHERE run = ?1")?.execute([id]).map(drop)
}

/// Takes a run back.
pub(super) fn forget(connection: &Connection, id: &RunId) -> rusqlite::Result<()> {
    delete_unless_ended(connection, id.as_str(), "1").map(drop)
}

/// Takes back runs that were refused; how many were there. One that somebody has leased stays.
pub(super) fn take_back(connection: &Connection, ids: &[String]) -> rusqlite::Result<usize> {
    let unbegun = format!("{FENCE} = 0");
    ids.iter().try_fold(0, |taken, id| Ok(taken + delete_unless_ended(connection, id, &unbegun)?))
}

fn delete_unless_ended(connection: &Connection, id: &str, and: &str) -> rusqlite::Result<usize> {
    let sql = format!("DELETE FROM progress WHERE run = ?1 AND status <> 'ended' AND {and}");
    let deleted = connection.prepare_cached(&sql)?.execute([id])?;
    if deleted > 0 {
        dequeue(connection, id)?;
        connection.prepare_cached("DELETE FROM runs WHERE id = ?1")?.execute([id])?;
    }
    Ok(deleted)
}

/// Deletes runs that ended before then, the oldest first; one whose key is still kept stays with it.
pub(super) fn forget_old(
    connection: &Connection,
    before: Wall,
    now: Wall,
    limit: usize,
) -> rusqlite::Result<usize> {
    // Ids are in the order of their time, so what ended before then is among what began before then: younger runs are not
    // even looked at.
    let youngest = youngest("run", before);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut old = connection.prepare_cached(
        "SELECT r.id FROM runs r CROSS JOIN ends e ON e.run = r.id WHERE r.id < ?3 AND e.at < ?1 \
         AND (r.claim IS NULL OR e.claim_until <= ?4) AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE run = r.id) \
         ORDER BY r.id LIMIT ?2",
    )?;
    let old = old.query_map(params![millis(before), limit, youngest, millis(now)], |row| row.get(0))?;
    let old: Vec<String> = old.collect::<rusqlite::Result<_>>()?;
    for id in &old {
        for table in ["runs WHERE id", "ends WHERE run", "progress WHERE run"] {
            connection.prepare_cached(&format!("DELETE FROM {table} = ?1"))?.execute([id])?;
        }
    }
    Ok(old.len())
}

/// Reads a run whose columns begin at this place.
pub(super) fn record_at(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<SealedRecord> {
    let (status, body): (Option<u16>, Option<Vec<u8>>) = (row.get(at + 8)?, row.get(at + 9)?);
    Ok(SealedRecord {
        id: row.get(at)?,
        client: row.get(at + 1)?,
        operation: row.get(at + 2)?,
        version: row.get(at + 3)?,
        correlation_id: row.get(at + 4)?,
        status: row.get(at + 5)?,
        created_at: row.get(at + 6)?,
        finished_at: row.get(at + 7)?,
        answer: status.zip(body),
        recovered: row.get(at + 10)?,
    })
}

/// One run.
pub(super) fn one(connection: &Connection, id: &RunId) -> rusqlite::Result<Option<SealedRecord>> {
    connection
        .prepare_cached(&format!("SELECT {RECORD} FROM runs r {BESIDE} WHERE r.id = ?1"))?
        .query_row([id.as_str()], |row| record_at(row, 0))
        .optional()
}

/// Runs, newest first.
pub(super) fn list(
    connection: &Connection,
    filter: &RunFilter,
    limit: usize,
) -> rusqlite::Result<Vec<SealedRecord>> {
    let (sql, values) = listing(filter, limit);
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(params_from_iter(values), |row| record_at(row, 0))?.collect()
}

fn listing(filter: &RunFilter, limit: usize) -> (String, Vec<Value>) {
    let mut conditions: Vec<String> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    let mut must = |condition: &'static str, value: Value| {
        conditions.push(condition.to_owned());
        values.push(value);
    };
    if let Some(client) = &filter.client {
        must("r.client IS ?", client.as_ref().map_or(Value::Null, |name| Value::Text(name.to_string())));
    }
    if let Some(operation) = &filter.operation {
        must("r.operation = ?", Value::Text(operation.to_string()));
    }
    if let Some(correlation_id) = &filter.correlation_id {
        must("r.correlation_id = ?", Value::Text(correlation_id.to_string()));
    }
    if let Some(since) = filter.since {
        must("r.created_at >= ?", Value::Integer(millis(since)));
    }
    if filter.recovered {
        conditions.push("r.recovered = 1".to_owned());
    }
    let (stands, id) = filter.status.map(shown_as).unzip();
    conditions.extend(stands);
    let id = id.unwrap_or("r.id");
    if let Some(before) = &filter.before {
        conditions.push(format!("{id} < ?"));
        values.push(Value::Text(before.to_string()));
    }
    values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    let such =
        if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    (format!("SELECT {RECORD} FROM runs r {BESIDE}{such} ORDER BY {id} DESC LIMIT ?"), values)
}

/// Marks those that a former life had under way.
pub(super) fn mark_recovered(connection: &Connection) -> rusqlite::Result<usize> {
    let waited_for = "UPDATE runs SET recovered = 1 WHERE id IN (SELECT run FROM progress WHERE waited_for)";
    let leased =
        "UPDATE runs SET recovered = 1 WHERE id IN (SELECT run FROM queue WHERE lease_until IS NOT NULL)";
    Ok(connection.execute(waited_for, [])? + connection.execute(leased, [])?)
}

/// The runs that have not ended and are not queued, oldest first.
pub(super) fn unfinished_ids(connection: &Connection) -> rusqlite::Result<Vec<RunId>> {
    let mut statement = connection.prepare("SELECT run FROM progress WHERE waited_for ORDER BY run")?;
    statement.query_map([], |row| row.get::<_, String>(0).map(RunId::new))?.collect()
}

/// A run that has not ended.
pub(super) fn unfinished(connection: &Connection, id: &RunId) -> rusqlite::Result<Option<SealedUnfinished>> {
    let sql = format!("SELECT {UNFINISHED} FROM runs r {BESIDE} WHERE r.id = ?1 AND p.status <> 'ended'");
    connection.prepare_cached(&sql)?.query_row([id.as_str()], read_unfinished).optional()
}

/// Reads what there is to be known to go on with a run: the columns of [`UNFINISHED`].
pub(super) fn read_unfinished(row: &rusqlite::Row<'_>) -> rusqlite::Result<SealedUnfinished> {
    let (queue, not_before): (Option<String>, Option<i64>) = (row.get(12)?, row.get(13)?);
    Ok(SealedUnfinished {
        id: row.get(0)?,
        client: row.get(1)?,
        operation: row.get(2)?,
        version: row.get(3)?,
        correlation_id: row.get(4)?,
        trace: row.get(5)?,
        priority: row.get(6)?,
        created_at: row.get(7)?,
        configuration: row.get(8)?,
        input: row.get(9)?,
        state: row.get(10)?,
        part: row.get(11)?,
        queue: queue.zip(not_before),
    })
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;

    #[test]
    fn lists_by_status_go_by_an_index() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::bring_up_to_date(&mut connection).unwrap();
        for status in RunStatus::ALL {
            for before in [None, Some(RunId::new("run_5"))] {
                let filter = RunFilter { status: Some(status), before, ..RunFilter::default() };
                let (sql, values) = listing(&filter, 10);
                let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
                let steps = plan.query_map(params_from_iter(values), |row| row.get::<_, String>("detail"));
                let steps: Vec<String> = steps.unwrap().map(Result::unwrap).collect();
                let goes_by = match status {
                    RunStatus::Accepted | RunStatus::Running => {
                        "SEARCH r USING INDEX sqlite_autoindex_runs_1 (id=?)"
                    }
                    RunStatus::Waiting => " p USING COVERING INDEX progress_waiting",
                    RunStatus::Succeeded => " r USING INDEX sqlite_autoindex_runs_1",
                    RunStatus::Partial | RunStatus::Failed | RunStatus::Unknown | RunStatus::Cancelled => {
                        "SEARCH e USING INDEX ends_unusual (status=?"
                    }
                };
                assert!(steps.iter().any(|step| step.contains(goes_by)), "{status:?}: {steps:?}");
                assert!(!steps.iter().any(|step| step.contains("ORDER BY")), "{status:?}: {steps:?}");
            }
        }
    }
}
