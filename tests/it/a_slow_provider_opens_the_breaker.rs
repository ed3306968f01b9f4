//! A provider that answers, but too slowly, opens the breaker like one that fails.

use std::time::Duration;

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::{Config, Provider, Server};

/// Above what a busy machine needs for a call, and below what the slow ones take.
const SLOW: &str = r#"
[breaker]
slow_call = "700ms"
slow_rate = 0.5
minimum_calls = 4
open_for = "100ms"
half_open_calls = 2
"#;

fn slow() -> Behaviour {
    Behaviour::normal().delayed(Duration::from_millis(1_000))
}

#[tokio::test]
async fn at_the_share_of_slow_calls_and_not_before() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), SLOW));
    provider.next([slow(), Behaviour::normal(), Behaviour::normal(), slow()]);
    for n in 0..4 {
        assert_eq!(server.integration("payments").await["breaker"]["state"], "closed", "after {n} calls");
        server.api.run("payments.ping", &json!({})).await.ok();
    }
    server.breaker_is("payments", "open").await;
    let window = &server.integration("payments").await["breaker"]["window"];
    assert_eq!(window, &json!({ "calls": 4, "failures": 0, "slow": 2 }));

    // It is still slow when it is tried: not recovered, though nothing fails.
    server.breaker_is_due("payments").await;
    provider.next([slow(), slow()]);
    for _ in 0..2 {
        server.api.run("payments.ping", &json!({})).await.ok();
    }
    server.breaker_is("payments", "open").await;
    assert_eq!(server.integration("payments").await["breaker"]["openings"], 2);

    server.breaker_is_due("payments").await;
    for _ in 0..2 {
        server.api.run("payments.ping", &json!({})).await.ok();
    }
    server.breaker_is("payments", "closed").await;
}
