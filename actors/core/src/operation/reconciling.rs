//! A run that has ended in doubt is not left so where its providers can be asked: they are asked again, later and later.
//!
//! They are asked beside the run, in an *inquiry*, which sends nothing but the queries of `verifying` and changes nothing.
//! When every required step in doubt has a definite answer, the run is taken up with it: what was found has succeeded, and
//! what follows it is done; what was absent (twice, the second time after it would have settled) has failed, and what earlier
//! steps did is taken back. It is not sent again: hours may have passed, and whoever asked has been told that nobody knew.
//! Where the answer still tells nothing, the run stays as it is, until the next time or until a person says what is so.

use std::time::Duration;

use super::snapshot::Snapshot;
use super::verifying::InDoubt;
use super::{Json, Resumed, Run, StepStatus, Stop};
use crate::failure::{ErrorClass, Failure};
use crate::idempotency::interrupted;
use crate::time::{Mono, Now};

/// When providers are asked, from the run's end, unless they are configured otherwise.
pub const RECONCILE_AFTER: [Duration; 5] = [
    Duration::from_secs(60),
    Duration::from_secs(600),
    Duration::from_secs(3600),
    Duration::from_secs(6 * 3600),
    Duration::from_secs(24 * 3600),
];

/// What has become of a step that was in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The step, by its place.
    pub step: usize,
    /// Whether the run fails where the step does.
    pub required: bool,
    /// Its result; `None`: it was not done.
    pub found: Option<Json>,
}

/// What an inquiry has found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// What has become of the steps in doubt; `None` where it is still not known of all that the run needs.
    pub settled: Option<Vec<Settled>>,
    /// Whether a provider was asked at all: it may have been left alone.
    pub asked: bool,
    /// When to ask again, from the run's end.
    pub again_after: Option<Duration>,
}

impl Run {
    /// An inquiry into a run that ended in doubt so long ago; `None` where nobody could be asked about what it needs, or the
    /// snapshot is not one of this plan.
    pub fn inquire(resumed: Resumed, ended_ago: Duration, now: Now) -> Option<Self> {
        let mut run = Self::standing(resumed, now)?;
        let asked = run.to_be_asked_about();
        if asked.is_empty() {
            return None;
        }
        run.succeeded.clear();
        run.stop = Some(Stop::Inquiry);
        let since = now.mono - ended_ago;
        for step in asked {
            run.asks(now, step, since);
        }
        run.settle(now);
        Some(run)
    }

    /// The steps in doubt whose providers can be asked; none where that would not settle what the run needs.
    fn to_be_asked_about(&self) -> Vec<usize> {
        let is = |status: StepStatus| {
            move |step: &usize| self.steps.get(*step).is_some_and(|it| it.status == status)
        };
        let in_doubt = || (0..self.steps.len()).filter(is(StepStatus::Unknown));
        let can_be_asked = |step: &usize| self.verify(*step).is_some();
        let is_settled_by_it = in_doubt().all(|step| can_be_asked(&step) || !self.is_required(step));
        let was_undone =
            !self.stuck.is_empty() || (0..self.steps.len()).any(|step| is(StepStatus::Undone)(&step));
        if was_undone || !is_settled_by_it { Vec::new() } else { in_doubt().filter(can_be_asked).collect() }
    }

    fn asks(&mut self, now: Now, step: usize, since: Mono) {
        if let Some(state) = self.steps.get_mut(step) {
            let failure = state.error.take().unwrap_or_else(interrupted);
            state.doubt = Some(InDoubt::since(failure, since, now.mono));
            state.status = StepStatus::Running;
            state.inquired = true;
        }
        self.look(now, step);
    }

    /// What an inquiry has found out about a run that ended so long ago.
    pub fn finding(&self, ended_ago: Duration) -> Finding {
        let steps = || self.steps.iter().enumerate().filter(|(_, state)| state.inquired);
        let settled = steps().map(|(step, state)| {
            let required = self.is_required(step);
            let settled = |found: Option<Json>| Ok(Some(Settled { step, required, found }));
            match state.status {
                StepStatus::Succeeded => settled(state.result.clone()),
                StepStatus::Failed => settled(None),
                StepStatus::Pending
                | StepStatus::Running
                | StepStatus::Waiting
                | StepStatus::Accepted
                | StepStatus::Unknown
                | StepStatus::Skipped
                | StepStatus::Undone => {
                    if required {
                        Err(())
                    } else {
                        Ok(None)
                    }
                }
            }
        });
        let settled: Result<Vec<Option<Settled>>, ()> = settled.collect();
        Finding {
            settled: settled.ok().map(|settled| settled.into_iter().flatten().collect()),
            asked: steps().any(|(_, state)| !state.left_alone),
            again_after: steps().filter_map(|(step, _)| self.reconciled_after(step, ended_ago)).min(),
        }
    }

    /// When providers are asked next about a run that has ended in doubt, from its end; `None` if none can be.
    pub fn reconciles_after(&self) -> Option<Duration> {
        let asked = self.to_be_asked_about().into_iter();
        asked.filter_map(|step| self.reconciled_after(step, Duration::ZERO)).min()
    }

    fn reconciled_after(&self, step: usize, age: Duration) -> Option<Duration> {
        self.verify(step)?.reconcile_after.iter().copied().find(|after| *after > age)
    }
}

impl Snapshot {
    /// The run as it is taken up with what was found out.
    pub fn settled(mut self, settled: &[Settled]) -> Self {
        self.stop = self.stop.filter(|stop| matches!(stop, Stop::Failed(_)));
        for Settled { step: place, required, found } in settled {
            let Some(step) = self.steps.get_mut(*place) else { continue };
            (step.open, step.doubt) = (None, None);
            if let Some(result) = found {
                (step.status, step.error, step.result) = (StepStatus::Succeeded, None, Some(result.clone()));
                step.served_by = Some(step.primary_or_alternate());
            } else {
                let message = "its answer was lost, and the provider says that it was not done";
                step.status = StepStatus::Failed;
                step.error = Some(Failure::new(ErrorClass::Transient, "verified_absent", message));
                if *required {
                    self.stop.get_or_insert(Stop::Failed(*place));
                }
            }
        }
        if self.stop.is_none() {
            for step in self.steps.iter_mut().filter(|step| step.status == StepStatus::Skipped) {
                (step.status, step.error) = (StepStatus::Pending, None);
            }
        }
        self.succeeded = self.that_succeeded();
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::*;
    use super::super::{Begin, CallEnd, Directive, Outcome, RunStatus, StepPlan, Tries, Verify};
    use super::*;
    use crate::idempotency::Role;
    use crate::mapping::{Kind, Program};
    use crate::name::{CorrelationId, RunId};

    const AGO: Duration = Duration::from_secs(90);

    fn verified(name: &str) -> StepPlan {
        let program = |text| Program::compile(Kind::Response, text).unwrap();
        let mut step = step(name);
        step.primary.call.verify = Some(Arc::new(Verify {
            call: read("query").primary.call,
            input: None,
            found: program(".body.data != null"),
            result: program(".body.data"),
            always: false,
            settle: Duration::from_secs(30),
            reconcile_after: RECONCILE_AFTER.into(),
        }));
        step
    }

    fn now() -> Now {
        Now { mono: Mono::from_origin(Duration::from_secs(3600)), ..Now::default() }
    }

    fn doubt() -> CallEnd<Json> {
        CallEnd::Unknown(Failure::new(ErrorClass::Ambiguous, "reset", "it broke"))
    }

    fn answer(body: &str) -> CallEnd<Json> {
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        CallEnd::Succeeded(Json::of(&serde_json::json!({ "status": 200, "headers": {}, "body": body })))
    }

    /// The steps that are asked for, with the roles of their calls.
    fn asked(run: &mut Run) -> Vec<(usize, Role)> {
        let mut asked = Vec::new();
        while let Some(directive) = run.poll() {
            if let Directive::Execute(order) = directive {
                asked.push((order.step, order.role));
            }
        }
        asked
    }

    fn end(run: &mut Run) -> Outcome {
        loop {
            if let Directive::Finish(outcome) = run.poll().expect("an end") {
                return *outcome;
            }
        }
    }

    fn once() -> Tries {
        Tries { made: 1, sent: true, trial: false }
    }

    fn begun(steps: Vec<StepPlan>) -> Run {
        let begin = Begin {
            id: RunId::new("run_1"),
            correlation_id: CorrelationId::new("c").unwrap(),
            plan: plan(steps, None),
            input: Json::of(&"input"),
            budget: None,
            wait: None,
        };
        Run::begin(begin, now())
    }

    /// A run of these steps whose first ended in doubt, since its provider could not be asked either.
    fn unknown(steps: Vec<StepPlan>) -> Run {
        let mut run = begun(steps);
        asked(&mut run);
        run.call_ended(now(), 0, doubt(), once());
        assert_eq!(asked(&mut run), [(0, Role::Verify)]);
        run.call_ended(now(), 0, doubt(), once());
        assert_eq!(end(&mut run).status, RunStatus::Unknown);
        run
    }

    fn resumed(run: &Run, snapshot: Snapshot) -> Resumed {
        Resumed {
            id: run.id().clone(),
            correlation_id: run.correlation_id().clone(),
            plan: Arc::clone(run.plan()),
            input: run.input().clone(),
            began: run.began().wall,
            snapshot,
            sent: Vec::new(),
            patient: true,
        }
    }

    fn inquiry(run: &Run) -> Run {
        Run::inquire(resumed(run, run.snapshot()), AGO, now()).expect("somebody can be asked")
    }

    fn taken_up(run: &Run, settled: &[Settled]) -> Run {
        Run::resume(resumed(run, run.snapshot().settled(settled)), now()).unwrap()
    }

    #[test]
    fn what_is_found_has_succeeded_and_what_follows_is_done() {
        let run = unknown(vec![verified("a"), step("b").after(&[0])]);
        assert_eq!(run.reconciles_after(), Some(RECONCILE_AFTER[0]));
        let mut inquiry = inquiry(&run);
        assert_eq!(asked(&mut inquiry), [(0, Role::Verify)]);
        inquiry.call_ended(now(), 0, answer(r#"{"data":7}"#), once());
        assert!(inquiry.is_done());
        assert_eq!(asked(&mut inquiry), [], "an inquiry does nothing else");
        let settled = inquiry.finding(AGO).settled.expect("it is settled");
        assert_eq!(settled, [Settled { step: 0, required: true, found: Some(Json::of(&7)) }]);

        let mut again = taken_up(&run, &settled);
        assert_eq!(asked(&mut again), [(1, Role::Primary)], "and nothing twice");
        again.call_ended(now(), 1, CallEnd::Succeeded(Json::of(&"b")), once());
        let outcome = end(&mut again);
        assert_eq!((outcome.status, outcome.result.as_str()), (RunStatus::Succeeded, r#"{"a":7,"b":"b"}"#));
    }

    #[test]
    fn what_is_absent_twice_has_failed_and_is_not_sent_again() {
        let run = unknown(vec![verified("a"), step("b").after(&[0])]);
        let mut inquiry = inquiry(&run);
        asked(&mut inquiry);
        inquiry.call_ended(now(), 0, answer("{}"), once());
        // It has had its time to settle.
        assert_eq!(asked(&mut inquiry), [(0, Role::Verify)]);
        inquiry.call_ended(now(), 0, answer("{}"), once());
        assert!(inquiry.is_done() && asked(&mut inquiry).is_empty());
        let settled = inquiry.finding(AGO).settled.expect("it is settled");
        assert_eq!(settled, [Settled { step: 0, required: true, found: None }]);
        let mut again = taken_up(&run, &settled);
        let outcome = end(&mut again);
        assert_eq!(outcome.status, RunStatus::Failed);
        assert_eq!(outcome.error.unwrap().code, "verified_absent");
        assert!(asked(&mut again).is_empty());
    }

    #[test]
    fn one_that_has_just_ended_waits_until_absence_means_something() {
        let run = unknown(vec![verified("a")]);
        let mut inquiry =
            Run::inquire(resumed(&run, run.snapshot()), Duration::from_secs(10), now()).unwrap();
        asked(&mut inquiry);
        inquiry.call_ended(now(), 0, answer("{}"), once());
        assert!(asked(&mut inquiry).is_empty());
        assert_eq!(inquiry.next_deadline(), Some(now().mono + Duration::from_secs(20)));
    }

    #[test]
    fn what_tells_nothing_is_asked_again_later_and_later() {
        let run = unknown(vec![verified("a")]);
        for (age, next) in [(90, Some(600)), (600, Some(3600)), (90_000, None)] {
            let mut inquiry = inquiry(&run);
            asked(&mut inquiry);
            inquiry.call_ended(now(), 0, doubt(), once());
            let finding = inquiry.finding(Duration::from_secs(age));
            let again_after = next.map(Duration::from_secs);
            assert_eq!(finding, Finding { settled: None, asked: true, again_after });
        }
        let mut left_alone = inquiry(&run);
        asked(&mut left_alone);
        let open = Failure::new(ErrorClass::BreakerOpen, "breaker_open", "m");
        left_alone.call_ended(now(), 0, CallEnd::Failed(open), Tries::NONE);
        assert!(!left_alone.finding(AGO).asked);
    }

    #[test]
    fn what_had_succeeded_is_taken_back_where_it_was_not_done() {
        let run = {
            let mut run = begun(vec![step("a").undone(), verified("b").after(&[0])]);
            asked(&mut run);
            run.call_ended(now(), 0, CallEnd::Succeeded(Json::NULL), once());
            asked(&mut run);
            run.call_ended(now(), 1, doubt(), once());
            asked(&mut run);
            run.call_ended(now(), 1, doubt(), once());
            run
        };
        let mut inquiry = inquiry(&run);
        asked(&mut inquiry);
        for _ in 0..2 {
            inquiry.call_ended(now(), 1, answer("{}"), once());
            let undone = asked(&mut inquiry).iter().any(|(_, role)| *role == Role::Undo);
            assert!(!undone, "an inquiry takes nothing back");
        }
        let mut again = taken_up(&run, &inquiry.finding(AGO).settled.unwrap());
        assert_eq!(asked(&mut again), [(0, Role::Undo)]);
        again.call_ended(now(), 0, CallEnd::Succeeded(Json::NULL), once());
        assert_eq!(end(&mut again).status, RunStatus::Failed);
    }

    #[test]
    fn nobody_is_asked_where_it_would_settle_nothing() {
        for steps in [vec![step("a")], vec![step("a"), verified("b")], vec![verified("a"), step("b")]] {
            let none = all_in_doubt(steps);
            assert_eq!(none.reconciles_after(), None);
            assert!(Run::inquire(resumed(&none, none.snapshot()), AGO, now()).is_none());
        }
        let both = all_in_doubt(vec![verified("a"), verified("b")]);
        assert_eq!(both.reconciles_after(), Some(RECONCILE_AFTER[0]));
        let run = unknown(vec![verified("a")]);
        let other = Resumed { plan: plan(vec![step("a"), step("b")], None), ..resumed(&run, run.snapshot()) };
        assert!(Run::inquire(other, AGO, now()).is_none(), "a snapshot of another plan");
    }

    /// A run whose steps began together and ended in doubt, those that can be asked about since nobody answered.
    fn all_in_doubt(steps: Vec<StepPlan>) -> Run {
        let mut run = begun(steps);
        for _ in 0..2 {
            asked(&mut run);
            for step in 0..run.steps.len() {
                if run.steps[step].open.is_some() {
                    run.call_ended(now(), step, doubt(), once());
                }
            }
        }
        assert!(run.is_done());
        run
    }
}
