//! A run whose plan cannot be had any more ends, once and for all, and says why; when what was missing is there again, a person
//! has it taken up.

use std::fs;
use std::path::Path;

use causeway::sandbox::Action;
use serde_json::{Value, json};

use crate::support::process::causeway;
use crate::support::queued::{LATER, letters, over, place, say};
use crate::support::{Answer, Ask, Client, Config, Process, Provider, Server, charge, until};

/// A configuration whose secret is in this file.
fn config(provider: &Provider, secret: &Path) -> Config {
    let auth = format!("[auth]\ntype = \"bearer\"\ntoken = {{ file = \"{}\" }}\n", secret.display());
    Config::payments(&provider.url(), &auth).operation("later", LATER)
}

fn keyed(operation: &str) -> Ask {
    Ask::run(operation, &charge()).header("idempotency-key", "k")
}

async fn redrive(admin: Client, letter: &Value) -> Answer {
    let id = letter["id"].as_str().expect("an id");
    admin.send(Ask::post(format!("/admin/v1/dead-letters/{id}/redrive"), &json!({}))).await
}

#[tokio::test]
async fn of_those_that_waited() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let [old, new] = ["old", "new"].map(|name| dir.path().join(name));
    for secret in [&old, &new] {
        fs::write(secret, "a-secret-of-this-test").expect("a file");
    }
    let server = Server::start(&config(&provider, &old));
    say(&server, "payments", "pause").await;
    let path = place(&server.api.send(keyed("later")).await);
    // It goes by what held when it began, which cannot be had any more.
    fs::remove_file(&old).expect("the file is there");
    let server = server.restarted(&config(&provider, &new));
    say(&server, "payments", "resume").await;
    let run = over(&server.api, &path).await;
    assert_eq!(
        (&run["status"], &run["error"]["code"]),
        (&json!("failed"), &json!("operation_gone")),
        "{run}"
    );
    let message = run["error"]["message"].as_str().expect("a message");
    assert!(message.contains("later@1") && message.contains(old.to_str().expect("a path")), "{message}");
    let letter = letters(&server, 1).await.remove(0);
    assert_eq!((&letter["integration"], &letter["code"]), (&json!("payments"), &json!("operation_gone")));
    assert_eq!(provider.arrivals().len(), 0);
    // The next life does not try it again by itself.
    let server = server.restarted(&config(&provider, &new));
    assert_eq!(letters(&server, 1).await[0]["died_at"], letter["died_at"]);
    assert_eq!(redrive(server.admin, &letter).await.status, 202);
    assert_eq!(over(&server.api, &path).await["status"], "failed", "it is missing still");
    fs::write(&old, "a-secret-of-this-test").expect("a file");
    let server = server.restarted(&config(&provider, &new));
    assert_eq!(redrive(server.admin, &letter).await.status, 202);
    assert_eq!(over(&server.api, &path).await["status"], "succeeded");
    letters(&server, 0).await;
    assert_eq!(server.api.send(keyed("later")).await.ok()["status"], "succeeded");
    assert_eq!(provider.effects().len(), 1);
}

#[tokio::test]
async fn of_those_that_were_under_way() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let [old, new] = ["old", "new"].map(|name| dir.path().join(name));
    for secret in [&old, &new] {
        fs::write(secret, "a-secret-of-this-test").expect("a file");
    }
    config(&provider, &old).write(dir.path());
    let path = dir.path().to_str().expect("a path").to_owned();
    provider.next([Action::Hang { act: true }.into()]);
    let serve = async || {
        let mut server = Process::start(&mut causeway(&["serve", "--config", &path]));
        let (api, admin) = server.serves().await;
        (server, api, admin)
    };
    let (mut server, api, _) = serve().await;
    let caller = tokio::spawn(async move { api.try_send(keyed("payments.charge")).await });
    provider.arrived(1).await;
    server.kill();
    assert!(caller.await.expect("the caller's task").is_err());

    fs::remove_file(&old).expect("the file is there");
    config(&provider, &new).write(dir.path());
    let (mut server, api, admin) = serve().await;
    let letter = until("it is a dead letter", async || {
        let letter = admin.get("/admin/v1/dead-letters").await.ok()["items"][0].clone();
        (!letter.is_null()).then_some(letter)
    })
    .await;
    assert_eq!((&letter["class"], &letter["code"]), (&json!("ambiguous"), &json!("operation_gone")));
    api.send(keyed("payments.charge")).await.problem(504, "outcome_unknown");
    server.kill();

    fs::write(&old, "a-secret-of-this-test").expect("a file");
    let (_server, api, admin) = serve().await;
    let unknown = api.send(keyed("payments.charge")).await;
    unknown.problem(504, "outcome_unknown");
    assert_eq!(provider.arrivals().len(), 1, "it is not gone on with by itself");
    assert_eq!(redrive(admin, &letter).await.status, 202);
    let run = format!("/v1/runs/{}", letter["id"].as_str().expect("an id"));
    assert_eq!(over(&api, &run).await["status"], "succeeded");
    let arrivals = provider.arrivals();
    assert_eq!((arrivals.len(), provider.effects().len()), (2, 1));
    assert_eq!(arrivals[0].key, arrivals[1].key);
    assert_eq!(api.send(keyed("payments.charge")).await.ok()["status"], "succeeded");
}
