//! Asked to stop, the server takes nothing new, finishes what it has begun, and ends in order.

use std::time::Duration;

use causeway::sandbox::Action;
use serde_json::json;

use crate::support::wait::Watch;
use crate::support::{Ask, Config, Process, Provider, charge, process, until};

/// A server in a process of its own.
fn start(config: &Config) -> (tempfile::TempDir, Process) {
    let dir = tempfile::tempdir().expect("a directory");
    config.write(dir.path());
    let process =
        Process::start(&mut process::causeway(&["serve", "--config", &dir.path().display().to_string()]));
    (dir, process)
}

#[tokio::test]
async fn a_run_in_flight_is_finished_and_answered() {
    let provider = Provider::start();
    let (_dir, mut process) = start(&Config::payments(&provider.url(), ""));
    let (api, admin) = process.serves().await;
    let ready = admin.get("/readyz").await;
    assert_eq!((ready.status, &*ready.body), (200, "ready\n"));
    provider.always(Action::Delay { ms: 1_500, jitter_ms: 0 });
    let in_flight = tokio::spawn(async move { api.run("payments.charge", &charge()).await });
    provider.arrived(1).await;

    let watch = Watch::start();
    process.terminate();
    until("it says that it is draining", async || {
        let ready = admin.get("/readyz").await;
        (ready.status == 503 && ready.body == "draining\n").then_some(())
    })
    .await;
    let refused = api.run("payments.charge", &charge()).await;
    refused.problem(503, "draining");
    refused.retry_after();
    assert_eq!(admin.get("/livez").await.status, 200, "it lives while it drains");

    let outcome = in_flight.await.expect("it is answered").ok();
    assert_eq!(outcome["status"], "succeeded");
    let ended = process.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(
        watch.elapsed() < Duration::from_secs(10),
        "it took {:?}, longer than the drain",
        watch.elapsed()
    );
    assert!(ended.out.contains("\"drained\":true"), "{}", ended.out);
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (1, 1));
    assert!(api.try_send(Ask::get("/v1/health")).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn an_idle_server_ends_at_once() {
    let provider = Provider::start();
    let (_dir, mut process) = start(&Config::payments(&provider.url(), ""));
    let (api, _) = process.serves().await;
    api.run("payments.ping", &json!({})).await.ok();
    let watch = Watch::start();
    process.terminate();
    let ended = process.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(watch.elapsed() < Duration::from_secs(5), "{:?}", watch.elapsed());
}

#[tokio::test]
async fn what_does_not_end_is_not_waited_for_beyond_the_drain() {
    let provider = Provider::start();
    let server = "[listen]\napi = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndrain = \"500ms\"";
    let config = Config::payments(&provider.url(), "").file("causeway.toml", server);
    let (_dir, mut process) = start(&config);
    let (api, _) = process.serves().await;
    provider.always(Action::Hang { act: false });
    let caller = api.begin("payments.charge", &charge()).await;
    provider.arrived(1).await;
    let watch = Watch::start();
    process.terminate();
    let ended = process.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!((500..6_000).contains(&watch.elapsed().as_millis()), "{:?}", watch.elapsed());
    assert!(ended.out.contains("\"drained\":false"), "{}", ended.out);
    drop(caller);
}

#[tokio::test]
async fn what_had_not_ended_goes_on_in_the_next_life() {
    let provider = Provider::start();
    let server = "[listen]\napi = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndrain = \"500ms\"";
    let later = "mode = \"async\"\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n";
    let config = Config::payments(&provider.url(), "[queue]\nslots = 1\n")
        .file("causeway.toml", server)
        .operation("later", later);
    let (dir, mut process) = start(&config);
    let (api, _) = process.serves().await;
    provider.next([1, 2].map(|_| Action::Hang { act: true }.into()));
    let caller = tokio::spawn(async move {
        let ask = Ask::run("payments.charge", &charge()).header("idempotency-key", "k");
        api.try_send(ask).await
    });
    let mut places = Vec::new();
    for _ in 0..2 {
        let accepted = api.run("later", &charge()).await;
        places.push(accepted.header("location").expect("where to look").to_owned());
    }
    provider.arrived(2).await;
    process.terminate();
    let ended = process.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.out.contains("\"drained\":false"), "{}", ended.out);
    // Whatever its caller was told, it was no end.
    if let Ok(answer) = caller.await.expect("the caller's task") {
        assert!(answer.status >= 500, "{answer:?}");
    }

    let mut process =
        Process::start(&mut process::causeway(&["serve", "--config", &dir.path().display().to_string()]));
    let (api, _) = process.serves().await;
    for place in places {
        let run = until("it is over", async || {
            let run = api.get(&format!("{place}?wait=5")).await.ok();
            run["finished_at"].is_string().then_some(run)
        })
        .await;
        assert_eq!(run["status"], "succeeded", "{run}");
    }
    let ask = Ask::run("payments.charge", &charge()).header("idempotency-key", "k");
    let replay = api.send(ask).await;
    assert_eq!(
        (replay.header("idempotency-replayed"), &replay.ok()["status"]),
        (Some("true"), &json!("succeeded"))
    );
    assert_eq!(provider.effects().len(), 3, "each once");
}
