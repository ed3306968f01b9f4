//! Whatever became of those before it, each attempt of a call sends the same bytes: a provider that compares them with
//! what it has seen under the key finds nothing to object to.

use serde_json::json;

use crate::support::hostile::{Hostile, Raw, Step};
use crate::support::{Ask, Config, Server};

const LOST: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
const UNSURE: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
const LATER: &str = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";
const TOO_MANY: &str = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";
const RUNNING: &str = "HTTP/1.1 409 Conflict\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{\"ok\":";
const DONE: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";

/// Every way in which an attempt can end that another follows, and then a success.
const CONVERSATIONS: [&[Step]; 5] = [
    &[Step::Read, Step::Reset],
    &[
        Step::Read,
        Step::Say(LOST),
        Step::Read,
        Step::Say(UNSURE),
        Step::Read,
        Step::Say(LATER),
        Step::Read,
        Step::Say(TOO_MANY),
        Step::Read,
        Step::Say(RUNNING),
    ],
    &[Step::Read, Step::Say(CUT)],
    &[Step::Read, Step::Hang],
    &[Step::Read, Step::Say(DONE)],
];
const ATTEMPTS: usize = 9;

const INTEGRATION: &str = r#"
[timeouts]
first_byte = "1s"
[retry]
max_retries = 20
base_delay = "10ms"
max_delay = "10ms"
rate_limit_delay = "10ms"
budget_min = 100
[breaker]
failures = 1000
[endpoints.upload]
method = "POST"
path = "/v1/{account}/documents"
body = "multipart"
request = '''{
    path: { account: .account },
    query: { tag: .tags },
    headers: { "X-Note": .note },
    body: { run: $run.id, key: $idempotency_key, file: { base64: .file, filename: .name } },
}'''
idempotency = { header = "Idempotency-Key" }
deadline_header = "X-Left-Ms"
[endpoints.store]
method = "POST"
path = "/v1/documents"
idempotency = { header = "X-Request-Key" }
"#;

/// Runs the operation against a provider that fails in all ways, and gives what it was sent.
async fn sent(endpoint: &str, input: &str) -> Vec<Raw> {
    let provider = Hostile::start_each(&CONVERSATIONS);
    let config = Config::new()
        .file("integrations/store.toml", &format!("base_url = \"{}\"\n{INTEGRATION}", provider.url()))
        .operation(
            "put",
            &format!("deadline = \"15s\"\n[[steps]]\nname = \"put\"\ncall = \"store.{endpoint}\"\n"),
        );
    let server = Server::start(&config);
    let ask = Ask::post_text("/v1/operations/put", input.to_owned());
    let outcome = server.api.send(ask.header("content-type", "application/json")).await.ok();
    assert_eq!(
        (&outcome["status"], &outcome["steps"][0]["attempts"]),
        (&json!("succeeded"), &json!(ATTEMPTS))
    );
    let sent = provider.raw();
    assert_eq!(sent.len(), ATTEMPTS);
    sent
}

/// All of a head but what is an attempt's own: its span, and the time that is left.
fn lasting(request: &Raw) -> Vec<&str> {
    let own = |line: &&str| !line.starts_with("traceparent: ") && !line.starts_with("x-left-ms: ");
    request.head.lines().filter(own).collect()
}

#[tokio::test]
async fn where_it_is_made_of_parts() {
    let input = r#"{"account":"a/b","tags":["x","y z"],"note":"n","file":"AAH/","name":"f.bin"}"#;
    let sent = sent("upload", input).await;
    let first = &sent[0];
    assert_eq!(first.line(), "POST /v1/a%2Fb/documents?tag=x&tag=y%20z HTTP/1.1");
    let [key] = first.all("idempotency-key")[..] else { panic!("not one key: {first:?}") };
    assert!(key.starts_with("cw_"), "{key}");
    let is_in_the_body = |bytes: &[u8]| first.body.windows(bytes.len()).any(|window| window == bytes);
    assert!(is_in_the_body(key.as_bytes()) && is_in_the_body(b"\r\n\r\n\0\x01\xff\r\n"), "{first:?}");
    let left = |request: &Raw| request.all("x-left-ms")[0].parse::<u64>().expect("milliseconds");
    for (before, after) in sent.iter().zip(&sent[1..]) {
        assert_eq!(after.body, first.body);
        assert_eq!(lasting(after), lasting(first));
        assert_ne!(after.all("traceparent"), before.all("traceparent"), "each attempt is a span of its own");
        assert!(left(after) <= left(before), "the time left does not grow");
    }
    assert!(left(&sent[ATTEMPTS - 1]) < left(first), "one of them has waited for a second");
}

#[tokio::test]
async fn where_it_is_the_callers_own() {
    let input =
        "{ \"amount\" : 1.50,\n\t\"big\":12345678901234567890.10, \"text\":\"\\u00fc ü\", \"a\":1, \"A\":2 }";
    let sent = sent("store", input).await;
    assert_eq!(sent[0].all("x-request-key").len(), 1);
    for request in &sent {
        assert_eq!(String::from_utf8_lossy(&request.body), input);
        assert_eq!(lasting(request), lasting(&sent[0]));
    }
}
