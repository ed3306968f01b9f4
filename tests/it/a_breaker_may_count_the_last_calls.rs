//! With `window_calls` a breaker judges the last so many calls and no others.

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::{Config, Provider, Server};

/// The breaker's state after calls that fail (`-`) or succeed (`+`).
async fn after(calls: &str, breaker: &str) -> String {
    let provider = Provider::start();
    let sections = format!("[retry]\nmax_retries = 0\n[breaker]\nfailures = 3\n{breaker}");
    let server = Server::start(&Config::payments(&provider.url(), &sections));
    let behaviour = |call| if call == '-' { Behaviour::status(500) } else { Behaviour::normal() };
    provider.next(calls.chars().map(behaviour));
    for call in calls.chars() {
        let status = server.api.run("payments.ping", &json!({})).await.status;
        assert_eq!(status, if call == '-' { 502 } else { 200 });
    }
    assert_eq!(provider.arrivals().len(), calls.len());
    server.integration("payments").await["breaker"]["state"].as_str().expect("a state").to_owned()
}

#[tokio::test]
async fn a_breaker_may_count_the_last_calls() {
    assert_eq!(after("--++-", "window_calls = 4").await, "closed");
    assert_eq!(after("--++-", "window_calls = 5").await, "open");
    assert_eq!(after("--++---", "window_calls = 4").await, "open");
    assert_eq!(after("--++-", "").await, "open", "in a span of time all of them are there");
}
