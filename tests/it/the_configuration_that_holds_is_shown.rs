//! The admin API shows the configuration that holds, defaults included, with secrets as references; and what is to be
//! said of it.

use serde_json::json;

use crate::support::{Config, Provider, Server, charge};

const SECRET: &str = "sk_live_5up3r53cr37";

#[tokio::test]
async fn with_defaults_and_without_secrets_before_and_after_a_reload() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let key = dir.path().join("key");
    std::fs::write(&key, SECRET).expect("a file");
    let sections = format!(
        "owner = \"payments-team\"\nrunbook = \"https://wiki.example.com/pay\"\ngroup = \"money\"\n\
         headers = {{ X-Extra = \"{SECRET}\" }}\n\
         [auth]\ntype = \"bearer\"\ntoken = {{ file = \"{}\" }}\n[timeouts]\nconnect = \"300ms\"",
        key.display()
    );
    let config = Config::payments(&provider.url(), &sections);
    let server = Server::start_in(dir.path(), &config);
    server.api.run("payments.charge", &charge()).await.ok();

    let shown = server.admin.get("/admin/v1/config").await;
    assert!(!shown.body.contains(SECRET), "{}", shown.body);
    let shown = shown.ok();
    assert_eq!(
        (&shown["server"]["region"], &shown["server"]["logs"]["format"]),
        (&json!("test"), &json!("json"))
    );
    let payments = &shown["integrations"]["payments"];
    assert_eq!(payments["auth"]["token"]["file"], json!(key.display().to_string()));
    assert_eq!(
        (&payments["timeouts"]["connect"], &payments["timeouts"]["total"]),
        (&json!("300ms"), &json!("10s"))
    );
    assert_eq!(shown["operations"]["payments.charge"]["steps"][0]["call"], "payments.charge");
    assert_eq!((&shown["durable"], &shown["notes"]), (&json!(true), &json!([])));
    assert_eq!(shown["directory"], json!(dir.path().display().to_string()));

    let integration = server.integration("payments").await;
    assert_eq!(
        (&integration["owner"], &integration["runbook"], &integration["group"]),
        (&json!("payments-team"), &json!("https://wiki.example.com/pay"), &json!("money"))
    );
    let notices = server.admin.get("/admin/v1/notices?limit=100").await.ok();
    let about = |notices: &serde_json::Value, words: &str| {
        let items = notices.as_array().expect("a list").clone();
        items.into_iter().find(|notice| notice["message"].as_str().is_some_and(|said| said.contains(words)))
    };
    let notice = about(&notices["items"], "there are no limits").expect("advice");
    assert_eq!((&notice["integration"], &notice["kind"]), (&json!("payments"), &json!("configuration")));
    assert_eq!(about(&integration["notices"], "there are no limits"), Some(notice));

    let limited = config
        .replace("integrations/payments.toml", "\"300ms\"", "\"400ms\"")
        .append(
            "integrations/payments.toml",
            "[[limits]]\nname = \"all\"\nkind = \"token_bucket\"\nrequests = 10\nper = \"1s\"",
        )
        .replace("causeway.toml", "drain = \"10s\"", "drain = \"9s\"");
    limited.write(dir.path());
    server.reload().await.ok();
    let shown = server.admin.get("/admin/v1/config").await.ok();
    assert_eq!(shown["integrations"]["payments"]["timeouts"]["connect"], "400ms");
    assert_eq!(shown["notes"], json!(["`listen.drain` takes effect at the next start"]));
    let integration = server.integration("payments").await;
    assert_eq!(about(&integration["notices"], "there are no limits"), None);
}
