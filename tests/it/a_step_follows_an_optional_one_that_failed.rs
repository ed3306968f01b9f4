//! A step that comes after an optional one starts when that has ended, well or not, and can see how.

use causeway::sandbox::Behaviour;
use http::Method;
use serde_json::json;

use crate::support::{Config, Provider, Server, charge};

#[tokio::test]
async fn and_sees_how_it_ended() {
    let provider = Provider::start();
    provider.always_on(&Method::GET, "/v1/balance", Behaviour::status(404));
    let steps = r#"
[[steps]]
name = "look"
call = "payments.balance"
required = false
[[steps]]
name = "pay"
call = "payments.charge"
after = ["look"]
input = 'if .steps.look.status == "failed" then .input else error("not seen") end'
"#;
    let server = Server::start(&Config::payments(&provider.url(), "").operation("order", steps));
    let outcome = server.api.run("order", &charge()).await.ok();
    assert_eq!(
        (&outcome["status"], &outcome["steps"][1]["status"]),
        (&json!("partial"), &json!("succeeded"))
    );
    assert_eq!(provider.effects().len(), 1);
}
