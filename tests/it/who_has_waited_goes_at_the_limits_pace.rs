//! When a provider's silence or an empty bucket is over, those who waited do not all go at once: they go one after the
//! other, at the pace of the limit they waited for.

use causeway::sandbox::Action;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::config::zone_at_noon;
use crate::support::{Config, Provider, Server, until};

/// Tokens, or places, of a whole budget; they come back over a second.
const CAPACITY: u64 = 5;
/// One less, since the refused request has cost a token too.
const CALLERS: u64 = 4;
const SECOND_US: u64 = 1_000_000;

/// One is told to wait a second while it is the only one out, the others come meanwhile; all are served.
async fn after_a_drain(kind: &str) {
    let provider = Provider::start();
    let limit = format!("[[limits]]\nname = \"all\"\nrequests = {CAPACITY}\n{kind}\n");
    let server = Server::start(&Config::payments(&provider.url(), &limit));
    provider.next([Action::RateLimit { retry_after: "1".to_owned(), status: 429 }.into()]);
    let api = server.api;
    let call = || tokio::spawn(async move { api.run("payments.ping", &json!({})).await });
    let mut callers = vec![call()];
    provider.arrived(1).await;
    // What an integration shows may be a little older than that.
    until("it is known that the provider wants to be left alone", async || {
        (server.integration("payments").await["limits"][0]["remaining"] == 0).then_some(())
    })
    .await;
    callers.extend((1..CALLERS).map(|_| call()));
    for answer in join_all(callers).await {
        answer.expect("an answer").ok();
    }

    let arrivals = provider.arrivals();
    let (refused, served) = arrivals.split_first().expect("arrivals");
    assert_eq!(served.len() as u64, CALLERS);
    let end = refused.ended_us.expect("it has ended") + SECOND_US;
    for (token, arrival) in (1..).zip(served) {
        let there = end + token * SECOND_US / CAPACITY;
        assert!(arrival.at_us >= there, "{token} came {} µs before its token", there - arrival.at_us);
    }
}

#[tokio::test]
async fn after_a_drain_of_a_bucket() {
    after_a_drain("kind = \"token_bucket\"\nper = \"1s\"").await;
}

#[tokio::test]
async fn after_a_drain_of_a_window() {
    after_a_drain("kind = \"sliding_window\"\nper = \"1s\"").await;
}

#[tokio::test]
async fn after_a_drain_of_a_number_at_once() {
    after_a_drain("kind = \"concurrent\"").await;
}

#[tokio::test]
async fn after_a_drain_of_a_quota() {
    after_a_drain(&format!("kind = \"calendar\"\nper = \"day\"\ntimezone = \"{}\"", zone_at_noon())).await;
}

#[tokio::test]
async fn after_an_exhausted_bucket() {
    let provider = Provider::start();
    let limit = r#"
[[limits]]
name = "pings"
kind = "token_bucket"
requests = 2
per = "2s"
scope = "endpoints"
endpoints = ["ping"]
"#;
    let server = Server::start(&Config::payments(&provider.url(), limit));
    let api = server.api;
    api.run("payments.balance", &json!({})).await.ok();
    let callers = (0..6).map(|_| tokio::spawn(async move { api.run("payments.ping", &json!({})).await }));
    for answer in join_all(callers).await {
        answer.expect("an answer").ok();
    }

    let arrivals = provider.arrivals();
    // The bucket was whole until the first ping, which came after this.
    let whole = arrivals[0].ended_us.expect("it has ended");
    let times: Vec<u64> = arrivals.iter().skip(1).map(|arrival| arrival.at_us).collect();
    for (token, at) in (1..).zip(&times[2..]) {
        assert!(*at >= whole + token * SECOND_US, "{token} came before its token: {times:?} after {whole}");
    }
    // A token a second: not two when two seconds are over.
    let gaps: Vec<u64> = times[2..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap >= SECOND_US / 3), "{gaps:?}");
}
