//! While an integration is paused, its breaker open, or its provider has asked for patience, queued runs wait for it, at
//! whichever of their steps they are, and none of their tries is burnt.

use causeway::sandbox::{Action, Behaviour};
use serde_json::json;

use crate::support::queued::{self, LATER, is, over, place, say};
use crate::support::{Ask, Config, Provider, Server, charge};

const CHAIN: &str = "mode = \"async\"\n[[steps]]\nname = \"pay\"\ncall = \"payments.charge\"\n[[steps]]\nname = \"note\"\nafter = [\"pay\"]\ncall = \"desk.charge_once\"\ninput = '.input'\n";

#[tokio::test]
async fn at_a_later_step_too() {
    let (provider, desk) = (Provider::start(), Provider::start());
    let config =
        Config::payments(&provider.url(), "").integration("desk", &desk.url(), "").operation("chain", CHAIN);
    let mut server = Server::start(&config);
    say(&server, "desk", "pause").await;
    let path = place(&server.api.run("chain", &charge()).await);
    for restarts in [false, true] {
        if restarts {
            server = server.restarted(&config);
        }
        let waiting = is(&server.api, &path, "waiting").await;
        let steps = &waiting["steps"];
        assert_eq!(
            (&steps[0]["status"], &steps[1]["status"]),
            (&json!("succeeded"), &json!("waiting")),
            "{waiting}"
        );
        assert_eq!((&steps[1]["attempts"], &steps[1]["error"]["code"]), (&json!(0), &json!("paused")));
    }
    // Who waits for an answer is served all the same.
    server.api.run("desk.ping", &json!({})).await.ok();
    assert_eq!((provider.effects().len(), desk.effects().len()), (1, 0));
    say(&server, "desk", "resume").await;
    let run = over(&server.api, &path).await;
    assert_eq!((&run["status"], &run["steps"][1]["attempts"]), (&json!("succeeded"), &json!(1)), "{run}");
    assert_eq!((provider.effects().len(), desk.effects().len()), (1, 1));
}

#[tokio::test]
async fn whose_provider_has_asked_for_patience() {
    let provider = Provider::start();
    let once = "[retry.queued]\nmax_retries = 1\n";
    let server = Server::start(&Config::payments(&provider.url(), once).operation("later", LATER));
    provider.next([Action::RateLimit { retry_after: "2".to_owned(), status: 429 }.into()]);
    let first = place(&server.api.send(queued::of("later", 1)).await);
    is(&server.api, &first, "waiting").await;
    let second = place(&server.api.send(queued::of("later", 2)).await);
    for (path, attempts) in [(first, 2), (second, 1)] {
        let run = over(&server.api, &path).await;
        assert_eq!(
            (&run["status"], &run["steps"][0]["attempts"]),
            (&json!("succeeded"), &json!(attempts)),
            "{run}"
        );
    }
    let arrivals = provider.arrivals();
    assert_eq!(arrivals.len(), 3);
    for later in &arrivals[1..] {
        assert!(later.at_us - arrivals[0].at_us >= 1_900_000, "nobody has asked meanwhile: {arrivals:?}");
    }
}

#[tokio::test]
async fn whose_breaker_lets_a_run_try() {
    let provider = Provider::start();
    let nervous = "[retry]\nbase_delay = \"20ms\"\nmax_delay = \"20ms\"\n[retry.queued]\nmax_retries = 2\nmax_delay = \"20ms\"\n[breaker]\nfailures = 1\nopen_for = \"100ms\"\nhalf_open_calls = 1\n";
    let server = Server::start(&Config::payments(&provider.url(), nervous).operation("later", LATER));
    provider.always(Behaviour::status(500));
    let path = place(&server.api.send(queued::of("later", 1)).await);
    // The first opens the breaker; what follows only finds out that it is right to be open.
    provider.arrived(8).await;
    let run = server.api.get(&path).await.ok();
    assert_eq!(run["finished_at"], json!(null), "{run}");
    provider.always(Behaviour::normal());
    let run = over(&server.api, &path).await;
    assert_eq!(run["status"], "succeeded", "{run}");
    assert!(run["steps"][0]["attempts"].as_u64() >= Some(9), "{run}");
    assert_eq!(provider.effects().len(), 1);
    // A refusal is a refusal, whoever finds out.
    let busy = Action::RateLimit { retry_after: "0".to_owned(), status: 503 };
    provider.next([busy.into(), Behaviour::status(422)]);
    let path = place(&server.api.send(queued::of("later", 2)).await);
    assert_eq!(over(&server.api, &path).await["steps"][0]["attempts"], 2);
}

#[tokio::test]
async fn and_who_looks_sees_how_a_run_stands() {
    let provider = Provider::start();
    let patient = "[retry]\nbase_delay = \"10m\"\nmax_delay = \"10m\"\n[retry.queued]\nmax_delay = \"10m\"\n";
    let config = Config::payments(&provider.url(), patient).operation("later", LATER);
    let mut server = Server::start(&config);
    provider.next([Behaviour::status(502)]);
    let path = place(&server.api.send(queued::of("later", 1)).await);
    for restarts in [false, true] {
        if restarts {
            server = server.restarted(&config);
        }
        let waiting = is(&server.api, &path, "waiting").await;
        let step = &waiting["steps"][0];
        assert_eq!((&step["name"], &step["status"]), (&json!("charge"), &json!("waiting")), "{waiting}");
        assert_eq!((&step["attempts"], &step["error"]["provider_status"]), (&json!(1), &json!(502)));
        assert_eq!((&waiting["error"], &waiting["durable"]), (&json!(null), &json!(true)));
    }
    say(&server, "payments", "pause").await;
    let accepted = place(&server.api.send(queued::of("later", 2)).await);
    let accepted = server.api.get(&accepted).await.ok();
    assert_eq!(
        (&accepted["status"], &accepted["steps"][0]["status"]),
        (&json!("accepted"), &json!("pending"))
    );
    let cancel = |path: &str| Ask::post(format!("{path}/cancel"), &json!({}));
    assert_eq!(server.api.send(cancel(&path)).await.status, 202);
    say(&server, "payments", "resume").await;
    assert_eq!(over(&server.api, &path).await["status"], "unknown");
}
