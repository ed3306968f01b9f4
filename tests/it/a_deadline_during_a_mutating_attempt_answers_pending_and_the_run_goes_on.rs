//! When the deadline passes while a charge is out, the caller is told that its outcome is pending, and can look it up;
//! a call that only reads just ends.

use causeway::sandbox::{Action, Ending};
use serde_json::{Value, json};

use crate::support::{Ask, Config, Provider, Server, charge, until};

const SECTIONS: &str = r#"
[timeouts]
first_byte = "2s"
[retry]
base_delay = "20ms"
"#;

async fn run(server: &Server, id: &str) -> Value {
    let run = server.api.get(&format!("/v1/runs/{id}")).await.ok();
    assert_eq!((&run["id"], &run["durable"]), (&json!(id), &json!(true)));
    run
}

async fn ended(server: &Server, id: &str) -> Value {
    until("the run ends", async || Some(run(server, id).await).filter(|run| run["status"] != "running")).await
}

/// Asks for a charge that is not answered in time, and gives the run's id.
async fn overdue(server: &Server, operation: &str) -> String {
    let answer = server.api.send(Ask::run(operation, &charge()).deadline_ms(500)).await;
    let problem = answer.problem(504, "outcome_pending");
    assert_eq!(problem["retryable"], false);
    assert_eq!(
        (&problem["run"]["status"], &problem["run"]["finished_at"]),
        (&json!("running"), &Value::Null)
    );
    let id = problem["run"]["id"].as_str().expect("an id").to_owned();
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(&id)), "{problem}");
    id
}

#[tokio::test]
async fn the_charge_succeeds_later() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), SECTIONS));
    provider.always(Action::Delay { ms: 1_500, jitter_ms: 0 });
    let id = overdue(&server, "payments.charge").await;
    assert_eq!(run(&server, &id).await["status"], "running");
    assert_eq!(provider.endings(), [Ending::Open {}], "the attempt was not dropped");

    let outcome = ended(&server, &id).await;
    assert_eq!(outcome["status"], "succeeded");
    let [effect] = &provider.effects()[..] else { panic!("not one charge") };
    assert_eq!(outcome["result"]["id"], effect.id);
    assert_eq!(effect.reference.as_deref(), Some(&*id));
    assert_eq!(provider.endings(), [Ending::Answered { status: 200 }]);
}

async fn ends_in_doubt(operation: &str) {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), SECTIONS));
    provider.next([Action::Hang { act: true }.into()]);
    let id = overdue(&server, operation).await;
    let outcome = ended(&server, &id).await;
    assert_eq!((&outcome["status"], &outcome["error"]["class"]), (&json!("unknown"), &json!("ambiguous")));
    assert_eq!(outcome["error"]["reason"], "first_byte_timeout");
    drop(server);
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (1, 1), "the time for a retry is over");
}

#[tokio::test]
async fn the_charge_ends_in_doubt_and_is_not_sent_again() {
    ends_in_doubt("payments.charge").await;
}

#[tokio::test]
async fn without_a_key_it_ends_in_doubt_too() {
    ends_in_doubt("payments.charge_once").await;
}

#[tokio::test]
async fn a_call_that_only_reads_ends_with_the_deadline() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), SECTIONS));
    provider.always(Action::Hang { act: false });
    let answer = server.api.send(Ask::run("payments.ping", &json!({})).deadline_ms(500)).await;
    let problem = answer.problem(504, "deadline_exceeded");
    assert_eq!((&problem["retryable"], &problem["run"]["status"]), (&json!(true), &json!("failed")));
    until("the provider sees its connection closed", async || {
        (provider.endings() == [Ending::ClientLeft {}]).then_some(())
    })
    .await;
}
