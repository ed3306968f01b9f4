//! A store in a database is reached as its address says: its server's certificate is checked, and a password is taken from
//! where secrets are and shown nowhere.

use std::os::unix::fs::PermissionsExt;

use causeway::adapters::store;
use causeway::settings::Settings;
use causeway_actors::clock::Clock;

use crate::support::Config;
use crate::support::authority::Authority;
use crate::support::postgres::{self, Postgres};

const PASSWORD: &str = "correct horse battery staple";

/// Whether a store can be opened, with everything a user would write.
async fn opened(url: &str, password: Option<&str>) -> Result<(), String> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = postgres::kept_in(Config::payments("http://127.0.0.1:9", ""), url, dir.path());
    if let Some(password) = password {
        let path = dir.path().join("password");
        std::fs::write(&path, password).expect("a file is written");
        let line = format!("[store]\npassword = {{ file = \"{}\" }}\n", path.display());
        config = config.replace("causeway.toml", "[store]\n", &line);
    }
    let Settings { server, .. } = config.settings();
    let store = store::open(&server.store, &server.encryption, Clock::start()).await;
    let store = store.map_err(|error| error.to_string())?;
    store.check().await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn its_certificate_is_checked() {
    let (dir, files) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (certificate, key) = ours.issue("localhost").write(dir.path(), "server");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).expect("it is ours");
    let (certificate, key) = (certificate.display(), key.display());
    let options =
        ["-c", "ssl=on", "-c", &format!("ssl_cert_file={certificate}"), "-c", &format!("ssl_key_file={key}")];
    let server = Postgres::start_with(dir, &options).await;
    let trusting = |authority: &Authority, host: &str| {
        let path = authority.write(files.path(), "authority.pem");
        let url = server.url().replace("127.0.0.1", host);
        format!("{url}?sslmode=verify-full&sslrootcert={}", path.display())
    };
    opened(&trusting(&ours, "localhost"), None).await.expect("it is the one");
    let wrong = opened(&trusting(&ours, "127.0.0.1"), None).await.expect_err("another name");
    assert!(wrong.contains("certificate"), "{wrong}");
    let wrong = opened(&trusting(&other, "localhost"), None).await.expect_err("another authority");
    assert!(wrong.contains("certificate"), "{wrong}");
    let system = format!("{}?sslmode=require", server.url().replace("127.0.0.1", "localhost"));
    let wrong = opened(&system, None).await.expect_err("the system does not know it");
    assert!(wrong.contains("certificate"), "{wrong}");
}

#[tokio::test]
async fn its_password_is_a_secret() {
    let dir = tempfile::tempdir().expect("a directory");
    let rules = dir.path().join("pg_hba.conf");
    let text = "host all causeway 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(&rules, text).expect("a file is written");
    let server = Postgres::start_with(dir, &["-c", &format!("hba_file={}", rules.display())]).await;
    // Who may not make schemas uses the one that was made for it.
    let sql =
        format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'; CREATE SCHEMA causeway AUTHORIZATION app");
    postgres::execute(&server.url(), &sql).await;
    let url = server.url().replace("causeway@", "app@");
    opened(&url, Some(PASSWORD)).await.expect("it is the one");
    let wrong = opened(&url, Some("battery staple")).await.expect_err("another");
    assert!(wrong.contains("password authentication failed") && !wrong.contains("staple"), "{wrong}");
    let missing = opened(&url, None).await.expect_err("one is asked for");
    assert!(missing.contains("password"), "{missing}");
    assert!(missing.contains("opening the store postgres://app@127.0.0.1"), "{missing}");
}
