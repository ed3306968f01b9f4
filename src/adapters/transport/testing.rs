//! What the transport's tests share: clients, requests, and servers written by hand, byte by byte where it matters.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use causeway_actors::ports::{
    Broken, Carrier, Client, Exchange, Flight, Identity, Target, TlsSpec, Transport, WireRequest,
};
use causeway_core::bulkhead::PoolSpec;
use causeway_core::endpoint::Timeouts;
use causeway_core::name::IntegrationName;
use http::{HeaderMap, Method};
use metrics::Gauge;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS12;
use rustls::{
    ALL_VERSIONS, ConfigBuilder, RootCertStore, ServerConfig, SupportedProtocolVersion, WantsVerifier,
};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::HttpTransport;

/// Long enough for anything that is expected to happen; a test that waits so long has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A whole response with a body of two bytes.
pub(super) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A client that trusts nobody, for plain HTTP.
pub(super) fn client() -> Rc<dyn Client> {
    open(RootCertStore::empty(), PoolSpec::default())
}

/// A client that trusts these authorities, with this pool.
pub(super) fn open(trusted: RootCertStore, pool: PoolSpec) -> Rc<dyn Client> {
    open_with(trusted, TlsSpec::default(), pool)
}

/// A client that trusts these authorities where `tls` names none.
pub(super) fn open_with(trusted: RootCertStore, tls: TlsSpec, pool: PoolSpec) -> Rc<dyn Client> {
    let integration = IntegrationName::new("provider").unwrap();
    let target = Target { integration, pool, tls: Arc::new(tls) };
    HttpTransport::new(Arc::new(trusted)).unwrap().open(&target, &Gauge::noop())
}

/// A client for which connections are recent for so long.
pub(super) fn open_recent(recent: Duration) -> Rc<dyn Client> {
    let integration = IntegrationName::new("provider").unwrap();
    let target = Target { integration, pool: PoolSpec::default(), tls: Arc::default() };
    let transport = HttpTransport::new(Arc::new(RootCertStore::empty())).unwrap();
    HttpTransport { recent, ..transport }.open(&target, &Gauge::noop())
}

/// A GET with every timeout far off.
pub(super) fn get(uri: impl AsRef<str>) -> WireRequest {
    let timeouts = Timeouts { connect: PATIENCE, first_byte: PATIENCE, body: PATIENCE, total: PATIENCE };
    WireRequest {
        method: Method::GET,
        uri: uri.as_ref().parse().unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeouts,
        max_body: 1 << 20,
        carrier: Carrier::Any,
    }
}

/// A POST of `body` with every timeout far off.
pub(super) fn post(uri: impl AsRef<str>, body: &'static str) -> WireRequest {
    WireRequest { method: Method::POST, body: Bytes::from_static(body.as_bytes()), ..get(uri) }
}

/// How an exchange broke that must have.
pub(super) fn broken(exchange: &Exchange) -> &Broken {
    exchange.result.as_ref().expect_err("the exchange should have broken")
}

/// Polls a flight once, without waiting.
pub(super) async fn poll_once(flight: &mut Pin<Box<dyn Flight>>) -> Poll<Exchange> {
    poll_fn(|cx| Poll::Ready(flight.as_mut().poll(cx))).await
}

/// Flies until `signal` is ready, which must come before the exchange ends.
pub(super) async fn fly_until<T>(flight: &mut Pin<Box<dyn Flight>>, signal: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        exchange = flight => panic!("the exchange ended early: {exchange:?}"),
        value = signal => value,
        () = tokio::time::sleep(PATIENCE) => panic!("the signal never came"),
    }
}

/// Fails instead of waiting for ever.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("this should have happened by now")
}

/// A server that handles each connection by `handler`.
pub(super) async fn serve<F, R>(handler: F) -> SocketAddr
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(handler(stream));
        }
    });
    address
}

/// A server that handles each connection by `handler` once its TLS handshake is done; failed ones are dropped.
pub(super) async fn serve_tls<F, R>(config: ServerConfig, handler: F) -> SocketAddr
where
    F: Fn(TlsStream<TcpStream>) -> R + Clone + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let acceptor = TlsAcceptor::from(Arc::new(config));
    serve(move |stream| {
        let (acceptor, handler) = (acceptor.clone(), handler.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                handler(stream).await;
            }
        }
    })
    .await
}

/// Reads one HTTP/1.1 request with its body; `None` if the connection ends before it does.
pub(super) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut text = String::new();
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text);
            }
        }
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => text.push_str(std::str::from_utf8(&buffer[..read]).unwrap()),
        }
    }
}

/// A private certificate authority.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        // Two authorities of one name would be taken for one with a bad signature.
        params
            .distinguished_name
            .push(DnType::CommonName, format!("authority {:?}", &key.public_key_raw()[..8]));
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// This authority alone.
    pub(super) fn trusted(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }

    /// The authority's own certificate.
    pub(super) fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// A server's configuration with a certificate for `name`, speaking `alpn`.
    pub(super) fn server(&self, name: &str, alpn: &[&[u8]]) -> ServerConfig {
        self.server_until(name, alpn, 2099)
    }

    /// The same, with a certificate that expires with the beginning of `year`.
    pub(super) fn server_until(&self, name: &str, alpn: &[&[u8]], year: i32) -> ServerConfig {
        let (chain, key) = self.issue(name, year);
        let mut config = server(ALL_VERSIONS).with_no_client_auth().with_single_cert(chain, key).unwrap();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }

    /// A server, and the pin of its key.
    pub(super) fn pinned_server(&self, name: &str) -> (ServerConfig, [u8; 32]) {
        let (chain, key) = self.issue(name, 2099);
        let leaf = webpki::EndEntityCert::try_from(&chain[0]).unwrap();
        let pin = Sha256::digest(leaf.subject_public_key_info()).into();
        (server(ALL_VERSIONS).with_no_client_auth().with_single_cert(chain, key).unwrap(), pin)
    }

    /// A server that speaks TLS 1.2 at most.
    pub(super) fn old_server(&self, name: &str) -> ServerConfig {
        let (chain, key) = self.issue(name, 2099);
        server(&[&TLS12]).with_no_client_auth().with_single_cert(chain, key).unwrap()
    }

    /// A server that asks for a certificate of `clients`.
    pub(super) fn asking_server(&self, name: &str, clients: &Self) -> ServerConfig {
        let (chain, key) = self.issue(name, 2099);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = Arc::new(clients.trusted());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap();
        server(ALL_VERSIONS).with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap()
    }

    /// A certificate of this authority with its key.
    pub(super) fn identity(&self) -> Identity {
        let (chain, key) = self.issue("client", 2099);
        let chain = chain.iter().map(|der| Bytes::copy_from_slice(der)).collect();
        Identity { chain, key: key.secret_der().to_vec().into() }
    }

    fn issue(&self, name: &str, year: i32) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        (vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }
}

fn server(versions: &[&'static SupportedProtocolVersion]) -> ConfigBuilder<ServerConfig, WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap()
}
