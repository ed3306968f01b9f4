//! Who executes a run holds it for as long as that takes; who has lost it sends nothing more for it.

use std::time::Duration;

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::fault::files_may_have;
use crate::support::process::causeway;
use crate::support::queued::{self, LATER, ONCE, over, place};
use crate::support::{Client, Config, Process, Provider, Server, until};

const SHORT: &str = "[queue]\nlease = \"1s\"\n";

fn config(provider: &Provider, sections: &str) -> Config {
    let sections = format!("{SHORT}{sections}");
    Config::payments(&provider.url(), &sections).operation("later", LATER).operation("once", ONCE)
}

#[tokio::test]
async fn by_a_run_that_takes_longer() {
    let provider = Provider::start();
    let server = Server::start(&config(&provider, ""));
    // Longer than its lease, and than it takes to look for leases that have run out.
    provider.always(Behaviour::normal().delayed(Duration::from_secs(4)));
    let path = place(&server.api.send(queued::of("once", 1)).await);
    let run = over(&server.api, &path).await;
    assert_eq!((&run["status"], &run["steps"][0]["attempts"]), (&json!("succeeded"), &json!(1)), "{run}");
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (1, 1));
}

#[tokio::test]
async fn and_a_server_that_stood_still_does_nothing_twice() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    config(&provider, "").write(dir.path());
    let mut server =
        Process::start(&mut causeway(&["serve", "--config", dir.path().to_str().expect("a path")]));
    let (api, _) = server.serves().await;
    provider.next([1, 2].map(|_| Behaviour::normal().delayed(Duration::from_millis(500))));
    let once = place(&api.send(queued::of("once", 1)).await);
    let keyed = place(&api.send(queued::of("later", 2)).await);
    provider.arrived(2).await;
    server.signal("STOP");
    // Both leases run out meanwhile, and both answers arrive.
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.signal("CONT");
    assert_eq!(over(&api, &keyed).await["status"], "succeeded");
    let run = over(&api, &once).await;
    assert!(run["status"] == "succeeded" || run["status"] == "unknown", "{run}");
    let mut amounts: Vec<u64> = provider.effects().iter().map(|effect| effect.amount).collect();
    amounts.sort_unstable();
    assert_eq!(amounts, [1, 2], "each is done once");
    let without_a_key = provider.arrivals().iter().filter(|arrival| arrival.key.is_none()).count();
    assert_eq!(without_a_key, 1, "what has no key is not sent a second time");
}

/// Waits until no call is under way or waits at the integration.
async fn is_at_rest(admin: Client) {
    until("no call waits", async || {
        let integration = admin.get("/admin/v1/integrations/payments").await.ok();
        (integration["pool"]["calls"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn and_what_waited_for_longer_than_its_lease_is_not_sent() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let limit = "[[limits]]\nkind = \"sliding_window\"\nrequests = 1\nper = \"5s\"\n";
    config(&provider, limit).write(dir.path());
    let mut server =
        Process::start(&mut causeway(&["serve", "--config", dir.path().to_str().expect("a path")]));
    let (api, admin) = server.serves().await;
    api.run("payments.ping", &json!({})).await.ok();
    let path = place(&api.send(queued::of("later", 1)).await);
    until("it waits for the limit", async || {
        let integration = admin.get("/admin/v1/integrations/payments").await.ok();
        (integration["pool"]["queued"] == 1).then_some(())
    })
    .await;
    // Its lease cannot be kept any more.
    files_may_have(&server, "4096");
    is_at_rest(admin).await;
    assert_eq!(provider.arrivals().len(), 1, "nobody knows who has it by now");
    files_may_have(&server, "unlimited");
    assert_eq!(over(&api, &path).await["status"], "succeeded");
    assert_eq!(provider.effects().len(), 1);
}
