//! A 429 is the provider's word to all callers: nobody sends before its Retry-After, and then all are served.

use causeway::sandbox::{Action, Ending};
use futures_util::future::join_all;
use serde_json::json;

use crate::support::wait::Watch;
use crate::support::{Ask, Config, Provider, Server, until};

/// What the provider asks for.
const SILENCE_US: u64 = 1_000_000;

/// One call at a time, so that those behind the 429 are still in the queue when it comes.
const ONE_AT_A_TIME: &str = r#"
[pool]
max_in_flight = 1
max_wait = "10s"
[retry]
base_delay = "20ms"
"#;

#[tokio::test]
async fn those_in_the_queue_and_those_who_come_later() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ONE_AT_A_TIME));
    provider.next([Action::RateLimit { retry_after: "1".to_owned(), status: 429 }.into()]);
    let api = server.api;
    let call = || tokio::spawn(async move { api.run("payments.ping", &json!({})).await });
    let mut callers: Vec<_> = (0..8).map(|_| call()).collect();
    until("operators see that the provider asks for silence", async || {
        let integration = server.integration("payments").await;
        (integration["reasons"] == json!(["rate_limited"])).then_some(())
    })
    .await;
    callers.extend((0..8).map(|_| call()));
    for answer in join_all(callers).await {
        answer.expect("a caller is answered").ok();
    }

    let arrivals = provider.arrivals();
    assert_eq!(arrivals.len(), 17, "one was refused, and all sixteen were served");
    let (refused, served) = arrivals.split_first().expect("arrivals");
    assert_eq!(refused.ending, Ending::Answered { status: 429 });
    let end = refused.ended_us.expect("it has ended") + SILENCE_US;
    let early: Vec<_> = served.iter().filter(|arrival| arrival.at_us < end).collect();
    assert!(early.is_empty(), "these came within the silence: {early:?}");
    let first = served.iter().map(|arrival| arrival.at_us).min().expect("arrivals");
    assert!(first < end + SILENCE_US, "the first came only {} µs after the silence", first - end);
}

#[tokio::test]
async fn a_caller_that_has_not_the_time_is_told_at_once() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ONE_AT_A_TIME));
    provider.next([Action::RateLimit { retry_after: "5".to_owned(), status: 429 }.into()]);
    let told = server.api.send(Ask::run("payments.ping", &json!({})).deadline_ms(2_000)).await;
    assert!((5..=6).contains(&told.retry_after()), "{told:?}");
    told.problem(429, "rate_limited");

    // The next one meets no 429 of its own, and no token either.
    let watch = Watch::start();
    let told = server.api.send(Ask::run("payments.ping", &json!({})).deadline_ms(2_000)).await;
    assert!(watch.elapsed().as_millis() < 1_500, "it waited for a token that could not come in time");
    assert!((4..=5).contains(&told.retry_after()), "{told:?}");
    assert_eq!(told.problem(429, "throttled")["run"]["steps"][0]["attempts"], 0);
    assert_eq!(provider.arrivals().len(), 1);
}
