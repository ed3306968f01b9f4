//! A collector is sent one span for each run, step and attempt, nested as they happened and linked to the caller's; a
//! collector that is not there costs spans, which are counted, and nothing else.

use std::collections::HashMap;

use causeway::sandbox::Behaviour;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use prost::Message;

use crate::support::recorder::Recorder;
use crate::support::{Ask, Config, Process, Provider, Server, charge, process, until};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// What a collector takes, as OpenTelemetry's own definitions read it.
fn exported(collector: &Recorder) -> Vec<ExportTraceServiceRequest> {
    let requests = collector.requests();
    let read = |request: &http::Request<bytes::Bytes>| {
        assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/traces"));
        assert_eq!(request.headers()["content-type"], "application/x-protobuf");
        ExportTraceServiceRequest::decode(request.body().clone()).expect("an export of traces")
    };
    requests.iter().map(read).collect()
}

fn spans(collector: &Recorder) -> Vec<Span> {
    let exported = exported(collector);
    let scopes =
        exported.into_iter().flat_map(|request| request.resource_spans).flat_map(|of| of.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

/// Waits for `count` spans, oldest first.
async fn arrived(collector: &Recorder, count: usize) -> Vec<Span> {
    let mut spans = until(&format!("{count} spans arrive"), async || {
        let spans = spans(collector);
        (spans.len() >= count).then_some(spans)
    })
    .await;
    assert_eq!(spans.len(), count, "{spans:#?}");
    spans.sort_by_key(|span| span.start_time_unix_nano);
    spans
}

fn words(attributes: &[KeyValue]) -> HashMap<String, String> {
    let word = |value: any_value::Value| match value {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(count) => count.to_string(),
        any_value::Value::BoolValue(flag) => flag.to_string(),
        any_value::Value::DoubleValue(millis) => format!("{millis}"),
        any_value::Value::ArrayValue(_)
        | any_value::Value::KvlistValue(_)
        | any_value::Value::BytesValue(_)
        | any_value::Value::StringValueStrindex(_) => panic!("{value:?}"),
    };
    let read = |pair: &KeyValue| {
        let value = pair.value.clone().and_then(|value| value.value).expect("a value");
        (pair.key.clone(), word(value))
    };
    attributes.iter().map(read).collect()
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn traced(provider: &str, collector: &Recorder, sections: &str) -> Config {
    let traces = format!("[traces]\notlp = \"{}\"", collector.url());
    Config::payments(provider, sections).append("causeway.toml", &traces)
}

fn from_a_caller(flags: &str) -> Ask {
    let traceparent = format!("00-{TRACE}-{CALLER}-{flags}");
    Ask::run("payments.charge", &charge()).header("traceparent", &traceparent)
}

#[tokio::test]
async fn a_run_its_step_and_its_attempts_nest_as_they_happened() {
    let (provider, collector) = (Provider::start(), Recorder::start("{}").await);
    provider.next([Behaviour::status(503)]);
    let config = traced(&provider.url(), &collector, "[retry]\nbase_delay = \"20ms\"");
    let server = Server::start(&config);
    let outcome = server.api.send(from_a_caller("01")).await.ok();
    let spans = arrived(&collector, 4).await;
    let [run, step, first, second] = &spans[..] else { unreachable!() };
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
    assert_eq!(hex(&run.parent_span_id), CALLER);
    assert_eq!(step.parent_span_id, run.span_id);
    assert_eq!((&first.parent_span_id, &second.parent_span_id), (&step.span_id, &step.span_id));
    let kinds = [run, step, first, second].map(|span| (span.name.as_str(), span.kind()));
    assert_eq!(
        kinds,
        [
            ("payments.charge", SpanKind::Server),
            ("charge", SpanKind::Internal),
            ("POST charge", SpanKind::Client),
            ("POST charge", SpanKind::Client),
        ]
    );
    for (outer, inner) in [(run, step), (step, first), (step, second)] {
        assert!(outer.start_time_unix_nano <= inner.start_time_unix_nano, "{outer:?} {inner:?}");
        assert!(inner.end_time_unix_nano <= outer.end_time_unix_nano, "{outer:?} {inner:?}");
    }
    assert!(first.end_time_unix_nano + 20_000_000 <= second.start_time_unix_nano, "the retry waited");
    let [run_says, step_says, first_says, second_says] =
        [run, step, first, second].map(|span| words(&span.attributes));
    assert_eq!(run_says["causeway.run_id"], outcome["id"].as_str().expect("an id"));
    assert_eq!((&*run_says["causeway.status"], &*step_says["causeway.attempts"]), ("succeeded", "2"));
    assert_eq!((&*first_says["http.response.status_code"], &*first_says["error.type"]), ("503", "ambiguous"));
    assert_eq!(
        (&*first_says["causeway.disposition"], first_says.get("http.request.resend_count")),
        ("retry", None)
    );
    assert_eq!(
        (&*second_says["http.response.status_code"], &*second_says["http.request.resend_count"]),
        ("200", "1")
    );
    assert_eq!(second_says["url.full"], format!("{}/v1/charges", provider.url()));
    assert_eq!(
        (&*second_says["server.address"], &*second_says["server.port"]),
        ("127.0.0.1", &*provider.address().port().to_string())
    );
    let failed = |span: &Span| span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error);
    assert_eq!([run, step, first, second].map(failed), [false, false, true, false]);
    let resource = exported(&collector)[0].resource_spans[0].resource.clone().expect("a resource");
    let resource = words(&resource.attributes);
    assert_eq!((&*resource["service.name"], &*resource["cloud.region"]), ("causeway", "test"));
}

#[tokio::test]
async fn the_provider_is_given_the_attempts_span() {
    let provider = Recorder::start(r#"{"id":"ch_1","status":"succeeded"}"#).await;
    let collector = Recorder::start("{}").await;
    let server = Server::start(&traced(&provider.url(), &collector, ""));
    server.api.run("payments.charge", &charge()).await.ok();
    let spans = arrived(&collector, 3).await;
    let [run, _, attempt] = &spans[..] else { unreachable!() };
    assert!(run.parent_span_id.is_empty(), "nobody called it: {run:?}");
    let [request] = &provider.requests()[..] else { panic!("not one request") };
    let told = request.headers()["traceparent"].to_str().expect("text");
    assert_eq!(told, format!("00-{}-{}-01", hex(&attempt.trace_id), hex(&attempt.span_id)));
}

#[tokio::test]
async fn a_breakers_change_is_an_event_of_the_attempt_that_led_to_it() {
    let (provider, collector) = (Provider::start(), Recorder::start("{}").await);
    provider.always(Behaviour::status(500));
    let sections = "[retry]\nmax_retries = 0\n[breaker]\nfailures = 2";
    let server = Server::start(&traced(&provider.url(), &collector, sections));
    for _ in 0..2 {
        server.api.run("payments.ping", &serde_json::json!({})).await.problem(502, "provider_failed");
    }
    let spans = arrived(&collector, 6).await;
    let attempts = spans.iter().filter(|span| span.kind() == SpanKind::Client);
    let events: Vec<_> = attempts.map(|span| span.events.clone()).collect();
    let [none, one] = &events[..] else { panic!("{spans:#?}") };
    assert!(none.is_empty(), "{none:?}");
    let [event] = &one[..] else { panic!("{one:?}") };
    let says = words(&event.attributes);
    assert_eq!(
        (&*event.name, &*says["causeway.breaker.from"], &*says["causeway.breaker.to"]),
        ("breaker.transition", "closed", "open")
    );
}

#[tokio::test]
async fn who_is_not_recorded_leaves_nothing() {
    let (provider, collector) = (Provider::start(), Recorder::start("{}").await);
    let config = traced(&provider.url(), &collector, "").replace(
        "causeway.toml",
        "[traces]",
        "[traces]\nsample = 0.0",
    );
    let server = Server::start(&config);
    server.api.send(from_a_caller("00")).await.ok();
    server.api.run("payments.charge", &charge()).await.ok();
    // The one that its caller records comes alone, though the others came before it.
    server.api.send(from_a_caller("01")).await.ok();
    let spans = arrived(&collector, 3).await;
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE), "{spans:#?}");
}

#[tokio::test]
async fn no_span_shows_a_secret() {
    let (provider, collector) = (Provider::start(), Recorder::start("{}").await);
    provider.always(Behaviour::status(500));
    let config = traced(&provider.url(), &collector, "[retry]\nmax_retries = 0").replace(
        "integrations/payments.toml",
        "path = \"/v1/ping\"",
        "path = \"/v1/ping\"\nrequest = '{ query: { api_key: .key, card: .card } }'",
    );
    let server = Server::start(&config);
    let input = serde_json::json!({ "key": "sk_live_5up3r53cr37", "card": "4242424242424242" });
    server.api.run("payments.ping", &input).await.problem(502, "provider_failed");
    arrived(&collector, 3).await;
    assert_eq!(provider.arrivals().len(), 1);
    for request in collector.requests() {
        let text = String::from_utf8_lossy(request.body()).into_owned();
        assert!(!text.contains("sk_live_5up3r53cr37") && !text.contains("4242424242424242"), "{text}");
        assert!(text.contains("/v1/ping?"), "{text}");
    }
}

#[tokio::test]
async fn what_waits_when_the_server_stops_is_sent() {
    let (provider, collector) = (Provider::start(), Recorder::start("{}").await);
    let server = Server::start(&traced(&provider.url(), &collector, ""));
    for _ in 0..5 {
        server.api.run("payments.charge", &charge()).await.ok();
    }
    // Elsewhere: the collector is on this thread, and dropping a server waits for its end.
    tokio::task::spawn_blocking(move || drop(server)).await.expect("the server stops");
    assert_eq!(spans(&collector).len(), 15);
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_spans_and_nothing_else() {
    let provider = Provider::start();
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("a bound address")
    };
    let dir = tempfile::tempdir().expect("a directory");
    let traces = format!("[traces]\notlp = \"http://{nobody}\"");
    Config::payments(&provider.url(), "").append("causeway.toml", &traces).write(dir.path());
    let mut process =
        Process::start(&mut process::causeway(&["serve", "--config", &dir.path().display().to_string()]));
    let (api, admin) = process.serves().await;
    for _ in 0..10 {
        // Each has its answer while the collector is tried in vain.
        api.run("payments.charge", &charge()).await.ok();
    }
    until("the spans are counted as dropped", async || {
        let metrics = admin.get("/metrics").await.body;
        metrics.contains("causeway_dropped_total{kind=\"trace\"} 30").then_some(())
    })
    .await;
}
