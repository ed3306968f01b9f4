//! A 401 has the secret read again: another one is tried once, at once, and all new calls use it. When nothing helps
//! it is told, people are alarmed, and the secret stands in no log and no answer, though the provider repeats it.

use std::path::Path;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::gate::{Gate, Knock};
use crate::support::{Config, Server, charge, logs};

const OLD: &str = "tk-old-5b1c77f0";
const NEW: &str = "tk-new-9d02ae41";

/// A server in front of the gate, with its token in a file of this directory; nothing is retried.
fn config(gate: &Gate, name: &str, secret: &Path) -> Config {
    let auth = format!("[auth]\ntype = \"bearer\"\ntoken = {{ file = \"{}\" }}", secret.display());
    Config::new().integration(name, &gate.url(), &format!("{auth}\n[retry]\nmax_retries = 0"))
}

fn shown(knocks: &[Knock]) -> Vec<(&str, bool)> {
    knocks.iter().map(|knock| (knock.authorization.trim_start_matches("Bearer "), knock.let_in)).collect()
}

#[tokio::test]
async fn another_secret_at_the_source_is_tried_once_and_used_from_then_on() {
    logs::keep();
    let dir = tempfile::tempdir().expect("a directory");
    let secret = dir.path().join("token");
    std::fs::write(&secret, OLD).expect("a secret");
    let gate = Gate::start(OLD).await;
    let server = Server::start(&config(&gate, "rotates", &secret));
    server.api.run("rotates.charge", &charge()).await.ok();
    assert_eq!(shown(&gate.knocks()), [(OLD, true)]);

    std::fs::write(&secret, NEW).expect("a secret");
    server.api.run("rotates.charge", &charge()).await.ok();
    assert_eq!(shown(&gate.knocks()), [(OLD, true)], "nobody has refused the old one yet");

    gate.accept(&[NEW]);
    let run = server.api.run("rotates.charge", &charge()).await.ok();
    assert_eq!(run["steps"][0]["attempts"], 1, "it is no retry: {run}");
    let knocks = gate.knocks();
    assert_eq!(shown(&knocks), [(OLD, false), (NEW, true)]);
    assert_eq!((&knocks[0].key, &knocks[0].body), (&knocks[1].key, &knocks[1].body), "the same request");
    assert!(!knocks[0].key.is_empty());
    server.api.run("rotates.ping", &json!({})).await.ok();
    assert_eq!(shown(&gate.knocks()), [(NEW, true)], "new calls use the new one at once");

    // A part of the provider that has not heard of the new one yet.
    gate.accept(&[OLD]);
    server.api.run("rotates.ping", &json!({})).await.ok();
    assert_eq!(
        shown(&gate.knocks()),
        [(NEW, false), (OLD, true)],
        "the previous one is tried during a rotation"
    );
    let again: Vec<_> = logs::of(causeway_actors::ATTEMPT_TARGET, "rotates")
        .iter()
        .filter_map(|line| line.fields.get("sent_again").cloned())
        .collect();
    assert_eq!(again, ["reauthenticated", "reauthenticated"]);
}

#[tokio::test]
async fn when_nothing_helps_it_is_told_and_the_secret_is_not() {
    logs::keep();
    let dir = tempfile::tempdir().expect("a directory");
    let secret = dir.path().join("token");
    std::fs::write(&secret, OLD).expect("a secret");
    let gate = Gate::start("another").await;
    let server = Server::start(&config(&gate, "refused", &secret));
    let answer = server.api.run("refused.charge", &charge()).await;
    let problem = answer.json();
    let error = &problem["run"]["error"];
    assert_eq!((&error["class"], &error["code"]), (&json!("client"), &json!("http_401")), "{problem}");
    assert_eq!(problem["run"]["status"], "failed", "a refusal: nothing has been done");
    assert_eq!(shown(&gate.knocks()), [(OLD, false)], "the same secret is not tried twice");
    assert_eq!(error["message"], "no client is known as [masked:secret] here");

    let nothing = json!({});
    let flood = join_all((0..40).map(|_| server.api.run("refused.ping", &nothing)));
    assert!(flood.await.iter().all(|answer| answer.json()["run"]["error"]["code"] == "http_401"));
    assert_eq!(gate.knocks().len(), 40);
    let alarms = logs::of("causeway::credential", "refused");
    let alarm = alarms.iter().filter(|line| line.level == tracing::Level::ERROR);
    assert_eq!(alarm.count(), 1, "one alarm for all of them: {alarms:?}");
    assert_eq!(logs::of(causeway_actors::ATTEMPT_TARGET, "refused").len(), 41);

    // The provider has sent it back in each message and each `Server` header.
    let logged = logs::all();
    assert!(logged.contains("[masked:secret]"), "or nothing was to be masked");
    assert!(!logged.contains(OLD) && !answer.body.contains(OLD));
}
