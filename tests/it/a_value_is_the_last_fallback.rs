//! A value of the configuration stands in where the provider fails and no earlier result is there; a request that is
//! wrong stays wrong.

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::{Config, Provider, Server};

const RATE: &str = r#"
[[steps]]
name = "rate"
call = "rates.ping"
fallback = { stale = "10m", value = { rate = 1, source = "default" } }
"#;

#[tokio::test]
async fn a_value_is_the_last_fallback() {
    let provider = Provider::start();
    let sections = "[retry]\nmax_retries = 0\n";
    let config = Config::new().providers(&[("rates", &provider)], sections).operation("rate", RATE);
    let server = Server::start(&config);
    provider.always(Behaviour::status(500));
    let outcome = server.api.run("rate", &json!({})).await.ok();
    assert_eq!((&outcome["status"], &outcome["degraded"]), (&json!("succeeded"), &json!(true)));
    assert_eq!(outcome["steps"][0]["served_by"], "value");
    assert_eq!(outcome["result"], json!({ "rate": 1, "source": "default" }));

    provider.always(Behaviour::status(400));
    let problem = server.api.run("rate", &json!({})).await.problem(422, "provider_refused");
    assert_eq!(problem["run"]["steps"][0]["served_by"], json!(null));

    provider.always(Behaviour::normal());
    let fresh = server.api.run("rate", &json!({})).await.ok();
    assert_eq!(fresh["steps"][0]["served_by"], "primary");
    provider.always(Behaviour::status(500));
    let outcome = server.api.run("rate", &json!({})).await.ok();
    assert_eq!((&outcome["steps"][0]["served_by"], &outcome["result"]), (&json!("stale"), &fresh["result"]));
}
