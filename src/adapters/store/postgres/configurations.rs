//! What is written and read of the configurations that runs began with. Each may be done twice.

use causeway_actors::store::{ConfigurationId, Unavailable};
use causeway_core::time::Wall;

use super::super::rows::millis;
use super::database::{Database, Param};
use super::runs::{each, limit_of};
use crate::failpoint::Durable;

/// Keeps the files of a configuration.
pub(super) async fn keep(
    database: &Database,
    id: ConfigurationId,
    sealed: &[u8],
    at: Wall,
) -> Result<(), Unavailable> {
    let sql = "INSERT INTO configurations (id, kept_at, files) VALUES ($1, $2, $3) \
               ON CONFLICT (id) DO UPDATE SET kept_at = excluded.kept_at";
    let params: [Param<'_>; 3] = [&id.0.as_slice(), &millis(at), &sealed];
    database.count(Durable::KeepConfiguration, sql, &params).await.map(drop)
}

/// The files of a configuration.
pub(super) async fn one(database: &Database, id: ConfigurationId) -> Result<Option<Vec<u8>>, Unavailable> {
    let found = database.read("SELECT files FROM configurations WHERE id = $1", &[&id.0.as_slice()]).await?;
    Ok(each(&found, |row| Ok(row.try_get(0)?))?.pop())
}

/// Lets go of those that were kept last before then, are none of `current`, and that no run which has not ended and no dead
/// letter began with: each part goes by an index of its own.
pub(super) async fn forget_old(
    database: &Database,
    current: &[ConfigurationId],
    before: Wall,
    limit: usize,
) -> Result<usize, Unavailable> {
    let sql = "DELETE FROM configurations WHERE id = ANY (ARRAY (SELECT id FROM configurations AS old \
               WHERE kept_at < $1 AND NOT id = ANY ($2) \
               AND NOT EXISTS (SELECT 1 FROM progress JOIN runs ON runs.id = progress.run \
               WHERE waited_for AND runs.configuration = old.id) \
               AND NOT EXISTS (SELECT 1 FROM queue JOIN runs ON runs.id = queue.run WHERE runs.configuration = old.id) \
               AND NOT EXISTS (SELECT 1 FROM dead_letters JOIN runs ON runs.id = dead_letters.run \
               WHERE runs.configuration = old.id) LIMIT $3))";
    let current: Vec<&[u8]> = current.iter().map(|id| id.0.as_slice()).collect();
    let params: [Param<'_>; 3] = [&millis(before), &current, &limit_of(limit)];
    database.count(Durable::ForgetOldConfigurations, sql, &params).await
}
