//! An operation that says what its input looks like refuses another one before anything is sent, and tells each place.

use serde_json::json;

use crate::support::{Config, Provider, Server, charge};

const SCHEMA: &str = r#"{
  "type": "object",
  "required": ["amount", "currency", "source"],
  "properties": {
    "amount": { "type": "integer", "minimum": 1 },
    "currency": { "type": "string", "pattern": "^[a-z]{3}$" },
    "source": { "type": "string" },
    "lines": { "type": "array", "items": { "type": "object", "required": ["sku"] } }
  },
  "additionalProperties": false
}"#;

const CHARGE: &str = "operations/payments.charge.toml";

fn with_schema(provider: &Provider, schema: &str) -> Config {
    Config::payments(&provider.url(), "").edited(CHARGE, |text| format!("input_schema = {schema}\n{text}"))
}

#[tokio::test]
async fn in_a_file() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let file = dir.path().join("charge.json");
    std::fs::write(&file, SCHEMA).expect("the schema is written");
    let server = Server::start(&with_schema(&provider, &format!("\"{}\"", file.display())));
    let input = json!({ "amount": "4242424242424242", "source": "tok_visa", "lines": [{}], "colour": "red" });
    let told = server.api.run("payments.charge", &input).await.problem(422, "invalid_input");
    let errors = told["errors"].as_array().expect("each is told");
    let mut places: Vec<&str> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
    places.sort_unstable();
    assert_eq!(places, ["", "", "/amount", "/lines/0"], "{told}");
    assert!(errors.iter().all(|error| error["message"].as_str().is_some_and(|text| !text.is_empty())));
    assert!(!told.to_string().contains("4242"), "no value of the input is repeated: {told}");
    assert_eq!(told["retryable"], false);
    assert!(provider.arrivals().is_empty());
    server.api.run("payments.charge", &charge()).await.ok();
}

#[tokio::test]
async fn in_the_operation_itself() {
    let provider = Provider::start();
    let server = Server::start(&with_schema(&provider, "{ type = \"object\", required = [\"amount\"] }"));
    let told = server.api.run("payments.charge", &json!({})).await.problem(422, "invalid_input");
    assert_eq!(told["errors"][0]["pointer"], "");
    server.api.run("payments.charge", &charge()).await.ok();
}

#[tokio::test]
async fn and_a_large_one_costs_no_more_than_a_small_one() {
    let provider = Provider::start();
    let schema = "{ items = { type = \"string\" } }";
    let server = Server::start(&with_schema(&provider, schema));
    let told =
        server.api.run("payments.charge", &json!(vec![1; 100_000])).await.problem(422, "invalid_input");
    assert_eq!(told["errors"].as_array().map(Vec::len), Some(1), "{told}");
}
