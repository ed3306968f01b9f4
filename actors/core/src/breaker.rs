//! The circuit breaker: it stops calling a provider that fails, and finds out by a few calls when it works again.
//!
//! A provider in trouble gains nothing from more calls, and its callers gain nothing from waiting for them. The
//! breaker counts how calls end; when too many fail it refuses at once, for a while, and then lets a fixed number try.
//!
//! Its life, where outcomes and time rule it (`circuit`):
//!
//! - **Closed.** Calls pass. Successes and failures are counted in a sliding [`Window`](crate::window::Window), and
//!   those that took longer than `slow_call` as slow, whether they failed or not; the breaker is judged each time an
//!   outcome is counted, a success too (it may be the one that completes `minimum_calls`). It opens at `failures`, at
//!   `failure_rate` or at `slow_rate` with enough calls, whichever of those that are set is reached first.
//! - **Open.** Calls are refused with the time left. When the time is up it is *due*, and stays open until a call asks:
//!   an idle breaker does not pretend to be recovering. Opening again without having been closed in between takes
//!   `open_multiplier` times as long as the time before, up to `open_max`.
//! - **Half-open.** [`BreakerSpec::half_open_calls`] permits for the whole cycle. A success or a failure uses one up;
//!   one that comes back unused or neutral is there for another call. Without a failure rate the first failure re-opens
//!   and all successes close; with one it is decided when all have come back. Where a slow rate is set, trials of which
//!   such a share was slow re-open it too, when all have come back: a provider that is still too slow has not
//!   recovered. A cycle without a verdict ends after [`BreakerSpec::half_open_for`]: it closes if the provider gave
//!   neutral answers other than 429 and no failure, else it re-opens.
//!
//! Over it stands a person, or the settings, with a [`Mode`], for good or until it expires:
//!
//! - **Forced open.** Nothing passes.
//! - **Disabled.** Everything passes, and is counted for people to see. Nothing opens it.
//! - **Metrics only.** Everything passes, and the breaker goes on in the dark: it tells what it would have done
//!   ([`Transition::enforced`] is false, [`Breaker::would`]). A call that it would have refused is one it would not
//!   know of, so how it ends counts for nothing: what is told is what would have been.
//!
//! The two that let calls pass begin as closed: the window is kept where calls passed before, else it begins empty. A
//! mode that ends, by its expiry or by a command, leads to half-open: nobody knows how the provider is now. A reset
//! leads to closed.
//!
//! Closing empties the window. Each change of state (and each that would have been) raises the epoch; permits carry the
//! epoch they were given in, so calls that end after a change say nothing about the new state.
//!
//! Time moves only when it is handed in: [`Breaker::advance`] applies what is due, and every other call that takes
//! `&mut self` and `now` begins with it. Looking ([`Breaker::state`], [`Breaker::would_admit`]) answers as if it had
//! been advanced. What a late timer finds is dated when it is found: spans run from the change as it happened here.

mod circuit;
mod mode;
mod spec;
mod state;
mod trials;

#[cfg(test)]
mod examples;
#[cfg(test)]
mod model;

use std::collections::VecDeque;
use std::time::Duration;

use self::circuit::{Change, Circuit};
pub use self::mode::{By, Manual, Mode, ModeChange, ModeKind};
pub use self::spec::{BreakerSpec, BreakerSpecError, ProbeSpec};
use self::state::Pass;
pub use self::state::{Cause, Permit, Refusal, State, Tally, Transition};
use crate::time::{Mono, Now};
use crate::window::Counts;

/// Transitions kept for [`Breaker::take_transition`]; one call makes at most two, and the oldest go first.
pub const MAX_TRANSITIONS: usize = 16;

/// One integration's circuit breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    circuit: Circuit,
    mode: Mode,
    epoch: u64,
    transitions: VecDeque<Transition>,
}

impl Breaker {
    /// A breaker with an empty window, closed or in the mode of its spec, which is taken to have passed
    /// [`BreakerSpec::check`].
    pub fn new(spec: BreakerSpec) -> Self {
        Self {
            mode: Mode::configured(spec.mode),
            circuit: Circuit::new(spec),
            epoch: 0,
            transitions: VecDeque::with_capacity(MAX_TRANSITIONS),
        }
    }

    /// A breaker after its actor's restart, whose counts are lost: a manual mode is kept, otherwise it tries first.
    ///
    /// Trying first is told as a transition from closed, since what it was before is lost too. Epochs begin anew: the
    /// permits of the life before must not be handed to this one.
    pub fn resumed(spec: BreakerSpec, now: Mono, mode: Mode) -> Self {
        let mut breaker = Self { mode, ..Self::new(spec) };
        if breaker.mode == Mode::Auto {
            breaker.circuit.try_again(now);
            breaker.entered(State::Closed, now, Cause::Restarted);
        }
        breaker
    }

    /// Goes by other settings from now on, and keeps state, epoch, mode and, as far as they can be told within the new
    /// reach, the outcomes. A wait or a cycle that has begun ends as it was begun.
    ///
    /// Where the settings name another mode than before, it is entered, unless an operator has set one: that one lasts
    /// until it expires or is ended.
    pub fn respec(&mut self, now: Mono, spec: BreakerSpec) {
        self.advance(now);
        let named = (spec.mode != self.circuit.spec().mode).then_some(spec.mode);
        self.circuit.respec(spec);
        let operators = self.mode.manual().is_some_and(|manual| manual.by != By::Settings);
        if let Some(kind) = named.filter(|_| !operators) {
            self.rule(now, Mode::configured(kind), Cause::Reconfigured);
        }
    }

    /// Whether a call would be admitted at `now`; takes no permit and changes nothing.
    ///
    /// # Errors
    /// The [`Refusal`] that [`admit`](Self::admit) would give.
    pub fn would_admit(&self, now: Mono) -> Result<(), Refusal> {
        if self.has_expired(now) {
            return Ok(());
        }
        match &self.mode {
            Mode::Auto => self.circuit.would_admit(now),
            Mode::ForcedOpen(forced) => Err(forced_open(forced, now)),
            Mode::Disabled(_) | Mode::MetricsOnly(_) => Ok(()),
        }
    }

    /// Asks for a call's permit. An open breaker that is due becomes half-open here.
    ///
    /// # Errors
    /// A [`Refusal`] while open, forced open, or half-open with all permits out or used up.
    pub fn admit(&mut self, now: Mono) -> Result<Permit, Refusal> {
        self.advance(now);
        let pass = match &self.mode {
            Mode::Auto => self.ask(now)?,
            Mode::ForcedOpen(forced) => return Err(forced_open(forced, now)),
            Mode::Disabled(_) => Pass::Counted,
            Mode::MetricsOnly(_) => self.ask(now).unwrap_or(Pass::Unseen),
        };
        Ok(Permit { epoch: self.epoch, pass })
    }

    /// Takes a permit back with how its call ended, and how long it took.
    pub fn record(&mut self, now: Mono, permit: Permit, tally: Tally, took: Duration) {
        self.advance(now);
        if permit.epoch != self.epoch || permit.pass == Pass::Unseen {
            return;
        }
        match &self.mode {
            Mode::Auto | Mode::MetricsOnly(_) => {
                let change = self.circuit.record(now, tally, took);
                self.changed(change);
            }
            Mode::Disabled(_) => {
                self.circuit.count(now, tally, took);
            }
            Mode::ForcedOpen(_) => {}
        }
    }

    /// Takes a permit back unused: its call was cancelled, or never sent.
    pub const fn release(&mut self, permit: Permit) {
        if permit.epoch == self.epoch && permit.is_trial() {
            self.circuit.release();
        }
    }

    /// Sets a mode. One that rules already takes the new words and the new expiry, without a change of state.
    pub fn set_mode(&mut self, now: Now, change: ModeChange) {
        self.advance(now.mono);
        let ModeChange { mode, reason, by, lasting } = change;
        let until = lasting.map(|span| now.mono + span);
        let cause = if mode == ModeKind::ForcedOpen { Cause::Tripped } else { Cause::ModeSet };
        self.rule(now.mono, Mode::new(mode, Manual { until, since: Some(now.wall), reason, by }), cause);
    }

    /// Closes it, ends a manual mode, and empties the window.
    pub fn reset(&mut self, now: Mono) {
        self.advance(now);
        let from = self.state(now);
        self.mode = Mode::Auto;
        self.circuit.close();
        self.entered(from, now, Cause::Reset);
    }

    /// Applies what time alone changes: the expiry of a mode, the end of a half-open cycle without a verdict.
    pub fn advance(&mut self, now: Mono) {
        if self.has_expired(now) {
            self.rule(now, Mode::Auto, Cause::Expired);
        }
        let change = self.circuit.advance(now);
        self.changed(change);
    }

    /// When [`advance`](Self::advance) has something to do next. Being [due](Self::due) is not among it, since time
    /// alone does not end it: whoever wants to try then watches both.
    pub fn next_deadline(&self) -> Option<Mono> {
        [self.mode.until(), self.circuit.next_deadline()].into_iter().flatten().min()
    }

    /// When an open breaker lets a call try, which may be past; `None` in every other state.
    pub fn due(&self) -> Option<Mono> {
        self.circuit.due().filter(|_| self.mode == Mode::Auto)
    }

    /// From when on a try of its own would help to a verdict, which may be past; `None` while it would not: calls pass,
    /// all trials are out, or a person rules.
    pub fn probe_from(&self) -> Option<Mono> {
        self.circuit.probe_from().filter(|_| self.mode == Mode::Auto)
    }

    /// What it asks by itself when it is due, and how.
    pub const fn spec(&self) -> &BreakerSpec {
        self.circuit.spec()
    }

    /// The state at `now`.
    pub fn state(&self, now: Mono) -> State {
        if self.has_expired(now) {
            return State::HalfOpen;
        }
        self.mode.state().unwrap_or_else(|| self.circuit.state(now))
    }

    /// The state it would be in, where it only tells.
    pub fn would(&self, now: Mono) -> Option<State> {
        let tells = matches!(self.mode, Mode::MetricsOnly(_)) && !self.has_expired(now);
        tells.then(|| self.circuit.state(now))
    }

    /// Who rules it, as of the last call that advanced it.
    pub const fn mode(&self) -> &Mode {
        &self.mode
    }

    /// The number of changes of state so far, with those that would have been.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The outcomes in the window. While it is open or half-open, or would be, none are added: what opened it fades.
    pub fn counts(&self, now: Mono) -> Counts {
        self.circuit.counts(now)
    }

    /// How often it has opened without having been closed in between.
    pub const fn openings(&self) -> u32 {
        self.circuit.openings()
    }

    /// How many of a half-open cycle's permits are out with calls; 0 outside of one.
    pub const fn trials_out(&self) -> u32 {
        self.circuit.trials_out()
    }

    /// The oldest transition that was not taken yet. At most [`MAX_TRANSITIONS`] are kept.
    pub fn take_transition(&mut self) -> Option<Transition> {
        self.transitions.pop_front()
    }

    fn has_expired(&self, now: Mono) -> bool {
        self.mode.until().is_some_and(|until| until <= now)
    }

    /// Asks the circuit for a call's leave.
    fn ask(&mut self, now: Mono) -> Result<Pass, Refusal> {
        let (trial, change) = self.circuit.admit(now)?;
        self.changed(change);
        Ok(if trial { Pass::Trial } else { Pass::Counted })
    }

    /// Enters a mode, from whichever.
    fn rule(&mut self, now: Mono, mode: Mode, cause: Cause) {
        let before = std::mem::replace(&mut self.mode, mode);
        if self.mode.kind() == before.kind() {
            return;
        }
        let from = before.state().unwrap_or_else(|| self.circuit.state(now));
        match &self.mode {
            Mode::Auto => self.circuit.try_again(now),
            Mode::ForcedOpen(_) => self.circuit.set_aside(),
            Mode::Disabled(_) | Mode::MetricsOnly(_) => {
                let passed = !matches!(before, Mode::ForcedOpen(_));
                if !passed || self.circuit.state(now) != State::Closed {
                    self.circuit.close();
                }
            }
        }
        self.entered(from, now, cause);
    }

    /// Notes the state it is in now, where it is another than before.
    fn entered(&mut self, from: State, now: Mono, cause: Cause) {
        let to = self.state(now);
        if from != to {
            self.note(Transition { from, to, cause, enforced: true });
        }
    }

    /// Notes what the circuit did, or would have done.
    fn changed(&mut self, change: Option<Change>) {
        if let Some(Change { from, to, cause }) = change {
            self.note(Transition { from, to, cause, enforced: self.mode == Mode::Auto });
        }
    }

    fn note(&mut self, transition: Transition) {
        self.epoch = self.epoch.saturating_add(1);
        if self.transitions.len() == MAX_TRANSITIONS {
            self.transitions.pop_front();
        }
        self.transitions.push_back(transition);
    }
}

fn forced_open(forced: &Manual, now: Mono) -> Refusal {
    Refusal { state: State::ForcedOpen, retry_after: forced.until.map(|until| until.since(now)) }
}
