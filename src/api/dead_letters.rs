//! `/admin/v1/dead-letters`: runs that a person has to look at, and what a person can do about them.
//!
//! A dead letter is a run that ended in doubt, or a queued one that failed for good. It is kept until it is redriven,
//! resolved or let go. Taken up again, the run keeps its id and the keys that it has sent, and passes the one gate of every
//! resend.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use causeway_actors::store::{DeadFilter, DeadGroup, DeadLetter, Intent, NewRun};
use causeway_core::json::Json;
use causeway_core::name::RunId;
use causeway_core::operation::Resolution;
use causeway_core::time::Wall;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::admin::{audited, command, reason};
use super::body::Max;
use super::problem::{Code, Problem, printable, unavailable};
use super::{State, access, answers, attempts, context, page};
use crate::control::Command;
use crate::redrives::{self, NotTaken};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    integration: Option<String>,
    operation: Option<String>,
    code: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// A dead letter, as lists show it.
#[derive(Serialize)]
struct Letter {
    /// Its run's.
    id: String,
    integration: String,
    operation: String,
    step: Option<String>,
    class: String,
    code: String,
    message: Value,
    attempts: u64,
    correlation_id: String,
    died_at: Wall,
}

impl Letter {
    fn of(letter: &DeadLetter, run: &Value) -> Self {
        let DeadLetter { death, died_at, run: record } = letter;
        let attempts = run["steps"].as_array().into_iter().flatten();
        Self {
            id: record.id.to_string(),
            integration: death.integration.clone(),
            operation: death.operation.clone(),
            step: death.step.clone(),
            class: death.class.clone(),
            code: death.code.clone(),
            message: run["error"]["message"].clone(),
            attempts: attempts.filter_map(|step| step["attempts"].as_u64()).sum(),
            correlation_id: record.correlation_id.to_string(),
            died_at: *died_at,
        }
    }
}

pub(super) async fn list(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, Problem> {
    let asked: Listed = page::query(&request)?;
    let limit = page::limit(asked.limit)?;
    let before = asked.cursor.map(|cursor| page::key(&cursor)).transpose()?.map(RunId::new);
    let Listed { integration, operation, code, .. } = asked;
    let filter = DeadFilter { run: None, integration, operation, code, before };
    let mut found =
        state.store().dead_letters(filter, limit + 1).await.map_err(|error| unavailable(&error))?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more).map(|letter| letter.run.id.to_string());
    let items: Vec<Letter> =
        found.iter().map(|letter| Letter::of(letter, &answers::shown(&letter.run))).collect();
    Ok(HttpResponse::Ok().json(page::after(items, last)))
}

#[derive(Serialize)]
struct Group {
    /// Tells it from others.
    fingerprint: String,
    integration: String,
    operation: String,
    class: String,
    code: String,
    count: u64,
    first: Wall,
    last: Wall,
}

impl From<DeadGroup> for Group {
    fn from(group: DeadGroup) -> Self {
        let DeadGroup { integration, operation, class, code, count, first, last } = group;
        let fingerprint = format!("{integration}/{operation}/{class}/{code}");
        Self { fingerprint, integration, operation, class, code, count, first, last }
    }
}

pub(super) async fn groups(state: Data<State>) -> Result<HttpResponse, Problem> {
    let groups = state.store().dead_groups().await.map_err(|error| unavailable(&error))?;
    let items: Vec<Group> = groups.into_iter().map(Group::from).collect();
    Ok(HttpResponse::Ok().json(page::after(items, None)))
}

/// A dead letter, whole.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    letter: Letter,
    /// The run as it ended.
    run: Value,
    /// What it was asked for with, masked as in logs.
    input: Value,
    /// The requests that may have been sent.
    requests: Vec<Request>,
    /// What became of them, as far as it is still known.
    attempt_log: Vec<attempts::Shown>,
}

#[derive(Serialize)]
struct Request {
    /// Of which step, by its place.
    step: usize,
    role: &'static str,
    method: String,
    path: String,
    first_written_at: Wall,
    /// Whether it may have acted, as far as is known.
    in_doubt: bool,
}

impl From<&Intent> for Request {
    fn from(intent: &Intent) -> Self {
        let path = intent.request.path_and_query.split('?').next().unwrap_or_default();
        Self {
            step: intent.step,
            role: intent.role.as_str(),
            method: intent.request.method.to_string(),
            path: path.to_owned(),
            first_written_at: intent.at,
            in_doubt: intent.in_doubt,
        }
    }
}

pub(super) async fn show(id: Path<String>, state: Data<State>) -> Result<HttpResponse, Problem> {
    let id = RunId::new(id.into_inner());
    let (letter, run) = find(&state, &id).await?;
    let shown = answers::shown(&letter.run);
    let input = state.live().shown().masked(&run.input);
    let requests = run.progress.intents.iter().map(Request::from).collect();
    let letter = Letter::of(&letter, &shown);
    let attempt_log = attempts::of(&state, id).await?.into_iter().map(attempts::Shown::from).collect();
    Ok(HttpResponse::Ok().json(Whole { letter, run: shown, input, requests, attempt_log }))
}

async fn find(state: &State, id: &RunId) -> Result<(DeadLetter, NewRun), Problem> {
    let filter = DeadFilter { run: Some(id.clone()), ..DeadFilter::default() };
    let letter = state.store().dead_letters(filter, 1).await.map_err(|error| unavailable(&error))?.pop();
    let run = state.store().dead_run(id.clone()).await.map_err(|error| unavailable(&error))?;
    letter.zip(run).ok_or_else(|| unknown(id))
}

fn unknown(id: &RunId) -> Problem {
    let detail = format!("the run `{}` is no dead letter, or none any more", printable(id.as_str()));
    Problem::new(Code::UnknownRun, detail)
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RedriveCommand {
    reason: Option<String>,
}

/// Tries a run again.
pub(super) async fn redrive(
    request: HttpRequest,
    payload: Payload,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let command: RedriveCommand = command(&request, payload).await?;
    let why = command.reason.map(reason).transpose()?;
    let id = RunId::new(id.into_inner());
    take_up(&request, &state, &id, &Resolution::Redrive, why).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResolveCommand<'a> {
    r#as: String,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    reason: Option<String>,
}

/// Says what has become of a run that nobody could know.
pub(super) async fn resolve(
    request: HttpRequest,
    payload: Payload,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let malformed = |detail: &'static str| Problem::new(Code::MalformedRequest, detail);
    let body = super::body::json(&request, payload, Max::Configured(state.live().max_body())).await?;
    let command: ResolveCommand<'_> = serde_json::from_str(body.as_str()).map_err(|error| {
        Problem::new(Code::MalformedRequest, format!("the body: {}", printable(&error.to_string())))
    })?;
    let result = command.result.map(|result| Json::parse(Bytes::copy_from_slice(result.get().as_bytes())));
    let result = result.transpose().map_err(|_| malformed("`result` is nested too deep"))?;
    let resolution = match (command.r#as.as_str(), result) {
        ("succeeded", Some(result)) => Resolution::Succeeded(result),
        ("succeeded", None) => {
            return Err(malformed(
                "`result` is what the step would have yielded; write null where there is nothing",
            ));
        }
        ("failed", None) => Resolution::Failed,
        ("resend", None) => Resolution::Resend,
        ("failed" | "resend", Some(_)) => return Err(malformed("`result` is of `as` = \"succeeded\"")),
        _ => return Err(malformed("`as` is one of succeeded, failed, resend")),
    };
    let why = command.reason.map(reason).transpose()?;
    take_up(&request, &state, &RunId::new(id.into_inner()), &resolution, why).await
}

/// Lets a dead letter go; its run stays as it is.
pub(super) async fn forget(
    request: HttpRequest,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let id = RunId::new(id.into_inner());
    let RedriveCommand { reason: why } = page::query(&request)?;
    let command = Command {
        operator: access::operator(&request),
        action: "dead_letter.forget",
        subject: id.as_str(),
        reason: why.map(reason).transpose()?,
    };
    audited(&state, command, None).await?;
    let gone = state.store().forget_dead_letter(id.clone()).await.map_err(|error| unavailable(&error))?;
    if gone { Ok(HttpResponse::NoContent().finish()) } else { Err(unknown(&id)) }
}

/// Takes a run up again, as the resolution says.
async fn take_up(
    request: &HttpRequest,
    state: &State,
    id: &RunId,
    resolution: &Resolution,
    reason: Option<String>,
) -> Result<HttpResponse, Problem> {
    let not_taken = |error| match error {
        NotTaken::Gone => unknown(id),
        NotTaken::Refused(why) => Problem::new(Code::NotReopened, why),
        NotTaken::Unavailable(error) => unavailable(&error),
    };
    let reopened = redrives::prepare(state, id, resolution).await.map_err(not_taken)?;
    let action = match resolution {
        Resolution::Redrive => "dead_letter.redrive",
        Resolution::Succeeded(_) => "dead_letter.resolve.succeeded",
        Resolution::Failed => "dead_letter.resolve.failed",
        Resolution::Resend => "dead_letter.resolve.resend",
    };
    let operator = access::operator(request);
    audited(state, Command { operator, action, subject: id.as_str(), reason }, None).await?;
    redrives::take_up(state, reopened).await.map_err(not_taken)?;
    let mut response = HttpResponse::Accepted();
    response.insert_header((actix_web::http::header::LOCATION, format!("/admin/v1/runs/{id}")));
    response.insert_header((context::CORRELATION_ID, context::correlation_id(request).as_str()));
    Ok(response.json(serde_json::json!({ "id": id, "status": "accepted" })))
}
