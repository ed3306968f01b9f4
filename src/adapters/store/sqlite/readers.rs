//! Connections that only read, lent to threads for blocking work.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use causeway_actors::store::Unavailable;
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use rusqlite::Connection;
use tokio::sync::Semaphore;

/// The most reads at once.
const MAX_READS: usize = 4;

/// Lends connections.
pub(super) struct Readers {
    path: Arc<PathBuf>,
    lent: Arc<Lent>,
    permits: Semaphore,
}

/// What is known of the connections.
#[derive(Default)]
pub(super) struct Lent {
    idle: Mutex<Vec<Connection>>,
    /// Held while something is read.
    reading: RwLock<()>,
}

impl Lent {
    /// Keeps everybody from reading as long as it is held, if those who do come to an end within `patience`.
    pub(super) fn alone(&self, patience: Duration) -> Option<RwLockWriteGuard<'_, ()>> {
        self.reading.try_write_for(patience)
    }
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path: Arc::new(path), lent: Arc::default(), permits: Semaphore::new(MAX_READS) }
    }

    /// Its connections, for whoever has to be alone.
    pub(super) fn lent(&self) -> Arc<Lent> {
        Arc::clone(&self.lent)
    }

    /// Reads something.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let _permit = self.permits.acquire().await.map_err(|_| Unavailable("it is closed".to_owned()))?;
        let (path, lent) = (Arc::clone(&self.path), Arc::clone(&self.lent));
        let done = tokio::task::spawn_blocking(move || {
            let _reading = lent.reading.read();
            let idle = lent.idle.lock().pop();
            let connection = match idle {
                Some(connection) => connection,
                None => open(&path)?,
            };
            let value = read(&connection)?;
            // One that has failed is not lent again.
            lent.idle.lock().push(connection);
            Ok(value)
        });
        let done: rusqlite::Result<T> =
            done.await.map_err(|_| Unavailable("a read ended without a result".to_owned()))?;
        done.map_err(|error| Unavailable(error.to_string()))
    }
}

fn open(path: &std::path::Path) -> rusqlite::Result<Connection> {
    let connection = super::connect(path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}
