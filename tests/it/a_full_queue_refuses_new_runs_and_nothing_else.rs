//! Beyond `max_pending` new runs are refused, exactly; who asks again is answered, and what was taken on goes on.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::queued::{self, LATER, over, place, say};
use crate::support::{Ask, Config, Provider, Server, charge};

/// How many may wait, and how many ask at once.
const MOST: usize = 40;
const CALLERS: usize = 160;

fn config(provider: &Provider, most: usize) -> Config {
    let queue = format!("[queue]\nslots = 8\nmax_pending = {most}\n");
    Config::payments(&provider.url(), &queue).operation("later", LATER)
}

fn keyed(key: &str) -> Ask {
    queued::of("later", 1250).header("idempotency-key", key)
}

#[tokio::test]
async fn as_many_as_may_however_many_ask_at_once() {
    let provider = Provider::start();
    let config = config(&provider, MOST);
    let server = Server::start(&config);
    say(&server, "payments", "pause").await;
    let asks = (1..=CALLERS).map(|n| server.api.send(queued::of("later", n as u64)));
    let (accepted, refused): (Vec<_>, Vec<_>) =
        join_all(asks).await.into_iter().partition(|answer| answer.status == 202);
    assert_eq!(accepted.len(), MOST);
    for answer in refused {
        assert!(answer.retry_after() >= 1);
        answer.problem(503, "overloaded");
    }
    // Another life of the server knows from its first moment how many wait.
    let server = server.restarted(&config);
    let asks = (1..=CALLERS).map(|n| server.api.send(queued::of("later", n as u64)));
    assert!(join_all(asks).await.iter().all(|answer| answer.status == 503));
    say(&server, "payments", "resume").await;
    for answer in &accepted {
        assert_eq!(over(&server.api, &place(answer)).await["status"], "succeeded");
    }
    assert_eq!(provider.effects().len(), MOST, "and those that were refused were not taken on");
    over(&server.api, &place(&server.api.send(queued::of("later", 1)).await)).await;
}

#[tokio::test]
async fn who_asks_again_is_answered() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider, 1));
    let done = server.api.send(keyed("done")).await;
    over(&server.api, &place(&done)).await;
    say(&server, "payments", "pause").await;
    let waiting = server.api.send(keyed("waiting")).await;
    let path = place(&waiting);
    server.api.send(keyed("new")).await.problem(503, "overloaded");
    // The queue is full.
    let again = server.api.send(keyed("done")).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!((&again.json()["id"], &again.json()["status"]), (&done.json()["id"], &json!("succeeded")));
    let again = server.api.send(keyed("waiting")).await;
    assert_eq!(place(&again), path);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let other = queued::of("later", 7).header("idempotency-key", "done");
    server.api.send(other).await.problem(422, "idempotency_key_reused");
    say(&server, "payments", "resume").await;
    assert_eq!(over(&server.api, &path).await["status"], "succeeded");
    assert_eq!(provider.effects().len(), 2);
}

#[tokio::test]
async fn a_later_step_is_taken_on() {
    let provider = Provider::start();
    let both = "[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n[[steps]]\nname = \"copy\"\nafter = [\"charge\"]\ncall = \
                \"payments.charge_once\"\ninput = '.input'\nbackground = true\n";
    let server = Server::start(&config(&provider, 1).operation("both", both));
    say(&server, "payments", "pause").await;
    let first = place(&server.api.send(queued::of("later", 1)).await);
    let outcome = server.api.run("both", &charge()).await.ok();
    assert_eq!(
        (&outcome["status"], &outcome["steps"][1]["status"]),
        (&json!("succeeded"), &json!("accepted"))
    );
    let child = format!("/v1/runs/{}", outcome["steps"][1]["run"].as_str().expect("its run"));
    server.api.send(queued::of("later", 2)).await.problem(503, "overloaded");
    say(&server, "payments", "resume").await;
    for path in [first, child] {
        assert_eq!(over(&server.api, &path).await["status"], "succeeded");
    }
    // What was told of the step stays as it was told.
    let path = format!("/v1/runs/{}", outcome["id"].as_str().expect("an id"));
    let later = server.api.get(&path).await.ok();
    assert_eq!((&later["status"], &later["steps"]), (&outcome["status"], &outcome["steps"]));
    assert_eq!(provider.effects().len(), 3);
}
