//! Runs that were claimed a moment ago and wait for their first lease: they are executed as they were claimed, and nothing of them has
//! to be read and opened again.
//!
//! It is a copy of what is on disk, and holds for the first lease alone: whoever leases a run after somebody else reads what that one has
//! written. What there is no room for, or has waited for long, is read from the disk.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use causeway_actors::store::{Leased, NewRun, Ticket};
use causeway_core::name::RunId;
use causeway_core::time::Wall;

/// The most runs that are kept.
const MAX_RUNS: usize = 4096;
/// The most bytes of inputs and requests that are kept.
const MAX_BYTES: usize = 8 << 20;
/// What has not been leased for so long makes room for others.
const OLD: Duration = Duration::from_secs(5);
/// A first lease.
const FIRST: u32 = 1;

/// The runs.
#[derive(Default)]
pub(super) struct Recent(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    runs: HashMap<RunId, NewRun>,
    bytes: usize,
    /// When it was last looked for old ones.
    swept_at: Wall,
}

impl Recent {
    fn locked(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a run that is about to be claimed, if it is due now and there is room.
    pub(super) fn keep(&self, mut run: NewRun, now: Wall) {
        let is_due = run.queue.as_ref().is_some_and(|queue| queue.not_before <= now);
        let size = size(&run);
        let mut kept = self.locked();
        if !is_due || !kept.has_room(size, now) {
            return;
        }
        // As it is read from the disk: its key is the claim's alone, and its children are runs of their own by then.
        run.claim = None;
        run.progress.children = Vec::new();
        if kept.runs.insert(run.id.clone(), run).is_none() {
            kept.bytes += size;
        }
    }

    /// It was not claimed.
    pub(super) fn forget(&self, run: &str) {
        self.locked().take(run);
    }

    /// A run that has been leased for the first time.
    pub(super) fn leased(&self, run: &str, fence: u32, cancelled: bool) -> Option<Leased> {
        let run = self.locked().take(run).filter(|_| fence == FIRST)?;
        let ticket = Ticket { fence, is_async: true, ..Ticket::default() };
        Some(Leased { run, ticket, cancelled })
    }
}

impl Kept {
    fn has_room(&mut self, size: usize, now: Wall) -> bool {
        if self.fits(size) {
            return true;
        }
        if now.since(self.swept_at) >= OLD / 5 {
            self.swept_at = now;
            self.runs.retain(|_, run| now.since(run.created_at) < OLD);
            self.bytes = self.runs.values().map(self::size).sum();
        }
        self.fits(size)
    }

    fn fits(&self, size: usize) -> bool {
        self.runs.len() < MAX_RUNS && self.bytes + size <= MAX_BYTES
    }

    fn take(&mut self, run: &str) -> Option<NewRun> {
        let run = self.runs.remove(run)?;
        self.bytes = self.bytes.saturating_sub(size(&run));
        Some(run)
    }
}

/// Roughly what a run takes, in bytes, besides its fixed parts.
fn size(run: &NewRun) -> usize {
    let bodies = run.progress.intents.iter().filter(|intent| !intent.repeats_input);
    run.input.bytes().len() + bodies.map(|intent| intent.request.body.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use causeway_core::json::Json;

    use super::super::sqlite::tests::run;
    use super::*;

    const NOW: Wall = Wall::from_unix_millis(10_000);

    fn waits(id: &str, not_before: u64) -> NewRun {
        let mut run = run(id, None, Some("stripe"), None);
        run.created_at = NOW;
        run.queue.as_mut().unwrap().not_before = Wall::from_unix_millis(not_before);
        run
    }

    #[test]
    fn a_run_is_had_once_and_under_its_first_lease_alone() {
        let recent = Recent::default();
        for id in ["run_1", "run_2", "run_3"] {
            recent.keep(waits(id, 1), NOW);
        }
        let leased = recent.leased("run_1", 1, true).unwrap();
        assert_eq!((leased.run.id.as_str(), leased.ticket.fence, leased.cancelled), ("run_1", 1, true));
        assert!(leased.ticket.is_async && leased.run.claim.is_none());
        assert!(recent.leased("run_1", 1, false).is_none(), "twice");
        assert!(recent.leased("run_2", 2, false).is_none(), "somebody had it before");
        recent.forget("run_3");
        assert!(recent.leased("run_3", 1, false).is_none(), "it was not claimed");
        assert_eq!(recent.locked().bytes, 0);
    }

    #[test]
    fn what_waits_for_its_time_or_for_its_caller_is_not_kept() {
        let recent = Recent::default();
        recent.keep(waits("run_1", 10_001), NOW);
        recent.keep(NewRun { queue: None, ..waits("run_2", 1) }, NOW);
        assert!(recent.locked().runs.is_empty());
    }

    #[test]
    fn there_is_no_more_than_there_is_room_for_and_what_is_old_makes_room() {
        let recent = Recent::default();
        for n in 0..MAX_RUNS + 10 {
            recent.keep(waits(&format!("run_{n}"), 1), NOW);
        }
        assert_eq!(recent.locked().runs.len(), MAX_RUNS);
        recent.keep(waits("run_new", 1), NOW + OLD);
        assert_eq!(recent.locked().runs.len(), 1);
        let large = Json::of(&"x".repeat(MAX_BYTES));
        recent.keep(NewRun { input: large, ..waits("run_large", 1) }, NOW + OLD);
        assert_eq!(recent.locked().runs.len(), 1);
        recent.forget("run_new");
        assert_eq!(recent.locked().bytes, 0);
    }
}
