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
use causeway_core::limits::{Life, Record};
use causeway_core::name::{ClientName, CorrelationId, IntegrationName, OperationName, RunId};
use causeway_core::operation::{Part, Run, RunStatus, Snapshot};
use causeway_core::priority::Priority;
use causeway_core::time::Wall;

use crate::plan::TraceContext;
use crate::record::AttemptRecord;

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
    /// What of the operation it is alone about: of a run in the background, and of a call that is made anew.
    pub part: Option<Part>,
    /// Where it waits to be executed; `None` for one whose caller waits.
    pub queue: Option<Queue>,
}

/// Where a run waits to be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The integration whose turn it is.
    pub integration: IntegrationName,
    /// Not before then.
    pub not_before: Wall,
}

/// What a run is executed under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    /// Grows with each lease: who holds an older one has lost the run. 0 for runs that are not queued.
    pub fence: u32,
    /// Tries so far that counted.
    pub tries: u32,
    /// When it was tried first.
    pub first_try: Option<Wall>,
    /// Whether its caller was told where to look, and did not wait.
    pub is_async: bool,
    /// Whether a person has said that it has failed.
    pub is_resolved: bool,
}

/// A run that is leased.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The run, as it stands.
    pub run: NewRun,
    /// What it is executed under.
    pub ticket: Ticket,
    /// Somebody wants it cancelled.
    pub cancelled: bool,
}

/// A run that is put off.
#[derive(Clone, Debug)]
pub struct Parked {
    /// Which.
    pub id: RunId,
    /// What it was executed under; its tries are those that counted so far.
    pub ticket: Ticket,
    /// Where it waits, and until when.
    pub queue: Queue,
    /// How it stands.
    pub progress: Progress,
}

/// What waits at an integration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueDepth {
    /// The integration.
    pub integration: IntegrationName,
    /// Runs that could be executed now.
    pub pending: u64,
    /// Runs that wait for their time.
    pub delayed: u64,
    /// Runs that are executed.
    pub leased: u64,
    /// When the oldest of those that could be executed might have begun.
    pub oldest: Option<Wall>,
}

impl QueueDepth {
    /// All of them.
    pub const fn all(&self) -> u64 {
        self.pending.saturating_add(self.delayed).saturating_add(self.leased)
    }
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
    /// The runs in the background that it has begun meanwhile; they are written down with it.
    pub children: Vec<NewRun>,
}

impl Progress {
    /// Of a run that has just begun.
    pub fn of(run: &Run) -> Self {
        Self { revision: 0, snapshot: run.snapshot(), intents: Vec::new(), children: Vec::new() }
    }

    /// The run is leased with this fence: what an older lease allowed to be sent may have been.
    pub fn leased(&mut self, fence: u32) {
        for intent in &mut self.intents {
            intent.in_doubt |= intent.lease.is_some_and(|lease| lease < fence);
        }
    }

    /// What is written down from now on tells what may have been sent, and no lease does.
    pub fn without_leases(mut self) -> Self {
        self.intents.iter_mut().for_each(|intent| intent.lease = None);
        self
    }
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
    /// Whether it may have acted: so from when it is about to be sent until its end is known.
    pub in_doubt: bool,
    /// The lease that tells by itself that it may have been sent: whoever holds that one sends it without writing anything
    /// down before. `None`: none does.
    pub lease: Option<u32>,
    /// Whether its body is the run's input, which is kept already.
    pub repeats_input: bool,
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
    /// The runs in the background that it has begun at last.
    pub children: Vec<NewRun>,
    /// What it was executed under.
    pub fence: u32,
    /// What a person has to look at, if one has to.
    pub death: Option<Death>,
    /// When providers are asked what became of it, of a run in doubt about which they can be.
    pub inquire_at: Option<Wall>,
}

/// Why a person has to look at a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// Whose call has failed or is in doubt.
    pub integration: String,
    /// Of which operation.
    pub operation: String,
    /// Which step, where it is one.
    pub step: Option<String>,
    /// The error's class.
    pub class: String,
    /// The error's code.
    pub code: String,
}

/// A run that a person has to look at.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Why.
    pub death: Death,
    /// Since when.
    pub died_at: Wall,
    /// The run.
    pub run: RunRecord,
}

/// A dead letter about which providers are to be asked now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueInquiry {
    /// Its run.
    pub run: RunId,
    /// When the run ended.
    pub died_at: Wall,
    /// Whether its caller was told where to look, and did not wait.
    pub is_async: bool,
}

/// Dead letters of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadGroup {
    /// Whose call has failed or is in doubt.
    pub integration: String,
    /// Of which operation.
    pub operation: String,
    /// The error's class.
    pub class: String,
    /// The error's code.
    pub code: String,
    /// How many there are.
    pub count: u64,
    /// When the first of them died.
    pub first: Wall,
    /// When the last of them died.
    pub last: Wall,
}

/// Which dead letters are asked for; every condition must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadFilter {
    /// This one.
    pub run: Option<RunId>,
    /// Of this integration.
    pub integration: Option<String>,
    /// Of this operation.
    pub operation: Option<String>,
    /// With this error.
    pub code: Option<String>,
    /// Older than this one: where a list goes on.
    pub before: Option<RunId>,
}

/// A run that is taken up again.
#[derive(Clone, Debug)]
pub struct Reopened {
    /// Which.
    pub id: RunId,
    /// Whether a person has said that it has failed: it is no dead letter for that again.
    pub is_resolved: bool,
    /// How urgent it is.
    pub priority: Priority,
    /// Where it waits.
    pub queue: Queue,
    /// How it stands.
    pub progress: Progress,
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
    /// Whether it was under way when a server's life ended, and another life goes on with it; known from the store's
    /// opening on.
    pub recovered: bool,
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
    /// Only those that another life went on with than began them.
    pub recovered: bool,
    /// Older than this one: where a list goes on.
    pub before: Option<RunId>,
}

/// What an operator does.
#[derive(Clone, Debug)]
pub struct Deed {
    /// When.
    pub at: Wall,
    /// Who, where operators are known by name.
    pub operator: Option<String>,
    /// What, in a word.
    pub action: &'static str,
    /// To what.
    pub subject: String,
    /// Why.
    pub reason: Option<String>,
    /// What holds from then on.
    pub control: Option<Control>,
}

/// Something that holds until an operator says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// What it is about.
    pub key: String,
    /// What holds; `None`: nothing any more.
    pub value: Option<String>,
}

/// What an operator has done.
#[derive(Clone, Debug)]
pub struct Audited {
    /// Grows with each.
    pub id: i64,
    /// When.
    pub at: Wall,
    /// Who, where operators are known by name.
    pub operator: Option<String>,
    /// What, in a word.
    pub action: String,
    /// To what.
    pub subject: String,
    /// Why.
    pub reason: Option<String>,
}

/// An attempt that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Its id; ids are in the order of their time.
    pub id: String,
    /// When it began.
    pub at: Wall,
    /// What became of it, sanitised.
    pub record: AttemptRecord,
    /// The input of its call, as it was; `None` for one that was too large to be kept. Of those that repeat their run's it is
    /// there only where one attempt is asked for by its id, and its run is still kept.
    pub input: Option<Json>,
    /// Whether its input is its run's, and is kept there.
    pub repeats_input: bool,
}

/// Which attempts are asked for; every condition must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptFilter {
    /// This one.
    pub id: Option<String>,
    /// Of this run.
    pub run: Option<RunId>,
    /// Of this integration.
    pub integration: Option<String>,
    /// Of this endpoint.
    pub endpoint: Option<String>,
    /// With this outcome: `success`, or an error's class.
    pub outcome: Option<String>,
    /// With a status in this range; 0 stands for none.
    pub status: Option<(u16, u16)>,
    /// With this correlation id.
    pub correlation_id: Option<String>,
    /// Begun then or later.
    pub since: Option<Wall>,
    /// Older than this one: where a list goes on.
    pub before: Option<String>,
}

/// Keeps what must survive the process.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes a run down, and with it its key, unless the key is taken. One that was refused is not there, or is taken
    /// back as soon as that is possible, unless it has been leased.
    async fn claim_run(&self, run: NewRun) -> Result<Claimed, Unavailable>;

    /// The run that a key belongs to at this time, by the key's scope.
    async fn known(&self, scope: [u8; 32], at: Wall) -> Result<Option<Known>, Unavailable>;

    /// Writes down how a run stands, with the requests that it is about to send. `false`: somebody else has it.
    async fn record(&self, id: RunId, fence: u32, progress: Progress) -> Result<bool, Unavailable>;

    /// Ends a run. `false`: somebody else has it.
    async fn finish_run(&self, ending: Ending) -> Result<bool, Unavailable>;

    /// Takes back a run for which nothing was ever sent; its key is free again.
    async fn forget_run(&self, id: RunId) -> Result<(), Unavailable>;

    /// A run.
    async fn run(&self, id: RunId) -> Result<Option<RunRecord>, Unavailable>;

    /// Runs, newest first, at most `limit`.
    async fn runs(&self, filter: RunFilter, limit: usize) -> Result<Vec<RunRecord>, Unavailable>;

    /// Leases queued runs of an integration that are due, at most `limit`: those of higher priority first, and of each
    /// priority by turns of their clients.
    async fn lease(
        &self,
        integration: IntegrationName,
        until: Wall,
        limit: usize,
    ) -> Result<Vec<Leased>, Unavailable>;

    /// Whether it has done what it was last asked to write.
    fn works(&self) -> bool;

    /// Leases queued runs of an integration that have been cancelled and not been looked at since, at most `limit`.
    async fn lease_cancelled(
        &self,
        integration: IntegrationName,
        until: Wall,
        limit: usize,
    ) -> Result<Vec<Leased>, Unavailable>;

    /// Keeps leased runs until then; those that somebody else has.
    async fn heartbeat(&self, runs: Vec<(RunId, u32)>, until: Wall) -> Result<Vec<RunId>, Unavailable>;

    /// Puts a leased run off. `false`: somebody else has it.
    async fn park(&self, parked: Parked) -> Result<bool, Unavailable>;

    /// Has a queued run cancelled as soon as it is leased, for which it is due. `false`: it is not waiting.
    async fn cancel_run(&self, id: RunId) -> Result<bool, Unavailable>;

    /// Dead letters, newest first, at most `limit`.
    async fn dead_letters(&self, filter: DeadFilter, limit: usize) -> Result<Vec<DeadLetter>, Unavailable>;

    /// How many dead letters there are of each kind, the most first.
    async fn dead_groups(&self) -> Result<Vec<DeadGroup>, Unavailable>;

    /// The run of a dead letter, with all that is needed to take it up again.
    async fn dead_run(&self, id: RunId) -> Result<Option<NewRun>, Unavailable>;

    /// Takes the run of a dead letter up again. `false`: it is none any more, or has changed since it was read.
    async fn reopen(&self, reopened: Reopened) -> Result<bool, Unavailable>;

    /// Dead letters about which providers are to be asked by then, at most `limit`, those that have waited longest first.
    async fn due_inquiries(&self, by: Wall, limit: usize) -> Result<Vec<DueInquiry>, Unavailable>;

    /// Has providers asked about a dead letter at that time, or not any more.
    async fn inquire_at(&self, run: RunId, at: Option<Wall>) -> Result<(), Unavailable>;

    /// Lets a dead letter go; its run stays as it is. `false`: there is none.
    async fn forget_dead_letter(&self, id: RunId) -> Result<bool, Unavailable>;

    /// Lets dead letters go that died before then, at most `limit`, and says how many it were.
    async fn forget_old_dead_letters(&self, before: Wall, limit: usize) -> Result<usize, Unavailable>;

    /// Writes down who does what, and with it what holds from then on.
    async fn audit(&self, deed: Deed) -> Result<(), Unavailable>;

    /// Writes down what holds from now on, without anybody's word for it.
    async fn keep(&self, control: Control) -> Result<(), Unavailable>;

    /// Everything that operators have said and that holds.
    async fn controls(&self) -> Result<Vec<(String, String)>, Unavailable>;

    /// Who has done what, newest first, at most `limit` before that one.
    async fn trail(&self, before: Option<i64>, limit: usize) -> Result<Vec<Audited>, Unavailable>;

    /// Lets go of what was done before then, at most `limit`, and says how many it were.
    async fn forget_old_deeds(&self, before: Wall, limit: usize) -> Result<usize, Unavailable>;

    /// Writes down what of limits outlives the process, all or none, and when it was seen alive. A record takes the place of
    /// the one before it of the same subject; one that tells nothing is let go of. Who writes down two of one subject waits for the first before it asks for the
    /// second.
    async fn keep_limits(&self, records: Vec<Record>, life: Life) -> Result<(), Unavailable>;

    /// What was written down of limits, and when a process was last seen alive that used them, if one ever did.
    async fn limits(&self) -> Result<(Vec<Record>, Option<Life>), Unavailable>;

    /// Lets go of records of limits that told nothing any more before then, at most `limit`, and says how many it were.
    async fn forget_old_limits(&self, before: Wall, limit: usize) -> Result<usize, Unavailable>;

    /// Writes attempts down, all or none. They are no promise: who cannot wait may let them go.
    async fn append_attempts(&self, attempts: Vec<Attempt>) -> Result<(), Unavailable>;

    /// Attempts, newest first, at most `limit`.
    async fn attempts(&self, filter: AttemptFilter, limit: usize) -> Result<Vec<Attempt>, Unavailable>;

    /// Lets go of attempts that began before then, at most `limit`, and says how many it were.
    async fn forget_old_attempts(&self, before: Wall, limit: usize) -> Result<usize, Unavailable>;

    /// Takes back all leases that have run out by then.
    async fn release(&self, by: Wall) -> Result<usize, Unavailable>;

    /// Returns when somebody else than this server may have put something in the queue, or brought it forward; never, where
    /// nobody else does. Everything is looked at from time to time all the same.
    async fn woken(&self) {
        std::future::pending().await
    }

    /// What waits at the integrations.
    async fn queues(&self) -> Result<Vec<QueueDepth>, Unavailable>;

    /// The runs that have not ended and are not queued, oldest first: what a server that starts goes on with.
    async fn unfinished_runs(&self) -> Result<Vec<RunId>, Unavailable>;

    /// A run that has not ended; `None` if it has meanwhile.
    async fn unfinished(&self, id: RunId) -> Result<Option<NewRun>, Unavailable>;

    /// Keeps the files of a configuration under their digest, for the runs that begin with it.
    async fn keep_configuration(&self, id: ConfigurationId, files: Bytes) -> Result<(), Unavailable>;

    /// The files of a configuration.
    async fn configuration(&self, id: ConfigurationId) -> Result<Option<Bytes>, Unavailable>;

    /// Lets go of configurations that were kept last before then, at most `limit`, and says how many it were: of those that are
    /// none of `current`, and with which no run began that has not ended, nor a dead letter.
    async fn forget_old_configurations(
        &self,
        current: Vec<ConfigurationId>,
        before: Wall,
        limit: usize,
    ) -> Result<usize, Unavailable>;

    /// Deletes runs that ended before then, at most `limit` of them, and says how many it were. One whose key is still kept stays.
    async fn forget_old_runs(&self, before: Wall, limit: usize) -> Result<usize, Unavailable>;

    /// Whether it can be written to now.
    async fn check(&self) -> Result<(), Unavailable>;
}
