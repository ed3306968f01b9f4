//! A call that was let through by one state of the breaker says nothing about a later state, however it ends.

use std::time::Duration;

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::{Answer, Config, Provider, Server};

/// One failure opens it, one success closes it.
const NERVOUS: &str = r#"
[retry]
max_retries = 0
[breaker]
failures = 1
open_for = "100ms"
half_open_calls = 1
"#;
/// Long enough for the breaker to open, to be due, and to be probed.
const LATE: Duration = Duration::from_millis(1500);
/// Long enough for the late one to come back meanwhile.
const LATER: Duration = Duration::from_millis(3000);

/// A server whose breaker has opened while a slow call was on its way, and is due.
async fn overtaken(
    provider: &Provider,
    slow: Behaviour,
    probe: Behaviour,
) -> (Server, impl Future<Output = Answer>) {
    let server = Server::start(&Config::payments(&provider.url(), NERVOUS));
    provider.next([slow, Behaviour::status(500), probe]);
    let api = server.api;
    let slow = tokio::spawn(async move { api.run("payments.ping", &json!({})).await });
    provider.arrived(1).await;
    server.api.run("payments.ping", &json!({})).await.problem(502, "provider_failed");
    server.breaker_is_due("payments").await;
    (server, async { slow.await.expect("the slow call is answered") })
}

/// The breaker's state, and how often it has changed.
async fn breaker(server: &Server) -> (String, u64) {
    let breaker = &server.integration("payments").await["breaker"];
    let state = breaker["state"].as_str().expect("a state").to_owned();
    (state, breaker["epoch"].as_u64().expect("an epoch"))
}

#[tokio::test]
async fn a_late_failure_does_not_open_a_breaker_that_has_closed() {
    let provider = Provider::start();
    let (server, slow) =
        overtaken(&provider, Behaviour::status(500).delayed(LATE), Behaviour::normal()).await;
    server.api.run("payments.ping", &json!({})).await.ok();
    server.breaker_is("payments", "closed").await;
    slow.await.problem(502, "provider_failed");

    server.api.run("payments.ping", &json!({})).await.ok();
    assert_eq!(breaker(&server).await, ("closed".to_owned(), 3));
    assert_eq!(provider.arrivals().len(), 4);
}

#[tokio::test]
async fn a_late_failure_does_not_open_a_breaker_that_is_being_probed() {
    let provider = Provider::start();
    let probe = Behaviour::normal().delayed(LATER);
    let (server, slow) = overtaken(&provider, Behaviour::status(500).delayed(LATE), probe).await;
    let api = server.api;
    let probe = tokio::spawn(async move { api.run("payments.ping", &json!({})).await });
    provider.arrived(3).await;
    slow.await.problem(502, "provider_failed");
    assert_eq!(breaker(&server).await, ("half_open".to_owned(), 2));
    probe.await.expect("the probe is answered").ok();
    server.breaker_is("payments", "closed").await;
}

#[tokio::test]
async fn a_late_success_does_not_close_a_breaker_that_is_being_probed() {
    let provider = Provider::start();
    let probe = Behaviour::status(500).delayed(LATER);
    let (server, slow) = overtaken(&provider, Behaviour::normal().delayed(LATE), probe).await;
    let api = server.api;
    let probe = tokio::spawn(async move { api.run("payments.ping", &json!({})).await });
    provider.arrived(3).await;
    slow.await.ok();
    server.api.run("payments.ping", &json!({})).await.problem(503, "breaker_open");
    assert_eq!(breaker(&server).await, ("half_open".to_owned(), 2));
    assert_eq!(provider.arrivals().len(), 3);
    probe.await.expect("the probe is answered").problem(502, "provider_failed");
    server.breaker_is("payments", "open").await;
}

#[tokio::test]
async fn a_late_success_does_not_close_an_open_breaker() {
    let provider = Provider::start();
    let (server, slow) = overtaken(&provider, Behaviour::normal().delayed(LATE), Behaviour::normal()).await;
    slow.await.ok();
    assert_eq!(breaker(&server).await, ("open".to_owned(), 1));
}
