//! A run that goes on in another process than it began in: after a crash, after a stop, after a lease that ran out.
//!
//! What had ended stays as it is, what had not begun begins as it always would. A call that was open then is in one of
//! two positions. If no intent to send it was written down, nothing was sent, and it is made as if for the first
//! time. If one was, it may have acted: it goes through the one gate of every resend
//! ([`Resend::allows`](crate::idempotency::Resend::allows)), and is sent again with the same key, in doubt, or ends
//! unknown.
//!
//! Nobody waits for it any more: it has as much time as a run has from its beginning.

use std::sync::Arc;
use std::time::Duration;

use super::snapshot::{Snapshot, StepSnapshot};
use super::verifying::InDoubt;
use super::{
    CallEnd, Directive, Open, Order, Outcome, Plan, Role, Run, RunStatus, Step, StepPlan, StepSet, StepStatus,
};
use crate::idempotency::interrupted;
use crate::json::Json;
use crate::name::{CorrelationId, RunId};
use crate::time::{Now, Wall};

/// What a run goes on from.
#[derive(Debug)]
pub struct Resumed {
    /// Its id.
    pub id: RunId,
    /// What links it to the event behind it.
    pub correlation_id: CorrelationId,
    /// What it does: the plan it began with.
    pub plan: Arc<Plan>,
    /// With what.
    pub input: Json,
    /// When it began.
    pub began: Wall,
    /// How it stood.
    pub snapshot: Snapshot,
    /// The calls that may have been sent.
    pub sent: Vec<Sent>,
    /// Whether it has as much time as it needs: it is queued, and nobody waits.
    pub patient: bool,
}

/// As much time as a queued run needs: what bounds it is how often, and for how long, it is tried.
const LONG: Duration = Duration::from_secs(30 * 86_400);

/// A call that may have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Of which step.
    pub step: usize,
    /// Which of its calls.
    pub role: Role,
    /// How long ago it may have been sent first.
    pub ago: Duration,
}

impl Run {
    /// Goes on with a run; `None` where the snapshot is not one of this plan.
    pub fn resume(mut resumed: Resumed, now: Now) -> Option<Self> {
        let sent = std::mem::take(&mut resumed.sent);
        let mut run = Self::standing(resumed, now)?;
        for step in 0..run.steps.len() {
            run.reopen(now, step, &sent);
        }
        run.settle(now);
        Some(run)
    }

    /// A run that is not under way here, as it stands, for whoever looks it up; `None` where the snapshot is not one of this
    /// plan.
    pub fn as_it_stands(resumed: Resumed, status: RunStatus, now: Now) -> Option<Outcome> {
        let mut outcome = Self::standing(resumed, now)?.so_far();
        outcome.status = status;
        for step in outcome.steps.iter_mut().filter(|step| step.status == StepStatus::Running) {
            step.status = match status {
                RunStatus::Accepted => StepStatus::Pending,
                RunStatus::Waiting => StepStatus::Waiting,
                RunStatus::Running
                | RunStatus::Succeeded
                | RunStatus::Partial
                | RunStatus::Failed
                | RunStatus::Unknown
                | RunStatus::Cancelled => StepStatus::Running,
            };
        }
        Some(outcome)
    }

    /// A run as it stood; `None` where the snapshot is not one of this plan.
    pub(super) fn standing(resumed: Resumed, now: Now) -> Option<Self> {
        let Resumed { id, correlation_id, plan, input, began, snapshot, sent: _, patient } = resumed;
        if !snapshot.fits(&plan) {
            return None;
        }
        let Snapshot { steps, mut succeeded, stuck, stop } = snapshot;
        plan.steps.put_in_order(&mut succeeded);
        Some(Self {
            id,
            correlation_id,
            input,
            began: Now { wall: began, mono: now.mono },
            deadline: now.mono + if patient { LONG } else { plan.deadline },
            patience: None,
            steps: steps.into_iter().map(|step| step.state(now)).collect(),
            succeeded: succeeded.into_iter().collect(),
            stuck: stuck.into_iter().collect::<StepSet>(),
            stop,
            answered: true,
            over: false,
            directives: std::collections::VecDeque::new(),
            plan,
        })
    }

    /// Takes up the call of a step that was open.
    fn reopen(&mut self, now: Now, step: usize, sent: &[Sent]) {
        let Some(state) = self.steps.get_mut(step) else { return };
        let role = match state.open {
            Some(Open::Serving | Open::Overdue) => StepPlan::role(state.provider),
            Some(Open::Undoing) => Role::Undo,
            // It has found nothing and acted nowhere: it may as well begin anew.
            Some(Open::Recalling(_) | Open::Leaving) => {
                (state.open, state.status, state.provider) = (None, StepStatus::Pending, 0);
                return;
            }
            Some(Open::Looking | Open::Settling) => {
                state.open = None;
                match state.doubt.take().and_then(|doubt| doubt.failure) {
                    Some(failure) => self.served(now, step, CallEnd::Unknown(failure)),
                    None => (state.status, state.provider) = (StepStatus::Pending, 0),
                }
                return;
            }
            None => return,
        };
        state.open = Some(if role == Role::Undo { Open::Undoing } else { Open::Serving });
        let in_doubt_for =
            sent.iter().find(|sent| sent.step == step && sent.role == role).map(|sent| sent.ago);
        state.sent |= in_doubt_for.is_some();
        let resend = self.target(step).map(|call| call.resend);
        // A run that has stopped sends nothing more but to take back; what may have acted stays in doubt.
        let stopped = self.stop.is_some() && role != Role::Undo;
        let may_go = resend.is_some_and(|resend| resend.allows(in_doubt_for)) && !stopped;
        if !may_go {
            return match in_doubt_for {
                Some(_) => self.ended(now, step, CallEnd::Unknown(interrupted())),
                None => self.ended(now, step, CallEnd::Cancelled),
            };
        }
        let input = match role {
            Role::Undo => self.undo_input(step),
            Role::Primary | Role::Alternate(_) | Role::Verify => self.input_of(step),
        };
        match input {
            Ok(input) => {
                let deadline = self.deadline;
                self.directives.push_back(Directive::Execute(Order {
                    step,
                    role,
                    input,
                    deadline,
                    in_doubt_for,
                }));
            }
            Err(failure) if in_doubt_for.is_some() => self.ended(now, step, CallEnd::Unknown(failure)),
            Err(failure) => self.ended(now, step, CallEnd::Failed(failure)),
        }
    }

    fn input_of(&self, step: usize) -> Result<Json, crate::failure::Failure> {
        let number = self.steps.get(step).map_or(0, |state| state.provider);
        self.step_input(step, number)
    }

    fn ended(&mut self, now: Now, step: usize, end: CallEnd<Json>) {
        let undoing = self.steps.get_mut(step).and_then(|state| state.open.take()) == Some(Open::Undoing);
        if undoing {
            self.undo_ended(step, end);
        } else {
            self.served(now, step, end);
        }
    }
}

impl StepSnapshot {
    fn state(self, now: Now) -> Step {
        let began = self.status != StepStatus::Pending && self.status != StepStatus::Skipped;
        let ended = !matches!(self.status, StepStatus::Pending | StepStatus::Running | StepStatus::Waiting);
        Step {
            status: self.status,
            open: self.open,
            provider: self.provider,
            served_by: self.served_by,
            result: self.result,
            error: self.error,
            attempts: self.attempts,
            sent: self.sent,
            rounds: self.rounds,
            child: self.child.map(RunId::new),
            doubt: self.doubt.map(|failure| InDoubt::of(failure, now.mono)),
            began: began.then_some(now.mono),
            ended: ended.then_some(now.mono),
            ..Step::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::{Begin, Tries};
    use super::*;
    use crate::failure::{ErrorClass, Failure};
    use crate::idempotency::Resend;

    const HOUR: Duration = Duration::from_secs(3600);

    fn keyed(name: &str) -> StepPlan {
        let mut step = step(name);
        step.primary.call.resend = Resend::Key { retention: HOUR };
        step
    }

    fn begin(plan: &Arc<Plan>) -> (Run, Now) {
        let now = Now::default();
        let begin = Begin {
            id: RunId::new("run_1"),
            correlation_id: CorrelationId::new("c").unwrap(),
            plan: Arc::clone(plan),
            input: Json::of(&"input"),
            budget: None,
            wait: None,
        };
        (Run::begin(begin, now), now)
    }

    /// The same run in another process, after having been written down as MessagePack and JSON are.
    fn resumed(run: &Run, sent: Vec<Sent>, now: Now) -> Run {
        let text = serde_json::to_string(&run.snapshot()).unwrap();
        let resumed = Resumed {
            id: run.id.clone(),
            correlation_id: run.correlation_id.clone(),
            plan: Arc::clone(&run.plan),
            input: run.input.clone(),
            began: run.began.wall,
            snapshot: serde_json::from_str(&text).unwrap(),
            sent,
            patient: false,
        };
        Run::resume(resumed, now).unwrap()
    }

    fn orders(run: &mut Run) -> Vec<(usize, Option<Duration>)> {
        let mut orders = Vec::new();
        while let Some(directive) = run.poll() {
            let Directive::Execute(order) = directive else { panic!("{directive:?}") };
            orders.push((order.step, order.in_doubt_for));
        }
        orders
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

    #[test]
    fn a_call_that_was_never_intended_is_made_as_for_the_first_time() {
        let (mut run, now) = begin(&plan(vec![step("a")], None));
        orders(&mut run);
        let mut again = resumed(&run, Vec::new(), now);
        assert_eq!(orders(&mut again), [(0, None)]);
    }

    #[test]
    fn one_that_may_have_been_sent_passes_the_gate() {
        for (step, ago, sent) in
            [(keyed("a"), HOUR / 2, true), (keyed("a"), HOUR, false), (step("a"), HOUR / 2, false)]
        {
            let (mut run, now) = begin(&plan(vec![step], None));
            orders(&mut run);
            let mut again = resumed(&run, vec![Sent { step: 0, role: Role::Primary, ago }], now);
            if sent {
                assert_eq!(orders(&mut again), [(0, Some(ago))]);
                assert!(!again.is_done());
                continue;
            }
            let outcome = end(&mut again);
            assert_eq!(outcome.status, RunStatus::Unknown);
            assert_eq!(outcome.error.unwrap().code, "interrupted");
            assert!(outcome.sent);
        }
    }

    #[test]
    fn what_had_ended_stays_and_what_follows_begins() {
        let (mut run, now) = begin(&plan(vec![step("a"), step("b").after(&[0])], None));
        orders(&mut run);
        run.call_ended(now, 0, CallEnd::Succeeded(Json::of(&"a")), once());
        let mut again = resumed(&run, vec![Sent { step: 0, role: Role::Primary, ago: HOUR }], now);
        assert_eq!(orders(&mut again), [(1, None)]);
        again.call_ended(now, 1, CallEnd::Succeeded(Json::of(&"b")), once());
        let outcome = end(&mut again);
        assert_eq!(outcome.status, RunStatus::Succeeded);
        assert_eq!(outcome.result.as_str(), r#"{"a":"a","b":"b"}"#);
    }

    #[test]
    fn an_undo_goes_on_and_a_stopped_run_sends_nothing_else() {
        let (mut run, now) = begin(&plan(vec![step("a").undone(), step("b").after(&[0])], None));
        orders(&mut run);
        run.call_ended(now, 0, CallEnd::Succeeded(Json::of(&"a")), once());
        let refused = || CallEnd::Failed(Failure::new(ErrorClass::Client, "c", "m"));
        run.call_ended(now, 1, refused(), once());
        let mut again = resumed(&run, Vec::new(), now);
        assert_eq!(orders(&mut again), [(0, None)]);
        assert_eq!(again.target(0).unwrap().integration.as_str(), "a-undo");
        // The undo may have been sent, and cannot be sent again.
        let mut doubtful = resumed(&run, vec![Sent { step: 0, role: Role::Undo, ago: Duration::ZERO }], now);
        assert_eq!(end(&mut doubtful).status, RunStatus::Unknown);

        let (mut run, now) = begin(&plan(vec![keyed("a"), step("b")], None));
        orders(&mut run);
        run.call_ended(now, 1, refused(), once());
        let sent = vec![Sent { step: 0, role: Role::Primary, ago: Duration::ZERO }];
        assert_eq!(end(&mut resumed(&run, sent, now)).status, RunStatus::Unknown);
    }

    #[test]
    fn what_may_have_acted_stays_in_doubt_though_it_is_not_sent_again() {
        let (mut run, now) = begin(&plan(vec![keyed("a"), step("b").after(&[0])], None));
        orders(&mut run);
        let sent = || vec![Sent { step: 0, role: Role::Primary, ago: Duration::ZERO }];
        for (sent, status, steps) in [
            (sent(), RunStatus::Unknown, [StepStatus::Unknown, StepStatus::Skipped]),
            (Vec::new(), RunStatus::Cancelled, [StepStatus::Skipped, StepStatus::Skipped]),
        ] {
            let mut again = resumed(&run, sent, now);
            again.cancel(now);
            let outcome = end(&mut again);
            let ended: Vec<_> = outcome.steps.iter().map(|step| step.status).collect();
            assert_eq!((outcome.status, &ended[..]), (status, &steps[..]));
        }
        // Nor where another step cannot go on.
        let (mut run, now) = begin(&plan(vec![keyed("a"), step("b")], None));
        orders(&mut run);
        let both = [0, 1].map(|step| Sent { step, role: Role::Primary, ago: Duration::ZERO });
        let outcome = end(&mut resumed(&run, both.to_vec(), now));
        assert!(outcome.steps.iter().all(|step| step.status == StepStatus::Unknown), "{outcome:?}");
    }

    #[test]
    fn a_step_in_the_background_is_left_to_a_run_and_holds_up_nobody() {
        let mut later = step("b").after(&[0]);
        later.background = true;
        let (mut run, now) = begin(&plan(vec![step("a"), later], None));
        orders(&mut run);
        run.call_ended(now, 0, CallEnd::Succeeded(Json::of(&"a")), once());
        let Some(Directive::Spawn { step: 1, input }) = run.poll() else { panic!("it is left to nobody") };
        assert_eq!(input.as_str(), "\"input\"");
        // Should the process end here, nothing was left to anybody, and it is left once.
        let mut again = resumed(&run, Vec::new(), now);
        assert!(matches!(again.poll(), Some(Directive::Spawn { step: 1, .. })));
        run.spawned(now, 1, RunId::new("run_2"));
        let outcome = end(&mut run);
        assert_eq!(outcome.status, RunStatus::Succeeded);
        assert_eq!(
            (outcome.steps[1].status, outcome.steps[1].run.as_ref()),
            (StepStatus::Accepted, Some(&RunId::new("run_2")))
        );
    }

    #[test]
    fn a_snapshot_of_another_plan_is_none() {
        let (run, now) = begin(&plan(vec![step("a")], None));
        let other = plan(vec![step("a"), step("b")], None);
        let resumed = Resumed {
            id: run.id.clone(),
            correlation_id: run.correlation_id.clone(),
            plan: other,
            input: Json::NULL,
            began: Wall::default(),
            snapshot: run.snapshot(),
            sent: Vec::new(),
            patient: false,
        };
        assert!(Run::resume(resumed, now).is_none());
    }
}
