//! Connections to the database, and how what is asked of it is done: in a transaction that proves whose it is, again
//! where that may help, and never for longer than a caller can wait.

use std::time::Duration;

use causeway_actors::store::Unavailable;
use deadpool_postgres::{
    Client, Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime,
};
use futures_util::future::join3;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::watch::Watch;
use crate::failpoint::{Durable, Moment};

/// The most connections, of those that work: one more holds the database.
const MAX_CONNECTIONS: usize = 16;
/// How long a caller waits for a connection, and for a new one to stand.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a transaction may take in all.
const TRANSACTION: Duration = Duration::from_secs(15);
/// How often something is tried that another transaction or a lost connection was in the way of.
const TRIES: usize = 3;
/// What holds for each connection. A server that acknowledges before it has written would make us do the same. There is an
/// index for all that is asked often: a plan that was made while a table was small would go through it when it is large.
pub(super) const SETUP: &str = "SET search_path TO causeway; SET causeway.serves TO on; SET statement_timeout TO '10s'; SET lock_timeout TO '5s'; \
     SET enable_seqscan TO off; SET jit TO off; \
     SET idle_in_transaction_session_timeout TO '15s'; SET default_transaction_isolation TO 'read committed'; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// A parameter of a statement.
pub(super) type Param<'a> = &'a (dyn ToSql + Sync);

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The server says so, or its connection is gone.
    #[error("{}", describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// There is no connection to be had.
    #[error("{0}")]
    Connection(String),
    /// It took too long.
    #[error("it did not answer within {} s", TRANSACTION.as_secs())]
    Slow,
    /// What is stored is not as this version writes it.
    #[error("the {0} of a row is not as this version writes it")]
    Unreadable(&'static str),
}

/// What to do about it.
enum Remedy {
    /// The same again may work.
    Again,
    /// It is the fault of one call.
    OneByOne,
    /// Nothing, now.
    None,
}

impl Failed {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Postgres(error) => match error.code() {
                None => Remedy::Again,
                Some(code)
                    if *code == SqlState::T_R_SERIALIZATION_FAILURE
                        || *code == SqlState::T_R_DEADLOCK_DETECTED =>
                {
                    Remedy::Again
                }
                Some(code) => match code.code().get(..2) {
                    Some("08" | "57") => Remedy::Again,
                    Some("22" | "23" | "54") => Remedy::OneByOne,
                    _ => Remedy::None,
                },
            },
            Self::Connection(_) | Self::Slow | Self::Unreadable(_) => Remedy::None,
        }
    }

    /// Whether a group should be written call by call.
    pub(super) fn is_of_one_call(&self) -> bool {
        matches!(self.remedy(), Remedy::OneByOne)
    }
}

/// What the server said, without what it shows of values.
pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    match (error.as_db_error(), error.source()) {
        (Some(said), _) => format!("{} ({})", said.message(), said.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

/// The database, as this server has it.
pub(super) struct Database {
    pool: Pool,
    /// `BEGIN`, and proof that it is ours.
    begin: String,
    /// The same, for what nobody was promised: it is on disk a moment after its commit.
    begin_behind: String,
    watch: Watch,
}

impl Database {
    pub(super) fn new(
        config: tokio_postgres::Config,
        tls: MakeRustlsConnect,
        epoch: i64,
        watch: Watch,
    ) -> Result<Self, Failed> {
        let manager =
            Manager::from_config(config, tls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let set_up = Hook::async_fn(|client, _| {
            Box::pin(async move { client.batch_execute(SETUP).await.map_err(HookError::Backend) })
        });
        let pool = Pool::builder(manager)
            .max_size(MAX_CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(PATIENCE))
            .post_create(set_up)
            .build()
            .map_err(|error| Failed::Connection(error.to_string()))?;
        let begin = format!("BEGIN; SELECT own({epoch})");
        let begin_behind = format!("{begin}; SET LOCAL synchronous_commit TO off");
        Ok(Self { pool, begin, begin_behind, watch })
    }

    async fn client(&self) -> Result<Client, Failed> {
        use deadpool_postgres::PoolError;
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => error.into(),
            PoolError::Timeout(_) => Failed::Connection("no connection was to be had in time".to_owned()),
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Failed::Connection(error.to_string())
            }
        })
    }

    /// Does `work` on a connection. One that anything failed on is closed: nobody gets it half way through something.
    async fn on_connection<T>(
        &self,
        work: impl AsyncFnOnce(&Client) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let client = self.client().await?;
        let done = tokio::time::timeout(TRANSACTION, work(&client)).await.unwrap_or(Err(Failed::Slow));
        if done.is_err() {
            drop(Object::take(client));
        }
        done
    }

    /// Does `work`, again where that may help.
    async fn persistently<T>(&self, work: impl AsyncFn(&Client) -> Result<T, Failed>) -> Result<T, Failed> {
        let mut tries = 1;
        loop {
            match self.on_connection(&work).await {
                Err(error) if tries < TRIES && matches!(error.remedy(), Remedy::Again) => {
                    self.watch.count(&error);
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    /// Does `work` for so many calls in a transaction, and returns when that is on disk. `work` may be done more than
    /// once, and must come to the same when it finds what it did before.
    pub(super) async fn write<T>(
        &self,
        what: Durable,
        calls: usize,
        work: impl AsyncFn(&Client) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let write = async |client: &Client| {
            client.batch_execute(&self.begin).await?;
            what.reached(Moment::Before);
            let done = work(client).await?;
            what.reached(Moment::Written);
            client.batch_execute("COMMIT").await?;
            what.reached(Moment::Committed);
            if what.is_lost() { Err(Failed::Slow) } else { Ok(done) }
        };
        self.watched(calls, write).await
    }

    /// Does one statement for so many calls, which is a transaction by itself: it is sent with `BEGIN` and `COMMIT` at once, and
    /// costs one way to the server and back.
    async fn write_alone<T>(
        &self,
        what: Durable,
        calls: usize,
        sql: &str,
        ask: impl AsyncFn(&Client, &Statement) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Failed> {
        let write = async |client: &Client| {
            let statement = client.prepare_cached(sql).await?;
            what.reached(Moment::Before);
            let work = async {
                let done = ask(client, &statement).await;
                if done.is_ok() {
                    what.reached(Moment::Written);
                }
                done
            };
            // After one that failed the others do nothing, and `COMMIT` takes back. (A `BEGIN` that somebody cancels before it is done
            // leaves the statement to itself: it is asked again, and finds what it did.)
            let begin = if what.is_promised() { &self.begin } else { &self.begin_behind };
            let (begun, done, committed) =
                join3(client.batch_execute(begin), work, client.batch_execute("COMMIT")).await;
            begun?;
            let done = done?;
            committed?;
            what.reached(Moment::Committed);
            if what.is_lost() { Err(Failed::Slow) } else { Ok(done) }
        };
        self.watched(calls, write).await
    }

    async fn watched<T>(
        &self,
        calls: usize,
        write: impl AsyncFn(&Client) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let began = self.watch.now();
        let written = self.persistently(write).await;
        match &written {
            Ok(_) => self.watch.works(),
            Err(error) => {
                self.watch.count(error);
                if !error.is_of_one_call() {
                    self.watch.fails(error);
                }
            }
        }
        self.watch.wrote(calls, began);
        written
    }

    /// Does one statement, for what it returns.
    pub(super) async fn change(
        &self,
        what: Durable,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Unavailable> {
        let changed = Alone { database: self, what, calls: 1 }.rows(sql, params).await;
        changed.map_err(|error| unavailable(&error))
    }

    /// Does one statement, for how many rows it is about.
    pub(super) async fn count(
        &self,
        what: Durable,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<usize, Unavailable> {
        let ask = async |client: &Client, statement: &Statement| client.execute(statement, params).await;
        let changed = self.write_alone(what, 1, sql, ask).await;
        changed.map(|rows| usize::try_from(rows).unwrap_or(usize::MAX)).map_err(|error| unavailable(&error))
    }

    /// Reads.
    pub(super) async fn read(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Unavailable> {
        let read = self.persistently(async |client: &Client| rows(client, sql, params).await).await;
        read.map_err(|error| unavailable(&error))
    }
}

pub(super) fn unavailable(error: &Failed) -> Unavailable {
    Unavailable(error.to_string())
}

/// Whom a statement is given to, for what it returns.
pub(super) trait Ask {
    /// Does it.
    async fn rows(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Failed>;
}

/// In the middle of a transaction.
impl Ask for Client {
    async fn rows(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Failed> {
        rows(self, sql, params).await
    }
}

/// As a transaction by itself.
pub(super) struct Alone<'a> {
    pub(super) database: &'a Database,
    pub(super) what: Durable,
    /// How many calls are written.
    pub(super) calls: usize,
}

impl Ask for Alone<'_> {
    async fn rows(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Failed> {
        let Self { database, what, calls } = *self;
        let ask = async |client: &Client, statement: &Statement| client.query(statement, params).await;
        database.write_alone(what, calls, sql, ask).await
    }
}

/// Does a statement, for what it returns.
pub(super) async fn rows(client: &Client, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Failed> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, params).await?)
}

/// Does a statement, for how many rows it is about.
pub(super) async fn execute(client: &Client, sql: &str, params: &[Param<'_>]) -> Result<usize, Failed> {
    let statement = client.prepare_cached(sql).await?;
    Ok(usize::try_from(client.execute(&statement, params).await?).unwrap_or(usize::MAX))
}
