//! `GET /v1/runs/{id}`: looks a run up, and waits for its end if asked to; `POST /v1/runs/{id}/cancel`: has it stopped.
//!
//! Only runs that may act, or that their callers did not wait for, are kept, in memory, for as long as there is room; the
//! answer says that it is not durable.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path, Query};
use causeway_core::operation::Outcome;
use serde::{Deserialize, Serialize};

use super::problem::{Code, Problem, printable};
use super::{State, access, context};

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
    /// A restart of the server forgets it.
    durable: bool,
}

pub(super) async fn show(
    request: HttpRequest,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let wait = patience(&request)
        .map_err(|problem| problem.correlated(context::correlation_id(&request).as_str()))?;
    let client = access::client(&request);
    let (board, asker) = (state.mesh().board(), access::asker(client.as_ref()));
    if let Some(wait) = wait
        && let Some(end) = board.end_of_run(&id, asker)
    {
        let ended = end.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        let over = board.run(&id, asker).is_none_or(|outcome| outcome.status.is_final());
        if !over {
            // Whether it has ended or not, it is told as it stands then.
            let _ = tokio::time::timeout(wait, ended).await;
        }
    }
    let outcome = found(board.run(&id, asker), &request, &id)?;
    Ok(told(&outcome))
}

/// How long the caller wants to wait for the run's end.
fn patience(request: &HttpRequest) -> Result<Option<Duration>, Problem> {
    let malformed = |detail: String| Problem::new(Code::MalformedRequest, detail);
    let asked = Query::<Asked>::from_query(request.query_string())
        .map_err(|error| malformed(format!("the query: {}", printable(&error.to_string()))))?;
    match asked.wait {
        Some(seconds) if seconds > MAX_WAIT => {
            Err(malformed(format!("`wait` is a number of seconds from 0 to {MAX_WAIT}")))
        }
        Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
        None => Ok(None),
    }
}

/// Stops what is safe or unsent and has taken back what succeeded; a run that is over stays as it is.
pub(super) async fn cancel(
    request: HttpRequest,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let client = access::client(&request);
    let outcome = found(state.mesh().board().cancel(&id, access::asker(client.as_ref())), &request, &id)?;
    Ok(if outcome.status.is_final() { told(&outcome) } else { goes_on(&outcome) })
}

fn found(outcome: Option<Arc<Outcome>>, request: &HttpRequest, id: &str) -> Result<Arc<Outcome>, Problem> {
    outcome.ok_or_else(|| {
        let detail = format!(
            "no run `{}` is known here: runs that only read are not kept, others until a restart or until there are \
             too many",
            printable(id)
        );
        Problem::new(Code::UnknownRun, detail).correlated(context::correlation_id(request).as_str())
    })
}

fn told(outcome: &Outcome) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((context::CORRELATION_ID, outcome.correlation_id.as_str()));
    response.json(Found { outcome, durable: false })
}

/// The run goes on: where to look for its outcome.
pub(super) fn goes_on(outcome: &Outcome) -> HttpResponse {
    let mut response = HttpResponse::Accepted();
    response.insert_header((context::CORRELATION_ID, outcome.correlation_id.as_str()));
    response.insert_header((LOCATION, format!("/v1/runs/{}", outcome.id)));
    response.json(Found { outcome, durable: false })
}
