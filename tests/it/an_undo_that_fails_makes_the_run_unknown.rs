//! What could not be taken back is said, and never passed over in silence.

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::queued::{letters, over};
use crate::support::{Ask, Config, Provider, Server, charge};

const ORDER: &str = r#"
deadline = "5s"
[[steps]]
name = "reserve"
call = "stock.charge"
undo = { call = "back.charge", input = '.input + { amount: 1, reference: .steps.reserve.result.id }' }
[[steps]]
name = "pay"
call = "bank.charge"
after = ["reserve"]
undo = { call = "back.charge", input = '.input + { amount: 2, reference: .steps.pay.result.id }' }
[[steps]]
name = "ship"
call = "carrier.charge"
after = ["pay"]
[[steps]]
name = "mail"
call = "carrier.charge"
after = ["ship"]
required = false
"#;

#[tokio::test]
async fn an_undo_that_fails_makes_the_run_unknown() {
    let [stock, bank, carrier, back] = [(); 4].map(|()| Provider::start());
    let providers = [("stock", &stock), ("bank", &bank), ("carrier", &carrier), ("back", &back)];
    let server = Server::start(&Config::new().providers(&providers, "").operation("order", ORDER));
    carrier.always(Behaviour::status(404));
    back.always(Behaviour::status(404));
    let problem = server.api.run("order", &charge()).await.problem(504, "outcome_unknown");
    assert_eq!(problem["retryable"], false);
    let run = &problem["run"];
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("unknown"), &json!("undo_failed")));
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("`pay`")), "{problem}");
    let [reserve, pay, ship, _] = &run["steps"].as_array().expect("steps")[..] else { panic!("four steps") };
    assert_eq!((&pay["status"], &pay["error"]["code"]), (&json!("succeeded"), &json!("undo_failed")));
    let held = (&json!("succeeded"), &json!("undo_held"));
    assert_eq!((&reserve["status"], &reserve["error"]["code"]), held, "the payment builds on it");
    assert_eq!(ship["status"], "failed");
    assert_eq!(back.arrivals().len(), 1);
    let id = run["id"].as_str().expect("an id");
    assert_eq!(server.api.get(&format!("/v1/runs/{id}")).await.ok()["status"], "unknown");

    // It waits for a person, who has what is left to be done tried again: the payment, then the reservation.
    let letter = letters(&server, 1).await.remove(0);
    assert_eq!(
        (&letter["id"], &letter["step"], &letter["integration"], &letter["code"]),
        (&json!(id), &json!("pay"), &json!("bank"), &json!("undo_failed"))
    );
    back.always(Behaviour::normal());
    let redrive = Ask::post(format!("/admin/v1/dead-letters/{id}/redrive"), &json!({}));
    assert_eq!(server.admin.send(redrive).await.status, 202);
    let run = over(&server.api, &format!("/v1/runs/{id}")).await;
    let statuses: Vec<_> =
        run["steps"].as_array().expect("steps").iter().map(|step| &step["status"]).collect();
    assert_eq!(statuses, ["undone", "undone", "failed", "skipped"]);
    assert_eq!(run["status"], "failed");
    let undone: Vec<u64> = back.effects().iter().map(|effect| effect.amount).collect();
    assert_eq!(undone, [2, 1]);
    let keys: Vec<_> = back.arrivals().into_iter().map(|arrival| arrival.key).collect();
    assert_eq!(keys[0], keys[1], "the payment's undo keeps its key");
    assert_eq!((stock.arrivals().len(), bank.arrivals().len(), carrier.arrivals().len()), (1, 1, 1));
}
