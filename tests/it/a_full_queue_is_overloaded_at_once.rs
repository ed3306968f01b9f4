//! The pool and its queue are bounded: whoever finds no place is told so at once, whoever finds no permit in time then;
//! and who only backs off holds up nobody.

use std::time::Duration;

use causeway::sandbox::{Action, Behaviour};
use serde_json::json;

use crate::support::wait::Watch;
use crate::support::{Ask, Config, Provider, Server};

const SMALL: &str = r#"
[pool]
max_in_flight = 1
max_queue = 1
max_wait = "600ms"
[retry]
max_retries = 0
"#;

#[tokio::test]
async fn the_third_at_once_and_the_second_after_its_wait() {
    let provider = Provider::start();
    provider.always(Action::Hang { act: false });
    let server = Server::start(&Config::payments(&provider.url(), SMALL));
    let api = server.api;
    let first =
        tokio::spawn(async move { api.send(Ask::run("payments.ping", &json!({})).deadline_ms(3_000)).await });
    provider.arrived(1).await;
    let watch = Watch::start();
    let second = tokio::spawn(async move { (api.run("payments.ping", &json!({})).await, watch.elapsed()) });
    crate::support::wait::until("the second waits", async || {
        (server.integration("payments").await["pool"]["queued"] == 1).then_some(())
    })
    .await;
    let third = Watch::start();
    let refused = api.run("payments.ping", &json!({})).await;
    assert!(third.elapsed() < Duration::from_millis(300), "{:?}", third.elapsed());
    refused.problem(503, "overloaded");
    assert!(refused.retry_after() >= 1);
    let (second, waited) = second.await.expect("an answer");
    second.problem(503, "overloaded");
    assert!((600..2_000).contains(&waited.as_millis()), "{waited:?}");
    first.await.expect("an answer").problem(504, "deadline_exceeded");
    assert_eq!(provider.arrivals().len(), 1);
}

#[tokio::test]
async fn who_backs_off_leaves_its_place() {
    let sections = r#"
[pool]
max_in_flight = 1
max_queue = 0
[retry]
base_delay = "2s"
budget_min = 100
"#;
    let provider = Provider::start();
    provider.next((0..3).map(|_| Behaviour::status(500)));
    let server = Server::start(&Config::payments(&provider.url(), sections));
    let api = server.api;
    let mut backing_off = Vec::new();
    for number in 1..=3 {
        backing_off.push(tokio::spawn(async move { api.run("payments.ping", &json!({})).await }));
        provider.arrived(number).await;
        server_is_idle(&server).await;
    }
    api.run("payments.balance", &json!({})).await.ok();
    for caller in backing_off {
        caller.abort();
    }
}

async fn server_is_idle(server: &Server) {
    crate::support::wait::until("nothing on the wire", async || {
        (server.integration("payments").await["pool"]["in_flight"] == 0).then_some(())
    })
    .await;
}
