//! Whatever the OpenAPI documents allow and forbid is sent to both listeners: no server error, no status, content type or
//! document that is not written there.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::{Client, Config, Process, Provider, process};

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,unsupported_method";
/// What it sends is drawn from this.
const SEED: &str = "1";

/// An operation whose input is told; one that takes anything may fail in its mapping, which is our own failure.
const CHARGE: &str = r#"
deadline = "15s"
[input_schema]
type = "object"
required = ["amount", "currency", "source"]
properties = { amount = { type = "integer", minimum = 1, maximum = 1000 }, currency = { enum = ["eur"] }, source = { enum = ["tok_visa", "tok_declined"] } }
[[steps]]
name = "charge"
call = "payments.charge"
"#;

/// It sends some thousand requests.
const TAKES: Duration = Duration::from_secs(120);

async fn holds(client: Client) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join(".peers/schemathesis/bin/schemathesis");
    assert!(program.exists(), "schemathesis is not installed: run scripts/peers schemathesis");
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(program);
    command.current_dir(dir.path()).arg("--config-file").arg(root.join("tests/peers/schemathesis.toml"));
    command.args(["run", &format!("{}/openapi.json", client.url()), "--url", &client.url()]);
    command.args(["--checks", CHECKS, "--seed", SEED, "--max-examples", "30", "--no-color"]);
    command.args(["--phases", "examples,coverage,fuzzing", "--generation-database", "none"]);
    let ended = Process::start(&mut command).ended_within(TAKES).await;
    assert!(ended.status.success(), "{}\n{}", ended.out, ended.err);
    assert!(ended.out.contains("Test cases:"), "it has sent something: {}", ended.out);
}

/// A server as its users run it: one that can be reloaded, and keeps metrics.
async fn server(provider: &Provider, dir: &Path) -> (Process, Client, Client) {
    let charge = Config::payments(&provider.url(), "").file("operations/payments.charge.toml", CHARGE);
    let once = CHARGE.replace(".charge", ".charge_once");
    charge.file("operations/payments.charge_once.toml", &once).write(dir);
    let mut process =
        Process::start(&mut process::causeway(&["serve", "--config", &dir.display().to_string()]));
    let (api, admin) = process.serves().await;
    (process, api, admin)
}

#[tokio::test]
async fn of_the_business_api() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let (_server, api, _) = server(&provider, dir.path()).await;
    holds(api).await;
}

#[tokio::test]
async fn of_the_admin_api() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let (_server, _, admin) = server(&provider, dir.path()).await;
    holds(admin).await;
}
