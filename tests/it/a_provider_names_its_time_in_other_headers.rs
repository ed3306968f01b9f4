//! A provider that tells when to come back in a header of its own is listened to, as with Retry-After: never earlier.

use std::collections::BTreeMap;

use causeway::sandbox::Action;
use causeway_actors::clock::Clock;
use serde_json::json;

use crate::support::{Config, Provider, Server};

fn refusal(header: &str, value: &str) -> Action {
    let headers = BTreeMap::from([(header.to_owned(), value.to_owned())]);
    Action::Status { status: 429, headers, body: None, act: false }
}

fn config(provider: &Provider, form: &str) -> Config {
    let retry = format!(
        "[retry]\nbase_delay = \"5ms\"\nrate_limit_delay = \"5ms\"\nreset_headers = [{{ name = \"X-Reset\", form = \"{form}\" }}]\n"
    );
    Config::payments(&provider.url(), &retry)
}

#[tokio::test]
async fn as_seconds_from_now() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider, "delta"));
    provider.next([refusal("X-Reset", "1").into()]);
    server.api.run("payments.ping", &json!({})).await.ok();
    let arrivals = provider.arrivals();
    assert_eq!(arrivals.len(), 2);
    assert!(arrivals[1].at_us >= arrivals[0].ended_us.expect("ended") + 1_000_000, "{arrivals:?}");
}

#[tokio::test]
async fn as_an_instant() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider, "epoch"));
    let now = Clock::start().now().wall.unix_millis() / 1000;
    provider.next([refusal("X-Reset", &(now + 2).to_string()).into()]);
    server.api.run("payments.ping", &json!({})).await.ok();
    let arrivals = provider.arrivals();
    assert_eq!(arrivals.len(), 2);
    // At least the whole second between now and then.
    assert!(arrivals[1].at_us >= arrivals[0].ended_us.expect("ended") + 900_000, "{arrivals:?}");
}

#[tokio::test]
async fn nonsense_means_our_own_wait() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider, "delta"));
    provider.next([refusal("X-Reset", "soon").into()]);
    server.api.run("payments.ping", &json!({})).await.ok();
    let arrivals = provider.arrivals();
    assert!(arrivals[1].at_us < arrivals[0].ended_us.expect("ended") + 900_000, "{arrivals:?}");
}
