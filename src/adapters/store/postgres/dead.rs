//! What is written and read of dead letters. Each may be done twice.

use causeway_actors::store::{DeadFilter, DeadGroup, Death, DueInquiry, Unavailable};
use causeway_core::name::RunId;
use causeway_core::time::Wall;
use deadpool_postgres::Client;

use super::super::rows::{
    BESIDE, End, RECORD, SealedLetter, SealedReopened, SealedUnfinished, UNFINISHED, millis, wall,
};
use super::database::{Database, Failed, Param, execute};
use super::runs::{Conditions, each, limit_of, read_record, read_unfinished};
use crate::failpoint::Durable;

/// Says that a person has to look at runs.
pub(super) async fn bury(client: &Client, dead: impl Iterator<Item = (&End, &Death)>) -> Result<(), Failed> {
    let dead: Vec<_> = dead.collect();
    if dead.is_empty() {
        return Ok(());
    }
    let run: Vec<&str> = dead.iter().map(|(end, _)| end.id.as_str()).collect();
    let integrations: Vec<&str> = dead.iter().map(|(_, death)| death.integration.as_str()).collect();
    let operations: Vec<&str> = dead.iter().map(|(_, death)| death.operation.as_str()).collect();
    let steps: Vec<Option<&str>> = dead.iter().map(|(_, death)| death.step.as_deref()).collect();
    let classes: Vec<&str> = dead.iter().map(|(_, death)| death.class.as_str()).collect();
    let codes: Vec<&str> = dead.iter().map(|(_, death)| death.code.as_str()).collect();
    let times: Vec<i64> = dead.iter().map(|(end, _)| end.at).collect();
    let inquiries: Vec<Option<i64>> = dead.iter().map(|(end, _)| end.inquire_at).collect();
    let sql = "INSERT INTO dead_letters (run, integration, operation, step, class, code, died_at, inquire_at) \
               SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], \
               $7::bigint[], $8::bigint[]) \
               ON CONFLICT (run) DO UPDATE SET integration = excluded.integration, step = excluded.step, \
               class = excluded.class, code = excluded.code, died_at = excluded.died_at, inquire_at = excluded.inquire_at";
    let params: [Param<'_>; 8] =
        [&run, &integrations, &operations, &steps, &classes, &codes, &times, &inquiries];
    execute(client, sql, &params).await.map(drop)
}

/// Nobody has to look at it any more.
pub(super) async fn forget(database: &Database, run: &RunId) -> Result<bool, Unavailable> {
    Ok(database
        .count(Durable::ForgetDeadLetter, "DELETE FROM dead_letters WHERE run = $1", &[&run.as_str()])
        .await?
        == 1)
}

/// Text that a person gave, as the database can take it.
pub(super) fn given(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Dead letters, newest first.
pub(super) async fn list(
    database: &Database,
    filter: &DeadFilter,
    limit: usize,
) -> Result<Vec<SealedLetter>, Unavailable> {
    let DeadFilter { run, integration, operation, code, before } = filter;
    let mut such = Conditions::default();
    for (condition, value) in [
        ("d.run =", run.as_ref().map(ToString::to_string)),
        ("d.integration =", integration.as_deref().map(given)),
        ("d.operation =", operation.as_deref().map(given)),
        ("d.code =", code.as_deref().map(given)),
        ("d.run <", before.as_ref().map(ToString::to_string)),
    ] {
        if let Some(value) = value {
            such.must(condition, value);
        }
    }
    let (such, values) = such.end("d.run", limit);
    let values: Vec<Param<'_>> = values.iter().map(|value| &**value as Param<'_>).collect();
    let sql = format!(
        "SELECT d.integration, d.operation AS of, d.step, d.class, d.code, d.died_at, {RECORD} \
         FROM dead_letters d JOIN runs r ON r.id = d.run {BESIDE}{such}"
    );
    let found = database.read(&sql, &values).await?;
    each(&found, |row| {
        let death = Death {
            integration: row.try_get("integration")?,
            operation: row.try_get("of")?,
            step: row.try_get("step")?,
            class: row.try_get("class")?,
            code: row.try_get("code")?,
        };
        Ok(SealedLetter { death, died_at: row.try_get("died_at")?, record: read_record(row)? })
    })
}

/// How many there are of each kind.
pub(super) async fn groups(database: &Database) -> Result<Vec<DeadGroup>, Unavailable> {
    let sql = "SELECT integration, operation, class, code, count(*) AS count, min(died_at) AS first, max(died_at) AS last \
               FROM dead_letters GROUP BY integration, operation, class, code \
               ORDER BY count(*) DESC, integration, operation, code LIMIT 1000";
    let found = database.read(sql, &[]).await?;
    each(&found, |row| {
        Ok(DeadGroup {
            integration: row.try_get("integration")?,
            operation: row.try_get("operation")?,
            class: row.try_get("class")?,
            code: row.try_get("code")?,
            count: u64::try_from(row.try_get::<_, i64>("count")?).unwrap_or(0),
            first: wall(row.try_get("first")?),
            last: wall(row.try_get("last")?),
        })
    })
}

/// The run of a dead letter.
pub(super) async fn run(database: &Database, id: &RunId) -> Result<Option<SealedUnfinished>, Unavailable> {
    let sql = format!(
        "SELECT {UNFINISHED} FROM runs r {BESIDE} WHERE r.id = $1 AND p.status = 'ended' \
         AND EXISTS (SELECT 1 FROM dead_letters WHERE run = $1)"
    );
    Ok(each(&database.read(&sql, &[&id.as_str()]).await?, read_unfinished)?.pop())
}

/// Those about which providers are to be asked by then.
pub(super) async fn due_inquiries(
    database: &Database,
    by: Wall,
    limit: usize,
) -> Result<Vec<DueInquiry>, Unavailable> {
    let sql = "SELECT d.run, d.died_at, r.is_async FROM dead_letters d JOIN runs r ON r.id = d.run \
               WHERE d.inquire_at <= $1 ORDER BY d.inquire_at LIMIT $2";
    let found = database.read(sql, &[&millis(by), &limit_of(limit)]).await?;
    each(&found, |row| {
        let run: String = row.try_get("run")?;
        let (died_at, is_async) = (wall(row.try_get("died_at")?), row.try_get("is_async")?);
        Ok(DueInquiry { run: RunId::new(run), died_at, is_async })
    })
}

/// Has providers asked about one then, or not any more.
pub(super) async fn inquire_at(
    database: &Database,
    run: &RunId,
    at: Option<Wall>,
) -> Result<(), Unavailable> {
    let sql = "UPDATE dead_letters SET inquire_at = $2 WHERE run = $1";
    database.count(Durable::Inquire, sql, &[&run.as_str(), &at.map(millis)]).await.map(drop)
}

/// Takes a run up again: it is queued, and no dead letter any more. `false`: it is none, or has changed.
pub(super) async fn reopen(database: &Database, reopened: &SealedReopened) -> Result<bool, Unavailable> {
    // The end is locked first, as by whoever ends a run.
    let sql = "WITH ended AS (SELECT run, fence FROM ends WHERE run = $1 FOR UPDATE), \
               gone AS (DELETE FROM dead_letters WHERE run = ANY (ARRAY (SELECT run FROM ended)) AND EXISTS \
               (SELECT 1 FROM progress WHERE run = $1 AND revision < $5) RETURNING run), \
               over AS (DELETE FROM ends WHERE run = ANY (ARRAY (SELECT run FROM gone))), \
               back AS (UPDATE progress SET status = 'accepted', revision = $5, state = $6, resolved = $7 \
               WHERE run = ANY (ARRAY (SELECT run FROM gone))) \
               INSERT INTO queue (run, integration, rank, lane, not_before, fence, tries, cancel) \
               SELECT id, $2, $3, coalesce(client, '-'), $4, fence + 1, 0, false \
               FROM gone JOIN ended USING (run) JOIN runs ON runs.id = run WHERE runs.id = $1";
    let revision = i64::from(reopened.revision);
    let params: [Param<'_>; 7] = [
        &reopened.id,
        &reopened.integration,
        &reopened.rank,
        &reopened.not_before,
        &revision,
        &reopened.state,
        &reopened.is_resolved,
    ];
    if database.count(Durable::Reopen, sql, &params).await? == 1 {
        return Ok(true);
    }
    // Asked once more, it has been taken up already.
    let again = "SELECT run FROM progress WHERE run = $1 AND revision = $2 AND status <> 'ended'";
    Ok(!database.read(again, &[&reopened.id, &revision]).await?.is_empty())
}

/// Lets dead letters go that are old, and their runs with them at their own time.
pub(super) async fn forget_old(
    database: &Database,
    before: Wall,
    limit: usize,
) -> Result<usize, Unavailable> {
    let sql = "DELETE FROM dead_letters WHERE run = ANY (ARRAY (SELECT run FROM dead_letters WHERE died_at < $1 \
               ORDER BY run LIMIT $2))";
    database.count(Durable::ForgetOldDeadLetters, sql, &[&millis(before), &limit_of(limit)]).await
}

/// Text that a person gave, where one did.
pub(super) fn given_too(text: Option<&str>) -> Option<String> {
    text.map(given)
}
