//! Folds the log into the database beside the thread that writes, so that nobody waits for it.
//!
//! What the log holds is copied in bulk over a connection of its own, while commits go on. They append meanwhile, so the log never
//! ends by that alone: the little that is left then the writer copies itself between two commits, and the next one begins
//! the log anew. A log that grows all the same, because the copying fails or is too slow, the writer folds as SQLite would.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::super::watch::Watch;

/// The log is folded into the database when it has this many pages.
const FOLD: u32 = 4000;
/// The most pages that the writer copies itself, as long as they are copied beside it.
const REST: u32 = 500;
/// The writer folds a log of so many pages, whatever that takes.
const MOST: u32 = 16_000;
/// How long a file is left alone into which nothing could be folded.
const FAILED: Duration = Duration::from_secs(1);

/// What the writer and the thread that folds tell each other.
pub(super) struct Folding {
    wake: SyncSender<()>,
    /// As far as the log has been copied.
    copied: AtomicU32,
    /// Held by whoever folds.
    turn: Mutex<()>,
}

impl Folding {
    /// Starts the thread; it ends when this is dropped by everybody else.
    pub(super) fn start(path: PathBuf, watch: Arc<Watch>) -> std::io::Result<Arc<Self>> {
        let (wake, woken) = mpsc::sync_channel(1);
        let folding = Arc::new(Self { wake, copied: AtomicU32::new(0), turn: Mutex::new(()) });
        let shared = Arc::downgrade(&folding);
        let copy = move || {
            let mut connection = None;
            while woken.recv().is_ok() {
                let Some(folding) = shared.upgrade() else { return };
                if let Err(error) = folding.copy(&mut connection, &path) {
                    connection = None;
                    watch.count(&error);
                    tracing::warn!(%error, "the log could not be folded into the database, and grows meanwhile");
                    drop(folding);
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "a thread of its own, on which nobody waits"
                    )]
                    thread::sleep(FAILED);
                }
            }
        };
        thread::Builder::new().name("store-fold".to_owned()).spawn(copy)?;
        Ok(folding)
    }

    /// Has the log of the connection that writes folded from now on.
    pub(super) fn watch(self: &Arc<Self>, connection: &mut Connection) -> rusqlite::Result<()> {
        let folding = Arc::clone(self);
        connection.wal_hook(Some(move |log: &mut Wal, pages: std::ffi::c_int| {
            folding.written(log, u32::try_from(pages).unwrap_or(0));
            Ok(())
        }))
    }

    /// Held while the log is folded in another way.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There has been a commit, and the log has so many pages.
    fn written(&self, log: &mut Wal, pages: u32) {
        if pages < FOLD {
            return;
        }
        let copied = self.copied.load(Ordering::Acquire);
        if pages >= MOST || (FOLD..=pages).contains(&copied) && pages - copied <= REST {
            // The next commit begins the log anew if all of it is copied. If not, the one after it tries again.
            self.copied.store(0, Ordering::Release);
            if let Err(error) = log.checkpoint() {
                tracing::debug!(%error, "the rest of the log could not be folded yet");
            }
            return;
        }
        // It may be awake already.
        let _ = self.wake.try_send(());
    }

    fn copy(&self, connection: &mut Option<Connection>, path: &std::path::Path) -> rusqlite::Result<()> {
        let _turn = self.turn();
        let connection = match connection {
            Some(connection) => connection,
            closed => closed.insert(super::connect(path)?),
        };
        let copied: Option<u32> =
            connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |row| {
                let (busy, copied): (i64, i64) = (row.get(0)?, row.get(2)?);
                Ok(u32::try_from(copied).ok().filter(|_| busy == 0))
            })?;
        self.copied.store(copied.unwrap_or(0), Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use causeway_actors::clock::Clock;

    use super::*;

    #[test]
    fn a_log_is_folded_while_it_is_written_and_grows_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("causeway.db");
        let mut connection = super::super::connect(&path).unwrap();
        let watch = Arc::new(Watch::new(path.display().to_string(), Clock::start()));
        let folding = Folding::start(path.clone(), watch).unwrap();
        folding.watch(&mut connection).unwrap();
        connection.execute_batch("CREATE TABLE pages (text BLOB)").unwrap();
        let (mut longest, commits) = (0, 2000_u64);
        for _ in 0..commits {
            connection.execute("INSERT INTO pages VALUES (zeroblob(65536))", []).unwrap();
            longest = longest.max(fs::metadata(dir.path().join("causeway.db-wal")).unwrap().len());
        }
        let folded = fs::metadata(&path).unwrap().len();
        // Half as long as what was written, at the most.
        let written = commits * 65536;
        assert!(folded > written / 2 && longest < written / 2, "{folded} folded, {longest} long, {written}");
        drop((connection, folding));
        let connection = super::super::connect(&path).unwrap();
        let count = connection.query_row("SELECT count(*) FROM pages", [], |row| row.get::<_, i64>(0));
        assert_eq!(count.unwrap(), i64::try_from(commits).unwrap());
    }
}
