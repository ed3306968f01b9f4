//! Secrets, read from where a reference says.
//!
//! The settings name secrets and never hold them; this is the one place that turns a name into the secret itself.
//! What comes out is a [`SecretString`]: it is not printed by `Debug` and is zeroed when dropped, and so is the buffer
//! a file is read through. An error tells which reference failed and why, never what stood there.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use causeway_core::sanitise::KnownSecrets;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::settings::SecretRef;

/// The largest secret that is read from a file, in bytes: keys and certificates fit, a wrong path does not.
pub const MAX_SECRET: usize = 64 * 1024;

/// Why a reference gave no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable does not exist.
    #[error("the environment variable {0} is not set; set it, or change the reference")]
    NotSet(String),
    /// The variable is set to nothing.
    #[error("the environment variable {0} is empty; set it to the secret")]
    EmptyVariable(String),
    /// The variable's value is not text.
    #[error("the environment variable {0} is not UTF-8 text; set it to text")]
    VariableNotText(String),
    /// The file could not be read.
    #[error("the secret file {} cannot be read: {}; check the path and its permissions", .0.display(), .1)]
    Unreadable(PathBuf, io::Error),
    /// The file has nothing in it but at most a line's end.
    #[error("the secret file {} is empty; write the secret into it", .0.display())]
    EmptyFile(PathBuf),
    /// The file is larger than [`MAX_SECRET`].
    #[error("the secret file {} is larger than {MAX_SECRET} bytes; check that the path is the secret's", .0.display())]
    TooLarge(PathBuf),
    /// The file's content is not text.
    #[error("the secret file {} is not UTF-8 text; write the secret as text", .0.display())]
    FileNotText(PathBuf),
}

/// Reads the secret that `reference` names. Of a file, one newline at the end is not part of the secret.
///
/// This reads files and so may block: call it where that is allowed.
///
/// # Errors
/// [`SecretError`] when there is no secret there, or none that can be used. It names the reference, never the content.
pub fn resolve(reference: &SecretRef) -> Result<SecretString, SecretError> {
    let secret = match reference {
        SecretRef::Env(name) => from_environment(name),
        SecretRef::File(path) => from_file(path),
    }?;
    known().learn(secret.expose_secret());
    Ok(secret)
}

/// Every secret that has been read in this process, for those who must mask them. One for the whole process, so that
/// no secret can be read past it.
pub fn known() -> &'static KnownSecrets {
    static KNOWN: LazyLock<KnownSecrets> = LazyLock::new(KnownSecrets::default);
    &KNOWN
}

fn from_environment(name: &str) -> Result<SecretString, SecretError> {
    let value = std::env::var_os(name).ok_or_else(|| SecretError::NotSet(name.to_owned()))?;
    let text = value.into_string().map_err(|_| SecretError::VariableNotText(name.to_owned()))?;
    if text.is_empty() {
        return Err(SecretError::EmptyVariable(name.to_owned()));
    }
    Ok(SecretString::from(text))
}

fn from_file(path: &Path) -> Result<SecretString, SecretError> {
    let content = read_bounded(path).map_err(|error| SecretError::Unreadable(path.to_owned(), error))?;
    if content.len() > MAX_SECRET {
        return Err(SecretError::TooLarge(path.to_owned()));
    }
    let text = str::from_utf8(&content).map_err(|_| SecretError::FileNotText(path.to_owned()))?;
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() {
        return Err(SecretError::EmptyFile(path.to_owned()));
    }
    Ok(SecretString::from(line))
}

/// Reads at most one byte more than [`MAX_SECRET`]. The buffer never grows, so no copy of the secret is left behind
/// where it was moved from.
fn read_bounded(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_SECRET + 2));
    let bound = u64::try_from(MAX_SECRET + 1).unwrap_or(u64::MAX);
    File::open(path)?.take(bound).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_with(content: &[u8]) -> (tempfile::TempDir, SecretRef) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, content).unwrap();
        (dir, SecretRef::File(path))
    }

    #[test]
    fn a_variable_is_taken_as_it_stands() {
        let secret = resolve(&SecretRef::Env("PATH".to_owned())).unwrap();
        assert_eq!(secret.expose_secret(), std::env::var("PATH").unwrap());
        assert!(!format!("{secret:?}").contains(secret.expose_secret()));
    }

    #[test]
    fn an_unset_variable_is_named() {
        let error = resolve(&SecretRef::Env("CAUSEWAY_TEST_UNSET".to_owned())).unwrap_err();
        assert!(matches!(error, SecretError::NotSet(_)));
        assert!(error.to_string().contains("CAUSEWAY_TEST_UNSET"), "{error}");
    }

    #[test]
    fn one_newline_at_the_end_of_a_file_is_not_the_secret() {
        for (content, secret) in [
            (&b"s3cret"[..], "s3cret"),
            (b"s3cret\n", "s3cret"),
            (b"s3cret\r\n", "s3cret"),
            (b"two\nlines\n\n", "two\nlines\n"),
            (b" spaces ", " spaces "),
        ] {
            let (_dir, reference) = file_with(content);
            assert_eq!(resolve(&reference).unwrap().expose_secret(), secret, "{content:?}");
        }
    }

    #[test]
    fn a_file_without_a_usable_secret_is_named_and_not_shown() {
        for content in [&b""[..], b"\n", b"\r\n"] {
            let (_dir, reference) = file_with(content);
            assert!(matches!(resolve(&reference).unwrap_err(), SecretError::EmptyFile(_)), "{content:?}");
        }
        let (_dir, reference) = file_with(b"hunter2\xff");
        let error = resolve(&reference).unwrap_err();
        assert!(matches!(error, SecretError::FileNotText(_)));
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");

        let missing = SecretRef::File(PathBuf::from("/nowhere/at/all"));
        let error = resolve(&missing).unwrap_err();
        assert!(matches!(error, SecretError::Unreadable(..)));
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }

    #[test]
    fn a_file_is_read_up_to_the_bound() {
        let (_dir, reference) = file_with(&vec![b'x'; MAX_SECRET]);
        assert_eq!(resolve(&reference).unwrap().expose_secret().len(), MAX_SECRET);
        let (_dir, reference) = file_with(&vec![b'x'; MAX_SECRET + 1]);
        assert!(matches!(resolve(&reference).unwrap_err(), SecretError::TooLarge(_)));
    }
}
