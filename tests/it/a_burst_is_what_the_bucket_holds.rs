//! `burst` calls go at once, and further ones at the limit's pace; without it, as many go at once as the limit names.

use serde_json::json;

use crate::support::{Config, Provider, Server};

#[tokio::test]
async fn a_burst_is_what_the_bucket_holds() {
    for (burst, at_once) in [("", 2), ("burst = 5", 5), ("burst = 1", 1)] {
        let provider = Provider::start();
        let limit = format!("[[limits]]\nkind = \"token_bucket\"\nrequests = 2\nper = \"1h\"\n{burst}");
        let server = Server::start(&Config::payments(&provider.url(), &limit));
        for _ in 0..at_once {
            server.api.run("payments.ping", &json!({})).await.ok();
        }
        let refused = server.api.run("payments.ping", &json!({})).await;
        refused.problem(429, "throttled");
        assert!(
            (1_000..=1_800).contains(&refused.retry_after()),
            "a token comes in half an hour: {refused:?}"
        );
        assert_eq!(provider.arrivals().len(), at_once, "{burst}");
    }
}
