//! One attempt: the I/O task, and the guard that reports its end exactly once.
//!
//! An attempt lives on its integration's thread. It writes the request (once per step: a retry sends the same bytes),
//! sends it, reads the response, classifies and maps it, and reports [`AttemptFinished`] to its actor. Whatever
//! happens to the task (a panic, a runtime that goes away), the [`Guard`] it owns reports: dropped without a result
//! it says `Lost`, which for a request that may act is a doubt.
//!
//! While the request is out the attempt listens for two things: its caller leaving, and the run's deadline. Both end
//! it if nothing is out that may act; otherwise it runs to its own timeout, and for the deadline it says so.

use std::cell::OnceCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::WeakAddr;
use bytes::Bytes;
use causeway_core::classify::{self, Cut, Phase, Safety};
use causeway_core::endpoint::{Answer, Endpoint, Materialised};
use causeway_core::failure::{ErrorClass, Failure, Reason};
use causeway_core::idempotency::outward_key;
use causeway_core::integration::{AttemptEnd, AttemptId};
use causeway_core::json::Json;
use causeway_core::mapping::RunView;
use causeway_core::sanitise::Sanitiser;
use http::{HeaderName, HeaderValue, Uri};
use secrecy::ExposeSecret;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::integration::{AttemptFinished, AttemptOverdue, IntegrationActor};
use crate::plan::{Auth, IntegrationPlan, MAX_RESPONSE_BODY, StepCall};
use crate::ports::{Broken, Client, Exchange, Flight, WireRequest, WireResponse};

/// Carries a run's correlation id to the provider.
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What the attempts of one step share.
pub(crate) struct StepState {
    pub(crate) call: StepCall,
    /// The request, written by the first attempt.
    request: OnceCell<Materialised>,
}

impl StepState {
    pub(crate) fn new(call: StepCall) -> Self {
        Self { call, request: OnceCell::new() }
    }

    /// The request, if it has been written.
    pub(crate) fn request(&self) -> Option<&Materialised> {
        self.request.get()
    }

    /// The request; the first attempt writes it.
    async fn materialise(&self, plan: &Arc<IntegrationPlan>) -> Result<&Materialised, Failure> {
        if let Some(request) = self.request.get() {
            return Ok(request);
        }
        let call = self.call.clone();
        let mapped = plan.endpoints.get(call.endpoint).is_some_and(|endpoint| endpoint.request.is_some());
        let large = mapped && call.input.bytes().len() > LARGE_DOCUMENT;
        let plan = Arc::clone(plan);
        let request = aside(large, ErrorClass::Internal, move || write(&plan, &call)).await??;
        Ok(self.request.get_or_init(|| request))
    }
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
    let key = endpoint.key_header.as_ref().map(|_| outward_key(&call.run.id, &call.step));
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
    pub(crate) plan: Arc<IntegrationPlan>,
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
    pub(crate) timings: crate::ports::Timings,
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
        let trace = Trace {
            number: 0,
            span: 0,
            response: None,
            reused: None,
            timings: crate::ports::Timings::default(),
        };
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
    let Job { plan, step, client, clock, sanitiser, number, resends, span, mut stop, mut guard } = job;
    let mut trace =
        Trace { number, span, response: None, reused: None, timings: crate::ports::Timings::default() };
    let Some(endpoint) = plan.endpoints.get(step.call.endpoint) else {
        return guard.report(Report { end: unsent(no_such_endpoint()), trace });
    };
    let request =
        match step.materialise(&plan).await.and_then(|request| wire_request(&plan, request, &step, span)) {
            Ok(request) => request,
            Err(failure) => return guard.report(Report { end: unsent(failure), trace }),
        };
    guard.phase = Phase::Sent;
    let mut flight = client.send(request);
    let ended = fly(&mut flight, &mut stop, &clock, &step, &guard).await;
    let mut end = match ended {
        Ended::Cut(cut, phase) => {
            drop(flight);
            AttemptEnd {
                result: Err(cut_failure(cut, phase)),
                phase,
                cut: Some(cut),
                took: Duration::ZERO,
                told: Vec::new(),
            }
        }
        Ended::Landed(exchange) => {
            trace.reused = Some(exchange.reused);
            trace.timings = exchange.timings;
            let reader = Reader {
                resends_key: resends && endpoint.key_header.is_some(),
                endpoint: step.call.endpoint,
                plan,
                clock,
                sanitiser,
            };
            reader.read(exchange, &mut trace).await
        }
    };
    end.took = trace.timings.total;
    guard.report(Report { end, trace });
}

#[expect(clippy::large_enum_variant, reason = "made once an attempt, and taken apart at once")]
enum Ended {
    Landed(Exchange),
    Cut(Cut, Phase),
}

/// Waits for the exchange, for the caller's leaving and for the deadline, whichever ends the attempt.
async fn fly(
    flight: &mut Pin<Box<dyn Flight>>,
    stop: &mut oneshot::Receiver<()>,
    clock: &Clock,
    step: &StepState,
    guard: &Guard,
) -> Ended {
    let deadline = tokio::time::sleep_until(clock.instant(step.call.deadline));
    tokio::pin!(deadline);
    let (mut listening, mut overdue) = (true, false);
    loop {
        let cut = tokio::select! {
            biased;
            exchange = flight.as_mut() => return Ended::Landed(exchange),
            stopped = &mut *stop, if listening => {
                listening = false;
                // The sender is dropped when the actor is rebuilt: nobody asks for anything then.
                if stopped.is_err() { continue }
                Cut::Cancelled
            }
            () = &mut deadline, if !overdue => {
                overdue = true;
                Cut::Deadline
            }
        };
        let phase = flight.phase();
        if classify::may_cut(guard.safety, phase) {
            return Ended::Cut(cut, phase);
        }
        if cut == Cut::Deadline {
            guard.overdue();
        }
    }
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
        let mapped = |endpoint: &Endpoint| endpoint.response.is_some() || !endpoint.rules.is_empty();
        let large = response.body.len() > LARGE_DOCUMENT
            && self.plan.endpoints.get(self.endpoint).is_some_and(mapped);
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
            endpoint.interpret(&answer, &self.sanitiser)
        })
        .await?
    }
}

/// The longest transport message shown, in bytes.
const MAX_MESSAGE: usize = 256;

/// Completes the step's request with what differs by attempt and by deployment.
fn wire_request(
    plan: &IntegrationPlan,
    request: &Materialised,
    step: &StepState,
    span: u64,
) -> Result<WireRequest, Failure> {
    let endpoint = plan.endpoints.get(step.call.endpoint).ok_or_else(no_such_endpoint)?;
    let unsendable = |what: &str| {
        let message = format!("writing the request of endpoint `{}`: {what}", endpoint.name);
        Failure::new(ErrorClass::Internal, "request_mapping_failed", message)
    };
    let mut uri = String::with_capacity(plan.base_url.len() + request.path_and_query.len());
    uri.push_str(&plan.base_url);
    uri.push_str(&request.path_and_query);
    let mut headers = request.headers.clone();
    match &plan.auth {
        Auth::None => {}
        Auth::Header(name, value) => {
            headers.insert(name.clone(), value.clone());
        }
        Auth::Query(name, value) => {
            uri.push(if request.path_and_query.contains('?') { '&' } else { '?' });
            uri.push_str(name);
            uri.push('=');
            uri.push_str(value.expose_secret());
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
    Ok(WireRequest {
        method: request.method.clone(),
        uri: Uri::from_maybe_shared(Bytes::from(uri)).map_err(|_| unsendable("it makes no valid URI"))?,
        headers,
        body: request.body.clone(),
        timeouts: endpoint.timeouts,
        max_body: MAX_RESPONSE_BODY,
    })
}
