//! An answer that breaks its schema fails the attempt under `enforce`, with its effect recorded as done, and under
//! `warn` is told to operators while its result stands. Neither tells what stood in it.

use std::fs;
use std::process::Command;

use causeway::sandbox::{Action, Behaviour};
use serde_json::{Value, json};

use crate::support::process::causeway;
use crate::support::{Config, Process, Provider, charge, until};

const SCHEMA: &str = r#"{ "type": "object", "properties": { "id": { "type": "string", "pattern": "^ch_" } }, "required": ["id"] }"#;

fn broken() -> Behaviour {
    let body = Some(json!({ "id": "hunter2", "status": "succeeded" }));
    Action::Status { status: 200, headers: Default::default(), body, act: true }.into()
}

fn serve(mode: &str, provider: &Provider, dir: &tempfile::TempDir) -> Process {
    let schema = format!(
        "response_schema = {{ file = \"schemas/charge.json\", mode = \"{mode}\" }}\n[endpoints.charge_once]"
    );
    let config = Config::payments(&provider.url(), "").replace(
        "integrations/payments.toml",
        "[endpoints.charge_once]",
        &schema,
    );
    config.write(dir.path());
    fs::create_dir_all(dir.path().join("schemas")).expect("a directory is made");
    fs::write(dir.path().join("schemas/charge.json"), SCHEMA).expect("a file is written");
    let mut command: Command = causeway(&["serve", "--config", dir.path().to_str().expect("a path of text")]);
    Process::start(&mut command)
}

/// Log lines of one message.
fn lines(out: &str, message: &str) -> Vec<Value> {
    let lines = out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == message).collect()
}

#[tokio::test]
async fn enforce_fails_it_and_does_not_send_it_again() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let mut server = serve("enforce", &provider, &dir);
    let (api, admin) = server.serves().await;
    provider.always(broken());
    let failed = api.run("payments.charge", &charge()).await;
    let error = failed.json()["run"]["steps"][0]["error"].clone();
    assert_eq!(
        (&error["class"], &error["code"]),
        (&json!("invalid_response"), &json!("response_schema_violated")),
        "{failed:?}"
    );
    assert!(
        error["message"].as_str().is_some_and(|message| message.contains("/properties/id/pattern")),
        "{error}"
    );
    assert!(!failed.body.contains("hunter2"), "{failed:?}");
    assert_eq!(
        (provider.arrivals().len(), provider.effects().len()),
        (1, 1),
        "it was done, and is not sent again"
    );
    let series =
        "causeway_schema_violations_total{integration=\"payments\",endpoint=\"charge\",kind=\"enforce\"} 1";
    counted(&admin, series).await;
    server.terminate();
    assert!(server.ended().await.status.success());
}

#[tokio::test]
async fn warn_tells_of_it_and_lets_it_pass() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let mut server = serve("warn", &provider, &dir);
    let (api, admin) = server.serves().await;
    provider.next([broken()]);
    let passed = api.run("payments.charge", &charge()).await.ok();
    assert_eq!(passed["result"], json!({ "id": "hunter2", "status": "succeeded" }));
    let series =
        "causeway_schema_violations_total{integration=\"payments\",endpoint=\"charge\",kind=\"warn\"} 1";
    counted(&admin, series).await;
    api.run("payments.charge", &charge()).await.ok();
    counted(&admin, series).await;
    server.terminate();
    let ended = server.ended().await;
    let told = lines(&ended.out, "an answer breaks its response_schema");
    assert_eq!(told.len(), 1, "{}", ended.out);
    assert_eq!(told[0]["endpoint"], "charge");
    assert!(
        told[0].to_string().contains("/properties/id/pattern") && !told[0].to_string().contains("hunter2"),
        "{}",
        told[0]
    );
}

async fn counted(admin: &crate::support::Client, series: &str) {
    until(series, async || admin.get("/metrics").await.body.contains(series).then_some(())).await;
}
