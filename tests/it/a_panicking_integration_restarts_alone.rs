//! A panic in one integration's actor restarts that one; its neighbours, on the same thread, do not notice.

use causeway::sandbox::Action;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::fault::{generation_is, panic_now};
use crate::support::queued::{self, LATER, over, place};
use crate::support::{Ask, Client, Config, Provider, Server, charge, until};

const SECTIONS: &str = "[breaker]\nhalf_open_calls = 1";

fn config(provider: &Provider) -> Config {
    let url = provider.url();
    let config = Config::payments(&url, SECTIONS);
    config.integration("left", &url, SECTIONS).integration("right", &url, SECTIONS)
}

/// Calls an integration again and again; every call must succeed. Gives the number of calls when it is told to end.
fn call(
    callers: &mut JoinSet<u32>,
    api: Client,
    integration: &'static str,
    mut end: tokio::sync::watch::Receiver<()>,
) {
    callers.spawn(async move {
        let mut calls = 0;
        while end.has_changed().is_ok() {
            api.run(&format!("{integration}.ping"), &json!({})).await.ok();
            calls += 1;
        }
        end.mark_unchanged();
        calls
    });
}

#[tokio::test]
async fn a_call_in_flight_gets_its_outcome_and_neighbours_do_not_notice() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    let (running, end) = tokio::sync::watch::channel(());
    let mut callers = JoinSet::new();
    for integration in ["left", "right"] {
        call(&mut callers, server.api, integration, end.clone());
    }
    provider.always_on(&http::Method::POST, "/v1/charges", Action::Delay { ms: 1_500, jitter_ms: 0 });
    let api = server.api;
    let in_flight = tokio::spawn(async move { api.run("payments.charge", &charge()).await });
    until("the charge arrives", async || {
        provider.arrivals().iter().any(|arrival| arrival.path == "/v1/charges").then_some(())
    })
    .await;
    panic_now(&server, "payments");
    generation_is(&server, "payments", 1).await;
    let rebuilt = server.integration("payments").await;
    assert_eq!((&rebuilt["breaker"]["state"], &rebuilt["status"]), (&json!("half_open"), &json!("degraded")));
    assert_eq!(rebuilt["pool"]["in_flight"], 1, "the attempt on the wire has been adopted");

    let outcome = in_flight.await.expect("it is answered").ok();
    assert_eq!((&outcome["status"], &outcome["steps"][0]["attempts"]), (&json!("succeeded"), &json!(1)));
    assert_eq!(provider.effects().len(), 1);
    assert_eq!(outcome["result"]["id"], provider.effects()[0].id);
    server.api.run("payments.ping", &json!({})).await.ok();
    server.breaker_is("payments", "closed").await;

    drop(running);
    let calls: Vec<u32> = callers.join_all().await;
    assert!(calls.iter().all(|calls| *calls > 10), "{calls:?}");
    for neighbour in ["left", "right"] {
        let neighbour = server.integration(neighbour).await;
        assert_eq!(
            (&neighbour["actor"]["generation"], &neighbour["breaker"]["epoch"]),
            (&json!(0), &json!(0))
        );
    }
}

#[tokio::test]
async fn a_manual_mode_survives_the_restart() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    let trip =
        Ask::post("/admin/v1/integrations/payments/breaker/trip", &json!({ "reason": "asked to stop" }));
    server.admin.send(trip).await.ok();
    panic_now(&server, "payments");
    generation_is(&server, "payments", 1).await;
    let rebuilt = server.integration("payments").await;
    assert_eq!(
        (&rebuilt["breaker"]["mode"], &rebuilt["breaker"]["manual"]["reason"]),
        (&json!("forced_open"), &json!("asked to stop"))
    );
    server.api.run("payments.ping", &json!({})).await.problem(503, "breaker_open");
    assert_eq!(provider.arrivals().len(), 0);
}

#[tokio::test]
async fn five_panics_in_a_minute_set_it_aside_until_a_reset() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    for generation in 1..=5 {
        panic_now(&server, "payments");
        generation_is(&server, "payments", generation).await;
    }
    let quarantined = server.integration("payments").await;
    assert_eq!(quarantined["actor"]["condition"], "quarantined");
    assert_eq!((&quarantined["status"], &quarantined["reasons"][1]), (&json!("down"), &json!("quarantined")));
    let refused = server.api.run("payments.ping", &json!({})).await.problem(500, "internal");
    let error = &refused["run"]["error"];
    assert_eq!((&error["class"], &error["code"]), (&json!("internal"), &json!("integration_restarting")));
    assert_eq!(provider.arrivals().len(), 0);
    server.api.run("left.ping", &json!({})).await.ok();

    let reset =
        Ask::post("/admin/v1/integrations/payments/breaker/reset", &json!({ "reason": "looked at it" }));
    let reset = server.admin.send(reset).await.ok();
    assert_eq!(
        (&reset["actor"]["condition"], &reset["breaker"]["state"]),
        (&json!("running"), &json!("closed"))
    );
    server.api.run("payments.ping", &json!({})).await.ok();
    assert_eq!(provider.arrivals().len(), 2);
}

#[tokio::test]
async fn its_queue_survives() {
    let provider = Provider::start();
    let sections = "[breaker]\nhalf_open_calls = 1\n[queue]\nslots = 4\n[retry]\nbase_delay = \"20ms\"\n";
    let server = Server::start(&Config::payments(&provider.url(), sections).operation("later", LATER));
    provider.always(Action::Delay { ms: 300, jitter_ms: 0 });
    let mut places = Vec::new();
    for amount in 1..=12 {
        places.push(place(&server.api.send(queued::of("later", amount)).await));
    }
    provider.arrived(4).await;
    panic_now(&server, "payments");
    generation_is(&server, "payments", 1).await;
    for path in places {
        let run = over(&server.api, &path).await;
        assert_eq!(run["status"], "succeeded", "{run}");
    }
    let mut amounts: Vec<u64> = provider.effects().iter().map(|effect| effect.amount).collect();
    amounts.sort_unstable();
    assert_eq!(amounts, (1..=12).collect::<Vec<_>>(), "each once");
}
