//! What a caller sends fills the place that the mapping gives it and no other: it adds no segment, no parameter, no
//! header and no second request. Where it cannot be written so, nothing is sent.

use serde_json::{Value, json};

use crate::support::hostile::Hostile;
use crate::support::{Config, Server};

const INTEGRATION: &str = r#"
[endpoints.get]
method = "GET"
path = "/users/{id}/cards"
request = '{ path: { id: .id }, query: { q: .q }, headers: { "X-Note": .note } }'
[endpoints.names]
method = "GET"
path = "/users"
request = '{ query: .query, headers: .headers }'
"#;

/// One provider, one server: what does not belong to a call would be seen.
fn world() -> (Hostile, Server) {
    let provider = Hostile::well();
    let integration = format!("base_url = \"{}\"\n{INTEGRATION}", provider.url());
    let mut config = Config::new().file("integrations/it.toml", &integration);
    for call in ["get", "names"] {
        config = config.operation(call, &format!("[[steps]]\nname = \"call\"\ncall = \"it.{call}\"\n"));
    }
    let server = Server::start(&config);
    (provider, server)
}

fn last_line(provider: &Hostile) -> String {
    provider.raw().last().expect("a request").line().to_owned()
}

#[tokio::test]
async fn in_a_path_and_a_query() {
    let (provider, server) = world();
    for (text, written) in [
        ("a/../../admin", "a%2F..%2F..%2Fadmin"),
        ("../admin", "..%2Fadmin"),
        ("%2e%2e", "%252e%252e"),
        ("..;x", "..%3Bx"),
        ("1?q=2&r=3#f", "1%3Fq%3D2%26r%3D3%23f"),
        ("a b+c", "a%20b%2Bc"),
        ("\\..\\", "%5C..%5C"),
        (
            "1 HTTP/1.1\r\nX-Evil: 1\r\n\r\nGET /admin",
            "1%20HTTP%2F1.1%0D%0AX-Evil%3A%201%0D%0A%0D%0AGET%20%2Fadmin",
        ),
        ("\0ü@:", "%00%C3%BC%40%3A"),
    ] {
        server.api.run("get", &json!({ "id": text, "q": text })).await.ok();
        assert_eq!(last_line(&provider), format!("GET /users/{written}/cards?q={written} HTTP/1.1"));
        let query = json!({ "query": { text: text } });
        server.api.run("names", &query).await.ok();
        assert_eq!(last_line(&provider), format!("GET /users?{written}={written} HTTP/1.1"));
    }
    assert!(provider.raw().iter().all(|request| request.all("x-evil").is_empty()));
}

#[tokio::test]
async fn in_a_header() {
    let (provider, server) = world();
    let note = "a: b, c; d=\"e\"\tf ü";
    server.api.run("get", &json!({ "id": 1, "note": note })).await.ok();
    let [request] = &provider.raw()[..] else { panic!("not one request") };
    assert_eq!(request.all("x-note"), [note]);
}

#[tokio::test]
async fn or_nothing_is_sent() {
    let (provider, server) = world();
    let header = |name: &str| json!({ "headers": { name: "x" } });
    let inputs: [(&str, Value); 15] = [
        ("get", json!({ "id": "" })),
        ("get", json!({ "id": "." })),
        ("get", json!({ "id": ".." })),
        ("get", json!({ "id": ["a", "b"] })),
        ("get", json!({ "id": null })),
        ("get", json!({ "id": 1, "note": "a\r\nX-Evil: 1" })),
        ("get", json!({ "id": 1, "note": "a\nb" })),
        ("get", json!({ "id": 1, "note": "a\0b" })),
        ("names", header("X-Evil: 1\r\nX-Note")),
        ("names", header("Host")),
        ("names", header("content-length")),
        ("names", header("Transfer-Encoding")),
        ("names", header("Connection")),
        ("names", header("Keep-Alive")),
        ("names", header("Trailer")),
    ];
    for (operation, input) in inputs {
        let problem = server.api.run(operation, &input).await.problem(500, "internal");
        assert_eq!(problem["run"]["error"]["code"], "request_mapping_failed", "{input}");
    }
    assert_eq!((provider.connections(), provider.raw()), (0, Vec::new()));
}
