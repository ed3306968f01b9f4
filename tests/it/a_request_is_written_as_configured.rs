//! What a provider gets is what the configuration says, to the byte: the body in its form, the version that is pinned,
//! headers and credentials.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::hostile::{Hostile, Raw};
use crate::support::{Config, Server};

/// What an integration sends whose file goes on like this, for its endpoint `call`.
async fn sent(integration: &str, input: &Value) -> Raw {
    let provider = Hostile::well();
    let config = Config::new()
        .file("integrations/it.toml", &format!("base_url = \"{}/base\"\n{integration}", provider.url()))
        .operation("call", "[[steps]]\nname = \"call\"\ncall = \"it.call\"\n");
    let server = Server::start(&config);
    server.api.run("call", input).await.ok();
    let [request] = &provider.raw()[..] else { panic!("not one request: {:?}", provider.raw()) };
    request.clone()
}

fn post(more: &str) -> String {
    format!("[endpoints.call]\nmethod = \"POST\"\npath = \"/p\"\nidempotency = \"safe\"\n{more}\n")
}

fn text(request: &Raw) -> &str {
    std::str::from_utf8(&request.body).expect("a body of text")
}

#[tokio::test]
async fn a_form_body() {
    let input = json!({
        "amount": 1250, "ok": true, "none": null, "card": { "number": "1&2=3", "a[b]": "c" }, "items": ["a b", "ü+"],
    });
    let form = "amount=1250&ok=true&card%5Bnumber%5D=1%262%3D3&card%5Ba%5Bb%5D%5D=c&items%5B0%5D=a%20b\
                &items%5B1%5D=%C3%BC%2B";
    for mapping in ["", "request = '{ body: . }'"] {
        let request = sent(&post(&format!("body = \"form\"\n{mapping}")), &input).await;
        assert_eq!(text(&request), form);
        assert_eq!(request.all("content-type"), ["application/x-www-form-urlencoded"]);
        assert_eq!(request.all("content-length"), [form.len().to_string()]);
    }
}

#[tokio::test]
async fn a_multipart_body() {
    let mapping = r#"body = "multipart"
request = '''{ body: {
    title: .title, tags: .tags, none: null,
    scan: { base64: .scan, filename: .name, content_type: "image/png" }, note: { content: .note },
} }'''"#;
    let input = json!({
        "title": "a\r\n--b", "tags": ["x", 2], "scan": "iVBORw0KGgo=", "name": "s\"c;an.png", "note": "ü",
    });
    let request = sent(&post(mapping), &input).await;
    let kind = request.all("content-type")[0];
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("a boundary");
    let mut parts = Vec::new();
    for (head, content) in [
        ("name=\"title\"", &b"a\r\n--b"[..]),
        ("name=\"tags\"", b"x"),
        ("name=\"tags\"", b"2"),
        ("name=\"scan\"; filename=\"s%22c;an.png\"\r\nContent-Type: image/png", b"\x89PNG\r\n\x1a\n"),
        ("name=\"note\"\r\nContent-Type: text/plain; charset=utf-8", "ü".as_bytes()),
    ] {
        parts.extend(format!("--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n").into_bytes());
        parts.extend(content);
        parts.extend(b"\r\n");
    }
    parts.extend(format!("--{boundary}--\r\n").into_bytes());
    assert_eq!(String::from_utf8_lossy(&request.body), String::from_utf8_lossy(&parts));
    assert_eq!(request.body, parts);
    assert_eq!(request.all("content-length"), [parts.len().to_string()]);
}

#[tokio::test]
async fn a_text_body() {
    let mapping = "body = \"text\"\nrequest = '{ body: .words }'";
    let request = sent(&post(mapping), &json!({ "words": "a \"b\"\r\nü\0" })).await;
    assert_eq!(text(&request), "a \"b\"\r\nü\0");
    assert_eq!(request.all("content-type"), ["text/plain; charset=utf-8"]);
}

#[tokio::test]
async fn a_json_body() {
    let mapping = "request = '{ body: { z: .n, a: [.s, null] } }'";
    let request = sent(&post(mapping), &json!({ "n": 1, "s": "\u{1}\"ü" })).await;
    assert_eq!(request.line(), "POST /base/p HTTP/1.1");
    assert_eq!(text(&request), r#"{"z":1,"a":["\u0001\"ü",null]}"#);
    assert_eq!(request.all("content-type"), ["application/json"]);
    let own = post(&format!("{mapping}\nheaders = {{ Content-Type = \"application/vnd.api+json\" }}"));
    let request = sent(&own, &json!({ "n": 1, "s": "" })).await;
    assert_eq!(request.all("content-type"), ["application/vnd.api+json"]);
}

#[tokio::test]
async fn no_body() {
    let input = json!({ "a": 1 });
    let request = sent(&post("body = \"none\""), &input).await;
    assert_eq!((text(&request), request.all("content-length")), ("", vec!["0"]));
    assert_eq!(request.all("content-type"), Vec::<&str>::new());
    let request = sent("[endpoints.call]\nmethod = \"GET\"\npath = \"/p\"", &input).await;
    assert_eq!((request.line(), text(&request)), ("GET /base/p HTTP/1.1", ""));
    assert!(!request.head.contains("content-"), "{request:?}");
}

#[tokio::test]
async fn the_pinned_version() {
    let endpoint = "[endpoints.call]\nmethod = \"GET\"\npath = \"/p/{id}\"\nrequest = '{ path: { id: .id }, query: .query }'";
    let at = async |version: &str, query: Value| {
        let input = json!({ "id": "1", "query": query });
        sent(&format!("api_version = {version}\n{endpoint}"), &input).await
    };
    let request = at("{ header = \"X-Version\", value = \"2025-09-30.clover\" }", json!({})).await;
    assert_eq!(
        (request.line(), request.all("x-version")),
        ("GET /base/p/1 HTTP/1.1", vec!["2025-09-30.clover"])
    );
    let request = at("{ path = \"/v2\" }", json!({ "a": 1 })).await;
    assert_eq!(request.line(), "GET /base/v2/p/1?a=1 HTTP/1.1");
    let by_query = "{ query = \"api version\", value = \"3&4\" }";
    assert_eq!(at(by_query, json!({})).await.line(), "GET /base/p/1?api%20version=3%264 HTTP/1.1");
    let request = at(by_query, json!({ "a": [1, 2], "b": null })).await;
    assert_eq!(request.line(), "GET /base/p/1?a=1&a=2&api%20version=3%264 HTTP/1.1");
}

#[tokio::test]
async fn headers_of_the_integration_the_endpoint_and_the_mapping() {
    let integration = r#"
headers = { X-One = "integration", X-Two = "integration", X-Three = "integration", Accept = "text/x" }
[endpoints.call]
method = "GET"
path = "/p"
headers = { X-Two = "endpoint", X-Three = "endpoint" }
request = '{ headers: { "x-three": .three, "X-Four": 4, "X-Five": null, "Accept-Encoding": "gzip" } }'
"#;
    let request = sent(integration, &json!({ "three": "mapping" })).await;
    for (name, value) in [
        ("x-one", "integration"),
        ("x-two", "endpoint"),
        ("x-three", "mapping"),
        ("x-four", "4"),
        ("accept", "text/x"),
        ("accept-encoding", "identity"),
    ] {
        assert_eq!(request.all(name), [value], "{name}");
    }
    assert_eq!(request.all("x-five"), Vec::<&str>::new());
}

#[tokio::test]
async fn its_credential() {
    let dir = tempfile::tempdir().expect("a directory");
    let secret = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        reference(&path)
    };
    let (user, word) = (secret("user", "ann"), secret("word", "p:w&d ü"));
    let key = secret("key", "k&y=1");
    let with = async |auth: &str| {
        let mapping =
            "request = '{ headers: { Authorization: \"Basic no\", \"X-Key\": \"no\" }, query: { a: 1 } }'";
        let endpoint = format!("[endpoints.call]\nmethod = \"GET\"\npath = \"/p\"\n{mapping}");
        sent(&format!("[auth]\n{auth}\n{endpoint}"), &json!({})).await
    };
    let request = with(&format!("type = \"basic\"\nusername = {user}\npassword = {word}")).await;
    // printf 'ann:p:w&d ü' | base64
    assert_eq!(request.all("authorization"), ["Basic YW5uOnA6dyZkIMO8"]);
    let request = with(&format!("type = \"basic\"\nusername = {user}")).await;
    assert_eq!(request.all("authorization"), ["Basic YW5uOg=="]);
    let request = with(&format!("type = \"header\"\nname = \"X-Key\"\nvalue = {key}")).await;
    assert_eq!((request.all("x-key"), request.line()), (vec!["k&y=1"], "GET /base/p?a=1 HTTP/1.1"));
    let request = with(&format!("type = \"query\"\nname = \"key\"\nvalue = {key}")).await;
    assert_eq!(request.line(), "GET /base/p?a=1&key=k%26y%3D1 HTTP/1.1");
}

fn reference(path: &Path) -> String {
    format!("{{ file = \"{}\" }}", path.display())
}
