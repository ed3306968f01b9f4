//! An answer that nobody can read comes of something that was done: nobody is invited to do it again, and what it
//! builds on is not taken away under it.

use std::collections::BTreeMap;

use causeway::sandbox::Action;
use http::Method;
use serde_json::json;

use crate::support::{Config, Provider, Server, charge};

fn unreadable() -> Action {
    Action::Status { status: 200, headers: BTreeMap::new(), body: Some(json!("<html>")), act: true }
}

#[tokio::test]
async fn the_same_request_is_not_called_retryable() {
    let provider = Provider::start();
    provider.always_on(&Method::POST, "/v1/charges", unreadable());
    provider.always_on(
        &Method::GET,
        "/v1/ping",
        Action::RateLimit { retry_after: "1".to_owned(), status: 503 },
    );
    let steps = r#"
[[steps]]
name = "pay"
call = "payments.charge"
required = false
[[steps]]
name = "look"
call = "payments.ping"
after = ["pay"]
"#;
    let sections = "[retry]\nmax_retries = 0\n";
    let config = Config::payments(&provider.url(), sections).operation("pay_and_look", steps);
    let server = Server::start(&config);
    let answer = server.api.run("pay_and_look", &charge()).await;
    let problem = answer.problem(502, "provider_failed");
    assert_eq!(problem["run"]["steps"][0]["error"]["class"], "invalid_response");
    assert_eq!(problem["retryable"], false, "{problem}");
    assert_eq!(answer.header("retry-after"), None);
    assert_eq!(provider.effects().len(), 1);
}

#[tokio::test]
async fn what_it_builds_on_is_held() {
    let (bank, shop) = (Provider::start(), Provider::start());
    shop.always_on(&Method::POST, "/v1/charges", unreadable());
    let steps = r#"
[[steps]]
name = "pay"
call = "bank.charge"
undo = { call = "bank.charge_once" }
[[steps]]
name = "ship"
call = "shop.charge"
after = ["pay"]
undo = { call = "shop.charge_once" }
input = ".input"
"#;
    let config = Config::new()
        .providers(&[("bank", &bank), ("shop", &shop)], "[retry]\nmax_retries = 0\n")
        .operation("pay_and_ship", steps);
    let server = Server::start(&config);
    let problem = server.api.run("pay_and_ship", &charge()).await.json();
    assert_eq!(problem["run"]["steps"][1]["error"]["class"], "invalid_response", "{problem}");
    assert_eq!(problem["run"]["steps"][0]["error"]["code"], "undo_held", "{problem}");
    assert_eq!((bank.effects().len(), shop.effects().len()), (1, 1), "nothing was taken back");
}
