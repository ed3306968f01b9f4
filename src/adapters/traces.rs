//! Spans to a collector: OTLP over HTTP, in batches, on a thread of their own.
//!
//! A span is handed over without waiting. Where the collector cannot keep up, or is not there, spans are dropped and
//! counted (`causeway_dropped_total{kind="trace"}`); that it fails is logged once, and again when it works. Requests
//! go out through the same transport as calls to providers do, so TLS trusts the system's authorities and every wait
//! has an end.

use std::sync::Arc;
use std::time::Duration;

use actix::Arbiter;
use async_trait::async_trait;
use bytes::Bytes;
use causeway_actors::clock::{Anchor, Clock};
use causeway_actors::metric::{Labels, Metric};
use causeway_actors::ports::{Carrier, Client, Target, TlsSpec, Transport, WireRequest};
use causeway_actors::span::{Event, Kind, Parent, Span, Spans, Value};
use causeway_core::bulkhead::PoolSpec;
use causeway_core::endpoint::Timeouts;
use causeway_core::name::{IntegrationName, InvalidName};
use metrics::{Counter, Gauge};
use opentelemetry::trace::{self as otel, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use tokio::sync::{mpsc, oneshot};

use crate::settings::TraceSettings;

/// Spans that wait for the exporter; more are dropped.
const MAX_WAITING: usize = 8192;
/// Spans in one request.
const MAX_BATCH: usize = 512;
/// How long a span waits for others to go with.
const GATHER: Duration = Duration::from_secs(1);
/// How long the collector may take over a batch, tries again included.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the collector may take over one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer of a collector, in bytes.
const MAX_ANSWER: usize = 64 << 10;
/// What stands in for an integration's name where the transport asks for one.
const NAME: &str = "traces";

/// Why traces cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The exporter was given something that it cannot use, of the environment's `OTEL_…` variables too.
    #[error("setting up the export of traces: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// Its name is none.
    #[error("setting up the export of traces: {0}")]
    Name(#[from] InvalidName),
}

/// Where spans are handed over.
pub struct Traces {
    queue: mpsc::Sender<Span>,
    dropped: Counter,
}

impl Spans for Traces {
    fn record(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.dropped.increment(1);
        }
    }
}

/// The thread that exports.
pub struct Exporting {
    thread: Arbiter,
    stop: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
}

impl Exporting {
    /// Exports what is there, as long as that takes no longer than `within`, and ends.
    pub async fn stop(self, within: Duration) {
        // A thread that has gone has nothing left to export.
        let _ = self.stop.send(());
        if tokio::time::timeout(within, self.stopped).await.is_err() {
            tracing::warn!("the last spans could not be handed to the collector in time");
        }
        self.thread.stop();
    }
}

/// Starts to export, if the settings name a collector.
///
/// # Errors
/// [`TracesError`].
pub fn start(
    settings: &TraceSettings,
    region: &str,
    transport: &Arc<dyn Transport>,
    clock: Clock,
) -> Result<Option<(Arc<Traces>, Exporting)>, TracesError> {
    let Some(otlp) = &settings.otlp else { return Ok(None) };
    let (requests, to_send) = mpsc::channel(1);
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{otlp}/v1/traces"))
        .with_timeout(EXPORT_TIMEOUT)
        .with_http_client(Carried(requests))
        .build()?;
    exporter.set_resource(&resource(region));
    let target = Target {
        integration: NAME.parse::<IntegrationName>()?,
        pool: PoolSpec::default(),
        tls: Arc::<TlsSpec>::default(),
    };
    let dropped = Metric::Dropped.counter(&Labels::none().word("kind", "trace"));
    dropped.increment(0);
    let ((queue, waiting), (stop, stopping), (done, stopped)) =
        (mpsc::channel(MAX_WAITING), oneshot::channel(), oneshot::channel());
    let (transport, counter, thread) = (Arc::clone(transport), dropped.clone(), Arbiter::new());
    let export = Export { exporter, clock, anchor: clock.anchor(), dropped: counter, failing: false };
    thread.spawn_fn(move || {
        // The client lives on this thread, with its connections.
        actix::spawn(carry(transport.open(&target, &Gauge::noop()), to_send));
        actix::spawn(async move {
            export.run(waiting, stopping).await;
            // Nobody waits for a server that is torn down.
            let _ = done.send(());
        });
    });
    Ok(Some((Arc::new(Traces { queue, dropped }), Exporting { thread, stop, stopped })))
}

/// What the spans tell of: this server.
fn resource(region: &str) -> Resource {
    let attributes = [
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("cloud.region", region.to_owned()),
    ];
    Resource::builder().with_service_name("causeway").with_attributes(attributes).build()
}

/// The exporter, and how it fares.
struct Export {
    exporter: SpanExporter,
    clock: Clock,
    anchor: Anchor,
    dropped: Counter,
    failing: bool,
}

impl Export {
    async fn run(mut self, mut waiting: mpsc::Receiver<Span>, mut stopping: oneshot::Receiver<()>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        loop {
            tokio::select! {
                biased;
                _ = &mut stopping => break,
                received = waiting.recv_many(&mut batch, MAX_BATCH) => if received == 0 { return },
            }
            let gathered = tokio::time::sleep(GATHER);
            tokio::pin!(gathered);
            while batch.len() < MAX_BATCH {
                let room = MAX_BATCH - batch.len();
                tokio::select! {
                    () = &mut gathered => break,
                    _ = &mut stopping => {
                        self.export(&mut batch).await;
                        return self.rest(waiting, batch).await;
                    }
                    received = waiting.recv_many(&mut batch, room) => if received == 0 { break },
                }
            }
            self.export(&mut batch).await;
        }
        self.rest(waiting, batch).await;
    }

    /// What still waits when the server stops.
    async fn rest(&mut self, mut waiting: mpsc::Receiver<Span>, mut batch: Vec<Span>) {
        waiting.close();
        while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
            self.export(&mut batch).await;
        }
    }

    async fn export(&mut self, batch: &mut Vec<Span>) {
        self.anchor = self.anchor.followed(&self.clock);
        let spans: Vec<SpanData> = batch.drain(..).map(|span| span_data(span, &self.anchor)).collect();
        let count = spans.len() as u64;
        match self.exporter.export(spans).await {
            Ok(()) if self.failing => {
                self.failing = false;
                tracing::info!("the collector of traces takes spans again");
            }
            Ok(()) => {}
            Err(error) => {
                self.dropped.increment(count);
                if !self.failing {
                    self.failing = true;
                    tracing::warn!(%error, spans = count, "the collector of traces takes no spans; they are dropped and counted");
                }
            }
        }
    }
}

/// A span as the exporter takes it.
fn span_data(span: Span, clock: &Anchor) -> SpanData {
    let Span { id, parent, kind, name, began, ended, attributes, events, error } = span;
    let context = SpanContext::new(
        TraceId::from_bytes(id.trace.to_be_bytes()),
        SpanId::from_bytes(id.span.to_be_bytes()),
        TraceFlags::SAMPLED,
        false,
        otel::TraceState::default(),
    );
    let (parent_span_id, parent_span_is_remote) = match parent {
        None => (SpanId::INVALID, false),
        Some(Parent::Ours(span)) => (SpanId::from_bytes(span.to_be_bytes()), false),
        Some(Parent::Caller(span)) => (SpanId::from_bytes(span.to_be_bytes()), true),
    };
    let mut span_events = SpanEvents::default();
    span_events.events = events.into_iter().map(|event| span_event(event, clock)).collect();
    SpanData {
        span_context: context,
        parent_span_id,
        parent_span_is_remote,
        span_kind: match kind {
            Kind::Server => SpanKind::Server,
            Kind::Internal => SpanKind::Internal,
            Kind::Client => SpanKind::Client,
        },
        name: name.into(),
        start_time: clock.wall_of(began),
        end_time: clock.wall_of(ended),
        attributes: key_values(attributes),
        dropped_attributes_count: 0,
        events: span_events,
        links: SpanLinks::default(),
        status: error.map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder("causeway")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

fn span_event(event: Event, clock: &Anchor) -> otel::Event {
    otel::Event::new(event.name, clock.wall_of(event.at), key_values(event.attributes), 0)
}

fn key_values(attributes: Vec<(&'static str, Value)>) -> Vec<KeyValue> {
    let value = |value| match value {
        Value::Text(text) => opentelemetry::Value::from(text),
        Value::Count(count) => count.into(),
        Value::Millis(millis) => millis.into(),
        Value::Flag(flag) => flag.into(),
    };
    attributes.into_iter().map(|(name, given)| KeyValue::new(name, value(given))).collect()
}

/// A request for the collector, and where its answer goes.
type Errand = (Request<Bytes>, oneshot::Sender<Result<Response<Bytes>, HttpError>>);

/// The exporter's side of the transport's client, which cannot leave its thread.
#[derive(Debug)]
struct Carried(mpsc::Sender<Errand>);

#[async_trait]
impl HttpClient for Carried {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (reply, answered) = oneshot::channel();
        self.0.send((request, reply)).await?;
        answered.await?
    }
}

/// Sends what the exporter asks for, one after the other, until there is no exporter.
async fn carry(client: std::rc::Rc<dyn Client>, mut errands: mpsc::Receiver<Errand>) {
    while let Some((request, reply)) = errands.recv().await {
        let (head, body) = request.into_parts();
        let exchange = client.send(WireRequest {
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            body,
            timeouts: Timeouts { total: REQUEST_TIMEOUT, ..Timeouts::default() },
            max_body: MAX_ANSWER,
            carrier: Carrier::Any,
        });
        let answer = match exchange.await.result {
            Ok(response) => {
                let mut answer = Response::new(response.body);
                (*answer.status_mut(), *answer.headers_mut()) = (response.status, response.headers);
                Ok(answer)
            }
            Err(broken) => Err(broken.message.into()),
        };
        // An exporter that has given up waits for nothing.
        let _ = reply.send(answer);
    }
}
