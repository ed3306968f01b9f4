//! The log of attempts: what was sent to providers and what came back, sanitised.
//!
//! Operators find attempts, see one whole, have it written for `curl`, and compare it with the last that succeeded. A client
//! sees of its own run's attempts when they were and how they ended.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::header::ContentType;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use causeway_actors::AttemptRecord;
use causeway_actors::store::{Attempt, AttemptFilter};
use causeway_core::name::RunId;
use causeway_core::time::Wall;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::problem::{Code, Problem, printable, unavailable};
use super::{State, access, context, page, runs};

/// The most differences that are told.
const MAX_DIFFERENCES: usize = 200;
/// The most attempts of a run that are told.
const MAX_OF_RUN: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    run: Option<String>,
    integration: Option<String>,
    endpoint: Option<String>,
    outcome: Option<String>,
    status: Option<String>,
    correlation_id: Option<String>,
    since: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// An attempt, as operators see it.
#[derive(Serialize)]
pub(super) struct Shown {
    id: String,
    at: Wall,
    #[serde(flatten)]
    record: Value,
}

impl From<Attempt> for Shown {
    fn from(attempt: Attempt) -> Self {
        let mut record = serde_json::to_value(&attempt.record).unwrap_or_default();
        for headers in ["request_headers", "response_headers"] {
            record[headers] = object(record[headers].as_str());
        }
        Self { id: attempt.id, at: attempt.at, record }
    }
}

fn object(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Attempts, newest first.
pub(super) async fn list(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, Problem> {
    let malformed = |detail: &'static str| Problem::new(Code::MalformedRequest, detail);
    let asked: Listed = page::query(&request)?;
    let limit = page::limit(asked.limit)?;
    let status = |text: String| {
        range(&text)
            .ok_or_else(|| malformed("`status` is a status such as 503, a class such as 5xx, or `none`"))
    };
    let filter = AttemptFilter {
        id: None,
        run: asked.run.map(RunId::new),
        integration: asked.integration,
        endpoint: asked.endpoint,
        outcome: asked.outcome,
        status: asked.status.map(status).transpose()?,
        correlation_id: asked.correlation_id,
        since: asked.since.as_deref().map(page::since).transpose()?,
        before: asked.cursor.map(|cursor| page::key(&cursor)).transpose()?,
    };
    // One more than is told, to know whether there are more.
    let mut found = state.store().attempts(filter, limit + 1).await.map_err(|error| unavailable(&error))?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more).map(|attempt| attempt.id.clone());
    let items: Vec<Shown> = found.into_iter().map(Shown::from).collect();
    Ok(HttpResponse::Ok().json(page::after(items, last)))
}

/// `503`, `5xx` or `none`.
fn range(text: &str) -> Option<(u16, u16)> {
    if text == "none" {
        return Some((0, 0));
    }
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
        return Some((class * 100, class * 100 + 99));
    }
    let status = text.parse().ok().filter(|status| (100..=599).contains(status))?;
    Some((status, status))
}

pub(super) async fn find(state: &State, id: &str) -> Result<Attempt, Problem> {
    let filter = AttemptFilter { id: Some(id.to_owned()), ..AttemptFilter::default() };
    let found = state.store().attempts(filter, 1).await.map_err(|error| unavailable(&error))?.pop();
    found.ok_or_else(|| {
        let detail = format!(
            "no attempt `{}` is known here: they are kept for as long as `store.retention.attempts` says, and let go of \
             under pressure",
            printable(id)
        );
        Problem::new(Code::UnknownAttempt, detail)
    })
}

/// One attempt.
pub(super) async fn show(id: Path<String>, state: Data<State>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(Shown::from(find(&state, &id).await?)))
}

/// One attempt as a command for a shell. What was masked stays so: whoever runs it fills it in.
pub(super) async fn curl(id: Path<String>, state: Data<State>) -> Result<HttpResponse, Problem> {
    let attempt = find(&state, &id).await?;
    Ok(HttpResponse::Ok().content_type(ContentType::plaintext()).body(curl_of(&attempt.record)))
}

fn curl_of(record: &AttemptRecord) -> String {
    let mut command = format!("curl --request {}", quoted(&record.method));
    if let Value::Object(headers) = object(record.request_headers.as_deref()) {
        for (name, value) in headers {
            let values = if let Value::Array(values) = value { values } else { vec![value] };
            for value in values {
                let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
                command.push_str(&format!(" \\\n  --header {}", quoted(&format!("{name}: {value}"))));
            }
        }
    }
    if let Some(body) = &record.request_body {
        command.push_str(&format!(" \\\n  --data-raw {}", quoted(body)));
    }
    command.push_str(&format!(" \\\n  {}\n", quoted(record.url.as_deref().unwrap_or_default())));
    command
}

/// A word of a POSIX shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Where an attempt differs from another.
#[derive(Serialize)]
struct Difference {
    /// Such as `request_body/amount`.
    place: String,
    attempt: Value,
    success: Value,
}

#[derive(Serialize)]
struct Comparison {
    attempt: Shown,
    /// The last attempt at the same endpoint that succeeded; `null`: none is known.
    success: Option<Shown>,
    differences: Vec<Difference>,
}

/// One attempt beside the last at its endpoint that succeeded.
pub(super) async fn compare(id: Path<String>, state: Data<State>) -> Result<HttpResponse, Problem> {
    let attempt = find(&state, &id).await?;
    let filter = AttemptFilter {
        integration: Some(attempt.record.integration.clone()),
        endpoint: Some(attempt.record.endpoint.clone()),
        outcome: Some("success".to_owned()),
        ..AttemptFilter::default()
    };
    let last = state.store().attempts(filter, 2).await.map_err(|error| unavailable(&error))?;
    // A success is compared with the one before it.
    let success = last.into_iter().find(|success| success.id != attempt.id);
    let differences =
        success.as_ref().map_or_else(Vec::new, |success| differences(&attempt.record, &success.record));
    let success = success.map(Shown::from);
    Ok(HttpResponse::Ok().json(Comparison { attempt: attempt.into(), success, differences }))
}

fn differences(attempt: &AttemptRecord, success: &AttemptRecord) -> Vec<Difference> {
    let (one, other) = (leaves_of(attempt), leaves_of(success));
    let places: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differing = places.into_iter().filter(|place| one.get(*place) != other.get(*place));
    let value = |of: &BTreeMap<String, Value>, place: &String| of.get(place).cloned().unwrap_or_default();
    differing
        .take(MAX_DIFFERENCES)
        .map(|place| Difference {
            place: place.clone(),
            attempt: value(&one, place),
            success: value(&other, place),
        })
        .collect()
}

/// What was sent and what came back, each value by its place.
fn leaves_of(record: &AttemptRecord) -> BTreeMap<String, Value> {
    let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
    let document = |text: &Option<String>| match text {
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone())),
        None => Value::Null,
    };
    let mut leaves = BTreeMap::new();
    for (place, value) in [
        ("method", Value::String(record.method.clone())),
        ("url", text(&record.url)),
        ("request_headers", document(&record.request_headers)),
        ("request_body", document(&record.request_body)),
        ("status", record.status.map_or(Value::Null, Value::from)),
        ("response_headers", document(&record.response_headers)),
        ("response_body", document(&record.response_body)),
        ("code", text(&record.code)),
        ("error", text(&record.error)),
    ] {
        spread(place.to_owned(), value, &mut leaves);
    }
    leaves
}

/// The leaves of a document. As deep as what parsed it allows.
fn spread(place: String, value: Value, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                spread(format!("{place}/{}", name.replace('~', "~0").replace('/', "~1")), value, leaves);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, value) in items.into_iter().enumerate() {
                spread(format!("{place}/{index}"), value, leaves);
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            leaves.insert(place, value);
        }
    }
}

/// An attempt, as the client sees whose run it is of: what was sent stays between us and the provider.
#[derive(Serialize)]
struct Told {
    id: String,
    at: Wall,
    step: String,
    role: String,
    integration: String,
    endpoint: String,
    attempt: u32,
    status: Option<u16>,
    outcome: String,
    code: Option<String>,
    reason: Option<String>,
    error: Option<String>,
    queue_ms: f64,
    total_ms: f64,
    retry_in_ms: Option<f64>,
}

impl From<Attempt> for Told {
    fn from(Attempt { id, at, record, .. }: Attempt) -> Self {
        let AttemptRecord { step, role, integration, endpoint, attempt, status, outcome, .. } = record;
        let AttemptRecord { code, reason, error, queue_ms, total_ms, retry_in_ms, .. } = record;
        Self {
            id,
            at,
            step,
            role,
            integration,
            endpoint,
            attempt,
            status,
            outcome,
            code,
            reason,
            error,
            queue_ms,
            total_ms,
            retry_in_ms,
        }
    }
}

/// The attempts of a run, oldest first.
pub(super) async fn of_run(
    request: HttpRequest,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let correlated = |problem: Problem| problem.correlated(context::correlation_id(&request).as_str());
    let client = access::client(&request);
    runs::seen(&state, &id, access::asker(client.as_ref())).await.map_err(correlated)?;
    let attempts = of(&state, RunId::new(id.into_inner())).await.map_err(correlated)?;
    let items: Vec<Told> = attempts.into_iter().map(Told::from).collect();
    let mut response = HttpResponse::Ok();
    response.insert_header((context::CORRELATION_ID, context::correlation_id(&request).as_str()));
    Ok(response.json(page::after(items, None)))
}

/// The attempts of a run, oldest first, as far as they are known.
pub(super) async fn of(state: &State, run: RunId) -> Result<Vec<Attempt>, Problem> {
    let filter = AttemptFilter { run: Some(run), ..AttemptFilter::default() };
    let mut found = state.store().attempts(filter, MAX_OF_RUN).await.map_err(|error| unavailable(&error))?;
    found.reverse();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(body: &str, status: u16) -> AttemptRecord {
        serde_json::from_value(json!({
            "run_id": "run_1", "correlation_id": "c", "trace_id": "t", "operation": "pay", "step": "charge",
            "role": "call", "integration": "stripe", "endpoint": "charge", "attempt": 1, "span_id": "s", "method": "POST",
            "url": "https://api.example/charges?a=1", "request_headers": "{\"x-name\":\"it's\",\"authorization\":\"[masked]\"}",
            "request_body": body, "status": status, "response_headers": null, "response_body": "{\"ok\":true}",
            "queue_ms": 0.0, "dns_ms": null, "connect_ms": null, "tls_ms": null, "first_byte_ms": null, "total_ms": 1.5,
            "connection_reused": true, "sent_again": null, "outcome": "success", "code": null, "reason": null,
            "error": null, "retry_in_ms": null, "disposition": "succeeded"
        }))
        .unwrap()
    }

    #[test]
    fn a_shell_is_given_words_and_never_more() {
        let command = curl_of(&record("{\"name\":\"'; rm -rf / #\"}", 200));
        let expected = "curl --request 'POST' \\\n  --header 'x-name: it'\\''s' \\\n  --header 'authorization: [masked]' \\\n  \
                        --data-raw '{\"name\":\"'\\''; rm -rf / #\"}' \\\n  'https://api.example/charges?a=1'\n";
        assert_eq!(command, expected);
    }

    #[test]
    fn what_differs_is_told_at_its_place() {
        let (one, other) =
            (record("{\"amount\":1,\"a/b\":[1,2]}", 402), record("{\"amount\":2,\"a/b\":[1]}", 200));
        let told: Vec<_> =
            differences(&one, &other).into_iter().map(|d| (d.place, d.attempt, d.success)).collect();
        let expected = [
            ("request_body/amount", json!(1), json!(2)),
            ("request_body/a~1b/1", json!(2), Value::Null),
            ("status", json!(402), json!(200)),
        ];
        let mut expected = expected.map(|(place, one, other)| (place.to_owned(), one, other)).to_vec();
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(told, expected);
        assert!(differences(&one, &one).is_empty());
    }

    #[test]
    fn a_status_is_a_number_a_class_or_none() {
        assert_eq!(range("503"), Some((503, 503)));
        assert_eq!(range("5xx"), Some((500, 599)));
        assert_eq!(range("none"), Some((0, 0)));
        assert!(["6xx", "x", "", "99", "600", "-1", "5XX"].iter().all(|text| range(text).is_none()));
    }
}
