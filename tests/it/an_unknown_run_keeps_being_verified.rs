//! A run whose provider could not even be asked whether it has acted ends `unknown`, and is not left so: its provider is asked
//! again, later and later. Found, the run goes on and its key is answered with its end; absent, it has failed and nothing is
//! sent again; and none of that is forgotten by a server that is killed.

use causeway::sandbox::{Action, Behaviour};
use http::Method;
use serde_json::{Value, json};

use crate::support::process::causeway;
use crate::support::{Answer, Ask, Client, Config, Process, Provider, Server, charge, until};

const ENDPOINTS: &str = r#"
[endpoints.find]
method = "GET"
path = "/v1/charges"
request = '{ query: { reference: .reference } }'

[endpoints.book]
method = "POST"
path = "/v1/charges"
request = '{ body: { amount: .amount, currency: .currency, source: .source, reference: $run.id } }'
response = '{ id: .body.id, status: .body.status }'

[endpoints.book.idempotency.verify]
endpoint = "find"
input = '{ reference: $run.id }'
found = '.body.data | length > 0'
result = '.body.data[0] | { id, status }'
settle = "200ms"
reconcile_after = ["300ms", "1s", "2s", "4s", "8s", "16s", "32s", "64s"]
"#;

const STEPS: &str = r#"
deadline = "5s"

[[steps]]
name = "book"
call = "payments.book"

[[steps]]
name = "tell"
after = ["book"]
call = "payments.charge"
input = '{ amount: 1, currency: "eur", source: "tok_visa" }'
"#;

/// A provider without keys that can be asked, and a step that follows.
fn config(provider: &Provider) -> Config {
    Config::payments(&provider.url(), "[retry]\nmax_retries = 0")
        .append("integrations/payments.toml", ENDPOINTS)
        .operation("book", STEPS)
}

/// Nobody can be asked any more, or again.
fn may_be_asked(provider: &Provider, may: bool) {
    let behaviour = if may { Behaviour::normal() } else { Behaviour::status(403) };
    provider.always_on(&Method::GET, "/v1/charges", behaviour);
}

fn book() -> Ask {
    Ask::run("book", &charge()).header("idempotency-key", "k-1")
}

/// A run that ends in doubt, having acted or not.
async fn ends_unknown(provider: &Provider, api: &Client, acts: bool) -> String {
    may_be_asked(provider, false);
    provider.next([if acts { Action::DropAfter {}.into() } else { Action::DropBefore {}.into() }]);
    let problem = api.send(book()).await.problem(504, "outcome_unknown");
    problem["run"]["id"].as_str().expect("an id").to_owned()
}

async fn is_settled(api: &Client, run: &str) -> Value {
    until("the run is settled", async || {
        let run = api.get(&format!("/v1/runs/{run}")).await.ok();
        matches!(run["status"].as_str(), Some("succeeded" | "failed")).then_some(run)
    })
    .await
}

fn posts(provider: &Provider) -> usize {
    provider.arrivals().iter().filter(|arrival| arrival.method == "POST").count()
}

async fn dead_letters(admin: &Client) -> Vec<Value> {
    admin.get("/admin/v1/dead-letters").await.ok()["items"].as_array().expect("a list").clone()
}

fn is_a_replay(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

#[tokio::test]
async fn found_it_goes_on_and_its_key_is_answered_the_settled_outcome() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    let run = ends_unknown(&provider, &server.api, true).await;
    assert_eq!(dead_letters(&server.admin).await.len(), 1);
    let unknown = server.api.send(book()).await;
    unknown.problem(504, "outcome_unknown");
    assert!(is_a_replay(&unknown));

    may_be_asked(&provider, true);
    let mut settled = is_settled(&server.api, &run).await;
    assert_eq!(settled["status"], "succeeded", "{settled}");
    assert_eq!(settled["result"]["book"]["id"], provider.effects()[0].id);
    assert_eq!(posts(&provider), 2, "the booking once, and then what follows it");
    let replay = server.api.send(book()).await;
    // The look-up tells besides whether it is on disk, and which life of the server went on with it.
    for told_besides in ["durable", "recovered"] {
        settled.as_object_mut().expect("an object").remove(told_besides);
    }
    assert_eq!(replay.ok(), settled);
    assert!(is_a_replay(&replay));
    assert!(dead_letters(&server.admin).await.is_empty());

    let trail = server.admin.get("/admin/v1/audit").await.ok();
    let told = &trail["items"][0];
    assert_eq!((&told["action"], &told["subject"]), (&json!("run.reconcile"), &json!(run)));
    assert!(told["reason"].as_str().expect("a reason").contains("`book` was found"), "{told}");
}

#[tokio::test]
async fn absent_it_has_failed_and_is_not_sent_again() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    let run = ends_unknown(&provider, &server.api, false).await;
    may_be_asked(&provider, true);
    let settled = is_settled(&server.api, &run).await;
    assert_eq!(
        (&settled["status"], &settled["error"]["code"]),
        (&json!("failed"), &json!("verified_absent"))
    );
    assert_eq!((posts(&provider), provider.effects().len()), (1, 0));
    let replay = server.api.send(book()).await;
    replay.problem(502, "provider_failed");
    assert!(is_a_replay(&replay));
    assert!(dead_letters(&server.admin).await.is_empty(), "whoever waited learns of it");
}

#[tokio::test]
async fn of_a_run_that_nobody_waits_for_a_person_is_told_who_may_have_it_sent() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    may_be_asked(&provider, false);
    provider.next([Action::DropBefore {}.into()]);
    let accepted = server.api.send(book().header("prefer", "respond-async")).await;
    let run = accepted.json()["id"].as_str().expect("an id").to_owned();
    until("it is in doubt", async || dead_letters(&server.admin).await.pop()).await;
    may_be_asked(&provider, true);
    let settled = is_settled(&server.api, &run).await;
    assert_eq!((&settled["status"], posts(&provider)), (&json!("failed"), 1));
    let letter = until("it is a dead letter", async || dead_letters(&server.admin).await.pop()).await;
    assert_eq!(letter["code"], "verified_absent", "{letter}");
    let redrive = format!("/admin/v1/dead-letters/{run}/redrive");
    assert_eq!(server.admin.send(Ask::post(redrive, &json!({}))).await.status, 202);
    let run = until("it is done", async || {
        let run = server.api.get(&format!("/v1/runs/{run}")).await.ok();
        (run["status"] == "succeeded").then_some(run)
    })
    .await;
    assert_eq!(run["result"]["book"]["id"], provider.effects()[0].id);
}

#[tokio::test]
async fn a_killed_server_asks_in_its_next_life() {
    let provider = Provider::start();
    let dir = tempfile::tempdir().expect("a directory");
    config(&provider).write(dir.path());
    let path = dir.path().to_str().expect("a path").to_owned();
    let mut server = Process::start(&mut causeway(&["serve", "--config", &path]));
    let (api, _) = server.serves().await;
    let run = ends_unknown(&provider, &api, true).await;
    server.kill();
    may_be_asked(&provider, true);
    let mut server = Process::start(&mut causeway(&["serve", "--config", &path]));
    let (api, admin) = server.serves().await;
    let settled = is_settled(&api, &run).await;
    assert_eq!(settled["status"], "succeeded", "{settled}");
    assert_eq!(posts(&provider), 2);
    assert!(is_a_replay(&api.send(book()).await));
    let metrics = admin.get("/metrics").await.body;
    assert!(metrics.contains("causeway_reconciliations_total{result=\"found\"} 1"), "{metrics}");
}
