//! The record of an attempt: sanitised before it leaves memory, written to the log as one structured event and kept by
//! whoever keeps attempts.
//!
//! Made after the core has decided, so that it tells the disposition too: answered, retried in so many milliseconds,
//! ignored. Failures are always told; successes may be sampled.

use std::time::Duration;

use causeway_core::again::Again;
use causeway_core::failure::Failure;
use causeway_core::integration::Disposition;
use causeway_core::json::Json;
use causeway_core::sanitise::Sanitiser;
use causeway_core::time::Wall;
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};

use crate::attempt::{StepState, Trace};
use crate::plan::LogPlan;

/// The target under which attempts are logged.
pub const TARGET: &str = "causeway::attempt";

/// Keeps what became of attempts. It never blocks: what it cannot take it lets go of, and counts.
pub trait Attempts: Send + Sync + 'static {
    /// An attempt that began then, of a call with this input, has ended. `None`: with its run's, which is kept with the run.
    fn ended(&self, at: Wall, record: AttemptRecord, input: Option<&Json>);
}

/// What became of one attempt, sanitised. Times are in milliseconds with a resolution of a microsecond.
///
/// It is kept as a list of its fields: new ones are added at the end, with `#[serde(default)]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// The run's id.
    pub run_id: String,
    /// What links it to the event behind it.
    pub correlation_id: String,
    /// The trace it belongs to.
    pub trace_id: String,
    /// The run's operation.
    pub operation: String,
    /// The step.
    pub step: String,
    /// Which of the step's calls.
    pub role: String,
    /// The integration.
    pub integration: String,
    /// The endpoint.
    pub endpoint: String,
    /// The how manieth of its call, from 1.
    pub attempt: u32,
    /// Its span in the trace.
    pub span_id: String,
    /// The request's method.
    pub method: String,
    /// The request's URL; `None`: it was not written.
    pub url: Option<String>,
    /// The request's headers, as a JSON object.
    pub request_headers: Option<String>,
    /// The request's body.
    pub request_body: Option<String>,
    /// The answer's status; `None`: there was no whole answer.
    pub status: Option<u16>,
    /// The answer's headers, as a JSON object.
    pub response_headers: Option<String>,
    /// The answer's body.
    pub response_body: Option<String>,
    /// How long it waited for its turn.
    pub queue_ms: f64,
    /// How long the name was looked up.
    pub dns_ms: Option<f64>,
    /// How long connecting took.
    pub connect_ms: Option<f64>,
    /// How long the TLS handshake took.
    pub tls_ms: Option<f64>,
    /// How long the first byte of the answer took.
    pub first_byte_ms: Option<f64>,
    /// How long all of it took.
    pub total_ms: f64,
    /// Whether the connection had been used before.
    pub connection_reused: Option<bool>,
    /// What was sent once more inside the attempt, in words.
    pub sent_again: Option<String>,
    /// `success`, or the error's class.
    pub outcome: String,
    /// The error's code.
    pub code: Option<String>,
    /// The error's reason.
    pub reason: Option<String>,
    /// The error, in words.
    pub error: Option<String>,
    /// When it is tried again, from its end.
    pub retry_in_ms: Option<f64>,
    /// What followed from it.
    pub disposition: String,
}

/// One attempt, with all that its record is made of.
pub(crate) struct Record<'a> {
    pub(crate) log: &'a LogPlan,
    pub(crate) step: &'a StepState,
    pub(crate) trace: &'a Trace,
    pub(crate) failure: Option<&'a Failure>,
    pub(crate) queued: Duration,
    pub(crate) disposition: Disposition,
}

impl Record<'_> {
    /// Writes the line, and has it kept where attempts are. `ended` is when the attempt ended.
    pub(crate) fn tell(&self, ended: Wall, keeper: Option<&dyn Attempts>) {
        let is_logged = tracing::enabled!(target: TARGET, tracing::Level::INFO);
        if !is_logged && keeper.is_none() {
            return;
        }
        let Some(record) = self.made() else { return };
        if is_logged {
            record.log();
        }
        if let Some(keeper) = keeper {
            let took = u64::try_from(self.trace.timings.total.as_millis()).unwrap_or(u64::MAX);
            keeper.ended(
                Wall::from_unix_millis(ended.unix_millis().saturating_sub(took)),
                record,
                Some(&self.step.call.input).filter(|_| !self.step.call.repeats_input),
            );
        }
    }

    fn made(&self) -> Option<AttemptRecord> {
        let call = &self.step.call;
        let endpoint = self.step.plan.endpoints.get(call.endpoint)?;
        let (request, response) = (self.step.request(), self.trace.response.as_ref());
        let retry_in = match self.disposition {
            Disposition::Retry(delay) => Some(millis(delay)),
            Disposition::Succeeded
            | Disposition::Failed
            | Disposition::Unknown
            | Disposition::Cancelled
            | Disposition::Ignored => None,
        };
        let timings = &self.trace.timings;
        Some(AttemptRecord {
            run_id: call.run.id.to_string(),
            correlation_id: call.run.correlation_id.to_string(),
            trace_id: call.run.trace.trace_id().to_string(),
            operation: call.run.operation.to_string(),
            step: call.step.to_string(),
            role: call.role.as_str().to_owned(),
            integration: self.step.plan.name.to_string(),
            endpoint: endpoint.name.to_string(),
            attempt: self.trace.number,
            span_id: format!("{:016x}", self.trace.span),
            method: endpoint.method.to_string(),
            url: url(&self.log.sanitiser, self.step),
            request_headers: request.map(|request| self.headers(&request.headers)),
            request_body: request.and_then(|request| self.body(&request.headers, &request.body)),
            status: response.map(|response| response.status.as_u16()),
            response_headers: response.map(|response| self.headers(&response.headers)),
            response_body: response.and_then(|response| self.body(&response.headers, &response.body)),
            queue_ms: millis(self.queued),
            dns_ms: timings.dns.map(millis),
            connect_ms: timings.connect.map(millis),
            tls_ms: timings.tls.map(millis),
            first_byte_ms: timings.first_byte.map(millis),
            total_ms: millis(timings.total),
            connection_reused: self.trace.reused,
            sent_again: sent_again(&self.trace.again),
            outcome: self.failure.map_or("success", |failure| failure.class.as_str()).to_owned(),
            code: self.failure.map(|failure| failure.code.to_string()),
            reason: self.failure.map(|failure| failure.reason.as_str().to_owned()),
            error: self.failure.map(|failure| failure.message.to_string()),
            retry_in_ms: retry_in,
            disposition: self.disposition.as_str().to_owned(),
        })
    }

    fn headers(&self, headers: &HeaderMap) -> String {
        serde_json::to_string(&self.log.sanitiser.headers(headers)).unwrap_or_default()
    }

    fn body(&self, headers: &HeaderMap, body: &[u8]) -> Option<String> {
        if !self.log.bodies || body.is_empty() {
            return None;
        }
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        Some(self.log.sanitiser.body(kind, body, self.log.max_body))
    }
}

impl AttemptRecord {
    fn log(&self) {
        tracing::info!(
            target: TARGET,
            run_id = self.run_id,
            correlation_id = self.correlation_id,
            trace_id = self.trace_id,
            operation = self.operation,
            step = self.step,
            role = self.role,
            integration = self.integration,
            endpoint = self.endpoint,
            attempt = self.attempt,
            span_id = self.span_id,
            method = self.method,
            url = self.url.as_deref(),
            request_headers = self.request_headers.as_deref(),
            request_body = self.request_body.as_deref(),
            status = self.status,
            response_headers = self.response_headers.as_deref(),
            response_body = self.response_body.as_deref(),
            queue_ms = self.queue_ms,
            dns_ms = self.dns_ms,
            connect_ms = self.connect_ms,
            tls_ms = self.tls_ms,
            first_byte_ms = self.first_byte_ms,
            total_ms = self.total_ms,
            connection_reused = self.connection_reused,
            sent_again = self.sent_again.as_deref(),
            outcome = self.outcome,
            code = self.code.as_deref(),
            reason = self.reason.as_deref(),
            error = self.error.as_deref(),
            retry_in_ms = self.retry_in_ms,
            disposition = self.disposition,
            "attempt"
        );
    }
}

/// What was sent once more inside the attempt, in words; `None` for nothing, as nearly always.
fn sent_again(again: &Again) -> Option<String> {
    let words = [
        again.redialled.then(|| "redialled".to_owned()),
        again.reauthenticated.then(|| "reauthenticated".to_owned()),
        (again.redirects > 0).then(|| format!("redirected {}", again.redirects)),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// The URL of a step's request, as it may be shown; `None` before it is written.
pub(crate) fn url(sanitiser: &Sanitiser, step: &StepState) -> Option<String> {
    let request = step.request()?;
    Some(format!("{}{}", step.plan.base_url, sanitiser.query(&request.path_and_query)))
}

/// Milliseconds with a resolution of a microsecond.
pub(crate) fn millis(span: Duration) -> f64 {
    span.as_micros() as f64 / 1000.0
}
