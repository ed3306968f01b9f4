//! A caller that hangs up holds nothing: what only reads is dropped, what waits is taken out of the queue; what may
//! have acted runs to its end and is kept.

use std::time::Duration;

use causeway::sandbox::{Action, Behaviour, Ending};
use serde_json::json;

use crate::support::wait::Watch;
use crate::support::{Config, Provider, Server, charge, until};

/// One permit: the next call shows whether it has come back. No timeout ends what the caller's leaving must end.
const ONE_PERMIT: &str = r#"
[pool]
max_in_flight = 1
max_wait = "10s"
[timeouts]
first_byte = "60s"
total = "60s"
"#;
/// The operations' deadline would end it too, but only after 15 seconds.
const BEFORE_THE_DEADLINE: Duration = Duration::from_secs(10);

async fn in_flight_is(server: &Server, count: u64) {
    until(&format!("{count} attempts are in flight"), async || {
        (server.integration("payments").await["pool"]["in_flight"] == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_call_that_only_reads_is_dropped() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ONE_PERMIT));
    provider.next([Action::Hang { act: false }.into()]);
    let caller = server.api.begin("payments.ping", &json!({})).await;
    provider.arrived(1).await;
    in_flight_is(&server, 1).await;
    let watch = Watch::start();
    drop(caller);
    until("the provider sees its connection closed", async || {
        (provider.endings() == [Ending::ClientLeft {}]).then_some(())
    })
    .await;
    in_flight_is(&server, 0).await;
    server.at_rest().await;
    assert!(watch.elapsed() < BEFORE_THE_DEADLINE, "it took {:?}", watch.elapsed());
    server.api.run("payments.ping", &json!({})).await.ok();
}

#[tokio::test]
async fn a_call_that_waits_is_never_sent() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ONE_PERMIT));
    provider.next([Behaviour::normal().delayed(Duration::from_millis(1_000))]);
    let api = server.api;
    let first = tokio::spawn(async move { api.run("payments.charge", &charge()).await });
    provider.arrived(1).await;
    let caller = server.api.begin("payments.charge", &charge()).await;
    let queued = async |count: u64| {
        until(&format!("{count} calls wait"), async || {
            (server.integration("payments").await["pool"]["queued"] == count).then_some(())
        })
        .await;
    };
    queued(1).await;
    drop(caller);
    queued(0).await;
    first.await.expect("it is answered").ok();
    server.at_rest().await;
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (1, 1));
}

#[tokio::test]
async fn a_call_that_may_have_acted_runs_to_its_end() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ONE_PERMIT));
    provider.next([Action::Delay { ms: 500, jitter_ms: 0 }.into()]);
    let caller = server.api.begin("payments.charge", &charge()).await;
    provider.arrived(1).await;
    drop(caller);
    server.at_rest().await;
    assert_eq!(provider.endings(), [Ending::Answered { status: 200 }]);
    let [effect] = &provider.effects()[..] else { panic!("not one charge") };
    let run = effect.reference.as_ref().expect("the run's id");
    let outcome = server.api.get(&format!("/v1/runs/{run}")).await.ok();
    assert_eq!((&outcome["status"], &outcome["result"]["id"]), (&json!("succeeded"), &json!(effect.id)));
}
