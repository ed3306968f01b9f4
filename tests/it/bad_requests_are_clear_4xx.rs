//! Whatever is sent, the answer says what is wrong with it, in one form; nothing of it reaches the provider.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::wait::Watch;
use crate::support::{Answer, Ask, Config, Provider, Server, charge};

const SMALL: &str = r#"
[listen]
api = "127.0.0.1:0"
admin = "127.0.0.1:0"
max_body = "4KiB"
head_timeout = "1s"
"#;

/// A server that takes small bodies only.
fn start(provider: &Provider) -> Server {
    Server::start(&Config::payments(&provider.url(), "").file("causeway.toml", SMALL))
}

async fn post(server: &Server, body: impl Into<bytes::Bytes>) -> Answer {
    let ask = Ask::post_text("/v1/operations/payments.charge", body);
    server.api.send(ask.header("content-type", "application/json")).await
}

#[tokio::test]
async fn bodies() {
    let provider = Provider::start();
    let server = start(&provider);
    let malformed: [(&[u8], &str); 7] = [
        (b"", "line 1 column 0"),
        (b"{\"amount\":", "line 1 column 10"),
        (b"{\n  \"amount\": 1,\n}", "line 3 column 1"),
        (b"{} {}", "line 1 column 4"),
        (b"{\"a\":\"\xff\"}", "byte 6"),
        (b"\x1f\x8b\x08\x00", "byte 1"),
        (&[b'['; 4000], "nested deeper than 128 levels"),
    ];
    for (body, place) in malformed {
        let problem = post(&server, body).await.problem(400, "malformed_request");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(place)), "{problem}");
        assert_eq!(problem["retryable"], false);
    }
    let deepest = format!("{}{}", "[".repeat(128), "]".repeat(128));
    // It is taken in, and then is no charge: our own mapping cannot make a request of it.
    post(&server, deepest).await.problem(500, "internal");

    post(&server, " ".repeat(4097)).await.problem(413, "body_too_large");
    let largest = charge().to_string();
    let largest = format!("{largest}{}", " ".repeat(4096 - largest.len()));
    assert_eq!(provider.arrivals(), []);
    post(&server, largest).await.ok();
    assert_eq!(provider.effects().len(), 1);
}

#[tokio::test]
async fn a_body_that_does_not_tell_its_size_is_bounded_too() {
    let provider = Provider::start();
    let server = start(&provider);
    let head = "POST /v1/operations/payments.charge HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\
                content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n{}\r\n", 1024, " ".repeat(1024));
    let answer = server.api.raw(format!("{head}{}0\r\n\r\n", chunk.repeat(5)).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("\"code\":\"body_too_large\""), "{answer}");
    assert_eq!(provider.arrivals(), []);

    let body = charge().to_string();
    let (one, two) = body.split_at(7);
    let chunks = format!("{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", one.len(), two.len());
    let answer = server.api.raw(format!("{head}{chunks}").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn content_types() {
    let provider = Provider::start();
    let server = start(&provider);
    let ask = || Ask::post_text("/v1/operations/payments.charge", charge().to_string());
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let answer = server.api.send(ask().header("content-type", kind)).await;
        answer.problem(415, "unsupported_media_type");
    }
    server.api.send(ask()).await.problem(415, "unsupported_media_type");
    assert_eq!(provider.arrivals(), []);
    for kind in ["application/json; charset=utf-8", "Application/JSON"] {
        server.api.send(ask().header("content-type", kind)).await.ok();
    }
}

#[tokio::test]
async fn names() {
    let provider = Provider::start();
    let server = start(&provider);
    for operation in [
        "payments.refund",
        "payments",
        "payments.charge@2",
        "payments.charge@",
        "payments.charge@x",
        "%2e%2e",
        "%FF",
    ] {
        let problem = server.api.run(operation, &charge()).await.problem(404, "unknown_operation");
        assert_eq!(problem["retryable"], false);
    }
    server.api.get("/v1/runs/run_0").await.problem(404, "unknown_run");
    for path in
        ["/", "/v1", "/v1/", "/v1/nothing", "/admin/v1/integrations", "/metrics", "/v1/operations/a/b"]
    {
        server.api.get(path).await.problem(404, "not_found");
    }
    for path in ["/v1/operations/payments.charge", "/admin/v1", "/nothing"] {
        server.admin.send(Ask::post(path, &charge())).await.problem(404, "not_found");
    }
    server.admin.get("/admin/v1/integrations/stripe").await.problem(404, "unknown_integration");
    assert_eq!(provider.arrivals(), []);
    server.api.run("payments.charge@1", &charge()).await.ok();
}

#[tokio::test]
async fn methods() {
    let provider = Provider::start();
    let server = start(&provider);
    let told = [
        (server.api.get("/v1/operations/payments.charge").await, "POST"),
        (server.api.send(Ask::post("/v1/health", &json!({}))).await, "GET"),
        (server.admin.get("/admin/v1/integrations/payments/breaker/trip").await, "POST"),
    ];
    for (answer, allowed) in told {
        assert_eq!(answer.header("allow"), Some(allowed), "{answer:?}");
        let problem = answer.problem(405, "method_not_allowed");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(allowed)), "{problem}");
    }
}

#[tokio::test]
async fn deadlines() {
    let provider = Provider::start();
    let server = start(&provider);
    for value in ["0", "-1", "1.5", "soon", "", "99999999999999999999999"] {
        let ask = Ask::run("payments.charge", &charge()).header("x-deadline-ms", value);
        let problem = server.api.send(ask).await.problem(400, "malformed_request");
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.contains("X-Deadline-Ms")),
            "{problem}"
        );
    }
    assert_eq!(provider.arrivals(), []);
    server.api.send(Ask::run("payments.charge", &charge()).deadline_ms(u64::MAX)).await.ok();
}

#[tokio::test]
async fn web_pages() {
    let provider = Provider::start();
    let server = start(&provider);
    let host = server.api.address().to_string();
    let foreign = [
        ("origin", "https://evil.example".to_owned()),
        ("origin", "null".to_owned()),
        ("origin", "http://127.0.0.1:1".to_owned()),
        ("sec-fetch-site", "cross-site".to_owned()),
        ("sec-fetch-site", "same-site".to_owned()),
    ];
    for (name, value) in &foreign {
        let answer = server.api.send(Ask::run("payments.charge", &charge()).header(name, value)).await;
        answer.problem(403, "foreign_origin");
        let trip = Ask::post("/admin/v1/integrations/payments/breaker/trip", &json!({ "reason": "x" }));
        server.admin.send(trip.header(name, value)).await.problem(403, "foreign_origin");
    }
    // A page whose host name has been pointed at this machine comes from "its own" origin.
    let rebound = "POST /v1/operations/payments.charge HTTP/1.1\r\nhost: evil.example\r\norigin: http://evil.example\r\n\
                   connection: close\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let answer = server.api.raw(rebound.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert_eq!(provider.arrivals(), []);
    let own = Ask::run("payments.charge", &charge()).header("origin", &format!("http://{host}"));
    server.api.send(own.header("sec-fetch-site", "same-origin")).await.ok();
}

#[tokio::test]
async fn what_is_no_http() {
    let provider = Provider::start();
    let server = start(&provider);
    for bytes in
        [&b"\x16\x03\x01\x02\x00\r\n\r\n"[..], b"GET / HTTP/9.9\r\n\r\n", b"GET /a b HTTP/1.1\r\n\r\n"]
    {
        let answer = server.api.raw(bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    // A head that does not end is not waited for.
    let watch = Watch::start();
    let answer = server.api.raw(b"POST /v1/operations/payments.charge HTTP/1.1\r\nhost: a").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(watch.elapsed() < Duration::from_secs(5), "{:?}", watch.elapsed());
    server.api.run("payments.charge", &charge()).await.ok();
}

#[tokio::test]
async fn what_cannot_be_mapped_is_our_failure_and_nothing_is_sent() {
    let provider = Provider::start();
    let server = start(&provider);
    let problem = server.api.run("payments.charge", &json!([1])).await.problem(500, "internal");
    assert_eq!(problem["run"]["status"], "failed");
    assert_eq!(problem["run"]["error"]["code"], "request_mapping_failed");
    assert_eq!(provider.arrivals(), []);
    // It is no failure of the provider's.
    assert_eq!(server.integration("payments").await["breaker"]["window"]["failures"], Value::from(0));
}
