//! `GET /v1/operations` tells every operation and version with what it takes, a page at a time.

use serde_json::{Value, json};

use crate::support::{Config, Provider, Server};

#[tokio::test]
async fn with_its_versions_and_schemas() {
    let provider = Provider::start();
    let config = Config::payments(&provider.url(), "")
        .edited("operations/payments.charge.toml", |text| {
            format!("title = \"Charge a card\"\ninput_schema = {{ type = \"object\" }}\n{text}")
        })
        .operation(
            "payments.charge@2",
            "preview = true\nmode = \"async\"\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n\
             [[steps]]\nname = \"look\"\ncall = \"payments.ping\"\nafter = [\"charge\"]\nrequired = false\n",
        );
    let server = Server::start(&config);
    let all = server.api.get("/v1/operations").await.ok();
    let items = all["items"].as_array().expect("a list");
    let label = |item: &Value| format!("{}@{}", item["operation"].as_str().expect("a name"), item["version"]);
    let labels: Vec<String> = items.iter().map(label).collect();
    assert_eq!(
        labels,
        [
            "payments.balance@1",
            "payments.charge@1",
            "payments.charge@2",
            "payments.charge_once@1",
            "payments.ping@1"
        ]
    );
    assert_eq!(all["next_cursor"], Value::Null);
    let [_, charge, preview, ..] = &items[..] else { panic!("{all}") };
    assert_eq!(
        (&charge["title"], &charge["input_schema"]),
        (&json!("Charge a card"), &json!({ "type": "object" }))
    );
    assert_eq!(
        (&charge["current"], &charge["preview"], &charge["mutates"]),
        (&json!(true), &json!(false), &json!(true))
    );
    assert_eq!((&charge["deadline_ms"], &charge["priority"]), (&json!(15_000), &json!("normal")));
    assert_eq!((&preview["current"], &preview["preview"]), (&json!(false), &json!(true)));
    assert_eq!(preview["input_schema"], Value::Null);
    assert_eq!((&charge["mode"], &preview["mode"]), (&json!("sync"), &json!("async")));
    let step = json!({
        "name": "look", "integration": "payments", "endpoint": "ping", "required": false, "after": ["charge"]
    });
    assert_eq!(preview["steps"][1], step);
    assert_eq!(items[0]["mutates"], false);

    let first = server.api.get("/v1/operations?limit=3").await.ok();
    let cursor = first["next_cursor"].as_str().expect("there is more");
    let rest = server.api.get(&format!("/v1/operations?limit=3&cursor={cursor}")).await.ok();
    let pages: Vec<Value> =
        [&first, &rest].iter().flat_map(|page| page["items"].as_array().cloned()).flatten().collect();
    assert_eq!((&pages, &rest["next_cursor"]), (items, &Value::Null));
    server.api.get("/v1/operations?limit=0").await.problem(400, "malformed_request");
    server.api.get("/v1/operations?cursor=*").await.problem(400, "malformed_request");
}
