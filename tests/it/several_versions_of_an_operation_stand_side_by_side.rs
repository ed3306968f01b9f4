//! A caller that names no version gets the highest that is no preview; one that names it gets what it names.

use serde_json::json;

use crate::support::{Config, Provider, Server};

fn version(more: &str) -> String {
    format!("{more}\n[[steps]]\nname = \"ping\"\ncall = \"payments.ping\"\n")
}

#[tokio::test]
async fn several_versions_of_an_operation_stand_side_by_side() {
    let provider = Provider::start();
    let config = Config::payments(&provider.url(), "")
        .operation("ping", &version(""))
        .operation("ping@2", &version("result = '2'"))
        .operation("ping@3", &version("preview = true\nresult = '3'"))
        .operation("new@1", &version("preview = true"));
    let server = Server::start(&config);
    for (name, version) in [("ping", 2), ("ping@1", 1), ("ping@2", 2), ("ping@3", 3), ("new@1", 1)] {
        assert_eq!(server.api.run(name, &json!({})).await.ok()["version"], version, "{name}");
    }
    for (name, told) in [("ping@4", "there is `ping@1`, `ping@2`, `ping@3`"), ("new", "ask for `new@1`")] {
        let problem = server.api.run(name, &json!({})).await.problem(404, "unknown_operation");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(told)), "{problem}");
    }
}
