//! A breaker with a probe finds out by itself that its provider works again: nobody has to call.

use std::time::Duration;

use causeway::sandbox::Behaviour;
use http::Method;
use serde_json::json;

use crate::support::wait::Watch;
use crate::support::{Config, Provider, Server, charge};

const PROBING: &str = r#"
[retry]
max_retries = 0
[breaker]
failures = 2
open_for = "300ms"
half_open_calls = 2
half_open_for = "3s"
probe = "ping"
"#;

async fn opened(provider: &Provider, server: &Server) {
    for _ in 0..2 {
        server.api.run("payments.charge", &charge()).await.problem(504, "outcome_unknown");
    }
    assert_eq!(provider.arrivals().len(), 2);
    server.breaker_is("payments", "open").await;
}

#[tokio::test]
async fn when_the_provider_is_back() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), PROBING));
    provider.always(Behaviour::status(500));
    opened(&provider, &server).await;
    // The outage outlasts a probe.
    provider.arrived(3).await;
    server.breaker_is("payments", "open").await;
    provider.always(Behaviour::normal());
    server.breaker_is("payments", "closed").await;

    let arrivals = provider.arrivals();
    let probes: Vec<_> = arrivals.iter().skip(2).collect();
    assert!(probes.iter().all(|probe| (probe.method.as_str(), probe.path.as_str()) == ("GET", "/v1/ping")));
    assert!(probes.len() >= 3, "one that failed, and two that closed it: {probes:?}");
    let one_at_a_time = |pair: &[&causeway::sandbox::ledger::Arrival]| {
        pair[0].ended_us.is_some_and(|ended| ended <= pair[1].at_us)
    };
    assert!(probes.windows(2).all(one_at_a_time), "{probes:?}");
    server.api.run("payments.charge", &charge()).await.ok();
    assert_eq!(provider.effects().len(), 1, "no probe has acted");
    assert_eq!(server.place("payments").calls(), 0);
}

#[tokio::test]
async fn but_not_against_an_operators_word() {
    let provider = Provider::start();
    let sections = PROBING.replace("300ms", "1s");
    let server = Server::start(&Config::payments(&provider.url(), &sections));
    provider.always(Behaviour::status(500));
    opened(&provider, &server).await;
    server.place("payments").trip("asked to stop".to_owned(), None).await.expect("it takes effect");
    let sent = provider.arrivals().len();
    let watch = Watch::start();
    while watch.elapsed() < Duration::from_millis(1_500) {
        server.api.run("payments.ping", &json!({})).await.problem(503, "breaker_open");
    }
    assert_eq!(provider.arrivals().len(), sent, "though it would be due by now");
}

#[tokio::test]
async fn and_without_one_it_waits_for_a_call_and_says_that_it_is_due() {
    let provider = Provider::start();
    let sections = PROBING.replace("probe = \"ping\"", "");
    let server = Server::start(&Config::payments(&provider.url(), &sections));
    provider.always_on(&Method::POST, "/v1/charges", Behaviour::status(500));
    opened(&provider, &server).await;
    server.breaker_is_due("payments").await;
    let breaker = &server.integration("payments").await["breaker"];
    assert_eq!((&breaker["state"], &breaker["retry_in_ms"]), (&json!("open"), &json!(0)));
    let health = server.api.get("/v1/health").await.ok();
    assert_eq!(health["integrations"]["payments"]["reasons"], json!(["breaker_open", "breaker_due"]));
    assert_eq!(provider.arrivals().len(), 2);
    server.api.run("payments.ping", &json!({})).await.ok();
    server.breaker_is("payments", "half_open").await;
}
