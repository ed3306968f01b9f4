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

const BY_USER: &str = r#"
[retry]
max_retries = 0
[[limits]]
name = "all"
kind = "token_bucket"
requests = 100
per = "1s"
[[limits]]
name = "users"
kind = "token_bucket"
requests = 100
per = "1s"
scope = { by = ".user" }
endpoints = ["of_user"]
[endpoints.of_user]
method = "GET"
path = "/v1/ping"
request = '{ query: { user: .user } }'
"#;

/// Ada is refused; then she, Bob, and one without a user ask.
async fn who_is_held_up(rule: &str) -> ([u16; 3], Vec<String>) {
    let provider = Provider::start();
    provider.next([refused().into()]);
    let config = Config::payments(&provider.url(), &format!("{BY_USER}{rule}\n")).file(
        "operations/payments.of_user.toml",
        "[[steps]]\nname = \"ping\"\ncall = \"payments.of_user\"\n",
    );
    let server = Server::start(&config);
    let of = async |user: &str| {
        let ask = Ask::run("payments.of_user", &json!({ "user": user }));
        server.api.send(ask.deadline_ms(2_000)).await.status
    };
    assert_eq!(of("ada").await, 429);
    let statuses = [of("ada").await, of("bob").await, answers(&server, "payments.balance").await];
    (statuses, provider.arrivals().into_iter().map(|arrival| arrival.path).collect())
}

#[tokio::test]
async fn a_rule_narrows_it_to_one_key() {
    let rule =
        "classify = [{ when = '.status == 429', class = \"rate_limited\", scope = { limit = \"users\" } }]";
    let (statuses, seen) = who_is_held_up(rule).await;
    assert_eq!(statuses, [429, 200, 200], "only Ada is concerned");
    assert_eq!(seen, ["/v1/ping?user=ada", "/v1/ping?user=bob", "/v1/balance"]);
    let (statuses, seen) = who_is_held_up("").await;
    assert_eq!(statuses, [429, 429, 429], "without the rule all are who share a limit with her");
    assert_eq!(seen, ["/v1/ping?user=ada"]);
}
