//! The part of a breaker that outcomes and time rule: closed, open, half-open, and back.
//!
//! It knows neither persons nor epochs: its [`Breaker`](super::Breaker) asks it while it rules, or would rule, and
//! keeps what it did.

use std::time::Duration;

use super::trials::{Trials, Verdict};
use super::{BreakerSpec, Cause, Refusal, State, Tally};
use crate::time::Mono;
use crate::window::{Counts, Outcome, Window};

/// A state with what belongs to it.
#[derive(Clone, Debug)]
enum Phase {
    Closed,
    Open { due: Mono },
    HalfOpen(Trials),
}

impl Phase {
    const fn state(&self) -> State {
        match self {
            Self::Closed => State::Closed,
            Self::Open { .. } => State::Open,
            Self::HalfOpen(_) => State::HalfOpen,
        }
    }

    fn admits(&self, now: Mono) -> Result<(), Refusal> {
        let until = match self {
            Self::Closed => return Ok(()),
            Self::Open { due } if *due <= now => return Ok(()),
            Self::Open { due } => *due,
            Self::HalfOpen(trials) if trials.any_here() => return Ok(()),
            Self::HalfOpen(trials) => trials.until(),
        };
        Err(Refusal { state: self.state(), retry_after: Some(until.since(now)) })
    }
}

/// A change of state that has happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) from: State,
    pub(super) to: State,
    pub(super) cause: Cause,
}

/// Outcomes, and what follows from them.
#[derive(Clone, Debug)]
pub(super) struct Circuit {
    spec: BreakerSpec,
    window: Window,
    phase: Phase,
    /// How often it has opened since it was last closed.
    openings: u32,
}

impl Circuit {
    /// Closed, with an empty window.
    pub(super) fn new(spec: BreakerSpec) -> Self {
        Self { window: Window::new(spec.reach()), spec, phase: Phase::Closed, openings: 0 }
    }

    pub(super) const fn spec(&self) -> &BreakerSpec {
        &self.spec
    }

    /// Goes by other settings from now on. A wait or a cycle that has begun ends as it was begun.
    pub(super) fn respec(&mut self, spec: BreakerSpec) {
        let window = std::mem::replace(&mut self.window, Window::new(spec.reach()));
        self.window = window.reaching(spec.reach());
        self.spec = spec;
    }

    /// Whether a call would be admitted at `now`.
    pub(super) fn would_admit(&self, now: Mono) -> Result<(), Refusal> {
        self.change_due(now).map_or_else(|| self.phase.admits(now), |(phase, _)| phase.admits(now))
    }

    /// Lets a call pass, after [`advance`](Self::advance): says whether it is a trial, and what changed.
    pub(super) fn admit(&mut self, now: Mono) -> Result<(bool, Option<Change>), Refusal> {
        self.phase.admits(now)?;
        let change =
            matches!(self.phase, Phase::Open { .. }).then(|| self.enter(self.half_open(now), Cause::Due));
        let trial = if let Phase::HalfOpen(trials) = &mut self.phase {
            trials.take();
            true
        } else {
            false
        };
        Ok((trial, change))
    }

    /// Notes how a call ended that the present state let pass.
    pub(super) fn record(&mut self, now: Mono, tally: Tally, took: Duration) -> Option<Change> {
        match &mut self.phase {
            Phase::Closed => {
                if !self.count(now, tally, took) {
                    return None;
                }
                let cause = self.too_much(self.window.counts(now))?;
                Some(self.enter(self.open(now), cause))
            }
            Phase::HalfOpen(trials) => {
                let verdict = trials.record(tally, self.spec.is_slow(took), &self.spec)?;
                let (phase, cause) = self.follow(now, verdict);
                Some(self.enter(phase, cause))
            }
            Phase::Open { .. } => None,
        }
    }

    /// Counts how a call ended, if it tells of the provider, and judges nothing.
    pub(super) fn count(&mut self, now: Mono, tally: Tally, took: Duration) -> bool {
        let failed = match tally {
            Tally::Success => false,
            Tally::Failure => true,
            Tally::Neutral | Tally::RateLimited => return false,
        };
        self.window.record(now, Outcome { failed, slow: self.spec.is_slow(took) });
        true
    }

    /// Takes a trial's permit back unused.
    pub(super) const fn release(&mut self) {
        if let Phase::HalfOpen(trials) = &mut self.phase {
            trials.give_back();
        }
    }

    /// Applies what time alone changes.
    pub(super) fn advance(&mut self, now: Mono) -> Option<Change> {
        let (phase, cause) = self.change_due(now)?;
        Some(self.enter(phase, cause))
    }

    /// Closes it, with an empty window and without a memory of openings.
    pub(super) fn close(&mut self) {
        self.enter(Phase::Closed, Cause::Reset);
    }

    /// Begins a half-open cycle.
    pub(super) fn try_again(&mut self, now: Mono) {
        self.phase = self.half_open(now);
    }

    /// Lets go of what belongs to a state, while a person keeps it open: the openings in a row are remembered, and what
    /// opened it fades.
    pub(super) fn set_aside(&mut self) {
        self.phase = Phase::Closed;
    }

    pub(super) fn state(&self, now: Mono) -> State {
        self.change_due(now).map_or_else(|| self.phase.state(), |(phase, _)| phase.state())
    }

    pub(super) const fn next_deadline(&self) -> Option<Mono> {
        match &self.phase {
            Phase::Closed | Phase::Open { .. } => None,
            Phase::HalfOpen(trials) => Some(trials.until()),
        }
    }

    pub(super) const fn due(&self) -> Option<Mono> {
        match &self.phase {
            Phase::Open { due } => Some(*due),
            Phase::Closed | Phase::HalfOpen(_) => None,
        }
    }

    /// From when on a try of its own is of use; `None` where it is of none.
    pub(super) const fn probe_from(&self) -> Option<Mono> {
        match &self.phase {
            Phase::Open { due } => Some(*due),
            Phase::HalfOpen(trials) if trials.any_here() => Some(Mono::ZERO),
            Phase::Closed | Phase::HalfOpen(_) => None,
        }
    }

    pub(super) const fn trials_out(&self) -> u32 {
        match &self.phase {
            Phase::HalfOpen(trials) => trials.out(),
            Phase::Closed | Phase::Open { .. } => 0,
        }
    }

    pub(super) fn counts(&self, now: Mono) -> Counts {
        self.window.counts(now)
    }

    pub(super) const fn openings(&self) -> u32 {
        self.openings
    }

    fn too_much(&self, counts: Counts) -> Option<Cause> {
        if self.spec.failures.is_some_and(|failures| counts.failures >= failures) {
            return Some(Cause::Failures);
        }
        if counts.calls < self.spec.minimum_calls {
            return None;
        }
        if self.spec.failure_rate.is_some_and(|rate| counts.failure_share() >= rate) {
            return Some(Cause::FailureRate);
        }
        self.spec.slow_rate.is_some_and(|rate| counts.slow_share() >= rate).then_some(Cause::SlowRate)
    }

    fn change_due(&self, now: Mono) -> Option<(Phase, Cause)> {
        match &self.phase {
            Phase::HalfOpen(trials) if trials.until() <= now => Some(self.follow(now, trials.at_end())),
            Phase::Closed | Phase::Open { .. } | Phase::HalfOpen(_) => None,
        }
    }

    fn follow(&self, now: Mono, verdict: Verdict) -> (Phase, Cause) {
        match verdict {
            Verdict::Close(cause) => (Phase::Closed, cause),
            Verdict::Reopen(cause) => (self.open(now), cause),
        }
    }

    fn open(&self, now: Mono) -> Phase {
        Phase::Open { due: now + self.spec.open_time(self.openings) }
    }

    fn half_open(&self, now: Mono) -> Phase {
        Phase::HalfOpen(Trials::new(self.spec.half_open_calls, now + self.spec.half_open_for))
    }

    fn enter(&mut self, phase: Phase, cause: Cause) -> Change {
        let change = Change { from: self.phase.state(), to: phase.state(), cause };
        match &phase {
            Phase::Closed => {
                self.window.clear();
                self.openings = 0;
            }
            Phase::Open { .. } => self.openings = self.openings.saturating_add(1),
            Phase::HalfOpen(_) => {}
        }
        self.phase = phase;
        change
    }
}
