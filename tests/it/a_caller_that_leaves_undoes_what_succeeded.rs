//! A caller that hangs up, or has its run cancelled, leaves nothing half done: what is safe or unsent stops, what had
//! succeeded is taken back.

use causeway::sandbox::{Action, Ending};
use serde_json::json;

use crate::support::{Ask, Config, Provider, Server, charge, until};

const ORDER: &str = r#"
[[steps]]
name = "pay"
call = "bank.charge"
undo = { call = "back.charge", input = '.input' }
[[steps]]
name = "look"
call = "desk.ping"
after = ["pay"]
"#;

struct World {
    bank: Provider,
    desk: Provider,
    back: Provider,
    server: Server,
}

fn world() -> World {
    let [bank, desk, back] = [(); 3].map(|()| Provider::start());
    let providers = [("bank", &bank), ("desk", &desk), ("back", &back)];
    let server = Server::start(&Config::new().providers(&providers, "").operation("order", ORDER));
    desk.always(Action::Hang { act: false });
    World { bank, desk, back, server }
}

#[tokio::test]
async fn a_caller_that_hangs_up() {
    let World { bank, desk, back, server } = world();
    let caller = server.api.begin("order", &charge()).await;
    desk.arrived(1).await;
    drop(caller);
    server.at_rest().await;
    until("the read is dropped", async || (desk.endings() == [Ending::ClientLeft {}]).then_some(())).await;
    assert_eq!((bank.effects().len(), back.effects().len()), (1, 1));
    let run = bank.effects()[0].reference.clone().expect("the run's id");
    let outcome = server.api.get(&format!("/v1/runs/{run}")).await.ok();
    assert_eq!(outcome["status"], "cancelled");
    assert_eq!(
        (&outcome["steps"][0]["status"], &outcome["steps"][1]["status"]),
        (&json!("undone"), &json!("skipped"))
    );
}

#[tokio::test]
async fn a_run_that_is_cancelled() {
    let World { bank, desk, back, server } = world();
    let api = server.api;
    let caller = tokio::spawn(async move { api.run("order", &charge()).await });
    desk.arrived(1).await;
    let run = bank.effects()[0].reference.clone().expect("the run's id");
    let cancel = || server.api.send(Ask::post(format!("/v1/runs/{run}/cancel"), &json!({})));
    let asked = cancel().await;
    let location = format!("/v1/runs/{run}");
    assert_eq!((asked.status, asked.header("location")), (202, Some(location.as_str())));
    assert_eq!(asked.json()["steps"][0]["status"], "succeeded");
    let problem = caller.await.expect("it is answered").problem(409, "cancelled");
    assert_eq!(problem["run"]["steps"][0]["status"], "undone");
    assert_eq!(problem["retryable"], true, "nothing is left of it");
    assert_eq!(back.effects().len(), 1);
    assert_eq!(cancel().await.ok()["status"], "cancelled", "it is over and stays as it is");
    let unknown = Ask::post("/v1/runs/run_unknown/cancel", &json!({}));
    server.api.send(unknown).await.problem(404, "unknown_run");
}
