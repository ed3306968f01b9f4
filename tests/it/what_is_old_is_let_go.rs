//! What has been kept for as long as it is to be goes by itself, and nothing else does: what is under way, what a key still
//! stands for, what a person has to look at.

use std::fs;
use std::path::{Path, PathBuf};

use causeway::sandbox::Behaviour;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::support::fault::installed;
use crate::support::process::causeway;
use crate::support::queued::{self, LATER, over, place};
use crate::support::{Ask, Client, Config, Process, Provider, charge, until};

/// More threads than a listener has on the machines that tests run on.
const THREADS: usize = 16;

/// A server whose clocks, all of them, are as a file says.
struct World {
    api: Client,
    admin: Client,
    clock: PathBuf,
    _server: Process,
}

impl World {
    async fn start(dir: &Path) -> Self {
        let clock = dir.join("clock");
        fs::write(&clock, "+0").expect("a file is written");
        let mut command = causeway(&["serve", "--config", dir.to_str().expect("a path")]);
        command.env("LD_PRELOAD", installed("libfaketimeMT.so.1"));
        command.env("FAKETIME_TIMESTAMP_FILE", &clock).env("FAKETIME_NO_CACHE", "1");
        let mut server = Process::start(&mut command);
        let (api, admin) = server.serves().await;
        Self { api, admin, clock, _server: server }
    }

    /// From now on it is so much later than it would be. Whoever is met in the middle of a request finds that its time was up.
    async fn later(&self, by: &str) {
        fs::write(&self.clock, by).expect("a file is written");
        let ask = b"GET /v1/health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
        for listener in [self.api, self.admin] {
            // Each of its threads has a clock of its own; connections go to them in turn.
            let mut in_a_row = 0;
            until("all have the time", async || {
                let met = listener.raw(ask).await.starts_with("HTTP/1.1 200");
                in_a_row = if met { in_a_row + 1 } else { 0 };
                (in_a_row == 4 * THREADS).then_some(())
            })
            .await;
        }
    }

    async fn say(&self, word: &str) {
        let path = format!("/admin/v1/integrations/payments/{word}");
        self.admin.send(Ask::post(path, &json!({ "reason": "a test" }))).await.ok();
    }

    async fn count(&self, what: &str) -> usize {
        self.admin.get(&format!("/admin/v1/{what}")).await.ok()["items"].as_array().map_or(0, Vec::len)
    }

    /// How the runs stand that are kept, newest first.
    async fn runs(&self) -> Vec<Value> {
        let runs = self.api.get("/v1/runs").await.ok()["items"].clone();
        runs.as_array().expect("a list").iter().map(|run| run["status"].clone()).collect()
    }
}

fn config(provider: &Provider, dir: &Path, retention: &str) -> Config {
    let store = format!(
        "[store]\nurl = \"sqlite://{}\"\n[store.retention]\n{retention}\n",
        dir.join("data/causeway.db").display()
    );
    let once = "[retry.queued]\nmax_retries = 0\n";
    Config::payments(&provider.url(), once).append("causeway.toml", &store).operation("later", LATER)
}

#[tokio::test]
async fn runs_attempts_dead_letters_and_the_audit_trail() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let retention = "runs = \"1h\"\nattempts = \"2m\"\ndead_letters = \"3h\"\naudit = \"2m\"";
    config(&provider, dir.path(), retention).write(dir.path());
    let world = World::start(dir.path()).await;
    let keyed = || Ask::run("payments.charge", &charge()).header("idempotency-key", "k");
    let first = world.api.send(keyed()).await;
    first.ok();
    world.api.run("payments.charge", &charge()).await.ok();
    provider.next([Behaviour::status(422)]);
    let dead = place(&world.api.send(queued::of("later", 1250)).await);
    assert_eq!(over(&world.api, &dead).await["status"], "failed");
    world.say("pause").await;
    let waiting = place(&world.api.send(queued::of("later", 1250)).await);
    until("attempts are written down", async || (world.count("attempts").await == 3).then_some(())).await;
    assert_eq!((world.count("dead-letters").await, world.count("audit").await), (1, 1));
    assert_eq!(world.runs().await, ["accepted", "failed", "succeeded", "succeeded"]);

    world.later("+10m").await;
    until("attempts, and what was said, are gone", async || {
        (world.count("attempts").await + world.count("audit").await == 0).then_some(())
    })
    .await;
    assert_eq!(world.runs().await, ["accepted", "failed", "succeeded", "succeeded"]);
    world.later("+2h").await;
    until("the old run is gone", async || (world.runs().await.len() == 3).then_some(())).await;
    assert_eq!(world.runs().await, ["accepted", "failed", "succeeded"]);
    assert_eq!(world.count("dead-letters").await, 1);
    world.later("+4h").await;
    until("the dead letter is gone, and its run", async || (world.runs().await.len() == 2).then_some(()))
        .await;
    // What is not over stays, and what a key stands for, longer than runs are kept.
    assert_eq!(
        (world.runs().await, world.count("dead-letters").await),
        (vec![json!("accepted"), json!("succeeded")], 0)
    );
    let replay = world.api.send(keyed()).await;
    assert_eq!((replay.header("idempotency-replayed"), &replay.body), (Some("true"), &first.body));
    world.later("+26h").await;
    until("its key is gone, and so is it", async || (world.runs().await == ["accepted"]).then_some(())).await;
    assert_ne!(world.api.send(keyed()).await.ok()["id"], first.json()["id"]);
    world.say("resume").await;
    assert_eq!(over(&world.api, &waiting).await["status"], "succeeded");
    assert_eq!(provider.effects().len(), 4);
}

#[tokio::test]
async fn configurations_that_nobody_goes_by() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let config = config(&provider, dir.path(), "");
    config.write(dir.path());
    let world = World::start(dir.path()).await;
    let (api, admin) = (world.api, world.admin);
    let database = dir.path().join("data/causeway.db");
    let kept = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&database, flags).expect("the database");
        let sql = "SELECT count(*) FROM configurations";
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number")
    };
    world.say("pause").await;
    let waiting = place(&api.send(queued::of("later", 1250)).await);
    for version in 1..=4 {
        let text = format!("result = '\"version {version}\"'\n{LATER}");
        config.clone().operation("later", &text).write(dir.path());
        admin.send(Ask::post_text("/admin/v1/config/reload", "")).await.ok();
        let unkept = api.run("payments.charge", &charge()).await.ok();
        assert_eq!(unkept["status"], "succeeded");
    }
    assert_eq!(kept(), 5);
    // What held until just now may still be what a request has met; so it is looked at again later.
    let mut minutes = 10;
    let mut is_left = async |count| {
        while kept() != count {
            assert!(minutes < 60, "{} are left", kept());
            world.later(&format!("+{minutes}m")).await;
            minutes += 2;
        }
    };
    is_left(2).await;
    let text = format!("result = '\"version 5\"'\n{LATER}");
    config.clone().operation("later", &text).write(dir.path());
    admin.send(Ask::post_text("/admin/v1/config/reload", "")).await.ok();
    assert_eq!(kept(), 3, "the first, by which a run goes, the last, and the one before");
    is_left(2).await;
    world.say("resume").await;
    let run = over(&api, &waiting).await;
    assert_eq!(
        (&run["status"], &run["result"]["status"]),
        (&json!("succeeded"), &json!("succeeded")),
        "{run}"
    );
    is_left(1).await;
    let last = over(&api, &place(&api.send(queued::of("later", 1)).await)).await;
    assert_eq!(last["result"], "version 5");
}
