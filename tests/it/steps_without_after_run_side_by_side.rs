//! Steps that wait for nothing start together; one that waits for both starts when both are there, and sees what they
//! gave.

use causeway::sandbox::Action;
use serde_json::json;

use crate::support::{Config, Provider, Server, charge};

const BOTH: &str = r#"
result = '{ paid: .steps.pay.result.id, reserved: .steps.reserve.result.id, seen: .steps.note.result.id }'
[[steps]]
name = "note"
call = "desk.charge"
after = ["reserve", "pay"]
input = '.input + { amount: ([.steps.reserve.result.id, .steps.pay.result.id] | map(select(startswith("ch_"))) | length) }'
[[steps]]
name = "reserve"
call = "stock.charge"
[[steps]]
name = "pay"
call = "bank.charge"
"#;

#[tokio::test]
async fn steps_without_after_run_side_by_side() {
    let [stock, bank, desk] = [(); 3].map(|()| Provider::start());
    let providers = [("stock", &stock), ("bank", &bank), ("desk", &desk)];
    let server = Server::start(&Config::new().providers(&providers, "").operation("order", BOTH));
    for provider in [&stock, &bank] {
        provider.always(Action::Delay { ms: 700, jitter_ms: 0 });
    }
    let api = server.api;
    let run = tokio::spawn(async move { api.run("order", &charge()).await });
    stock.arrived(1).await;
    bank.arrived(1).await;
    let open = |provider: &Provider| provider.arrivals()[0].ended_us.is_none();
    assert!(open(&stock) && open(&bank), "both are out at once");
    assert_eq!(desk.arrivals(), []);
    let outcome = run.await.expect("it is answered").ok();
    assert_eq!(outcome["status"], "succeeded");
    let id = |provider: &Provider| provider.effects()[0].id.clone();
    assert_eq!(outcome["result"], json!({ "paid": id(&bank), "reserved": id(&stock), "seen": id(&desk) }));
    assert_eq!(desk.effects()[0].amount, 2, "it saw both results");
}
