//! What is written and read of runs: many at once, in few statements. Each may be done twice.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use causeway_actors::store::{RunFilter, Unavailable};
use causeway_core::name::RunId;
use causeway_core::operation::RunStatus;
use causeway_core::time::Wall;
use deadpool_postgres::Client;
use tokio_postgres::Row as Found;

use super::super::rows::{
    BESIDE, End, RECORD, Row, SealedKnown, SealedRecord, SealedUnfinished, Standing, UNFINISHED, millis,
    shown_as, youngest,
};
use super::batch::Kind;
use super::database::{Alone, Ask, Database, Failed, Param, execute, rows, unavailable};
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
    type Call = Arc<Row>;
    type Done = Result<Option<SealedKnown>, Unavailable>;

    async fn write(database: &Database, calls: &[Arc<Row>]) -> Result<Vec<Self::Done>, Failed> {
        let count = calls.len();
        let all: Vec<&Row> = calls.iter().map(Arc::as_ref).collect();
        // Most are new, and alone.
        let inserted = if calls.iter().all(|row| row.children.is_empty()) {
            insert_once(&Alone { database, what: Durable::Claim, calls: count }, all.clone()).await?
        } else {
            HashSet::new()
        };
        let left: Vec<&Row> = all.into_iter().filter(|row| !inserted.contains(&row.id)).collect();
        if left.is_empty() {
            return Ok(calls.iter().map(|_| Ok(None)).collect());
        }
        let claim_them = async |client: &Client| claim(client, &left).await;
        let claimed = database.write(Durable::Claim, left.len(), claim_them).await;
        // Each is asked by itself then; the others are there already.
        let mut claimed = match claimed {
            Err(error) if error.is_of_one_call() => return Err(error),
            claimed => claimed.map(Vec::into_iter).map_err(|error| unavailable(&error)),
        };
        let lost = || Unavailable("a claim was written without a result".to_owned());
        let done = |row: &Arc<Row>| match &mut claimed {
            _ if inserted.contains(&row.id) => Ok(None),
            Ok(known) => known.next().ok_or_else(lost),
            Err(error) => Err(error.clone()),
        };
        Ok(calls.iter().map(done).collect())
    }
}

async fn claim(client: &Client, calls: &[&Row]) -> Result<Vec<Option<SealedKnown>>, Failed> {
    let mut done: Vec<Option<Option<SealedKnown>>> = calls.iter().map(|_| None).collect();
    for _ in 0..TRIES {
        let left: Vec<&Row> =
            calls.iter().zip(&done).filter(|(_, done)| done.is_none()).map(|(row, _)| *row).collect();
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
                   WHERE runs.claim = old.claim AND EXISTS \
                   (SELECT 1 FROM ends WHERE run = runs.id AND claim_until <= old.at)";
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
    let sql = "SELECT r.claim, r.id, r.fingerprint, e.answer_status, e.answer, e.claim_until \
         FROM runs r LEFT JOIN ends e ON e.run = r.id WHERE r.claim = ANY ($1)";
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
    let sql = "SELECT r.id, r.fingerprint, e.answer_status, e.answer FROM runs r LEFT JOIN ends e ON e.run = r.id \
               WHERE r.claim = $1 AND (e.claim_until IS NULL OR e.claim_until > $2)";
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
        let new = insert_once(client, all.clone()).await?;
        all.retain(|row| new.contains(&row.id));
        all = all.into_iter().flat_map(|row| &row.children).collect();
        inserted.extend(new);
    }
    Ok(inserted)
}

/// Inserts runs without their runs in the background; which were not there.
async fn insert_once(to: &impl Ask, mut all: Vec<&Row>) -> Result<HashSet<String>, Failed> {
    fn each<'a, T>(all: &[&'a Row], of: impl Fn(&'a Row) -> T) -> Vec<T> {
        all.iter().map(|row| of(row)).collect()
    }
    // In one order everywhere: who waits for another's key is never waited for in turn.
    all.sort_by(|a, b| {
        let key = |row: &Row| row.claim.as_ref().map(|claim| claim.scope);
        key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
    });
    // Asked twice, it is written once.
    all.dedup_by(|a, b| a.id == b.id);
    let all = all.as_slice();
    let params: [Param<'_>; 21] = [
        &each(all, |row| row.id.as_str()),
        &each(all, |row| row.client.as_deref()),
        &each(all, |row| row.operation.as_str()),
        &each(all, |row| i64::from(row.version)),
        &each(all, |row| row.correlation_id.as_str()),
        &each(all, |row| row.trace.as_str()),
        &each(all, |row| row.priority),
        &each(all, |row| row.created_at),
        &each(all, |row| row.part),
        &each(all, |row| row.queue.is_some()),
        &each(all, |row| row.claim.as_ref().map(|claim| claim.scope.as_slice())),
        &each(all, |row| row.claim.as_ref().map(|claim| claim.fingerprint.as_slice())),
        &each(all, |row| row.claim.as_ref().map(|claim| claim.retention)),
        &each(all, |row| row.configuration.0.as_slice()),
        &each(all, |row| row.input.as_slice()),
        &each(all, |row| row.state.as_slice()),
        &each(all, |row| i64::from(row.revision)),
        &each(all, |row| row.queue.as_ref().map(|queue| queue.integration.as_str())),
        &each(all, |row| row.queue.as_ref().map(|queue| queue.rank)),
        &each(all, |row| row.queue.as_ref().map(|queue| queue.lane.as_str())),
        &each(all, |row| row.queue.as_ref().map(|queue| queue.not_before)),
    ];
    let [accepted, running] = [RunStatus::Accepted, RunStatus::Running].map(RunStatus::as_str);
    let sql = format!(
        "WITH new AS (INSERT INTO runs (id, client, operation, version, correlation_id, trace, priority, created_at, \
         part, is_async, claim, fingerprint, claim_retention, configuration, input) \
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], \
         $8::bigint[], $9::bigint[], $10::boolean[], $11::bytea[], $12::bytea[], $13::bigint[], $14::bytea[], $15::bytea[]) \
         ON CONFLICT DO NOTHING RETURNING id), \
         begun AS (INSERT INTO progress (run, status, waited_for, revision, state) \
         SELECT id, CASE WHEN queued THEN '{accepted}' ELSE '{running}' END, NOT queued, revision, state \
         FROM UNNEST($1::text[], $10::boolean[], $17::bigint[], $16::bytea[]) AS asked (id, queued, revision, state) \
         JOIN new USING (id)), \
         queued AS (INSERT INTO queue (run, integration, rank, lane, not_before, fence, tries, cancel) \
         SELECT id, integration, rank, lane, not_before, 0, 0, false \
         FROM UNNEST($1::text[], $18::text[], $19::bigint[], $20::text[], $21::bigint[]) \
         AS asked (id, integration, rank, lane, not_before) JOIN new USING (id) WHERE integration IS NOT NULL) \
         SELECT id FROM new"
    );
    ids(to.rows(&sql, &params).await?)
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

/// Which of the runs `$1` whoever has the fences `$2` has: `ours`. Those that are queued and held (`held`), those whose callers
/// wait, and those that have ended under the same fence; all of them locked, so that nobody takes one up again meanwhile.
fn ours() -> String {
    format!(
        "held AS ({HELD}), \
         waited AS (SELECT run, 0::bigint AS fence FROM progress WHERE run = ANY (ARRAY (SELECT run \
         FROM UNNEST($1::text[], $2::bigint[]) AS pairs (run, fence) WHERE fence = 0)) AND waited_for ORDER BY run FOR UPDATE), \
         over AS (SELECT ended.run, ended.fence FROM (SELECT * FROM UNNEST($1::text[], $2::bigint[]) AS pairs (run, fence) \
         ORDER BY run COLLATE \"C\") asked CROSS JOIN LATERAL \
         (SELECT * FROM ends WHERE ends.run = asked.run AND ends.fence = asked.fence FOR UPDATE) ended), \
         ours AS (SELECT run, fence FROM held UNION ALL SELECT run, fence FROM waited UNION ALL SELECT run, fence FROM over)"
    )
}

/// Writes down how runs stand; `false` for those that somebody else has.
pub(super) struct Records;

impl Kind for Records {
    type Call = Standing;
    type Done = bool;

    async fn write(database: &Database, calls: &[Standing]) -> Result<Vec<bool>, Failed> {
        let record_them = async |client: &Client| record(client, calls).await;
        database.write(Durable::Record, calls.len(), record_them).await
    }
}

async fn record(client: &Client, calls: &[Standing]) -> Result<Vec<bool>, Failed> {
    // Of several records of one run the newest counts.
    let mut newest: HashMap<(&str, u32), &Standing> = HashMap::new();
    for call in calls {
        let kept = newest.entry((call.id.as_str(), call.fence)).or_insert(call);
        if kept.revision < call.revision {
            *kept = call;
        }
    }
    let asked: Vec<(&str, u32)> = newest.keys().copied().collect();
    let sql = format!("WITH {} SELECT run, fence FROM ours", ours());
    let ours = twice(&asked, async |left| {
        let (run, fences): (Vec<&str>, Vec<i64>) =
            left.iter().map(|(id, fence)| (*id, i64::from(*fence))).unzip();
        read_holds(&rows(client, &sql, &[&run, &fences]).await?)
    });
    let ours = ours.await?;
    let is_ours = |call: &Standing| ours.contains(&(call.id.clone(), call.fence));
    let kept: Vec<&Standing> = newest.into_values().filter(|call| is_ours(call)).collect();
    let run: Vec<&str> = kept.iter().map(|call| call.id.as_str()).collect();
    let revisions: Vec<i64> = kept.iter().map(|call| i64::from(call.revision)).collect();
    let states: Vec<&[u8]> = kept.iter().map(|call| call.state.as_slice()).collect();
    let sql = "UPDATE progress SET state = new.state, revision = new.revision \
                   FROM UNNEST($1::text[], $2::bigint[], $3::bytea[]) AS new (run, revision, state) \
                   WHERE progress.run = new.run AND progress.run = ANY ($1) AND progress.revision < new.revision \
                   AND progress.status <> 'ended'";
    execute(client, sql, &[&run, &revisions, &states]).await?;
    let children = calls.iter().filter(|call| is_ours(call)).flat_map(|call| &call.children).collect();
    insert(client, children).await?;
    Ok(calls.iter().map(is_ours).collect())
}

/// Ends runs; `false` for those that somebody else has.
pub(super) struct Ends;

impl Kind for Ends {
    type Call = End;
    type Done = bool;

    async fn write(database: &Database, calls: &[End]) -> Result<Vec<bool>, Failed> {
        let ended = if calls.iter().all(|end| end.children.is_empty() && end.death.is_none()) {
            finish(&Alone { database, what: Durable::Finish, calls: calls.len() }, calls).await?
        } else {
            let finish_them = async |client: &Client| {
                let ended = finish(client, calls).await?;
                let ours = || calls.iter().filter(|end| ended.contains(&(end.id.clone(), end.fence)));
                insert(client, ours().flat_map(|end| &end.children).collect()).await?;
                dead::bury(client, ours().filter_map(|end| Some((end, end.death.as_ref()?)))).await?;
                Ok(ended)
            };
            database.write(Durable::Finish, calls.len(), finish_them).await?
        };
        Ok(calls.iter().map(|end| ended.contains(&(end.id.clone(), end.fence))).collect())
    }
}

/// Ends those that are held; which these are.
async fn finish(to: &impl Ask, calls: &[End]) -> Result<Holds, Failed> {
    // A call that was asked twice is done once.
    let asked: BTreeSet<(&str, u32)> = calls.iter().map(|end| (end.id.as_str(), end.fence)).collect();
    let asked: Vec<(&str, u32)> = asked.into_iter().collect();
    let of = |(id, fence): &(&str, u32)| calls.iter().find(|end| end.id == *id && end.fence == *fence);
    let end_them = async |left: &[(&str, u32)]| end(to, left.iter().filter_map(of).collect()).await;
    twice(&asked, end_them).await
}

/// Ends those that are held, and takes them out of the queue.
async fn end(to: &impl Ask, calls: Vec<&End>) -> Result<Holds, Failed> {
    let run: Vec<&str> = calls.iter().map(|end| end.id.as_str()).collect();
    let fences: Vec<i64> = calls.iter().map(|end| i64::from(end.fence)).collect();
    let statuses: Vec<&str> = calls.iter().map(|end| end.status).collect();
    let times: Vec<i64> = calls.iter().map(|end| end.at).collect();
    let codes: Vec<i64> = calls.iter().map(|end| i64::from(end.answer_status)).collect();
    let answers: Vec<&[u8]> = calls.iter().map(|end| end.answer.as_slice()).collect();
    let states: Vec<Option<&[u8]>> = calls.iter().map(|end| end.state.as_deref()).collect();
    let sql = format!(
        "WITH {}, gone AS (DELETE FROM queue WHERE run = ANY (ARRAY (SELECT run FROM held))), \
         new AS (SELECT new.* FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[], \
         $7::bytea[]) AS new (run, fence, status, at, code, answer, state) JOIN ours USING (run, fence)), \
         done AS (DELETE FROM progress WHERE run = ANY (ARRAY (SELECT run FROM new WHERE state IS NULL))), \
         dead AS (UPDATE progress SET status = 'ended', waited_for = false, state = new.state FROM new \
         WHERE progress.run = new.run AND progress.run = ANY ($1) AND new.state IS NOT NULL) \
         INSERT INTO ends (run, status, at, fence, claim_until, answer_status, answer) \
         SELECT new.run, new.status, new.at, new.fence, new.at + claim_retention, new.code, new.answer \
         FROM new JOIN runs ON runs.id = new.run WHERE runs.id = ANY ($1) ORDER BY new.run \
         ON CONFLICT (run) DO UPDATE SET status = excluded.status, at = excluded.at, fence = excluded.fence, claim_until = excluded.claim_until, \
         answer_status = excluded.answer_status, answer = excluded.answer RETURNING run, fence",
        ours()
    );
    let params: [Param<'_>; 7] = [&run, &fences, &statuses, &times, &codes, &answers, &states];
    read_holds(&to.rows(&sql, &params).await?)
}

/// Takes a run back.
pub(super) async fn forget(database: &Database, id: &RunId) -> Result<(), Unavailable> {
    let sql = "WITH gone AS (DELETE FROM queue WHERE run = $1), \
               taken AS (DELETE FROM progress WHERE run = $1 AND status <> 'ended' RETURNING run) \
               DELETE FROM runs WHERE id = ANY (ARRAY (SELECT run FROM taken))";
    database.count(Durable::Forget, sql, &[&id.as_str()]).await.map(drop)
}

/// Takes back runs that were refused; how many were there. One that somebody has leased stays.
pub(super) async fn take_back(database: &Database, ids: &[String]) -> Result<usize, Unavailable> {
    let sql = "WITH free AS (DELETE FROM queue WHERE run = ANY ($1) AND fence = 0 RETURNING run), \
               taken AS (DELETE FROM progress WHERE run = ANY ($1) AND (waited_for OR run IN (SELECT run FROM free)) \
               RETURNING run) \
               DELETE FROM runs WHERE id = ANY (ARRAY (SELECT run FROM taken))";
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
    let sql = "WITH old AS MATERIALIZED (SELECT r.id FROM runs r JOIN ends e ON e.run = r.id WHERE r.id < $3 AND e.at < $1 \
               AND (r.claim IS NULL OR e.claim_until <= $4) AND NOT EXISTS \
               (SELECT 1 FROM dead_letters WHERE run = r.id) ORDER BY r.id LIMIT $2), \
               stood AS (DELETE FROM progress WHERE run = ANY (ARRAY (SELECT id FROM old))), \
               ended AS (DELETE FROM ends WHERE run = ANY (ARRAY (SELECT id FROM old))) \
               DELETE FROM runs WHERE id = ANY (ARRAY (SELECT id FROM old))";
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
    let sql = format!("SELECT {RECORD} FROM runs r {BESIDE} WHERE r.id = $1");
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
    let sql = "UPDATE runs SET recovered = true WHERE id = ANY (ARRAY (SELECT run FROM progress WHERE waited_for \
               UNION ALL SELECT run FROM queue WHERE lease_until IS NOT NULL))";
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
    let (stands, id) = filter.status.map(shown_as).unzip();
    if let Some(stands) = stands {
        such.holds(stands);
    }
    let id = id.unwrap_or("r.id");
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
        such.must(&format!("{id} <"), before.to_string());
    }
    let (such, values) = such.end(id, limit);
    let values: Vec<Param<'_>> = values.iter().map(|value| &**value as Param<'_>).collect();
    let found = database.read(&format!("SELECT {RECORD} FROM runs r {BESIDE}{such}"), &values).await?;
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

/// The runs that have not ended and are not queued, oldest first.
pub(super) async fn unfinished_ids(database: &Database) -> Result<Vec<RunId>, Unavailable> {
    let sql = "SELECT run FROM progress WHERE waited_for ORDER BY run";
    let found = database.read(sql, &[]).await?;
    each(&found, |row| Ok(RunId::new(row.try_get::<_, String>(0)?)))
}

/// A run that has not ended.
pub(super) async fn unfinished(
    database: &Database,
    id: &RunId,
) -> Result<Option<SealedUnfinished>, Unavailable> {
    let sql = format!("SELECT {UNFINISHED} FROM runs r {BESIDE} WHERE r.id = $1 AND p.status <> 'ended'");
    Ok(each(&database.read(&sql, &[&id.as_str()]).await?, read_unfinished)?.pop())
}
