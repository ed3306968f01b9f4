//! What a whole set of files gives: the settings, or everything that is wrong with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway_core::breaker::{BreakerSpec, ModeKind, ProbeSpec};
use causeway_core::bulkhead::PoolSpec;
use causeway_core::classify::Safety;
use causeway_core::endpoint::{Meaning, SchemaMode, Timeouts};
use causeway_core::failure::ErrorClass;
use causeway_core::limits::DrainScope;
use causeway_core::limits::token_bucket::TokenBucketSpec;
use causeway_core::retry::RetrySpec;
use causeway_core::sanitise::Pattern;
use http::{HeaderName, Method};
use proptest::prelude::*;

use super::*;

const SERVER: &str = r#"region = "eu-west-2"

[listen]
api = "127.0.0.1:9080"
admin = "[::1]:9081"
trusted_proxies = ["10.0.0.0/8", "192.0.2.1"]
max_body = "2MiB"
head_timeout = "5s"
max_in_flight = 100
drain = "10s"
io_threads = 2

[logs]
format = "pretty"
level = "debug"
bodies = "none"
max_body = "1KiB"
sample_success = 0.5

[traces]
otlp = "http://collector.internal:4318/"
sample = 0.1

[redact]
fields = ["passport"]
headers = ["X-Internal"]
patterns = ['EMP-\d+']

[[clients]]
name = "checkout"
key = { env = "CHECKOUT_KEY" }
operations = ["payments.*"]
max_in_flight = 200
rate = "500/m"

[[operators]]
name = "oncall"
key = { file = "keys/oncall" }
role = "operator"
"#;

const STRIPE: &str = r#"title = "Stripe"
base_url = "https://api.stripe.com/v1/"
headers = { Accept = "application/json" }

[auth]
type = "bearer"
token = { env = "STRIPE_API_KEY" }

[timeouts]
connect = "2s"
first_byte = "3s"
body = "4s"
total = "9s"

[retry]
max_retries = 2
base_delay = "100ms"
multiplier = 3
max_delay = "20s"
jitter = 0.5
rate_limit_delay = "2s"
max_retry_after = "1m"

[breaker]
failures = 7
window = "30s"
failure_rate = 0.5
minimum_calls = 10
window_calls = 50
slow_call = "2s"
slow_rate = 0.8
open_for = "15s"
open_multiplier = 2
open_max = "10m"
half_open_calls = 2
half_open_for = "20s"
probe = "a_charge"
mode = "metrics_only"

[pool]
max_in_flight = 8
max_queue = 16
max_wait = "500ms"
max_idle = 4
idle_timeout = "1m"
http2 = false

[[limits]]
name = "reads"
kind = "token_bucket"
requests = 100
per = "1s"
burst = 150

[[limits]]
kind = "token_bucket"
requests = 10
per = "1m"

[endpoints.create_charge]
method = "POST"
path = "/charges"
body = "form"
request = '''{ body: { amount: .amount } }'''
response = '{ id: .body.id }'
idempotency = { header = "Idempotency-Key", key_retention = "12h" }
classify = [
  { when = '.status == 402', class = "client", code = '.body.error.code', message = '.body.error.message' },
  { when = '.status == 409' },
]
timeouts = { total = "20s" }
headers = { accept = "text/json", "Stripe-Version" = "2025-09-30" }

[endpoints.a_charge]
method = "GET"
path = "/charges/{id}"
request = '{ path: { id: .id } }'
"#;

const CHARGE: &str = r#"title = "Charge a card"
version = 3
deadline = "5s"
result = '{ charge: .steps.charge.result.id }'

[[steps]]
name = "charge"
call = "stripe.create_charge"
input = '.input'
"#;

const MINIMAL: &str =
    "base_url = \"http://localhost:9000\"\n[endpoints.e]\nmethod = \"POST\"\npath = \"/\"\n";

fn settings(files: &[(&str, &str)]) -> Settings {
    Settings::from_texts(files).unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(files: &[(&str, &str)]) -> Vec<String> {
    let errors = Settings::from_texts(files).expect_err("settings that are wrong");
    errors.to_string().lines().map(str::to_owned).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn full() -> Settings {
    settings(&[
        ("operations/payments.charge.toml", CHARGE),
        ("integrations/stripe.toml", STRIPE),
        ("causeway.toml", SERVER),
    ])
}

#[test]
fn every_key_of_the_server_is_taken() {
    let server = full().server;
    assert_eq!(server.region, "eu-west-2");
    assert_eq!(
        server.listen,
        ListenSettings {
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "192.0.2.1/32".parse().unwrap()],
            api: "127.0.0.1:9080".parse().unwrap(),
            admin: "[::1]:9081".parse().unwrap(),
            max_body: 2 << 20,
            head_timeout: seconds(5),
            max_in_flight: 100,
            drain: seconds(10),
            io_threads: 2,
        }
    );
    assert_eq!(
        server.logs,
        LogSettings {
            format: LogFormat::Pretty,
            level: tracing::Level::DEBUG,
            bodies: LogBodies::None,
            max_body: 1024,
            sample_success: 0.5,
        }
    );
    let otlp = server.traces.otlp.as_ref().map(ToString::to_string);
    assert_eq!((otlp.as_deref(), server.traces.sample), (Some("http://collector.internal:4318"), 0.1));
    let [client] = &server.clients[..] else { panic!("{:?}", server.clients) };
    assert_eq!(
        (client.name.as_str(), &client.key.value),
        ("checkout", &SecretRef::Env("CHECKOUT_KEY".to_owned()))
    );
    assert!(client.may_run("payments.charge") && !client.may_run("crm.update"));
    assert_eq!(client.max_in_flight, Some(200));
    let rate = client.rate.clone().map(|rate| (rate.requests, rate.per, rate.burst));
    assert_eq!(rate, Some((500, seconds(60), 500)));
    let [operator] = &server.operators[..] else { panic!("{:?}", server.operators) };
    assert_eq!((operator.name.as_str(), operator.role), ("oncall", Role::Operator));
    assert_eq!(server.redact.fields, ["passport"]);
    assert_eq!(server.redact.headers, [HeaderName::from_static("x-internal")]);
    assert_eq!(server.redact.patterns, [Pattern::new(r"EMP-\d+").unwrap()]);
}

#[test]
fn every_key_of_an_integration_is_taken() {
    let stripe = full().integrations.remove(0);
    assert_eq!((stripe.name.as_str(), stripe.title.as_str()), ("stripe", "Stripe"));
    assert_eq!(stripe.base_url.to_string(), "https://api.stripe.com/v1");
    assert_eq!(stripe.headers["accept"], "application/json");
    let AuthSettings::Bearer { token } = &stripe.auth else { panic!("{:?}", stripe.auth) };
    assert_eq!(token.value, SecretRef::Env("STRIPE_API_KEY".to_owned()));
    assert_eq!(token.at.to_string(), "integrations/stripe.toml:7:9");
    let timeouts =
        Timeouts { connect: seconds(2), first_byte: seconds(3), body: seconds(4), total: seconds(9) };
    assert_eq!(stripe.timeouts, timeouts);
    assert_eq!(
        stripe.retry,
        RetrySpec {
            max_retries: 2,
            base_delay: Duration::from_millis(100),
            multiplier: 3.0,
            max_delay: seconds(20),
            jitter: 0.5,
            rate_limit_delay: seconds(2),
            max_retry_after: seconds(60),
            ..RetrySpec::default()
        }
    );
    assert_eq!(
        stripe.breaker,
        BreakerSpec {
            failures: Some(7),
            window: seconds(30),
            failure_rate: Some(0.5),
            minimum_calls: 10,
            window_calls: Some(50),
            slow_call: Some(seconds(2)),
            slow_rate: Some(0.8),
            open_for: seconds(15),
            open_multiplier: 2.0,
            open_max: seconds(600),
            half_open_calls: 2,
            half_open_for: seconds(20),
            probe: Some(ProbeSpec { endpoint: 1, timeout: seconds(9) }),
            mode: ModeKind::MetricsOnly,
        }
    );
    assert_eq!(
        stripe.pool,
        PoolSpec {
            max_in_flight: 8,
            max_queue: 16,
            max_wait: Duration::from_millis(500),
            max_idle: 4,
            idle_timeout: seconds(60),
            http2: false,
        }
    );
    let limits: Vec<(&str, &LimitKind)> =
        stripe.limits.iter().map(|limit| (limit.name.as_str(), &limit.kind)).collect();
    let bucket = |requests, per, burst| LimitKind::TokenBucket(TokenBucketSpec { requests, per, burst });
    assert_eq!(limits, [("reads", &bucket(100, seconds(1), 150)), ("limit-2", &bucket(10, seconds(60), 10))]);
}

#[test]
fn every_key_of_an_endpoint_is_taken() {
    let stripe = full().integrations.remove(0);
    let [create, get] = &stripe.endpoints[..] else { panic!("two endpoints, in the file's order") };
    assert_eq!(create.name.as_str(), "create_charge");
    assert_eq!((&create.method, create.path.as_str()), (&Method::POST, "/charges"));
    assert_eq!(create.body, BodyFormat::Form);
    assert_eq!(create.request.as_ref().unwrap().source, "{ body: { amount: .amount } }");
    let response = create.response.as_ref().unwrap();
    assert_eq!(response.source, "{ id: .body.id }");
    assert_eq!(response.at.to_string(), "integrations/stripe.toml:65:12");
    let header = HeaderName::from_static("idempotency-key");
    let retention = Duration::from_secs(12 * 3600);
    let key = Some(KeyHeader { header, retention });
    assert_eq!(create.idempotency, IdempotencySettings::Known { key, verify: None });
    assert_eq!(create.idempotency.safety(), Safety::Mutating);
    assert_eq!(create.timeouts, Timeouts { total: seconds(20), ..stripe.timeouts });
    assert_eq!(create.headers["accept"], "text/json", "an endpoint's header replaces the integration's");
    assert_eq!(create.headers["stripe-version"], "2025-09-30");
    assert_eq!(create.headers.len(), 2);

    let [declined, conflict] = &create.classify[..] else { panic!("two rules") };
    assert_eq!(declined.when.source, ".status == 402");
    assert_eq!(declined.class, Some(Meaning::Failure(ErrorClass::Client)));
    assert_eq!(declined.code.as_ref().unwrap().source, ".body.error.code");
    assert_eq!(declined.message.as_ref().unwrap().source, ".body.error.message");
    assert_eq!((conflict.class, &conflict.code, &conflict.message), (None, &None, &None));

    assert_eq!((get.name.as_str(), get.path.as_str()), ("a_charge", "/charges/{id}"));
    assert_eq!((get.body, &get.idempotency), (BodyFormat::None, &IdempotencySettings::Safe));
    assert_eq!(get.timeouts, stripe.timeouts);
    assert_eq!(get.headers, stripe.headers);
}

#[test]
fn every_key_of_an_operation_is_taken() {
    let operation = full().operations.remove(0);
    assert_eq!((operation.name.as_str(), operation.title.as_str()), ("payments.charge", "Charge a card"));
    assert_eq!((operation.version, operation.deadline), (3, seconds(5)));
    assert_eq!(operation.result.unwrap().source, "{ charge: .steps.charge.result.id }");
    let [step] = &operation.steps[..] else { panic!("one step") };
    assert_eq!((step.name.as_str(), step.call.to_string().as_str()), ("charge", "stripe.create_charge"));
    assert_eq!(step.input.as_ref().unwrap().at.to_string(), "operations/payments.charge.toml:9:9");
}

/// Three integrations: `a` and `b` may act at `e`, `r` only reads.
const SEVERAL: [(&str, &str); 3] = [
    ("integrations/a.toml", MINIMAL),
    ("integrations/b.toml", MINIMAL),
    ("integrations/r.toml", "base_url = \"https://x\"\n[endpoints.e]\nmethod = \"GET\"\npath = \"/\"\n"),
];

#[test]
fn every_key_of_a_step_is_taken() {
    let operation = r#"
mode = "sync"
journal = false
priority = "low"
preview = true
[[steps]]
name = "ship"
after = ["rate", "charge"]
call = "a.e"
required = false
background = false
[[steps]]
name = "charge"
call = "a.e"
undo = { call = "b.e", input = '.steps.charge.result' }
alternates = ["b.e", { call = "b.e", input = '.input', undo = { call = "a.e" } }]
[[steps]]
name = "rate"
call = "r.e"
fallback = { stale = "10m", value = { rate = 1.5, at = 2026-01-01, list = [1, true, "x"] } }
"#;
    let mut files = SEVERAL.to_vec();
    files.push(("operations/o@7.toml", operation));
    let operation = settings(&files).operations.remove(0);
    assert_eq!((operation.name.as_str(), operation.label.as_str(), operation.version), ("o", "o@7", 7));
    assert!(operation.preview);
    assert_eq!(operation.priority, causeway_core::priority::Priority::Low);
    let [ship, charge, rate] = &operation.steps[..] else { panic!("three steps") };
    assert_eq!(
        (&ship.after[..], ship.required, &ship.fallback),
        (&[2, 1][..], false, &FallbackSettings::default())
    );
    assert!(charge.required && charge.after.is_empty());
    let undo = charge.undo.as_ref().unwrap();
    assert_eq!((undo.call.to_string().as_str(), undo.input.is_some()), ("b.e", true));
    let [plain, full] = &charge.alternates[..] else { panic!("two alternates") };
    assert_eq!((plain.call.to_string().as_str(), &plain.input, &plain.undo), ("b.e", &None, &None));
    assert!(full.input.is_some() && full.undo.as_ref().is_some_and(|undo| undo.input.is_none()));
    let stale = rate.fallback.stale.as_ref().unwrap();
    assert_eq!((stale.value, stale.at.line), (seconds(600), 20));
    let value = rate.fallback.value.as_ref().unwrap().as_str();
    let value: serde_json::Value = serde_json::from_str(value).unwrap();
    assert_eq!(value, serde_json::json!({ "rate": 1.5, "at": "2026-01-01", "list": [1, true, "x"] }));
}

#[test]
fn what_is_wrong_with_steps_is_told_where_it_stands() {
    let step = |name: &str, more: &str| format!("[[steps]]\nname = \"{name}\"\ncall = \"a.e\"\n{more}\n");
    let after = |name: &str, after: &str| step(name, &format!("after = {after}"));
    assert_told(
        "operations/o.toml",
        &SEVERAL,
        &[
            (
                &(after("charge", "[\"recipt\", \"charge\", 1]")
                    + &after("receipt", "[\"charge\", \"charge\"]")),
                &[
                    "4:10: `steps[0].after[0]`: there is no step \"recipt\"; did you mean `receipt`?",
                    "4:20: `steps[0].after[1]`: a step cannot wait for itself; remove it",
                    "4:30: `steps[0].after[2]`: an integer cannot stand here; write the name of a step",
                    "8:20: `steps[1].after[1]`: \"charge\" stands here twice; write it once",
                ],
            ),
            (
                &(after("x", "[\"a\"]")
                    + &after("a", "[\"c\"]")
                    + &after("b", "[\"a\"]")
                    + &after("c", "[\"b\"]")
                    + &after("e", "[\"f\"]")
                    + &after("f", "[\"e\"]")
                    + &step("free", "")),
                &[
                    "8:10: `steps[1].after[0]`: no step of this ring can ever start: \"a\" waits for \"c\" waits for \
                     \"b\" waits for \"a\"; let one go without the other",
                    "20:10: `steps[4].after[0]`: no step of this ring can ever start: \"e\" waits for \"f\" waits for \
                     \"e\"; let one go without the other",
                ],
            ),
            (
                &step(
                    "s",
                    "alternates = [\"b.x\", { undo = { call = \"c.e\" } }]\nundo = \"b.e\"\nfallback = {}",
                ),
                &[
                    "4:15: `steps[0].alternates[0]`: b has no endpoint \"x\"; did you mean `e`?",
                    "4:22: `steps[0].alternates[1].call` is missing; write for example call = \"adyen.create_payment\"",
                    "4:40: `steps[0].alternates[1].undo.call`: there is no integration \"c\"; did you mean `a`?",
                    "5:8: `steps[0].undo`: a string cannot stand here; write a table { call, input }",
                    "6:12: `steps[0].fallback`: nothing would stand in; write stale = \"10m\" or value = { … }",
                ],
            ),
            (
                &step(
                    "s",
                    "background = true\ncompletes = { webhook = \"a.b\" }\nfallback = { stale = \"0s\", value = nan }",
                ),
                &[
                    "5:1: `steps[0].completes` is not available in this version; remove it",
                    "6:22: `steps[0].fallback.stale`: 0s is out of range; write \"1s\" to \"30d\"",
                    "6:36: `steps[0].fallback.value`: `inf`, `nan` and numbers beyond 64 bits are not in JSON; write \
                     others",
                ],
            ),
            (
                &format!("journal = true\npriority = \"hgih\"\nidempotency = \"off\"\n{}", step("s", "")),
                &["2:12: `priority`: \"hgih\" is not available; did you mean \"high\"?"],
            ),
        ],
    );
}

#[test]
fn versions_of_an_operation_stand_side_by_side() {
    let with = |files: &[(&'static str, &'static str)]| [&SEVERAL[..], files].concat();
    let read = settings(&with(&[("operations/o.toml", "[[steps]]\nname = \"s\"\ncall = \"a.e\"\n")]));
    assert_eq!((read.operations[0].version, read.operations[0].label.as_str()), (1, "o"));
    let other = "version = 3\n[[steps]]\nname = \"s\"\ncall = \"a.e\"\n";
    let told = errors(&with(&[("operations/o@2.toml", other)]));
    assert_eq!(
        told,
        ["operations/o@2.toml:1:11: `version`: the file's name says 2; write 2, or remove the key"]
    );
    let second = "version = 2\n[[steps]]\nname = \"s\"\ncall = \"a.e\"\n";
    let told = errors(&with(&[("operations/o.toml", second), ("operations/o@2.toml", second)]));
    assert_eq!(told, ["operations/o@2.toml: o has version 2 too; give one of them another version"]);
}

#[test]
fn what_is_not_written_has_the_default_of_the_contract() {
    let operation = "[[steps]]\nname = \"s\"\ncall = \"x.e\"\n";
    let settings = settings(&[("integrations/x.toml", MINIMAL), ("operations/o.toml", operation)]);
    assert_eq!(settings.server, ServerSettings::default());
    let listen = &settings.server.listen;
    assert_eq!(
        (listen.api.to_string(), listen.admin.to_string()),
        ("127.0.0.1:8080".into(), "127.0.0.1:8081".into())
    );
    assert_eq!((listen.max_body, listen.head_timeout), (1 << 20, seconds(10)));
    assert_eq!((listen.max_in_flight, listen.drain, listen.io_threads), (4000, seconds(25), 0));
    assert_eq!(settings.server.region, "local");
    assert_eq!((settings.server.logs.max_body, settings.server.logs.sample_success), (8192, 1.0));

    let x = &settings.integrations[0];
    assert_eq!((x.title.as_str(), &x.auth), ("x", &AuthSettings::None));
    assert_eq!((&x.timeouts, &x.retry), (&Timeouts::default(), &RetrySpec::default()));
    assert_eq!((&x.breaker, &x.pool), (&BreakerSpec::default(), &PoolSpec::default()));
    assert!(x.limits.is_empty() && x.headers.is_empty());
    let endpoint = &x.endpoints[0];
    assert_eq!((endpoint.body, &endpoint.idempotency), (BodyFormat::Json, &IdempotencySettings::None));

    let operation = &settings.operations[0];
    assert_eq!((operation.title.as_str(), operation.version, operation.deadline), ("o", 1, seconds(8)));
    assert_eq!((&operation.result, &operation.steps[0].input), (&None, &None));
}

#[test]
fn a_failure_rate_alone_does_not_count_failures() {
    let of = |breaker: &str| {
        let text = format!("base_url = \"https://x\"\n[breaker]\n{breaker}\n");
        settings(&[("integrations/x.toml", &text)]).integrations.remove(0).breaker
    };
    assert_eq!((of("").failures, of("").failure_rate), (Some(5), None));
    assert_eq!((of("failures = 9").failures, of("failures = 9").failure_rate), (Some(9), None));
    assert_eq!(of("failure_rate = 0.5").failures, None);
    assert_eq!(of("failure_rate = 1\nfailures = 9").failures, Some(9));
}

#[test]
fn what_is_wrong_with_a_breaker_is_told() {
    assert_told(
        "integrations/x.toml",
        &[],
        &[
            (
                "base_url = \"https://x\"\n[breaker]\nfailures = 0\nfailure_rate = 50\nslow = \"1s\"\nmode = \"off\"",
                &[
                    "3:12: `breaker.failures`: 0 is out of range; write 1 to 1000000",
                    "4:16: `breaker.failure_rate`: 50 is out of range; write a number above 0, at most 1",
                    "5:1: unknown key `breaker.slow`; known here: `failures`, `failure_rate`, `window`, `window_calls`, \
                     `minimum_calls`, `slow_call`, `slow_rate`, `open_for`, `open_multiplier`, `open_max`, \
                     `half_open_calls`, `half_open_for`, `probe`, `mode`",
                    "6:8: `breaker.mode`: \"off\" is not available; write \"auto\" or \"forced_open\" or \"disabled\" or \
                     \"metrics_only\"",
                ],
            ),
            (
                "base_url = \"https://x\"\n[breaker]\nslow_rate = 0.5\nopen_for = \"10s\"\nopen_max = \"9s\"\n\
                 window_calls = 19",
                &[
                    "3:13: `breaker.slow_rate`: slowness is judged by both keys; write slow_call = \"2s\" too",
                    "5:12: `breaker.open_max`: the longest time is shorter than the first; make `open_max` at least \
                     `open_for`",
                    "6:16: `breaker.window_calls`: the last 19 calls never hold `minimum_calls` (20), so nothing is \
                     judged; write at least 20 calls, or lower `minimum_calls`",
                ],
            ),
            (
                "base_url = \"https://x\"\n[breaker]\nprobe = \"pong\"\n[endpoints.ping]\nmethod = \"GET\"\npath = \"/\"",
                &["3:9: `breaker.probe`: the integration has no endpoint `pong`; did you mean `ping`?"],
            ),
            (
                "base_url = \"https://x\"\n[breaker]\nprobe = \"pay\"\n[endpoints.pay]\nmethod = \"POST\"\npath = \"/\"",
                &[
                    "3:9: `breaker.probe`: the endpoint `pay` may act, and nobody asks it to when the breaker does; name \
                     one that only reads",
                ],
            ),
        ],
    );
}

#[test]
fn the_longest_open_time_follows_a_longer_first_where_nothing_is_written() {
    let of = |breaker: &str| {
        let text = format!("base_url = \"https://x\"\n[breaker]\n{breaker}\n");
        settings(&[("integrations/x.toml", &text)]).integrations.remove(0).breaker.open_max
    };
    assert_eq!(of(""), seconds(300));
    assert_eq!(of("open_for = \"10m\""), seconds(600));
    assert_eq!(of("open_for = \"10m\"\nopen_max = \"1h\""), seconds(3600));
}

#[test]
fn methods_decide_body_and_idempotency_where_nothing_is_written() {
    use IdempotencySettings::{None as Unsafe, Safe};
    for (method, body, idempotency) in [
        ("GET", BodyFormat::None, Safe),
        ("HEAD", BodyFormat::None, Safe),
        ("OPTIONS", BodyFormat::None, Safe),
        ("DELETE", BodyFormat::None, Unsafe),
        ("POST", BodyFormat::Json, Unsafe),
        ("PUT", BodyFormat::Json, Unsafe),
        ("PATCH", BodyFormat::Json, Unsafe),
    ] {
        let text = MINIMAL.replace("POST", method);
        let endpoint = settings(&[("integrations/x.toml", &text)]).integrations.remove(0).endpoints.remove(0);
        assert_eq!((endpoint.body, endpoint.idempotency), (body, idempotency), "{method}");
    }
}

#[test]
fn each_kind_of_authentication_is_read() {
    let of = |auth: &str| {
        let text = format!("base_url = \"https://x\"\n[auth]\n{auth}\n");
        settings(&[("integrations/x.toml", &text)]).integrations.remove(0).auth
    };
    let at = |value: SecretRef, line: usize, column: usize| Placed {
        value,
        at: Position { file: "integrations/x.toml".into(), line, column },
    };
    let env = |name: &str, line, column| at(SecretRef::Env(name.to_owned()), line, column);
    assert_eq!(of("type = \"none\""), AuthSettings::None);
    assert_eq!(
        of("type = \"basic\"\nusername = { env = \"U\" }\npassword = { file = \"/run/p\" }"),
        AuthSettings::Basic {
            username: env("U", 4, 12),
            password: Some(at(SecretRef::File(PathBuf::from("/run/p")), 5, 12))
        }
    );
    assert_eq!(
        of("type = \"basic\"\nusername = { env = \"U\" }"),
        AuthSettings::Basic { username: env("U", 4, 12), password: None }
    );
    assert_eq!(
        of("type = \"header\"\nname = \"Authorization\"\nvalue = { env = \"K\" }"),
        AuthSettings::Header { name: HeaderName::from_static("authorization"), value: env("K", 5, 9) }
    );
    assert_eq!(
        of("type = \"query\"\nname = \"key\"\nvalue = { env = \"K\" }"),
        AuthSettings::Query { name: "key".to_owned(), value: env("K", 5, 9) }
    );
}

/// Each text, and what it is told: nothing more, and at these places.
fn assert_told(file: &str, others: &[(&str, &str)], cases: &[(&str, &[&str])]) {
    for (text, told) in cases {
        let mut files = others.to_vec();
        files.push((file, text));
        let told: Vec<String> = told.iter().map(|told| format!("{file}:{told}")).collect();
        assert_eq!(errors(&files), told, "{text}");
    }
}

#[test]
fn what_is_wrong_with_the_server_is_told() {
    assert_told(
        "causeway.toml",
        &[("integrations/x.toml", MINIMAL)],
        &[
            ("regin = \"eu\"", &["1:1: unknown key `regin`; did you mean `region`?"]),
            (
                "region = \"eu west\"",
                &[
                    "1:10: `region`: \"eu west\" is not a region; write 1 to 64 letters, digits, `.`, `_` or `-`",
                ],
            ),
            (
                "[storage]\nurl = \"x\"",
                &[
                    "1:2: unknown key `storage`; known here: `clients`, `operators`, `region`, `listen`, `store`, `encryption`, `logs`, `traces`, `redact`, `defaults`",
                ],
            ),
            ("listen = 1", &["1:10: `listen`: an integer cannot stand here; write a table"]),
            (
                "[listen]\nhooks = \"127.0.0.1:1\"",
                &["2:1: `listen.hooks` is not available in this version; remove it"],
            ),
            (
                "[listen]\napi = \"0.0.0.0:8080\"",
                &[
                    "2:7: `listen.api`: 0.0.0.0:8080 can be reached from other machines, and no [[clients]] says \
                   who may call; add one, or write a loopback address, \"127.0.0.1:8080\" or \"[::1]:8080\"",
                ],
            ),
            (
                "[listen]\nadmin = \"[2001:db8::1]:80\"",
                &[
                    "2:9: `listen.admin`: [2001:db8::1]:80 can be reached from other machines, and no [[operators]] says \
                   who may operate it; add one, or write a loopback address, \"127.0.0.1:80\" or \"[::1]:80\"",
                ],
            ),
            (
                "[listen]\napi = \"localhost:8080\"",
                &[
                    "2:7: `listen.api`: \"localhost:8080\" is not an address; write an IP address and a port, such as \
                   \"127.0.0.1:8080\"",
                ],
            ),
            (
                "[listen]\napi = \"127.0.0.1:8081\"",
                &[
                    "2:7: `listen.api`: `api` and `admin` cannot share an address; give one of them another port",
                ],
            ),
            (
                "[listen]\nmax_in_flight = 0\ndrain = \"2h\"",
                &[
                    "2:17: `listen.max_in_flight`: 0 is out of range; write 1 to 1000000",
                    "3:9: `listen.drain`: 2h is out of range; write \"0ms\" to \"1h\"",
                ],
            ),
            (
                "[logs]\nformat = \"jsn\"\nbodies = \"raw\"\nsample_success = 1.5",
                &[
                    "2:10: `logs.format`: \"jsn\" is not available; did you mean \"json\"?",
                    "3:10: `logs.bodies`: \"raw\" is not available; write \"sanitised\" or \"none\"",
                    "4:18: `logs.sample_success`: 1.5 is out of range; write 0.0 to 1.0",
                ],
            ),
            (
                "[traces]\notlp = \"http://user:pw@collector\"\nsample = 2.0",
                &[
                    "2:8: `traces.otlp`: the URL carries a user or a password; remove them and set OTEL_EXPORTER_OTLP_HEADERS in the environment",
                    "3:10: `traces.sample`: 2 is out of range; write 0.0 to 1.0",
                ],
            ),
            (
                "[redact]\nfields = \"ssn\"\nheaders = [\"ok\", \"not ok\"]",
                &[
                    "2:10: `redact.fields`: a string cannot stand here; write a list",
                    "3:18: `redact.headers[1]`: \"not ok\" is not the name of a header; write letters, digits and `-`",
                ],
            ),
            (
                "[redact]\npatterns = [\n  'a(b',\n  'ok',\n  'x*',\n  '',\n  '\\w{900}{900}',\n  1\n]",
                &[
                    "3:3: `redact.patterns[0]`: \"a(b\" is not a regular expression: unclosed group",
                    "5:3: `redact.patterns[2]`: \"x*\" matches the empty string, so it would mask everywhere; ask for at \
                     least one character",
                    "6:3: `redact.patterns[3]`: \"\" must have 1 to 1024 bytes",
                    "7:3: `redact.patterns[4]`: \"\\w{900}{900}\" is too large once compiled; ask for fewer repetitions",
                    "8:3: `redact.patterns[5]`: an integer cannot stand here; write a regular expression",
                ],
            ),
        ],
    );
}

#[test]
fn what_is_wrong_with_an_integration_is_told() {
    assert_told(
        "integrations/x.toml",
        &[],
        &[
            ("", &["1:1: `base_url` is missing; write for example base_url = \"https://api.example.com\""]),
            (
                "base_url = \"http://api.example.com\"",
                &[
                    "1:12: `base_url`: http sends everything in the open; write https (http is for 127.0.0.0/8, ::1, \
                   localhost)",
                ],
            ),
            (
                "base_url = \"https://x\"\n[timeouts]\nconect = \"1s\"\ntotal = 10\nbody = \"0s\"",
                &[
                    "3:1: unknown key `timeouts.conect`; did you mean `connect`?",
                    "4:9: `timeouts.total`: an integer cannot stand here; write a duration such as \"30s\"",
                    "5:8: `timeouts.body`: 0s is out of range; write \"1ms\" to \"1h\"",
                ],
            ),
            (
                "base_url = \"https://x\"\nretry = { multiplier = 0.5, jitter = -1 }",
                &[
                    "2:24: `retry.multiplier`: 0.5 is out of range; write 1.0 to 100.0",
                    "2:38: `retry.jitter`: -1 is out of range; write 0.0 to 1.0",
                ],
            ),
            (
                "base_url = \"https://x\"\n[pool]\nhttp2 = \"yes\"\nmax_in_flight = -1",
                &[
                    "3:9: `pool.http2`: a string cannot stand here; write true or false",
                    "4:17: `pool.max_in_flight`: -1 is out of range; write 1 to 10000",
                ],
            ),
            (
                "base_url = \"https://x\"\n[[limits]]\nkind = \"calendar\"\nrequests = 5\nper = \"week\"",
                &[
                    "5:7: `limits[0].per`: \"week\" is not available; write \"minute\" or \"hour\" or \"day\" or \"month\"",
                ],
            ),
            (
                "base_url = \"https://x\"\n[[limits]]\nkind = \"token_bucket\"\nburst = 0",
                &[
                    "2:1: `limits[0].requests` is missing; write for example requests = 100",
                    "2:1: `limits[0].per` is missing; write for example per = \"1s\"",
                    "4:9: `limits[0].burst`: 0 is out of range; write 1 to 10000000",
                ],
            ),
            (
                "base_url = \"https://x\"\nlimits = [{ name = \"a\", kind = \"token_bucket\", requests = 1, per = \
                 \"1s\" },\n { name = \"a\", kind = \"token_bucket\", requests = 1, per = \"1s\" }]",
                &["3:11: `limits[1].name`: two limits are named \"a\"; give each its own name"],
            ),
            (
                "base_url = \"https://x\"\n[headers]\nHost = \"y\"\nAuthorization = \"Bearer t0ps3cret\"\nAccept = \
                 \"a\"\naccept = \"b\"\nX-Note = \"ü\"",
                &[
                    "3:1: `headers.Host`: the header `host` belongs to the connection and is written with it; \
                     remove it",
                    "4:1: `headers.Authorization`: the header carries a secret; write it in [auth], as a reference: \
                     type = \"header\", name, value = { env = \"NAME\" }",
                    "6:1: `headers.accept`: the header is given twice, in another spelling; remove one",
                    "7:10: `headers.X-Note`: this is no header value; write at most 4096 ASCII characters",
                ],
            ),
            (
                "base_url = \"https://x\"\n[polls.p]\n",
                &["2:2: `polls` is not available in this version; remove it"],
            ),
            (
                "title = \"\"\nbase_url = \"https://x\"",
                &[
                    "1:9: `title`: the text is empty, too long or has control characters; write 1 to 200 characters on one line",
                ],
            ),
        ],
    );
}

#[test]
fn what_is_wrong_with_authentication_is_told() {
    let base = "base_url = \"https://x\"\n[auth]\n";
    let cases: [(&str, &[&str]); 9] = [
        ("token = { env = \"T\" }", &["2:1: `auth.type` is missing; write for example type = \"bearer\""]),
        ("type = \"bearr\"", &["3:8: `auth.type`: \"bearr\" is not available; did you mean \"bearer\"?"]),
        (
            "type = \"oauth2\"",
            &[
                "3:8: `auth.type`: \"oauth2\" is not available in this version; write \"none\" or \"basic\" or \"bearer\" or \"header\" \
               or \"query\"",
            ],
        ),
        (
            "type = \"bearer\"",
            &["2:1: `auth.token` is missing; write for example token = { env = \"NAME\" }"],
        ),
        (
            "type = \"bearer\"\ntoken = \"t0ps3cret\"",
            &["4:9: `auth.token`: a secret must not stand in the configuration; write a reference, { env = \
               \"NAME\" } or { file = \"/run/secrets/name\" }"],
        ),
        (
            "type = \"bearer\"\ntoken = { vault = \"secret/x\", field = \"k\" }",
            &[
                "4:11: `auth.token.vault` is not available in this version; remove it",
                "4:31: `auth.token.field` is not available in this version; remove it",
            ],
        ),
        (
            "type = \"bearer\"\ntoken = {}",
            &["4:9: `auth.token`: no source is given; write a reference, { env = \"NAME\" } or { file = \
               \"/run/secrets/name\" }"],
        ),
        (
            "type = \"basic\"\nusername = { env = \"U\", file = \"/u\" }\ntoken = { env = \"T\" }",
            &[
                "4:32: `auth.username.file`: a secret has one source, and `env` is given too; remove one of them",
                "5:1: unknown key `auth.token`; known here: `account`, `type`, `username`, `password`",
            ],
        ),
        (
            "type = \"header\"\nname = \"Content-Length\"\nvalue = { env = \"t0p-s3cret\" }",
            &[
                "4:8: `auth.name`: the header `content-length` belongs to the connection and is written with it; \
                 remove it",
                "5:17: `auth.value.env`: this is not the name of an environment variable; write letters, digits and \
                 `_`, not beginning with a digit",
            ],
        ),
    ];
    for (auth, told) in cases {
        assert_told("integrations/x.toml", &[], &[(&format!("{base}{auth}"), told)]);
    }
}

#[test]
fn what_is_wrong_with_an_endpoint_is_told() {
    let base = "base_url = \"https://x\"\n[endpoints.e]\n";
    let cases: [(&str, &[&str]); 10] = [
        (
            "",
            &[
                "2:1: `endpoints.e.method` is missing; write for example method = \"POST\"",
                "2:1: `endpoints.e.path` is missing; write for example path = \"/v1/charges\"",
            ],
        ),
        (
            "method = \"PSOT\"\npath = \"v1\"",
            &[
                "3:10: `endpoints.e.method`: \"PSOT\" is not available; did you mean \"POST\"?",
                "4:8: `endpoints.e.path`: a path begins with `/`; write one such as \"/v1/charges\"",
            ],
        ),
        (
            "method = \"GET\"\npath = \"/a/{id}\"",
            &[
                "4:8: `endpoints.e.path`: nothing fills the placeholders; write request = '{ path: { name: .name } }', \
               with each name of the path",
            ],
        ),
        (
            "method = \"GET\"\npath = \"/a/{i d}\"",
            &[
                "4:8: `endpoints.e.path`: a placeholder is not well-formed; write {name}, of letters, digits and `_`",
            ],
        ),
        (
            "method = \"GET\"\npath = \"/a}\"",
            &["4:8: `endpoints.e.path`: a character cannot stand in a path; write it percent-encoded, and \
               placeholders as {name}"],
        ),
        (
            "method = \"GET\"\npath = \"/a?b=c\"",
            &[
                "4:8: `endpoints.e.path`: a path has no query and no fragment; write request = '{ query: { name: \
               .name } }'",
            ],
        ),
        (
            "method = \"GET\"\npath = \"/\"\nbody = \"yaml\"\nrequest = ''\nresponse = 7",
            &[
                "5:8: `endpoints.e.body`: \"yaml\" is not available; write \"json\" or \"form\" or \"multipart\" or \
                 \"text\" or \"none\"",
                "6:11: `endpoints.e.request`: the jq program is empty; write one such as '.', or remove the key",
                "7:12: `endpoints.e.response`: an integer cannot stand here; write a jq program as a string, such as \
                 '.body.id'",
            ],
        ),
        (
            "method = \"POST\"\npath = \"/\"\nidempotency = { key_retention = \"1ms\", verify = {} }",
            &[
                "5:33: `endpoints.e.idempotency.key_retention`: 1ms is out of range; write \"1s\" to \"365d\"",
                "5:33: `endpoints.e.idempotency.key_retention`: there is no key to be kept; write `header`, or remove it",
                "5:49: `endpoints.e.idempotency.verify.endpoint` is missing; write for example endpoint = \"find_charge\"",
                "5:49: `endpoints.e.idempotency.verify.found` is missing; write for example found = '.body.data | length > 0'",
            ],
        ),
        (
            "method = \"POST\"\npath = \"/\"\nidempotency = true\nclassify = [{ class = \"fatal\" }, 1]",
            &[
                "5:15: `endpoints.e.idempotency`: a boolean cannot stand here; write \"safe\", \"none\" or { header = \
                 \"Idempotency-Key\" }",
                "6:13: `endpoints.e.classify[0].when` is missing; write for example when = '.status == 402'",
                "6:23: `endpoints.e.classify[0].class`: \"fatal\" is not available; write \"transient\" or \
                 \"rate_limited\" or \"client\" or \"ambiguous\" or \"credential\" or \"success\"",
                "6:34: `endpoints.e.classify[1]`: an integer cannot stand here; write a rule such as { when = \
                 '.status == 402', class = \"client\" }",
            ],
        ),
        (
            "method = \"GET\"\npath = \"/\"\n[endpoints.E]\nmethod = \"GET\"\npath = 1",
            &[
                "5:12: `endpoints.E`: `E` is not a valid name: use 1 to 64 of a–z, 0–9, `_`, `-`, beginning with a \
                 letter",
                "7:8: `endpoints.E.path`: an integer cannot stand here; write a path such as \"/v1/charges\"",
            ],
        ),
    ];
    for (endpoint, told) in cases {
        assert_told("integrations/x.toml", &[], &[(&format!("{base}{endpoint}"), told)]);
    }
}

#[test]
fn what_is_wrong_with_an_operation_is_told() {
    let step = "[[steps]]\nname = \"s\"\ncall = \"x.e\"\n";
    assert_told(
        "operations/o.toml",
        &[("integrations/x.toml", MINIMAL)],
        &[
            (
                "",
                &["1:1: `steps` is missing; write for example steps = [{ name = \"charge\", call = \
                   \"stripe.create_charge\" }]"],
            ),
            (
                "steps = []",
                &["1:9: `steps`: an operation has a step; write [[steps]] with `name` and `call`"],
            ),
            (
                &format!("{step}{step}"),
                &["5:8: `steps[1].name`: there is a step \"s\" already; give it another name"],
            ),
            (
                "[[steps]]\nnmae = \"s\"",
                &[
                    "1:1: `steps[0].name` is missing; write for example name = \"charge\"",
                    "1:1: `steps[0].call` is missing; write for example call = \"stripe.create_charge\"",
                    "2:1: unknown key `steps[0].nmae`; did you mean `name`?",
                ],
            ),
            (
                "[[steps]]\nname = \"s\"\ncall = \"e\"",
                &["3:8: `steps[0].call`: \"e\" names no endpoint; write integration.endpoint, such as \
                   \"stripe.create_charge\""],
            ),
            (
                "[[steps]]\nname = \"s\"\ncall = \"y.e\"",
                &["3:8: `steps[0].call`: there is no integration \"y\"; did you mean `x`?"],
            ),
            (
                "[[steps]]\nname = \"s\"\ncall = \"x.create\"",
                &["3:8: `steps[0].call`: x has no endpoint \"create\"; it has `e`"],
            ),
            (
                &format!("mode = \"async\"\nversion = 0\ndeadline = \"0s\"\n{step}"),
                &[
                    "2:11: `version`: 0 is out of range; write 1 to 1000000",
                    "3:12: `deadline`: 0s is out of range; write \"1ms\" to \"1h\"",
                ],
            ),
        ],
    );
}

#[test]
fn a_file_that_is_not_toml_gives_its_syntax_errors_and_no_others() {
    let broken = "base_url = https://x\n\n[auth\n";
    let operation = "[[steps]]\nname = \"s\"\ncall = \"x.anything\"\n";
    let told = errors(&[("integrations/x.toml", broken), ("operations/o.toml", operation)]);
    assert!(told.len() >= 2, "{told:?}");
    assert!(told.iter().all(|line| line.contains(": this is not TOML: ")), "{told:?}");
    assert!(told[0].starts_with("integrations/x.toml:1:"), "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("integrations/x.toml:3:")), "{told:?}");
    let told = errors(&[("integrations/x.toml", "base_url = \"https://x\"\nbase_url = \"https://y\"\n")]);
    assert_eq!(told, ["integrations/x.toml:2:1: this is not TOML: duplicate key"]);
}

#[test]
fn all_errors_of_all_files_are_told_in_the_order_of_files_and_places() {
    let told = errors(&[
        ("operations/b.toml", "[[steps]]\nname = \"s\"\ncall = \"z.e\"\ninput = 1\n"),
        ("operations/a.toml", "deadline = 5\n[[steps]]\nname = \"s\"\ncall = \"broken.e\"\n"),
        ("integrations/broken.toml", "[endpoints.e]\nmethod = \"GET\"\npath = \"x\"\n"),
        ("integrations/also.toml", "base_url = 1\ntitel = \"A\"\n"),
        ("causeway.toml", "[logs]\nlevel = \"loud\"\n[listen]\napi = 8080\n"),
    ]);
    let places: Vec<&str> = told.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "causeway.toml:2:9",
            "causeway.toml:4:7",
            "integrations/also.toml:1:12",
            "integrations/also.toml:2:1",
            "integrations/broken.toml:1:1",
            "integrations/broken.toml:3:8",
            "operations/a.toml:1:12",
            "operations/b.toml:3:8",
            "operations/b.toml:4:9",
        ],
        "{told:#?}"
    );
}

#[test]
fn names_of_files_are_names() {
    let told = errors(&[
        ("integrations/Stripe.toml", "base_url = 1"),
        ("operations/pay@02.toml", "steps = 1"),
        ("operations/a b.toml", ""),
        ("config.toml", ""),
        ("integrations/Stripe.toml", ""),
    ]);
    assert_eq!(
        told,
        [
            "config.toml: this is no configuration file; name it causeway.toml, integrations/NAME.toml or \
             operations/NAME.toml",
            "integrations/Stripe.toml: the file is given twice; give it once",
            "integrations/Stripe.toml: the file's name is taken for a name, and `Stripe` is not a valid name: use 1 \
             to 64 of a–z, 0–9, `_`, `-`, beginning with a letter; rename the file",
            "integrations/Stripe.toml:1:12: `base_url`: an integer cannot stand here; write a URL such as \
             \"https://api.example.com\"",
            "operations/a b.toml: the file's name is taken for a name, and `a b` is not a valid name: use 1 to 64 of \
             a–z, 0–9, `_`, `-`, `.`, beginning with a letter; rename the file",
            "operations/a b.toml:1:1: `steps` is missing; write for example steps = [{ name = \"charge\", call = \
             \"stripe.create_charge\" }]",
            "operations/pay@02.toml: \"02\" is no version; write a whole number from 1 to 1000000, such as pay@2.toml",
            "operations/pay@02.toml:1:9: `steps`: an integer cannot stand here; write a list",
        ]
    );
}

#[test]
fn a_secret_in_the_configuration_is_never_repeated() {
    const SECRET: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";
    let auth = |line: &str| format!("base_url = \"https://x\"\n[auth]\ntype = \"bearer\"\n{line}\n");
    for text in [
        auth(&format!("token = \"{SECRET}\"")),
        auth(&format!("token = '''\n{SECRET}'''")),
        auth(&format!("token = {SECRET}")),
        auth(&format!("token = \"{SECRET}")),
        auth(&format!("token = [\"{SECRET}\"]")),
        auth(&format!("token = {{ env = \"{SECRET}-\" }}")),
        auth(&format!("token = {{ value = \"{SECRET}\" }}")),
        auth(&format!("tokn = \"{SECRET}\"")),
        auth(&format!("token = \"{SECRET}\"\ntoken = \"{SECRET}\"")),
        format!("base_url = \"https://{SECRET}@x\""),
        format!("base_url = \"https://user:{SECRET}@x\""),
        format!("base_url = \"https://x?key={SECRET}\""),
        format!("base_url = \"https://x\"\nheaders = {{ X-Api-Key = \"{SECRET}\" }}"),
        format!("base_url = \"https://x\"\nheaders = {{ Authorization = \"Bearer {SECRET}\" }}"),
    ] {
        let errors = Settings::from_texts(&[("integrations/x.toml", &text)]).expect_err(&text);
        assert!(!format!("{errors} {errors:?}").contains("sk_live"), "{errors}");
    }
}

fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

fn load_errors(dir: &Path) -> Vec<String> {
    let errors = Settings::load(dir).expect_err("a directory that is wrong").to_string();
    errors.replace(dir.to_str().unwrap(), "DIR").lines().map(str::to_owned).collect()
}

#[test]
fn a_directory_is_loaded_and_its_relative_secrets_are_found_in_it() {
    let auth = b"base_url = \"https://x\"\nauth = { type = \"bearer\", token = { file = \"keys/a\" } }\n";
    let dir = directory(&[
        ("integrations/a.toml", auth),
        ("integrations/b.toml", MINIMAL.as_bytes()),
        ("integrations/.b.toml.swp", b"\xff"),
        ("integrations/.hidden.toml", b"?"),
        ("integrations/README.md", b"?"),
        ("operations/o.toml", b"[[steps]]\nname = \"s\"\ncall = \"b.e\"\n"),
    ]);
    let settings = Settings::load(dir.path()).unwrap();
    let names: Vec<&str> =
        settings.integrations.iter().map(|integration| integration.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let AuthSettings::Bearer { token } = &settings.integrations[0].auth else { panic!("a token") };
    assert_eq!(token.value, SecretRef::File(dir.path().join("keys/a")));
    assert_eq!(settings.operations.len(), 1);
    assert_eq!(settings.server, ServerSettings::default());
}

#[test]
fn a_directory_without_integrations_is_no_configuration() {
    let dir = directory(&[("causeway.toml", b"")]);
    assert_eq!(
        load_errors(dir.path()),
        ["DIR/integrations: there is no integration; write integrations/NAME.toml with at least a base_url"]
    );
    let told = load_errors(&dir.path().join("nowhere"));
    assert_eq!(told, ["DIR: there is no such directory; give the directory that has integrations/ in it"]);
}

#[test]
fn files_that_cannot_be_read_are_told_with_the_rest() {
    let dir = directory(&[
        ("causeway.toml", b"region = \"eu\"\n# \xc3\xbc \xff\n"),
        ("integrations/large.toml", &vec![b'#'; (1 << 20) + 1]),
        ("integrations/x.toml", b"base_url = 1"),
        ("operations/o.toml", b"[[steps]]\nname = \"s\"\ncall = \"large.unknown\"\n"),
    ]);
    fs::create_dir(dir.path().join("operations/folder.toml")).unwrap();
    assert_eq!(
        load_errors(dir.path()),
        [
            "DIR/causeway.toml:2:5: this is not UTF-8; save the file as UTF-8",
            "DIR/integrations/large.toml: the file is larger than 1 MiB; a configuration file is smaller",
            "DIR/integrations/x.toml:1:12: `base_url`: an integer cannot stand here; write a URL such as \
             \"https://api.example.com\"",
            "DIR/operations/folder.toml: this cannot be read: it is not a regular file; check the path and its \
             permissions",
        ]
    );
}

/// Reads `text` as each kind of file: it must be read, or told in single lines that name the file.
fn assert_survives(text: &str) {
    for file in ["causeway.toml", "integrations/x.toml", "operations/o.toml"] {
        let minimal = ("integrations/y.toml", MINIMAL);
        if let Err(errors) = Settings::from_texts(&[(file, text), minimal]) {
            assert!(!errors.is_empty());
            for error in &errors {
                let line = error.to_string();
                assert!(line.starts_with(file) && !line.contains(char::is_control), "{line:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_told(text in "\\PC{0,200}") {
        assert_survives(&text);
    }

    #[test]
    fn any_lines_of_toml_are_read_or_told(
        text in r#"(\[{0,2}[a-e.]{0,4}\]{0,2}\n?|[a-e.]{1,3} ?= ?([0-9.e_xn-]{1,6}|"[^"]{0,4}"|'''.{0,4}'''|[\[{].{0,6}[\]}]|true)\n){0,12}"#
    ) {
        assert_survives(&text);
    }

    #[test]
    fn a_slip_anywhere_in_good_files_is_read_or_told(
        file in 0..3_usize,
        at in any::<prop::sample::Index>(),
        removed in 0..12_usize,
        inserted in "\\PC{0,3}|\n|\"|\\[|\\{|=",
    ) {
        let text: Vec<char> = [SERVER, STRIPE, CHARGE][file].chars().collect();
        let at = at.index(text.len());
        let end = text.len().min(at + removed);
        let slipped: String =
            text[..at].iter().copied().chain(inserted.chars()).chain(text[end..].iter().copied()).collect();
        assert_survives(&slipped);
    }
}

/// An integration with one limit and one endpoint that has these keys.
fn endpoint_with(keys: &str) -> Result<EndpointSettings, String> {
    let text = format!(
        "base_url = \"https://a.example\"\n[[limits]]\nname = \"reads\"\nkind = \"token_bucket\"\nrequests = 1\nper = \"1s\"\n\
         [endpoints.e]\nmethod = \"DELETE\"\npath = \"/\"\n{keys}\n"
    );
    let settings =
        Settings::from_texts(&[("integrations/a.toml", &text)]).map_err(|errors| errors.to_string())?;
    Ok(settings.integrations[0].endpoints[0].clone())
}

#[test]
fn rules_name_waits_scopes_and_successes() {
    let endpoint = endpoint_with(
        "classify = [{ when = '.status == 404', class = \"success\" }, \
         { when = '.body.slow', class = \"rate_limited\", retry_after = '.body.wait', scope = { limit = \"reads\" } }, \
         { when = 'true', scope = \"integration\" }]\nbody = \"multipart\"\ndeadline_header = \"X-Left\"",
    )
    .unwrap();
    let [gone, slow, all] = &endpoint.classify[..] else { panic!("three rules") };
    assert_eq!(gone.class, Some(Meaning::Success));
    assert_eq!(slow.retry_after.as_ref().unwrap().source, ".body.wait");
    assert_eq!(slow.scope, Some(DrainScope::Limit("reads".parse().unwrap())));
    assert_eq!((all.class, &all.scope), (None, &Some(DrainScope::Integration)));
    assert_eq!(endpoint.body, BodyFormat::Multipart);
    assert_eq!(endpoint.deadline_header, Some(HeaderName::from_static("x-left")));
    for (keys, part) in [
        (
            "classify = [{ when = 'true', scope = { limit = \"writes\" } }]",
            "there is no limit \"writes\" here",
        ),
        ("classify = [{ when = 'true', scope = \"all\" }]", "\"all\" is not available"),
        ("classify = [{ when = 'true', class = \"success\", code = '1' }]", "a success has none"),
        ("deadline_header = \"Host\"", "belongs to the connection"),
    ] {
        let errors = endpoint_with(keys).unwrap_err();
        assert!(errors.contains(part), "{keys}: {errors}");
    }
}

#[test]
fn a_response_schema_is_read_from_its_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("integrations")).unwrap();
    fs::create_dir_all(dir.path().join("schemas")).unwrap();
    fs::write(dir.path().join("schemas/a.json"), "{\"type\":\"object\"}").unwrap();
    let write = |schema: &str| {
        let text = format!(
            "base_url = \"https://a.example\"\n[endpoints.e]\nmethod = \"GET\"\npath = \"/\"\nresponse_schema = {schema}\n"
        );
        fs::write(dir.path().join("integrations/a.toml"), text).unwrap();
        Settings::load(dir.path())
    };
    let settings = write("{ file = \"schemas/a.json\" }").unwrap();
    let schema = settings.integrations[0].endpoints[0].response_schema.clone().unwrap();
    assert_eq!(
        (&*schema.schema.text, schema.mode, schema.schema.at.line),
        ("{\"type\":\"object\"}", SchemaMode::Warn, 5)
    );
    for (schema, part) in [
        (
            "{ file = \"schemas/b.json\" }",
            "integrations/a.toml:5:28: `endpoints.e.response_schema.file`: the schema cannot be read",
        ),
        ("{ file = \"schemas\" }", "not a regular file"),
        ("{ mode = \"warn\" }", "`endpoints.e.response_schema.file` is missing"),
        ("{ file = \"schemas/a.json\", mode = \"off\" }", "write \"warn\" or \"enforce\""),
        ("\"schemas/a.json\"", "a string cannot stand here"),
    ] {
        let errors = write(schema).unwrap_err().to_string();
        assert!(errors.contains(part), "{schema}: {errors}");
    }
    fs::write(dir.path().join("schemas/a.json"), "{\"$ref\":\"https://a.example/b.json\"}").unwrap();
    let errors =
        crate::plans::make(&write("{ file = \"schemas/a.json\" }").unwrap()).unwrap_err().to_string();
    assert!(
        errors.contains("integrations/a.toml:5:28: the schema schemas/a.json: this is no usable JSON Schema"),
        "{errors}"
    );
}
