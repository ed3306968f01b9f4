//! A provider that keeps whole requests, headers included, and answers all of them alike.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

type Kept = Arc<Mutex<Vec<Request<Bytes>>>>;

/// A provider on the test's own runtime. Dropping it stops it.
pub(crate) struct Recorder {
    address: SocketAddr,
    kept: Kept,
    _serving: JoinSet<()>,
}

impl Recorder {
    /// Answers every request with 200 and this JSON.
    pub(crate) async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let kept = Kept::default();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&kept), answer));
        Self { address, kept, _serving: serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, oldest first.
    pub(crate) fn requests(&self) -> Vec<Request<Bytes>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, kept: Kept, answer: &'static str) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let kept = Arc::clone(&kept);
        let service = service_fn(move |request| keep(Arc::clone(&kept), request, answer));
        connections.spawn(async move {
            // A client that breaks its connection is the client's affair.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn keep(
    kept: Kept,
    request: Request<Incoming>,
    answer: &'static str,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    kept.lock().unwrap_or_else(PoisonError::into_inner).push(Request::from_parts(head, body));
    let mut response = Response::new(Full::new(Bytes::from_static(answer.as_bytes())));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}
