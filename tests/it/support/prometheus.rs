//! A real Prometheus that scrapes one server, with a past of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{Client, Process, until};

/// What it calls the server that it scrapes.
pub(crate) const JOB: &str = "causeway";

/// A Prometheus that is ended, by its own id, when it is dropped; its data go with it.
pub(crate) struct Prometheus {
    api: Client,
    _process: Process,
    _dir: tempfile::TempDir,
}

/// One of Debian's programs.
fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".peers/prometheus/usr/bin").join(name);
    let shown = path.display();
    assert!(path.exists(), "Prometheus is not installed: run scripts/peers prometheus ({shown} is missing)");
    path
}

impl Prometheus {
    /// Scrapes `target` four times a second. It remembers `past`, an OpenMetrics text with times.
    pub(crate) async fn start(target: SocketAddr, past: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name).display().to_string();
        let config = format!(
            "global: {{ scrape_interval: 250ms, scrape_timeout: 250ms }}\n\
             scrape_configs: [{{ job_name: {JOB}, static_configs: [{{ targets: [\"{target}\"] }}] }}]\n"
        );
        fs::write(at("prometheus.yml"), config).expect("a file is written");
        fs::write(at("past.txt"), past).expect("a file is written");
        let mut remember = Command::new(program("promtool"));
        remember.args(["tsdb", "create-blocks-from", "openmetrics", &at("past.txt"), &at("data")]);
        let remembered = Process::start(&mut remember).ended().await;
        assert!(remembered.status.success(), "{remembered:?}");

        // It tells on standard error where it listens; `exec` keeps the id, so that what is killed is Prometheus.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(program("prometheus"));
        command.arg(format!("--config.file={}", at("prometheus.yml")));
        command.arg(format!("--storage.tsdb.path={}", at("data")));
        let mut process = Process::start(command.arg("--web.listen-address=127.0.0.1:0"));
        let api = process
            .says("where it listens", |out| {
                let (_, rest) = out.split_once("msg=\"Listening on\" address=")?;
                Some(Client::new(rest.split_whitespace().next()?.parse().ok()?))
            })
            .await;
        until("Prometheus is ready", async || get(api, "/-/ready").await.contains(" 200 ").then_some(()))
            .await;
        Self { api, _process: process, _dir: dir }
    }

    /// What its API answers, or what it finds wrong.
    async fn ask(&self, path: &str) -> Result<Value, String> {
        let answer = get(self.api, path).await;
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let mut document: Value = serde_json::from_str(body).map_err(|_| answer.clone())?;
        if document["status"] == "success" { Ok(document["data"].take()) } else { Err(answer) }
    }

    /// Every value of a query, from a time in Unix seconds until another: so often that what one scrape alone has seen is among them.
    pub(crate) async fn values(&self, query: &str, from: f64, until: f64) -> Result<Vec<f64>, String> {
        let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let path = format!("/api/v1/query_range?query={query}&start={from}&end={until}&step=0.1");
        let data = self.ask(&path).await?;
        let series = data["result"].as_array().expect("a list of series").iter();
        let points = series.flat_map(|series| series["values"].as_array().expect("a list of points"));
        Ok(points
            .map(|point| point[1].as_str().and_then(|value| value.parse().ok()).expect("a number"))
            .collect())
    }

    /// The values of a label of what a selector selects.
    pub(crate) async fn label(&self, label: &str, selector: &str) -> Result<Vec<String>, String> {
        let selector = utf8_percent_encode(selector, NON_ALPHANUMERIC);
        let data = self.ask(&format!("/api/v1/label/{label}/values?match[]={selector}")).await?;
        serde_json::from_value(data).map_err(|error| error.to_string())
    }

    /// Waits until a query, of what is now, has a result.
    pub(crate) async fn sees(&self, query: &str) {
        let path = format!("/api/v1/query?query={}", utf8_percent_encode(query, NON_ALPHANUMERIC));
        until(&format!("Prometheus sees {query}"), async || {
            let data = self.ask(&path).await.expect("an answer");
            data["result"].as_array().is_some_and(|result| !result.is_empty()).then_some(())
        })
        .await;
    }
}

/// The whole answer. In HTTP/1.0, whose bodies come as they are.
async fn get(api: Client, path: &str) -> String {
    api.raw(format!("GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n", api.address()).as_bytes()).await
}
