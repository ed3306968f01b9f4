//! `POST /v1/operations/{operation}`: runs an operation and answers its outcome.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use actix_web::http::header::HeaderName;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use causeway_actors::board::Asker;
use causeway_actors::directory::Directory;
use causeway_actors::router::{
    Abandon, Answer, Dispatch, Keeping, NotRun, Reply, Router, RunPermit, Standing, Stays,
};
use causeway_actors::store::{Claim, ConfigurationId, Known, RunRecord, StoredAnswer, Unavailable};
use causeway_core::failure::ErrorClass;
use causeway_core::json::Json;
use causeway_core::name::{ClientName, CorrelationId, RunId};
use causeway_core::operation::{Outcome, Plan, RunStatus};
use causeway_core::priority::Priority;
use causeway_core::time::{Mono, Wall};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::problem::{Code, Problem, printable};
use super::{Live, State, access, answers, body, context, keys, queueing, runs};
use crate::plans::Offer;
use crate::settings::{InFlight, KeySettings, Mode};

const DEADLINE: HeaderName = HeaderName::from_static("x-deadline-ms");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PRIORITY: HeaderName = HeaderName::from_static("x-priority");

/// Headers that ask for what this version cannot promise; better no than a promise that is not kept.
const NOT_YET: [(HeaderName, &str); 1] =
    [(HeaderName::from_static("x-connection"), "an integration has only its own credentials")];
const NOT_BEFORE: HeaderName = HeaderName::from_static("x-not-before");

/// How long a caller is told to wait when the server has no room or is stopping.
pub(super) const COME_BACK: Duration = Duration::from_secs(1);
/// How often a caller that waits for another's run looks whether it is over: at first, and at most.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

pub(super) async fn run(
    request: HttpRequest,
    payload: Payload,
    name: Path<String>,
    state: Data<State>,
    router: Data<Addr<Router>>,
) -> Result<HttpResponse, Problem> {
    let correlation_id = context::correlation_id(&request);
    let correlated = |problem: Problem| problem.correlated(correlation_id.as_str());
    let (asked, client_place) = Asked::read(&request, payload, &name, &state).await.map_err(correlated)?;
    let arrived = state.clock().mono();
    if asked.is_queued {
        return queueing::run(&request, &state, &asked, &correlation_id, arrived).await.map_err(correlated);
    }
    let mut client_place = Some(client_place);
    loop {
        let place = client_place.take().flatten();
        let reply = dispatch(&request, &state, &router, &correlation_id, &asked, place);
        let reply =
            known_instead(&state, &asked, reply.await.map_err(correlated)?).await.map_err(correlated)?;
        match reply {
            Ok(Answer { outcome, standing }) => {
                asked.count("new");
                return told(outcome, standing, &correlation_id);
            }
            Err(NotRun::Known(known)) => {
                let awaited = attached(&state, &asked, known, arrived).await.map_err(correlated)?;
                if let Some(answer) = awaited {
                    return Ok(answer);
                }
                // It came to nothing, and its key is free again.
            }
            Err(NotRun::Unavailable { error, ended }) => return Err(correlated(unavailable(&error, ended))),
            Err(NotRun::Late) => {
                let detail =
                    "the deadline passed before the run could be written down; nothing was sent for it";
                return Err(correlated(Problem::new(Code::DeadlineExceeded, detail)));
            }
        }
    }
}

/// The run that the caller's key belongs to already, if it belongs to one.
pub(super) async fn known(state: &State, asked: &Asked) -> Result<Option<Known>, Problem> {
    let Some(claim) = &asked.claim else { return Ok(None) };
    let known = state.store().known(claim.scope, state.clock().now().wall).await;
    known.map_err(|error| unavailable(&error, false))
}

/// Where there was no room for the run: whoever has asked before is answered all the same.
async fn known_instead(state: &State, asked: &Asked, reply: Reply) -> Result<Reply, Problem> {
    let has_no_room = |outcome: &Outcome| {
        let class = outcome.error.as_ref().map(|error| error.class);
        !outcome.sent && class == Some(ErrorClass::Overloaded)
    };
    match reply {
        Ok(Answer { outcome, standing: Standing::Over }) if has_no_room(&outcome) => {
            let known = known(state, asked).await?.filter(|known| known.id != outcome.id);
            Ok(known.map_or(Ok(Answer { outcome, standing: Standing::Over }), |it| Err(NotRun::Known(it))))
        }
        reply => Ok(reply),
    }
}

fn told(
    outcome: Outcome,
    standing: Standing,
    correlation_id: &CorrelationId,
) -> Result<HttpResponse, Problem> {
    match (standing, outcome.status) {
        (Standing::Over, RunStatus::Succeeded | RunStatus::Partial) => {
            let mut response = HttpResponse::Ok();
            response.content_type("application/json");
            response.insert_header((context::CORRELATION_ID, correlation_id.as_str()));
            Ok(response.body(answers::of(&outcome, false).body))
        }
        (Standing::Accepted, _) => Ok(runs::goes_on(&outcome)),
        (Standing::Over | Standing::Pending, _) => Err(Problem::of_run(outcome, standing)),
    }
}

/// What the store's failure means to a caller.
pub(super) fn unavailable(error: &Unavailable, ended: bool) -> Problem {
    let detail = if ended {
        format!(
            "{error}; the run has ended, and its end is written down as soon as that can be done: ask again with the same \
             key, or look it up"
        )
    } else {
        format!("{error}; nothing was sent")
    };
    Problem::new(Code::StoreUnavailable, detail).retry_after(Some(COME_BACK))
}

/// Waits for the end of the run that a key belongs to, as long as its caller does. `None`: it came to nothing.
async fn attached(
    state: &State,
    asked: &Asked,
    known: Known,
    arrived: Mono,
) -> Result<Option<HttpResponse>, Problem> {
    let Known { id, fingerprint, answer } = known;
    if asked.claim.as_ref().is_some_and(|claim| claim.fingerprint != fingerprint) {
        asked.count("mismatch");
        let detail = format!(
            "the key was used for the run {id}, with another input or version; a new request needs a new key, and \
             nothing was done for this one"
        );
        return Err(Problem::new(Code::IdempotencyKeyReused, detail));
    }
    if let Some(answer) = answer {
        asked.count("replayed");
        return Ok(Some(answers::again(&answer)));
    }
    if asked.keys.in_flight == InFlight::Conflict {
        return Err(in_flight(state, asked, &id));
    }
    asked.count("attached");
    let time = asked.budget.map_or(asked.plan.deadline, |budget| budget.min(asked.plan.deadline));
    let wait = asked.wait.filter(|wait| *wait < time);
    let until = arrived + wait.unwrap_or(time);
    // However often the run of another comes to nothing meanwhile.
    if state.clock().mono() < until {
        let end = tokio::time::timeout_at(state.clock().instant(until), end_of(state, &id));
        if let Ok(answer) = end.await {
            let answer = answer.map_err(|error| unavailable(&error, false))?;
            return Ok(answer.map(|answer| answers::again(&answer)));
        }
    }
    if wait.is_some() {
        goes_on(state, asked, &id).await.map(Some)
    } else {
        Err(in_flight(state, asked, &id))
    }
}

/// Tells where the run of the same key is to be found.
pub(super) async fn goes_on(state: &State, asked: &Asked, id: &RunId) -> Result<HttpResponse, Problem> {
    let record = state.store().run(id.clone()).await.map_err(|error| unavailable(&error, false))?;
    let told = |record: RunRecord| match &record.answer {
        Some(answer) => answers::again(answer),
        None => runs::goes_on_again(&record),
    };
    record.map(told).ok_or_else(|| in_flight(state, asked, id))
}

pub(super) fn in_flight(state: &State, asked: &Asked, id: &RunId) -> Problem {
    asked.count("conflict");
    let detail = format!("the run {id}, of the same key, is under way; ask again, or look it up");
    // Whose key it is, whose run it is.
    let so_far = state.mesh().board().run(id.as_str(), Asker::Anybody);
    Problem::new(Code::RunInFlight, detail).so_far(so_far).retry_after(Some(COME_BACK))
}

/// The answer of a run that is under way, when it is over; `None` where it has come to nothing.
pub(super) async fn end_of(state: &State, id: &RunId) -> Result<Option<StoredAnswer>, Unavailable> {
    let [mut wait, longest] = LOOK_AGAIN;
    loop {
        let end = state.mesh().board().end_of_run(id.as_str(), Asker::Anybody);
        let ended = end.as_ref().map(|end| end.notified());
        match state.store().run(id.clone()).await? {
            None => return Ok(None),
            Some(RunRecord { answer: Some(answer), .. }) => return Ok(Some(answer)),
            Some(_) => {}
        }
        match ended {
            // It says when it is over; it is looked at all the same, should another server have it.
            Some(ended) => drop(tokio::time::timeout(longest, ended).await),
            None => tokio::time::sleep(wait).await,
        }
        wait = (wait * 2).min(longest);
    }
}

/// What a caller asks for, read and checked.
pub(super) struct Asked {
    pub(super) plan: Arc<Plan>,
    pub(super) directory: Arc<Directory>,
    pub(super) configuration: ConfigurationId,
    pub(super) keys: KeySettings,
    pub(super) claim: Option<Claim>,
    pub(super) journal: bool,
    pub(super) input: Json,
    pub(super) budget: Option<Duration>,
    pub(super) wait: Option<Duration>,
    pub(super) priority: Option<Priority>,
    pub(super) client: Option<ClientName>,
    /// Nobody waits: it is executed by and by.
    is_queued: bool,
    /// Not before then.
    pub(super) not_before: Option<Wall>,
}

impl Asked {
    async fn read(
        request: &HttpRequest,
        payload: Payload,
        name: &str,
        state: &State,
    ) -> Result<(Self, Option<OwnedSemaphorePermit>), Problem> {
        let (operation, version) =
            name.split_once('@').map_or((name, None), |(name, text)| (name, Some(text)));
        let (client, place) = access::admit(request, state, operation)?;
        let live = state.live();
        let Offer { plan, input: schema, keys, journal, mode, .. } = find(name, &live)?.clone();
        let (directory, configuration) = (Arc::clone(live.directory()), live.configuration());
        let max_body = live.max_body();
        drop(live);
        for (header, why) in NOT_YET {
            if request.headers().contains_key(&header) {
                return Err(not_yet(&header, why));
            }
        }
        let key = keys::key(request, &plan.operation, keys)?;
        let (budget, preferred, priority) = (budget(request)?, preferred(request)?, priority(request)?);
        let is_queued = mode == Mode::Async || preferred.respond_async;
        let not_before = not_before(request)?;
        if not_before.is_some() && !is_queued {
            let detail = "`X-Not-Before` is for runs that nobody waits for: ask with `Prefer: respond-async`";
            return Err(malformed(detail));
        }
        let input = body::json(request, payload, body::Max::Configured(max_body)).await?;
        if let Some(schema) = schema {
            let violations = schema.violations(&input);
            if !violations.is_empty() {
                let detail =
                    format!("the input does not look as `{}` takes it; see `errors`", plan.operation);
                return Err(Problem::new(Code::InvalidInput, detail).violations(violations));
            }
        }
        let version = version.map(|_| plan.version);
        let claim = key.map(|key| keys::claim(&key, client.as_ref(), &plan.operation, version, &input, keys));
        let asked = Self {
            plan,
            directory,
            configuration,
            keys,
            claim,
            journal,
            input,
            budget,
            wait: preferred.wait,
            priority,
            client,
            is_queued,
            not_before,
        };
        Ok((asked, place))
    }

    /// Whether the run is written down, and how: what may act, what has a key, what its caller may not wait for, and
    /// what is to be.
    fn keeping(&self) -> Option<Keeping> {
        let stays = if self.journal {
            Stays::Always
        } else if self.plan.may_act() || self.plan.leaves_work() || self.claim.is_some() {
            Stays::IfSent
        } else if self.wait.is_some() {
            Stays::IfPromised
        } else {
            return None;
        };
        Some(Keeping { claim: self.claim, configuration: self.configuration, stays })
    }

    /// Counts what became of the key, if there is one.
    pub(super) fn count(&self, result: &'static str) {
        if self.claim.is_some() {
            keys::count(&self.plan.operation, result);
        }
    }
}

async fn dispatch(
    request: &HttpRequest,
    state: &State,
    router: &Addr<Router>,
    correlation_id: &CorrelationId,
    asked: &Asked,
    client_place: Option<OwnedSemaphorePermit>,
) -> Result<Reply, Problem> {
    if state.refusing() {
        let detail = "the server is stopping and takes no new runs; another one may";
        return Err(Problem::new(Code::Draining, detail).retry_after(Some(COME_BACK)));
    }
    let Some(permit) = state.run_permit() else {
        return match known(state, asked).await? {
            Some(known) => Ok(Err(NotRun::Known(known))),
            None => Err(overloaded("as many runs are under way as may be")),
        };
    };
    let (reply, answered) = oneshot::channel();
    let id = context::run_id();
    let message = Dispatch {
        id: id.clone(),
        correlation_id: correlation_id.clone(),
        trace: context::trace(request, state.sample()),
        plan: Arc::clone(&asked.plan),
        directory: Arc::clone(&asked.directory),
        input: asked.input.clone(),
        budget: asked.budget,
        wait: asked.wait,
        priority: asked.priority,
        permit: RunPermit::new(permit, client_place),
        client: asked.client.clone(),
        keeping: asked.keeping(),
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

/// What the caller prefers, as RFC 7240 has it.
#[derive(Default)]
struct Preferred {
    /// How long it wants to wait.
    wait: Option<Duration>,
    /// Not at all.
    respond_async: bool,
}

/// Preferences of other kinds are passed over.
fn preferred(request: &HttpRequest) -> Result<Preferred, Problem> {
    let mut preferred = Preferred::default();
    for value in request.headers().get_all(PREFER) {
        let text = value.to_str().map_err(|_| malformed("`Prefer` is not text"))?;
        for preference in text.split(',').filter_map(|preference| preference.split(';').next()) {
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => preferred.respond_async = true,
                "wait" => {
                    let seconds = value.trim().trim_matches('"').parse::<u32>();
                    let seconds =
                        seconds.map_err(|_| malformed("`Prefer: wait` is a whole number of seconds"))?;
                    preferred.wait.get_or_insert(Duration::from_secs(seconds.into()));
                }
                _ => {}
            }
        }
    }
    Ok(preferred)
}

fn not_before(request: &HttpRequest) -> Result<Option<Wall>, Problem> {
    let Some(value) = request.headers().get(NOT_BEFORE) else { return Ok(None) };
    let at: Option<jiff::Timestamp> = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let millis = at.map(|at| u64::try_from(at.as_millisecond()).unwrap_or(0));
    let wrong = || malformed("`X-Not-Before` is a time such as 2026-11-24T09:30:00Z (RFC 3339)");
    millis.map(|millis| Some(Wall::from_unix_millis(millis))).ok_or_else(wrong)
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
