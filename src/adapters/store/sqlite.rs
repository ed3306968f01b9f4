//! The store in an SQLite file.
//!
//! One thread writes (`writer`), a whole group of waiting calls in one commit, in WAL mode with `synchronous=FULL`: when
//! a call returns, the disk has it. A few connections beside it read. The file belongs to one server at a time: a lock
//! file beside it says so, and is let go when the process ends, however it ends.
//!
//! `schema` makes the tables and brings older ones up to date, `runs`, `queue`, `dead`, `configurations`, `control`, `limits` and `attempts`
//! have the statements, `readers` lends connections.

mod attempts;
mod configurations;
mod control;
mod dead;
mod limits;
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
    Attempt, AttemptFilter, Audited, Claimed, ConfigurationId, Control, DeadFilter, DeadGroup, DeadLetter,
    Deed, DueInquiry, Ending, Known, Leased, NewRun, Parked, Progress, QueueDepth, Reopened, RunFilter,
    RunRecord, Store, Unavailable,
};
use causeway_core::limits::{Life, Record};
use causeway_core::name::{IntegrationName, RunId};
use causeway_core::time::Wall;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::OpenError;
use super::doubtful::{self, Doubtful};
use super::limits::LimitRow;
use super::recent::Recent;
use super::rows;
use super::sealing::Keyring;
use super::watch::{Watch, Works};
use crate::failpoint::{Durable, Moment};
use readers::Readers;
use writer::Writer;

/// How long a statement waits for a lock that somebody else holds: an operator's shell, a backup.
const BUSY: Duration = Duration::from_secs(1);
/// The bytes of a page, of files made from now on. A run and an attempt are two thousand bytes each: on smaller pages half of
/// each lies idle, on larger ones a lone commit writes more than it has to say.
const PAGE: u32 = 8192;

/// The store in a file.
pub(super) struct SqliteStore {
    keyring: Arc<Keyring>,
    writer: Writer,
    readers: Readers,
    clock: Clock,
    /// Counts leases: who goes first changes with each.
    turns: AtomicUsize,
    doubtful: Doubtful,
    recent: Arc<Recent>,
    works: Works,
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
        take_over(&connection).map_err(|error| wrong(&error))?;
        // What brings a file up to date may have gone through all of it.
        connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|error| wrong(&error))?;
        let readers = Readers::new(path.to_owned());
        let watch = Watch::new(path.display().to_string(), clock);
        let works = watch.told();
        let writer = Writer::start(path.to_owned(), connection, watch, readers.lent())
            .map_err(|error| wrong(&error))?;
        Ok(Self {
            keyring: Arc::new(keyring),
            writer,
            readers,
            clock,
            turns: AtomicUsize::new(0),
            doubtful: Doubtful::default(),
            recent: Arc::default(),
            works,
            _lock: lock,
        })
    }
}

impl SqliteStore {
    async fn claim(&self, row: &Arc<rows::Row>) -> Result<Claimed, Unavailable> {
        let row = Arc::clone(row);
        let known = self.writer.write(Durable::Claim, move |connection| runs::claim(connection, &row)).await;
        match known? {
            None => Ok(Claimed::New),
            Some(known) => known.open(&self.keyring).map(Claimed::Known),
        }
    }

    /// Takes back the claims that were refused and may be on disk.
    async fn take_back(&self) -> Result<(), Unavailable> {
        let ids = self.doubtful.all();
        if ids.is_empty() {
            return Ok(());
        }
        let gone = ids.clone();
        let take_back = move |connection: &Connection| runs::take_back(connection, &gone);
        let taken = self.writer.write(Durable::TakeBack, take_back).await?;
        self.doubtful.taken_back(&ids, self.clock.mono(), Duration::ZERO);
        if taken > 0 {
            tracing::warn!(
                runs = taken,
                "runs that were refused while the store failed were on disk: they are taken back"
            );
        }
        Ok(())
    }
}

/// Whoever held a lease on it has ended: the file belongs to one server at a time.
fn take_over(connection: &Connection) -> rusqlite::Result<()> {
    Durable::Recover.reached(Moment::Before);
    let transaction = connection.unchecked_transaction()?;
    runs::mark_recovered(&transaction)?;
    let leases = queue::release(&transaction, Wall::from_unix_millis(u64::MAX))?;
    Durable::Recover.reached(Moment::Written);
    transaction.commit()?;
    Durable::Recover.reached(Moment::Committed);
    super::tell_of_leases(leases);
    Ok(())
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
    // A statement is planned once, and not again for each value that is bound to it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Where there is a file already, it keeps its own.
    connection.pragma_update(None, "page_size", PAGE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // The thread that writes does it, and is told when it fails.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

#[async_trait]
impl Store for SqliteStore {
    async fn claim_run(&self, run: NewRun) -> Result<Claimed, Unavailable> {
        let (id, ids) = (run.id.clone(), doubtful::ids_of(&run));
        let row = Arc::new(rows::Row::seal(&run, &self.keyring));
        // Before it is on disk, for it may be leased as soon as it is.
        self.recent.keep(run, self.clock.now().wall);
        let mut claimed = self.claim(&row).await;
        if !matches!(claimed, Ok(Claimed::New)) {
            self.recent.forget(id.as_str());
        }
        if self.doubtful.has_taken(&claimed) {
            self.take_back().await?;
            claimed = self.claim(&row).await;
        }
        self.doubtful.follow(&claimed, &ids, self.clock.mono());
        claimed
    }

    async fn known(&self, scope: [u8; 32], at: Wall) -> Result<Option<Known>, Unavailable> {
        let at = rows::millis(at);
        let found = self.readers.read(move |connection| runs::known_at(connection, &scope, at)).await?;
        let found = found.map(|known| known.open(&self.keyring)).transpose()?;
        // One that nobody was promised is as good as gone.
        Ok(found.filter(|known| !self.doubtful.has(known.id.as_str())))
    }

    async fn record(&self, id: RunId, fence: u32, progress: Progress) -> Result<bool, Unavailable> {
        let standing = rows::Standing::seal(&id, fence, &progress, &self.keyring);
        self.writer.write(Durable::Record, move |connection| runs::record(connection, &standing)).await
    }

    async fn finish_run(&self, ending: Ending) -> Result<bool, Unavailable> {
        let end = rows::End::seal(&ending, &self.keyring);
        self.writer.write(Durable::Finish, move |connection| runs::finish(connection, &end)).await
    }

    async fn lease(
        &self,
        integration: IntegrationName,
        until: Wall,
        limit: usize,
    ) -> Result<Vec<Leased>, Unavailable> {
        let (now, turn) = (self.clock.now().wall, self.turns.fetch_add(1, Ordering::Relaxed));
        let recent = Arc::clone(&self.recent);
        let lease = move |connection: &Connection| {
            queue::lease(connection, &recent, &integration, (now, until), limit, turn)
        };
        let leased = self.writer.write(Durable::Lease, lease).await?;
        Ok(rows::open_leases(leased, &self.keyring))
    }

    fn works(&self) -> bool {
        self.works.works()
    }

    async fn lease_cancelled(
        &self,
        integration: IntegrationName,
        until: Wall,
        limit: usize,
    ) -> Result<Vec<Leased>, Unavailable> {
        let recent = Arc::clone(&self.recent);
        let lease = move |connection: &Connection| {
            queue::lease_cancelled(connection, &recent, &integration, until, limit)
        };
        let leased = self.writer.write(Durable::Lease, lease).await?;
        Ok(rows::open_leases(leased, &self.keyring))
    }

    async fn heartbeat(&self, runs: Vec<(RunId, u32)>, until: Wall) -> Result<Vec<RunId>, Unavailable> {
        self.writer
            .write(Durable::Heartbeat, move |connection| queue::heartbeat(connection, &runs, until))
            .await
    }

    async fn park(&self, parked: Parked) -> Result<bool, Unavailable> {
        let parked = rows::SealedPark::seal(&parked, &self.keyring);
        self.writer.write(Durable::Park, move |connection| queue::park(connection, &parked)).await
    }

    async fn cancel_run(&self, id: RunId) -> Result<bool, Unavailable> {
        self.writer.write(Durable::Cancel, move |connection| queue::cancel(connection, &id)).await
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
        let reopened = rows::SealedReopened::seal(&reopened, &self.keyring);
        self.writer.write(Durable::Reopen, move |connection| dead::reopen(connection, &reopened)).await
    }

    async fn due_inquiries(&self, by: Wall, limit: usize) -> Result<Vec<DueInquiry>, Unavailable> {
        self.readers.read(move |connection| dead::due_inquiries(connection, by, limit)).await
    }

    async fn inquire_at(&self, run: RunId, at: Option<Wall>) -> Result<(), Unavailable> {
        self.writer.write(Durable::Inquire, move |connection| dead::inquire_at(connection, &run, at)).await
    }

    async fn forget_dead_letter(&self, id: RunId) -> Result<bool, Unavailable> {
        self.writer.write(Durable::ForgetDeadLetter, move |connection| dead::forget(connection, &id)).await
    }

    async fn forget_old_dead_letters(&self, before: Wall, limit: usize) -> Result<usize, Unavailable> {
        self.writer
            .write(Durable::ForgetOldDeadLetters, move |connection| {
                dead::forget_old(connection, before, limit)
            })
            .await
    }

    async fn audit(&self, deed: Deed) -> Result<(), Unavailable> {
        self.writer.write(Durable::Audit, move |connection| control::audit(connection, &deed)).await
    }

    async fn keep(&self, held: Control) -> Result<(), Unavailable> {
        self.writer.write(Durable::Keep, move |connection| control::keep(connection, &held)).await
    }

    async fn controls(&self) -> Result<Vec<(String, String)>, Unavailable> {
        self.readers.read(control::controls).await
    }

    async fn trail(&self, before: Option<i64>, limit: usize) -> Result<Vec<Audited>, Unavailable> {
        self.readers.read(move |connection| control::trail(connection, before, limit)).await
    }

    async fn forget_old_deeds(&self, before: Wall, limit: usize) -> Result<usize, Unavailable> {
        self.writer
            .write(Durable::ForgetOldDeeds, move |connection| control::forget_old(connection, before, limit))
            .await
    }

    async fn keep_limits(&self, records: Vec<Record>, life: Life) -> Result<(), Unavailable> {
        let rows = records.iter().map(LimitRow::of).collect::<Result<Vec<_>, _>>()?;
        self.writer.write(Durable::KeepLimits, move |connection| limits::keep(connection, &rows, life)).await
    }

    async fn limits(&self) -> Result<(Vec<Record>, Option<Life>), Unavailable> {
        let (rows, life) = self.readers.read(limits::all).await?;
        Ok((rows.into_iter().map(LimitRow::open).collect::<Result<_, _>>()?, life))
    }

    async fn forget_old_limits(&self, before: Wall, limit: usize) -> Result<usize, Unavailable> {
        self.writer
            .write(Durable::ForgetOldLimits, move |connection| limits::forget_old(connection, before, limit))
            .await
    }

    async fn append_attempts(&self, attempts: Vec<Attempt>) -> Result<(), Unavailable> {
        let rows: Vec<_> =
            attempts.into_iter().map(|attempt| rows::SealedAttempt::seal(attempt, &self.keyring)).collect();
        self.writer
            .write(Durable::AppendAttempts, move |connection| attempts::append(connection, &rows))
            .await
    }

    async fn attempts(&self, filter: AttemptFilter, limit: usize) -> Result<Vec<Attempt>, Unavailable> {
        let found = self.readers.read(move |connection| attempts::list(connection, &filter, limit)).await?;
        found.into_iter().map(|attempt| attempt.open(&self.keyring)).collect()
    }

    async fn forget_old_attempts(&self, before: Wall, limit: usize) -> Result<usize, Unavailable> {
        self.writer
            .write(Durable::ForgetOldAttempts, move |connection| {
                attempts::forget_old(connection, before, limit)
            })
            .await
    }

    async fn release(&self, by: Wall) -> Result<usize, Unavailable> {
        self.take_back().await?;
        self.writer.write(Durable::Release, move |connection| queue::release(connection, by)).await
    }

    async fn queues(&self) -> Result<Vec<QueueDepth>, Unavailable> {
        let now = self.clock.now().wall;
        let depths = self.readers.read(move |connection| queue::depths(connection, now)).await?;
        let depth = |(name, counts): (String, rows::QueueCounts)| {
            let name = IntegrationName::new(&name).map_err(|error| Unavailable(error.to_string()))?;
            Ok(counts.of(name))
        };
        depths.into_iter().map(depth).collect()
    }

    async fn forget_run(&self, id: RunId) -> Result<(), Unavailable> {
        self.writer.write(Durable::Forget, move |connection| runs::forget(connection, &id)).await
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
        let (sealed, at) = (rows::seal_configuration(id, &files, &self.keyring), self.clock.now().wall);
        self.writer
            .write(Durable::KeepConfiguration, move |connection| {
                configurations::keep(connection, id, &sealed, at)
            })
            .await
    }

    async fn configuration(&self, id: ConfigurationId) -> Result<Option<Bytes>, Unavailable> {
        let keyring = Arc::clone(&self.keyring);
        let found = self.readers.read(move |connection| configurations::one(connection, id)).await?;
        found.map(|sealed| rows::open_configuration(id, &sealed, &keyring)).transpose()
    }

    async fn forget_old_configurations(
        &self,
        current: Vec<ConfigurationId>,
        before: Wall,
        limit: usize,
    ) -> Result<usize, Unavailable> {
        // What is looked at may be much, and the thread that writes has others to serve. No run begins meanwhile with one of
        // those that are found: they are not current.
        let unused =
            self.readers.read(move |connection| configurations::unused(connection, &current, before));
        let mut unused = unused.await?;
        unused.truncate(limit);
        if unused.is_empty() {
            return Ok(0);
        }
        self.writer
            .write(Durable::ForgetOldConfigurations, move |connection| {
                configurations::forget(connection, &unused, before)
            })
            .await
    }

    async fn forget_old_runs(&self, before: Wall, limit: usize) -> Result<usize, Unavailable> {
        let now = self.clock.now().wall;
        self.writer
            .write(Durable::ForgetOldRuns, move |connection| runs::forget_old(connection, before, now, limit))
            .await
    }

    async fn check(&self) -> Result<(), Unavailable> {
        let at = self.clock.now().wall;
        self.writer.write(Durable::Check, move |connection| schema::touch(connection, at)).await
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;
    use std::io::Write;

    use causeway_actors::plan::TraceContext;
    use causeway_actors::store::{Claim, Queue};
    use causeway_core::json::Json;
    use causeway_core::name::{CorrelationId, OperationName};
    use causeway_core::operation::{Begin, CallPlan, Plan, Run, StepPlan, Steps};
    use causeway_core::priority::Priority;
    use secrecy::SecretString;

    use super::*;

    fn keyring(byte: u8) -> Keyring {
        use base64::Engine as _;
        let key = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
        Keyring::of(vec![("k1".to_owned(), SecretString::from(key))]).unwrap()
    }

    fn open(path: &Path) -> SqliteStore {
        SqliteStore::open(path, keyring(1), Clock::start()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn wrong(path: &Path, keys: Keyring) -> String {
        SqliteStore::open(path, keys, Clock::start()).err().expect("it is refused").to_string()
    }

    pub(in crate::adapters::store) fn run(
        id: &str,
        claim: Option<Claim>,
        queue: Option<&str>,
        client: Option<&str>,
    ) -> NewRun {
        let call = CallPlan {
            integration: IntegrationName::new("stripe").unwrap(),
            endpoint: causeway_core::name::EndpointName::new("charge").unwrap(),
            endpoint_index: 0,
            resend: causeway_core::idempotency::Resend::Never,
            verify: None,
            revision: 0,
        };
        let plan = Plan {
            operation: OperationName::new("pay").unwrap(),
            version: 1,
            deadline: Duration::from_secs(1),
            priority: Priority::Normal,
            steps: Steps::new(vec![StepPlan::new(causeway_core::name::StepName::new("a").unwrap(), call)])
                .unwrap(),
            result: None,
        };
        let correlation_id = CorrelationId::new("c").unwrap();
        let begin = Begin {
            id: RunId::new(id),
            correlation_id: correlation_id.clone(),
            plan: Arc::new(plan),
            input: Json::of(&"4242 4242"),
            budget: None,
            wait: None,
        };
        let begun = Run::begin(begin, Clock::start().now());
        NewRun {
            id: RunId::new(id),
            client: client.map(|name| causeway_core::name::ClientName::new(name).unwrap()),
            operation: OperationName::new("pay").unwrap(),
            version: 1,
            correlation_id,
            trace: TraceContext::unrecorded(7),
            priority: Priority::Normal,
            created_at: Wall::from_unix_millis(1),
            claim,
            configuration: ConfigurationId::default(),
            input: Json::of(&"4242 4242"),
            progress: Progress::of(&begun),
            part: None,
            queue: queue.map(|name| Queue {
                integration: IntegrationName::new(name).unwrap(),
                not_before: Wall::from_unix_millis(1),
            }),
        }
    }

    #[test]
    fn a_file_that_is_not_ours_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let foreign = dir.path().join("foreign.db");
        Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
        assert!(wrong(&foreign, keyring(1)).contains("another program"), "{}", wrong(&foreign, keyring(1)));
        let text = dir.path().join("text.db");
        fs::write(&text, "not a database, and long enough to be taken for one: ".repeat(40)).unwrap();
        assert!(wrong(&text, keyring(1)).contains("not a database"));
        assert!(fs::read_to_string(&text).unwrap().starts_with("not a database"), "nothing was changed");
    }

    #[test]
    fn one_of_a_newer_version_or_sealed_under_another_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("causeway.db");
        drop(open(&path));
        let other = wrong(&path, keyring(2));
        assert!(other.contains("damaged") || other.contains("not configured"), "{other}");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", 1000).unwrap();
        drop(connection);
        let newer = wrong(&path, keyring(1));
        assert!(newer.contains("version 1000") && newer.contains("newer Causeway"), "{newer}");
    }

    #[tokio::test]
    async fn one_of_every_older_version_is_brought_up_to_date() {
        for version in 1..schema::STEPS.len() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("causeway.db");
            let connection = Connection::open(&path).unwrap();
            for step in &schema::STEPS[..version] {
                connection.execute_batch(step).unwrap();
            }
            connection.pragma_update(None, "application_id", schema::APPLICATION_ID).unwrap();
            connection.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
            let old = "INSERT INTO runs (id, operation, version, correlation_id, trace, priority, status, revision, created_at, \
                       configuration, input) VALUES ('run_old', 'pay', 1, 'c', 't', 'normal', 'succeeded', 0, 1, x'00', x'00')";
            connection.execute(old, []).unwrap();
            drop(connection);
            let store = open(&path);
            assert!(store.run(RunId::new("run_old")).await.unwrap().is_some(), "from version {version}");
            assert!(matches!(store.claim_run(run("run_new", None, None, None)).await, Ok(Claimed::New)));
        }
    }

    #[tokio::test]
    async fn a_log_with_a_torn_tail_loses_nothing_that_was_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let (path, copy) = (dir.path().join("causeway.db"), dir.path().join("copy.db"));
        let store = open(&path);
        for n in 0..20 {
            store.claim_run(run(&format!("run_{n:02}"), None, None, None)).await.unwrap();
        }
        // As the disk would be found after the power had gone in the middle of a write.
        for end in ["", "-wal"] {
            fs::copy(format!("{}{end}", path.display()), format!("{}{end}", copy.display())).unwrap();
        }
        let log = fs::File::options().append(true).open(format!("{}-wal", copy.display()));
        log.unwrap().write_all(&[0xa5; 6000]).unwrap();
        drop(store);
        let store = open(&copy);
        assert_eq!(store.unfinished_runs().await.unwrap().len(), 20);
        assert_eq!(
            store.unfinished(RunId::new("run_19")).await.unwrap().unwrap().input,
            Json::of(&"4242 4242")
        );
    }

    #[tokio::test]
    async fn what_was_refused_and_is_on_disk_all_the_same_is_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir.path().join("causeway.db"));
        let claim = Claim { scope: [1; 32], fingerprint: [2; 32], retention: Duration::from_secs(60) };
        let of = |id: &str| run(id, Some(claim), None, None);
        // As if each had been told that the store failed.
        for refused in
            [of("run_1"), run("run_2", None, Some("stripe"), None), run("run_3", None, Some("stripe"), None)]
        {
            store.claim_run(refused.clone()).await.unwrap();
            store.doubtful.add(&doubtful::ids_of(&refused), store.clock.mono());
        }
        let stripe = IntegrationName::new("stripe").unwrap();
        let until = Clock::start().now().wall + Duration::from_secs(60);
        let leased = store.lease(stripe, until, 1).await.unwrap();
        assert_eq!(leased[0].run.id.as_str(), "run_2");
        assert!(matches!(store.claim_run(of("run_4")).await, Ok(Claimed::New)), "its key is nobody's");
        assert!(store.run(RunId::new("run_1")).await.unwrap().is_none());
        assert!(store.run(RunId::new("run_3")).await.unwrap().is_none(), "with it went the others");
        assert!(store.run(RunId::new("run_2")).await.unwrap().is_some(), "somebody had begun with it");
        assert!(store.doubtful.all().is_empty());
        // Asked again, and promised this time.
        store.doubtful.add(&[RunId::new("run_5")], store.clock.mono());
        store.claim_run(run("run_5", None, None, None)).await.unwrap();
        store.release(until).await.unwrap();
        assert!(store.run(RunId::new("run_5")).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn nothing_that_travelled_is_on_disk_in_the_clear() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("causeway.db");
        let store = open(&path);
        store.claim_run(run("run_1", None, None, None)).await.unwrap();
        for end in ["", "-wal"] {
            let bytes = fs::read(format!("{}{end}", path.display())).unwrap();
            assert!(!bytes.windows(9).any(|window| window == b"4242 4242"), "{end}");
        }
    }
}
