//! One request on its way: waiting for a connection, for the head, for the body, and always able to say whether a
//! byte of it may have left.
//!
//! # Sent or not
//!
//! hyper's client names the connection it chose (`capture_connection`) and hands the request to the connection's
//! driver, a task of its own, in one and the same poll. The flight notes how many bytes that connection had written
//! right after that poll; from then on *not sent* means "the count still stands there".
//!
//! On a current-thread runtime that note is exact, because the driver cannot have run in between. On any other
//! runtime it might have, so no note is taken there and a captured connection means *sent*. The same goes for
//! HTTP/2, whose connections carry the bytes of many requests: what lifts the doubt is the provider's refusal or
//! hyper's giving the request back (see [`super::error`]), and the exchange's verdict then is *not sent* even where
//! the flight had to say *sent* meanwhile.
//!
//! A flight that ends unsent on a connection of its own seals it (see [`super::counted`]), so that the answer given
//! at the last moment stays true.
//!
//! # Time
//!
//! Each stage has its timeout, and the whole has one. There is a single timer: it is made when a stage first has to
//! wait, and left alone as long as it does not ring too late, so a quick exchange sets it once.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use causeway_actors::ports::{Broken, Exchange, Flight, Timings, WireRequest, WireResponse};
use causeway_core::classify::Phase;
use causeway_core::endpoint::Timeouts;
use causeway_core::failure::Reason;
use causeway_core::time::Mono;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::ResponseFuture;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use tokio::time::Sleep;

use super::Pool;
use super::body::Collecting;
use super::connector::Peer;
use super::counted::Wire;
use super::error::{self, Cause};
use super::keep_alive;
use crate::failpoint::Leg;

/// A request on its way.
pub(super) struct HttpFlight {
    pool: Rc<Pool>,
    method: Method,
    uri: Uri,
    timeouts: Timeouts,
    max_body: usize,
    started: Mono,
    stage: Stage,
    timer: Option<Pin<Box<Sleep>>>,
    link: Option<Link>,
    head: Option<Head>,
    /// The head's headers.
    headers: HeaderMap,
    /// The connection, with how long it may be idle after this, where its provider says so.
    patience: Option<(CaptureConnection, Duration)>,
}

enum Stage {
    /// Waiting for a connection (no link yet), then for the response's head.
    Asking { response: ResponseFuture, capture: CaptureConnection },
    /// Waiting for the body.
    Reading { body: Collecting },
    /// Answered.
    Over,
}

/// The head of a response, as far as a broken exchange tells it.
#[derive(Clone, Copy)]
struct Head {
    at: Mono,
    status: StatusCode,
}

/// Until when something is awaited.
struct Deadline {
    at: Mono,
    span: Duration,
    reason: Reason,
    awaited: &'static str,
}

impl Deadline {
    fn missed(&self) -> Cause {
        let Self { span, reason, awaited, .. } = self;
        Cause { reason: *reason, says: format!("{awaited} within {span:?}"), unsent: false }
    }
}

/// The connection a request was handed to.
struct Link {
    wire: Arc<Wire>,
    at: Mono,
    reused: bool,
    /// What the connection had written before this request; `None` where its bytes prove nothing.
    baseline: Option<u64>,
    /// Whether it carries many requests at a time (HTTP/2).
    shared: bool,
}

impl Link {
    /// Notes the connection that hyper chose, once it has. Must be asked right after the poll that may have chosen.
    fn note(capture: &CaptureConnection, pool: &Pool, started: Mono) -> Option<Self> {
        let connected = capture.connection_metadata();
        let connected = connected.as_ref()?;
        let mut extras = pool.scratch.take();
        connected.get_extras(&mut extras);
        let wire = extras.remove::<Arc<Wire>>().unwrap_or_default();
        pool.scratch.set(extras);
        let shared = connected.is_negotiated_h2();
        let alone = pool.one_thread && !shared;
        // A connection that stood before this request began was not made for it, even if it has not served yet.
        let reused = wire.take() || wire.made() < started;
        Some(Self { baseline: alone.then(|| wire.written()), at: pool.clock.mono(), reused, shared, wire })
    }

    fn phase(&self) -> Phase {
        match self.baseline {
            Some(baseline) if self.wire.written() == baseline => Phase::NotSent,
            _ => Phase::Sent,
        }
    }
}

impl HttpFlight {
    /// Makes ready to send; nothing happens before the first poll.
    pub(super) fn new(pool: Rc<Pool>, wanted: WireRequest) -> Self {
        let started = pool.clock.mono();
        pool.expiring.expire(started);
        let WireRequest { method, uri, headers, body, timeouts, max_body, carrier } = wanted;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers;
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if request.body().is_end_stream() && matches!(method, Method::POST | Method::PUT | Method::PATCH) {
            // hyper leaves it out, and some providers then answer 411 (RFC 9110, section 8.6).
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
        }
        let capture = capture_connection(&mut request);
        let stage = Stage::Asking { response: pool.client(carrier).request(request), capture };
        Self {
            pool,
            method,
            uri,
            timeouts,
            max_body,
            started,
            stage,
            timer: None,
            link: None,
            head: None,
            headers: HeaderMap::new(),
            patience: None,
        }
    }

    /// Goes as far as it can without waiting; pending when there is nothing to do but wait.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Result<WireResponse, Cause>> {
        if let Stage::Asking { response, capture } = &mut self.stage {
            let polled = Pin::new(response).poll(cx);
            if self.link.is_none() {
                self.link = Link::note(capture, &self.pool, self.started);
            }
            let response = ready!(polled).map_err(|error| error::of_request(&error))?;
            self.turn_to_body(response)?;
        }
        match &mut self.stage {
            Stage::Reading { body } => {
                let body = ready!(body.poll(cx))?;
                let headers = std::mem::take(&mut self.headers);
                let status = self.head.map(|head| head.status).unwrap_or_default();
                Poll::Ready(Ok(WireResponse { status, headers, body }))
            }
            Stage::Asking { .. } | Stage::Over => Poll::Pending,
        }
    }

    fn turn_to_body(&mut self, response: Response<Incoming>) -> Result<(), Cause> {
        let (head, body) = response.into_parts();
        self.head = Some(Head { at: self.pool.clock.mono(), status: head.status });
        self.headers = head.headers;
        let alone = self.link.as_ref().is_some_and(|link| !link.shared);
        let patience = keep_alive::patience(&self.headers).filter(|_| alone);
        let body = Collecting::new(body, self.max_body)?;
        let asked = std::mem::replace(&mut self.stage, Stage::Reading { body });
        if let (Some(patience), Stage::Asking { capture, .. }) = (patience, asked) {
            // It is idle at the earliest now, which errs towards letting go too soon.
            self.let_go_after(&capture, patience);
            self.patience = Some((capture, patience));
        }
        Ok(())
    }

    /// Has the connection used again only within `patience` from now on.
    fn let_go_after(&self, capture: &CaptureConnection, patience: Duration) {
        if let Some(link) = &self.link {
            self.pool.expiring.note(capture, &link.wire, self.pool.clock.mono() + patience);
        }
    }

    /// Ready when the time of the present stage, or of the whole, is up.
    fn time_is_up(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        let deadline = self.deadline();
        let wake = self.pool.clock.instant(deadline.at);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(wake)));
        if timer.deadline() > wake {
            timer.as_mut().reset(wake);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= wake {
                return Poll::Ready(deadline.missed());
            }
            // It rang for an earlier stage.
            timer.as_mut().reset(wake);
        }
    }

    /// The nearer of the present stage's end and the whole's.
    fn deadline(&self) -> Deadline {
        let Timeouts { connect, first_byte, body, total } = self.timeouts;
        let end = |from, span, reason, awaited| Deadline { at: from + span, span, reason, awaited };
        let stage = match (&self.head, &self.link) {
            (Some(head), _) => end(head.at, body, Reason::BodyTimeout, "no end of the response's body"),
            (None, Some(link)) => end(link.at, first_byte, Reason::FirstByteTimeout, "no response head"),
            (None, None) => end(self.started, connect, Reason::ConnectTimeout, "no connection"),
        };
        let whole = end(self.started, total, Reason::TotalTimeout, "no whole response");
        if whole.at < stage.at { whole } else { stage }
    }

    fn finish(&mut self, result: Result<WireResponse, Cause>) -> Exchange {
        if result.is_ok() {
            Leg::Answered.reached();
        }
        let result = result.map_err(|cause| self.as_met(cause));
        let phase = match &result {
            Err(cause) if self.head.is_none() => self.verdict(cause),
            Ok(_) | Err(_) => Phase::Sent,
        };
        self.seal_if_unsent();
        self.stage = Stage::Over;
        if let Some((capture, patience)) = self.patience.take() {
            self.let_go_after(&capture, patience);
        }
        let timings = self.timings();
        let reused = self.link.as_ref().is_some_and(|link| link.reused);
        Exchange { result: result.map_err(|cause| self.broken(cause)), phase, reused, timings }
    }

    /// A peer that refuses our certificate does so before it reads a request; on a connection that has served
    /// already, the alert means something else, and the request may have been read.
    fn as_met(&self, cause: Cause) -> Cause {
        let late = cause.reason == Reason::Certificate && self.link.as_ref().is_some_and(|link| link.reused);
        if late { Cause { reason: Reason::Tls, ..cause } } else { cause }
    }

    /// The phase of a request that got no head. Proof that it was not begun comes from tasks beside this one, and
    /// is taken only where these share its thread.
    fn verdict(&self, cause: &Cause) -> Phase {
        if cause.unsent && (self.link.is_none() || self.pool.one_thread) {
            Phase::NotSent
        } else {
            self.phase()
        }
    }

    fn seal_if_unsent(&self) {
        if let Some(link) = self.link.as_ref().filter(|link| link.phase() == Phase::NotSent) {
            link.wire.seal();
        }
    }

    fn broken(&self, cause: Cause) -> Broken {
        let peer =
            Peer::of(&self.uri).map_or_else(|| "an unknown address".to_owned(), |peer| peer.to_string());
        let Cause { reason, says, .. } = cause;
        let message = match self.link {
            None => format!("connecting to {peer}: {says}"),
            Some(_) => format!("{} to {peer}: {says}", self.method),
        };
        Broken {
            reason,
            message,
            status: self.head.map(|head| head.status.as_u16()),
            headers: self.headers.clone(),
        }
    }

    fn timings(&self) -> Timings {
        let now = self.pool.clock.mono();
        let fresh = self.link.as_ref().filter(|link| !link.reused);
        let making = fresh.map(|link| link.wire.making()).unwrap_or_default();
        let asked = self.link.as_ref().map(|link| link.at);
        Timings {
            dns: making.dns,
            connect: making.connect,
            tls: making.tls,
            first_byte: self.head.zip(asked).map(|(head, asked)| head.at.since(asked)),
            body: self.head.map(|head| now.since(head.at)),
            total: now.since(self.started),
        }
    }
}

impl Future for HttpFlight {
    type Output = Exchange;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Exchange> {
        let result = match self.advance(cx) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(ready!(self.time_is_up(cx))),
        };
        Poll::Ready(self.finish(result))
    }
}

impl Flight for HttpFlight {
    fn phase(&self) -> Phase {
        self.link.as_ref().map_or(Phase::NotSent, Link::phase)
    }
}

impl Drop for HttpFlight {
    fn drop(&mut self) {
        self.seal_if_unsent();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::net::SocketAddr;
    use std::sync::mpsc as threads;

    use causeway_actors::clock::Clock;
    use causeway_actors::ports::{Client, TlsSpec};
    use causeway_core::bulkhead::PoolSpec;
    use rustls::RootCertStore;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;

    use super::super::RECENT;
    use super::super::connector::Connector;
    use super::super::testing::{
        OK, broken, client, fly_until, get, poll_once, post, read_request, serve, soon,
    };
    use super::super::tls;
    use super::*;

    const SHORT: Duration = Duration::from_millis(100);

    /// A server that answers each request of a connection with the next of `answers`, tells each request it got,
    /// and, out of answers, waits for the connection's end and tells it as `None`.
    async fn scripted(
        answers: &'static [&'static [u8]],
    ) -> (SocketAddr, mpsc::UnboundedReceiver<Option<String>>) {
        let (tell, told) = mpsc::unbounded_channel();
        let address = serve(move |mut stream| {
            let tell = tell.clone();
            async move {
                for answer in answers {
                    tell.send(read_request(&mut stream).await).unwrap();
                    stream.write_all(answer).await.unwrap();
                }
                while let Some(request) = read_request(&mut stream).await {
                    tell.send(Some(request)).unwrap();
                }
                tell.send(None).unwrap();
            }
        })
        .await;
        (address, told)
    }

    /// One whole exchange, after which its connection stands idle in the pool.
    async fn warm(client: &Rc<dyn Client>, uri: &str) {
        soon(client.send(get(uri))).await.result.unwrap();
        // The connection's driver needs its turns to become idle.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_phase_turns_when_the_first_byte_leaves() {
        let (address, mut told) = scripted(&[OK]).await;
        let (client, uri) = (client(), format!("http://{address}/"));
        let mut first = client.send(get(&uri));
        assert_eq!(first.phase(), Phase::NotSent);
        assert!(poll_once(&mut first).await.is_pending());
        assert_eq!(first.phase(), Phase::NotSent, "connecting is not sending");
        soon(first).await.result.unwrap();
        told.recv().await.unwrap();

        let mut second = client.send(get(&uri));
        assert!(poll_once(&mut second).await.is_pending());
        assert_eq!(second.phase(), Phase::NotSent, "the driver has not had its turn");
        assert!(fly_until(&mut second, told.recv()).await.flatten().is_some());
        assert_eq!(second.phase(), Phase::Sent);
    }

    #[tokio::test]
    async fn a_flight_dropped_before_its_connection_took_it_sends_nothing() {
        let (address, mut told) = scripted(&[OK]).await;
        let (client, uri) = (client(), format!("http://{address}/"));
        warm(&client, &uri).await;
        assert!(told.recv().await.unwrap().is_some());
        let mut flight = client.send(post(&uri, "pay"));
        assert!(poll_once(&mut flight).await.is_pending());
        assert_eq!(flight.phase(), Phase::NotSent);
        drop(flight);
        assert_eq!(soon(told.recv()).await, Some(None), "the connection ends without a second request");
    }

    /// hyper may have written a request to its buffer and not to the socket, when a task has used up its budget.
    #[tokio::test]
    async fn what_hyper_still_buffers_when_an_unsent_flight_ends_stays_here() {
        let (address, _told) = scripted(&[]).await;
        let clock = Clock::start();
        let tls = tls::config(&Arc::new(RootCertStore::empty()), &TlsSpec::default()).unwrap();
        let pool = Rc::new(Pool::new(
            &Connector::new(Arc::new(tls), clock, metrics::Gauge::noop()),
            &PoolSpec::default(),
            RECENT,
            clock,
        ));
        let mut flight = Box::pin(HttpFlight::new(pool, get(format!("http://{address}/"))));
        let wire = loop {
            assert!(poll_fn(|cx| Poll::Ready(flight.as_mut().poll(cx))).await.is_pending());
            match &flight.link {
                Some(link) => break Arc::clone(&link.wire),
                None => tokio::task::yield_now().await,
            }
        };
        assert_eq!(flight.phase(), Phase::NotSent);
        assert!(wire.refuse_if_sealed().is_ok());
        drop(flight);
        assert!(wire.refuse_if_sealed().is_err());
    }

    #[tokio::test]
    async fn a_dropped_flight_closes_its_connection() {
        let (address, mut told) = scripted(&[]).await;
        let mut flight = client().send(get(format!("http://{address}/")));
        assert!(fly_until(&mut flight, told.recv()).await.flatten().is_some());
        drop(flight);
        assert_eq!(soon(told.recv()).await, Some(None));
    }

    #[tokio::test]
    async fn a_connection_closed_after_the_request_is_a_reset_after_send() {
        let address = serve(|mut stream| async move {
            read_request(&mut stream).await;
        })
        .await;
        let exchange = soon(client().send(post(format!("http://{address}/pay"), "pay"))).await;
        assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::Reset, Phase::Sent));
        assert!(broken(&exchange).message.starts_with(&format!("POST to {address}: ")));
        assert!(!exchange.reused);
    }

    #[tokio::test]
    async fn a_connection_closed_while_a_second_request_is_read_is_a_reset_after_send() {
        let address = serve(|mut stream| async move {
            read_request(&mut stream).await;
            stream.write_all(OK).await.unwrap();
            read_request(&mut stream).await;
        })
        .await;
        let (client, uri) = (client(), format!("http://{address}/"));
        warm(&client, &uri).await;
        let exchange = soon(client.send(get(&uri))).await;
        assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::Reset, Phase::Sent));
        assert!(exchange.reused);
    }

    /// A provider with a thread of its own: it serves one request, and when told so closes the connection and says
    /// so on a second one.
    struct Leaving {
        uri: String,
        signal: tokio::net::TcpStream,
        close: threads::Sender<()>,
        server: std::thread::JoinHandle<()>,
    }

    impl Leaving {
        async fn after_serving(client: &Rc<dyn Client>) -> Self {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let (close, closing) = threads::channel::<()>();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
                stream.write_all(OK).unwrap();
                let (mut signal, _) = listener.accept().unwrap();
                closing.recv().unwrap();
                drop(stream);
                signal.write_all(b"!").unwrap();
            });
            let uri = format!("http://{address}/");
            warm(client, &uri).await;
            let signal = tokio::net::TcpStream::connect(address).await.unwrap();
            Self { uri, signal, close, server }
        }

        /// Returns when the connection is closed. The runtime has had no turn since.
        fn leave(self) -> (String, tokio::net::TcpStream) {
            self.close.send(()).unwrap();
            self.server.join().unwrap();
            (self.uri, self.signal)
        }
    }

    #[tokio::test]
    async fn on_a_connection_that_is_known_to_be_closed_nothing_is_sent() {
        let client = client();
        let (uri, mut signal) = Leaving::after_serving(&client).await.leave();
        // The runtime learns of the signal and of the connection's end in one go, and this task comes before the
        // connection's driver.
        signal.read_u8().await.unwrap();
        let exchange = soon(client.send(post(&uri, "pay"))).await;
        assert_eq!(
            (broken(&exchange).reason, exchange.phase),
            (Reason::Reset, Phase::NotSent),
            "{exchange:?}"
        );
        assert!(exchange.reused);
    }

    #[tokio::test]
    async fn on_a_connection_whose_end_is_not_known_yet_the_bytes_leave_and_count() {
        let client = client();
        let (uri, _signal) = Leaving::after_serving(&client).await.leave();
        let exchange = soon(client.send(post(&uri, "pay"))).await;
        assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::Reset, Phase::Sent), "{exchange:?}");
        assert!(exchange.reused);
    }

    #[tokio::test]
    async fn no_head_in_time_is_a_timeout_after_send() {
        let (address, mut told) = scripted(&[]).await;
        let mut request = get(format!("http://{address}/"));
        request.timeouts.first_byte = SHORT;
        let exchange = soon(client().send(request)).await;
        assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::FirstByteTimeout, Phase::Sent));
        assert_eq!(broken(&exchange).message, format!("GET to {address}: no response head within {SHORT:?}"));
        assert!(exchange.timings.total >= SHORT);
        assert!(told.recv().await.unwrap().is_some());
        assert_eq!(soon(told.recv()).await, Some(None), "the connection is closed");
    }

    #[tokio::test]
    async fn a_body_that_stalls_is_a_timeout_that_names_the_status() {
        let (address, _told) = scripted(&[b"HTTP/1.1 201 Created\r\ncontent-length: 9\r\n\r\nhalf"]).await;
        let mut request = get(format!("http://{address}/"));
        request.timeouts.body = SHORT;
        let exchange = soon(client().send(request)).await;
        assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::BodyTimeout, Phase::Sent));
        assert_eq!(broken(&exchange).status, Some(201));
        assert!(exchange.timings.body.unwrap() >= SHORT);
    }

    #[tokio::test]
    async fn a_stage_may_end_before_the_one_the_timer_was_set_for() {
        let (address, _told) = scripted(&[b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"]).await;
        let mut request = get(format!("http://{address}/"));
        // The timer is set for the connect timeout first, rings during the body and must then be set anew.
        request.timeouts.connect = SHORT / 2;
        request.timeouts.body = SHORT;
        request.timeouts.total = SHORT * 20;
        let exchange = soon(client().send(request)).await;
        assert_eq!(broken(&exchange).reason, Reason::BodyTimeout);
        assert!(exchange.timings.body.unwrap() >= SHORT);
    }

    #[tokio::test]
    async fn the_whole_timeout_holds_where_each_stage_is_in_time() {
        let address = serve(|mut stream| async move {
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
            while stream.write_all(b"1\r\nx\r\n").await.is_ok() {
                tokio::time::sleep(SHORT / 10).await;
            }
        })
        .await;
        let mut request = get(format!("http://{address}/"));
        request.timeouts.total = SHORT;
        let exchange = soon(client().send(request)).await;
        assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::TotalTimeout, Phase::Sent));
        assert_eq!(broken(&exchange).status, Some(200));
    }

    #[tokio::test]
    async fn what_is_not_http_is_a_protocol_error() {
        const ENDLESS: &[u8] = &[b'x'; 128 * 1024];
        let mut endless = b"HTTP/1.1 200 OK\r\nx-long: ".to_vec();
        endless.extend_from_slice(ENDLESS);
        let answers: [Vec<u8>; 3] = [
            b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
            endless,
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot a size\r\n".to_vec(),
        ];
        for answer in answers {
            let case = String::from_utf8_lossy(&answer[..20]).into_owned();
            let address = serve(move |mut stream| {
                let answer = answer.clone();
                async move {
                    read_request(&mut stream).await;
                    // The client may leave before the endless one is written.
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.read(&mut [0; 1]).await;
                }
            })
            .await;
            let exchange = soon(client().send(get(format!("http://{address}/")))).await;
            assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::Protocol, Phase::Sent), "{case}");
        }
    }

    /// A client that was not opened on a current-thread runtime cannot know how far a driver has got: what it cannot
    /// know counts as sent.
    #[test]
    fn where_drivers_may_run_elsewhere_a_request_counts_as_sent_once_it_is_handed_over() {
        let client = client();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
            let (address, _told) = scripted(&[OK]).await;
            let uri = format!("http://{address}/");
            warm(&client, &uri).await;
            let mut flight = client.send(get(&uri));
            assert_eq!(flight.phase(), Phase::NotSent);
            assert!(poll_once(&mut flight).await.is_pending());
            assert_eq!(flight.phase(), Phase::Sent);
        });
    }
}
