//! Masking forms and URLs: names and values in percent-encoding.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};

use super::detect::{Finder, Found, Kind, controls};
use super::escape::{decode_unicode, push_control};
use super::fields::Role;
use super::mask::What;
use super::pairs::speaks_of_grant;
use super::{Rules, json};

/// What a masked value is encoded with, so that the pairs stay pairs.
const ENCODED: &AsciiSet = &CONTROLS.add(b'&').add(b'=').add(b'%').add(b'+').add(b'#').add(b' ').add(b'"');

/// Masks `a=1&b=2` until more than `cap` bytes are written; returns how many bytes of `text` were not read.
pub(super) fn pairs(out: &mut Vec<u8>, text: &[u8], cap: usize, rules: &Rules, in_url: bool) -> usize {
    let context = Context { pairs: text, in_url };
    let mut read = 0;
    for pair in text.split(|&byte| byte == b'&') {
        if read > 0 {
            out.push(b'&');
        }
        read += pair.len() + 1;
        match pair.iter().position(|&byte| byte == b'=') {
            Some(sign) => named(out, &pair[..sign], &pair[sign + 1..], rules, context),
            None => encoded(out, pair, rules),
        }
        if out.len() > cap {
            break;
        }
    }
    text.len().saturating_sub(read)
}

/// The pairs that are masked together.
#[derive(Clone, Copy)]
struct Context<'a> {
    pairs: &'a [u8],
    in_url: bool,
}

impl Context<'_> {
    /// What a name is here that is harmless elsewhere: in a URL API keys are often called `key`, and `code` and `state`
    /// are secrets of an OAuth grant.
    fn judge(self, name: &[u8], role: Role) -> Option<What> {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        let sensitive = match role {
            Role::Name => self.in_url && is(b"key"),
            Role::Grant if is(b"code") => self.in_url || speaks_of_grant(self.pairs),
            Role::Grant => speaks_of_grant(self.pairs) || (self.in_url && self.has_code()),
            Role::None | Role::Card | Role::Number | Role::Value => false,
        };
        sensitive.then_some(What::Key)
    }

    fn has_code(self) -> bool {
        self.pairs.split(|&byte| byte == b'&').any(|pair| pair.starts_with(b"code="))
    }
}

fn named(out: &mut Vec<u8>, name: &[u8], value: &[u8], rules: &Rules, context: Context<'_>) {
    let decoded = decode(name);
    let judgement = rules.fields.judge_path(&decoded);
    let what = judgement.what.or_else(|| context.judge(&decoded, judgement.role));
    encoded(out, name, rules);
    out.push(b'=');
    match what {
        Some(what) if !value.is_empty() => out.extend_from_slice(what.placeholder().as_bytes()),
        _ => encoded(out, value, rules),
    }
}

/// Copies what is harmless once decoded; else writes it decoded, masked, and encoded again.
fn encoded(out: &mut Vec<u8>, raw: &[u8], rules: &Rules) {
    let Cow::Owned(decoded) = decode(raw) else {
        return text(out, raw, rules);
    };
    if let Some(nested) = json::nested(&decoded, rules) {
        return match nested {
            Some(masked) => push_encoded(out, &masked),
            None => plain(out, raw),
        };
    }
    if !Finder::new(&decoded, rules).any(|found| matches!(found.kind, Kind::Mask(_))) {
        return plain(out, raw);
    }
    let mut copied = 0;
    for found in Finder::new(&decoded, rules) {
        push_encoded(out, &decoded[copied..found.start]);
        match found.kind {
            Kind::Mask(what) => out.extend_from_slice(what.placeholder().as_bytes()),
            Kind::Control(_) => push_encoded(out, &decoded[found.start..found.end]),
        }
        copied = found.end;
    }
    push_encoded(out, &decoded[copied..]);
}

/// Copies what is harmless.
fn plain(out: &mut Vec<u8>, raw: &[u8]) {
    write(out, raw, controls(raw));
}

fn push_encoded(out: &mut Vec<u8>, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    utf8_percent_encode(&text, ENCODED).for_each(|part| out.extend_from_slice(part.as_bytes()));
}

/// `+` and percent-encoding taken away, and what JSON escapes are left in it.
fn decode(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.iter().any(|byte| matches!(byte, b'%' | b'+' | b'\\')) {
        return Cow::Borrowed(raw);
    }
    let spaced: Vec<u8> = raw.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    let decoded: Vec<u8> = percent_decode(&spaced).collect();
    let text = String::from_utf8_lossy(&decoded);
    Cow::Owned(decode_unicode(text.as_bytes()).into_owned())
}

/// Masks plain text. `text` is UTF-8.
pub(super) fn text(out: &mut Vec<u8>, text: &[u8], rules: &Rules) {
    write(out, text, Finder::new(text, rules));
}

fn write(out: &mut Vec<u8>, text: &[u8], regions: impl Iterator<Item = Found>) {
    let mut copied = 0;
    for found in regions {
        out.extend_from_slice(&text[copied..found.start]);
        match found.kind {
            Kind::Mask(what) => out.extend_from_slice(what.placeholder().as_bytes()),
            Kind::Control(character) => push_control(out, character),
        }
        copied = found.end;
    }
    out.extend_from_slice(&text[copied..]);
}

/// Masks a URL: the user before the host, the values of query and fragment, and whatever looks sensitive in its
/// path.
pub(super) fn url(out: &mut Vec<u8>, url: &[u8], rules: &Rules) {
    let (rest, fragment) = part(url, b'#');
    let (base, query) = part(rest, b'?');
    text(out, base, rules);
    for (sign, pairs_text) in [(b'?', query), (b'#', fragment)] {
        if let Some(pairs_text) = pairs_text {
            out.push(sign);
            pairs(out, pairs_text, usize::MAX, rules, true);
        }
    }
}

fn part(text: &[u8], sign: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|&byte| byte == sign) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}
