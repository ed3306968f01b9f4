//! The outbound HTTP client: HTTP/1.1 and HTTP/2 on hyper, with connections of our own making.
//!
//! [`HttpTransport`] opens one client per integration, so that no integration can use up or slow down the
//! connections of another; the client lives on the thread it was opened on, and so do its connections. hyper's
//! client pools the connections; everything round it is here because the actors must know what a library client does
//! not tell: whether a byte of a request has left, whether its connection had served before, and how long each part
//! took.
//!
//! The parts, in the order a request meets them:
//!
//! - `flight`: one request on its way, its timeouts, and the answer to *sent or not*;
//! - `connector`: name, TCP and TLS of a new connection;
//! - [`tls`]: whom to trust;
//! - `counted`: the connection's I/O, counted;
//! - `keep_alive`: when a connection is too old to be used again;
//! - `body`: the response's body, collected up to a bound;
//! - `error`: hyper's errors, read.
//!
//! No retry and no redirect is followed here. Bounds on how many requests are on their way at once stand in front,
//! as permits: the pool itself has none but that of idle connections.
//!
//! # Stale connections
//!
//! A request that meets a connection as its provider closes it breaks after it was sent: nobody can say whether it
//! was read. Requests that cannot be repeated ([`Carrier::Recent`]) therefore have connections of their own, kept for
//! no longer than a few seconds: hyper's pool knows one idle time only, so these are two pools. What was caught before it
//! was sent is sent once more by the attempt, on a connection made for it ([`Carrier::New`]) and closed after it.

mod body;
mod connector;
mod counted;
mod error;
mod flight;
mod keep_alive;
#[cfg(test)]
mod testing;
pub mod tls;

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causeway_actors::clock::Clock;
use causeway_actors::ports::{Carrier, Client, Flight, Target, TlsSpec, Transport, WireRequest};
use causeway_core::bulkhead::PoolSpec;
use http::Extensions;
use http_body_util::Full;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use metrics::Gauge;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::{Handle, RuntimeFlavor};

use self::connector::Connector;
use self::flight::HttpFlight;
use self::keep_alive::Expiring;
use self::tls::TlsConfigError;
use crate::failpoint::Leg;

/// The largest response head that is read, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// The same for HTTP/2, where it is announced to the provider.
const MAX_HEADER_LIST: u32 = 64 * 1024;
/// The most headers a response may have.
const MAX_HEADERS: usize = 100;
/// How often an HTTP/2 connection is pinged, idle ones included: a request must not be the first to find it dead.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long a ping may stay unanswered before its connection is closed.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may have been idle that carries a request which cannot be repeated. Providers and the proxies
/// before them close idle connections after 5 s at the earliest.
const RECENT: Duration = Duration::from_secs(4);

/// Opens HTTP clients.
pub struct HttpTransport {
    /// Whom to trust where an integration does not say.
    system: Arc<RootCertStore>,
    /// The configuration of all integrations that say nothing about TLS, so that they share sessions.
    plain: Arc<ClientConfig>,
    recent: Duration,
    clock: Clock,
}

impl HttpTransport {
    /// Takes the authorities to trust where an integration names none, usually [`tls::system_authorities`].
    ///
    /// # Errors
    /// [`TlsConfigError::Versions`], where TLS is not available.
    pub fn new(system: Arc<RootCertStore>) -> Result<Self, TlsConfigError> {
        let plain = Arc::new(tls::config(&system, &TlsSpec::default())?);
        Ok(Self { system, plain, recent: RECENT, clock: Clock::start() })
    }

    fn tls(&self, target: &Target) -> Arc<ClientConfig> {
        if *target.tls == TlsSpec::default() {
            return Arc::clone(&self.plain);
        }
        let made = tls::config(&self.system, &target.tls);
        // The settings have been through this; should it fail here all the same, nobody is trusted.
        Arc::new(made.unwrap_or_else(|error| {
            tracing::error!(integration = target.integration.as_str(), %error, "TLS cannot be set up");
            tls::trusting_nobody(&self.plain)
        }))
    }
}

impl Transport for HttpTransport {
    fn open(&self, target: &Target, connections: &Gauge) -> Rc<dyn Client> {
        let tls = tls::offering(&self.tls(target), target.pool.http2);
        let connector = Connector::new(tls, self.clock, connections.clone());
        Rc::new(HttpClient(Rc::new(Pool::new(&connector, &target.pool, self.recent, self.clock))))
    }
}

/// One integration's client.
struct HttpClient(Rc<Pool>);

impl Client for HttpClient {
    fn send(&self, request: WireRequest) -> Pin<Box<dyn Flight>> {
        Leg::Ready.reached();
        Box::pin(HttpFlight::new(Rc::clone(&self.0), request))
    }
}

type HyperClient = legacy::Client<Connector, Full<Bytes>>;

/// What the flights of one client share.
struct Pool {
    /// For requests that any connection may carry.
    any: HyperClient,
    /// For those that need one of a moment ago.
    recent: HyperClient,
    /// For those that need one of their own.
    new: HyperClient,
    expiring: Expiring,
    clock: Clock,
    /// Whether the connections' drivers take turns with the flights on one thread.
    one_thread: bool,
    /// Where a captured connection puts what it knows; kept, so that it is allocated once.
    scratch: Cell<Extensions>,
}

impl Pool {
    fn new(connector: &Connector, spec: &PoolSpec, recent: Duration, clock: Clock) -> Self {
        let max_idle = usize::try_from(spec.max_idle).unwrap_or(usize::MAX);
        let one_thread = Handle::try_current()
            .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::CurrentThread);
        Self {
            any: hyper_client(connector, spec.idle_timeout, max_idle),
            recent: hyper_client(connector, spec.idle_timeout.min(recent), max_idle),
            new: hyper_client(connector, Duration::ZERO, 0),
            expiring: Expiring::default(),
            clock,
            one_thread,
            scratch: Cell::default(),
        }
    }

    const fn client(&self, carrier: Carrier) -> &HyperClient {
        match carrier {
            Carrier::Any => &self.any,
            Carrier::Recent => &self.recent,
            Carrier::New => &self.new,
        }
    }
}

/// A client that keeps at most `max_idle` connections, each for at most `idle_timeout`.
fn hyper_client(connector: &Connector, idle_timeout: Duration, max_idle: usize) -> HyperClient {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        // Without a timer of its own the pool never closes what has been idle for too long.
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(idle_timeout)
        .pool_max_idle_per_host(max_idle)
        // Whether a request is sent again is decided by the core alone.
        .retry_canceled_requests(false)
        .http1_max_buf_size(MAX_HEAD)
        .http1_max_headers(MAX_HEADERS)
        .http2_max_header_list_size(MAX_HEADER_LIST)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .http2_keep_alive_while_idle(true);
    builder.build(connector.clone())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use causeway_core::classify::Phase;
    use causeway_core::failure::Reason;
    use futures_util::future::join_all;
    use http::{HeaderValue, Response, Version};
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::{mpsc, watch};
    use tokio_rustls::server::TlsStream;

    use super::testing::{
        Authority, OK, broken, client, get, open, open_recent, post, read_request, serve, serve_tls, soon,
    };
    use super::*;

    #[tokio::test]
    async fn a_connection_is_reused_and_says_so() {
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let address = serve(move |mut stream| {
            counter.fetch_add(1, Ordering::Relaxed);
            async move {
                while read_request(&mut stream).await.is_some() {
                    stream.write_all(OK).await.unwrap();
                }
            }
        })
        .await;
        let (client, uri) = (client(), format!("http://{address}/"));
        let first = soon(client.send(get(&uri))).await;
        assert_eq!((first.reused, first.phase), (false, Phase::Sent));
        assert!(first.timings.connect.is_some());
        for _ in 0..3 {
            let next = soon(client.send(get(&uri))).await;
            assert_eq!((next.reused, next.phase), (true, Phase::Sent));
            assert_eq!(next.timings.connect, None);
            let response = next.result.unwrap();
            assert_eq!((response.status.as_u16(), &response.body[..]), (200, &b"ok"[..]));
        }
        assert_eq!(connections.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn the_request_arrives_as_given_with_what_http_needs() {
        let (tell, mut told) = mpsc::unbounded_channel();
        let address = serve(move |mut stream| {
            let tell = tell.clone();
            async move {
                while let Some(request) = read_request(&mut stream).await {
                    tell.send(request).unwrap();
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\n?";
                    stream.write_all(answer).await.unwrap();
                }
            }
        })
        .await;
        let (client, uri) = (client(), format!("http://{address}/charges?expand=all"));
        let mut request = post(&uri, "{\"amount\":1}");
        request.headers.insert("idempotency-key", HeaderValue::from_static("k-1"));
        request.headers.insert("accept-encoding", HeaderValue::from_static("gzip"));
        let response = soon(client.send(request)).await.result.unwrap();
        assert_eq!(response.headers["content-encoding"], "gzip");
        assert_eq!(response.body, "?", "what it is encoded in is judged elsewhere");

        let text = told.recv().await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some("POST /charges?expand=all HTTP/1.1"));
        let mut headers: Vec<_> = lines.map(str::to_owned).collect();
        headers.sort();
        let host = format!("host: {address}");
        assert_eq!(
            headers,
            ["accept-encoding: identity", "content-length: 12", &host, "idempotency-key: k-1"]
        );
        assert_eq!(body, "{\"amount\":1}");

        soon(client.send(post(&uri, ""))).await.result.unwrap();
        assert!(
            told.recv().await.unwrap().contains("content-length: 0\r\n"),
            "an empty POST says it is empty"
        );
    }

    #[tokio::test]
    async fn two_hundred_requests_at_once_leave_no_connection_behind() {
        const MAX_IDLE: usize = 4;
        let (open_now, mut opened) = watch::channel(0_usize);
        let peak = Arc::new(AtomicUsize::new(0));
        let highest = Arc::clone(&peak);
        let address = serve(move |mut stream| {
            open_now.send_modify(|count| *count += 1);
            highest.fetch_max(*open_now.borrow(), Ordering::Relaxed);
            let open_now = open_now.clone();
            async move {
                while read_request(&mut stream).await.is_some() {
                    stream.write_all(OK).await.unwrap();
                }
                open_now.send_modify(|count| *count -= 1);
            }
        })
        .await;
        let pool = PoolSpec { max_idle: 4, ..PoolSpec::default() };
        let client = open(Authority::new().trusted(), pool);
        let uri = format!("http://{address}/");
        let exchanges = soon(join_all((0..200).map(|_| client.send(get(&uri))))).await;
        assert!(exchanges.iter().all(|exchange| exchange.result.is_ok()));
        assert!(peak.load(Ordering::Relaxed) > MAX_IDLE, "or nothing was to be closed");
        soon(opened.wait_for(|count| *count <= MAX_IDLE)).await.unwrap();
        drop(client);
        soon(opened.wait_for(|count| *count == 0)).await.unwrap();
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed_when_its_time_is_up() {
        let (tell, mut told) = mpsc::unbounded_channel();
        let address = serve(move |mut stream| {
            let tell = tell.clone();
            async move {
                while read_request(&mut stream).await.is_some() {
                    stream.write_all(OK).await.unwrap();
                }
                tell.send(()).unwrap();
            }
        })
        .await;
        let pool = PoolSpec { idle_timeout: Duration::from_millis(100), ..PoolSpec::default() };
        let client = open(Authority::new().trusted(), pool);
        soon(client.send(get(format!("http://{address}/")))).await.result.unwrap();
        soon(told.recv()).await.unwrap();
    }

    /// A server that counts its connections and answers every request.
    async fn counting() -> (String, Arc<AtomicUsize>) {
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let address = serve(move |mut stream| {
            counter.fetch_add(1, Ordering::Relaxed);
            async move {
                while read_request(&mut stream).await.is_some() {
                    stream.write_all(OK).await.unwrap();
                }
            }
        })
        .await;
        (format!("http://{address}/"), connections)
    }

    #[tokio::test]
    async fn what_cannot_be_repeated_meets_no_connection_that_has_been_idle_for_long() {
        let recent = Duration::from_millis(200);
        let (uri, connections) = counting().await;
        let client = open_recent(recent);
        let pay = || WireRequest { carrier: Carrier::Recent, ..post(&uri, "pay") };
        for reused in [false, true, true] {
            assert_eq!(soon(client.send(pay())).await.reused, reused);
        }
        soon(client.send(get(&uri))).await.result.unwrap();
        tokio::time::sleep(recent * 2).await;
        assert!(soon(client.send(get(&uri))).await.reused, "what can be repeated may");
        assert!(!soon(client.send(pay())).await.reused);
        assert_eq!(connections.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn one_of_its_own_is_made_for_a_request_and_not_kept() {
        let (uri, connections) = counting().await;
        let client = client();
        soon(client.send(get(&uri))).await.result.unwrap();
        for made in 2..5 {
            let exchange = soon(client.send(WireRequest { carrier: Carrier::New, ..get(&uri) })).await;
            assert_eq!((exchange.result.unwrap().status.as_u16(), exchange.reused), (200, false));
            assert_eq!(connections.load(Ordering::Relaxed), made);
        }
    }

    /// Answers each request over HTTP/2 with the version it came in.
    async fn answer_http2(stream: TlsStream<TcpStream>) {
        let service = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
            let version = if request.version() == Version::HTTP_2 { "2" } else { "1" };
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(version.as_bytes()))))
        });
        let _ =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    }

    #[tokio::test]
    async fn http2_is_spoken_where_it_is_offered_and_its_connection_shared() {
        let authority = Authority::new();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let address = serve_tls(authority.server("localhost", &[b"h2", b"http/1.1"]), move |stream| {
            counter.fetch_add(1, Ordering::Relaxed);
            answer_http2(stream)
        })
        .await;
        let client = open(authority.trusted(), PoolSpec::default());
        let uri = format!("https://localhost:{}/", address.port());
        let first = soon(client.send(post(&uri, "body"))).await;
        assert_eq!((first.reused, first.phase), (false, Phase::Sent));
        assert_eq!(first.result.unwrap().body, "2");
        for exchange in soon(join_all((0..20).map(|_| client.send(get(&uri))))).await {
            assert!(exchange.reused);
            assert_eq!(exchange.result.unwrap().body, "2");
        }
        assert_eq!(connections.load(Ordering::Relaxed), 1);

        // Before it is known that HTTP/2 is spoken, each request dials for itself; none may suffer from it.
        let cold = open(authority.trusted(), PoolSpec::default());
        for exchange in soon(join_all((0..20).map(|_| cold.send(get(&uri))))).await {
            assert_eq!(exchange.result.unwrap().body, "2");
        }
    }

    #[tokio::test]
    async fn http1_is_spoken_where_http2_is_switched_off() {
        let authority = Authority::new();
        let address =
            serve_tls(authority.server("localhost", &[b"h2", b"http/1.1"]), |mut stream| async move {
                let request = read_request(&mut stream).await.unwrap();
                assert!(request.starts_with("GET / HTTP/1.1\r\n"), "{request}");
                stream.write_all(OK).await.unwrap();
            })
            .await;
        let client = open(authority.trusted(), PoolSpec { http2: false, ..PoolSpec::default() });
        let exchange = soon(client.send(get(format!("https://localhost:{}/", address.port())))).await;
        assert_eq!(exchange.result.unwrap().body, "ok");
    }

    /// An HTTP/2 frame (RFC 9113, section 4.1).
    fn frame(kind: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, 0, 0, 0, 0, stream], payload].concat()
    }

    /// What comes of a request that an HTTP/2 server answers with `answer` and then with the connection's end.
    async fn http2_answered(answer: Vec<u8>) -> causeway_actors::ports::Exchange {
        const PREFACE: usize = 24;
        const HEADERS: u8 = 1;
        const SETTINGS: u8 = 4;
        let authority = Authority::new();
        let address = serve_tls(authority.server("localhost", &[b"h2"]), move |mut stream| {
            let answer = answer.clone();
            async move {
                stream.write_all(&frame(SETTINGS, 0, &[])).await.unwrap();
                stream.read_exact(&mut [0; PREFACE]).await.unwrap();
                let mut head = [0; 9];
                while head[3] != HEADERS {
                    stream.read_exact(&mut head).await.unwrap();
                    let length = usize::from(head[1]) << 8 | usize::from(head[2]);
                    stream.read_exact(&mut vec![0; length]).await.unwrap();
                }
                stream.write_all(&answer).await.unwrap();
                let _ = stream.shutdown().await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        })
        .await;
        let client = open(authority.trusted(), PoolSpec::default());
        soon(client.send(get(format!("https://localhost:{}/", address.port())))).await
    }

    #[tokio::test]
    async fn over_http2_only_a_refusal_means_not_sent() {
        const RST_STREAM: u8 = 3;
        const GOAWAY: u8 = 7;
        const NO_ERROR: [u8; 4] = [0, 0, 0, 0];
        const INTERNAL_ERROR: [u8; 4] = [0, 0, 0, 2];
        const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];
        let go_away = |last: u8, code: [u8; 4]| frame(GOAWAY, 0, &[&[0, 0, 0, last], &code[..]].concat());
        let cases = [
            ("refused", frame(RST_STREAM, 1, &REFUSED_STREAM), Phase::NotSent, Reason::Reset),
            ("going away before it", go_away(0, NO_ERROR), Phase::NotSent, Reason::Reset),
            ("broken before it", go_away(0, INTERNAL_ERROR), Phase::NotSent, Reason::Reset),
            ("reset", frame(RST_STREAM, 1, &INTERNAL_ERROR), Phase::Sent, Reason::Reset),
            ("going away after it", go_away(1, NO_ERROR), Phase::Sent, Reason::Reset),
            ("broken after it", go_away(1, INTERNAL_ERROR), Phase::Sent, Reason::Reset),
            ("closed", Vec::new(), Phase::Sent, Reason::Reset),
            ("garbage", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), Phase::Sent, Reason::Protocol),
        ];
        for (case, answer, phase, reason) in cases {
            let exchange = http2_answered(answer).await;
            assert_eq!((exchange.phase, broken(&exchange).reason), (phase, reason), "{case}: {exchange:?}");
        }
    }
}
