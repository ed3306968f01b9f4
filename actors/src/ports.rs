//! What the actors ask of the outside world, as traits the server implements.
//!
//! [`Transport`] opens one [`Client`] per integration; a client sends one request and gives a [`Flight`] back: a
//! future of the [`Exchange`] that can be asked, at any moment, whether the request has left. A [`CredentialSource`]
//! reads an integration's credential again when the provider refuses the one in use. A [`Ledger`] writes down what of limits
//! outlives the process.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causeway_core::bulkhead::PoolSpec;
use causeway_core::classify::Phase;
use causeway_core::endpoint::Timeouts;
use causeway_core::failure::Reason;
use causeway_core::limits::Record;
use causeway_core::name::IntegrationName;
use http::{HeaderMap, Method, StatusCode, Uri};
use metrics::Gauge;
use secrecy::{ExposeSecret, SecretSlice};
use tokio::sync::oneshot;

use crate::plan::Auth;

/// Writes down what of limits outlives the process.
pub trait Ledger: Send + Sync + 'static {
    /// Has records written down, in the order in which they come. What is told: whether they are on disk. Those that are not
    /// may be later, unless newer ones have come.
    fn keep(&self, records: Vec<Record>) -> oneshot::Receiver<bool>;
}

/// Makes the HTTP client of an integration.
pub trait Transport: Send + Sync + 'static {
    /// Opens a client on the calling thread: its connections and their drivers live there too. `connections` counts
    /// those that stand: each adds one as it is made and takes it back as it closes.
    fn open(&self, target: &Target, connections: &Gauge) -> Rc<dyn Client>;
}

/// Where a client connects to, and with which pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Whose client it is.
    pub integration: IntegrationName,
    /// Its connections.
    pub pool: PoolSpec,
    /// Whom it trusts, and what it shows.
    pub tls: Arc<TlsSpec>,
}

/// Whom TLS trusts and what it shows of ourselves. The default: the system's authorities, TLS 1.2 and later.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsSpec {
    /// Certificates of the only authorities trusted, as DER; `None` for the system's.
    pub authorities: Option<Vec<Bytes>>,
    /// SHA-256 of the public keys (SPKI) of which the server's certificate must have one; none for any.
    pub pins: Vec<[u8; 32]>,
    /// What we prove ourselves with.
    pub identity: Option<Arc<Identity>>,
    /// The lowest version spoken.
    pub min_version: TlsVersion,
}

/// Our own certificate and its key.
#[derive(Debug)]
pub struct Identity {
    /// The certificate and those between it and its authority, as DER.
    pub chain: Vec<Bytes>,
    /// The private key, as DER (PKCS #8, PKCS #1 or SEC 1).
    pub key: SecretSlice<u8>,
}

/// Whether it is the same key of the same certificate.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain && self.key.expose_secret() == other.key.expose_secret()
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2 (RFC 5246).
    #[default]
    V1_2,
    /// 1.3 (RFC 8446).
    V1_3,
}

/// One integration's HTTP client, with its own connections.
pub trait Client: 'static {
    /// Sends one request, once: no retry, no redirect is followed. Dropping the flight closes its connection.
    fn send(&self, request: WireRequest) -> Pin<Box<dyn Flight>>;
}

/// A request on its way.
pub trait Flight: Future<Output = Exchange> {
    /// Whether a byte of the request may have reached the socket. Once `Sent`, always `Sent`.
    fn phase(&self) -> Phase;
}

/// One request, complete with credentials.
pub struct WireRequest {
    /// The method.
    pub method: Method,
    /// Absolute; `http` only for loopback hosts, which the settings have checked.
    pub uri: Uri,
    /// All headers but `Host` and `Content-Length`.
    pub headers: HeaderMap,
    /// The body's bytes; empty for none.
    pub body: Bytes,
    /// How long each part may take.
    pub timeouts: Timeouts,
    /// The largest response body that is read, in bytes.
    pub max_body: usize,
    /// Which connections may carry it.
    pub carrier: Carrier,
}

/// Which connections may carry a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    /// Any that is open.
    #[default]
    Any,
    /// One that was in use a moment ago, or a new one: it must not be closed by the provider as the request arrives.
    Recent,
    /// A new one, for this request alone.
    New,
}

/// What came of one request.
#[derive(Debug)]
pub struct Exchange {
    /// The whole response, or how it broke.
    pub result: Result<WireResponse, Broken>,
    /// Whether the provider can have seen the request.
    pub phase: Phase,
    /// Whether the connection had served before.
    pub reused: bool,
    /// How long the parts took.
    pub timings: Timings,
}

/// A whole response.
#[derive(Debug)]
pub struct WireResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body, as received.
    pub body: Bytes,
}

/// How an exchange broke before its response was whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Where it broke.
    pub reason: Reason,
    /// For people: what was attempted and what the system said. Carries no credential and no payload.
    pub message: String,
    /// The status, where the head had arrived.
    pub status: Option<u16>,
    /// The headers, where the head had arrived: a provider's Retry-After counts though its body is cut short.
    pub headers: HeaderMap,
}

/// How long the parts of an exchange took; `None` for a part that did not happen (a reused connection has no `dns`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Resolving the name.
    pub dns: Option<Duration>,
    /// Connecting TCP.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From the request being handed to a connection to the response's head.
    pub first_byte: Option<Duration>,
    /// From the response's head to the body's end.
    pub body: Option<Duration>,
    /// The whole.
    pub total: Duration,
}

/// Reads an integration's credential where the configuration says it is.
pub trait CredentialSource: Send + Sync + 'static {
    /// What stands there now; or why nothing usable does, without any of it.
    fn read(&self) -> Pin<Box<dyn Future<Output = Result<Auth, String>> + Send>>;
}
