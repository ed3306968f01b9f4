//! What an integration's actor is told, and what it answers.

use std::sync::Arc;

use actix::Message;
use causeway_core::breaker::ModeChange;
use causeway_core::integration::{AttemptId, CallEnd, CallId};
use causeway_core::json::Json;
use causeway_core::limits::{Due, Record};
use causeway_core::operation::Tries;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::attempt::Report;
use crate::plan::{IntegrationPlan, LogPlan, StepCall};

/// How a step ended.
#[derive(Debug)]
pub struct StepEnd {
    /// With what.
    pub end: CallEnd<Json>,
    /// What it took.
    pub tries: Tries,
}

/// What is answered to [`Execute`].
#[derive(Debug)]
pub enum StepReply {
    /// The step is over.
    Ended(StepEnd),
    /// The deadline has passed while a request is out that may act; the end follows.
    Pending {
        /// How many attempts have been made.
        attempts: u32,
        /// Where the end comes.
        rest: oneshot::Receiver<StepReply>,
    },
}

/// Executes a step.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Execute {
    /// Names the call, unique within the process.
    pub id: CallId,
    /// The step.
    pub call: StepCall,
    /// The integration as the run began with it.
    pub plan: Arc<IntegrationPlan>,
    /// The place in this integration that the call takes up.
    pub permit: OwnedSemaphorePermit,
    /// Where the answer goes.
    pub reply: oneshot::Sender<StepReply>,
}

/// The caller of a step has left.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Cancel(pub CallId);

/// Sets the breaker's mode.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SetMode {
    /// Which, why, who says so, and for how long.
    pub change: ModeChange,
    /// Told when it has taken effect.
    pub done: oneshot::Sender<()>,
}

/// Puts the breaker back to automatic and closed, and ends a quarantine.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Reset {
    /// Why, for the log.
    pub reason: Option<String>,
    /// The operator, where it is known.
    pub by: Option<String>,
    /// Told when it has taken effect.
    pub done: oneshot::Sender<()>,
}

/// Goes on by another plan. Calls that are under way end with what they began with; breaker, budgets and queue are kept.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Reconfigure {
    pub(crate) plan: Arc<IntegrationPlan>,
    pub(crate) log: Arc<LogPlan>,
    /// Told when it has taken effect.
    pub(crate) done: oneshot::Sender<()>,
}

/// An attempt has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AttemptFinished {
    pub(crate) attempt: AttemptId,
    pub(crate) report: Report,
}

/// The deadline of an attempt's run has passed while its request, which may act, is out.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AttemptOverdue(pub(crate) AttemptId);

/// What was to be told to the disk of the limits is on it, or is not.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct LimitsWritten {
    pub(crate) due: Vec<Due>,
    pub(crate) ok: bool,
}

/// The process ends: what is the next one to know of the limits?
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Settle {
    pub(crate) done: oneshot::Sender<Vec<Record>>,
}

/// Sets the actor's timer, and tells whether it is alive.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Wake;

/// Panics where a fault of the core would: for tests of the restart.
#[cfg(feature = "testing")]
#[derive(Message)]
#[rtype(result = "()")]
pub struct PanicNow;

/// Panics where nothing catches it, and the address closes for good: for tests of what comes after.
#[cfg(feature = "testing")]
#[derive(Message)]
#[rtype(result = "()")]
pub struct DieNow;
