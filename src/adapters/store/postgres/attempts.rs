//! What is written and read of attempts. Each may be done twice.

use causeway_actors::store::{AttemptFilter, Unavailable};
use causeway_core::time::Wall;

use super::super::rows::{KeptAttempt, SealedAttempt, attempt_columns, millis, youngest};
use super::database::{Database, Param};
use super::dead::given;
use super::runs::{Conditions, each, limit_of};
use crate::failpoint::Durable;

/// Writes attempts down.
pub(super) async fn append(database: &Database, attempts: &[SealedAttempt]) -> Result<(), Unavailable> {
    let text = |of: fn(&SealedAttempt) -> &str| attempts.iter().map(of).collect::<Vec<&str>>();
    let number = |of: fn(&SealedAttempt) -> i64| attempts.iter().map(of).collect::<Vec<i64>>();
    let records: Vec<&[u8]> = attempts.iter().map(|attempt| attempt.record.as_slice()).collect();
    let params: [Param<'_>; 9] = [
        &text(|attempt| &attempt.id),
        &number(|attempt| attempt.at),
        &text(|attempt| &attempt.run),
        &text(|attempt| &attempt.integration),
        &text(|attempt| &attempt.endpoint),
        &text(|attempt| &attempt.correlation_id),
        &text(|attempt| &attempt.outcome),
        &number(|attempt| attempt.status),
        &records,
    ];
    let sql = "INSERT INTO attempts (id, at, run, integration, endpoint, correlation_id, outcome, status, record) \
               SELECT * FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
               $8::bigint[], $9::bytea[]) ON CONFLICT DO NOTHING";
    database.count(Durable::AppendAttempts, sql, &params).await.map(drop)
}

/// Attempts, newest first.
pub(super) async fn list(
    database: &Database,
    filter: &AttemptFilter,
    limit: usize,
) -> Result<Vec<KeptAttempt>, Unavailable> {
    let AttemptFilter { id, run, integration, endpoint, outcome, status, correlation_id, since, before } =
        filter;
    let mut such = Conditions::default();
    for (condition, value) in [
        ("id =", id.as_deref()),
        ("run =", run.as_ref().map(causeway_core::name::RunId::as_str)),
        ("integration =", integration.as_deref()),
        ("endpoint =", endpoint.as_deref()),
        ("outcome =", outcome.as_deref()),
        ("correlation_id =", correlation_id.as_deref()),
        ("id <", before.as_deref()),
    ] {
        if let Some(value) = value {
            such.must(condition, given(value));
        }
    }
    if let Some((from, to)) = status {
        such.must("status >=", i64::from(*from));
        such.must("status <=", i64::from(*to));
    }
    if let Some(since) = since {
        such.must("at >=", millis(*since));
    }
    let (such, values) = such.end("id", limit);
    let values: Vec<Param<'_>> = values.iter().map(|value| &**value as Param<'_>).collect();
    let sql = format!("SELECT {} FROM attempts{such}", attempt_columns(id.is_some()));
    let found = database.read(&sql, &values).await?;
    each(&found, |row| {
        Ok(KeptAttempt {
            id: row.try_get(0)?,
            at: row.try_get(1)?,
            run: row.try_get(2)?,
            integration: row.try_get(3)?,
            endpoint: row.try_get(4)?,
            correlation_id: row.try_get(5)?,
            outcome: row.try_get(6)?,
            record: row.try_get(7)?,
            input: row.try_get(8)?,
        })
    })
}

/// Lets go of what is old.
pub(super) async fn forget_old(
    database: &Database,
    before: Wall,
    limit: usize,
) -> Result<usize, Unavailable> {
    let sql = "DELETE FROM attempts WHERE id = ANY (ARRAY (SELECT id FROM attempts WHERE id < $1 ORDER BY id LIMIT $2))";
    database.count(Durable::ForgetOldAttempts, sql, &[&youngest("att", before), &limit_of(limit)]).await
}
