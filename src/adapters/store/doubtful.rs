//! Claims that were refused and may be on disk all the same.
//!
//! A commit whose answer was lost may have been made. Whoever asked was told that nothing was promised, and nothing will
//! ever be sent for such a run; its key would be taken, and it would never end. So it is taken back as soon as the store
//! works again, unless somebody has leased it meanwhile.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use causeway_actors::store::NewRun;

/// The most that are remembered; beyond them the next start finds what was left.
const MAX: usize = 100_000;

/// The runs whose claims were refused.
#[derive(Default)]
pub(super) struct Doubtful {
    runs: Mutex<BTreeSet<String>>,
}

/// The ids that a claim would have written.
pub(super) fn ids_of(run: &NewRun) -> Vec<String> {
    let mut ids = vec![run.id.to_string()];
    ids.extend(run.progress.children.iter().flat_map(ids_of));
    ids
}

impl Doubtful {
    fn locked(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These may be on disk.
    pub(super) fn add(&self, ids: Vec<String>) {
        let mut runs = self.locked();
        if runs.len() < MAX {
            runs.extend(ids);
        }
    }

    /// Whether this one may be on disk and should not be.
    pub(super) fn has(&self, id: &str) -> bool {
        self.locked().contains(id)
    }

    /// These were claimed after all.
    pub(super) fn remove(&self, ids: &[String]) {
        let mut runs = self.locked();
        if !runs.is_empty() {
            ids.iter().for_each(|id| {
                runs.remove(id);
            });
        }
    }

    /// All of them, to be taken back.
    pub(super) fn all(&self) -> Vec<String> {
        self.locked().iter().cloned().collect()
    }
}
