//! Another provider serves where the first was not reached; where the first may have acted, no other is asked.

use causeway::sandbox::Action;
use serde_json::{Value, json};

use crate::support::{Ask, Config, Provider, Server, charge};

fn pay(call: &str) -> String {
    format!("[[steps]]\nname = \"pay\"\ncall = \"bank.{call}\"\nalternates = [\"other.{call}\"]\n")
}

fn world() -> (Provider, Provider, Server) {
    let (bank, other) = (Provider::start(), Provider::start());
    let config = Config::new()
        .providers(&[("bank", &bank), ("other", &other)], "[retry]\nbase_delay = \"20ms\"\n")
        .operation("pay", &pay("charge"))
        .operation("pay_once", &pay("charge_once"));
    let server = Server::start(&config);
    (bank, other, server)
}

fn served(outcome: &Value) -> (Value, Value, Value) {
    let step = &outcome["steps"][0];
    (outcome["degraded"].clone(), step["integration"].clone(), step["served_by"].clone())
}

#[tokio::test]
async fn where_the_first_is_open() {
    let (bank, other, server) = world();
    let outcome = server.api.run("pay", &charge()).await.ok();
    assert_eq!(served(&outcome), (json!(false), json!("bank"), json!("primary")));
    let trip = Ask::post("/admin/v1/integrations/bank/breaker/trip", &json!({ "reason": "exercise" }));
    server.admin.send(trip).await;
    let outcome = server.api.run("pay", &charge()).await.ok();
    assert_eq!(served(&outcome), (json!(true), json!("other"), json!("alternate")));
    assert_eq!((&outcome["status"], &outcome["steps"][0]["attempts"]), (&json!("succeeded"), &json!(1)));
    assert_eq!((bank.effects().len(), other.effects().len()), (1, 1));
}

#[tokio::test]
async fn never_in_doubt() {
    let (bank, other, server) = world();
    bank.next([Action::DropAfter {}.into()]);
    let problem = server.api.run("pay_once", &charge()).await.problem(504, "outcome_unknown");
    assert_eq!(problem["run"]["steps"][0]["integration"], "bank");
    assert_eq!((bank.effects().len(), other.arrivals().len()), (1, 0));
}

#[tokio::test]
async fn never_for_what_the_first_has_refused() {
    let (bank, other, server) = world();
    let mut declined = charge();
    declined["source"] = json!("tok_declined");
    server.api.run("pay", &declined).await.problem(422, "provider_refused");
    assert_eq!((bank.arrivals().len(), other.arrivals().len()), (1, 0));
}
