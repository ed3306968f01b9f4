//! A caller that prefers not to wait is told where to look, and the run goes on to its end.

use std::time::Duration;

use causeway::sandbox::Action;
use serde_json::json;

use crate::support::wait::Watch;
use crate::support::{Ask, Config, Provider, Server, until};

#[tokio::test]
async fn prefer_wait_bounds_the_answer_not_the_run() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    provider.always(Action::Delay { ms: 2_000, jitter_ms: 0 });
    let watch = Watch::start();
    let ask = Ask::run("payments.ping", &json!({})).header("Prefer", "handling=lenient, wait=1");
    let answer = server.api.send(ask).await;
    assert!(watch.elapsed() > Duration::from_millis(900), "{:?}", watch.elapsed());
    let location = answer.header("location").expect("where to look").to_owned();
    let so_far = answer.json();
    assert_eq!(
        (answer.status, &so_far["status"], &so_far["durable"]),
        (202, &json!("running"), &json!(true))
    );
    assert_eq!(location, format!("/v1/runs/{}", so_far["id"].as_str().expect("an id")));
    assert_eq!(so_far["steps"][0]["status"], "running");
    let outcome = until("the run ends", async || {
        Some(server.api.get(&location).await.ok()).filter(|run| run["status"] != "running")
    })
    .await;
    assert_eq!((&outcome["status"], &outcome["result"]), (&json!("succeeded"), &json!({ "ok": true })));
    assert_eq!(provider.arrivals().len(), 1);
}

#[tokio::test]
async fn a_run_that_ends_in_time_is_answered_whole() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    let ask = Ask::run("payments.ping", &json!({})).header("Prefer", "wait=10");
    let outcome = server.api.send(ask).await.ok();
    assert_eq!(outcome["status"], "succeeded");
    let id = outcome["id"].as_str().expect("an id");
    server.api.get(&format!("/v1/runs/{id}")).await.problem(404, "unknown_run");
}

#[tokio::test]
async fn nonsense_is_refused() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    for (name, value) in [("Prefer", "wait=soon"), ("Prefer", "wait"), ("X-Priority", "urgent")] {
        let ask = Ask::run("payments.ping", &json!({})).header(name, value);
        server.api.send(ask).await.problem(400, "malformed_request");
    }
    assert_eq!(provider.arrivals(), []);
    let ask = Ask::run("payments.ping", &json!({})).header("X-Priority", "high");
    server.api.send(ask).await.ok();
}
