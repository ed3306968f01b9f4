//! `GET /v1/runs/{id}?wait=N` answers when the run is over, and after N seconds as it stands.

use std::time::Duration;

use causeway::sandbox::Behaviour;

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
