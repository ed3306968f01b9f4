//! As many queued runs are executed at once as their integration has slots; a slot is free again as soon as nothing is done for
//! its run any more, and not only when that is written down.

use std::time::Duration;

use causeway::sandbox::Behaviour;
use serde_json::json;
use tokio_postgres::NoTls;

use crate::support::postgres::{self, Database};
use crate::support::process::causeway;
use crate::support::queued::{self, LATER, over, place};
use crate::support::{Ask, Client, Config, Process, Provider, Server, until};

/// Says something about the integration.
async fn say(admin: &Client, word: &str) {
    let path = format!("/admin/v1/integrations/payments/{word}");
    admin.send(Ask::post(path, &json!({ "reason": "a test" }))).await.ok();
}

/// Leaves so many charges to the queue, which rests until it is told to go on; where they are found.
async fn leave(api: &Client, admin: &Client, count: u64) -> Vec<String> {
    say(admin, "pause").await;
    let mut places = Vec::new();
    for amount in 1..=count {
        places.push(place(&api.send(queued::of("later", amount)).await));
    }
    places
}

async fn all_succeed(api: &Client, places: &[String]) {
    for path in places {
        assert_eq!(over(api, path).await["status"], "succeeded");
    }
}

#[tokio::test]
async fn as_many_at_once_as_there_are_slots() {
    let provider = Provider::start();
    provider.always(Behaviour::normal().delayed(Duration::from_millis(30)));
    let config = Config::payments(&provider.url(), "[queue]\nslots = 3\n").operation("later", LATER);
    let server = Server::start(&config);
    let places = leave(&server.api, &server.admin, 24).await;
    say(&server.admin, "resume").await;
    all_succeed(&server.api, &places).await;
    assert_eq!((provider.effects().len(), provider.counters().peak_open), (24, 3));
}

#[tokio::test]
async fn a_run_whose_end_is_not_written_yet_keeps_none() {
    let (provider, dir, database) =
        (Provider::start(), tempfile::tempdir().expect("a directory"), Database::new().await);
    let config = Config::payments(&provider.url(), "[queue]\nslots = 1\n").operation("later", LATER);
    postgres::kept_in(config, &database.url, dir.path()).write(dir.path());
    let path = dir.path().to_str().expect("a path");
    let mut server = Process::start(&mut causeway(&["serve", "--config", path]));
    let (api, admin) = server.serves().await;
    let places = leave(&api, &admin, 4).await;
    let connected = async || {
        let (client, connection) = tokio_postgres::connect(&database.url, NoTls).await.expect("it is there");
        tokio::spawn(connection);
        client
    };
    // Whoever is within a transaction sees others as they were when it first looked.
    let (somebody, watcher) = (connected().await, connected().await);
    somebody
        .batch_execute("BEGIN; LOCK TABLE causeway.ends IN SHARE MODE")
        .await
        .expect("nobody writes ends");
    say(&admin, "resume").await;
    // The first two ends wait to be written.
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("two ends wait", async || {
        let waiting: i64 = watcher.query_one(waiting, &[]).await.expect("it is asked").get(0);
        (waiting == 2).then_some(())
    })
    .await;
    // They do not pile up.
    let leased = "SELECT count(*) FROM causeway.queue WHERE lease_until IS NOT NULL";
    let leased: i64 = watcher.query_one(leased, &[]).await.expect("it is asked").get(0);
    assert_eq!((leased, provider.effects().len()), (2, 2));
    somebody.batch_execute("COMMIT").await.expect("ends are written again");
    all_succeed(&api, &places).await;
    assert_eq!((provider.effects().len(), provider.counters().peak_open), (4, 1));
}
