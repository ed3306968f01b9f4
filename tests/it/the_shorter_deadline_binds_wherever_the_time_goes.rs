//! A run ends by the operation's deadline or the caller's, whichever is sooner: in the queue for the pool, in that for a
//! token, between two attempts, or in one; and what is spent of it in one place is not there in another.

use std::time::Duration;

use causeway::sandbox::{Action, Behaviour, Ending};
use http::Method;
use serde_json::{Value, json};

use crate::support::wait::Watch;
use crate::support::{Answer, Ask, Config, Provider, Server, charge, until};

const SHORT_MS: u64 = 800;
const LONG_MS: u64 = 60_000;
/// Too long for the short deadline on any machine, and far too short for the long one.
const BETWEEN: Duration = Duration::from_secs(15);

/// Whose deadline is the short one; the other's is long.
#[derive(Clone, Copy, Debug)]
enum Shorter {
    Operations,
    Callers,
}

const EITHER: [Shorter; 2] = [Shorter::Operations, Shorter::Callers];

impl Shorter {
    /// A server on which `payments.ping` and `payments.charge` have the operation's deadline.
    fn server(self, url: &str, sections: &str) -> Server {
        let deadline = match self {
            Self::Operations => SHORT_MS,
            Self::Callers => LONG_MS,
        };
        let sections = format!("{sections}\n[breaker]\nfailures = 1000");
        let config = ["ping", "charge"].iter().fold(Config::payments(url, &sections), |config, name| {
            let path = format!("operations/payments.{name}.toml");
            config.replace(&path, "deadline = \"15s\"", &format!("deadline = \"{deadline}ms\""))
        });
        Server::start(&config)
    }

    /// Asks with the caller's deadline; `at_once` is whether the end may come before it.
    async fn ask(self, server: &Server, operation: &str, at_once: bool) -> Answer {
        let deadline = match self {
            Self::Operations => LONG_MS,
            Self::Callers => SHORT_MS,
        };
        let watch = Watch::start();
        let answer = server.api.send(Ask::run(operation, &charge()).deadline_ms(deadline)).await;
        let took = watch.elapsed();
        assert!(took < BETWEEN, "{self:?}: it took {took:?}: {answer:?}");
        assert!(at_once || took >= Duration::from_millis(SHORT_MS), "{self:?}: it took {took:?}: {answer:?}");
        answer
    }
}

/// Has another call hold what there is to hold; it is let go when what is returned is dropped.
async fn held(server: &Server, provider: &Provider) -> tokio::net::TcpStream {
    provider.always(Action::Hang { act: false });
    let other = server.api.begin("payments.balance", &json!({})).await;
    provider.arrived(1).await;
    other
}

#[tokio::test]
async fn in_the_queue_for_the_pool() {
    for shorter in EITHER {
        let provider = Provider::start();
        let pool =
            "[pool]\nmax_in_flight = 1\nmax_wait = \"1h\"\n[timeouts]\nfirst_byte = \"30s\"\ntotal = \"30s\"";
        let server = shorter.server(&provider.url(), pool);
        let _other = held(&server, &provider).await;
        shorter.ask(&server, "payments.ping", false).await.problem(503, "overloaded");
        assert_eq!(provider.arrivals().len(), 1);
    }
}

#[tokio::test]
async fn in_the_queue_for_a_token() {
    for shorter in EITHER {
        let provider = Provider::start();
        let one = "[[limits]]\nkind = \"concurrent\"\nrequests = 1\n[timeouts]\nfirst_byte = \"30s\"\ntotal = \"30s\"";
        let server = shorter.server(&provider.url(), one);
        let _other = held(&server, &provider).await;
        shorter.ask(&server, "payments.ping", false).await.problem(429, "throttled");
        assert_eq!(provider.arrivals().len(), 1);
    }
}

#[tokio::test]
async fn in_a_wait_for_a_token_that_is_known_to_be_too_long() {
    for shorter in EITHER {
        let provider = Provider::start();
        let one = "[[limits]]\nkind = \"sliding_window\"\nrequests = 1\nper = \"30s\"";
        let server = shorter.server(&provider.url(), one);
        server.api.run("payments.balance", &json!({})).await.ok();
        let refused = shorter.ask(&server, "payments.ping", true).await;
        refused.problem(429, "throttled");
        assert!((10..=40).contains(&refused.retry_after()), "{refused:?}");
        assert_eq!(provider.arrivals().len(), 1);
    }
}

#[tokio::test]
async fn between_attempts() {
    for shorter in EITHER {
        let provider = Provider::start();
        let retry =
            "[retry]\nmax_retries = 100\nbase_delay = \"100ms\"\nmax_delay = \"100ms\"\nbudget_min = 1000";
        let server = shorter.server(&provider.url(), retry);
        provider.always(Behaviour::status(500));
        let answer = shorter.ask(&server, "payments.ping", true).await;
        // The last wait does not fit, unless the deadline falls into an attempt.
        assert!([502, 504].contains(&answer.status), "{answer:?}");
        let arrivals = provider.arrivals().len();
        // Each wait is at least so long.
        assert!((2..=8).contains(&arrivals), "{shorter:?}: {arrivals} attempts");
    }
}

#[tokio::test]
async fn in_an_attempt() {
    for shorter in EITHER {
        let provider = Provider::start();
        let server = shorter.server(&provider.url(), "[timeouts]\nfirst_byte = \"30s\"\ntotal = \"30s\"");
        provider.always(Action::Hang { act: false });
        shorter.ask(&server, "payments.ping", false).await.problem(504, "deadline_exceeded");
        until("the provider sees its connection closed", async || {
            (provider.endings() == [Ending::ClientLeft {}]).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn in_an_attempt_that_may_act_which_is_not_cut() {
    for shorter in EITHER {
        let provider = Provider::start();
        let server = shorter.server(&provider.url(), "");
        provider.always(Action::Delay { ms: 2_500, jitter_ms: 0 });
        let problem = shorter.ask(&server, "payments.charge", false).await.problem(504, "outcome_pending");
        let path = format!("/v1/runs/{}", problem["run"]["id"].as_str().expect("an id"));
        let outcome = until("the run ends", async || {
            Some(server.api.get(&path).await.ok()).filter(|run| run["status"] != "running")
        })
        .await;
        assert_eq!((&outcome["status"], provider.effects().len()), (&json!("succeeded"), 1));
        assert_eq!(provider.endings(), [Ending::Answered { status: 200 }]);
    }
}

const TWO: &str = r#"
deadline = "6s"
[[steps]]
name = "first"
call = "payments.balance"
[[steps]]
name = "second"
call = "payments.charge"
after = ["first"]
"#;

/// Of six seconds three are spent; the provider then asks for a wait of four.
fn the_wait_does_not_fit(answer: &Value) {
    let step = answer["run"]["steps"].as_array().and_then(|steps| steps.last()).expect("a step");
    assert_eq!((&step["status"], &step["attempts"]), (&json!("failed"), &json!(1)), "{answer}");
    assert_eq!(step["error"]["retry_after_ms"], 4_000, "{answer}");
}

#[tokio::test]
async fn what_one_step_has_spent_the_next_has_not() {
    let provider = Provider::start();
    let config = Config::payments(&provider.url(), "[retry]\njitter = 0.0").operation("two", TWO);
    let server = Server::start(&config);
    provider.always_on(&Method::POST, "/", Action::RateLimit { retry_after: "4".to_owned(), status: 503 });
    provider.always_on(&Method::GET, "/", Action::Delay { ms: 3_000, jitter_ms: 0 });
    let problem = server.api.run("two", &charge()).await.problem(502, "provider_failed");
    the_wait_does_not_fit(&problem);
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (2, 0));
}

#[tokio::test]
async fn what_the_queue_has_spent_the_retries_have_not() {
    let provider = Provider::start();
    let sections = "[retry]\njitter = 0.0\n[pool]\nmax_in_flight = 1\nmax_wait = \"1h\"";
    let server = Server::start(&Config::payments(&provider.url(), sections));
    provider.always_on(&Method::POST, "/", Action::RateLimit { retry_after: "4".to_owned(), status: 503 });
    provider.always_on(&Method::GET, "/", Action::Delay { ms: 3_000, jitter_ms: 0 });
    let _other = server.api.begin("payments.balance", &json!({})).await;
    provider.arrived(1).await;
    let ask = Ask::run("payments.charge", &charge()).deadline_ms(6_000);
    let problem = server.api.send(ask).await.problem(502, "provider_failed");
    the_wait_does_not_fit(&problem);
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (2, 0));
}
