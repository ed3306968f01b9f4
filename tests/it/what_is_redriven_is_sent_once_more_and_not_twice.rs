//! A step that a person has tried again is in doubt like any other once it is sent: a server that is killed meanwhile does not send it
//! a third time, where nothing makes that harmless.

use causeway::sandbox::{Action, Behaviour};
use serde_json::json;

use crate::support::process::causeway;
use crate::support::queued::{ONCE, of, over, place};
use crate::support::{Ask, Client, Config, Process, Provider, until};

async fn letter(admin: &Client) -> String {
    until("a dead letter", async || {
        let letters = admin.get("/admin/v1/dead-letters").await.ok();
        letters["items"][0]["id"].as_str().map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn over_kill_9() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let settings = "[retry.queued]\nmax_retries = 0\n";
    Config::payments(&provider.url(), settings).operation("once", ONCE).write(dir.path());
    let path = dir.path().to_str().expect("a path").to_owned();
    let serve = async || {
        let mut server = Process::start(&mut causeway(&["serve", "--config", &path]));
        let (api, admin) = server.serves().await;
        (server, api, admin)
    };
    // It has failed for certain.
    provider.next([Behaviour::status(422)]);
    let (server, api, admin) = serve().await;
    let run = place(&api.send(of("once", 77)).await);
    assert_eq!(over(&api, &run).await["status"], "failed");
    // Tried again, it acts, and nobody hears of it.
    provider.next([Action::Hang { act: true }.into()]);
    let id = letter(&admin).await;
    let redriven = admin.send(Ask::post(format!("/admin/v1/dead-letters/{id}/redrive"), &json!({}))).await;
    assert_eq!(redriven.status, 202, "{redriven:?}");
    until("it is out", async || (provider.effects().len() == 1).then_some(())).await;
    server.signal("KILL");
    server.ended().await;
    let (mut server, api, _admin) = serve().await;
    let told = "queued runs were executed when the server ended: they are taken up again";
    server.says("that it takes it up again", |out| out.contains(told).then_some(())).await;
    assert_eq!(over(&api, &run).await["status"], "unknown");
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (2, 1));
}
