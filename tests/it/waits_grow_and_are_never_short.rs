//! The n-th wait is the first one times the multiplier so many times, up to the longest, and jitter only adds to it.

use std::time::Duration;

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::{Config, Provider, Server};

const SECTIONS: &str = r#"
[breaker]
failures = 100
[retry]
max_retries = 3
base_delay = "200ms"
multiplier = 2.0
max_delay = "400ms"
jitter = 0.25
budget_min = 100
"#;

async fn gaps(more: &str) -> Vec<Duration> {
    let provider = Provider::start();
    provider.always(Behaviour::status(500));
    let server = Server::start(&Config::payments(&provider.url(), &format!("{SECTIONS}{more}")));
    server.api.run("payments.balance", &json!({})).await.problem(502, "provider_failed");
    let times: Vec<u64> = provider.arrivals().iter().map(|arrival| arrival.at_us).collect();
    times.windows(2).map(|pair| Duration::from_micros(pair[1] - pair[0])).collect()
}

#[tokio::test]
async fn up_to_the_longest() {
    let gaps = gaps("").await;
    assert_eq!(gaps.len(), 3);
    for (gap, least) in gaps.iter().zip([200, 400, 400]) {
        assert!(*gap >= Duration::from_millis(least), "{gaps:?}");
        assert!(*gap < Duration::from_millis(least * 5 / 4 + 300), "{gaps:?}");
    }
}

#[tokio::test]
async fn but_for_a_first_that_goes_at_once() {
    let gaps = gaps("first_retry_immediately = true\n").await;
    assert_eq!(gaps.len(), 3);
    assert!(gaps[0] < Duration::from_millis(150), "{gaps:?}");
    assert!(gaps[1] >= Duration::from_millis(200), "{gaps:?}");
}
