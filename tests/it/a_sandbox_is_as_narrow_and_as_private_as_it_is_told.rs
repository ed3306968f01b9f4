//! `causeway sandbox` plays the provider that speaks TLS with a certificate of its company's own authority, and the one
//! that takes so many connections and no more; misbehaviour is the same behind TLS.

use std::net::{Ipv4Addr, SocketAddr};

use causeway::sandbox::{Action, Behaviour, Options, Sandbox, SandboxThread};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::process::causeway;
use crate::support::{Config, Process, Server, charge, logs, until};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn sandbox(options: Options) -> SandboxThread {
    Sandbox::run_in_thread_with(ANY, options).expect("a sandbox starts")
}

/// A server whose integration `payments` trusts `authority`.
fn trusting(sandbox: &SandboxThread, authority: &str, more: &str) -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, authority).expect("a file is written");
    let tls = format!("[tls]\nca_file = \"{}\"\n{more}", file.display());
    let server = Server::start(&Config::payments(&sandbox.url(), &tls));
    (dir, server)
}

#[tokio::test]
async fn the_command_writes_the_authority_that_an_integration_trusts() {
    let dir = tempfile::tempdir().expect("a directory");
    let ca_file = dir.path().join("ca.pem");
    let file = ca_file.to_str().expect("a path of text");
    let mut process =
        Process::start(&mut causeway(&["sandbox", "--listen", "127.0.0.1:0", "--json", "--tls", file]));
    let said = process
        .says("its address", |out| {
            let line: Value = serde_json::from_str(out.lines().next()?).ok()?;
            Some(line)
        })
        .await;
    assert_eq!(said["ca_file"], json!(file));
    let url = said["sandbox_url"].as_str().expect("an address");
    assert!(url.starts_with("https://"), "{url}");
    let server = Server::start(&Config::payments(url, &format!("[tls]\nca_file = \"{file}\"")));
    let charged = server.api.run("payments.charge", &charge()).await.ok();
    assert_eq!(charged["status"], "succeeded", "{charged}");
}

#[tokio::test]
async fn another_authority_is_not_trusted() {
    logs::keep();
    let (ours, other) = (sandbox(tls()), sandbox(tls()));
    let authority = other.authority().expect("an authority");
    let (_dir, server) = trusting(&ours, authority, "");
    let refused = server.api.run("payments.charge", &charge()).await.json();
    let text = refused.to_string();
    assert!(text.contains("\"certificate\""), "{text}");
    assert_eq!(ours.control().ledger().arrivals, []);
}

fn tls() -> Options {
    Options { tls: true, ..Options::default() }
}

#[tokio::test]
async fn misbehaviour_is_the_same_behind_tls() {
    let sandbox = sandbox(tls());
    let authority = sandbox.authority().expect("an authority").to_owned();
    let (_dir, server) = trusting(
        &sandbox,
        &authority,
        "[timeouts]\nfirst_byte = \"300ms\"\nbody = \"300ms\"\n[retry]\nmax_retries = 0",
    );
    let control = sandbox.control();
    let cases: [(Action, &str); 5] = [
        (Action::Drip { bytes: 64, every_ms: 1, act: true }, ""),
        (Action::Truncate { after_bytes: 3, act: true }, "reset"),
        (Action::Stall { after_bytes: 3, act: true }, "body_timeout"),
        (Action::Hang { act: true }, "first_byte_timeout"),
        (Action::Garbage {}, "protocol"),
    ];
    for (action, reason) in cases {
        let behaviour = Behaviour::from(action);
        control.plan(causeway::sandbox::Rule::sequence([behaviour.clone()])).expect("a plan");
        let answer = server.api.run("payments.ping", &json!({})).await.json();
        let run = if answer["run"].is_object() { &answer["run"] } else { &answer };
        let said = run["error"]["reason"].as_str().unwrap_or_default();
        assert_eq!(said, reason, "{behaviour:?}: {answer}");
    }
}

#[tokio::test]
async fn a_provider_with_a_connection_limit_is_called_within_it_or_again() {
    let sandbox = sandbox(Options { max_connections: Some(2), ..Options::default() });
    let control = sandbox.control();
    let late = Behaviour::normal().delayed(std::time::Duration::from_millis(50));
    control.plan(causeway::sandbox::Rule::always(late)).expect("a plan");
    let retry = "[retry]\nmax_retries = 3\nbase_delay = \"100ms\"\n[breaker]\nmode = \"disabled\"\n";
    let charges = |server: &Server| {
        let api = server.api;
        join_all((0..8).map(move |_| async move { api.run("payments.charge", &charge()).await }))
    };

    // A pool as large as the limit never meets it: connections are used one after the other.
    let pool = "[pool]\nmax_in_flight = 2\nmax_idle = 2\n";
    let within = Server::start(&Config::payments(&sandbox.url(), &format!("{pool}{retry}")));
    for answer in charges(&within).await {
        answer.ok();
    }
    assert_eq!(control.counters().refused_connections, 0);
    assert_eq!(control.ledger().effects.len(), 8);
    drop(within);
    until("its connections are closed", async || (control.counters().open == 0).then_some(())).await;

    // A pool that is larger meets it, and what was refused is sent again and done once.
    let pool = "[pool]\nmax_in_flight = 8\n";
    let beyond = Server::start(&Config::payments(&sandbox.url(), &format!("{pool}{retry}")));
    let answers = charges(&beyond).await;
    assert!(control.counters().refused_connections > 0);
    let succeeded = answers.iter().filter(|answer| answer.status == 200).count();
    let effects = control.ledger().effects.len() - 8;
    assert!(succeeded > 0 && succeeded <= effects && effects <= 8, "{succeeded} of {effects}");
}
