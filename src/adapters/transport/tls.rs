//! What TLS accepts and shows: 1.2 and later with `ring`, trusting the system's authorities, unless an integration
//! says otherwise.
//!
//! An integration may name its own authorities, which then are the only ones; pin public keys; show a certificate of
//! its own; and ask for 1.3. A pin is checked *after* the whole validation, never instead of it.
//!
//! The cryptography provider is named here rather than installed for the process, so nothing depends on the order of
//! start-up.

use std::fmt;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_actors::ports::{Identity, TlsSpec, TlsVersion};
use causeway_core::failure::Reason;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::VerifierBuilderError;
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme, SupportedProtocolVersion,
};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use webpki::EndEntityCert;

/// What is offered by ALPN where HTTP/2 is on.
const HTTP_2_OR_1: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// What is offered by ALPN where HTTP/2 is off.
const HTTP_1: [&[u8]; 1] = [b"http/1.1"];

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// The system has no authority to trust.
    #[error(
        "found no certificate authority to trust: install the system's root certificates (`ca-certificates`), \
         or point SSL_CERT_FILE to a bundle{}", loading(.0)
    )]
    NoRoots(Vec<rustls_native_certs::Error>),
    /// One of the integration's authorities is not usable as one.
    #[error("certificate no. {number} of the authorities is not usable as one: {source}")]
    Authority {
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The integration's authorities cannot be trusted.
    #[error("the authorities cannot be trusted: {0}")]
    Authorities(#[from] VerifierBuilderError),
    /// Our own certificate cannot be shown.
    #[error("our own certificate cannot be used: {0}; check that the key belongs to the certificate")]
    Identity(rustls::Error),
    /// Our own key is of no kind that is known.
    #[error("our own key cannot be used: write it as PKCS #8, PKCS #1 or SEC 1")]
    Key,
    /// The cryptography provider does not support the protocol versions asked for.
    #[error("TLS 1.2 and 1.3 are not available: {0}")]
    Versions(rustls::Error),
}

fn loading(errors: &[rustls_native_certs::Error]) -> String {
    errors.first().map(|error| format!(" (loading them failed: {error})")).unwrap_or_default()
}

/// The system's certificate authorities.
///
/// # Errors
/// [`TlsConfigError::NoRoots`].
pub fn system_authorities() -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    // A system's bundle may hold certificates too odd to parse: one of them must not cost us the others.
    let (_taken, ignored) = roots.add_parsable_certificates(native.certs);
    if ignored > 0 || !native.errors.is_empty() {
        tracing::warn!(ignored, errors = ?native.errors, "some of the system's root certificates are not usable");
    }
    if roots.is_empty() { Err(TlsConfigError::NoRoots(native.errors)) } else { Ok(roots) }
}

/// The configuration that does as an integration says; `system` are the authorities where it names none.
///
/// # Errors
/// [`TlsConfigError`], when its certificates or its key cannot be used.
pub fn config(system: &Arc<RootCertStore>, spec: &TlsSpec) -> Result<ClientConfig, TlsConfigError> {
    let provider = Arc::new(ring::default_provider());
    let versions: &[&SupportedProtocolVersion] = match spec.min_version {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(TlsConfigError::Versions)?;
    let roots = match &spec.authorities {
        None => Arc::clone(system),
        Some(authorities) => Arc::new(only(authorities.iter().map(|der| CertificateDer::from_slice(der)))?),
    };
    let builder = if spec.pins.is_empty() {
        builder.with_root_certificates(roots)
    } else {
        let verifier = Pinned::new(roots, provider, spec.pins.clone())?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
    };
    match &spec.identity {
        None => Ok(builder.with_no_client_auth()),
        Some(identity) => {
            let (chain, key) = shown(identity)?;
            builder.with_client_auth_cert(chain, key).map_err(TlsConfigError::Identity)
        }
    }
}

/// Whether what an integration says can be used at all; what the system trusts has no part in it.
///
/// # Errors
/// [`TlsConfigError`], when its certificates or its key cannot be used.
pub fn check(spec: &TlsSpec) -> Result<(), TlsConfigError> {
    let pins = if spec.authorities.is_some() { spec.pins.clone() } else { Vec::new() };
    config(&Arc::new(RootCertStore::empty()), &TlsSpec { pins, ..spec.clone() }).map(|_| ())
}

/// The same configuration, trusting nobody.
pub(super) fn trusting_nobody(config: &ClientConfig) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::clone(config.crypto_provider()))
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
        .unwrap_or_else(|_| config.clone())
}

fn only<'a>(authorities: impl Iterator<Item = CertificateDer<'a>>) -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for (index, authority) in authorities.enumerate() {
        roots
            .add(authority.into_owned())
            .map_err(|source| TlsConfigError::Authority { number: index + 1, source })?;
    }
    Ok(roots)
}

type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn shown(identity: &Identity) -> Result<Shown, TlsConfigError> {
    let chain = identity.chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    let key = PrivateKeyDer::try_from(identity.key.expose_secret()).map_err(|_| TlsConfigError::Key)?;
    Ok((chain, key.clone_key()))
}

/// The same configuration, offering HTTP/2 or not.
pub(super) fn offering(config: &ClientConfig, http2: bool) -> Arc<ClientConfig> {
    let offer: &[&[u8]] = if http2 { &HTTP_2_OR_1 } else { &HTTP_1 };
    let mut config = config.clone();
    config.alpn_protocols = offer.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

/// Validates as everyone does, and then asks for one of the pinned keys.
#[derive(Debug)]
struct Pinned {
    usual: Arc<WebPkiServerVerifier>,
    pins: Vec<[u8; 32]>,
}

/// The server's public key is none of those that are pinned.
#[derive(thiserror::Error)]
#[error("the public key sha256/{0} is none of the pinned ones (tls.pins)")]
struct NotPinned(String);

/// In words too, for rustls shows what others say only so.
impl fmt::Debug for NotPinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Pinned {
    fn new(
        roots: Arc<RootCertStore>,
        provider: Arc<CryptoProvider>,
        pins: Vec<[u8; 32]>,
    ) -> Result<Self, VerifierBuilderError> {
        Ok(Self { usual: WebPkiServerVerifier::builder_with_provider(roots, provider).build()?, pins })
    }

    fn check(&self, leaf: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let leaf = EndEntityCert::try_from(leaf).map_err(|_| CertificateError::BadEncoding)?;
        let key: [u8; 32] = Sha256::digest(leaf.subject_public_key_info()).into();
        if self.pins.contains(&key) {
            return Ok(());
        }
        let unknown = NotPinned(STANDARD.encode(key));
        Err(CertificateError::Other(OtherError(Arc::new(unknown))).into())
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        self.check(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// What a failure inside TLS says about the peer; `None` if TLS had no part in it.
pub(super) fn reason(error: &io::Error) -> Option<Reason> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let theirs =
        matches!(error, rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented);
    let ours = matches!(error, rustls::Error::AlertReceived(alert) if refuses_ours(*alert));
    Some(if theirs || ours { Reason::Certificate } else { Reason::Tls })
}

/// Whether the peer says that it does not accept our certificate, or that it misses one (RFC 8446, section 6.2).
fn refuses_ours(alert: AlertDescription) -> bool {
    [
        AlertDescription::NoCertificate,
        AlertDescription::BadCertificate,
        AlertDescription::UnsupportedCertificate,
        AlertDescription::CertificateRevoked,
        AlertDescription::CertificateExpired,
        AlertDescription::CertificateUnknown,
        AlertDescription::UnknownCA,
        AlertDescription::AccessDenied,
        AlertDescription::CertificateRequired,
    ]
    .contains(&alert)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use causeway_actors::ports::Exchange;
    use causeway_core::bulkhead::PoolSpec;
    use causeway_core::classify::Phase;
    use rustls::ServerConfig;
    use tokio::io::AsyncWriteExt;

    use super::super::testing::{
        Authority, OK, broken, get, open, open_with, read_request, serve, serve_tls, soon,
    };
    use super::*;

    /// Asks a server of this configuration, by the name `localhost`.
    async fn ask(trusted: RootCertStore, server: ServerConfig) -> Exchange {
        ask_with(trusted, TlsSpec::default(), server).await
    }

    async fn ask_with(trusted: RootCertStore, tls: TlsSpec, server: ServerConfig) -> Exchange {
        let address = serve_tls(server, |mut stream| async move {
            read_request(&mut stream).await;
            stream.write_all(OK).await.unwrap();
        })
        .await;
        let client = open_with(trusted, tls, PoolSpec::default());
        soon(client.send(get(format!("https://localhost:{}/", address.port())))).await
    }

    #[tokio::test]
    async fn a_certificate_of_a_trusted_authority_is_accepted() {
        let authority = Authority::new();
        let exchange = ask(authority.trusted(), authority.server("localhost", &[])).await;
        assert_eq!(exchange.result.unwrap().body, "ok");
        let timings = exchange.timings;
        assert!(timings.dns.is_some() && timings.connect.is_some() && timings.tls.is_some(), "{timings:?}");
        let making = timings.dns.unwrap() + timings.connect.unwrap() + timings.tls.unwrap();
        assert!(making + timings.first_byte.unwrap() + timings.body.unwrap() <= timings.total, "{timings:?}");
    }

    fn authorities(certificates: &[CertificateDer<'static>]) -> TlsSpec {
        let authorities = certificates.iter().map(|der| Bytes::copy_from_slice(der)).collect();
        TlsSpec { authorities: Some(authorities), ..TlsSpec::default() }
    }

    #[tokio::test]
    async fn an_integrations_own_authorities_are_the_only_ones_it_trusts() {
        let (own, system) = (Authority::new(), Authority::new());
        let tls = authorities(&[own.certificate()]);
        let exchange = ask_with(system.trusted(), tls.clone(), own.server("localhost", &[])).await;
        assert_eq!(exchange.result.unwrap().status, 200);
        let exchange = ask_with(system.trusted(), tls, system.server("localhost", &[])).await;
        assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::Certificate, Phase::NotSent));
    }

    #[tokio::test]
    async fn a_pin_is_asked_for_beside_the_validation_and_not_instead_of_it() {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let ask = async |server: (ServerConfig, [u8; 32]), pins: Vec<[u8; 32]>| {
            let tls = TlsSpec { pins, ..TlsSpec::default() };
            ask_with(authority.trusted(), tls, server.0).await
        };
        let server = authority.pinned_server("localhost");
        let pins = vec![[7; 32], server.1];
        assert_eq!(ask(server, pins).await.result.unwrap().status, 200);

        let exchange = ask(authority.pinned_server("localhost"), vec![[7; 32]]).await;
        assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::Certificate, Phase::NotSent));
        assert!(broken(&exchange).message.contains("none of the pinned ones"), "{exchange:?}");

        let forged = stranger.pinned_server("localhost");
        let pins = vec![forged.1];
        let exchange = ask(forged, pins).await;
        assert_eq!(broken(&exchange).reason, Reason::Certificate, "the right key of a stranger");
        assert!(broken(&exchange).message.contains("UnknownIssuer"), "{exchange:?}");
    }

    #[tokio::test]
    async fn a_server_below_the_lowest_version_is_refused_unsent() {
        let authority = Authority::new();
        for (min_version, accepted) in [(TlsVersion::V1_2, true), (TlsVersion::V1_3, false)] {
            let tls = TlsSpec { min_version, ..TlsSpec::default() };
            let exchange = ask_with(authority.trusted(), tls, authority.old_server("localhost")).await;
            assert_eq!(exchange.result.is_ok(), accepted, "{min_version:?}");
            if !accepted {
                assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::Tls, Phase::NotSent));
            }
        }
    }

    #[tokio::test]
    async fn our_own_certificate_is_shown_to_who_asks_and_its_refusal_is_a_certificates_failure() {
        let (authority, clients) = (Authority::new(), Authority::new());
        let ask = async |identity: Option<Identity>| {
            let tls = TlsSpec { identity: identity.map(Arc::new), ..TlsSpec::default() };
            ask_with(authority.trusted(), tls, authority.asking_server("localhost", &clients)).await
        };
        assert_eq!(ask(Some(clients.identity())).await.result.unwrap().status, 200);
        for refused in [None, Some(Authority::new().identity())] {
            let exchange = ask(refused).await;
            // With TLS 1.3 the refusal comes after our own handshake is done, and the request with it.
            assert_eq!(broken(&exchange).reason, Reason::Certificate, "{exchange:?}");
        }
    }

    #[tokio::test]
    async fn an_unknown_issuer_another_name_and_an_expired_certificate_are_refused_unsent() {
        let authority = Authority::new();
        let servers = [
            ("unknown issuer", Authority::new().server("localhost", &[]), "UnknownIssuer"),
            ("another name", authority.server("elsewhere.test", &[]), "elsewhere.test"),
            ("expired", authority.server_until("localhost", &[], 2001), "expired"),
        ];
        for (case, server, said) in servers {
            let exchange = ask(authority.trusted(), server).await;
            assert_eq!(
                (broken(&exchange).reason, exchange.phase),
                (Reason::Certificate, Phase::NotSent),
                "{case}"
            );
            assert!(broken(&exchange).message.contains(said), "{case}: {}", broken(&exchange).message);
        }
    }

    #[tokio::test]
    async fn a_peer_that_does_not_speak_tls_is_not_sent() {
        let address = serve(|mut stream| async move {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            read_request(&mut stream).await;
        })
        .await;
        let client = open(Authority::new().trusted(), PoolSpec::default());
        let exchange = soon(client.send(get(format!("https://{address}/")))).await;
        assert_eq!((broken(&exchange).reason, exchange.phase), (Reason::Tls, Phase::NotSent));
    }

    #[test]
    fn what_cannot_be_used_is_told_when_it_is_set_up() {
        let system = Arc::new(RootCertStore::empty());
        let made = |tls: TlsSpec| config(&system, &tls).map(|_| ()).unwrap_err();
        let error = made(authorities(&[Authority::new().certificate(), vec![1, 2, 3].into()]));
        assert!(matches!(error, TlsConfigError::Authority { number: 2, .. }), "{error}");
        let (one, other) = (Authority::new().identity(), Authority::new().identity());
        let mixed = Identity { chain: one.chain, key: other.key };
        let error = made(TlsSpec { identity: Some(Arc::new(mixed)), ..TlsSpec::default() });
        assert!(matches!(error, TlsConfigError::Identity(_)), "{error}");
        let garbage = Identity { chain: other.chain, key: vec![1, 2, 3].into() };
        let error = made(TlsSpec { identity: Some(Arc::new(garbage)), ..TlsSpec::default() });
        assert!(matches!(error, TlsConfigError::Key), "{error}");
    }

    #[tokio::test]
    async fn trusting_nobody_trusts_nobody() {
        let authority = Authority::new();
        let plain = config(&Arc::new(authority.trusted()), &TlsSpec::default()).unwrap();
        assert!(trusting_nobody(&plain).alpn_protocols.is_empty());
    }

    #[test]
    fn http2_is_offered_only_where_it_is_on() {
        let config = config(&Arc::new(Authority::new().trusted()), &TlsSpec::default()).unwrap();
        assert_eq!(offering(&config, true).alpn_protocols, HTTP_2_OR_1);
        assert_eq!(offering(&config, false).alpn_protocols, HTTP_1);
    }
}
