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

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;

use causeway_actors::store::Unavailable;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::super::watch::Watch;
use crate::failpoint::{Durable, Moment};

/// The most calls that wait for the thread.
const MAX_WAITING: usize = 16_384;
/// The most calls in one commit.
const MAX_GROUP: usize = 1024;

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
    pub(super) fn start(path: PathBuf, connection: Connection, watch: Watch) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::sync_channel(MAX_WAITING);
        let thread = Thread { path, connection: Some(connection), watch };
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
}

impl Thread {
    fn serve(mut self, waiting: &Receiver<Box<dyn Job>>) {
        while let Ok(first) = waiting.recv() {
            let mut group = vec![first];
            group.extend(waiting.try_iter().take(MAX_GROUP - 1));
            self.write(group);
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
        match &result {
            Ok(()) => self.watch.works(),
            Err(error) => {
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

    fn commit(&mut self, group: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            closed => closed.insert(reopen(&self.path)?),
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

/// Opens the file after a failure, and makes sure that what its log holds is on disk.
fn reopen(path: &std::path::Path) -> rusqlite::Result<Connection> {
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
