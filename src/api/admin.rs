//! `/admin/v1/integrations`: what operators see and do.
//!
//! State comes from the board; commands go to the integration's actor and are answered when they have taken effect.
//! What they say is written down before it takes effect, with who says it and why, and holds after a restart; where it could
//! not be written down it takes effect all the same, and answers say so (`durable: false`).

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use causeway_actors::board::{Condition, Snapshot};
use causeway_actors::directory::Place;
use causeway_actors::store::Control;
use causeway_core::breaker::{By, ModeChange, ModeKind};
use causeway_core::time::{Now, Wall};
use causeway_core::window::Counts;
use serde::{Deserialize, Serialize};

use super::body::Max;
use super::health::{self, Health};
use super::problem::{Code, Problem, printable};
use super::shown::Notice;
use super::{State, access, body, operations, page};
use crate::control::{self, Command};
use crate::settings::duration;

/// The largest body of a command, in bytes.
const MAX_COMMAND: usize = 16 << 10;
/// The longest reason, in characters.
const MAX_REASON: usize = 500;

#[derive(Serialize)]
struct Integration {
    name: String,
    title: Option<String>,
    group: Option<String>,
    owner: Option<String>,
    runbook: Option<String>,
    status: Health,
    reasons: Vec<&'static str>,
    breaker: Breaker,
    limits: Vec<Limit>,
    parked_for_ms: Option<u64>,
    pool: Pool,
    queue: Queue,
    actor: Actor,
    notices: Vec<Notice>,
    as_of: Wall,
    durable: bool,
}

#[derive(Serialize)]
struct Breaker {
    mode: &'static str,
    state: &'static str,
    epoch: u64,
    window: Window,
    /// The state it would be in, where it only tells.
    would: Option<&'static str>,
    /// How often it has opened without having been closed in between.
    openings: u32,
    /// Until an open breaker may try again; 0: due.
    retry_in_ms: Option<u64>,
    /// Open only because nobody has asked since its time was up: the next call tries.
    due: bool,
    trials_out: u32,
    manual: Option<Manual>,
}

#[derive(Serialize)]
struct Window {
    calls: u32,
    failures: u32,
    slow: u32,
}

/// Who has set the mode, why, and until when.
#[derive(Serialize)]
struct Manual {
    source: &'static str,
    /// The operator, where it is known.
    by: Option<String>,
    reason: String,
    /// `null`: since the settings say so.
    since: Option<Wall>,
    /// `null`: until another command.
    until: Option<Wall>,
}

#[derive(Serialize)]
struct Limit {
    name: String,
    remaining: u32,
    capacity: u32,
    resets_in_ms: u64,
    /// Tokens of a calendar that are reserved on disk and not used yet; none of other kinds.
    reserved: Option<u32>,
}

#[derive(Serialize)]
struct Pool {
    in_flight: u32,
    capacity: u32,
    queued: usize,
    /// Calls not yet answered: on the wire, waiting and backing off.
    calls: usize,
}

/// Runs that nobody waits for.
#[derive(Serialize)]
struct Queue {
    /// Nothing is leased until it is resumed.
    paused: bool,
    /// They could be executed now.
    pending: u64,
    /// They wait for their time.
    delayed: u64,
    /// They are executed.
    leased: u64,
    slots: u32,
    max_pending: u32,
}

#[derive(Serialize)]
struct Actor {
    condition: &'static str,
    generation: u64,
}

pub(super) async fn list(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, Problem> {
    let directory = state.mesh().directory();
    let item = |place: &Arc<Place>| Some((place.name().to_string(), document(&state, place)?));
    let items: Vec<_> = directory.places().filter_map(item).collect();
    Ok(HttpResponse::Ok().json(page::of(&request, items)?))
}

pub(super) async fn show(name: Path<String>, state: Data<State>) -> Result<HttpResponse, Problem> {
    answer(&state, &*find(&state, &name)?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TripCommand {
    reason: String,
    #[serde(rename = "for")]
    lasting: Option<String>,
}

pub(super) async fn trip(
    request: HttpRequest,
    payload: Payload,
    name: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let place = &*find(&state, &name)?;
    let command: TripCommand = command(&request, payload).await?;
    let reason = reason(command.reason)?;
    let lasting = command.lasting.map(|text| lasting(&text)).transpose()?;
    let by = By::Operator(access::operator(&request));
    let change = ModeChange { by, ..ModeChange::trip(reason, lasting) };
    tell_mode(&request, &state, place, "breaker.trip", &change).await;
    place.set_mode(change).await.map_err(|error| unreachable(&error))?;
    answer(&state, place)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModeCommand {
    mode: String,
    reason: String,
    #[serde(rename = "for")]
    lasting: Option<String>,
}

pub(super) async fn set_mode(
    request: HttpRequest,
    payload: Payload,
    name: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let place = find(&state, &name)?;
    let command: ModeCommand = command(&request, payload).await?;
    let mode = mode(&command.mode)?;
    let reason = reason(command.reason)?;
    let lasting = command.lasting.map(|text| lasting(&text)).transpose()?;
    if mode == ModeKind::Auto && lasting.is_some() {
        let detail = "`for` is of the manual modes: leave it out, \"auto\" lasts until another mode is set";
        return Err(Problem::new(Code::MalformedRequest, detail));
    }
    let by = By::Operator(access::operator(&request));
    let change = ModeChange { mode, reason, by, lasting };
    tell_mode(&request, &state, &place, "breaker.mode", &change).await;
    place.set_mode(change).await.map_err(|error| unreachable(&error))?;
    answer(&state, &place)
}

fn mode(text: &str) -> Result<ModeKind, Problem> {
    ModeKind::named(text).ok_or_else(|| {
        let known = ModeKind::ALL.map(|kind| format!("\"{}\"", kind.as_str())).join(", ");
        Problem::new(Code::MalformedRequest, format!("`mode` is one of {known}"))
    })
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ResetCommand {
    reason: Option<String>,
}

pub(super) async fn reset(
    request: HttpRequest,
    payload: Payload,
    name: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let place = &*find(&state, &name)?;
    let command: ResetCommand = command(&request, payload).await?;
    let reason = command.reason.map(reason).transpose()?;
    let (operator, subject) = (access::operator(&request), place.name().as_str());
    let command = Command { operator, action: "breaker.reset", subject, reason: reason.clone() };
    let written = control::audit(&state, command, Some(control::of_reset(subject))).await;
    state.written(subject, written);
    place.reset(reason, access::operator(&request)).await.map_err(|error| unreachable(&error))?;
    answer(&state, place)
}

/// Writes down that a breaker's mode is set.
async fn tell_mode(
    request: &HttpRequest,
    state: &State,
    place: &Place,
    action: &'static str,
    change: &ModeChange,
) {
    let (operator, subject) = (access::operator(request), place.name().as_str());
    let kept = control::of_mode(subject, change, state.clock().now().wall);
    let command = Command { operator, action, subject, reason: Some(change.reason.clone()) };
    let written = control::audit(state, command, Some(kept)).await;
    state.written(subject, written);
}

/// Stops leasing queued runs; those that are executed go on.
pub(super) async fn pause(
    request: HttpRequest,
    payload: Payload,
    name: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    set_paused(&request, payload, &name, &state, true).await
}

/// Starts leasing again.
pub(super) async fn resume(
    request: HttpRequest,
    payload: Payload,
    name: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    set_paused(&request, payload, &name, &state, false).await
}

async fn set_paused(
    request: &HttpRequest,
    payload: Payload,
    name: &str,
    state: &State,
    paused: bool,
) -> Result<HttpResponse, Problem> {
    let place = &*find(state, name)?;
    let command: ResetCommand = command(request, payload).await?;
    let reason = command.reason.map(reason).transpose()?;
    let (operator, subject) = (access::operator(request), place.name().as_str());
    let action = if paused { "queue.pause" } else { "queue.resume" };
    let command = Command { operator, action, subject, reason };
    let written = control::audit(state, command, Some(control::of_pause(subject, paused))).await;
    state.written(subject, written);
    state.queues().set_paused(place.name(), paused);
    answer(state, place)
}

pub(super) async fn command<T: for<'de> Deserialize<'de>>(
    request: &HttpRequest,
    payload: Payload,
) -> Result<T, Problem> {
    let json = body::json(request, payload, Max::Fixed(MAX_COMMAND)).await?;
    serde_json::from_str(json.as_str()).map_err(|error| {
        Problem::new(Code::MalformedRequest, format!("the body: {}", printable(&error.to_string())))
    })
}

/// Writes a command down that is not carried out where that cannot be done.
pub(super) async fn audited(
    state: &State,
    spoken: Command<'_>,
    control: Option<Control>,
) -> Result<(), Problem> {
    control::audited(state, spoken, control).await.map_err(|error| {
        let detail = format!("{error}; the command could not be written down and was not carried out");
        Problem::new(Code::StoreUnavailable, detail).retry_after(Some(operations::COME_BACK))
    })
}

pub(super) fn reason(text: String) -> Result<String, Problem> {
    if text.trim().is_empty() || text.chars().count() > MAX_REASON {
        let detail = format!("`reason` says why, in 1 to {MAX_REASON} characters");
        return Err(Problem::new(Code::MalformedRequest, detail));
    }
    Ok(text)
}

fn lasting(text: &str) -> Result<Duration, Problem> {
    duration(text).filter(|span| !span.is_zero()).ok_or_else(|| {
        Problem::new(
            Code::MalformedRequest,
            "`for` is a duration such as \"250ms\", \"30s\", \"5m\" or \"12h\"",
        )
    })
}

fn unreachable(error: &causeway_actors::directory::Unreachable) -> Problem {
    Problem::new(Code::Overloaded, error.to_string()).retry_after(Some(Duration::from_secs(1)))
}

fn find(state: &State, name: &str) -> Result<Arc<Place>, Problem> {
    state.mesh().directory().find(name).cloned().ok_or_else(|| {
        let detail = format!("no file of the configuration defines the integration `{}`", printable(name));
        Problem::new(Code::UnknownIntegration, detail)
    })
}

fn answer(state: &State, place: &Place) -> Result<HttpResponse, Problem> {
    let starting = || Problem::new(Code::Overloaded, "the integration is starting; try again");
    Ok(HttpResponse::Ok().json(document(state, place).ok_or_else(starting)?))
}

fn document(state: &State, place: &Place) -> Option<Integration> {
    let snapshot = state.mesh().board().integration(place.name().as_str())?;
    let now = state.clock().now();
    let health = health::of(&snapshot, state.queues().is_paused(place.name()), now);
    let view = &snapshot.view;
    let age = now.mono.since(snapshot.at.mono);
    let live = state.live();
    let about = |key| live.shown().of_integration(place.name().as_str(), key);
    Some(Integration {
        name: place.name().to_string(),
        title: place.plan().title.clone(),
        group: about("group"),
        owner: about("owner"),
        runbook: about("runbook"),
        status: health.status,
        reasons: health.reasons,
        breaker: breaker(&snapshot, now),
        limits: view
            .limits
            .iter()
            .map(|limit| Limit {
                name: limit.name.to_string(),
                remaining: limit.remaining,
                capacity: limit.capacity,
                resets_in_ms: millis(limit.resets_in.saturating_sub(age)),
                reserved: limit.reserved,
            })
            .collect(),
        parked_for_ms: view.parked_for.and_then(|left| left.checked_sub(age)).map(millis),
        pool: Pool {
            in_flight: view.in_flight,
            capacity: view.capacity,
            queued: view.queued,
            calls: view.calls,
        },
        queue: queue(state, place),
        actor: Actor {
            condition: match snapshot.condition {
                Condition::Running => "running",
                Condition::Restarting => "restarting",
                Condition::Quarantined => "quarantined",
            },
            generation: snapshot.generation,
        },
        notices: live.shown().notices_of(place.name().as_str()),
        as_of: snapshot.at.wall,
        durable: state.remembers(place.name().as_str()),
    })
}

fn queue(state: &State, place: &Place) -> Queue {
    let (queues, spec) = (state.queues(), &place.plan().queue);
    let depth = queues.depth(place.name());
    let [pending, delayed, leased] =
        depth.map_or([0; 3], |depth| [depth.pending, depth.delayed, depth.leased]);
    let paused = queues.is_paused(place.name());
    Queue { paused, pending, delayed, leased, slots: spec.slots, max_pending: spec.max_pending }
}

fn breaker(snapshot: &Snapshot, now: Now) -> Breaker {
    let view = &snapshot.view;
    let age = now.mono.since(snapshot.at.mono);
    let manual = view.mode.manual().map(|manual| {
        let (source, by) = match &manual.by {
            By::Settings => ("settings", None),
            By::Operator(name) => ("operator", name.clone()),
        };
        let until = manual.until.map(|until| snapshot.at.wall + until.since(snapshot.at.mono));
        Manual { source, by, reason: manual.reason.clone(), since: manual.since, until }
    });
    let Counts { calls, failures, slow } = view.window;
    Breaker {
        mode: view.mode.kind().as_str(),
        state: view.state.as_str(),
        epoch: view.epoch,
        window: Window { calls, failures, slow },
        would: view.would.map(|state| state.as_str()),
        openings: view.openings,
        retry_in_ms: view.retry_in.map(|left| millis(left.saturating_sub(age))),
        due: view.is_due(age),
        trials_out: view.trials_out,
        manual,
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
