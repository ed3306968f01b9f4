//! What links a call to the event behind it is taken over or made, sent on, and told; credentials are sent on and never
//! told.

use http::Request;
use serde_json::json;

use crate::support::recorder::Recorder;
use crate::support::{Ask, Config, Process, Server, charge, process};

const SECRET: &str = "sk_live_5up3r53cr37";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn header<'a>(request: &'a Request<bytes::Bytes>, name: &str) -> &'a str {
    let value = request.headers().get(name).unwrap_or_else(|| panic!("no {name} in {request:?}"));
    value.to_str().expect("a header of text")
}

/// A configuration with a secret in a file, and the directory it is in.
fn with_secret(url: &str) -> (tempfile::TempDir, Config) {
    let dir = tempfile::tempdir().expect("a directory");
    let key = dir.path().join("key");
    std::fs::write(&key, format!("{SECRET}\n")).expect("a file");
    let auth = format!("[auth]\ntype = \"bearer\"\ntoken = {{ file = \"{}\" }}", key.display());
    (dir, Config::payments(url, &auth))
}

#[tokio::test]
async fn a_correlation_id_is_taken_over_or_made() {
    let recorder = Recorder::start(r#"{"id":"ch_1","status":"succeeded"}"#).await;
    let server = Server::start(&Config::payments(&recorder.url(), ""));
    let given = Ask::run("payments.charge", &charge()).header("x-correlation-id", "order-17");
    let answer = server.api.send(given).await;
    assert_eq!(
        (answer.header("x-correlation-id"), &answer.ok()["correlation_id"]),
        (Some("order-17"), &json!("order-17"))
    );

    let made = server.api.run("payments.charge", &charge()).await;
    let made = made.header("x-correlation-id").expect("an id").to_owned();
    assert!(made.len() >= 32, "{made}");
    for unfit in ["", "with space", "with\ttab", &"x".repeat(2000)] {
        let given = Ask::run("payments.charge", &charge()).header("x-correlation-id", unfit);
        let answer = server.api.send(given).await;
        let instead = answer.header("x-correlation-id").expect("an id");
        assert!(instead != unfit && instead.len() >= 32, "{instead}");
        answer.ok();
    }

    let requests = recorder.requests();
    assert_eq!(requests.len(), 6);
    assert_eq!(header(&requests[0], "x-correlation-id"), "order-17");
    assert_eq!(header(&requests[1], "x-correlation-id"), made);
}

#[tokio::test]
async fn a_trace_is_continued_or_begun() {
    let recorder = Recorder::start(r#"{"id":"ch_1","status":"succeeded"}"#).await;
    let server = Server::start(&Config::payments(&recorder.url(), ""));
    let parent = format!("00-{TRACE}-{PARENT}-01");
    for given in [&*parent, "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "nonsense"] {
        server.api.send(Ask::run("payments.charge", &charge()).header("traceparent", given)).await.ok();
    }
    let mut spans = Vec::new();
    for (number, request) in recorder.requests().iter().enumerate() {
        let parts: Vec<_> = header(request, "traceparent").split('-').map(str::to_owned).collect();
        let [version, trace, span, flags] = &parts[..] else { panic!("no traceparent: {parts:?}") };
        assert_eq!((&**version, trace.len(), span.len()), ("00", 32, 16));
        assert_eq!(trace == TRACE, number == 0);
        assert!(trace.bytes().any(|byte| byte != b'0') && span.bytes().any(|byte| byte != b'0'), "{parts:?}");
        assert_eq!(flags, if number == 0 { "01" } else { "00" });
        assert_ne!(span, PARENT, "the provider's parent is our attempt");
        spans.push(span.clone());
    }
    spans.sort();
    spans.dedup();
    assert_eq!(spans.len(), 3, "each attempt is a span of its own");
}

#[tokio::test]
async fn the_request_is_what_the_configuration_says() {
    let recorder = Recorder::start(r#"{"id":"ch_1","status":"succeeded"}"#).await;
    let (_dir, config) = with_secret(&recorder.url());
    let server = Server::start(&config);
    let outcome = server.api.run("payments.charge", &charge()).await.ok();
    assert_eq!(outcome["result"], json!({ "id": "ch_1", "status": "succeeded" }));
    let [request] = &recorder.requests()[..] else { panic!("not one request") };
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/charges"));
    assert_eq!(header(request, "authorization"), format!("Bearer {SECRET}"));
    assert_eq!(header(request, "content-type"), "application/json");
    assert_eq!(header(request, "accept-encoding"), "identity");
    assert!(header(request, "user-agent").starts_with("causeway/"));
    assert!(header(request, "idempotency-key").starts_with("cw_"));
    let body: serde_json::Value = serde_json::from_slice(request.body()).expect("JSON");
    let reference = &outcome["id"];
    assert_eq!(
        body,
        json!({ "amount": 1250, "currency": "eur", "source": "tok_visa", "reference": reference })
    );
}

#[tokio::test]
async fn no_answer_shows_the_secret() {
    let recorder = Recorder::start("[not json").await;
    let (dir, config) = with_secret(&recorder.url());
    config.write(dir.path());
    let mut process =
        Process::start(&mut process::causeway(&["serve", "--config", &dir.path().display().to_string()]));
    let (api, admin) = process.serves().await;
    let mut told = String::new();
    for operation in ["payments.charge", "payments.ping"] {
        let answer = api.run(operation, &charge()).await;
        told.push_str(&format!("{answer:?}"));
        if let Some(id) = answer.json()["run"]["id"].as_str() {
            told.push_str(&format!("{:?}", api.get(&format!("/v1/runs/{id}")).await));
        }
    }
    for path in [
        "/admin/v1/integrations",
        "/admin/v1/integrations/payments",
        "/metrics",
        "/readyz?verbose",
        "/v1/health",
    ] {
        let answer = admin.get(path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        told.push_str(&format!("{answer:?}"));
    }
    assert_eq!(recorder.requests().len(), 2);
    assert!(recorder.requests().iter().all(|request| header(request, "authorization").contains(SECRET)));
    assert!(!told.contains(SECRET), "{told}");
}
