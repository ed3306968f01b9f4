//! The configuration that is delivered charges a card on a server that speaks Stripe's API, and Stripe's own SDK
//! finds the charge there exactly once.

use std::fs;

use serde_json::{Value, json};

use crate::support::stripe::{KEY, delivered, found, stripe};
use crate::support::{Client, Process, process, until};

/// Causeway on the delivered configuration, in front of this server.
async fn causeway(url: &str) -> (tempfile::TempDir, Process, Client, Client) {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |path: &str, changes: &[(&str, &str)]| {
        let to = dir.path().join(path);
        fs::create_dir_all(to.parent().expect("a directory")).expect("a directory is made");
        fs::write(to, delivered(&format!("config/{path}"), changes)).expect("a file is written");
    };
    let store = format!("sqlite://{}", dir.path().join("causeway.db").display());
    let server = [
        ("127.0.0.1:8080", "127.0.0.1:0"),
        ("127.0.0.1:8081", "127.0.0.1:0"),
        ("sqlite://data/causeway.db", store.as_str()),
    ];
    write("causeway.toml", &server);
    let integration = [
        ("https://api.stripe.com", url),
        ("base_delay = \"500ms\"", "base_delay = \"20ms\""),
        ("failure_rate = 0.5\nminimum_calls = 20", "failures = 5"),
        ("open_for = \"30s\"", "open_for = \"300ms\""),
    ];
    write("integrations/stripe.toml", &integration);
    write("operations/payments.charge.toml", &[]);
    let mut command = process::causeway(&["serve", "--config", &dir.path().display().to_string()]);
    let mut process = Process::start(command.env("STRIPE_API_KEY", KEY));
    let (api, admin) = process.serves().await;
    (dir, process, api, admin)
}

fn order() -> Value {
    let order = format!("ord-{}", uuid::Uuid::new_v4().simple());
    json!({ "amount": 1250, "currency": "EUR", "token": "pm_card_visa", "order": order })
}

#[tokio::test]
async fn it_is_charged_once_and_declined_where_it_must_be() {
    let (_stripe, url) = stripe("0").await;
    let (_dir, _causeway, api, _) = causeway(&url).await;
    let good = order();
    let outcome = api.run("payments.charge", &good).await.ok();
    assert_eq!(
        (&outcome["status"], &outcome["result"]["status"]),
        (&json!("succeeded"), &json!("succeeded"))
    );
    let [charge] = &found(&url, &good).await[..] else { panic!("not one charge for {good}") };
    assert_eq!(charge["id"], outcome["result"]["charge"]);
    assert_eq!(
        (&charge["amount"], &charge["currency"], &charge["status"]),
        (&json!(1250), &json!("eur"), &json!("succeeded"))
    );

    let mut bad = order();
    bad["token"] = json!("pm_card_chargeCustomerFail");
    let problem = api.run("payments.charge", &bad).await.problem(422, "provider_refused");
    let error = &problem["run"]["error"];
    assert_eq!((&error["class"], &error["code"]), (&json!("client"), &json!("card_declined")));
    assert_eq!(
        (&error["provider_status"], &problem["run"]["steps"][0]["attempts"]),
        (&json!(402), &json!(1))
    );
    let succeeded = found(&url, &bad).await.into_iter().filter(|charge| charge["status"] == "succeeded");
    assert_eq!(succeeded.count(), 0);
}

async fn health(api: Client) -> Value {
    api.get("/v1/health").await.ok()["integrations"]["stripe"].clone()
}

#[tokio::test]
async fn an_outage_opens_the_breaker_and_its_end_closes_it() {
    let (mut server, url) = stripe("0").await;
    let (_dir, _causeway, api, _) = causeway(&url).await;
    api.run("payments.charge", &order()).await.ok();
    server.kill();

    // The first charge makes four attempts, the second one makes the fifth, which is one too many.
    let failed = api.run("payments.charge", &order()).await.problem(502, "provider_failed");
    assert_eq!(
        (&failed["run"]["status"], &failed["run"]["steps"][0]["attempts"]),
        (&json!("failed"), &json!(4))
    );
    let refused = api.run("payments.charge", &order()).await.problem(503, "breaker_open");
    assert_eq!(refused["run"]["steps"][0]["attempts"], 1);
    let what = "health says that Stripe is down";
    until(what, async || (health(api).await["reasons"] == json!(["breaker_open"])).then_some(())).await;

    let port = url.rsplit(':').next().expect("a port").to_owned();
    let (_server, again) = stripe(&port).await;
    assert_eq!(again, url);
    let last = order();
    until("the breaker lets a charge try, and another, and closes", async || {
        let answer = api.run("payments.charge", &last).await;
        assert!(matches!(answer.status, 200 | 503), "{answer:?}");
        let charged = answer.status == 200;
        (charged && health(api).await["status"] == "healthy").then_some(())
    })
    .await;
}
