//! An endpoint's own timeouts and retries hold for it alone, and only the keys that it writes differ.

use causeway::sandbox::{Action, Behaviour};
use http::Method;
use serde_json::json;

use crate::support::{Config, Provider, Server, charge};

const SECTIONS: &str = r#"
[timeouts]
first_byte = "30s"
total = "1s"
[retry]
max_retries = 2
base_delay = "10ms"
budget_min = 100
[breaker]
failures = 1000
[endpoints.quick]
method = "GET"
path = "/v1/ping"
timeouts = { first_byte = "300ms" }
retry = { max_retries = 0 }
[endpoints.stubborn]
method = "GET"
path = "/v1/ping"
retry = { max_retries = 4 }
"#;

fn world() -> (Provider, Server) {
    let provider = Provider::start();
    let mut config = Config::payments(&provider.url(), SECTIONS);
    for call in ["quick", "stubborn"] {
        let operation =
            format!("deadline = \"15s\"\n[[steps]]\nname = \"{call}\"\ncall = \"payments.{call}\"\n");
        config = config.operation(call, &operation);
    }
    let server = Server::start(&config);
    (provider, server)
}

#[tokio::test]
async fn in_its_retries() {
    let (provider, server) = world();
    provider.always_on(&Method::GET, "/", Behaviour::status(500));
    let mut before = 0;
    for (operation, attempts) in [("quick", 1), ("stubborn", 5), ("payments.ping", 3)] {
        server.api.run(operation, &json!({})).await.problem(502, "provider_failed");
        let arrivals = provider.arrivals().len();
        assert_eq!(arrivals - before, attempts, "{operation}");
        before = arrivals;
    }
    server.api.run("payments.charge", &charge()).await.ok();
}

#[tokio::test]
async fn in_its_timeouts() {
    let (provider, server) = world();
    provider.always(Action::Hang { act: false });
    for (operation, attempts, reason) in
        [("quick", 1, "first_byte_timeout"), ("stubborn", 5, "total_timeout")]
    {
        let problem = server.api.run(operation, &json!({})).await.problem(502, "provider_failed");
        assert_eq!(problem["run"]["error"]["reason"], reason, "{operation}");
        assert_eq!(problem["run"]["steps"][0]["attempts"], attempts, "{operation}");
    }
    assert_eq!(provider.arrivals().len(), 6);
}
