//! Where calls wait, the urgent ones go first; the others are served all the same, and before the last urgent one.

use causeway::sandbox::Action;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Ask, Config, Provider, Server, until};

const ONE_AT_A_TIME: &str = r#"
[pool]
max_in_flight = 1
max_wait = "15s"
[endpoints.of]
method = "GET"
path = "/v1/ping"
request = '{ query: { of: .of } }'
"#;
const EACH: usize = 40;

#[tokio::test]
async fn in_the_queue_for_the_pool() {
    let provider = Provider::start();
    provider.always(Action::Delay { ms: 10, jitter_ms: 0 });
    let config = Config::payments(&provider.url(), ONE_AT_A_TIME).file(
        "operations/payments.of.toml",
        "deadline = \"15s\"\n[[steps]]\nname = \"of\"\ncall = \"payments.of\"\n",
    );
    let server = Server::start(&config);
    let api = server.api;
    let call = |of: &'static str| {
        let ask = Ask::run("payments.of", &json!({ "of": of })).header("x-priority", of);
        tokio::spawn(async move { api.send(ask).await })
    };
    let queued = async |count: usize| {
        until("they stand in the queue", async || {
            (server.integration("payments").await["pool"]["queued"].as_u64() >= Some(count as u64))
                .then_some(())
        })
        .await;
    };
    let mut callers: Vec<_> = (0..EACH).map(|_| call("low")).collect();
    queued(EACH / 2).await;
    callers.extend((0..EACH).map(|_| call("high")));
    for answer in join_all(callers).await {
        answer.expect("an answer").ok();
    }
    let order: Vec<bool> = provider.arrivals().iter().map(|arrival| arrival.path.ends_with("high")).collect();
    let first = order.iter().position(|high| *high).expect("a high one");
    let last = order.iter().rposition(|high| *high).expect("a high one");
    let low_between = order[first..=last].iter().filter(|high| !**high).count();
    assert!(low_between < EACH / 2, "{low_between} low ones went before the last high one: {order:?}");
    assert!(low_between > 0, "no low one went while high ones waited: {order:?}");
}

#[tokio::test]
async fn a_word_that_is_no_priority_is_refused() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    let ask = Ask::run("payments.ping", &json!({})).header("x-priority", "urgent");
    server.api.send(ask).await.problem(400, "malformed_request");
    assert_eq!(provider.arrivals().len(), 0);
}
