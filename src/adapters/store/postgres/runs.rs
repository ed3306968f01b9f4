//! What is written and read of runs: many at once, in few statements. Each may be done twice.

use std::collections::{HashMap, HashSet};

use causeway_actors::store::{RunFilter, Unavailable};
use causeway_core::name::RunId;
use causeway_core::operation::RunStatus;
use causeway_core::time::Wall;
use deadpool_postgres::Client;
use tokio_postgres::Row as Found;

use super::super::rows::{
    End, RECORD, RUNS, Row, SealedKnown, SealedRecord, SealedUnfinished, Standing, UNFINISHED, millis,
    shown_as, youngest,
};
use super::batch::Kind;
use super::database::{Database, Failed, Param, execute, rows, unavailable};
use super::dead;
use super::queue::HELD;
use crate::failpoint::Durable;

/// How often a claim is tried whose key is let go of meanwhile.
const TRIES: usize = 4;

/// A whole number that is never negative.
pub(super) fn number(found: &Found, column: &'static str) -> Result<u32, Failed> {
    u32::try_from(found.try_get::<_, i64>(column)?).map_err(|_| Failed::Unreadable(column))
}

fn digest(bytes: &[u8], what: &'static str) -> Result<[u8; 32], Failed> {
    bytes.try_into().map_err(|_| Failed::Unreadable(what))
}

pub(super) fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Writes runs down; what comes of each is the run that its key belongs to, if it is another.
pub(super) struct Claims;

impl Kind for Claims {
    const WHAT: Durable = Durable::Claim;
    type Call = Row;
    type Done = Option<SealedKnown>;

    async fn write(client: &Client, calls: &[Row]) -> Result<Vec<Self::Done>, Failed> {
        let mut done: Vec<Option<Self::Done>> = calls.iter().map(|_| None).collect();
        for _ in 0..TRIES {
            let left: Vec<&Row> =
                calls.iter().zip(&done).filter(|(_, done)| done.is_none()).map(|(row, _)| row).collect();
            if left.is_empty() {
                break;
            }
            let inserted = insert(client, left.clone()).await?;
            let missed: Vec<&Row> = left.into_iter().filter(|row| !inserted.contains(&row.id)).collect();
            let holders = holders(client, &missed).await?;
            for (row, done) in calls.iter().zip(&mut done).filter(|(_, done)| done.is_none()) {
                if inserted.contains(&row.id) {
                    *done = Some(None);
                } else {
                    *done = holders.of(row);
                }
            }
            holders.let_go(client, &missed).await?;
        }
        // Its key came and went with each try: not ours, and nobody's that we could name.
        done.into_iter().map(|done| done.ok_or(Failed::Connection("a key is in use".to_owned()))).collect()
    }
}

/// Who holds the keys of runs that could not be inserted, and which of these were there already.
struct Holders {
    there: HashSet<String>,
    by_claim: HashMap<Vec<u8>, (SealedHolder, Option<i64>)>,
}

struct SealedHolder {
    id: String,
    fingerprint: [u8; 32],
    answer: Option<(u16, Vec<u8>)>,
}

impl Holders {
    fn of(&self, row: &Row) -> Option<Option<SealedKnown>> {
        if self.there.contains(&row.id) {
            return Some(None);
        }
        let Some(claim) = &row.claim else { return None };
        let (holder, until) = self.by_claim.get(claim.scope.as_slice())?;
        let lets_go = until.is_some_and(|until| until <= row.created_at);
        let known = || SealedKnown {
            id: holder.id.clone(),
            fingerprint: holder.fingerprint,
            answer: holder.answer.clone(),
        };
        (!lets_go).then(|| Some(known()))
    }

    async fn let_go(&self, client: &Client, missed: &[&Row]) -> Result<(), Failed> {
        let old = missed.iter().filter(|row| self.of(row).is_none());
        let (scopes, now): (Vec<&[u8]>, Vec<i64>) =
            old.filter_map(|row| Some((row.claim.as_ref()?.scope.as_slice(), row.created_at))).unzip();
        if scopes.is_empty() {
            return Ok(());
        }
        let sql = "UPDATE runs SET claim = NULL FROM UNNEST($1::bytea[], $2::bigint[]) AS old (claim, at) \
                   WHERE runs.claim = old.claim AND runs.claim_until <= old.at";
        execute(client, sql, &[&scopes, &now]).await.map(drop)
    }
}

async fn holders(client: &Client, missed: &[&Row]) -> Result<Holders, Failed> {
    let mut holders = Holders { there: HashSet::new(), by_claim: HashMap::new() };
    if missed.is_empty() {
        return Ok(holders);
    }
    let ids: Vec<&str> = missed.iter().map(|row| row.id.as_str()).collect();
    let scopes: Vec<&[u8]> =
        missed.iter().filter_map(|row| row.claim.as_ref()).map(|claim| claim.scope.as_slice()).collect();
    for found in rows(client, "SELECT id FROM runs WHERE id = ANY ($1)", &[&ids]).await? {
        holders.there.insert(found.try_get(0)?);
    }
    let sql =
        "SELECT claim, id, fingerprint, answer_status, answer, claim_until FROM runs WHERE claim = ANY ($1)";
    for found in rows(client, sql, &[&scopes]).await? {
        let holder = SealedHolder {
            id: found.try_get("id")?,
            fingerprint: digest(found.try_get("fingerprint")?, "fingerprint")?,
            answer: answer(&found)?,
        };
        holders.by_claim.insert(found.try_get("claim")?, (holder, found.try_get("claim_until")?));
    }
    Ok(holders)
}

/// The run that a key belongs to at this time.
pub(super) async fn known(
    database: &Database,
    scope: &[u8; 32],
    at: Wall,
) -> Result<Option<SealedKnown>, Unavailable> {
    let sql = "SELECT id, fingerprint, answer_status, answer FROM runs \
               WHERE claim = $1 AND (claim_until IS NULL OR claim_until > $2)";
    let found = database.read(sql, &[&scope.as_slice(), &millis(at)]).await?;
    let known = |found: &Found| {
        Ok(SealedKnown {
            id: found.try_get("id")?,
            fingerprint: digest(found.try_get("fingerprint")?, "fingerprint")?,
            answer: answer(found)?,
        })
    };
    Ok(each(&found, known)?.pop())
}

fn answer(found: &Found) -> Result<Option<(u16, Vec<u8>)>, Failed> {
    let status: Option<i64> = found.try_get("answer_status")?;
    let status = status.map(|status| u16::try_from(status).map_err(|_| Failed::Unreadable("answer_status")));
    let body: Option<Vec<u8>> = found.try_get("answer")?;
    Ok(status.transpose()?.zip(body))
}

/// Inserts runs, and for those that were not there their runs in the background; which were not there.
async fn insert(client: &Client, mut all: Vec<&Row>) -> Result<HashSet<String>, Failed> {
    let mut inserted = HashSet::new();
    while !all.is_empty() {
        // In one order everywhere: who waits for another's key is never waited for in turn.
        all.sort_by(|a, b| {
            let key = |row: &Row| row.claim.as_ref().map(|claim| claim.scope);
            key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
        });
        let new = insert_once(client, &all).await?;
        all.retain(|row| new.contains(&row.id));
        all = all.into_iter().flat_map(|row| &row.children).collect();
        inserted.extend(new);
    }
    Ok(inserted)
}

async fn insert_once(client: &Client, all: &[&Row]) -> Result<HashSet<String>, Failed> {
    fn each<'a, T>(all: &[&'a Row], of: impl Fn(&'a Row) -> T) -> Vec<T> {
        all.iter().map(|row| of(row)).collect()
    }
    let status =
        |row: &Row| if row.queue.is_some() { RunStatus::Accepted } else { RunStatus::Running }.as_str();
    let params: [Param<'_>; 22] = [
        &each(all, |row| row.id.as_str()),
        &each(all, |row| row.client.as_deref()),
        &each(all, |row| row.operation.as_str()),
        &each(all, |row| i64::from(row.version)),
        &each(all, |row| row.correlation_id.as_str()),
        &each(all, |row| row.trace.as_str()),
        &each(all, |row| row.priority),
        &each(all, status),
        &each(all, |row| i64::from(row.revision)),
        &each(all, |row| row.created_at),
        &each(all, |row| row.claim.as_ref().map(|claim| claim.scope.as_slice())),
        &each(all, |row| row.claim.as_ref().map(|claim| claim.fingerprint.as_slice())),
        &each(all, |row| row.claim.as_ref().map(|claim| claim.retention)),
        &each(all, |row| row.configuration.0.as_slice()),
        &each(all, |row| row.input.as_slice()),
        &each(all, |row| row.state.as_slice()),
        &each(all, |row| row.part),
        &each(all, |row| row.queue.as_ref().map(|queue| queue.integration.as_str())),
        &each(all, |row| row.queue.is_some()),
        &each(all, |row| row.queue.as_ref().map(|queue| queue.rank)),
        &each(all, |row| row.queue.as_ref().map(|queue| queue.lane.as_str())),
        &each(all, |row| row.queue.as_ref().map(|queue| queue.not_before)),
    ];
    let sql = "WITH new AS (INSERT INTO runs (id, client, operation, version, correlation_id, trace, priority, status, revision, \
         created_at, claim, fingerprint, claim_retention, configuration, input, state, part, queue, is_async) \
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], \
         $8::text[], $9::bigint[], $10::bigint[], $11::bytea[], $12::bytea[], $13::bigint[], $14::bytea[], $15::bytea[], \
         $16::bytea[], $17::bigint[], $18::text[], $19::boolean[]) ON CONFLICT DO NOTHING RETURNING id), \
         queued AS (INSERT INTO queue (run, integration, rank, lane, not_before, fence, tries, cancel) \
         SELECT id, integration, rank, lane, not_before, 0, 0, false \
         FROM UNNEST($1::text[], $18::text[], $20::bigint[], $21::text[], $22::bigint[]) \
         AS asked (id, integration, rank, lane, not_before) JOIN new USING (id) WHERE integration IS NOT NULL \
         ON CONFLICT DO NOTHING) \
         SELECT id FROM new";
    ids(rows(client, sql, &params).await?)
}

pub(super) fn ids<C: FromIterator<String>>(found: Vec<Found>) -> Result<C, Failed> {
    found.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Runs, under the fences that they are held under.
type Holds = HashSet<(String, u32)>;

fn read_holds(found: &[Found]) -> Result<Holds, Failed> {
    found.iter().map(|row| Ok((row.try_get("run")?, number(row, "fence")?))).collect()
}

/// Asks about those that were not found once more: who was waited for may have been the same call, on a connection that was
/// lost, and what it has written is seen only now.
async fn twice<'a>(
    asked: &[(&'a str, u32)],
    of: impl AsyncFn(&[(&'a str, u32)]) -> Result<Holds, Failed>,
) -> Result<Holds, Failed> {
    let mut found = of(asked).await?;
    let is_left = |(id, fence): &&(&str, u32)| !found.contains(&((*id).to_owned(), *fence));
    let left: Vec<(&str, u32)> = asked.iter().filter(is_left).copied().collect();
    if !left.is_empty() {
        found.extend(of(&left).await?);
    }
    Ok(found)
}

/// Those that are held under these fences, locked. The fence of a run that is not queued is its own.
async fn ours(client: &Client, asked: &[(&str, u32)]) -> Result<Holds, Failed> {
    let (run, fences): (Vec<&str>, Vec<i64>) =
        asked.iter().map(|(id, fence)| (*id, i64::from(*fence))).unzip();
    let sql = format!(
        "WITH held AS ({HELD}), other AS (SELECT runs.id, runs.fence FROM runs \
         JOIN UNNEST($1::text[], $2::bigint[]) AS asked (id, fence) ON runs.id = asked.id AND runs.fence = asked.fence \
         WHERE runs.queue IS NULL ORDER BY runs.id FOR UPDATE OF runs) \
         SELECT run, fence FROM held UNION ALL SELECT id, fence FROM other"
    );
    read_holds(&rows(client, &sql, &[&run, &fences]).await?)
}

/// Writes down how runs stand; `false` for those that somebody else has.
pub(super) struct Records;

impl Kind for Records {
    const WHAT: Durable = Durable::Record;
    type Call = Standing;
    type Done = bool;

    async fn write(client: &Client, calls: &[Standing]) -> Result<Vec<bool>, Failed> {
        // Of several records of one run the newest counts.
        let mut newest: HashMap<(&str, u32), &Standing> = HashMap::new();
        for call in calls {
            let kept = newest.entry((call.id.as_str(), call.fence)).or_insert(call);
            if kept.revision < call.revision {
                *kept = call;
            }
        }
        let asked: Vec<(&str, u32)> = newest.keys().copied().collect();
        let ours = twice(&asked, async |left| ours(client, left).await).await?;
        let is_ours = |call: &Standing| ours.contains(&(call.id.clone(), call.fence));
        let kept: Vec<&Standing> = newest.into_values().filter(|call| is_ours(call)).collect();
        let run: Vec<&str> = kept.iter().map(|call| call.id.as_str()).collect();
        let revisions: Vec<i64> = kept.iter().map(|call| i64::from(call.revision)).collect();
        let states: Vec<&[u8]> = kept.iter().map(|call| call.state.as_slice()).collect();
        let sql = "UPDATE runs SET state = new.state, revision = new.revision \
                   FROM UNNEST($1::text[], $2::bigint[], $3::bytea[]) AS new (id, revision, state) \
                   WHERE runs.id = new.id AND runs.revision < new.revision AND runs.finished_at IS NULL";
        execute(client, sql, &[&run, &revisions, &states]).await?;
        let children = calls.iter().filter(|call| is_ours(call)).flat_map(|call| &call.children).collect();
        insert(client, children).await?;
        Ok(calls.iter().map(is_ours).collect())
    }
}

/// Ends runs; `false` for those that somebody else has.
pub(super) struct Ends;

impl Kind for Ends {
    const WHAT: Durable = Durable::Finish;
    type Call = End;
    type Done = bool;

    async fn write(client: &Client, calls: &[End]) -> Result<Vec<bool>, Failed> {
        let asked: Vec<(&str, u32)> = calls.iter().map(|end| (end.id.as_str(), end.fence)).collect();
        let of = |(id, fence): &(&str, u32)| calls.iter().find(|end| end.id == *id && end.fence == *fence);
        let end_them = async |left: &[(&str, u32)]| end(client, left.iter().filter_map(of).collect()).await;
        let ended = twice(&asked, end_them).await?;
        let is_ours = |end: &End| ended.contains(&(end.id.clone(), end.fence));
        let ours = || calls.iter().filter(|end| is_ours(end));
        insert(client, ours().flat_map(|end| &end.children).collect()).await?;
        dead::bury(client, ours().filter_map(|end| Some((end, end.death.as_ref()?)))).await?;
        Ok(calls.iter().map(is_ours).collect())
    }
}

/// Ends those that are held, and takes them out of the queue.
async fn end(client: &Client, calls: Vec<&End>) -> Result<Holds, Failed> {
    let run: Vec<&str> = calls.iter().map(|end| end.id.as_str()).collect();
    let fences: Vec<i64> = calls.iter().map(|end| i64::from(end.fence)).collect();
    let statuses: Vec<&str> = calls.iter().map(|end| end.status).collect();
    let times: Vec<i64> = calls.iter().map(|end| end.at).collect();
    let codes: Vec<i64> = calls.iter().map(|end| i64::from(end.answer_status)).collect();
    let answers: Vec<&[u8]> = calls.iter().map(|end| end.answer.as_slice()).collect();
    let states: Vec<Option<&[u8]>> = calls.iter().map(|end| end.state.as_deref()).collect();
    let sql = format!(
        "WITH held AS ({HELD}), gone AS (DELETE FROM queue WHERE run = ANY (ARRAY (SELECT run FROM held))) \
         UPDATE runs SET status = new.status, finished_at = new.at, answer_status = new.code, answer = new.answer, \
         state = new.state, claim_until = new.at + claim_retention, queue = NULL, fence = new.fence \
         FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[], $7::bytea[]) \
         AS new (id, fence, status, at, code, answer, state) \
         LEFT JOIN held ON held.run = new.id AND held.fence = new.fence WHERE runs.id = new.id \
         AND (held.run IS NOT NULL OR (runs.queue IS NULL AND runs.fence = new.fence)) \
         RETURNING runs.id AS run, runs.fence"
    );
    let params: [Param<'_>; 7] = [&run, &fences, &statuses, &times, &codes, &answers, &states];
    read_holds(&rows(client, &sql, &params).await?)
}

/// Takes a run back.
pub(super) async fn forget(database: &Database, id: &RunId) -> Result<(), Unavailable> {
    let sql = "WITH gone AS (DELETE FROM queue WHERE run = $1) DELETE FROM runs WHERE id = $1 AND finished_at IS NULL";
    database.count(Durable::Forget, sql, &[&id.as_str()]).await.map(drop)
}

/// Takes back runs that were refused; how many were there. One that somebody has leased stays.
pub(super) async fn take_back(database: &Database, ids: &[String]) -> Result<usize, Unavailable> {
    let sql = "WITH free AS (DELETE FROM queue WHERE run = ANY ($1) AND fence = 0 RETURNING run) \
               DELETE FROM runs WHERE id = ANY ($1) AND finished_at IS NULL AND fence = 0 \
               AND (queue IS NULL OR id IN (SELECT run FROM free))";
    database.count(Durable::TakeBack, sql, &[&ids]).await
}

/// Deletes runs that ended before then, the oldest first; one whose key is still kept stays with it.
pub(super) async fn forget_old(
    database: &Database,
    before: Wall,
    now: Wall,
    limit: usize,
) -> Result<usize, Unavailable> {
    // Ids are in the order of their time, so what ended before then is among what began before then.
    let youngest = youngest("run", before);
    let sql = "DELETE FROM runs WHERE id = ANY (ARRAY (SELECT id FROM runs WHERE id < $3 AND finished_at < $1 \
               AND (claim IS NULL OR claim_until <= $4) AND NOT EXISTS \
               (SELECT 1 FROM dead_letters WHERE run = id) ORDER BY id LIMIT $2))";
    let params: [Param<'_>; 4] = [&millis(before), &limit_of(limit), &youngest, &millis(now)];
    database.count(Durable::ForgetOldRuns, sql, &params).await
}

/// Reads a run.
pub(super) fn read_record(found: &Found) -> Result<SealedRecord, Failed> {
    Ok(SealedRecord {
        id: found.try_get("id")?,
        client: found.try_get("client")?,
        operation: found.try_get("operation")?,
        version: number(found, "version")?,
        correlation_id: found.try_get("correlation_id")?,
        status: found.try_get("status")?,
        created_at: found.try_get("created_at")?,
        finished_at: found.try_get("finished_at")?,
        answer: answer(found)?,
        recovered: found.try_get("recovered")?,
    })
}

/// What is read of each row.
pub(super) fn each<T>(
    found: &[Found],
    read: impl Fn(&Found) -> Result<T, Failed>,
) -> Result<Vec<T>, Unavailable> {
    found.iter().map(read).collect::<Result<_, _>>().map_err(|error| unavailable(&error))
}

/// One run.
pub(super) async fn one(database: &Database, id: &RunId) -> Result<Option<SealedRecord>, Unavailable> {
    let sql = format!("SELECT {RECORD} FROM {RUNS} WHERE r.id = $1");
    Ok(each(&database.read(&sql, &[&id.as_str()]).await?, read_record)?.pop())
}

/// Conditions that must all hold, with their values.
#[derive(Default)]
pub(super) struct Conditions {
    sql: Vec<String>,
    values: Vec<Box<dyn tokio_postgres::types::ToSql + Sync>>,
}

impl Conditions {
    /// `condition` ends with the value's place.
    pub(super) fn must(
        &mut self,
        condition: &str,
        value: impl tokio_postgres::types::ToSql + Sync + 'static,
    ) {
        self.values.push(Box::new(value));
        self.sql.push(format!("{condition} ${}", self.values.len()));
    }

    /// One without a value.
    pub(super) fn holds(&mut self, condition: String) {
        self.sql.push(condition);
    }

    /// `WHERE …`, and how many rows at most.
    pub(super) fn end(
        mut self,
        order: &str,
        limit: usize,
    ) -> (String, Vec<Box<dyn tokio_postgres::types::ToSql + Sync>>) {
        let such =
            if self.sql.is_empty() { String::new() } else { format!(" WHERE {}", self.sql.join(" AND ")) };
        self.values.push(Box::new(limit_of(limit)));
        (format!("{such} ORDER BY {order} DESC LIMIT ${}", self.values.len()), self.values)
    }
}

/// Marks those that a former life had under way.
pub(super) async fn mark_recovered(database: &Database) -> Result<usize, Unavailable> {
    let sql = "UPDATE runs SET recovered = true WHERE id = ANY (ARRAY (SELECT id FROM runs WHERE finished_at IS NULL \
               AND queue IS NULL UNION ALL SELECT run FROM queue WHERE lease_until IS NOT NULL))";
    database.count(Durable::Recover, sql, &[]).await
}

/// Runs, newest first.
pub(super) async fn list(
    database: &Database,
    filter: &RunFilter,
    limit: usize,
) -> Result<Vec<SealedRecord>, Unavailable> {
    let mut such = Conditions::default();
    if let Some(client) = &filter.client {
        such.must("r.client IS NOT DISTINCT FROM", client.as_ref().map(ToString::to_string));
    }
    if let Some(operation) = &filter.operation {
        such.must("r.operation =", operation.to_string());
    }
    if let Some(status) = filter.status {
        such.holds(shown_as(status));
    }
    if let Some(correlation_id) = &filter.correlation_id {
        such.must("r.correlation_id =", correlation_id.to_string());
    }
    if let Some(since) = filter.since {
        such.must("r.created_at >=", millis(since));
    }
    if filter.recovered {
        such.holds("r.recovered".to_owned());
    }
    if let Some(before) = &filter.before {
        such.must("r.id <", before.to_string());
    }
    let (such, values) = such.end("r.id", limit);
    let values: Vec<Param<'_>> = values.iter().map(|value| &**value as Param<'_>).collect();
    let found = database.read(&format!("SELECT {RECORD} FROM {RUNS}{such}"), &values).await?;
    each(&found, read_record)
}

/// Reads what there is to be known to go on with a run.
pub(super) fn read_unfinished(found: &Found) -> Result<SealedUnfinished, Failed> {
    let (queue, not_before): (Option<String>, Option<i64>) =
        (found.try_get("queue")?, found.try_get("not_before")?);
    let part: Option<i64> = found.try_get("part")?;
    Ok(SealedUnfinished {
        id: found.try_get("id")?,
        client: found.try_get("client")?,
        operation: found.try_get("operation")?,
        version: number(found, "version")?,
        correlation_id: found.try_get("correlation_id")?,
        trace: found.try_get("trace")?,
        priority: found.try_get("priority")?,
        created_at: found.try_get("created_at")?,
        configuration: digest(found.try_get("configuration")?, "configuration")?,
        input: found.try_get("input")?,
        state: found.try_get("state")?,
        part: part.map(|part| u32::try_from(part).map_err(|_| Failed::Unreadable("part"))).transpose()?,
        queue: queue.zip(not_before),
    })
}

/// The runs that have not ended, oldest first.
pub(super) async fn unfinished_ids(database: &Database) -> Result<Vec<RunId>, Unavailable> {
    let sql = "SELECT id FROM runs WHERE finished_at IS NULL AND queue IS NULL ORDER BY id";
    let found = database.read(sql, &[]).await?;
    each(&found, |row| Ok(RunId::new(row.try_get::<_, String>(0)?)))
}

/// A run that has not ended.
pub(super) async fn unfinished(
    database: &Database,
    id: &RunId,
) -> Result<Option<SealedUnfinished>, Unavailable> {
    let sql = format!("SELECT {UNFINISHED} FROM {RUNS} WHERE r.finished_at IS NULL AND r.id = $1");
    Ok(each(&database.read(&sql, &[&id.as_str()]).await?, read_unfinished)?.pop())
}
