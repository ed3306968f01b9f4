//! A reload takes nothing from an integration that works: its breaker, its budgets, an operator's word.

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::{Ask, Config, Provider, Server};

const SECTIONS: &str = r#"
[retry]
max_retries = 0
[breaker]
failures = 2
open_for = "1h"
[[limits]]
name = "hourly"
kind = "token_bucket"
requests = 10
per = "1h"
"#;

/// The same with one more budget, other timeouts, another pool and one more endpoint.
const CHANGED: &str = r#"
[[limits]]
name = "daily"
kind = "sliding_window"
requests = 20
per = "1d"
[timeouts]
total = "7s"
[pool]
max_in_flight = 9
[endpoints.more]
method = "GET"
path = "/v1/ping"
"#;

#[tokio::test]
async fn an_open_breaker_stays_open_and_what_is_taken_stays_taken() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().unwrap());
    let server = Server::start_in(dir.path(), &Config::payments(&provider.url(), SECTIONS));
    provider.next([Behaviour::normal(), Behaviour::status(500), Behaviour::status(500)]);
    server.api.run("payments.ping", &json!({})).await.ok();
    for _ in 0..2 {
        server.api.run("payments.ping", &json!({})).await.problem(502, "provider_failed");
    }
    server.breaker_is("payments", "open").await;
    let before = server.integration("payments").await;

    Config::payments(&provider.url(), &format!("{SECTIONS}{CHANGED}")).write(dir.path());
    let report = server.reload().await.ok();
    assert_eq!(report["changed"]["integrations"]["changed"], json!(["payments"]));
    let after = server.integration("payments").await;
    assert_eq!(after["pool"]["capacity"], 9, "it goes by the new plan");
    assert_eq!(
        (&after["breaker"]["state"], &after["breaker"]["epoch"]),
        (&json!("open"), &before["breaker"]["epoch"])
    );
    assert_eq!((&before["limits"][0]["remaining"], &after["limits"][0]["remaining"]), (&json!(7), &json!(7)));
    assert_eq!(
        (&after["limits"][1]["name"], &after["limits"][1]["remaining"]),
        (&json!("daily"), &json!(20))
    );
    server.api.run("payments.ping", &json!({})).await.problem(503, "breaker_open");
    assert_eq!(provider.arrivals().len(), 3);
}

#[tokio::test]
async fn an_operators_trip_holds() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().unwrap());
    let server = Server::start_in(dir.path(), &Config::payments(&provider.url(), SECTIONS));
    let trip = Ask::post("/admin/v1/integrations/payments/breaker/trip", &json!({ "reason": "maintenance" }));
    server.admin.send(trip).await.ok();
    Config::payments(&provider.url(), &format!("{SECTIONS}{CHANGED}")).write(dir.path());
    server.reload().await.ok();
    let after = server.integration("payments").await;
    assert_eq!(
        (&after["breaker"]["state"], &after["breaker"]["manual"]["reason"]),
        (&json!("forced_open"), &json!("maintenance"))
    );
}
