//! Where one step of a run stands.

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::json::Json;
use crate::name::RunId;
use crate::stale::StaleKey;
use crate::time::Mono;

use super::verifying::InDoubt;
use super::{ServedBy, StepStatus};

/// Where a step stands.
pub(super) struct Step {
    pub(super) status: StepStatus,
    /// What it waits for.
    pub(super) open: Option<Open>,
    /// Which provider serves it, or was asked last.
    pub(super) provider: usize,
    pub(super) served_by: Option<ServedBy>,
    pub(super) result: Option<Json>,
    pub(super) error: Option<Failure>,
    /// Of the calls to its providers that are over.
    pub(super) attempts: u32,
    /// Of the one that is open, as far as is known.
    pub(super) attempts_out: u32,
    /// Whether a request of it, or of its undo, may have reached a provider.
    pub(super) sent: bool,
    pub(super) began: Option<Mono>,
    pub(super) ended: Option<Mono>,
    /// What is known of it while it is in doubt and its provider can be asked.
    pub(super) doubt: Option<InDoubt>,
    /// The run that it was left to.
    pub(super) child: Option<RunId>,
    /// How often it was made again because it was found absent.
    pub(super) rounds: u8,
    /// The providers asked, and under what their results are kept; empty unless the step may be served stale.
    pub(super) keys: Vec<(usize, StaleKey)>,
    /// Whether it is asked about in an inquiry.
    pub(super) inquired: bool,
    /// Whether the provider could not be asked: its breaker or its limits did not allow it.
    pub(super) left_alone: bool,
}

/// What a step waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Open {
    /// The call of a provider.
    Serving,
    /// The same, past the deadline: its request may act and is out.
    Overdue,
    /// What is kept under the n-th of its keys.
    Recalling(usize),
    /// The call that takes it back.
    Undoing,
    /// The call that tells whether it has acted.
    Looking,
    /// Until such a call means something.
    Settling,
    /// Until it is left to a run of its own.
    Leaving,
}

impl Default for Step {
    fn default() -> Self {
        Self {
            status: StepStatus::Pending,
            open: None,
            provider: 0,
            served_by: None,
            result: None,
            error: None,
            attempts: 0,
            attempts_out: 0,
            sent: false,
            doubt: None,
            child: None,
            rounds: 0,
            began: None,
            ended: None,
            keys: Vec::new(),
            inquired: false,
            left_alone: false,
        }
    }
}

impl Step {
    /// Ends it, with what went wrong.
    pub(super) fn end(&mut self, now: Mono, status: StepStatus, error: Option<Failure>) {
        self.status = status;
        self.error = error;
        self.ended = Some(now);
    }

    /// Whether it will not change any more, but for being taken back.
    pub(super) const fn has_ended(&self) -> bool {
        !matches!(self.status, StepStatus::Pending | StepStatus::Running | StepStatus::Waiting)
    }
}
