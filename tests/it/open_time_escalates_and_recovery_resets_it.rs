//! A breaker that opens again and again waits longer each time, up to a bound, and starts anew once it has recovered.

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::{Config, Provider, Server};

const ESCALATES: &str = r#"
[retry]
max_retries = 0
[breaker]
failures = 1
open_for = "400ms"
open_multiplier = 2
open_max = "1s"
half_open_calls = 1
"#;

/// The provider's times of two requests, and the least that must lie between them.
fn at_least_apart(provider: &Provider, from: usize, millis: u64) {
    let arrivals = provider.arrivals();
    let apart = arrivals[from + 1].at_us - arrivals[from].at_us;
    assert!(apart >= millis * 1_000, "{apart} µs between request {from} and the next");
}

async fn fails(server: &Server) {
    server.api.run("payments.ping", &json!({})).await.problem(502, "provider_failed");
}

/// What an open breaker says to be left, just after it has opened.
async fn left(server: &Server) -> u64 {
    server.integration("payments").await["breaker"]["retry_in_ms"].as_u64().expect("it is open")
}

#[tokio::test]
async fn up_to_a_bound() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ESCALATES));
    provider.always(Behaviour::status(500));
    for (n, open_for) in [400, 800, 1_000, 1_000].into_iter().enumerate() {
        fails(&server).await;
        let breaker = server.integration("payments").await["breaker"].clone();
        assert_eq!(breaker["openings"], n + 1);
        assert!(left(&server).await <= open_for);
        server.breaker_is_due("payments").await;
        if n > 0 {
            at_least_apart(&provider, n - 1, [400, 800, 1_000][n - 1]);
        }
    }
    provider.always(Behaviour::normal());
    server.api.run("payments.ping", &json!({})).await.ok();
    at_least_apart(&provider, 3, 1_000);
    let breaker = server.integration("payments").await["breaker"].clone();
    assert_eq!((&breaker["state"], &breaker["openings"]), (&json!("closed"), &json!(0)));

    provider.always(Behaviour::status(500));
    fails(&server).await;
    let left = left(&server).await;
    assert!(left <= 400, "{left} ms: the recovery has reset it");
}
