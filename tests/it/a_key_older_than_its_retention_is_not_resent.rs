//! A provider forgets keys. Once it may have forgotten that of a call in doubt, sending it again could charge twice: the
//! call ends unknown instead.

use causeway::sandbox::Action;
use serde_json::{Value, json};

use crate::support::{Config, Provider, Server, charge};

const PLAIN: &str = r#"{ header = "Idempotency-Key" }"#;

/// A server whose provider keeps keys for so long.
fn server(provider: &Provider, retention: &str, sections: &str) -> Server {
    let sections = format!("{sections}\n[breaker]\nfailures = 1000");
    let kept = format!("{{ header = \"Idempotency-Key\", key_retention = \"{retention}\" }}");
    let config = Config::payments(&provider.url(), &sections);
    Server::start(&config.replace("integrations/payments.toml", PLAIN, &kept))
}

/// The error of a charge that ends unknown.
async fn unknown(server: &Server) -> Value {
    let problem = server.api.run("payments.charge", &charge()).await.problem(504, "outcome_unknown");
    let run = &problem["run"];
    assert_eq!((&run["status"], &run["error"]["class"]), (&json!("unknown"), &json!("ambiguous")), "{run}");
    run["error"].clone()
}

#[tokio::test]
async fn after_a_wait_that_outlives_it() {
    let wait = "[retry]\nbase_delay = \"2s\"\njitter = 0.0";
    let provider = Provider::start();
    provider.next([Action::DropAfter {}.into()]);
    unknown(&server(&provider, "1s", wait)).await;
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (1, 1));

    let provider = Provider::start();
    provider.next([Action::DropAfter {}.into()]);
    server(&provider, "1h", wait).api.run("payments.charge", &charge()).await.ok();
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (2, 1), "a younger one is");
}

#[tokio::test]
async fn counted_from_the_first_time_it_was_sent() {
    let retry =
        "[retry]\nmax_retries = 100\nbase_delay = \"500ms\"\nmax_delay = \"500ms\"\nbudget_min = 1000";
    let provider = Provider::start();
    provider.always(Action::DropAfter {});
    let server = server(&provider, "3s", retry);
    unknown(&server).await;
    let arrivals = provider.arrivals();
    // Each wait is at least so long, and all attempts but the first begin within three seconds.
    assert!((2..=6).contains(&arrivals.len()), "{} attempts", arrivals.len());
    assert!(arrivals.iter().all(|arrival| arrival.key == arrivals[0].key));
    assert_eq!(provider.effects().len(), 1);
}

#[tokio::test]
async fn though_it_was_young_when_the_wait_for_a_token_began() {
    let limit =
        "[retry]\nbase_delay = \"10ms\"\n[[limits]]\nkind = \"sliding_window\"\nrequests = 1\nper = \"3s\"";
    let provider = Provider::start();
    provider.next([Action::DropAfter {}.into()]);
    let error = unknown(&server(&provider, "2s", limit)).await;
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("no longer knows the key"), "{message}");
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (1, 1));

    let provider = Provider::start();
    provider.next([Action::DropAfter {}.into()]);
    server(&provider, "1h", limit).api.run("payments.charge", &charge()).await.ok();
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (2, 1), "a younger one is");
}
