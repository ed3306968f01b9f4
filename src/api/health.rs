//! `GET /v1/health`: how the mesh is doing, integration by integration.

use std::collections::BTreeMap;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use causeway_actors::board::{Condition, Snapshot};
use causeway_core::breaker::State as BreakerState;
use causeway_core::time::Now;
use serde::Serialize;

use super::{State, context};

/// How well something does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Health {
    Healthy,
    Degraded,
    /// Its queue rests; who waits for an answer is served.
    Paused,
    Down,
}

#[derive(Serialize)]
struct Document<'a> {
    status: Health,
    region: &'a str,
    integrations: BTreeMap<&'a str, IntegrationHealth>,
}

#[derive(Serialize)]
pub(super) struct IntegrationHealth {
    pub(super) status: Health,
    pub(super) breaker: &'static str,
    pub(super) reasons: Vec<&'static str>,
}

pub(super) async fn show(request: HttpRequest, state: Data<State>) -> HttpResponse {
    let now = state.clock().now();
    let (board, directory) = (state.mesh().board(), state.mesh().directory());
    let integrations: BTreeMap<_, _> = directory
        .places()
        .filter_map(|place| {
            let paused = state.queues().is_paused(place.name());
            Some((place.name().as_str(), of(&*board.integration(place.name().as_str())?, paused, now)))
        })
        .collect();
    let mut response = HttpResponse::Ok();
    response.insert_header((context::CORRELATION_ID, context::correlation_id(&request).as_str()));
    response.json(Document { status: overall(&integrations), region: state.live().region(), integrations })
}

/// Down when all are down, degraded when any is not healthy.
fn overall(integrations: &BTreeMap<&str, IntegrationHealth>) -> Health {
    let best = integrations.values().map(|health| health.status).min().unwrap_or(Health::Healthy);
    let worst = integrations.values().map(|health| health.status).max().unwrap_or(Health::Healthy);
    match (best, worst) {
        (_, Health::Healthy) => Health::Healthy,
        (Health::Down, _) => Health::Down,
        _ => Health::Degraded,
    }
}

/// One integration's health, as its snapshot tells it at `now`, and whether its queue is paused.
pub(super) fn of(snapshot: &Snapshot, paused: bool, now: Now) -> IntegrationHealth {
    let view = &snapshot.view;
    let mut found = Vec::new();
    let age = now.mono.since(snapshot.at.mono);
    match view.state {
        BreakerState::Open => {
            found.push((Health::Down, "breaker_open"));
            if view.is_due(age) {
                found.push((Health::Down, "breaker_due"));
            }
        }
        BreakerState::ForcedOpen => found.push((Health::Down, "breaker_forced_open")),
        BreakerState::HalfOpen => found.push((Health::Degraded, "breaker_half_open")),
        BreakerState::Disabled => found.push((Health::Healthy, "breaker_disabled")),
        BreakerState::MetricsOnly if view.would != Some(BreakerState::Closed) => {
            found.push((Health::Degraded, "breaker_would_be_open"));
        }
        BreakerState::Closed | BreakerState::MetricsOnly => {}
    }
    match snapshot.condition {
        Condition::Running => {}
        Condition::Restarting => found.push((Health::Degraded, "restarting")),
        Condition::Quarantined => found.push((Health::Down, "quarantined")),
    }
    if view.parked_for.is_some_and(|left| left > age) {
        found.push((Health::Degraded, "rate_limited"));
    }
    if paused {
        found.push((Health::Paused, "paused"));
    }
    let status = found.iter().map(|(health, _)| *health).max().unwrap_or(Health::Healthy);
    let reasons = found.into_iter().map(|(_, reason)| reason).collect();
    IntegrationHealth { status, breaker: view.state.as_str(), reasons }
}
