//! When a connection is too old to be used again.
//!
//! A provider closes what has been idle for too long, and says so where it is kind: `Keep-Alive: timeout=5`
//! (RFC 2068, section 19.7.1.1; many servers send it still). A request on its way to a connection that is being
//! closed breaks, and one that may act is in doubt then, though nobody has done anything wrong. So a connection whose
//! provider has named its patience is not used again once that, less a [`MARGIN`], is over.
//!
//! hyper's pool knows one idle time for all connections, but drops those that are *poisoned*. [`Expiring`] lists the
//! connections that have such a word, and before each request poisons those whose time is up. Providers that say
//! nothing cost nothing.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use causeway_core::time::Mono;
use http::{HeaderMap, HeaderName};
use hyper_util::client::legacy::connect::CaptureConnection;

use super::counted::Wire;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// How much sooner than the provider we let go: its clock began when its answer left, and our next request must be
/// there before it rings.
const MARGIN: Duration = Duration::from_secs(1);

/// How long an HTTP/1 connection may be idle after this response, if the provider says so.
pub(super) fn patience(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(KEEP_ALIVE).iter().filter_map(|value| value.to_str().ok());
    let timeouts = values.flat_map(|value| value.split(',')).filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let seconds = value.trim().trim_matches('"').parse::<u32>().ok()?;
        name.trim().eq_ignore_ascii_case("timeout").then_some(Duration::from_secs(u64::from(seconds)))
    });
    timeouts.min().map(|timeout| timeout.saturating_sub(MARGIN))
}

/// The open connections whose provider has named its patience.
#[derive(Default)]
pub(super) struct Expiring {
    connections: RefCell<Vec<(CaptureConnection, Arc<Wire>)>>,
    /// When the first of them is too old, at the earliest.
    first: Cell<Option<Mono>>,
}

impl Expiring {
    /// The connection that `capture` shows serves until `until` from now on.
    pub(super) fn note(&self, capture: &CaptureConnection, wire: &Arc<Wire>, until: Mono) {
        if wire.expire_at(until) {
            self.connections.borrow_mut().push((capture.clone(), Arc::clone(wire)));
        }
        let first = self.first.get().map_or(until, |first| first.min(until));
        self.first.set(Some(first));
    }

    /// Takes what is too old out of the pool's reach.
    pub(super) fn expire(&self, now: Mono) {
        if self.first.get().is_none_or(|first| now < first) {
            return;
        }
        let mut connections = self.connections.borrow_mut();
        connections.retain(|(capture, wire)| {
            let serves = wire.serves_at(now);
            if !serves && let Some(connected) = capture.connection_metadata().as_ref() {
                connected.poison();
            }
            serves && wire.is_open()
        });
        self.first.set(connections.iter().filter_map(|(_, wire)| wire.expires_at()).min());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::HeaderValue;
    use tokio::io::AsyncWriteExt;

    use super::super::testing::{client, get, read_request, serve, soon};
    use super::*;

    #[test]
    fn the_providers_patience_is_read_less_a_margin() {
        for (value, seconds) in [
            ("timeout=5", Some(4)),
            ("timeout=5, max=100", Some(4)),
            ("max=100,Timeout = \"15\"", Some(14)),
            ("timeout=1", Some(0)),
            ("timeout=0", Some(0)),
            ("timeout=9, timeout=3", Some(2)),
            ("max=100", None),
            ("timeout=soon", None),
            ("timeout=-1", None),
            ("timeout=99999999999999999999", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(KEEP_ALIVE, HeaderValue::from_static(value))]);
            assert_eq!(patience(&headers), seconds.map(Duration::from_secs), "{value}");
        }
        assert_eq!(patience(&HeaderMap::new()), None);
    }

    /// How many connections three requests take, one after the other with a pause between, of a provider that sends
    /// this header.
    async fn connections(header: &'static str, pause: Duration) -> usize {
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let address = serve(move |mut stream| {
            counter.fetch_add(1, Ordering::Relaxed);
            async move {
                while read_request(&mut stream).await.is_some() {
                    let answer = format!("HTTP/1.1 200 OK\r\n{header}content-length: 2\r\n\r\nok");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        })
        .await;
        let (client, uri) = (client(), format!("http://{address}/"));
        for _ in 0..3 {
            soon(client.send(get(&uri))).await.result.unwrap();
            tokio::time::sleep(pause).await;
        }
        connections.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn a_connection_is_not_used_beyond_its_providers_patience() {
        let (short, long) = (Duration::from_millis(50), Duration::from_millis(1100));
        assert_eq!(connections("", short).await, 1);
        assert_eq!(connections("keep-alive: timeout=60\r\n", short).await, 1);
        assert_eq!(connections("keep-alive: timeout=1\r\n", short).await, 3, "no time is left of it");
        assert_eq!(connections("keep-alive: timeout=2\r\n", short).await, 1);
        assert_eq!(connections("keep-alive: timeout=2\r\n", long).await, 3);
    }
}
