//! The run of a business operation: from its input to one truthful outcome.
//!
//! A [`Plan`] says what an operation does; a [`Run`] is one execution of it. The run is told what happened to its
//! step ([`Run::step_ended`]) and says what is to be done next ([`Run::poll`]): execute the step, tell the caller
//! that the outcome is pending, or finish with the [`Outcome`]. A run finishes once. It may tell its caller that the
//! outcome is pending before that, when the deadline passes while a request that may act is out; the outcome then
//! follows and can be looked up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::classify::Safety;
use crate::failure::{ErrorClass, Failure};
use crate::integration::CallEnd;
use crate::json::Json;
use crate::mapping::{Input, Program, RunView, StepView, Vars};
use crate::name::{CorrelationId, EndpointName, IntegrationName, OperationName, RunId, StepName};
use crate::time::{Mono, Now};

mod outcome;

pub use outcome::{Outcome, RunStatus, ServedBy, StepOutcome, StepStatus};

/// What an operation does.
#[derive(Debug)]
pub struct Plan {
    /// Its name.
    pub operation: OperationName,
    /// Its version.
    pub version: u32,
    /// How long a run may take, queueing and retries included.
    pub deadline: Duration,
    /// Its one step.
    pub step: StepPlan,
    /// Makes the outcome's result; without it, the step's result is passed on untouched.
    pub result: Option<Program>,
}

/// One endpoint call of an operation.
#[derive(Debug)]
pub struct StepPlan {
    /// Its name.
    pub name: StepName,
    /// Whom it calls.
    pub integration: IntegrationName,
    /// Which of the integration's endpoints.
    pub endpoint: EndpointName,
    /// The endpoint's place in its integration.
    pub endpoint_index: usize,
    /// Whether the call may act.
    pub safety: Safety,
    /// Makes the call's input; without it, the operation's input is passed on untouched.
    pub input: Option<Program>,
}

/// What is to be done for a run.
#[derive(Debug)]
pub enum Directive {
    /// Execute the step with this input.
    Execute(Json),
    /// Tell the caller that the outcome is pending; the run goes on.
    Pending(Box<Outcome>),
    /// The run is over.
    Finish(Box<Outcome>),
}

/// One execution of an operation.
pub struct Run {
    id: RunId,
    correlation_id: CorrelationId,
    plan: Arc<Plan>,
    input: Json,
    began: Now,
    deadline: Mono,
    step: StepStatus,
    directives: VecDeque<Directive>,
}

impl Run {
    /// Begins a run; `budget` is the caller's own, where it is smaller than the operation's.
    pub fn begin(
        id: RunId,
        correlation_id: CorrelationId,
        plan: Arc<Plan>,
        input: Json,
        now: Now,
        budget: Option<Duration>,
    ) -> Self {
        let deadline = now.mono + budget.map_or(plan.deadline, |budget| budget.min(plan.deadline));
        let step = StepStatus::Pending;
        let directives = VecDeque::with_capacity(2);
        let mut run = Self { id, correlation_id, plan, input, began: now, deadline, step, directives };
        run.start(now);
        run
    }

    fn start(&mut self, now: Now) {
        match self.step_input() {
            Ok(input) => {
                self.step = StepStatus::Running;
                self.directives.push_back(Directive::Execute(input));
            }
            Err(failure) => {
                self.step = StepStatus::Skipped;
                self.finish(now, RunStatus::Failed, Json::NULL, Some(failure), 0);
            }
        }
    }

    fn step_input(&self) -> Result<Json, Failure> {
        let Some(program) = &self.plan.step.input else { return Ok(self.input.clone()) };
        let input = Input::step(&self.input, &self.view(), &[]);
        program.value(&input, &Vars::default()).map_err(|error| {
            let message = format!("mapping the input of step `{}`: {error}", self.plan.step.name);
            Failure::new(ErrorClass::Internal, "input_mapping_failed", message)
        })
    }

    fn result(&self, result: Json) -> Result<Json, Failure> {
        let Some(program) = &self.plan.result else { return Ok(result) };
        let step = StepView { status: "succeeded", result: Some(result), error: None };
        let input = Input::step(&self.input, &self.view(), &[(self.plan.step.name.clone(), step)]);
        program.value(&input, &Vars::default()).map_err(|error| {
            let message =
                format!("mapping the result of `{}`: {error}; its step has succeeded", self.plan.operation);
            Failure::new(ErrorClass::Internal, "result_mapping_failed", message)
        })
    }

    fn view(&self) -> RunView<'_> {
        RunView {
            id: self.id.as_str(),
            correlation_id: self.correlation_id.as_str(),
            operation: self.plan.operation.as_str(),
        }
    }

    /// Takes the end of the step.
    pub fn step_ended(&mut self, now: Now, end: CallEnd<Json>, attempts: u32) {
        if self.step != StepStatus::Running {
            return;
        }
        let (step, run, result, error) = match end {
            CallEnd::Succeeded(result) => match self.result(result) {
                Ok(result) => (StepStatus::Succeeded, RunStatus::Succeeded, result, None),
                Err(failure) => (StepStatus::Succeeded, RunStatus::Failed, Json::NULL, Some(failure)),
            },
            CallEnd::Failed(failure) => (StepStatus::Failed, RunStatus::Failed, Json::NULL, Some(failure)),
            CallEnd::Unknown(failure) => (StepStatus::Unknown, RunStatus::Unknown, Json::NULL, Some(failure)),
            CallEnd::Cancelled => (StepStatus::Skipped, RunStatus::Cancelled, Json::NULL, None),
        };
        self.step = step;
        self.finish(now, run, result, error, attempts);
    }

    /// Ends the run after a fault of our own has taken it out of hand: if its step may act, nobody knows whether it has.
    pub fn lost(&mut self, now: Now) -> Outcome {
        let may_have_acted = self.step == StepStatus::Running && self.plan.step.safety == Safety::Mutating;
        let (step, status) = if may_have_acted {
            (StepStatus::Unknown, RunStatus::Unknown)
        } else {
            (StepStatus::Failed, RunStatus::Failed)
        };
        self.step = step;
        self.directives.clear();
        let failure =
            Failure::new(ErrorClass::Internal, "run_lost", "a fault in the router has ended the run");
        self.outcome(status, Json::NULL, Some(failure), 0, Some(now))
    }

    /// The deadline has passed while the step's request, which may act, is out.
    pub fn step_is_overdue(&mut self) {
        if self.step == StepStatus::Running {
            self.directives.push_back(Directive::Pending(Box::new(self.so_far())));
        }
    }

    /// The next thing to be done.
    pub fn poll(&mut self) -> Option<Directive> {
        self.directives.pop_front()
    }

    /// When the answer is no longer of use.
    pub const fn deadline(&self) -> Mono {
        self.deadline
    }

    /// When the run began.
    pub const fn began(&self) -> Now {
        self.began
    }

    /// The run's id.
    pub const fn id(&self) -> &RunId {
        &self.id
    }

    /// What links the run to the event behind it.
    pub const fn correlation_id(&self) -> &CorrelationId {
        &self.correlation_id
    }

    /// What the operation does.
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The run as it stands, while it is under way.
    pub fn so_far(&self) -> Outcome {
        self.outcome(RunStatus::Running, Json::NULL, None, 0, None)
    }

    fn finish(&mut self, now: Now, status: RunStatus, result: Json, error: Option<Failure>, attempts: u32) {
        let outcome = self.outcome(status, result, error, attempts, Some(now));
        self.directives.push_back(Directive::Finish(Box::new(outcome)));
    }

    fn outcome(
        &self,
        status: RunStatus,
        result: Json,
        error: Option<Failure>,
        attempts: u32,
        finished: Option<Now>,
    ) -> Outcome {
        let step = StepOutcome {
            name: self.plan.step.name.clone(),
            integration: self.plan.step.integration.clone(),
            endpoint: self.plan.step.endpoint.clone(),
            status: self.step,
            attempts,
            duration: finished.map_or(Duration::ZERO, |now| now.mono.since(self.began.mono)),
            served_by: (self.step == StepStatus::Succeeded).then_some(ServedBy::Primary),
            error: if self.step == StepStatus::Succeeded { None } else { error.clone() },
        };
        Outcome {
            id: self.id.clone(),
            operation: self.plan.operation.clone(),
            version: self.plan.version,
            correlation_id: self.correlation_id.clone(),
            status,
            degraded: false,
            result,
            steps: vec![step],
            error,
            created_at: self.began.wall,
            finished_at: finished.map(|now| now.wall),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::mapping::Kind;

    fn plan(input: Option<&str>, result: Option<&str>) -> Arc<Plan> {
        let program = |kind| move |source: &str| Program::compile(kind, source).unwrap();
        Arc::new(Plan {
            operation: OperationName::new("payments.charge").unwrap(),
            version: 1,
            deadline: Duration::from_secs(8),
            step: StepPlan {
                name: StepName::new("charge").unwrap(),
                integration: IntegrationName::new("stripe").unwrap(),
                endpoint: EndpointName::new("create_charge").unwrap(),
                endpoint_index: 0,
                safety: Safety::Mutating,
                input: input.map(program(Kind::Step)),
            },
            result: result.map(program(Kind::Outcome)),
        })
    }

    fn begin(plan: Arc<Plan>, budget: Option<Duration>) -> Run {
        let input = Json::parse(Bytes::from_static(b"{\"amount\": 100}")).unwrap();
        let correlation_id = CorrelationId::new("order-17").unwrap();
        Run::begin(RunId::new("run_1"), correlation_id, plan, input, Now::default(), budget)
    }

    fn finish(run: &mut Run) -> Outcome {
        match run.poll() {
            Some(Directive::Finish(outcome)) => *outcome,
            other => panic!("expected the end, not {other:?}"),
        }
    }

    fn result(text: &'static str) -> Json {
        Json::parse(Bytes::from_static(text.as_bytes())).unwrap()
    }

    #[test]
    fn input_and_result_pass_untouched_where_nothing_is_mapped() {
        let mut run = begin(plan(None, None), None);
        let Some(Directive::Execute(input)) = run.poll() else { panic!("the step is executed first") };
        assert_eq!(input.as_str(), "{\"amount\": 100}");
        let later = Now::default().after(Duration::from_millis(42));
        run.step_ended(later, CallEnd::Succeeded(result("{ \"id\":\"ch_1\"}")), 2);
        let outcome = finish(&mut run);
        assert_eq!(outcome.status, RunStatus::Succeeded);
        let document = serde_json::to_string(&outcome).unwrap();
        assert!(document.contains("\"result\":{ \"id\":\"ch_1\"}"), "{document}");
        assert!(
            document.contains("\"attempts\":2,\"duration_ms\":42,\"served_by\":\"primary\""),
            "{document}"
        );
        assert!(run.poll().is_none());
    }

    #[test]
    fn input_and_result_are_mapped() {
        let mut run = begin(
            plan(Some(".input.amount"), Some("{ charge: .steps.charge.result.id, run: .run.id }")),
            None,
        );
        assert!(matches!(run.poll(), Some(Directive::Execute(input)) if input.as_str() == "100"));
        run.step_ended(Now::default(), CallEnd::Succeeded(result("{\"id\":\"ch_1\"}")), 1);
        assert_eq!(finish(&mut run).result.as_str(), r#"{"charge":"ch_1","run":"run_1"}"#);
    }

    #[test]
    fn a_mapping_that_fails_says_what_has_happened() {
        let mut run = begin(plan(Some(".input.amount.x"), None), None);
        let outcome = finish(&mut run);
        assert_eq!((outcome.status, outcome.steps[0].status), (RunStatus::Failed, StepStatus::Skipped));
        assert_eq!(outcome.error.unwrap().class, ErrorClass::Internal);

        let mut run = begin(plan(None, Some(".steps.charge.result.id.x")), None);
        run.poll();
        run.step_ended(Now::default(), CallEnd::Succeeded(result("{\"id\":\"ch_1\"}")), 1);
        let outcome = finish(&mut run);
        assert_eq!((outcome.status, outcome.steps[0].status), (RunStatus::Failed, StepStatus::Succeeded));
        assert!(outcome.error.unwrap().message.contains("its step has succeeded"));
    }

    #[test]
    fn a_pending_run_finishes_later_and_once() {
        let mut run = begin(plan(None, None), Some(Duration::from_secs(1)));
        assert_eq!(run.deadline(), Mono::ZERO + Duration::from_secs(1));
        run.poll();
        run.step_is_overdue();
        let Some(Directive::Pending(pending)) = run.poll() else { panic!("the caller is told") };
        assert_eq!((pending.status, pending.finished_at), (RunStatus::Running, None));
        run.step_ended(Now::default(), CallEnd::Cancelled, 1);
        assert_eq!(finish(&mut run).status, RunStatus::Cancelled);
        run.step_ended(Now::default(), CallEnd::Cancelled, 1);
        run.step_is_overdue();
        assert!(run.poll().is_none());
    }

    #[test]
    fn a_run_that_is_lost_is_unknown_once_it_may_have_acted() {
        let mut run = begin(plan(None, None), None);
        run.poll();
        let outcome = run.lost(Now::default());
        assert_eq!((outcome.status, outcome.steps[0].status), (RunStatus::Unknown, StepStatus::Unknown));
        run.step_ended(Now::default(), CallEnd::Cancelled, 1);
        assert!(run.poll().is_none());
    }

    #[test]
    fn the_callers_budget_only_shortens() {
        let run = begin(plan(None, None), Some(Duration::from_secs(60)));
        assert_eq!(run.deadline(), Mono::ZERO + Duration::from_secs(8));
    }
}
