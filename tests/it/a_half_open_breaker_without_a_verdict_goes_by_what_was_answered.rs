//! A half-open breaker whose trials neither succeed nor fail does not stay so: when its time is up it closes if the
//! provider has answered at all, and opens again if it has been silent or has only asked for patience.

use std::time::Duration;

use causeway::sandbox::{Action, Behaviour};
use futures_util::future::join_all;
use serde_json::json;

use crate::support::wait::Watch;
use crate::support::{Ask, Config, Provider, Server};

/// One trial, which is given back by each call that does not use it up; and a second opening that lasts for the test.
const SECTIONS: &str = r#"
[retry]
max_retries = 0
[breaker]
failures = 1
open_for = "100ms"
open_multiplier = 100
open_max = "30s"
half_open_calls = 1
half_open_for = "1s"
"#;
const HALF_OPEN_FOR: Duration = Duration::from_secs(1);
/// More than there are trials.
const CALLERS: usize = 4;

fn patience() -> Behaviour {
    Action::RateLimit { retry_after: "0".to_owned(), status: 429 }.into()
}

/// A server whose breaker was opened by one failure, and is due.
async fn due(provider: &Provider, sections: &str) -> Server {
    let server = Server::start(&Config::payments(&provider.url(), sections));
    provider.next([Behaviour::status(500)]);
    server.api.run("payments.ping", &json!({})).await.problem(502, "provider_failed");
    server.breaker_is_due("payments").await;
    server
}

/// It has opened again, and holds calls back.
async fn opens_again(provider: &Provider, server: &Server) {
    server.breaker_is("payments", "open").await;
    assert_eq!(server.integration("payments").await["breaker"]["openings"], 2);
    let sent = provider.arrivals().len();
    server.api.run("payments.ping", &json!({})).await.problem(503, "breaker_open");
    assert_eq!(provider.arrivals().len(), sent);
}

#[tokio::test]
async fn refusals_of_the_requests_close_it() {
    let provider = Provider::start();
    let server = due(&provider, SECTIONS).await;
    provider.next([Behaviour::status(404), patience()]);
    let watch = Watch::start();
    server.api.run("payments.ping", &json!({})).await.problem(422, "provider_refused");
    server.api.run("payments.ping", &json!({})).await.problem(429, "rate_limited");
    server.breaker_is("payments", "closed").await;
    assert!(watch.elapsed() >= HALF_OPEN_FOR, "it closed after {:?}", watch.elapsed());
    assert_eq!(server.integration("payments").await["breaker"]["openings"], 0);

    provider.always(Behaviour::normal().delayed(Duration::from_millis(500)));
    let ping = || async { server.api.run("payments.ping", &json!({})).await };
    for answer in join_all((0..CALLERS).map(|_| ping())).await {
        answer.ok();
    }
    assert_eq!(provider.arrivals().len(), 3 + CALLERS, "it lets everybody pass");
}

#[tokio::test]
async fn nothing_but_429s_opens_it_again() {
    let provider = Provider::start();
    let server = due(&provider, SECTIONS).await;
    provider.always(patience());
    server.api.run("payments.ping", &json!({})).await.problem(429, "rate_limited");
    assert_eq!(provider.arrivals().len(), 2);
    opens_again(&provider, &server).await;
}

#[tokio::test]
async fn silence_opens_it_again() {
    let provider = Provider::start();
    let server = due(&provider, SECTIONS).await;
    provider.always(Action::Hang { act: false });
    let ask = Ask::run("payments.ping", &json!({})).deadline_ms(300);
    server.api.send(ask).await.problem(504, "deadline_exceeded");
    assert_eq!(provider.arrivals().len(), 2);
    opens_again(&provider, &server).await;
}

#[tokio::test]
async fn one_failure_among_the_answers_opens_it_again() {
    let rated = "half_open_calls = 3\nfailure_rate = 1.0\nminimum_calls = 1\n";
    let sections = SECTIONS.replace("failures = 1\n", "").replace("half_open_calls = 1\n", rated);
    let provider = Provider::start();
    let server = due(&provider, &sections.replace("half_open_for = \"1s\"", "half_open_for = \"3s\"")).await;
    provider.next([Behaviour::status(404), Behaviour::status(500)]);
    server.api.run("payments.ping", &json!({})).await.problem(422, "provider_refused");
    server.api.run("payments.ping", &json!({})).await.problem(502, "provider_failed");
    assert_eq!(server.integration("payments").await["breaker"]["state"], "half_open", "two trials are left");
    opens_again(&provider, &server).await;
}
