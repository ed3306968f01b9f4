//! A 429 drains the limits that its call takes from: the endpoints under them wait, the others go on; and a rule may say
//! that it concerns more, or less.

use causeway::sandbox::Action;
use http::Method;
use serde_json::json;

use crate::support::{Ask, Config, Provider, Server};

const OWN_LIMIT: &str = r#"
[retry]
max_retries = 0
[[limits]]
name = "pings"
kind = "token_bucket"
requests = 100
per = "1s"
scope = "endpoints"
endpoints = ["ping"]
"#;

fn refused() -> Action {
    Action::RateLimit { retry_after: "30".to_owned(), status: 429 }
}

async fn answers(server: &Server, operation: &str) -> u16 {
    server.api.send(Ask::run(operation, &json!({})).deadline_ms(2_000)).await.status
}

#[tokio::test]
async fn an_endpoint_with_a_limit_of_its_own() {
    let provider = Provider::start();
    provider.always_on(&Method::GET, "/v1/ping", refused());
    let server = Server::start(&Config::payments(&provider.url(), OWN_LIMIT));
    assert_eq!(answers(&server, "payments.ping").await, 429);
    assert_eq!(answers(&server, "payments.ping").await, 429);
    assert_eq!(provider.arrivals().len(), 1, "the second was held back here");
    assert_eq!(answers(&server, "payments.balance").await, 200, "another endpoint is not concerned");
}

#[tokio::test]
async fn everybody_where_the_endpoint_has_no_limit() {
    let provider = Provider::start();
    provider.always_on(&Method::GET, "/v1/balance", refused());
    let server = Server::start(&Config::payments(&provider.url(), OWN_LIMIT));
    assert_eq!(answers(&server, "payments.balance").await, 429);
    assert_eq!(answers(&server, "payments.ping").await, 429);
    assert_eq!(provider.arrivals().len(), 1);
}

#[tokio::test]
async fn a_rule_widens_it() {
    let provider = Provider::start();
    provider.always_on(&Method::GET, "/v1/slow", refused());
    let endpoint = r#"
[endpoints.slow]
method = "GET"
path = "/v1/slow"
classify = [{ when = '.status == 429', class = "rate_limited", scope = "integration" }]
"#;
    let limits = OWN_LIMIT.replace("[\"ping\"]", "[\"slow\"]");
    let config = Config::payments(&provider.url(), &format!("{limits}{endpoint}"))
        .file("operations/payments.slow.toml", "[[steps]]\nname = \"slow\"\ncall = \"payments.slow\"\n");
    let server = Server::start(&config);
    assert_eq!(answers(&server, "payments.slow").await, 429);
    assert_eq!(answers(&server, "payments.ping").await, 429, "the rule says that all are concerned");
    assert_eq!(provider.arrivals().len(), 1);
}
