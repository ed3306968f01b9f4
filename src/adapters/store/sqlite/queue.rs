//! What is written and read of the queue: runs that wait, and leases. Each function is one call's part of a transaction,
//! and may be run twice; a lease that is asked for twice gives other runs the second time, and those of the first come back
//! when their lease has run out.

use causeway_actors::store::Ticket;
use causeway_core::name::{IntegrationName, RunId};
use causeway_core::time::Wall;
use rusqlite::{Connection, OptionalExtension, params};

use super::super::rows::{QueueCounts, SealedLease, SealedPark, UNFINISHED, millis, wall};
use super::super::turns;
use super::runs::read_unfinished;

/// Leases runs that are due. `turn` says which lane goes first, and whether the lowest rank does for once, so that it never
/// starves.
pub(super) fn lease(
    connection: &Connection,
    integration: &IntegrationName,
    now: Wall,
    until: Wall,
    limit: usize,
    turn: usize,
) -> rusqlite::Result<Vec<SealedLease>> {
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
    due.iter().filter_map(|id| take(connection, id, until).transpose()).collect()
}

/// The clients that have runs of a rank waiting; each is found in the index, not by going through the runs.
fn lanes_of(
    connection: &Connection,
    integration: &IntegrationName,
    rank: i64,
) -> rusqlite::Result<Vec<String>> {
    let mut next = connection.prepare_cached(
        "SELECT lane FROM runs WHERE queue = ?1 AND rank = ?2 AND lane > ?3 AND lease_until IS NULL ORDER BY lane LIMIT 1",
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
        "SELECT id FROM runs WHERE queue = ?1 AND rank = ?2 AND lane = ?3 AND lease_until IS NULL AND not_before <= ?4 \
         ORDER BY not_before, id LIMIT ?5",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    due.query_map(params![integration.as_str(), rank, lane, millis(now), limit], |row| row.get(0))?.collect()
}

fn take(connection: &Connection, id: &str, until: Wall) -> rusqlite::Result<Option<SealedLease>> {
    connection
        .prepare_cached(
            "UPDATE runs SET lease_until = ?2, fence = fence + 1, status = 'running' WHERE id = ?1 AND lease_until IS NULL",
        )?
        .execute(params![id, millis(until)])?;
    connection
        .prepare_cached(&format!(
            "SELECT {UNFINISHED}, fence, tries, first_try, cancel, is_async, resolved FROM runs WHERE id = ?1"
        ))?
        .query_row([id], |row| {
            let first_try: Option<i64> = row.get("first_try")?;
            let ticket = Ticket {
                fence: row.get("fence")?,
                tries: row.get("tries")?,
                first_try: first_try.map(wall),
                is_async: row.get("is_async")?,
                is_resolved: row.get("resolved")?,
            };
            Ok(SealedLease { run: read_unfinished(row)?, ticket, cancelled: row.get("cancel")? })
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
        "UPDATE runs SET lease_until = ?3 WHERE id = ?1 AND fence = ?2 AND lease_until IS NOT NULL",
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
    let parked = connection
        .prepare_cached(
            "UPDATE runs SET status = 'waiting', queue = ?3, not_before = ?4, lease_until = NULL, tries = ?5, first_try = ?6, \
             revision = ?7, state = ?8 WHERE id = ?1 AND fence = ?2 AND finished_at IS NULL",
        )?
        .execute(params![
            park.id,
            fence,
            park.integration,
            park.not_before,
            tries,
            first_try.map(millis),
            park.revision,
            park.state,
        ])?;
    Ok(parked == 1)
}

/// Has a waiting run cancelled when its turn comes, which is now.
pub(super) fn cancel(connection: &Connection, id: &RunId) -> rusqlite::Result<bool> {
    let marked = connection
        .prepare_cached(
            "UPDATE runs SET cancel = 1, not_before = 0, rank = 0 WHERE id = ?1 AND queue IS NOT NULL AND lease_until IS NULL",
        )?
        .execute([id.as_str()])?;
    Ok(marked == 1)
}

/// Takes back leases that have run out.
pub(super) fn release(connection: &Connection, by: Wall) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "UPDATE runs SET lease_until = NULL WHERE lease_until IS NOT NULL AND lease_until <= ?1",
        )?
        .execute([millis(by)])
}

/// What waits at the integrations.
pub(super) fn depths(connection: &Connection, now: Wall) -> rusqlite::Result<Vec<(String, QueueCounts)>> {
    let mut depths: std::collections::BTreeMap<String, QueueCounts> = std::collections::BTreeMap::new();
    let mut waiting = connection.prepare_cached(
        "SELECT queue, sum(not_before <= ?1), sum(not_before > ?1), min(not_before) FROM runs \
         WHERE queue IS NOT NULL AND lease_until IS NULL GROUP BY queue",
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
        "SELECT queue, count(*) FROM runs WHERE lease_until IS NOT NULL AND queue IS NOT NULL GROUP BY queue",
    )?;
    for row in leased.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))? {
        let (queue, count) = row?;
        depths.entry(queue).or_default().leased = u64::try_from(count).unwrap_or(0);
    }
    Ok(depths.into_iter().collect())
}
