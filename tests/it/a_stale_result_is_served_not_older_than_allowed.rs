//! The last good result stands in for a provider that fails, while it is no older than the step allows, and only for
//! what does nothing but read.

use std::time::Duration;

use causeway::plans;
use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::wait::Watch;
use crate::support::{Config, Provider, Server, until};

const NO_RETRY: &str = "[retry]\nmax_retries = 0\n[breaker]\nfailures = 10000\n";

fn config(provider: &Provider, call: &str) -> Config {
    let operation =
        format!("[[steps]]\nname = \"ping\"\ncall = \"rates.{call}\"\nfallback = {{ stale = \"2s\" }}\n");
    Config::new().providers(&[("rates", provider)], NO_RETRY).operation("ping", &operation)
}

#[tokio::test]
async fn not_older_than_allowed() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider, "ping"));
    let fresh = server.api.run("ping", &json!({ "of": 1 })).await.ok();
    let watch = Watch::start();
    assert_eq!((&fresh["degraded"], &fresh["steps"][0]["served_by"]), (&json!(false), &json!("primary")));
    provider.always(Behaviour::status(500));
    let stale = server.api.run("ping", &json!({ "of": 1 })).await.ok();
    assert_eq!((&stale["status"], &stale["degraded"]), (&json!("succeeded"), &json!(true)));
    assert_eq!((&stale["steps"][0]["served_by"], &stale["result"]), (&json!("stale"), &fresh["result"]));

    server.api.run("ping", &json!({ "of": 2 })).await.problem(502, "provider_failed");

    until("it is too old", async || {
        let answer = server.api.run("ping", &json!({ "of": 1 })).await;
        (answer.status != 200).then(|| answer.problem(502, "provider_failed"))
    })
    .await;
    assert!(watch.elapsed() > Duration::from_millis(1_900), "it was young enough for {:?}", watch.elapsed());
}

#[tokio::test]
async fn never_for_what_may_act() {
    let provider = Provider::start();
    let settings = config(&provider, "charge").settings();
    let errors = plans::make(&settings).expect_err("it is refused").to_string();
    assert!(errors.starts_with("operations/ping.toml:4:22: `stale`: rates.charge may act"), "{errors}");
}
