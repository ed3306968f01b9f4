//! While the store cannot write, nothing is promised and nothing that may act is sent; what only reads goes on. When it
//! can again, everything does, without a restart.

use std::process::Command;

use serde_json::json;

use crate::support::process::causeway;
use crate::support::{Ask, Config, Process, Provider, charge, until};

/// Sets how large a file of the process may become: as `ulimit -f` does, from outside.
fn files_may_have(process: &Process, bytes: &str) {
    let id = process.id().to_string();
    let set = Command::new("prlimit").args(["--pid", &id, &format!("--fsize={bytes}:unlimited")]).status();
    assert!(set.expect("the command `prlimit`").success());
}

#[tokio::test]
async fn a_file_that_may_not_grow() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    Config::payments(&provider.url(), "").write(dir.path());
    let path = dir.path().to_str().expect("a path");
    let mut server = Process::start(&mut causeway(&["serve", "--config", path]));
    let (api, admin) = server.serves().await;
    let keyed = |key: &str| Ask::run("payments.charge", &charge()).header("idempotency-key", key);
    let first = api.send(keyed("first")).await;
    first.ok();

    files_may_have(&server, "4096");
    for attempt in 0..3 {
        let problem = api.send(keyed("second")).await;
        assert!(problem.retry_after() >= 1);
        let problem = problem.problem(503, "store_unavailable");
        assert_eq!(problem["retryable"], true, "{attempt}");
    }
    api.run("payments.charge_once", &charge()).await.problem(503, "store_unavailable");
    // Who only reads, and who looks, is served; what was promised is kept.
    api.run("payments.ping", &json!({})).await.ok();
    let id = first.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(api.get(&format!("/v1/runs/{id}")).await.ok()["status"], "succeeded");
    let metrics = admin.get("/metrics").await.body;
    let errors = metrics
        .lines()
        .find_map(|line| line.strip_prefix("causeway_store_errors_total "))
        .expect("a counter");
    assert!(errors.trim().parse::<f64>().expect("a number") >= 4.0, "{errors}");
    assert_eq!(provider.effects().len(), 1, "nothing was sent");
    // What became of attempts is no promise: it is let go of, and counted.
    until("attempts are let go of", async || {
        let metrics = admin.get("/metrics").await.body;
        let mut lines = metrics.lines();
        let dropped =
            lines.find_map(|line| line.strip_prefix("causeway_dropped_total{kind=\"attempt_log\"} "))?;
        (dropped.trim().parse::<f64>().expect("a number") >= 1.0).then_some(())
    })
    .await;

    files_may_have(&server, "unlimited");
    let second = until("the store works again", async || {
        let answer = api.send(keyed("second")).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(second.header("idempotency-replayed"), None);
    let replay = api.send(keyed("first")).await;
    assert_eq!((replay.header("idempotency-replayed"), &replay.body), (Some("true"), &first.body));
    assert_eq!(provider.effects().len(), 2);
    server.terminate();
    let ended = server.ended().await;
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.out.contains("the store fails") && ended.out.contains("the store works again"));
}

#[tokio::test]
async fn what_was_accepted_before_waits_until_it_can() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let operation = "mode = \"async\"\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge_once\"\n";
    Config::payments(&provider.url(), "").operation("later", operation).write(dir.path());
    let path = dir.path().to_str().expect("a path");
    let mut server = Process::start(&mut causeway(&["serve", "--config", path]));
    let (api, admin) = server.serves().await;
    let pause = |word: &str| Ask::post(format!("/admin/v1/integrations/payments/{word}"), &json!({}));
    admin.send(pause("pause")).await.ok();
    let accepted = api.run("later", &charge()).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let place = accepted.header("location").expect("where to look").to_owned();
    files_may_have(&server, "4096");
    let resumed = admin.send(pause("resume")).await.ok();
    assert_eq!(resumed["durable"], false, "it takes effect, and says that it is not written down");
    // Its turn has come, and nothing can be written: it is neither sent nor failed.
    until("the store has failed a few times", async || {
        let metrics = admin.get("/metrics").await.body;
        let errors = metrics.lines().find_map(|line| line.strip_prefix("causeway_store_errors_total "))?;
        (errors.trim().parse::<f64>().ok()? >= 6.0).then_some(())
    })
    .await;
    assert_eq!(provider.arrivals().len(), 0);
    files_may_have(&server, "unlimited");
    let run = until("the run is over", async || {
        let run = api.get(&format!("{place}?wait=5")).await.ok();
        run["finished_at"].is_string().then_some(run)
    })
    .await;
    assert_eq!((&run["status"], &run["steps"][0]["attempts"]), (&json!("succeeded"), &json!(1)), "{run}");
    assert_eq!(provider.effects().len(), 1);
}
