//! The connection, secured or not: hyper speaks HTTP on it until the plan wants something that is no HTTP.
//!
//! hyper gives the connection back, unclosed, when the service fails. So a service that wants to misbehave fails with
//! a [`Cut`], whose bytes are then written as they are before the connection is closed.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};

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
    /// Sent after these, each after a wait.
    pieces: Vec<Bytes>,
    every: Duration,
    /// How long the connection is held open before it is closed.
    held: Duration,
}

impl Cut {
    /// Without an answer.
    pub(super) fn silent() -> Self {
        Self::after(Bytes::new())
    }

    /// After `bytes`.
    pub(super) fn after(bytes: Bytes) -> Self {
        Self { bytes, pieces: Vec::new(), every: Duration::ZERO, held: Duration::ZERO }
    }

    /// The same, and the connection is held for so long, or until the client leaves.
    pub(super) fn held(self, held: Duration) -> Self {
        Self { held, ..self }
    }

    /// The same, and then `body` in pieces of `size` bytes, each after a wait.
    pub(super) fn dripping(self, body: &Bytes, size: usize, every: Duration) -> Self {
        let size = size.max(1);
        let piece = |start| body.slice(start..body.len().min(start + size));
        Self { pieces: (0..body.len()).step_by(size).map(piece).collect(), every, ..self }
    }

    async fn play(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
        stream.write_all(&self.bytes).await?;
        stream.flush().await?;
        for piece in &self.pieces {
            sleep(self.every).await;
            stream.write_all(piece).await?;
            stream.flush().await?;
        }
        if !self.held.is_zero() {
            let mut rest = [0; 1024];
            // Whoever sends more or leaves has seen enough.
            let _ = timeout(self.held, stream.read(&mut rest)).await;
        }
        stream.shutdown().await
    }
}

/// Serves one connection to its end.
pub(super) async fn drive(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, peer: Peer) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(MAX_WAIT).max_buf_size(MAX_HEAD);
    let service = service_fn(move |request| serve(peer.clone(), request));
    let mut connection = http.serve_connection(TokioIo::new(stream), service);
    let Err(error) = Pin::new(&mut connection).await else { return };
    // Any other error is the client's doing, and ends the connection by itself.
    let Some(cut) = error.source().and_then(|source| source.downcast_ref::<Cut>()) else { return };
    let mut stream = connection.into_parts().io.into_inner();
    if let Ok(Err(error)) = timeout(MAX_WAIT, cut.play(&mut stream)).await {
        tracing::debug!(%error, "the client left before its connection was cut");
    }
}

/// `answer` with only `after` bytes of its body. More are announced than are sent, always.
pub(super) fn truncated(answer: &Answer, after: usize) -> Bytes {
    let body = answer.body();
    let sent = after.min(body.len());
    let announced = body.len().max(sent + 1);
    let mut bytes = head(answer, announced);
    bytes.extend_from_slice(&body[..sent]);
    bytes.into()
}

/// The head of `answer`, which announces a body of so many bytes.
pub(super) fn head(answer: &Answer, announced: usize) -> Vec<u8> {
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
    bytes
}
