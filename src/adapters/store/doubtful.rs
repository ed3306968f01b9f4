//! Claims that were refused and may be on disk all the same.
//!
//! A commit whose answer was lost may have been made. Whoever asked was told that nothing was promised, and nothing will
//! ever be sent for such a run; its key would be taken, and it would never end. So it is taken back as soon as the store
//! works again, unless somebody has leased it meanwhile.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use causeway_actors::store::{Claimed, NewRun, Unavailable};
use causeway_core::name::RunId;
use causeway_core::time::Mono;

/// The most that are remembered; beyond them the next start finds what was left.
const MAX: usize = 100_000;

/// The runs whose claims were refused.
#[derive(Default)]
pub(super) struct Doubtful {
    /// When they were refused.
    runs: Mutex<BTreeMap<String, Mono>>,
}

/// The ids that a claim would have written.
pub(super) fn ids_of(run: &NewRun) -> Vec<RunId> {
    let mut ids = vec![run.id.clone()];
    ids.extend(run.progress.children.iter().flat_map(ids_of));
    ids
}

impl Doubtful {
    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Mono>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These may be on disk.
    pub(super) fn add(&self, ids: &[RunId], now: Mono) {
        let mut runs = self.locked();
        if runs.len() < MAX {
            runs.extend(ids.iter().map(|id| (id.to_string(), now)));
        }
    }

    /// Whether this one may be on disk and should not be.
    pub(super) fn has(&self, id: &str) -> bool {
        self.locked().contains_key(id)
    }

    /// These were claimed after all.
    pub(super) fn remove(&self, ids: &[RunId]) {
        let mut runs = self.locked();
        if !runs.is_empty() {
            ids.iter().for_each(|id| {
                runs.remove(id.as_str());
            });
        }
    }

    /// Whether a key was found taken by one that nobody was promised.
    pub(super) fn has_taken(&self, claimed: &Result<Claimed, Unavailable>) -> bool {
        matches!(claimed, Ok(Claimed::Known(known)) if self.has(known.id.as_str()))
    }

    /// What has become of a claim that would have written these.
    pub(super) fn follow(&self, claimed: &Result<Claimed, Unavailable>, ids: &[RunId], now: Mono) {
        match claimed {
            Ok(_) => self.remove(ids),
            Err(_) => self.add(ids, now),
        }
    }

    /// All of them, to be taken back.
    pub(super) fn all(&self) -> Vec<String> {
        self.locked().keys().cloned().collect()
    }

    /// These are not on disk at `now`; those that were refused less than `late` ago may still get there.
    pub(super) fn taken_back(&self, ids: &[String], now: Mono, late: Duration) {
        let mut runs = self.locked();
        for id in ids {
            if runs.get(id).is_some_and(|refused| now.since(*refused) >= late) {
                runs.remove(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_get_there_late_is_taken_back_again() {
        let (doubtful, late) = (Doubtful::default(), Duration::from_secs(60));
        let at = |secs| Mono::from_origin(Duration::from_secs(secs));
        doubtful.add(&[RunId::new("run_1")], at(0));
        doubtful.add(&[RunId::new("run_2")], at(30));
        doubtful.taken_back(&doubtful.all(), at(59), late);
        assert_eq!(doubtful.all(), ["run_1", "run_2"]);
        doubtful.taken_back(&doubtful.all(), at(60), late);
        assert_eq!(doubtful.all(), ["run_2"]);
        doubtful.remove(&[RunId::new("run_2")]);
        assert!(!doubtful.has("run_2"));
    }
}
