//! Connections that only read, lent to threads for blocking work.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use causeway_actors::store::Unavailable;
use rusqlite::Connection;
use tokio::sync::Semaphore;

/// The most reads at once.
const MAX_READS: usize = 4;

/// Lends connections.
pub(super) struct Readers {
    path: Arc<PathBuf>,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Semaphore,
    reading: Arc<RwLock<()>>,
}

impl Readers {
    /// `reading` is held while something is read.
    pub(super) fn new(path: PathBuf, reading: Arc<RwLock<()>>) -> Self {
        Self { path: Arc::new(path), idle: Arc::default(), permits: Semaphore::new(MAX_READS), reading }
    }

    /// Reads something.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let _permit = self.permits.acquire().await.map_err(|_| Unavailable("it is closed".to_owned()))?;
        let (path, idle) = (Arc::clone(&self.path), Arc::clone(&self.idle));
        let reading = Arc::clone(&self.reading);
        let done = tokio::task::spawn_blocking(move || {
            let lent = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match lent {
                Some(connection) => connection,
                None => open(&path)?,
            };
            let is_read = reading.read().unwrap_or_else(PoisonError::into_inner);
            let value = read(&connection)?;
            drop(is_read);
            // One that has failed is not lent again.
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
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
