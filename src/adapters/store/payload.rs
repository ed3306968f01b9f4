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
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};

/// Why a payload that was opened cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not as this version writes it: {0}")]
pub(super) struct Unreadable(String);

/// What is written is borrowed from what it is written of, and read as what has names of its own.
#[derive(Serialize)]
struct ProgressToWrite<'a> {
    revision: u32,
    snapshot: &'a Snapshot,
    intents: Vec<IntentToWrite<'a>>,
}

#[derive(Serialize)]
struct IntentToWrite<'a> {
    step: usize,
    role: Role,
    at: u64,
    method: &'a str,
    path: &'a str,
    headers: HeadersToWrite<'a>,
    body: Option<&'a Bytes>,
    in_doubt: bool,
    lease: Option<u32>,
}

/// Pairs of a name and bytes.
struct HeadersToWrite<'a>(&'a HeaderMap);

impl Serialize for HeadersToWrite<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pairs = serializer.serialize_seq(Some(self.0.len()))?;
        for (name, value) in self.0 {
            pairs.serialize_element(&(name.as_str(), BytesToWrite(value.as_bytes())))?;
        }
        pairs.end()
    }
}

struct BytesToWrite<'a>(&'a [u8]);

impl Serialize for BytesToWrite<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[cfg_attr(test, derive(Serialize))]
#[derive(Deserialize)]
struct WrittenProgress {
    revision: u32,
    snapshot: Snapshot,
    intents: Vec<WrittenIntent>,
}

#[cfg_attr(test, derive(Serialize))]
#[derive(Deserialize)]
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

/// Room for what is written beside texts and bodies, in bytes.
const ROOM: usize = 512;

/// Writes something by names, into as much room at once as it is likely to need.
fn packed(value: &impl Serialize, room: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ROOM + room);
    // Nothing in it can fail to be written.
    match value.serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map()) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

/// Writes how a run stands.
pub(super) fn of_progress(progress: &Progress) -> Vec<u8> {
    let intents: Vec<_> = progress.intents.iter().map(of_intent).collect();
    let room = intents.iter().map(|intent| ROOM + intent.body.map_or(0, Bytes::len)).sum();
    packed(&ProgressToWrite { revision: progress.revision, snapshot: &progress.snapshot, intents }, room)
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
    fields: BytesToWrite<'a>,
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
    let long =
        [&record.request_headers, &record.request_body, &record.response_headers, &record.response_body];
    let room = long.iter().filter_map(|text| text.as_ref()).map(String::len).sum::<usize>();
    let mut fields = Vec::with_capacity(ROOM + room);
    // Nothing in it can fail to be written.
    let _ = record.serialize(&mut rmp_serde::Serializer::new(&mut fields));
    let (input, fields) = (input.map(Json::as_str), BytesToWrite(&fields));
    let room = fields.0.len() + input.map_or(0, str::len);
    packed(&AttemptToWrite { fields, input, repeats }, room)
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

fn of_intent(intent: &Intent) -> IntentToWrite<'_> {
    let Intent { step, role, at, request, in_doubt, lease, repeats_input } = intent;
    IntentToWrite {
        step: *step,
        role: *role,
        at: at.unix_millis(),
        method: request.method.as_str(),
        path: &request.path_and_query,
        headers: HeadersToWrite(&request.headers),
        body: (!repeats_input).then_some(&request.body),
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
    fn how_a_run_stands_is_written_as_it_is_read() {
        let input = Json::of(&"the input");
        let mut run = super::super::sqlite::tests::run("run_1", None, Some("stripe"), None);
        let mut headers = HeaderMap::new();
        headers.append("accept", HeaderValue::from_static("a"));
        headers.append("accept", HeaderValue::from_bytes(b"\xff").unwrap());
        let intent = |body: &Bytes, repeats_input| Intent {
            step: 0,
            role: Role::Primary,
            at: Wall::from_unix_millis(7),
            request: Materialised {
                method: Method::POST,
                path_and_query: "/v1?a=b".to_owned(),
                headers: headers.clone(),
                body: body.clone(),
            },
            in_doubt: true,
            lease: Some(3),
            repeats_input,
        };
        run.progress.intents = vec![intent(&Bytes::from_static(b"body"), false), intent(input.bytes(), true)];
        let bytes = of_progress(&run.progress);
        let read = progress(&bytes, input.bytes()).unwrap();
        assert_eq!((read.revision, &read.snapshot), (run.progress.revision, &run.progress.snapshot));
        assert_eq!(format!("{:?}", read.intents), format!("{:?}", run.progress.intents));
        // As what has names of its own is written, which is how it was always written.
        let written: WrittenProgress = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(rmp_serde::to_vec_named(&written).unwrap(), bytes);
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
