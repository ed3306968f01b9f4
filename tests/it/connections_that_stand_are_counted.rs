//! `causeway_connections_open` is how many connections to a provider stand, busy or idle: it begins at zero, follows
//! them up and down, and whoever else the server connects to has no part in it.

use std::time::Duration;

use causeway::sandbox::{Action, Behaviour};
use futures_util::future::join_all;
use serde_json::json;

use crate::support::process::causeway;
use crate::support::recorder::Recorder;
use crate::support::{Client, Config, Process, Provider, until};

/// The series and their values.
async fn open(admin: Client) -> Vec<String> {
    let text = admin.get("/metrics").await.body;
    text.lines().filter(|line| line.starts_with("causeway_connections_open")).map(str::to_owned).collect()
}

async fn opens(admin: Client, count: u32) {
    let expected = vec![format!("causeway_connections_open{{integration=\"payments\"}} {count}")];
    until(&format!("{count} connections are told"), async || (open(admin).await == expected).then_some(()))
        .await;
}

#[tokio::test]
async fn busy_or_idle_and_of_integrations_only() {
    let (provider, collector) = (Provider::start(), Recorder::start("{}").await);
    let config = Config::payments(&provider.url(), "[pool]\nmax_idle = 2\nidle_timeout = \"2s\"")
        .append("causeway.toml", &format!("\n[traces]\notlp = \"{}\"\nsample = 1.0", collector.url()));
    let dir = tempfile::tempdir().expect("a directory");
    config.write(dir.path());
    let path = dir.path().to_str().expect("a path of text").to_owned();
    let mut process = Process::start(&mut causeway(&["serve", "--config", &path]));
    let (api, admin) = process.serves().await;
    opens(admin, 0).await;

    provider.always(Behaviour::normal().delayed(Duration::from_secs(1)));
    let call = async || api.run("payments.ping", &json!({})).await;
    let calls = join_all((0..3).map(|_| call()));
    let ((), answers) = tokio::join!(opens(admin, 3), calls);
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    // Two are kept for the next calls, until they have been idle for too long.
    opens(admin, 2).await;
    until("the collector is told", async || (!collector.requests().is_empty()).then_some(())).await;
    opens(admin, 0).await;

    provider.next([Behaviour::normal(), Action::DropAfter {}.into()]);
    call().await.ok();
    opens(admin, 1).await;
    call().await;
    opens(admin, 0).await;
}
