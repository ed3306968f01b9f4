//! What a router is told, and what it answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use causeway_core::integration::CallId;
use causeway_core::json::Json;
use causeway_core::name::{ClientName, CorrelationId, IntegrationName, RunId};
use causeway_core::operation::{Finding, Outcome, Plan};
use causeway_core::priority::Priority;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::directory::Directory;
use crate::integration::StepEnd;
use crate::plan::{LeasedUntil, TraceContext};
use crate::store::{Claim, ConfigurationId, Known, NewRun, Ticket, Unavailable};

/// Runs an operation.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Dispatch {
    /// The run's id.
    pub id: RunId,
    /// What links it to the event behind it.
    pub correlation_id: CorrelationId,
    /// The trace it belongs to.
    pub trace: TraceContext,
    /// What to do.
    pub plan: Arc<Plan>,
    /// Where its integrations are reached, and by which plans, to its end.
    pub directory: Arc<Directory>,
    /// With what.
    pub input: Json,
    /// The caller's own deadline, from now.
    pub budget: Option<Duration>,
    /// How long the caller wants to wait for its answer; the run can then be looked up whatever it does.
    pub wait: Option<Duration>,
    /// How urgent it is, where the caller says so; otherwise as its plan says.
    pub priority: Option<Priority>,
    /// The places that it takes up, until it is over.
    pub permit: RunPermit,
    /// Who asked for it, where callers are known by name: it is nobody else's.
    pub client: Option<ClientName>,
    /// Whether it is written down, and how; `None` for what is answered and forgotten.
    pub keeping: Option<Keeping>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Reply>,
}

/// How a run is written down.
#[derive(Debug)]
pub struct Keeping {
    /// The key it was asked for with.
    pub claim: Option<Claim>,
    /// The configuration it begins with.
    pub configuration: ConfigurationId,
    /// Whether it stays at its end.
    pub stays: Stays,
}

/// Whether a run stays when it is over. One whose caller was told that it goes on stays in any case, and so does one that
/// is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// Whatever came of it.
    Always,
    /// If anything was sent for it.
    IfSent,
    /// Only then.
    IfPromised,
}

/// Goes on with a run of a former life; whether that is possible.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct Resume {
    /// The run as it was written down.
    pub run: Box<NewRun>,
    /// What to do: the plan it began with.
    pub plan: Arc<Plan>,
    /// Where its integrations are reached, and by which plans.
    pub directory: Arc<Directory>,
    /// The place that it takes up, until it is over.
    pub permit: RunPermit,
    /// What it is executed under, of a queued run.
    pub lease: Option<Lease>,
}

/// Asks providers what became of a run that ended in doubt. The run stays as it is.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Inquire {
    /// The run as it was written down at its end.
    pub run: Box<NewRun>,
    /// What it did: the plan it began with.
    pub plan: Arc<Plan>,
    /// Where its integrations are reached, and by which plans.
    pub directory: Arc<Directory>,
    /// How long ago it ended.
    pub ended_ago: Duration,
    /// What was found out; dropped where nobody can be asked, or the run is under way again.
    pub reply: oneshot::Sender<Finding>,
}

/// What a queued run is executed under.
#[derive(Debug)]
pub struct Lease {
    /// The ticket.
    pub ticket: Ticket,
    /// Somebody wants it cancelled.
    pub cancelled: bool,
    /// Until when it is leased.
    pub until: LeasedUntil,
    /// Its place among the runs that are executed at once; dropped when all that is left is to write its end down.
    pub slot: Option<Slot>,
    /// Told when the run is over or put off; dropped when it is lost.
    pub done: oneshot::Sender<LeaseEnd>,
}

/// A place that is free again when this is dropped.
pub struct Slot(Box<dyn Send>);

impl Slot {
    /// One that `guard` keeps.
    pub fn new(guard: impl Send + 'static) -> Self {
        Self(Box::new(guard))
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&size_of_val(&*self.0)).finish()
    }
}

/// What a lease came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseEnd {
    /// The run is over.
    Over,
    /// It waits for another lease, at this integration.
    PutOff(IntegrationName),
    /// Somebody else has it.
    Lost,
}

/// What a caller is answered.
pub type Reply = Result<Answer, NotRun>;

/// Why there is no run to be answered with.
#[derive(Debug)]
pub enum NotRun {
    /// Its key belongs to another run.
    Known(Known),
    /// It could not be written down. Nothing was sent for it, unless it says that it has ended.
    Unavailable {
        /// What the store says.
        error: Unavailable,
        /// The run has ended, and only its end could not be written down yet.
        ended: bool,
    },
    /// It was not written down before its time was up; nothing was sent for it.
    Late,
}

/// The places that a run takes up, until it is over.
#[derive(Debug)]
pub struct RunPermit {
    _of_server: Option<OwnedSemaphorePermit>,
    _of_client: Option<OwnedSemaphorePermit>,
}

impl RunPermit {
    /// A place among all runs, and one among its client's, where these are bounded.
    pub const fn new(of_server: OwnedSemaphorePermit, of_client: Option<OwnedSemaphorePermit>) -> Self {
        Self { _of_server: Some(of_server), _of_client: of_client }
    }

    /// None: a queued run takes up a slot of its integration instead.
    pub const fn of_queue() -> Self {
        Self { _of_server: None, _of_client: None }
    }
}

/// What a caller is told.
#[derive(Debug)]
pub struct Answer {
    /// The run as it stands.
    pub outcome: Outcome,
    /// Why it is told now.
    pub standing: Standing,
}

impl Answer {
    /// Whether the deadline has passed and the outcome is still to come.
    pub fn is_pending(&self) -> bool {
        self.standing == Standing::Pending
    }
}

/// Why a caller is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The run is over.
    Over,
    /// The deadline has passed, and the run goes on.
    Pending,
    /// The caller does not want to wait any longer, and the run goes on.
    Accepted,
}

/// The caller of a run has left, or somebody wants it cancelled.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Abandon(pub RunId);

/// Something has become of a call.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct StepNews {
    pub(super) run: RunId,
    pub(super) call: CallId,
    pub(super) news: News,
}

pub(super) enum News {
    Ended(StepEnd),
    /// The deadline has passed while its request, which may act, is out: so many attempts were made.
    Overdue(u32),
    /// The integration's actor went away without a word.
    Lost,
}
