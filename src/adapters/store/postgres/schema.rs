//! The tables, and how older ones are brought up to date: forwards only, each step in a transaction of its own, by the one
//! server that has the database.

use tokio_postgres::Client;

use super::super::sealing::{Keyring, Unsealable};
use super::database::describe;
use crate::failpoint::{Durable, Moment};

/// The steps, in order; one that has been released is never changed.
pub(super) const STEPS: [&str; 8] = [
    include_str!("schema/1_store.sql"),
    include_str!("schema/2_attempts.sql"),
    include_str!("schema/3_inquiries.sql"),
    include_str!("schema/4_recovered.sql"),
    include_str!("schema/5_limits.sql"),
    include_str!("schema/6_queue.sql"),
    include_str!("schema/7_progress.sql"),
    include_str!("schema/8_woken.sql"),
];

/// Whose the database is, as long as the connection stands: `CWAY`, twice.
const LOCK: &str = "SELECT pg_try_advisory_lock(4851453741531)";

/// Why a database is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    /// The server says so.
    #[error("{}", describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// A later version of this program has used it.
    #[error("it is of version {found} and this program knows {}: run a newer Causeway, or restore an older copy", STEPS.len())]
    Newer {
        /// Its version.
        found: i64,
    },
    /// What is in it cannot be read with the keys that there are.
    #[error("its content {0}; add the key to [encryption]")]
    Keys(Unsealable),
}

/// Takes the database for this connection, unless another has it.
pub(super) async fn lock(client: &Client) -> Result<bool, tokio_postgres::Error> {
    client.query_one(LOCK, &[]).await?.try_get(0)
}

/// Makes the tables, or brings them up to date.
pub(super) async fn bring_up_to_date(client: &mut Client) -> Result<(), SchemaError> {
    // Who may not make schemas may still use one that was made for it.
    let there = client.query("SELECT 1 FROM pg_namespace WHERE nspname = 'causeway'", &[]).await?;
    if there.is_empty() {
        Durable::Schema.reached(Moment::Before);
        client.batch_execute("CREATE SCHEMA causeway").await?;
    }
    client.batch_execute("CREATE TABLE IF NOT EXISTS versions (version bigint NOT NULL PRIMARY KEY)").await?;
    let version = "SELECT coalesce(max(version), 0) FROM versions";
    let found: i64 = client.query_one(version, &[]).await?.try_get(0)?;
    let newest = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if found > newest {
        return Err(SchemaError::Newer { found });
    }
    if (1..newest).contains(&found) {
        // Whoever had it may still be writing, to tables as they were.
        take(client).await?;
    }
    for (number, step) in (1..=newest).zip(STEPS).filter(|(number, _)| *number > found) {
        Durable::Schema.reached(Moment::Before);
        let transaction = client.transaction().await?;
        transaction.batch_execute(step).await?;
        transaction.execute("INSERT INTO versions (version) VALUES ($1)", &[&number]).await?;
        Durable::Schema.reached(Moment::Written);
        transaction.commit().await?;
        Durable::Schema.reached(Moment::Committed);
        tracing::info!(version = number, "the store's tables are brought up to date");
    }
    Ok(())
}

/// Makes sure that everything sealed in it can be opened, and that the key that seals is known to it.
pub(super) async fn check_keys(client: &mut Client, keyring: &Keyring) -> Result<(), SchemaError> {
    for seal in client.query("SELECT key, sealed FROM seals", &[]).await? {
        let (key, sealed): (String, Vec<u8>) = (seal.try_get(0)?, seal.try_get(1)?);
        keyring.open(&place(&key), &sealed).map_err(SchemaError::Keys)?;
    }
    let key = keyring.sealing();
    let insert = "INSERT INTO seals (key, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    Durable::Seal.reached(Moment::Before);
    let transaction = client.transaction().await?;
    transaction.execute(insert, &[&key, &keyring.seal(&place(key), b"causeway")]).await?;
    Durable::Seal.reached(Moment::Written);
    transaction.commit().await?;
    Durable::Seal.reached(Moment::Committed);
    Ok(())
}

fn place(key: &str) -> String {
    format!("seals/{key}")
}

/// Says whose the database is from now on. What its former server is writing is waited for; it writes nothing after.
pub(super) async fn take(client: &mut Client) -> Result<i64, tokio_postgres::Error> {
    Durable::Own.reached(Moment::Before);
    let transaction = client.transaction().await?;
    transaction.execute("SELECT pg_advisory_xact_lock(4851453741532)", &[]).await?;
    let epoch = transaction.query_one("UPDATE owner SET epoch = epoch + 1 RETURNING epoch", &[]).await?;
    let epoch = epoch.try_get(0)?;
    Durable::Own.reached(Moment::Written);
    transaction.commit().await?;
    Durable::Own.reached(Moment::Committed);
    Ok(epoch)
}
