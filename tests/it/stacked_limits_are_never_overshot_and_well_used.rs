//! A second's window, a day's quota, a number at once and an endpoint's own window, all at the same time: the provider
//! never counts more than any of them allows, and gets nearly as much as they do allow.

use causeway::sandbox::{Action, Arrival};
use futures_util::future::join_all;
use serde_json::json;

use crate::support::config::zone_at_noon;
use crate::support::{Ask, Config, Provider, Server};

const A_SECOND: usize = 40;
const A_DAY: usize = 160;
const AT_ONCE: u64 = 4;
const PINGS: usize = 12;
const CALLERS: usize = 200;

fn limits() -> String {
    let zone = zone_at_noon();
    format!(
        r#"
[pool]
max_queue = 1000
max_wait = "15s"
[[limits]]
name = "second"
kind = "sliding_window"
requests = {A_SECOND}
per = "1s"
[[limits]]
name = "day"
kind = "calendar"
requests = {A_DAY}
per = "day"
timezone = "{zone}"
[[limits]]
name = "at_once"
kind = "concurrent"
requests = {AT_ONCE}
[[limits]]
name = "pings"
kind = "sliding_window"
requests = {PINGS}
per = "500ms"
scope = "endpoints"
endpoints = ["ping"]
"#
    )
}

/// The most arrivals in any span of `window_us`.
fn most_in(window_us: u64, times: &[u64]) -> usize {
    let within =
        |(index, from): (usize, &u64)| times[index..].iter().take_while(|at| **at < from + window_us).count();
    times.iter().enumerate().map(within).max().unwrap_or(0)
}

fn times<'a>(arrivals: impl Iterator<Item = &'a Arrival>) -> Vec<u64> {
    let mut times: Vec<u64> = arrivals.map(|arrival| arrival.at_us).collect();
    times.sort_unstable();
    times
}

#[tokio::test]
async fn as_the_provider_counts() {
    let provider = Provider::start();
    provider.always(Action::Delay { ms: 5, jitter_ms: 5 });
    let server = Server::start(&Config::payments(&provider.url(), &limits()));
    let api = server.api;
    let callers = (0..CALLERS).map(|number| {
        let operation = if number % 2 == 0 { "payments.ping" } else { "payments.balance" };
        tokio::spawn(async move { api.send(Ask::run(operation, &json!({}))).await })
    });
    let answers: Vec<_> =
        join_all(callers).await.into_iter().map(|answer| answer.expect("an answer")).collect();

    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(served, A_DAY, "the day's quota is used up, and not more");
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.problem(429, "throttled");
        assert!(refused.retry_after() > 3600, "the next day is hours away: {refused:?}");
    }
    let arrivals = provider.arrivals();
    let all = times(arrivals.iter());
    let pings = times(arrivals.iter().filter(|arrival| arrival.path.ends_with("/ping")));
    assert_eq!(all.len(), A_DAY);
    assert!(most_in(1_000_000, &all) <= A_SECOND, "{} in a second", most_in(1_000_000, &all));
    assert!(most_in(500_000, &pings) <= PINGS, "{} pings in half a second", most_in(500_000, &pings));
    assert!(provider.counters().peak_open <= AT_ONCE, "{} at once", provider.counters().peak_open);

    // The windows that the first arrival begins, but for the last, which the day's end cuts short.
    let mut used: Vec<usize> =
        (0..3).map(|second| all.iter().filter(|at| (**at - all[0]) / 1_000_000 == second).count()).collect();
    used.sort_unstable();
    assert!(used[1] * 100 >= A_SECOND * 95, "{used:?} of {A_SECOND} a second were used");
}
