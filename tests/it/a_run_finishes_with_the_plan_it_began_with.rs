//! A run goes by what held when it began, to its end, however often the configuration is read meanwhile.

use std::fs;

use causeway::sandbox::{Action, Behaviour};
use serde_json::json;

use crate::support::queued::{self, LATER, over, place, say};
use crate::support::{Config, Provider, Server, charge, until};

const PATIENT: &str = "[retry]\nmax_retries = 1\nbase_delay = \"700ms\"\njitter = 0.0\n";

#[tokio::test]
async fn a_retry_after_a_reload_goes_where_the_first_attempt_went() {
    let (old, new, dir) = (Provider::start(), Provider::start(), tempfile::tempdir().unwrap());
    let server = Server::start_in(dir.path(), &Config::payments(&old.url(), PATIENT));
    old.next([Behaviour::status(503), Behaviour::normal()]);
    let api = server.api;
    let run = tokio::spawn(async move { api.run("payments.charge", &charge()).await });
    until("the first attempt has failed", async || (old.endings().len() == 1).then_some(())).await;

    Config::payments(&new.url(), "[retry]\nmax_retries = 0\n").write(dir.path());
    server.reload().await.ok();
    let outcome = run.await.unwrap().ok();
    assert_eq!(outcome["steps"][0]["attempts"], 2, "it is tried again as often as was said then");
    let keys = old.arrivals().into_iter().map(|arrival| arrival.key).collect::<Vec<_>>();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
    assert_eq!((old.effects().len(), new.arrivals().len()), (1, 0));

    server.api.run("payments.charge", &charge()).await.ok();
    assert_eq!((old.arrivals().len(), new.effects().len()), (2, 1), "the next run goes by the new plan");
}

#[tokio::test]
async fn a_run_of_an_integration_that_is_gone_is_finished() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().unwrap());
    let config = Config::payments(&provider.url(), "").integration("gone", &provider.url(), "");
    let server = Server::start_in(dir.path(), &config);
    provider.always(Action::Delay { ms: 1_000, jitter_ms: 0 });
    let api = server.api;
    let run = tokio::spawn(async move { api.run("gone.charge", &charge()).await });
    provider.arrived(1).await;

    fs::remove_file(dir.path().join("integrations/gone.toml")).unwrap();
    for call in ["charge", "charge_once", "ping", "balance"] {
        fs::remove_file(dir.path().join(format!("operations/gone.{call}.toml"))).unwrap();
    }
    let report = server.reload().await.ok();
    assert_eq!(report["changed"]["integrations"]["removed"], json!(["gone"]));
    server.admin.get("/admin/v1/integrations/gone").await.problem(404, "unknown_integration");
    assert_eq!(run.await.unwrap().ok()["status"], "succeeded");
    assert_eq!(provider.effects().len(), 1);
}

#[tokio::test]
async fn a_run_whose_endpoint_is_gone_or_another_is_finished() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().unwrap());
    let server = Server::start_in(dir.path(), &Config::payments(&provider.url(), PATIENT));
    provider.next([Behaviour::status(503), Behaviour::normal()]);
    let api = server.api;
    let run = tokio::spawn(async move { api.run("payments.charge", &charge()).await });
    until("the first attempt has failed", async || (provider.endings().len() == 1).then_some(())).await;

    // In the place of the charge, which was the first endpoint, stands one that only reads.
    let integration = format!(
        "base_url = \"{}\"\n[endpoints.ping]\nmethod = \"GET\"\npath = \"/v1/ping\"\n",
        provider.url()
    );
    fs::write(dir.path().join("integrations/payments.toml"), integration).unwrap();
    for call in ["charge", "charge_once", "balance"] {
        fs::remove_file(dir.path().join(format!("operations/payments.{call}.toml"))).unwrap();
    }
    server.reload().await.ok();
    let outcome = run.await.unwrap().ok();
    assert_eq!((&outcome["status"], &outcome["steps"][0]["attempts"]), (&json!("succeeded"), &json!(2)));
    let paths: Vec<String> = provider.arrivals().into_iter().map(|arrival| arrival.path).collect();
    assert_eq!(paths, ["/v1/charges", "/v1/charges"]);
    server.api.run("payments.charge", &charge()).await.problem(404, "unknown_operation");
    server.api.run("payments.ping", &json!({})).await.ok();
}

#[tokio::test]
async fn a_run_that_waits_for_its_turn_goes_by_what_held_when_it_was_left() {
    let (provider, other) = (Provider::start(), Provider::start());
    let config = Config::payments(&provider.url(), "").operation("later", LATER);
    let server = Server::start(&config);
    say(&server, "payments", "pause").await;
    let path = place(&server.api.send(queued::of("later", 1)).await);
    // Meanwhile the server ends, and another provider is asked, and another result told.
    let changed = Config::payments(&other.url(), "");
    let changed = changed.operation("later", &format!("result = '\"another\"'\n{LATER}"));
    let server = server.restarted(&changed);
    say(&server, "payments", "resume").await;
    let run = over(&server.api, &path).await;
    assert_eq!(
        (&run["status"], &run["result"]["status"]),
        (&json!("succeeded"), &json!("succeeded")),
        "{run}"
    );
    assert_eq!((provider.effects().len(), other.arrivals().len()), (1, 0));
    let next = over(&server.api, &place(&server.api.send(queued::of("later", 2)).await)).await;
    assert_eq!((&next["result"], other.effects().len()), (&json!("another"), 1));
}
