//! `causeway integrations`, `status` and `call` tell people what the server knows, and say of everything that goes wrong
//! what was tried and what to do.

use std::io::Read as _;
use std::process::{Command, Stdio};

use causeway::sandbox::Behaviour;
use serde_json::{Value, json};

use crate::support::process::{self, Ended};
use crate::support::{Ask, Config, Process, Provider, Server, charge, until};

const LIMITED: &str = r#"
[[limits]]
name = "second"
kind = "token_bucket"
requests = 100
per = "1s"
[[limits]]
name = "a_day"
kind = "calendar"
requests = 10
per = "day"
"#;

async fn admin(server: &Server, arguments: &[&str]) -> Ended {
    let url = server.admin.url();
    process::run(&[arguments, &["--admin-url", &url]].concat()).await
}

async fn api(server: &Server, arguments: &[&str]) -> Ended {
    let url = server.api.url();
    process::run(&[arguments, &["--url", &url]].concat()).await
}

fn two(provider: &Provider) -> Config {
    Config::payments(&provider.url(), LIMITED).integration("mail", &provider.url(), "")
}

fn document(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// The words of the line that begins with this one.
fn line<'a>(text: &'a str, first: &str) -> &'a str {
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(first));
    line.unwrap_or_else(|| panic!("no line of {first}: {text}"))
}

#[tokio::test]
async fn in_tables_and_as_json() {
    let provider = Provider::start();
    let server = Server::start(&two(&provider));
    server.api.run("payments.charge", &charge()).await.ok();
    until("the budget of the day is seen to be used", async || {
        (server.integration("payments").await["limits"][1]["remaining"] == 9).then_some(())
    })
    .await;

    let listed = admin(&server, &["integrations", "list"]).await;
    assert!(listed.status.success() && listed.err.is_empty(), "{listed:?}");
    assert!(!listed.out.contains('\u{1b}'), "no colours into a pipe: {listed:?}");
    let columns: Vec<&str> = listed.out.lines().next().expect("a header").split_whitespace().collect();
    assert_eq!(columns, ["NAME", "STATUS", "BREAKER", "LIMITS", "POOL"]);
    let payments = line(&listed.out, "payments");
    for told in ["healthy", "closed", "a_day 9/10 (tightest of 2)", "0/64"] {
        assert!(payments.contains(told), "{told}: {payments}");
    }
    assert!(line(&listed.out, "mail").contains("none"), "{listed:?}");

    let status = admin(&server, &["status", "--watch"]).await;
    let first = "Healthy: all 2 integrations are healthy. Region test.";
    assert_eq!(status.out.lines().next(), Some(first), "once, without a terminal: {status:?}");
    assert_eq!(line(&status.out, "payments"), payments);

    let as_json = document(&admin(&server, &["integrations", "list", "--json"]).await);
    assert_eq!(as_json["items"][1]["name"], "payments");
    let as_json = document(&admin(&server, &["status", "--json"]).await);
    assert_eq!((&as_json["status"], &as_json["region"]), (&json!("healthy"), &json!("test")));
    assert_eq!(as_json["integrations"][1]["limits"][1]["remaining"], 9);

    let coloured = admin(&server, &["status", "--color", "always"]).await;
    assert!(coloured.out.contains("\u{1b}["), "{coloured:?}");
}

#[tokio::test]
async fn of_all_integrations_however_many() {
    let provider = Provider::start();
    let config = (0..120)
        .fold(Config::new(), |config, n| config.integration(&format!("bank-{n:03}"), &provider.url(), ""));
    let server = Server::start(&config);
    let listed = admin(&server, &["integrations", "list"]).await;
    assert_eq!(listed.out.lines().count(), 121, "{listed:?}");
    let status = admin(&server, &["status"]).await;
    let first = "Healthy: all 120 integrations are healthy. Region test.";
    assert_eq!(status.out.lines().next(), Some(first), "{status:?}");
    for arguments in [["integrations", "list", "--json"].as_slice(), &["status", "--json"]] {
        let document = document(&admin(&server, arguments).await);
        let list = document.get("items").or_else(|| document.get("integrations")).expect("a list");
        assert_eq!((list.as_array().map(Vec::len), &list[119]["name"]), (Some(120), &json!("bank-119")));
    }
}

#[tokio::test]
async fn who_holds_a_breaker_why_and_until_when() {
    let provider = Provider::start();
    let server = Server::start(&two(&provider));
    let trip = ["breaker", "trip", "payments", "--reason", "asked\u{1b}[2J to stop", "--for", "1h"];
    assert!(admin(&server, &trip).await.status.success());

    let shown = admin(&server, &["integrations", "show", "payments"]).await;
    assert!(shown.status.success() && !shown.out.contains('\u{1b}'), "{shown:?}");
    let until = server.integration("payments").await["breaker"]["manual"]["until"].clone();
    let day = &until.as_str().expect("a moment")[..10];
    assert!(line(&shown.out, "status").ends_with("down: breaker forced open"), "{shown:?}");
    let mode = line(&shown.out, "mode");
    assert!(
        mode.contains("forced_open by an operator since ") && mode.contains(&format!("until {day} ")),
        "{mode}"
    );
    assert!(line(&shown.out, "reason").ends_with("asked\\u{1b}[2J to stop"), "{shown:?}");
    assert!(line(&shown.out, "a_day").contains("10/10"), "{shown:?}");
    let as_json = document(&admin(&server, &["integrations", "show", "payments", "--json"]).await);
    assert_eq!(as_json["breaker"]["manual"]["until"], until);

    let status = admin(&server, &["status"]).await;
    let first = "Degraded: of 2 integrations 1 is down and 1 is healthy. Region test.";
    assert_eq!((status.status.code(), status.out.lines().next()), (Some(0), Some(first)));
    assert!(line(&status.out, "payments").contains("forced_open, until "), "{status:?}");
}

/// Runs a program on a terminal, presses Ctrl-C once it has drawn three times, and repeats all it has written.
const TERMINAL: &str = r#"
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
written = b""
while True:
    try:
        read = os.read(terminal, 65536)
    except OSError:
        break
    if not read:
        break
    written += read
    if written.count(b"\x1b[J") >= 3:
        os.write(terminal, b"\x03")
sys.stdout.buffer.write(written)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

#[tokio::test]
async fn on_a_terminal_it_is_watched_in_place_until_ctrl_c() {
    let provider = Provider::start();
    let server = Server::start(&two(&provider));
    let url = server.admin.url();
    let arguments = ["status", "--watch", "100ms", "--admin-url", &url];
    let mut python = Command::new("python3");
    python.args(["-c", TERMINAL, env!("CARGO_BIN_EXE_causeway")]).args(arguments);
    python.env_remove("NO_COLOR").env_remove("CAUSEWAY_OPERATOR_KEY").env("TERM", "xterm");
    let ended = Process::start(&mut python).ended().await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.out.matches("Healthy: all 2 integrations are healthy.").count() >= 3, "{ended:?}");
    assert!(ended.out.contains("\u{1b}[5A"), "it goes back over its five lines: {ended:?}");
    assert!(ended.out.contains("\u{1b}[38;5;2mhealthy"), "in colour: {ended:?}");
}

#[tokio::test]
async fn what_goes_wrong_is_told_with_what_to_do() {
    let provider = Provider::start();
    let server = Server::start(&two(&provider));
    for arguments in [
        &["integrations", "show", "paiments"][..],
        &["breaker", "trip", "paymets", "--reason", "x"],
        &["breaker", "reset", "payment"],
    ] {
        let ended = admin(&server, arguments).await;
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(ended.err.ends_with("; did you mean `payments`?\n"), "{ended:?}");
    }
    let ended = admin(&server, &["integrations", "show", "../x y"]).await;
    assert!(ended.err.ends_with("`../x y`; there is `mail`, `payments`\n"), "{ended:?}");

    let url = server.api.url();
    let ended = process::run(&["integrations", "list", "--admin-url", &url]).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.err.contains("--admin-url or CAUSEWAY_ADMIN_URL"), "{ended:?}");
    for arguments in [&["status", "--admin-url"][..], &["call", "payments.ping", "{}", "--url"]] {
        let ended = process::run(&[arguments, &["http://127.0.0.1:1"]].concat()).await;
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(
            ended.err.contains("at http://127.0.0.1:1: nothing listens there; start a server"),
            "{ended:?}"
        );
        let ended = process::run(&[arguments, &["127.0.0.1:1"]].concat()).await;
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    }
    for arguments in [
        &["call", "payments.ping", "{amount:1}"][..],
        &["call", "payments.ping", "{}", "--deadline", "soon"],
        &["breaker", "trip", "payments", "--reason", "x", "--for", "soon"],
        &["breaker", "trip", "payments", "--reason", " ", "--admin-url", &server.admin.url()],
        &["status", "--watch", "1ms"],
        &["integrations"],
        &["no-such-command"],
    ] {
        let ended = process::run(arguments).await;
        assert_eq!((ended.status.code(), &*ended.out), (Some(2), ""), "{ended:?}");
        assert!(!ended.err.is_empty(), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_call_gives_its_result_and_says_apart_from_it_how_it_went() {
    let provider = Provider::start();
    let retrying = "[retry]\nbase_delay = \"10ms\"";
    let server = Server::start(&Config::payments(&provider.url(), retrying));
    provider.next([Behaviour::status(503)]);
    let input = charge().to_string();
    let called = api(&server, &["call", "payments.charge", &input, "--correlation-id", "order-7"]).await;
    assert!(called.status.success(), "{called:?}");
    assert!(document(&called)["id"].is_string(), "the result alone: {called:?}");
    let head = called.err.lines().next().expect("a summary");
    assert!(head.starts_with("payments.charge@1: succeeded in "), "{head}");
    assert!(head.contains("; run run_") && head.ends_with(", correlation id order-7"), "{head}");
    let step = line(&called.err, "charge");
    assert!(step.contains("payments.charge") && step.contains("2 attempts"), "{step}");

    let called = api(&server, &["call", "payments.charge", &input, "--json", "--deadline", "5s"]).await;
    assert_eq!((document(&called)["status"].as_str(), &*called.err), (Some("succeeded"), ""));

    let declined = json!({ "amount": 1250, "currency": "eur", "source": "tok_declined" }).to_string();
    let called = api(&server, &["call", "payments.charge", &declined]).await;
    assert_eq!((called.status.code(), &*called.out), (Some(1), ""), "{called:?}");
    assert!(called.err.contains("payments.charge@1: failed"), "{called:?}");
    assert!(called.err.contains("\ncauseway: calling payments.charge at http://127.0.0.1:"), "{called:?}");
    let called = api(&server, &["call", "payments.charge", &declined, "--json"]).await;
    assert_eq!(document(&called)["code"], "provider_refused", "{called:?}");
    assert_eq!(called.status.code(), Some(1));

    let called = api(&server, &["call", "payments.nothing", "{}"]).await;
    assert!(called.err.contains("defines the operation `payments.nothing`"), "{called:?}");
    assert!(!called.err.contains("Did you mean"), "{called:?}");
    let called = api(&server, &["call", "payments.chrage", "{}"]).await;
    assert!(called.err.starts_with("Did you mean `payments.charge`?\n"), "{called:?}");
}

#[tokio::test]
async fn a_reader_that_has_gone_away_is_no_error_and_a_full_disk_is_one() {
    let provider = Provider::start();
    let server = Server::start(&two(&provider));
    let url = server.admin.url();
    for arguments in [&["completions", "bash"][..], &["status", "--admin-url", &url], &["keys", "new"]] {
        let mut command = process::causeway(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        let status = child.wait().expect("it ends");
        let mut err = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut err).expect("text");
        assert!(status.success() && !err.contains("causeway: "), "{arguments:?}: {status} {err}");
    }
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let Ok(full) = full else { return };
    let mut command = process::causeway(&["keys", "new"]);
    let ended = command.stdout(full).output().expect("it ends");
    assert_eq!(ended.status.code(), Some(1));
    let err = String::from_utf8_lossy(&ended.stderr);
    assert!(err.starts_with("causeway: writing to standard output: "), "{err}");
}

#[tokio::test]
async fn a_reset_and_a_mode_say_what_has_become_of_the_breaker() {
    let provider = Provider::start();
    let server = Server::start(&two(&provider));
    let mut said = Vec::new();
    for arguments in [
        &["breaker", "mode", "payments", "metrics_only", "--reason", "looking"][..],
        &["breaker", "reset", "payments"],
    ] {
        let ended = admin(&server, arguments).await;
        assert!(ended.status.success(), "{ended:?}");
        said.push(ended.out.trim_end().to_owned());
    }
    assert_eq!(said, ["payments: breaker is metrics_only", "payments: breaker is closed"]);
    let seen = server.admin.send(Ask::get("/admin/v1/integrations/payments")).await.ok();
    assert_eq!(seen["breaker"]["mode"], "auto");
}

#[tokio::test]
async fn the_sandbox_and_the_demo_tell_programs_where_they_are() {
    let any = "127.0.0.1:0";
    let mut sandbox = Process::start(&mut process::causeway(&["sandbox", "--listen", any, "--json"]));
    let address = |text: &str, name: &str| {
        let documents = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        documents.filter_map(|document| Some(document[name].as_str()?.to_owned())).next()
    };
    let url = sandbox.says("its address", |out| address(out, "sandbox_url")).await;
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    sandbox.terminate();
    assert_eq!(sandbox.ended().await.status.code(), Some(0));

    let dir = tempfile::tempdir().expect("a directory");
    let arguments = [
        "demo",
        "--data",
        dir.path().to_str().expect("a path"),
        "--api",
        any,
        "--admin",
        any,
        "--sandbox",
        any,
        "--json",
        "--no-traffic",
    ];
    let mut demo = Process::start(&mut process::causeway(&arguments));
    let url = demo.says("its addresses", |out| address(out, "admin_url")).await;
    let status = process::run(&["status", "--admin-url", &url]).await;
    assert!(status.out.starts_with("Healthy: all 3 integrations are healthy. Region demo."), "{status:?}");
    demo.terminate();
    let ended = demo.ended().await;
    assert!(ended.out.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{ended:?}");
}
