//! What the provider does with one request, and what its client sees of it.
//!
//! In JSON a behaviour is an object tagged by `kind`; every one may also carry `delay_ms`, a wait before anything else:
//!
//! | `kind` | fields | what the client sees |
//! |---|---|---|
//! | `normal` | | the provider's own answer |
//! | `status` | `status` (200–599), `headers`, `body`, `act` | this answer instead of the provider's own |
//! | `delay` | `ms`, `jitter_ms` | the provider's own answer, after `ms` plus up to `jitter_ms` |
//! | `hang` | `act` | nothing: the connection is held until the client leaves (at most ten minutes) |
//! | `drop_before` | | the connection closes; nothing was done |
//! | `drop_after` | | the connection closes; the effect stands |
//! | `rate_limit` | `retry_after` (any text), `status` (429) | a refusal with this `Retry-After` |
//! | `truncate` | `after_bytes`, `act` | an answer whose body ends short of its `Content-Length` |
//! | `stall` | `after_bytes`, `act` | as much of the body, then nothing: the connection is held |
//! | `drip` | `bytes` (1), `every_ms` (100), `act` | the whole answer, so many bytes of its body at a time |
//! | `garbage` | | bytes that are no HTTP; nothing was done |
//!
//! `act` (default false) says whether the effect happens first. A `body` that is a JSON string is sent as it is, any
//! other value as JSON. An effect that happened keeps its idempotency key whatever the client saw, so a resend gets
//! the provider's own answer.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::mix;
use super::plan::PlanError;

/// The longest that a plan may keep a client waiting, and the longest that a client is waited for.
pub const MAX_WAIT: Duration = Duration::from_secs(600);

/// What is done with one request, after `delay_ms`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct Behaviour {
    /// The wait before anything else, in milliseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub delay_ms: u64,
    /// What follows it.
    #[serde(flatten)]
    pub action: Action,
}

/// The kinds of behaviour; the table above says what each looks like to a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// The provider's own answer.
    Normal {},
    /// A given answer.
    Status {
        /// From 200 to 599.
        status: u16,
        /// Added to the answer, in place of the sandbox's own where they meet.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
        /// A string is sent as it is, any other value as JSON; without one, an error document.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<Value>,
        /// Whether the effect happens first.
        #[serde(default)]
        act: bool,
    },
    /// The provider's own answer, late.
    Delay {
        /// At least this many milliseconds.
        ms: u64,
        /// Up to this many more, decided by the seed.
        #[serde(default)]
        jitter_ms: u64,
    },
    /// No answer; the connection stays open until the client leaves, at most [`MAX_WAIT`].
    Hang {
        /// Whether the effect happens first.
        #[serde(default)]
        act: bool,
    },
    /// The request is read and the connection closed.
    DropBefore {},
    /// The effect happens and the connection is closed.
    DropAfter {},
    /// A refusal that says when to come back.
    RateLimit {
        /// The header's value: seconds, an HTTP-date, or nonsense.
        retry_after: String,
        /// From 200 to 599.
        #[serde(default = "too_many_requests")]
        status: u16,
    },
    /// An answer whose body ends early.
    Truncate {
        /// How much of the body is sent.
        after_bytes: usize,
        /// Whether the effect happens first.
        #[serde(default)]
        act: bool,
    },
    /// An answer that stops in its body; the connection stays open until the client leaves, at most [`MAX_WAIT`].
    Stall {
        /// How much of the body is sent.
        after_bytes: usize,
        /// Whether the effect happens first.
        #[serde(default)]
        act: bool,
    },
    /// An answer whose body comes in small pieces.
    Drip {
        /// The size of a piece; at least 1.
        #[serde(default = "one")]
        bytes: usize,
        /// The wait before each piece, in milliseconds.
        #[serde(default = "a_tenth")]
        every_ms: u64,
        /// Whether the effect happens first.
        #[serde(default)]
        act: bool,
    },
    /// Bytes that are no HTTP.
    Garbage {},
}

impl Behaviour {
    /// The provider is well.
    pub const fn normal() -> Self {
        Self { delay_ms: 0, action: Action::Normal {} }
    }

    /// This status with an error document, and no effect.
    pub const fn status(status: u16) -> Self {
        let action = Action::Status { status, headers: BTreeMap::new(), body: None, act: false };
        Self { delay_ms: 0, action }
    }

    /// The same, after `wait`.
    #[must_use]
    pub fn delayed(self, wait: Duration) -> Self {
        Self { delay_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), ..self }
    }

    /// Whether the provider acts on the request before the client sees anything.
    pub(super) fn acts(&self) -> bool {
        match self.action {
            Action::Normal {} | Action::Delay { .. } | Action::DropAfter {} => true,
            Action::Status { act, .. }
            | Action::Hang { act }
            | Action::Truncate { act, .. }
            | Action::Stall { act, .. }
            | Action::Drip { act, .. } => act,
            Action::DropBefore {} | Action::RateLimit { .. } | Action::Garbage {} => false,
        }
    }

    /// How long arrival `number` waits, of which the jitter is decided by `seed`.
    pub(super) fn wait(&self, seed: u64, number: u64) -> Duration {
        let (least, spread) = self.wait_ms();
        let jitter = mix(seed.wrapping_add(number)) % spread.saturating_add(1);
        Duration::from_millis(least.saturating_add(jitter))
    }

    /// The shortest wait, and how much longer it may be.
    fn wait_ms(&self) -> (u64, u64) {
        if let Action::Delay { ms, jitter_ms } = self.action {
            (self.delay_ms.saturating_add(ms), jitter_ms)
        } else {
            (self.delay_ms, 0)
        }
    }

    /// Whether it can be followed at all.
    pub(super) fn check(&self) -> Result<(), PlanError> {
        match &self.action {
            Action::Status { status, headers, .. } => {
                check_status(*status)?;
                headers.iter().try_for_each(|(name, value)| check_header(name, value))?;
            }
            Action::RateLimit { retry_after, status } => {
                check_status(*status)?;
                check_header("retry-after", retry_after)?;
            }
            Action::Normal {}
            | Action::Delay { .. }
            | Action::Hang { .. }
            | Action::DropBefore {}
            | Action::DropAfter {}
            | Action::Truncate { .. }
            | Action::Stall { .. }
            | Action::Drip { .. }
            | Action::Garbage {} => {}
        }
        let (least, spread) = self.wait_ms();
        let longest = least.saturating_add(spread);
        if u128::from(longest) > MAX_WAIT.as_millis() { Err(PlanError::Wait(longest)) } else { Ok(()) }
    }
}

impl From<Action> for Behaviour {
    fn from(action: Action) -> Self {
        Self { delay_ms: 0, action }
    }
}

impl TryFrom<Map<String, Value>> for Behaviour {
    type Error = serde_json::Error;

    /// serde cannot both flatten and refuse unknown fields, so the common field is taken out by hand.
    fn try_from(mut fields: Map<String, Value>) -> Result<Self, Self::Error> {
        let delay_ms = fields.remove("delay_ms").map(serde_json::from_value).transpose()?.unwrap_or(0);
        Ok(Self { delay_ms, action: serde_json::from_value(Value::Object(fields))? })
    }
}

fn check_status(status: u16) -> Result<(), PlanError> {
    match StatusCode::from_u16(status) {
        Ok(_) if (200..600).contains(&status) => Ok(()),
        _ => Err(PlanError::Status(status)),
    }
}

fn check_header(name: &str, value: &str) -> Result<(), PlanError> {
    let bad = || PlanError::Header(name.to_owned());
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
    HeaderValue::from_str(value).map_err(|_| bad())?;
    // A length of the plan's own would contradict the body that is sent; `truncate` does that on purpose.
    if parsed == CONTENT_LENGTH || parsed == TRANSFER_ENCODING { Err(bad()) } else { Ok(()) }
}

fn too_many_requests() -> u16 {
    StatusCode::TOO_MANY_REQUESTS.as_u16()
}

const fn one() -> usize {
    1
}

const fn a_tenth() -> u64 {
    100
}

fn is_zero(millis: &u64) -> bool {
    *millis == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn behaviour(value: Value) -> Result<Behaviour, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn every_behaviour_reads_and_writes_its_documented_json() {
        let documented = [
            json!({ "kind": "normal" }),
            json!({ "kind": "status", "status": 503, "headers": { "a": "b" }, "body": { "c": 1 }, "act": true }),
            json!({ "kind": "delay", "ms": 10, "jitter_ms": 5 }),
            json!({ "kind": "hang", "act": true }),
            json!({ "kind": "drop_before" }),
            json!({ "delay_ms": 7, "kind": "drop_after" }),
            json!({ "kind": "rate_limit", "retry_after": "2", "status": 429 }),
            json!({ "kind": "truncate", "after_bytes": 3, "act": false }),
            json!({ "kind": "stall", "after_bytes": 3, "act": true }),
            json!({ "kind": "drip", "bytes": 2, "every_ms": 5, "act": false }),
            json!({ "kind": "garbage" }),
        ];
        for value in documented {
            let read = behaviour(value.clone()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), value);
        }
    }

    #[test]
    fn what_may_be_left_out_has_its_default() {
        let refused = behaviour(json!({ "kind": "rate_limit", "retry_after": "soon" })).unwrap();
        assert_eq!(refused.action, Action::RateLimit { retry_after: "soon".into(), status: 429 });
        assert_eq!(behaviour(json!({ "kind": "hang" })).unwrap().action, Action::Hang { act: false });
    }

    #[test]
    fn unknown_fields_and_kinds_are_named() {
        let field = behaviour(json!({ "kind": "hang", "for": 3 })).unwrap_err();
        assert!(field.contains("unknown field `for`"), "{field}");
        let unit = behaviour(json!({ "kind": "normal", "act": true })).unwrap_err();
        assert!(unit.contains("unknown field `act`"), "{unit}");
        let kind = behaviour(json!({ "kind": "sulk" })).unwrap_err();
        assert!(kind.contains("unknown variant `sulk`"), "{kind}");
    }

    #[test]
    fn jitter_stays_in_its_range_and_repeats_with_the_seed() {
        let late = Behaviour::from(Action::Delay { ms: 100, jitter_ms: 9 });
        let waits: Vec<_> = (0..200).map(|number| late.wait(1, number)).collect();
        assert!(waits.iter().all(|wait| (100..110).contains(&wait.as_millis())));
        assert!(waits.iter().any(|wait| *wait != waits[0]));
        assert_eq!(waits, (0..200).map(|number| late.wait(1, number)).collect::<Vec<_>>());
    }
}
