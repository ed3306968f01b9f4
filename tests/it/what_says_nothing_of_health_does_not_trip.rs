//! Refusals of a client's request, credentials that are not accepted, rate limits, and time that only the caller has
//! cut short say nothing of a provider's health: they are not counted.

use causeway::sandbox::{Action, Behaviour};
use serde_json::json;

use crate::support::{Ask, Config, Provider, Server};

#[tokio::test]
async fn five_of_each() {
    let sections = r#"
[breaker]
failures = 2
[retry]
max_retries = 0
rate_limit_delay = "1ms"
"#;
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), sections));
    for status in [400, 401, 403, 404, 422] {
        provider.always(Behaviour::status(status));
        for _ in 0..5 {
            server.api.run("payments.ping", &json!({})).await;
        }
    }
    provider.always(Action::RateLimit { retry_after: "0".to_owned(), status: 429 });
    for _ in 0..5 {
        server.api.run("payments.ping", &json!({})).await.problem(429, "rate_limited");
    }
    provider.always(Action::Hang { act: false });
    for _ in 0..5 {
        let ask = Ask::run("payments.ping", &json!({})).deadline_ms(50);
        server.api.send(ask).await.problem(504, "deadline_exceeded");
    }
    let seen = provider.arrivals().len();
    assert_eq!(seen, 35, "each has reached the provider");
    assert_eq!(server.integration("payments").await["breaker"]["state"], "closed");
    // And what does say something is counted.
    provider.always(Behaviour::status(500));
    for _ in 0..2 {
        server.api.run("payments.ping", &json!({})).await.problem(502, "provider_failed");
    }
    server.breaker_is("payments", "open").await;
}
