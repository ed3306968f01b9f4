//! The log of attempts: what was sent and what came back can be found, shown, written for curl and compared, after the run
//! and after a restart; nothing of it is in the clear on disk, and none of it is worth a promise.

use causeway::sandbox::{Action, Behaviour};
use serde_json::{Value, json};

use crate::support::process::{causeway, run};
use crate::support::{Answer, Ask, Config, Process, Provider, Server, charge, until};

/// The attempts under a path, when there are so many.
async fn attempts(server: &Server, query: &str, count: usize) -> Vec<Value> {
    until(&format!("{count} attempts are written down"), async || {
        let page = server.admin.get(&format!("/admin/v1/attempts{query}")).await.ok();
        let items = page["items"].as_array().expect("a list").clone();
        (items.len() == count).then_some(items)
    })
    .await
}

fn text(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body.clone()
}

#[tokio::test]
async fn operators_find_them_by_what_they_are() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), "[retry]\nbase_delay = \"5ms\"\n"));
    provider.next([Behaviour::status(503), Behaviour::from(Action::DropAfter {})]);
    let run = server.api.run("payments.charge", &charge()).await.ok();
    server.api.run("payments.ping", &json!({})).await.ok();
    let all = attempts(&server, "", 4).await;
    let told: Vec<_> =
        all.iter().map(|a| (a["endpoint"].clone(), a["attempt"].clone(), a["status"].clone())).collect();
    let expected = [
        (json!("ping"), json!(1), json!(200)),
        (json!("charge"), json!(3), json!(200)),
        (json!("charge"), json!(2), Value::Null),
        (json!("charge"), json!(1), json!(503)),
    ];
    assert_eq!(told, expected, "newest first");
    let last = &all[1];
    assert_eq!(
        (&last["run_id"], &last["outcome"], &last["disposition"]),
        (&run["id"], &json!("success"), &json!("succeeded"))
    );
    assert_eq!(last["method"], "POST");
    assert!(last["request_body"].as_str().expect("a body").contains("1250"), "{last}");
    assert!(last["request_headers"]["idempotency-key"].is_string(), "{last}");
    assert!(last["total_ms"].as_f64().expect("a time") > 0.0);

    let id = run["id"].as_str().expect("an id");
    assert_eq!(attempts(&server, &format!("?run={id}"), 3).await.len(), 3);
    assert_eq!(attempts(&server, "?status=5xx", 1).await[0]["status"], 503);
    assert_eq!(attempts(&server, "?status=none", 1).await[0]["outcome"], "ambiguous");
    assert_eq!(attempts(&server, "?integration=payments&endpoint=ping&outcome=success", 1).await.len(), 1);
    let correlation_id = run["correlation_id"].as_str().expect("an id");
    assert_eq!(attempts(&server, &format!("?correlation_id={correlation_id}&status=200"), 1).await.len(), 1);
    assert!(attempts(&server, "?since=2100-01-01T00:00:00Z", 0).await.is_empty());
    assert!(attempts(&server, "?integration=crm", 0).await.is_empty());
    let page = server.admin.get("/admin/v1/attempts?limit=3").await.ok();
    let cursor = page["next_cursor"].as_str().expect("there is more");
    assert_eq!(attempts(&server, &format!("?cursor={cursor}"), 1).await[0]["attempt"], 1);
    for wrong in ["?status=6xx", "?since=yesterday", "?colour=red", "?limit=0"] {
        let answer = server.admin.get(&format!("/admin/v1/attempts{wrong}")).await;
        answer.problem(400, "malformed_request");
    }
    server.admin.get("/admin/v1/attempts/att_0").await.problem(404, "unknown_attempt");
}

#[tokio::test]
async fn one_that_failed_is_shown_for_curl_and_beside_one_that_did_not() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), "[retry]\nmax_retries = 0\n"));
    server.api.run("payments.charge", &charge()).await.ok();
    let mut other = charge();
    other["amount"] = json!(99);
    provider.next([Behaviour::status(402)]);
    server.api.run("payments.charge", &other).await.problem(422, "provider_refused");
    let failed = attempts(&server, "?outcome=client", 1).await.remove(0);
    let path = format!("/admin/v1/attempts/{}", failed["id"].as_str().expect("an id"));
    assert_eq!(server.admin.get(&path).await.ok(), failed);

    let curl = text(&server.admin.get(&format!("{path}/curl")).await);
    assert!(curl.starts_with("curl --request 'POST'") && curl.contains("--data-raw '"), "{curl}");
    assert!(curl.contains(&provider.url()) && curl.contains("amount"), "{curl}");

    let compared = server.admin.get(&format!("{path}/compare")).await.ok();
    assert_eq!(compared["success"]["status"], 200);
    let differing = compared["differences"].as_array().expect("a list").clone();
    let at = |place: &str| differing.iter().find(|difference| difference["place"] == place).cloned();
    let status = at("status").expect("it differs");
    assert_eq!((&status["attempt"], &status["success"]), (&json!(402), &json!(200)));
    assert!(
        differing.iter().any(|d| d["place"].as_str().expect("a place").starts_with("request_body")),
        "{differing:?}"
    );
    assert!(at("method").is_none(), "what is the same is not told");
}

#[tokio::test]
async fn a_client_sees_of_its_own_runs_how_they_went_and_not_what_was_sent() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), "[retry]\nbase_delay = \"5ms\"\n"));
    provider.next([Behaviour::status(503)]);
    let run = server.api.run("payments.charge", &charge()).await.ok();
    attempts(&server, "", 2).await;
    let id = run["id"].as_str().expect("an id");
    let told = server.api.get(&format!("/v1/runs/{id}/attempts")).await.ok();
    let items = told["items"].as_array().expect("a list");
    let statuses: Vec<_> = items.iter().map(|item| item["status"].clone()).collect();
    assert_eq!(statuses, [503, 200], "oldest first");
    assert!(items[0].get("request_body").is_none() && items[0].get("url").is_none(), "{items:?}");
    server.api.get("/v1/runs/run_0/attempts").await.problem(404, "unknown_run");
}

#[tokio::test]
async fn a_dead_letter_tells_all_of_its_own() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    provider.next([Action::DropAfter {}.into()]);
    let problem = server.api.run("payments.charge_once", &charge()).await.problem(504, "outcome_unknown");
    let id = problem["run"]["id"].as_str().expect("an id").to_owned();
    attempts(&server, "", 1).await;
    let letter = server.admin.get(&format!("/admin/v1/dead-letters/{id}")).await.ok();
    assert_eq!(letter["attempt_log"][0]["outcome"], "ambiguous", "{letter}");
}

#[tokio::test]
async fn they_are_kept_over_a_restart_sealed_and_told_on_the_command_line() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    Config::payments(&provider.url(), "").write(dir.path());
    let path = dir.path().to_str().expect("a path");
    let mut server = Process::start(&mut causeway(&["serve", "--config", path]));
    let (api, _) = server.serves().await;
    let mut marked = charge();
    marked["source"] = json!("tok_marked_for_this_test");
    api.send(Ask::run("payments.charge", &marked)).await.ok();
    // Asked to end at once, it writes what it has.
    server.terminate();
    assert_eq!(server.ended().await.status.code(), Some(0));
    for end in ["", "-wal"] {
        let bytes = std::fs::read(dir.path().join(format!("data/causeway.db{end}"))).unwrap_or_default();
        let marked = b"tok_marked_for_this_test";
        assert!(!bytes.windows(marked.len()).any(|window| window == marked), "in the clear");
    }
    let mut server = Process::start(&mut causeway(&["serve", "--config", path]));
    let (_, admin) = server.serves().await;
    let url = format!("http://{}", admin.address());
    let list = run(&["attempts", "list", "--admin-url", &url, "--json"]).await;
    let page: Value = serde_json::from_str(&list.out).expect("JSON");
    let id = page["items"][0]["id"].as_str().expect("an id").to_owned();
    let list = run(&["attempts", "list", "--admin-url", &url, "--status", "2xx"]).await;
    assert!(
        list.status.success() && list.out.contains(&id) && list.out.contains("payments.charge"),
        "{list:?}"
    );
    let none = run(&["attempts", "list", "--admin-url", &url, "--outcome", "rate_limit"]).await;
    assert!(none.out.contains("no attempt like this"), "{none:?}");
    let shown = run(&["attempts", "show", &id, "--admin-url", &url]).await;
    assert!(shown.out.contains("\"request_body\""), "{shown:?}");
    let curl = run(&["attempts", "curl", &id, "--admin-url", &url]).await;
    assert!(curl.out.starts_with("curl --request 'POST'"), "{curl:?}");
    let compared = run(&["attempts", "compare", &id, "--admin-url", &url]).await;
    assert!(compared.out.contains("\"success\":null"), "{compared:?}");
    let missing = run(&["attempts", "show", "att_0", "--admin-url", &url]).await;
    assert_eq!(missing.status.code(), Some(1));
}

/// The end of the run that an attempt is made anew as.
async fn replayed(server: &Server, attempt: &str, body: &Value) -> Value {
    let path = format!("/admin/v1/attempts/{attempt}/replay");
    let answer = server.admin.send(Ask::post(&path, body)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = answer.json()["id"].as_str().expect("an id").to_owned();
    until("the run is over", async || {
        let run = server.admin.get(&format!("/admin/v1/runs/{id}")).await.ok();
        run["finished_at"].is_string().then_some(run)
    })
    .await
}

#[tokio::test]
async fn a_call_is_made_anew_as_an_audited_run() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), "[retry]\nmax_retries = 0\n"));
    provider.next([Behaviour::status(402)]);
    server.api.run("payments.charge", &charge()).await.problem(422, "provider_refused");
    let failed = attempts(&server, "", 1).await.remove(0);
    let id = failed["id"].as_str().expect("an id");

    // It may act, and nobody has said that it is to.
    let path = format!("/admin/v1/attempts/{id}/replay");
    let problem = server
        .admin
        .send(Ask::post(&path, &json!({ "reason": "just so" })))
        .await
        .problem(409, "not_replayed");
    assert!(problem["detail"].as_str().expect("a detail").contains("once more"), "{problem}");
    assert_eq!(provider.arrivals().len(), 1);

    let run = replayed(&server, id, &json!({ "again": true, "reason": "the card is good now" })).await;
    assert_eq!((&run["status"], &run["operation"]), (&json!("succeeded"), &json!("payments.charge")));
    assert_eq!(run["correlation_id"], failed["correlation_id"], "linked to what it is about");
    assert_ne!(run["id"], failed["run_id"]);
    let arrivals = provider.arrivals();
    let effects = provider.effects();
    assert_eq!((effects.len(), effects[0].amount), (1, 1250), "of the input as it was");
    assert_ne!(arrivals[0].key, arrivals[1].key, "with a key of its own");

    let trail = server.admin.get("/admin/v1/audit").await.ok();
    let told = &trail["items"][0];
    let subject = told["subject"].as_str().expect("a subject");
    assert_eq!(
        (&told["action"], &told["reason"]),
        (&json!("attempt.replay"), &json!("the card is good now"))
    );
    assert!(subject.contains(id) && subject.contains(run["id"].as_str().expect("an id")), "{subject}");
    assert_eq!(trail["items"].as_array().map(Vec::len), Some(1), "what was refused is no deed");
}

#[tokio::test]
async fn a_read_is_made_anew_by_who_only_asks_for_it() {
    let provider = Provider::start();
    let dir = tempfile::tempdir().expect("a directory");
    let config = Config::payments(&provider.url(), "[retry]\nmax_retries = 0\n");
    let server = Server::start_in(dir.path(), &config);
    provider.next([Behaviour::status(500)]);
    server.api.run("payments.ping", &json!({ "secret": "kept" })).await.problem(502, "provider_failed");
    let failed = attempts(&server, "", 1).await.remove(0);
    let id = failed["id"].as_str().expect("an id").to_owned();
    let url = server.admin.url();
    let told = run(&["attempts", "replay", &id, "--admin-url", &url, "--reason", "is it back?"]).await;
    assert!(told.status.success() && told.out.contains("causeway runs show run_"), "{told:?}");
    until("it is made", async || (provider.arrivals().len() == 2).then_some(())).await;

    // What the step no longer calls cannot be made anew.
    let other = "[[steps]]\nname = \"ping\"\ncall = \"payments.balance\"\n";
    config.operation("payments.ping", other).write(dir.path());
    server.reload().await.ok();
    let path = format!("/admin/v1/attempts/{id}/replay");
    let problem = server.admin.send(Ask::post(&path, &json!({}))).await.problem(409, "not_replayed");
    assert!(problem["detail"].as_str().expect("a detail").contains("no longer calls"), "{problem}");
    server
        .admin
        .send(Ask::post("/admin/v1/attempts/att_0/replay", &json!({})))
        .await
        .problem(404, "unknown_attempt");
}
