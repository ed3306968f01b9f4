//! When an operator trips a breaker, the provider is left alone: 50 ms after the command is answered, nothing arrives.
//!
//! All times are the provider's: a request of the test's own marks the moment at which the trip was answered.

use std::thread;
use std::time::Duration;

use causeway::sandbox::{Action, Behaviour};
use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::support::wait::Watch;
use crate::support::{Answer, Ask, Client, Config, Provider, Server, charge, process, until};

const TAKES_EFFECT_WITHIN_US: u64 = 50_000;
/// How long traffic goes on after the trip.
const WATCHED: Duration = Duration::from_millis(500);
/// How often somebody asks meanwhile, at least.
const ASKED: u32 = 20;

/// Failing calls come back every few milliseconds, and no number of failures opens the breaker.
const UNSHAKEN: &str = r#"
[timeouts]
first_byte = "300ms"
[retry]
max_retries = 100
base_delay = "10ms"
max_delay = "10ms"
[breaker]
failures = 1000000
"#;

/// Six callers, each asking again as soon as it is answered; the charges of two of them fail and are retried. They are on
/// a thread of their own, so as not to delay the test's. Dropping it ends them.
struct Traffic {
    running: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Traffic {
    fn start(api: Client) -> Self {
        let (running, ended) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let callers = (0..6)
                    .map(|number| call(api, if number < 2 { "payments.charge" } else { "payments.ping" }));
                tokio::select! {
                    _ = join_all(callers) => {}
                    _ = ended => {}
                }
            });
        });
        Self { running: Some(running), thread: Some(thread) }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        drop(self.running.take());
        let ended = self.thread.take().map(thread::JoinHandle::join);
        assert!(
            thread::panicking() || matches!(ended, Some(Ok(()))),
            "a caller was answered what it must not be"
        );
    }
}

async fn call(api: Client, operation: &str) {
    loop {
        let answer = api.send(Ask::run(operation, &charge()).deadline_ms(1_000)).await;
        assert!(matches!(answer.status, 200 | 502..=504), "{answer:?}");
    }
}

/// Trips the breaker under traffic and checks what arrives afterwards.
async fn check(trip: impl AsyncFnOnce(&Server)) {
    let provider = Provider::start();
    provider.always_on(&Method::POST, "/v1/charges", Behaviour::status(500));
    let server = Server::start(&Config::payments(&provider.url(), UNSHAKEN));
    let callers = Traffic::start(server.api);
    provider.arrived(200).await;
    trip(&server).await;
    mark(&provider).await;

    let watch = Watch::start();
    let mut refused: u32 = 0;
    while watch.elapsed() < WATCHED || refused < ASKED {
        let answer = server.api.run("payments.ping", &json!({})).await;
        assert_eq!(answer.problem(503, "breaker_open")["run"]["steps"][0]["attempts"], 0);
        refused += 1;
    }
    drop(callers);

    let arrivals = provider.arrivals();
    let marked = arrivals.iter().find(|arrival| arrival.path == MARK).expect("the mark").at_us;
    assert!(arrivals.iter().filter(|arrival| arrival.at_us < marked).count() >= 200, "there was traffic");
    let late = arrivals.iter().filter(|arrival| arrival.at_us > marked + TAKES_EFFECT_WITHIN_US);
    assert_eq!(late.count(), 0, "requests came after the trip: {:?}", arrivals.last());
}

const MARK: &str = "/v1/ping?mark";

/// Marks this moment in the provider's ledger.
async fn mark(provider: &Provider) {
    let address = provider.address();
    let line = format!("GET {MARK} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let answer = Client::new(address).raw(line.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

async fn post_trip(server: &Server, body: serde_json::Value) -> Answer {
    server.admin.send(Ask::post("/admin/v1/integrations/payments/breaker/trip", &body)).await
}

#[tokio::test]
async fn by_the_admin_api() {
    check(async |server| {
        let tripped = post_trip(server, json!({ "reason": "asked to stop" })).await.ok();
        let breaker = &tripped["breaker"];
        assert_eq!((&breaker["mode"], &breaker["state"]), (&json!("forced_open"), &json!("forced_open")));
        assert_eq!(breaker["manual"]["reason"], "asked to stop");
        assert_eq!(tripped["durable"], true);
    })
    .await;
}

#[tokio::test]
async fn by_the_command_line() {
    check(async |server| {
        let url = server.admin.url();
        let arguments = ["breaker", "trip", "payments", "--reason", "asked to stop", "--admin-url", &url];
        let ended = process::run(&arguments).await;
        assert!(ended.status.success(), "{ended:?}");
        assert!(ended.out.starts_with("payments: breaker is forced_open"), "{ended:?}");
    })
    .await;
}

#[tokio::test]
async fn calls_that_wait_are_answered_at_once_and_what_is_out_is_finished() {
    let provider = Provider::start();
    let sections = "[pool]\nmax_in_flight = 1\nmax_wait = \"10s\"";
    let server = Server::start(&Config::payments(&provider.url(), sections));
    provider.always(Action::Delay { ms: 4_000, jitter_ms: 0 });
    let (api, watch) = (server.api, Watch::start());
    let out = tokio::spawn(async move { api.run("payments.charge", &charge()).await });
    provider.arrived(1).await;
    let waiting = tokio::spawn(async move { (api.run("payments.charge", &charge()).await, watch.elapsed()) });
    until("the second call waits", async || {
        (server.integration("payments").await["pool"]["queued"] == 1).then_some(())
    })
    .await;
    post_trip(&server, json!({ "reason": "asked to stop" })).await.ok();
    let (refused, took) = waiting.await.expect("it is answered");
    refused.problem(503, "breaker_open");
    assert!(took < Duration::from_millis(4_000), "it was refused only when the first one was back");
    out.await.expect("it is answered").ok();
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (1, 1));
}

#[tokio::test]
async fn it_ends_with_a_reset_or_when_its_time_is_up() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), "[breaker]\nhalf_open_calls = 1"));
    post_trip(&server, json!({ "reason": "asked to stop", "for": "12h" })).await.ok();
    let refused = server.api.run("payments.ping", &json!({})).await;
    assert!((43_000..=43_200).contains(&refused.retry_after()), "{refused:?}");
    refused.problem(503, "breaker_open");
    let url = server.admin.url();
    let ended = process::run(&["breaker", "reset", "payments", "--admin-url", &url, "--json"]).await;
    let integration: serde_json::Value = serde_json::from_str(&ended.out).expect("a document");
    assert_eq!(integration["breaker"]["state"], "closed");
    server.api.run("payments.ping", &json!({})).await.ok();

    post_trip(&server, json!({ "reason": "for a moment", "for": "200ms" })).await.ok();
    server.api.run("payments.ping", &json!({})).await.problem(503, "breaker_open");
    server.breaker_is("payments", "half_open").await;
    server.api.run("payments.ping", &json!({})).await.ok();
    server.breaker_is("payments", "closed").await;
    assert_eq!(provider.arrivals().len(), 2);
}

#[tokio::test]
async fn a_command_that_makes_no_sense_changes_nothing() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    for body in [
        json!({}),
        json!({ "reason": " " }),
        json!({ "reason": "x", "for": "soon" }),
        json!({ "reason": "x", "till": 1 }),
    ] {
        post_trip(&server, body).await.problem(400, "malformed_request");
    }
    let nowhere = Ask::post("/admin/v1/integrations/stripe/breaker/trip", &json!({ "reason": "x" }));
    server.admin.send(nowhere).await.problem(404, "unknown_integration");
    let url = server.admin.url();
    let ended = process::run(&["breaker", "trip", "stripe", "--reason", "x", "--admin-url", &url]).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.err.contains("stripe"), "{ended:?}");
    server.api.run("payments.ping", &json!({})).await.ok();
}
