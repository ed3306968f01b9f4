//! What the world was told, held against what the providers have done.

use super::provider::{Deed, Provider};
use super::world::Life;
use crate::classify::Safety;
use crate::failure::ErrorClass;
use crate::operation::{Outcome, RunStatus, ServedBy, StepOutcome, StepPlan, StepStatus};

/// The words of an outcome, for the story.
pub(super) fn words(outcome: &Outcome) -> Vec<String> {
    let mut words = vec![format!("run {}", outcome.status.as_str())];
    for step in &outcome.steps {
        words.push(format!("step {}", step.status.as_str()));
        words.extend(step.served_by.map(|by| format!("by {}", by.as_str())));
        words.extend(step.error.as_ref().map(|error| format!("code {}", error.code)));
    }
    words
}

/// Fails where a run has not ended, or its outcome is not true.
pub(super) fn judge(number: usize, life: &Life, providers: &[Provider]) {
    assert!(life.run.is_done(), "run {number} never ends");
    let outcome = life.outcome.as_ref().expect("a run that is done has an outcome");
    for (index, (step, plan)) in outcome.steps.iter().zip(life.plan.steps.as_slice()).enumerate() {
        let case = Case { number, index, step, plan, providers };
        case.nothing_is_done_twice();
        case.is_true(outcome);
    }
    the_verdict_is_true(life, outcome);
}

struct Case<'a> {
    number: usize,
    index: usize,
    step: &'a StepOutcome,
    plan: &'a StepPlan,
    providers: &'a [Provider],
}

impl Case<'_> {
    fn times(&self, number: usize, undo: bool) -> u32 {
        let deed = Deed { run: self.number, step: self.index, number, undo };
        self.providers.iter().filter_map(|provider| provider.ledger.get(&deed)).sum()
    }

    /// How often the step's providers have acted, one by one.
    fn acts(&self) -> Vec<u32> {
        (0..=self.plan.alternates.len()).map(|number| self.times(number, false)).collect()
    }

    fn nothing_is_done_twice(&self) {
        for number in 0..=self.plan.alternates.len() {
            for undo in [false, true] {
                assert!(self.times(number, undo) <= 1, "done twice: {:?}", self.step);
            }
        }
        assert!(self.acts().iter().sum::<u32>() <= 1, "two providers have done it: {:?}", self.step);
    }

    fn is_true(&self, outcome: &Outcome) {
        let acts: u32 = self.acts().iter().sum();
        let undone: u32 = (0..=self.plan.alternates.len()).map(|number| self.times(number, true)).sum();
        let may_act = self.plan.primary.call.safety() == Safety::Mutating;
        // An answer that nobody can read comes of something that was done.
        let unreadable = self.step.error.as_ref().is_some_and(|it| it.class == ErrorClass::InvalidResponse);
        let (expected, taken_back) = match (self.step.status, self.step.served_by) {
            (StepStatus::Succeeded, Some(ServedBy::Primary | ServedBy::Alternate)) => {
                // What could not be taken back may have been, as far as anybody knows.
                let in_doubt = self.step.error.is_some();
                (Some(u32::from(may_act)), (!in_doubt).then_some(0))
            }
            (StepStatus::Succeeded, _) => ((!unreadable).then_some(0), Some(0)),
            (StepStatus::Failed, _) => (Some(u32::from(unreadable && may_act)), Some(0)),
            (StepStatus::Skipped, _) => (Some(0), Some(0)),
            (StepStatus::Undone, _) => (Some(u32::from(may_act)), Some(1)),
            (StepStatus::Unknown, _) => (None, None),
            (StepStatus::Pending | StepStatus::Running | StepStatus::Waiting | StepStatus::Accepted, _) => {
                panic!("under way at the end: {outcome:#?}")
            }
        };
        assert!(expected.is_none_or(|expected| acts == expected), "done {acts} times: {:#?}", self.step);
        assert!(taken_back.is_none_or(|times| undone == times), "undone {undone} times: {:#?}", self.step);
    }
}

fn the_verdict_is_true(life: &Life, outcome: &Outcome) {
    let is = |status| move |step: &&StepOutcome| step.status == status;
    let required: Vec<&StepOutcome> = outcome
        .steps
        .iter()
        .zip(life.plan.steps.as_slice())
        .filter_map(|(step, plan)| plan.required.then_some(step))
        .collect();
    let all_required = required.iter().all(|step| step.status == StepStatus::Succeeded);
    match outcome.status {
        RunStatus::Accepted | RunStatus::Running | RunStatus::Waiting => panic!("not over: {outcome:#?}"),
        RunStatus::Succeeded => assert!(outcome.steps.iter().all(|it| it.status == StepStatus::Succeeded)),
        RunStatus::Partial => assert!(all_required, "{outcome:#?}"),
        RunStatus::Failed => {
            assert!(!outcome.steps.iter().any(|step| is(StepStatus::Unknown)(&step)), "{outcome:#?}");
            assert!(!all_required, "{outcome:#?}");
        }
        RunStatus::Unknown => {
            let stuck = |step: &StepOutcome| step.status == StepStatus::Succeeded && step.error.is_some();
            let doubtful = |step: &StepOutcome| step.status == StepStatus::Unknown || stuck(step);
            assert!(outcome.steps.iter().any(doubtful), "{outcome:#?}");
        }
        RunStatus::Cancelled => assert!(life.cancelled, "{outcome:#?}"),
    }
}
