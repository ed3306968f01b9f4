//! A connection's I/O, counted: whether a byte of a request has left is read off here and nowhere else.
//!
//! [`Counted`] stands between hyper and the socket (above TLS, so handshakes and alerts do not count) and adds every
//! byte that the socket or the TLS session took over to its [`Wire`]. The wire is shared with the flights on the
//! connection, together with what is known of its making. A flight that ends unsent *seals* its wire: whatever hyper
//! still holds in a buffer is then refused here, so "not sent" stays true after the flight is gone.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use causeway_core::time::Mono;
use hyper_util::client::legacy::connect::{Connected, Connection};
use metrics::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::failpoint::Leg;

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
    closed: AtomicBool,
    /// When it has been idle for as long as its provider suffers, in milliseconds and one; 0 while nothing is known.
    expires: AtomicU64,
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

    /// Takes the connection for one more request; `true` if it was taken before. While it serves it is not idle.
    pub(super) fn take(&self) -> bool {
        if self.expires.load(Ordering::Acquire) != 0 {
            self.expires.store(u64::MAX, Ordering::Release);
        }
        self.taken.fetch_add(1, Ordering::AcqRel) > 0
    }

    /// Lets no further byte pass.
    pub(super) fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    /// Sets when it is too old to be used again; whether that is the first word about it.
    pub(super) fn expire_at(&self, at: Mono) -> bool {
        let millis = u64::try_from(at.since_origin().as_millis()).unwrap_or(u64::MAX - 1);
        self.expires.swap(millis + 1, Ordering::AcqRel) == 0
    }

    /// When it is too old to be used again, as far as that is known.
    pub(super) fn expires_at(&self) -> Option<Mono> {
        let millis = self.expires.load(Ordering::Acquire).checked_sub(1)?;
        Some(Mono::from_origin(Duration::from_millis(millis)))
    }

    /// Whether it may still be used then.
    pub(super) fn serves_at(&self, now: Mono) -> bool {
        self.expires_at().is_none_or(|end| now < end)
    }

    /// Whether there still is a connection.
    pub(super) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
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

/// How many bytes may be read one after the other, at least, before others on the thread have their turn.
///
/// hyper reads on as long as something comes, and what comes may be worth a microsecond per thirty bytes (a flood of
/// interim answers). A socket that always has more would keep the thread for megabytes otherwise.
const TURN: usize = 64 * 1024;

/// A socket that counts what is written to it, and lets others have their turn when much is read.
pub(super) struct Counted {
    socket: Socket,
    wire: Arc<Wire>,
    /// How many connections stand.
    connections: Gauge,
    /// Bytes read since there was nothing to read, or others had their turn.
    read: usize,
}

impl Counted {
    pub(super) fn new(socket: Socket, wire: Arc<Wire>, connections: Gauge) -> Self {
        connections.increment(1.0);
        Self { socket, wire, connections, read: 0 }
    }

    fn count(&self, outcome: &Poll<io::Result<usize>>) {
        match outcome {
            Poll::Ready(Ok(bytes)) => {
                self.wire.count(*bytes);
                Leg::Sent.reached();
            }
            Poll::Ready(Err(_)) => self.wire.count(self.socket.doubt()),
            Poll::Pending => {}
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.wire.closed.store(true, Ordering::Release);
        self.connections.decrement(1.0);
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
        if self.read >= TURN {
            self.read = 0;
            // Polled once, it wakes this task when timers and other sockets have been looked after.
            if pin!(tokio::task::yield_now()).poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        let before = buf.filled().len();
        let outcome = self.socket.reader().poll_read(cx, buf);
        self.read = if outcome.is_ready() { self.read + (buf.filled().len() - before) } else { 0 };
        outcome
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
        (Counted::new(Socket::Plain(near), Arc::clone(&wire), Gauge::noop()), wire, far)
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

    #[tokio::test]
    async fn a_socket_that_always_has_more_lets_others_have_their_turn() {
        let (mut near, _wire, mut far) = pair().await;
        let all = vec![7; 3 * TURN];
        let sender = tokio::spawn(async move {
            far.write_all(&all).await.unwrap();
            far
        });
        let mut received = 0;
        while received < TURN {
            received += near.read(&mut [0; TURN]).await.unwrap();
        }
        let mut buffer = [0; 1024];
        let mut turn = std::pin::pin!(near.read(&mut buffer));
        let first = std::future::poll_fn(|cx| Poll::Ready(turn.as_mut().poll(cx))).await;
        assert!(first.is_pending(), "{first:?}");
        received += turn.await.unwrap();
        while received < 3 * TURN {
            received += near.read(&mut [0; TURN]).await.unwrap();
        }
        sender.await.unwrap();
    }

    #[test]
    fn a_wire_knows_whether_it_was_taken_before() {
        let wire = Wire::default();
        assert!(!wire.take());
        assert!(wire.take());
    }
}
