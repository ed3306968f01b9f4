//! The breaker against a naive model: a list of everything that happened, read anew for every answer.
//!
//! The model keeps no counter and no permit account. What it says about windows, trials, openings and epochs it works
//! out from the list each time, so that a slip in the breaker's bookkeeping cannot be made twice.

use proptest::prelude::*;

use super::*;
use crate::time::Wall;
use crate::window::{Reach, SLICES};

/// One line of the list.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Entry {
    Entered(State),
    /// What a breaker that only tells would have entered.
    Would(State),
    Outcome {
        failed: bool,
        slow: bool,
    },
    TrialOut,
    TrialBack(Option<Tally>, bool),
    /// Who rules from here on, and until when.
    Ruled(ModeKind, Option<Mono>),
    /// Begun anew: nothing before this counts.
    Emptied,
}

/// What a model remembers of a permit: the epoch it is of, and whether a breaker that only tells would know of it.
type Stub = (usize, bool);

struct Model {
    spec: BreakerSpec,
    log: Vec<(Mono, Entry)>,
}

impl Model {
    fn new(spec: BreakerSpec) -> Self {
        let kind = spec.mode;
        let mut model = Self { spec, log: vec![(Mono::ZERO, Entry::Entered(State::Closed))] };
        if let Some(state) = state_of(kind) {
            model.log[0].1 = Entry::Entered(state);
        }
        model.note(Mono::ZERO, Entry::Ruled(kind, None));
        model
    }

    fn note(&mut self, now: Mono, entry: Entry) {
        self.log.push((now, entry));
    }

    fn ruled(&self) -> (ModeKind, Option<Mono>) {
        let ruled = |(_, entry): &(Mono, Entry)| {
            if let Entry::Ruled(kind, until) = entry { Some((*kind, *until)) } else { None }
        };
        self.log.iter().rev().find_map(ruled).unwrap()
    }

    fn state(&self) -> State {
        state_of(self.ruled().0).unwrap_or(self.circuit().2)
    }

    /// Where outcomes and time have led, and since when; in a manual mode that is closed, to begin with.
    fn circuit(&self) -> (usize, Mono, State) {
        let entered = |(place, (when, entry)): (usize, &(Mono, Entry))| match entry {
            Entry::Entered(state @ (State::Closed | State::Open | State::HalfOpen)) | Entry::Would(state) => {
                Some((place, *when, *state))
            }
            Entry::Entered(_) => Some((place, *when, State::Closed)),
            Entry::Outcome { .. }
            | Entry::TrialOut
            | Entry::TrialBack(..)
            | Entry::Ruled(..)
            | Entry::Emptied => None,
        };
        self.log.iter().enumerate().rev().find_map(entered).unwrap()
    }

    fn epoch(&self) -> usize {
        let entered = |entry: &Entry| matches!(entry, Entry::Entered(_) | Entry::Would(_));
        self.log.iter().filter(|(_, entry)| entered(entry)).count() - 1
    }

    /// How often something stands in the list since the state was entered.
    fn since_entered(&self, wanted: impl Fn(&Entry) -> bool) -> u32 {
        self.log[self.circuit().0..].iter().filter(|(_, entry)| wanted(entry)).count() as u32
    }

    /// What has happened since all was last forgotten.
    fn remembered(&self) -> &[(Mono, Entry)] {
        let fresh = |(_, entry): &(Mono, Entry)| {
            matches!(entry, Entry::Entered(State::Closed) | Entry::Would(State::Closed) | Entry::Emptied)
        };
        &self.log[self.log.iter().rposition(fresh).unwrap_or(0)..]
    }

    fn counts(&self, now: Mono) -> Counts {
        let mut outcomes: Vec<(Mono, bool, bool)> = self
            .remembered()
            .iter()
            .filter_map(|(when, entry)| {
                if let Entry::Outcome { failed, slow } = entry { Some((*when, *failed, *slow)) } else { None }
            })
            .collect();
        match self.spec.reach() {
            Reach::Span(span) => {
                let slice = |t: Mono| t.since_origin().as_nanos() * SLICES as u128 / span.as_nanos();
                outcomes.retain(|(when, ..)| slice(*when) + SLICES as u128 > slice(now));
            }
            Reach::Calls(calls) => {
                outcomes.drain(..outcomes.len().saturating_sub(calls as usize));
            }
        }
        let of = |wanted: fn(&&(Mono, bool, bool)) -> bool| outcomes.iter().filter(wanted).count() as u32;
        Counts { calls: of(|_| true), failures: of(|(_, failed, _)| *failed), slow: of(|(.., slow)| *slow) }
    }

    /// How long it stays open that has just opened.
    fn open_time(&self) -> Duration {
        let opened = |entry: &Entry| matches!(entry, Entry::Entered(State::Open) | Entry::Would(State::Open));
        let openings = self.remembered().iter().filter(|(_, entry)| opened(entry)).count();
        let mut time = self.spec.open_for;
        for _ in 1..openings {
            time = time.saturating_mul(self.spec.open_multiplier as u32);
        }
        time.min(self.spec.open_max)
    }

    fn trials(&self, tally: Tally) -> u32 {
        self.since_entered(|entry| matches!(entry, Entry::TrialBack(Some(back), _) if *back == tally))
    }

    fn trials_out(&self) -> u32 {
        self.since_entered(|entry| *entry == Entry::TrialOut)
            - self.since_entered(|entry| matches!(entry, Entry::TrialBack(..)))
    }

    fn spent(&self) -> u32 {
        self.trials(Tally::Success) + self.trials(Tally::Failure)
    }

    fn enter(&mut self, now: Mono, state: State) {
        let told_only = self.ruled().0 == ModeKind::MetricsOnly;
        self.note(now, if told_only { Entry::Would(state) } else { Entry::Entered(state) });
    }

    fn advance(&mut self, now: Mono) {
        if self.ruled().1.is_some_and(|until| until <= now) {
            self.rule(now, ModeKind::Auto, None);
        }
        let (_, entered, state) = self.circuit();
        if state == State::HalfOpen && now >= entered + self.spec.half_open_for {
            let answered = self.trials(Tally::Neutral) > 0 && self.trials(Tally::Failure) == 0;
            self.enter(now, if answered { State::Closed } else { State::Open });
        }
    }

    /// Whether a call passes, and is seen; if it does not, for how long.
    fn admit(&mut self, now: Mono) -> Result<bool, Option<Duration>> {
        self.advance(now);
        match self.ruled() {
            (ModeKind::Auto, _) => self.ask(now).map(|()| true).map_err(Some),
            (ModeKind::ForcedOpen, until) => Err(until.map(|until| until.since(now))),
            (ModeKind::Disabled, _) => Ok(true),
            (ModeKind::MetricsOnly, _) => Ok(self.ask(now).is_ok()),
        }
    }

    fn ask(&mut self, now: Mono) -> Result<(), Duration> {
        let (_, entered, state) = self.circuit();
        match state {
            State::Open if now < entered + self.open_time() => {
                return Err((entered + self.open_time()).since(now));
            }
            State::Open => self.enter(now, State::HalfOpen),
            State::HalfOpen if self.trials_out() + self.spent() == self.spec.half_open_calls => {
                return Err((entered + self.spec.half_open_for).since(now));
            }
            State::HalfOpen => {}
            State::Closed | State::ForcedOpen | State::Disabled | State::MetricsOnly => return Ok(()),
        }
        self.note(now, Entry::TrialOut);
        Ok(())
    }

    fn settle(&mut self, now: Mono, (epoch, seen): Stub, tally: Option<Tally>, took: Duration) {
        if tally.is_some() {
            self.advance(now);
        }
        if epoch != self.epoch() || !seen {
            return;
        }
        let slow = self.spec.slow_call.is_some_and(|slow_call| took > slow_call);
        match (self.circuit().2, tally) {
            (State::Closed, Some(Tally::Success | Tally::Failure)) => {
                let forced = self.ruled().0 == ModeKind::ForcedOpen;
                assert!(!forced, "nothing passes a breaker that is forced open");
                self.note(now, Entry::Outcome { failed: tally == Some(Tally::Failure), slow });
                if self.ruled().0 != ModeKind::Disabled && self.too_much(now) {
                    self.enter(now, State::Open);
                }
            }
            (State::HalfOpen, tally) => {
                self.note(now, Entry::TrialBack(tally, slow));
                self.judge_trials(now);
            }
            _ => {}
        }
    }

    fn too_much(&self, now: Mono) -> bool {
        let Counts { calls, failures, slow } = self.counts(now);
        let share = |part: u32, rate: Option<f64>| {
            let enough = calls >= self.spec.minimum_calls;
            rate.is_some_and(|rate| enough && f64::from(part) / f64::from(calls) >= rate)
        };
        self.spec.failures.is_some_and(|least| failures >= least)
            || share(failures, self.spec.failure_rate)
            || share(slow, self.spec.slow_rate)
    }

    fn judge_trials(&mut self, now: Mono) {
        let failures = self.trials(Tally::Failure);
        let slow = self.since_entered(|entry| {
            matches!(entry, Entry::TrialBack(Some(Tally::Success | Tally::Failure), true))
        });
        let all_back = self.spent() == self.spec.half_open_calls;
        let share = |part: u32| f64::from(part) / f64::from(self.spent());
        let failed = match self.spec.failure_rate {
            None => failures > 0,
            Some(rate) => all_back && share(failures) >= rate,
        };
        if failed || (all_back && self.spec.slow_rate.is_some_and(|rate| share(slow) >= rate)) {
            self.enter(now, State::Open);
        } else if all_back {
            self.enter(now, State::Closed);
        }
    }

    fn rule(&mut self, now: Mono, kind: ModeKind, until: Option<Mono>) {
        let (before, state) = (self.ruled().0, self.circuit().2);
        self.note(now, Entry::Ruled(kind, until));
        if kind == before {
            return;
        }
        let lets_pass = matches!(kind, ModeKind::Disabled | ModeKind::MetricsOnly);
        if lets_pass && (before == ModeKind::ForcedOpen || state != State::Closed) {
            self.note(now, Entry::Emptied);
        }
        self.note(now, Entry::Entered(state_of(kind).unwrap_or(State::HalfOpen)));
    }

    fn set(&mut self, now: Mono, kind: ModeKind, lasting: Option<Duration>) {
        self.advance(now);
        if kind != ModeKind::Auto || self.ruled().0 != ModeKind::Auto {
            let until = lasting.filter(|_| kind != ModeKind::Auto).map(|span| now + span);
            self.rule(now, kind, until);
        }
    }

    fn reset(&mut self, now: Mono) {
        self.advance(now);
        let entry =
            if self.state() == State::Closed { Entry::Emptied } else { Entry::Entered(State::Closed) };
        self.note(now, Entry::Ruled(ModeKind::Auto, None));
        self.note(now, entry);
    }
}

fn state_of(kind: ModeKind) -> Option<State> {
    match kind {
        ModeKind::Auto => None,
        ModeKind::ForcedOpen => Some(State::ForcedOpen),
        ModeKind::Disabled => Some(State::Disabled),
        ModeKind::MetricsOnly => Some(State::MetricsOnly),
    }
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Admit,
    Record(usize, Tally, Duration),
    Release(usize),
    Advance,
    Set(ModeKind, Option<Duration>),
    Reset,
    Look,
}

fn millis(millis: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    millis.prop_map(Duration::from_millis)
}

fn tally() -> impl Strategy<Value = Tally> {
    prop_oneof![
        4 => Just(Tally::Failure),
        4 => Just(Tally::Success),
        1 => Just(Tally::Neutral),
        1 => Just(Tally::RateLimited),
    ]
}

fn kind() -> impl Strategy<Value = ModeKind> {
    prop::sample::select(ModeKind::ALL.as_slice())
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        60 => Just(Action::Admit),
        60 => (any::<usize>(), tally(), millis(0..2_000))
            .prop_map(|(which, tally, took)| Action::Record(which, tally, took)),
        10 => any::<usize>().prop_map(Action::Release),
        10 => Just(Action::Advance),
        3 => (kind(), prop::option::of(millis(0..60_000))).prop_map(|(kind, lasting)| Action::Set(kind, lasting)),
        1 => Just(Action::Reset),
        6 => Just(Action::Look),
    ]
}

fn spec() -> impl Strategy<Value = BreakerSpec> {
    let rate = || prop::option::of(prop::sample::select(vec![0.1, 0.25, 0.5, 0.6, 1.0]));
    let window = (millis(1_000..90_000), prop::option::of(1_u32..40));
    let open = (millis(1_000..40_000), 1_u32..4, 1_u32..20);
    let half_open = (1_u32..5, millis(1_000..60_000));
    let mode = prop_oneof![5 => Just(ModeKind::Auto), 1 => kind()];
    let opens = (prop::option::of(1_u32..6), rate(), rate(), millis(1..1_500), 1_u32..8);
    (opens, window, open, half_open, mode).prop_map(|(opens, window, open, half_open, mode)| {
        let (failures, failure_rate, slow_rate, slow_call, minimum_calls) = opens;
        let (open_for, multiplier, longest) = open;
        let failures = if failure_rate.or(slow_rate).is_none() { failures.or(Some(3)) } else { failures };
        BreakerSpec {
            failures,
            window: window.0,
            window_calls: window.1.map(|calls| calls.max(minimum_calls).max(failures.unwrap_or(0))),
            failure_rate,
            minimum_calls,
            slow_call: slow_rate.map(|_| slow_call),
            slow_rate,
            open_for,
            open_multiplier: f64::from(multiplier),
            open_max: open_for * longest,
            half_open_calls: half_open.0,
            half_open_for: half_open.1,
            probe: None,
            mode,
        }
    })
}

/// Mostly small steps, sometimes one that passes every deadline; `None`: to the next deadline exactly.
fn step() -> impl Strategy<Value = Option<Duration>> {
    let step = prop_oneof![10 => millis(0..200), 3 => millis(1_000..8_000), 1 => millis(20_000..70_000)];
    prop::option::weighted(0.93, step)
}

fn later(breaker: &Breaker, now: Mono, step: Option<Duration>) -> Mono {
    match step {
        Some(span) => now + span,
        None => now.max(breaker.next_deadline().or_else(|| breaker.due()).unwrap_or(now)),
    }
}

fn agree(breaker: &Breaker, model: &Model, now: Mono) -> Result<(), TestCaseError> {
    let (kind, until) = model.ruled();
    prop_assert_eq!((breaker.mode().kind(), breaker.mode().until()), (kind, until));
    let mut at_rest = breaker.clone();
    at_rest.mode =
        Mode::new(kind, Manual { until: None, since: None, reason: String::new(), by: By::Settings });
    prop_assert_eq!(at_rest.state(Mono::ZERO), model.state());
    let told_only = kind == ModeKind::MetricsOnly;
    prop_assert_eq!(at_rest.would(Mono::ZERO), told_only.then(|| model.circuit().2));
    prop_assert_eq!(breaker.epoch(), model.epoch() as u64);
    prop_assert_eq!(breaker.counts(now), model.counts(now));
    let out = if model.circuit().2 == State::HalfOpen { model.trials_out() } else { 0 };
    prop_assert_eq!(breaker.trials_out(), out);
    prop_assert!(out <= breaker.spec().half_open_calls);
    Ok(())
}

/// The states as they are told, one change after the other.
struct Told {
    state: State,
    would: State,
}

impl Told {
    fn hear(&mut self, breaker: &mut Breaker) -> Result<(), TestCaseError> {
        while let Some(change) = breaker.take_transition() {
            prop_assert_ne!(change.from, change.to);
            prop_assert_eq!(change.enforced, self.state != State::MetricsOnly || change.from == self.state);
            let last = if change.enforced { &mut self.state } else { &mut self.would };
            prop_assert_eq!(change.from, *last, "transitions form a chain");
            *last = change.to;
            if change.to == State::MetricsOnly {
                self.would = State::Closed;
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_breaker_does_what_the_list_says(
        spec in spec(),
        steps in prop::collection::vec((step(), action()), 1..150),
    ) {
        prop_assert_eq!(spec.check(), Ok(()));
        let mut breaker = Breaker::new(spec.clone());
        let mut model = Model::new(spec);
        let mut permits: Vec<(Permit, Stub)> = Vec::new();
        let mut told = Told { state: model.state(), would: State::Closed };
        let mut now = Mono::ZERO;
        for (step, action) in steps {
            now = later(&breaker, now, step);
            match action {
                Action::Admit => {
                    let foretold = breaker.would_admit(now);
                    let answer = breaker.admit(now);
                    prop_assert_eq!(foretold, answer.as_ref().map(|_| ()).map_err(|refusal| *refusal));
                    let said = model.admit(now);
                    prop_assert_eq!(
                        answer.as_ref().map(|permit| permit.pass != Pass::Unseen).map_err(|refusal| refusal.retry_after),
                        said
                    );
                    match answer {
                        Ok(permit) => permits.push((permit, (model.epoch(), said == Ok(true)))),
                        Err(refusal) => prop_assert_eq!(refusal.state, model.state()),
                    }
                }
                Action::Record(which, tally, took) if !permits.is_empty() => {
                    let (permit, stub) = permits.swap_remove(which % permits.len());
                    prop_assert_eq!(permit.epoch, stub.0 as u64);
                    breaker.record(now, permit, tally, took);
                    model.settle(now, stub, Some(tally), took);
                }
                Action::Release(which) if !permits.is_empty() => {
                    let (permit, stub) = permits.swap_remove(which % permits.len());
                    breaker.release(permit);
                    model.settle(now, stub, None, Duration::ZERO);
                }
                Action::Record(..) | Action::Release(_) | Action::Advance => {
                    breaker.advance(now);
                    model.advance(now);
                }
                Action::Set(mode, lasting) => {
                    let (reason, by) = (String::new(), By::Operator(None));
                    let change = ModeChange { mode, reason, by, lasting };
                    breaker.set_mode(Now { mono: now, wall: Wall::default() }, change);
                    model.set(now, mode, lasting);
                }
                Action::Reset => {
                    breaker.reset(now);
                    model.reset(now);
                }
                Action::Look => {
                    let mut advanced = breaker.clone();
                    advanced.advance(now);
                    prop_assert_eq!(breaker.state(now), advanced.state(Mono::ZERO));
                    prop_assert!(advanced.next_deadline().is_none_or(|deadline| deadline > now));
                }
            }
            agree(&breaker, &model, now)?;
            told.hear(&mut breaker)?;
            prop_assert_eq!(told.state, model.state());
        }
    }

    #[test]
    fn one_that_only_tells_tells_what_one_that_acts_does(
        spec in spec(),
        steps in prop::collection::vec((step(), prop::option::of((any::<usize>(), tally(), millis(0..2_000)))), 1..150),
    ) {
        let mut acts = Breaker::new(BreakerSpec { mode: ModeKind::Auto, ..spec.clone() });
        let mut tells = Breaker::new(BreakerSpec { mode: ModeKind::MetricsOnly, ..spec });
        let mut permits: Vec<(Option<Permit>, Permit)> = Vec::new();
        let mut now = Mono::ZERO;
        for (step, action) in steps {
            now = later(&acts, now, step);
            match action {
                Some((which, tally, took)) if !permits.is_empty() => {
                    let (one, other) = permits.swap_remove(which % permits.len());
                    if let Some(permit) = one {
                        acts.record(now, permit, tally, took);
                    }
                    tells.record(now, other, tally, took);
                }
                Some(_) | None => {
                    let passed = tells.admit(now);
                    prop_assert!(passed.is_ok(), "it never refuses");
                    permits.push((acts.admit(now).ok(), passed.unwrap()));
                }
            }
            // A call that the one refused is none to it, so it has not looked at the time.
            acts.advance(now);
            tells.advance(now);
            prop_assert_eq!(tells.would(now), Some(acts.state(now)));
            prop_assert_eq!(tells.state(now), State::MetricsOnly);
            prop_assert_eq!((tells.counts(now), tells.epoch()), (acts.counts(now), acts.epoch()));
            while let Some(done) = acts.take_transition() {
                prop_assert_eq!(tells.take_transition(), Some(Transition { enforced: false, ..done }));
            }
            prop_assert_eq!(tells.take_transition(), None);
        }
    }
}
