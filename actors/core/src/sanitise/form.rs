//! Masking forms and URLs: names and values in percent-encoding.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};

use super::detect::{Finder, Kind};
use super::escape::{decode_unicode, push_control};
use super::fields::Fields;
use super::mask::What;

/// What a masked value is encoded with, so that the pairs stay pairs.
const ENCODED: &AsciiSet = &CONTROLS.add(b'&').add(b'=').add(b'%').add(b'+').add(b'#').add(b' ').add(b'"');

/// Names that are sensitive in a URL and nowhere else: API keys are often called so.
const IN_URL: [&[u8]; 2] = [b"key", b"code"];

/// Masks `a=1&b=2` until more than `cap` bytes are written; returns how many bytes of `text` were not read.
pub(super) fn pairs(out: &mut Vec<u8>, text: &[u8], cap: usize, fields: &Fields, in_url: bool) -> usize {
    let mut read = 0;
    for pair in text.split(|&byte| byte == b'&') {
        if read > 0 {
            out.push(b'&');
        }
        read += pair.len() + 1;
        match pair.iter().position(|&byte| byte == b'=') {
            Some(sign) => named(out, &pair[..sign], &pair[sign + 1..], fields, in_url),
            None => encoded(out, pair, fields),
        }
        if out.len() > cap {
            break;
        }
    }
    text.len().saturating_sub(read)
}

fn named(out: &mut Vec<u8>, name: &[u8], value: &[u8], fields: &Fields, in_url: bool) {
    let decoded = decode(name);
    let in_url = in_url && IN_URL.iter().any(|name| decoded.eq_ignore_ascii_case(name));
    let what = fields.judge(&decoded).what.or(in_url.then_some(What::Key));
    encoded(out, name, fields);
    out.push(b'=');
    match what {
        Some(what) if !value.is_empty() => out.extend_from_slice(what.placeholder().as_bytes()),
        _ => encoded(out, value, fields),
    }
}

/// Copies what is harmless once decoded; else writes it decoded, masked, and encoded again.
fn encoded(out: &mut Vec<u8>, raw: &[u8], fields: &Fields) {
    let Cow::Owned(decoded) = decode(raw) else {
        return text(out, raw, fields);
    };
    if !Finder::new(&decoded, fields).any(|found| matches!(found.kind, Kind::Mask(_))) {
        return text(out, raw, fields);
    }
    let mut copied = 0;
    for found in Finder::new(&decoded, fields) {
        push_encoded(out, &decoded[copied..found.start]);
        match found.kind {
            Kind::Mask(what) => out.extend_from_slice(what.placeholder().as_bytes()),
            Kind::Control(_) => push_encoded(out, &decoded[found.start..found.end]),
        }
        copied = found.end;
    }
    push_encoded(out, &decoded[copied..]);
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
pub(super) fn text(out: &mut Vec<u8>, text: &[u8], fields: &Fields) {
    let mut copied = 0;
    for found in Finder::new(text, fields) {
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
pub(super) fn url(out: &mut Vec<u8>, url: &[u8], fields: &Fields) {
    let (rest, fragment) = part(url, b'#');
    let (base, query) = part(rest, b'?');
    text(out, base, fields);
    for (sign, pairs_text) in [(b'?', query), (b'#', fragment)] {
        if let Some(pairs_text) = pairs_text {
            out.push(sign);
            pairs(out, pairs_text, usize::MAX, fields, true);
        }
    }
}

fn part(text: &[u8], sign: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|&byte| byte == sign) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}
