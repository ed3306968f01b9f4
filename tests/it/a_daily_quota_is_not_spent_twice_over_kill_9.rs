//! A quota of the calendar is reserved on disk before it is used: a server that is killed, as often as you like, never has its
//! provider see more than that; what it had reserved and not used is lost, and that is little. One that ends in order
//! loses nothing, and a clock that is set back gives nothing twice.

use std::fs;
use std::path::Path;
use std::time::Duration;

use causeway::sandbox::Behaviour;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::clock::Clock;
use crate::support::config::zone_at_noon;
use crate::support::postgres::{self, Database};
use crate::support::process::causeway;
use crate::support::{Ask, Client, Config, Dice, Process, Provider, Server, until};

/// What the provider allows on a day.
const QUOTA: usize = 100;
/// What is reserved at a time.
const SLICE: usize = QUOTA / 20;
const KILLS: usize = 6;
const CALLERS: usize = 4;

fn quota(requests: usize, more: &str) -> String {
    format!(
        "[retry]\nmax_retries = 0\n[[limits]]\nname = \"day\"\nkind = \"calendar\"\nrequests = {requests}\nper = \"day\"\n\
         timezone = \"{}\"\n{more}",
        zone_at_noon()
    )
}

fn serve(dir: &Path) -> Process {
    Process::start(&mut causeway(&["serve", "--config", dir.to_str().expect("a path")]))
}

/// Calls until there is no answer, or a refusal.
async fn call_on(api: Client) {
    while api.try_send(Ask::run("payments.ping", &json!({}))).await.is_ok_and(|answer| answer.status == 200) {
    }
}

/// Calls until the quota says that it is used up.
async fn use_up(api: Client, provider: &Provider) -> usize {
    loop {
        let answer = api.run("payments.ping", &json!({})).await;
        if answer.status != 200 {
            answer.problem(429, "throttled");
            assert!(answer.retry_after() > 3_600, "the next day is hours away: {answer:?}");
            return provider.arrivals().len();
        }
        assert!(provider.arrivals().len() <= QUOTA, "more than a day's");
    }
}

async fn is_killed_under_load(config: Config, dir: &Path, provider: &Provider) {
    let mut dice = Dice(uuid::Uuid::new_v4().as_u64_pair().0);
    config.write(dir);
    // So that some of it is left for the end.
    provider.always(Behaviour::normal().delayed(Duration::from_millis(20)));
    for _ in 0..KILLS {
        let mut server = serve(dir);
        let (api, _) = server.serves().await;
        let callers: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(call_on(api))).collect();
        tokio::time::sleep(Duration::from_micros(dice.roll(60_000))).await;
        server.kill();
        join_all(callers).await;
    }
    provider.always(Behaviour::normal());
    let mut server = serve(dir);
    let (api, admin) = server.serves().await;
    let seen = use_up(api, provider).await;
    println!("the provider has seen {seen} of {QUOTA} after {KILLS} kills");
    assert!(seen <= QUOTA, "{seen}");
    // With each life what was reserved ahead, and what its callers had been given and had not sent.
    assert!(seen >= QUOTA - KILLS * (SLICE + CALLERS), "{seen}");
    until("operators see that nothing is left", async || {
        let limit = &admin.get("/admin/v1/integrations/payments").await.ok()["limits"][0];
        (limit["remaining"] == 0 && limit["reserved"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn killed_under_load() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    is_killed_under_load(Config::payments(&provider.url(), &quota(QUOTA, "")), dir.path(), &provider).await;
}

#[tokio::test]
async fn killed_under_load_on_postgres() {
    let (provider, dir, database) =
        (Provider::start(), tempfile::tempdir().expect("a directory"), Database::new().await);
    let config = Config::payments(&provider.url(), &quota(QUOTA, ""));
    let config = postgres::kept_in(config, &database.url, dir.path());
    is_killed_under_load(config, dir.path(), &provider).await;
}

#[tokio::test]
async fn a_quota_of_several_integrations_and_one_of_each_user() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let shared = quota(10, "group = \"account\"\n");
    let each = quota(3, "scope = { by = '.user' }\n");
    let config = Config::new()
        .integration("one", &provider.url(), &shared)
        .integration("two", &provider.url(), &shared)
        .integration("users", &provider.url(), &each);
    config.write(dir.path());
    let mut server = serve(dir.path());
    let (api, _) = server.serves().await;
    for integration in ["one", "two", "one"] {
        api.run(&format!("{integration}.ping"), &json!({})).await.ok();
    }
    for user in ["ann@example.com", "ann@example.com", "bob@example.com"] {
        api.run("users.ping", &json!({ "user": user })).await.ok();
    }
    server.kill();
    let mut server = serve(dir.path());
    let (api, _) = server.serves().await;
    let went = async |operation: &str, input| {
        let mut went = 0;
        while api.run(operation, &input).await.status == 200 {
            went += 1;
        }
        went
    };
    // One is reserved at a time, so one is lost at most.
    let left = went("two.ping", json!({})).await;
    assert!((6..=7).contains(&left), "{left} of 10, after 3");
    assert_eq!(went("one.ping", json!({})).await, 0, "it is theirs together");
    assert!(went("users.ping", json!({ "user": "ann@example.com" })).await <= 1);
    assert!((1..=2).contains(&went("users.ping", json!({ "user": "bob@example.com" })).await));
    assert_eq!(went("users.ping", json!({ "user": "eve@example.com" })).await, 3);
    for file in ["data/causeway.db", "data/causeway.db-wal"] {
        let bytes = fs::read(dir.path().join(file)).expect("the database");
        assert!(!bytes.windows(15).any(|part| part == b"ann@example.com"), "{file} names nobody");
    }
}

#[tokio::test]
async fn one_that_ends_in_order_loses_nothing() {
    let provider = Provider::start();
    let config = Config::payments(&provider.url(), &quota(QUOTA, ""));
    let mut server = Server::start(&config);
    for _ in 0..KILLS {
        server.api.run("payments.ping", &json!({})).await.ok();
        server = server.restarted(&config);
    }
    assert_eq!(use_up(server.api, &provider).await, QUOTA);
}

#[tokio::test]
async fn a_clock_that_is_set_back_gives_nothing_twice_and_the_next_day_once() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    Config::payments(&provider.url(), &quota(3, "")).write(dir.path());
    let clock = Clock::new(dir.path());
    let life = async |off: &str, went: usize| {
        clock.set(off);
        let before = provider.arrivals().len();
        let mut command = causeway(&["serve", "--config", dir.path().to_str().expect("a path")]);
        let mut server = Process::start(clock.of(&mut command));
        let (api, _) = server.serves().await;
        while api.run("payments.ping", &json!({})).await.status == 200 {}
        assert_eq!(provider.arrivals().len() - before, went, "with the clock at {off}");
        server.kill();
    };
    life("+0", 3).await;
    // Days ago it was another day, and that one is over.
    life("-2d", 0).await;
    life("+1d", 3).await;
    life("+0", 0).await;
    life("+1d", 0).await;
    life("+2d", 3).await;
}

#[tokio::test]
async fn while_the_disk_takes_nothing_nothing_is_sent() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    Config::payments(&provider.url(), &quota(20, "")).write(dir.path());
    let mut server = serve(dir.path());
    let (api, _) = server.serves().await;
    api.run("payments.ping", &json!({})).await.ok();
    // Somebody else has the file, for longer than the server waits for it.
    let other = rusqlite::Connection::open(dir.path().join("data/causeway.db")).expect("the database");
    other.execute_batch("BEGIN IMMEDIATE").expect("it is had");
    until("what is reserved is used up", async || {
        let answer = api.run("payments.ping", &json!({})).await;
        (answer.status != 200).then(|| answer.problem(503, "store_unavailable"))
    })
    .await;
    let seen = provider.arrivals().len();
    assert!(seen <= 3, "{seen} were sent, and one is reserved at a time");
    api.run("payments.ping", &json!({})).await.problem(503, "store_unavailable");
    assert_eq!(provider.arrivals().len(), seen);
    other.execute_batch("ROLLBACK").expect("it is let go");
    until("it goes on", async || (api.run("payments.ping", &json!({})).await.status == 200).then_some(()))
        .await;
    server.kill();
}
