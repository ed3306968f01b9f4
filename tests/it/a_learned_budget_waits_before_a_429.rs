//! A provider that says how much is left is believed at once: the call that would have met a 429 waits instead.

use std::collections::BTreeMap;

use causeway::sandbox::Action;
use serde_json::json;

use crate::support::{Ask, Config, Provider, Server};

const LEARNING: &str = r#"
[[limits]]
name = "learned"
kind = "token_bucket"
requests = 100
per = "1s"
learn = true
"#;

/// An answer that says that nothing is left for so many seconds.
fn nothing_left(prefix: &str, seconds: &str) -> Action {
    let headers = [("Limit", "100"), ("Remaining", "0"), ("Reset", seconds)];
    let headers = headers.into_iter().map(|(name, value)| (format!("{prefix}-{name}"), value.to_owned()));
    Action::Status {
        status: 200,
        headers: BTreeMap::from_iter(headers),
        body: Some(json!({ "ok": true })),
        act: false,
    }
}

async fn the_next_waits(prefix: &str) {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), LEARNING));
    provider.next([nothing_left(prefix, "1").into()]);
    server.api.run("payments.ping", &json!({})).await.ok();
    server.api.run("payments.ping", &json!({})).await.ok();
    let arrivals = provider.arrivals();
    let told = arrivals[0].ended_us.expect("it has ended");
    assert!(arrivals[1].at_us >= told + 990_000, "it went {} µs after it was told", arrivals[1].at_us - told);
}

#[tokio::test]
async fn by_the_headers_most_providers_send() {
    the_next_waits("X-RateLimit").await;
}

#[tokio::test]
async fn by_the_headers_of_the_draft() {
    the_next_waits("RateLimit").await;
}

#[tokio::test]
async fn who_has_not_the_time_is_told_when_to_come_back() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), LEARNING));
    provider.next([nothing_left("X-RateLimit", "30").into()]);
    server.api.run("payments.ping", &json!({})).await.ok();
    let told = server.api.send(Ask::run("payments.ping", &json!({})).deadline_ms(2_000)).await;
    told.problem(429, "throttled");
    assert!((29..=31).contains(&told.retry_after()), "{told:?}");
    assert_eq!(provider.arrivals().len(), 1);
}

#[tokio::test]
async fn a_header_never_gives_more_than_the_limit() {
    let provider = Provider::start();
    let few = LEARNING.replace("requests = 100", "requests = 2").replace("1s", "30s");
    let server = Server::start(&Config::payments(&provider.url(), &few));
    let generous = [("X-RateLimit-Remaining", "5000"), ("X-RateLimit-Reset", "0")];
    let headers = generous.map(|(name, value)| (name.to_owned(), value.to_owned()));
    provider.always(Action::Status {
        status: 200,
        headers: headers.into(),
        body: Some(json!({ "ok": true })),
        act: false,
    });
    for _ in 0..2 {
        server.api.run("payments.ping", &json!({})).await.ok();
    }
    server.api.send(Ask::run("payments.ping", &json!({})).deadline_ms(1_000)).await.problem(429, "throttled");
    assert_eq!(provider.arrivals().len(), 2);
}
