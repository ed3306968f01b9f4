//! What the sandbox says: JSON documents, and the one form of its refusals.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;

/// A whole answer; its length is known, hyper adds the framing.
pub(super) type Answer = Response<Bytes>;

/// A request that is turned down, as an error document.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The answer's status.
    pub(super) status: StatusCode,
    /// `error.type`: the family.
    pub(super) kind: &'static str,
    /// `error.code`: what programs decide by.
    pub(super) code: &'static str,
    /// `error.message`: for people.
    pub(super) message: String,
}

impl Refusal {
    /// A request that is wrong in itself.
    pub(super) fn invalid(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind: "invalid_request_error", code, message: message.into() }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let Refusal { status, kind, code, message } = refusal;
        json(status, &json!({ "error": { "type": kind, "code": code, "message": message } }))
    }
}

/// An answer that carries `value` as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => with_body(status, "application/json", body.into()),
        Err(error) => {
            plain(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot write the answer as JSON: {error}"))
        }
    }
}

/// An answer that carries text.
pub(super) fn plain(status: StatusCode, text: String) -> Answer {
    with_body(status, "text/plain; charset=utf-8", text.into())
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    answer
}

fn with_body(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
