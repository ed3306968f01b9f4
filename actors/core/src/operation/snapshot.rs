//! A run, as it is written down: enough to go on from in another process.
//!
//! Time is not part of it. What was waited for is waited for anew, and how long ago a request was sent is told by
//! whoever has written that down ([`Resumed`](super::Resumed)).

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Open, Plan, Run, ServedBy, StepStatus, Stop};
use crate::failure::Failure;
use crate::json::Json;

/// A run between two of its steps' events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub(super) steps: Vec<StepSnapshot>,
    pub(super) succeeded: Vec<usize>,
    pub(super) stuck: Vec<usize>,
    pub(super) stop: Option<Stop>,
}

/// One of its steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StepSnapshot {
    pub(super) status: StepStatus,
    pub(super) open: Option<Open>,
    pub(super) provider: usize,
    pub(super) served_by: Option<ServedBy>,
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub(super) result: Option<Json>,
    pub(super) error: Option<Failure>,
    pub(super) attempts: u32,
    pub(super) sent: bool,
    /// What put it in doubt, while its provider is asked.
    #[serde(default)]
    pub(super) doubt: Option<Failure>,
    #[serde(default)]
    pub(super) rounds: u8,
    /// The run that it was left to.
    #[serde(default)]
    pub(super) child: Option<String>,
}

impl Snapshot {
    /// Whether it may be of a run that does this.
    pub fn fits(&self, plan: &Plan) -> bool {
        self.steps.len() == plan.steps.as_slice().len()
    }
}

impl Run {
    /// The run as it stands.
    pub fn snapshot(&self) -> Snapshot {
        let step = |state: &super::Step| StepSnapshot {
            status: state.status,
            open: state.open,
            provider: state.provider,
            served_by: state.served_by,
            result: state.result.clone(),
            error: state.error.clone(),
            attempts: state.attempts.saturating_add(state.attempts_out),
            sent: state.sent,
            doubt: state.doubt.as_ref().and_then(|doubt| doubt.failure.clone()),
            rounds: state.rounds,
            child: state.child.as_ref().map(ToString::to_string),
        };
        Snapshot {
            steps: self.steps.iter().map(step).collect(),
            succeeded: self.succeeded.to_vec(),
            stuck: self.stuck.iter().collect(),
            stop: self.stop,
        }
    }
}

impl Snapshot {
    /// The steps that have succeeded.
    pub(super) fn that_succeeded(&self) -> Vec<usize> {
        let steps = self.steps.iter().enumerate();
        steps.filter(|(_, step)| step.status == StepStatus::Succeeded).map(|(place, _)| place).collect()
    }
}

impl StepSnapshot {
    /// Who serves it, where the provider that was asked last does.
    pub(super) const fn primary_or_alternate(&self) -> ServedBy {
        if self.provider == 0 { ServedBy::Primary } else { ServedBy::Alternate }
    }
}

/// JSON as the text it is: the formats that snapshots are written in do not know it.
fn as_text<S: Serializer>(json: &Option<Json>, serializer: S) -> Result<S::Ok, S::Error> {
    json.as_ref().map(Json::as_str).serialize(serializer)
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    Json::parse(Bytes::from(text)).map(Some).map_err(serde::de::Error::custom)
}
