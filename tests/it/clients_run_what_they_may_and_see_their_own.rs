//! Where there are clients, a key says who calls; each runs the operations that it was given, and sees its own runs.

use std::time::Duration;

use causeway::sandbox::Behaviour;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Answer, Ask, Config, Provider, Server, charge};

const SHOP: &str = "cw_the-key-of-the-shop";
const CRM: &str = "cw_the-key-of-the-crm-0";

/// Two clients, whose keys stand in files.
fn configured(provider: &Provider, dir: &TempDir, shop: &str) -> Config {
    let key = |name: &str, key: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("{key}\n")).expect("a file for the key");
        path.display().to_string()
    };
    let clients = format!(
        "[[clients]]\nname = \"shop\"\nkey = {{ file = \"{}\" }}\noperations = [\"payments.charge*\"]\n{shop}\n\
         [[clients]]\nname = \"crm\"\nkey = {{ file = \"{}\" }}\noperations = [\"*\"]\n",
        key("shop", SHOP),
        key("crm", CRM),
    );
    Config::payments(&provider.url(), "").append("causeway.toml", &clients)
}

fn with(key: &str, ask: Ask) -> Ask {
    ask.header("authorization", &format!("Bearer {key}"))
}

async fn charges(server: &Server, key: &str) -> Answer {
    server.api.send(with(key, Ask::run("payments.charge", &charge()))).await
}

#[tokio::test]
async fn with_its_key_and_not_without() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let server = Server::start(&configured(&provider, &dir, ""));
    let unknown = format!("{SHOP}x");
    for ask in [
        Ask::run("payments.charge", &charge()),
        with(&unknown, Ask::run("payments.charge", &charge())),
        with("", Ask::get("/v1/health")),
        Ask::run("payments.charge", &charge()).header("authorization", &format!("Basic {SHOP}")),
        Ask::get("/v1/runs/run_0"),
    ] {
        let refused = server.api.send(ask).await;
        refused.problem(401, "unauthenticated");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"causeway\""));
        assert!(!refused.body.contains(SHOP), "{refused:?}");
    }
    assert!(provider.arrivals().is_empty());
    charges(&server, SHOP).await.ok();

    let refused = server.api.send(with(SHOP, Ask::run("payments.ping", &json!({})))).await;
    let detail = refused.problem(403, "forbidden")["detail"].to_string();
    assert!(detail.contains("`shop`") && detail.contains("`payments.ping`"), "{detail}");
    // What there is beyond what it may run is none of its business.
    server.api.send(with(SHOP, Ask::run("crm.nothing", &json!({})))).await.problem(403, "forbidden");
    server.api.send(with(CRM, Ask::run("payments.ping", &json!({})))).await.ok();
    server.api.send(with(CRM, Ask::run("crm.nothing", &json!({})))).await.problem(404, "unknown_operation");
    assert_eq!(provider.arrivals().len(), 2);

    let offered = server.api.send(with(SHOP, Ask::get("/v1/operations"))).await.ok();
    let names: Vec<_> =
        offered["items"].as_array().expect("a list").iter().map(|item| &item["operation"]).collect();
    assert_eq!(names, ["payments.charge", "payments.charge_once"]);
}

#[tokio::test]
async fn and_no_run_of_another() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let server = Server::start(&configured(&provider, &dir, ""));
    let id = charges(&server, SHOP).await.ok()["id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/runs/{id}");
    assert_eq!(server.api.send(with(SHOP, Ask::get(&*path))).await.ok()["id"], id);
    let missing = server.api.send(with(CRM, Ask::get("/v1/runs/run_0"))).await.problem(404, "unknown_run");
    let foreign = server.api.send(with(CRM, Ask::get(&*path))).await.problem(404, "unknown_run");
    let told =
        |problem: &serde_json::Value, id: &str| problem["detail"].as_str().map(|text| text.replace(id, "ID"));
    assert_eq!(told(&foreign, &id), told(&missing, "run_0"), "as if it were not there");
    let cancel = Ask::post_text(format!("{path}/cancel"), "");
    server.api.send(with(CRM, cancel)).await.problem(404, "unknown_run");
}

#[tokio::test]
async fn within_its_bounds() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let server = Server::start(&configured(&provider, &dir, "max_in_flight = 1\nrate = \"3/h\""));
    provider.always(Behaviour::normal().delayed(Duration::from_millis(1500)));
    let first = {
        let api = server.api;
        tokio::spawn(async move { api.send(with(SHOP, Ask::run("payments.charge", &charge()))).await })
    };
    provider.arrived(1).await;
    let refused = charges(&server, SHOP).await;
    let detail = refused.problem(429, "too_many_requests")["detail"].to_string();
    assert!(detail.contains("1 runs under way"), "{detail}");
    assert!(refused.retry_after() >= 1);
    provider.always(Behaviour::normal());
    first.await.expect("it ends").ok();
    server.at_rest().await;
    charges(&server, SHOP).await.ok();
    charges(&server, SHOP).await.ok();
    let refused = charges(&server, SHOP).await;
    refused.problem(429, "too_many_requests");
    assert!(refused.retry_after() > 600, "twenty minutes are a token's: {refused:?}");
    server.api.send(with(CRM, Ask::run("payments.ping", &json!({})))).await.ok();
    assert_eq!(provider.effects().len(), 3);
}

#[tokio::test]
async fn a_new_key_is_good_and_the_old_one_is_not_after_a_reload() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let files = tempfile::tempdir().expect("a directory");
    let server = Server::start_in(files.path(), &configured(&provider, &dir, ""));
    charges(&server, SHOP).await.ok();
    let new = "cw_another-key-of-the-shop";
    std::fs::write(dir.path().join("shop"), new).expect("the key is written");
    charges(&server, SHOP).await.ok();
    server.reload().await.ok();
    charges(&server, SHOP).await.problem(401, "unauthenticated");
    charges(&server, new).await.ok();

    std::fs::write(dir.path().join("shop"), CRM).expect("the key is written");
    let told = server.reload().await.problem(422, "wrong_configuration").to_string();
    assert!(
        told.contains("the key is that of `crm` too") || told.contains("the key is that of `shop` too"),
        "{told}"
    );
    assert!(!told.contains(CRM), "{told}");
    charges(&server, new).await.ok();
}
