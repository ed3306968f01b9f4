//! A call that costs more than a limit can ever hold is told so at once; it does not wait for what cannot come.

use serde_json::json;

use crate::support::{Config, Provider, Server};

const WEIGHTED: &str = r#"
[[limits]]
name = "points"
kind = "token_bucket"
requests = 10
per = "1s"
[endpoints.search]
method = "GET"
path = "/v1/ping"
cost = '.pages * 2'
"#;

fn server(provider: &Provider) -> Server {
    let config = Config::payments(&provider.url(), WEIGHTED).file(
        "operations/payments.search.toml",
        "[[steps]]\nname = \"search\"\ncall = \"payments.search\"\n",
    );
    Server::start(&config)
}

#[tokio::test]
async fn by_its_cost() {
    let provider = Provider::start();
    let server = server(&provider);
    let problem = server.api.run("payments.search", &json!({ "pages": 6 })).await.problem(500, "internal");
    assert_eq!(problem["run"]["error"]["code"], "cost_exceeds_limit", "{problem}");
    assert_eq!(provider.arrivals().len(), 0);
    server.api.run("payments.search", &json!({ "pages": 5 })).await.ok();
}

#[tokio::test]
async fn a_heavy_call_takes_as_much_as_it_costs() {
    let provider = Provider::start();
    let server = server(&provider);
    server.api.run("payments.search", &json!({ "pages": 5 })).await.ok();
    server.api.run("payments.search", &json!({ "pages": 5 })).await.ok();
    let arrivals = provider.arrivals();
    let apart = arrivals[1].at_us - arrivals[0].at_us;
    assert!(apart >= 990_000, "ten points come back in a second, not in {apart} µs");
}

#[tokio::test]
async fn a_cost_that_is_no_number_is_our_own_fault() {
    let provider = Provider::start();
    let server = server(&provider);
    let problem =
        server.api.run("payments.search", &json!({ "pages": "many" })).await.problem(500, "internal");
    assert_eq!(problem["run"]["error"]["code"], "cost_failed", "{problem}");
    assert_eq!(provider.arrivals().len(), 0);
}
