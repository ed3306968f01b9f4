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
    body: Bytes,
    /// Missing: a version that did not know wrote it down before it was sent.
    #[serde(default = "yes")]
    in_doubt: bool,
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

/// Reads how a run stands.
pub(super) fn progress(bytes: &[u8]) -> Result<Progress, Unreadable> {
    let WrittenProgress { revision, snapshot, intents } =
        rmp_serde::from_slice(bytes).map_err(|error| Unreadable(error.to_string()))?;
    let intents = intents.into_iter().map(intent).collect::<Result<_, _>>()?;
    Ok(Progress { revision, snapshot, intents, children: Vec::new() })
}

#[derive(Serialize)]
struct AttemptToWrite<'a> {
    record: &'a AttemptRecord,
    input: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenAttempt {
    Whole {
        record: Box<AttemptRecord>,
        input: Option<String>,
    },
    /// As versions wrote it that did not keep the input.
    Alone(Box<AttemptRecord>),
}

/// Writes what became of an attempt, and the input of its call.
pub(super) fn of_attempt(record: &AttemptRecord, input: Option<&Json>) -> Vec<u8> {
    let written = AttemptToWrite { record, input: input.map(Json::as_str) };
    // Nothing in it can fail to be written.
    rmp_serde::to_vec_named(&written).unwrap_or_default()
}

/// Reads what became of an attempt, and the input of its call.
pub(super) fn attempt(bytes: &[u8]) -> Result<(AttemptRecord, Option<Json>), Unreadable> {
    let unreadable = |what: &dyn std::fmt::Display| Unreadable(what.to_string());
    let (record, input) = match rmp_serde::from_slice(bytes).map_err(|error| unreadable(&error))? {
        WrittenAttempt::Whole { record, input } => (*record, input),
        WrittenAttempt::Alone(record) => (*record, None),
    };
    let input = input.map(|input| Json::parse(Bytes::from(input))).transpose();
    Ok((record, input.map_err(|error| unreadable(&error))?))
}

fn of_intent(intent: &Intent) -> WrittenIntent {
    let Intent { step, role, at, request, in_doubt } = intent;
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
        body: request.body.clone(),
        in_doubt: *in_doubt,
    }
}

fn intent(written: WrittenIntent) -> Result<Intent, Unreadable> {
    let WrittenIntent { step, role, at, method, path, headers, body, in_doubt } = written;
    let unreadable = |what: &dyn std::fmt::Display| Unreadable(what.to_string());
    let method = Method::from_bytes(method.as_bytes()).map_err(|error| unreadable(&error))?;
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| unreadable(&error))?;
        let value = HeaderValue::from_maybe_shared(value).map_err(|error| unreadable(&error))?;
        map.append(name, value);
    }
    let request = Materialised { method, path_and_query: path, headers: map, body };
    Ok(Intent { step, role, at: Wall::from_unix_millis(at), request, in_doubt })
}
