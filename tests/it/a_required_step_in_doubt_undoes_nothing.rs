//! A run whose required step is in doubt is left as it stands: the step may turn out to have succeeded. Nothing more
//! starts, nothing is taken back, and the caller is told that it is not known.

use causeway::sandbox::Action;
use serde_json::json;

use crate::support::{Config, Provider, Server, charge};

#[tokio::test]
async fn and_starts_nothing() {
    let (bank, shop, post) = (Provider::start(), Provider::start(), Provider::start());
    shop.next([Action::DropAfter {}.into()]);
    let steps = r#"
[[steps]]
name = "pay"
call = "bank.charge"
undo = { call = "bank.charge_once" }
[[steps]]
name = "ship"
call = "shop.charge_once"
after = ["pay"]
input = ".input"
[[steps]]
name = "mail"
call = "post.charge"
after = ["ship"]
input = ".input"
"#;
    let providers = [("bank", &bank), ("shop", &shop), ("post", &post)];
    let config = Config::new().providers(&providers, "").operation("order", steps);
    let server = Server::start(&config);
    let problem = server.api.run("order", &charge()).await.problem(504, "outcome_unknown");
    let statuses: Vec<_> = problem["run"]["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| step["status"].clone())
        .collect();
    assert_eq!(statuses, [json!("succeeded"), json!("unknown"), json!("skipped")]);
    assert_eq!((bank.effects().len(), shop.effects().len(), post.arrivals().len()), (1, 1, 0));
    server.at_rest().await;
    assert_eq!(bank.arrivals().len(), 1, "nothing was taken back");
}
