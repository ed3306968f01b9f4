//! A run that is cancelled while it may have acted is not told to have done nothing: it is unknown, and for a person.

use std::time::Duration;

use causeway::sandbox::{Action, Behaviour};
use serde_json::json;

use crate::support::queued::{self, LATER, is, letters, over, place};
use crate::support::{Ask, Config, Provider, Server, charge, until};

/// A provider that has failed is left alone for longer than any test lasts.
const PATIENT: &str =
    "[retry]\nbase_delay = \"10m\"\nmax_delay = \"10m\"\n[retry.queued]\nmax_delay = \"10m\"\n";

async fn cancel(server: &Server, path: &str) {
    let answer = server.api.send(Ask::post(format!("{path}/cancel"), &json!({}))).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

#[tokio::test]
async fn while_its_caller_waits() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    provider.next([Behaviour::from(Action::DropAfter {}).delayed(Duration::from_millis(700))]);
    let api = server.api;
    let caller = tokio::spawn(async move { api.run("payments.charge", &charge()).await });
    provider.arrived(1).await;
    let run = until("the run is told of", async || {
        let runs = server.api.get("/v1/runs").await.ok()["items"].clone();
        runs[0]["id"].as_str().map(ToOwned::to_owned)
    })
    .await;
    cancel(&server, &format!("/v1/runs/{run}")).await;
    let problem = caller.await.expect("it is answered").problem(504, "outcome_unknown");
    assert_eq!(problem["run"]["steps"][0]["status"], "unknown");
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (1, 1), "it is not sent again");
    letters(&server, 1).await;
}

#[tokio::test]
async fn while_it_waits_to_be_sent_again() {
    let provider = Provider::start();
    let config = Config::payments(&provider.url(), PATIENT).operation("later", LATER);
    let mut server = Server::start(&config);
    for restarts in [false, true] {
        provider.next([Action::DropAfter {}.into()]);
        let before = provider.arrivals().len();
        let path = place(&server.api.send(queued::of("later", 1250)).await);
        is(&server.api, &path, "waiting").await;
        if restarts {
            server = server.restarted(&config);
        }
        cancel(&server, &path).await;
        let run = over(&server.api, &path).await;
        assert_eq!(
            (&run["status"], &run["steps"][0]["status"]),
            (&json!("unknown"), &json!("unknown")),
            "{run}"
        );
        assert_eq!(provider.arrivals().len(), before + 1, "it is not sent again");
    }
    let letters = letters(&server, 2).await;
    assert_eq!((&letters[0]["class"], &letters[0]["step"]), (&json!("ambiguous"), &json!("charge")));
}

#[tokio::test]
async fn and_cancelled_where_nothing_was_done() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), PATIENT).operation("later", LATER));
    provider.next([Action::RateLimit { retry_after: "600".to_owned(), status: 503 }.into()]);
    let path = place(&server.api.send(queued::of("later", 1250)).await);
    is(&server.api, &path, "waiting").await;
    cancel(&server, &path).await;
    let run = over(&server.api, &path).await;
    assert_eq!(
        (&run["status"], &run["steps"][0]["status"]),
        (&json!("cancelled"), &json!("skipped")),
        "{run}"
    );
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (1, 0));
    letters(&server, 0).await;
}
