//! Whatever a provider sends: it is classified as the contract says, costs a bounded amount of memory and time, is
//! logged with its reason, and harms neither the next call nor a permit.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::hostile::{Hostile, Step};
use crate::support::wait::Watch;
use crate::support::{Ask, Config, Server, logs, until};

use Step::{Bytes, Drip, Endless, Hang, Read, ReadSome, Repeat, Reset, Say};

/// What the system may hold in its own buffers for one connection; what a provider gets rid of beyond the bounds.
const BUFFERS: u64 = 16 << 20;

/// So long that only what never ends meets them, however busy the machine.
const TIMEOUTS: &str = "connect = \"10s\"\nfirst_byte = \"10s\"\nbody = \"10s\"\ntotal = \"15s\"";
/// For what has no head.
const NO_HEAD: &str = "connect = \"10s\"\nfirst_byte = \"700ms\"\nbody = \"10s\"\ntotal = \"15s\"";
/// For what goes on for long.
const LONG: &str = "connect = \"10s\"\nfirst_byte = \"5s\"\nbody = \"10s\"\ntotal = \"15s\"";
/// For what has no end of its body.
const NO_END: &str = "connect = \"10s\"\nfirst_byte = \"10s\"\nbody = \"700ms\"\ntotal = \"15s\"";

/// What a call comes to: class, code and reason; `None` for a success.
type End = Option<(&'static str, &'static str, &'static str)>;

/// One way to misbehave.
struct Case {
    name: &'static str,
    conversation: &'static [Step],
    timeouts: &'static str,
    /// How many bytes it may get rid of, beside what the system buffers.
    bound: u64,
    safe: End,
    mutating: End,
}

const fn case(name: &'static str, conversation: &'static [Step], safe: End, mutating: End) -> Case {
    Case { name, conversation, timeouts: TIMEOUTS, bound: 1 << 20, safe, mutating }
}

/// One that breaks after the request was sent, for this reason.
const fn broken(name: &'static str, conversation: &'static [Step], reason: &'static str) -> Case {
    case(name, conversation, Some(("transient", reason, reason)), Some(("ambiguous", reason, reason)))
}

/// One that answers with what cannot be used.
const fn useless(name: &'static str, conversation: &'static [Step], code: &'static str) -> Case {
    let end = Some(("invalid_response", code, "none"));
    case(name, conversation, end, end)
}

/// One that refuses.
const fn refused(name: &'static str, conversation: &'static [Step], code: &'static str) -> Case {
    let end = Some(("client", code, "none"));
    case(name, conversation, end, end)
}

const fn harmless(name: &'static str, conversation: &'static [Step]) -> Case {
    case(name, conversation, None, None)
}

/// One that keeps its head to itself.
const fn no_head(name: &'static str, conversation: &'static [Step]) -> Case {
    Case { timeouts: NO_HEAD, ..broken(name, conversation, "first_byte_timeout") }
}

/// One that keeps the end of its body to itself.
const fn no_end(name: &'static str, conversation: &'static [Step]) -> Case {
    Case { timeouts: NO_END, ..broken(name, conversation, "body_timeout") }
}

const SLOWLY: Duration = Duration::from_millis(400);
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const JSON: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";

/// Interim answers are read and let go, as long as the time lasts.
const INTERIM: &[Step] = &[Read, Endless("HTTP/1.1 103 Early Hints\r\n\r\n")];

macro_rules! eight {
    ($text:expr) => {
        concat!($text, $text, $text, $text, $text, $text, $text, $text)
    };
}
/// A piece of a chunked body: 4 KiB in their frame.
const CHUNK: &str = concat!("1000\r\n", eight!(eight!(eight!("[[[[[[[["))), "\r\n");

/// Connections that end or stall.
fn silences() -> Vec<Case> {
    vec![
        no_head("hangs before the head", &[Read, Hang]),
        no_head("hangs in the head", &[Read, Say("HTTP/1.1 200 OK\r\ncontent-le"), Hang]),
        no_end("hangs in the body", &[Read, Say(CHUNKED), Say("5\r\n{\"a\""), Hang]),
        broken("closes before the head", &[Read], "reset"),
        broken("closes in the head", &[Read, Say("HTTP/1.1 200 OK\r\ncontent-le")], "reset"),
        broken(
            "closes in a body of known length",
            &[Read, Say("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{}")],
            "reset",
        ),
        broken("closes in a chunked body", &[Read, Say(CHUNKED), Say("b\r\n{\"ok\"")], "reset"),
        broken("closes between chunks", &[Read, Say(CHUNKED), Say("b\r\n{\"ok\":true}\r\n")], "reset"),
        broken("resets before the head", &[Read, Reset], "reset"),
        broken("resets after the head", &[Read, Say(CHUNKED), Reset], "reset"),
        no_head("drips a head", &[Read, Drip(WHOLE, SLOWLY)]),
        no_end("drips a body", &[Read, Say(CHUNKED), Drip("b\r\n{\"ok\":true}\r\n0\r\n\r\n", SLOWLY)]),
    ]
}

/// Heads that are none.
fn heads() -> Vec<Case> {
    let protocol = |name, conversation| broken(name, conversation, "protocol");
    vec![
        protocol("HTTP/0.9", &[Read, Say("<html>hello</html>\n")]),
        protocol("another protocol", &[Read, Say("SSH-2.0-OpenSSH_9.6\r\n"), Hang]),
        protocol("TLS where none is spoken", &[Read, Bytes(b"\x15\x03\x01\x00\x02\x02\x46"), Hang]),
        protocol("another version", &[Read, Say("HTTP/3.7 200 OK\r\n\r\n")]),
        protocol("a status that is none", &[Read, Say("HTTP/1.1 2OO OK\r\n\r\n")]),
        protocol(
            "two lengths",
            &[
                Read,
                Say("HTTP/1.1 200 OK\r\ncontent-length: 11\r\ncontent-length: 2\r\n\r\n{\"ok\":true}"),
                Hang,
            ],
        ),
        protocol(
            "a length below zero",
            &[Read, Say("HTTP/1.1 200 OK\r\ncontent-length: -11\r\n\r\n{\"ok\":true}"), Hang],
        ),
        protocol(
            "a carriage return in a header",
            &[Read, Say("HTTP/1.1 200 OK\r\nx-a: b\rset-cookie: c\r\ncontent-length: 2\r\n\r\n{}"), Hang],
        ),
        protocol(
            "a zero in a header",
            &[Read, Bytes(b"HTTP/1.1 200 OK\r\nx-a: b\0c\r\ncontent-length: 2\r\n\r\n{}"), Hang],
        ),
        protocol(
            "a header without a name",
            &[Read, Say("HTTP/1.1 200 OK\r\n: c\r\ncontent-length: 2\r\n\r\n{}"), Hang],
        ),
    ]
}

/// Bodies that are wrong.
fn bodies() -> Vec<Case> {
    vec![
        broken(
            "a chunk's size that is none",
            &[Read, Say(CHUNKED), Say("elf\r\n{\"ok\":true}\r\n0\r\n\r\n"), Hang],
            "protocol",
        ),
        broken(
            "a chunk's size beyond numbers",
            &[Read, Say(CHUNKED), Say("fffffffffffffffff\r\n{"), Hang],
            "protocol",
        ),
        useless("no JSON", &[Read, Say(JSON), Say("{\"ok\":tru")], "response_not_json"),
        useless(
            "a length too short",
            &[Read, Say("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{\"ok\":true}"), Hang],
            "response_not_json",
        ),
        useless("JSON ten thousand deep", &[Read, Say(JSON), Repeat("[", 10_000)], "response_not_json"),
        useless(
            "text that is not UTF-8",
            &[Read, Say(JSON), Bytes(b"{\"a\":\"\xff\xfe\"}")],
            "response_not_json",
        ),
        useless(
            "a page",
            &[Read, Say("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>")],
            "response_not_json",
        ),
        useless(
            "gzip",
            &[
                Read,
                Bytes(
                    b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x00",
                ),
            ],
            "unexpected_content_encoding",
        ),
        useless(
            "brotli",
            &[Read, Say("HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 1\r\n\r\n;")],
            "unexpected_content_encoding",
        ),
    ]
}

/// Too much of everything.
fn floods() -> Vec<Case> {
    let head = |name, conversation| broken(name, conversation, "protocol");
    let body = |name, conversation| {
        let end = Some(("invalid_response", "body_too_large", "body_too_large"));
        Case { bound: 5 << 20, ..case(name, conversation, end, end) }
    };
    let interim = no_head("a flood of interim answers", INTERIM);
    vec![
        head("a million headers", &[Read, Say("HTTP/1.1 200 OK\r\n"), Repeat("a: b\r\n", 1_000_000)]),
        head("an endless head", &[Read, Say("HTTP/1.1 200 OK\r\n"), Endless("x-more: and more\r\n")]),
        head("an endless header", &[Read, Say("HTTP/1.1 200 OK\r\nx-more: "), Endless("and more ")]),
        head("an endless status line", &[Read, Say("HTTP/1.1 200 "), Endless("OK ")]),
        body("an endless chunked body", &[Read, Say(CHUNKED), Endless(CHUNK)]),
        body("an endless body", &[Read, Say(JSON), Endless("[[[[[[[[")]),
        body(
            "a body announced as huge",
            &[Read, Say("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{"), Hang],
        ),
        Case { bound: u64::MAX, ..interim },
    ]
}

/// Answers that lead astray.
fn answers() -> Vec<Case> {
    vec![
        refused(
            "a redirect to another host",
            &[Read, Say("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.2:9/\r\ncontent-length: 0\r\n\r\n")],
            "http_302",
        ),
        refused(
            "a redirect to a file",
            &[
                Read,
                Say(
                    "HTTP/1.1 307 Temporary Redirect\r\nlocation: file:///etc/passwd\r\ncontent-length: 0\r\n\r\n",
                ),
            ],
            "http_307",
        ),
        refused(
            "a redirect to itself, for ever",
            &[
                Read,
                Say(
                    "HTTP/1.1 308 Permanent Redirect\r\nlocation: /v1/thing\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                ),
            ],
            "http_308",
        ),
        refused(
            "a refusal before the request is read",
            &[
                ReadSome,
                Say("HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
                Hang,
            ],
            "http_413",
        ),
        harmless(
            "says close and stays",
            &[
                Read,
                Say("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 11\r\n\r\n{\"ok\":true}"),
                Hang,
            ],
        ),
        harmless(
            "says stay and closes",
            &[
                Read,
                Say(
                    "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\nkeep-alive: timeout=600\r\ncontent-length: 11\r\n\r\n{\"ok\":true}",
                ),
            ],
        ),
        harmless(
            "says the wrong content type",
            &[
                Read,
                Say("HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 11\r\n\r\n{\"ok\":true}"),
            ],
        ),
        harmless(
            "two lengths that agree",
            &[Read, Say("HTTP/1.1 200 OK\r\ncontent-length: 11\r\ncontent-length: 11\r\n\r\n{\"ok\":true}")],
        ),
        harmless(
            "an answer nobody asked for after it",
            &[Read, Say(WHOLE), Say("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"), Hang],
        ),
    ]
}

fn configured(config: Config, name: &str, base_url: &str, timeouts: &str) -> Config {
    let integration = format!(
        "base_url = \"{base_url}\"\n[timeouts]\n{timeouts}\n[retry]\nmax_retries = 0\n\
         [endpoints.read]\nmethod = \"GET\"\npath = \"/v1/thing\"\nfollow_redirects = 2\n\
         [endpoints.act]\nmethod = \"POST\"\npath = \"/v1/thing\"\nfollow_redirects = 2\n"
    );
    let mut config = config.file(&format!("integrations/{name}.toml"), &integration);
    for call in ["read", "act"] {
        let operation =
            format!("deadline = \"20s\"\n[[steps]]\nname = \"{call}\"\ncall = \"{name}.{call}\"\n");
        config = config.file(&format!("operations/{name}.{call}.toml"), &operation);
    }
    config
}

/// What an operation came to.
async fn end(server: &Server, operation: &str, input: &Value) -> (Option<[String; 3]>, Value) {
    let answer = server.api.send(Ask::run(operation, input)).await;
    let document = answer.json();
    let error = &document["run"]["error"];
    let word = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
    let end = (answer.status != 200).then(|| [word("class"), word("code"), word("reason")]);
    (end, document)
}

fn words(end: End) -> Option<[String; 3]> {
    end.map(|(class, code, reason)| [class, code, reason].map(str::to_owned))
}

/// That the attempt was logged, with what broke it.
fn assert_logged(name: &str, integration: &str, ends: [End; 2]) {
    let lines = logs::of(causeway_actors::ATTEMPT_TARGET, integration);
    assert!(lines.len() >= 2, "{name}: {lines:?}");
    for (line, end) in lines.iter().zip(ends) {
        let field = |key: &str| line.fields.get(key).and_then(Value::as_str).unwrap_or_default();
        let (class, code, reason) = end.unwrap_or(("success", "", ""));
        assert_eq!((field("outcome"), field("code"), field("reason")), (class, code, reason), "{name}");
        assert_eq!(end.is_some(), line.fields.contains_key("error"), "{name}: {line:?}");
        let whole = format!("{line:?}");
        assert!(whole.len() < 64 << 10, "{name}: a line of {} bytes", whole.len());
    }
}

#[tokio::test]
async fn each_is_told_for_what_it_is_and_the_next_call_works() {
    check_all("odd", [silences(), heads(), bodies(), answers()].into_iter().flatten().collect()).await;
}

#[tokio::test]
async fn too_much_is_let_go_and_the_next_call_works() {
    check_all("flood", floods()).await;
}

/// Checks the cases side by side, on one server.
async fn check_all(prefix: &str, cases: Vec<Case>) {
    logs::keep();
    let mut config = Config::new();
    let providers: Vec<Hostile> = cases.iter().map(|case| Hostile::start(case.conversation)).collect();
    for (index, (case, provider)) in cases.iter().zip(&providers).enumerate() {
        config = configured(config, &format!("{prefix}{index}"), &provider.url(), case.timeouts);
    }
    let server = Server::start(&config);
    let checks = cases.iter().zip(providers).enumerate().map(|(index, (case, provider))| {
        let server = &server;
        async move { check(server, &format!("{prefix}{index}"), case, provider).await }
    });
    join_all(checks).await;
    server.at_rest().await;
}

async fn check(server: &Server, integration: &str, case: &Case, provider: Hostile) {
    let name = case.name;
    let (read, document) = end(server, &format!("{integration}.read"), &json!({})).await;
    assert_eq!(read, words(case.safe), "{name}: {document}");
    // Too much for one read, so that a refusal may come before all of it is read.
    let input = json!({ "text": "x".repeat(20_000) });
    let (act, document) = end(server, &format!("{integration}.act"), &input).await;
    assert_eq!(act, words(case.mutating), "{name}: {document}");
    if act.is_some_and(|[class, ..]| class == "ambiguous") {
        assert_eq!(document["run"]["status"], "unknown", "{name}");
    }
    assert_logged(name, integration, [case.safe, case.mutating]);

    let bound = case.bound.saturating_add(BUFFERS).saturating_mul(2);
    assert!(provider.sent() <= bound, "{name}: {} bytes were taken from it", provider.sent());
    until(&format!("no connection is left: {name}"), async || (provider.open() == 0).then_some(())).await;

    let provider = provider.heal();
    for call in ["read", "act"] {
        let (end, document) = end(server, &format!("{integration}.{call}"), &json!({})).await;
        assert_eq!(end, None, "{name}, and then well: {document}");
    }
    until(&format!("its permits are back: {name}"), async || {
        (server.integration(integration).await["pool"]["in_flight"] == 0).then_some(())
    })
    .await;
    drop(provider);
}

#[tokio::test]
async fn one_that_refuses_connections_or_speaks_no_tls_was_not_sent_anything() {
    logs::keep();
    let (refusing, plain) = (Hostile::refuse(), Hostile::start(&[ReadSome, Say(WHOLE)]));
    let config = configured(Config::new(), "refusing", &refusing.url(), TIMEOUTS);
    let config = configured(config, "plain", &format!("https://{}", plain.address()), TIMEOUTS);
    let server = Server::start(&config);
    for (integration, reason) in [("refusing", "refused"), ("plain", "tls")] {
        let expected: End = Some(("transient", reason, reason));
        for call in ["read", "act"] {
            let (end, document) = end(&server, &format!("{integration}.{call}"), &json!({})).await;
            assert_eq!(end, words(expected), "{document}");
            assert_eq!(document["run"]["status"], "failed", "nothing can have happened");
        }
        assert_logged(reason, integration, [expected, expected]);
    }
    let refusing = refusing.heal();
    let (end, document) = end(&server, "refusing.act", &json!({})).await;
    assert_eq!(end, None, "{document}");
    assert_eq!(refusing.requests().len(), 1);
}

#[tokio::test]
async fn a_flood_does_not_hold_up_its_neighbours() {
    let flood = Hostile::start(INTERIM);
    let well = Hostile::start(&[Read, Say(WHOLE), Read, Say(WHOLE), Read, Say(WHOLE), Hang]);
    let config = configured(Config::new(), "flood", &flood.url(), LONG);
    let server = Server::start(&configured(config, "well", &well.url(), TIMEOUTS));
    let (nothing, watch) = (json!({}), Watch::start());
    let flooded = async {
        let (end, document) = end(&server, "flood.read", &nothing).await;
        assert_eq!(end, words(Some(("transient", "first_byte_timeout", "first_byte_timeout"))), "{document}");
        watch.elapsed()
    };
    let neighbour = async {
        until("the flood has come", async || (flood.sent() > 0).then_some(())).await;
        for _ in 0..3 {
            let (end, document) = end(&server, "well.read", &nothing).await;
            assert_eq!(end, None, "{document}");
        }
        watch.elapsed()
    };
    let (flooded, neighbour) = tokio::join!(flooded, neighbour);
    assert!(neighbour < flooded, "its neighbour had to wait for it: {neighbour:?}");
    // Its timeout rings within its thread's turns, not when the flood leaves it some.
    assert!(flooded < Duration::from_millis(6_500), "the flood was listened to for {flooded:?}");
}
