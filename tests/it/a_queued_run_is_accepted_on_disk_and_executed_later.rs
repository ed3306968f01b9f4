//! Who does not want to wait is told where to look as soon as its run is on disk; what becomes of it is found there, however
//! often the provider fails meanwhile and whatever becomes of the server.

use std::time::Duration;

use causeway::sandbox::{Action, Behaviour};
use http::Method;
use serde_json::{Value, json};

use crate::support::process::causeway;
use crate::support::wait::Watch;
use crate::support::{Answer, Ask, Client, Config, Process, Provider, Server, charge, until};

/// Retries that tests do not have to wait for.
const SOON: &str = "[retry]\nbase_delay = \"50ms\"\nmax_delay = \"200ms\"\njitter = 0.0\nrate_limit_delay = \"50ms\"\n[retry.queued]\nmax_retries = 4\nmax_delay = \"200ms\"\n[breaker]\nfailures = 100";

const ASYNC: &str = "mode = \"async\"\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n";

fn config(provider: &Provider) -> Config {
    Config::payments(&provider.url(), SOON).operation("later", ASYNC)
}

fn later(key: &str) -> Ask {
    Ask::run("later", &charge()).header("idempotency-key", key)
}

/// Where an answer says that the run is to be found.
fn place(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{answer:?}");
    let place = answer.header("location").expect("where to look").to_owned();
    assert_eq!(place, format!("/v1/runs/{}", answer.json()["id"].as_str().expect("an id")));
    place
}

/// The run when it is over.
async fn over(api: &Client, place: &str) -> Value {
    until("the run is over", async || {
        let run = api.get(&format!("{place}?wait=5")).await.ok();
        run["finished_at"].is_string().then_some(run)
    })
    .await
}

#[tokio::test]
async fn it_is_accepted_at_once_and_over_later() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    provider.always(Behaviour::normal().delayed(Duration::from_millis(500)));
    let accepted = server.api.send(later("k")).await;
    let path = place(&accepted);
    let run = accepted.json();
    assert_eq!((&run["status"], &run["durable"]), (&json!("accepted"), &json!(true)));
    assert_eq!(run["steps"][0]["status"], "pending");
    let run = over(&server.api, &path).await;
    assert_eq!((&run["status"], &run["steps"][0]["attempts"]), (&json!("succeeded"), &json!(1)));
    // The same key is answered with its outcome.
    let again = server.api.send(later("k")).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!((&again.json()["id"], &again.json()["status"]), (&run["id"], &run["status"]));
    assert_eq!(provider.effects().len(), 1);
}

#[tokio::test]
async fn any_operation_may_be_left_and_waited_for_a_while() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    let left = Ask::run("payments.charge", &charge()).header("prefer", "respond-async");
    let path = place(&server.api.send(left).await);
    assert_eq!(over(&server.api, &path).await["status"], "succeeded");
    // In time it is answered whole.
    let waited = server.api.send(later("k").header("prefer", "wait=10")).await;
    assert_eq!(waited.ok()["status"], "succeeded");
    provider.always(Behaviour::normal().delayed(Duration::from_secs(3)));
    let watch = Watch::start();
    let impatient = server.api.send(later("l").header("prefer", "wait=1")).await;
    let path = place(&impatient);
    assert!((1..3).contains(&watch.elapsed().as_secs()), "{:?}", watch.elapsed());
    assert_eq!(over(&server.api, &path).await["status"], "succeeded");
}

#[tokio::test]
async fn the_provider_may_fail_for_a_while() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    provider.next([Behaviour::status(500), Action::DropAfter {}.into(), Behaviour::status(429)]);
    let path = place(&server.api.send(later("k")).await);
    let run = over(&server.api, &path).await;
    assert_eq!((&run["status"], &run["steps"][0]["attempts"]), (&json!("succeeded"), &json!(4)), "{run}");
    let arrivals = provider.arrivals();
    assert_eq!((arrivals.len(), provider.effects().len()), (4, 1));
    assert!(arrivals.iter().all(|arrival| arrival.key == arrivals[0].key), "one key for ever");
}

#[tokio::test]
async fn what_fails_for_too_long_is_failed() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    let refused = Provider::start().address();
    provider.always(Behaviour::status(503));
    let config = config(&provider).integration("gone", &format!("http://{refused}"), SOON);
    let server = server.restarted(&config);
    let left = Ask::run("gone.charge", &charge()).header("prefer", "respond-async");
    let run = over(&server.api, &place(&server.api.send(left).await)).await;
    assert_eq!((&run["status"], &run["steps"][0]["attempts"]), (&json!("failed"), &json!(5)), "{run}");
    // A refusal is not tried again.
    provider.always(Behaviour::status(422));
    let run = over(&server.api, &place(&server.api.send(later("no")).await)).await;
    assert_eq!((&run["status"], &run["steps"][0]["attempts"]), (&json!("failed"), &json!(1)), "{run}");
}

#[tokio::test]
async fn not_before_its_time() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1500);
    let watch = Watch::start();
    let path = place(&server.api.send(later("k").header("x-not-before", &at.to_string())).await);
    assert_eq!(server.api.get(&path).await.ok()["status"], "accepted");
    assert_eq!(over(&server.api, &path).await["status"], "succeeded");
    assert!(watch.elapsed() >= Duration::from_millis(1400), "{:?}", watch.elapsed());
    for (ask, header) in [(later("l"), "soon"), (Ask::run("payments.charge", &charge()), &*at.to_string())] {
        server.api.send(ask.header("x-not-before", header)).await.problem(400, "malformed_request");
    }
}

#[tokio::test]
async fn a_waiting_run_can_be_cancelled() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    let path = place(&server.api.send(later("k").header("x-not-before", "2999-01-01T00:00:00Z")).await);
    let cancelled = server.api.send(Ask::post(format!("{path}/cancel"), &json!({}))).await;
    assert_eq!(cancelled.status, 202, "{cancelled:?}");
    assert_eq!(over(&server.api, &path).await["status"], "cancelled");
    assert_eq!(provider.arrivals().len(), 0);
}

#[tokio::test]
async fn what_is_accepted_survives_a_kill() {
    let provider = Provider::start();
    let dir = tempfile::tempdir().expect("a directory");
    config(&provider).write(dir.path());
    let path = dir.path().to_str().expect("a path");
    provider.always(Behaviour::normal().delayed(Duration::from_millis(300)));
    let mut server = Process::start(&mut causeway(&["serve", "--config", path]));
    let (api, _) = server.serves().await;
    let mut places = Vec::new();
    for n in 0..60 {
        places.push(place(&api.send(later(&format!("k{n}"))).await));
    }
    provider.arrived(20).await;
    server.kill();
    let mut server = Process::start(&mut causeway(&["serve", "--config", path]));
    let (api, _) = server.serves().await;
    for place in places {
        assert_eq!(over(&api, &place).await["status"], "succeeded");
    }
    assert_eq!(provider.effects().len(), 60, "each once");
}

#[tokio::test]
async fn a_background_step_is_a_run_of_its_own() {
    let provider = Provider::start();
    let operation = "result = '{ charge: .steps.charge.result.id }'\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n[[steps]]\nname = \
                     \"copy\"\nafter = [\"charge\"]\ncall = \"payments.charge_once\"\ninput = '.input'\nbackground = true\n";
    let server = Server::start(&config(&provider).operation("both", operation));
    provider.always_on(&Method::POST, "/v1/charges", Behaviour::normal().delayed(Duration::from_millis(300)));
    let outcome = server.api.run("both", &charge()).await.ok();
    assert_eq!(outcome["status"], "succeeded", "{outcome}");
    let step = &outcome["steps"][1];
    assert_eq!((&step["status"], &step["attempts"]), (&json!("accepted"), &json!(0)));
    let child = format!("/v1/runs/{}", step["run"].as_str().expect("its run"));
    let run = over(&server.api, &child).await;
    assert_eq!((&run["status"], &run["steps"][0]["name"]), (&json!("succeeded"), &json!("copy")), "{run}");
    assert_eq!(run["correlation_id"], outcome["correlation_id"]);
    assert_eq!(provider.effects().len(), 2);
}

#[tokio::test]
async fn beyond_max_pending_new_runs_are_refused() {
    let provider = Provider::start();
    let config =
        config(&provider).append("integrations/payments.toml", "[queue]\nslots = 1\nmax_pending = 3");
    let server = Server::start(&config);
    provider.always(Behaviour::normal().delayed(Duration::from_millis(700)));
    let mut places = Vec::new();
    for n in 0..3 {
        places.push(place(&server.api.send(later(&format!("k{n}"))).await));
    }
    let refused = server.api.send(later("k3")).await;
    assert!(refused.retry_after() >= 1);
    refused.problem(503, "overloaded");
    for place in &places {
        assert_eq!(over(&server.api, place).await["status"], "succeeded");
    }
    // There is room again.
    let path = until("there is room", async || {
        let answer = server.api.send(later("k3")).await;
        (answer.status == 202).then(|| place(&answer))
    })
    .await;
    assert_eq!(over(&server.api, &path).await["status"], "succeeded");
    assert_eq!((provider.effects().len(), provider.counters().peak_open), (4, 1));
}

#[tokio::test]
async fn an_open_breaker_burns_no_tries() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider));
    let trip = json!({ "reason": "maintenance" });
    server.admin.send(Ask::post("/admin/v1/integrations/payments/breaker/trip", &trip)).await.ok();
    let path = place(&server.api.send(later("k")).await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waiting = server.api.get(&path).await.ok();
    assert_eq!((&waiting["status"], &waiting["finished_at"]), (&json!("accepted"), &Value::Null));
    server.admin.send(Ask::post("/admin/v1/integrations/payments/breaker/reset", &json!({}))).await.ok();
    let run = over(&server.api, &path).await;
    assert_eq!((&run["status"], &run["steps"][0]["attempts"]), (&json!("succeeded"), &json!(1)), "{run}");
}
