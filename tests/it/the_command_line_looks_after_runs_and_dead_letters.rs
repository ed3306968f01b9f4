//! `causeway runs`, `dead-letters` and `integrations pause|resume` do for people what the admin API does for programs.

use causeway::sandbox::Behaviour;
use serde_json::{Value, json};

use crate::support::process::{self, Ended};
use crate::support::queued::{self, LATER, is, letters, over, place};
use crate::support::{Config, Provider, Server};

async fn admin(server: &Server, arguments: &[&str]) -> Ended {
    let url = server.admin.url();
    process::run(&[arguments, &["--admin-url", &url]].concat()).await
}

/// What a command says that must succeed.
async fn says(server: &Server, arguments: &[&str]) -> String {
    let ended = admin(server, arguments).await;
    assert!(ended.status.success() && !ended.out.contains('\u{1b}'), "{arguments:?}: {ended:?}");
    ended.out
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn config(provider: &Provider) -> Config {
    let once = "[retry]\nbase_delay = \"5ms\"\n[retry.queued]\nmax_retries = 0\n";
    Config::payments(&provider.url(), once).operation("later", LATER)
}

fn id(path: &str) -> &str {
    path.trim_start_matches("/v1/runs/")
}

#[tokio::test]
async fn runs() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    assert!(says(&server, &["runs", "list"]).await.contains("No run is kept"));
    says(&server, &["integrations", "pause", "payments", "--reason", "maintenance"]).await;
    assert_eq!(server.integration("payments").await["queue"]["paused"], true);
    let path = place(&server.api.send(queued::of("later", 7)).await);
    let list = says(&server, &["runs", "list", "--status", "accepted", "--operation", "later"]).await;
    assert!(list.starts_with("RUN") && list.contains(id(&path)) && list.contains("accepted"), "{list}");
    let other = says(&server, &["runs", "list", "--status", "failed"]).await;
    assert!(!other.contains(id(&path)), "{other}");
    says(&server, &["runs", "cancel", id(&path), "--reason", "not wanted"]).await;
    says(&server, &["integrations", "resume", "payments"]).await;
    assert_eq!(server.integration("payments").await["queue"]["paused"], false);
    is(&server.api, &path, "cancelled").await;
    let shown = says(&server, &["runs", "show", id(&path)]).await;
    assert!(shown.contains("cancelled") && shown.contains("payments.charge"), "{shown}");
    let shown = document(&says(&server, &["runs", "show", id(&path), "--json"]).await);
    assert_eq!(shown["steps"][0]["status"], "skipped");
    let trail = server.admin.get("/admin/v1/audit").await.ok();
    let said: Vec<_> = trail["items"].as_array().expect("a list").iter().map(|it| &it["reason"]).collect();
    assert_eq!(said, [&Value::Null, &json!("not wanted"), &json!("maintenance")]);
    for (arguments, code) in [
        (&["runs", "show", "run_0"][..], 1),
        (&["runs", "cancel", "run_0"], 1),
        (&["runs", "list", "--status", "done"], 2),
        (&["runs", "list", "--limit", "0"], 2),
        (&["runs"], 2),
    ] {
        let ended = admin(&server, arguments).await;
        assert_eq!((ended.status.code(), &*ended.out), (Some(code), ""), "{ended:?}");
        assert!(!ended.err.is_empty(), "{arguments:?}");
    }
    assert_eq!(provider.arrivals().len(), 0);
}

#[tokio::test]
async fn dead_letters() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    assert!(says(&server, &["dead-letters", "list"]).await.contains("There is no dead letter"));
    assert!(says(&server, &["dead-letters", "groups"]).await.contains("There is no dead letter"));
    provider.next([1, 2, 3].map(|_| Behaviour::status(422)));
    let mut dead = Vec::new();
    for amount in 1..=3 {
        let path = place(&server.api.send(queued::of("later", amount)).await);
        over(&server.api, &path).await;
        dead.push(path);
    }
    letters(&server, 3).await;
    let list =
        says(&server, &["dead-letters", "list", "--integration", "payments", "--operation", "later"]).await;
    assert!(dead.iter().all(|path| list.contains(id(path))) && list.contains("client"), "{list}");
    let code =
        document(&says(&server, &["dead-letters", "list", "--json"]).await)["items"][0]["code"].clone();
    let code = code.as_str().expect("a code");
    assert!(says(&server, &["dead-letters", "list", "--code", code]).await.contains(id(&dead[0])));
    assert!(
        says(&server, &["dead-letters", "list", "--code", "other"]).await.contains("no dead letter like")
    );
    let page = server.admin.get("/admin/v1/dead-letters?limit=2").await.ok();
    let cursor = page["next_cursor"].as_str().expect("there is more");
    let rest = server.admin.get(&format!("/admin/v1/dead-letters?cursor={cursor}")).await.ok();
    assert_eq!((&rest["items"][0]["id"], &rest["next_cursor"]), (&json!(id(&dead[0])), &Value::Null));
    let groups = says(&server, &["dead-letters", "groups"]).await;
    assert!(groups.starts_with("COUNT") && groups.contains('3') && groups.contains(code), "{groups}");
    let shown = document(&says(&server, &["dead-letters", "show", id(&dead[1])]).await);
    assert_eq!((&shown["id"], &shown["input"]["amount"]), (&json!(id(&dead[1])), &json!(2)));

    let gone_on = says(&server, &["dead-letters", "redrive", id(&dead[0]), "--reason", "mended"]).await;
    assert!(gone_on.contains(id(&dead[0])), "{gone_on}");
    is(&server.api, &dead[0], "succeeded").await;
    let result = ["--as", "succeeded", "--result", "{\"id\":\"ch_1\"}"];
    says(&server, &[&["dead-letters", "resolve", id(&dead[1])][..], &result].concat()).await;
    assert_eq!(is(&server.api, &dead[1], "succeeded").await["result"], json!({ "id": "ch_1" }));
    let let_go = says(&server, &["dead-letters", "forget", id(&dead[2]), "--reason", "known"]).await;
    assert!(let_go.contains("no dead letter any more"), "{let_go}");
    letters(&server, 0).await;
    assert_eq!(server.api.get(&dead[2]).await.ok()["status"], "failed");
    for (arguments, code) in [
        (&["dead-letters", "redrive", id(&dead[0])][..], 1),
        (&["dead-letters", "forget", id(&dead[2])], 1),
        (&["dead-letters", "resolve", id(&dead[2]), "--as", "done"], 2),
        (&["dead-letters", "resolve", id(&dead[2]), "--as", "succeeded", "--result", "{"], 2),
    ] {
        let ended = admin(&server, arguments).await;
        assert_eq!((ended.status.code(), &*ended.out), (Some(code), ""), "{ended:?}");
    }
    assert_eq!(provider.effects().len(), 1);
}
