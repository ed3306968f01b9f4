//! What an integration shows of itself: a plain value for boards, metrics and operators.

use std::time::Duration;

use super::{Integration, Mode, Mono, State};
use crate::limits::LimitSnapshot;
use crate::window::Counts;

/// The observable state of an integration at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The breaker's state.
    pub state: State,
    /// Automatic, or forced by whom and until when.
    pub mode: Mode,
    /// Rises with each change of state.
    pub epoch: u64,
    /// Outcomes in the breaker's window.
    pub window: Counts,
    /// How long until an open breaker may try again; zero when it is due.
    pub retry_in: Option<Duration>,
    /// Trial permits that are out.
    pub trials_out: u32,
    /// Attempts on the wire.
    pub in_flight: u32,
    /// The most there may be.
    pub capacity: u32,
    /// Calls in the admission queue.
    pub queued: usize,
    /// Calls not yet answered: on the wire, waiting, backing off.
    pub calls: usize,
    /// Until when the provider has asked for silence.
    pub parked_for: Option<Duration>,
    /// The rate budgets.
    pub limits: Vec<LimitSnapshot>,
}

impl<T> Integration<T> {
    /// The state at `now`.
    pub fn view(&self, now: Mono) -> View {
        View {
            state: self.breaker.state(now),
            mode: self.breaker.mode(),
            epoch: self.breaker.epoch(),
            window: self.breaker.counts(now),
            retry_in: self.breaker.would_admit(now).err().and_then(|refusal| refusal.retry_after),
            trials_out: self.breaker.trials_out(),
            in_flight: self.pool.in_flight(),
            capacity: self.pool.capacity(),
            queued: self.pool.queued(),
            calls: self.calls.len(),
            parked_for: self.limits.parked_until().filter(|until| *until > now).map(|until| until.since(now)),
            limits: self.limits.snapshot(now).collect(),
        }
    }

    /// What a restart keeps: the breaker's mode, and until when the budgets are drained.
    pub fn kept(&self) -> (Mode, Option<Mono>) {
        (self.breaker.mode(), self.limits.parked_until())
    }
}
