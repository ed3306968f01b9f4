//! What a server writes its log to may be gone, full or forbidden, and its files may run out: it goes on serving, counts
//! what it could not write, and ends in order.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::support::{Ask, Client, Config, Provider, charge, process, until};

/// Enough to fill a pipe and every buffer before it: a line has more than a kilobyte.
const CHARGES: usize = 300;

/// A server with these commands of a shell before it, on ports of its own: it cannot tell where it listens.
struct Deaf {
    child: Child,
    api: Client,
    admin: Client,
    provider: Provider,
    dir: tempfile::TempDir,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound address").port()
}

impl Deaf {
    /// `before` may set limits; `to` is where its output goes.
    async fn start(before: &str, to: &str) -> Self {
        let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
        let (api, admin) = (free_port(), free_port());
        Config::payments(&provider.url(), "")
            .replace("causeway.toml", "api = \"127.0.0.1:0\"", &format!("api = \"127.0.0.1:{api}\""))
            .replace("causeway.toml", "admin = \"127.0.0.1:0\"", &format!("admin = \"127.0.0.1:{admin}\""))
            .write(dir.path());
        let serve = process::causeway(&["serve", "--config", &dir.path().display().to_string()]);
        let script = format!("{before}\nexec \"$0\" \"$@\" {to}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).arg(serve.get_program()).args(serve.get_args()).current_dir(dir.path());
        let child = shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let client = |port| Client::new(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let mut deaf =
            Self { child: child.expect("a shell"), api: client(api), admin: client(admin), provider, dir };
        until("the server is ready", async || {
            assert_eq!(deaf.child.try_wait().expect("its status"), None, "it has ended");
            let ready = deaf.admin.try_send(Ask::get("/readyz")).await;
            ready.is_ok_and(|answer| answer.status == 200).then_some(())
        })
        .await;
        deaf
    }

    async fn charges(&self, count: usize) {
        for _ in 0..count {
            self.api.run("payments.charge", &charge()).await.ok();
        }
    }

    async fn metric(&self, series: &str) -> f64 {
        let metrics = self.admin.get("/metrics").await.body;
        let line =
            metrics.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("{metrics}"));
        line.trim().parse().expect("a number")
    }

    /// Ends it as systemd would.
    async fn ends_in_order(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("the command `kill`").success());
        let status = until("the server ends", async || self.child.try_wait().expect("its status")).await;
        assert!(status.success(), "{status}");
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        // One that has ended is no concern of anybody's.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_log_that_is_closed_or_full() {
    for to in [">&-", "> /dev/full"] {
        let server = Deaf::start("", to).await;
        server.charges(20).await;
        server.ends_in_order().await;
    }
}

/// Its output is a pipe here, of which nobody reads.
#[tokio::test]
async fn a_log_that_nobody_reads() {
    let server = Deaf::start("", "").await;
    server.charges(CHARGES).await;
    assert_eq!(server.provider.effects().len(), CHARGES);
    server.ends_in_order().await;
}

fn size(file: &Path) -> u64 {
    std::fs::metadata(file).map(|file| file.len()).unwrap_or_default()
}

/// Blocks are of 512 bytes, or of 1024 in other shells.
#[tokio::test]
async fn a_log_that_may_not_grow() {
    // As much as the store takes to begin with.
    let server = Deaf::start("ulimit -f 1536", "> log.jsonl").await;
    for _ in 0..6 * CHARGES {
        server.api.run("payments.ping", &json!({})).await.ok();
    }
    let file = server.dir.path().join("log.jsonl");
    assert!((1..=1_572_864).contains(&size(&file)), "{} bytes", size(&file));
    assert_eq!(
        server.metric("causeway_runs_total{operation=\"payments.ping\",outcome=\"succeeded\"}").await,
        1800.0
    );
    until("what could not be written is counted", async || {
        (server.metric("causeway_dropped_total{kind=\"log\"}").await > 100.0).then_some(())
    })
    .await;
    server.ends_in_order().await;
}

#[tokio::test]
async fn no_more_files_until_some_are_closed() {
    let server = Deaf::start("ulimit -n 64", "> log.jsonl").await;
    server.charges(1).await;
    let idle: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(server.api.address()).expect("the kernel takes it")).collect();
    // Nobody can be served while they are held; they are let go, and everybody is.
    assert_eq!(idle.len(), 100);
    drop(idle);
    until("charges are made again", async || {
        let answer = server.api.try_send(Ask::run("payments.charge", &charge())).await;
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    })
    .await;
    server.charges(10).await;
    server.ends_in_order().await;
}
