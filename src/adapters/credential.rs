//! An integration's credential, made of its `[auth]` section and the secrets that it names.
//!
//! It is read when the plans are made, and again when the provider refuses it: a file may have another content then.

use std::future::Future;
use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_actors::credential::Credential;
use causeway_actors::plan::Auth;
use causeway_actors::ports::CredentialSource;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::secrets;
use crate::settings::{AuthSettings, Placed, Position, SecretRef, SettingsError, SettingsErrors};

/// Reads an integration's credential for the first time; `None` if something is wrong with the secrets it names, which
/// is told where each is named.
pub fn open(settings: &AuthSettings, errors: &mut SettingsErrors) -> Option<Credential> {
    let auth = read(settings, &mut |at, error| errors.push(SettingsError::at(at.clone(), error)))?;
    if *settings == AuthSettings::None {
        return Some(Credential::fixed(auth));
    }
    Some(Credential::from_source(auth, Source(settings.clone())))
}

/// Reads what `[auth]` names.
struct Source(AuthSettings);

impl CredentialSource for Source {
    fn read(&self) -> Pin<Box<dyn Future<Output = Result<Auth, String>> + Send>> {
        let settings = self.0.clone();
        Box::pin(async move {
            // Files are read, which may block.
            let read = tokio::task::spawn_blocking(move || {
                let mut wrong = Vec::new();
                read(&settings, &mut |_, error| wrong.push(error)).ok_or_else(|| wrong.join("; "))
            });
            read.await.map_err(|_| "the reading was cut off".to_owned())?
        })
    }
}

/// What requests prove themselves with; `None` if it cannot be had, which is told: what is wrong, never what it is.
fn read(settings: &AuthSettings, told: &mut dyn FnMut(&Position, String)) -> Option<Auth> {
    let mut secret = |reference: &Placed<SecretRef>| {
        secrets::resolve(&reference.value).map_err(|error| told(&reference.at, error.to_string())).ok()
    };
    let (name, value, carrier) = match settings {
        AuthSettings::None => return Some(Auth::None),
        AuthSettings::Query { name, value } => {
            let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let value = SecretString::from(encode(secret(value)?.expose_secret()));
            return Some(Auth::Query(encode(name), value));
        }
        AuthSettings::Bearer { token } => {
            (AUTHORIZATION, Zeroizing::new(format!("Bearer {}", secret(token)?.expose_secret())), token)
        }
        AuthSettings::Basic { username, password } => {
            let user = secret(username);
            let password = password.as_ref().map_or_else(|| Some(SecretString::default()), &mut secret);
            let pair = Zeroizing::new(format!("{}:{}", user?.expose_secret(), password?.expose_secret()));
            // What is sent is neither the one nor the other, but as secret.
            secrets::known().learn(&pair);
            (AUTHORIZATION, Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair))), username)
        }
        AuthSettings::Header { name, value } => {
            (name.clone(), Zeroizing::new(secret(value)?.expose_secret().to_owned()), value)
        }
    };
    let Ok(mut header) = HeaderValue::from_str(&value) else {
        let message = "the secret has a character that no header can carry; check that it was stored whole";
        told(&carrier.at, message.to_owned());
        return None;
    };
    header.set_sensitive(true);
    Some(Auth::Header(name, header))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_has_changed_gives_another_credential() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "first-token\n").unwrap();
        let at = Position { file: "f".into(), line: 1, column: 1 };
        let settings = AuthSettings::Bearer { token: Placed { value: SecretRef::File(path.clone()), at } };
        let first = Auth::clone(&open(&settings, &mut SettingsErrors::default()).unwrap().current());
        let source = Source(settings);
        assert_eq!(source.read().await.unwrap(), first);
        std::fs::write(&path, "second-token\n").unwrap();
        let second = source.read().await.unwrap();
        assert_eq!(second, Auth::Header(AUTHORIZATION, HeaderValue::from_static("Bearer second-token")));
        assert_ne!(second, first);
        std::fs::remove_file(&path).unwrap();
        let error = source.read().await.unwrap_err();
        assert!(error.contains("cannot be read") && !error.contains("second"), "{error}");
    }
}
