//! `GET /v1/runs/{id}?wait=N` answers when the run is over, and after N seconds as it stands.

use std::time::Duration;

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::queued::{self, LATER, place};
use crate::support::wait::Watch;
use crate::support::{Ask, Config, Provider, Server, charge};

#[tokio::test]
async fn and_no_longer_than_asked() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    provider.always(Behaviour::normal().delayed(Duration::from_secs(3)));
    let accepted = server.api.send(Ask::run("payments.charge", &charge()).header("prefer", "wait=0")).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let path = accepted.header("location").expect("where to look").to_owned();
    let watch = Watch::start();
    let running = server.api.get(&format!("{path}?wait=0")).await.ok();
    assert_eq!(running["status"], "running");
    let running = server.api.get(&format!("{path}?wait=1")).await.ok();
    assert_eq!(running["status"], "running");
    assert!(watch.elapsed() >= Duration::from_secs(1));

    // Two wait, and both are told; who comes later is told at once.
    let wait = format!("{path}?wait=60");
    let (one, other) = tokio::join!(server.api.get(&wait), server.api.get(&wait));
    for answer in [one, other, server.api.get(&wait).await] {
        assert_eq!(answer.ok()["status"], "succeeded");
    }
    assert!(watch.elapsed() < Duration::from_secs(30), "the end was noticed and not the wait's");
    for query in ["wait=61", "wait=-1", "wait=x", "weight=1"] {
        server.api.get(&format!("{path}?{query}")).await.problem(400, "malformed_request");
    }
    server.api.get("/v1/runs/run_0?wait=60").await.problem(404, "unknown_run");
}

#[tokio::test]
async fn and_through_all_tries_of_a_queued_run() {
    let provider = Provider::start();
    let retry = "[retry]\nmax_retries = 0\n[retry.queued]\nmax_delay = \"50ms\"\n";
    let server = Server::start(&Config::payments(&provider.url(), retry).operation("later", LATER));
    let slow = || Behaviour::status(503).delayed(Duration::from_millis(300));
    provider.next([slow(), slow()]);
    let wait = format!("{}?wait=20", place(&server.api.send(queued::of("later", 1250)).await));
    // It waits for its turn, is under way, and is put off twice.
    let (while_queued, while_running) = tokio::join!(server.api.get(&wait), async {
        provider.arrived(1).await;
        server.api.get(&wait).await
    });
    for run in [while_queued.ok(), while_running.ok()] {
        assert_eq!((&run["status"], provider.arrivals().len()), (&json!("succeeded"), 3), "{run}");
    }
}
