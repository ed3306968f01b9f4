//! A queued run that is cancelled is over at once, whatever it waits for: its time, a paused integration, an open breaker, a
//! provider that asked for patience, or a slot. It asks nobody for anything, but to take back what stands.

use std::time::Duration;

use causeway::sandbox::{Action, Behaviour};
use serde_json::json;
use tokio_postgres::NoTls;

use crate::support::postgres::{self, Database};
use crate::support::process::causeway;
use crate::support::queued::{self, LATER, is, over, place, say};
use crate::support::{Ask, Client, Config, Process, Provider, Server, charge, until};

/// Has the run cancelled, which is no repetition of anything.
async fn cancel(api: &Client, path: &str) {
    let answer = api.send(Ask::post(format!("{path}/cancel"), &json!({}))).await;
    assert_eq!((answer.status, answer.header("location")), (202, Some(path)), "{answer:?}");
    assert_eq!(answer.header("idempotency-replayed"), None, "{answer:?}");
}

async fn is_cancelled(api: &Client, path: &str) {
    cancel(api, path).await;
    let run = over(api, path).await;
    assert_eq!(
        (&run["status"], &run["steps"][0]["status"]),
        (&json!("cancelled"), &json!("skipped")),
        "{run}"
    );
}

#[tokio::test]
async fn while_its_integration_is_paused() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), "").operation("later", LATER));
    say(&server, "payments", "pause").await;
    let paths = [
        place(&server.api.send(queued::of("later", 1)).await),
        place(&server.api.send(queued::of("later", 2).header("x-priority", "low")).await),
        place(&server.api.send(queued::of("later", 3).header("x-not-before", "2999-01-01T00:00:00Z")).await),
    ];
    let stays = place(&server.api.send(queued::of("later", 4)).await);
    for path in &paths {
        is_cancelled(&server.api, path).await;
    }
    assert_eq!(server.api.get(&stays).await.ok()["status"], "accepted", "nobody else is leased");
    assert_eq!(provider.arrivals().len(), 0);
    say(&server, "payments", "resume").await;
    assert_eq!(over(&server.api, &stays).await["status"], "succeeded");
    assert_eq!(provider.arrivals().len(), 1);
}

#[tokio::test]
async fn while_its_breaker_is_open() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), "").operation("later", LATER));
    say(&server, "payments", "breaker/trip").await;
    let path = place(&server.api.send(queued::of("later", 1)).await);
    is_cancelled(&server.api, &path).await;
    assert_eq!(provider.arrivals().len(), 0);
}

#[tokio::test]
async fn while_its_provider_wants_to_be_left_alone() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), "").operation("later", LATER));
    provider.next([Action::RateLimit { retry_after: "600".to_owned(), status: 429 }.into()]);
    let refused = place(&server.api.send(queued::of("later", 1)).await);
    is(&server.api, &refused, "waiting").await;
    let waits = place(&server.api.send(queued::of("later", 2)).await);
    for path in [refused, waits] {
        is_cancelled(&server.api, &path).await;
    }
    assert_eq!(provider.arrivals().len(), 1);
}

#[tokio::test]
async fn while_all_slots_are_taken() {
    let provider = Provider::start();
    let config = Config::payments(&provider.url(), "[queue]\nslots = 1\n").operation("later", LATER);
    let server = Server::start(&config);
    provider.always(Action::Hang { act: false });
    place(&server.api.send(queued::of("later", 1)).await);
    provider.arrived(1).await;
    let waits = place(&server.api.send(queued::of("later", 2)).await);
    is_cancelled(&server.api, &waits).await;
    assert_eq!(provider.arrivals().len(), 1);
}

#[tokio::test]
async fn while_it_is_being_put_off() {
    let (provider, dir, database) =
        (Provider::start(), tempfile::tempdir().expect("a directory"), Database::new().await);
    let config = Config::payments(&provider.url(), "").operation("later", LATER);
    postgres::kept_in(config, &database.url, dir.path()).write(dir.path());
    let path = dir.path().to_str().expect("a path");
    let mut server = Process::start(&mut causeway(&["serve", "--config", path]));
    let (api, _) = server.serves().await;
    let patience = Behaviour::from(Action::RateLimit { retry_after: "600".to_owned(), status: 429 });
    provider.next([patience.delayed(Duration::from_secs(1))]);
    let path = place(&api.send(queued::of("later", 1)).await);
    provider.arrived(1).await;
    let connected = async || {
        let (client, connection) = tokio_postgres::connect(&database.url, NoTls).await.expect("it is there");
        tokio::spawn(connection);
        client
    };
    // Whoever is within a transaction sees others as they were when it first looked.
    let (somebody, watcher) = (connected().await, connected().await);
    let lock = "BEGIN; LOCK TABLE causeway.progress IN SHARE MODE";
    somebody.batch_execute(lock).await.expect("nobody writes how a run stands");
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("it waits to be put off", async || {
        let waiting: i64 = watcher.query_one(waiting, &[]).await.expect("it is asked").get(0);
        (waiting == 1).then_some(())
    })
    .await;
    cancel(&api, &path).await;
    somebody.batch_execute("ROLLBACK").await.expect("it is let go");
    let run = over(&api, &path).await;
    assert_eq!(run["status"], "cancelled", "{run}");
    assert_eq!(provider.arrivals().len(), 1);
    server.terminate();
    assert_eq!(server.ended().await.status.code(), Some(0));
}

#[tokio::test]
async fn by_a_server_that_was_started_since() {
    let provider = Provider::start();
    let config = Config::payments(&provider.url(), "").operation("later", LATER);
    let server = Server::start(&config);
    say(&server, "payments", "pause").await;
    let path = place(&server.api.send(queued::of("later", 1)).await);
    cancel(&server.api, &path).await;
    let server = server.restarted(&config);
    assert_eq!(over(&server.api, &path).await["status"], "cancelled");
    assert_eq!(provider.arrivals().len(), 0);
}

#[tokio::test]
async fn and_what_stands_is_taken_back_when_that_may_be_asked_for() {
    const CHAIN: &str = r#"
mode = "async"
[[steps]]
name = "pay"
call = "payments.charge"
undo = { call = "payments.charge_once", input = '.input' }
[[steps]]
name = "note"
after = ["pay"]
call = "desk.charge"
input = '.input'
"#;
    let (provider, desk) = (Provider::start(), Provider::start());
    let config =
        Config::payments(&provider.url(), "").integration("desk", &desk.url(), "").operation("chain", CHAIN);
    let server = Server::start(&config);
    provider.always(Behaviour::normal());
    say(&server, "desk", "pause").await;
    let path = place(&server.api.run("chain", &charge()).await);
    is(&server.api, &path, "waiting").await;
    say(&server, "payments", "pause").await;
    cancel(&server.api, &path).await;
    // Who takes back is asked in the queue's own time, too.
    until("it waits to take back what stands", async || {
        let run = server.api.get(&path).await.ok();
        let steps = (&run["steps"][0]["status"], &run["steps"][1]["status"]);
        (run["status"] == "waiting" && steps == (&json!("succeeded"), &json!("skipped"))).then_some(())
    })
    .await;
    assert_eq!(provider.arrivals().len(), 1);
    say(&server, "payments", "resume").await;
    let run = over(&server.api, &path).await;
    assert_eq!(
        (&run["status"], &run["steps"][0]["status"]),
        (&json!("cancelled"), &json!("undone")),
        "{run}"
    );
    assert_eq!((provider.arrivals().len(), desk.arrivals().len()), (2, 0));
}
