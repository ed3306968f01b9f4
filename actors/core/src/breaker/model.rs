//! The breaker against a naive model: a list of everything that happened, read anew for every answer.
//!
//! The model keeps no counter and no permit account. What it says about windows, trials and epochs it works out
//! from the list each time, so that a slip in the breaker's bookkeeping cannot be made twice.

use proptest::prelude::*;

use super::*;
use crate::time::Wall;
use crate::window::SLICES;

/// One line of the list.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Entry {
    Entered(State),
    Outcome {
        failed: bool,
    },
    TrialOut,
    TrialBack(Option<Tally>),
    /// Forced open, until then.
    Forced(Option<Mono>),
    Emptied,
}

struct Model {
    spec: BreakerSpec,
    log: Vec<(Mono, Entry)>,
}

impl Model {
    fn new(spec: BreakerSpec) -> Self {
        Self { spec, log: vec![(Mono::ZERO, Entry::Entered(State::Closed))] }
    }

    fn note(&mut self, now: Mono, entry: Entry) {
        self.log.push((now, entry));
    }

    fn entered(&self) -> (usize, Mono, State) {
        let mut last = (0, Mono::ZERO, State::Closed);
        for (place, (when, entry)) in self.log.iter().enumerate() {
            if let Entry::Entered(state) = entry {
                last = (place, *when, *state);
            }
        }
        last
    }

    fn state(&self) -> State {
        self.entered().2
    }

    fn epoch(&self) -> usize {
        self.log.iter().filter(|(_, entry)| matches!(entry, Entry::Entered(_))).count() - 1
    }

    /// How often something stands in the list since the state was entered.
    fn since_entered(&self, wanted: impl Fn(&Entry) -> bool) -> u32 {
        self.log[self.entered().0..].iter().filter(|(_, entry)| wanted(entry)).count() as u32
    }

    fn counts(&self, now: Mono) -> Counts {
        let emptied = |entry: &Entry| matches!(entry, Entry::Entered(State::Closed) | Entry::Emptied);
        let from = self.log.iter().rposition(|(_, entry)| emptied(entry)).unwrap();
        let slice = |t: Mono| t.since_origin().as_nanos() * SLICES as u128 / self.spec.window.as_nanos();
        let live = |failed_only: bool| {
            let counted = |(when, entry): &&(Mono, Entry)| {
                let kept = slice(*when) + SLICES as u128 > slice(now);
                kept && matches!(entry, Entry::Outcome { failed } if *failed || !failed_only)
            };
            self.log[from..].iter().filter(counted).count() as u32
        };
        Counts { calls: live(false), failures: live(true) }
    }

    fn trials(&self, tally: Option<Tally>) -> u32 {
        self.since_entered(|entry| *entry == Entry::TrialBack(tally))
    }

    fn trials_out(&self) -> u32 {
        self.since_entered(|entry| *entry == Entry::TrialOut)
            - self.since_entered(|entry| matches!(entry, Entry::TrialBack(_)))
    }

    fn spent(&self) -> u32 {
        self.trials(Some(Tally::Success)) + self.trials(Some(Tally::Failure))
    }

    fn advance(&mut self, now: Mono) {
        let (_, entered, state) = self.entered();
        let next = match state {
            State::Closed | State::Open => None,
            State::HalfOpen if now < entered + HALF_OPEN_FOR => None,
            State::HalfOpen => {
                let answered =
                    self.trials(Some(Tally::Neutral)) > 0 && self.trials(Some(Tally::Failure)) == 0;
                Some(if answered { State::Closed } else { State::Open })
            }
            State::ForcedOpen => {
                let until = self.forced_until();
                until.filter(|until| *until <= now).map(|_| State::HalfOpen)
            }
        };
        if let Some(state) = next {
            self.note(now, Entry::Entered(state));
        }
    }

    fn forced_until(&self) -> Option<Mono> {
        self.log
            .iter()
            .rev()
            .find_map(|(_, entry)| if let Entry::Forced(until) = entry { Some(*until) } else { None })?
    }

    /// Whether a call passes, and if not for how long.
    fn admit(&mut self, now: Mono) -> Result<(), Option<Duration>> {
        self.advance(now);
        let (_, entered, state) = self.entered();
        let due = entered + self.spec.open_for;
        match state {
            State::Closed => return Ok(()),
            State::Open if now < due => return Err(Some(due.since(now))),
            State::Open => self.note(now, Entry::Entered(State::HalfOpen)),
            State::HalfOpen if self.trials_out() + self.spent() == self.spec.half_open_calls => {
                return Err(Some((entered + HALF_OPEN_FOR).since(now)));
            }
            State::HalfOpen => {}
            State::ForcedOpen => return Err(self.forced_until().map(|until| until.since(now))),
        }
        self.note(now, Entry::TrialOut);
        Ok(())
    }

    fn settle(&mut self, now: Mono, epoch: usize, tally: Option<Tally>) {
        if tally.is_some() {
            self.advance(now);
        }
        if epoch != self.epoch() {
            return;
        }
        match (self.state(), tally) {
            (State::Closed, Some(Tally::Success | Tally::Failure)) => {
                self.note(now, Entry::Outcome { failed: tally == Some(Tally::Failure) });
                let Counts { calls, failures } = self.counts(now);
                let by_count = self.spec.failures.is_some_and(|least| failures >= least);
                let by_rate = self.spec.failure_rate.is_some_and(|rate| {
                    calls >= self.spec.minimum_calls && f64::from(failures) / f64::from(calls) >= rate
                });
                if by_count || by_rate {
                    self.note(now, Entry::Entered(State::Open));
                }
            }
            (State::HalfOpen, tally) => {
                self.note(now, Entry::TrialBack(tally));
                let failures = self.trials(Some(Tally::Failure));
                let all_back = self.spent() == self.spec.half_open_calls;
                let failed = match self.spec.failure_rate {
                    None => failures > 0,
                    Some(rate) => all_back && f64::from(failures) / f64::from(self.spent()) >= rate,
                };
                if failed {
                    self.note(now, Entry::Entered(State::Open));
                } else if all_back {
                    self.note(now, Entry::Entered(State::Closed));
                }
            }
            (State::Closed | State::Open | State::ForcedOpen, _) => {}
        }
    }

    fn trip(&mut self, now: Mono, lasting: Option<Duration>) {
        self.advance(now);
        if self.state() != State::ForcedOpen {
            self.note(now, Entry::Entered(State::ForcedOpen));
        }
        self.note(now, Entry::Forced(lasting.map(|span| now + span)));
    }

    fn reset(&mut self, now: Mono) {
        self.advance(now);
        let entry =
            if self.state() == State::Closed { Entry::Emptied } else { Entry::Entered(State::Closed) };
        self.note(now, entry);
    }
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Admit,
    Record(usize, Tally),
    Release(usize),
    Advance,
    Trip(Option<u64>),
    Reset,
    Look,
}

fn action() -> impl Strategy<Value = Action> {
    let tally = prop_oneof![
        4 => Just(Tally::Failure),
        4 => Just(Tally::Success),
        1 => Just(Tally::Neutral),
        1 => Just(Tally::RateLimited),
    ];
    prop_oneof![
        30 => Just(Action::Admit),
        30 => (any::<usize>(), tally).prop_map(|(which, tally)| Action::Record(which, tally)),
        5 => any::<usize>().prop_map(Action::Release),
        5 => Just(Action::Advance),
        1 => prop::option::of(0_u64..60_000).prop_map(Action::Trip),
        1 => Just(Action::Reset),
        3 => Just(Action::Look),
    ]
}

fn spec() -> impl Strategy<Value = BreakerSpec> {
    let rate = prop::option::of(prop::sample::select(vec![0.1, 0.25, 0.5, 0.6, 1.0]));
    (prop::option::of(1_u32..6), rate, 1_u32..8, 1_000_u64..90_000, 1_000_u64..40_000, 1_u32..5).prop_map(
        |(failures, failure_rate, minimum_calls, window, open_for, half_open_calls)| BreakerSpec {
            failures: if failure_rate.is_none() { failures.or(Some(3)) } else { failures },
            window: Duration::from_millis(window),
            failure_rate,
            minimum_calls,
            open_for: Duration::from_millis(open_for),
            half_open_calls,
            ..BreakerSpec::default()
        },
    )
}

/// Mostly small steps, sometimes one that passes every deadline; `None`: to the next deadline exactly.
fn step() -> impl Strategy<Value = Option<u64>> {
    let step = prop_oneof![10 => 0_u64..200, 3 => 1_000_u64..8_000, 1 => 20_000_u64..70_000];
    prop::option::weighted(0.93, step)
}

fn agree(breaker: &Breaker, model: &Model, now: Mono) -> Result<(), TestCaseError> {
    prop_assert_eq!(breaker.phase.state(), model.state());
    prop_assert_eq!(breaker.epoch(), model.epoch() as u64);
    prop_assert_eq!(breaker.counts(now), model.counts(now));
    let out = if model.state() == State::HalfOpen { model.trials_out() } else { 0 };
    prop_assert_eq!(breaker.trials_out(), out);
    prop_assert!(out <= breaker.spec.half_open_calls);
    Ok(())
}

proptest! {
    #[test]
    fn the_breaker_does_what_the_list_says(
        spec in spec(),
        steps in prop::collection::vec((step(), action()), 1..150),
    ) {
        prop_assert_eq!(spec.check(), Ok(()));
        let mut breaker = Breaker::new(spec.clone());
        let mut model = Model::new(spec);
        let mut permits: Vec<(Permit, usize)> = Vec::new();
        let mut state = State::Closed;
        let mut now = Mono::ZERO;
        for (step, action) in steps {
            now = match step {
                Some(millis) => now + Duration::from_millis(millis),
                None => now.max(breaker.next_deadline().or_else(|| breaker.due()).unwrap_or(now)),
            };
            match action {
                Action::Admit => {
                    let foretold = breaker.would_admit(now);
                    let answer = breaker.admit(now);
                    prop_assert_eq!(foretold, answer.as_ref().map(|_| ()).map_err(|refusal| *refusal));
                    let said = model.admit(now);
                    prop_assert_eq!(answer.as_ref().map(|_| ()).map_err(|refusal| refusal.retry_after), said);
                    match answer {
                        Ok(permit) => permits.push((permit, model.epoch())),
                        Err(refusal) => prop_assert_eq!(refusal.state, model.state()),
                    }
                }
                Action::Record(which, tally) if !permits.is_empty() => {
                    let (permit, epoch) = permits.swap_remove(which % permits.len());
                    prop_assert_eq!(permit.epoch, epoch as u64);
                    breaker.record(now, permit, tally);
                    model.settle(now, epoch, Some(tally));
                }
                Action::Release(which) if !permits.is_empty() => {
                    let (permit, epoch) = permits.swap_remove(which % permits.len());
                    breaker.release(permit);
                    model.settle(now, epoch, None);
                }
                Action::Record(..) | Action::Release(_) | Action::Advance => {
                    breaker.advance(now);
                    model.advance(now);
                }
                Action::Trip(lasting) => {
                    let lasting = lasting.map(Duration::from_millis);
                    breaker.trip(Now { mono: now, wall: Wall::default() }, String::new(), lasting);
                    model.trip(now, lasting);
                }
                Action::Reset => {
                    breaker.reset(now);
                    model.reset(now);
                }
                Action::Look => {
                    let mut advanced = breaker.clone();
                    advanced.advance(now);
                    prop_assert_eq!(breaker.state(now), advanced.phase.state());
                    prop_assert!(advanced.next_deadline().is_none_or(|deadline| deadline > now));
                }
            }
            agree(&breaker, &model, now)?;
            while let Some(change) = breaker.take_transition() {
                prop_assert_eq!(change.from, state, "transitions form a chain");
                prop_assert_ne!(change.from, change.to);
                state = change.to;
            }
            prop_assert_eq!(state, model.state());
        }
    }
}
