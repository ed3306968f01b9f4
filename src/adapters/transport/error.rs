//! hyper's errors, read for two things: where the exchange broke, and whether the request is known not to have left.
//!
//! hyper wraps: its client's error holds a `hyper::Error`, which holds one of `h2`, of the operating system, of TLS,
//! or the connector's own. The chain is walked outside in, and what lies deepest knows best.
//!
//! Three things prove that a request was never begun, whatever the byte counter says of a shared connection:
//!
//! - hyper gives the request back (`is_canceled`): its connection ended before it took the request up;
//! - the provider reset the stream with REFUSED_STREAM (RFC 9113, section 8.7);
//! - the provider's GOAWAY names a last stream below the request's: `h2` fails exactly those streams with it, and
//!   requests that come after it, while the earlier ones go on and end with an I/O error if the connection is closed
//!   on them.

use std::error::Error;
use std::io;
use std::iter;

use causeway_core::failure::Reason;
use hyper_util::client::legacy;

use super::connector::ConnectError;
use super::tls;

/// How deep a chain of causes is followed.
const MAX_CAUSES: usize = 8;

/// What an error comes down to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cause {
    /// Where the exchange broke.
    pub(super) reason: Reason,
    /// What the system said; names no more of the request than the host.
    pub(super) says: String,
    /// Whether the request is known never to have been begun.
    pub(super) unsent: bool,
}

/// Reads an error that came instead of a response's head.
pub(super) fn of_request(error: &legacy::Error) -> Cause {
    let mut cause = read(error);
    if error.source().is_none() {
        cause.reason = Reason::Protocol;
        cause.says = format!("the request cannot be sent: {error}");
    } else if error.is_connect() && !chain(error).any(|inner| inner.is::<ConnectError>()) {
        // The pool's own word: requests that wait for one HTTP/2 connection in the making share its fate.
        cause.reason = Reason::Connect;
        cause.says = "the connection it waited for could not be made".to_owned();
        cause.unsent = true;
    }
    cause
}

/// Reads an error that came instead of a part of a response's body.
pub(super) fn of_body(error: &hyper::Error) -> Cause {
    Cause { unsent: false, ..read(error) }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| error.source()).take(MAX_CAUSES)
}

fn read(error: &(dyn Error + 'static)) -> Cause {
    let mut cause = Cause {
        reason: Reason::Reset,
        says: "the connection was closed before the response was whole".to_owned(),
        unsent: false,
    };
    for inner in chain(error) {
        if let Some(refused) = inner.downcast_ref::<ConnectError>() {
            return Cause { reason: refused.reason, says: refused.says.clone(), unsent: true };
        } else if let Some(inner) = inner.downcast_ref::<hyper::Error>() {
            read_hyper(inner, &mut cause);
        } else if let Some(inner) = inner.downcast_ref::<h2::Error>() {
            read_h2(inner, &mut cause);
        } else if let Some(inner) = inner.downcast_ref::<io::Error>() {
            read_io(inner, &mut cause);
        }
    }
    cause
}

fn read_hyper(error: &hyper::Error, cause: &mut Cause) {
    if error.is_canceled() {
        cause.unsent = true;
        cause.says = "the connection was closed before it took the request".to_owned();
    } else if error.is_parse() {
        cause.reason = Reason::Protocol;
        cause.says = format!("the answer is not HTTP as it should be: {error}");
    } else if error.is_user() {
        cause.reason = Reason::Protocol;
        cause.says = format!("the request cannot be written: {error}");
    } else if error.is_timeout() {
        cause.says = "the connection stopped answering HTTP/2 pings".to_owned();
    }
}

/// The debug data of a GOAWAY is not repeated: a provider may put anything there.
fn read_h2(error: &h2::Error, cause: &mut Cause) {
    let Some(code) = error.reason() else {
        cause.reason = Reason::Protocol;
        cause.says = format!("the request cannot be written as HTTP/2: {error}");
        return;
    };
    let frame = if error.is_go_away() { "GOAWAY" } else { "RST_STREAM" };
    if error.is_remote() {
        cause.reason = Reason::Reset;
        cause.says = format!("the provider ended the stream ({frame}, {code:?})");
        cause.unsent = error.is_go_away() || code == h2::Reason::REFUSED_STREAM;
    } else {
        cause.reason = Reason::Protocol;
        cause.says = format!("the answer is not HTTP/2 as it should be ({code:?})");
    }
}

fn read_io(error: &io::Error, cause: &mut Cause) {
    let malformed = matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput);
    cause.reason = tls::reason(error).unwrap_or(if malformed { Reason::Protocol } else { Reason::Reset });
    cause.says = error.to_string();
}
