//! Cached handles of the metrics that the hot path writes.
//!
//! An integration's actor owns its [`Meters`], a router its [`RunMeters`]; both live on one thread. Series exist from
//! the start, at zero, so that the first increase is not lost to a scraper.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use causeway_core::breaker::{BreakerSpec, Cause, State, Transition};
use causeway_core::failure::{ErrorClass, Failure, Reason};
use causeway_core::integration::{LimitWait, View};
use causeway_core::name::{EndpointName, IntegrationName, LimitName, OperationName, RunId};
use causeway_core::operation::{Outcome, Plan, RunStatus, ServedBy, StepPlan};
use metrics::{Counter, Gauge, Histogram};

use crate::metric::{Labels, Metric};
use crate::plan::IntegrationPlan;
use crate::ports::Timings;
use crate::store::Death;

/// One integration's metrics.
pub(crate) struct Meters {
    integration: IntegrationName,
    labels: Labels,
    endpoints: HashMap<EndpointName, EndpointMeters>,
    queue: Histogram,
    dns: Histogram,
    connect: Histogram,
    tls: Histogram,
    first_byte: Histogram,
    body: Histogram,
    reused: [Counter; 2],
    rejections: Vec<(ErrorClass, Counter)>,
    states: Vec<(State, Gauge)>,
    limits: Vec<LimitMeters>,
    budget_exhausted: Counter,
    max_in_flight: u32,
    capacity: Gauge,
    in_flight: Gauge,
    queued: Gauge,
    restarts: Counter,
    quarantined: Gauge,
}

struct LimitMeters {
    name: LimitName,
    capacity: Gauge,
    remaining: Gauge,
    wait: Histogram,
}

struct EndpointMeters {
    labels: Labels,
    duration: Histogram,
    rate_limited: Counter,
    attempts: HashMap<(&'static str, &'static str, &'static str), Counter>,
    retries: HashMap<ErrorClass, Counter>,
}

/// The classes with which a call ends that was refused an attempt.
const REJECTIONS: [ErrorClass; 4] =
    [ErrorClass::BreakerOpen, ErrorClass::Throttled, ErrorClass::Overloaded, ErrorClass::Deadline];

impl Meters {
    pub(crate) fn new(plan: &IntegrationPlan) -> Self {
        plan.auth.describe(&plan.name);
        let labels = Labels::none().named("integration", plan.name.shared());
        let phase = |phase| Metric::AttemptPhase.histogram(&labels.clone().word("phase", phase));
        let connections = |reused| Metric::ConnectionsTotal.counter(&labels.clone().word("reused", reused));
        let actor = Labels::none().named("actor", plan.name.shared());
        let limit = |limit: &causeway_core::limits::LimitSpec| {
            let labels = labels.clone().named("limit", limit.name.shared());
            let capacity = Metric::LimitCapacity.gauge(&labels);
            capacity.set(f64::from(limit.capacity()));
            let (remaining, wait) =
                (Metric::LimitRemaining.gauge(&labels), Metric::LimitWait.histogram(&labels));
            LimitMeters { name: limit.name.clone(), capacity, remaining, wait }
        };
        let budget_exhausted = Metric::RetryBudgetExhausted.counter(&labels);
        budget_exhausted.increment(0);
        let capacity = Metric::PoolCapacity.gauge(&labels);
        capacity.set(f64::from(plan.spec.pool.max_in_flight));
        for cause in openings(&plan.spec.breaker) {
            opened(&plan.name, State::Closed, cause).increment(0);
        }
        opened(&plan.name, State::HalfOpen, Cause::TrialFailed).increment(0);
        Self {
            endpoints: plan
                .endpoints
                .iter()
                .map(|endpoint| (endpoint.name.clone(), EndpointMeters::new(&labels, &endpoint.name)))
                .collect(),
            queue: phase("queue"),
            dns: phase("dns"),
            connect: phase("connect"),
            tls: phase("tls"),
            first_byte: phase("first_byte"),
            body: phase("body"),
            reused: [connections("false"), connections("true")],
            rejections: REJECTIONS
                .map(|class| {
                    let counter = Metric::Rejections.counter(&labels.clone().word("class", class.as_str()));
                    counter.increment(0);
                    (class, counter)
                })
                .into(),
            states: State::ALL
                .map(|state| {
                    (state, Metric::BreakerState.gauge(&labels.clone().word("state", state.as_str())))
                })
                .into(),
            limits: plan.spec.limits.iter().map(limit).collect(),
            budget_exhausted,
            max_in_flight: plan.spec.pool.max_in_flight,
            capacity,
            in_flight: Metric::PoolInFlight.gauge(&labels),
            queued: Metric::PoolQueued.gauge(&labels),
            restarts: Metric::ActorRestarts.counter(&actor),
            quarantined: Metric::ActorQuarantined.gauge(&actor),
            integration: plan.name.clone(),
            labels,
        }
    }

    /// One endpoint's metrics; of one that the plan no longer has, too: a call may have begun with it.
    fn endpoint(&mut self, name: &EndpointName) -> &mut EndpointMeters {
        let labels = &self.labels;
        self.endpoints.entry(name.clone()).or_insert_with(|| EndpointMeters::new(labels, name))
    }

    /// Counts the end of an attempt.
    pub(crate) fn attempt(
        &mut self,
        endpoint: &EndpointName,
        result: Result<(), &Failure>,
        status: Option<u16>,
        total: Duration,
    ) {
        let meters = self.endpoint(endpoint);
        let (outcome, reason) = match result {
            Ok(()) => ("success", Reason::None),
            Err(failure) => (failure.class.as_str(), failure.reason),
        };
        meters.attempt(outcome, reason.as_str(), status_class(status));
        meters.duration.record(total);
        if status == Some(429) {
            meters.rate_limited.increment(1);
        }
    }

    /// Records how long the parts of an attempt took.
    pub(crate) fn phases(&self, queued: Duration, timings: &Timings, reused: Option<bool>) {
        self.queue.record(queued);
        let parts = [
            (&self.dns, timings.dns),
            (&self.connect, timings.connect),
            (&self.tls, timings.tls),
            (&self.first_byte, timings.first_byte),
            (&self.body, timings.body),
        ];
        for (histogram, span) in parts {
            if let Some(span) = span {
                histogram.record(span);
            }
        }
        if let Some(counter) = reused.and_then(|reused| self.reused.get(usize::from(reused))) {
            counter.increment(1);
        }
    }

    /// Counts a retry.
    pub(crate) fn retry(&mut self, endpoint: &EndpointName, class: ErrorClass) {
        self.endpoint(endpoint).retries(class).increment(1);
    }

    /// Counts a retry that the budget did not allow.
    pub(crate) fn retry_budget_exhausted(&self) {
        self.budget_exhausted.increment(1);
    }

    /// Records how long a call waited for a limit.
    pub(crate) fn limit_wait(&self, wait: &LimitWait) {
        if let Some(meters) = self.limits.iter().find(|meters| meters.name == wait.limit) {
            meters.wait.record(wait.waited);
        }
    }

    /// Counts a call that was refused an attempt.
    pub(crate) fn rejection(&self, class: ErrorClass) {
        if let Some((_, counter)) = self.rejections.iter().find(|(rejection, _)| *rejection == class) {
            counter.increment(1);
        }
    }

    /// Counts a change of the breaker's state, or one that it only tells: those lead from and to `metrics_only`, since
    /// whoever watches for an opening must not be woken by one that refuses nobody.
    pub(crate) fn transition(&self, transition: &Transition) {
        let (from, to, reason) = if transition.enforced {
            (transition.from, transition.to, transition.cause.as_str())
        } else {
            (State::MetricsOnly, State::MetricsOnly, transition.would())
        };
        transitions(&self.integration, from, to, reason).increment(1);
    }

    /// Sets the gauges.
    pub(crate) fn gauges(&self, view: &View) {
        for (state, gauge) in &self.states {
            gauge.set(f64::from(u8::from(*state == view.state)));
        }
        for (meters, limit) in self.limits.iter().zip(&view.limits) {
            meters.capacity.set(f64::from(limit.capacity));
            meters.remaining.set(f64::from(limit.remaining));
        }
        self.capacity.set(f64::from(self.max_in_flight));
        self.in_flight.set(f64::from(view.in_flight));
        self.queued.set(f64::from(u32::try_from(view.queued).unwrap_or(u32::MAX)));
    }

    /// Takes its gauges back: there is no such integration any more.
    pub(crate) fn gone(&self) {
        for gauge in self.states.iter().map(|(_, gauge)| gauge).chain([
            &self.capacity,
            &self.in_flight,
            &self.queued,
            &self.quarantined,
        ]) {
            gauge.set(0.0);
        }
        self.limits.iter().for_each(LimitMeters::gone);
    }

    /// Takes back the gauges of limits that the plan after it has not: nothing of what they had left would change any
    /// more.
    pub(crate) fn followed_by(&self, next: &Self) {
        let kept = |limit: &LimitMeters| next.limits.iter().any(|other| other.name == limit.name);
        self.limits.iter().filter(|limit| !kept(limit)).for_each(LimitMeters::gone);
    }

    /// Counts a panic's restart.
    pub(crate) fn restarted(&self) {
        self.restarts.increment(1);
    }

    /// Says whether the actor is quarantined.
    pub(crate) fn quarantined(&self, quarantined: bool) {
        self.quarantined.set(f64::from(u8::from(quarantined)));
    }
}

impl LimitMeters {
    fn gone(&self) {
        self.capacity.set(0.0);
        self.remaining.set(0.0);
    }
}

/// What may open a breaker that counts.
fn openings(spec: &BreakerSpec) -> impl Iterator<Item = Cause> {
    let causes = [
        (spec.failures.is_some(), Cause::Failures),
        (spec.failure_rate.is_some(), Cause::FailureRate),
        (spec.slow_rate.is_some(), Cause::SlowRate),
    ];
    causes.into_iter().filter_map(|(may, cause)| may.then_some(cause))
}

fn opened(integration: &IntegrationName, from: State, cause: Cause) -> Counter {
    transitions(integration, from, State::Open, cause.as_str())
}

fn transitions(integration: &IntegrationName, from: State, to: State, reason: &'static str) -> Counter {
    let labels = Labels::none()
        .named("integration", integration.shared())
        .word("from", from.as_str())
        .word("to", to.as_str())
        .word("reason", reason);
    Metric::BreakerTransitions.counter(&labels)
}

impl EndpointMeters {
    fn new(integration: &Labels, name: &EndpointName) -> Self {
        let labels = integration.clone().named("endpoint", name.shared());
        let mut meters = Self {
            duration: Metric::AttemptDuration.histogram(&labels),
            rate_limited: Metric::Provider429.counter(&labels),
            attempts: HashMap::new(),
            retries: HashMap::new(),
            labels,
        };
        meters.counter("success", "none", "2xx").increment(0);
        for class in ErrorClass::ALL.into_iter().filter(|class| !REJECTIONS.contains(class)) {
            let (reason, status) = usual(class);
            meters.counter(class.as_str(), reason.as_str(), status).increment(0);
        }
        for class in [ErrorClass::Transient, ErrorClass::RateLimited, ErrorClass::Ambiguous] {
            meters.retries(class).increment(0);
        }
        meters
    }

    fn counter(&mut self, outcome: &'static str, reason: &'static str, status: &'static str) -> &Counter {
        let labels = &self.labels;
        self.attempts.entry((outcome, reason, status)).or_insert_with(|| {
            let labels =
                labels.clone().word("outcome", outcome).word("reason", reason).word("status", status);
            Metric::AttemptsTotal.counter(&labels)
        })
    }

    fn attempt(&mut self, outcome: &'static str, reason: &'static str, status: &'static str) {
        self.counter(outcome, reason, status).increment(1);
    }

    fn retries(&mut self, class: ErrorClass) -> &Counter {
        let labels = &self.labels;
        self.retries
            .entry(class)
            .or_insert_with(|| Metric::RetriesTotal.counter(&labels.clone().word("class", class.as_str())))
    }
}

/// With which reason and status a class of failure mostly comes: the series that is there before its first.
const fn usual(class: ErrorClass) -> (Reason, &'static str) {
    match class {
        ErrorClass::Transient => (Reason::None, "5xx"),
        ErrorClass::RateLimited | ErrorClass::Client => (Reason::None, "4xx"),
        ErrorClass::Ambiguous => (Reason::FirstByteTimeout, "none"),
        ErrorClass::InvalidResponse => (Reason::None, "2xx"),
        ErrorClass::Credential => (Reason::Certificate, "none"),
        ErrorClass::BreakerOpen
        | ErrorClass::Throttled
        | ErrorClass::Overloaded
        | ErrorClass::Deadline
        | ErrorClass::Internal => (Reason::None, "none"),
    }
}

const fn status_class(status: Option<u16>) -> &'static str {
    match status {
        Some(100..=199) => "1xx",
        Some(200..=299) => "2xx",
        Some(300..=399) => "3xx",
        Some(400..=499) => "4xx",
        Some(500..=599) => "5xx",
        Some(_) | None => "none",
    }
}

/// Makes the series of an operation's runs, and of what may stand in for the providers of its steps, at zero.
pub fn announce(plan: &Plan) {
    drop(RunMeters::new(&plan.operation));
    for step in plan.steps.as_slice() {
        let kinds = [
            (ServedBy::Alternate, !step.alternates.is_empty()),
            (ServedBy::Stale, step.fallback.stale.is_some()),
            (ServedBy::Value, step.fallback.value.is_some()),
        ];
        for (by, _) in kinds.into_iter().filter(|(_, may)| *may) {
            fallback(step, by).increment(0);
        }
        let calls = std::iter::once(&step.primary).chain(&step.alternates);
        for call in calls.map(|planned| &planned.call) {
            dead_letters(call.integration.shared(), plan.operation.shared()).increment(0);
        }
    }
}

fn dead_letters(integration: Arc<str>, operation: Arc<str>) -> Counter {
    let labels = Labels::none().named("integration", integration).named("operation", operation);
    Metric::DeadLettersTotal.counter(&labels)
}

/// Logs and counts a run that a person has to look at.
pub fn died(run: &RunId, death: &Death) {
    let Death { integration, operation, step, class, code } = death;
    tracing::warn!(
        run_id = run.as_str(),
        integration,
        operation,
        step,
        class,
        code,
        "a run is a dead letter: a person has to look at it"
    );
    dead_letters(integration.as_str().into(), operation.as_str().into()).increment(1);
}

fn fallback(step: &StepPlan, by: ServedBy) -> Counter {
    let call = &step.primary.call;
    let labels = Labels::none()
        .named("integration", call.integration.shared())
        .named("endpoint", call.endpoint.shared())
        .word("kind", by.as_str());
    Metric::Fallbacks.counter(&labels)
}

/// One operation's metrics, on one thread.
pub(crate) struct RunMeters {
    outcomes: [(RunStatus, Counter); 5],
    duration: Histogram,
    in_flight: Gauge,
}

impl RunMeters {
    pub(crate) fn new(operation: &OperationName) -> Self {
        let labels = Labels::none().named("operation", operation.shared());
        let ends = [
            RunStatus::Succeeded,
            RunStatus::Partial,
            RunStatus::Failed,
            RunStatus::Unknown,
            RunStatus::Cancelled,
        ];
        Self {
            outcomes: ends.map(|status| {
                let counter = Metric::RunsTotal.counter(&labels.clone().word("outcome", status.as_str()));
                counter.increment(0);
                (status, counter)
            }),
            duration: Metric::RunDuration.histogram(&labels),
            in_flight: Metric::RunsInFlight.gauge(&labels),
        }
    }

    /// Counts what stood in for the providers of a run's steps, at the endpoints that did not serve.
    pub(crate) fn fallbacks(plan: &Plan, outcome: &Outcome) {
        for (step, plan) in outcome.steps.iter().zip(plan.steps.as_slice()) {
            if let Some(by) = step.served_by.filter(|by| *by != ServedBy::Primary) {
                fallback(plan, by).increment(1);
            }
        }
    }

    pub(crate) fn began(&self) {
        self.in_flight.increment(1.0);
    }

    /// A run that had begun is none.
    pub(crate) fn withdrawn(&self) {
        self.in_flight.decrement(1.0);
    }

    pub(crate) fn ended(&self, status: RunStatus, took: Duration) {
        self.in_flight.decrement(1.0);
        self.duration.record(took);
        if let Some((_, counter)) = self.outcomes.iter().find(|(end, _)| *end == status) {
            counter.increment(1);
        }
    }
}
