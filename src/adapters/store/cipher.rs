//! XChaCha20-Poly1305: `ring`'s ChaCha20-Poly1305 under a key that HChaCha20 derives for each nonce.
//!
//! Source: <https://datatracker.ietf.org/doc/html/draft-irtf-cfrg-xchacha-03#section-2.3>.

use chacha20::{R20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// Bytes of a key.
pub(super) const KEY: usize = 32;
/// Bytes of a nonce: enough that those made by chance never meet.
pub(super) const NONCE: usize = 24;
/// The first bytes of a nonce derive the key, the others are the nonce under it, after four zeroes.
const DERIVING: usize = 16;
const INNER_NONCE: usize = 12;

/// Seals and opens under one key.
pub(super) struct Cipher(Zeroizing<[u8; KEY]>);

impl Cipher {
    pub(super) const fn new(key: Zeroizing<[u8; KEY]>) -> Self {
        Self(key)
    }

    /// Encrypts `into` from `from` on, and writes the tag behind it. `aad` is authenticated with it. `None` for more than
    /// 256 GiB.
    pub(super) fn seal(
        &self,
        nonce: &[u8; NONCE],
        aad: &[u8],
        into: &mut Vec<u8>,
        from: usize,
    ) -> Option<()> {
        let (key, nonce) = self.derive(nonce)?;
        let text = into.get_mut(from..)?;
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), text).ok()?;
        into.extend_from_slice(tag.as_ref());
        Some(())
    }

    /// Decrypts; `None` unless every bit of it and of `aad` is as it was sealed.
    pub(super) fn open(&self, nonce: &[u8; NONCE], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (key, nonce) = self.derive(nonce)?;
        let mut text = sealed.to_vec();
        let length = key.open_in_place(nonce, Aad::from(aad), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }

    fn derive(&self, nonce: &[u8; NONCE]) -> Option<(LessSafeKey, Nonce)> {
        let (deriving, rest) = nonce.split_first_chunk::<DERIVING>()?;
        let key = Zeroizing::new(<[u8; KEY]>::from(hchacha::<R20>(&(*self.0).into(), &(*deriving).into())));
        let mut inner = [0; INNER_NONCE];
        inner.get_mut(INNER_NONCE - rest.len()..)?.copy_from_slice(rest);
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_slice()).ok()?;
        Some((LessSafeKey::new(key), Nonce::assume_unique_for_key(inner)))
    }
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::aead::{Aead, KeyInit, Payload};
    use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
    use proptest::prelude::*;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// <https://datatracker.ietf.org/doc/html/draft-irtf-cfrg-xchacha-03#appendix-A.3.1>.
    #[test]
    fn it_seals_as_published() {
        let key: [u8; KEY] = std::array::from_fn(|at| 0x80 + u8::try_from(at).unwrap());
        let nonce: [u8; NONCE] = std::array::from_fn(|at| 0x40 + u8::try_from(at).unwrap());
        let aad = bytes("50515253c0c1c2c3c4c5c6c7");
        let text =
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                     sunscreen would be it.";
        let sealed = bytes(
            "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39\
             ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
             21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49",
        );
        let cipher = Cipher::new(Zeroizing::new(key));
        let mut into = b"before".to_vec();
        into.extend_from_slice(text);
        cipher.seal(&nonce, &aad, &mut into, 6).unwrap();
        assert_eq!((&into[..6], &into[6..]), (b"before".as_slice(), sealed.as_slice()));
        assert_eq!(cipher.open(&nonce, &aad, &sealed).unwrap(), text);
    }

    proptest! {
        #[test]
        fn it_seals_as_others_do(key: [u8; KEY], nonce: [u8; NONCE], aad: Vec<u8>, text: Vec<u8>) {
            let other = XChaCha20Poly1305::new(&Key::from(key));
            let sealed = other.encrypt(&XNonce::from(nonce), Payload { msg: &text, aad: &aad }).unwrap();
            let cipher = Cipher::new(Zeroizing::new(key));
            let mut into = text.clone();
            cipher.seal(&nonce, &aad, &mut into, 0).unwrap();
            prop_assert_eq!(&into, &sealed);
            prop_assert_eq!(cipher.open(&nonce, &aad, &sealed), Some(text));
        }
    }
}
