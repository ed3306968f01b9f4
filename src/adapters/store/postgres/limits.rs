//! What is written and read of limits. Each may be done twice.

use causeway_actors::store::Unavailable;
use causeway_core::limits::Life;
use causeway_core::time::Wall;
use deadpool_postgres::Client;

use super::super::limits::LimitRow;
use super::super::rows::{millis, wall};
use super::database::{Database, Param, execute, unavailable};
use super::runs::{each, limit_of};
use crate::failpoint::Durable;

/// Writes records down, and when the server was seen alive.
pub(super) async fn keep(database: &Database, rows: &[LimitRow], life: Life) -> Result<(), Unavailable> {
    const WRITE: &str = "INSERT INTO limits (owner, name, key, until, record) \
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::bytea[], $4::bigint[], $5::text[]) \
         ON CONFLICT (owner, name, key) DO UPDATE SET until = excluded.until, record = excluded.record";
    const DELETE: &str = "DELETE FROM limits WHERE (owner, name, key) IN \
         (SELECT * FROM UNNEST($1::text[], $2::text[], $3::bytea[]))";
    const LIVE: &str = "INSERT INTO life (id, at, ended, untold_until) VALUES (1, $1, $2, $3) ON CONFLICT (id) \
         DO UPDATE SET at = excluded.at, ended = excluded.ended, untold_until = excluded.untold_until";
    let (written, gone): (Vec<&LimitRow>, Vec<&LimitRow>) = rows.iter().partition(|row| row.record.is_some());
    let (written, gone) = (Columns::of(&written), Columns::of(&gone));
    let (at, untold) = (millis(life.at), life.untold_until.map(millis));
    let done = database
        .write(Durable::KeepLimits, 1, async |client: &Client| {
            if !written.owners.is_empty() {
                let Columns { owners, names, keys, until, records } = &written;
                let params: [Param<'_>; 5] = [owners, names, keys, until, records];
                execute(client, WRITE, &params).await?;
            }
            if !gone.owners.is_empty() {
                let params: [Param<'_>; 3] = [&gone.owners, &gone.names, &gone.keys];
                execute(client, DELETE, &params).await?;
            }
            execute(client, LIVE, &[&at, &life.ended, &untold]).await
        })
        .await;
    done.map(drop).map_err(|error| unavailable(&error))
}

/// Rows, by their columns.
struct Columns<'a> {
    owners: Vec<&'a str>,
    names: Vec<&'a str>,
    keys: Vec<&'a [u8]>,
    until: Vec<i64>,
    records: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(rows: &[&'a LimitRow]) -> Self {
        Self {
            owners: rows.iter().map(|row| row.owner.as_str()).collect(),
            names: rows.iter().map(|row| row.name.as_str()).collect(),
            keys: rows.iter().map(|row| row.key.as_slice()).collect(),
            until: rows.iter().map(|row| row.until).collect(),
            records: rows.iter().map(|row| row.record.as_deref().unwrap_or_default()).collect(),
        }
    }
}

/// Everything that is kept.
pub(super) async fn all(database: &Database) -> Result<(Vec<LimitRow>, Option<Life>), Unavailable> {
    let found = database.read("SELECT owner, name, key, until, record FROM limits", &[]).await?;
    let rows = each(&found, |row| {
        Ok(LimitRow {
            owner: row.try_get(0)?,
            name: row.try_get(1)?,
            key: row.try_get(2)?,
            until: row.try_get(3)?,
            record: row.try_get(4)?,
        })
    })?;
    let found = database.read("SELECT at, ended, untold_until FROM life", &[]).await?;
    let life = each(&found, |row| {
        let untold: Option<i64> = row.try_get(2)?;
        Ok(Life { at: wall(row.try_get(0)?), ended: row.try_get(1)?, untold_until: untold.map(wall) })
    })?;
    Ok((rows, life.into_iter().next()))
}

/// Lets go of what tells nothing any more.
pub(super) async fn forget_old(
    database: &Database,
    before: Wall,
    limit: usize,
) -> Result<usize, Unavailable> {
    let sql = "DELETE FROM limits WHERE (owner, name, key) IN \
         (SELECT owner, name, key FROM limits WHERE until < $1 ORDER BY until LIMIT $2)";
    let params: [Param<'_>; 2] = [&millis(before), &limit_of(limit)];
    database.count(Durable::ForgetOldLimits, sql, &params).await
}
