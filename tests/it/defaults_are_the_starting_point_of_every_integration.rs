//! What `[defaults]` says holds for every integration that does not say otherwise, key by key.

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::{Config, Provider, Server};

const SERVER: &str = r#"
[listen]
api = "127.0.0.1:0"
admin = "127.0.0.1:0"
io_threads = 1

[defaults.retry]
max_retries = 0

[defaults.breaker]
failures = 2
open_for = "1h"

[defaults.pool]
max_in_flight = 7
max_queue = 5

[[defaults.limits]]
name = "all"
kind = "token_bucket"
requests = 100
per = "1h"

[[defaults.limits]]
name = "charges"
kind = "token_bucket"
requests = 50
per = "1h"
endpoints = ["charge*"]
"#;

/// Calls until the breaker refuses; how many calls arrived.
async fn opens_after(server: &Server, provider: &Provider, integration: &str) -> usize {
    let before = provider.arrivals().len();
    provider.always(Behaviour::status(500));
    while server.api.run(&format!("{integration}.ping"), &json!({})).await.status != 503 {
        assert!(provider.arrivals().len() < before + 20, "the breaker of {integration} never opens");
    }
    provider.arrivals().len() - before
}

#[tokio::test]
async fn and_an_integrations_own_key_wins() {
    let provider = Provider::start();
    let own = "[breaker]\nfailures = 4\n[pool]\nmax_queue = 1\n[[limits]]\nname = \"all\"\nkind = \"token_bucket\"\nrequests = 9\nper = \"1h\"\n";
    let config = Config::payments(&provider.url(), "").integration("own", &provider.url(), own);
    let server = Server::start(&config.file("causeway.toml", SERVER));
    assert_eq!(opens_after(&server, &provider, "payments").await, 2);
    assert_eq!(opens_after(&server, &provider, "own").await, 4);

    let (payments, own) = (server.integration("payments").await, server.integration("own").await);
    assert_eq!((&payments["pool"]["capacity"], &own["pool"]["capacity"]), (&json!(7), &json!(7)));
    let limits = |integration: &serde_json::Value| {
        let limits = integration["limits"].as_array().unwrap();
        limits
            .iter()
            .map(|limit| (limit["name"].as_str().unwrap().to_owned(), limit["capacity"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    let named = |limits: &[(&str, u64)]| -> Vec<(String, u64)> {
        limits.iter().map(|(name, capacity)| ((*name).to_owned(), *capacity)).collect()
    };
    assert_eq!(limits(&payments), named(&[("all", 100), ("charges", 50)]));
    assert_eq!(limits(&own), named(&[("all", 9), ("charges", 50)]));
    assert!(own["breaker"]["retry_in_ms"].as_u64().unwrap() > 3_000_000, "open_for is the default's");
}
