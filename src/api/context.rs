//! What links a request to the event behind it: correlation id and trace context, taken over or made.

use actix_web::HttpRequest;
use actix_web::ResponseError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use causeway_actors::plan::TraceContext;
use causeway_core::name::{CorrelationId, RunId};
use uuid::Uuid;

use super::problem::Problem;

/// Links requests to the event behind them; taken over, and on every answer.
pub(super) const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The caller's correlation id; one of our own where it gives none, or none that is fit to be logged.
pub(super) fn correlation_id(request: &HttpRequest) -> CorrelationId {
    let given = request.headers().get(CORRELATION_ID).and_then(text).and_then(CorrelationId::new);
    given.or_else(|| CorrelationId::new(&Uuid::now_v7().to_string())).unwrap_or_else(fallback)
}

/// The middleware that puts a correlation id on every answer that has none yet, and into its problem.
pub(super) async fn tell(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let id = correlation_id(request.request());
    let response = next.call(request).await?.map_into_boxed_body();
    if response.headers().contains_key(CORRELATION_ID) {
        return Ok(response);
    }
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>().cloned());
    let mut response = match problem {
        Some(problem) => response.into_response(problem.correlated(id.as_str()).error_response()),
        None => response,
    };
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(CORRELATION_ID, value);
    }
    Ok(response)
}

/// A UUID is always a correlation id; this is only what the types ask for.
fn fallback() -> CorrelationId {
    loop {
        if let Some(id) = CorrelationId::new("none") {
            return id;
        }
    }
}

/// The caller's trace, with whether it is recorded; where it gives none, one of our own, of which this share is
/// recorded.
pub(super) fn trace(request: &HttpRequest, sample: f64) -> TraceContext {
    let (_, run) = Uuid::new_v4().as_u64_pair();
    let given = request.headers().get(TRACEPARENT).and_then(text);
    given.and_then(|given| TraceContext::parse(given, run)).unwrap_or_else(|| {
        let trace_id = Uuid::now_v7().as_u128();
        // The last bits of a UUID are chance.
        let dice = f64::from((trace_id & u128::from(u32::MAX)) as u32) / f64::from(u32::MAX);
        let sampled = sample > 0.0 && dice <= sample;
        TraceContext { trace_id, caller: None, run, sampled }
    })
}

/// A new run's id.
pub(super) fn run_id() -> RunId {
    let mut text = String::with_capacity(36);
    text.push_str("run_");
    text.push_str(Uuid::now_v7().simple().encode_lower(&mut Uuid::encode_buffer()));
    RunId::new(text)
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}
