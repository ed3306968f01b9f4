//! What TLS accepts: 1.2 and later, with `ring`, trusting the system's roots and those the settings add.
//!
//! The provider is named here rather than installed for the process, so nothing depends on the order of start-up.

use std::io;
use std::sync::Arc;

use causeway_core::failure::Reason;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// What is offered by ALPN where HTTP/2 is on.
const HTTP_2_OR_1: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// What is offered by ALPN where HTTP/2 is off.
const HTTP_1: [&[u8]; 1] = [b"http/1.1"];

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// Neither the system nor the settings gave a root.
    #[error(
        "found no certificate authority to trust: install the system's root certificates (`ca-certificates`), \
         or point SSL_CERT_FILE to a bundle{}", loading(.0)
    )]
    NoRoots(Vec<rustls_native_certs::Error>),
    /// A root of the settings is not a certificate.
    #[error("additional certificate authority no. {number} is not usable as a root: {source}")]
    ExtraRoot {
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The cryptography provider does not support the protocol versions asked for.
    #[error("TLS 1.2 and 1.3 are not available: {0}")]
    Versions(rustls::Error),
}

fn loading(errors: &[rustls_native_certs::Error]) -> String {
    errors.first().map(|error| format!(" (loading them failed: {error})")).unwrap_or_default()
}

/// Makes the configuration all clients share: the system's roots and `extra_roots`, TLS 1.2 and later.
///
/// # Errors
/// [`TlsConfigError`], when an extra root is no certificate, or when there is no root at all.
pub fn client_config(extra_roots: Vec<CertificateDer<'static>>) -> Result<ClientConfig, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    // A system's bundle may hold certificates too odd to parse: one of them must not cost us the others.
    let (_taken, ignored) = roots.add_parsable_certificates(native.certs);
    if ignored > 0 || !native.errors.is_empty() {
        tracing::warn!(ignored, errors = ?native.errors, "some of the system's root certificates are not usable");
    }
    for (index, root) in extra_roots.into_iter().enumerate() {
        roots.add(root).map_err(|source| TlsConfigError::ExtraRoot { number: index + 1, source })?;
    }
    if roots.is_empty() {
        return Err(TlsConfigError::NoRoots(native.errors));
    }
    trusting(roots)
}

/// The configuration that trusts exactly `roots`.
pub(super) fn trusting(roots: RootCertStore) -> Result<ClientConfig, TlsConfigError> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsConfigError::Versions)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// The same configuration, offering HTTP/2 or not.
pub(super) fn offering(config: &ClientConfig, http2: bool) -> Arc<ClientConfig> {
    let offer: &[&[u8]] = if http2 { &HTTP_2_OR_1 } else { &HTTP_1 };
    let mut config = config.clone();
    config.alpn_protocols = offer.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

/// What a failure inside TLS says about the peer; `None` if TLS had no part in it.
pub(super) fn reason(error: &io::Error) -> Option<Reason> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let certificate =
        matches!(error, rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented);
    Some(if certificate { Reason::Certificate } else { Reason::Tls })
}

#[cfg(test)]
mod tests {
    use causeway_actors::ports::Exchange;
    use causeway_core::bulkhead::PoolSpec;
    use causeway_core::classify::Phase;
    use rustls::ServerConfig;
    use tokio::io::AsyncWriteExt;

    use super::super::testing::{Authority, OK, broken, get, open, read_request, serve, serve_tls, soon};
    use super::*;

    /// Asks a server of this configuration, by the name `localhost`.
    async fn ask(client: ClientConfig, server: ServerConfig) -> Exchange {
        let address = serve_tls(server, |mut stream| async move {
            read_request(&mut stream).await;
            stream.write_all(OK).await.unwrap();
        })
        .await;
        let client = open(client, PoolSpec::default());
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

    #[tokio::test]
    async fn an_extra_root_is_trusted_beside_the_systems() {
        let authority = Authority::new();
        let config = client_config(vec![authority.certificate()]).unwrap();
        let exchange = ask(config, authority.server("localhost", &[])).await;
        assert_eq!(exchange.result.unwrap().status, 200);
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
    fn an_extra_root_that_is_no_certificate_is_named() {
        let error = client_config(vec![Authority::new().certificate(), vec![1, 2, 3].into()]).unwrap_err();
        assert!(matches!(error, TlsConfigError::ExtraRoot { number: 2, .. }), "{error}");
    }

    #[test]
    fn http2_is_offered_only_where_it_is_on() {
        let config = Authority::new().trusted();
        assert_eq!(offering(&config, true).alpn_protocols, HTTP_2_OR_1);
        assert_eq!(offering(&config, false).alpn_protocols, HTTP_1);
    }
}
