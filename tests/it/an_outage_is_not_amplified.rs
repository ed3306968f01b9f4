//! While a provider is down, retries add a fifth to its load and no more, however many callers there are.

use causeway::sandbox::{Action, Behaviour};
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Config, Provider, Server};

const CALLERS: usize = 200;

/// Retries that would be made four times over, and a breaker that stays out of the way.
const EAGER: &str = r#"
[retry]
base_delay = "20ms"
max_retries = 4
[breaker]
failures = 100000
"#;

#[tokio::test]
async fn retries_stay_within_their_budget() {
    let provider = Provider::start();
    provider.always(Behaviour::status(502));
    let server = Server::start(&Config::payments(&provider.url(), EAGER));
    let api = server.api;
    let callers =
        (0..CALLERS).map(|_| tokio::spawn(async move { api.run("payments.ping", &json!({})).await }));
    let answers = join_all(callers).await;

    let mut exhausted = 0;
    for answer in answers {
        let problem = answer.expect("an answer").problem(502, "provider_failed");
        exhausted += usize::from(problem["run"]["error"]["code"] == "retry_budget_exhausted");
        assert_eq!(problem["run"]["error"]["class"], "transient", "the last error's class stays: {problem}");
    }
    let sent = provider.arrivals().len();
    assert!(sent >= CALLERS, "{sent}");
    assert!(sent * 10 <= CALLERS * 12, "{sent} requests of {CALLERS} calls");
    assert!(
        sent * 100 >= CALLERS * 115,
        "the budget is there to be used: {sent} requests of {CALLERS} calls"
    );
    assert!(exhausted > CALLERS / 2, "{exhausted} were told that the budget is used up");
}

#[tokio::test]
async fn a_few_calls_may_always_retry() {
    let provider = Provider::start();
    provider.next([Behaviour::status(503), Action::DropBefore {}.into(), Behaviour::status(500)]);
    let server = Server::start(&Config::payments(&provider.url(), EAGER));
    server.api.run("payments.ping", &json!({})).await.ok();
    assert_eq!(provider.arrivals().len(), 4);
}
