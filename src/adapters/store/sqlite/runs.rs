//! What is written and read of runs. Each function is one call's part of a transaction, and may be run twice.

use bytes::Bytes;
use causeway_actors::plan::TraceContext;
use causeway_actors::store::{
    ConfigurationId, Death, Ending, Known, NewRun, Progress, Queue, RunFilter, RunRecord, StoredAnswer,
    Unavailable,
};
use causeway_core::json::Json;
use causeway_core::name::{ClientName, CorrelationId, IntegrationName, OperationName, RunId};
use causeway_core::operation::RunStatus;
use causeway_core::priority::Priority;
use causeway_core::time::Wall;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::super::payload;
use super::super::sealing::Keyring;
use super::dead;

/// A run's row, sealed.
pub(super) struct Row {
    id: String,
    client: Option<String>,
    operation: String,
    version: u32,
    correlation_id: String,
    trace: String,
    priority: &'static str,
    created_at: i64,
    claim: Option<RowClaim>,
    configuration: ConfigurationId,
    revision: u32,
    input: Vec<u8>,
    state: Vec<u8>,
    part: Option<i64>,
    queue: Option<RowQueue>,
    children: Vec<Self>,
}

struct RowQueue {
    integration: String,
    rank: i64,
    lane: String,
    not_before: i64,
}

struct RowClaim {
    scope: [u8; 32],
    fingerprint: [u8; 32],
    retention: i64,
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
            part: run.part.and_then(|part| i64::try_from(part).ok()),
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

/// Writes a run down; `Some` is the run that its key belongs to.
pub(super) fn claim(connection: &Connection, row: &Row) -> rusqlite::Result<Option<SealedKnown>> {
    // Asked again, or the key is taken, or the key was taken and has run out.
    for _ in 0..2 {
        if insert(connection, row)? {
            return Ok(None);
        }
        let same = connection.prepare_cached("SELECT 1 FROM runs WHERE id = ?1")?.exists([&row.id])?;
        let Some(claim) = row.claim.as_ref().filter(|_| !same) else { return Ok(None) };
        let let_go = connection
            .prepare_cached("UPDATE runs SET claim = NULL WHERE claim = ?1 AND claim_until <= ?2")?
            .execute(params![claim.scope, row.created_at])?;
        if let_go == 0 {
            return known(connection, &claim.scope);
        }
    }
    Ok(None)
}

fn insert(connection: &Connection, row: &Row) -> rusqlite::Result<bool> {
    let (claim, queue) = (row.claim.as_ref(), row.queue.as_ref());
    let status = if queue.is_some() { RunStatus::Accepted } else { RunStatus::Running };
    let inserted = connection
        .prepare_cached(
            "INSERT INTO runs (id, client, operation, version, correlation_id, trace, priority, status, revision, \
             created_at, claim, fingerprint, claim_retention, configuration, input, state, part, queue, rank, lane, \
             not_before, is_async) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, \
             ?20, ?21, ?22) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            row.id,
            row.client,
            row.operation,
            row.version,
            row.correlation_id,
            row.trace,
            row.priority,
            status.as_str(),
            row.revision,
            row.created_at,
            claim.map(|claim| claim.scope),
            claim.map(|claim| claim.fingerprint),
            claim.map(|claim| claim.retention),
            row.configuration.0,
            row.input,
            row.state,
            row.part,
            queue.map(|queue| &queue.integration),
            queue.map(|queue| queue.rank),
            queue.map(|queue| &queue.lane),
            queue.map(|queue| queue.not_before),
            queue.is_some(),
        ])?;
    if inserted == 1 {
        insert_all(connection, &row.children)?;
    }
    Ok(inserted == 1)
}

/// Writes runs in the background down; those that are there already stay as they are.
fn insert_all(connection: &Connection, children: &[Row]) -> rusqlite::Result<()> {
    children.iter().try_for_each(|child| insert(connection, child).map(drop))
}

/// The run that a key belongs to, as it is on disk.
pub(super) struct SealedKnown {
    id: String,
    fingerprint: [u8; 32],
    answer: Option<(u16, Vec<u8>)>,
}

impl SealedKnown {
    pub(super) fn open(self, keyring: &Keyring) -> Result<Known, Unavailable> {
        let answer = open_answer(&self.id, self.answer, keyring)?;
        Ok(Known { id: RunId::new(self.id), fingerprint: self.fingerprint, answer })
    }
}

fn known(connection: &Connection, scope: &[u8; 32]) -> rusqlite::Result<Option<SealedKnown>> {
    connection
        .prepare_cached("SELECT id, fingerprint, answer_status, answer FROM runs WHERE claim = ?1")?
        .query_row([scope], |row| {
            let answer: Option<u16> = row.get(2)?;
            let body: Option<Vec<u8>> = row.get(3)?;
            Ok(SealedKnown { id: row.get(0)?, fingerprint: row.get(1)?, answer: answer.zip(body) })
        })
        .optional()
}

/// How a run stands, sealed.
pub(super) struct Standing {
    id: String,
    fence: u32,
    revision: u32,
    state: Vec<u8>,
    children: Vec<Row>,
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

/// Writes down how a run stands, unless something newer is there; `false` where somebody else has it.
pub(super) fn record(connection: &Connection, standing: &Standing) -> rusqlite::Result<bool> {
    let Standing { id, fence, revision, state, children } = standing;
    if !is_ours(connection, id, *fence)? {
        return Ok(false);
    }
    connection
        .prepare_cached(
            "UPDATE runs SET state = ?1, revision = ?2 WHERE id = ?3 AND revision < ?2 AND finished_at IS NULL",
        )?
        .execute(params![state, revision, id])?;
    insert_all(connection, children)?;
    Ok(true)
}

fn is_ours(connection: &Connection, id: &str, fence: u32) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM runs WHERE id = ?1 AND fence = ?2")?.exists(params![id, fence])
}

/// How a run ended, sealed.
pub(super) struct End {
    id: String,
    status: &'static str,
    at: i64,
    answer_status: u16,
    answer: Vec<u8>,
    state: Option<Vec<u8>>,
    fence: u32,
    children: Vec<Row>,
    death: Option<Death>,
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
            children: ending.children.iter().map(|child| Row::seal(child, keyring)).collect(),
        }
    }
}

/// Ends a run; `false` where somebody else has it.
pub(super) fn finish(connection: &Connection, end: &End) -> rusqlite::Result<bool> {
    if !is_ours(connection, &end.id, end.fence)? {
        return Ok(false);
    }
    connection
        .prepare_cached(
            "UPDATE runs SET status = ?2, finished_at = ?3, answer_status = ?4, answer = ?5, state = ?6, \
             claim_until = ?3 + claim_retention, queue = NULL, lease_until = NULL WHERE id = ?1",
        )?
        .execute(params![end.id, end.status, end.at, end.answer_status, end.answer, end.state])?;
    insert_all(connection, &end.children)?;
    if let Some(death) = &end.death {
        dead::bury(connection, &end.id, death, end.at)?;
    }
    Ok(true)
}

/// Takes a run back.
pub(super) fn forget(connection: &Connection, id: &RunId) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM runs WHERE id = ?1 AND finished_at IS NULL")?
        .execute([id.as_str()])
        .map(drop)
}

/// Deletes runs that ended before then, the oldest first.
pub(super) fn forget_old(connection: &Connection, before: Wall, limit: usize) -> rusqlite::Result<usize> {
    // Ids are in the order of their time, so what ended before then is among what began before then: younger runs are not
    // even looked at.
    let youngest = format!("run_{:012x}", before.unix_millis());
    connection
        .prepare_cached(
            "DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE id < ?3 AND finished_at < ?1 AND NOT EXISTS \
             (SELECT 1 FROM dead_letters WHERE run = id) ORDER BY id LIMIT ?2)",
        )?
        .execute(params![millis(before), i64::try_from(limit).unwrap_or(i64::MAX), youngest])
}

const RECORD: [&str; 10] = [
    "id",
    "client",
    "operation",
    "version",
    "correlation_id",
    "status",
    "created_at",
    "finished_at",
    "answer_status",
    "answer",
];

/// A run, as it is on disk.
pub(super) struct SealedRecord {
    id: String,
    client: Option<String>,
    operation: String,
    version: u32,
    correlation_id: String,
    status: String,
    created_at: i64,
    finished_at: Option<i64>,
    answer: Option<(u16, Vec<u8>)>,
}

impl SealedRecord {
    /// The columns of a run, of the table that goes by this name.
    pub(super) fn columns(table: &str) -> String {
        RECORD.map(|column| format!("{table}.{column}")).join(", ")
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Self::read_from(row, 0)
    }

    /// Reads a run whose columns begin at this place.
    pub(super) fn read_from(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Self> {
        let (status, body): (Option<u16>, Option<Vec<u8>>) = (row.get(at + 8)?, row.get(at + 9)?);
        Ok(Self {
            id: row.get(at)?,
            client: row.get(at + 1)?,
            operation: row.get(at + 2)?,
            version: row.get(at + 3)?,
            correlation_id: row.get(at + 4)?,
            status: row.get(at + 5)?,
            created_at: row.get(at + 6)?,
            finished_at: row.get(at + 7)?,
            answer: status.zip(body),
        })
    }

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

/// One run.
pub(super) fn one(connection: &Connection, id: &RunId) -> rusqlite::Result<Option<SealedRecord>> {
    connection
        .prepare_cached(&format!("SELECT {} FROM runs WHERE id = ?1", RECORD.join(", ")))?
        .query_row([id.as_str()], SealedRecord::read)
        .optional()
}

/// Runs, newest first.
pub(super) fn list(
    connection: &Connection,
    filter: &RunFilter,
    limit: usize,
) -> rusqlite::Result<Vec<SealedRecord>> {
    let mut conditions: Vec<&str> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    let mut must = |condition: &'static str, value: Value| {
        conditions.push(condition);
        values.push(value);
    };
    if let Some(client) = &filter.client {
        must("client IS ?", client.as_ref().map_or(Value::Null, |name| Value::Text(name.to_string())));
    }
    if let Some(operation) = &filter.operation {
        must("operation = ?", Value::Text(operation.to_string()));
    }
    if let Some(status) = filter.status {
        must("status = ?", Value::Text(status.as_str().to_owned()));
    }
    if let Some(correlation_id) = &filter.correlation_id {
        must("correlation_id = ?", Value::Text(correlation_id.to_string()));
    }
    if let Some(since) = filter.since {
        must("created_at >= ?", Value::Integer(millis(since)));
    }
    if let Some(before) = &filter.before {
        must("id < ?", Value::Text(before.to_string()));
    }
    values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    let such =
        if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let mut statement = connection
        .prepare_cached(&format!("SELECT {} FROM runs{such} ORDER BY id DESC LIMIT ?", RECORD.join(", ")))?;
    statement.query_map(params_from_iter(values), SealedRecord::read)?.collect()
}

fn queue(integration: &str, not_before: i64) -> Result<Queue, Unavailable> {
    let integration = IntegrationName::new(integration).map_err(|error| Unavailable(error.to_string()))?;
    Ok(Queue { integration, not_before: wall(not_before) })
}

/// A run that has not ended, as it is on disk.
pub(super) struct SealedUnfinished {
    id: String,
    client: Option<String>,
    operation: String,
    version: u32,
    correlation_id: String,
    trace: String,
    priority: String,
    created_at: i64,
    configuration: [u8; 32],
    input: Vec<u8>,
    state: Vec<u8>,
    part: Option<u32>,
    queue: Option<(String, i64)>,
}

impl SealedUnfinished {
    pub(super) fn open(self, keyring: &Keyring) -> Result<NewRun, Unavailable> {
        let input = open(&input_of(&self.id), &self.input, keyring)?;
        let state = open(&state_of(&self.id), &self.state, keyring)?;
        let progress = payload::progress(&state)
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
            input: Json::parse(input).map_err(|error| Unavailable(error.to_string()))?,
            progress,
            part: self.part.map(|part| part as usize),
            queue: self.queue.map(|(name, at)| queue(&name, at)).transpose()?,
            id: RunId::new(self.id),
        })
    }
}

/// The runs that have not ended, oldest first.
pub(super) fn unfinished_ids(connection: &Connection) -> rusqlite::Result<Vec<RunId>> {
    let mut statement =
        connection.prepare("SELECT id FROM runs WHERE finished_at IS NULL AND queue IS NULL ORDER BY id")?;
    statement.query_map([], |row| row.get::<_, String>(0).map(RunId::new))?.collect()
}

/// A run that has not ended.
pub(super) fn unfinished(connection: &Connection, id: &RunId) -> rusqlite::Result<Option<SealedUnfinished>> {
    let sql = format!("SELECT {UNFINISHED} FROM runs WHERE finished_at IS NULL AND id = ?1");
    connection.prepare_cached(&sql)?.query_row([id.as_str()], SealedUnfinished::read).optional()
}

/// What there is to be known to go on with a run.
pub(super) const UNFINISHED: &str = "id, client, operation, version, correlation_id, trace, priority, created_at, \
                                     configuration, input, state, part, queue, not_before";

impl SealedUnfinished {
    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let (queue, not_before): (Option<String>, Option<i64>) = (row.get("queue")?, row.get("not_before")?);
        Ok(Self {
            id: row.get("id")?,
            client: row.get("client")?,
            operation: row.get("operation")?,
            version: row.get("version")?,
            correlation_id: row.get("correlation_id")?,
            trace: row.get("trace")?,
            priority: row.get("priority")?,
            created_at: row.get("created_at")?,
            configuration: row.get("configuration")?,
            input: row.get("input")?,
            state: row.get("state")?,
            part: row.get("part")?,
            queue: queue.zip(not_before),
        })
    }
}

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

/// Keeps the files of a configuration.
pub(super) fn keep_configuration(
    connection: &Connection,
    id: ConfigurationId,
    sealed: &[u8],
    at: Wall,
) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT INTO configurations (id, kept_at, files) VALUES (?1, ?2, ?3) \
             ON CONFLICT (id) DO UPDATE SET kept_at = excluded.kept_at",
            params![id.0, millis(at), sealed],
        )
        .map(drop)
}

/// The files of a configuration.
pub(super) fn configuration(
    connection: &Connection,
    id: ConfigurationId,
) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .query_row("SELECT files FROM configurations WHERE id = ?1", [id.0], |row| row.get(0))
        .optional()
}
