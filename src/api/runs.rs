//! `GET /v1/runs/{id}`: looks a run up, and waits for its end if asked to; `GET /v1/runs`: lists them; `POST
//! /v1/runs/{id}/cancel`: has one stopped.
//!
//! What is under way, and what has just ended, is told from the board; everything else from the store. A client sees its
//! own runs, and of others' not even that they are there.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::HttpResponseBuilder;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use actix_web::web::{Data, Path, Payload};
use causeway_actors::board::Asker;
use causeway_actors::store::{RunFilter, RunRecord};
use causeway_core::name::{ClientName, CorrelationId, OperationName, RunId};
use causeway_core::operation::{Outcome, Resumed, Run, RunStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::problem::{Code, Problem, printable, unavailable};
use super::{State, access, admin, answers, context, operations, page};
use crate::control::Command;
use crate::recovery;

/// How long a run may be neither waiting nor with a router, on its way from one to the other; how often it is looked.
const CHANGES_HANDS: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The longest wait, in seconds: proxies in between give up where nothing moves.
const MAX_WAIT: u64 = 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    wait: Option<u64>,
}

#[derive(Serialize)]
struct Found<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    /// A restart of the server remembers it.
    durable: bool,
    /// Another life of the server went on with it than began it; not told of what only the board knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered: Option<bool>,
}

pub(super) async fn show(
    request: HttpRequest,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let correlated = |problem: Problem| problem.correlated(context::correlation_id(&request).as_str());
    let wait = patience(&request).map_err(correlated)?;
    let client = access::client(&request);
    let (board, asker) = (state.mesh().board(), access::asker(client.as_ref()));
    if let Some(wait) = wait {
        // Whether it has ended or not, it is told as it stands then.
        let _ = tokio::time::timeout(wait, over(&state, &id, asker)).await;
    }
    if let Some(outcome) = board.run(&id, asker) {
        return Ok(told(&outcome));
    }
    let record = stored(&state, &id, asker).await.map_err(correlated)?;
    match as_it_stands(&state, &record).await {
        Some(outcome) => Ok(told(&outcome)),
        None => Ok(told_of(&record)),
    }
}

/// Returns when a run is over, or cannot be waited for. It may pass to and fro between a router and the queue meanwhile.
async fn over(state: &State, id: &str, asker: Asker<'_>) {
    let board = state.mesh().board();
    while let Some(end) = board.end_of_run(id, asker) {
        let ended = end.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        match board.run(id, asker) {
            Some(outcome) if !outcome.status.is_final() => ended.await,
            Some(_) => return,
            None => break,
        }
    }
    if let Ok(record) = stored(state, id, asker).await {
        let _ = operations::end_of(state, &record.id).await;
    }
}

/// A run that waits for its turn, with its steps, as far as its plan can be had.
async fn as_it_stands(state: &State, record: &RunRecord) -> Option<Outcome> {
    if record.answer.is_some() {
        return None;
    }
    let run = state.store().unfinished(record.id.clone()).await.ok()??;
    let (plan, _) = recovery::known(state, &run).await.ok()?;
    let resumed = Resumed {
        id: run.id,
        correlation_id: run.correlation_id,
        plan,
        input: run.input,
        began: run.created_at,
        snapshot: run.progress.snapshot,
        sent: Vec::new(),
        patient: true,
    };
    Run::as_it_stands(resumed, record.status, state.clock().now())
}

/// A run that is on disk and may be seen.
async fn stored(state: &State, id: &str, asker: Asker<'_>) -> Result<RunRecord, Problem> {
    let found = state.store().run(RunId::new(id)).await.map_err(|error| unavailable(&error))?;
    let mine = |record: &RunRecord| match asker {
        Asker::Anybody => true,
        Asker::Client(name) => record.client.as_ref() == Some(name),
    };
    found.filter(mine).ok_or_else(|| unknown(id))
}

/// Whether a run is known, and may be seen.
pub(super) async fn seen(state: &State, id: &str, asker: Asker<'_>) -> Result<(), Problem> {
    match state.mesh().board().run(id, asker) {
        Some(_) => Ok(()),
        None => stored(state, id, asker).await.map(drop),
    }
}

fn told_of(record: &RunRecord) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((context::CORRELATION_ID, record.correlation_id.as_str()));
    response.json(answers::shown(record))
}

/// Which runs are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    operation: Option<String>,
    status: Option<String>,
    correlation_id: Option<String>,
    since: Option<String>,
    recovered: Option<bool>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// The runs that are on disk, newest first.
pub(super) async fn list(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, Problem> {
    let correlated = |problem: Problem| problem.correlated(context::correlation_id(&request).as_str());
    let client = access::client(&request);
    let (filter, limit) =
        filter(&request, client.as_ref().map(|client| client.name())).map_err(correlated)?;
    // One more than is told, to know whether there are more.
    let mut found =
        state.store().runs(filter, limit + 1).await.map_err(|error| correlated(unavailable(&error)))?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more).map(|record| record.id.to_string());
    let board = state.mesh().board();
    let shown = |record: &RunRecord| match board.run(record.id.as_str(), Asker::Anybody) {
        Some(outcome) if record.answer.is_none() => serde_json::to_value(Found {
            outcome: &outcome,
            durable: true,
            recovered: Some(record.recovered),
        })
        .unwrap_or_default(),
        Some(_) | None => answers::shown(record),
    };
    let items: Vec<Value> = found.iter().map(shown).collect();
    let mut response = HttpResponse::Ok();
    response.insert_header((context::CORRELATION_ID, context::correlation_id(&request).as_str()));
    Ok(response.json(page::after(items, last)))
}

fn filter(request: &HttpRequest, client: Option<&ClientName>) -> Result<(RunFilter, usize), Problem> {
    let malformed = |detail: String| Problem::new(Code::MalformedRequest, detail);
    let asked: Listed = page::query(request)?;
    let limit = page::limit(asked.limit)?;
    let status = |word: String| {
        let known = RunStatus::ALL.map(RunStatus::as_str).join(", ");
        RunStatus::named(&word).ok_or_else(|| malformed(format!("`status` is one of {known}")))
    };
    let operation = |name: String| OperationName::new(&name).map_err(|error| malformed(error.to_string()));
    let correlation_id = |text: String| {
        CorrelationId::new(&text).ok_or_else(|| malformed("`correlation_id` is visible ASCII".to_owned()))
    };
    let filter = RunFilter {
        client: client.map(|client| Some(client.clone())),
        operation: asked.operation.map(operation).transpose()?,
        status: asked.status.map(status).transpose()?,
        correlation_id: asked.correlation_id.map(correlation_id).transpose()?,
        since: asked.since.as_deref().map(page::since).transpose()?,
        recovered: asked.recovered.unwrap_or(false),
        before: asked.cursor.map(|cursor| page::key(&cursor)).transpose()?.map(RunId::new),
    };
    Ok((filter, limit))
}

/// How long the caller wants to wait for the run's end.
fn patience(request: &HttpRequest) -> Result<Option<Duration>, Problem> {
    let malformed = |detail: String| Problem::new(Code::MalformedRequest, detail);
    let asked: Asked = page::query(request)?;
    match asked.wait {
        Some(seconds) if seconds > MAX_WAIT => {
            Err(malformed(format!("`wait` is a number of seconds from 0 to {MAX_WAIT}")))
        }
        Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
        None => Ok(None),
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Why {
    reason: Option<String>,
}

/// Why an operator says so; a command without a body gives no reason.
async fn why(request: &HttpRequest, payload: Payload) -> Result<Option<String>, Problem> {
    if !request.headers().contains_key(CONTENT_TYPE) {
        return Ok(None);
    }
    let Why { reason } = admin::command(request, payload).await?;
    reason.map(admin::reason).transpose()
}

/// Stops what is safe or unsent and has taken back what succeeded; a run that is over stays as it is.
pub(super) async fn cancel(
    request: HttpRequest,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    stop(&request, &id, &state).await
}

/// The same by an operator, who finds the run at the admin listener.
pub(super) async fn cancel_any(
    request: HttpRequest,
    payload: Payload,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let operator = access::operator(&request);
    let reason = why(&request, payload).await?;
    let command = Command { operator, action: "run.cancel", subject: &id, reason };
    admin::audited(&state, command, None).await?;
    let mut response = stop(&request, &id, &state).await?;
    if let Some(place) = response.headers_mut().get_mut(LOCATION) {
        let path = request.path().trim_end_matches("/cancel");
        *place = HeaderValue::from_str(path).unwrap_or(place.clone());
    }
    Ok(response)
}

async fn stop(request: &HttpRequest, id: &str, state: &State) -> Result<HttpResponse, Problem> {
    let client = access::client(request);
    let asker = access::asker(client.as_ref());
    let correlated = |problem: Problem| problem.correlated(context::correlation_id(request).as_str());
    let until = state.clock().mono() + CHANGES_HANDS;
    loop {
        match state.mesh().board().cancel(id, asker) {
            Some(outcome) if outcome.status.is_final() => return Ok(told(&outcome)),
            Some(outcome) => return Ok(goes_on(&outcome)),
            None => {}
        }
        let record = stored(state, id, asker).await.map_err(correlated)?;
        if record.answer.is_some() {
            return Ok(told_of(&record));
        }
        let cancelled = state.store().cancel_run(record.id.clone()).await;
        if cancelled.map_err(|error| correlated(unavailable(&error)))? {
            state.queues().look_for_cancelled();
            return Ok(waits_on(&record).json(answers::shown(&record)));
        }
        if state.clock().mono() >= until {
            let detail = "the run is taken up at this moment and could not be told; ask again";
            let problem = Problem::new(Code::Overloaded, detail);
            return Err(correlated(problem.retry_after(Some(operations::COME_BACK))));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn unknown(id: &str) -> Problem {
    let detail = format!(
        "no run `{}` is known here: runs that only read are not kept, nor are those for which nothing was sent, and \
         others for as long as `store.retention.runs` says",
        printable(id)
    );
    Problem::new(Code::UnknownRun, detail)
}

fn told(outcome: &Outcome) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((context::CORRELATION_ID, outcome.correlation_id.as_str()));
    response.json(Found { outcome, durable: true, recovered: None })
}

/// The run goes on: where to look for its outcome.
pub(super) fn goes_on(outcome: &Outcome) -> HttpResponse {
    let mut response = HttpResponse::Accepted();
    response.insert_header((context::CORRELATION_ID, outcome.correlation_id.as_str()));
    response.insert_header((LOCATION, format!("/v1/runs/{}", outcome.id)));
    response.json(Found { outcome, durable: true, recovered: None })
}

/// The same of a run that is known by its key: it was told before.
pub(super) fn goes_on_again(record: &RunRecord) -> HttpResponse {
    waits_on(record).insert_header((answers::REPLAYED, "true")).json(answers::shown(record))
}

fn waits_on(record: &RunRecord) -> HttpResponseBuilder {
    let mut response = HttpResponse::Accepted();
    response.insert_header((context::CORRELATION_ID, record.correlation_id.as_str()));
    response.insert_header((LOCATION, format!("/v1/runs/{}", record.id)));
    response
}
