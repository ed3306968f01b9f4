//! What is written and read of the queue: runs that wait, and leases. Each may be done twice; a lease that is asked for
//! twice gives other runs the second time, and those of the first come back when their lease has run out.
//!
//! The table is empty now and has a hundred thousand rows a minute later, and a statement's plan is kept: it may have been made
//! when there was nothing to be gone through. So what is done often is put in words that leave no other way to a row than
//! the index by its run (`LATERAL`, `= ANY (ARRAY (…))`), and none that let it go through a part of the table that another index
//! has (`coalesce (lease_until, …)`).

use std::collections::{BTreeMap, HashMap, HashSet};

use causeway_actors::store::{Ticket, Unavailable};
use causeway_core::name::{IntegrationName, RunId};
use causeway_core::time::Wall;
use deadpool_postgres::Client;
use tokio_postgres::Row as Found;

use super::super::recent::Recent;
use super::super::rows::{LEASE, QueueCounts, SealedLease, SealedPark, Taken, UNFINISHED, millis, wall};
use super::super::turns;
use super::batch::Kind;
use super::database::{Alone, Ask, Database, Failed, rows, unavailable};
use super::runs::{each, limit_of, number, read_unfinished};
use crate::failpoint::Durable;

/// The rows of these runs that are held under these fences, locked: nobody else takes, puts off or ends them meanwhile. In one
/// order everywhere, and before the runs themselves: who waits for another's is never waited for in turn.
pub(super) const HELD: &str = "SELECT held.* FROM (SELECT * FROM UNNEST($1::text[], $2::bigint[]) AS pairs (run, fence) \
     ORDER BY run COLLATE \"C\") asked CROSS JOIN LATERAL \
     (SELECT * FROM queue WHERE queue.run = asked.run AND queue.fence = asked.fence FOR UPDATE) held";

/// The runs of a rank that are due, of each client by itself. Clients are found in the index one after the other, not
/// by going through the runs.
const DUE: &str = "WITH RECURSIVE lanes (lane) AS ( \
     (SELECT lane FROM queue WHERE integration = $1 AND rank = $2 AND lease_until IS NULL ORDER BY lane LIMIT 1) \
     UNION ALL SELECT (SELECT lane FROM queue WHERE integration = $1 AND rank = $2 AND lease_until IS NULL \
     AND lane > lanes.lane ORDER BY lane LIMIT 1) FROM lanes WHERE lanes.lane IS NOT NULL) \
     SELECT lanes.lane, due.run FROM lanes CROSS JOIN LATERAL (SELECT run, not_before FROM queue WHERE integration = $1 \
     AND rank = $2 AND lane = lanes.lane AND lease_until IS NULL AND not_before <= $3 ORDER BY not_before, run LIMIT $4) due \
     WHERE lanes.lane IS NOT NULL ORDER BY lanes.lane, due.not_before, due.run";

/// The runs of an integration that have been cancelled and not been put off since: their time is 0, so few others are gone through.
const CANCELLED: &str = "WITH RECURSIVE lanes (lane) AS ( \
     (SELECT lane FROM queue WHERE integration = $1 AND rank = 0 AND lease_until IS NULL ORDER BY lane LIMIT 1) \
     UNION ALL SELECT (SELECT lane FROM queue WHERE integration = $1 AND rank = 0 AND lease_until IS NULL \
     AND lane > lanes.lane ORDER BY lane LIMIT 1) FROM lanes WHERE lanes.lane IS NOT NULL) \
     SELECT waiting.run FROM lanes CROSS JOIN LATERAL (SELECT run FROM queue WHERE integration = $1 AND rank = 0 \
     AND lane = lanes.lane AND lease_until IS NULL AND not_before <= 0 AND cancel ORDER BY not_before, run LIMIT $2) waiting \
     WHERE lanes.lane IS NOT NULL LIMIT $2";

/// Leases runs that are due. `turn` says which lane goes first, and whether the lowest rank does for once.
pub(super) async fn lease(
    database: &Database,
    recent: &Recent,
    integration: &IntegrationName,
    (now, until): (Wall, Wall),
    limit: usize,
    turn: usize,
) -> Result<Vec<Taken>, Unavailable> {
    let leased = database.write(Durable::Lease, 1, async |client: &Client| {
        let mut due: Vec<String> = Vec::new();
        for rank in turns::ranks(turn) {
            if due.len() >= limit {
                break;
            }
            let room = limit_of(limit - due.len());
            let found = rows(client, DUE, &[&integration.as_str(), &rank, &millis(now), &room]).await?;
            let mut lanes: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for row in found {
                lanes.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
            }
            due.extend(turns::one_of_each(lanes.into_values().collect(), turn));
            due.truncate(limit);
        }
        take(client, recent, &due, until).await
    });
    leased.await.map_err(|error| unavailable(&error))
}

/// Leases runs that have been cancelled and not been put off since.
pub(super) async fn lease_cancelled(
    database: &Database,
    recent: &Recent,
    integration: &IntegrationName,
    until: Wall,
    limit: usize,
) -> Result<Vec<Taken>, Unavailable> {
    let leased = database.write(Durable::Lease, 1, async |client: &Client| {
        let found = rows(client, CANCELLED, &[&integration.as_str(), &limit_of(limit)]).await?;
        let ids = found.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
        take(client, recent, &ids, until).await
    });
    leased.await.map_err(|error| unavailable(&error))
}

/// Takes those that nobody else has or is about to have, in this order.
async fn take(client: &Client, recent: &Recent, due: &[String], until: Wall) -> Result<Vec<Taken>, Failed> {
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "WITH free AS (SELECT free.run FROM UNNEST($1::text[]) AS due (run) CROSS JOIN LATERAL (SELECT run FROM queue \
               WHERE queue.run = due.run AND coalesce(lease_until, 0) = 0 FOR UPDATE SKIP LOCKED) free) \
               UPDATE queue SET lease_until = $2, fence = fence + 1 WHERE run = ANY (ARRAY (SELECT run FROM free)) \
               RETURNING run, fence, cancel";
    let (mut taken, mut others): (HashMap<String, Taken>, Vec<String>) = (HashMap::new(), Vec::new());
    for row in rows(client, sql, &[&due, &millis(until)]).await? {
        let run: String = row.try_get(0)?;
        match recent.leased(&run, number(&row, "fence")?, row.try_get(2)?) {
            Some(leased) => drop(taken.insert(run, Taken::Recent(Box::new(leased)))),
            None => others.push(run),
        }
    }
    if !others.is_empty() {
        taken.extend(read(client, &others).await?);
    }
    Ok(due.iter().filter_map(|id| taken.remove(id)).collect())
}

/// What is on disk of runs that have been leased.
async fn read(client: &Client, leased: &[String]) -> Result<Vec<(String, Taken)>, Failed> {
    // What whoever had them before has written while these were about to be taken is seen now, and not in the same statement.
    let sql = format!(
        "SELECT {UNFINISHED}, {LEASE} FROM runs r JOIN progress p ON p.run = r.id \
         CROSS JOIN LATERAL (SELECT * FROM queue WHERE queue.run = r.id OFFSET 0) q WHERE r.id = ANY ($1)"
    );
    let found = rows(client, &sql, &[&leased]).await?;
    let sealed = |row: &Found| Ok((row.try_get("id")?, Taken::Sealed(Box::new(read_lease(row)?))));
    found.iter().map(sealed).collect()
}

fn read_lease(found: &Found) -> Result<SealedLease, Failed> {
    let first_try: Option<i64> = found.try_get("first_try")?;
    let ticket = Ticket {
        fence: number(found, "fence")?,
        tries: number(found, "tries")?,
        first_try: first_try.map(wall),
        is_async: found.try_get("is_async")?,
        is_resolved: found.try_get("resolved")?,
    };
    Ok(SealedLease { run: read_unfinished(found)?, ticket, cancelled: found.try_get("cancel")? })
}

/// Keeps leased runs; those that are no longer held.
pub(super) async fn heartbeat(
    database: &Database,
    runs: Vec<(RunId, u32)>,
    until: Wall,
) -> Result<Vec<RunId>, Unavailable> {
    let (ids, fences): (Vec<&str>, Vec<i64>) =
        runs.iter().map(|(id, fence)| (id.as_str(), i64::from(*fence))).unzip();
    let sql = format!(
        "WITH held AS ({HELD}) UPDATE queue SET lease_until = $3 \
         WHERE run = ANY (ARRAY (SELECT run FROM held WHERE lease_until IS NOT NULL)) RETURNING run, fence"
    );
    let kept = database.change(Durable::Heartbeat, &sql, &[&ids, &fences, &millis(until)]).await?;
    let kept: Vec<(String, i64)> = each(&kept, |row| Ok((row.try_get(0)?, row.try_get(1)?)))?;
    let kept: HashSet<(String, i64)> = kept.into_iter().collect();
    let lost = runs.iter().filter(|(id, fence)| !kept.contains(&(id.to_string(), i64::from(*fence))));
    Ok(lost.map(|(id, _)| id.clone()).collect())
}

/// Puts runs off; `false` for those that somebody else has.
pub(super) struct Parks;

impl Kind for Parks {
    type Call = SealedPark;
    type Done = bool;

    async fn write(database: &Database, calls: &[SealedPark]) -> Result<Vec<bool>, Failed> {
        let run: Vec<&str> = calls.iter().map(|park| park.id.as_str()).collect();
        let fences: Vec<i64> = calls.iter().map(|park| i64::from(park.ticket.fence)).collect();
        let queues: Vec<&str> = calls.iter().map(|park| park.integration.as_str()).collect();
        let times: Vec<i64> = calls.iter().map(|park| park.not_before).collect();
        let tries: Vec<i64> = calls.iter().map(|park| i64::from(park.ticket.tries)).collect();
        let firsts: Vec<Option<i64>> = calls.iter().map(|park| park.ticket.first_try.map(millis)).collect();
        let revisions: Vec<i64> = calls.iter().map(|park| i64::from(park.revision)).collect();
        let states: Vec<&[u8]> = calls.iter().map(|park| park.state.as_slice()).collect();
        let sql = format!(
            "WITH held AS ({HELD}), put_off AS (INSERT INTO queue AS old \
             (run, integration, rank, lane, not_before, fence, tries, first_try, cancel) SELECT DISTINCT ON (run) \
             run, new.integration, rank, lane, new.not_before, fence, new.tries, new.first_try, cancel FROM held \
             JOIN UNNEST($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[]) \
             AS new (run, fence, integration, not_before, tries, first_try) USING (run, fence) \
             ON CONFLICT (run) DO UPDATE SET integration = excluded.integration, not_before = excluded.not_before, \
             lease_until = NULL, tries = excluded.tries, first_try = excluded.first_try \
             RETURNING old.run, old.fence, old.integration) \
             UPDATE progress SET status = 'waiting', revision = new.revision, state = new.state \
             FROM put_off JOIN UNNEST($1::text[], $2::bigint[], $7::bigint[], $8::bytea[]) \
             AS new (run, fence, revision, state) USING (run, fence) \
             WHERE progress.run = put_off.run AND progress.run = ANY ($1) RETURNING put_off.run, put_off.fence"
        );
        let params: [super::database::Param<'_>; 8] =
            [&run, &fences, &queues, &times, &tries, &firsts, &revisions, &states];
        let ask = Alone { database, what: Durable::Park, calls: calls.len() };
        let parked = ask.rows(&sql, &params).await?;
        let parked: HashSet<(String, i64)> =
            parked.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, Failed>>()?;
        Ok(calls
            .iter()
            .map(|park| parked.contains(&(park.id.clone(), i64::from(park.ticket.fence))))
            .collect())
    }
}

/// Has a waiting run cancelled as soon as it is leased, for which it is due.
pub(super) async fn cancel(database: &Database, id: &RunId) -> Result<bool, Unavailable> {
    let sql =
        "UPDATE queue SET cancel = true, not_before = 0, rank = 0 WHERE run = $1 AND lease_until IS NULL";
    Ok(database.count(Durable::Cancel, sql, &[&id.as_str()]).await? == 1)
}

/// Takes back leases that have run out. What had begun under one stays under way.
pub(super) async fn release(database: &Database, by: Wall) -> Result<usize, Unavailable> {
    let sql = "WITH over AS (SELECT run FROM queue WHERE lease_until IS NOT NULL AND lease_until <= $1 \
               ORDER BY run FOR UPDATE), \
               free AS (UPDATE queue SET lease_until = NULL WHERE run = ANY (ARRAY (SELECT run FROM over)) RETURNING run) \
               UPDATE progress SET status = 'running' WHERE run = ANY (ARRAY (SELECT run FROM free))";
    database.count(Durable::Release, sql, &[&millis(by)]).await
}

/// What waits at the integrations.
pub(super) async fn depths(
    database: &Database,
    now: Wall,
) -> Result<Vec<(String, QueueCounts)>, Unavailable> {
    let sql = "SELECT integration, count(*) FILTER (WHERE lease_until IS NULL AND not_before <= $1) AS pending, \
               count(*) FILTER (WHERE lease_until IS NULL AND not_before > $1) AS delayed, \
               count(*) FILTER (WHERE lease_until IS NOT NULL) AS leased, \
               min(not_before) FILTER (WHERE lease_until IS NULL AND not_before <= $1) AS oldest \
               FROM queue GROUP BY integration ORDER BY integration";
    let found = database.read(sql, &[&millis(now)]).await?;
    each(&found, |row| {
        let count = |column| Ok::<_, Failed>(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or(0));
        let oldest: Option<i64> = row.try_get("oldest")?;
        let counts = QueueCounts {
            pending: count("pending")?,
            delayed: count("delayed")?,
            leased: count("leased")?,
            oldest: oldest.map(wall),
        };
        Ok((row.try_get("integration")?, counts))
    })
}
