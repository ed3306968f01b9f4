//! Where the provider could not recognise a repetition, a charge in doubt is told as what it is, and never repeated.

use causeway::sandbox::{Action, Behaviour};

use crate::support::{Config, Provider, Server, charge};

const IMPATIENT: &str = r#"
[timeouts]
first_byte = "300ms"
[retry]
max_retries = 3
base_delay = "10ms"
"#;

async fn check(behaviour: impl Into<Behaviour>, effects: usize) {
    let behaviour = behaviour.into();
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), IMPATIENT));
    provider.next([behaviour.clone()]);
    let problem = server.api.run("payments.charge_once", &charge()).await.problem(504, "outcome_unknown");
    assert_eq!(problem["retryable"], false, "repeating it could charge twice");
    let run = &problem["run"];
    assert_eq!((&run["status"], &run["steps"][0]["status"]), (&"unknown".into(), &"unknown".into()), "{run}");
    assert_eq!(run["error"]["class"], "ambiguous");
    assert_eq!(run["steps"][0]["attempts"], 1, "{behaviour:?}");

    let id = run["id"].as_str().expect("an id");
    assert_eq!(server.api.get(&format!("/v1/runs/{id}")).await.ok()["status"], "unknown");
    // Stopped in order, the server has nothing under way any more.
    drop(server);
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (1, effects), "{behaviour:?}");
    assert_eq!(provider.arrivals()[0].key, None);
}

#[tokio::test]
async fn the_provider_has_acted_and_closed_the_connection() {
    check(Action::DropAfter {}, 1).await;
}

#[tokio::test]
async fn the_provider_has_acted_and_says_nothing() {
    check(Action::Hang { act: true }, 1).await;
}

#[tokio::test]
async fn the_provider_has_not_acted_but_nobody_can_know() {
    check(Action::DropBefore {}, 0).await;
    check(Action::Hang { act: false }, 0).await;
    check(Behaviour::status(500), 0).await;
    check(Behaviour::status(503), 0).await;
    check(Action::Garbage {}, 0).await;
}

#[tokio::test]
async fn what_was_never_sent_is_tried_again() {
    let provider = Provider::start();
    let sections = "[retry]\nbase_delay = \"20ms\"\nmax_retries = 2";
    let address = provider.address();
    drop(provider);
    let server = Server::start(&Config::payments(&format!("http://{address}"), sections));
    let problem = server.api.run("payments.charge_once", &charge()).await.problem(502, "provider_failed");
    assert_eq!(problem["run"]["status"], "failed", "nothing can have happened");
    assert_eq!(problem["run"]["error"]["reason"], "refused");
    assert_eq!(problem["run"]["steps"][0]["attempts"], 3);
}
