//! A disk that is full, an `fsync` that fails and a clock that jumps: nothing is acknowledged that is not on disk, nothing is
//! done twice, and everything goes on when the fault has gone, without a restart.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::clock::Clock;
use crate::support::process::causeway;
use crate::support::promises::{fails, keyed, may_fail, promises_nothing, works_again, works_for};
use crate::support::{Ask, Config, Process, Provider, charge, until};

#[tokio::test]
async fn an_fsync_that_fails() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    Config::payments(&provider.url(), "").write(dir.path());
    let fifo = dir.path().join("fiu");
    let mut command = causeway(&["serve", "--config", dir.path().to_str().expect("a path")]);
    may_fail(&mut command, &fifo);
    let mut server = Process::start(&mut command);
    let (api, _) = server.serves().await;
    let first = api.send(keyed("first")).await;
    first.ok();
    for point in ["fsync", "fdatasync"] {
        // EIO.
        fails(&server, &fifo, &format!("enable name=posix/io/sync/{point},failnum=1,failinfo=5"));
    }
    promises_nothing(api, &provider).await;
    for point in ["fsync", "fdatasync"] {
        fails(&server, &fifo, &format!("disable name=posix/io/sync/{point}"));
    }
    works_again(api, &first).await;
    assert_eq!(provider.effects().len(), 2);
    // What was refused is not found by the next life either.
    server.kill();
    let mut server =
        Process::start(&mut causeway(&["serve", "--config", dir.path().to_str().expect("a path")]));
    let (api, _) = server.serves().await;
    works_for(api, "first", &first).await;
    assert_eq!(provider.effects().len(), 2);
}

#[tokio::test]
async fn a_disk_that_is_full() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    Config::payments(&provider.url(), "").write(dir.path());
    let data = dir.path().join("data");
    fs::create_dir(&data).expect("a directory is made");
    // A small disk of the server's own, seen by nobody else and gone with it.
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command.arg("mount -t tmpfs -o size=4m tmpfs \"$1\" && shift && exec \"$@\"").arg("sh").arg(&data);
    command.arg(env!("CARGO_BIN_EXE_causeway")).args(["serve", "--config"]).arg(dir.path());
    let mut server = Process::start(&mut command);
    let (api, _) = server.serves().await;
    let first = api.send(keyed("first")).await;
    first.ok();
    // As the server sees it.
    let seen = PathBuf::from(format!("/proc/{}/root{}", server.id(), data.display()));
    let ballast = seen.join("ballast");
    let full = fs::write(&ballast, vec![0_u8; 8 << 20]).expect_err("the disk is small");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    // What has room left on pages that are there already may be taken, truly; then it is over.
    let mut asked = 0;
    until("the disk is full", async || {
        asked += 1;
        (api.send(keyed(&format!("fill-{asked}"))).await.status == 503).then_some(())
    })
    .await;
    // The first, and each that was acknowledged. There may have been room for the last one's claim, and none for its end.
    let effects = provider.effects().len();
    assert!(effects == asked || effects == asked + 1, "{effects} of {asked}");
    promises_nothing(api, &provider).await;
    fs::remove_file(&ballast).expect("there is room again");
    works_again(api, &first).await;
    until("the last one is answered, too", async || {
        (api.send(keyed(&format!("fill-{asked}"))).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(provider.effects().len(), asked + 2, "each once");
}

#[tokio::test]
async fn a_clock_that_jumps_while_something_is_under_way() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let once = "mode = \"async\"\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge_once\"\n";
    Config::payments(&provider.url(), "[queue]\nlease = \"30s\"\n").operation("once", once).write(dir.path());
    let clock = Clock::new(dir.path());
    let mut command = causeway(&["serve", "--config", dir.path().to_str().expect("a path")]);
    let mut server = Process::start(clock.of(&mut command));
    let (api, _) = server.serves().await;
    let before = api.send(keyed("first")).await;
    before.ok();
    for jump in ["+2h", "-2h", "+0"] {
        // Longer than it takes to look for leases that have run out.
        provider.next([Behaviour::normal().delayed(Duration::from_secs(4))]);
        let (effects, arrivals) = (provider.effects().len(), provider.arrivals().len());
        let accepted = api.run("once", &charge()).await;
        assert_eq!(accepted.status, 202, "{accepted:?}");
        let path = accepted.header("location").expect("where to look").to_owned();
        until("it is sent", async || (provider.arrivals().len() > arrivals).then_some(())).await;
        clock.set(jump);
        let run = until("it is over", async || {
            let run = api.get(&format!("{path}?wait=5")).await.ok();
            run["finished_at"].is_string().then_some(run)
        })
        .await;
        assert_eq!(
            (&run["status"], &run["steps"][0]["attempts"]),
            (&json!("succeeded"), &json!(1)),
            "{jump}: {run}"
        );
        assert_eq!(provider.effects().len(), effects + 1, "{jump}: it is done once");
        works_for(api, "first", &before).await;
        api.send(Ask::run("payments.charge", &charge()).header("idempotency-key", jump)).await.ok();
    }
    server.terminate();
    let ended = server.ended().await;
    assert!(ended.out.contains("the host's clock was set forward"), "{}", ended.out);
}
