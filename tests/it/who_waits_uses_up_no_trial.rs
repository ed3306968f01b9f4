//! A half-open breaker's few trials are for calls that can go: one that still waits for a token or for the pool takes
//! none away from those who could settle the matter.

use std::time::Duration;

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::{Config, Provider, Server, until};

const TWO_TRIALS: &str = r#"
[retry]
max_retries = 0
[breaker]
failures = 1
open_for = "100ms"
half_open_calls = 2
"#;
/// The failure takes the token, and the next one comes late.
const ONE_PING: &str = r#"
[[limits]]
name = "pings"
kind = "sliding_window"
requests = 1
per = "3s"
scope = "endpoints"
endpoints = ["ping"]
"#;
const ONE_AT_A_TIME: &str = r#"
[pool]
max_in_flight = 1
max_wait = "15s"
"#;
/// So slow that all others come before the first trial is back.
const SLOW: Duration = Duration::from_millis(2_500);

/// A server whose breaker was opened by one failure, and is due.
async fn due(provider: &Provider, more: &str) -> Server {
    let server = Server::start(&Config::payments(&provider.url(), &format!("{TWO_TRIALS}{more}")));
    provider.next([Behaviour::status(500)]);
    server.api.run("payments.ping", &json!({})).await.problem(502, "provider_failed");
    server.breaker_is_due("payments").await;
    server
}

async fn queued(server: &Server, count: usize) {
    until(&format!("{count} calls wait"), async || {
        (server.integration("payments").await["pool"]["queued"] == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn for_a_token() {
    let provider = Provider::start();
    let server = due(&provider, ONE_PING).await;
    let api = server.api;
    let ping = || tokio::spawn(async move { api.run("payments.ping", &json!({})).await });
    let waiting = [ping(), ping()];
    queued(&server, 2).await;
    for _ in 0..2 {
        api.run("payments.balance", &json!({})).await.ok();
    }
    server.breaker_is("payments", "closed").await;
    for answer in waiting {
        answer.await.expect("an answer").ok();
    }
    let paths: Vec<_> = provider.arrivals().into_iter().map(|arrival| arrival.path).collect();
    assert_eq!(paths, ["/v1/ping", "/v1/balance", "/v1/balance", "/v1/ping", "/v1/ping"]);
}

#[tokio::test]
async fn for_the_pool() {
    let provider = Provider::start();
    let server = due(&provider, ONE_AT_A_TIME).await;
    provider.next([Behaviour::normal().delayed(SLOW)]);
    let api = server.api;
    let ping = || tokio::spawn(async move { api.run("payments.ping", &json!({})).await });
    let trial = ping();
    provider.arrived(2).await;
    let waiting = [ping(), ping(), ping()];
    queued(&server, 3).await;
    let breaker = &server.integration("payments").await["breaker"];
    assert_eq!(breaker["state"], "half_open");

    // One of them is the second trial and closes it; had they all asked for one, two would have been refused.
    for answer in [trial].into_iter().chain(waiting) {
        answer.await.expect("an answer").ok();
    }
    server.breaker_is("payments", "closed").await;
    assert_eq!((provider.arrivals().len(), provider.counters().peak_open), (5, 1));
}
