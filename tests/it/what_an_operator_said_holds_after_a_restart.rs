//! A breaker that was opened by hand, and a pause, hold in the next life of the server too, for as long as was said; and who
//! said it, when and why is written down.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Ask, Config, Provider, Server, charge, until};

async fn says(server: &Server, path: &str, body: &Value) -> Value {
    server.admin.send(Ask::post(format!("/admin/v1/integrations/payments/{path}"), body)).await.ok()
}

#[tokio::test]
async fn a_trip_and_its_end() {
    let provider = Provider::start();
    let config = Config::payments(&provider.url(), "[breaker]\nopen_for = \"100ms\"\nhalf_open_calls = 1");
    let server = Server::start(&config);
    let tripped = says(&server, "breaker/trip", &json!({ "reason": "asked to stop" })).await;
    assert_eq!(tripped["durable"], true);
    let server = server.restarted(&config);
    let seen = server.integration("payments").await;
    assert_eq!(
        (&seen["breaker"]["mode"], &seen["breaker"]["manual"]["reason"]),
        (&json!("forced_open"), &json!("asked to stop"))
    );
    server.api.run("payments.charge", &charge()).await.problem(503, "breaker_open");
    // For as long as was said, be it in another life.
    says(&server, "breaker/trip", &json!({ "reason": "for a moment", "for": "2s" })).await;
    let server = server.restarted(&config);
    assert_eq!(server.integration("payments").await["breaker"]["mode"], "forced_open");
    until("the trip runs out", async || {
        (server.integration("payments").await["breaker"]["mode"] == "auto").then_some(())
    })
    .await;
    // And a reset is a reset.
    says(&server, "breaker/trip", &json!({ "reason": "again" })).await;
    says(&server, "breaker/reset", &json!({ "reason": "it works" })).await;
    let server = server.restarted(&config);
    assert_eq!(server.integration("payments").await["breaker"]["state"], "closed");
    server.api.run("payments.charge", &charge()).await.ok();

    let trail = server.admin.get("/admin/v1/audit?limit=2").await.ok();
    let said = |entry: &Value| (entry["action"].clone(), entry["subject"].clone(), entry["reason"].clone());
    assert_eq!(said(&trail["items"][0]), (json!("breaker.reset"), json!("payments"), json!("it works")));
    assert_eq!(said(&trail["items"][1]), (json!("breaker.trip"), json!("payments"), json!("again")));
    let cursor = trail["next_cursor"].as_str().expect("there are more");
    let rest = server.admin.get(&format!("/admin/v1/audit?cursor={cursor}")).await.ok();
    assert_eq!(said(&rest["items"][0]).2, json!("for a moment"));
    assert_eq!((rest["items"].as_array().map(Vec::len), &rest["next_cursor"]), (Some(2), &Value::Null));
}

#[tokio::test]
async fn a_pause() {
    let provider = Provider::start();
    let operation = "mode = \"async\"\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n";
    let config = Config::payments(&provider.url(), "").operation("later", operation);
    let server = Server::start(&config);
    let paused = says(&server, "pause", &json!({ "reason": "maintenance" })).await;
    assert_eq!(paused["queue"]["paused"], true);
    let accepted = server.api.run("later", &charge()).await;
    assert_eq!(accepted.status, 202);
    let place = accepted.header("location").expect("where to look").to_owned();
    let server = server.restarted(&config);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(server.api.get(&place).await.ok()["status"], "accepted");
    // What callers wait for goes on.
    server.api.run("payments.charge", &charge()).await.ok();
    assert_eq!(says(&server, "resume", &json!({})).await["queue"]["paused"], false);
    let run = server.api.get(&format!("{place}?wait=20")).await.ok();
    assert_eq!((&run["status"], &run["steps"][0]["attempts"]), (&json!("succeeded"), &json!(1)));
    assert_eq!(provider.effects().len(), 2);
}
