//! A breaker judges its provider by what happened lately: failures that lie further back than its window, in time or
//! in calls, do not open it.

use std::time::Duration;

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::wait::Watch;
use crate::support::{Config, Provider, Server};

fn sections(window: &str) -> String {
    format!("[retry]\nmax_retries = 0\n[breaker]\n{window}")
}

async fn succeeds(server: &Server) {
    server.api.run("payments.ping", &json!({})).await.ok();
}

async fn fails(provider: &Provider, server: &Server) {
    provider.next([Behaviour::status(500)]);
    server.api.run("payments.ping", &json!({})).await.problem(502, "provider_failed");
}

#[tokio::test]
async fn by_the_clock() {
    let provider = Provider::start();
    let server =
        Server::start(&Config::payments(&provider.url(), &sections("window = \"3s\"\nfailures = 3\n")));
    for _ in 0..2 {
        fails(&provider, &server).await;
    }
    let watch = Watch::start();
    provider.always(Behaviour::normal().delayed(Duration::from_millis(100)));
    while watch.elapsed() < Duration::from_secs(3) {
        succeeds(&server).await;
    }
    let sent = provider.arrivals().len();
    for _ in 0..2 {
        fails(&provider, &server).await;
        succeeds(&server).await;
    }
    assert_eq!(provider.arrivals().len(), sent + 4, "four have failed, but never three within the window");

    fails(&provider, &server).await;
    server.api.run("payments.ping", &json!({})).await.problem(503, "breaker_open");
    assert_eq!(provider.arrivals().len(), sent + 5, "and now three have");
}

#[tokio::test]
async fn by_the_number_of_calls_however_long_they_take() {
    let provider = Provider::start();
    let last_four = sections("window = \"100ms\"\nwindow_calls = 4\nfailures = 2\n");
    let server = Server::start(&Config::payments(&provider.url(), &last_four));
    for _ in 0..2 {
        fails(&provider, &server).await;
        for _ in 0..3 {
            succeeds(&server).await;
        }
    }
    assert_eq!(provider.arrivals().len(), 8, "no four calls in a row held two failures");

    fails(&provider, &server).await;
    provider.next([Behaviour::normal().delayed(Duration::from_millis(300))]);
    succeeds(&server).await;
    fails(&provider, &server).await;
    server.api.run("payments.ping", &json!({})).await.problem(503, "breaker_open");
    assert_eq!(provider.arrivals().len(), 11, "the last four held two, though they took longer than a span");
}
