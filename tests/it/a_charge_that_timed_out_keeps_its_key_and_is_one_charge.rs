//! A charge whose answer was lost is sent again with the same key: the provider charges once, and the caller learns
//! what really happened.

use causeway::sandbox::{Action, Behaviour};
use serde_json::json;

use crate::support::{Config, Provider, Server, charge};

const IMPATIENT: &str = r#"
[timeouts]
first_byte = "400ms"
[retry]
max_retries = 3
base_delay = "20ms"
budget_min = 100
[breaker]
failures = 1000
"#;

/// Every way in which a provider can act and its answer be lost.
fn lost() -> [Behaviour; 5] {
    [
        Action::DropAfter {}.into(),
        Action::Hang { act: true }.into(),
        Action::Truncate { after_bytes: 10, act: true }.into(),
        Action::Status { status: 500, headers: Default::default(), body: None, act: true }.into(),
        Action::Status { status: 503, headers: Default::default(), body: None, act: true }.into(),
    ]
}

#[tokio::test]
async fn whichever_way_the_answer_was_lost() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), IMPATIENT));
    for (done, behaviour) in lost().into_iter().enumerate() {
        provider.next([behaviour.clone()]);
        let outcome = server.api.run("payments.charge", &charge()).await.ok();
        assert_eq!(outcome["status"], "succeeded");
        assert_eq!(outcome["steps"][0]["attempts"], 2, "{behaviour:?}");

        let (arrivals, effects) = (provider.arrivals(), provider.effects());
        let [first, second] = &arrivals[2 * done..] else { panic!("not two arrivals: {arrivals:?}") };
        assert_eq!(effects.len(), done + 1, "{behaviour:?}");
        assert!(first.key.is_some(), "{first:?}");
        assert_eq!(first.key, second.key);
        assert_eq!(effects[done].arrival, first.number, "the first one acted, the second was recognised");
        assert_eq!(outcome["result"]["id"], effects[done].id);
    }
    let mut keys: Vec<_> = provider.arrivals().into_iter().map(|arrival| arrival.key).collect();
    keys.dedup();
    assert_eq!(keys.len(), lost().len(), "each run has a key of its own");
}

#[tokio::test]
async fn while_the_first_is_still_under_way_the_second_waits_for_it() {
    let provider = Provider::start();
    let sections = r#"
        [timeouts]
        first_byte = "200ms"
        [retry]
        max_retries = 20
        base_delay = "50ms"
        budget_min = 100
        max_delay = "50ms"
        [breaker]
        failures = 1000
    "#;
    let server = Server::start(&Config::payments(&provider.url(), sections));
    provider.next([Action::Delay { ms: 600, jitter_ms: 0 }.into()]);
    let outcome = server.api.run("payments.charge", &charge()).await.ok();
    assert_eq!(outcome["status"], "succeeded");

    let (arrivals, effects) = (provider.arrivals(), provider.effects());
    assert!(arrivals.len() > 2, "the key was in use for a while: {arrivals:?}");
    assert!(arrivals.iter().all(|arrival| arrival.key == arrivals[0].key));
    assert_eq!((effects.len(), effects[0].arrival), (1, arrivals[0].number));
    assert_eq!(outcome["result"]["id"], effects[0].id);
}

#[tokio::test]
async fn a_refusal_under_the_same_key_settles_the_doubt() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), IMPATIENT));
    provider.next([Action::DropAfter {}.into()]);
    let mut declined = charge();
    declined["source"] = json!("tok_declined");
    let problem = server.api.run("payments.charge", &declined).await.problem(422, "provider_refused");
    assert_eq!(problem["run"]["status"], "failed");
    assert_eq!(problem["run"]["error"]["code"], "card_declined");
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (2, 0));
}

#[tokio::test]
async fn where_no_answer_comes_at_all_the_outcome_is_unknown_and_still_one_charge() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), IMPATIENT));
    provider.always(Action::DropAfter {});
    let problem = server.api.run("payments.charge", &charge()).await.problem(504, "outcome_unknown");
    assert_eq!(problem["run"]["status"], "unknown");
    assert_eq!(problem["run"]["error"]["class"], "ambiguous");
    let arrivals = provider.arrivals();
    assert_eq!((arrivals.len(), provider.effects().len()), (4, 1), "three retries, and one charge");
    assert!(arrivals.iter().all(|arrival| arrival.key == arrivals[0].key));
}
