//! Thousands of seeded runs of random operations: calls end in every way there is, in any order, callers leave, time
//! passes.
//!
//! Each run is written down as it was seen from outside (who was called when, and how it ended) and then held against
//! a specification that knows nothing of the run's insides: it derives each step's end, who was to be undone in which
//! order, and the verdict, from the plan and that record alone. A failure prints its seed.

use super::testing::{DEADLINE, Play, failure, plan, read, step};
use super::*;
use crate::classify::Safety;

const SEEDS: u64 = 20_000;

/// A small generator of our own: the same numbers everywhere, for ever.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % bound as u64).unwrap()
    }

    fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// A random operation: a step waits only for ones before it in a random order, so that there is no ring.
fn operation(dice: &mut Dice) -> Arc<Plan> {
    let count = 1 + dice.below(6);
    let mut order: Vec<usize> = (0..count).collect();
    for place in (1..count).rev() {
        order.swap(place, dice.below(place + 1));
    }
    let steps = (0..count).map(|index| {
        let name = format!("s{index}");
        let mut plan = if dice.one_in(3) { read(&name) } else { step(&name) };
        let place = order.iter().position(|other| *other == index).unwrap();
        plan.after = order[..place].iter().copied().filter(|_| dice.one_in(3)).collect();
        plan.required = !dice.one_in(3);
        if dice.one_in(2) {
            plan = plan.undone();
        }
        if dice.one_in(3) {
            plan = plan.or(&format!("{name}-other"));
        }
        let safe = plan.primary.call.safety() == Safety::Safe;
        if safe && dice.one_in(3) {
            plan.fallback.stale = Some(DEADLINE);
        }
        if dice.one_in(6) {
            plan = plan.value("1");
        }
        if dice.one_in(12) {
            plan = plan.input(".input.amount.x");
        }
        plan
    });
    plan(steps.collect(), None)
}

/// One call, as its provider has seen it.
struct Seen {
    step: usize,
    role: Role,
    began: usize,
    ended: Option<usize>,
    end: Option<CallEnd<Json>>,
}

struct Life {
    dice: Dice,
    plan: Arc<Plan>,
    play: Play,
    seen: Vec<Seen>,
    /// Numbers what happens.
    clock: usize,
    cancelled: Option<usize>,
    overdue: Vec<usize>,
    deadline_at: Option<usize>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let plan = operation(&mut dice);
        let budget = Some(Duration::from_secs(1 + dice.below(7) as u64));
        let wait = dice.one_in(4).then(|| Duration::from_millis(dice.below(9000) as u64));
        let play = Play::begin(Arc::clone(&plan), budget, wait);
        let (cancelled, overdue, deadline_at) = Default::default();
        let mut life = Self { dice, plan, play, seen: Vec::new(), clock: 0, cancelled, overdue, deadline_at };
        life.look();
        life
    }

    /// Writes down what has been started.
    fn look(&mut self) {
        self.clock += 1;
        for order in &self.play.open {
            let known = |seen: &Seen| seen.ended.is_none() && seen.step == order.step;
            if !self.seen.iter().any(known) {
                let (step, role, began) = (order.step, order.role, self.clock);
                self.seen.push(Seen { step, role, began, ended: None, end: None });
            }
        }
        if self.deadline_at.is_none() && self.play.now.mono >= self.play.run.deadline() {
            self.deadline_at = Some(self.clock);
        }
    }

    fn happen(&mut self) {
        match self.dice.below(12) {
            0 => {
                let span = Duration::from_millis(self.dice.below(3000) as u64);
                let left = self.play.run.deadline().since(self.play.now.mono);
                self.play.pass(if left.is_zero() { span } else { span.min(left) });
                self.reach_the_deadline();
            }
            1 if self.dice.one_in(6) => {
                self.cancelled.get_or_insert(self.clock);
                self.play.cancel();
            }
            _ => self.end_a_call(),
        }
        self.look();
    }

    /// Every call in flight says how it stands: what is safe or unsent ends, what is out is overdue.
    fn reach_the_deadline(&mut self) {
        self.look();
        if self.deadline_at.is_none() {
            return;
        }
        loop {
            let not_told = |order: &&Order| {
                order.deadline <= self.play.now.mono
                    && order.role != Role::Undo
                    && !self.overdue.contains(&order.step)
            };
            let Some(order) = self.play.open.iter().find(not_told) else { return };
            let (step, to) = (order.step, self.play.run.target(order.step).unwrap().clone());
            if to.safety() == Safety::Mutating && !self.dice.one_in(3) {
                self.overdue.push(step);
                self.play.is_overdue(to.integration.as_str());
                self.look();
            } else {
                self.end(to.integration.as_str(), step, CallEnd::Failed(failure(ErrorClass::Deadline)));
            }
        }
    }

    fn end_a_call(&mut self) {
        if self.play.open.is_empty() {
            return;
        }
        let order = &self.play.open[self.dice.below(self.play.open.len())];
        let (step, role) = (order.step, order.role);
        let to = self.play.run.target(step).unwrap_or_else(|| panic!("a target")).clone();
        let asked_to_stop = self.play.stopped.contains(&step) && role != Role::Undo;
        let classes = [
            ErrorClass::Transient,
            ErrorClass::BreakerOpen,
            ErrorClass::Throttled,
            ErrorClass::Client,
            ErrorClass::InvalidResponse,
        ];
        let end = match self.dice.below(10) {
            _ if asked_to_stop && (to.safety() == Safety::Safe || self.dice.one_in(2)) => CallEnd::Cancelled,
            0..6 => CallEnd::Succeeded(Json::of(&step)),
            6 if to.safety() == Safety::Mutating => CallEnd::Unknown(failure(ErrorClass::Ambiguous)),
            _ => CallEnd::Failed(failure(self.dice.one_of(&classes))),
        };
        self.end(to.integration.as_str(), step, end);
    }

    fn end(&mut self, to: &str, step: usize, end: CallEnd<Json>) {
        self.clock += 1;
        let copy = match &end {
            CallEnd::Succeeded(result) => CallEnd::Succeeded(result.clone()),
            CallEnd::Failed(failure) => CallEnd::Failed(failure.clone()),
            CallEnd::Unknown(failure) => CallEnd::Unknown(failure.clone()),
            CallEnd::Cancelled => CallEnd::Cancelled,
        };
        let seen = self.seen.iter_mut().find(|seen| seen.step == step && seen.ended.is_none()).unwrap();
        (seen.ended, seen.end) = (Some(self.clock), Some(copy));
        self.play.ends(to, end);
        self.look();
    }

    fn live(mut self) {
        for _ in 0..200 {
            if self.play.run.is_done() {
                break;
            }
            self.happen();
        }
        while !self.play.run.is_done() {
            assert!(!self.play.open.is_empty(), "a run that is not done waits for something");
            self.end_a_call();
        }
        Record { plan: &self.plan, seen: &self.seen, life: &self }.judge();
    }
}

/// What was seen from outside, and what must follow from it.
struct Record<'a> {
    plan: &'a Plan,
    seen: &'a [Seen],
    life: &'a Life,
}

impl Record<'_> {
    fn judge(&self) {
        let play = &self.life.play;
        let outcome = play.outcome();
        assert!(play.open.is_empty(), "nothing is left out");
        assert_eq!(outcome.steps.len(), self.plan.steps.as_slice().len());
        assert!(play.run.next_deadline().is_none());
        self.starts();
        self.asks();
        self.undoes(outcome);
        self.verdict(outcome);
        self.answers();
    }

    fn calls(&self, step: usize) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter(move |seen| seen.step == step && seen.role != Role::Undo)
    }

    /// No step starts before those it waits for have succeeded or, if optional, ended; none after the deadline, none
    /// for a caller that has left.
    fn starts(&self) {
        let outcome = self.life.play.outcome();
        for seen in self.seen.iter().filter(|seen| seen.role != Role::Undo) {
            let plan = self.plan.steps.get(seen.step).unwrap();
            for earlier in plan.after.iter() {
                let last = self.calls(earlier).last();
                let over = last.is_none_or(|last| last.ended.is_some_and(|ended| ended < seen.began));
                let required = self.plan.steps.get(earlier).unwrap().required;
                let status = outcome.steps[earlier].status;
                let fits = matches!(status, StepStatus::Succeeded | StepStatus::Undone)
                    || self.undo_of(earlier).is_some();
                assert!(over && (!required || fits), "{} starts before {earlier}: {status:?}", seen.step);
            }
            assert!(
                self.life.deadline_at.is_none_or(|at| seen.began <= at),
                "nothing starts after the deadline"
            );
            assert!(
                self.life.cancelled.is_none_or(|at| seen.began <= at),
                "nothing starts for one that has left"
            );
        }
    }

    /// Providers are asked in their order, the next only where the one before was not reached or had no room.
    fn asks(&self) {
        for step in 0..self.plan.steps.as_slice().len() {
            let calls: Vec<&Seen> = self.calls(step).collect();
            for (number, seen) in calls.iter().enumerate() {
                let role = number.checked_sub(1).map_or(Role::Primary, Role::Alternate);
                assert_eq!(seen.role, role);
                let Some(before) = number.checked_sub(1).map(|before| calls[before]) else { continue };
                let Some(CallEnd::Failed(failure)) = &before.end else {
                    panic!("no alternate after {:?}", before.end)
                };
                assert!(matches!(
                    failure.class,
                    ErrorClass::Transient
                        | ErrorClass::BreakerOpen
                        | ErrorClass::Throttled
                        | ErrorClass::Overloaded
                ));
            }
        }
    }

    fn undo_of(&self, step: usize) -> Option<&Seen> {
        self.seen.iter().find(|seen| seen.step == step && seen.role == Role::Undo)
    }

    /// Only what succeeded at a provider is undone, newest first, one after the other, and once nothing runs; in a run
    /// that has neither failed nor been cancelled nothing is.
    fn undoes(&self, outcome: &Outcome) {
        let undone: Vec<&Seen> = self.seen.iter().filter(|seen| seen.role == Role::Undo).collect();
        for (nth, undo) in undone.iter().enumerate() {
            let served = self.calls(undo.step).last().unwrap();
            assert!(matches!(served.end, Some(CallEnd::Succeeded(_))));
            assert!(self.calls_end_before(undo.began), "undo waits for what runs");
            if let Some(before) = nth.checked_sub(1).map(|before| undone[before]) {
                assert!(before.ended.unwrap() <= undo.began, "one after the other");
                let newer = self.calls(before.step).last().unwrap();
                assert!(newer.ended > served.ended, "newest first");
            }
            let provider =
                self.plan.steps.get(undo.step).unwrap().provider(self.calls(undo.step).count() - 1);
            assert!(provider.unwrap().undo.is_some(), "the undo belongs to the provider that served");
        }
        let definite = self.definite_failure(outcome) || self.life.cancelled.is_some();
        assert!(undone.is_empty() || definite, "what is only in doubt is left alone: {outcome:#?}");
        if !definite {
            return;
        }
        for (index, step) in outcome.steps.iter().enumerate() {
            let plan = self.plan.steps.get(index).unwrap();
            let last = self.calls(index).last();
            let served = last.is_some_and(|last| matches!(last.end, Some(CallEnd::Succeeded(_))));
            let number = self.calls(index).count().saturating_sub(1);
            let has_undo = plan.provider(number).unwrap().undo.is_some();
            let after_the_end = last.is_some_and(|last| self.ended_after_the_end(last, outcome));
            let all_well = matches!(outcome.status, RunStatus::Succeeded | RunStatus::Partial);
            if served && has_undo && !after_the_end && !all_well {
                let held = step.error.as_ref().is_some_and(|error| error.code == "undo_held");
                assert_ne!(
                    held,
                    self.undo_of(index).is_some(),
                    "each is undone or held: {index} {outcome:#?}"
                );
                assert_eq!(held, self.is_held(index, outcome), "{index} {outcome:#?}");
            }
        }
    }

    fn calls_end_before(&self, at: usize) -> bool {
        let forward = self.seen.iter().filter(|seen| seen.role != Role::Undo);
        forward.into_iter().all(|seen| seen.ended.is_some_and(|ended| ended <= at))
    }

    /// A call that came home after its run was over.
    fn ended_after_the_end(&self, seen: &Seen, outcome: &Outcome) -> bool {
        outcome.steps[seen.step].status == StepStatus::Unknown
            && !matches!(seen.end, Some(CallEnd::Unknown(_)))
            && self.undo_of(seen.step).is_none()
    }

    /// Something that ought to be taken back first may stand.
    fn is_held(&self, step: usize, outcome: &Outcome) -> bool {
        (0..outcome.steps.len()).any(|later| {
            let stuck =
                self.undo_of(later).is_some_and(|undo| !matches!(undo.end, Some(CallEnd::Succeeded(_))));
            let number = self.calls(later).count().saturating_sub(1);
            let has_undo = self.plan.steps.get(later).unwrap().provider(number).unwrap().undo.is_some();
            let told = &outcome.steps[later];
            let unread = told.error.as_ref().is_some_and(|it| it.class == ErrorClass::InvalidResponse);
            let stands = told.status == StepStatus::Unknown || (told.status == StepStatus::Failed && unread);
            let doubtful = stands && has_undo;
            self.waits_for(later, step) && (stuck || doubtful)
        })
    }

    fn waits_for(&self, later: usize, earlier: usize) -> bool {
        let after = self.plan.steps.get(later).unwrap().after;
        after.iter().any(|step| step == earlier || self.waits_for(step, earlier))
    }

    /// Whether a required step certainly has no effect: it failed, or it was skipped for a reason of its own.
    fn definite_failure(&self, outcome: &Outcome) -> bool {
        outcome.steps.iter().zip(self.plan.steps.as_slice()).any(|(step, plan)| {
            let code = step.error.as_ref().map(|error| &*error.code);
            let own_reason = matches!(code, Some("input_mapping_failed" | "deadline_exceeded"));
            plan.required
                && (step.status == StepStatus::Failed || (step.status == StepStatus::Skipped && own_reason))
        })
    }

    /// §1, sentence by sentence.
    fn verdict(&self, outcome: &Outcome) {
        let statuses: Vec<StepStatus> = outcome.steps.iter().map(|step| step.status).collect();
        let required = |step: &usize| self.plan.steps.get(*step).unwrap().required;
        let all = statuses.iter().all(|status| *status == StepStatus::Succeeded);
        let all_required =
            (0..statuses.len()).filter(required).all(|step| statuses[step] == StepStatus::Succeeded);
        let stuck = self
            .seen
            .iter()
            .any(|seen| seen.role == Role::Undo && !matches!(seen.end, Some(CallEnd::Succeeded(_))));
        let doubt = statuses.contains(&StepStatus::Unknown);
        let cancelled = self.life.cancelled.is_some_and(|_| {
            outcome.steps.iter().any(|step| {
                step.status == StepStatus::Undone
                    || step.error.as_ref().is_some_and(|error| error.code == "cancelled")
            })
        });
        let expected = if stuck {
            RunStatus::Unknown
        } else if all && !stuck {
            RunStatus::Succeeded
        } else if all_required && !cancelled && self.left_in_peace(outcome) {
            RunStatus::Partial
        } else if doubt {
            RunStatus::Unknown
        } else if self.definite_failure(outcome) {
            RunStatus::Failed
        } else {
            assert!(self.life.cancelled.is_some(), "nothing else ends a run: {outcome:#?}");
            RunStatus::Cancelled
        };
        assert_eq!(outcome.status, expected, "{outcome:#?}");
        let degraded = outcome
            .steps
            .iter()
            .any(|step| step.status == StepStatus::Succeeded && step.served_by != Some(ServedBy::Primary));
        assert_eq!(outcome.degraded, degraded);
        assert!(!statuses.iter().any(|it| matches!(it, StepStatus::Pending | StepStatus::Running)));
        for (index, step) in outcome.steps.iter().enumerate() {
            let unsuccessful = !matches!(step.status, StepStatus::Succeeded | StepStatus::Undone);
            assert!(!unsuccessful || step.error.is_some(), "what is not well says why: {outcome:#?}");
            let calls = self.calls(index).filter(|seen| !self.ended_after_the_end(seen, outcome)).count();
            let out = u32::from(self.calls(index).any(|seen| self.ended_after_the_end(seen, outcome)));
            assert_eq!(step.attempts as usize, calls + out as usize, "every attempt is told: {outcome:#?}");
        }
    }

    /// Whether nobody has cancelled the run before it was over.
    fn left_in_peace(&self, outcome: &Outcome) -> bool {
        self.life.cancelled.is_none() || outcome.status == RunStatus::Partial
    }

    /// The caller is told no later than at the deadline, and that something is pending only then.
    fn answers(&self) {
        let (play, deadline) = (&self.life.play, self.life.play.run.deadline());
        assert!(play.answered.is_some_and(|at| at <= deadline), "answered at {:?}", play.answered);
        assert!(play.pending.is_none() || play.answered == Some(deadline));
    }
}

#[test]
fn every_run_ends_as_specified() {
    for seed in 0..SEEDS {
        let lived = std::panic::catch_unwind(|| Life::new(seed).live());
        assert!(lived.is_ok(), "seed {seed} fails: see the assertion above");
    }
}

#[test]
fn a_life_has_all_there_is() {
    // What the simulation never meets it does not test.
    let mut met = std::collections::BTreeMap::<String, u32>::new();
    for seed in 0..2_000 {
        let mut life = Life::new(seed);
        while !life.play.run.is_done() {
            if life.play.open.is_empty() || life.clock < 400 { life.happen() } else { life.end_a_call() }
        }
        let outcome = life.play.outcome();
        let mut meet = |what: String| *met.entry(what).or_default() += 1;
        meet(outcome.status.as_str().to_owned());
        for step in &outcome.steps {
            meet(format!("step {}", step.status.as_str()));
            if let Some(by) = step.served_by {
                meet(format!("by {}", by.as_str()));
            }
            if let Some(error) = &step.error {
                meet(format!("error {}", error.code));
            }
        }
        meet(format!("pending {}", life.play.pending.is_some()));
        meet(format!("accepted {}", life.play.accepted.is_some()));
    }
    for what in [
        "succeeded",
        "partial",
        "failed",
        "unknown",
        "cancelled",
        "step undone",
        "step unknown",
        "step skipped",
        "by primary",
        "by alternate",
        "by value",
        "error undo_failed",
        "error undo_held",
        "error step_skipped",
        "error cancelled",
        "error deadline_exceeded",
        "error input_mapping_failed",
        "pending true",
        "accepted true",
    ] {
        assert!(met.get(what).is_some_and(|times| *times >= 20), "{what}: {met:#?}");
    }
}
