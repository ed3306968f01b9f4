//! What a store tells of itself: how long its commits take, and whether it works.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use causeway_actors::clock::Clock;
use causeway_actors::metric::{Labels, Metric};
use causeway_core::time::Mono;
use metrics::{Counter, Histogram};

/// How often, at most, it is logged that the store fails.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Counts, measures and logs.
pub(super) struct Watch {
    /// Which store, for people.
    place: String,
    clock: Clock,
    standing: Mutex<Standing>,
    works: Works,
    commit: Histogram,
    group: Histogram,
    errors: Counter,
}

/// Whether a store has done what it was last asked to write. Clones tell the same.
#[derive(Clone)]
pub(super) struct Works(Arc<AtomicBool>);

impl Works {
    pub(super) fn works(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[derive(Default)]
struct Standing {
    failing: bool,
    logged: Option<Mono>,
}

impl Watch {
    pub(super) fn new(place: String, clock: Clock) -> Self {
        let errors = Metric::StoreErrors.counter(&Labels::none());
        errors.increment(0);
        Self {
            place,
            clock,
            standing: Mutex::default(),
            works: Works(Arc::new(AtomicBool::new(true))),
            commit: Metric::StoreCommit.histogram(&Labels::none()),
            group: Metric::StoreBatch.histogram(&Labels::none()),
            errors,
        }
    }

    pub(super) fn told(&self) -> Works {
        self.works.clone()
    }

    pub(super) fn now(&self) -> Mono {
        self.clock.mono()
    }

    /// A group of so many calls was written, or not.
    pub(super) fn wrote(&self, calls: usize, began: Mono) {
        self.commit.record(self.now().since(began));
        self.group.record(f64::from(u32::try_from(calls).unwrap_or(u32::MAX)));
    }

    /// A group was not written at once.
    pub(super) fn count(&self, error: &dyn Display) {
        self.errors.increment(1);
        tracing::debug!(%error, "a group of writes failed");
    }

    /// The store does not do what it is asked.
    pub(super) fn fails(&self, error: &dyn Display) {
        let now = self.now();
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.failing = true;
        self.works.0.store(false, Ordering::Release);
        if standing.logged.is_none_or(|logged| now.since(logged) >= LOG_EVERY) {
            standing.logged = Some(now);
            tracing::error!(%error, store = %self.place, "the store fails: nothing is acknowledged until it works again");
        }
    }

    /// The store has done what it was asked.
    pub(super) fn works(&self) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut standing.failing) {
            self.works.0.store(true, Ordering::Release);
            standing.logged = None;
            tracing::warn!(store = %self.place, "the store works again");
        }
    }
}
