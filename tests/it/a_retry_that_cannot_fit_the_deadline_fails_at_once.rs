//! A wait that would end after the deadline is not begun: the caller is told at once how long it would have been.

use causeway::sandbox::{Action, Behaviour};
use http::Method;
use serde_json::json;

use crate::support::wait::Watch;
use crate::support::{Answer, Ask, Config, Provider, Server, charge};

/// The caller's time, and what an answer *at once* may take of it on a busy machine.
const DEADLINE_MS: u64 = 10_000;
const AT_ONCE_MS: u128 = 5_000;

async fn ask(server: &Server, operation: &str) -> Answer {
    let watch = Watch::start();
    let answer = server.api.send(Ask::run(operation, &charge()).deadline_ms(DEADLINE_MS)).await;
    assert!(watch.elapsed().as_millis() < AT_ONCE_MS, "it took {:?}: {answer:?}", watch.elapsed());
    answer
}

#[tokio::test]
async fn the_wait_that_the_provider_names() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), "[retry]\njitter = 0.0"));
    provider.always(Action::RateLimit { retry_after: "30".to_owned(), status: 429 });
    let told = ask(&server, "payments.charge").await;
    assert_eq!(told.retry_after(), 30);
    let problem = told.problem(429, "rate_limited");
    assert_eq!(problem["retryable"], true);
    let error = &problem["run"]["error"];
    assert_eq!((&error["class"], &error["retry_after_ms"]), (&json!("rate_limited"), &json!(30_000)));
    assert_eq!(error["provider_status"], 429);
    assert_eq!(problem["run"]["steps"][0]["attempts"], 1);
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (1, 0));
}

#[tokio::test]
async fn a_refusal_for_now_of_a_request_that_may_act() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), "[retry]\njitter = 0.0"));
    provider.always_on(&Method::POST, "/", Action::RateLimit { retry_after: "45".to_owned(), status: 503 });
    let told = ask(&server, "payments.charge_once").await;
    assert_eq!(told.retry_after(), 45);
    let problem = told.problem(502, "provider_failed");
    assert_eq!(problem["run"]["error"]["class"], "transient");
    assert_eq!(problem["run"]["error"]["retry_after_ms"], 45_000);
    assert_eq!(provider.arrivals().len(), 1);
}

#[tokio::test]
async fn a_wait_of_our_own() {
    let provider = Provider::start();
    let sections = "[retry]\nbase_delay = \"20s\"\nmax_delay = \"20s\"\njitter = 0.0";
    let server = Server::start(&Config::payments(&provider.url(), sections));
    provider.always(Behaviour::status(500));
    let told = ask(&server, "payments.ping").await;
    assert_eq!(told.retry_after(), 20);
    let problem = told.problem(502, "provider_failed");
    assert_eq!(problem["run"]["error"]["retry_after_ms"], 20_000);
    assert_eq!(provider.arrivals().len(), 1);
}

#[tokio::test]
async fn a_wait_that_fits_is_waited_for() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), "[retry]\njitter = 0.0"));
    provider.next([Action::RateLimit { retry_after: "1".to_owned(), status: 503 }.into()]);
    let done = server.api.send(Ask::run("payments.charge", &charge()).deadline_ms(DEADLINE_MS)).await;
    assert_eq!(done.ok()["steps"][0]["attempts"], 2);
    let arrivals = provider.arrivals();
    assert_eq!((arrivals.len(), provider.effects().len()), (2, 1));
    let wait = arrivals[1].at_us - arrivals[0].ended_us.expect("it has ended");
    assert!(wait >= 1_000_000, "it came back {wait} µs later");
}
