//! A provider that answers 429 and does not say for how long is left alone by everybody it concerns, and twice as long
//! each time it does so again, whoever meets it.

use std::time::Duration;

use causeway::sandbox::Behaviour;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Ask, Config, Provider, Server, until};

const DELAY_US: u64 = 400_000;
const REFUSALS: usize = 3;

/// One call at a time: no 429 is the answer to what was out already when another came.
const ONE_AT_A_TIME: &str = r#"
[pool]
max_in_flight = 1
max_wait = "15s"
[retry]
rate_limit_delay = "400ms"
budget_min = 100
[endpoints.of]
method = "GET"
path = "/v1/ping"
request = '{ query: { of: .of } }'
"#;

#[tokio::test]
async fn for_all_callers_together() {
    let provider = Provider::start();
    let config = Config::payments(&provider.url(), ONE_AT_A_TIME).file(
        "operations/payments.of.toml",
        "deadline = \"15s\"\n[[steps]]\nname = \"of\"\ncall = \"payments.of\"\n",
    );
    let server = Server::start(&config);
    provider.next((0..REFUSALS).map(|_| Behaviour::status(429)));
    let api = server.api;
    let call = |of: usize| tokio::spawn(async move { api.run("payments.of", &json!({ "of": of })).await });
    let mut callers: Vec<_> = (0..4).map(call).collect();
    until("operators see that the provider asks for silence", async || {
        (server.integration("payments").await["reasons"] == json!(["rate_limited"])).then_some(())
    })
    .await;
    callers.extend((4..8).map(call));
    for answer in join_all(callers).await {
        answer.expect("an answer").ok();
    }

    let arrivals = provider.arrivals();
    assert_eq!(arrivals.len(), REFUSALS + 8, "nobody has tried in vain but those who were told");
    for (refusal, wait) in [DELAY_US, 2 * DELAY_US, 4 * DELAY_US].into_iter().enumerate() {
        let end = arrivals[refusal].ended_us.expect("it has ended") + wait;
        let early: Vec<_> = arrivals[refusal + 1..].iter().filter(|arrival| arrival.at_us < end).collect();
        assert!(early.is_empty(), "these came within wait {refusal}: {early:?}");
    }
    // Each was the first 429 of its caller: had callers counted for themselves, the wait would not have grown.
    let refused: Vec<_> = arrivals[..REFUSALS].iter().map(|arrival| arrival.path.as_str()).collect();
    assert!(refused[0] != refused[1] && refused[1] != refused[2] && refused[2] != refused[0], "{refused:?}");
}

#[tokio::test]
async fn and_for_nobody_else() {
    let sections = r#"
[retry]
max_retries = 0
rate_limit_delay = "20s"
[[limits]]
name = "pings"
kind = "token_bucket"
requests = 100
per = "1s"
scope = "endpoints"
endpoints = ["ping"]
"#;
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), sections));
    provider.next([Behaviour::status(429)]);
    let ping = || server.api.send(Ask::run("payments.ping", &json!({})).deadline_ms(2_000));
    let told = ping().await;
    told.problem(429, "rate_limited");
    assert_eq!(told.retry_after(), 20);
    ping().await.problem(429, "throttled");
    assert_eq!(provider.arrivals().len(), 1, "the second was held back here");
    server.api.run("payments.balance", &json!({})).await.ok();
}

#[tokio::test]
async fn until_one_succeeds() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), "[retry]\nmax_retries = 0\n"));
    let refusal = || Behaviour::status(429);
    provider.next([refusal(), refusal(), Behaviour::normal(), refusal()]);
    for seconds in [1, 2] {
        let told = server.api.run("payments.ping", &json!({})).await;
        told.problem(429, "rate_limited");
        assert_eq!(told.retry_after(), seconds);
    }
    server.api.run("payments.ping", &json!({})).await.ok();
    let told = server.api.run("payments.ping", &json!({})).await;
    assert_eq!(told.retry_after(), 1, "it begins anew");
    let arrivals = provider.arrivals();
    for (refused, seconds) in [(0, 1), (1, 2)] {
        let end = arrivals[refused].ended_us.expect("it has ended") + seconds * 1_000_000;
        assert!(arrivals[refused + 1].at_us >= end, "{arrivals:?}");
    }
}

#[tokio::test]
async fn a_success_that_was_out_before_changes_nothing() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), "[retry]\nmax_retries = 0\n"));
    let slow = Behaviour::normal().delayed(Duration::from_millis(1_500));
    provider.next([slow, Behaviour::status(429), Behaviour::status(429)]);
    let api = server.api;
    let slow = tokio::spawn(async move { api.run("payments.ping", &json!({})).await });
    provider.arrived(1).await;
    assert_eq!(api.run("payments.ping", &json!({})).await.retry_after(), 1);
    slow.await.expect("an answer").ok();
    assert_eq!(api.run("payments.ping", &json!({})).await.retry_after(), 2);
    assert_eq!(provider.arrivals().len(), 3);
}
