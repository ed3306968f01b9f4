//! Plans in a line, and a run that is played by hand: what its examples and its simulation are told with.

use bytes::Bytes;

use super::*;
use crate::classify::Safety;
use crate::idempotency::Resend;
use crate::mapping::{Kind, Program};
use crate::name::{EndpointName, IntegrationName, OperationName, StepName};
use crate::priority::Priority;
use crate::stale::StaleResults;

pub(super) fn call(integration: &str, safety: Safety) -> CallPlan {
    CallPlan {
        integration: IntegrationName::new(integration).unwrap(),
        endpoint: EndpointName::new("endpoint").unwrap(),
        endpoint_index: 0,
        resend: if safety == Safety::Safe { Resend::Safe } else { Resend::Never },
        verify: None,
        revision: 0,
    }
}

/// A required step that may act, and calls the integration of its name.
pub(super) fn step(name: &str) -> StepPlan {
    StepPlan::new(StepName::new(name).unwrap(), call(name, Safety::Mutating))
}

/// One that only reads.
pub(super) fn read(name: &str) -> StepPlan {
    StepPlan::new(StepName::new(name).unwrap(), call(name, Safety::Safe))
}

impl StepPlan {
    pub(super) fn after(mut self, steps: &[usize]) -> Self {
        self.after = steps.iter().copied().collect();
        self
    }

    pub(super) const fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// With an undo at `NAME-undo`.
    pub(super) fn undone(mut self) -> Self {
        let name = format!("{}-undo", self.name);
        self.primary.undo = Some(Undo { call: call(&name, Safety::Mutating), input: None });
        self
    }

    /// With an alternate at this integration, whose undo is at `NAME-undo`.
    pub(super) fn or(mut self, name: &str) -> Self {
        let undo = Undo { call: call(&format!("{name}-undo"), Safety::Mutating), input: None };
        let call = call(name, self.primary.call.safety());
        self.alternates.push(Provider { undo: Some(undo), ..Provider::new(call) });
        self
    }

    pub(super) fn stale(mut self, within: Duration) -> Self {
        self.fallback.stale = Some(within);
        self
    }

    pub(super) fn value(mut self, value: &'static str) -> Self {
        self.fallback.value = Some(json(value));
        self
    }

    pub(super) fn input(mut self, program: &str) -> Self {
        self.input = Some(Program::compile(Kind::Step, program).unwrap());
        self
    }
}

/// The time that a run has.
pub(super) const DEADLINE: Duration = Duration::from_secs(8);

pub(super) fn plan(steps: Vec<StepPlan>, result: Option<&str>) -> Arc<Plan> {
    Arc::new(Plan {
        operation: OperationName::new("payments.charge").unwrap(),
        version: 1,
        deadline: DEADLINE,
        priority: Priority::Normal,
        steps: Steps::new(steps).unwrap(),
        result: result.map(|source| Program::compile(Kind::Outcome, source).unwrap()),
    })
}

pub(super) fn json(text: &'static str) -> Json {
    Json::parse(Bytes::from_static(text.as_bytes())).unwrap()
}

pub(super) fn failure(class: ErrorClass) -> Failure {
    Failure::new(class, class.as_str(), "it failed")
}

/// A run played by hand.
pub(super) struct Play {
    pub(super) run: Run,
    pub(super) now: Now,
    pub(super) kept: StaleResults,
    /// The calls under way.
    pub(super) open: Vec<Order>,
    /// Whom has been called, in that order.
    pub(super) called: Vec<String>,
    /// Which steps have been asked to stop.
    pub(super) stopped: Vec<usize>,
    pub(super) pending: Option<Outcome>,
    pub(super) accepted: Option<Outcome>,
    pub(super) outcome: Option<Outcome>,
    /// When the caller has been answered.
    pub(super) answered: Option<Mono>,
}

impl Play {
    pub(super) fn of(steps: Vec<StepPlan>) -> Self {
        Self::begin(plan(steps, None), None, None)
    }

    pub(super) fn begin(plan: Arc<Plan>, budget: Option<Duration>, wait: Option<Duration>) -> Self {
        Self::with(plan, budget, wait, StaleResults::default(), Now::default())
    }

    pub(super) fn with(
        plan: Arc<Plan>,
        budget: Option<Duration>,
        wait: Option<Duration>,
        kept: StaleResults,
        now: Now,
    ) -> Self {
        let (id, correlation_id) = (RunId::new("run_1"), CorrelationId::new("order-17").unwrap());
        let input = json("{\"amount\": 100}");
        let run = Run::begin(Begin { id, correlation_id, plan, input, budget, wait }, now);
        let mut play = Self {
            run,
            now,
            kept,
            open: Vec::new(),
            called: Vec::new(),
            stopped: Vec::new(),
            pending: None,
            accepted: None,
            outcome: None,
            answered: None,
        };
        play.follow();
        play
    }

    /// Does what the run asks for.
    fn follow(&mut self) {
        while let Some(directive) = self.run.poll() {
            match directive {
                Directive::Execute(order) => {
                    assert!(self.outcome.is_none(), "nothing starts after the end");
                    assert!(!self.open.iter().any(|open| open.step == order.step), "one call at a time");
                    self.called.push(self.run.target(order.step).unwrap().integration.to_string());
                    self.open.push(order);
                }
                Directive::Cancel(step) => {
                    assert!(self.open.iter().any(|open| open.step == step && open.role != Role::Undo));
                    self.stopped.push(step);
                }
                Directive::Spawn { step, .. } => {
                    self.run.spawned(self.now, step, RunId::new(format!("run_{step}")))
                }
                Directive::Keep { key, result } => self.kept.keep(self.now.mono, key, result),
                Directive::Recall { step, key, within } => {
                    let found = self.kept.recall(self.now.mono, &key, within);
                    self.run.recalled(self.now, step, found);
                }
                Directive::Pending(outcome) => {
                    assert!(self.answers() == 0, "the caller is answered once");
                    self.pending = Some(*outcome);
                }
                Directive::Accepted(outcome) => {
                    assert!(self.answers() == 0, "the caller is answered once");
                    self.accepted = Some(*outcome);
                }
                Directive::Finish(outcome) => {
                    assert!(self.outcome.is_none(), "a run finishes once");
                    self.outcome = Some(*outcome);
                }
            }
        }
        if self.answers() > 0 {
            self.answered.get_or_insert(self.now.mono);
        }
    }

    fn answers(&self) -> usize {
        usize::from(self.pending.is_some())
            + usize::from(self.accepted.is_some())
            + usize::from(self.outcome.is_some())
    }

    /// The calls under way, by whom they are to.
    pub(super) fn under_way(&self) -> Vec<String> {
        let to = |order: &Order| self.run.target(order.step).unwrap().integration.to_string();
        self.open.iter().map(to).collect()
    }

    /// The call to this integration ends.
    pub(super) fn ends(&mut self, to: &str, end: CallEnd<Json>) -> &mut Self {
        let place = self.under_way().iter().position(|open| open == to);
        let place = place.unwrap_or_else(|| panic!("no call to {to}: {:?}", self.under_way()));
        let order = self.open.remove(place);
        self.run.call_ended(self.now, order.step, end, Tries { made: 1, sent: true, trial: false });
        self.follow();
        self
    }

    pub(super) fn succeeds(&mut self, to: &str) -> &mut Self {
        self.ends(to, CallEnd::Succeeded(Json::of(&format!("of {to}"))))
    }

    pub(super) fn fails(&mut self, to: &str, class: ErrorClass) -> &mut Self {
        self.ends(to, CallEnd::Failed(failure(class)))
    }

    pub(super) fn is_in_doubt(&mut self, to: &str) -> &mut Self {
        self.ends(to, CallEnd::Unknown(failure(ErrorClass::Ambiguous)))
    }

    pub(super) fn is_stopped(&mut self, to: &str) -> &mut Self {
        self.ends(to, CallEnd::Cancelled)
    }

    /// The call to this integration says that the deadline has passed.
    pub(super) fn is_overdue(&mut self, to: &str) -> &mut Self {
        let place = self.under_way().iter().position(|open| open == to).unwrap();
        self.run.call_is_overdue(self.now, self.open[place].step, 1);
        self.follow();
        self
    }

    pub(super) fn cancel(&mut self) -> &mut Self {
        self.run.cancel(self.now);
        self.follow();
        self
    }

    /// Time passes; timers fire.
    pub(super) fn pass(&mut self, span: Duration) -> &mut Self {
        let until = self.now.after(span);
        while let Some(at) = self.run.next_deadline().filter(|at| *at <= until.mono) {
            self.now = self.now.after(at.since(self.now.mono));
            self.run.advance(self.now);
            self.follow();
            assert_ne!(self.run.next_deadline(), Some(at), "what is due is done");
        }
        self.now = until;
        self
    }

    /// The outcome of a run that is over.
    pub(super) fn outcome(&self) -> &Outcome {
        self.outcome.as_ref().unwrap_or_else(|| panic!("under way: {:?}", self.under_way()))
    }

    /// How the run and its steps have ended.
    pub(super) fn ended(&self) -> (RunStatus, Vec<StepStatus>) {
        let outcome = self.outcome();
        (outcome.status, outcome.steps.iter().map(|step| step.status).collect())
    }

    /// The code of a step's error.
    pub(super) fn code(&self, step: usize) -> Option<&str> {
        self.outcome().steps[step].error.as_ref().map(|error| &*error.code)
    }
}
