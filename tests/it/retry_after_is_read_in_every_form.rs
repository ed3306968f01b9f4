//! A provider's Retry-After is a lower bound, in seconds or as a date; a date that is past means now, and nonsense means
//! our own backoff. A wait that is longer than we would is told to the caller at once.

use std::time::Duration;

use causeway::sandbox::Action;
use causeway_actors::clock::Clock;
use serde_json::json;

use crate::support::{Config, Provider, Server};

const SECTIONS: &str = r#"
[retry]
max_retries = 1
base_delay = "300ms"
jitter = 0.0
rate_limit_delay = "300ms"
max_retry_after = "5s"
"#;

fn http_date(from_now: i64) -> String {
    let millis = i64::try_from(Clock::start().now().wall.unix_millis()).expect("a date");
    let at = u64::try_from(millis / 1000 + from_now).expect("a date");
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(at))
}

/// How long after a refusal with this header the next attempt came.
async fn pause(retry_after: String) -> Duration {
    let provider = Provider::start();
    provider.next([Action::RateLimit { retry_after, status: 429 }.into()]);
    let server = Server::start(&Config::payments(&provider.url(), SECTIONS));
    server.api.run("payments.balance", &json!({})).await.ok();
    let arrivals = provider.arrivals();
    assert_eq!(arrivals.len(), 2);
    Duration::from_micros(arrivals[1].at_us - arrivals[0].at_us)
}

#[tokio::test]
async fn seconds_a_date_a_past_date_and_nonsense() {
    let (seconds, date, past, nonsense) = tokio::join!(
        pause("1".to_owned()),
        pause(http_date(3)),
        pause(http_date(-60)),
        pause("soon".to_owned()),
    );
    assert!((1_000..2_500).contains(&seconds.as_millis()), "{seconds:?}");
    // A date has whole seconds.
    assert!((1_900..4_500).contains(&date.as_millis()), "{date:?}");
    assert!(past < Duration::from_millis(1_000), "{past:?}");
    assert!((300..1_500).contains(&nonsense.as_millis()), "{nonsense:?}");
}

#[tokio::test]
async fn more_than_we_would_wait_is_told_at_once() {
    let provider = Provider::start();
    provider.always(Action::RateLimit { retry_after: "6".to_owned(), status: 429 });
    let server = Server::start(&Config::payments(&provider.url(), SECTIONS));
    let answer = server.api.run("payments.balance", &json!({})).await;
    answer.problem(429, "rate_limited");
    assert!((5..=6).contains(&answer.retry_after()), "{answer:?}");
    assert_eq!(provider.arrivals().len(), 1);
}
