//! Connections are kept for the next call, no more of them than `max_idle`, and none for longer than `idle_timeout`.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::hostile::{Hostile, Step};
use crate::support::wait::Watch;
use crate::support::{Config, Server, until};

const WELL: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";
const AT_ONCE: usize = 8;
/// Nobody is answered before all have asked, so each has a connection of its own.
const MEETING: &[Step] = &[
    Step::Read,
    Step::Await(AT_ONCE),
    Step::Say(WELL),
    Step::Read,
    Step::Say(WELL),
    Step::Read,
    Step::Say(WELL),
    Step::Read,
    Step::Say(WELL),
    Step::Hang,
];
const PATIENT: &[Step] = &[Step::Read, Step::Say(WELL), Step::Read, Step::Say(WELL), Step::Hang];

async fn connections_are_open(provider: &Hostile, count: usize) {
    until(&format!("{count} connections are open"), async || (provider.open() == count).then_some(())).await;
}

#[tokio::test]
async fn of_many_only_so_many_are_kept_and_used_again() {
    let provider = Hostile::start(MEETING);
    let server = Server::start(&Config::payments(&provider.url(), "[pool]\nmax_idle = 3"));
    let input = json!({});
    for answer in join_all((0..AT_ONCE).map(|_| server.api.run("payments.ping", &input))).await {
        answer.ok();
    }
    assert_eq!(provider.connections(), AT_ONCE);
    connections_are_open(&provider, 3).await;
    for _ in 0..3 {
        server.api.run("payments.ping", &input).await.ok();
    }
    assert_eq!((provider.connections(), provider.open()), (AT_ONCE, 3));
    drop(server);
    connections_are_open(&provider, 0).await;
}

#[tokio::test]
async fn at_0_none_is_kept() {
    let provider = Hostile::start(PATIENT);
    let server = Server::start(&Config::payments(&provider.url(), "[pool]\nmax_idle = 0"));
    for count in 1..=3 {
        server.api.run("payments.ping", &json!({})).await.ok();
        assert_eq!(provider.connections(), count);
        connections_are_open(&provider, 0).await;
    }
}

#[tokio::test]
async fn when_its_time_is_up_it_is_closed_without_a_further_call() {
    const IDLE: Duration = Duration::from_secs(3);
    let provider = Hostile::start(PATIENT);
    let server = Server::start(&Config::payments(&provider.url(), "[pool]\nidle_timeout = \"3s\""));
    server.api.run("payments.ping", &json!({})).await.ok();
    let last = Watch::start();
    server.api.run("payments.ping", &json!({})).await.ok();
    assert_eq!((provider.connections(), provider.open()), (1, 1), "it was used again");
    connections_are_open(&provider, 0).await;
    assert!(last.elapsed() >= IDLE, "it was closed after {:?}", last.elapsed());
    assert_eq!(provider.raw().len(), 2);
}
