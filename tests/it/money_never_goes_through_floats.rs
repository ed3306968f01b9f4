//! What callers and providers write as numbers arrives as written, and money is converted digit by digit.

use serde_json::json;

use crate::support::recorder::Recorder;
use crate::support::{Ask, Config, Server};

const INTEGRATION: &str = r#"
[endpoints.pay]
method = "POST"
path = "/pay"
request = '{ body: { minor: to_minor(.amount; .currency), major: from_minor(.cents; "EUR"), as_is: .amount, big: .big, count: (.count | to_integer) } }'
response = '{ amount: .body.amount, big: .body.big, minor: to_minor(.body.amount; "KWD") }'
deadline_header = "X-Left-Ms"
"#;

#[tokio::test]
async fn there_and_back() {
    let provider = Recorder::start(r#"{"amount":0.100,"big":123456789012345678901234567890}"#).await;
    let integration = format!("base_url = \"{}\"\n{INTEGRATION}", provider.url());
    let operation = "[[steps]]\nname = \"pay\"\ncall = \"bank.pay\"\n";
    let config = Config::new()
        .file("integrations/bank.toml", &integration)
        .file("operations/bank.pay.toml", operation);
    let server = Server::start(&config);
    let input =
        r#"{"amount":90071992547409.93,"currency":"eur","cents":7,"big":9007199254740993,"count":"12"}"#;
    let ask = Ask::post_text("/v1/operations/bank.pay", input).header("content-type", "application/json");
    let answer = server.api.send(ask.deadline_ms(5_000)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer.body.contains(r#"{"amount":0.100,"big":123456789012345678901234567890,"minor":100}"#),
        "{}",
        answer.body
    );
    let requests = provider.requests();
    let [request] = requests.as_slice() else { panic!("one request") };
    let sent = r#"{"minor":9007199254740993,"major":"0.07","as_is":90071992547409.93,"big":9007199254740993,"count":12}"#;
    assert_eq!(request.body(), sent);
    let left: u64 = request.headers()["x-left-ms"].to_str().unwrap().parse().unwrap();
    assert!((1..=5_000).contains(&left), "the provider is told the time left: {left}");

    // A float cannot be what was meant, and nothing is sent.
    let input = json!({ "amount": "19.999", "currency": "EUR", "cents": 0, "big": 0, "count": 0 });
    let refused = server.api.run("bank.pay", &input).await;
    assert!(refused.body.contains("no more digits behind the point"), "{refused:?}");
    assert_eq!(provider.requests().len(), 1);
}
