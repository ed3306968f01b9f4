//! `/livez`, `/readyz` and `/metrics`, for orchestrators and scrapers.
//!
//! Readiness depends on Causeway and its store, never on a provider: a provider that is down must not take the server
//! out of rotation.

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::State;

/// The text format of Prometheus.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

pub(super) async fn ready(
    state: Data<State>,
    query: actix_web::web::Query<Vec<(String, String)>>,
) -> HttpResponse {
    let (ready, word) = match (state.refusing(), state.store().works()) {
        (true, _) => (false, "draining"),
        (false, false) => (false, "the store fails"),
        (false, true) => (true, "ready"),
    };
    let mut text = format!("{word}\n");
    if query.iter().any(|(name, _)| name == "verbose") {
        let runs = format!("runs in flight: {}\n", state.runs_in_flight());
        text.push_str(&runs);
        text.push_str(if state.store().works() { "store: works\n" } else { "store: fails\n" });
        for place in state.mesh().directory().places() {
            let posted = state.mesh().board().integration(place.name().as_str()).is_some();
            let line =
                format!("integration {}: {}\n", place.name(), if posted { "started" } else { "starting" });
            text.push_str(&line);
        }
    }
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.content_type("text/plain; charset=utf-8").body(text)
}

pub(super) async fn metrics(state: Data<State>) -> HttpResponse {
    match state.metrics() {
        Some(metrics) => HttpResponse::Ok().content_type(EXPOSITION).body(metrics.render()),
        None => HttpResponse::NotFound()
            .content_type("text/plain; charset=utf-8")
            .body("this server keeps no metrics\n"),
    }
}
