//! Writing text so that it stays one line of what it is, and cutting it.

use std::borrow::Cow;

/// Writes a character that must not stand raw, as a JSON string (and a person) would write it.
pub(super) fn push_control(out: &mut Vec<u8>, character: char) {
    match character {
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        _ => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            let code = u32::from(character);
            out.extend_from_slice(b"\\u");
            for shift in [12, 8, 4, 0] {
                out.push(HEX[(code >> shift & 0xf) as usize]);
            }
        }
    }
}

/// Writes the inside of a JSON string; control characters are not in it.
pub(super) fn push_json(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

/// Takes the escapes of a JSON string away. What is no escape is no JSON.
pub(super) fn unescape(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let plain = match rest.get(at + 1)? {
            &byte @ (b'"' | b'\\' | b'/') => byte,
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 0x08,
            b'f' => 0x0c,
            b'u' => {
                let (character, length) = unicode(&rest[at..])?;
                push(&mut out, character);
                rest = &rest[at + length..];
                continue;
            }
            _ => return None,
        };
        out.push(plain);
        rest = &rest[at + 2..];
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// How often escapes within escapes are taken away.
const MAX_LAYERS: usize = 4;

/// Takes every `\uXXXX` and `\/` away and leaves other escapes: text may quote JSON, whole or in part. Quotes,
/// backslashes and control characters stay escaped, for where strings end must not change. Escapes within escapes
/// are taken away as well.
pub(super) fn decode_unicode(text: &[u8]) -> Cow<'_, [u8]> {
    let mut decoded = Cow::Borrowed(text);
    for _ in 0..MAX_LAYERS {
        match decode_layer(&decoded) {
            Some(inner) => decoded = Cow::Owned(inner),
            None => break,
        }
    }
    decoded
}

fn decode_layer(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = text[at..].iter().position(|&byte| byte == b'\\') {
        at += found;
        let decoded = match text.get(at + 1) {
            Some(b'/') => Some(('/', 2)),
            Some(_) => unicode(&text[at..]),
            None => None,
        };
        match decoded {
            Some((character, length))
                if !character.is_control() && !matches!(character, '"' | '\'' | '\\') =>
            {
                out.extend_from_slice(&text[copied..at]);
                push(&mut out, character);
                at += length;
                copied = at;
            }
            other => at += other.map_or(1, |(_, length)| length),
        }
    }
    if copied == 0 {
        return None;
    }
    out.extend_from_slice(&text[copied..]);
    Some(out)
}

/// The character of a `\uXXXX` (or of two) at the beginning, and how long that is.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let first = hex(text)?;
    if (0xd800..0xdc00).contains(&first) {
        let second = text.get(6..).and_then(hex).filter(|second| (0xdc00..0xe000).contains(second));
        if let Some(second) = second {
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return Some((char::from_u32(code)?, 12));
        }
    }
    Some((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6))
}

fn hex(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |code, &digit| Some(code * 16 + char::from(digit).to_digit(16)?))
}

fn push(out: &mut Vec<u8>, character: char) {
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Cuts to `cap` bytes at the boundary of a character and says how much is left out: of what was written, and
/// `unread` bytes of what was not even looked at.
pub(super) fn cut(out: Vec<u8>, cap: usize, unread: usize) -> String {
    let mut text = match String::from_utf8(out) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    };
    if text.len() <= cap && unread == 0 {
        return text;
    }
    let kept = text.floor_char_boundary(cap);
    let left_out = text.len() - kept + unread;
    text.truncate(kept);
    text.push_str("…[truncated ");
    text.push_str(&left_out.to_string());
    text.push_str(" bytes]");
    text
}

/// The beginning of `text`, at most `length` bytes, cut at the boundary of a character.
pub(super) fn beginning(text: &[u8], length: usize) -> &[u8] {
    if text.len() <= length {
        return text;
    }
    let back = text[..=length].iter().rev().position(|byte| byte & 0xc0 != 0x80).unwrap_or(0);
    &text[..length - back]
}
