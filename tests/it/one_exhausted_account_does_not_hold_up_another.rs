//! A limit by a key of the request is one budget for each key, and who waits for his own stands in nobody's way.

use serde_json::json;

use crate::support::{Config, Provider, Server, until};

const BY_USER: &str = r#"
[[limits]]
name = "users"
kind = "sliding_window"
requests = 2
per = "2s"
scope = { by = ".user" }
[endpoints.of_user]
method = "GET"
path = "/v1/ping"
request = '{ query: { user: .user } }'
"#;

fn config(provider: &Provider) -> Config {
    Config::payments(&provider.url(), BY_USER).file(
        "operations/payments.of_user.toml",
        "deadline = \"15s\"\n[[steps]]\nname = \"ping\"\ncall = \"payments.of_user\"\n",
    )
}

fn users(provider: &Provider) -> Vec<String> {
    let user = |path: String| path.rsplit('=').next().unwrap_or_default().to_owned();
    provider.arrivals().into_iter().map(|arrival| user(arrival.path)).collect()
}

#[tokio::test]
async fn in_one_queue() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    let api = server.api;
    let call = |user: &'static str| {
        tokio::spawn(async move { api.run("payments.of_user", &json!({ "user": user })).await })
    };
    let ada: Vec<_> = (0..3).map(|_| call("ada")).collect();
    until("Ada's third call waits", async || {
        (server.integration("payments").await["pool"]["queued"] == 1).then_some(())
    })
    .await;
    for _ in 0..2 {
        call("bob").await.expect("an answer").ok();
    }
    assert_eq!(users(&provider), ["ada", "ada", "bob", "bob"], "Bob has not waited for Ada");
    for answer in ada {
        answer.await.expect("an answer").ok();
    }
    let arrivals = provider.arrivals();
    assert_eq!(users(&provider).last().map(String::as_str), Some("ada"));
    assert!(arrivals[4].at_us >= arrivals[0].at_us + 2_000_000, "Ada's third came within her window");
}

#[tokio::test]
async fn a_key_that_is_missing_is_our_own_fault_and_nothing_is_sent() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    let problem = server.api.run("payments.of_user", &json!({})).await.problem(500, "internal");
    assert_eq!(problem["run"]["error"]["code"], "limit_key_failed", "{problem}");
    assert_eq!(problem["run"]["steps"][0]["attempts"], 0);
    assert_eq!(provider.arrivals().len(), 0);
}
