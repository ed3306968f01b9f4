//! While the store cannot write, nothing is promised and nothing that may act is sent; what only reads goes on. When it
//! can again, everything does, without a restart.

use serde_json::json;

use crate::support::fault::files_may_have;
use crate::support::postgres::{self, Postgres};
use crate::support::process::causeway;
use crate::support::promises::{fails, keyed, may_fail, promises_nothing, works_again};
use crate::support::{Ask, Client, Config, Process, Provider, charge, until};

/// Whether orchestrators are told that runs are taken.
async fn assert_is_ready(admin: &Client, works: bool) {
    let (status, store) = if works { (200, "store: works") } else { (503, "store: fails") };
    let ready = admin.get("/readyz?verbose").await;
    assert!(ready.status == status && ready.body.contains(store), "{ready:?}");
    assert_eq!(admin.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_file_that_may_not_grow() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    Config::payments(&provider.url(), "").write(dir.path());
    let path = dir.path().to_str().expect("a path");
    let mut server = Process::start(&mut causeway(&["serve", "--config", path]));
    let (api, admin) = server.serves().await;
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
    let left = Ask::run("payments.charge", &charge()).header("prefer", "respond-async");
    let refused = api.send(left).await;
    assert!(refused.retry_after() >= 1);
    refused.problem(503, "store_unavailable");
    assert_is_ready(&admin, false).await;
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
    // What operators want is not done where nobody could see who wanted it; but for what stops and starts traffic.
    let redrive = json!({ "filter": {}, "rate": 1, "reason": "a test" });
    for (path, body) in [
        ("/admin/v1/redrives".to_owned(), redrive),
        (format!("/admin/v1/runs/{id}/cancel"), json!({})),
        ("/admin/v1/config/reload".to_owned(), json!({})),
    ] {
        admin.send(Ask::post(path, &body)).await.problem(503, "store_unavailable");
    }
    assert_eq!(admin.get("/admin/v1/redrives").await.ok()["items"], json!([]));
    let trip = Ask::post(
        "/admin/v1/integrations/payments/breaker/mode",
        &json!({ "mode": "auto", "reason": "a test" }),
    );
    assert_eq!(admin.send(trip).await.ok()["durable"], false);
    // What became of attempts is no promise: it is let go of, and counted.
    until("attempts are let go of", async || {
        let metrics = admin.get("/metrics").await.body;
        let mut lines = metrics.lines();
        let dropped =
            lines.find_map(|line| line.strip_prefix("causeway_dropped_total{kind=\"attempt_log\"} "))?;
        (dropped.trim().parse::<f64>().expect("a number") >= 1.0).then_some(())
    })
    .await;

    // Nor does it seem to work again because somebody has looked for what is not there, as is done every two seconds.
    let errors = errors.trim().to_owned();
    until("the store is tried again", async || {
        let metrics = admin.get("/metrics").await.body;
        (!metrics.contains(&format!("causeway_store_errors_total {errors}\n"))).then_some(())
    })
    .await;
    assert_is_ready(&admin, false).await;

    files_may_have(&server, "unlimited");
    until("it is ready again, without being asked for anything", async || {
        (admin.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    assert_is_ready(&admin, true).await;
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

#[tokio::test]
async fn a_file_that_somebody_else_has_locked() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    Config::payments(&provider.url(), "").write(dir.path());
    let mut server =
        Process::start(&mut causeway(&["serve", "--config", dir.path().to_str().expect("a path")]));
    let (api, _) = server.serves().await;
    let first = api.send(keyed("first")).await;
    first.ok();
    let other = rusqlite::Connection::open(dir.path().join("data/causeway.db")).expect("a database");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    promises_nothing(api, &provider).await;
    other.execute_batch("ROLLBACK").expect("it is let go");
    works_again(api, &first).await;
    assert_eq!(provider.effects().len(), 2);
}

#[tokio::test]
async fn a_file_system_that_has_become_read_only() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    Config::payments(&provider.url(), "").write(dir.path());
    let orders = dir.path().join("fiu");
    let mut command = causeway(&["serve", "--config", dir.path().to_str().expect("a path")]);
    may_fail(&mut command, &orders);
    let mut server = Process::start(&mut command);
    let (api, _) = server.serves().await;
    let first = api.send(keyed("first")).await;
    first.ok();
    // EROFS.
    fails(&server, &orders, "enable name=posix/io/rw/pwrite,failnum=1,failinfo=30");
    promises_nothing(api, &provider).await;
    fails(&server, &orders, "disable name=posix/io/rw/pwrite");
    works_again(api, &first).await;
    assert_eq!(provider.effects().len(), 2);
}

/// A server on a database server of its own, which has answered one charge.
async fn on_postgres(
    provider: &Provider,
    dir: &std::path::Path,
) -> (Postgres, Process, crate::support::Client, crate::support::Answer) {
    let database = Postgres::start().await;
    let config = Config::payments(&provider.url(), "");
    postgres::kept_in(config, &database.url(), dir).write(dir);
    let mut server = Process::start(&mut causeway(&["serve", "--config", dir.to_str().expect("a path")]));
    let (api, _) = server.serves().await;
    let first = api.send(keyed("first")).await;
    first.ok();
    (database, server, api, first)
}

#[tokio::test]
async fn a_database_that_has_become_read_only() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let (database, _server, api, first) = on_postgres(&provider, dir.path()).await;
    for (word, works) in [("on", false), ("off", true)] {
        let sql = format!("ALTER SYSTEM SET default_transaction_read_only = {word}");
        postgres::execute(&database.url(), &sql).await;
        postgres::execute(&database.url(), "SELECT pg_reload_conf()").await;
        if works {
            works_again(api, &first).await;
        } else {
            // Its sessions learn of it in their own time; what is acknowledged until then is there.
            let mut asked = 0;
            until("it is read-only", async || {
                asked += 1;
                (api.send(keyed(&format!("until-{asked}"))).await.status == 503).then_some(())
            })
            .await;
            promises_nothing(api, &provider).await;
        }
    }
}

#[tokio::test]
async fn a_table_that_somebody_else_has_locked() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let (database, _server, api, first) = on_postgres(&provider, dir.path()).await;
    let (mut other, connection) =
        tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.expect("the database is there");
    let connection = tokio::spawn(connection);
    let lock = other.transaction().await.expect("a transaction");
    // Who reads may.
    lock.batch_execute("LOCK TABLE causeway.runs IN SHARE MODE").await.expect("the lock");
    promises_nothing(api, &provider).await;
    lock.rollback().await.expect("it is let go");
    works_again(api, &first).await;
    assert_eq!(provider.effects().len(), 2);
    drop(other);
    connection.await.expect("it has ended").expect("in order");
}
