//! A provider that keeps whole requests, headers included, and answers all of them alike; over TLS it speaks HTTP/2 to
//! who has agreed on it.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::LazyConfigAcceptor;

/// What it has seen: requests, and what each connection offered to speak, where it was asked.
#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Request<Bytes>>>,
    offers: Mutex<Vec<Vec<String>>>,
}

type Kept = Arc<Seen>;

/// A provider on the test's own runtime. Dropping it stops it.
pub(crate) struct Recorder {
    address: SocketAddr,
    kept: Kept,
    _serving: JoinSet<()>,
}

impl Recorder {
    /// Answers every request with 200 and this JSON.
    pub(crate) async fn start(answer: &'static str) -> Self {
        Self::start_with(answer, None).await
    }

    /// The same over TLS.
    pub(crate) async fn start_secure(answer: &'static str, tls: Arc<ServerConfig>) -> Self {
        Self::start_with(answer, Some(tls)).await
    }

    async fn start_with(answer: &'static str, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let kept = Kept::default();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, tls, Arc::clone(&kept), answer));
        Self { address, kept, _serving: serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same over TLS.
    pub(crate) fn secure_url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The requests so far, oldest first.
    pub(crate) fn requests(&self) -> Vec<Request<Bytes>> {
        self.kept.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What each TLS connection so far has offered to speak.
    pub(crate) fn offers(&self) -> Vec<Vec<String>> {
        self.kept.offers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, tls: Option<Arc<ServerConfig>>, kept: Kept, answer: &'static str) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, kept) = (tls.clone(), Arc::clone(&kept));
        connections.spawn(async move {
            // A client that breaks its connection is the client's affair.
            let _ = match tls {
                Some(tls) => secure(stream, tls, kept, answer).await,
                None => {
                    let service = service_fn(move |request| keep(Arc::clone(&kept), request, answer));
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok()
                }
            };
        });
    }
}

/// Notes what is offered, agrees on one of it, and speaks that.
async fn secure(stream: TcpStream, tls: Arc<ServerConfig>, kept: Kept, answer: &'static str) -> Option<()> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await.ok()?;
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let offer = hello.client_hello().alpn().map(|names| names.map(text).collect()).unwrap_or_default();
    kept.offers.lock().unwrap_or_else(PoisonError::into_inner).push(offer);
    let stream = hello.into_stream(tls).await.ok()?;
    let agreed = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request| keep(Arc::clone(&kept), request, answer));
    if agreed {
        let builder = http2::Builder::new(TokioExecutor::new());
        return builder.serve_connection(TokioIo::new(stream), service).await.ok();
    }
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok()
}

async fn keep(
    kept: Kept,
    request: Request<Incoming>,
    answer: &'static str,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    kept.requests.lock().unwrap_or_else(PoisonError::into_inner).push(Request::from_parts(head, body));
    let mut response = Response::new(Full::new(Bytes::from_static(answer.as_bytes())));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}
