//! What the outside sees: snapshots that their owners write and HTTP reads.
//!
//! A look-up never waits for a mailbox, so health, lists and look-ups answer while an actor is busy, restarting or
//! dead. Each entry has one writer: an integration's actor its snapshot, a run's router the run's outcome.
//!
//! Runs that may act, or that their callers do not wait for, are here while they are under way, with their router, so that any
//! worker can have them cancelled. One whose end is on disk is looked up there. Those that are not written down stay here
//! after they ended, within bounds; the oldest go first, and a restart forgets them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use actix::WeakAddr;
use causeway_core::integration::{Kept, View};
use causeway_core::name::{ClientName, IntegrationName, RunId};
use causeway_core::operation::Outcome;
use causeway_core::time::Now;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Known;
use tokio::sync::Notify;

use crate::router::{Abandon, Router};

/// The most finished runs kept.
pub const MAX_FINISHED_RUNS: usize = 10_000;
/// The most bytes of results kept with them.
pub const MAX_FINISHED_BYTES: usize = 64 << 20;
/// What a finished run takes besides its result, in bytes, roughly.
const RUN_OVERHEAD: usize = 1024;

/// How an integration's actor itself is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It works.
    Running,
    /// It has panicked and waits before it works again.
    Restarting,
    /// It has panicked too often and is set aside until its breaker is reset.
    Quarantined,
}

/// An integration as its actor last wrote it down.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The state of its core.
    pub view: View,
    /// What an actor that takes the place of this one goes on with.
    pub kept: Kept,
    /// When it was written.
    pub at: Now,
    /// How its actor is doing.
    pub condition: Condition,
    /// How often its actor has been rebuilt.
    pub generation: u64,
    /// Tells it from another integration that had its name before.
    pub seat: u64,
}

/// The snapshots.
#[derive(Default)]
pub struct Board {
    integrations: DashMap<IntegrationName, Arc<Snapshot>>,
    runs: DashMap<RunId, Entry>,
    routers: DashMap<u64, WeakAddr<Router>>,
    finished: Mutex<Finished>,
}

/// A run, and at which router it is under way.
struct Entry {
    outcome: Arc<Outcome>,
    client: Option<ClientName>,
    router: Option<u64>,
    /// Who waits for its end.
    awaited: Option<Arc<Notify>>,
}

/// Who asks for a run.
#[derive(Clone, Copy, Debug)]
pub enum Asker<'a> {
    /// Somebody who may see all of them.
    Anybody,
    /// A client, who sees its own.
    Client(&'a ClientName),
}

impl Asker<'_> {
    fn may_see(self, entry: &Entry) -> bool {
        match self {
            Self::Anybody => true,
            Self::Client(name) => entry.client.as_ref() == Some(name),
        }
    }
}

/// The finished runs on the board, oldest first.
#[derive(Default)]
struct Finished {
    order: VecDeque<(RunId, usize)>,
    bytes: usize,
}

impl Board {
    /// Writes an integration's snapshot.
    pub fn post(&self, integration: &IntegrationName, snapshot: Snapshot) {
        self.integrations.insert(integration.clone(), Arc::new(snapshot));
    }

    /// Takes an integration off that is gone, unless its name has passed to another: `seat` is what its snapshots say.
    pub(crate) fn forget(&self, integration: &IntegrationName, seat: u64) {
        self.integrations.remove_if(integration, |_, snapshot| snapshot.seat == seat);
    }

    /// An integration's last snapshot.
    pub fn integration(&self, name: &str) -> Option<Arc<Snapshot>> {
        self.integrations.get(name).map(|entry| Arc::clone(entry.value()))
    }

    /// Writes a run down that is under way at this router.
    pub fn run_changed(&self, outcome: Outcome, client: Option<ClientName>, router: u64) {
        self.write(outcome, client, Some(router));
    }

    /// Says where runs of this router can be cancelled.
    pub(crate) fn router_started(&self, index: u64, router: WeakAddr<Router>) {
        self.routers.insert(index, router);
    }

    /// Asks for a run to be cancelled; what becomes of that its outcome tells. `None` if there is no such run.
    pub fn cancel(&self, id: &str, asker: Asker<'_>) -> Option<Arc<Outcome>> {
        let (outcome, router) = {
            let entry = self.runs.get(id).filter(|entry| asker.may_see(entry))?;
            (Arc::clone(&entry.outcome), entry.router)
        };
        let router = router.and_then(|index| self.routers.get(&index)?.upgrade());
        if let Some(router) = router
            && router.try_send(Abandon(outcome.id.clone())).is_err()
        {
            tracing::warn!(run_id = id, "could not tell the router to cancel a run");
        }
        Some(outcome)
    }

    /// Writes a run's outcome down, and lets the oldest go where there are too many.
    pub fn run_finished(&self, outcome: Outcome, client: Option<ClientName>) {
        let (id, size) = (outcome.id.clone(), outcome.result.bytes().len() + RUN_OVERHEAD);
        self.write(outcome, client, None);
        for old in self.make_room(id, size) {
            self.runs.remove(&old);
        }
    }

    /// Takes a run off the board: it has come to nothing, somebody else has it, or its end is on disk.
    pub fn take_run_off(&self, id: &RunId) {
        if let Some((_, Entry { awaited: Some(awaited), .. })) = self.runs.remove(id) {
            awaited.notify_waiters();
        }
    }

    fn write(&self, outcome: Outcome, client: Option<ClientName>, router: Option<u64>) {
        let mut entry = Entry { outcome: Arc::new(outcome), client, router, awaited: None };
        match self.runs.entry(entry.outcome.id.clone()) {
            Known::Vacant(place) => {
                place.insert(entry);
            }
            Known::Occupied(mut known) => {
                entry.awaited = known.get_mut().awaited.take().filter(|awaited| {
                    if router.is_none() {
                        awaited.notify_waiters();
                    }
                    router.is_some()
                });
                known.insert(entry);
            }
        }
    }

    /// Tells of the run's end, to those that wait by then. `None` if there is no such run.
    pub fn end_of_run(&self, id: &str, asker: Asker<'_>) -> Option<Arc<Notify>> {
        let mut entry = self.runs.get_mut(id).filter(|entry| asker.may_see(entry))?;
        Some(Arc::clone(entry.awaited.get_or_insert_default()))
    }

    fn make_room(&self, id: RunId, size: usize) -> Vec<RunId> {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        finished.order.push_back((id, size));
        finished.bytes += size;
        let mut old = Vec::new();
        while finished.order.len() > MAX_FINISHED_RUNS || finished.bytes > MAX_FINISHED_BYTES {
            let Some((id, size)) = finished.order.pop_front() else { break };
            finished.bytes -= size;
            old.push(id);
        }
        old
    }

    /// A run under way, or one of the last that ended.
    pub fn run(&self, id: &str, asker: Asker<'_>) -> Option<Arc<Outcome>> {
        self.runs.get(id).filter(|entry| asker.may_see(entry)).map(|entry| Arc::clone(&entry.outcome))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use causeway_core::json::Json;
    use causeway_core::name::{CorrelationId, OperationName};
    use causeway_core::operation::RunStatus;
    use causeway_core::time::Wall;

    use super::*;

    fn outcome(id: String, result: Json) -> Outcome {
        Outcome {
            id: RunId::new(id),
            operation: OperationName::new("a").unwrap(),
            version: 1,
            correlation_id: CorrelationId::new("c").unwrap(),
            status: RunStatus::Succeeded,
            degraded: false,
            result,
            steps: Vec::new(),
            error: None,
            created_at: Wall::default(),
            finished_at: None,
            sent: false,
        }
    }

    #[test]
    fn the_oldest_finished_runs_are_let_go() {
        let board = Board::default();
        board.run_changed(outcome("run_live".to_owned(), Json::NULL), None, 0);
        for n in 0..=MAX_FINISHED_RUNS {
            board.run_finished(outcome(format!("run_{n}"), Json::NULL), None);
        }
        assert!(board.run("run_0", Asker::Anybody).is_none());
        assert!(
            board.run("run_1", Asker::Anybody).is_some() && board.run("run_live", Asker::Anybody).is_some()
        );
        assert_eq!(board.runs.len(), MAX_FINISHED_RUNS + 1);
    }

    #[test]
    fn large_results_are_bounded_by_their_bytes() {
        let board = Board::default();
        let large = Json::parse(Bytes::from(format!("\"{}\"", "x".repeat(4 << 20)))).unwrap();
        for n in 0..20 {
            board.run_finished(outcome(format!("run_{n}"), large.clone()), None);
        }
        assert!(board.runs.len() < 17, "{}", board.runs.len());
        assert!(board.run("run_19", Asker::Anybody).is_some());
    }
}
