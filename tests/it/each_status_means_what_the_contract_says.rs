//! What a status means depends on whether the provider could have acted, and what is retried on whether it may be sent
//! again.

use causeway::sandbox::{Action, Behaviour};
use serde_json::{Value, json};

use crate::support::{Config, Provider, Server, charge};

/// What a call ends with, after how many attempts.
type End = (&'static str, u64);

/// How the statuses end: for a call that only reads, for one with a key, for one without.
const TABLE: [(u16, Option<&str>, End, End, End); 12] = [
    (408, None, ("transient", 2), ("ambiguous", 2), ("ambiguous", 1)),
    (425, None, ("transient", 2), ("transient", 2), ("transient", 2)),
    (429, Some("0"), ("rate_limited", 2), ("rate_limited", 2), ("rate_limited", 2)),
    (500, None, ("transient", 2), ("ambiguous", 2), ("ambiguous", 1)),
    (502, None, ("transient", 2), ("ambiguous", 2), ("ambiguous", 1)),
    (503, None, ("transient", 2), ("ambiguous", 2), ("ambiguous", 1)),
    (503, Some("0"), ("transient", 2), ("transient", 2), ("transient", 2)),
    (504, None, ("transient", 2), ("ambiguous", 2), ("ambiguous", 1)),
    (599, None, ("transient", 2), ("ambiguous", 2), ("ambiguous", 1)),
    (409, None, ("client", 1), ("client", 1), ("client", 1)),
    (404, None, ("client", 1), ("client", 1), ("client", 1)),
    (302, None, ("client", 1), ("client", 1), ("client", 1)),
];

#[tokio::test]
async fn for_calls_that_read_that_have_a_key_and_that_have_none() {
    let sections = r#"
[retry]
max_retries = 1
base_delay = "1ms"
rate_limit_delay = "1ms"
budget_min = 1000
[breaker]
failures = 1000
"#;
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), sections));
    for (status, retry_after, reading, keyed, keyless) in TABLE {
        let behaviour: Behaviour = match retry_after {
            Some(wait) => Action::RateLimit { retry_after: wait.to_owned(), status }.into(),
            None => Behaviour::status(status),
        };
        provider.always(behaviour);
        for (operation, input, (class, attempts)) in [
            ("payments.balance", json!({}), reading),
            ("payments.charge", charge(), keyed),
            ("payments.charge_once", charge(), keyless),
        ] {
            let answer = server.api.run(operation, &input).await;
            let run = &answer.json()["run"];
            let step = &run["steps"][0];
            let told = (&step["error"]["class"], &step["attempts"]);
            assert_eq!(told, (&json!(class), &json!(attempts)), "{operation}: {status} {retry_after:?}");
            let expected = if class == "ambiguous" { "unknown" } else { "failed" };
            assert_eq!(run["status"], expected, "{operation}: {status} {retry_after:?}");
            assert_eq!(step["error"]["provider_status"], Value::from(status));
        }
    }
}
