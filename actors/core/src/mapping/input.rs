//! What programs work on: prepared once, read by several.

use bytes::Bytes;
use http::HeaderMap;
use jaq_json::{Map, Val};

use super::error::MappingError;
use super::read;
use crate::failure::Failure;
use crate::json::Json;
use crate::name::StepName;

/// A document made ready for programs. Bound to its thread; meant to live as long as one attempt.
#[derive(Debug, Clone)]
pub struct Input(pub(super) Val);

/// The run, as programs see it.
#[derive(Debug, Clone, Copy)]
pub struct RunView<'a> {
    /// The run's id.
    pub id: &'a str,
    /// What links it to the business event behind it.
    pub correlation_id: &'a str,
    /// The operation's name.
    pub operation: &'a str,
}

/// A step that has ended, as programs see it.
#[derive(Debug, Clone)]
pub struct StepView {
    /// The name of its status (`succeeded`, `failed`, …).
    pub status: &'static str,
    /// What it yielded; `null` for programs if there is none.
    pub result: Option<Json>,
    /// Why it failed; `null` for programs if it did not.
    pub error: Option<Failure>,
}

/// The global variables of a request program.
#[derive(Debug, Clone, Default)]
pub struct Vars {
    pub(super) run: Val,
    pub(super) idempotency_key: Val,
}

impl Input {
    /// A document.
    ///
    /// # Errors
    /// [`MappingError::Input`] if it cannot be read, which a checked document always can.
    pub fn json(json: &Json) -> Result<Self, MappingError> {
        let read = read::document(json.bytes());
        read.map(Self).map_err(|unreadable| MappingError::Input(unreadable.to_string()))
    }

    /// `{status, headers, body}` of a response.
    ///
    /// Header names are lower-case, repeated ones joined with `, `. The body is parsed if it is well-formed JSON,
    /// else a string (what is not UTF-8 in it replaced by U+FFFD); nothing is `null`.
    pub fn response(status: u16, headers: &HeaderMap, body: &Bytes) -> Self {
        let body = if body.is_empty() {
            Val::Null
        } else {
            read::document(body).unwrap_or_else(|_| match std::str::from_utf8(body) {
                Ok(_) => Val::utf8_str(body.clone()),
                Err(_) => string(&String::from_utf8_lossy(body)),
            })
        };
        let status = Val::from(usize::from(status));
        Self(object([("status", status), ("headers", header_object(headers)), ("body", body)]))
    }

    /// Whether a response's body was taken as text because it is no JSON that can be read.
    pub fn is_unread(&self, body: &Bytes) -> bool {
        let Val::Obj(members) = &self.0 else { return false };
        let name = Val::utf8_str(Bytes::from_static(b"body"));
        // JSON is longer than the string it says, by its quotes.
        matches!(members.get(&name), Some(Val::TStr(text)) if text.len() >= body.len())
    }

    /// `{input, run, steps}` of a run: what a step's `input` and an operation's `result` see.
    pub fn step(input: &Json, run: &RunView<'_>, steps: &[(StepName, StepView)]) -> Self {
        let steps = steps.iter().map(|(name, step)| (string(name.as_str()), step_object(step)));
        let steps = Val::obj(steps.collect());
        Self(object([("input", checked(input)), ("run", run_object(run)), ("steps", steps)]))
    }
}

impl Vars {
    /// `$run` and `$idempotency_key`; the latter is `null` if the call has none.
    pub fn request(run: &RunView<'_>, idempotency_key: Option<&str>) -> Self {
        Self { run: run_object(run), idempotency_key: idempotency_key.map_or(Val::Null, string) }
    }
}

/// Reads what [`Json`] has checked: it cannot fail, and `null` stands in if it did.
fn checked(json: &Json) -> Val {
    read::document(json.bytes()).unwrap_or_default()
}

fn step_object(step: &StepView) -> Val {
    let result = step.result.as_ref().map_or(Val::Null, checked);
    let error = step.error.as_ref().map_or(Val::Null, |failure| checked(&Json::of(failure)));
    object([("status", string(step.status)), ("result", result), ("error", error)])
}

fn run_object(run: &RunView<'_>) -> Val {
    object([
        ("id", string(run.id)),
        ("correlation_id", string(run.correlation_id)),
        ("operation", string(run.operation)),
    ])
}

fn header_object(headers: &HeaderMap) -> Val {
    let mut members = Map::default();
    for name in headers.keys() {
        let mut values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let mut joined = values.next().unwrap_or_default().into_owned();
        for value in values {
            joined.push_str(", ");
            joined.push_str(&value);
        }
        members.insert(string(name.as_str()), Val::utf8_str(joined.into_bytes()));
    }
    Val::obj(members)
}

fn string(text: &str) -> Val {
    Val::utf8_str(Bytes::copy_from_slice(text.as_bytes()))
}

fn object<const N: usize>(members: [(&'static str, Val); N]) -> Val {
    let name = |name: &'static str| Val::utf8_str(Bytes::from_static(name.as_bytes()));
    Val::obj(members.into_iter().map(|(key, value)| (name(key), value)).collect())
}
