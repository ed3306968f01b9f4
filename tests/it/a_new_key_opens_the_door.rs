//! A key that `causeway keys new` makes opens what it is made for once it stands in the configuration, and nothing else;
//! a command without it, or with a wrong one, says which variable it is read from.

use std::process::Command;

use serde_json::Value;

use crate::support::process::{self, Ended};
use crate::support::{Config, Process, Provider, Server};

async fn new(arguments: &[&str]) -> Ended {
    let ended = process::run(&[&["keys", "new"], arguments].concat()).await;
    assert!(ended.status.success(), "{ended:?}");
    ended
}

async fn with(variable: &str, key: &str, arguments: &[&str]) -> Ended {
    Process::start(process::causeway(arguments).env(variable, key)).ended().await
}

#[tokio::test]
async fn of_clients_and_of_operators() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let made = new(&[]).await;
    assert!(made.err.contains("[[clients]]") && made.err.contains("CAUSEWAY_CLIENT_KEY"), "{made:?}");
    assert!(!made.err.contains("cwc_"), "the key is on standard output only");
    let client = made.out.trim_end().to_owned();
    assert!(client.starts_with("cwc_") && client.len() == 47, "one line, the key: {made:?}");
    let made = new(&["operator", "--json"]).await;
    let document: Value = serde_json::from_str(&made.out).expect("a document");
    let operator = document["key"].as_str().expect("a key").to_owned();
    assert!(
        operator.starts_with("cwo_") && document["kind"] == "operator" && made.err.is_empty(),
        "{made:?}"
    );

    // The files are as `causeway keys new > FILE` writes them.
    let mut tables = String::new();
    for (kind, rights, key) in
        [("clients", "operations = [\"payments.*\"]", &client), ("operators", "role = \"viewer\"", &operator)]
    {
        let path = dir.path().join(kind);
        std::fs::write(&path, format!("{key}\n")).expect("a file for the key");
        let path = path.display();
        tables.push_str(&format!("[[{kind}]]\nname = \"ada\"\nkey = {{ file = \"{path}\" }}\n{rights}\n"));
    }
    let server = Server::start(&Config::payments(&provider.url(), "").append("causeway.toml", &tables));
    let (api, admin) = (server.api.url(), server.admin.url());

    let call = ["call", "payments.ping", "{}", "--url", &api];
    let list = ["integrations", "list", "--admin-url", &admin];
    let called = with("CAUSEWAY_CLIENT_KEY", &client, &call).await;
    assert_eq!((called.status.code(), &*called.out), (Some(0), "{\"ok\":true}\n"), "{called:?}");
    let listed = with("CAUSEWAY_OPERATOR_KEY", &operator, &list).await;
    assert!(listed.status.success() && listed.out.contains("payments"), "{listed:?}");

    let refused = |ended: Ended, advice: &str| {
        assert_eq!((ended.status.code(), &*ended.out), (Some(1), ""), "{ended:?}");
        assert!(ended.err.contains(advice), "{advice}: {ended:?}");
        assert!(!ended.err.contains(&client) && !ended.err.contains(&operator), "no key is told: {ended:?}");
    };
    refused(process::run(&call).await, "; set CAUSEWAY_CLIENT_KEY to the key of one of [[clients]]");
    refused(process::run(&list).await, "; set CAUSEWAY_OPERATOR_KEY to the key of one of [[operators]]");
    refused(with("CAUSEWAY_OPERATOR_KEY", &client, &list).await, "it begins as a client's does");
    refused(with("CAUSEWAY_CLIENT_KEY", &operator, &call).await, "it begins as an operator's does");
    let trip = ["breaker", "trip", "payments", "--reason", "x", "--admin-url", &admin];
    let forbidden = with("CAUSEWAY_OPERATOR_KEY", &operator, &trip).await;
    refused(forbidden, "it takes `operator`; the key that was sent is in CAUSEWAY_OPERATOR_KEY");
    let spaced = with("CAUSEWAY_OPERATOR_KEY", "two words", &list).await;
    assert_eq!(spaced.status.code(), Some(2), "{spaced:?}");
}

#[tokio::test]
async fn no_two_are_the_same() {
    let (one, other) = (new(&["client"]).await, new(&["client"]).await);
    assert_ne!(one.out, other.out);
}

#[tokio::test]
async fn shells_complete_the_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let printed = process::run(&["completions", shell]).await;
        assert!(printed.status.success() && printed.out.contains("integrations"), "{printed:?}");
        if shell == "bash" {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("causeway");
            std::fs::write(&path, &printed.out).expect("a file");
            let script = format!(
                "source {}; COMP_WORDS=(causeway integ) COMP_CWORD=1; _causeway causeway integ causeway; \
                 echo \"${{COMPREPLY[*]}}\"",
                path.display()
            );
            let completed = Command::new("bash").args(["-c", &script]).output().expect("bash");
            let completed = String::from_utf8_lossy(&completed.stdout);
            assert_eq!(completed.trim(), "integrations");
        }
    }
    let unknown = process::run(&["completions", "tcsh"]).await;
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
}
