//! A header that asks for what this version cannot promise is refused, and nothing is sent: silence would be a promise.

use crate::support::{Ask, Config, Provider, Server, charge};

#[tokio::test]
async fn headers_that_ask_for_more() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    let headers = [("X-Connection", "acme")];
    for (name, value) in headers {
        let answer = server.api.send(Ask::run("payments.charge", &charge()).header(name, value)).await;
        let problem = answer.problem(501, "not_implemented");
        assert_eq!(problem["retryable"], false);
        let detail = problem["detail"].as_str().expect("a detail").to_owned();
        assert!(detail.contains(&name.to_ascii_lowercase()), "{detail}");
        assert!(problem.get("run").is_none(), "no run was begun: {problem}");
    }
    assert_eq!(provider.arrivals(), []);
    server.api.run("payments.charge", &charge()).await.ok();
    assert_eq!(provider.effects().len(), 1);
}
