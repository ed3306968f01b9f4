//! `GET /v1/runs/{id}`: looks a run up; `POST /v1/runs/{id}/cancel`: has it stopped.
//!
//! Only runs that may act, or that their callers did not wait for, are kept, in memory, for as long as there is room; the
//! answer says that it is not durable.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path};
use causeway_core::operation::Outcome;
use serde::Serialize;

use super::problem::{Code, Problem, printable};
use super::{State, access, context};

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
    let client = access::client(&request);
    let outcome = found(state.mesh().board().run(&id, access::asker(client.as_ref())), &request, &id)?;
    Ok(told(&outcome))
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
