//! What could not be done, and what nobody can know, is a dead letter: it tells why, and a person has it tried again, says what
//! became of it, or lets it go.

use causeway::sandbox::{Action, Behaviour};
use serde_json::{Value, json};

use crate::support::{Answer, Ask, Config, Provider, Server, charge, until};

const SOON: &str = "[retry]\nmax_retries = 0\nbase_delay = \"20ms\"\n[retry.queued]\nmax_retries = 1\n[breaker]\nfailures = 1000";

fn config(provider: &Provider) -> Config {
    let chain = "mode = \"async\"\n[[steps]]\nname = \"book\"\ncall = \"payments.charge_once\"\n[[steps]]\nname = \"confirm\"\nafter = [\"book\"]\ncall = \"payments.charge\"\ninput = '.input'\n";
    Config::payments(&provider.url(), SOON)
        .operation("later", "mode = \"async\"\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n")
        .operation("chain", chain)
}

/// The ids of the dead letters, newest first, when there are so many.
async fn letters(server: &Server, count: usize) -> Vec<Value> {
    until(&format!("{count} dead letters"), async || {
        let letters = server.admin.get("/admin/v1/dead-letters").await.ok()["items"].as_array().cloned()?;
        (letters.len() == count).then_some(letters)
    })
    .await
}

async fn act(server: &Server, letter: &Value, action: &str, body: &Value) -> Answer {
    let id = letter["id"].as_str().expect("an id");
    server.admin.send(Ask::post(format!("/admin/v1/dead-letters/{id}/{action}"), body)).await
}

/// Its run when it is over again.
async fn over(server: &Server, letter: &Value) -> Value {
    let path = format!("/v1/runs/{}?wait=5", letter["id"].as_str().expect("an id"));
    until("the run is over", async || {
        let run = server.api.get(&path).await.ok();
        run["finished_at"].is_string().then_some(run)
    })
    .await
}

#[tokio::test]
async fn a_queued_run_that_failed_for_good_is_redriven_with_its_key() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    provider.always(Behaviour::status(422));
    let ask = || Ask::run("later", &charge()).header("idempotency-key", "k");
    let accepted = server.api.send(ask()).await;
    assert_eq!(accepted.status, 202);
    let letter = letters(&server, 1).await.remove(0);
    assert_eq!(
        (&letter["id"], &letter["integration"], &letter["operation"], &letter["step"], &letter["class"]),
        (&accepted.json()["id"], &json!("payments"), &json!("later"), &json!("charge"), &json!("client"))
    );
    let whole = server
        .admin
        .get(&format!("/admin/v1/dead-letters/{}", letter["id"].as_str().expect("an id")))
        .await
        .ok();
    assert_eq!((&whole["run"]["status"], &whole["input"]["amount"]), (&json!("failed"), &charge()["amount"]));
    assert_eq!(whole["requests"][0]["path"], "/v1/charges");
    // A redrive that meets the same refusal is a dead letter again.
    assert_eq!(act(&server, &letter, "redrive", &json!({})).await.status, 202);
    assert_eq!(over(&server, &letter).await["status"], "failed");
    letters(&server, 1).await;

    provider.always(Behaviour::normal());
    let redriven = act(&server, &letter, "redrive", &json!({ "reason": "the provider is mended" })).await;
    assert_eq!(redriven.status, 202, "{redriven:?}");
    assert_eq!(over(&server, &letter).await["status"], "succeeded");
    letters(&server, 0).await;
    let arrivals = provider.arrivals();
    assert!(arrivals.len() == 3 && arrivals.iter().all(|arrival| arrival.key == arrivals[0].key));
    // A replay of its key answers the new outcome.
    let replay = server.api.send(ask()).await;
    assert_eq!(
        (replay.header("idempotency-replayed"), &replay.ok()["status"]),
        (Some("true"), &json!("succeeded"))
    );
    act(&server, &letter, "redrive", &json!({})).await.problem(404, "unknown_run");
}

#[tokio::test]
async fn a_doubt_is_resolved_by_a_person() {
    let provider = Provider::start();
    let config = config(&provider);
    let mut server = Server::start(&config);
    for (act_as, body, status, arrivals) in [
        (
            "succeeded",
            json!({ "as": "succeeded", "result": { "id": "ch_1" }, "reason": "seen at the provider" }),
            "succeeded",
            1,
        ),
        ("failed", json!({ "as": "failed" }), "failed", 0),
        ("resend", json!({ "as": "resend" }), "succeeded", 2),
    ] {
        provider.next([Action::DropAfter {}.into()]);
        let answer = server.api.send(Ask::run("chain", &charge())).await;
        assert_eq!(answer.status, 202, "{act_as}");
        let letter = letters(&server, 1).await.remove(0);
        assert_eq!(letter["class"], "ambiguous");
        let before = provider.arrivals().len();
        // It survives a restart, and being redriven does not get it past the gate.
        server = server.restarted(&config);
        assert_eq!(act(&server, &letter, "redrive", &json!({})).await.status, 202);
        assert_eq!(over(&server, &letter).await["status"], "unknown");
        assert_eq!(provider.arrivals().len(), before);
        let letter = letters(&server, 1).await.remove(0);
        let resolved = act(&server, &letter, "resolve", &body).await;
        assert_eq!(resolved.status, 202, "{resolved:?}");
        let run = over(&server, &letter).await;
        assert_eq!(run["status"], status, "{act_as}: {run}");
        assert_eq!(provider.arrivals().len() - before, arrivals, "{act_as}");
        letters(&server, 0).await;
    }
    for wrong in [
        json!({}),
        json!({ "as": "done" }),
        json!({ "as": "succeeded" }),
        json!({ "as": "failed", "result": 1 }),
    ] {
        let path = "/admin/v1/dead-letters/run_0/resolve";
        server.admin.send(Ask::post(path, &wrong)).await.problem(400, "malformed_request");
    }
}

#[tokio::test]
async fn one_may_be_let_go() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    provider.always(Behaviour::status(422));
    assert_eq!(server.api.run("later", &charge()).await.status, 202);
    let letter = letters(&server, 1).await.remove(0);
    let path = format!("/admin/v1/dead-letters/{}", letter["id"].as_str().expect("an id"));
    assert_eq!(server.admin.delete(&path).await.status, 204);
    letters(&server, 0).await;
    server.admin.delete(&path).await.problem(404, "unknown_run");
    assert_eq!(over(&server, &letter).await["status"], "failed", "its run stays as it is");
}

#[tokio::test]
async fn an_unknown_synchronous_run_is_one_too_and_a_failed_one_is_not() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    provider.next([Behaviour::status(422), Action::DropAfter {}.into(), Action::DropAfter {}.into()]);
    server.api.run("payments.charge", &charge()).await.problem(422, "provider_refused");
    let unknown = Ask::run("payments.charge_once", &charge()).header("idempotency-key", "k");
    server.api.send(unknown.clone()).await.problem(504, "outcome_unknown");
    server.api.run("payments.charge", &charge()).await.problem(504, "outcome_unknown");
    letters(&server, 2).await;
    let groups = server.admin.get("/admin/v1/dead-letters/groups").await.ok();
    assert_eq!(groups["items"].as_array().map(Vec::len), Some(2), "{groups}");
    let of_one = server.admin.get("/admin/v1/dead-letters?operation=payments.charge_once").await.ok();
    let letter = of_one["items"][0].clone();
    assert_eq!(of_one["items"].as_array().map(Vec::len), Some(1));
    let body = json!({ "as": "succeeded", "result": { "id": "ch_7" } });
    assert_eq!(act(&server, &letter, "resolve", &body).await.status, 202);
    assert_eq!(over(&server, &letter).await["result"], json!({ "id": "ch_7" }));
    // Whoever asks again is answered as who asked first would be now.
    let replay = server.api.send(unknown).await;
    assert_eq!(
        (replay.header("idempotency-replayed"), &replay.ok()["result"]),
        (Some("true"), &json!({ "id": "ch_7" }))
    );
    assert_eq!(provider.effects().len(), 2, "nothing was sent again");
}

const TRIP: &str = "mode = \"async\"\n[[steps]]\nname = \"hold\"\ncall = \"payments.charge\"\nundo = { call = \"payments.charge\", input = '.input + { amount: 1 }' }\n[[steps]]\nname = \"ship\"\nafter = [\"hold\"]\ncall = \"desk.charge_once\"\ninput = '.input'\n";

#[tokio::test]
async fn what_a_person_says_has_failed_is_taken_back_as_far_as_it_was_done() {
    let (provider, desk) = (Provider::start(), Provider::start());
    let config = config(&provider).integration("desk", &desk.url(), SOON).operation("trip", TRIP);
    let server = Server::start(&config);
    desk.next([Action::DropBefore {}.into()]);
    assert_eq!(server.api.run("trip", &charge()).await.status, 202);
    let letter = letters(&server, 1).await.remove(0);
    assert_eq!((&letter["step"], &letter["integration"]), (&json!("ship"), &json!("desk")));
    assert_eq!(provider.effects().len(), 1, "a doubt takes nothing back");
    assert_eq!(act(&server, &letter, "resolve", &json!({ "as": "failed" })).await.status, 202);
    let run = over(&server, &letter).await;
    let statuses: Vec<_> =
        run["steps"].as_array().expect("steps").iter().map(|step| &step["status"]).collect();
    assert_eq!(statuses, ["undone", "failed"], "{run}");
    assert_eq!(run["status"], "failed");
    let amounts: Vec<u64> = provider.effects().iter().map(|effect| effect.amount).collect();
    assert_eq!((amounts, desk.arrivals().len()), (vec![1250, 1], 1));
    letters(&server, 0).await;
}
