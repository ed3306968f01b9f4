//! Redirects are followed where the endpoint says so, as the same request, and never to where the credential does not
//! belong.

use serde_json::json;

use crate::support::hostile::{Hostile, Step};
use crate::support::{Config, Server, logs};

const WELL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";

const TOKEN: &str = "tk0redirected77";

/// A server whose endpoints follow so many redirects, with the key in the query.
fn config(name: &str, provider: &Hostile, follow: u8, dir: &std::path::Path) -> Config {
    let secret = dir.join("token");
    std::fs::write(&secret, TOKEN).expect("a secret");
    let integration = format!(
        "base_url = \"{}/v1\"\n[auth]\ntype = \"query\"\nname = \"key\"\nvalue = {{ file = \"{}\" }}\n\
         [endpoints.read]\nmethod = \"GET\"\npath = \"/thing\"\nfollow_redirects = {follow}\n\
         [endpoints.act]\nmethod = \"POST\"\npath = \"/thing\"\nfollow_redirects = {follow}\n",
        provider.url(),
        secret.display()
    );
    let mut config = Config::new().file(&format!("integrations/{name}.toml"), &integration);
    for call in ["read", "act"] {
        let operation = format!("[[steps]]\nname = \"{call}\"\ncall = \"{name}.{call}\"\n");
        config = config.file(&format!("operations/{name}.{call}.toml"), &operation);
    }
    config
}

/// The methods and targets that came, and their bodies.
fn asked(provider: &Hostile) -> Vec<(String, String)> {
    let requests = provider.requests();
    let parts = requests.iter().map(|request| {
        let (head, body) = request.split_once("\r\n\r\n").expect("a request");
        (head.lines().next().unwrap_or_default().replace(" HTTP/1.1", ""), body.to_owned())
    });
    parts.collect()
}

#[tokio::test]
async fn it_is_the_same_request_at_another_place() {
    const MOVED: &[Step] = &[
        Step::Read,
        Step::Say(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: ../v2/there?a=1\r\ncontent-length: 0\r\n\r\n",
        ),
        Step::Read,
        Step::Say(
            "HTTP/1.1 308 Permanent Redirect\r\nlocation: /v3?key=tk0redirected77\r\ncontent-length: 0\r\n\r\n",
        ),
        Step::Read,
        Step::Say(WELL),
    ];
    logs::keep();
    let (provider, dir) = (Hostile::start(MOVED), tempfile::tempdir().expect("a directory"));
    let server = Server::start(&config("moved", &provider, 2, dir.path()));
    let run = server.api.run("moved.act", &json!({ "amount": 1 })).await.ok();
    assert_eq!(run["steps"][0]["attempts"], 1);
    let body = "{\"amount\":1}".to_owned();
    let expected = ["/v1/thing?key=", "/v2/there?a=1&key=", "/v3?key="];
    assert_eq!(asked(&provider), expected.map(|path| (format!("POST {path}{TOKEN}"), body.clone())));
    let lines = logs::of(causeway_actors::ATTEMPT_TARGET, "moved");
    assert_eq!(lines[0].fields["sent_again"], "redirected 2");
    assert!(!logs::all().contains(TOKEN));
}

#[tokio::test]
async fn one_too_many_another_method_and_none_at_all_are_refusals() {
    const AWAY: &[Step] = &[
        Step::Read,
        Step::Say(
            "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        ),
    ];
    for (name, follow, call, requests) in
        [("none", 0, "read", 1), ("many", 2, "read", 3), ("method", 2, "act", 1)]
    {
        let (provider, dir) = (Hostile::start(AWAY), tempfile::tempdir().expect("a directory"));
        let server = Server::start(&config(name, &provider, follow, dir.path()));
        let problem = server.api.run(&format!("{name}.{call}"), &json!({})).await.json();
        assert_eq!(problem["run"]["error"]["code"], "http_302", "{problem}");
        assert_eq!(asked(&provider).len(), requests, "{name}");
    }
}
