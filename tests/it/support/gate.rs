//! A provider that lets in only who shows one of the tokens it accepts at the time.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A request as it came: what it showed, its key, its body, and whether it was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Knock {
    pub(crate) authorization: String,
    pub(crate) key: String,
    pub(crate) body: Bytes,
    pub(crate) let_in: bool,
}

#[derive(Default)]
struct State {
    accepted: Vec<String>,
    knocks: Vec<Knock>,
}

type Shared = Arc<Mutex<State>>;

/// A provider on the test's own runtime. Dropping it stops it. It repeats what it refuses: in its message and a header.
pub(crate) struct Gate {
    address: SocketAddr,
    state: Shared,
    _serving: JoinSet<()>,
}

impl Gate {
    /// Accepts this token.
    pub(crate) async fn start(token: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let state = Shared::default();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&state)));
        let gate = Self { address, state, _serving: serving };
        gate.accept(&[token]);
        gate
    }

    /// Accepts these from now on.
    pub(crate) fn accept(&self, tokens: &[&str]) {
        self.lock().accepted = tokens.iter().map(|token| format!("Bearer {token}")).collect();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Who has knocked since the last time this was asked.
    pub(crate) fn knocks(&self) -> Vec<Knock> {
        std::mem::take(&mut self.lock().knocks)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: TcpListener, state: Shared) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(Arc::clone(&state), request));
        connections.spawn(async move {
            // A client that breaks its connection is the client's affair.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(state: Shared, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let header = |name: &str| {
        head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let (authorization, key) = (header("authorization"), header("idempotency-key"));
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let let_in = state.accepted.contains(&authorization);
    let shown = authorization.trim_start_matches("Bearer ").to_owned();
    state.knocks.push(Knock { authorization, key, body, let_in });
    let (status, text) = if let_in {
        (StatusCode::OK, "{\"ok\":true}".to_owned())
    } else {
        (StatusCode::UNAUTHORIZED, format!("{{\"message\":\"no client is known as {shown} here\"}}"))
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    if let Ok(echo) = http::HeaderValue::from_str(&format!("refused {shown}")) {
        response.headers_mut().insert("server", echo);
    }
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}
