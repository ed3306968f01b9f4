//! What a provider has said outlives the server, however it ends: who was to be left alone still is, what was left until the
//! reset is left, and the next life does not begin with a window that the former one has used.

use std::collections::BTreeMap;
use std::path::Path;

use causeway::sandbox::Action;
use serde_json::json;

use crate::support::process::causeway;
use crate::support::{Ask, Client, Config, Process, Provider, Server, until};

const NO_RETRIES: &str = "[retry]\nmax_retries = 0\n";
const SECOND_US: u64 = 1_000_000;

fn limit(rest: &str) -> String {
    format!("{NO_RETRIES}[[limits]]\nname = \"pings\"\n{rest}")
}

async fn serve(dir: &Path) -> (Process, Client) {
    let mut server = Process::start(&mut causeway(&["serve", "--config", dir.to_str().expect("a path")]));
    let (api, _) = server.serves().await;
    (server, api)
}

/// Waits until the disk knows something of limits.
async fn is_on_disk(dir: &Path) {
    let path = dir.join("data/causeway.db");
    until("it is on disk", async || {
        let count = rusqlite::Connection::open(&path)
            .and_then(|disk| disk.query_row("SELECT count(*) FROM limits", [], |row| row.get::<_, u32>(0)));
        count.is_ok_and(|count| count > 0).then_some(())
    })
    .await;
}

/// The provider answers so once, the server is killed as soon as the disk knows, and its next life calls at once.
async fn killed_and_asked_again(provider: &Provider, dir: &Path, first: Action) -> (Process, Client) {
    provider.next([first.into()]);
    let (mut server, api) = serve(dir).await;
    api.run("payments.ping", &json!({})).await;
    is_on_disk(dir).await;
    server.kill();
    serve(dir).await
}

fn refused() -> Action {
    Action::RateLimit { retry_after: "4".to_owned(), status: 429 }
}

fn none_came_for(provider: &Provider, seconds: u64, path: &str) {
    let arrivals = provider.arrivals();
    let told = arrivals[0].ended_us.expect("it has ended");
    let next = arrivals[1..].iter().find(|arrival| arrival.path == path).expect("it came");
    assert!(next.at_us >= told + seconds * SECOND_US, "it came {} µs after", next.at_us - told);
}

#[tokio::test]
async fn by_a_429_that_concerns_a_limit() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let limits = limit(
        "kind = \"token_bucket\"\nrequests = 100\nper = \"1s\"\nscope = \"endpoints\"\nendpoints = [\"ping\"]\n",
    );
    Config::payments(&provider.url(), &limits).write(dir.path());
    let (_server, api) = killed_and_asked_again(&provider, dir.path(), refused()).await;
    let ping = tokio::spawn(async move { api.run("payments.ping", &json!({})).await });
    api.run("payments.balance", &json!({})).await.ok();
    ping.await.expect("an answer").ok();
    let paths: Vec<_> = provider.arrivals().iter().map(|arrival| arrival.path.clone()).collect();
    assert_eq!(paths, ["/v1/ping", "/v1/balance", "/v1/ping"], "the others were not concerned");
    none_came_for(&provider, 4, "/v1/ping");
}

#[tokio::test]
async fn by_a_429_that_concerns_all() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    Config::payments(&provider.url(), NO_RETRIES).write(dir.path());
    let (_server, api) = killed_and_asked_again(&provider, dir.path(), refused()).await;
    api.run("payments.balance", &json!({})).await.ok();
    none_came_for(&provider, 4, "/v1/balance");
    // When its time is over it is over.
    api.run("payments.balance", &json!({})).await.ok();
}

#[tokio::test]
async fn by_what_is_left_until_the_reset() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let limits = limit("kind = \"token_bucket\"\nrequests = 100\nper = \"1s\"\nlearn = true\n");
    Config::payments(&provider.url(), &limits).write(dir.path());
    let headers = [("Limit", "100"), ("Remaining", "2"), ("Reset", "5")];
    let headers = headers.map(|(name, value)| (format!("X-RateLimit-{name}"), value.to_owned()));
    let told = Action::Status {
        status: 200,
        headers: BTreeMap::from_iter(headers),
        body: Some(json!({ "ok": true })),
        act: false,
    };
    let (_server, api) = killed_and_asked_again(&provider, dir.path(), told).await;
    for _ in 0..3 {
        api.run("payments.ping", &json!({})).await.ok();
    }
    let arrivals = provider.arrivals();
    let reset = arrivals[0].ended_us.expect("it has ended") + 5 * SECOND_US;
    let before = arrivals[1..].iter().filter(|arrival| arrival.at_us + SECOND_US / 100 < reset).count();
    assert!(before <= 2, "{before} went before the reset, and 2 were left");
}

#[tokio::test]
async fn by_a_window_that_the_former_life_has_used() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let limits = limit("kind = \"sliding_window\"\nrequests = 5\nper = \"5s\"\n");
    Config::payments(&provider.url(), &limits).write(dir.path());
    let (mut server, api) = serve(dir.path()).await;
    for _ in 0..5 {
        api.run("payments.ping", &json!({})).await.ok();
    }
    server.kill();
    let (mut server, api) = serve(dir.path()).await;
    api.run("payments.ping", &json!({})).await.ok();
    let arrivals = provider.arrivals();
    let (last, next) = (arrivals[4].at_us, arrivals[5].at_us);
    assert!(next >= last + 5 * SECOND_US, "it came {} µs after", next - last);
    server.kill();
}

#[tokio::test]
async fn and_no_longer_where_it_ended_in_order() {
    let provider = Provider::start();
    let config =
        Config::payments(&provider.url(), &limit("kind = \"sliding_window\"\nrequests = 5\nper = \"1m\"\n"));
    let server = Server::start(&config);
    for _ in 0..2 {
        server.api.run("payments.ping", &json!({})).await.ok();
    }
    let server = server.restarted(&config);
    for _ in 0..3 {
        server.api.run("payments.ping", &json!({})).await.ok();
    }
    let fourth = server.api.send(Ask::run("payments.ping", &json!({})).deadline_ms(2_000)).await;
    fourth.problem(429, "throttled");
    assert!((30..=62).contains(&fourth.retry_after()), "{fourth:?}");
    assert_eq!(provider.arrivals().len(), 5);
}
