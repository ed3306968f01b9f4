//! Runs that are kept are found by what they are, a page at a time, by whom they belong to and nobody else, and after a restart.

use causeway::sandbox::Behaviour;
use serde_json::{Value, json};

use crate::support::queued::{LATER, over, place};
use crate::support::{Ask, Client, Config, Provider, Server, charge};

async fn found(api: Client, path: &str) -> Vec<Value> {
    api.get(path).await.ok()["items"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn by_what_they_are() {
    let provider = Provider::start();
    let config = Config::payments(&provider.url(), "[retry]\nmax_retries = 0\n").operation("later", LATER);
    let server = Server::start(&config);
    let mut ids = Vec::new();
    for n in 0..5 {
        let operation = if n < 3 { "payments.charge" } else { "payments.charge_once" };
        let ask = Ask::run(operation, &charge()).header("x-correlation-id", &format!("order-{n}"));
        ids.push(server.api.send(ask).await.ok()["id"].clone());
    }
    provider.next([Behaviour::status(422)]);
    let problem = server.api.run("payments.charge", &charge()).await.problem(422, "provider_refused");
    ids.push(problem["run"]["id"].clone());
    ids.reverse();
    let server = server.restarted(&config);
    // Who calls, and who operates.
    for (client, path) in [(server.api, "/v1/runs"), (server.admin, "/admin/v1/runs")] {
        let of = async |query: &str| -> Vec<Value> {
            let runs = found(client, &format!("{path}{query}")).await;
            runs.into_iter().map(|run| run["id"].clone()).collect()
        };
        assert_eq!(of("").await, ids, "newest first");
        assert_eq!(of("?status=failed").await, ids[..1]);
        assert_eq!(of("?operation=payments.charge_once").await, ids[1..3]);
        assert_eq!(of("?correlation_id=order-0&status=succeeded").await, ids[5..]);
        assert!(of("?correlation_id=order-0&status=failed").await.is_empty());
        assert_eq!(of("?since=2000-01-01T00:00:00Z").await.len(), 6);
        assert!(of("?since=2100-01-01T00:00:00Z").await.is_empty());
        let page = client.get(&format!("{path}?limit=4")).await.ok();
        let cursor = page["next_cursor"].as_str().expect("there is more").to_owned();
        assert_eq!(of(&format!("?limit=4&cursor={cursor}")).await, ids[4..]);
        let last = client.get(&format!("{path}?limit=4&cursor={cursor}")).await.ok();
        assert_eq!(last["next_cursor"], Value::Null);
        let one = client.get(&format!("{path}/{}", ids[0].as_str().expect("an id"))).await.ok();
        assert_eq!(
            (&one["status"], &one["steps"][0]["error"]["provider_status"]),
            (&json!("failed"), &json!(422))
        );
        for wrong in ["?status=done", "?limit=0", "?since=yesterday", "?colour=red", "?cursor=!"] {
            client.get(&format!("{path}{wrong}")).await.problem(400, "malformed_request");
        }
        client.get(&format!("{path}/run_0")).await.problem(404, "unknown_run");
    }
}

#[tokio::test]
async fn those_that_only_read_where_it_is_asked_for() {
    let provider = Provider::start();
    let read = |head: &str| format!("{head}\n[[steps]]\nname = \"ping\"\ncall = \"payments.ping\"\n");
    let config = Config::payments(&provider.url(), "")
        .operation("kept", &read("journal = true"))
        .operation("left", &read("mode = \"async\""));
    let server = Server::start(&config);
    let forgotten = server.api.run("payments.ping", &json!({})).await.ok();
    let kept = server.api.run("kept", &json!({})).await.ok();
    let left = place(&server.api.run("left", &json!({})).await);
    assert_eq!(over(&server.api, &left).await["status"], "succeeded");
    let path = |run: &Value| format!("/v1/runs/{}", run["id"].as_str().expect("an id"));
    server.api.get(&path(&forgotten)).await.problem(404, "unknown_run");
    let server = server.restarted(&config);
    assert_eq!(server.api.get(&path(&kept)).await.ok()["result"], json!({ "ok": true }));
    assert_eq!(server.api.get(&left).await.ok()["status"], "succeeded");
    server.api.get(&path(&forgotten)).await.problem(404, "unknown_run");
    assert_eq!(found(server.api, "/v1/runs").await.len(), 2);
}

#[tokio::test]
async fn by_whom_they_belong_to() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let key = |name: &str| format!("cw_the-key-of-the-{name}-0");
    let clients = ["shop", "crm"].map(|name| {
        let path = dir.path().join(name);
        std::fs::write(&path, key(name)).expect("a file for the key");
        let path = path.display();
        format!("[[clients]]\nname = \"{name}\"\nkey = {{ file = \"{path}\" }}\noperations = [\"*\"]\n")
    });
    let config = Config::payments(&provider.url(), "").append("causeway.toml", &clients.concat());
    let mut server = Server::start(&config);
    let as_a = |name: &str, ask: Ask| ask.header("authorization", &format!("Bearer {}", key(name)));
    let mut ids = Vec::new();
    for name in ["shop", "crm"] {
        let run = server.api.send(as_a(name, Ask::run("payments.charge", &charge()))).await.ok();
        ids.push(run["id"].as_str().expect("an id").to_owned());
    }
    for restarts in [false, true] {
        if restarts {
            server = server.restarted(&config);
        }
        for (name, own, foreign) in [("shop", 0, 1), ("crm", 1, 0)] {
            let runs = server.api.send(as_a(name, Ask::get("/v1/runs"))).await.ok();
            let listed: Vec<_> =
                runs["items"].as_array().expect("a list").iter().map(|run| &run["id"]).collect();
            assert_eq!(listed, [&json!(ids[own])]);
            let of = |id: &str, end: &str| as_a(name, Ask::get(format!("/v1/runs/{id}{end}")));
            server.api.send(of(&ids[own], "")).await.ok();
            server.api.send(of(&ids[own], "/attempts")).await.ok();
            for end in ["", "?wait=1", "/attempts"] {
                server.api.send(of(&ids[foreign], end)).await.problem(404, "unknown_run");
            }
            let cancel = Ask::post(format!("/v1/runs/{}/cancel", ids[foreign]), &json!({}));
            server.api.send(as_a(name, cancel)).await.problem(404, "unknown_run");
        }
    }
    assert_eq!(found(server.admin, "/admin/v1/runs").await.len(), 2, "operators see all of them");
}
