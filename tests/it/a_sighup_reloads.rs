//! SIGHUP has the server read its configuration again; a broken one is told in the log and changes nothing.

use serde_json::json;

use crate::support::{Config, Process, Provider, process, until};

#[tokio::test]
async fn with_a_good_set_and_with_a_broken_one() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().unwrap());
    let config = Config::payments(&provider.url(), "");
    config.write(dir.path());
    let serve = ["serve", "--config", &dir.path().display().to_string()];
    let mut server = Process::start(&mut process::causeway(&serve));
    let (api, _) = server.serves().await;
    api.run("later.ping", &json!({})).await.problem(404, "unknown_operation");

    config.clone().integration("later", &provider.url(), "").write(dir.path());
    server.signal("HUP");
    server
        .says("that it was reloaded", |out| out.contains("the configuration was reloaded").then_some(()))
        .await;
    until("the new operation is there", async || {
        (api.run("later.ping", &json!({})).await.status == 200).then_some(())
    })
    .await;

    config.file("integrations/later.toml", "base_url = 1\n").write(dir.path());
    server.signal("HUP");
    let line = server
        .says("that it was not", |out| {
            out.lines().find(|line| line.contains("the configuration was not reloaded")).map(str::to_owned)
        })
        .await;
    assert!(line.contains("integrations/later.toml:1:12: `base_url`"), "{line}");
    api.run("later.ping", &json!({})).await.ok();
    server.terminate();
    assert_eq!(server.ended().await.status.code(), Some(0));
}
