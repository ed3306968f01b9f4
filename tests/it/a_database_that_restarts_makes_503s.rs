//! A server whose store is a PostgreSQL database goes on serving while that restarts: what cannot be promised is refused,
//! what was promised is kept, and nothing is done twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::postgres::{self, Postgres};
use crate::support::process::causeway;
use crate::support::queued::are_all_over;
use crate::support::{Ask, Client, Config, Process, Provider, until};

/// How often the database restarts.
const RESTARTS: usize = 3;
const CALLERS: u64 = 6;
const SETTINGS: &str =
    "[retry]\nbase_delay = \"5ms\"\n[retry.queued]\nmax_delay = \"50ms\"\n[queue]\nlease = \"2s\"\n";

#[derive(Default)]
struct Said {
    acknowledged: Mutex<BTreeMap<u64, &'static str>>,
    refused: AtomicU64,
    next: AtomicU64,
    enough: AtomicBool,
}

async fn ask_on(api: Client, said: Arc<Said>) {
    while !said.enough.load(Ordering::Acquire) {
        let amount = said.next.fetch_add(1, Ordering::AcqRel) + 1;
        let operation = if amount.is_multiple_of(2) { "later" } else { "payments.charge" };
        let input = json!({ "amount": amount, "currency": "eur", "source": "tok_visa" });
        let answer =
            api.send(Ask::run(operation, &input).header("idempotency-key", &format!("{amount}"))).await;
        match answer.status {
            200 | 202 => {
                said.acknowledged.lock().expect("the words").insert(amount, operation);
            }
            503 => {
                answer.problem(503, "store_unavailable");
                said.refused.fetch_add(1, Ordering::AcqRel);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            other => panic!("{other}: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn and_keeps_what_it_promised() {
    let mut database = Postgres::start().await;
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let later = "mode = \"async\"\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n";
    let config = Config::payments(&provider.url(), SETTINGS).operation("later", later);
    postgres::kept_in(config, &database.url(), dir.path()).write(dir.path());
    let path = dir.path().to_str().expect("a path");
    let mut server = Process::start(&mut causeway(&["serve", "--config", path]));
    let (api, admin) = server.serves().await;
    let said = Arc::new(Said::default());
    let callers: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(ask_on(api, Arc::clone(&said)))).collect();
    let count = || said.acknowledged.lock().expect("the words").len();
    for _ in 0..RESTARTS {
        let before = count();
        until("it works", async || (count() > before + 50).then_some(())).await;
        let refused = said.refused.load(Ordering::Acquire);
        database.end_at_once().await;
        until("it refuses", async || (said.refused.load(Ordering::Acquire) > refused).then_some(())).await;
        // Who only reads is served all along.
        api.run("payments.ping", &json!({})).await.ok();
        database.start_again().await;
    }
    let before = count();
    until("it works again", async || (count() > before + 50).then_some(())).await;
    said.enough.store(true, Ordering::Release);
    for ended in join_all(callers).await {
        ended.expect("each was answered as it may be");
    }
    until("nothing is under way", async || are_all_over(&api).await.then_some(())).await;
    let mut done: BTreeMap<u64, usize> = BTreeMap::new();
    for effect in provider.effects() {
        *done.entry(effect.amount).or_default() += 1;
    }
    assert!(done.values().all(|times| *times == 1), "nothing is done twice: {done:?}");
    let lost: Vec<_> = said
        .acknowledged
        .lock()
        .expect("the words")
        .clone()
        .into_iter()
        .filter(|(amount, _)| !done.contains_key(amount))
        .collect();
    assert!(lost.is_empty(), "acknowledged, and not done: {lost:?}");
    let metrics = admin.get("/metrics").await.body;
    assert!(metrics.contains("causeway_store_errors_total "), "{metrics}");
    server.terminate();
    let ended = server.ended().await;
    assert_eq!(ended.status.code(), Some(0));
    assert!(
        ended.out.contains("the store fails") && ended.out.contains("the store works again"),
        "{}",
        ended.out
    );
}
