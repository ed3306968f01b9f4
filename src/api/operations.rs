//! `POST /v1/operations/{operation}`: runs an operation and answers its outcome.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use actix_web::http::header::HeaderName;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use causeway_actors::router::{Abandon, Answer, Dispatch, Router, RunPermit, Standing};
use causeway_core::name::RunId;
use causeway_core::operation::RunStatus;
use causeway_core::priority::Priority;
use tokio::sync::oneshot;

use super::problem::{Code, Problem, printable};
use super::{Live, State, access, body, context, runs};
use crate::plans::Offer;

const DEADLINE: HeaderName = HeaderName::from_static("x-deadline-ms");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PRIORITY: HeaderName = HeaderName::from_static("x-priority");

/// Headers that ask for what this version cannot promise; better no than a promise that is not kept.
const NOT_YET: [(HeaderName, &str); 3] = [
    (
        HeaderName::from_static("idempotency-key"),
        "runs are not yet kept on disk, so a repetition is not recognised",
    ),
    (HeaderName::from_static("x-connection"), "an integration has only its own credentials"),
    (HeaderName::from_static("x-not-before"), "operations are only run at once"),
];

/// How long a caller is told to wait when the server has no room or is stopping.
pub(super) const COME_BACK: Duration = Duration::from_secs(1);

pub(super) async fn run(
    request: HttpRequest,
    payload: Payload,
    name: Path<String>,
    state: Data<State>,
    router: Data<Addr<Router>>,
) -> Result<HttpResponse, Problem> {
    let correlation_id = context::correlation_id(&request);
    let answer = dispatch(&request, payload, &name, &state, &router, &correlation_id);
    let Answer { outcome, standing } =
        answer.await.map_err(|problem| problem.correlated(correlation_id.as_str()))?;
    match (standing, outcome.status) {
        (Standing::Over, RunStatus::Succeeded | RunStatus::Partial) => {
            let mut response = HttpResponse::Ok();
            response.content_type("application/json");
            response.insert_header((context::CORRELATION_ID, correlation_id.as_str()));
            Ok(response.body(serde_json::to_vec(&outcome).unwrap_or_default()))
        }
        (Standing::Accepted, _) => Ok(runs::goes_on(&outcome)),
        (Standing::Over | Standing::Pending, _) => Err(Problem::of_run(outcome, standing)),
    }
}

async fn dispatch(
    request: &HttpRequest,
    payload: Payload,
    name: &str,
    state: &State,
    router: &Addr<Router>,
    correlation_id: &causeway_core::name::CorrelationId,
) -> Result<Answer, Problem> {
    let (operation, _) = name.split_once('@').unwrap_or((name, ""));
    let (client, place) = access::admit(request, state, operation)?;
    let live = state.live();
    let (Offer { plan, input: schema, .. }, directory, max_body) =
        (find(name, &live)?.clone(), Arc::clone(live.directory()), live.max_body());
    drop(live);
    for (header, why) in NOT_YET {
        if request.headers().contains_key(&header) {
            return Err(not_yet(&header, why));
        }
    }
    let (budget, wait, priority) = (budget(request)?, patience(request)?, priority(request)?);
    let input = body::json(request, payload, max_body).await?;
    if let Some(schema) = schema {
        let violations = schema.violations(&input);
        if !violations.is_empty() {
            let detail = format!("the input does not look as `{}` takes it; see `errors`", plan.operation);
            return Err(Problem::new(Code::InvalidInput, detail).violations(violations));
        }
    }
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
        trace: context::trace(request, state.sample()),
        plan,
        directory,
        input,
        budget,
        wait,
        priority,
        permit: RunPermit::new(permit, place),
        client,
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

fn find<'a>(name: &str, live: &'a Live) -> Result<&'a Offer, Problem> {
    let (operation, version) =
        name.split_once('@').map_or((name, None), |(name, version)| (name, Some(version)));
    let unknown = |detail: String| Problem::new(Code::UnknownOperation, detail);
    let Some(versions) = live.operation(operation) else {
        let name = printable(operation);
        return Err(unknown(format!("no file of the configuration defines the operation `{name}`")));
    };
    let found = match version {
        Some(version) => version.parse().ok().and_then(|version| versions.version(version)),
        None => versions.current(),
    };
    found.ok_or_else(|| {
        let known: Vec<String> =
            versions.all().map(|offer| format!("`{operation}@{}`", offer.plan.version)).collect();
        let known = known.join(", ");
        unknown(match version {
            Some(_) => format!("`{operation}` does not exist in this version; there is {known}"),
            None => format!("`{operation}` exists only as a preview; ask for {known}"),
        })
    })
}

/// How long the caller wants to wait, as RFC 7240 has it; preferences of other kinds are passed over.
fn patience(request: &HttpRequest) -> Result<Option<Duration>, Problem> {
    let mut wait = None;
    for value in request.headers().get_all(PREFER) {
        let text = value.to_str().map_err(|_| malformed("`Prefer` is not text"))?;
        for preference in text.split(',').filter_map(|preference| preference.split(';').next()) {
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => {
                    return Err(not_yet(&PREFER, "runs are not kept on disk, so none is promised for later"));
                }
                "wait" => {
                    let seconds = value.trim().trim_matches('"').parse::<u32>();
                    let seconds =
                        seconds.map_err(|_| malformed("`Prefer: wait` is a whole number of seconds"))?;
                    wait.get_or_insert(Duration::from_secs(seconds.into()));
                }
                _ => {}
            }
        }
    }
    Ok(wait)
}

fn priority(request: &HttpRequest) -> Result<Option<Priority>, Problem> {
    let Some(value) = request.headers().get(PRIORITY) else { return Ok(None) };
    let priority = value.to_str().ok().and_then(|text| text.parse().ok());
    priority.map(Some).ok_or_else(|| malformed("`X-Priority` is one of high, normal, low"))
}

fn malformed(detail: &'static str) -> Problem {
    Problem::new(Code::MalformedRequest, detail)
}

fn not_yet(header: &HeaderName, why: &str) -> Problem {
    let detail = format!("the header `{header}` asks for what this version does not have: {why}");
    Problem::new(Code::NotImplemented, detail)
}

fn budget(request: &HttpRequest) -> Result<Option<Duration>, Problem> {
    let Some(value) = request.headers().get(DEADLINE) else { return Ok(None) };
    let millis = value.to_str().ok().and_then(|text| text.parse::<u64>().ok()).filter(|millis| *millis > 0);
    let wrong = || malformed("`X-Deadline-Ms` is a whole number of milliseconds, 1 or more");
    millis.map(|millis| Some(Duration::from_millis(millis))).ok_or_else(wrong)
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
