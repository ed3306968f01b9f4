//! Two integrations on one account of the provider name the same group: together they stay within its limit.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Config, Provider, Server};

const WINDOW: usize = 10;
const SHARED: &str = r#"
[[limits]]
name = "account"
kind = "sliding_window"
requests = 10
per = "500ms"
group = "acme-account"
"#;
const AT_ONCE: &str = r#"
[pool]
max_wait = "10s"
[[limits]]
name = "at_once"
kind = "concurrent"
requests = 1
group = "acme-account"
"#;

#[tokio::test]
async fn never_more_than_the_limit_and_all_are_served() {
    let provider = Provider::start();
    let config =
        Config::new().integration("one", &provider.url(), SHARED).integration("two", &provider.url(), SHARED);
    let server = Server::start(&config);
    let api = server.api;
    let calls = ["one.ping", "two.ping"].into_iter().cycle().take(30);
    let answers =
        join_all(calls.map(|call| tokio::spawn(async move { api.run(call, &json!({})).await }))).await;
    answers.into_iter().for_each(|answer| {
        answer.expect("an answer").ok();
    });
    let times: Vec<u64> = provider.arrivals().iter().map(|arrival| arrival.at_us).collect();
    assert_eq!(times.len(), 30);
    for window in times.windows(WINDOW + 1) {
        assert!(window[WINDOW] - window[0] >= 500_000, "{window:?}");
    }
}

#[tokio::test]
async fn a_place_that_one_frees_the_other_takes() {
    let provider = Provider::start();
    provider.always(causeway::sandbox::Action::Delay { ms: 20, jitter_ms: 0 });
    let config = Config::new().integration("one", &provider.url(), AT_ONCE).integration(
        "two",
        &provider.url(),
        AT_ONCE,
    );
    let server = Server::start(&config);
    let api = server.api;
    let calls = ["one.ping", "two.ping"].into_iter().cycle().take(20);
    let answers =
        join_all(calls.map(|call| tokio::spawn(async move { api.run(call, &json!({})).await }))).await;
    answers.into_iter().for_each(|answer| {
        answer.expect("an answer").ok();
    });
    assert_eq!(provider.counters().peak_open, 1);
}
