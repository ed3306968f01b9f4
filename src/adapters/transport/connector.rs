//! How a connection is made: name, TCP, TLS, each timed.
//!
//! hyper's client calls the [`Connector`] when its pool has no idle connection. The time a *request* may wait for it
//! is bounded by the flight, which knows the request's own connect timeout and drops the dial when that is up; hyper
//! keeps a dial going in the background only when another connection became free meanwhile, and such a dial is
//! bounded here, by [`CEILING`].
//!
//! Addresses are tried in the resolver's order. The next one starts when one has failed, or when it has kept us
//! waiting for [`HEAD_START`] (RFC 8305): a network whose IPv6 leads nowhere must not use up the connect timeout.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use causeway_actors::clock::Clock;
use causeway_core::failure::Reason;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Uri;
use hyper_util::rt::TokioIo;
use metrics::Gauge;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::counted::{Counted, Making, Socket, Wire};
use super::tls;

/// The longest any dial may take, even one that no request waits for any more.
const CEILING: Duration = Duration::from_secs(60);
/// How many addresses of a name are tried.
const MAX_ADDRESSES: usize = 8;
/// How long one address may keep the next one waiting (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Why there is no connection. Nothing of a request has been sent.
#[derive(Debug, thiserror::Error)]
#[error("{says}")]
pub(super) struct ConnectError {
    pub(super) reason: Reason,
    /// What the system said; the other end is added by who reports it.
    pub(super) says: String,
}

impl ConnectError {
    fn new(reason: Reason, says: impl fmt::Display) -> Self {
        Self { reason, says: says.to_string() }
    }
}

/// The other end, as a URI names it; shown as `host:port`, which is all of a URI that may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer<'a> {
    host: &'a str,
    port: u16,
    secure: bool,
}

impl<'a> Peer<'a> {
    /// Reads the other end off an absolute `http` or `https` URI.
    pub(super) fn of(uri: &'a Uri) -> Option<Self> {
        let secure = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = uri.host()?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Some(Self { host, port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }), secure })
    }
}

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Makes connections for hyper's client.
#[derive(Clone)]
pub(super) struct Connector {
    tls: TlsConnector,
    clock: Clock,
    connections: Gauge,
}

impl Connector {
    pub(super) fn new(tls: Arc<ClientConfig>, clock: Clock, connections: Gauge) -> Self {
        Self { tls: TlsConnector::from(tls), clock, connections }
    }

    async fn dial(self, uri: Uri) -> Result<TokioIo<Counted>, ConnectError> {
        let peer = Peer::of(&uri)
            .ok_or_else(|| ConnectError::new(Reason::Connect, "only http:// and https:// are spoken"))?;
        match tokio::time::timeout(CEILING, self.make(peer)).await {
            Ok(made) => made.map(TokioIo::new),
            Err(_elapsed) => Err(ConnectError::new(
                Reason::ConnectTimeout,
                format_args!("no connection within {CEILING:?}"),
            )),
        }
    }

    async fn make(&self, peer: Peer<'_>) -> Result<Counted, ConnectError> {
        let mut making = Making::default();
        let addresses = self.resolve(peer, &mut making).await?;
        permit(peer, &addresses)?;
        let started = self.clock.mono();
        let stream = reach(&addresses).await.map_err(|error| ConnectError::new(refusal(&error), error))?;
        // Requests are written whole: waiting for more to send with them only costs time.
        stream.set_nodelay(true).map_err(|error| ConnectError::new(Reason::Connect, error))?;
        making.connect = Some(self.clock.mono().since(started));
        let socket = if peer.secure {
            Socket::Tls(Box::new(self.secure(peer, stream, &mut making).await?))
        } else {
            Socket::Plain(stream)
        };
        let wire = Arc::new(Wire::new(making, self.clock.mono()));
        Ok(Counted::new(socket, wire, self.connections.clone()))
    }

    async fn resolve(&self, peer: Peer<'_>, making: &mut Making) -> Result<Vec<SocketAddr>, ConnectError> {
        if let Ok(ip) = peer.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, peer.port)]);
        }
        let started = self.clock.mono();
        let found = tokio::net::lookup_host((peer.host, peer.port)).await;
        making.dns = Some(self.clock.mono().since(started));
        let addresses: Vec<_> =
            found.map_err(|error| ConnectError::new(Reason::Dns, error))?.take(MAX_ADDRESSES).collect();
        if addresses.is_empty() {
            return Err(ConnectError::new(Reason::Dns, "the name has no address"));
        }
        Ok(addresses)
    }

    async fn secure(
        &self,
        peer: Peer<'_>,
        stream: TcpStream,
        making: &mut Making,
    ) -> Result<TlsStream<TcpStream>, ConnectError> {
        let name = ServerName::try_from(peer.host.to_owned()).map_err(|_| {
            ConnectError::new(Reason::Tls, "the host is not a name that a certificate can carry")
        })?;
        let started = self.clock.mono();
        let secured = self.tls.connect(name, stream).await;
        making.tls = Some(self.clock.mono().since(started));
        secured.map_err(|error| {
            let reason = tls::reason(&error).unwrap_or(Reason::Tls);
            ConnectError::new(reason, format_args!("the TLS handshake failed: {error}"))
        })
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Counted>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().dial(uri))
    }
}

/// Plain HTTP carries credentials in the clear, so it stays on this host. The settings refuse other hosts by name;
/// what a name resolves to is known only here.
fn permit(peer: Peer<'_>, addresses: &[SocketAddr]) -> Result<(), ConnectError> {
    let stranger = addresses.iter().find(|address| !address.ip().to_canonical().is_loopback());
    match stranger {
        Some(address) if !peer.secure => Err(ConnectError::new(
            Reason::Connect,
            format_args!("plain http:// is for loopback only, and this is {}: use https://", address.ip()),
        )),
        _ => Ok(()),
    }
}

fn refusal(error: &io::Error) -> Reason {
    if error.kind() == io::ErrorKind::ConnectionRefused { Reason::Refused } else { Reason::Connect }
}

/// Connects to the first address that answers; the last failure if none does.
async fn reach(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter().copied();
    let mut attempts: FuturesUnordered<_> = waiting.next().map(TcpStream::connect).into_iter().collect();
    let mut failure = io::Error::new(io::ErrorKind::AddrNotAvailable, "no address to connect to");
    loop {
        tokio::select! {
            biased;
            attempt = attempts.next() => match attempt {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => failure = error,
                None => return Err(failure),
            },
            () = tokio::time::sleep(HEAD_START), if waiting.len() > 0 => {}
        }
        attempts.extend(waiting.next().map(TcpStream::connect));
    }
}

#[cfg(test)]
mod tests {
    use causeway_core::bulkhead::PoolSpec;
    use causeway_core::classify::Phase;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::sync::mpsc;

    use super::super::testing::{Authority, broken, client, get, open, poll_once, serve, soon};
    use super::*;

    fn peer(uri: &'static str) -> Option<String> {
        Peer::of(&Uri::from_static(uri)).map(|peer| peer.to_string())
    }

    /// An address on which nobody listens.
    async fn dead() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    /// An address that answers nothing: its backlog is full, so the system drops what comes.
    async fn silent() -> (SocketAddr, Vec<TcpStream>, TcpListener) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut filling = Vec::new();
        let full = Duration::from_millis(300);
        while let Ok(stream) = tokio::time::timeout(full, TcpStream::connect(address)).await {
            filling.push(stream.unwrap());
        }
        (address, filling, listener)
    }

    #[test]
    fn of_a_uri_only_the_host_and_the_port_are_shown() {
        let shown = peer("https://user:password@api.example.com/charges/4711?key=hidden");
        assert_eq!(shown.as_deref(), Some("api.example.com:443"));
        assert_eq!(peer("http://[::1]:8080/").as_deref(), Some("[::1]:8080"));
        assert_eq!(peer("http://localhost").as_deref(), Some("localhost:80"));
        assert_eq!(peer("ftp://localhost"), None);
        assert_eq!(peer("/charges"), None);
    }

    #[test]
    fn plain_http_stays_on_this_host() {
        let plain = Uri::from_static("http://localhost/");
        let secure = Uri::from_static("https://localhost/");
        let address = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 80);
        for near in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert!(permit(Peer::of(&plain).unwrap(), &[address(near)]).is_ok(), "{near}");
        }
        for far in ["10.0.0.1", "93.184.216.34", "::ffff:10.0.0.1", "2001:db8::1", "0.0.0.0"] {
            let addresses = [address("127.0.0.1"), address(far)];
            let error = permit(Peer::of(&plain).unwrap(), &addresses).unwrap_err();
            assert_eq!(error.reason, Reason::Connect, "{far}");
            assert!(permit(Peer::of(&secure).unwrap(), &addresses).is_ok(), "{far}");
        }
    }

    #[tokio::test]
    async fn plain_http_to_another_host_is_refused_before_a_connection_is_made() {
        let exchange = soon(client().send(get("http://192.0.2.1/"))).await;
        assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::Connect, Phase::NotSent));
        assert!(broken(&exchange).message.contains("use https://"), "{}", broken(&exchange).message);
    }

    #[tokio::test]
    async fn a_refused_connection_is_not_sent() {
        let address = dead().await;
        let exchange = soon(client().send(get(format!("http://{address}/secret?key=hidden")))).await;
        assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::Refused, Phase::NotSent));
        let message = &broken(&exchange).message;
        assert!(message.starts_with(&format!("connecting to {address}: ")), "{message}");
        assert!(!message.contains("secret") && !message.contains("hidden"), "{message}");
        assert_eq!(exchange.timings.first_byte, None);
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_not_sent() {
        let exchange = soon(client().send(get("http://nowhere.invalid/"))).await;
        assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::Dns, Phase::NotSent));
    }

    #[tokio::test]
    async fn a_scheme_that_is_not_spoken_is_not_sent() {
        let exchange = soon(client().send(get("ftp://localhost/"))).await;
        assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::Connect, Phase::NotSent));
        let exchange = soon(client().send(get("/relative"))).await;
        assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::Protocol, Phase::NotSent));
    }

    #[tokio::test]
    async fn a_connection_that_is_not_accepted_times_out_unsent() {
        let (address, _filling, _listener) = silent().await;
        let mut request = get(format!("http://{address}/"));
        request.timeouts.connect = Duration::from_millis(50);
        let exchange = soon(client().send(request)).await;
        assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::ConnectTimeout, Phase::NotSent));
        assert!(broken(&exchange).message.ends_with("no connection within 50ms"));
        assert!(exchange.timings.total >= Duration::from_millis(50));
    }

    #[tokio::test]
    async fn a_tls_handshake_that_is_not_answered_times_out_unsent() {
        let (kept, mut accepted) = mpsc::unbounded_channel();
        let address = serve(move |stream| {
            kept.send(stream).unwrap();
            async {}
        })
        .await;
        let client = open(Authority::new().trusted(), PoolSpec::default());
        let mut request = get(format!("https://{address}/"));
        request.timeouts.connect = Duration::from_millis(100);
        let exchange = soon(client.send(request)).await;
        assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::ConnectTimeout, Phase::NotSent));
        // The dial is given up with the request: nothing but the handshake's first message ever arrives.
        let mut received = Vec::new();
        soon(accepted.recv().await.unwrap().read_to_end(&mut received)).await.unwrap();
        assert_eq!(received[0], 22, "a TLS handshake record");
    }

    #[tokio::test]
    async fn a_flight_dropped_before_it_is_connected_sends_nothing() {
        let (seen, mut connections) = mpsc::unbounded_channel();
        let address = serve(move |mut stream| {
            let seen = seen.clone();
            async move {
                let mut received = Vec::new();
                stream.read_to_end(&mut received).await.unwrap();
                seen.send(received).unwrap();
            }
        })
        .await;
        let mut flight = client().send(get(format!("http://{address}/")));
        assert!(poll_once(&mut flight).await.is_pending());
        assert_eq!(flight.phase(), Phase::NotSent);
        drop(flight);
        assert_eq!(soon(connections.recv()).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn the_whole_timeout_holds_while_connecting_too() {
        let (address, _filling, _listener) = silent().await;
        let mut request = get(format!("http://{address}/"));
        request.timeouts.total = Duration::from_millis(50);
        let exchange = soon(client().send(request)).await;
        assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::TotalTimeout, Phase::NotSent));
    }

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_fails_and_when_one_is_silent() {
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = live.local_addr().map(|address| (address, live)).unwrap();
        let reached = soon(reach(&[dead().await, dead().await, live.0])).await.unwrap();
        assert_eq!(reached.peer_addr().unwrap(), live.0);
        let (silent, _filling, _listener) = silent().await;
        let reached = soon(reach(&[silent, live.0])).await.unwrap();
        assert_eq!(reached.peer_addr().unwrap(), live.0);
        let error = soon(reach(&[dead().await, dead().await])).await.unwrap_err();
        assert_eq!(refusal(&error), Reason::Refused);
        assert!(soon(reach(&[])).await.is_err());
    }
}
