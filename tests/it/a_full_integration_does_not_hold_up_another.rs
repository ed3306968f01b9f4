//! Each integration has its own permits, queue and connections: one whose provider hangs, with all its places taken,
//! costs its neighbours on the same thread nothing.

use causeway::sandbox::Action;
use serde_json::json;

use crate::support::{Ask, Config, Provider, Server};

async fn ninety_of_ninety(dedicated: &str) {
    let (hanging, well) = (Provider::start(), Provider::start());
    hanging.always(Action::Hang { act: false });
    let config = Config::new()
        .integration(
            "slow",
            &hanging.url(),
            &format!("{dedicated}[pool]\nmax_in_flight = 8\nmax_queue = 8\nmax_wait = \"20s\""),
        )
        .integration("well", &well.url(), "");
    let server = Server::start(&config);
    let api = server.api;
    let stuck: Vec<_> = (0..30)
        .map(|_| {
            tokio::spawn(async move { api.send(Ask::run("slow.ping", &json!({})).deadline_ms(10_000)).await })
        })
        .collect();
    hanging.arrived(8).await;
    for _ in 0..90 {
        // Long before any of the stuck ones gives up.
        api.send(Ask::run("well.ping", &json!({})).deadline_ms(5_000)).await.ok();
    }
    assert_eq!(hanging.arrivals().len(), 8, "and the other is still full");
    assert_eq!(well.arrivals().len(), 90);
    for caller in stuck {
        caller.abort();
    }
}

#[tokio::test]
async fn on_a_thread_they_share() {
    ninety_of_ninety("").await;
}

#[tokio::test]
async fn on_a_thread_of_its_own() {
    ninety_of_ninety("dedicated_thread = true\n").await;
}
