//! `GET /v1/runs/{id}`: looks a run up.
//!
//! Only runs that may act are kept, in memory, for as long as there is room; the answer says that it is not durable.

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use causeway_core::operation::Outcome;
use serde::Serialize;

use super::problem::{Code, Problem, printable};
use super::{State, context};

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
    let correlation_id = context::correlation_id(&request);
    let outcome = state.mesh().board().run(&id).ok_or_else(|| {
        let detail = format!(
            "no run `{}` is known here: runs that only read are not kept, others until a restart or until there are \
             too many",
            printable(&id)
        );
        Problem::new(Code::UnknownRun, detail).correlated(correlation_id.as_str())
    })?;
    let mut response = HttpResponse::Ok();
    response.insert_header((context::CORRELATION_ID, correlation_id.as_str()));
    Ok(response.json(Found { outcome: &outcome, durable: false }))
}
