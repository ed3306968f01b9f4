//! A reload swaps the whole configuration or nothing of it, says what it did, and no call notices.

use std::fs;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Config, Provider, Server, charge};

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|name| name.as_str().expect("a name")).collect()
}

#[tokio::test]
async fn a_broken_set_changes_nothing_and_says_why() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().unwrap());
    let config = Config::payments(&provider.url(), "");
    let server = Server::start_in(dir.path(), &config);
    let broken = "base_url = \"https://x\"\n[endpoints.e]\nmethod = \"GET\"\npath = \"/\"\nresponse = '.body | nope'\n";
    config
        .integration("fine", &provider.url(), "")
        .file("integrations/broken.toml", broken)
        .file("operations/wrong.toml", "deadline = 5\n[[steps]]\nname = \"s\"\ncall = \"fine.pong\"\n")
        .write(dir.path());

    let problem = server.reload().await.problem(422, "wrong_configuration");
    let told = |index: usize, key: &str| problem["errors"][index][key].clone();
    assert_eq!(problem["errors"].as_array().map(Vec::len), Some(3), "{problem}");
    let broken = told(0, "file").as_str().unwrap().ends_with("integrations/broken.toml");
    assert!(broken, "{problem}");
    assert_eq!((told(0, "line"), told(0, "column")), (json!(5), json!(21)), "where `nope` stands");
    assert!(told(0, "message").as_str().unwrap().contains("jq"), "{problem}");
    assert_eq!((told(1, "line"), told(1, "column")), (json!(1), json!(12)));
    assert!(told(2, "message").as_str().unwrap().contains("`ping`"), "{problem}");

    server.api.run("fine.ping", &json!({})).await.problem(404, "unknown_operation");
    server.api.run("payments.ping", &json!({})).await.ok();
    let listed = server.admin.get("/admin/v1/integrations").await.ok();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
}

#[tokio::test]
async fn a_good_set_is_swapped_in_and_told() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().unwrap());
    let config = Config::payments(&provider.url(), "").integration("old", &provider.url(), "").integration(
        "same",
        &provider.url(),
        "",
    );
    let server = Server::start_in(dir.path(), &config);
    server.api.run("old.ping", &json!({})).await.ok();
    for file in ["integrations/old.toml", "operations/old.charge.toml", "operations/old.charge_once.toml"] {
        fs::remove_file(dir.path().join(file)).unwrap();
    }
    for call in ["ping", "balance"] {
        fs::remove_file(dir.path().join(format!("operations/old.{call}.toml"))).unwrap();
    }
    let ping =
        "result = '{ pong: .steps.ping.result.ok }'\n[[steps]]\nname = \"ping\"\ncall = \"payments.ping\"\n";
    let server_file = "region = \"elsewhere\"\n[listen]\napi = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nio_threads = 1\ndrain = \"3s\"\n";
    Config::payments(&provider.url(), "[pool]\nmax_in_flight = 3\nmax_queue = 4\n")
        .integration("new", &provider.url(), "dedicated_thread = true")
        .file("operations/payments.ping.toml", ping)
        .file("causeway.toml", server_file)
        .write(dir.path());

    let report = server.reload().await.ok();
    let changed = &report["changed"];
    assert_eq!(names(&changed["server"]), ["region"]);
    assert_eq!(names(&changed["integrations"]["added"]), ["new"]);
    assert_eq!(names(&changed["integrations"]["removed"]), ["old"]);
    assert_eq!(names(&changed["integrations"]["changed"]), ["payments"], "and `same` is the same");
    assert_eq!(names(&changed["operations"]["changed"]), ["payments.ping"]);
    assert_eq!(names(&changed["operations"]["added"]).len(), 4);
    assert_eq!(names(&changed["operations"]["removed"]).len(), 4);
    assert_eq!(names(&report["notes"]), ["`listen.drain` takes effect at the next start"]);

    assert_eq!(server.api.run("payments.ping", &json!({})).await.ok()["result"], json!({ "pong": true }));
    server.api.run("new.charge", &charge()).await.ok();
    server.api.run("old.ping", &json!({})).await.problem(404, "unknown_operation");
    let health = server.api.get("/v1/health").await.ok();
    assert_eq!(health["region"], "elsewhere");
    let integrations: Vec<&String> = health["integrations"].as_object().unwrap().keys().collect();
    assert_eq!(integrations, ["new", "payments", "same"]);
    assert_eq!(server.integration("payments").await["pool"]["capacity"], 3);

    let again = server.reload().await.ok();
    assert_eq!(again["changed"]["integrations"], json!({ "added": [], "removed": [], "changed": [] }));
}

#[tokio::test]
async fn no_call_is_lost_or_refused_while_reloads_go_on() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().unwrap());
    let url = provider.url();
    let shapes = [
        "[pool]\nmax_in_flight = 50\n[timeouts]\nbody = \"4s\"",
        "[pool]\nmax_in_flight = 20\nmax_queue = 100",
    ];
    let server = Server::start_in(dir.path(), &Config::payments(&url, shapes[0]));
    let (running, end) = tokio::sync::watch::channel(());
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let (api, end) = (server.api, end.clone());
        callers.spawn(async move {
            let mut charges = 0;
            while end.has_changed().is_ok() {
                api.run("payments.charge", &charge()).await.ok();
                api.run("payments.ping", &json!({})).await.ok();
                charges += 1;
            }
            charges
        });
    }
    for round in 1..=12 {
        let config = Config::payments(&url, shapes[round % 2]);
        let other = if round % 2 == 0 { config.integration("now_and_then", &url, "") } else { config };
        other.write(dir.path());
        let report = server.reload().await.ok();
        assert_eq!(names(&report["changed"]["integrations"]["changed"])[0], "payments", "{report}");
    }
    drop(running);
    let charges: usize = callers.join_all().await.into_iter().sum();
    assert!(charges > 10, "{charges}");
    assert_eq!(provider.effects().len(), charges, "each once");
    assert_eq!(server.integration("payments").await["actor"]["generation"], 0, "nothing was rebuilt");
}

#[tokio::test]
async fn a_server_without_files_has_nothing_to_read_again() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    server.reload().await.problem(501, "not_implemented");
}
