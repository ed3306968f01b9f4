//! The log line of an attempt: one structured event, sanitised before it leaves memory.
//!
//! Written after the core has decided, so that it tells the disposition too: answered, retried in so many
//! milliseconds, ignored. Failures are always logged; successes may be sampled.

use std::time::Duration;

use causeway_core::again::Again;
use causeway_core::failure::Failure;
use causeway_core::integration::Disposition;
use causeway_core::sanitise::Sanitiser;
use http::{HeaderMap, header};

use crate::attempt::{StepState, Trace};
use crate::plan::LogPlan;

/// The target under which attempts are logged.
pub const TARGET: &str = "causeway::attempt";

/// One attempt, as its log line tells it.
pub(crate) struct Record<'a> {
    pub(crate) log: &'a LogPlan,
    pub(crate) step: &'a StepState,
    pub(crate) trace: &'a Trace,
    pub(crate) failure: Option<&'a Failure>,
    pub(crate) queued: Duration,
    pub(crate) disposition: Disposition,
}

impl Record<'_> {
    /// Writes the line.
    pub(crate) fn write(&self) {
        if !tracing::enabled!(target: TARGET, tracing::Level::INFO) {
            return;
        }
        let call = &self.step.call;
        let Some(endpoint) = self.step.plan.endpoints.get(call.endpoint) else { return };
        let sanitiser = &self.log.sanitiser;
        let request = self.step.request();
        let response = self.trace.response.as_ref();
        let url = url(sanitiser, self.step);
        let retry_in = match self.disposition {
            Disposition::Retry(delay) => Some(millis(delay)),
            Disposition::Succeeded
            | Disposition::Failed
            | Disposition::Unknown
            | Disposition::Cancelled
            | Disposition::Ignored => None,
        };
        let timings = &self.trace.timings;
        tracing::info!(
            target: TARGET,
            run_id = call.run.id.as_str(),
            correlation_id = call.run.correlation_id.as_str(),
            trace_id = %call.run.trace.trace_id(),
            operation = call.run.operation.as_str(),
            step = call.step.as_str(),
            role = call.role.as_str(),
            integration = self.step.plan.name.as_str(),
            endpoint = endpoint.name.as_str(),
            attempt = self.trace.number,
            span_id = %format_args!("{:016x}", self.trace.span),
            method = endpoint.method.as_str(),
            url = url.as_deref(),
            request_headers = request.map(|request| self.headers(&request.headers)).as_deref(),
            request_body = request.and_then(|request| self.body(&request.headers, &request.body)).as_deref(),
            status = response.map(|response| response.status.as_u16()),
            response_headers = response.map(|response| self.headers(&response.headers)).as_deref(),
            response_body = response.and_then(|response| self.body(&response.headers, &response.body)).as_deref(),
            queue_ms = millis(self.queued),
            dns_ms = timings.dns.map(millis),
            connect_ms = timings.connect.map(millis),
            tls_ms = timings.tls.map(millis),
            first_byte_ms = timings.first_byte.map(millis),
            total_ms = millis(timings.total),
            connection_reused = self.trace.reused,
            sent_again = sent_again(&self.trace.again).as_deref(),
            outcome = self.failure.map_or("success", |failure| failure.class.as_str()),
            code = self.failure.map(|failure| &*failure.code),
            reason = self.failure.map(|failure| failure.reason.as_str()),
            error = self.failure.map(|failure| &*failure.message),
            retry_in_ms = retry_in,
            disposition = self.disposition.as_str(),
            "attempt"
        );
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
