//! Series are there at zero before anything happens: Prometheus sees no increase in a series that begins at one, and
//! the first failure is the one that matters most. What is gone takes its gauges with it, and alerts nobody.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use causeway::sandbox::{Action, Behaviour};
use serde_json::json;
use tempfile::TempDir;

use crate::support::process::causeway;
use crate::support::{Ask, Client, Config, Process, Provider, charge, until};

const SECTIONS: &str = r#"
[timeouts]
first_byte = "200ms"
[retry]
max_retries = 1
base_delay = "5ms"
[breaker]
failures = 4
[[limits]]
name = "reads"
kind = "token_bucket"
requests = 100
per = "1s"
[[limits]]
name = "all"
kind = "token_bucket"
requests = 100
per = "1s"
"#;

/// The server in a process of its own: a registry of metrics is a process's.
async fn serve(config: &Config) -> (TempDir, Process, Client, Client) {
    let dir = tempfile::tempdir().expect("a directory");
    config.write(dir.path());
    let path = dir.path().to_str().expect("a path of text").to_owned();
    let mut process = Process::start(&mut causeway(&["serve", "--config", &path]));
    let (api, admin) = process.serves().await;
    (dir, process, api, admin)
}

/// What is scraped: series and values.
async fn scrape(admin: Client) -> BTreeMap<String, f64> {
    let text = admin.get("/metrics").await.body;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let parsed = lines.map(|line| line.rsplit_once(' ').expect("a series and a value"));
    parsed.map(|(series, value)| (series.to_owned(), value.parse().expect("a number"))).collect()
}

#[tokio::test]
async fn whatever_it_is() {
    let provider = Provider::start();
    let (_dir, _process, api, admin) = serve(&Config::payments(&provider.url(), SECTIONS)).await;
    let before = scrape(admin).await;

    let refused = || Behaviour::from(Action::RateLimit { retry_after: "0".to_owned(), status: 429 });
    let garbage =
        Action::Status { status: 200, headers: BTreeMap::new(), body: Some(json!("<")), act: false };
    let hang = Behaviour::from(Action::Hang { act: true });
    provider.next([Behaviour::normal(), Behaviour::status(500), Behaviour::normal(), refused()]);
    for _ in 0..3 {
        api.run("payments.ping", &json!({})).await.ok();
    }
    let mut declined = charge();
    declined["source"] = json!("tok_declined");
    api.run("payments.charge", &declined).await.problem(422, "provider_refused");
    provider.next([garbage.into(), hang]);
    api.run("payments.ping", &json!({})).await.problem(502, "invalid_response");
    api.run("payments.charge_once", &charge()).await;
    provider.always(Behaviour::status(503));
    until("the breaker opens", async || {
        (api.run("payments.ping", &json!({})).await.status == 503).then_some(())
    })
    .await;
    api.run("payments.ping", &json!({})).await.problem(503, "breaker_open");

    let counted = |series: &str| {
        let families = [
            "runs",
            "attempts",
            "retries",
            "breaker_transitions",
            "rejections",
            "provider_429",
            "dead_letters",
        ];
        families.iter().any(|family| series.starts_with(&format!("causeway_{family}_total")))
    };
    let after = scrape(admin).await;
    let increased: Vec<_> = after
        .iter()
        .filter(|(series, value)| **value > 0.0 && counted(series))
        .map(|(series, _)| series)
        .collect();
    assert!(increased.len() >= 12, "{increased:?}");
    for series in increased {
        assert_eq!(before.get(series), Some(&0.0), "{series} was not there before");
    }
}

#[tokio::test]
async fn dead_letters_are_counted_as_they_come_and_as_long_as_they_are_there() {
    let provider = Provider::start();
    let (_dir, server, api, admin) = serve(&Config::payments(&provider.url(), "")).await;
    let labels = r#"{integration="payments",operation="payments.charge_once"}"#;
    let read = async |name: &str| scrape(admin).await.get(&format!("causeway_{name}{labels}")).copied();
    assert_eq!(read("dead_letters_total").await, Some(0.0));
    provider.next([Action::DropAfter {}.into()]);
    let problem = api.run("payments.charge_once", &charge()).await.problem(504, "outcome_unknown");
    let id = problem["run"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(read("dead_letters_total").await, Some(1.0));
    until("it is there", async || (read("dead_letters").await == Some(1.0)).then_some(())).await;
    admin.delete(&format!("/admin/v1/dead-letters/{id}")).await;
    until("it is gone", async || (read("dead_letters").await == Some(0.0)).then_some(())).await;
    assert_eq!(read("dead_letters_total").await, Some(1.0));
    server.terminate();
    let ended = server.ended().await;
    let told = ended.out.lines().find(|line| line.contains("a run is a dead letter")).expect("the log tells");
    assert!(told.contains(&id) && told.contains("\"class\":\"ambiguous\""), "{told}");
}

#[tokio::test]
async fn what_is_gone_has_no_capacity() {
    let provider = Provider::start();
    let both = Config::new().providers(&[("left", &provider), ("right", &provider)], SECTIONS);
    let (dir, _process, _, admin) = serve(&both).await;
    let capacity = async |series: &str| scrape(admin).await.get(series).copied();
    let reads = r#"causeway_limit_capacity{integration="left",limit="reads"}"#;
    let all = r#"causeway_limit_capacity{integration="left",limit="all"}"#;
    let right = r#"causeway_limit_capacity{integration="right",limit="all"}"#;
    let pool = r#"causeway_pool_capacity{integration="right"}"#;
    for (series, value) in [(reads, 100.0), (all, 100.0), (right, 100.0), (pool, 64.0)] {
        assert_eq!(capacity(series).await, Some(value), "{series}");
    }

    let (_, kept) = SECTIONS.rsplit_once("[[limits]]").expect("the second limit");
    let one = Config::new().providers(&[("left", &provider)], &format!("[[limits]]{kept}"));
    forget(dir.path());
    one.write(dir.path());
    let reloaded = admin.send(Ask::post_text("/admin/v1/config/reload", "")).await;
    reloaded.ok();
    until("the capacities are taken back", async || {
        let gone = [capacity(reads).await, capacity(right).await, capacity(pool).await];
        (gone == [Some(0.0); 3]).then_some(())
    })
    .await;
    assert_eq!(capacity(all).await, Some(100.0));
}

fn forget(dir: &Path) {
    for folder in ["integrations", "operations"] {
        fs::remove_dir_all(dir.join(folder)).expect("a folder is removed");
    }
}

/// What an operator may plan a Prometheus with: 150 series for an integration and 40 for each of its endpoints.
#[tokio::test]
async fn and_there_are_not_more_series_than_told() {
    let provider = Provider::start();
    let (_dir, _process, api, admin) = serve(&Config::payments(&provider.url(), SECTIONS)).await;
    let refused = || Behaviour::from(Action::RateLimit { retry_after: "0".to_owned(), status: 429 });
    provider.next([Behaviour::normal(), Behaviour::status(500), Behaviour::normal(), refused()]);
    for number in 0..20 {
        api.run("payments.ping", &json!({ "number": number })).await;
        api.run("payments.charge", &charge()).await;
    }
    let series = scrape(admin).await;
    let of_integration = series.keys().filter(|series| series.contains("integration=\"payments\""));
    let (of_endpoints, own): (Vec<_>, Vec<_>) =
        of_integration.partition(|series| series.contains("endpoint=\""));
    assert!((50..=150).contains(&own.len()), "{}: {own:#?}", own.len());
    for endpoint in ["ping", "charge"] {
        let label = format!("endpoint=\"{endpoint}\"");
        let count = of_endpoints.iter().filter(|series| series.contains(&label)).count();
        assert!((20..=40).contains(&count), "{endpoint}: {count}");
    }
}
