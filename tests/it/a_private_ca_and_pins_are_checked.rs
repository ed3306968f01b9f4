//! `[tls]`: an authority of one's own, pinned keys, a certificate to show and the lowest version are what they say; a
//! certificate that is not accepted ends the call at once, as a matter of credentials, and raises the alarm.

use std::path::Path;
use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, ServerConfig};
use serde_json::json;

use crate::support::authority::{Authority, Issued};
use crate::support::secure::Secure;
use crate::support::{Config, Server, charge, logs};

/// What a charge without a key comes to at this provider, as class and reason, and after how many attempts.
async fn ends(name: &str, provider: &Secure, tls: &str) -> (String, String, u64) {
    let sections = format!("[tls]\n{tls}\n[retry]\nmax_retries = 2\nbase_delay = \"10ms\"");
    let server = Server::start(&Config::new().integration(name, &provider.url(), &sections));
    let answer = server.api.run(&format!("{name}.charge_once"), &charge()).await.json();
    let run = if answer["run"].is_object() { &answer["run"] } else { &answer };
    let word = |key: &str| run["error"][key].as_str().unwrap_or_default().to_owned();
    let attempts = run["steps"][0]["attempts"].as_u64().expect("attempts");
    (word("class"), word("reason"), attempts)
}

fn refused_certificate() -> (String, String, u64) {
    ("credential".to_owned(), "certificate".to_owned(), 1)
}

fn accepted() -> (String, String, u64) {
    (String::new(), String::new(), 1)
}

fn ca_file(authority: &Authority, dir: &Path) -> String {
    format!("ca_file = \"{}\"", authority.write(dir, "ca.pem").display())
}

fn plain(issued: &Issued) -> Arc<ServerConfig> {
    issued.server(ALL_VERSIONS, None, &[])
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_named_and_nowhere_else() {
    logs::keep();
    let (dir, authority) = (tempfile::tempdir().expect("a directory"), Authority::new("own"));
    let provider = Secure::start(plain(&authority.issue("localhost"))).await;
    assert_eq!(ends("private", &provider, &ca_file(&authority, dir.path())).await, accepted());
    assert_eq!(ends("unnamed", &provider, "").await, refused_certificate());
    let alarms = logs::of("causeway::credential", "unnamed");
    assert!(alarms.iter().any(|line| line.level == tracing::Level::ERROR), "{alarms:?}");
    let other = Authority::new("other");
    assert_eq!(ends("stranger", &provider, &ca_file(&other, dir.path())).await, refused_certificate());
}

#[tokio::test]
async fn one_of_the_pinned_keys_must_be_the_servers() {
    let (dir, authority) = (tempfile::tempdir().expect("a directory"), Authority::new("own"));
    let (issued, other) = (authority.issue("localhost"), authority.issue("localhost"));
    let provider = Secure::start(plain(&issued)).await;
    let ca_file = ca_file(&authority, dir.path());
    let pins = |pins: &[String]| format!("{ca_file}\npins = {}", json!(pins));
    assert_eq!(ends("pinned", &provider, &pins(&[other.pin(), issued.pin()])).await, accepted());
    assert_eq!(ends("unpinned", &provider, &pins(&[other.pin()])).await, refused_certificate());
}

#[tokio::test]
async fn our_certificate_is_shown_to_a_provider_that_asks_for_one() {
    let (dir, authority) = (tempfile::tempdir().expect("a directory"), Authority::new("own"));
    let clients = Authority::new("clients");
    let ca_file = ca_file(&authority, dir.path());
    let (certificate, key) = clients.issue("causeway").write(dir.path(), "client");
    let shown =
        format!("{ca_file}\nclient_cert = \"{}\"\nclient_key = \"{}\"", certificate.display(), key.display());
    for (name, version) in [("tls12", &TLS12), ("tls13", &TLS13)] {
        let server = authority.issue("localhost").server(&[version], Some(&clients), &[]);
        let provider = Secure::start(server).await;
        assert_eq!(ends(&format!("shown-{name}"), &provider, &shown).await, accepted(), "{name}");
        let refused = ends(&format!("hidden-{name}"), &provider, &ca_file).await;
        assert_eq!(refused, refused_certificate(), "{name}");
    }
}

#[tokio::test]
async fn a_version_below_the_lowest_is_not_spoken() {
    let (dir, authority) = (tempfile::tempdir().expect("a directory"), Authority::new("own"));
    let provider = Secure::start(authority.issue("localhost").server(&[&TLS12], None, &[])).await;
    let ca_file = ca_file(&authority, dir.path());
    let at_least = |version: &str| format!("{ca_file}\nmin_version = \"{version}\"");
    assert_eq!(ends("old", &provider, &at_least("1.2")).await, accepted());
    let (class, reason, attempts) = ends("new", &provider, &at_least("1.3")).await;
    assert_eq!((class.as_str(), reason.as_str(), attempts), ("transient", "tls", 3));
}

#[tokio::test]
async fn what_cannot_be_used_is_told_when_it_is_loaded_and_where() {
    let (dir, authority) = (tempfile::tempdir().expect("a directory"), Authority::new("own"));
    let (certificate, key) = authority.issue("one").write(dir.path(), "one");
    let (other, _) = authority.issue("other").write(dir.path(), "other");
    std::fs::write(dir.path().join("empty.pem"), "no certificate\n").expect("a file");
    let told = |tls: &str| {
        let text = format!("base_url = \"https://localhost\"\n[tls]\n{tls}\n");
        let settings = Config::new().file("integrations/x.toml", &text).settings();
        causeway::plans::make(&settings).expect_err("it cannot be used").to_string()
    };
    let file = |key: &str, path: &Path| format!("{key} = \"{}\"", path.display());
    let at = dir.path().display();
    assert_eq!(
        told(&format!("{}\n{}", file("client_cert", &other), file("client_key", &key))),
        format!(
            "integrations/x.toml:4:14: the file {at}/one.key: our own certificate cannot be used: keys may not be \
             consistent: KeyMismatch; check that the key belongs to the certificate"
        )
    );
    for (tls, place, says) in [
        (file("ca_file", &dir.path().join("empty.pem")), "3:11", "no certificate is in it"),
        (file("ca_file", &dir.path().join("missing.pem")), "3:11", "No such file"),
        (
            format!("{}\n{}", file("client_cert", &certificate), file("client_key", &certificate)),
            "4:14",
            "no private key is in it",
        ),
    ] {
        let error = told(&tls);
        assert!(error.starts_with(&format!("integrations/x.toml:{place}: the file {at}/")), "{error}");
        assert!(error.contains(says) && error.lines().count() == 1, "{error}");
    }
}
