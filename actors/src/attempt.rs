//! One attempt: the I/O task, and the guard that reports its end exactly once.
//!
//! An attempt lives on its integration's thread. It writes the request (once per step: a retry sends the same bytes),
//! sends it, reads the response, classifies and maps it, and reports [`AttemptFinished`] to its actor. Whatever
//! happens to the task (a panic, a runtime that goes away), the [`Guard`] it owns reports: dropped without a result
//! it says `Lost`, which for a request that may act is a doubt.
//!
//! While the request is out the attempt listens for two things: its caller leaving, and the run's deadline. Both end
//! it if nothing is out that may act; otherwise it runs to its own timeout, and for the deadline it says so.
//! `sending` does that, and sends once more inside the attempt where that is no retry.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::WeakAddr;
use bytes::Bytes;
use causeway_core::again::Again;
use causeway_core::classify::{Cut, Phase, Safety};
use causeway_core::endpoint::{Answer, Endpoint, Materialised, SCHEMA_VIOLATED, SchemaMode};
use causeway_core::failure::{ErrorClass, Failure, Reason};
use causeway_core::idempotency::{Resend, outward_key};
use causeway_core::integration::{AttemptEnd, AttemptId, Call, CallId, CallRules};
use causeway_core::json::Json;
use causeway_core::limits::Demand;
use causeway_core::mapping::RunView;
use causeway_core::name::EndpointName;
use causeway_core::retry::RetrySpec;
use causeway_core::sanitise::Sanitiser;
use causeway_core::time::Mono;
use http::{HeaderName, HeaderValue, Uri};
use secrecy::ExposeSecret;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::demand;
use crate::integration::{AttemptFinished, AttemptOverdue, IntegrationActor};
use crate::metric::{Labels, Metric};
use crate::plan::{Auth, IntegrationPlan, MAX_RESPONSE_BODY, StepCall};
use crate::ports::{Broken, Carrier, Client, Exchange, WireRequest, WireResponse};

use sending::{Ears, Sending};

mod sending;

/// Carries a run's correlation id to the provider.
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What the attempts of one step share.
pub(crate) struct StepState {
    pub(crate) call: StepCall,
    /// What it began with, and ends with, whatever is configured meanwhile.
    pub(crate) plan: Arc<IntegrationPlan>,
    /// The request, written by the first attempt.
    request: OnceCell<Materialised>,
}

impl StepState {
    pub(crate) fn new(mut call: StepCall, plan: Arc<IntegrationPlan>) -> Self {
        let request = call.request.take().map_or_else(OnceCell::new, OnceCell::from);
        Self { call, plan, request }
    }

    fn endpoint(&self) -> Result<&Endpoint, Failure> {
        self.plan.endpoints.get(self.call.endpoint).ok_or_else(no_such_endpoint)
    }

    /// The endpoint's name, if the plan has it.
    pub(crate) fn name(&self) -> Option<&EndpointName> {
        self.endpoint().ok().map(|endpoint| &endpoint.name)
    }

    /// Whether the step may change something; one whose endpoint is unknown is not sent at all.
    pub(crate) fn safety(&self) -> Safety {
        self.endpoint().map_or(Safety::Mutating, |endpoint| endpoint.resend.safety())
    }

    /// The step as a call for the core.
    pub(crate) fn call(&self, id: CallId, demand: Demand) -> Call {
        let unknown = || CallRules { resend: Resend::Never, retry: Arc::default() };
        let mut rules = self.endpoint().map_or_else(|_| unknown(), Endpoint::call_rules);
        if self.call.lease.is_some() {
            rules.retry = Arc::new(RetrySpec { max_retries: 0, ..(*rules.retry).clone() });
        }
        let StepCall { priority, deadline, in_doubt_for, .. } = self.call;
        Call { id, rules, demand, priority, deadline, in_doubt_for }
    }

    /// What an attempt takes of the limits of `current`, the plan that holds now.
    pub(crate) fn demand(&self, current: &Arc<IntegrationPlan>) -> Result<Demand, Failure> {
        let endpoint = self.endpoint()?;
        demand::of(current, self.endpoint_in(current), &endpoint.cost, &self.call)
    }

    /// The endpoint's index in the plan that holds now; `None` if it has no such endpoint any more.
    pub(crate) fn endpoint_in(&self, current: &Arc<IntegrationPlan>) -> Option<usize> {
        if Arc::ptr_eq(current, &self.plan) {
            return Some(self.call.endpoint);
        }
        let name = &self.endpoint().ok()?.name;
        current.endpoints.iter().position(|known| known.name == *name)
    }

    /// The request, if it has been written.
    pub(crate) fn request(&self) -> Option<&Materialised> {
        self.request.get()
    }

    /// The request; the first attempt writes it.
    async fn materialise(&self) -> Result<&Materialised, Failure> {
        if let Some(request) = self.request.get() {
            return Ok(request);
        }
        let request = materialise(Arc::clone(&self.plan), self.call.clone()).await?;
        Ok(self.request.get_or_init(|| request))
    }
}

/// Writes the request of a call: the same bytes each time.
pub(crate) async fn materialise(plan: Arc<IntegrationPlan>, call: StepCall) -> Result<Materialised, Failure> {
    let mapped = plan.endpoints.get(call.endpoint).is_some_and(|endpoint| endpoint.request.is_some());
    let large = mapped && call.input.bytes().len() > LARGE_DOCUMENT;
    aside(large, ErrorClass::Internal, move || write(&plan, &call)).await?
}

/// A document larger than this, in bytes, is mapped on a thread for blocking work: the I/O thread has others to serve.
const LARGE_DOCUMENT: usize = 64 << 10;

/// Does `work` here, or on a thread for blocking work. `class` is what it means when that thread loses it.
async fn aside<R: Send + 'static>(
    elsewhere: bool,
    class: ErrorClass,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, Failure> {
    if !elsewhere {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        Failure::new(class, "mapping_lost", "the mapping of a large document ended without a result")
    })
}

fn write(plan: &IntegrationPlan, call: &StepCall) -> Result<Materialised, Failure> {
    let endpoint = plan.endpoints.get(call.endpoint).ok_or_else(no_such_endpoint)?;
    let key = endpoint.key_header.as_ref().map(|_| outward_key(&call.run.id, &call.step, call.role));
    let view = RunView {
        id: call.run.id.as_str(),
        correlation_id: call.run.correlation_id.as_str(),
        operation: call.run.operation.as_str(),
    };
    endpoint.materialise(&call.input, &view, key.as_deref())
}

fn no_such_endpoint() -> Failure {
    Failure::new(ErrorClass::Internal, "no_such_endpoint", "the step names an unknown endpoint")
}

/// All that an attempt needs.
pub(crate) struct Job {
    pub(crate) step: Rc<StepState>,
    pub(crate) client: Rc<dyn Client>,
    pub(crate) clock: Clock,
    pub(crate) sanitiser: Sanitiser,
    pub(crate) number: u32,
    pub(crate) resends: bool,
    pub(crate) span: u64,
    pub(crate) stop: oneshot::Receiver<()>,
    pub(crate) guard: Guard,
}

/// What an attempt leaves behind for its log line and metrics.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) number: u32,
    pub(crate) span: u64,
    /// What came back, where a response was whole.
    pub(crate) response: Option<Arc<WireResponse>>,
    pub(crate) reused: Option<bool>,
    /// The last exchange's parts, and the whole attempt's duration.
    pub(crate) timings: crate::ports::Timings,
    /// What was sent once more inside the attempt.
    pub(crate) again: Again,
}

impl Trace {
    fn new(number: u32, span: u64) -> Self {
        let timings = crate::ports::Timings::default();
        Self { number, span, response: None, reused: None, timings, again: Again::default() }
    }
}

/// How an attempt ended, with what it leaves behind.
pub(crate) struct Report {
    pub(crate) end: AttemptEnd<Json>,
    pub(crate) trace: Trace,
}

/// Reports the end of an attempt exactly once.
pub(crate) struct Guard {
    actor: WeakAddr<IntegrationActor>,
    attempt: AttemptId,
    safety: Safety,
    /// `Sent` from the moment the transport has the request: a guess that can only err towards doubt.
    phase: Phase,
    reported: bool,
}

impl Guard {
    pub(crate) fn new(actor: WeakAddr<IntegrationActor>, attempt: AttemptId, safety: Safety) -> Self {
        Self { actor, attempt, safety, phase: Phase::NotSent, reported: false }
    }

    fn report(mut self, report: Report) {
        self.deliver(report);
    }

    fn overdue(&self) {
        if let Some(actor) = self.actor.upgrade()
            && actor.try_send(AttemptOverdue(self.attempt)).is_err()
        {
            tracing::error!(attempt = self.attempt.0, "could not tell the actor that an attempt is overdue");
        }
    }

    fn deliver(&mut self, report: Report) {
        self.reported = true;
        let message = AttemptFinished { attempt: self.attempt, report };
        if let Some(actor) = self.actor.upgrade()
            && actor.try_send(message).is_err()
        {
            tracing::error!(attempt = self.attempt.0, "could not report the end of an attempt to its actor");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.reported {
            return;
        }
        let phase = self.phase;
        let class = match (self.safety, phase) {
            (Safety::Mutating, Phase::Sent) => ErrorClass::Ambiguous,
            (Safety::Safe, _) | (_, Phase::NotSent) => ErrorClass::Internal,
        };
        let failure =
            Failure::new(class, "attempt_lost", "the attempt ended without a result").because(Reason::Lost);
        let trace = Trace::new(0, 0);
        self.deliver(Report {
            end: AttemptEnd {
                result: Err(failure),
                phase,
                cut: None,
                took: Duration::ZERO,
                told: Vec::new(),
            },
            trace,
        });
    }
}

/// Runs one attempt to its end.
pub(crate) async fn run(job: Job) {
    let Job { step, client, clock, sanitiser, number, resends, span, stop, mut guard } = job;
    let plan = Arc::clone(&step.plan);
    let mut trace = Trace::new(number, span);
    let Some(endpoint) = plan.endpoints.get(step.call.endpoint) else {
        return guard.report(Report { end: unsent(no_such_endpoint()), trace });
    };
    let request = match step.materialise().await {
        Ok(request) => request,
        Err(failure) => return guard.report(Report { end: unsent(failure), trace }),
    };
    // It may have waited for a long time, and whoever leases the run next sends it too.
    if step.call.lease.as_ref().is_some_and(|lease| !lease.holds(clock.mono())) {
        return guard.report(Report { end: unsent(lease_lost()), trace });
    }
    let reader = Reader {
        resends_key: resends && endpoint.key_header.is_some(),
        endpoint: step.call.endpoint,
        plan: Arc::clone(&plan),
        clock,
        sanitiser,
    };
    let sending = Sending {
        plan: &plan,
        endpoint,
        step: &step,
        client: &client,
        clock: &clock,
        guard: &mut guard,
        ears: Ears::new(stop),
    };
    let end = sending.run(request, reader, &mut trace).await;
    guard.report(Report { end, trace });
}

fn lease_lost() -> Failure {
    let message = "the lease of the run had run out before the request was sent";
    let failure = Failure::new(ErrorClass::Overloaded, "lease_lost", message);
    failure.because(Reason::Lost).retry_after(Some(Duration::ZERO))
}

fn cut_failure(cut: Cut, phase: Phase) -> Failure {
    let whether = match phase {
        Phase::NotSent => "nothing was sent",
        Phase::Sent => "the endpoint is safe",
    };
    match cut {
        Cut::Deadline => {
            let message = format!("the deadline passed during the attempt; {whether}");
            Failure::new(ErrorClass::Deadline, "deadline_exceeded", message).because(Reason::TotalTimeout)
        }
        Cut::Cancelled => {
            let message = format!("the caller left during the attempt; {whether}");
            Failure::new(ErrorClass::Deadline, "cancelled", message).because(Reason::Cancelled)
        }
    }
}

fn unsent(failure: Failure) -> AttemptEnd<Json> {
    AttemptEnd {
        result: Err(failure),
        phase: Phase::NotSent,
        cut: None,
        took: Duration::ZERO,
        told: Vec::new(),
    }
}

/// Reads what came of an exchange.
#[derive(Clone)]
struct Reader {
    plan: Arc<IntegrationPlan>,
    endpoint: usize,
    clock: Clock,
    sanitiser: Sanitiser,
    resends_key: bool,
}

impl Reader {
    async fn read(self, exchange: Exchange, trace: &mut Trace) -> AttemptEnd<Json> {
        let phase = exchange.phase;
        let result = match exchange.result {
            Err(broken) => Err(self.broken(&broken, phase)),
            Ok(response) => self.whole(response, trace).await,
        };
        AttemptEnd { result, phase, cut: None, took: Duration::ZERO, told: Vec::new() }
    }

    fn broken(&self, broken: &Broken, phase: Phase) -> Failure {
        let message = self.sanitiser.text(&broken.message, MAX_MESSAGE);
        self.plan.endpoints.get(self.endpoint).map_or_else(no_such_endpoint, |endpoint| {
            let head = broken.status.map(|status| (status, &broken.headers, self.clock.now().wall));
            endpoint.broken(broken.reason, phase, head, message)
        })
    }

    async fn whole(self, response: WireResponse, trace: &mut Trace) -> Result<Json, Failure> {
        let response = trace.response.insert(Arc::new(response));
        // Even a body that is passed on untouched is read to its end.
        let large = response.body.len() > LARGE_DOCUMENT;
        let response = Arc::clone(response);
        // A whole answer was there: that it could not be read does not undo what it answers.
        aside(large, ErrorClass::InvalidResponse, move || {
            let answer = Answer {
                status: response.status.as_u16(),
                headers: &response.headers,
                body: &response.body,
                at: self.clock.now().wall,
                resends_key: self.resends_key,
            };
            let endpoint = self.plan.endpoints.get(self.endpoint).ok_or_else(no_such_endpoint)?;
            let result = endpoint.interpret(&answer, &self.sanitiser);
            tell_breach(&self.plan, endpoint, &answer, &result);
            result
        })
        .await?
    }
}

/// Logs and counts an answer that breaks its schema. Under `enforce` the failure is in the attempt's own line.
fn tell_breach(
    plan: &IntegrationPlan,
    endpoint: &Endpoint,
    answer: &Answer<'_>,
    result: &Result<Json, Failure>,
) {
    let mode = match result {
        Ok(_) => match endpoint.breach(answer) {
            Some((mode, breach)) => {
                tracing::warn!(
                    integration = %plan.name,
                    endpoint = %endpoint.name,
                    status = answer.status,
                    breach = %breach,
                    "an answer breaks its response_schema"
                );
                mode
            }
            None => return,
        },
        Err(failure) if failure.code == SCHEMA_VIOLATED => SchemaMode::Enforce,
        Err(_) => return,
    };
    let labels =
        Labels::none().named("integration", plan.name.shared()).named("endpoint", endpoint.name.shared());
    Metric::SchemaViolations.counter(&labels.word("kind", mode.as_str())).increment(1);
}

/// The longest transport message shown, in bytes.
const MAX_MESSAGE: usize = 256;

/// Completes the step's request with what differs by attempt and by deployment; `target` is where a redirect leads.
fn wire_request(
    plan: &IntegrationPlan,
    request: &Materialised,
    step: &StepState,
    span: u64,
    auth: &Auth,
    target: Option<&Uri>,
    now: Mono,
) -> Result<WireRequest, Failure> {
    let endpoint = plan.endpoints.get(step.call.endpoint).ok_or_else(no_such_endpoint)?;
    let unsendable = |what: &str| {
        let message = format!("writing the request of endpoint `{}`: {what}", endpoint.name);
        Failure::new(ErrorClass::Internal, "request_mapping_failed", message)
    };
    let mut uri = match target {
        Some(target) => target.to_string(),
        None => with_parameter([&plan.base_url, &*request.path_and_query].concat(), plan.query.as_deref()),
    };
    let mut headers = request.headers.clone();
    match auth {
        Auth::None => {}
        Auth::Header(name, value) => {
            headers.insert(name.clone(), value.clone());
        }
        Auth::Query(name, value) => {
            let query = uri.split_once('?').map(|(_, query)| query);
            let pairs = query.into_iter().flat_map(|query| query.split('&'));
            // A provider may repeat it in a redirect.
            if !pairs.filter_map(|pair| pair.split_once('=')).any(|(present, _)| present == name) {
                uri = with_parameter(uri, Some(&[name, "=", value.expose_secret()].concat()));
            }
        }
    }
    let run = &step.call.run;
    let correlation_id =
        HeaderValue::from_maybe_shared(Bytes::copy_from_slice(run.correlation_id.as_str().as_bytes()))
            .map_err(|_| unsendable("the correlation id is no header value"))?;
    headers.insert(CORRELATION_ID, correlation_id);
    let traceparent = HeaderValue::from_maybe_shared(Bytes::from(run.trace.header(span)))
        .map_err(|_| unsendable("the trace context is no header value"))?;
    headers.insert(TRACEPARENT, traceparent);
    if let Some(name) = &endpoint.deadline_header {
        // No part of the step's request: it is less in each attempt.
        let left = step.call.deadline.since(now).as_millis();
        headers.insert(name.clone(), HeaderValue::from(u64::try_from(left).unwrap_or(u64::MAX)));
    }
    Ok(WireRequest {
        method: request.method.clone(),
        uri: Uri::from_maybe_shared(Bytes::from(uri)).map_err(|_| unsendable("it makes no valid URI"))?,
        headers,
        body: request.body.clone(),
        timeouts: endpoint.timeouts,
        max_body: MAX_RESPONSE_BODY,
        carrier: Carrier::Any,
    })
}

/// A URL, which has no fragment, with a further parameter.
fn with_parameter(mut url: String, parameter: Option<&str>) -> String {
    if let Some(parameter) = parameter {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(parameter);
    }
    url
}
