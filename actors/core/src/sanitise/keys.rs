//! Finding keys and tokens: by the prefixes that providers give them, behind the name of a scheme, and in PEM blocks.

use super::detect::Region;
use super::mask::What;
use super::numbers;
use super::prefixes::{STARTS, key};

/// The longest PEM block without a beginning, in bytes.
const MAX_PEM: usize = 16 * 1024;

/// Whether a prefix, a scheme or an IBAN may begin with this byte.
pub(super) const fn begins(first: usize) -> bool {
    STARTS[first] != 0 || first == b'b' as usize || (first as u8).is_ascii_uppercase()
}

/// Whether one may begin with these bytes.
#[inline]
pub(super) fn may_begin(first: u8, next: &[u8]) -> bool {
    match (first, next) {
        (_, [second, ..]) if STARTS[usize::from(first & 127)] >> (second & 31) & 1 == 1 => true,
        (b'b' | b'B', [b'a' | b'e' | b'A' | b'E', ..]) => true,
        (b'A'..=b'Z', [b'A'..=b'Z', b'0'..=b'9', ..]) => true,
        _ => false,
    }
}

/// A key by its prefix, what follows `Bearer` and `Basic`, or an IBAN, at the beginning of a word.
pub(super) fn prefixed(text: &[u8], start: usize) -> Option<Region> {
    let rest = &text[start..];
    if let Some((length, what)) = key(rest) {
        return Some((start, start + length, what));
    }
    if let Some(length) = numbers::iban(rest) {
        return Some((start, start + length, What::Iban));
    }
    if matches!(rest, [b'b' | b'B', ..]) { scheme(text, start) } else { None }
}

/// Words that follow `Bearer` and `Basic` in sentences about them.
const NO_CREDENTIALS: [&[u8]; 12] = [
    b"token",
    b"tokens",
    b"auth",
    b"authentication",
    b"authorization",
    b"scheme",
    b"format",
    b"header",
    b"error",
    b"is",
    b"realm",
    b"of",
];

fn scheme(text: &[u8], start: usize) -> Option<Region> {
    let rest = &text[start..];
    let is = |word: &[u8]| rest.len() > word.len() && rest[..word.len()].eq_ignore_ascii_case(word);
    let (length, bearer) = if is(b"bearer") {
        (6, true)
    } else if is(b"basic") {
        (5, false)
    } else {
        return None;
    };
    let mut from = start + length;
    while matches!(text.get(from), Some(b' ' | b'\t' | b'+')) || text[from..].starts_with(b"%20") {
        from += if text[from] == b'%' { 3 } else { 1 };
    }
    let in_token = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=' | b'%' | b':')
    };
    let token = &text[from..from + text[from..].iter().take_while(|byte| in_token(byte)).count()];
    if from == start + length || token.is_empty() {
        return None;
    }
    let is_word = |word: &&[u8]| token.eq_ignore_ascii_case(word);
    let is_base64 = token.len() >= 4
        && token[1..].iter().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'=');
    let credentials = if bearer {
        !NO_CREDENTIALS.iter().any(is_word) && !token.starts_with(b"realm=") && !token.starts_with(b"error=")
    } else {
        is_base64 && !token.starts_with(b"realm=")
    };
    credentials.then_some((from, from + token.len(), What::Secret))
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";

/// The PEM block that begins at `start`, or whose beginning is cut off and which ends there.
pub(super) fn pem(text: &[u8], start: usize, floor: usize) -> Option<Region> {
    let closed = |from: usize| find(&text[from..], b"-----").map_or(text.len(), |close| from + close + 5);
    if text[start..].starts_with(BEGIN) {
        let inside = start + BEGIN.len();
        let end = find(&text[inside..], END).map_or(text.len(), |end| closed(inside + end + END.len()));
        return Some((start, end, What::Pem));
    }
    if text[start..].starts_with(END) {
        let length = text[floor..start].iter().rev().take(MAX_PEM).take_while(in_block).count();
        return Some((start - length, closed(start + END.len()), What::Pem));
    }
    None
}

/// The block that ends right behind the padding at `start` and whose beginning is cut off: what stands before the
/// padding is no name, whatever it looks like.
pub(super) fn padded_pem(text: &[u8], start: usize, floor: usize) -> Option<Region> {
    if text[start] != b'=' {
        return None;
    }
    // Padding, and a line's end, as it is or as escapes.
    let end = start + text[start..].iter().take(24).take_while(in_block).count();
    text[end..].starts_with(END).then(|| pem(text, end, floor)).flatten()
}

/// Looks at a line's end within what may be a PEM block whose beginning is cut off: the block, or up to where there is
/// none.
pub(super) fn cut_pem(text: &[u8], at: usize, floor: usize) -> Result<Region, usize> {
    let end = at + text[at..].iter().take(MAX_PEM).take_while(in_block).count();
    let block = text[end..].starts_with(END).then(|| pem(text, end, floor)).flatten();
    block.ok_or(end)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what iterators ask for")]
fn in_block(byte: &&u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'\\' | b'\n' | b'\r')
}

pub(super) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let (&first, rest) = needle.split_first()?;
    let mut from = 0;
    while let Some(at) = text.get(from..)?.iter().position(|&byte| byte == first) {
        if text[from + at + 1..].starts_with(rest) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
