//! What an integration's actor is told, and what it answers.

use std::time::Duration;

use actix::Message;
use causeway_core::integration::{AttemptId, CallEnd, CallId};
use causeway_core::json::Json;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::attempt::Report;
use crate::plan::StepCall;

/// How a step ended.
#[derive(Debug)]
pub struct StepEnd {
    /// With what.
    pub end: CallEnd<Json>,
    /// How many attempts were made.
    pub attempts: u32,
}

/// What is answered to [`Execute`].
#[derive(Debug)]
pub enum StepReply {
    /// The step is over.
    Ended(StepEnd),
    /// The deadline has passed while a request is out that may act; the end follows.
    Pending(oneshot::Receiver<StepReply>),
}

/// Executes a step.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Execute {
    /// Names the call, unique within the process.
    pub id: CallId,
    /// The step.
    pub call: StepCall,
    /// The place in this integration that the call takes up.
    pub permit: OwnedSemaphorePermit,
    /// Where the answer goes.
    pub reply: oneshot::Sender<StepReply>,
}

/// The caller of a step has left.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Cancel(pub CallId);

/// Opens the breaker by hand.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Trip {
    /// Why; shown to operators and callers.
    pub reason: String,
    /// For how long; without it, until it is reset.
    pub lasting: Option<Duration>,
    /// Told when it has taken effect.
    pub done: oneshot::Sender<()>,
}

/// Puts the breaker back to automatic and closed, and ends a quarantine.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Reset {
    /// Why, for the log.
    pub reason: Option<String>,
    /// Told when it has taken effect.
    pub done: oneshot::Sender<()>,
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
