//! A breaker that was switched off lets everything pass, counts it, and says who has switched it off.

use causeway::sandbox::Behaviour;
use serde_json::{Value, json};

use crate::support::{Answer, Ask, Config, Provider, Server, process, until};

const TWO_FAILURES: &str = r#"
[retry]
max_retries = 0
[breaker]
failures = 2
half_open_calls = 1
"#;

async fn set_mode(server: &Server, body: Value) -> Answer {
    server.admin.send(Ask::post("/admin/v1/integrations/payments/breaker/mode", &body)).await
}

async fn fails_ten_times(provider: &Provider, server: &Server) {
    provider.always(Behaviour::status(500));
    for _ in 0..10 {
        server.api.run("payments.ping", &json!({})).await.problem(502, "provider_failed");
    }
    assert_eq!(provider.arrivals().len(), 10, "each of them was sent");
    until("the failures are shown", async || {
        (server.integration("payments").await["breaker"]["window"]["failures"] == 10).then_some(())
    })
    .await;
}

#[tokio::test]
async fn by_the_admin_api() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), TWO_FAILURES));
    let command = json!({ "mode": "disabled", "reason": "a false alarm", "for": "12h" });
    let answer = set_mode(&server, command).await.ok();
    let breaker = &answer["breaker"];
    assert_eq!((&breaker["mode"], &breaker["state"]), (&json!("disabled"), &json!("disabled")));
    let manual = &breaker["manual"];
    assert_eq!((&manual["source"], &manual["reason"]), (&json!("operator"), &json!("a false alarm")));
    assert!(manual["since"].is_string() && manual["until"].is_string(), "{manual}");
    assert_eq!(answer["durable"], true);

    fails_ten_times(&provider, &server).await;
    let health = server.api.get("/v1/health").await.ok();
    let integration = &health["integrations"]["payments"];
    assert_eq!((&integration["status"], &integration["breaker"]), (&json!("healthy"), &json!("disabled")));
    assert_eq!(integration["reasons"], json!(["breaker_disabled"]));

    // Ended by hand it is automatic again, and tries first.
    let answer = set_mode(&server, json!({ "mode": "auto", "reason": "it was none" })).await.ok();
    assert_eq!((&answer["breaker"]["mode"], &answer["breaker"]["manual"]), (&json!("auto"), &Value::Null));
    assert_eq!(answer["breaker"]["state"], "half_open");
    server.api.run("payments.ping", &json!({})).await.problem(502, "provider_failed");
    server.api.run("payments.ping", &json!({})).await.problem(503, "breaker_open");
}

#[tokio::test]
async fn by_the_settings() {
    let provider = Provider::start();
    let sections = format!("{TWO_FAILURES}mode = \"disabled\"\n");
    let server = Server::start(&Config::payments(&provider.url(), &sections));
    fails_ten_times(&provider, &server).await;
    let manual = &server.integration("payments").await["breaker"]["manual"];
    assert_eq!((&manual["source"], &manual["since"]), (&json!("settings"), &Value::Null));
}

#[tokio::test]
async fn by_the_command_line_until_its_time_is_up() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), TWO_FAILURES));
    let url = server.admin.url();
    let command = |mode: &'static str, rest: &[&'static str]| {
        let mut arguments = vec!["breaker", "mode", "payments", mode, "--reason", "a false alarm"];
        arguments.extend_from_slice(rest);
        arguments.into_iter().map(str::to_owned).chain(["--admin-url".to_owned(), url.clone()]).collect()
    };
    let run = async |arguments: Vec<String>| {
        process::run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    let ended = run(command("disabled", &[])).await;
    assert_eq!(ended.out, "payments: breaker is disabled\n", "{ended:?}");
    fails_ten_times(&provider, &server).await;

    let ended = run(command("disabled", &["--for", "1s"])).await;
    assert!(ended.out.starts_with("payments: breaker is disabled until 20"), "{ended:?}");
    server.breaker_is("payments", "half_open").await;
    assert_eq!(server.integration("payments").await["breaker"]["mode"], "auto");

    let ended = run(command("off", &[])).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.err.contains("metrics_only"), "the modes are named: {ended:?}");
}

#[tokio::test]
async fn a_mode_that_makes_no_sense_changes_nothing() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    for body in [
        json!({ "mode": "disabled" }),
        json!({ "mode": "disabled", "reason": "" }),
        json!({ "mode": "off", "reason": "x" }),
        json!({ "reason": "x" }),
        json!({ "mode": "disabled", "reason": "x", "for": "0s" }),
        json!({ "mode": "auto", "reason": "x", "for": "1m" }),
    ] {
        set_mode(&server, body).await.problem(400, "malformed_request");
    }
    let nowhere = json!({ "mode": "disabled", "reason": "x" });
    let nowhere = Ask::post("/admin/v1/integrations/stripe/breaker/mode", &nowhere);
    server.admin.send(nowhere).await.problem(404, "unknown_integration");
    assert_eq!(server.integration("payments").await["breaker"]["mode"], "auto");
}
