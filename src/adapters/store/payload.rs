//! How payloads are written before they are sealed: MessagePack, by names, so that a later version may add some.

use bytes::Bytes;
use causeway_actors::AttemptRecord;
use causeway_actors::store::{Intent, Progress};
use causeway_core::endpoint::Materialised;
use causeway_core::idempotency::Role;
use causeway_core::json::Json;
use causeway_core::operation::Snapshot;
use causeway_core::time::Wall;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};

/// Why a payload that was opened cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not as this version writes it: {0}")]
pub(super) struct Unreadable(String);

#[derive(Serialize, Deserialize)]
struct WrittenProgress {
    revision: u32,
    snapshot: Snapshot,
    intents: Vec<WrittenIntent>,
}

#[derive(Serialize, Deserialize)]
struct WrittenIntent {
    step: usize,
    role: Role,
    at: u64,
    method: String,
    path: String,
    headers: Vec<(String, Bytes)>,
    /// `None`: the run's input.
    body: Option<Bytes>,
    /// Missing: a version that did not know wrote it down before it was sent.
    #[serde(default = "yes")]
    in_doubt: bool,
    #[serde(default)]
    lease: Option<u32>,
}

const fn yes() -> bool {
    true
}

/// Writes how a run stands.
pub(super) fn of_progress(progress: &Progress) -> Vec<u8> {
    let written = WrittenProgress {
        revision: progress.revision,
        snapshot: progress.snapshot.clone(),
        intents: progress.intents.iter().map(of_intent).collect(),
    };
    // Nothing in it can fail to be written.
    rmp_serde::to_vec_named(&written).unwrap_or_default()
}

/// Reads how a run stands that has this input.
pub(super) fn progress(bytes: &[u8], input: &Bytes) -> Result<Progress, Unreadable> {
    let WrittenProgress { revision, snapshot, intents } =
        rmp_serde::from_slice(bytes).map_err(|error| Unreadable(error.to_string()))?;
    let intents = intents.into_iter().map(|written| intent(written, input)).collect::<Result<_, _>>()?;
    Ok(Progress { revision, snapshot, intents, children: Vec::new() })
}

#[derive(Serialize)]
struct AttemptToWrite<'a> {
    /// The record's fields, without their names.
    fields: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a str>,
    /// Whether the input is the run's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repeats: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenAttempt {
    Fields {
        fields: Bytes,
        input: Option<String>,
        #[serde(default)]
        repeats: bool,
    },
    /// As versions wrote it that named the fields.
    Whole { record: Box<AttemptRecord>, input: Option<String> },
    /// As versions wrote it that did not keep the input.
    Alone(Box<AttemptRecord>),
}

/// What became of an attempt, the input of its call, and whether that is its run's.
pub(super) type ReadAttempt = (AttemptRecord, Option<Json>, bool);

/// Writes what became of an attempt, and the input of its call.
pub(super) fn of_attempt(record: &AttemptRecord, input: Option<&Json>, repeats: bool) -> Vec<u8> {
    // Nothing in it can fail to be written.
    let fields = Bytes::from(rmp_serde::to_vec(record).unwrap_or_default());
    let written = AttemptToWrite { fields, input: input.map(Json::as_str), repeats };
    rmp_serde::to_vec_named(&written).unwrap_or_default()
}

/// Reads what became of an attempt, and the input of its call. `of_run` is its run's input, if that is to be had.
pub(super) fn attempt(bytes: &[u8], of_run: Option<Bytes>) -> Result<ReadAttempt, Unreadable> {
    let unreadable = |what: &dyn std::fmt::Display| Unreadable(what.to_string());
    let (record, input, repeats) = match rmp_serde::from_slice(bytes).map_err(|error| unreadable(&error))? {
        WrittenAttempt::Fields { fields, input, repeats } => {
            (rmp_serde::from_slice(&fields).map_err(|error| unreadable(&error))?, input, repeats)
        }
        WrittenAttempt::Whole { record, input } => (*record, input, false),
        WrittenAttempt::Alone(record) => (*record, None, false),
    };
    let input = if repeats { of_run } else { input.map(Bytes::from) };
    let input = input.map(Json::parse).transpose();
    Ok((record, input.map_err(|error| unreadable(&error))?, repeats))
}

fn of_intent(intent: &Intent) -> WrittenIntent {
    let Intent { step, role, at, request, in_doubt, lease, repeats_input } = intent;
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes()))
    };
    WrittenIntent {
        step: *step,
        role: *role,
        at: at.unix_millis(),
        method: request.method.as_str().to_owned(),
        path: request.path_and_query.clone(),
        headers: request.headers.iter().map(header).collect(),
        body: (!repeats_input).then(|| request.body.clone()),
        in_doubt: *in_doubt,
        lease: *lease,
    }
}

fn intent(written: WrittenIntent, input: &Bytes) -> Result<Intent, Unreadable> {
    let WrittenIntent { step, role, at, method, path, headers, body, in_doubt, lease } = written;
    let unreadable = |what: &dyn std::fmt::Display| Unreadable(what.to_string());
    let method = Method::from_bytes(method.as_bytes()).map_err(|error| unreadable(&error))?;
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| unreadable(&error))?;
        let value = HeaderValue::from_maybe_shared(value).map_err(|error| unreadable(&error))?;
        map.append(name, value);
    }
    let (repeats_input, body) = (body.is_none(), body.unwrap_or_else(|| input.clone()));
    let request = Materialised { method, path_and_query: path, headers: map, body };
    Ok(Intent { step, role, at: Wall::from_unix_millis(at), request, in_doubt, lease, repeats_input })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record() -> AttemptRecord {
        let record = json!({
            "run_id": "run_1", "correlation_id": "c", "trace_id": "t", "operation": "pay", "step": "charge",
            "role": "call", "integration": "stripe", "endpoint": "charge", "attempt": 2, "span_id": "s", "method": "POST",
            "url": "https://api.example/", "request_headers": "{}", "request_body": "{}", "status": 200,
            "response_headers": null, "response_body": null, "queue_ms": 0.5, "dns_ms": null, "connect_ms": null,
            "tls_ms": null, "first_byte_ms": null, "total_ms": 1.5, "connection_reused": true, "sent_again": null,
            "outcome": "success", "code": null, "reason": null, "error": null, "retry_in_ms": null,
            "disposition": "succeeded"
        });
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn an_attempt_is_read_as_every_version_wrote_it() {
        let (input, of_run) = (Json::of(&"input"), Json::of(&"of the run"));
        let read = |bytes: &[u8]| attempt(bytes, Some(of_run.bytes().clone())).unwrap();
        let alone = rmp_serde::to_vec_named(&record()).unwrap();
        assert_eq!(read(&alone), (record(), None, false));
        let named = json!({ "record": record(), "input": "\"input\"" });
        assert_eq!(read(&rmp_serde::to_vec_named(&named).unwrap()), (record(), Some(input.clone()), false));
        assert_eq!(read(&of_attempt(&record(), Some(&input), false)), (record(), Some(input), false));
        assert_eq!(read(&of_attempt(&record(), None, false)), (record(), None, false));
        assert_eq!(read(&of_attempt(&record(), None, true)), (record(), Some(of_run.clone()), true));
        assert!(attempt(b"\xc1", None).is_err());
    }
}
