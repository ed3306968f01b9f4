//! HTTP/2 is spoken with a provider that chooses it in the TLS handshake, and offered only where `http2` is not off.

use std::sync::Arc;

use futures_util::future::join_all;
use http::Version;
use rustls::{ALL_VERSIONS, ServerConfig};
use serde_json::json;

use crate::support::authority::Authority;
use crate::support::recorder::Recorder;
use crate::support::{Config, Server, charge};

const ANSWER: &str = r#"{"ok":true,"id":"ch_1","status":"succeeded"}"#;

/// Certificates for one test.
struct World {
    dir: tempfile::TempDir,
    authority: Authority,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory"), authority: Authority::new("own") }
    }

    /// A server's end of TLS that speaks these.
    fn speaking(&self, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        self.authority.issue("localhost").server(ALL_VERSIONS, None, alpn)
    }

    fn server(&self, provider: &Recorder, pool: &str) -> Server {
        let ca_file = self.authority.write(self.dir.path(), "ca.pem");
        let sections =
            format!("[tls]\nca_file = \"{}\"\n[pool]\n{pool}\n[retry]\nmax_retries = 0", ca_file.display());
        Server::start(&Config::payments(&provider.secure_url(), &sections))
    }
}

fn versions(provider: &Recorder) -> Vec<Version> {
    provider.requests().iter().map(http::Request::version).collect()
}

#[tokio::test]
async fn with_one_that_chooses_it_over_one_connection() {
    let world = World::new();
    let provider = Recorder::start_secure(ANSWER, world.speaking(&[b"h2", b"http/1.1"])).await;
    let server = world.server(&provider, "");
    server.api.run("payments.charge", &charge()).await.ok();
    let input = json!({});
    for answer in join_all((0..6).map(|_| server.api.run("payments.ping", &input))).await {
        answer.ok();
    }
    assert_eq!(versions(&provider), [Version::HTTP_2; 7]);
    assert_eq!(provider.offers(), [["h2", "http/1.1"]]);
    let first = &provider.requests()[0];
    assert_eq!((first.method().as_str(), first.uri().path()), ("POST", "/v1/charges"));
    assert!(first.headers().contains_key("idempotency-key") && !first.body().is_empty());
}

#[tokio::test]
async fn not_with_one_that_does_not() {
    for alpn in [&[&b"http/1.1"[..]][..], &[]] {
        let world = World::new();
        let provider = Recorder::start_secure(ANSWER, world.speaking(alpn)).await;
        let server = world.server(&provider, "http2 = true");
        server.api.run("payments.ping", &json!({})).await.ok();
        assert_eq!(versions(&provider), [Version::HTTP_11]);
    }
    let provider = Recorder::start(ANSWER).await;
    let server = Server::start(&Config::payments(&provider.url(), "[pool]\nhttp2 = true"));
    server.api.run("payments.ping", &json!({})).await.ok();
    assert_eq!(versions(&provider), [Version::HTTP_11], "without TLS nothing can be offered");
}

#[tokio::test]
async fn where_it_is_off_never() {
    let world = World::new();
    let both = Recorder::start_secure(ANSWER, world.speaking(&[b"h2", b"http/1.1"])).await;
    let server = world.server(&both, "http2 = false");
    server.api.run("payments.ping", &json!({})).await.ok();
    server.api.run("payments.charge_once", &charge()).await.ok();
    assert_eq!(versions(&both), [Version::HTTP_11; 2]);
    assert!(both.offers().iter().all(|offer| offer == &["http/1.1"]), "{:?}", both.offers());

    let only = Recorder::start_secure(ANSWER, world.speaking(&[b"h2"])).await;
    let server = world.server(&only, "http2 = false");
    let problem = server.api.run("payments.ping", &json!({})).await.problem(502, "provider_failed");
    assert_eq!(problem["run"]["error"]["reason"], "tls", "{problem}");
    assert_eq!((only.offers().len(), only.requests().len()), (1, 0));
}
