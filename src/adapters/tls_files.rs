//! Certificates and keys, read from the files that `[tls]` names, and tried out: what cannot be used is told at its
//! place in the configuration, when it is loaded.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use causeway_actors::ports::{Identity, TlsSpec};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::transport::tls::{self, TlsConfigError};
use crate::settings::{FilePath, IdentityFiles, SettingsError, SettingsErrors, TlsSettings};

/// The largest PEM file that is read, in bytes: the system's whole bundle is a fifth of it.
const MAX_PEM: usize = 1 << 20;

/// Reads the files of an integration's `[tls]`; `None` if something is wrong with them, which is told.
pub fn read(settings: &TlsSettings, errors: &mut SettingsErrors) -> Option<Arc<TlsSpec>> {
    let authorities = settings.authorities.as_ref().map(|file| told(file, certificates(file), errors));
    let identity = settings.identity.as_ref().map(|files| identity(files, errors));
    let spec = TlsSpec {
        authorities: authorities.map_or(Some(None), |read| read.map(Some))?,
        pins: settings.pins.clone(),
        identity: identity.map_or(Some(None), |read| read.map(|identity| Some(Arc::new(identity))))?,
        min_version: settings.min_version,
    };
    match tls::check(&spec) {
        Ok(()) => Some(Arc::new(spec)),
        Err(error) => {
            let keys = settings.identity.as_ref().map(|files| &files.key);
            let place = match &error {
                TlsConfigError::Identity(_) | TlsConfigError::Key => keys,
                TlsConfigError::Authority { .. }
                | TlsConfigError::Authorities(_)
                | TlsConfigError::NoRoots(_)
                | TlsConfigError::Versions(_) => settings.authorities.as_ref(),
            };
            told(place.or(keys)?, Err::<(), _>(error.to_string()), errors)?;
            None
        }
    }
}

/// The value; or `None`, and the error told where the file is named.
fn told<T>(file: &FilePath, read: Result<T, String>, errors: &mut SettingsErrors) -> Option<T> {
    let wrong = |error: String| {
        let message = format!("the file {}: {error}", file.path.display());
        errors.push(SettingsError::at(file.at.clone(), message));
    };
    read.map_err(wrong).ok()
}

fn identity(files: &IdentityFiles, errors: &mut SettingsErrors) -> Option<Identity> {
    let chain = told(&files.certificate, certificates(&files.certificate), errors);
    let key = told(&files.key, private_key(&files.key), errors);
    Some(Identity { chain: chain?, key: key?.to_vec().into() })
}

fn certificates(file: &FilePath) -> Result<Vec<Bytes>, String> {
    let pem = content(file)?;
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| format!("this is no PEM: {error}"))?;
        certificates.push(Bytes::copy_from_slice(&certificate));
    }
    if certificates.is_empty() {
        return Err("no certificate is in it; write at least one as PEM".to_owned());
    }
    Ok(certificates)
}

/// The key's DER. Nothing of it is told where it cannot be read.
fn private_key(file: &FilePath) -> Result<Zeroizing<Vec<u8>>, String> {
    let key = PrivateKeyDer::from_pem_slice(&content(file)?)
        .map_err(|_| "no private key is in it; write one as PEM, unencrypted".to_owned())?;
    Ok(Zeroizing::new(key.secret_der().to_vec()))
}

fn content(file: &FilePath) -> Result<Zeroizing<Vec<u8>>, String> {
    let read = || -> io::Result<_> {
        let bound = u64::try_from(MAX_PEM + 1).unwrap_or(u64::MAX);
        let mut content = Zeroizing::new(Vec::new());
        File::open(&file.path)?.take(bound).read_to_end(&mut content)?;
        Ok(content)
    };
    let content = read().map_err(|error| format!("{error}; check the path and its permissions"))?;
    if content.len() > MAX_PEM {
        return Err(format!("it is larger than {MAX_PEM} bytes; check the path"));
    }
    Ok(content)
}
