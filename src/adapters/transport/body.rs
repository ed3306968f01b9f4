//! A response's body, collected up to a bound.
//!
//! Most bodies come in one piece, and that piece is handed on as it is; only from the second one on are they copied
//! together.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use causeway_core::failure::Reason;
use http_body::Body;
use hyper::body::Incoming;

use super::error::{self, Cause};

/// A body that is being read.
#[derive(Debug)]
pub(super) struct Collecting {
    body: Incoming,
    limit: usize,
    pieces: Pieces,
}

#[derive(Debug, Default)]
enum Pieces {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Collecting {
    /// Begins to read `body`, of which `limit` bytes are acceptable.
    ///
    /// # Errors
    /// `body_too_large` where the declared size is above the bound: nothing is read then.
    pub(super) fn new(body: Incoming, limit: usize) -> Result<Self, Cause> {
        let declared = body.size_hint().lower();
        if usize::try_from(declared).is_ok_and(|declared| declared <= limit) {
            return Ok(Self { body, limit, pieces: Pieces::None });
        }
        Err(too_large(format!("the response declares a body of {declared} bytes; at most {limit} are read")))
    }

    /// Reads on; ready with the whole body at its end. Trailers are left aside.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Cause>> {
        while let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            let frame = frame.map_err(|error| error::of_body(&error))?;
            let Ok(piece) = frame.into_data() else { continue };
            if piece.len() > self.limit - self.pieces.len() {
                let says =
                    format!("the response's body is larger than the {} bytes that are read", self.limit);
                return Poll::Ready(Err(too_large(says)));
            }
            let expected = usize::try_from(self.body.size_hint().lower()).unwrap_or_default();
            self.pieces.push(piece, expected);
        }
        Poll::Ready(Ok(std::mem::take(&mut self.pieces).join()))
    }
}

impl Pieces {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(piece) => piece.len(),
            Self::Many(joined) => joined.len(),
        }
    }

    /// Appends `piece`, with `expected` bytes known to follow it.
    fn push(&mut self, piece: Bytes, expected: usize) {
        match self {
            Self::None => *self = Self::One(piece),
            Self::One(first) => {
                let mut joined = BytesMut::with_capacity(first.len() + piece.len() + expected);
                joined.extend_from_slice(first);
                joined.extend_from_slice(&piece);
                *self = Self::Many(joined);
            }
            Self::Many(joined) => joined.extend_from_slice(&piece),
        }
    }

    fn join(self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::One(piece) => piece,
            Self::Many(joined) => joined.freeze(),
        }
    }
}

fn too_large(says: String) -> Cause {
    Cause { reason: Reason::BodyTooLarge, says, unsent: false }
}

#[cfg(test)]
mod tests {
    use causeway_actors::ports::{Exchange, WireRequest};
    use causeway_core::classify::Phase;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::testing::{broken, client, get, read_request, serve, soon};
    use super::*;

    #[test]
    fn one_piece_is_handed_on_as_it_is() {
        let piece = Bytes::from(vec![7; 100]);
        let mut pieces = Pieces::default();
        pieces.push(piece.clone(), 0);
        assert_eq!(pieces.join().as_ptr(), piece.as_ptr());
    }

    #[test]
    fn several_pieces_become_one_in_order() {
        let mut pieces = Pieces::default();
        for piece in ["ab", "cd", "ef"] {
            pieces.push(Bytes::from_static(piece.as_bytes()), 2);
        }
        assert_eq!(pieces.len(), 6);
        assert_eq!(pieces.join(), "abcdef");
        assert_eq!(Pieces::default().join(), "");
    }

    /// What becomes of this response where at most ten bytes are read.
    async fn read(response: &'static [u8]) -> Exchange {
        let address = serve(move |mut stream| async move {
            read_request(&mut stream).await;
            stream.write_all(response).await.unwrap();
            stream.shutdown().await.unwrap();
            let _ = stream.read(&mut [0; 1]).await;
        })
        .await;
        soon(client().send(WireRequest { max_body: 10, ..get(format!("http://{address}/")) })).await
    }

    #[tokio::test]
    async fn a_body_up_to_the_bound_is_whole_however_it_is_framed() {
        let responses: [&[u8]; 3] = [
            b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n0123456789",
        ];
        for response in responses {
            assert_eq!(read(response).await.result.unwrap().body, "0123456789");
        }
    }

    #[tokio::test]
    async fn a_body_above_the_bound_is_refused_declared_or_not() {
        let responses: [(&[u8], &str); 3] = [
            (b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n", "declares a body of 11 bytes"),
            (
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\n012345\r\n5\r\n67890\r\n",
                "larger than the 10 bytes",
            ),
            (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n01234567890", "larger than the 10 bytes"),
        ];
        for (response, said) in responses {
            let exchange = read(response).await;
            assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::BodyTooLarge, Phase::Sent));
            assert_eq!(broken(&exchange).status, Some(200));
            assert!(broken(&exchange).message.contains(said), "{}", broken(&exchange).message);
        }
    }

    #[tokio::test]
    async fn a_body_that_ends_early_is_a_reset() {
        let responses: [&[u8]; 2] = [
            b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01234\r\n",
        ];
        for response in responses {
            let exchange = read(response).await;
            assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::Reset, Phase::Sent));
            assert_eq!(broken(&exchange).status, Some(200));
        }
    }
}
