//! A server that is killed in the middle of a charge finishes it in its next life: once.

use causeway::sandbox::{Action, Behaviour};
use serde_json::{Value, json};

use crate::support::process::{causeway, run};
use crate::support::{Ask, Client, Config, Process, Provider, charge, until};

async fn serve(config: &str) -> (Process, Client) {
    let mut server = Process::start(&mut causeway(&["serve", "--config", config]));
    let (api, _) = server.serves().await;
    (server, api)
}

fn keyed(operation: &str, key: &str) -> Ask {
    Ask::run(operation, &charge()).header("idempotency-key", key)
}

/// The runs that the server knows, newest first.
async fn runs(api: &Client) -> Vec<Value> {
    api.get("/v1/runs").await.ok()["items"].as_array().expect("a list").clone()
}

/// Waits until all runs are over.
async fn over(api: &Client) -> Vec<Value> {
    until("all runs are over", async || {
        let runs = runs(api).await;
        runs.iter().all(|run| run["status"] != "running").then_some(runs)
    })
    .await
}

#[tokio::test]
async fn with_a_key_the_provider_is_asked_again_and_charges_once() {
    let provider = Provider::start();
    let dir = tempfile::tempdir().expect("a directory");
    let config = Config::payments(&provider.url(), "");
    config.write(dir.path());
    let path = dir.path().to_str().expect("a path").to_owned();
    // It acts and says nothing.
    provider.next([Action::Hang { act: true }.into()]);
    let (mut server, api) = serve(&path).await;
    let caller = tokio::spawn(async move { api.try_send(keyed("payments.charge", "order-1")).await });
    provider.arrived(1).await;
    server.kill();
    assert!(caller.await.expect("the caller's task").is_err(), "nobody was answered");

    let mut server = Process::start(&mut causeway(&["serve", "--config", &path]));
    let (api, admin) = server.serves().await;
    let runs = over(&api).await;
    assert_eq!(runs.len(), 1);
    assert_eq!((&runs[0]["status"], &runs[0]["durable"]), (&json!("succeeded"), &json!(true)));
    let another = api.send(keyed("payments.charge", "order-2")).await.ok();
    let recovered = api.get("/v1/runs?recovered=true").await.ok();
    assert_eq!(recovered["items"], json!([runs[0].clone()]), "and not {}", another["id"]);
    let url = format!("http://{}", admin.address());
    let listed = run(&["runs", "list", "--recovered", "--admin-url", &url]).await;
    let id = runs[0]["id"].as_str().expect("an id");
    assert!(listed.out.contains(id) && listed.out.contains("succeeded, recovered"), "{listed:?}");
    assert!(!listed.out.contains(another["id"].as_str().expect("an id")), "{listed:?}");
    let answer = api.send(keyed("payments.charge", "order-1")).await;
    assert_eq!(answer.header("idempotency-replayed"), Some("true"));
    assert_eq!(answer.ok()["id"], runs[0]["id"]);
    let arrivals = provider.arrivals();
    assert_eq!((arrivals.len(), provider.effects().len()), (3, 2));
    assert_eq!(arrivals[0].key, arrivals[1].key);
}

#[tokio::test]
async fn without_a_key_it_is_unknown_and_not_asked_again() {
    let provider = Provider::start();
    let dir = tempfile::tempdir().expect("a directory");
    Config::payments(&provider.url(), "").write(dir.path());
    let path = dir.path().to_str().expect("a path").to_owned();
    provider.next([Action::Hang { act: true }.into()]);
    let (mut server, api) = serve(&path).await;
    let caller = tokio::spawn(async move { api.try_send(keyed("payments.charge_once", "order-1")).await });
    provider.arrived(1).await;
    server.kill();
    assert!(caller.await.expect("the caller's task").is_err());

    let (_server, api) = serve(&path).await;
    let runs = over(&api).await;
    assert_eq!((&runs[0]["status"], &runs[0]["error"]["code"]), (&json!("unknown"), &json!("interrupted")));
    let again = api.send(keyed("payments.charge_once", "order-1")).await;
    again.problem(504, "outcome_unknown");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (1, 1));
}

#[tokio::test]
async fn several_steps_go_on_from_the_one_that_was_under_way() {
    let provider = Provider::start();
    let dir = tempfile::tempdir().expect("a directory");
    let steps = "deadline = \"15s\"\n[[steps]]\nname = \"one\"\ncall = \"payments.charge\"\n[[steps]]\nname = \"two\"\nafter = \
                 [\"one\"]\ncall = \"payments.charge\"\ninput = '.input'\n[[steps]]\nname = \"three\"\nafter = [\"two\"]\ncall = \
                 \"payments.charge\"\ninput = '.input'\n";
    Config::payments(&provider.url(), "").operation("three", steps).write(dir.path());
    let path = dir.path().to_str().expect("a path").to_owned();
    provider.next([Behaviour::normal(), Action::Hang { act: true }.into()]);
    let (mut server, api) = serve(&path).await;
    let caller = tokio::spawn(async move { api.try_send(keyed("three", "k")).await });
    provider.arrived(2).await;
    server.kill();
    assert!(caller.await.expect("the caller's task").is_err());

    let (_server, api) = serve(&path).await;
    let runs = over(&api).await;
    assert_eq!(runs[0]["status"], "succeeded", "{}", runs[0]);
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (4, 3));
}

#[tokio::test]
async fn it_goes_by_the_configuration_it_began_with() {
    let provider = Provider::start();
    let dir = tempfile::tempdir().expect("a directory");
    let config = Config::payments(&provider.url(), "");
    config.write(dir.path());
    let path = dir.path().to_str().expect("a path").to_owned();
    provider.next([Action::Hang { act: false }.into()]);
    let (mut server, api) = serve(&path).await;
    let caller = tokio::spawn(async move { api.try_send(keyed("payments.charge", "k")).await });
    provider.arrived(1).await;
    server.kill();
    assert!(caller.await.expect("the caller's task").is_err());

    // Meanwhile the result is another, and one more step follows.
    let changed = "deadline = \"15s\"\nresult = '\"another\"'\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n[[steps]]\nname = \
                   \"again\"\nafter = [\"charge\"]\ncall = \"payments.charge_once\"\ninput = '.input'\n";
    config.operation("payments.charge", changed).write(dir.path());
    let (_server, api) = serve(&path).await;
    let runs = over(&api).await;
    assert_eq!(runs[0]["status"], "succeeded", "{}", runs[0]);
    assert_ne!(runs[0]["result"], "another");
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (2, 1));
    // A new one goes by what holds now.
    assert_eq!(api.run("payments.charge", &charge()).await.ok()["result"], "another");
}

#[tokio::test]
async fn a_second_server_does_not_get_the_same_store() {
    let provider = Provider::start();
    let dir = tempfile::tempdir().expect("a directory");
    Config::payments(&provider.url(), "").write(dir.path());
    let path = dir.path().to_str().expect("a path").to_owned();
    let (_server, _) = serve(&path).await;
    let second = Process::start(&mut causeway(&["serve", "--config", &path])).ended().await;
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(second.err.contains("another server has it"), "{second:?}");
}
