//! Both listeners answer what they are: an OpenAPI document with every operation by name, the same as a page that loads
//! nothing, and a page for each problem code.

use std::collections::BTreeSet;

use causeway::api::problem::Code;
use serde_json::{Value, json};

use crate::support::{Ask, Client, Config, Provider, Server, charge};

const KEY: &str = "cw_the-key-of-the-shop";

/// One operation with a schema that refers to a part of itself, and others without.
fn configured(provider: &Provider) -> Config {
    let schema = "{ properties = { amount = { \"$ref\" = \"#/$defs/amount\" } }, \"$defs\" = { amount = { type = \"integer\" } } }";
    Config::payments(&provider.url(), "")
        .edited("operations/payments.charge.toml", |text| {
            format!("title = \"Charge <a> card\"\ninput_schema = {schema}\n{text}")
        })
        .operation(
            "payments.charge@2",
            "preview = true\n[[steps]]\nname = \"c\"\ncall = \"payments.charge\"\n",
        )
}

async fn page(client: &Client, path: &str) -> String {
    let answer = client.get(path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(
        answer
            .header("content-security-policy")
            .is_some_and(|policy| policy.starts_with("default-src 'none'"))
    );
    assert!(
        !answer.body.contains("<script") && !answer.body.contains("src="),
        "nothing is loaded: {}",
        answer.body
    );
    answer.body
}

#[tokio::test]
async fn every_operation_by_name() {
    let provider = Provider::start();
    let server = Server::start(&configured(&provider));
    let document = server.api.get("/openapi.json").await.ok();
    assert_eq!(document["openapi"], "3.1.0");
    let paths: BTreeSet<&str> =
        document["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
    for path in
        ["payments.charge", "payments.charge@1", "payments.charge@2", "payments.ping", "payments.ping@1"]
    {
        assert!(paths.contains(&*format!("/v1/operations/{path}")), "{path} in {paths:?}");
    }
    let call = &document["paths"]["/v1/operations/payments.charge"]["post"];
    assert_eq!(call["summary"], "Charge <a> card");
    let target =
        call["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str().expect("a schema");
    let schema = document.pointer(target.trim_start_matches('#')).expect("it is there");
    let inner = schema["properties"]["amount"]["$ref"].as_str().expect("its own reference");
    assert_eq!(document.pointer(inner.trim_start_matches('#')), Some(&json!({ "type": "integer" })));
    let page = page(&server.api, "/docs").await;
    assert!(
        page.contains("Charge &lt;a&gt; card") && page.contains("/v1/operations/payments.charge@2"),
        "{page}"
    );
    assert!(dangling(&document).is_empty(), "{:?}", dangling(&document));
}

/// References that lead nowhere.
fn dangling(document: &Value) -> Vec<String> {
    let (mut open, mut dangling) = (vec![document], Vec::new());
    while let Some(value) = open.pop() {
        if let Some(target) = value["$ref"].as_str()
            && document.pointer(target.trim_start_matches('#')).is_none()
        {
            dangling.push(target.to_owned());
        }
        open.extend(value.as_object().into_iter().flat_map(|members| members.values()));
        open.extend(value.as_array().into_iter().flatten());
    }
    dangling
}

#[tokio::test]
async fn every_path_that_is_told_is_there() {
    let provider = Provider::start();
    let server = Server::start(&configured(&provider));
    for (client, count) in [(&server.api, 9), (&server.admin, 10)] {
        let document = client.get("/openapi.json").await.ok();
        assert!(dangling(&document).is_empty());
        let paths = document["paths"].as_object().expect("paths");
        assert!(paths.len() >= count, "{paths:?}");
        for (path, calls) in paths {
            for method in calls.as_object().expect("calls").keys() {
                let real = path.replace("{id}", "run_0").replace("{name}", "payments");
                let answer = match method.as_str() {
                    "get" => client.get(&real).await,
                    "delete" => client.delete(&real).await,
                    _ => client.send(Ask::post(real, &json!("no command"))).await,
                };
                let lost = answer.body.contains("\"code\":\"not_found\"");
                assert!(!lost, "{method} {path}: {answer:?}");
                let told = &calls[method]["responses"][answer.status.to_string()];
                assert!(!told.is_null(), "{method} {path} answers {} and does not tell", answer.status);
            }
        }
    }
    server.at_rest().await;
}

#[tokio::test]
async fn every_code_on_a_page_of_its_own() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    for client in [&server.api, &server.admin] {
        let index = page(client, "/docs/errors").await;
        for code in Code::ALL {
            assert!(index.contains(&format!("/docs/errors/{code}\"")), "{code}");
        }
    }
    for code in Code::ALL {
        let page = page(&server.api, &format!("/docs/errors/{code}")).await;
        assert!(page.contains(&code.to_string()) && page.contains(code.status().as_str()), "{page}");
    }
    let missing = server.api.run("payments.nothing", &json!({})).await.problem(404, "unknown_operation");
    page(&server.api, missing["type"].as_str().expect("a page")).await;
    server.api.get("/docs/errors/nonsense").await.problem(404, "not_found");
    assert!(page(&server.admin, "/docs").await.contains("/admin/v1/integrations"));
}

#[tokio::test]
async fn to_each_what_it_may_run() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let path = dir.path().join("key");
    std::fs::write(&path, KEY).expect("a file for the key");
    let client = format!(
        "[[clients]]\nname = \"shop\"\nkey = {{ file = \"{}\" }}\noperations = [\"payments.ping\"]\n",
        path.display()
    );
    let server = Server::start(&configured(&provider).append("causeway.toml", &client));
    let with = |key: &str| Ask::get("/openapi.json").header("authorization", &format!("Bearer {key}"));
    let operations = |document: &Value| {
        let paths = document["paths"].as_object().expect("paths").keys();
        paths.filter_map(|path| path.strip_prefix("/v1/operations/").map(str::to_owned)).collect::<Vec<_>>()
    };
    let known = server.api.send(with(KEY)).await.ok();
    assert_eq!(operations(&known), ["payments.ping", "payments.ping@1"]);
    assert_eq!(known["security"], json!([{ "key": [] }]));
    let unknown = server.api.get("/openapi.json").await.ok();
    assert!(operations(&unknown).is_empty() && unknown["paths"]["/v1/runs/{id}"].is_object());
    assert!(!page(&server.api, "/docs").await.contains("payments."));
    // Nor can keys be guessed here.
    server.api.send(with("cw_another-key-of-a-shop")).await.problem(401, "unauthenticated");
    server.api.run("payments.charge", &charge()).await.problem(401, "unauthenticated");
}
