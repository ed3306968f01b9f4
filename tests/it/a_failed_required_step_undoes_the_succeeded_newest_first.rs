//! A required step that fails takes back what had succeeded, newest first, each once and under a key of its own.

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::{Config, Provider, Server, charge};

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
async fn newest_first() {
    let [stock, bank, carrier, back] = [(); 4].map(|()| Provider::start());
    let providers = [("stock", &stock), ("bank", &bank), ("carrier", &carrier), ("back", &back)];
    let server = Server::start(&Config::new().providers(&providers, "").operation("order", ORDER));
    carrier.always(Behaviour::status(404));
    let problem = server.api.run("order", &charge()).await.problem(422, "provider_refused");
    let run = &problem["run"];
    assert_eq!((&run["status"], &run["error"]["provider_status"]), (&json!("failed"), &json!(404)));
    let statuses: Vec<_> =
        run["steps"].as_array().expect("steps").iter().map(|step| &step["status"]).collect();
    assert_eq!(statuses, ["undone", "undone", "failed", "skipped"]);
    assert_eq!(run["steps"][3]["error"]["code"], "step_skipped");

    let undone: Vec<u64> = back.effects().iter().map(|effect| effect.amount).collect();
    assert_eq!(undone, [2, 1], "the payment, then the reservation");
    assert_eq!((stock.effects().len(), bank.effects().len(), carrier.effects().len()), (1, 1, 0));
    let all = [stock, bank, back].map(|provider| provider.arrivals());
    let mut keys: Vec<String> = all.iter().flatten().filter_map(|arrival| arrival.key.clone()).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 4, "{keys:?}");
}

#[tokio::test]
async fn an_undo_is_retried_like_any_call() {
    let [stock, bank, carrier, back] = [(); 4].map(|()| Provider::start());
    let providers = [("stock", &stock), ("bank", &bank), ("carrier", &carrier), ("back", &back)];
    let retry = "[retry]\nbase_delay = \"20ms\"\n";
    let server = Server::start(&Config::new().providers(&providers, retry).operation("order", ORDER));
    carrier.always(Behaviour::status(404));
    back.next([causeway::sandbox::Action::DropAfter {}.into()]);
    let problem = server.api.run("order", &charge()).await.problem(422, "provider_refused");
    assert_eq!(problem["run"]["status"], "failed");
    assert_eq!((back.arrivals().len(), back.effects().len()), (3, 2), "the same key, so one effect each");
}
