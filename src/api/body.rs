//! Reads request bodies: JSON, bounded in size and time, refused before anything recursive looks at them.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Payload};
use causeway_core::json::Json;
use futures_util::StreamExt;

use super::problem::{Code, Problem};

/// How long a whole body may take to arrive.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

/// How many bytes a body may have.
#[derive(Clone, Copy)]
pub(super) enum Max {
    /// As `listen.max_body` says.
    Configured(usize),
    /// As many, whatever is configured.
    Fixed(usize),
}

/// The body as JSON.
pub(super) async fn json(request: &HttpRequest, payload: Payload, max: Max) -> Result<Json, Problem> {
    if !is_json(request) {
        let detail = "send the body with `Content-Type: application/json`";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let bytes = tokio::time::timeout(ARRIVES_WITHIN, read(request, payload, max)).await.map_err(|_| {
        let detail = format!("the body was not whole after {} seconds", ARRIVES_WITHIN.as_secs());
        Problem::new(Code::RequestTimeout, detail)
    })??;
    Json::parse(bytes).map_err(|error| Problem::new(Code::MalformedRequest, format!("the body: {error}")))
}

fn is_json(request: &HttpRequest) -> bool {
    let kind =
        request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

async fn read(request: &HttpRequest, mut payload: Payload, limit: Max) -> Result<Bytes, Problem> {
    let (Max::Configured(max) | Max::Fixed(max)) = limit;
    let declared =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: u64| length > max as u64) {
        return Err(too_large(limit));
    }
    let broken = |error| Problem::new(Code::MalformedRequest, format!("the body could not be read: {error}"));
    let Some(first) = payload.next().await else { return Ok(Bytes::new()) };
    let first = first.map_err(broken)?;
    if first.len() > max {
        return Err(too_large(limit));
    }
    let Some(second) = payload.next().await else { return Ok(first) };
    let mut whole = BytesMut::from(&first[..]);
    let mut next = Some(second);
    while let Some(chunk) = next {
        let chunk = chunk.map_err(broken)?;
        if whole.len() + chunk.len() > max {
            return Err(too_large(limit));
        }
        whole.extend_from_slice(&chunk);
        next = payload.next().await;
    }
    Ok(whole.freeze())
}

fn too_large(max: Max) -> Problem {
    let detail = match max {
        Max::Configured(max) => format!("the body may have {max} bytes (listen.max_body)"),
        Max::Fixed(max) => format!("the body of a command may have {max} bytes"),
    };
    Problem::new(Code::BodyTooLarge, detail)
}
