//! The socket: hyper speaks HTTP on it until the plan wants something that is no HTTP.
//!
//! hyper gives the connection back, unclosed, when the service fails. So a service that wants to misbehave fails with
//! a [`Cut`], whose bytes are then written as they are before the connection is closed.

use std::error::Error;
use std::pin::Pin;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::answer::Answer;
use super::behaviour::MAX_WAIT;
use super::serve::{Peer, serve};

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// What is no HTTP, not even by its first byte.
pub(super) const GARBAGE: &[u8] = b"\x16\x03\x00 this is no HTTP\r\n\xff\xfe\x00\r\n\r\n";

/// The order to close a connection after these bytes.
#[derive(Debug, thiserror::Error)]
#[error("the plan cuts this connection after {} bytes", bytes.len())]
pub(super) struct Cut {
    bytes: Bytes,
}

impl Cut {
    /// Without an answer.
    pub(super) fn silent() -> Self {
        Self::after(Bytes::new())
    }

    /// After `bytes`.
    pub(super) fn after(bytes: Bytes) -> Self {
        Self { bytes }
    }
}

/// Serves one connection to its end.
pub(super) async fn drive(stream: TcpStream, peer: Peer) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(MAX_WAIT).max_buf_size(MAX_HEAD);
    let service = service_fn(move |request| serve(peer.clone(), request));
    let mut connection = http.serve_connection(TokioIo::new(stream), service);
    let Err(error) = Pin::new(&mut connection).await else { return };
    // Any other error is the client's doing, and ends the connection by itself.
    let Some(cut) = error.source().and_then(|source| source.downcast_ref::<Cut>()) else { return };
    let mut stream = connection.into_parts().io.into_inner();
    let last = async {
        stream.write_all(&cut.bytes).await?;
        stream.shutdown().await
    };
    if let Ok(Err(error)) = timeout(MAX_WAIT, last).await {
        tracing::debug!(%error, "the client left before its connection was cut");
    }
}

/// `answer` with only `after` bytes of its body. More are announced than are sent, always.
pub(super) fn truncated(answer: &Answer, after: usize) -> Bytes {
    let body = answer.body();
    let sent = after.min(body.len());
    let announced = body.len().max(sent + 1);
    let status = answer.status();
    let mut bytes =
        format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or("")).into_bytes();
    for (name, value) in answer.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("content-length: {announced}\r\n\r\n").as_bytes());
    bytes.extend_from_slice(&body[..sent]);
    bytes.into()
}
