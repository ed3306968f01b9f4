//! The store in an SQLite file.
//!
//! One thread writes (`writer`), a whole group of waiting calls in one commit, in WAL mode with `synchronous=FULL`: when
//! a call returns, the disk has it. A few connections beside it read. The file belongs to one server at a time: a lock
//! file beside it says so, and is let go when the process ends, however it ends.
//!
//! `schema` makes the tables and brings older ones up to date, `runs`, `queue`, `dead` and `control` have the statements, `readers`
//! lends connections.

mod control;
mod dead;
mod queue;
mod readers;
mod runs;
mod schema;
mod writer;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use causeway_actors::clock::Clock;
use causeway_actors::store::{
    Audited, Claimed, ConfigurationId, DeadFilter, DeadGroup, DeadLetter, Deed, Ending, Leased, NewRun,
    Parked, Progress, QueueDepth, Reopened, RunFilter, RunRecord, Store, Unavailable,
};
use causeway_core::name::{IntegrationName, RunId};
use causeway_core::time::Wall;
use rusqlite::{Connection, OpenFlags};

use super::OpenError;
use super::sealing::Keyring;
use readers::Readers;
use writer::Writer;

/// How long a statement waits for a lock that somebody else holds: an operator's shell, a backup.
const BUSY: Duration = Duration::from_secs(1);
/// The WAL is folded into the database when it has this many pages.
const CHECKPOINT_PAGES: u32 = 4000;

/// The store in a file.
pub(super) struct SqliteStore {
    keyring: Arc<Keyring>,
    writer: Writer,
    readers: Readers,
    clock: Clock,
    /// Counts leases: who goes first changes with each.
    turns: AtomicUsize,
    /// Held as long as the store is.
    _lock: File,
}

impl SqliteStore {
    /// Opens the file; makes it where there is none.
    pub(super) fn open(path: &Path, keyring: Keyring, clock: Clock) -> Result<Self, OpenError> {
        let wrong = |error: &dyn std::fmt::Display| OpenError::of(path, error);
        let lock = lock(path)?;
        let mut connection = connect(path).map_err(|error| wrong(&error))?;
        schema::bring_up_to_date(&mut connection).map_err(|error| wrong(&error))?;
        schema::check_keys(&connection, &keyring).map_err(|error| wrong(&error))?;
        // Whoever held a lease on it has ended: the file belongs to one server at a time.
        queue::release(&connection, Wall::from_unix_millis(u64::MAX)).map_err(|error| wrong(&error))?;
        let writer = Writer::start(path.to_owned(), connection, clock).map_err(|error| wrong(&error))?;
        let readers = Readers::new(path.to_owned());
        Ok(Self {
            keyring: Arc::new(keyring),
            writer,
            readers,
            clock,
            turns: AtomicUsize::new(0),
            _lock: lock,
        })
    }
}

/// Makes sure that no other server has the file.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let wrong = |error: &dyn std::fmt::Display| OpenError::of(path, error);
    let file = File::options().create(true).truncate(false).write(true).open(Path::new(&beside));
    let file = file.map_err(|error| wrong(&format!("its lock file cannot be made: {error}")))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(wrong(&"another server has it; stop that one, or give this one another `store.url`"))
        }
        Err(TryLockError::Error(error)) => Err(wrong(&format!("it cannot be locked: {error}"))),
    }
}

/// A connection that writes through to the disk.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

#[async_trait]
impl Store for SqliteStore {
    async fn claim_run(&self, run: NewRun) -> Result<Claimed, Unavailable> {
        let row = runs::Row::seal(&run, &self.keyring);
        let known = self.writer.write(move |connection| runs::claim(connection, &row)).await?;
        match known {
            None => Ok(Claimed::New),
            Some(known) => known.open(&self.keyring).map(Claimed::Known),
        }
    }

    async fn record(&self, id: RunId, fence: u32, progress: Progress) -> Result<bool, Unavailable> {
        let standing = runs::Standing::seal(&id, fence, &progress, &self.keyring);
        self.writer.write(move |connection| runs::record(connection, &standing)).await
    }

    async fn finish_run(&self, ending: Ending) -> Result<bool, Unavailable> {
        let end = runs::End::seal(&ending, &self.keyring);
        self.writer.write(move |connection| runs::finish(connection, &end)).await
    }

    async fn lease(
        &self,
        integration: IntegrationName,
        until: Wall,
        limit: usize,
    ) -> Result<Vec<Leased>, Unavailable> {
        let (now, turn) = (self.clock.now().wall, self.turns.fetch_add(1, Ordering::Relaxed));
        let lease =
            move |connection: &Connection| queue::lease(connection, &integration, now, until, limit, turn);
        let leased = self.writer.write(lease).await?;
        leased.into_iter().map(|leased| leased.open(&self.keyring)).collect()
    }

    async fn heartbeat(&self, runs: Vec<(RunId, u32)>, until: Wall) -> Result<Vec<RunId>, Unavailable> {
        self.writer.write(move |connection| queue::heartbeat(connection, &runs, until)).await
    }

    async fn park(&self, parked: Parked) -> Result<bool, Unavailable> {
        let parked = queue::SealedPark::seal(&parked, &self.keyring);
        self.writer.write(move |connection| queue::park(connection, &parked)).await
    }

    async fn cancel_run(&self, id: RunId) -> Result<bool, Unavailable> {
        self.writer.write(move |connection| queue::cancel(connection, &id)).await
    }

    async fn dead_letters(&self, filter: DeadFilter, limit: usize) -> Result<Vec<DeadLetter>, Unavailable> {
        let found = self.readers.read(move |connection| dead::list(connection, &filter, limit)).await?;
        found.into_iter().map(|letter| letter.open(&self.keyring)).collect()
    }

    async fn dead_groups(&self) -> Result<Vec<DeadGroup>, Unavailable> {
        self.readers.read(dead::groups).await
    }

    async fn dead_run(&self, id: RunId) -> Result<Option<NewRun>, Unavailable> {
        let found = self.readers.read(move |connection| dead::run(connection, &id)).await?;
        found.map(|found| found.open(&self.keyring)).transpose()
    }

    async fn reopen(&self, reopened: Reopened) -> Result<bool, Unavailable> {
        let reopened = dead::SealedReopened::seal(&reopened, &self.keyring);
        self.writer.write(move |connection| dead::reopen(connection, &reopened)).await
    }

    async fn forget_dead_letter(&self, id: RunId) -> Result<bool, Unavailable> {
        self.writer.write(move |connection| dead::forget(connection, &id)).await
    }

    async fn forget_old_dead_letters(&self, before: Wall, limit: usize) -> Result<usize, Unavailable> {
        self.writer.write(move |connection| dead::forget_old(connection, before, limit)).await
    }

    async fn audit(&self, deed: Deed) -> Result<(), Unavailable> {
        self.writer.write(move |connection| control::audit(connection, &deed)).await
    }

    async fn controls(&self) -> Result<Vec<(String, String)>, Unavailable> {
        self.readers.read(control::controls).await
    }

    async fn trail(&self, before: Option<i64>, limit: usize) -> Result<Vec<Audited>, Unavailable> {
        self.readers.read(move |connection| control::trail(connection, before, limit)).await
    }

    async fn forget_old_deeds(&self, before: Wall, limit: usize) -> Result<usize, Unavailable> {
        self.writer.write(move |connection| control::forget_old(connection, before, limit)).await
    }

    async fn release(&self, by: Wall) -> Result<usize, Unavailable> {
        self.writer.write(move |connection| queue::release(connection, by)).await
    }

    async fn queues(&self) -> Result<Vec<QueueDepth>, Unavailable> {
        let now = self.clock.now().wall;
        let depths = self.readers.read(move |connection| queue::depths(connection, now)).await?;
        let depth = |(name, counts): (String, queue::QueueCounts)| {
            let name = IntegrationName::new(&name).map_err(|error| Unavailable(error.to_string()))?;
            Ok(counts.of(name))
        };
        depths.into_iter().map(depth).collect()
    }

    async fn forget_run(&self, id: RunId) -> Result<(), Unavailable> {
        self.writer.write(move |connection| runs::forget(connection, &id)).await
    }

    async fn run(&self, id: RunId) -> Result<Option<RunRecord>, Unavailable> {
        let keyring = Arc::clone(&self.keyring);
        let found = self.readers.read(move |connection| runs::one(connection, &id)).await?;
        found.map(|found| found.open(&keyring)).transpose()
    }

    async fn runs(&self, filter: RunFilter, limit: usize) -> Result<Vec<RunRecord>, Unavailable> {
        let keyring = Arc::clone(&self.keyring);
        let found = self.readers.read(move |connection| runs::list(connection, &filter, limit)).await?;
        found.into_iter().map(|found| found.open(&keyring)).collect()
    }

    async fn unfinished_runs(&self) -> Result<Vec<RunId>, Unavailable> {
        self.readers.read(runs::unfinished_ids).await
    }

    async fn unfinished(&self, id: RunId) -> Result<Option<NewRun>, Unavailable> {
        let keyring = Arc::clone(&self.keyring);
        let found = self.readers.read(move |connection| runs::unfinished(connection, &id)).await?;
        found.map(|found| found.open(&keyring)).transpose()
    }

    async fn keep_configuration(&self, id: ConfigurationId, files: Bytes) -> Result<(), Unavailable> {
        let (sealed, at) = (runs::seal_configuration(id, &files, &self.keyring), self.clock.now().wall);
        self.writer.write(move |connection| runs::keep_configuration(connection, id, &sealed, at)).await
    }

    async fn configuration(&self, id: ConfigurationId) -> Result<Option<Bytes>, Unavailable> {
        let keyring = Arc::clone(&self.keyring);
        let found = self.readers.read(move |connection| runs::configuration(connection, id)).await?;
        found.map(|sealed| runs::open_configuration(id, &sealed, &keyring)).transpose()
    }

    async fn forget_old_runs(&self, before: Wall, limit: usize) -> Result<usize, Unavailable> {
        self.writer.write(move |connection| runs::forget_old(connection, before, limit)).await
    }

    async fn check(&self) -> Result<(), Unavailable> {
        let at = self.clock.now().wall;
        self.writer.write(move |connection| schema::touch(connection, at)).await
    }
}
