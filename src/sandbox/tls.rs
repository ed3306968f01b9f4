//! TLS with a private authority: what a provider inside a company's own network looks like.
//!
//! The authority and the certificate are made anew at every start and live in memory only. A client trusts the sandbox by
//! trusting the authority's certificate, which is handed out as PEM; the keys are never shown.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What a sandbox shows its clients, and what they have to trust for it.
pub(super) struct Identity {
    acceptor: TlsAcceptor,
    /// The authority's certificate as PEM.
    pub(super) authority: String,
}

impl Identity {
    /// A certificate for `localhost` and loopback, and for the address that is listened on, of an authority of its own.
    ///
    /// # Errors
    /// When no key or certificate can be made.
    pub(super) fn new(listen: IpAddr) -> io::Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name.push(DnType::CommonName, "causeway sandbox authority");
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let authority = params.self_signed(&key).map_err(io::Error::other)?;
        let issuer = Issuer::new(params, key);

        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
        let own = SanType::IpAddress(listen);
        if !listen.is_unspecified() && !params.subject_alt_names.contains(&own) {
            params.subject_alt_names.push(own);
        }
        params.distinguished_name.push(DnType::CommonName, "causeway sandbox");
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.signed_by(&key, &issuer).map_err(io::Error::other)?;

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), authority: authority.pem() })
    }

    /// The handshake, as the server.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }
}

/// Secures a connection; `None` if its client does not want it, or not in time.
pub(super) async fn secured(acceptor: TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    let secured = timeout(HANDSHAKE, acceptor.accept(stream)).await;
    match secured {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a client's TLS handshake with the sandbox failed");
            None
        }
        Err(_elapsed) => None,
    }
}
