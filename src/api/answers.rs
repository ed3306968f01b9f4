//! What a caller is told of a run that is over: the same bytes each time, whoever asks and whenever.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use causeway_actors::router::Standing;
use causeway_actors::store::{RunRecord, StoredAnswer};
use causeway_core::operation::{Outcome, RunStatus};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{context, problem};
use problem::Problem;

/// Says that an answer was given before.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The answer to whoever asked for a run that is over.
pub(crate) fn of(outcome: &Outcome, queued: bool) -> StoredAnswer {
    match outcome.status {
        _ if queued => outcome_of(outcome),
        RunStatus::Succeeded | RunStatus::Partial => outcome_of(outcome),
        RunStatus::Accepted
        | RunStatus::Running
        | RunStatus::Waiting
        | RunStatus::Failed
        | RunStatus::Unknown
        | RunStatus::Cancelled => {
            let (status, body) = Problem::of_run(outcome.clone(), Standing::Over).written();
            StoredAnswer { status: status.as_u16(), body: Bytes::from(body) }
        }
    }
}

fn outcome_of(outcome: &Outcome) -> StoredAnswer {
    let body = serde_json::to_vec(outcome).unwrap_or_default();
    StoredAnswer { status: StatusCode::OK.as_u16(), body: Bytes::from(body) }
}

/// The part of an answer that tells what it is about.
#[derive(Deserialize)]
struct About<'a> {
    /// It may be written with escapes, so it is not borrowed.
    correlation_id: Option<String>,
    #[serde(borrow)]
    run: Option<&'a RawValue>,
}

/// Gives an answer for the first time.
pub(super) fn first(answer: &StoredAnswer) -> HttpResponse {
    let mut response = again(answer);
    response.headers_mut().remove(REPLAYED);
    response
}

/// Gives an answer once more.
pub(super) fn again(answer: &StoredAnswer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if status.is_success() { "application/json" } else { problem::MEDIA_TYPE };
    let mut response = HttpResponse::build(status);
    response.content_type(kind).insert_header((REPLAYED, HeaderValue::from_static("true")));
    let about: Option<About<'_>> = serde_json::from_slice(&answer.body).ok();
    if let Some(id) = about.and_then(|about| about.correlation_id) {
        response.insert_header((context::CORRELATION_ID, id));
    }
    response.body(answer.body.clone())
}

/// The outcome that an answer carries.
fn outcome(answer: &StoredAnswer) -> Option<Value> {
    if answer.status == StatusCode::OK.as_u16() {
        return serde_json::from_slice(&answer.body).ok();
    }
    let about: About<'_> = serde_json::from_slice(&answer.body).ok()?;
    serde_json::from_str(about.run?.get()).ok()
}

/// A run in the store, as look-ups and lists show it.
pub(super) fn shown(record: &RunRecord) -> Value {
    let mut shown = record.answer.as_ref().and_then(outcome).unwrap_or_else(|| {
        json!({
            "id": record.id,
            "operation": record.operation,
            "version": record.version,
            "correlation_id": record.correlation_id,
            "status": record.status,
            "degraded": false,
            "result": null,
            "steps": [],
            "error": null,
            "created_at": record.created_at,
            "finished_at": record.finished_at,
        })
    });
    if let Some(object) = shown.as_object_mut() {
        object.insert("durable".to_owned(), Value::Bool(true));
        object.insert("recovered".to_owned(), Value::Bool(record.recovered));
    }
    shown
}
