//! The circuit breaker: it stops calling a provider that fails, and finds out by a few calls when it works again.
//!
//! A provider in trouble gains nothing from more calls, and its callers gain nothing from waiting for them. The
//! breaker counts how calls end; when too many fail it refuses at once, for a while, and then lets a fixed number try.
//!
//! Its life:
//!
//! - **Closed.** Calls pass. Successes and failures are counted in a sliding [`Window`]; the breaker is judged each
//!   time an outcome is counted, a success too (it may be the one that completes `minimum_calls`). It opens at
//!   `failures`, or at `failure_rate` with enough calls, whichever of the two is set and is reached first.
//! - **Open.** Calls are refused with the time left. When the time is up it is *due*, and stays open until a call asks:
//!   an idle breaker does not pretend to be recovering.
//! - **Half-open.** [`BreakerSpec::half_open_calls`] permits for the whole cycle. A success or a failure uses one up;
//!   one that comes back unused or neutral is there for another call. Without a rate the first failure re-opens
//!   and all successes close; with a rate it is decided when all have come back. A cycle without a verdict ends
//!   after [`HALF_OPEN_FOR`]: it closes if the provider gave neutral answers other than 429 and no failure, else it
//!   re-opens.
//! - **Forced open.** A person tripped it. Nothing passes until a reset, or until its expiry, which leads to half-open.
//!
//! Closing empties the window. Each change of state raises the epoch; permits carry the epoch they were given in, so
//! calls that end after a change say nothing about the new state.
//!
//! Time moves only when it is handed in: [`Breaker::advance`] applies what is due, and every other call that takes
//! `&mut self` and `now` begins with it. Looking ([`Breaker::state`], [`Breaker::would_admit`]) answers as if it had
//! been advanced. What a late timer finds is dated when it is found: spans run from the change as it happened here.

mod spec;
mod state;
mod trials;

#[cfg(test)]
mod model;

use std::collections::VecDeque;
use std::time::Duration;

pub use self::spec::{BreakerSpec, BreakerSpecError};
pub use self::state::{Cause, Forced, Mode, Permit, Refusal, State, Tally, Transition};
use self::trials::{Trials, Verdict};
use crate::time::{Mono, Now};
use crate::window::{Counts, Window};

/// How long a half-open cycle lasts without a verdict.
pub const HALF_OPEN_FOR: Duration = Duration::from_secs(30);

/// Transitions kept for [`Breaker::take_transition`]; one call makes at most two, and the oldest go first.
pub const MAX_TRANSITIONS: usize = 16;

/// A state with what belongs to it.
#[derive(Clone, Debug)]
enum Phase {
    Closed,
    Open { due: Mono },
    HalfOpen(Trials),
    ForcedOpen(Forced),
}

impl Phase {
    const fn state(&self) -> State {
        match self {
            Self::Closed => State::Closed,
            Self::Open { .. } => State::Open,
            Self::HalfOpen(_) => State::HalfOpen,
            Self::ForcedOpen(_) => State::ForcedOpen,
        }
    }

    fn admits(&self, now: Mono) -> Result<(), Refusal> {
        let until = match self {
            Self::Closed => return Ok(()),
            Self::Open { due } if *due <= now => return Ok(()),
            Self::Open { due } => Some(*due),
            Self::HalfOpen(trials) if trials.any_here() => return Ok(()),
            Self::HalfOpen(trials) => Some(trials.until()),
            Self::ForcedOpen(forced) => forced.until,
        };
        Err(Refusal { state: self.state(), retry_after: until.map(|until| until.since(now)) })
    }
}

/// One integration's circuit breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    spec: BreakerSpec,
    window: Window,
    phase: Phase,
    epoch: u64,
    transitions: VecDeque<Transition>,
}

impl Breaker {
    /// A closed breaker with an empty window. The spec is taken to have passed [`BreakerSpec::check`].
    pub fn new(spec: BreakerSpec) -> Self {
        Self {
            window: Window::new(spec.window),
            spec,
            phase: Phase::Closed,
            epoch: 0,
            transitions: VecDeque::with_capacity(MAX_TRANSITIONS),
        }
    }

    /// A breaker after its actor's restart, whose counts are lost: a manual mode is kept, otherwise it tries first.
    ///
    /// Trying first is told as a transition from closed, since what it was before is lost too. Epochs begin anew: the
    /// permits of the life before must not be handed to this one.
    pub fn resumed(spec: BreakerSpec, now: Mono, mode: Mode) -> Self {
        let mut breaker = Self::new(spec);
        match mode {
            Mode::Auto => breaker.enter(breaker.half_open(now), Cause::Restarted),
            Mode::ForcedOpen(forced) => breaker.phase = Phase::ForcedOpen(forced),
        }
        breaker
    }

    /// Whether a call would be admitted at `now`; takes no permit and changes nothing.
    ///
    /// # Errors
    /// The [`Refusal`] that [`admit`](Self::admit) would give.
    pub fn would_admit(&self, now: Mono) -> Result<(), Refusal> {
        self.change_due(now).map_or_else(|| self.phase.admits(now), |(phase, _)| phase.admits(now))
    }

    /// Asks for a call's permit. An open breaker that is due becomes half-open here.
    ///
    /// # Errors
    /// A [`Refusal`] while open, forced open, or half-open with all permits out or used up.
    pub fn admit(&mut self, now: Mono) -> Result<Permit, Refusal> {
        self.advance(now);
        self.phase.admits(now)?;
        if matches!(self.phase, Phase::Open { .. }) {
            self.enter(self.half_open(now), Cause::Due);
        }
        let trial = if let Phase::HalfOpen(trials) = &mut self.phase {
            trials.take();
            true
        } else {
            false
        };
        Ok(Permit { epoch: self.epoch, trial })
    }

    /// Takes a permit back with how its call ended.
    pub fn record(&mut self, now: Mono, permit: Permit, tally: Tally) {
        self.advance(now);
        if permit.epoch != self.epoch {
            return;
        }
        match &mut self.phase {
            Phase::Closed => self.count(now, tally),
            Phase::HalfOpen(trials) => {
                if let Some(verdict) = trials.record(tally, self.spec.failure_rate) {
                    let (phase, cause) = self.follow(now, verdict);
                    self.enter(phase, cause);
                }
            }
            Phase::Open { .. } | Phase::ForcedOpen(_) => {}
        }
    }

    /// Takes a permit back unused: its call was cancelled, or never sent.
    pub const fn release(&mut self, permit: Permit) {
        if permit.epoch == self.epoch
            && let Phase::HalfOpen(trials) = &mut self.phase
        {
            trials.give_back();
        }
    }

    /// Forces it open for `lasting`, or until a reset. A breaker that is forced open already takes the new words and
    /// the new expiry, without a change of state.
    pub fn trip(&mut self, now: Now, reason: String, lasting: Option<Duration>) {
        self.advance(now.mono);
        let until = lasting.map(|span| now.mono + span);
        self.enter(Phase::ForcedOpen(Forced { until, since: now.wall, reason }), Cause::Tripped);
    }

    /// Closes it, ends a manual mode, and empties the window.
    pub fn reset(&mut self, now: Mono) {
        self.advance(now);
        self.enter(Phase::Closed, Cause::Reset);
    }

    /// Applies what time alone changes: the expiry of a forced state, the end of a half-open cycle without a verdict.
    pub fn advance(&mut self, now: Mono) {
        if let Some((phase, cause)) = self.change_due(now) {
            self.enter(phase, cause);
        }
    }

    /// When [`advance`](Self::advance) has something to do next. Being [due](Self::due) is not among it, since time
    /// alone does not end it: whoever wants to try then watches both.
    pub const fn next_deadline(&self) -> Option<Mono> {
        match &self.phase {
            Phase::Closed | Phase::Open { .. } => None,
            Phase::HalfOpen(trials) => Some(trials.until()),
            Phase::ForcedOpen(forced) => forced.until,
        }
    }

    /// When an open breaker lets a call try, which may be past; `None` in every other state.
    pub const fn due(&self) -> Option<Mono> {
        match &self.phase {
            Phase::Open { due } => Some(*due),
            Phase::Closed | Phase::HalfOpen(_) | Phase::ForcedOpen(_) => None,
        }
    }

    /// The state at `now`.
    pub fn state(&self, now: Mono) -> State {
        self.change_due(now).map_or_else(|| self.phase.state(), |(phase, _)| phase.state())
    }

    /// Who rules it, as of the last call that advanced it.
    pub fn mode(&self) -> Mode {
        match &self.phase {
            Phase::ForcedOpen(forced) => Mode::ForcedOpen(forced.clone()),
            Phase::Closed | Phase::Open { .. } | Phase::HalfOpen(_) => Mode::Auto,
        }
    }

    /// The number of changes of state so far.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The outcomes in the window. While it is not closed none are added: what opened it fades.
    pub fn counts(&self, now: Mono) -> Counts {
        self.window.counts(now)
    }

    /// How many of a half-open cycle's permits are out with calls; 0 in every other state.
    pub const fn trials_out(&self) -> u32 {
        match &self.phase {
            Phase::HalfOpen(trials) => trials.out(),
            Phase::Closed | Phase::Open { .. } | Phase::ForcedOpen(_) => 0,
        }
    }

    /// The oldest transition that was not taken yet. At most [`MAX_TRANSITIONS`] are kept.
    pub fn take_transition(&mut self) -> Option<Transition> {
        self.transitions.pop_front()
    }

    fn count(&mut self, now: Mono, tally: Tally) {
        let failed = match tally {
            Tally::Success => false,
            Tally::Failure => true,
            Tally::Neutral | Tally::RateLimited => return,
        };
        self.window.record(now, failed);
        if let Some(cause) = self.too_much(self.window.counts(now)) {
            self.enter(self.open(now), cause);
        }
    }

    fn too_much(&self, counts: Counts) -> Option<Cause> {
        if self.spec.failures.is_some_and(|failures| counts.failures >= failures) {
            return Some(Cause::Failures);
        }
        let rate = self.spec.failure_rate?;
        let judged = counts.calls >= self.spec.minimum_calls;
        (judged && counts.failure_share() >= rate).then_some(Cause::FailureRate)
    }

    fn change_due(&self, now: Mono) -> Option<(Phase, Cause)> {
        if self.next_deadline().is_none_or(|deadline| deadline > now) {
            return None;
        }
        match &self.phase {
            Phase::Closed | Phase::Open { .. } => None,
            Phase::HalfOpen(trials) => Some(self.follow(now, trials.at_end())),
            Phase::ForcedOpen(_) => Some((self.half_open(now), Cause::Expired)),
        }
    }

    fn follow(&self, now: Mono, verdict: Verdict) -> (Phase, Cause) {
        match verdict {
            Verdict::Close(cause) => (Phase::Closed, cause),
            Verdict::Reopen(cause) => (self.open(now), cause),
        }
    }

    fn open(&self, now: Mono) -> Phase {
        Phase::Open { due: now + self.spec.open_for }
    }

    fn half_open(&self, now: Mono) -> Phase {
        Phase::HalfOpen(Trials::new(self.spec.half_open_calls, now + HALF_OPEN_FOR))
    }

    fn enter(&mut self, phase: Phase, cause: Cause) {
        let (from, to) = (self.phase.state(), phase.state());
        self.phase = phase;
        if to == State::Closed {
            self.window.clear();
        }
        if from == to {
            return;
        }
        self.epoch = self.epoch.saturating_add(1);
        if self.transitions.len() == MAX_TRANSITIONS {
            self.transitions.pop_front();
        }
        self.transitions.push_back(Transition { from, to, cause });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;

    fn at(millis: u64) -> Mono {
        Mono::from_origin(Duration::from_millis(millis))
    }

    fn now(millis: u64) -> Now {
        Now { mono: at(millis), wall: Wall::from_unix_millis(1_700_000_000_000 + millis) }
    }

    fn call(breaker: &mut Breaker, millis: u64, tally: Tally) {
        let permit = breaker.admit(at(millis)).unwrap();
        breaker.record(at(millis), permit, tally);
    }

    /// A breaker that opened at `millis` and is due 30 s later.
    fn opened(spec: BreakerSpec, millis: u64) -> Breaker {
        let mut breaker = Breaker::new(BreakerSpec { failures: Some(1), ..spec });
        call(&mut breaker, millis, Tally::Failure);
        assert_eq!(breaker.state(at(millis)), State::Open);
        breaker
    }

    fn transitions(breaker: &mut Breaker) -> Vec<(&'static str, &'static str, &'static str)> {
        std::iter::from_fn(|| breaker.take_transition())
            .map(|change| (change.from.as_str(), change.to.as_str(), change.cause.as_str()))
            .collect()
    }

    fn with_rate() -> BreakerSpec {
        BreakerSpec { failures: None, failure_rate: Some(0.5), ..BreakerSpec::default() }
    }

    #[test]
    fn it_opens_at_the_fifth_failure_and_not_before() {
        let mut breaker = Breaker::new(BreakerSpec::default());
        for n in 0..4 {
            call(&mut breaker, n, Tally::Failure);
            call(&mut breaker, n, Tally::Success);
        }
        assert_eq!(breaker.state(at(4)), State::Closed);
        call(&mut breaker, 5, Tally::Failure);
        assert_eq!(breaker.state(at(5)), State::Open);
        assert_eq!(breaker.counts(at(5)), Counts { calls: 9, failures: 5 });
        assert_eq!(transitions(&mut breaker), [("closed", "open", "failures")]);
    }

    #[test]
    fn failures_out_of_the_window_do_not_open_it() {
        let mut breaker = Breaker::new(BreakerSpec::default());
        for n in 0..20 {
            call(&mut breaker, n * 15_000, Tally::Failure);
        }
        assert_eq!(breaker.state(at(19 * 15_000)), State::Closed);
    }

    #[test]
    fn a_rate_is_judged_from_the_minimum_of_calls_on() {
        let mut breaker = Breaker::new(with_rate());
        for _ in 0..19 {
            call(&mut breaker, 0, Tally::Failure);
        }
        assert_eq!(breaker.state(at(0)), State::Closed);
        call(&mut breaker, 0, Tally::Success);
        assert_eq!(transitions(&mut breaker), [("closed", "open", "failure_rate")]);
    }

    #[test]
    fn a_share_below_the_rate_does_not_open_it_and_the_rate_itself_does() {
        let mut breaker = Breaker::new(with_rate());
        for _ in 0..100 {
            call(&mut breaker, 0, Tally::Success);
        }
        for _ in 0..99 {
            call(&mut breaker, 0, Tally::Failure);
        }
        assert_eq!(breaker.state(at(0)), State::Closed);
        call(&mut breaker, 0, Tally::Failure);
        assert_eq!(breaker.state(at(0)), State::Open);
    }

    #[test]
    fn with_both_written_either_opens_it() {
        let mut breaker = Breaker::new(BreakerSpec { failures: Some(5), ..with_rate() });
        for _ in 0..5 {
            call(&mut breaker, 0, Tally::Failure);
        }
        assert_eq!(transitions(&mut breaker), [("closed", "open", "failures")]);
    }

    #[test]
    fn neutral_answers_and_429_are_not_counted() {
        let mut breaker = Breaker::new(BreakerSpec::default());
        for _ in 0..50 {
            call(&mut breaker, 0, Tally::Neutral);
            call(&mut breaker, 0, Tally::RateLimited);
        }
        assert_eq!(breaker.counts(at(0)), Counts::default());
    }

    #[test]
    fn while_open_calls_fail_at_once_with_the_time_left() {
        let mut breaker = opened(BreakerSpec::default(), 1_000);
        let refusal = Refusal { state: State::Open, retry_after: Some(Duration::from_millis(29_999)) };
        assert_eq!(breaker.would_admit(at(1_001)), Err(refusal));
        assert_eq!(breaker.admit(at(1_001)).unwrap_err(), refusal);
        assert_eq!(breaker.due(), Some(at(31_000)));
        assert!(breaker.would_admit(at(30_999)).is_err());
        assert_eq!(breaker.would_admit(at(31_000)), Ok(()));
    }

    #[test]
    fn an_idle_open_breaker_stays_open_until_a_call_asks() {
        let mut breaker = opened(BreakerSpec::default(), 0);
        breaker.advance(at(900_000));
        assert_eq!(breaker.state(at(900_000)), State::Open);
        assert_eq!(breaker.next_deadline(), None);
        assert!(breaker.admit(at(900_000)).unwrap().is_trial());
        assert_eq!(breaker.state(at(900_000)), State::HalfOpen);
        assert_eq!(transitions(&mut breaker), [("closed", "open", "failures"), ("open", "half_open", "due")]);
    }

    #[test]
    fn half_open_gives_exactly_its_permits_in_one_cycle() {
        let mut breaker = opened(BreakerSpec::default(), 0);
        let permits: Vec<_> = (0..3).map(|_| breaker.admit(at(30_000)).unwrap()).collect();
        assert_eq!(breaker.trials_out(), 3);
        let refusal = Refusal { state: State::HalfOpen, retry_after: Some(Duration::from_secs(29)) };
        assert_eq!(breaker.admit(at(31_000)).unwrap_err(), refusal);
        for permit in permits.into_iter().take(2) {
            breaker.record(at(31_000), permit, Tally::Success);
        }
        assert!(breaker.admit(at(31_000)).is_err(), "a success uses its permit up");
        assert_eq!(breaker.trials_out(), 1);
    }

    #[test]
    fn all_successes_close_it_and_empty_the_window() {
        let mut breaker = opened(BreakerSpec::default(), 0);
        for _ in 0..3 {
            assert_eq!(breaker.counts(at(30_000)), Counts { calls: 1, failures: 1 });
            call(&mut breaker, 30_000, Tally::Success);
        }
        assert_eq!(breaker.state(at(30_000)), State::Closed);
        assert_eq!(breaker.counts(at(30_000)), Counts::default());
        assert_eq!(transitions(&mut breaker).last(), Some(&("half_open", "closed", "trials_succeeded")));
    }

    #[test]
    fn without_a_rate_the_first_failure_re_opens() {
        let mut breaker = opened(BreakerSpec::default(), 0);
        let slow = breaker.admit(at(30_000)).unwrap();
        call(&mut breaker, 30_001, Tally::Success);
        call(&mut breaker, 30_002, Tally::Failure);
        assert_eq!(breaker.due(), Some(at(60_002)));
        assert_eq!(transitions(&mut breaker).last(), Some(&("half_open", "open", "trial_failed")));
        breaker.record(at(30_003), slow, Tally::Success);
        assert_eq!(breaker.state(at(30_003)), State::Open);
    }

    #[test]
    fn with_a_rate_it_is_decided_when_all_are_back() {
        for (failures, state) in [(1, State::Closed), (2, State::Open), (3, State::Open)] {
            let mut breaker = opened(with_rate(), 0);
            let permits: Vec<_> = (0..3).map(|_| breaker.admit(at(30_000)).unwrap()).collect();
            for (n, permit) in permits.into_iter().enumerate() {
                assert_eq!(breaker.state(at(30_000)), State::HalfOpen);
                breaker.record(
                    at(30_000),
                    permit,
                    if n < failures { Tally::Failure } else { Tally::Success },
                );
            }
            assert_eq!(breaker.state(at(30_000)), state, "{failures} failures");
        }
    }

    #[test]
    fn a_permit_without_a_verdict_is_there_for_another_call() {
        for settle in [
            |breaker: &mut Breaker, permit| breaker.record(at(30_000), permit, Tally::Neutral),
            |breaker: &mut Breaker, permit| breaker.record(at(30_000), permit, Tally::RateLimited),
            |breaker: &mut Breaker, permit| breaker.release(permit),
        ] {
            let mut breaker = opened(BreakerSpec::default(), 0);
            let mut permits: Vec<_> = (0..3).map(|_| breaker.admit(at(30_000)).unwrap()).collect();
            settle(&mut breaker, permits.pop().unwrap());
            assert_eq!(breaker.trials_out(), 2);
            permits.push(breaker.admit(at(30_000)).unwrap());
            assert!(breaker.admit(at(30_000)).is_err());
        }
    }

    #[test]
    fn a_cycle_without_a_verdict_closes_only_on_neutral_answers_other_than_429() {
        let cases: [(&[Tally], State); 6] = [
            (&[], State::Open),
            (&[Tally::RateLimited], State::Open),
            (&[Tally::Neutral, Tally::RateLimited], State::Closed),
            (&[Tally::Success, Tally::Neutral], State::Closed),
            (&[Tally::Success], State::Open),
            (&[Tally::Neutral, Tally::Failure], State::Open),
        ];
        for (answers, state) in cases {
            let mut breaker = opened(with_rate(), 0);
            breaker.admit(at(30_000)).map(|permit| breaker.release(permit)).unwrap();
            for tally in answers {
                call(&mut breaker, 30_000, *tally);
            }
            assert_eq!(breaker.next_deadline(), Some(at(60_000)));
            assert_eq!(breaker.state(at(59_999)), State::HalfOpen);
            assert_eq!(breaker.state(at(60_000)), state, "{answers:?}");
            breaker.advance(at(60_000));
            assert_eq!(breaker.next_deadline(), None);
            let cause = if state == State::Closed { "trials_neutral" } else { "trials_undecided" };
            assert_eq!(transitions(&mut breaker).last(), Some(&("half_open", state.as_str(), cause)));
        }
    }

    #[test]
    fn a_result_of_another_epoch_changes_nothing() {
        let mut breaker = Breaker::new(BreakerSpec { failures: Some(1), ..BreakerSpec::default() });
        let early: Vec<_> = (0..4).map(|_| breaker.admit(at(0)).unwrap()).collect();
        call(&mut breaker, 0, Tally::Failure);
        let trial = breaker.admit(at(30_000)).unwrap();
        let epoch = breaker.epoch();
        for (permit, tally) in early.into_iter().zip([Tally::Failure, Tally::Success, Tally::Neutral]) {
            breaker.record(at(30_000), permit, tally);
        }
        assert_eq!((breaker.epoch(), breaker.trials_out()), (epoch, 1));
        breaker.release(trial);
        assert_eq!(breaker.trials_out(), 0);
    }

    #[test]
    fn tripped_it_refuses_until_it_expires_and_then_tries() {
        let mut breaker = Breaker::new(BreakerSpec::default());
        breaker.trip(now(1_000), "maintenance".to_owned(), Some(Duration::from_secs(60)));
        let refusal = Refusal { state: State::ForcedOpen, retry_after: Some(Duration::from_secs(50)) };
        assert_eq!(breaker.admit(at(11_000)).unwrap_err(), refusal);
        let forced =
            Forced { until: Some(at(61_000)), since: now(1_000).wall, reason: "maintenance".to_owned() };
        assert_eq!(breaker.mode(), Mode::ForcedOpen(forced));
        assert_eq!(breaker.next_deadline(), Some(at(61_000)));
        assert_eq!(breaker.would_admit(at(61_000)), Ok(()));
        breaker.advance(at(61_000));
        assert_eq!((breaker.state(at(61_000)), breaker.mode()), (State::HalfOpen, Mode::Auto));
        assert_eq!(
            transitions(&mut breaker),
            [("closed", "forced_open", "tripped"), ("forced_open", "half_open", "expired")]
        );
    }

    #[test]
    fn tripped_without_an_expiry_it_stays_until_a_reset() {
        let mut breaker = opened(BreakerSpec::default(), 0);
        breaker.trip(now(0), "bad data".to_owned(), None);
        let refusal = Refusal { state: State::ForcedOpen, retry_after: None };
        assert_eq!(breaker.would_admit(Mono::MAX), Err(refusal));
        breaker.reset(at(10));
        assert_eq!((breaker.state(at(10)), breaker.mode()), (State::Closed, Mode::Auto));
        assert_eq!(breaker.counts(at(10)), Counts::default());
        assert_eq!(transitions(&mut breaker).last(), Some(&("forced_open", "closed", "reset")));
    }

    #[test]
    fn a_second_trip_renews_the_words_without_a_change_of_state() {
        let mut breaker = Breaker::new(BreakerSpec::default());
        breaker.trip(now(0), "first".to_owned(), None);
        let epoch = breaker.epoch();
        breaker.trip(now(5), "second".to_owned(), Some(Duration::from_secs(1)));
        assert_eq!((breaker.epoch(), breaker.next_deadline()), (epoch, Some(at(1_005))));
        assert!(matches!(breaker.mode(), Mode::ForcedOpen(forced) if forced.reason == "second"));
    }

    #[test]
    fn a_reset_of_a_closed_breaker_empties_its_window() {
        let mut breaker = Breaker::new(BreakerSpec::default());
        call(&mut breaker, 0, Tally::Failure);
        breaker.reset(at(0));
        assert_eq!(breaker.counts(at(0)), Counts::default());
        assert_eq!(breaker.take_transition(), None);
    }

    #[test]
    fn after_a_restart_it_keeps_a_manual_mode_else_tries_first() {
        let mut breaker = Breaker::resumed(BreakerSpec::default(), at(7), Mode::Auto);
        assert_eq!(breaker.state(at(7)), State::HalfOpen);
        assert_eq!(transitions(&mut breaker), [("closed", "half_open", "restarted")]);

        let forced = Forced { until: Some(at(9)), since: Wall::default(), reason: "why".to_owned() };
        let breaker = Breaker::resumed(BreakerSpec::default(), at(7), Mode::ForcedOpen(forced.clone()));
        assert_eq!((breaker.state(at(8)), breaker.mode()), (State::ForcedOpen, Mode::ForcedOpen(forced)));
        assert_eq!(breaker.state(at(9)), State::HalfOpen);
    }

    #[test]
    fn transitions_that_nobody_takes_are_bounded() {
        let mut breaker = Breaker::new(BreakerSpec::default());
        for n in 0..100 {
            breaker.trip(now(n), String::new(), None);
            breaker.reset(at(n));
        }
        let kept = transitions(&mut breaker);
        assert_eq!(kept.len(), MAX_TRANSITIONS);
        assert_eq!(kept.last(), Some(&("forced_open", "closed", "reset")));
    }
}
