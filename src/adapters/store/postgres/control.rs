//! What is written and read of operators' commands.

use causeway_actors::store::{Audited, Control, Deed, Unavailable};
use causeway_core::time::Wall;

use super::super::rows::{millis, wall};
use super::database::{Database, Param};
use super::dead::given_too;
use super::runs::{each, limit_of};
use crate::failpoint::Durable;

/// Writes down who does what, and with it what holds from then on.
pub(super) async fn audit(database: &Database, deed: &Deed) -> Result<(), Unavailable> {
    const INSERT: &str =
        "INSERT INTO audit (at, operator, action, subject, reason) VALUES ($1, $2, $3, $4, $5)";
    let reason = given_too(deed.reason.as_deref());
    let at = millis(deed.at);
    let said: [Param<'_>; 5] = [&at, &deed.operator, &deed.action, &deed.subject, &reason];
    // Asked a second time, it is there twice: better than not at all.
    let done = match &deed.control {
        None => database.count(Durable::Audit, INSERT, &said).await,
        Some(Control { key, value: Some(value) }) => {
            let sql = format!(
                "WITH said AS ({INSERT}) INSERT INTO control (key, value) VALUES ($6, $7) \
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            );
            let [a, b, c, d, e] = said;
            database.count(Durable::Audit, &sql, &[a, b, c, d, e, key, value]).await
        }
        Some(Control { key, value: None }) => {
            let [a, b, c, d, e] = said;
            let sql = format!("WITH said AS ({INSERT}) DELETE FROM control WHERE key = $6");
            database.count(Durable::Audit, &sql, &[a, b, c, d, e, key]).await
        }
    };
    done.map(drop)
}

/// Writes down what holds from now on.
pub(super) async fn keep(database: &Database, control: &Control) -> Result<(), Unavailable> {
    let Control { key, value } = control;
    let done = match value {
        Some(value) => {
            let sql = "INSERT INTO control (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
            database.count(Durable::Keep, sql, &[key, value]).await
        }
        None => database.count(Durable::Keep, "DELETE FROM control WHERE key = $1", &[key]).await,
    };
    done.map(drop)
}

/// Everything that operators have said and that holds.
pub(super) async fn controls(database: &Database) -> Result<Vec<(String, String)>, Unavailable> {
    let found = database.read("SELECT key, value FROM control ORDER BY key", &[]).await?;
    each(&found, |row| Ok((row.try_get(0)?, row.try_get(1)?)))
}

/// Who has said what, newest first.
pub(super) async fn trail(
    database: &Database,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<Audited>, Unavailable> {
    let sql =
        "SELECT id, at, operator, action, subject, reason FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2";
    let found = database.read(sql, &[&before.unwrap_or(i64::MAX), &limit_of(limit)]).await?;
    each(&found, |row| {
        Ok(Audited {
            id: row.try_get("id")?,
            at: wall(row.try_get("at")?),
            operator: row.try_get("operator")?,
            action: row.try_get("action")?,
            subject: row.try_get("subject")?,
            reason: row.try_get("reason")?,
        })
    })
}

/// Lets go of what is old.
pub(super) async fn forget_old(
    database: &Database,
    before: Wall,
    limit: usize,
) -> Result<usize, Unavailable> {
    let sql =
        "DELETE FROM audit WHERE id = ANY (ARRAY (SELECT id FROM audit WHERE at < $1 ORDER BY id LIMIT $2))";
    database.count(Durable::ForgetOldDeeds, sql, &[&millis(before), &limit_of(limit)]).await
}
