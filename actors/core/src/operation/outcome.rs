//! What the world is told about a run: the outcome document of the HTTP contract.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::failure::Failure;
use crate::json::Json;
use crate::name::{CorrelationId, EndpointName, IntegrationName, OperationName, RunId, StepName};
use crate::time::Wall;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Under way.
    Running,
    /// Its step succeeded.
    Succeeded,
    /// Its step failed, and no effect is in doubt.
    Failed,
    /// It could not be established whether the provider has acted.
    Unknown,
    /// The caller left before anything was sent that could have acted.
    Cancelled,
}

impl RunStatus {
    /// The word of the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Not started.
    Pending,
    /// Under way.
    Running,
    /// It has a result.
    Succeeded,
    /// It has none, and nothing is in doubt.
    Failed,
    /// Its effect could not be established.
    Unknown,
    /// It was not executed.
    Skipped,
}

/// Who gave a step's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServedBy {
    /// The endpoint that the step names.
    Primary,
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
    /// What went wrong.
    pub error: Option<Failure>,
    /// When the run began.
    pub created_at: Wall,
    /// When it ended.
    pub finished_at: Option<Wall>,
}

/// What the world is told about a step.
#[derive(Clone, Debug, Serialize)]
pub struct StepOutcome {
    /// Its name.
    pub name: StepName,
    /// Whom it called.
    pub integration: IntegrationName,
    /// Which endpoint.
    pub endpoint: EndpointName,
    /// Where it stands.
    pub status: StepStatus,
    /// How many attempts were made.
    pub attempts: u32,
    /// From its start to its end; `duration_ms` in the document.
    #[serde(rename = "duration_ms", serialize_with = "millis")]
    pub duration: Duration,
    /// Who gave the result.
    pub served_by: Option<ServedBy>,
    /// What went wrong.
    pub error: Option<Failure>,
}

fn millis<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).serialize(serializer)
}
