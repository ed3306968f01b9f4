//! The last good results, shared by all routers of the process: what one has read another may serve.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use causeway_core::json::Json;
use causeway_core::stale::{StaleKey, StaleResults};
use causeway_core::time::Mono;

/// The results kept. A lock is held for a look into a map; only steps that may be served stale come here.
#[derive(Debug, Default)]
pub struct StaleStore(Mutex<StaleResults>);

impl StaleStore {
    /// Keeps a result that has just come.
    pub(crate) fn keep(&self, now: Mono, key: StaleKey, result: Json) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keep(now, key, result);
    }

    /// The last good result, if it is not older than `within`.
    pub(crate) fn recall(&self, now: Mono, key: &StaleKey, within: Duration) -> Option<Json> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).recall(now, key, within)
    }
}
