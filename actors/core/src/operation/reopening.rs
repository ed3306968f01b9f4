//! A run that is over and is taken up again, because a person says so, or because its provider has settled a doubt.
//!
//! Taken up, a run goes on as after a crash: what has succeeded stays, what has failed or was skipped begins anew, what is in
//! doubt passes the gate of every resend. An undo that failed is tried again. A run that has taken back what had succeeded is
//! not taken up: its keys stand for what was undone, and a provider that knows them would do nothing.

use super::ending::UNDO_HELD;
use super::snapshot::{Snapshot, StepSnapshot};
use super::{Open, StepStatus, Stop};
use crate::json::Json;

/// What a person says of a run that is in doubt or has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Try again.
    Redrive,
    /// The step was done, with this result.
    Succeeded(Json),
    /// The step was not done.
    Failed,
    /// Send it again, though it may have been done.
    Resend,
}

/// Why a run is not taken up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReopened {
    /// What had succeeded was taken back.
    #[error("what had succeeded was taken back, and its keys stand for that: run it anew")]
    Undone,
    /// No step is in doubt or has failed.
    #[error("none of its steps is in doubt or has failed")]
    NothingOpen,
}

impl Snapshot {
    /// The run as it is taken up again, and the step that the resolution was about.
    ///
    /// # Errors
    /// [`NotReopened`].
    pub fn reopened(mut self, resolution: &Resolution) -> Result<(Self, usize), NotReopened> {
        let is_undone =
            |step: &StepSnapshot| step.status == StepStatus::Undone || step.open == Some(Open::Undoing);
        if self.steps.iter().any(is_undone) {
            return Err(NotReopened::Undone);
        }
        if let Some(stuck) = self.stuck.first().copied() {
            self.undo_again(resolution);
            return Ok((self, stuck));
        }
        let is = |status| self.steps.iter().position(|step| step.status == status);
        let about = is(StepStatus::Unknown).or_else(|| is(StepStatus::Failed));
        // Of a run that did not come to its own end there may be nothing but what was under way, or had not begun.
        let about = about.or_else(|| is(StepStatus::Running)).or_else(|| is(StepStatus::Pending));
        let about = about.ok_or(NotReopened::NothingOpen)?;
        self.stop = None;
        for (place, step) in self.steps.iter_mut().enumerate() {
            let resolved = (place == about).then_some(resolution);
            match (step.status, resolved) {
                (_, Some(Resolution::Succeeded(result))) => {
                    step.status = StepStatus::Succeeded;
                    step.result = Some(result.clone());
                    step.served_by = Some(step.primary_or_alternate());
                    (step.error, step.open) = (None, None);
                }
                (_, Some(Resolution::Failed)) => {
                    (step.status, step.open) = (StepStatus::Failed, None);
                    self.stop = Some(Stop::Failed(place));
                }
                (StepStatus::Unknown, None | Some(Resolution::Redrive)) => {
                    (step.status, step.open, step.error) = (StepStatus::Running, Some(Open::Serving), None);
                }
                (StepStatus::Unknown | StepStatus::Failed, _) | (_, Some(Resolution::Resend)) => {
                    (step.status, step.open, step.provider, step.error) =
                        (StepStatus::Pending, None, 0, None);
                }
                (StepStatus::Skipped, _) => (step.status, step.error) = (StepStatus::Pending, None),
                (_, _) => {}
            }
        }
        if self.stop.is_some() {
            // Nothing more begins: what had succeeded is taken back.
            for step in self.steps.iter_mut().filter(|step| step.status == StepStatus::Pending) {
                step.status = StepStatus::Skipped;
            }
        }
        self.succeeded = self.that_succeeded();
        Ok((self, about))
    }

    /// The undos that failed are tried again, or taken as done; then those are made that were held because of them.
    fn undo_again(&mut self, resolution: &Resolution) {
        let is_held = |step: &StepSnapshot| step.error.as_ref().is_some_and(|error| error.code == UNDO_HELD);
        for (place, step) in self.steps.iter_mut().enumerate().filter(|(_, step)| is_held(step)) {
            step.error = None;
            self.succeeded.push(place);
        }
        for place in std::mem::take(&mut self.stuck) {
            let Some(step) = self.steps.get_mut(place) else { continue };
            step.error = None;
            let doubt = step.status == StepStatus::Unknown;
            match resolution {
                Resolution::Succeeded(_) => step.status = StepStatus::Undone,
                // It may have been undone: whether that is sent again, the gate of every resend says.
                Resolution::Redrive if doubt => {
                    (step.status, step.open) = (StepStatus::Succeeded, Some(Open::Undoing));
                }
                Resolution::Redrive | Resolution::Failed | Resolution::Resend => {
                    step.status = StepStatus::Succeeded;
                    self.succeeded.push(place);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::*;
    use super::super::{Begin, CallEnd, Directive, Outcome, Resumed, Run, RunStatus, Sent, StepPlan, Tries};
    use super::*;
    use crate::failure::{ErrorClass, Failure};
    use crate::idempotency::{Resend, Role};
    use crate::name::{CorrelationId, RunId};
    use crate::time::Now;

    fn begun(steps: Vec<StepPlan>) -> Run {
        let begin = Begin {
            id: RunId::new("run_1"),
            correlation_id: CorrelationId::new("c").unwrap(),
            plan: plan(steps, None),
            input: Json::of(&"input"),
            budget: None,
            wait: None,
        };
        Run::begin(begin, Now::default())
    }

    fn over(steps: Vec<StepPlan>, end: CallEnd<Json>) -> Run {
        let mut run = begun(steps);
        while run.poll().is_some() {}
        run.call_ended(Now::default(), 0, end, Tries { made: 1, sent: true, trial: false });
        assert!(run.is_done());
        run
    }

    fn reopened(run: &Run, resolution: &Resolution) -> Run {
        let (snapshot, about) = run.snapshot().reopened(resolution).unwrap();
        assert_eq!(about, 0);
        let resumed = Resumed {
            id: run.id().clone(),
            correlation_id: run.correlation_id().clone(),
            plan: Arc::clone(run.plan()),
            input: run.input().clone(),
            began: run.began().wall,
            snapshot,
            sent: Vec::new(),
            patient: true,
        };
        Run::resume(resumed, Now::default()).unwrap()
    }

    fn failure(class: ErrorClass) -> Failure {
        Failure::new(class, "c", "m")
    }

    fn end(run: &mut Run) -> Outcome {
        loop {
            if let Directive::Finish(outcome) = run.poll().expect("an end") {
                return *outcome;
            }
        }
    }

    fn calls(run: &mut Run) -> Vec<usize> {
        let mut calls = Vec::new();
        while let Some(directive) = run.poll() {
            let Directive::Execute(order) = directive else { panic!("{directive:?}") };
            calls.push(order.step);
        }
        calls
    }

    #[test]
    fn what_failed_begins_anew_and_so_does_what_was_skipped() {
        let run = over(vec![step("a"), step("b").after(&[0])], CallEnd::Failed(failure(ErrorClass::Client)));
        let mut again = reopened(&run, &Resolution::Redrive);
        assert_eq!(calls(&mut again), [0]);
        again.call_ended(Now::default(), 0, CallEnd::Succeeded(Json::of(&1)), Tries::NONE);
        assert_eq!(calls(&mut again), [1]);
        again.call_ended(Now::default(), 1, CallEnd::Succeeded(Json::of(&2)), Tries::NONE);
        assert_eq!(end(&mut again).status, RunStatus::Succeeded);
    }

    #[test]
    fn a_doubt_is_what_a_person_says() {
        let doubt =
            || over(vec![step("a"), step("b").after(&[0])], CallEnd::Unknown(failure(ErrorClass::Ambiguous)));
        let mut done = reopened(&doubt(), &Resolution::Succeeded(Json::of(&"done")));
        assert_eq!(calls(&mut done), [1], "it goes on with what follows");
        let mut not_done = reopened(&doubt(), &Resolution::Failed);
        assert_eq!(end(&mut not_done).status, RunStatus::Failed);
        assert_eq!(calls(&mut reopened(&doubt(), &Resolution::Resend)), [0]);
        assert_eq!(calls(&mut reopened(&doubt(), &Resolution::Redrive)), [0], "no intent stands against it");
    }

    #[test]
    fn what_was_taken_back_is_not_taken_up() {
        let mut run = Run::begin(
            Begin {
                id: RunId::new("run_1"),
                correlation_id: CorrelationId::new("c").unwrap(),
                plan: plan(vec![step("a").undone(), step("b").after(&[0])], None),
                input: Json::NULL,
                budget: None,
                wait: None,
            },
            Now::default(),
        );
        let now = Now::default();
        run.poll();
        run.call_ended(now, 0, CallEnd::Succeeded(Json::NULL), Tries::NONE);
        run.poll();
        run.call_ended(now, 1, CallEnd::Failed(failure(ErrorClass::Client)), Tries::NONE);
        let stuck = {
            run.call_ended(now, 0, CallEnd::Failed(failure(ErrorClass::Client)), Tries::NONE);
            run
        };
        // Its undo failed: that is what is tried again.
        let mut again = reopened(&stuck, &Resolution::Redrive);
        assert_eq!(calls(&mut again), [0]);
        assert_eq!(again.target(0).unwrap().integration.as_str(), "a-undo");
        again.call_ended(now, 0, CallEnd::Succeeded(Json::NULL), Tries::NONE);
        assert_eq!(end(&mut again).status, RunStatus::Failed);
        assert_eq!(again.snapshot().reopened(&Resolution::Redrive), Err(NotReopened::Undone));
    }

    #[test]
    fn an_undo_in_doubt_passes_the_gate_unless_a_person_says_otherwise() {
        let now = Now::default();
        let mut run = begun(vec![step("a").undone(), step("b").after(&[0])]);
        for (step, end) in [
            (0, CallEnd::Succeeded(Json::NULL)),
            (1, CallEnd::Failed(failure(ErrorClass::Client))),
            (0, CallEnd::Unknown(failure(ErrorClass::Ambiguous))),
        ] {
            assert_eq!(calls(&mut run), [step]);
            run.call_ended(now, step, end, Tries::NONE);
        }
        assert_eq!(end(&mut run).status, RunStatus::Unknown);
        let taken_up = |resolution: &Resolution, may_resend: bool| {
            let (snapshot, _) = run.snapshot().reopened(resolution).unwrap();
            let mut steps = run.plan().steps.as_slice().to_vec();
            let undo = steps[0].primary.undo.as_mut().unwrap();
            undo.call.resend = if may_resend { Resend::Safe } else { Resend::Never };
            let sent = if *resolution == Resolution::Redrive {
                vec![Sent { step: 0, role: Role::Undo, ago: std::time::Duration::ZERO }]
            } else {
                Vec::new()
            };
            let resumed = Resumed {
                id: run.id().clone(),
                correlation_id: run.correlation_id().clone(),
                plan: plan(steps, None),
                input: Json::NULL,
                began: run.began().wall,
                snapshot,
                sent: sent.into_iter().collect(),
                patient: true,
            };
            Run::resume(resumed, now).unwrap()
        };
        assert_eq!(calls(&mut taken_up(&Resolution::Redrive, true)), [0]);
        assert_eq!(
            end(&mut taken_up(&Resolution::Redrive, false)).status,
            RunStatus::Unknown,
            "not sent again"
        );
        assert_eq!(calls(&mut taken_up(&Resolution::Resend, false)), [0]);
        assert_eq!(end(&mut taken_up(&Resolution::Succeeded(Json::NULL), false)).status, RunStatus::Failed);
    }

    #[test]
    fn what_was_held_is_taken_back_after_what_held_it() {
        // In the file the later one stands first.
        let steps =
            vec![step("pay").after(&[1]).undone(), step("reserve").undone(), step("ship").after(&[0])];
        for (resolution, undone) in
            [(Resolution::Redrive, vec![0, 1]), (Resolution::Succeeded(Json::NULL), vec![1])]
        {
            let now = Now::default();
            let mut run = begun(steps.clone());
            let refused = || CallEnd::Failed(failure(ErrorClass::Client));
            for (step, end) in [
                (1, CallEnd::Succeeded(Json::NULL)),
                (0, CallEnd::Succeeded(Json::NULL)),
                (2, refused()),
                (0, refused()),
            ] {
                assert_eq!(calls(&mut run), [step]);
                run.call_ended(now, step, end, Tries::NONE);
            }
            assert_eq!(end(&mut run).status, RunStatus::Unknown);
            let mut again = reopened(&run, &resolution);
            for step in undone {
                assert_eq!(calls(&mut again), [step]);
                again.call_ended(now, step, CallEnd::Succeeded(Json::NULL), Tries::NONE);
            }
            let outcome = end(&mut again);
            let of = |place: usize| (outcome.steps[place].status, outcome.steps[place].error.is_none());
            assert_eq!(
                (outcome.status, of(0), of(1)),
                (RunStatus::Failed, (StepStatus::Undone, true), (StepStatus::Undone, true))
            );
        }
    }

    #[test]
    fn what_did_not_come_to_its_own_end_goes_on_from_there() {
        let mut run = begun(vec![step("a"), step("b").after(&[0])]);
        assert_eq!(calls(&mut run), [0]);
        assert_eq!(calls(&mut reopened(&run, &Resolution::Redrive)), [0]);
        assert_eq!(calls(&mut reopened(&run, &Resolution::Succeeded(Json::NULL))), [1]);
        assert_eq!(end(&mut reopened(&run, &Resolution::Failed)).status, RunStatus::Failed);
        assert_eq!(calls(&mut reopened(&run, &Resolution::Resend)), [0]);
    }

    #[test]
    fn what_has_succeeded_is_not_taken_up() {
        let run = over(vec![step("a")], CallEnd::Succeeded(Json::NULL));
        assert_eq!(run.snapshot().reopened(&Resolution::Redrive), Err(NotReopened::NothingOpen));
    }
}
