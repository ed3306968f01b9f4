//! What stands in the files that `[tls]` names is read again at a reload, though the configuration names the same files.

use serde_json::json;

use crate::support::authority::Authority;
use crate::support::secure::Secure;
use crate::support::{Config, Server};

#[tokio::test]
async fn another_authority_under_the_same_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    old.write(dir.path(), "ca.pem");
    let provider = Secure::start(new.issue("localhost").server(rustls::ALL_VERSIONS, None, &[])).await;
    let sections =
        format!("[tls]\nca_file = \"{}\"\n[retry]\nmax_retries = 0\n", dir.path().join("ca.pem").display());
    let server =
        Server::start_in(dir.path(), &Config::new().integration("rotated", &provider.url(), &sections));
    let refused = server.api.run("rotated.ping", &json!({})).await.json();
    assert_eq!(refused["run"]["error"]["reason"], "certificate", "{refused}");

    new.write(dir.path(), "ca.pem");
    let report = server.reload().await.ok();
    assert_eq!(report["changed"]["integrations"]["changed"], json!(["rotated"]), "{report}");
    server.api.run("rotated.ping", &json!({})).await.ok();
}
