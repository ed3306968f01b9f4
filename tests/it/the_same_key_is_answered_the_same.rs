//! Who asks again with the same key gets the same answer, byte for byte, and nothing is done twice.

use std::time::Duration;

use causeway::sandbox::{Action, Behaviour};
use serde_json::{Value, json};

use crate::support::wait::Watch;
use crate::support::{Answer, Ask, Config, Provider, Server, charge, until};

fn keyed(key: &str) -> Ask {
    asks(key, &charge())
}

fn asks(key: &str, input: &Value) -> Ask {
    Ask::run("payments.charge", input).header("idempotency-key", key)
}

/// The answer, given once more: the same status and body, and it says so.
fn is_replay_of(again: &Answer, first: &Answer) {
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"), "{again:?}");
    assert_eq!(first.header("idempotency-replayed"), None, "{first:?}");
    assert_eq!(again.header("x-correlation-id"), first.header("x-correlation-id"));
    assert_eq!(again.header("content-type"), first.header("content-type"));
}

#[tokio::test]
async fn a_success_is_answered_from_the_store() {
    let provider = Provider::start();
    let config = Config::payments(&provider.url(), "");
    let server = Server::start(&config);
    let first = server.api.send(keyed("order-1")).await;
    first.ok();
    is_replay_of(&server.api.send(keyed("\"order-1\"")).await, &first);
    // Spelt otherwise it is the same input.
    let spelt = format!(
        "{{ \"source\":{}, \"currency\" : {},\n\"amount\": {} }}",
        charge()["source"],
        charge()["currency"],
        charge()["amount"]
    );
    let spelt =
        Ask::post_text("/v1/operations/payments.charge", spelt).header("content-type", "application/json");
    is_replay_of(&server.api.send(spelt.header("idempotency-key", "order-1")).await, &first);
    // Another life of the server answers the same.
    let server = server.restarted(&config);
    is_replay_of(&server.api.send(keyed("order-1")).await, &first);
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (1, 1));
}

#[tokio::test]
async fn whatever_links_it_to_the_event_behind_it() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    provider.next([Behaviour::status(422)]);
    // What JSON writes with escapes.
    for (key, status) in [("refused", 422), ("charged", 200)] {
        let ask = || keyed(key).header("x-correlation-id", r#"a"b\c"#);
        let first = server.api.send(ask()).await;
        assert_eq!((first.status, first.header("x-correlation-id")), (status, Some(r#"a"b\c"#)), "{first:?}");
        is_replay_of(&server.api.send(ask()).await, &first);
    }
    let listed = server.api.get("/v1/runs?status=failed").await.ok();
    let refused = &listed["items"][0];
    assert_eq!(refused["correlation_id"], r#"a"b\c"#);
    assert_eq!(
        (&refused["steps"][0]["status"], &refused["error"]["class"]),
        (&json!("failed"), &json!("client"))
    );
}

#[tokio::test]
async fn a_failure_is_answered_the_same_once_anything_was_sent() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), "[retry]\nmax_retries = 0"));
    for (key, behaviour, status) in [
        ("refused", Behaviour::status(422), 422),
        ("unknown", Behaviour::status(500), 504),
        ("garbage", Action::Garbage {}.into(), 504),
    ] {
        provider.next([behaviour]);
        let first = server.api.send(keyed(key)).await;
        assert_eq!(first.status, status, "{first:?}");
        is_replay_of(&server.api.send(keyed(key)).await, &first);
    }
    assert_eq!(provider.arrivals().len(), 3);
}

#[tokio::test]
async fn what_was_never_sent_leaves_the_key_free() {
    let provider = Provider::start();
    let gone = Provider::start().address();
    let config = Config::payments(
        &provider.url(),
        "[retry]\nmax_retries = 0\n[pool]\nmax_in_flight = 1\nmax_queue = 0",
    );
    let config = config.integration("gone", &format!("http://{gone}"), "[retry]\nmax_retries = 0");
    let server = Server::start(&config);
    // The provider cannot be reached.
    let lost = || Ask::run("gone.charge", &charge()).header("idempotency-key", "k");
    for _ in 0..2 {
        let answer = server.api.send(lost()).await;
        let problem = answer.problem(502, "provider_failed");
        assert_eq!(answer.header("idempotency-replayed"), None);
        let id = problem["run"]["id"].as_str().expect("an id");
        server.api.get(&format!("/v1/runs/{id}")).await.problem(404, "unknown_run");
    }
    // The breaker is open.
    let reason = json!({ "reason": "maintenance" });
    server.admin.send(Ask::post("/admin/v1/integrations/payments/breaker/trip", &reason)).await.ok();
    for _ in 0..2 {
        server.api.send(keyed("k")).await.problem(503, "breaker_open");
    }
    server.admin.send(Ask::post("/admin/v1/integrations/payments/breaker/reset", &json!({}))).await.ok();
    // There is no room.
    provider.always(Behaviour::normal().delayed(Duration::from_millis(400)));
    let (busy, full) = tokio::join!(server.api.send(keyed("busy")), async {
        provider.arrived(1).await;
        server.api.send(keyed("k")).await
    });
    busy.ok();
    full.problem(503, "overloaded");
    // The input is wrong, and then it is right.
    server.api.send(keyed("k")).await.ok();
    assert_eq!(provider.effects().len(), 2);
}

#[tokio::test]
async fn another_input_is_refused_and_nothing_is_executed() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    let first = server.api.send(keyed("k")).await.ok();
    let mut other = charge();
    other["amount"] = json!(99);
    let problem = server.api.send(asks("k", &other)).await.problem(422, "idempotency_key_reused");
    assert_eq!(problem["retryable"], false);
    assert!(problem["detail"].as_str().expect("a detail").contains(first["id"].as_str().expect("an id")));
    // The version counts where it is named.
    let versioned = Ask::run("payments.charge@1", &charge()).header("idempotency-key", "k");
    server.api.send(versioned).await.problem(422, "idempotency_key_reused");
    // Another operation is another key.
    let elsewhere = Ask::run("payments.charge_once", &other).header("idempotency-key", "k");
    server.api.send(elsewhere).await.ok();
    assert_eq!(provider.effects().len(), 2);
}

#[tokio::test]
async fn who_asks_meanwhile_waits_or_is_told() {
    let provider = Provider::start();
    let conflict = "deadline = \"15s\"\nidempotency = { in_flight = \"conflict\" }\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n";
    let config = Config::payments(&provider.url(), "").operation("strict", conflict);
    let server = Server::start(&config);
    provider.always(Behaviour::normal().delayed(Duration::from_secs(1)));
    let (first, attached, impatient) = tokio::join!(
        server.api.send(keyed("k")),
        async {
            provider.arrived(1).await;
            server.api.send(keyed("k")).await
        },
        async {
            provider.arrived(1).await;
            server.api.send(keyed("k").deadline_ms(200)).await
        }
    );
    is_replay_of(&attached, &first);
    impatient.problem(409, "run_in_flight");
    assert!(impatient.retry_after() >= 1);
    let strict = || Ask::run("strict", &charge()).header("idempotency-key", "k");
    let (first, told) = tokio::join!(server.api.send(strict()), async {
        provider.arrived(2).await;
        server.api.send(strict()).await
    });
    first.ok();
    let told = told.problem(409, "run_in_flight");
    assert_eq!((&told["run"]["status"], &told["retryable"]), (&json!("running"), &json!(true)), "{told}");
    assert_eq!(provider.effects().len(), 2);
}

#[tokio::test]
async fn a_key_is_kept_for_so_long_from_its_runs_end() {
    let provider = Provider::start();
    let short = "deadline = \"15s\"\nidempotency = { retention = \"1s\" }\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n";
    let server = Server::start(&Config::payments(&provider.url(), "").operation("short", short));
    let ask = || Ask::run("short", &charge()).header("idempotency-key", "k");
    let first = server.api.send(ask()).await;
    is_replay_of(&server.api.send(ask()).await, &first);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let anew = server.api.send(ask()).await;
    assert_ne!(anew.ok()["id"], first.ok()["id"]);
    assert_eq!(provider.effects().len(), 2);
    // The run of the old key is still to be found.
    let id = first.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(server.api.get(&format!("/v1/runs/{id}")).await.ok()["status"], "succeeded");
}

#[tokio::test]
async fn an_operation_may_require_one() {
    let provider = Provider::start();
    let required = "idempotency = \"required\"\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n";
    let off = "idempotency = \"off\"\n[[steps]]\nname = \"ping\"\ncall = \"payments.ping\"\n";
    let config = Config::payments(&provider.url(), "").operation("strict", required).operation("read", off);
    let server = Server::start(&config);
    server.api.run("strict", &charge()).await.problem(400, "idempotency_key_required");
    for wrong in ["", "a b", &"x".repeat(256), "\"open"] {
        let ask = Ask::run("strict", &charge()).header("idempotency-key", wrong);
        server.api.send(ask).await.problem(400, "malformed_request");
    }
    assert_eq!(provider.arrivals().len(), 0);
    server.api.send(Ask::run("strict", &charge()).header("idempotency-key", &"x".repeat(255))).await.ok();
    // A read that takes no keys is made each time.
    for _ in 0..2 {
        server.api.send(Ask::run("read", &json!({})).header("idempotency-key", "k")).await.ok();
    }
    assert_eq!(provider.arrivals().len(), 3);
}

#[tokio::test]
async fn a_read_with_a_key_is_made_once() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    let ask = || Ask::run("payments.ping", &json!({})).header("idempotency-key", "k");
    let first = server.api.send(ask()).await;
    is_replay_of(&server.api.send(ask()).await, &first);
    assert_eq!(provider.arrivals().len(), 1);
}

#[tokio::test]
async fn who_prefers_not_to_wait_for_the_end_is_told_where_to_look() {
    let provider = Provider::start();
    let later = "mode = \"async\"\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n";
    let server = Server::start(&Config::payments(&provider.url(), "").operation("later", later));
    provider.always(Behaviour::normal().delayed(Duration::from_millis(2_500)));
    let (first, told) = tokio::join!(server.api.send(keyed("k")), async {
        provider.arrived(1).await;
        let watch = Watch::start();
        let told = server.api.send(keyed("k").header("prefer", "wait=1")).await;
        assert!((900..2_400).contains(&watch.elapsed().as_millis()), "{:?}", watch.elapsed());
        told
    });
    let path = format!("/v1/runs/{}", first.ok()["id"].as_str().expect("an id"));
    assert_eq!((told.status, told.header("location")), (202, Some(path.as_str())), "{told:?}");
    assert_eq!(told.header("idempotency-replayed"), Some("true"));
    // And who wants to wait for a run that is left to the queue does.
    let later = || Ask::run("later", &charge()).header("idempotency-key", "k");
    let first = server.api.send(later()).await;
    assert_eq!(first.status, 202, "{first:?}");
    let waited = server.api.send(later().header("prefer", "wait=15")).await;
    assert_eq!((&waited.ok()["id"], &waited.ok()["status"]), (&first.json()["id"], &json!("succeeded")));
    assert_eq!(provider.effects().len(), 2);
}

#[tokio::test]
async fn however_little_room_there_is() {
    let provider = Provider::start();
    for (file, room) in [
        ("integrations/payments.toml", "[pool]\nmax_in_flight = 1\nmax_queue = 0"),
        ("causeway.toml", "max_in_flight = 1"),
    ] {
        let config = Config::payments(&provider.url(), "");
        let config = if file == "causeway.toml" {
            config.replace(file, "io_threads = 1", &format!("io_threads = 1\n{room}"))
        } else {
            config.append(file, room)
        };
        let server = Server::start(&config);
        let first = server.api.send(keyed("k")).await;
        first.ok();
        let before = provider.arrivals().len();
        provider.next([Behaviour::normal().delayed(Duration::from_secs(2))]);
        tokio::join!(server.api.send(keyed("busy")), async {
            provider.arrived(before + 1).await;
            server.api.send(keyed("new")).await.problem(503, "overloaded");
            is_replay_of(&server.api.send(keyed("k")).await, &first);
            server.api.send(keyed("busy").deadline_ms(100)).await.problem(409, "run_in_flight");
        });
        assert_eq!(provider.arrivals().len(), before + 1, "{file}");
    }
}

#[tokio::test]
async fn a_key_holds_for_one_client() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let clients = ["shop", "crm"].map(|name| {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("cw_the-key-of-the-{name}")).expect("a file for the key");
        let path = path.display();
        format!("[[clients]]\nname = \"{name}\"\nkey = {{ file = \"{path}\" }}\noperations = [\"*\"]\n")
    });
    let server =
        Server::start(&Config::payments(&provider.url(), "").append("causeway.toml", &clients.concat()));
    let of = |client: &str| keyed("k").header("authorization", &format!("Bearer cw_the-key-of-the-{client}"));
    let first = server.api.send(of("shop")).await;
    let other = server.api.send(of("crm")).await;
    assert_ne!(first.ok()["id"], other.ok()["id"]);
    is_replay_of(&server.api.send(of("shop")).await, &first);
    is_replay_of(&server.api.send(of("crm")).await, &other);
    assert_eq!(provider.effects().len(), 2);
}

#[tokio::test]
async fn what_was_refused_before_leaves_the_key_free_too() {
    let provider = Provider::start();
    let limit =
        "[[limits]]\nkind = \"sliding_window\"\nrequests = 1\nper = \"1h\"\n[pool]\nmax_wait = \"1s\"\n";
    let schema = "deadline = \"15s\"\ninput_schema = { type = \"object\", required = [\"amount\"] }\n[[steps]]\nname = \"charge\"\ncall = \"other.charge\"\n";
    let config = Config::payments(&provider.url(), limit)
        .integration("other", &provider.url(), "")
        .operation("strict", schema);
    let server = Server::start(&config);
    server.api.send(keyed("first")).await.ok();
    for _ in 0..2 {
        let throttled = server.api.send(keyed("k").deadline_ms(500)).await;
        throttled.problem(429, "throttled");
        assert_eq!(throttled.header("idempotency-replayed"), None);
    }
    let strict = |input: &Value| Ask::run("strict", input).header("idempotency-key", "k");
    server.api.send(strict(&json!({}))).await.problem(422, "invalid_input");
    // The same key with what is right: it was nobody's.
    server.api.send(strict(&charge())).await.ok();
    assert_eq!(provider.effects().len(), 2);
}

#[tokio::test]
async fn a_failure_of_a_run_that_nobody_waited_for_is_answered_as_its_outcome() {
    let provider = Provider::start();
    let later = "mode = \"async\"\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n";
    let server = Server::start(&Config::payments(&provider.url(), "").operation("later", later));
    let ask = |input: &Value| Ask::run("later", input).header("idempotency-key", "k");
    provider.next([Behaviour::status(422)]);
    let first = server.api.send(ask(&charge())).await;
    assert_eq!(first.status, 202, "{first:?}");
    until("it has failed", async || {
        let again = server.api.send(ask(&charge())).await;
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "{again:?}");
        (again.status == 200).then(|| assert_eq!(again.ok()["status"], "failed"))
    })
    .await;
    let mut other = charge();
    other["amount"] = json!(99);
    server.api.send(ask(&other)).await.problem(422, "idempotency_key_reused");
    assert_eq!(provider.arrivals().len(), 1);
}
