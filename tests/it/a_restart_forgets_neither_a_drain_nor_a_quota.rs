//! An integration's actor that is rebuilt after a panic has lost what it counted, but not what its provider has said:
//! who was to be left alone still is, and what was used of a day's quota stays used.

use causeway::sandbox::Action;
use serde_json::json;

use crate::support::config::zone_at_noon;
use crate::support::fault::{generation_is, panic_now};
use crate::support::{Config, Provider, Server, until};

const NO_RETRIES: &str = "[retry]\nmax_retries = 0\n";
const OWN_LIMIT: &str = r#"
[[limits]]
name = "pings"
kind = "token_bucket"
requests = 100
per = "1s"
scope = "endpoints"
endpoints = ["ping"]
"#;
/// What the provider asks for.
const SILENCE_US: u64 = 3_000_000;

/// A server that was told to be silent for a while, and whose actor has panicked since.
async fn told_and_rebuilt(provider: &Provider, limits: &str) -> Server {
    let server = Server::start(&Config::payments(&provider.url(), &format!("{NO_RETRIES}{limits}")));
    provider.next([Action::RateLimit { retry_after: "3".to_owned(), status: 429 }.into()]);
    server.api.run("payments.ping", &json!({})).await.problem(429, "rate_limited");
    panic_now(&server, "payments");
    generation_is(&server, "payments", 1).await;
    server
}

fn end_of_silence(provider: &Provider) -> u64 {
    provider.arrivals()[0].ended_us.expect("it has ended") + SILENCE_US
}

#[tokio::test]
async fn a_drained_limit_holds_up_whom_it_held_up() {
    let provider = Provider::start();
    let server = told_and_rebuilt(&provider, OWN_LIMIT).await;
    let api = server.api;
    let ping = tokio::spawn(async move { api.run("payments.ping", &json!({})).await });
    until("the ping waits", async || {
        (server.integration("payments").await["pool"]["queued"] == 1).then_some(())
    })
    .await;
    api.run("payments.balance", &json!({})).await.ok();
    ping.await.expect("an answer").ok();
    let arrivals = provider.arrivals();
    let paths: Vec<_> = arrivals.iter().map(|arrival| arrival.path.as_str()).collect();
    assert_eq!(paths, ["/v1/ping", "/v1/balance", "/v1/ping"], "the others were not concerned");
    let end = end_of_silence(&provider);
    assert!(arrivals[2].at_us >= end, "it came {} µs before the silence's end", end - arrivals[2].at_us);
}

#[tokio::test]
async fn without_a_limit_it_holds_up_all() {
    let provider = Provider::start();
    let server = told_and_rebuilt(&provider, "").await;
    server.api.run("payments.balance", &json!({})).await.ok();
    let arrivals = provider.arrivals();
    let end = end_of_silence(&provider);
    assert!(arrivals[1].at_us >= end, "it came {} µs before the silence's end", end - arrivals[1].at_us);
}

#[tokio::test]
async fn what_was_taken_of_a_quota_stays_taken() {
    let quota = format!(
        "[[limits]]\nname = \"day\"\nkind = \"calendar\"\nrequests = 3\nper = \"day\"\ntimezone = \"{}\"\n",
        zone_at_noon()
    );
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), &quota));
    for _ in 0..2 {
        server.api.run("payments.ping", &json!({})).await.ok();
    }
    panic_now(&server, "payments");
    generation_is(&server, "payments", 1).await;
    server.api.run("payments.ping", &json!({})).await.ok();
    let told = server.api.run("payments.ping", &json!({})).await;
    told.problem(429, "throttled");
    assert!(told.retry_after() > 3_600, "the next day is hours away: {told:?}");
    assert_eq!(provider.arrivals().len(), 3, "in both lives together, not more than a day's");
}
