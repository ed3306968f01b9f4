//! The exact values of our own secrets: masked wherever they stand, whatever they look like.
//!
//! A provider may send our credential back in free text (`unknown key 9f2c…`), where no name and no look gives it
//! away. So every secret that is read is told to a [`KnownSecrets`], and a sanitiser that was given it replaces the
//! value itself, and what it becomes in base64, before anything else is done: before masking by name, and before
//! cutting, which could leave half of it. Where the text hides it behind `\u0041` or `%41`, the text is shown decoded.
//!
//! Values are zeroed when they are let go, and never printed. A pass costs about a nanosecond per byte, however many
//! secrets there are: eight bytes at a time are looked up in a filter, and only what passes is compared.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::percent_decode;
use zeroize::{Zeroize, Zeroizing};

use super::escape::decode_unicode;
use super::mask::What;

/// Values shorter than this, in bytes, are not known: they would be found in what has nothing to do with them.
pub const MIN_SECRET: usize = 8;
/// The most values that are known at once, encodings included; the oldest are let go first.
const MAX_KNOWN: usize = 16_384;
/// How many times what is shown of a text is looked at: white space between tokens is not shown.
const LOOKED_AT: usize = 8;
/// How much of a text is looked at, however little is shown of it, in bytes.
const LOOKED_AT_LEAST: usize = 64 * 1024;
/// Bits of the filter, as a power of two.
const FILTER_BITS: u32 = 16;

/// The secrets of this process. Clones share what they know; it only grows, for an old secret is still a secret.
#[derive(Clone, Default)]
pub struct KnownSecrets(Arc<ArcSwap<Values>>);

impl fmt::Debug for KnownSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KnownSecrets")
    }
}

impl KnownSecrets {
    /// Learns a value, and what it is in base64. One that is shorter than [`MIN_SECRET`] is left aside.
    pub fn learn(&self, secret: &str) {
        if secret.len() < MIN_SECRET {
            return;
        }
        // Base64 without its padding: with it, it is found too.
        let encoded = [STANDARD.encode(secret), URL_SAFE.encode(secret)]
            .map(Zeroizing::new)
            .map(|encoded| Zeroizing::new(encoded.trim_end_matches('=').as_bytes().to_vec()));
        let forms = [Zeroizing::new(secret.as_bytes().to_vec())].into_iter().chain(encoded);
        let forms: Vec<_> = forms.collect();
        self.0.rcu(|known| {
            let new: Vec<_> = forms.iter().filter(|form| !known.contains(form)).cloned().collect();
            if new.is_empty() { Arc::clone(known) } else { Arc::new(known.with(new)) }
        });
    }

    /// `text` without any of the values; untouched where none stands in it. Of a text of which at most `cap` bytes are
    /// shown, as much is looked at as can be shown of it.
    pub(super) fn hide<'a>(&self, text: &'a [u8], cap: usize) -> Cow<'a, [u8]> {
        let known = self.0.load();
        if known.needles.is_empty() || text.len() < MIN_SECRET {
            return Cow::Borrowed(text);
        }
        let bound = cap.saturating_mul(LOOKED_AT).saturating_add(LOOKED_AT_LEAST);
        let (looked_at, rest) = text.split_at(bound.min(text.len()));
        match known.hide(looked_at) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(mut hidden) => {
                hidden.extend_from_slice(rest);
                Cow::Owned(hidden)
            }
        }
    }
}

/// What is known, ready to be looked for.
#[derive(Default)]
struct Values {
    /// In the order in which they were learnt.
    needles: Vec<Zeroizing<Vec<u8>>>,
    /// The first eight bytes of each needle with its index, in order.
    heads: Vec<(u64, usize)>,
    filter: Vec<u64>,
}

impl Drop for Values {
    fn drop(&mut self) {
        for (head, _) in &mut self.heads {
            head.zeroize();
        }
        self.filter.zeroize();
    }
}

impl Values {
    fn hide<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let text = self.replace(text).map_or(Cow::Borrowed(text), Cow::Owned);
        match self.hidden_by_escapes(&text) {
            Some(decoded) => Cow::Owned(decoded),
            None => text,
        }
    }

    fn contains(&self, secret: &Zeroizing<Vec<u8>>) -> bool {
        self.needles.contains(secret)
    }

    fn with(&self, new: Vec<Zeroizing<Vec<u8>>>) -> Self {
        let forgotten = (self.needles.len() + new.len()).saturating_sub(MAX_KNOWN);
        let needles: Vec<_> = self.needles.iter().skip(forgotten).cloned().chain(new).collect();
        let mut filter = vec![0_u64; 1 << (FILTER_BITS - 6)];
        let mut heads: Vec<(u64, usize)> = Vec::with_capacity(needles.len());
        for (index, needle) in needles.iter().enumerate() {
            let Some(head) = needle.first_chunk().map(|head| u64::from_le_bytes(*head)) else { continue };
            let bit = slot(head);
            if let Some(word) = filter.get_mut(bit >> 6) {
                *word |= 1 << (bit & 63);
            }
            heads.push((head, index));
        }
        heads.sort_unstable();
        Self { needles, heads, filter }
    }

    /// The text with every value replaced; `None` where there is none.
    fn replace(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let (mut copied, mut at) = (0, 0);
        while let Some((found, length)) = self.find(text, at) {
            out.extend_from_slice(text.get(copied..found).unwrap_or_default());
            out.extend_from_slice(What::Secret.placeholder().as_bytes());
            at = found + length;
            copied = at;
        }
        if copied == 0 {
            return None;
        }
        out.extend_from_slice(text.get(copied..).unwrap_or_default());
        Some(out)
    }

    /// The first value from `from` on, and how long it is: the longest of those that begin there.
    fn find(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        let rest = text.get(from..)?;
        rest.windows(MIN_SECRET).enumerate().find_map(|(offset, window)| {
            let head = u64::from_le_bytes(*window.first_chunk()?);
            let bit = slot(head);
            if self.filter.get(bit >> 6)? >> (bit & 63) & 1 == 0 {
                return None;
            }
            let at = from + offset;
            self.longest_at(head, text.get(at..)?).map(|length| (at, length))
        })
    }

    fn longest_at(&self, head: u64, text: &[u8]) -> Option<usize> {
        let first = self.heads.partition_point(|(other, _)| *other < head);
        let same = self.heads.iter().skip(first).take_while(|(other, _)| *other == head);
        let needles = same.filter_map(|(_, index)| self.needles.get(*index));
        needles.filter(|needle| text.starts_with(needle)).map(|needle| needle.len()).max()
    }

    /// The text decoded and without the values, where they only show once it is decoded.
    fn hidden_by_escapes(&self, text: &[u8]) -> Option<Vec<u8>> {
        let by_json = || {
            let decoded = text.contains(&b'\\').then(|| decode_unicode(text))?;
            let plain = without_escaped_slashes(&decoded);
            self.replace(&plain)
        };
        let by_percent = || {
            let decoded: Cow<'_, [u8]> = text.contains(&b'%').then(|| percent_decode(text).into())?;
            self.replace(&decoded)
        };
        by_json().or_else(by_percent)
    }
}

/// `\/` as `/`: the one escape that need not be, and that some write all the same (base64 has slashes).
fn without_escaped_slashes(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' && bytes.peek() == Some(&b'/') {
            continue;
        }
        out.push(byte);
    }
    out
}

/// Where a head stands in the filter (Fibonacci hashing).
const fn slot(head: u64) -> usize {
    (head.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - FILTER_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    use super::super::{Extra, Sanitiser};
    use super::*;

    const SECRET: &str = "9f2c/77aa+Kz0=w";

    fn sanitiser(secrets: &[&str]) -> Sanitiser {
        let known = KnownSecrets::default();
        for secret in secrets {
            known.learn(secret);
        }
        Sanitiser::new(&Extra::default()).with_secrets(known)
    }

    #[test]
    fn a_known_value_is_masked_wherever_it_stands() {
        let sanitiser = sanitiser(&[SECRET, "user:correct horse"]);
        let says = |text: &str| sanitiser.text(text, usize::MAX);
        assert_eq!(says("no such client 9f2c/77aa+Kz0=w!"), "no such client [masked:secret]!");
        assert_eq!(says(&format!("{SECRET} {SECRET}")), "[masked:secret] [masked:secret]");
        assert_eq!(says("got dXNlcjpjb3JyZWN0IGhvcnNl"), "got [masked:secret]", "as base64");
        let json = format!("{{\"note\":\"x {SECRET}\",\"a\":1}}");
        assert_eq!(sanitiser.json(json.as_bytes(), 99), "{\"note\":\"x [masked:secret]\",\"a\":1}");
        let body = sanitiser.body(Some("text/plain"), json.as_bytes(), 99);
        assert!(!body.contains("9f2c"), "{body}");
        assert_eq!(
            sanitiser.query("https://x.io/a?q=9f2c%2f77aa%2BKz0%3Dw"),
            "https://x.io/a?q=[masked:secret]"
        );
        let mut headers = HeaderMap::new();
        headers.insert("server", HeaderValue::from_static("gate 9f2c/77aa+Kz0=w"));
        let shown = serde_json::to_string(&sanitiser.headers(&headers)).unwrap();
        assert_eq!(shown, r#"{"server":"gate [masked:secret]"}"#);
    }

    #[test]
    fn escapes_do_not_hide_it() {
        let sanitiser = sanitiser(&[SECRET]);
        for hidden in [
            r#"{"note":"9f2c\/77aa+Kz0=w"}"#,
            r#"{"note":"\u0039f2c/77aa\u002bKz0\u003dw"}"#,
            r#"{"note":"9f2c\/77aa\u002bKz0=w"}"#,
            "see /cb?a=9f2c%2F77aa%2bKz0%3dw",
        ] {
            let shown = sanitiser.body(None, hidden.as_bytes(), 999);
            assert!(shown.contains("[masked:secret]") && !shown.contains("Kz0"), "{shown}");
        }
    }

    #[test]
    fn cutting_leaves_no_half_of_it() {
        let sanitiser = sanitiser(&[SECRET]);
        let text = format!("{} {SECRET} {SECRET}", "x".repeat(40));
        for cap in 0..90 {
            assert!(!sanitiser.text(&text, cap).contains("9f2"), "{cap}");
        }
    }

    #[test]
    fn what_is_too_short_or_unknown_stays() {
        let known = KnownSecrets::default();
        known.learn("short");
        let sanitiser = Sanitiser::new(&Extra::default()).with_secrets(known.clone());
        assert_eq!(sanitiser.text("a short story of 9f2c/77aa", 99), "a short story of 9f2c/77aa");
        known.learn("9f2c/77aa");
        assert_eq!(sanitiser.text("a short story of 9f2c/77aa", 99), "a short story of [masked:secret]");
        assert_eq!(format!("{known:?} {sanitiser:?}"), "KnownSecrets Sanitiser");
    }

    proptest! {
        #[test]
        fn none_is_left_in_any_text(
            secrets in proptest::collection::vec("[a-zA-Z0-9/+=_-]{8,20}", 1..6),
            around in proptest::collection::vec("[ a-zA-Z0-9]{0,12}", 7),
            picks in proptest::collection::vec(0_usize..6, 6),
        ) {
            let known = KnownSecrets::default();
            for secret in &secrets {
                known.learn(secret);
            }
            let mut text = around[0].clone();
            for (pick, around) in picks.iter().zip(&around[1..]) {
                text.push_str(&secrets[pick % secrets.len()]);
                text.push_str(around);
            }
            let hidden = String::from_utf8(known.hide(text.as_bytes(), usize::MAX).into_owned()).unwrap();
            // What is left between two placeholders may be a secret's end where two overlap, never a whole one.
            for piece in hidden.split("[masked:secret]") {
                for secret in &secrets {
                    prop_assert!(!piece.contains(secret.as_str()), "{secret} in {hidden}");
                }
            }
        }
    }
}
