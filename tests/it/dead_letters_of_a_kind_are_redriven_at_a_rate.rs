//! Dead letters are taken up again by the many: as a filter says, at a rate, told how far, paused, cancelled, gone on with
//! after a restart, each once and with its key.

use std::collections::BTreeMap;
use std::time::Duration;

use causeway::sandbox::Behaviour;
use causeway_actors::clock::Clock;
use serde_json::{Value, json};

use crate::support::process::run;
use crate::support::{Answer, Ask, Config, Provider, Server, charge, until};

const SETTINGS: &str = "[retry]\nmax_retries = 0\nbase_delay = \"5ms\"\n[retry.queued]\nmax_retries = 0\n[breaker]\nfailures = 100000";

fn config(provider: &Provider) -> Config {
    Config::payments(&provider.url(), SETTINGS)
        .operation("later", "mode = \"async\"\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n")
        .operation("other", "mode = \"async\"\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n")
}

async fn count(server: &Server) -> u64 {
    let groups = server.admin.get("/admin/v1/dead-letters/groups").await.ok();
    groups["items"].as_array().expect("a list").iter().filter_map(|group| group["count"].as_u64()).sum()
}

/// A server with so many dead letters of `later`, and two of `other`.
async fn with_dead_letters(config: &Config, provider: &Provider, many: u64) -> Server {
    let server = Server::start(config);
    provider.always(Behaviour::status(422));
    for n in 0..many + 2 {
        let mut input = charge();
        input["amount"] = json!(1000 + n);
        let operation = if n < many { "later" } else { "other" };
        assert_eq!(server.api.run(operation, &input).await.status, 202);
    }
    until("all are dead", async || (count(&server).await == many + 2).then_some(())).await;
    provider.always(Behaviour::normal());
    server
}

async fn begin(server: &Server, body: &Value) -> Answer {
    server.admin.send(Ask::post("/admin/v1/redrives", body)).await
}

fn path(redrive: &Value) -> String {
    format!("/admin/v1/redrives/{}", redrive["id"].as_str().expect("an id"))
}

async fn when(server: &Server, redrive: &Value, status: &str) -> Value {
    until(&format!("the redrive is {status}"), async || {
        let now = server.admin.get(&path(redrive)).await.ok();
        (now["status"] == status).then_some(now)
    })
    .await
}

async fn say(server: &Server, redrive: &Value, word: &str) -> Value {
    server.admin.send(Ask::post(format!("{}/{word}", path(redrive)), &json!({}))).await.ok()
}

/// How often each amount was charged.
fn charged(provider: &Provider) -> BTreeMap<u64, usize> {
    let mut charged = BTreeMap::new();
    for effect in provider.effects() {
        *charged.entry(effect.amount).or_default() += 1;
    }
    charged
}

#[tokio::test]
async fn as_the_filter_says_and_no_others() {
    let provider = Provider::start();
    let server = with_dead_letters(&config(&provider), &provider, 12).await;
    let filter = json!({ "integration": "payments", "operation": "later" });
    let dry = begin(&server, &json!({ "filter": filter, "rate": 4, "dry_run": true })).await.ok();
    assert_eq!(
        (&dry["matched"], &dry["status"], &dry["id"], &dry["eta_seconds"]),
        (&json!(12), &json!("dry_run"), &Value::Null, &json!(3.0))
    );
    assert_eq!(count(&server).await, 14, "nothing was done");

    let begun = begin(&server, &json!({ "filter": filter, "rate": 500, "reason": "mended" })).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    assert_eq!(begun.header("location"), Some(path(&begun.json()).as_str()));
    let done = when(&server, &begun.json(), "done").await;
    assert_eq!(
        (&done["matched"], &done["done"], &done["failed"], &done["eta_seconds"]),
        (&json!(12), &json!(12), &json!(0), &Value::Null)
    );
    until("they are charged", async || (charged(&provider).len() == 12).then_some(())).await;
    assert!(charged(&provider).values().all(|times| *times == 1));
    assert_eq!(count(&server).await, 2, "the others are where they were");
    let audit = server.admin.get("/admin/v1/audit?limit=1").await.ok();
    let entry = &audit["items"][0];
    assert_eq!((&entry["action"], &entry["reason"]), (&json!("redrive.begin"), &json!("mended")));
    let all = server.admin.get("/admin/v1/redrives").await.ok();
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(say(&server, &begun.json(), "cancel").await["status"], "done", "what is over stays as it is");
}

#[tokio::test]
async fn no_faster_than_its_rate_and_not_while_it_is_paused() {
    let provider = Provider::start();
    let server = with_dead_letters(&config(&provider), &provider, 30).await;
    let clock = Clock::start();
    let began = clock.mono();
    let redrive = begin(&server, &json!({ "filter": { "operation": "later" }, "rate": 20 })).await.json();
    until("some are taken up", async || {
        (server.admin.get(&path(&redrive)).await.ok()["done"].as_u64()? >= 4).then_some(())
    })
    .await;
    assert!(clock.mono().since(began) >= Duration::from_millis(150), "four in less than three intervals");
    let paused = say(&server, &redrive, "pause").await;
    assert_eq!(paused["status"], "paused");
    let done = when(&server, &redrive, "paused").await["done"].as_u64().expect("a number");
    assert!(done < 30, "it was slow enough to be paused");
    // Two intervals and more.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let still = server.admin.get(&path(&redrive)).await.ok()["done"].as_u64().expect("a number");
    assert!(still <= done + 1, "one may have been under way: {done}, {still}");
    say(&server, &redrive, "resume").await;
    until("it goes on", async || {
        (server.admin.get(&path(&redrive)).await.ok()["done"].as_u64()? > still).then_some(())
    })
    .await;
    assert_eq!(say(&server, &redrive, "cancel").await["status"], "cancelled");
    assert_eq!(say(&server, &redrive, "resume").await["status"], "cancelled");
    until("what was taken up is over", async || {
        let (left, done) = (count(&server).await, u64::try_from(charged(&provider).len()).ok()?);
        (left + done == 32).then_some(())
    })
    .await;
    assert!(count(&server).await > 2);
}

#[tokio::test]
async fn it_goes_on_after_a_restart_and_each_is_done_once() {
    let provider = Provider::start();
    let config = config(&provider);
    let server = with_dead_letters(&config, &provider, 40).await;
    let redrive = begin(&server, &json!({ "filter": { "operation": "later" }, "rate": 40 })).await.json();
    until("some are taken up", async || {
        (server.admin.get(&path(&redrive)).await.ok()["done"].as_u64()? >= 5).then_some(())
    })
    .await;
    let server = server.restarted(&config);
    let done = when(&server, &redrive, "done").await;
    assert_eq!(done["matched"], 40);
    until("all are charged", async || (charged(&provider).len() == 40).then_some(())).await;
    assert!(charged(&provider).values().all(|times| *times == 1), "{:?}", charged(&provider));
    assert_eq!(count(&server).await, 2);
}

#[tokio::test]
async fn one_that_cannot_be_taken_up_is_counted() {
    let provider = Provider::start();
    let trip = "mode = \"async\"\n[[steps]]\nname = \"hold\"\ncall = \"payments.charge\"\nundo = { call = \"payments.charge\", input = '.input + { amount: 1 }' }\n[[steps]]\nname = \"ship\"\nafter = [\"hold\"]\ncall = \"payments.charge\"\ninput = '.input'\n";
    let server = with_dead_letters(&config(&provider).operation("trip", trip), &provider, 2).await;
    // What it had done was taken back.
    provider.next([Behaviour::normal(), Behaviour::status(422), Behaviour::normal()]);
    assert_eq!(server.api.run("trip", &charge()).await.status, 202);
    until("it is dead", async || (count(&server).await == 5).then_some(())).await;
    let redrive = begin(&server, &json!({ "rate": 1000 })).await.json();
    let done = when(&server, &redrive, "done").await;
    assert_eq!((&done["matched"], &done["done"], &done["failed"]), (&json!(5), &json!(4), &json!(1)));
    until("the others are done", async || (count(&server).await == 1).then_some(())).await;
    let left = server.admin.get("/admin/v1/dead-letters").await.ok()["items"][0].clone();
    assert_eq!(left["operation"], "trip");
    let id = left["id"].as_str().expect("an id");
    let one = Ask::post(format!("/admin/v1/dead-letters/{id}/redrive"), &json!({}));
    server.admin.send(one).await.problem(409, "not_reopened");
}

#[tokio::test]
async fn within_the_limits_of_its_provider() {
    let provider = Provider::start();
    let limit = "[[limits]]\nkind = \"sliding_window\"\nrequests = 10\nper = \"1s\"\n";
    let config = config(&provider);
    let server = with_dead_letters(&config, &provider, 30).await;
    let server = server.restarted(&config.append("integrations/payments.toml", limit));
    let before = provider.arrivals().len();
    let redrive = begin(&server, &json!({ "filter": { "operation": "later" }, "rate": 1000 })).await.json();
    when(&server, &redrive, "done").await;
    until("all are charged", async || (charged(&provider).len() == 30).then_some(())).await;
    let at: Vec<u64> = provider.arrivals()[before..].iter().map(|arrival| arrival.at_us).collect();
    assert_eq!(at.len(), 30);
    // A window is measured where requests begin, and a little passes until they arrive.
    assert!(at.windows(11).all(|window| window[10] - window[0] >= 900_000), "{at:?}");
}

#[tokio::test]
async fn what_dies_again_is_left() {
    let provider = Provider::start();
    let server = with_dead_letters(&config(&provider), &provider, 3).await;
    provider.always(Behaviour::status(422));
    let redrive = begin(&server, &json!({ "rate": 1000 })).await.json();
    let done = when(&server, &redrive, "done").await;
    assert_eq!((&done["matched"], &done["done"]), (&json!(5), &json!(5)));
    until("they are dead again", async || (count(&server).await == 5).then_some(())).await;
    assert!(provider.effects().is_empty());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    for body in [
        json!({ "rate": 0 }),
        json!({ "rate": 5000 }),
        json!({ "filter": { "colour": "red" } }),
        json!({ "reason": "" }),
    ] {
        begin(&server, &body).await.problem(400, "malformed_request");
    }
    server.admin.get("/admin/v1/redrives/rdr_0").await.problem(404, "unknown_redrive");
    let nothing = begin(&server, &json!({})).await.json();
    assert_eq!(when(&server, &nothing, "done").await["matched"], 0);
}

#[tokio::test]
async fn the_command_line_waits_for_it_and_says_what_came_of_it() {
    let provider = Provider::start();
    let server = with_dead_letters(&config(&provider), &provider, 6).await;
    let url = format!("http://{}", server.admin.address());
    let dry =
        run(&["dead-letters", "redrive", "--operation", "later", "--dry-run", "--admin-url", &url]).await;
    assert!(dry.out.contains("6 would be taken up"), "{dry:?}");
    let done =
        run(&["dead-letters", "redrive", "--operation", "later", "--rate", "200", "--admin-url", &url]).await;
    assert!(done.status.success() && done.out.contains("done: 6 of 6 taken up"), "{done:?}");
    let list = run(&["dead-letters", "redrives", "--admin-url", &url]).await;
    assert!(list.out.contains("MATCHED") && list.out.contains("rdr_"), "{list:?}");
    let detached =
        run(&["dead-letters", "redrive", "--all", "--rate", "0.1", "--detach", "--admin-url", &url]).await;
    let id = detached.out.split_whitespace().next().expect("an id").to_owned();
    let cancelled = run(&["dead-letters", "redrives", "cancel", &id, "--admin-url", &url]).await;
    assert!(cancelled.out.contains("cancelled"), "{cancelled:?}");
    let neither = run(&["dead-letters", "redrive", "--admin-url", &url]).await;
    assert_eq!(neither.status.code(), Some(2), "{neither:?}");
    let both = run(&["dead-letters", "redrive", "run_0", "--all", "--admin-url", &url]).await;
    assert_eq!(both.status.code(), Some(2), "{both:?}");
}
