//! However many callers come at once, a half-open breaker lets exactly `half_open_calls` of them try.

use std::time::Duration;

use causeway::sandbox::Behaviour;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Answer, Config, Provider, Server};

const CALLERS: usize = 50;
/// So slow that all callers come before the first probe is back.
const SLOW: Duration = Duration::from_millis(1500);

/// A server whose breaker was opened by one failure, and is due.
async fn due(provider: &Provider, half_open_calls: usize) -> Server {
    let sections = format!(
        r#"
        [retry]
        max_retries = 0
        [breaker]
        failures = 1
        open_for = "100ms"
        half_open_calls = {half_open_calls}
        "#
    );
    let server = Server::start(&Config::payments(&provider.url(), &sections));
    provider.next([Behaviour::status(500)]);
    server.api.run("payments.ping", &json!({})).await.problem(502, "provider_failed");
    server.breaker_is_due("payments").await;
    server
}

async fn rush(server: &Server) -> Vec<Answer> {
    join_all((0..CALLERS).map(|_| async { server.api.run("payments.ping", &json!({})).await })).await
}

fn check_refusals(answers: &[Answer], probes: usize) {
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert_eq!(refused.len(), CALLERS - probes);
    for answer in refused {
        let problem = answer.problem(503, "breaker_open");
        assert_eq!(problem["run"]["steps"][0]["attempts"], 0);
        assert!((1..=30).contains(&answer.retry_after()), "{answer:?}");
    }
}

async fn successful_probes(probes: usize) {
    let provider = Provider::start();
    let server = due(&provider, probes).await;
    provider.always(Behaviour::normal().delayed(SLOW));
    let answers = rush(&server).await;
    assert_eq!(provider.arrivals().len(), 1 + probes, "the failure and the probes");
    check_refusals(&answers, probes);
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), probes);

    provider.always(Behaviour::normal());
    let answers = rush(&server).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "closed, it lets everybody pass");
    server.breaker_is("payments", "closed").await;
}

#[tokio::test]
async fn one_successful_probe_closes_it() {
    successful_probes(1).await;
}

#[tokio::test]
async fn three_successful_probes_close_it() {
    successful_probes(3).await;
}

#[tokio::test]
async fn a_failed_probe_opens_it_again() {
    let provider = Provider::start();
    let server = due(&provider, 3).await;
    provider.always(Behaviour::status(500).delayed(SLOW));
    let answers = rush(&server).await;
    assert_eq!(provider.arrivals().len(), 1 + 3);
    check_refusals(&answers, 3);
    server.breaker_is_due("payments").await;

    provider.always(Behaviour::normal());
    for _ in 0..3 {
        server.api.run("payments.ping", &json!({})).await.ok();
    }
    server.breaker_is("payments", "closed").await;
}
