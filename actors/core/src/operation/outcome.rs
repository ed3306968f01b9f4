//! What the world is told about a run: the outcome document of the HTTP contract.

use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::failure::{ErrorClass, Failure};
use crate::json::Json;
use crate::name::{CorrelationId, EndpointName, IntegrationName, OperationName, RunId, StepName};
use crate::time::{Mono, Wall};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// On disk, and not begun.
    Accepted,
    /// Under way.
    Running,
    /// Under way, and waiting for a retry.
    Waiting,
    /// Every step succeeded.
    Succeeded,
    /// Every required step succeeded, and an optional one did not.
    Partial,
    /// A required step failed, and no effect is in doubt.
    Failed,
    /// It could not be established whether a provider has acted, or what was done could not be taken back.
    Unknown,
    /// It was stopped before it was done; what could be taken back was.
    Cancelled,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Accepted,
        Self::Running,
        Self::Waiting,
        Self::Succeeded,
        Self::Partial,
        Self::Failed,
        Self::Unknown,
        Self::Cancelled,
    ];

    /// The word of the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether the run is over.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Accepted | Self::Running | Self::Waiting)
    }
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Not started.
    Pending,
    /// Under way.
    Running,
    /// To be tried again later, of a run that is put off.
    Waiting,
    /// Left to a run of its own, in the background.
    Accepted,
    /// It has a result.
    Succeeded,
    /// It has none, and nothing is in doubt.
    Failed,
    /// Its effect could not be established.
    Unknown,
    /// It was not executed, or stopped before it could act.
    Skipped,
    /// It succeeded and was taken back.
    Undone,
}

impl StepStatus {
    /// The word of the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Accepted => "accepted",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
            Self::Undone => "undone",
        }
    }
}

/// Who gave a step's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServedBy {
    /// The endpoint that the step names.
    Primary,
    /// Another integration's endpoint in its place.
    Alternate,
    /// An earlier run: it is the last good result.
    Stale,
    /// The configuration.
    Value,
}

impl ServedBy {
    /// The word of the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Alternate => "alternate",
            Self::Stale => "stale",
            Self::Value => "value",
        }
    }
}

/// What the world is told about a run: while it is under way, and at its end.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The run's id.
    pub id: RunId,
    /// The operation.
    pub operation: OperationName,
    /// Its version.
    pub version: u32,
    /// What links the run to the event behind it.
    pub correlation_id: CorrelationId,
    /// Where the run stands.
    pub status: RunStatus,
    /// Whether a substitute served a step.
    pub degraded: bool,
    /// The result, `null` without one.
    pub result: Json,
    /// Its steps.
    pub steps: Vec<StepOutcome>,
    /// What went wrong: of the required step that failed, or of what is in doubt.
    pub error: Option<Failure>,
    /// When the run began.
    pub created_at: Wall,
    /// When it ended.
    pub finished_at: Option<Wall>,
    /// Whether a request of it may have reached a provider.
    #[serde(skip)]
    pub sent: bool,
}

/// What the world is told about a step.
#[derive(Clone, Debug, Serialize)]
pub struct StepOutcome {
    /// Its name.
    pub name: StepName,
    /// Who served it, or was asked last.
    pub integration: IntegrationName,
    /// Which endpoint.
    pub endpoint: EndpointName,
    /// Whether that endpoint may act.
    #[serde(skip)]
    pub may_act: bool,
    /// Where it stands.
    pub status: StepStatus,
    /// How many attempts were made, over all providers; those of its undo are not counted.
    pub attempts: u32,
    /// From its start to its end; `duration_ms` in the document.
    #[serde(rename = "duration_ms", serialize_with = "millis")]
    pub duration: Duration,
    /// When it was started; `None` if it was not.
    #[serde(skip)]
    pub began: Option<Mono>,
    /// Who gave the result.
    pub served_by: Option<ServedBy>,
    /// What went wrong, or why it was skipped or not taken back.
    pub error: Option<Failure>,
    /// The run that it was left to, of a step in the background.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

impl StepOutcome {
    /// Whether it was done, though nobody could read the answer.
    fn is_done_unread(&self) -> bool {
        let class = self.error.as_ref().map(|error| error.class);
        self.status == StepStatus::Failed && class == Some(ErrorClass::InvalidResponse)
    }
}

impl Outcome {
    /// Whether something was done that has not been taken back: the same request once more would do it again.
    pub fn has_lasting_effects(&self) -> bool {
        self.steps
            .iter()
            .any(|step| step.may_act && (step.status == StepStatus::Succeeded || step.is_done_unread()))
    }

    /// Whether an attempt was made.
    pub fn was_attempted(&self) -> bool {
        self.steps.iter().any(|step| step.attempts > 0)
    }
}

fn millis<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).serialize(serializer)
}
