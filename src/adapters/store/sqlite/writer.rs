//! The thread that writes: takes what waits, all of it, into one commit.
//!
//! While one group is on its way to the disk the next one gathers, so the slower the disk the larger the groups. A call
//! is answered when its group is on disk, and never before.
//!
//! # When a write fails
//!
//! If it is one call's own fault, the group is taken back and each call is written by itself. Otherwise the file is not
//! to be trusted any more: after a failed `fsync` the kernel may have forgotten what it had promised to write. The
//! connection is closed and opened anew; what the log holds is written into the database and synced once more; and the
//! group is asked again. Every call may be asked twice, so those that were on disk already find that out. If that
//! fails too, nobody is told that anything was done; the next group tries again, and so the store comes back by itself.
//!
//! # When the log is folded
//!
//! What the log holds is written into the database by this thread, between two groups: when nobody waits, or when it has become
//! long. SQLite would do it within a commit, and not say when it fails. While somebody reads, only a part could be written, and
//! SQLite would count it as written without syncing it: so nobody reads meanwhile, and nothing is folded while somebody does. Where
//! the log has become very long, whoever comes to read waits a little.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

use causeway_actors::store::Unavailable;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::super::watch::Watch;
use super::readers::Lent;
use crate::failpoint::{Durable, Moment};

/// The most calls that wait for the thread.
const MAX_WAITING: usize = 16_384;
/// The most calls in one commit.
const MAX_GROUP: usize = 1024;
/// The pages that the log has when it is folded: while nobody waits, and while somebody does.
const LOG: i32 = 500;
const LONG_LOG: i32 = 1000;
/// From so many on, those who read are waited for, and whoever comes waits meanwhile.
const VERY_LONG_LOG: i32 = 16_000;
/// For how long.
const PATIENCE: Duration = Duration::from_millis(20);

/// Hands calls to the thread.
pub(super) struct Writer {
    jobs: SyncSender<Box<dyn Job>>,
}

/// A call: it may be run several times, and is answered once.
trait Job: Send {
    fn what(&self) -> Durable;
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, committed: Result<(), Unavailable>);
}

struct Call<T, F> {
    what: Durable,
    work: F,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, Unavailable>>,
}

impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> rusqlite::Result<T> + Send,
{
    fn what(&self) -> Durable {
        self.what
    }

    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.what.reached(Moment::Before);
        self.value = Some((self.work)(connection)?);
        self.what.reached(Moment::Written);
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), Unavailable>) {
        let Self { value, reply, .. } = *self;
        let lost = || Unavailable("a call was committed without a result".to_owned());
        // Whoever asked may have left.
        let _ = reply.send(committed.and_then(|()| value.ok_or_else(lost)));
    }
}

impl Writer {
    /// Starts the thread; it ends when this is dropped.
    pub(super) fn start(
        path: PathBuf,
        connection: Connection,
        watch: Watch,
        readers: Arc<Lent>,
    ) -> Result<Self, Box<dyn Error>> {
        let (jobs, waiting) = mpsc::sync_channel(MAX_WAITING);
        let log = Arc::default();
        let connection = Some(watched(connection, &log)?);
        let thread = Thread { path, connection, watch, readers, log, folded: 0, tried: 0 };
        thread::Builder::new().name("store".to_owned()).spawn(move || thread.serve(&waiting))?;
        Ok(Self { jobs })
    }

    /// Does `work` in a transaction, and returns when that is on disk. `work` may be run more than once, and must come to
    /// the same when it finds what it did before.
    pub(super) async fn write<T, F>(&self, what: Durable, work: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answered) = oneshot::channel();
        self.jobs.try_send(Box::new(Call { what, work, value: None, reply })).map_err(
            |error| match error {
                TrySendError::Full(_) => Unavailable(format!("{MAX_WAITING} calls wait for it already")),
                TrySendError::Disconnected(_) => Unavailable("its thread has ended".to_owned()),
            },
        )?;
        answered.await.unwrap_or_else(|_| Err(Unavailable("its thread has ended".to_owned())))
    }
}

struct Thread {
    path: PathBuf,
    connection: Option<Connection>,
    watch: Watch,
    readers: Arc<Lent>,
    /// The pages that the log has.
    log: Arc<AtomicI32>,
    /// Those that it had when it was folded last, and when those who read were waited for last.
    folded: i32,
    tried: i32,
}

impl Thread {
    fn serve(mut self, waiting: &Receiver<Box<dyn Job>>) {
        let mut next = waiting.recv().ok();
        while let Some(first) = next {
            let mut group = vec![first];
            group.extend(waiting.try_iter().take(MAX_GROUP - 1));
            self.write(group);
            next = waiting.try_recv().ok();
            self.fold(next.is_some());
            next = next.or_else(|| waiting.recv().ok());
        }
    }

    /// Writes into the database what the log holds, if it is time.
    fn fold(&mut self, somebody_waits: bool) {
        let log = self.log.load(Ordering::Relaxed);
        if log < self.folded.max(self.tried) {
            // It has begun anew, as it does when all of it has been folded, unless somebody reads just then.
            (self.folded, self.tried) = (0, 0);
        }
        let Some(connection) = &self.connection else { return };
        if log - self.folded < if somebody_waits { LONG_LOG } else { LOG } {
            return;
        }
        let is_very_long = log >= VERY_LONG_LOG && log - self.tried >= LONG_LOG;
        if is_very_long {
            self.tried = log;
        }
        let patience = if is_very_long { PATIENCE } else { Duration::ZERO };
        let Some(alone) = self.readers.alone(patience) else { return };
        let folded = fold(connection, is_very_long);
        drop(alone);
        match folded {
            Ok(()) => self.folded = log,
            Err(error) => {
                self.watch.count(&error);
                self.connection = None;
            }
        }
    }

    fn write(&mut self, mut group: Vec<Box<dyn Job>>) {
        let began = self.watch.now();
        let result = match self.commit(&mut group) {
            Err(error) if group.len() > 1 && is_its_own(&error) => {
                self.watch.count(&error);
                return group.into_iter().for_each(|job| self.write(vec![job]));
            }
            Err(error) if !is_its_own(&error) => {
                self.watch.count(&error);
                self.connection = None;
                self.commit(&mut group)
            }
            done => done,
        };
        let proved = if result.is_ok() { self.prove() } else { Ok(()) };
        match result.as_ref().err().or(proved.as_ref().err()) {
            None => self.watch.works(),
            Some(error) => {
                self.connection = None;
                self.watch.count(error);
                self.watch.fails(error);
            }
        }
        self.watch.wrote(group.len(), began);
        let result = result.map_err(|error| Unavailable(error.to_string()));
        for job in group {
            job.answer(result.clone());
        }
    }

    /// Writes something where nothing could be written just now: what has been done since may have changed nothing.
    fn prove(&self) -> rusqlite::Result<()> {
        let Some(connection) = self.connection.as_ref().filter(|_| !self.watch.told().works()) else {
            return Ok(());
        };
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        connection.pragma_update(None, "user_version", version)
    }

    fn commit(&mut self, group: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            closed => {
                let opened = watched(reopen(&self.path, &self.readers)?, &self.log)?;
                self.log.store(0, Ordering::Relaxed);
                (self.folded, self.tried) = (0, 0);
                closed.insert(opened)
            }
        };
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let run = |job: &mut Box<dyn Job>| job.run(connection);
        let done = group.iter_mut().try_for_each(run);
        let done = done.and_then(|()| connection.prepare_cached("COMMIT")?.execute([]).map(drop));
        if done.is_err() && !connection.is_autocommit() {
            // What cannot be taken back is dropped with the connection.
            let _ = connection.execute_batch("ROLLBACK");
        }
        done?;
        group.iter().for_each(|job| job.what().reached(Moment::Committed));
        if group.iter().any(|job| job.what().is_lost()) {
            return Err(failure(rusqlite::ffi::SQLITE_IOERR, "its answer was lost"));
        }
        Ok(())
    }
}

/// Writes into the database what the log holds, and has it begin anew with the next write, if nobody else reads.
fn fold(connection: &Connection, and_begin_anew: bool) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    if and_begin_anew {
        connection.busy_timeout(Duration::ZERO)?;
        connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()))?;
        connection.busy_timeout(super::BUSY)?;
    }
    Ok(())
}

/// Has a connection tell how long its log is.
fn watched(mut connection: Connection, log: &Arc<AtomicI32>) -> rusqlite::Result<Connection> {
    let log = Arc::clone(log);
    connection.wal_hook(Some(move |_: &mut Wal, pages| {
        log.store(pages, Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(connection)
}

/// Opens the file after a failure, and makes sure that what its log holds is on disk.
fn reopen(path: &std::path::Path, readers: &Lent) -> rusqlite::Result<Connection> {
    let in_use = || failure(rusqlite::ffi::SQLITE_BUSY, "somebody reads it");
    let _alone = readers.alone(super::BUSY).ok_or_else(in_use)?;
    let connection = super::connect(path)?;
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        return Err(failure(rusqlite::ffi::SQLITE_BUSY, "its log is in use"));
    }
    Ok(connection)
}

fn failure(code: std::ffi::c_int, what: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(what.to_owned()))
}

/// Whether an error is about what one call asked for, and not about the file.
fn is_its_own(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => {
            matches!(code, ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
        }
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use causeway_actors::clock::Clock;

    use super::*;

    /// A thread's state, with a table of large rows that are all in the log.
    fn thread(dir: &std::path::Path) -> Thread {
        let path = dir.join("causeway.db");
        let log = Arc::default();
        let connection = watched(super::super::connect(&path).unwrap(), &log).unwrap();
        connection.execute_batch("CREATE TABLE rows (row BLOB)").unwrap();
        let watch = Watch::new(path.display().to_string(), Clock::start());
        let readers = Arc::default();
        Thread { path, connection: Some(connection), watch, readers, log, folded: 0, tried: 0 }
    }

    fn write(thread: &Thread, pages: i32) {
        let rows = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1) \
                    INSERT INTO rows SELECT zeroblob(8000) FROM n";
        thread.connection.as_ref().unwrap().execute(rows, [pages]).unwrap();
    }

    /// The pages that the log has, and how many of them are in the database.
    fn log_of(thread: &Thread) -> (i32, i32) {
        let ask = "PRAGMA wal_checkpoint(NOOP)";
        thread.connection.as_ref().unwrap().query_row(ask, [], |row| Ok((row.get(1)?, row.get(2)?))).unwrap()
    }

    #[test]
    fn the_log_is_folded_when_it_is_long_and_earlier_while_nobody_waits() {
        let dir = tempfile::tempdir().unwrap();
        let mut thread = thread(dir.path());
        write(&thread, LOG);
        thread.fold(true);
        assert!(matches!(log_of(&thread), (LOG.., 0)), "{:?}", log_of(&thread));
        thread.fold(false);
        let (log, folded) = log_of(&thread);
        assert_eq!(log, folded);
        // It begins anew, and is short.
        write(&thread, 1);
        assert!(log_of(&thread).0 < LOG / 10, "{:?}", log_of(&thread));
        thread.fold(false);
        assert_eq!(log_of(&thread).1, 0);
        write(&thread, LONG_LOG);
        thread.fold(true);
        let (log, folded) = log_of(&thread);
        assert_eq!(log, folded);
    }

    #[test]
    fn nothing_is_folded_in_part_while_somebody_reads() {
        let dir = tempfile::tempdir().unwrap();
        let mut thread = thread(dir.path());
        let readers = Arc::clone(&thread.readers);
        let read = readers.alone(Duration::ZERO).unwrap();
        write(&thread, LONG_LOG);
        thread.fold(true);
        assert_eq!(log_of(&thread).1, 0);
        write(&thread, VERY_LONG_LOG);
        thread.fold(true);
        assert_eq!(log_of(&thread).1, 0, "they were waited for in vain");
        drop(read);
        thread.fold(true);
        let (log, folded) = log_of(&thread);
        assert_eq!(log, folded);
    }

    #[test]
    fn a_file_that_somebody_reads_is_not_opened_anew_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let mut thread = thread(dir.path());
        write(&thread, LOG);
        thread.connection = None;
        let readers = Arc::clone(&thread.readers);
        let read = readers.alone(Duration::ZERO).unwrap();
        let refused = reopen(&thread.path, &readers).unwrap_err().to_string();
        assert!(refused.contains("somebody reads it"), "{refused}");
        drop(read);
        let connection = reopen(&thread.path, &readers).unwrap();
        let rows: i32 = connection.query_row("SELECT count(*) FROM rows", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, LOG);
    }

    #[test]
    fn a_log_that_somebody_keeps_from_beginning_anew_is_folded_by_what_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let mut thread = thread(dir.path());
        write(&thread, LONG_LOG);
        // Somebody else's, which the lock says nothing of.
        let other = super::super::connect(&thread.path).unwrap();
        other.execute_batch("BEGIN; SELECT count(*) FROM rows").unwrap();
        thread.fold(true);
        let first = log_of(&thread);
        write(&thread, 1);
        thread.fold(false);
        assert_eq!(log_of(&thread).1, first.1, "not again for so little");
        other.execute_batch("COMMIT").unwrap();
        write(&thread, LOG);
        thread.fold(false);
        let (log, folded) = log_of(&thread);
        assert_eq!(log, folded);
    }
}
