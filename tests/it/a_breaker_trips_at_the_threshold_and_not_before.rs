//! The breaker opens at the configured number or share of failures, not one call earlier, and counts only what tells
//! of the provider's health.

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::{Config, Provider, Server, charge};

const FIVE_FAILURES: &str = r#"
[retry]
max_retries = 0
[breaker]
failures = 5
open_for = "30s"
"#;

#[tokio::test]
async fn by_the_number_of_failures() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), FIVE_FAILURES));
    let failures = [500, 502, 500, 504].map(Behaviour::status);
    provider.next(failures.into_iter().chain([Behaviour::normal(), Behaviour::status(500)]));
    for _ in 0..4 {
        let failed = server.api.run("payments.ping", &json!({})).await;
        assert_eq!(failed.problem(502, "provider_failed")["run"]["error"]["class"], "transient");
    }
    server.api.run("payments.ping", &json!({})).await.ok();
    server.api.run("payments.ping", &json!({})).await.problem(502, "provider_failed");
    assert_eq!(provider.arrivals().len(), 6, "the first four failures let the next calls pass");

    let refused = server.api.run("payments.ping", &json!({})).await;
    let problem = refused.problem(503, "breaker_open");
    assert_eq!(problem["retryable"], true);
    assert_eq!(problem["run"]["steps"][0]["attempts"], 0);
    assert!((25..=30).contains(&refused.retry_after()), "{refused:?}");
    assert_eq!(provider.arrivals().len(), 6, "and the fifth does not");

    server.breaker_is("payments", "open").await;
    let health = server.api.get("/v1/health").await.ok();
    assert_eq!(health["integrations"]["payments"]["status"], "down");
    assert_eq!(health["integrations"]["payments"]["reasons"], json!(["breaker_open"]));
}

#[tokio::test]
async fn by_the_share_of_failures_once_there_are_enough_calls() {
    let provider = Provider::start();
    let sections = r#"
        [retry]
        max_retries = 0
        [breaker]
        failure_rate = 0.5
        minimum_calls = 10
    "#;
    let server = Server::start(&Config::payments(&provider.url(), sections));
    provider.next((0..9).map(|_| Behaviour::status(500)));
    for _ in 0..9 {
        server.api.run("payments.ping", &json!({})).await.problem(502, "provider_failed");
    }
    // Nine failures are too few calls to judge by; the tenth call makes them enough, though it succeeds.
    server.api.run("payments.ping", &json!({})).await.ok();
    server.api.run("payments.ping", &json!({})).await.problem(503, "breaker_open");
    assert_eq!(provider.arrivals().len(), 10);
}

#[tokio::test]
async fn each_attempt_counts_and_an_open_breaker_ends_the_retries() {
    let provider = Provider::start();
    let sections = r#"
        [retry]
        max_retries = 9
        base_delay = "5ms"
        [breaker]
        failures = 3
    "#;
    let server = Server::start(&Config::payments(&provider.url(), sections));
    provider.always(Behaviour::status(500));
    let problem = server.api.run("payments.ping", &json!({})).await.problem(503, "breaker_open");
    assert_eq!(problem["run"]["steps"][0]["attempts"], 3);
    assert_eq!(provider.arrivals().len(), 3);
}

#[tokio::test]
async fn refusals_of_a_request_are_no_failures_of_the_provider() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), FIVE_FAILURES));
    let mut declined = charge();
    declined["source"] = json!("tok_declined");
    for _ in 0..8 {
        let refused = server.api.run("payments.charge", &declined).await;
        let problem = refused.problem(422, "provider_refused");
        assert_eq!(problem["run"]["error"]["code"], "card_declined");
    }
    server.api.run("payments.charge", &charge()).await.ok();
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (9, 1));
}
