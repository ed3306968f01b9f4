//! Seals what is written to disk: XChaCha20-Poly1305, under keys that have names.
//!
//! A sealed payload is `1`, the length of the key's id, the id, the nonce (24 bytes, random), the ciphertext and its
//! tag. What it belongs to (`runs.input/run_…`) is authenticated with it, so no payload can be taken for another's. A
//! payload that has been touched, or is sealed under a key that is not there, is refused and never half read.
//!
//! Source: <https://datatracker.ietf.org/doc/html/draft-irtf-cfrg-xchacha-03>.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::Rng as _;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::cipher::{Cipher, KEY, NONCE};
use crate::failpoint::{Durable, Moment};

const VERSION: u8 = 1;
/// What a sealed payload has behind it.
const TAG: usize = 16;
/// What the key that is made beside a database goes by.
const OWN_KEY: &str = "local";

/// Why there is no key to seal with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The secret could not be read.
    #[error("[encryption] key `{id}`: {why}")]
    Unreadable {
        /// Which.
        id: String,
        /// Why not.
        why: String,
    },
    /// It is not 32 bytes of base64.
    #[error("[encryption] key `{0}` is not 32 bytes in base64; `causeway keys new` makes one")]
    Malformed(String),
    /// The key file could not be read or made.
    #[error("the key file {path}: {why}")]
    File {
        /// Where.
        path: String,
        /// What is wrong, and what to do.
        why: String,
    },
}

/// Why a sealed payload cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsealable {
    /// It was sealed under a key that is not there.
    #[error("it was sealed under the key `{0}`, which is not configured")]
    NoSuchKey(String),
    /// It has been changed, or belongs elsewhere.
    #[error("it is damaged or was not sealed for this place")]
    Damaged,
}

/// The keys: the first seals, all open.
pub struct Keyring {
    keys: Vec<(String, Cipher)>,
}

/// Shows the names and never the keys.
impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

impl Keyring {
    /// Of configured keys, each 32 bytes in base64.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn of(keys: Vec<(String, SecretString)>) -> Result<Self, KeyError> {
        let keys = keys.into_iter().map(|(id, secret)| {
            let cipher = cipher(secret.expose_secret()).ok_or_else(|| KeyError::Malformed(id.clone()))?;
            Ok((id, cipher))
        });
        Ok(Self { keys: keys.collect::<Result<_, KeyError>>()? })
    }

    /// Of the key in this file; makes it where there is none, for its owner alone.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub fn beside(path: &Path) -> Result<Self, KeyError> {
        let wrong = |why: String| KeyError::File { path: path.display().to_string(), why };
        let text = match fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = make(path).map_err(|error| wrong(format!("it could not be made: {error}")))?;
                tracing::warn!(
                    path = %path.display(),
                    "no [encryption] keys are configured: a key was made beside the database; keep a copy of it in a \
                     safe place, for without it nobody can read what is stored"
                );
                text
            }
            Err(error) => return Err(wrong(format!("it cannot be read: {error}"))),
        };
        let mode = fs::metadata(path).map_err(|error| wrong(error.to_string()))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(wrong(format!("others can read it (mode {:o}); chmod 600 it", mode & 0o777)));
        }
        let cipher = cipher(text.trim()).ok_or_else(|| wrong("it is not 32 bytes in base64".to_owned()))?;
        Ok(Self { keys: vec![(OWN_KEY.to_owned(), cipher)] })
    }

    /// The id of the key that seals.
    pub fn sealing(&self) -> &str {
        self.keys.first().map_or("", |(id, _)| id)
    }

    /// Seals a payload for one place.
    pub fn seal(&self, place: &str, payload: &[u8]) -> Vec<u8> {
        let Some((id, cipher)) = self.keys.first() else { return Vec::new() };
        // 24 bytes of chance: no nonce twice, whoever else seals with the key. The thread's generator is seeded by the system.
        let mut nonce = [0; NONCE];
        rand::rng().fill_bytes(&mut nonce);
        let mut all = Vec::with_capacity(2 + id.len() + NONCE + payload.len() + TAG);
        all.extend([VERSION, u8::try_from(id.len()).unwrap_or(u8::MAX)]);
        all.extend_from_slice(id.as_bytes());
        all.extend_from_slice(&nonce);
        let text = all.len();
        all.extend_from_slice(payload);
        // It fails only for payloads of more than 256 GiB.
        if cipher.seal(&nonce, place.as_bytes(), &mut all, text).is_none() {
            all.truncate(text);
        }
        all
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// [`Unsealable`].
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let (id, rest) = parts(sealed).ok_or(Unsealable::Damaged)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE>().ok_or(Unsealable::Damaged)?;
        let known = self.keys.iter().find(|(known, _)| known.as_bytes() == id);
        let Some((_, cipher)) = known else {
            return Err(Unsealable::NoSuchKey(String::from_utf8_lossy(id).into_owned()));
        };
        cipher.open(nonce, place.as_bytes(), text).ok_or(Unsealable::Damaged)
    }
}

/// The id of the key, and what follows it.
fn parts(sealed: &[u8]) -> Option<(&[u8], &[u8])> {
    let (version, rest) = sealed.split_first()?;
    let (length, rest) = rest.split_first()?;
    (*version == VERSION).then(|| rest.split_at_checked(usize::from(*length)))?
}

fn cipher(text: &str) -> Option<Cipher> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    Some(Cipher::new(Zeroizing::new(<[u8; KEY]>::try_from(bytes.as_slice()).ok()?)))
}

/// The system gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandom;

/// A new key, as configuration and key files have it.
///
/// # Errors
/// [`NoRandom`].
pub fn new_key() -> Result<Zeroizing<String>, NoRandom> {
    let mut key = Zeroizing::new([0; KEY]);
    SystemRandom::new().fill(key.as_mut_slice()).map_err(|_| NoRandom)?;
    Ok(Zeroizing::new(STANDARD.encode(*key)))
}

/// Makes a key file: whole or not at all, and on disk before anything is sealed with it.
fn make(path: &Path) -> io::Result<Zeroizing<String>> {
    let text = new_key().map_err(io::Error::other)?;
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    Durable::KeyFile.reached(Moment::Before);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(unfinished)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    Durable::KeyFile.reached(Moment::Written);
    fs::rename(unfinished, path)?;
    if let Some(directory) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
        File::open(directory)?.sync_all()?;
    }
    Durable::KeyFile.reached(Moment::Committed);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(ids: &[(&str, u8)]) -> Keyring {
        let key = |byte: u8| SecretString::from(STANDARD.encode([byte; KEY]));
        Keyring::of(ids.iter().map(|(id, byte)| ((*id).to_owned(), key(*byte))).collect()).unwrap()
    }

    #[test]
    fn what_is_sealed_can_be_opened_in_its_place_alone() {
        let ring = ring(&[("k1", 1)]);
        let sealed = ring.seal("runs.input/run_1", b"card 4242");
        assert!(!sealed.windows(4).any(|bytes| bytes == b"4242"));
        assert_eq!(ring.open("runs.input/run_1", &sealed).unwrap(), b"card 4242");
        assert_eq!(ring.open("runs.input/run_2", &sealed), Err(Unsealable::Damaged));
        assert_ne!(sealed, ring.seal("runs.input/run_1", b"card 4242"), "no nonce twice");
    }

    #[test]
    fn every_bit_counts() {
        let ring = ring(&[("k1", 1)]);
        let sealed = ring.seal("p", b"x");
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(ring.open("p", &changed).is_err(), "byte {place}");
            assert!(ring.open("p", &sealed[..place]).is_err(), "{place} bytes");
        }
    }

    #[test]
    fn the_first_seals_and_all_open() {
        let old = ring(&[("k1", 1)]).seal("p", b"old");
        let both = ring(&[("k2", 2), ("k1", 1)]);
        assert_eq!(both.open("p", &old).unwrap(), b"old");
        let new = both.seal("p", b"new");
        assert_eq!(ring(&[("k1", 1)]).open("p", &new), Err(Unsealable::NoSuchKey("k2".to_owned())));
        assert_eq!(format!("{both:?}"), r#"["k2", "k1"]"#);
    }

    #[test]
    fn a_key_file_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db.key");
        let sealed = Keyring::beside(&path).unwrap().seal("p", b"x");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Keyring::beside(&path).unwrap().open("p", &sealed).unwrap(), b"x");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Keyring::beside(&path).unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert!(Keyring::beside(&path).unwrap_err().to_string().contains("32 bytes"));
    }

    #[test]
    fn a_malformed_key_is_told_by_its_name_and_never_shown() {
        let wrong =
            Keyring::of(vec![("k9".to_owned(), SecretString::from("c2hvcnQ="))]).unwrap_err().to_string();
        assert!(wrong.contains("k9") && !wrong.contains("c2hvcnQ"), "{wrong}");
    }
}
