//! The dashboards have something to show: a real Prometheus scrapes the server through an outage, and every query of
//! theirs finds more there than nothing and zeros.

use std::fmt::Write as _;
use std::time::Duration;

use causeway::sandbox::{Action, Behaviour};
use causeway_actors::clock::Clock;
use http::Method;
use serde_json::{Value, json};

use crate::support::dashboards::{FILES, Query, queries, variables};
use crate::support::prometheus::JOB;
use crate::support::wait::Watch;
use crate::support::{Ask, Client, Config, Process, Prometheus, Provider, charge, process};

/// What can only show zeros here, by the place's end, each with the reason.
const ZERO: [(&str, &str); 3] = [
    ("Integrations set aside, A", "an actor panics by a fault of ours, if at all"),
    ("Failures, A", "the store works"),
    ("Failures, B", "the store works"),
];

/// How long traffic goes on, round after round, until every query has shown something.
const LONG_ENOUGH: Duration = Duration::from_secs(90);

/// `bank` is where everything happens: few retries, a breaker that opens soon, a limit that is soon exhausted.
const BANK: &str = r#"
[retry]
max_retries = 2
base_delay = "20ms"
rate_limit_delay = "100ms"
budget = 0.01
budget_min = 2
[breaker]
failures = 6
open_for = "1s"
half_open_calls = 1
[[limits]]
name = "balances"
kind = "token_bucket"
requests = 4
per = "1s"
scope = "endpoints"
endpoints = ["balance"]
"#;

/// Can be asked whether it has acted, and is asked later. Its breaker stays closed, however many rounds there are: each has a failure.
const BOOK: &str = r#"
[breaker]
failures = 1000

[endpoints.find]
method = "GET"
path = "/v1/charges"
request = '{ query: { reference: .reference } }'

[endpoints.book]
method = "POST"
path = "/v1/charges"
request = '{ body: { amount: .amount, currency: .currency, source: .source, reference: $run.id } }'

[endpoints.book.idempotency.verify]
endpoint = "find"
input = '{ reference: $run.id }'
found = '.body.data | length > 0'
reconcile_after = ["6s"]
"#;

const BOOKS: &str = "[[steps]]\nname = \"book\"\ncall = \"other.book\"\n";
const PAY: &str = "[[steps]]\nname = \"pay\"\ncall = \"bank.charge\"\nalternates = [\"other.charge\"]\n";
const RATE: &str = "[[steps]]\nname = \"rate\"\ncall = \"bank.ping\"\nfallback = { value = { rate = 1 } }\n";

/// A server in a process of its own, whose metrics are nobody else's, in front of two providers.
struct World {
    bank: Provider,
    other: Provider,
    api: Client,
    admin: Client,
    prometheus: Prometheus,
    _process: Process,
    _dir: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let (bank, other) = (Provider::start(), Provider::start());
        let dir = tempfile::tempdir().expect("a directory");
        let config =
            Config::new().integration("bank", &bank.url(), BANK).integration("other", &other.url(), "");
        let config = config.append("integrations/other.toml", BOOK).operation("other.book", BOOKS);
        config.operation("pay", PAY).operation("rate", RATE).write(dir.path());
        let serve = ["serve", "--config", &dir.path().display().to_string()];
        let mut process = Process::start(&mut process::causeway(&serve));
        let (api, admin) = process.serves().await;
        let prometheus = Prometheus::start(admin.address(), &past(admin)).await;
        prometheus.sees("causeway_build_info").await;
        Self { bank, other, api, admin, prometheus, _process: process, _dir: dir }
    }

    async fn run(&self, operation: &str, input: &Value) -> u16 {
        self.api.send(Ask::run(operation, input).deadline_ms(8_000)).await.status
    }

    async fn mode(&self, mode: &str) {
        let order = json!({ "mode": mode, "reason": "exercise" });
        let answer = self.admin.send(Ask::post("/admin/v1/integrations/bank/breaker/mode", &order)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    async fn sees_breaker(&self, state: &str) {
        let query = format!("causeway_breaker_state{{integration=\"bank\",state=\"{state}\"}} == 1");
        self.prometheus.sees(&query).await;
    }

    /// All of it once: good times, refusals, waits, an outage and its end, and an operator.
    async fn round(&self) {
        self.good_times().await;
        self.too_many_requests().await;
        self.outage().await;
        self.queue().await;
        self.mode("disabled").await;
        self.sees_breaker("disabled").await;
        self.mode("auto").await;
        self.recovery().await;
    }

    async fn good_times(&self) {
        for operation in ["pay", "bank.charge", "bank.ping", "other.charge", "other.ping"] {
            assert_eq!(self.run(operation, &charge()).await, 200, "{operation}");
        }
        let declined = json!({ "amount": 1250, "currency": "eur", "source": "tok_declined" });
        assert_eq!(self.run("bank.charge", &declined).await, 422);
    }

    /// More calls than a limit lets go at once, then a provider that says so itself, with and without when to come back.
    async fn too_many_requests(&self) {
        let input = json!({});
        let one = || self.run("bank.balance", &input);
        let waiting = async { self.prometheus.sees("causeway_pool_queued{integration=\"bank\"} > 0").await };
        let calls =
            async { tokio::join!(one(), one(), one(), one(), one(), one(), one(), one(), one(), one()) };
        tokio::join!(calls, waiting);
        let told = Action::RateLimit { retry_after: "1".to_owned(), status: 429 };
        for refusal in [Behaviour::from(told), Behaviour::status(429)] {
            self.bank.always_on(&Method::GET, "/v1/balance", refusal);
            one().await;
            self.bank.always_on(&Method::GET, "/v1/balance", Behaviour::normal());
            one().await;
        }
    }

    /// Until the breaker opens, and then for what stands in for the provider.
    async fn outage(&self) {
        self.bank.always(Behaviour::status(500));
        for _ in 0..6 {
            self.run("bank.ping", &json!({})).await;
        }
        assert_eq!(self.run("bank.ping", &json!({})).await, 503, "the breaker is open");
        assert_eq!(self.run("pay", &charge()).await, 200, "another provider stands in");
        assert_eq!(self.run("rate", &json!({})).await, 200, "a value stands in");
        self.sees_breaker("open").await;
    }

    /// Runs wait for an integration that is paused, some for their time, and one is in doubt, until it is found.
    async fn queue(&self) {
        let turn = async |word: &str| {
            let order = Ask::post(format!("/admin/v1/integrations/other/{word}"), &json!({}));
            self.admin.send(order).await.ok();
        };
        turn("pause").await;
        let later = |key: &str| {
            let ask = Ask::run("other.charge", &charge()).header("prefer", "respond-async");
            ask.header("idempotency-key", key)
        };
        let [one, other] = [0, 1].map(|_| uuid::Uuid::new_v4().to_string());
        for key in [&one, &one, &other] {
            let answer = self.api.send(later(key)).await;
            assert!([200, 202].contains(&answer.status), "{answer:?}");
        }
        self.other.next([Action::DropAfter {}.into(), Behaviour::status(403)]);
        assert_eq!(self.run("other.book", &charge()).await, 504, "it is in doubt");
        self.prometheus.sees("causeway_queue_depth{integration=\"other\",state=\"pending\"} > 0").await;
        self.prometheus.sees("causeway_queue_oldest_seconds{integration=\"other\"} > 0").await;
        self.other.always(Action::Delay { ms: 4_000, jitter_ms: 0 });
        turn("resume").await;
        self.prometheus.sees("causeway_queue_depth{integration=\"other\",state=\"leased\"} > 0").await;
        self.other.always(Behaviour::normal());
        self.prometheus.sees("causeway_dead_letters{integration=\"other\"} > 0").await;
    }

    /// The breaker closes once a call was good that took so long that everybody has seen it on the wire.
    async fn recovery(&self) {
        self.bank.always(Action::Delay { ms: 1_200, jitter_ms: 0 });
        let trial = self.api.begin("bank.ping", &json!({})).await;
        self.sees_breaker("half_open").await;
        self.bank.always(Behaviour::normal());
        self.sees_breaker("closed").await;
        drop(trial);
    }
}

/// Three hours, until a quarter of an hour ago, in which nearly all attempts at `bank` took less than 5 ms: without it
/// there would be no baseline.
fn past(admin: Client) -> String {
    let now = Clock::start().now().wall.unix_millis() / 1_000;
    let mut past = String::from("# TYPE causeway_attempt_duration_seconds histogram\n");
    for minute in 0..180 {
        let (at, count) = (now - (195 - minute) * 60, minute * 100);
        for (le, count) in [("0.005", count), ("0.01", count + minute), ("+Inf", count + minute)] {
            let labels = format!("job=\"{JOB}\",instance=\"{}\",integration=\"bank\"", admin.address());
            let name = "causeway_attempt_duration_seconds_bucket";
            writeln!(past, "{name}{{{labels},endpoint=\"ping\",le=\"{le}\"}} {count} {at}").expect("it fits");
        }
    }
    past + "# EOF\n"
}

/// A query with Grafana's variables filled in.
fn filled_in(query: &str, file: &str, admin: Client) -> String {
    let integration = if file == "integration.json" { "bank" } else { ".+" };
    let instance = admin.address().to_string();
    let values =
        [("$__rate_interval", "5s"), ("$job", JOB), ("$instance", &instance), ("$integration", integration)];
    let query = values.iter().fold(query.to_owned(), |query, (name, value)| query.replace(name, value));
    assert!(!query.contains('$'), "a variable that nobody fills in: {query}");
    query
}

#[tokio::test]
async fn every_query_finds_something() {
    let world = World::start().await;
    let mut empty: Vec<Query> = FILES
        .into_iter()
        .flat_map(|file| {
            let admin = world.admin;
            queries(file)
                .into_iter()
                .map(move |query| Query { expr: filled_in(&query.expr, file, admin), ..query })
        })
        .collect();
    assert!(empty.len() > 60, "these are not all");
    for file in FILES {
        for (label, selector) in variables(file) {
            let selector = filled_in(&selector, file, world.admin);
            let values = world.prometheus.label(&label, &selector).await;
            let values = values.unwrap_or_else(|error| panic!("{file}: ${label}: {error}"));
            let expected = match &*label {
                "job" => vec![JOB.to_owned()],
                "instance" => vec![world.admin.address().to_string()],
                _ => vec!["bank".to_owned(), "other".to_owned()],
            };
            assert_eq!(values, expected, "{file}: ${label}");
        }
    }

    let (watch, clock) = (Watch::start(), Clock::start());
    let now = || Duration::from_millis(clock.now().wall.unix_millis()).as_secs_f64();
    let began = now();
    while !empty.is_empty() {
        let left: Vec<_> = empty.iter().map(|query| format!("{}: {}", query.place, query.expr)).collect();
        assert!(watch.elapsed() < LONG_ENOUGH, "nothing but zeros:\n{}", left.join("\n"));
        world.round().await;
        let mut still = Vec::new();
        for query in empty {
            let values = world.prometheus.values(&query.expr, began, now()).await;
            let values = values.unwrap_or_else(|error| panic!("{}: {}: {error}", query.place, query.expr));
            let may_be_zero = ZERO.iter().any(|(place, _)| query.place.ends_with(place));
            let shows = |value: &f64| value.is_finite() && (may_be_zero || *value != 0.0);
            if !values.iter().any(shows) {
                still.push(query);
            }
        }
        empty = still;
    }
}
