//! `causeway demo` is a whole server with a provider behind it, in one process, and what it prints can be done.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::wait::Watch;
use crate::support::{Client, Process, process};

/// Nothing happens but what is asked for.
const QUIET: &[&str] = &["--no-traffic"];

/// The address that stands after these words in what the demo prints.
fn address(out: &str, words: &str) -> Option<Client> {
    let (_, rest) = out.split_once(words)?;
    let address = rest.trim_start().strip_prefix("http://")?.split_whitespace().next()?;
    Some(Client::new(address.parse().ok()?))
}

#[tokio::test]
async fn it_charges_and_declines_and_trips() {
    let (any, dir) = ("127.0.0.1:0", tempfile::tempdir().expect("a directory"));
    let data = dir.path().to_str().expect("a path");
    let mut demo = Process::start(&mut process::causeway(
        &[&["demo", "--data", data, "--api", any, "--admin", any, "--sandbox", any], QUIET].concat(),
    ));
    let (api, admin, provider) = demo
        .says("its addresses", |out| {
            out.contains("Ctrl-C").then_some(())?;
            Some((
                address(out, "business API")?,
                address(out, "admin API")?,
                address(out, "      providers ")?,
            ))
        })
        .await;
    let done =
        api.run("payments.charge", &json!({ "amount": 1250, "currency": "eur", "source": "tok_visa" })).await;
    let charge = done.ok()["result"]["charge"].clone();
    let declined = api
        .run("payments.charge", &json!({ "amount": 1250, "currency": "eur", "source": "tok_declined" }))
        .await;
    assert_eq!(declined.problem(422, "provider_refused")["run"]["error"]["code"], "card_declined");

    let ledger = provider.raw(b"GET /_control/ledger HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let (_, ledger) = ledger.split_once("\r\n\r\n").expect("a body");
    let ledger: Value = serde_json::from_str(ledger).expect("a ledger");
    assert_eq!(ledger["arrivals"].as_array().map(Vec::len), Some(2));
    assert_eq!((&ledger["effects"][0]["id"], &ledger["effects"][1]), (&charge, &Value::Null));

    let url = admin.url();
    let ended =
        process::run(&["breaker", "trip", "payments", "--reason", "asked to stop", "--admin-url", &url])
            .await;
    assert!(ended.status.success(), "{ended:?}");
    let url = api.url();
    let called = process::run(&["call", "payments.ping", "{}", "--json", "--url", &url]).await;
    assert_eq!(called.status.code(), Some(1), "{called:?}");
    let problem: Value = serde_json::from_str(&called.out).expect("a problem");
    assert_eq!(problem["code"], "breaker_open");
    demo.kill();
}

#[tokio::test]
async fn it_stops_when_told_to() {
    let (any, dir) = ("127.0.0.1:0", tempfile::tempdir().expect("a directory"));
    let data = dir.path().to_str().expect("a path");
    let mut demo = Process::start(&mut process::causeway(
        &[&["demo", "--data", data, "--api", any, "--admin", any, "--sandbox", any], QUIET].concat(),
    ));
    demo.says("its addresses", |out| out.contains("Ctrl-C").then_some(())).await;
    demo.terminate();
    let ended = demo.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

#[tokio::test]
async fn it_shows_a_breaker_open_and_close_within_a_minute() {
    let (any, dir) = ("127.0.0.1:0", tempfile::tempdir().expect("a directory"));
    let data = dir.path().to_str().expect("a path");
    let mut demo = Process::start(&mut process::causeway(&[
        "demo",
        "--data",
        data,
        "--api",
        any,
        "--admin",
        any,
        "--sandbox",
        any,
    ]));
    let (api, admin) = demo
        .says("its addresses", |out| {
            out.contains("Ctrl-C").then_some(())?;
            Some((address(out, "business API")?, address(out, "admin API")?))
        })
        .await;
    let watch = Watch::start();
    let breaker = async || api.get("/v1/health").await.ok()["integrations"]["email"]["breaker"].clone();
    let mut seen = Vec::new();
    while seen.len() < 3 && watch.elapsed() < Duration::from_secs(60) {
        let state = breaker().await;
        let next = [json!("closed"), json!("open"), json!("closed")][seen.len()].clone();
        if state == next {
            seen.push(next);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(seen.len(), 3, "closed, open and closed again: {seen:?}");
    let metrics = admin.raw(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    for outcome in ["succeeded", "partial", "failed"] {
        let series = format!("causeway_runs_total{{operation=\"orders.place\",outcome=\"{outcome}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&*series)?.parse::<u64>().ok());
        assert!(count.is_some_and(|count| count > 0), "{outcome}: {count:?}");
    }
    let order =
        json!({ "amount": 1250, "currency": "eur", "source": "tok_visa", "email": "ada@example.com" });
    let placed = api.run("orders.place", &order).await.ok();
    assert!(placed["result"]["charge"].is_string(), "{placed}");
    api.run("orders.place", &json!({ "amount": 0 })).await.problem(422, "invalid_input");
    demo.terminate();
    assert_eq!(demo.ended().await.status.code(), Some(0));
}
