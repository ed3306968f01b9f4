//! Some providers answer 200 and put the error into the body; some answer an error where nothing is wrong. The
//! integration's own rules say what it means, how long to wait and whom that holds up.

use causeway::sandbox::{Action, Behaviour};
use serde_json::{Value, json};

use crate::support::wait::Watch;
use crate::support::{Ask, Config, Provider, Server};

const RULES: &str = r#"
[endpoints.legacy]
method = "GET"
path = "/v1/ping"
response = '{ ok: .body.ok }'
classify = [
  { when = '.status == 404', class = "success" },
  { when = '.body.fault.kind == "slow_down"', class = "rate_limited", code = '.body.fault.kind', retry_after = '.body.fault.wait', scope = "integration" },
  { when = '.body.fault', class = "client", code = '.body.fault.kind', message = '.body.fault.text' },
]
"#;
const OPERATION: &str = "deadline = \"15s\"\n[[steps]]\nname = \"ping\"\ncall = \"payments.legacy\"\n";

fn answer(status: u16, body: Value) -> Behaviour {
    Action::Status { status, headers: Default::default(), body: Some(body), act: false }.into()
}

fn server(provider: &Provider) -> Server {
    let config = Config::payments(&provider.url(), "").append("integrations/payments.toml", RULES);
    Server::start(&config.file("operations/payments.legacy.toml", OPERATION))
}

#[tokio::test]
async fn the_first_rule_that_holds_decides() {
    let provider = Provider::start();
    let server = server(&provider);
    let fault = json!({ "fault": { "kind": "card_declined", "text": "The card was declined." } });
    provider.next([
        answer(200, fault),
        answer(404, json!({ "ok": null })),
        answer(200, json!({ "ok": true })),
    ]);

    let failed = server.api.run("payments.legacy", &json!({})).await;
    let error = failed.json()["run"]["steps"][0]["error"].clone();
    assert_eq!(error["class"], "client", "{failed:?}");
    assert_eq!(error["code"], "card_declined");
    assert_eq!(error["message"], "The card was declined.");
    assert_eq!(error["provider_status"], 200);
    assert_eq!(provider.arrivals().len(), 1, "a refusal is not tried again");

    let gone = server.api.run("payments.legacy", &json!({})).await.ok();
    assert_eq!(gone["result"], json!({ "ok": null }), "a 404 that a rule calls a success is mapped as one");
    assert_eq!(server.api.run("payments.legacy", &json!({})).await.ok()["result"], json!({ "ok": true }));
}

#[tokio::test]
async fn the_wait_it_names_is_kept() {
    let provider = Provider::start();
    let server = server(&provider);
    provider.next([answer(200, json!({ "fault": { "kind": "slow_down", "wait": "900ms" } }))]);
    let watch = Watch::start();
    server.api.run("payments.legacy", &json!({})).await.ok();
    assert!(watch.elapsed().as_millis() >= 900, "it came back within the wait: {:?}", watch.elapsed());
    assert_eq!(provider.arrivals().len(), 2);

    provider.next([answer(200, json!({ "fault": { "kind": "slow_down", "wait": 30 } }))]);
    let told = server.api.send(Ask::run("payments.legacy", &json!({})).deadline_ms(2_000)).await;
    assert!((30..=31).contains(&told.retry_after()), "{told:?}");
    assert_eq!(told.json()["run"]["steps"][0]["error"]["code"], "slow_down");
}
