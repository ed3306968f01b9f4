//! What all connections of one sandbox share, and the visit of one request to it.
//!
//! Everything stands behind one lock, held for single steps and never over an await: a request's number and its step of
//! the plan are taken together, so the plan is followed in the order of arrival, and a ledger is one moment's truth.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_actors::clock::Clock;
use http::request::Parts;
use tokio::sync::Semaphore;

use super::Options;
use super::behaviour::Behaviour;
use super::call::key_of;
use super::ledger::{Book, Ending, Ledger, MAX_RECORDS};
use super::plan::Plan;
use super::provider::Provider;

/// The most requests that are acted on late at once, whether their clients are still there or not.
const MAX_LATE: usize = 10_000;

/// One sandbox's state.
#[derive(Debug)]
pub(super) struct Shared {
    /// Starts with the sandbox.
    pub(super) clock: Clock,
    /// Decides ids and jitter.
    pub(super) seed: u64,
    /// One permit for each request that is acted on late.
    pub(super) late: Arc<Semaphore>,
    state: Mutex<State>,
}

/// The part behind the lock.
#[derive(Debug)]
pub(super) struct State {
    /// The arrivals.
    pub(super) book: Book,
    /// The behaviours to come.
    pub(super) plan: Plan,
    /// The charges and keys.
    pub(super) provider: Provider,
}

impl Shared {
    /// A sandbox that nothing has happened in.
    pub(super) fn new(options: Options) -> Self {
        let (seed, book) = (options.seed, Book::new(MAX_RECORDS));
        let state = State { book, plan: Plan::default(), provider: Provider::new(options, MAX_RECORDS) };
        let late = Arc::new(Semaphore::new(MAX_LATE));
        Self { clock: Clock::start(), seed, late, state: Mutex::new(state) }
    }

    /// The state, for one step.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A snapshot of what was noted.
    pub(super) fn ledger(&self) -> Ledger {
        let (arrivals, dropped_arrivals) = self.book.arrivals();
        let (effects, dropped_effects) = self.provider.effects();
        Ledger { arrivals, dropped_arrivals, effects, dropped_effects, counters: self.book.counters() }
    }

    /// Forgets everything but the requests still open: arrivals, charges, keys, counters and the plan.
    pub(super) fn reset(&mut self) {
        self.book.reset();
        self.provider.reset();
        self.plan = Plan::default();
    }
}

/// A request between its arrival and its end. Dropped without an end, its client has left.
#[derive(Debug)]
pub(super) struct Visit {
    /// The arrival's number.
    pub(super) number: u64,
    shared: Arc<Shared>,
    ending: Ending,
}

impl Visit {
    /// Notes the arrival and takes the behaviour planned for it.
    pub(super) fn begin(shared: &Arc<Shared>, connection: u64, head: &Parts) -> (Self, Behaviour) {
        let (method, target, key) = (head.method.as_str(), head.uri.to_string(), key_of(head));
        let mut state = shared.lock();
        let number = state.book.arrive(shared.clock.mono(), connection, method, &target, key.as_deref());
        let behaviour = state.plan.next(&head.method, head.uri.path());
        drop(state);
        (Self { number, shared: Arc::clone(shared), ending: Ending::ClientLeft {} }, behaviour)
    }

    /// Notes how it ended.
    pub(super) fn end(mut self, ending: Ending) {
        self.ending = ending;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.shared.lock().book.end(self.number, self.shared.clock.mono(), self.ending);
    }
}
