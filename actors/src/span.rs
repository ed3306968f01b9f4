//! Traces: one span per run, per step and per attempt, made when each has ended.
//!
//! A span is made whole, of what the run and its attempts leave behind, and handed to [`Spans`]; nothing is kept open
//! meanwhile, and a run whose trace nobody records costs one comparison. Names and attributes are those of
//! OpenTelemetry's conventions for HTTP clients where there is one, and begin with `causeway.` where there is none.
//!
//! Source: <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>.

use std::time::Duration;

use causeway_core::breaker::Transition;
use causeway_core::failure::Failure;
use causeway_core::integration::Disposition;
use causeway_core::name::ClientName;
use causeway_core::operation::{Outcome, RunStatus, StepOutcome, StepStatus};
use causeway_core::time::Mono;
use http::Uri;

use crate::attempt::{StepState, Trace};
use crate::plan::{RunContext, TraceContext};
use crate::record;

/// Takes spans that have ended.
pub trait Spans: Send + Sync + 'static {
    /// Takes one, without waiting for anything: one that there is no room for is dropped and counted.
    fn record(&self, span: Span);
}

/// A part of a trace that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The trace, and the part of it that this is.
    pub id: SpanId,
    /// The span it is part of.
    pub parent: Option<Parent>,
    /// Which side of a call it is.
    pub kind: Kind,
    /// What it did, in words of which there are few.
    pub name: String,
    /// When it began.
    pub began: Mono,
    /// When it ended.
    pub ended: Mono,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// What happened at its end.
    pub events: Vec<Event>,
    /// What went wrong, for people.
    pub error: Option<String>,
}

/// A span's name in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId {
    /// The trace's.
    pub trace: u128,
    /// Its own.
    pub span: u64,
}

/// The span that another is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// One of ours.
    Ours(u64),
    /// The caller's.
    Caller(u64),
}

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What somebody asked of us.
    Server,
    /// A part of our own work.
    Internal,
    /// What we ask of somebody.
    Client,
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Words.
    Text(String),
    /// A count.
    Count(i64),
    /// Milliseconds, with a resolution of a microsecond.
    Millis(f64),
    /// Yes or no.
    Flag(bool),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What.
    pub name: &'static str,
    /// When.
    pub at: Mono,
    /// The rest.
    pub attributes: Vec<(&'static str, Value)>,
}

/// The spans of a run that is over: its own and those of the steps that were started.
pub(crate) fn of_run(
    outcome: &Outcome,
    trace: TraceContext,
    client: Option<&ClientName>,
    began: Mono,
    ended: Mono,
) -> Vec<Span> {
    let steps = outcome.steps.iter().enumerate();
    let steps = steps.filter_map(|(index, step)| Some(of_step(step, index, trace, step.began?)));
    let mut attributes = vec![
        ("causeway.run_id", text(outcome.id.as_str())),
        ("causeway.correlation_id", text(outcome.correlation_id.as_str())),
        ("causeway.operation", text(outcome.operation.as_str())),
        ("causeway.version", Value::Count(outcome.version.into())),
        ("causeway.status", text(outcome.status.as_str())),
        ("causeway.degraded", Value::Flag(outcome.degraded)),
    ];
    attributes.extend(client.map(|client| ("causeway.client", text(client.as_str()))));
    let failed = matches!(outcome.status, RunStatus::Failed | RunStatus::Unknown);
    let failure = outcome.error.as_ref().filter(|_| failed);
    attributes.extend(failure.into_iter().flat_map(failed_with));
    let run = Span {
        id: SpanId { trace: trace.trace_id, span: trace.run },
        parent: trace.caller.map(Parent::Caller),
        kind: Kind::Server,
        name: outcome.operation.as_str().to_owned(),
        began,
        ended,
        attributes,
        events: Vec::new(),
        error: failure.map(|failure| failure.message.to_string()),
    };
    std::iter::once(run).chain(steps).collect()
}

fn of_step(step: &StepOutcome, index: usize, trace: TraceContext, began: Mono) -> Span {
    let mut attributes = vec![
        ("causeway.step", text(step.name.as_str())),
        ("causeway.integration", text(step.integration.as_str())),
        ("causeway.endpoint", text(step.endpoint.as_str())),
        ("causeway.status", text(step.status.as_str())),
        ("causeway.attempts", Value::Count(step.attempts.into())),
    ];
    attributes.extend(step.served_by.map(|by| ("causeway.served_by", text(by.as_str()))));
    let failed = matches!(step.status, StepStatus::Failed | StepStatus::Unknown);
    let failure = step.error.as_ref().filter(|_| failed);
    attributes.extend(failure.into_iter().flat_map(failed_with));
    Span {
        id: SpanId { trace: trace.trace_id, span: trace.step(index) },
        parent: Some(Parent::Ours(trace.run)),
        kind: Kind::Internal,
        name: step.name.as_str().to_owned(),
        began,
        ended: began + step.duration,
        attributes,
        events: Vec::new(),
        error: failure.map(|failure| failure.message.to_string()),
    }
}

/// What is known of an attempt that has ended.
pub(crate) struct Attempt<'a> {
    pub(crate) step: &'a StepState,
    pub(crate) trace: &'a Trace,
    pub(crate) run: &'a RunContext,
    pub(crate) failure: Option<&'a Failure>,
    pub(crate) status: Option<u16>,
    pub(crate) queued: Duration,
    pub(crate) disposition: Disposition,
    /// The query of its URL, as it may be shown.
    pub(crate) url: Option<String>,
    pub(crate) ended: Mono,
}

impl Attempt<'_> {
    /// The attempt's span.
    pub(crate) fn span(self) -> Option<Span> {
        let Self { step, trace, run, failure, status, queued, disposition, url, ended } = self;
        let endpoint = step.plan.endpoints.get(step.call.endpoint)?;
        let server = step.plan.base_url.parse::<Uri>().ok();
        let resends = i64::from(trace.number) - 1;
        let retry_in = match disposition {
            Disposition::Retry(wait) => Some(wait),
            Disposition::Succeeded
            | Disposition::Failed
            | Disposition::Unknown
            | Disposition::Cancelled
            | Disposition::Ignored => None,
        };
        let mut attributes = vec![
            ("http.request.method", text(endpoint.method.as_str())),
            ("causeway.run_id", text(run.id.as_str())),
            ("causeway.integration", text(step.plan.name.as_str())),
            ("causeway.endpoint", text(endpoint.name.as_str())),
            ("causeway.role", text(step.call.role.as_str())),
            ("causeway.attempt", Value::Count(trace.number.into())),
            ("causeway.queue_ms", millis(queued)),
            ("causeway.disposition", text(disposition.as_str())),
        ];
        let optional = [
            ("url.full", url.map(Value::Text)),
            ("server.address", server.as_ref().and_then(Uri::host).map(text)),
            ("server.port", server.as_ref().and_then(port).map(|port| Value::Count(port.into()))),
            ("http.response.status_code", status.map(|status| Value::Count(status.into()))),
            ("http.request.resend_count", (resends > 0).then_some(Value::Count(resends))),
            ("causeway.retry_in_ms", retry_in.map(millis)),
            ("causeway.connection_reused", trace.reused.map(Value::Flag)),
            ("causeway.dns_ms", trace.timings.dns.map(millis)),
            ("causeway.connect_ms", trace.timings.connect.map(millis)),
            ("causeway.tls_ms", trace.timings.tls.map(millis)),
            ("causeway.first_byte_ms", trace.timings.first_byte.map(millis)),
        ];
        attributes.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
        attributes.extend(failure.into_iter().flat_map(failed_with));
        Some(Span {
            id: SpanId { trace: run.trace.trace_id, span: trace.span.max(1) },
            parent: Some(Parent::Ours(run.trace.step(step.call.index))),
            kind: Kind::Client,
            name: format!("{} {}", endpoint.method, endpoint.name),
            began: ended - trace.timings.total,
            ended,
            attributes,
            events: Vec::new(),
            error: failure.map(|failure| failure.message.to_string()),
        })
    }
}

/// A change of the breaker's state, as an event of the attempt that led to it.
pub(crate) fn of_transition(transition: &Transition, at: Mono) -> Event {
    let attributes = vec![
        ("causeway.breaker.from", text(transition.from.as_str())),
        ("causeway.breaker.to", text(transition.to.as_str())),
        ("causeway.breaker.reason", text(transition.cause.as_str())),
        ("causeway.breaker.enforced", Value::Flag(transition.enforced)),
    ];
    Event { name: "breaker.transition", at, attributes }
}

fn failed_with(failure: &Failure) -> [(&'static str, Value); 3] {
    [
        ("error.type", text(failure.class.as_str())),
        ("causeway.error.code", text(&*failure.code)),
        ("causeway.error.reason", text(failure.reason.as_str())),
    ]
}

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

fn millis(span: Duration) -> Value {
    Value::Millis(record::millis(span))
}

/// The port that a URL means.
fn port(uri: &Uri) -> Option<u16> {
    uri.port_u16().or_else(|| match uri.scheme_str()? {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    })
}
