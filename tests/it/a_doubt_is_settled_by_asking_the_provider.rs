//! Where a provider takes no keys and can be asked what it has done, a charge in doubt is looked up: found it is done, absent
//! twice it is made again, and until then nobody is told either.

use std::time::Duration;

use causeway::sandbox::{Action, Behaviour};
use http::Method;
use serde_json::json;

use crate::support::process::causeway;
use crate::support::wait::Watch;
use crate::support::{Ask, Config, Process, Provider, Server, charge, until};

/// A provider without keys, with a query; `how` is about that.
fn config(provider: &Provider, how: &str) -> Config {
    let endpoints = format!(
        r#"
[endpoints.find]
method = "GET"
path = "/v1/charges"
request = '{{ query: {{ reference: .reference }} }}'

[endpoints.book]
method = "POST"
path = "/v1/charges"
request = '{{ body: {{ amount: .amount, currency: .currency, source: .source, reference: $run.id }} }}'
response = '{{ id: .body.id, status: .body.status }}'

[endpoints.book.idempotency.verify]
endpoint = "find"
input = '{{ reference: $run.id }}'
found = '.body.data | length > 0'
result = '.body.data[0] | {{ id, status }}'
{how}
"#
    );
    let operation = "deadline = \"5s\"\n[[steps]]\nname = \"book\"\ncall = \"payments.book\"\n";
    Config::payments(&provider.url(), "[retry]\nmax_retries = 0")
        .append("integrations/payments.toml", &endpoints)
        .operation("book", operation)
}

/// What has arrived, as its methods.
fn methods(provider: &Provider) -> Vec<String> {
    provider.arrivals().into_iter().map(|arrival| arrival.method).collect()
}

#[tokio::test]
async fn found_it_is_done() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider, ""));
    provider.next([Action::DropAfter {}.into()]);
    let outcome = server.api.run("book", &charge()).await.ok();
    assert_eq!((&outcome["status"], &outcome["steps"][0]["attempts"]), (&json!("succeeded"), &json!(1)));
    assert_eq!(outcome["result"]["id"], provider.effects()[0].id);
    assert_eq!(methods(&provider), ["POST", "GET"]);
    assert_eq!(provider.effects().len(), 1);
}

#[tokio::test]
async fn absent_twice_it_is_made_again_and_not_before() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider, "settle = \"1s\""));
    provider.next([Action::DropBefore {}.into()]);
    let watch = Watch::start();
    let outcome = server.api.run("book", &charge()).await.ok();
    assert!(watch.elapsed() >= Duration::from_secs(1));
    assert_eq!((&outcome["status"], &outcome["steps"][0]["attempts"]), (&json!("succeeded"), &json!(2)));
    assert_eq!(methods(&provider), ["POST", "GET", "GET", "POST"]);
    assert_eq!(provider.effects().len(), 1);
}

#[tokio::test]
async fn who_waits_is_told_at_once_that_it_is_pending() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider, "settle = \"7s\""));
    provider.next([Action::DropBefore {}.into()]);
    let watch = Watch::start();
    let problem = server.api.run("book", &charge()).await.problem(504, "outcome_pending");
    assert!(watch.elapsed() < Duration::from_secs(3), "it cannot be settled in time: {:?}", watch.elapsed());
    assert_eq!(
        (&problem["run"]["status"], &problem["run"]["steps"][0]["status"]),
        (&json!("running"), &json!("running"))
    );
    let path = format!("/v1/runs/{}?wait=30", problem["run"]["id"].as_str().expect("an id"));
    // By then nobody waits for a charge any more: it is known that there was none, and none is made.
    let run = server.api.get(&path).await.ok();
    assert_eq!((&run["status"], &run["error"]["class"]), (&json!("failed"), &json!("deadline")));
    assert_eq!(methods(&provider), ["POST", "GET", "GET"]);
    assert_eq!(provider.effects().len(), 0);
}

#[tokio::test]
async fn a_look_that_fails_leaves_it_unknown() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider, ""));
    provider.next([Action::DropAfter {}.into()]);
    provider.always_on(&Method::GET, "/v1/charges", Behaviour::status(403));
    let problem = server.api.run("book", &charge()).await.problem(504, "outcome_unknown");
    let message = problem["run"]["error"]["message"].as_str().expect("a message");
    assert!(message.contains("it could not be verified"), "{message}");
    assert_eq!(methods(&provider), ["POST", "GET"]);
}

#[tokio::test]
async fn a_critical_payment_is_looked_up_before_it_is_made() {
    let provider = Provider::start();
    let how = "when = \"always\"";
    let config = config(&provider, how).replace(
        "integrations/payments.toml",
        "input = '{ reference: $run.id }'",
        "input = '{ reference: .source }'",
    );
    let config = config.edited("integrations/payments.toml", |text| {
        let (before, after) = text.rsplit_once("reference: $run.id } }'").expect("the request of `book`");
        format!("{before}reference: .source }} }}'{after}")
    });
    let server = Server::start(&config);
    let first = server.api.run("book", &charge()).await.ok();
    let second = server.api.run("book", &charge()).await.ok();
    assert_eq!(first["result"], second["result"], "it was there already");
    assert_eq!(methods(&provider), ["GET", "POST", "GET"]);
    assert_eq!(provider.effects().len(), 1);
}

#[tokio::test]
async fn a_killed_server_looks_in_its_next_life() {
    let provider = Provider::start();
    let dir = tempfile::tempdir().expect("a directory");
    config(&provider, "settle = \"500ms\"").write(dir.path());
    let path = dir.path().to_str().expect("a path").to_owned();
    for acts in [true, false] {
        let mut server = Process::start(&mut causeway(&["serve", "--config", &path]));
        let (api, _) = server.serves().await;
        let before = provider.arrivals().len();
        provider.next([Action::Hang { act: acts }.into()]);
        let ask = Ask::run("book", &charge()).header("idempotency-key", &format!("k-{acts}"));
        let caller = tokio::spawn(async move { api.try_send(ask).await });
        provider.arrived(before + 1).await;
        server.kill();
        assert!(caller.await.expect("the caller's task").is_err());

        let mut server = Process::start(&mut causeway(&["serve", "--config", &path]));
        let (api, _) = server.serves().await;
        let run = until("the run is over", async || {
            let run = api.get("/v1/runs?limit=1").await.ok()["items"][0].clone();
            (run["status"] != "running").then_some(run)
        })
        .await;
        assert_eq!(run["status"], "succeeded", "{run}");
        let looked: &[&str] = if acts { &["POST", "GET"] } else { &["POST", "GET", "GET", "POST"] };
        assert_eq!(methods(&provider)[before..], *looked);
    }
    assert_eq!(provider.effects().len(), 2);
}

#[tokio::test]
async fn where_there_is_a_key_too_it_is_sent_as_long_as_it_is_known() {
    for (retention, looked) in [("1h", &["POST", "POST"][..]), ("1s", &["POST", "GET"])] {
        let provider = Provider::start();
        let both = format!(
            "[endpoints.book.idempotency]\nheader = \"Idempotency-Key\"\nkey_retention = \"{retention}\"\n"
        );
        let config = config(&provider, "")
            .replace(
                "integrations/payments.toml",
                "[endpoints.book.idempotency.verify]",
                &format!("{both}[endpoints.book.idempotency.verify]"),
            )
            .replace(
                "integrations/payments.toml",
                "max_retries = 0",
                "max_retries = 1\nbase_delay = \"1500ms\"\njitter = 0.0",
            );
        let server = Server::start(&config);
        provider.next([Action::DropAfter {}.into()]);
        let outcome = server.api.run("book", &charge()).await.ok();
        assert_eq!(outcome["result"]["id"], provider.effects()[0].id, "{retention}");
        assert_eq!(methods(&provider), looked, "{retention}");
        assert_eq!(provider.effects().len(), 1);
    }
}
