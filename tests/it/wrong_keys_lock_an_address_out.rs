//! Whoever sends wrong keys again and again is not listened to for a while, and nobody else suffers for it.

use serde_json::json;

use crate::support::{Answer, Ask, Config, Provider, Server};

const SHOP: &str = "cw_the-key-of-the-shop";

#[tokio::test]
async fn the_one_behind_a_trusted_proxy_and_not_the_proxy() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let path = dir.path().join("key");
    std::fs::write(&path, SHOP).expect("a file for the key");
    let client = format!(
        "[[clients]]\nname = \"shop\"\nkey = {{ file = \"{}\" }}\noperations = [\"payments.*\"]\n",
        path.display()
    );
    let config = Config::payments(&provider.url(), "")
        .replace("causeway.toml", "[listen]", "[listen]\ntrusted_proxies = [\"127.0.0.1\"]")
        .append("causeway.toml", &client);
    let server = Server::start(&config);
    let from = async |address: &str, key: &str| -> Answer {
        let ask = Ask::run("payments.ping", &json!({})).header("x-forwarded-for", address);
        server.api.send(ask.header("authorization", &format!("Bearer {key}"))).await
    };
    for attempt in 0..10 {
        let key = format!("cw_guess-number-{attempt:04}");
        // What it says of who stands before it, nobody believes.
        from(&format!("198.51.100.{attempt}, 192.0.2.1"), &key).await.problem(401, "unauthenticated");
    }
    let locked = from("192.0.2.1", SHOP).await;
    locked.problem(429, "locked_out");
    assert!((1..=60).contains(&locked.retry_after()), "{locked:?}");
    from("192.0.2.2", SHOP).await.ok();
    let ask = Ask::run("payments.ping", &json!({})).header("authorization", &format!("Bearer {SHOP}"));
    server.api.send(ask).await.ok();
    assert_eq!(provider.arrivals().len(), 2);
}
