//! Rows as they are on disk, whichever store it is: what travels is sealed, the rest is plain.
//!
//! What is written is sealed before the store gets it, and what is read is opened after: neither happens on the thread
//! that writes.

use bytes::Bytes;
use causeway_actors::AttemptRecord;
use causeway_actors::plan::TraceContext;
use causeway_actors::store::{
    Attempt, ConfigurationId, DeadLetter, Death, Ending, Known, Leased, NewRun, Parked, Progress, Queue,
    QueueDepth, Reopened, RunRecord, StoredAnswer, Ticket, Unavailable,
};
use causeway_core::json::Json;
use causeway_core::name::{ClientName, CorrelationId, IntegrationName, OperationName, RunId};
use causeway_core::operation::{Part, RunStatus};
use causeway_core::priority::Priority;
use causeway_core::time::Wall;

use super::payload;
use super::sealing::Keyring;

/// A run's row, sealed.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) client: Option<String>,
    pub(super) operation: String,
    pub(super) version: u32,
    pub(super) correlation_id: String,
    pub(super) trace: String,
    pub(super) priority: &'static str,
    pub(super) created_at: i64,
    pub(super) claim: Option<RowClaim>,
    pub(super) configuration: ConfigurationId,
    pub(super) revision: u32,
    pub(super) input: Vec<u8>,
    pub(super) state: Vec<u8>,
    pub(super) part: Option<i64>,
    pub(super) queue: Option<RowQueue>,
    pub(super) children: Vec<Self>,
}

pub(super) struct RowQueue {
    pub(super) integration: String,
    pub(super) rank: i64,
    pub(super) lane: String,
    pub(super) not_before: i64,
}

pub(super) struct RowClaim {
    pub(super) scope: [u8; 32],
    pub(super) fingerprint: [u8; 32],
    pub(super) retention: i64,
}

impl Row {
    pub(super) fn seal(run: &NewRun, keyring: &Keyring) -> Self {
        Self {
            id: run.id.as_str().to_owned(),
            client: run.client.as_ref().map(ToString::to_string),
            operation: run.operation.to_string(),
            version: run.version,
            correlation_id: run.correlation_id.to_string(),
            trace: run.trace.stored(),
            priority: run.priority.as_str(),
            created_at: millis(run.created_at),
            claim: run.claim.map(|claim| RowClaim {
                scope: claim.scope,
                fingerprint: claim.fingerprint,
                retention: i64::try_from(claim.retention.as_millis()).unwrap_or(i64::MAX),
            }),
            configuration: run.configuration,
            revision: run.progress.revision,
            input: keyring.seal(&input_of(run.id.as_str()), run.input.bytes()),
            state: seal_state(&run.id, &run.progress, keyring),
            part: run.part.map(|part| i64::from(part.number())),
            queue: run.queue.as_ref().map(|queue| RowQueue {
                integration: queue.integration.to_string(),
                rank: rank(run.priority),
                lane: run.client.as_ref().map_or_else(|| NOBODY.to_owned(), ToString::to_string),
                not_before: millis(queue.not_before),
            }),
            children: run.progress.children.iter().map(|child| Self::seal(child, keyring)).collect(),
        }
    }
}

/// The lane of runs of no named client: no name begins so.
const NOBODY: &str = "-";

pub(super) const fn rank(priority: Priority) -> i64 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

fn input_of(id: &str) -> String {
    format!("runs.input/{id}")
}

fn state_of(id: &str) -> String {
    format!("runs.state/{id}")
}

fn answer_of(id: &str) -> String {
    format!("runs.answer/{id}")
}

pub(super) fn seal_state(id: &RunId, progress: &Progress, keyring: &Keyring) -> Vec<u8> {
    keyring.seal(&state_of(id.as_str()), &payload::of_progress(progress))
}

pub(super) fn millis(at: Wall) -> i64 {
    i64::try_from(at.unix_millis()).unwrap_or(i64::MAX)
}

pub(super) fn wall(millis: i64) -> Wall {
    Wall::from_unix_millis(u64::try_from(millis).unwrap_or(0))
}

/// The run that a key belongs to, as it is on disk.
pub(super) struct SealedKnown {
    pub(super) id: String,
    pub(super) fingerprint: [u8; 32],
    pub(super) answer: Option<(u16, Vec<u8>)>,
}

impl SealedKnown {
    pub(super) fn open(self, keyring: &Keyring) -> Result<Known, Unavailable> {
        let answer = open_answer(&self.id, self.answer, keyring)?;
        Ok(Known { id: RunId::new(self.id), fingerprint: self.fingerprint, answer })
    }
}

/// How a run stands, sealed.
pub(super) struct Standing {
    pub(super) id: String,
    pub(super) fence: u32,
    pub(super) revision: u32,
    pub(super) state: Vec<u8>,
    pub(super) children: Vec<Row>,
}

impl Standing {
    pub(super) fn seal(id: &RunId, fence: u32, progress: &Progress, keyring: &Keyring) -> Self {
        Self {
            id: id.to_string(),
            fence,
            revision: progress.revision,
            state: seal_state(id, progress, keyring),
            children: progress.children.iter().map(|child| Row::seal(child, keyring)).collect(),
        }
    }
}

/// How a run ended, sealed.
pub(super) struct End {
    pub(super) id: String,
    pub(super) status: &'static str,
    pub(super) at: i64,
    pub(super) answer_status: u16,
    pub(super) answer: Vec<u8>,
    pub(super) state: Option<Vec<u8>>,
    pub(super) fence: u32,
    pub(super) children: Vec<Row>,
    pub(super) death: Option<Death>,
    pub(super) inquire_at: Option<i64>,
}

impl End {
    pub(super) fn seal(ending: &Ending, keyring: &Keyring) -> Self {
        let id = ending.id.as_str();
        Self {
            id: id.to_owned(),
            status: ending.status.as_str(),
            at: millis(ending.at),
            answer_status: ending.answer.status,
            answer: keyring.seal(&answer_of(id), &ending.answer.body),
            state: ending.progress.as_ref().map(|progress| seal_state(&ending.id, progress, keyring)),
            fence: ending.fence,
            death: ending.death.clone(),
            inquire_at: ending.inquire_at.map(millis),
            children: ending.children.iter().map(|child| Row::seal(child, keyring)).collect(),
        }
    }
}

/// What is read beside `runs r`: `e` how they ended, `p` how they stand, `q` what is queued of them.
pub(super) const BESIDE: &str = "LEFT JOIN ends e ON e.run = r.id LEFT JOIN progress p ON p.run = r.id \
                                 LEFT JOIN queue q ON q.run = r.id";

/// The columns that show a run, with [`BESIDE`]. A lease writes nothing to the run: who is leased is under way, whatever it was
/// before.
pub(super) const RECORD: &str = "r.id, r.client, r.operation, r.version, r.correlation_id, \
    CASE WHEN e.status IS NOT NULL THEN e.status WHEN q.lease_until IS NOT NULL THEN 'running' ELSE p.status END AS status, \
    r.created_at, e.at AS finished_at, e.answer_status, e.answer, r.recovered";

/// Which runs are shown to stand so, with [`BESIDE`], and by which id they are found. Each goes by an index, but for those that
/// succeeded: they are most of all.
pub(super) fn shown_as(status: RunStatus) -> (String, &'static str) {
    let ended = format!("e.status = '{}'", status.as_str());
    match status {
        RunStatus::Accepted => (
            "p.status = 'accepted' AND q.lease_until IS NULL AND r.id IN (SELECT run FROM queue)".to_owned(),
            "r.id",
        ),
        RunStatus::Running => (
            "(p.status = 'running' OR q.lease_until IS NOT NULL) AND r.id IN (SELECT run FROM queue \
             UNION ALL SELECT run FROM progress WHERE waited_for)"
                .to_owned(),
            "r.id",
        ),
        RunStatus::Waiting => ("p.status = 'waiting' AND q.lease_until IS NULL".to_owned(), "p.run"),
        // Said so that runs are gone through, newest first, and not their ends.
        RunStatus::Succeeded => ("coalesce(e.status, '') = 'succeeded'".to_owned(), "r.id"),
        // As the index says it, or it is not found.
        RunStatus::Partial | RunStatus::Failed | RunStatus::Unknown | RunStatus::Cancelled => {
            (format!("{ended} AND e.status <> 'succeeded'"), "e.run")
        }
    }
}

/// A run, as it is on disk.
pub(super) struct SealedRecord {
    pub(super) id: String,
    pub(super) client: Option<String>,
    pub(super) operation: String,
    pub(super) version: u32,
    pub(super) correlation_id: String,
    pub(super) status: String,
    pub(super) created_at: i64,
    pub(super) finished_at: Option<i64>,
    pub(super) answer: Option<(u16, Vec<u8>)>,
    pub(super) recovered: bool,
}

impl SealedRecord {
    pub(super) fn open(self, keyring: &Keyring) -> Result<RunRecord, Unavailable> {
        let answer = open_answer(&self.id, self.answer, keyring)?;
        Ok(RunRecord {
            client: self.client.map(|name| client(&name)).transpose()?,
            operation: operation(&self.operation)?,
            version: self.version,
            correlation_id: correlation_id(&self.correlation_id)?,
            status: RunStatus::named(&self.status).ok_or_else(|| unreadable("status", &self.id))?,
            created_at: wall(self.created_at),
            finished_at: self.finished_at.map(wall),
            id: RunId::new(self.id),
            answer,
            recovered: self.recovered,
        })
    }
}

fn open_answer(
    id: &str,
    answer: Option<(u16, Vec<u8>)>,
    keyring: &Keyring,
) -> Result<Option<StoredAnswer>, Unavailable> {
    let Some((status, sealed)) = answer else { return Ok(None) };
    let body = open(&answer_of(id), &sealed, keyring)?;
    Ok(Some(StoredAnswer { status, body }))
}

fn open(place: &str, sealed: &[u8], keyring: &Keyring) -> Result<Bytes, Unavailable> {
    keyring
        .open(place, sealed)
        .map(Bytes::from)
        .map_err(|error| Unavailable(format!("reading {place}: {error}")))
}

fn unreadable(what: &str, id: &str) -> Unavailable {
    Unavailable(format!("the {what} of {id} is not as this version writes it"))
}

fn client(name: &str) -> Result<ClientName, Unavailable> {
    ClientName::new(name).map_err(|error| Unavailable(error.to_string()))
}

fn operation(name: &str) -> Result<OperationName, Unavailable> {
    OperationName::new(name).map_err(|error| Unavailable(error.to_string()))
}

fn correlation_id(text: &str) -> Result<CorrelationId, Unavailable> {
    CorrelationId::new(text).ok_or_else(|| Unavailable(format!("`{text}` is no correlation id")))
}

fn queue(integration: &str, not_before: i64) -> Result<Queue, Unavailable> {
    let integration = IntegrationName::new(integration).map_err(|error| Unavailable(error.to_string()))?;
    Ok(Queue { integration, not_before: wall(not_before) })
}

/// A run that has not ended, as it is on disk.
pub(super) struct SealedUnfinished {
    pub(super) id: String,
    pub(super) client: Option<String>,
    pub(super) operation: String,
    pub(super) version: u32,
    pub(super) correlation_id: String,
    pub(super) trace: String,
    pub(super) priority: String,
    pub(super) created_at: i64,
    pub(super) configuration: [u8; 32],
    pub(super) input: Vec<u8>,
    pub(super) state: Vec<u8>,
    pub(super) part: Option<u32>,
    pub(super) queue: Option<(String, i64)>,
}

impl SealedUnfinished {
    pub(super) fn open(self, keyring: &Keyring) -> Result<NewRun, Unavailable> {
        let input = open(&input_of(&self.id), &self.input, keyring)?;
        let state = open(&state_of(&self.id), &self.state, keyring)?;
        let progress = payload::progress(&state, &input)
            .map_err(|error| Unavailable(format!("reading {}: {error}", self.id)))?;
        Ok(NewRun {
            client: self.client.map(|name| client(&name)).transpose()?,
            operation: operation(&self.operation)?,
            version: self.version,
            correlation_id: correlation_id(&self.correlation_id)?,
            trace: TraceContext::from_stored(&self.trace).ok_or_else(|| unreadable("trace", &self.id))?,
            priority: self.priority.parse().map_err(|_| unreadable("priority", &self.id))?,
            created_at: wall(self.created_at),
            claim: None,
            configuration: ConfigurationId(self.configuration),
            input: Json::checked(input),
            progress,
            part: self.part.map(Part::numbered),
            queue: self.queue.map(|(name, at)| queue(&name, at)).transpose()?,
            id: RunId::new(self.id),
        })
    }
}

/// What there is to be known to go on with a run, with [`BESIDE`].
pub(super) const UNFINISHED: &str = "r.id, r.client, r.operation, r.version, r.correlation_id, r.trace, r.priority, r.created_at, \
                                     r.configuration, r.input, p.state, r.part, q.integration AS queue, q.not_before";

/// What a lease tells beside it, with [`BESIDE`].
pub(super) const LEASE: &str = "q.fence, q.tries, q.first_try, q.cancel, r.is_async, p.resolved";

fn configuration_of(id: ConfigurationId) -> String {
    let hex: String = id.0.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("configurations/{hex}")
}

pub(super) fn seal_configuration(id: ConfigurationId, files: &[u8], keyring: &Keyring) -> Vec<u8> {
    keyring.seal(&configuration_of(id), files)
}

pub(super) fn open_configuration(
    id: ConfigurationId,
    sealed: &[u8],
    keyring: &Keyring,
) -> Result<Bytes, Unavailable> {
    open(&configuration_of(id), sealed, keyring)
}

/// A run that is leased, as it is on disk.
pub(super) struct SealedLease {
    pub(super) run: SealedUnfinished,
    pub(super) ticket: Ticket,
    pub(super) cancelled: bool,
}

impl SealedLease {
    pub(super) fn open(self, keyring: &Keyring) -> Result<Leased, Unavailable> {
        let mut run = self.run.open(keyring)?;
        run.progress.leased(self.ticket.fence);
        Ok(Leased { run, ticket: self.ticket, cancelled: self.cancelled })
    }
}

/// A run that is leased.
pub(super) enum Taken {
    /// It was claimed a moment ago, and is as it was then.
    Recent(Box<Leased>),
    /// As it is on disk.
    Sealed(Box<SealedLease>),
}

/// Opens runs that are leased. One that cannot be read is told and holds up no other; its lease runs out.
pub(super) fn open_leases(leased: Vec<Taken>, keyring: &Keyring) -> Vec<Leased> {
    let readable = |leased: Taken| {
        let sealed = match leased {
            Taken::Recent(leased) => return Some(*leased),
            Taken::Sealed(sealed) => sealed,
        };
        let id = sealed.run.id.clone();
        let opened = sealed.open(keyring);
        opened.map_err(|error| tracing::error!(run_id = id, %error, "a run that is due cannot be read")).ok()
    };
    leased.into_iter().filter_map(readable).collect()
}

/// A run that is put off, sealed.
pub(super) struct SealedPark {
    pub(super) id: String,
    pub(super) ticket: Ticket,
    pub(super) integration: String,
    pub(super) not_before: i64,
    pub(super) revision: u32,
    pub(super) state: Vec<u8>,
}

impl SealedPark {
    pub(super) fn seal(parked: &Parked, keyring: &Keyring) -> Self {
        Self {
            id: parked.id.to_string(),
            ticket: parked.ticket,
            integration: parked.queue.integration.to_string(),
            not_before: millis(parked.queue.not_before),
            revision: parked.progress.revision,
            state: seal_state(&parked.id, &parked.progress, keyring),
        }
    }
}

/// What waits at one integration.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QueueCounts {
    pub(super) pending: u64,
    pub(super) delayed: u64,
    pub(super) leased: u64,
    pub(super) oldest: Option<Wall>,
}

impl QueueCounts {
    pub(super) fn of(self, integration: IntegrationName) -> QueueDepth {
        let Self { pending, delayed, leased, oldest } = self;
        QueueDepth { integration, pending, delayed, leased, oldest }
    }
}

/// A dead letter with its run, as they are on disk.
pub(super) struct SealedLetter {
    pub(super) death: Death,
    pub(super) died_at: i64,
    pub(super) record: SealedRecord,
}

impl SealedLetter {
    pub(super) fn open(self, keyring: &Keyring) -> Result<DeadLetter, Unavailable> {
        Ok(DeadLetter { death: self.death, died_at: wall(self.died_at), run: self.record.open(keyring)? })
    }
}

/// An attempt, sealed.
pub(super) struct SealedAttempt {
    pub(super) id: String,
    pub(super) at: i64,
    pub(super) run: String,
    pub(super) integration: String,
    pub(super) endpoint: String,
    pub(super) correlation_id: String,
    pub(super) outcome: String,
    /// 0: none.
    pub(super) status: i64,
    pub(super) record: Vec<u8>,
}

fn attempt_of(id: &str) -> String {
    format!("attempts.record/{id}")
}

impl SealedAttempt {
    pub(super) fn seal(attempt: Attempt, keyring: &Keyring) -> Self {
        let Attempt { id, at, mut record, input, repeats_input } = attempt;
        // What has a column of its own is not in the record, too.
        let AttemptRecord { run_id, integration, endpoint, correlation_id, outcome, .. } = &mut record;
        let [run, integration, endpoint, correlation_id, outcome] =
            [run_id, integration, endpoint, correlation_id, outcome].map(std::mem::take);
        let status = record.status.map_or(0, i64::from);
        let record = payload::of_attempt(&record, input.as_ref(), repeats_input);
        let record = keyring.seal(&attempt_of(&id), &record);
        Self { id, at: millis(at), run, integration, endpoint, correlation_id, outcome, status, record }
    }
}

/// The columns of an attempt, with its run's input where that is asked for.
pub(super) fn attempt_columns(with_input: bool) -> String {
    let input = if with_input {
        "(SELECT input FROM runs WHERE runs.id = attempts.run)"
    } else {
        "(SELECT input FROM runs WHERE false)"
    };
    format!("id, at, run, integration, endpoint, correlation_id, outcome, record, {input} AS input")
}

/// An attempt, as it is on disk.
pub(super) struct KeptAttempt {
    pub(super) id: String,
    pub(super) at: i64,
    pub(super) run: String,
    pub(super) integration: String,
    pub(super) endpoint: String,
    pub(super) correlation_id: String,
    pub(super) outcome: String,
    pub(super) record: Vec<u8>,
    /// The run's, where one attempt is asked for.
    pub(super) input: Option<Vec<u8>>,
}

impl KeptAttempt {
    pub(super) fn open(self, keyring: &Keyring) -> Result<Attempt, Unavailable> {
        let Self { id, at, run, integration, endpoint, correlation_id, outcome, record, input } = self;
        let record = open(&attempt_of(&id), &record, keyring)?;
        let of_run = input.map(|input| open(&input_of(&run), &input, keyring)).transpose()?;
        let (record, input, repeats_input) = payload::attempt(&record, of_run)
            .map_err(|error| Unavailable(format!("reading {id}: {error}")))?;
        let record = AttemptRecord { run_id: run, integration, endpoint, correlation_id, outcome, ..record };
        Ok(Attempt { at: wall(at), record, input, repeats_input, id })
    }
}

/// The id before every id of what began then or later: ids are in the order of their time.
pub(super) fn youngest(prefix: &str, at: Wall) -> String {
    format!("{prefix}_{:012x}", at.unix_millis())
}

/// A run that is taken up again, sealed.
pub(super) struct SealedReopened {
    pub(super) id: String,
    pub(super) integration: String,
    pub(super) rank: i64,
    pub(super) not_before: i64,
    pub(super) revision: u32,
    pub(super) state: Vec<u8>,
    pub(super) is_resolved: bool,
}

impl SealedReopened {
    pub(super) fn seal(reopened: &Reopened, keyring: &Keyring) -> Self {
        Self {
            id: reopened.id.to_string(),
            integration: reopened.queue.integration.to_string(),
            rank: rank(reopened.priority),
            not_before: millis(reopened.queue.not_before),
            revision: reopened.progress.revision,
            state: seal_state(&reopened.id, &reopened.progress, keyring),
            is_resolved: reopened.is_resolved,
        }
    }
}
