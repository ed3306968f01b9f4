//! `POST /v1/operations/{operation}`: runs an operation and answers its outcome.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use actix_web::http::header::HeaderName;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use causeway_actors::router::{Abandon, Answer, Dispatch, Router};
use causeway_core::name::RunId;
use causeway_core::operation::{Plan, RunStatus};
use tokio::sync::oneshot;

use super::problem::{Code, Problem, printable};
use super::{State, body, context};

const DEADLINE: HeaderName = HeaderName::from_static("x-deadline-ms");

/// Headers that ask for what this version cannot promise; better no than a promise that is not kept.
const NOT_YET: [(HeaderName, &str); 5] = [
    (
        HeaderName::from_static("idempotency-key"),
        "runs are not yet kept on disk, so a repetition is not recognised",
    ),
    (HeaderName::from_static("prefer"), "operations are only run while the caller waits"),
    (HeaderName::from_static("x-connection"), "an integration has only its own credentials"),
    (HeaderName::from_static("x-priority"), "calls are served in the order they come"),
    (HeaderName::from_static("x-not-before"), "operations are only run at once"),
];

/// How long a caller is told to wait when the server has no room or is stopping.
const COME_BACK: Duration = Duration::from_secs(1);

pub(super) async fn run(
    request: HttpRequest,
    payload: Payload,
    name: Path<String>,
    state: Data<State>,
    router: Data<Addr<Router>>,
) -> Result<HttpResponse, Problem> {
    let correlation_id = context::correlation_id(&request);
    let answer = dispatch(&request, payload, &name, &state, &router, &correlation_id);
    let Answer { outcome, pending } =
        answer.await.map_err(|problem| problem.correlated(correlation_id.as_str()))?;
    if pending || outcome.status != RunStatus::Succeeded {
        return Err(Problem::of_run(outcome, pending));
    }
    let mut response = HttpResponse::Ok();
    response.content_type("application/json");
    response.insert_header((context::CORRELATION_ID, correlation_id.as_str()));
    Ok(response.body(serde_json::to_vec(&outcome).unwrap_or_default()))
}

async fn dispatch(
    request: &HttpRequest,
    payload: Payload,
    name: &str,
    state: &State,
    router: &Addr<Router>,
    correlation_id: &causeway_core::name::CorrelationId,
) -> Result<Answer, Problem> {
    let plan = find(name, state)?;
    for (header, why) in NOT_YET {
        if request.headers().contains_key(&header) {
            let detail = format!("the header `{header}` asks for what this version does not have: {why}");
            return Err(Problem::new(Code::NotImplemented, detail));
        }
    }
    let budget = budget(request)?;
    let input = body::json(request, payload, state.max_body()).await?;
    if state.refusing() {
        let detail = "the server is stopping and takes no new runs; another one may";
        return Err(Problem::new(Code::Draining, detail).retry_after(Some(COME_BACK)));
    }
    let permit = state.run_permit().ok_or_else(|| overloaded("as many runs are under way as may be"))?;
    let (reply, answered) = oneshot::channel();
    let id = context::run_id();
    let message = Dispatch {
        id: id.clone(),
        correlation_id: correlation_id.clone(),
        trace: context::trace(request),
        plan: Arc::clone(plan),
        input,
        budget,
        permit,
        reply,
    };
    router.try_send(message).map_err(|_| overloaded("the router has no room"))?;
    let mut caller = Caller { id: Some(id), router };
    let answer = answered.await;
    let id = caller.stays();
    answer.map_err(|_| {
        let id = id.map_or_else(String::new, |id| id.to_string());
        Problem::new(
            Code::Internal,
            format!("the run {id} was lost to a fault; look it up before you repeat it"),
        )
    })
}

fn find<'a>(name: &str, state: &'a State) -> Result<&'a Arc<Plan>, Problem> {
    let (operation, version) =
        name.split_once('@').map_or((name, None), |(name, version)| (name, Some(version)));
    let found = state.operation(operation);
    let matches = |plan: &&Arc<Plan>| version.is_none_or(|version| version.parse() == Ok(plan.version));
    found.filter(matches).ok_or_else(|| {
        let detail = match found {
            Some(plan) => format!("`{operation}` exists in version {} only", plan.version),
            None => format!("no file of the configuration defines the operation `{}`", printable(operation)),
        };
        Problem::new(Code::UnknownOperation, detail)
    })
}

fn budget(request: &HttpRequest) -> Result<Option<Duration>, Problem> {
    let Some(value) = request.headers().get(DEADLINE) else { return Ok(None) };
    let millis = value.to_str().ok().and_then(|text| text.parse::<u64>().ok()).filter(|millis| *millis > 0);
    let malformed = || {
        Problem::new(Code::MalformedRequest, "`X-Deadline-Ms` is a whole number of milliseconds, 1 or more")
    };
    millis.map(|millis| Some(Duration::from_millis(millis))).ok_or_else(malformed)
}

fn overloaded(detail: &'static str) -> Problem {
    Problem::new(Code::Overloaded, detail).retry_after(Some(COME_BACK))
}

/// A caller that waits. When it leaves, its future is dropped, and the router is told.
struct Caller<'a> {
    id: Option<RunId>,
    router: &'a Addr<Router>,
}

impl Caller<'_> {
    /// It has its answer.
    const fn stays(&mut self) -> Option<RunId> {
        self.id.take()
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take()
            && self.router.try_send(Abandon(id)).is_err()
        {
            tracing::warn!("could not tell the router that a caller has left");
        }
    }
}
