//! What an integration shows of itself: a plain value for boards, metrics and operators.

use std::time::Duration;

use super::{Integration, Kept, Mode, Now, State};
use crate::limits::LimitSnapshot;
use crate::window::Counts;

/// The observable state of an integration at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The breaker's state.
    pub state: State,
    /// Automatic, or set by whom and until when.
    pub mode: Mode,
    /// The state the breaker would be in, where it only tells.
    pub would: Option<State>,
    /// Rises with each change of state.
    pub epoch: u64,
    /// Outcomes in the breaker's window.
    pub window: Counts,
    /// How often the breaker has opened without having been closed in between.
    pub openings: u32,
    /// How long a refusing breaker goes on so, as far as is known; an open one that is due has zero left.
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

impl View {
    /// Whether, `age` after the view was taken, its breaker is open only because nobody has asked since its time was
    /// up: the next call tries.
    pub fn is_due(&self, age: Duration) -> bool {
        self.state == State::Open && self.retry_in.is_some_and(|left| left <= age)
    }
}

impl<T> Integration<T> {
    /// The state at `now`.
    pub fn view(&self, now: Now) -> View {
        let refusal = self.breaker.would_admit(now.mono).err().and_then(|refusal| refusal.retry_after);
        View {
            state: self.breaker.state(now.mono),
            mode: self.breaker.mode().clone(),
            would: self.breaker.would(now.mono),
            epoch: self.breaker.epoch(),
            window: self.breaker.counts(now.mono),
            openings: self.breaker.openings(),
            retry_in: self.breaker.due().map(|due| due.since(now.mono)).or(refusal),
            trials_out: self.breaker.trials_out(),
            in_flight: self.pool.in_flight(),
            capacity: self.pool.capacity(),
            queued: self.queue.len(),
            calls: self.calls.len(),
            parked_for: self
                .limits
                .parked_until()
                .map(|until| until.since(now.mono))
                .filter(|left| !left.is_zero()),
            limits: self.limits.snapshot(now).collect(),
        }
    }

    /// What a restart at `now` keeps.
    pub fn kept(&self, now: Now) -> Kept {
        Kept { mode: self.breaker.mode().clone(), limits: self.limits.kept(now) }
    }
}
