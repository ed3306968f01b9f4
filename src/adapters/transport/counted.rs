//! A connection's I/O, counted: whether a byte of a request has left is read off here and nowhere else.
//!
//! [`Counted`] stands between hyper and the socket (above TLS, so handshakes and alerts do not count) and adds every
//! byte that the socket or the TLS session took over to its [`Wire`]. The wire is shared with the flights on the
//! connection, together with what is known of its making. A flight that ends unsent *seals* its wire: whatever hyper
//! still holds in a buffer is then refused here, so "not sent" stays true after the flight is gone.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use causeway_core::time::Mono;
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// How long the parts of making a connection took; `None` for a part that was not needed.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Making {
    /// Resolving the name.
    pub(super) dns: Option<Duration>,
    /// Connecting TCP.
    pub(super) connect: Option<Duration>,
    /// The TLS handshake.
    pub(super) tls: Option<Duration>,
}

/// What a connection and the flights on it share.
#[derive(Debug, Default)]
pub(super) struct Wire {
    making: Making,
    made: Mono,
    written: AtomicU64,
    taken: AtomicU64,
    sealed: AtomicBool,
}

impl Wire {
    pub(super) fn new(making: Making, made: Mono) -> Self {
        Self { making, made, ..Self::default() }
    }

    pub(super) fn making(&self) -> Making {
        self.making
    }

    /// When the connection stood.
    pub(super) fn made(&self) -> Mono {
        self.made
    }

    /// How many bytes hyper has got rid of.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Takes the connection for one more request; `true` if it was taken before.
    pub(super) fn take(&self) -> bool {
        self.taken.fetch_add(1, Ordering::AcqRel) > 0
    }

    /// Lets no further byte pass.
    pub(super) fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    fn count(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::AcqRel);
    }

    /// # Errors
    /// A broken pipe, if the wire is sealed.
    pub(super) fn refuse_if_sealed(&self) -> io::Result<()> {
        if self.sealed.load(Ordering::Acquire) {
            return Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the request was given up before it was sent",
            ));
        }
        Ok(())
    }
}

/// The socket, with TLS or without.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    fn reader(&mut self) -> Pin<&mut (dyn AsyncRead + Unpin)> {
        match self {
            Self::Plain(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(stream),
        }
    }

    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        match self {
            Self::Plain(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(stream),
        }
    }

    fn negotiated_h2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// How many bytes may have left with a write that failed. A TCP write that fails has taken nothing. A TLS write
    /// may fail after some of its records were sent, and does not tell: one byte is counted, so doubt is not lost.
    fn doubt(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(_) => 1,
        }
    }
}

/// A socket that counts what is written to it.
pub(super) struct Counted {
    socket: Socket,
    wire: Arc<Wire>,
}

impl Counted {
    pub(super) fn new(socket: Socket, wire: Arc<Wire>) -> Self {
        Self { socket, wire }
    }

    fn count(&self, outcome: &Poll<io::Result<usize>>) {
        match outcome {
            Poll::Ready(Ok(bytes)) => self.wire.count(*bytes),
            Poll::Ready(Err(_)) => self.wire.count(self.socket.doubt()),
            Poll::Pending => {}
        }
    }
}

impl Connection for Counted {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(Arc::clone(&self.wire));
        if self.socket.negotiated_h2() { connected.negotiated_h2() } else { connected }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.socket.reader().poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.wire.refuse_if_sealed()?;
        let outcome = self.socket.writer().poll_write(cx, buf);
        self.count(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.wire.refuse_if_sealed()?;
        let outcome = self.socket.writer().poll_write_vectored(cx, bufs);
        self.count(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.writer().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.writer().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Counted, Arc<Wire>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        let wire = Arc::new(Wire::default());
        (Counted::new(Socket::Plain(near), Arc::clone(&wire)), wire, far)
    }

    #[tokio::test]
    async fn what_is_written_is_counted_and_what_is_read_is_not() {
        let (mut near, wire, mut far) = pair().await;
        near.write_all(b"12345").await.unwrap();
        assert_eq!(wire.written(), 5);
        let pieces = [IoSlice::new(b"67"), IoSlice::new(b"8")];
        assert_eq!(near.write_vectored(&pieces).await.unwrap(), 3);
        assert_eq!(wire.written(), 8);
        far.write_all(b"answer").await.unwrap();
        near.read_exact(&mut [0; 6]).await.unwrap();
        assert_eq!(wire.written(), 8);
    }

    #[tokio::test]
    async fn a_sealed_wire_lets_nothing_pass() {
        let (mut near, wire, mut far) = pair().await;
        wire.seal();
        assert_eq!(near.write(b"late").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        drop(near);
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(wire.written(), 0);
    }

    #[test]
    fn a_wire_knows_whether_it_was_taken_before() {
        let wire = Wire::default();
        assert!(!wire.take());
        assert!(wire.take());
    }
}
