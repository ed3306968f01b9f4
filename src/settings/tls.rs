//! `[tls]`: whom an integration's connections trust, and what they show.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_actors::ports::TlsVersion;

use super::error::Position;
use super::reader::forms::choice;
use super::reader::{Table, Value};

/// The most pins of one integration.
const MAX_PINS: usize = 16;

const VERSIONS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];

/// Whom an integration's connections trust, and what they show. The default trusts the system's authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// SHA-256 of the public keys of which the server must have one; none for any.
    pub pins: Vec<[u8; 32]>,
    /// The only authorities trusted, as PEM.
    pub authorities: Option<FilePath>,
    /// What we show of ourselves.
    pub identity: Option<IdentityFiles>,
    /// The lowest version spoken.
    pub min_version: TlsVersion,
}

/// Our own certificate with its chain, and its key, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The certificate, and those between it and its authority.
    pub certificate: FilePath,
    /// The private key.
    pub key: FilePath,
}

/// A file, and where it is named, so that an error found when it is read can say where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath {
    /// The file; a relative path begins at the configuration's directory.
    pub path: PathBuf,
    /// Where the path begins in the configuration.
    pub at: Position,
}

/// Reads `tls`.
pub(super) fn read(table: &mut Table<'_>) -> TlsSettings {
    let pins = table.list("pins", MAX_PINS, pin);
    let authorities = table.optional("ca_file", file);
    let certificate = table.optional("client_cert", file);
    let key = table.optional("client_key", file);
    let min_version = table.or("min_version", TlsVersion::default(), choice(&VERSIONS));
    match (table.had("client_cert"), table.had("client_key")) {
        (true, false) => table.wrong("client_cert", "a certificate is shown with its key; add client_key"),
        (false, true) => table.wrong("client_key", "a key belongs to a certificate; add client_cert"),
        (true, true) | (false, false) => {}
    }
    let identity = certificate.zip(key).map(|(certificate, key)| IdentityFiles { certificate, key });
    TlsSettings { pins, authorities, identity, min_version }
}

fn pin(value: Value<'_>) -> Option<[u8; 32]> {
    let text = value.string("a pin such as \"sha256/…\"")?;
    let key = text.strip_prefix("sha256/").and_then(|key| STANDARD.decode(key).ok());
    key.and_then(|key| key.try_into().ok()).or_else(|| {
        value.wrong(
            "this is no pin; write \"sha256/\" and the base64 of the public key's SHA-256, as \
             `openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64` \
             gives it",
        )
    })
}

fn file(value: Value<'_>) -> Option<FilePath> {
    let text = value.string("the path of a PEM file")?;
    if text.is_empty() || text.contains(char::is_control) {
        return value.wrong("this is not the path of a file; write one such as \"certs/provider-ca.pem\"");
    }
    Some(FilePath { path: value.base().join(text), at: value.position() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn read(tls: &str) -> Result<TlsSettings, Vec<String>> {
        let text = format!("base_url = \"https://x\"\n[tls]\n{tls}\n");
        Settings::from_texts(&[("integrations/x.toml", &text)])
            .map(|mut settings| settings.integrations.remove(0).tls)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_key_is_taken() {
        let pin = format!("sha256/{}", STANDARD.encode([7; 32]));
        let tls = read(&format!(
            "pins = [\"{pin}\"]\nca_file = \"ca.pem\"\nclient_cert = \"/a.pem\"\nclient_key = \"/a.key\"\n\
             min_version = \"1.3\""
        ))
        .unwrap();
        assert_eq!((tls.pins, tls.min_version), (vec![[7; 32]], TlsVersion::V1_3));
        assert_eq!(tls.authorities.unwrap().path, PathBuf::from("ca.pem"));
        let identity = tls.identity.unwrap();
        assert_eq!((identity.certificate.path, identity.key.path), ("/a.pem".into(), "/a.key".into()));
        assert_eq!((identity.key.at.line, identity.key.at.column), (6, 14));
        assert_eq!(read("").unwrap(), TlsSettings::default());
    }

    #[test]
    fn what_is_wrong_is_told_where() {
        for (tls, told) in [
            ("pins = [\"sha256/AAAA\"]", "3:9: `tls.pins[0]`: this is no pin;"),
            ("pins = [\"md5/AAAA\"]", "3:9: `tls.pins[0]`: this is no pin;"),
            ("pins = \"sha256/x\"", "3:8: `tls.pins`: a string cannot stand here;"),
            ("ca_file = \"\"", "3:11: `tls.ca_file`: this is not the path of a file;"),
            ("client_cert = \"a.pem\"", "3:15: `tls.client_cert`: a certificate is shown with its key;"),
            ("client_key = \"a.key\"", "3:14: `tls.client_key`: a key belongs to a certificate;"),
            ("min_version = \"1.1\"", "3:15: `tls.min_version`: \"1.1\" is not available;"),
            ("verify = false", "3:1: unknown key `tls.verify`;"),
        ] {
            let errors = read(tls).unwrap_err();
            assert!(
                errors.len() == 1 && errors[0].starts_with(&format!("integrations/x.toml:{told}")),
                "{errors:?}"
            );
        }
    }
}
