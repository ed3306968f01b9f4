//! What is written and read of the queue: runs that wait, and leases. Each function is one call's part of a transaction,
//! and may be run twice; a lease that is asked for twice gives other runs the second time, and those of the first come back
//! when their lease has run out.

use causeway_actors::store::Ticket;
use causeway_core::name::{IntegrationName, RunId};
use causeway_core::time::Wall;
use rusqlite::{Connection, OptionalExtension, params};

use super::super::recent::Recent;
use super::super::rows::{
    BESIDE, LEASE, QueueCounts, SealedLease, SealedPark, Taken, UNFINISHED, millis, wall,
};
use super::super::turns;
use super::runs::read_unfinished;

/// Leases runs that are due. `turn` says which lane goes first, and whether the lowest rank does for once, so that it never
/// starves.
pub(super) fn lease(
    connection: &Connection,
    recent: &Recent,
    integration: &IntegrationName,
    (now, until): (Wall, Wall),
    limit: usize,
    turn: usize,
) -> rusqlite::Result<Vec<Taken>> {
    let mut due: Vec<String> = Vec::new();
    for rank in turns::ranks(turn) {
        if due.len() >= limit {
            break;
        }
        let mut lanes = Vec::new();
        for lane in lanes_of(connection, integration, rank)? {
            lanes.push(due_in(connection, integration, rank, &lane, now, limit - due.len())?);
        }
        due.extend(turns::one_of_each(lanes, turn));
        due.truncate(limit);
    }
    due.iter().filter_map(|id| take(connection, recent, id, until).transpose()).collect()
}

/// Leases runs that have been cancelled and not been put off since: their time is 0, so few others are gone through.
pub(super) fn lease_cancelled(
    connection: &Connection,
    recent: &Recent,
    integration: &IntegrationName,
    until: Wall,
    limit: usize,
) -> rusqlite::Result<Vec<Taken>> {
    let mut cancelled = connection.prepare_cached(
        "SELECT run FROM queue WHERE integration = ?1 AND rank = 0 AND lane = ?2 AND lease_until IS NULL \
         AND not_before <= 0 AND cancel = 1 ORDER BY not_before, run LIMIT ?3",
    )?;
    let mut ids: Vec<String> = Vec::new();
    for lane in lanes_of(connection, integration, 0)? {
        let room = i64::try_from(limit - ids.len()).unwrap_or(i64::MAX);
        for id in cancelled.query_map(params![integration.as_str(), lane, room], |row| row.get(0))? {
            ids.push(id?);
        }
    }
    ids.iter().filter_map(|id| take(connection, recent, id, until).transpose()).collect()
}

/// The clients that have runs of a rank waiting; each is found in the index, not by going through the runs.
fn lanes_of(
    connection: &Connection,
    integration: &IntegrationName,
    rank: i64,
) -> rusqlite::Result<Vec<String>> {
    let mut next = connection.prepare_cached(
        "SELECT lane FROM queue WHERE integration = ?1 AND rank = ?2 AND lane > ?3 AND lease_until IS NULL ORDER BY lane LIMIT 1",
    )?;
    let mut lanes = Vec::new();
    // Before every name, and before none: those of no client are in the lane "-".
    let mut last = String::new();
    while let Some(lane) =
        next.query_row(params![integration.as_str(), rank, last], |row| row.get::<_, String>(0)).optional()?
    {
        last.clone_from(&lane);
        lanes.push(lane);
    }
    Ok(lanes)
}

fn due_in(
    connection: &Connection,
    integration: &IntegrationName,
    rank: i64,
    lane: &str,
    now: Wall,
    limit: usize,
) -> rusqlite::Result<Vec<String>> {
    let mut due = connection.prepare_cached(
        "SELECT run FROM queue WHERE integration = ?1 AND rank = ?2 AND lane = ?3 AND lease_until IS NULL \
         AND not_before <= ?4 ORDER BY not_before, run LIMIT ?5",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    due.query_map(params![integration.as_str(), rank, lane, millis(now), limit], |row| row.get(0))?.collect()
}

fn take(connection: &Connection, recent: &Recent, id: &str, until: Wall) -> rusqlite::Result<Option<Taken>> {
    // `OR FAIL`: what a statement that fails leaves goes with its group, so it keeps no copies of pages to take itself back.
    let taken = connection
        .prepare_cached(
            "UPDATE OR FAIL queue SET lease_until = ?2, fence = fence + 1 WHERE run = ?1 AND lease_until IS NULL \
             RETURNING fence, cancel",
        )?
        .query_row(params![id, millis(until)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((fence, cancelled)) = taken else { return Ok(None) };
    if let Some(leased) = recent.leased(id, fence, cancelled) {
        return Ok(Some(Taken::Recent(Box::new(leased))));
    }
    connection
        .prepare_cached(&format!("SELECT {UNFINISHED}, {LEASE} FROM runs r {BESIDE} WHERE r.id = ?1"))?
        .query_row([id], |row| {
            let first_try: Option<i64> = row.get(16)?;
            let ticket = Ticket {
                fence: row.get(14)?,
                tries: row.get(15)?,
                first_try: first_try.map(wall),
                is_async: row.get(18)?,
                is_resolved: row.get(19)?,
            };
            let leased = SealedLease { run: read_unfinished(row)?, ticket, cancelled: row.get(17)? };
            Ok(Taken::Sealed(Box::new(leased)))
        })
        .optional()
}

/// Keeps leased runs; those that are no longer held.
pub(super) fn heartbeat(
    connection: &Connection,
    runs: &[(RunId, u32)],
    until: Wall,
) -> rusqlite::Result<Vec<RunId>> {
    let mut keep = connection.prepare_cached(
        "UPDATE queue SET lease_until = ?3 WHERE run = ?1 AND fence = ?2 AND lease_until IS NOT NULL",
    )?;
    let mut lost = Vec::new();
    for (id, fence) in runs {
        if keep.execute(params![id.as_str(), fence, millis(until)])? == 0 {
            lost.push(id.clone());
        }
    }
    Ok(lost)
}

/// Puts a run off, if it is still held.
pub(super) fn park(connection: &Connection, park: &SealedPark) -> rusqlite::Result<bool> {
    let Ticket { fence, tries, first_try, .. } = park.ticket;
    let held = connection
        .prepare_cached(
            "UPDATE queue SET integration = ?3, not_before = ?4, lease_until = NULL, tries = ?5, first_try = ?6 \
             WHERE run = ?1 AND fence = ?2",
        )?
        .execute(params![park.id, fence, park.integration, park.not_before, tries, first_try.map(millis)])?;
    if held == 0 {
        return Ok(false);
    }
    connection
        .prepare_cached("UPDATE progress SET status = 'waiting', revision = ?2, state = ?3 WHERE run = ?1")?
        .execute(params![park.id, park.revision, park.state])?;
    Ok(true)
}

/// Has a waiting run cancelled as soon as it is leased, for which it is due.
pub(super) fn cancel(connection: &Connection, id: &RunId) -> rusqlite::Result<bool> {
    let marked = connection
        .prepare_cached(
            "UPDATE queue SET cancel = 1, not_before = 0, rank = 0 WHERE run = ?1 AND lease_until IS NULL",
        )?
        .execute([id.as_str()])?;
    Ok(marked == 1)
}

/// Takes back leases that have run out. What had begun under one stays under way.
pub(super) fn release(connection: &Connection, by: Wall) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "UPDATE progress SET status = 'running' WHERE status <> 'running' AND run IN \
             (SELECT run FROM queue WHERE lease_until IS NOT NULL AND lease_until <= ?1)",
        )?
        .execute([millis(by)])?;
    connection
        .prepare_cached(
            "UPDATE queue SET lease_until = NULL WHERE lease_until IS NOT NULL AND lease_until <= ?1",
        )?
        .execute([millis(by)])
}

/// What waits at the integrations.
pub(super) fn depths(connection: &Connection, now: Wall) -> rusqlite::Result<Vec<(String, QueueCounts)>> {
    let mut depths: std::collections::BTreeMap<String, QueueCounts> = std::collections::BTreeMap::new();
    let mut waiting = connection.prepare_cached(
        "SELECT integration, sum(not_before <= ?1), sum(not_before > ?1), min(not_before) FROM queue \
         WHERE lease_until IS NULL GROUP BY integration",
    )?;
    let counted = waiting.query_map([millis(now)], |row| {
        let oldest: i64 = row.get(3)?;
        let (pending, delayed): (i64, i64) = (row.get(1)?, row.get(2)?);
        let oldest = (pending > 0).then(|| wall(oldest));
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok((row.get(0)?, QueueCounts { pending: count(pending), delayed: count(delayed), leased: 0, oldest }))
    })?;
    for row in counted {
        let (queue, counts) = row?;
        depths.insert(queue, counts);
    }
    let mut leased = connection.prepare_cached(
        "SELECT integration, count(*) FROM queue WHERE lease_until IS NOT NULL GROUP BY integration",
    )?;
    for row in leased.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))? {
        let (queue, count) = row?;
        depths.entry(queue).or_default().leased = u64::try_from(count).unwrap_or(0);
    }
    Ok(depths.into_iter().collect())
}
