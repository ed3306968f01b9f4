//! A breaker that only tells refuses nobody, and shows what it would have done.

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::{Config, Provider, Server};

const TELLS: &str = r#"
[retry]
max_retries = 0
[breaker]
failures = 2
mode = "metrics_only"
"#;

#[tokio::test]
async fn by_the_settings() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), TELLS));
    let breaker = server.integration("payments").await["breaker"].clone();
    assert_eq!((&breaker["state"], &breaker["would"]), (&json!("metrics_only"), &json!("closed")));

    provider.always(Behaviour::status(500));
    for _ in 0..10 {
        server.api.run("payments.ping", &json!({})).await.problem(502, "provider_failed");
    }
    assert_eq!(provider.arrivals().len(), 10, "each of them was sent");
    let breaker = server.integration("payments").await["breaker"].clone();
    assert_eq!((&breaker["state"], &breaker["would"]), (&json!("metrics_only"), &json!("open")));
    assert_eq!(breaker["window"]["failures"], 2, "what would have opened it");
    assert_eq!((&breaker["due"], &breaker["retry_in_ms"]), (&json!(false), &json!(null)));

    let health = server.api.get("/v1/health").await.ok();
    let integration = &health["integrations"]["payments"];
    assert_eq!(integration["reasons"], json!(["breaker_would_be_open"]));
    assert_eq!(integration["status"], "degraded");
}
