//! The store, as the actors and the API ask it: intent-shaped calls, each one transaction.
//!
//! A call that has returned `Ok` is on disk. One that has returned [`Unavailable`] may be or not; asking the same again
//! is always right, and does nothing twice. What travels here is plain: whoever keeps it seals it.
//!
//! # The life of a run on disk
//!
//! It is *claimed* before anything is sent for it, in one insert with its idempotency key and with the *intents* of
//! the first requests that may act. Further intents, and what has become of earlier steps, are *recorded* as it goes
//! on; a request is sent only when its intent is on disk. At its end it is *finished* with its answer, or, where
//! nothing was ever sent, *forgotten*, and its key is free again.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use causeway_core::endpoint::Materialised;
use causeway_core::idempotency::Role;
use causeway_core::json::Json;
use causeway_core::name::{ClientName, CorrelationId, OperationName, RunId};
use causeway_core::operation::{RunStatus, Snapshot};
use causeway_core::priority::Priority;
use causeway_core::time::Wall;

use crate::plan::TraceContext;

/// The store did not do it; nobody may be told that it did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is not available: {0}")]
pub struct Unavailable(pub String);

/// A configuration, by the digest of its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigurationId(pub [u8; 32]);

/// What a caller's idempotency key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The digest of client, connection, operation and key: where the key holds.
    pub scope: [u8; 32],
    /// The digest of what was asked for.
    pub fingerprint: [u8; 32],
    /// How long it is kept from the run's end.
    pub retention: Duration,
}

/// A run that begins.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// Who asked for it.
    pub client: Option<ClientName>,
    /// What is to be done.
    pub operation: OperationName,
    /// In which version.
    pub version: u32,
    /// What links it to the event behind it.
    pub correlation_id: CorrelationId,
    /// The trace it belongs to.
    pub trace: TraceContext,
    /// How urgent it is.
    pub priority: Priority,
    /// When it was asked for.
    pub created_at: Wall,
    /// The key it was asked for with.
    pub claim: Option<Claim>,
    /// The configuration it begins with and goes by to its end.
    pub configuration: ConfigurationId,
    /// Its input.
    pub input: Json,
    /// How it stands, with the first intents.
    pub progress: Progress,
}

/// How a run stands.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Grows with each record of a run; an older one never replaces a newer.
    pub revision: u32,
    /// The run.
    pub snapshot: Snapshot,
    /// The requests that may act and may have been sent.
    pub intents: Vec<Intent>,
}

/// A request that is about to be sent, or was.
#[derive(Clone, Debug)]
pub struct Intent {
    /// For which step.
    pub step: usize,
    /// For which of its calls.
    pub role: Role,
    /// When it was first written down: it was not sent before.
    pub at: Wall,
    /// The request, byte for byte.
    pub request: Materialised,
}

/// What became of a claim.
#[derive(Clone, Debug)]
pub enum Claimed {
    /// The run is on disk.
    New,
    /// Its key belongs to another run.
    Known(Known),
}

/// The run that a key belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub id: RunId,
    /// The digest of what it was asked for.
    pub fingerprint: [u8; 32],
    /// Its answer, if it is over.
    pub answer: Option<StoredAnswer>,
}

/// What a run's caller was told at its end, and is told again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body: the outcome, or a problem that carries it.
    pub body: Bytes,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Which.
    pub id: RunId,
    /// Where it stands for good.
    pub status: RunStatus,
    /// When.
    pub at: Wall,
    /// What its caller is told.
    pub answer: StoredAnswer,
    /// What a person may have to go on from; `None` where nothing is left to be done.
    pub progress: Option<Progress>,
}

/// A run, as lists and look-ups show it.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// Its id.
    pub id: RunId,
    /// Who asked for it.
    pub client: Option<ClientName>,
    /// What was to be done.
    pub operation: OperationName,
    /// In which version.
    pub version: u32,
    /// What links it to the event behind it.
    pub correlation_id: CorrelationId,
    /// Where it stands.
    pub status: RunStatus,
    /// When it was asked for.
    pub created_at: Wall,
    /// When it ended.
    pub finished_at: Option<Wall>,
    /// Its answer, if it is over.
    pub answer: Option<StoredAnswer>,
}

/// Which runs are asked for; every condition must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of this client; the outer `None` for everybody's, the inner for those of no named client.
    pub client: Option<Option<ClientName>>,
    /// Of this operation.
    pub operation: Option<OperationName>,
    /// That stand so.
    pub status: Option<RunStatus>,
    /// With this correlation id.
    pub correlation_id: Option<CorrelationId>,
    /// Begun then or later.
    pub since: Option<Wall>,
    /// Older than this one: where a list goes on.
    pub before: Option<RunId>,
}

/// Keeps what must survive the process.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes a run down, and with it its key, unless the key is taken.
    async fn claim_run(&self, run: NewRun) -> Result<Claimed, Unavailable>;

    /// Writes down how a run stands, with the requests that it is about to send.
    async fn record(&self, id: RunId, progress: Progress) -> Result<(), Unavailable>;

    /// Ends a run.
    async fn finish_run(&self, ending: Ending) -> Result<(), Unavailable>;

    /// Takes back a run for which nothing was ever sent; its key is free again.
    async fn forget_run(&self, id: RunId) -> Result<(), Unavailable>;

    /// A run.
    async fn run(&self, id: RunId) -> Result<Option<RunRecord>, Unavailable>;

    /// Runs, newest first, at most `limit`.
    async fn runs(&self, filter: RunFilter, limit: usize) -> Result<Vec<RunRecord>, Unavailable>;

    /// The runs that have not ended, oldest first: what a server that starts goes on with.
    async fn unfinished_runs(&self) -> Result<Vec<RunId>, Unavailable>;

    /// A run that has not ended; `None` if it has meanwhile.
    async fn unfinished(&self, id: RunId) -> Result<Option<NewRun>, Unavailable>;

    /// Keeps the files of a configuration under their digest, for the runs that begin with it.
    async fn keep_configuration(&self, id: ConfigurationId, files: Bytes) -> Result<(), Unavailable>;

    /// The files of a configuration.
    async fn configuration(&self, id: ConfigurationId) -> Result<Option<Bytes>, Unavailable>;

    /// Deletes runs that ended before then, at most `limit` of them, and says how many it were.
    async fn forget_old_runs(&self, before: Wall, limit: usize) -> Result<usize, Unavailable>;

    /// Whether it can be written to now.
    async fn check(&self) -> Result<(), Unavailable>;
}
