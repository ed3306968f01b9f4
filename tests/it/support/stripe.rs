//! A server that speaks Stripe's API, Stripe's own SDK to look into it, and the configuration that is delivered.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::Process;

pub(crate) const KEY: &str = "sk_test_12345";

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One of the programs in `tests/peers`.
pub(crate) fn peer(script: &str, arguments: &[&str]) -> Command {
    let python = repository().join(".peers/venv/bin/python");
    assert!(
        python.exists(),
        "Stripe's peer is not installed: run scripts/peers ({} is missing)",
        python.display()
    );
    let mut command = Command::new(python);
    command.current_dir(repository()).arg(PathBuf::from("tests/peers").join(script)).args(arguments);
    command
}

/// A server that speaks Stripe's API, and its URL.
pub(crate) async fn stripe(port: &str) -> (Process, String) {
    let mut server = Process::start(&mut peer("stripe_server.py", &["--port", port]));
    let url = server
        .says("where it listens", |out| Some(out.strip_prefix("listening on ")?.trim().to_owned()))
        .await;
    (server, url)
}

/// A file of the project, with these texts replaced, each of which must be there.
pub(crate) fn delivered(path: &str, changes: &[(&str, &str)]) -> String {
    let text = fs::read_to_string(repository().join(path)).expect("a delivered file");
    changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{path} has no `{from}`");
        text.replace(from, to)
    })
}

/// What Stripe's SDK finds for an order.
pub(crate) async fn found(url: &str, order: &Value) -> Vec<Value> {
    let order = order["order"].as_str().expect("an order");
    let lister = Process::start(&mut peer(
        "stripe_charges.py",
        &["--api-base", url, "--api-key", KEY, "--order", order],
    ));
    let ended = lister.ended().await;
    assert!(ended.status.success(), "{ended:?}");
    ended.out.lines().map(|line| serde_json::from_str(line).expect("a charge")).collect()
}
