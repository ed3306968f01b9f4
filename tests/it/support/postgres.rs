//! A real PostgreSQL: the one at `DATABASE_URL`, where each test has a database of its own, or one of the test's own.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use tokio_postgres::NoTls;

use super::{Config, Process};

/// A database that nobody else uses, by its URL.
pub(crate) struct Database {
    pub(crate) url: String,
    _server: Option<Postgres>,
}

/// A server of the test's own, that may be ended and started again on the same data.
pub(crate) struct Postgres {
    dir: tempfile::TempDir,
    port: u16,
    options: Vec<String>,
    process: Option<Process>,
}

impl Database {
    pub(crate) async fn new() -> Self {
        match std::env::var("DATABASE_URL") {
            Ok(server) => Self { url: new_database(&server).await, _server: None },
            Err(_) => {
                let server = Postgres::start().await;
                Self { url: new_database(&server.url()).await, _server: Some(server) }
            }
        }
    }
}

/// Does something in a database, as its owner.
pub(crate) async fn execute(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the database is there");
    let connection = tokio::spawn(connection);
    client.batch_execute(sql).await.expect("it is done");
    drop(client);
    connection.await.expect("it has ended").expect("in order");
}

async fn new_database(server: &str) -> String {
    let name = format!("test_{}", uuid::Uuid::new_v4().simple());
    execute(server, &format!("CREATE DATABASE {name}")).await;
    let (before, _) = server.rsplit_once('/').expect("a database is named");
    format!("{before}/{name}")
}

impl Postgres {
    pub(crate) async fn start() -> Self {
        Self::start_with(tempfile::tempdir().expect("a directory"), &[]).await
    }

    /// One with its data in this directory, and with options of its own.
    pub(crate) async fn start_with(dir: tempfile::TempDir, options: &[&str]) -> Self {
        // Whoever takes the port meanwhile makes the server say so.
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port();
        let mut server =
            Self { dir, port, options: options.iter().map(ToString::to_string).collect(), process: None };
        server.start_again().await;
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://causeway@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it on the data that it has.
    pub(crate) async fn start_again(&mut self) {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/postgres");
        let mut command = Command::new("sh");
        // What it logs goes where it is read; `exec` keeps the id, so that what is killed is the server.
        command
            .args(["-c", "exec \"$0\" \"$@\" 2>&1"])
            .arg(program)
            .arg(self.dir.path())
            .arg(self.port.to_string())
            .args(&self.options);
        let mut process = Process::start(&mut command);
        process
            .says("that it is ready", |out| out.contains("ready to accept connections").then_some(()))
            .await;
        self.process = Some(process);
    }

    /// Ends it as a machine that fails does: nothing is written any more, and what was is recovered by the next start.
    pub(crate) async fn end_at_once(&mut self) {
        let process = self.process.take().expect("it runs");
        process.signal("QUIT");
        process.ended().await;
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // One that is killed leaves children behind that outlive it for a moment.
        if let Some(mut process) = self.process.take() {
            process.signal("QUIT");
            process.wait();
        }
    }
}

/// The same configuration, with its store in a database.
pub(crate) fn kept_in(config: Config, url: &str, dir: &Path) -> Config {
    use base64::Engine as _;
    let key = dir.join("encryption.key");
    std::fs::write(&key, base64::engine::general_purpose::STANDARD.encode([7; 32]))
        .expect("a file is written");
    let text = format!(
        "\n[store]\nurl = \"{url}\"\n[encryption]\nkeys = [{{ id = \"k1\", key = {{ file = \"{}\" }} }}]\n",
        key.display()
    );
    config.append("causeway.toml", &text)
}
