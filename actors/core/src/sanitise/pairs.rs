//! Finding what is sensitive by the name before it: `key=value`, `key: value`, `<key>value</key>`, and the user in a
//! URL.
//!
//! This is for text, where nobody says where a value ends. It ends where the text says so (quotes, brackets, tags),
//! else at white space or at what separates pairs; rather a word too many is masked than a secret shown in part.

use super::detect::Region;
use super::fields::{Fields, two_words};
use super::keys::find;
use super::mask::What;

/// The longest name looked for before a separator, in bytes.
const MAX_NAME: usize = 128;
/// How far back a tag may begin.
const MAX_TAG: usize = 256;
/// Quotes, escapes and spaces passed over between a name, its separator and its value.
const MAX_GAP: usize = 8;

/// Looks at the `:` or `=` at `at`.
pub(super) fn at(text: &[u8], at: usize, floor: usize, fields: &Fields) -> Option<Region> {
    if text[at..].starts_with(b"://") {
        return userinfo(text, at + 3);
    }
    let what = name_before(text, at, floor, fields)?;
    let skip = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'=' | b':' | b'>');
    let start = at + 1 + text[at + 1..].iter().take(MAX_GAP).take_while(|byte| skip(byte)).count();
    let (start, end) = value(text, start, what)?;
    let content = &text[start..end];
    let says_nothing =
        [&b"true"[..], b"false", b"null", b"none"].iter().any(|word| content.eq_ignore_ascii_case(word));
    (start < end && !says_nothing && !content.starts_with(b"[masked:")).then_some((start, end, what))
}

/// Looks at the `>` at `at`, which may end the opening tag of a sensitive element.
pub(super) fn element(text: &[u8], at: usize, floor: usize, fields: &Fields) -> Option<Region> {
    let from = floor.max(at.saturating_sub(MAX_TAG));
    let open = from + text[from..at].iter().rposition(|&byte| byte == b'<')?;
    let tag = &text[open + 1..at];
    if !tag.first().is_some_and(u8::is_ascii_alphabetic) || tag.ends_with(b"/") || tag.contains(&b'>') {
        return None;
    }
    let name = &tag[..tag.iter().position(u8::is_ascii_whitespace).unwrap_or(tag.len())];
    let local = name.rsplit(|&byte| byte == b':').next().unwrap_or(name);
    let what = fields.judge(local).what?;
    let close = [b"</", name].concat();
    let end = at + 1 + find(&text[at + 1..], &close).unwrap_or(text.len() - at - 1);
    (end > at + 1).then_some((at + 1, end, what))
}

/// `user:password@` of a URL whose authority begins at `start`.
fn userinfo(text: &[u8], start: usize) -> Option<Region> {
    let ends = |byte: &u8| {
        byte.is_ascii_whitespace() || matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>')
    };
    let length = text[start..].iter().position(ends).unwrap_or(text.len() - start);
    let sign = text[start..start + length].iter().rposition(|&byte| byte == b'@')?;
    (sign > 0).then_some((start, start + sign, What::Userinfo))
}

fn name_before(text: &[u8], at: usize, floor: usize, fields: &Fields) -> Option<What> {
    let gap = |byte: &u8| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'`' | b'\\');
    let end = at - text[floor..at].iter().rev().take(MAX_GAP).take_while(|byte| gap(byte)).count();
    let start = word_start(text, end, floor);
    let name = &text[start..end];
    if name.iter().all(|byte| !byte.is_ascii_alphabetic()) {
        return None;
    }
    if let Some(what) = fields.judge(name).what {
        return Some(what);
    }
    let one_space = start > floor + 1 && text[start - 1] == b' ';
    one_space.then(|| two_words(&text[word_start(text, start - 1, floor)..end])).flatten()
}

fn word_start(text: &[u8], end: usize, floor: usize) -> usize {
    let in_name =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']');
    end - text[floor..end].iter().rev().take(MAX_NAME).take_while(|byte| in_name(byte)).count()
}

/// Where the value that begins at `start` begins and ends, without its quotes.
fn value(text: &[u8], start: usize, what: What) -> Option<(usize, usize)> {
    let escapes = text[start..].iter().take(MAX_GAP).take_while(|&&byte| byte == b'\\').count();
    match text.get(start + escapes)? {
        &quote @ (b'"' | b'\'' | b'`') => {
            let content = start + escapes + 1;
            Some((content, closing_quote(text, content, quote, escapes)))
        }
        b'{' | b'[' if escapes == 0 && !text[start..].starts_with(b"[masked:") => {
            Some((start, closing_bracket(text, start)))
        }
        _ if matches!(what, What::Authorization | What::Cookie) => Some((start, line_end(text, start))),
        _ => Some((start, unquoted(text, start, what))),
    }
}

/// The quote that is escaped as often as the opening one was; the end of the text if it is cut off.
fn closing_quote(text: &[u8], content: usize, quote: u8, escapes: usize) -> usize {
    let mut backslashes = 0;
    for (index, &byte) in text[content..].iter().enumerate() {
        if byte == b'\\' {
            backslashes += 1;
            continue;
        }
        let closes = if escapes == 0 { backslashes % 2 == 0 } else { backslashes <= escapes };
        if byte == quote && closes {
            return content + index - if escapes == 0 { 0 } else { backslashes };
        }
        backslashes = 0;
    }
    text.len()
}

fn closing_bracket(text: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    for (index, byte) in text[start..].iter().enumerate() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return start + index + 1;
        }
    }
    text.len()
}

fn line_end(text: &[u8], start: usize) -> usize {
    let ends = |byte: &u8| matches!(byte, b'\n' | b'\r' | b'"' | b'\'');
    start + text[start..].iter().position(ends).unwrap_or(text.len() - start)
}

fn unquoted(text: &[u8], start: usize, what: What) -> usize {
    let mut end = word_end(text, start);
    let scheme = &text[start..end];
    let is_scheme = [&b"bearer"[..], b"basic", b"token", b"digest", b"apikey", b"negotiate"]
        .iter()
        .any(|word| scheme.eq_ignore_ascii_case(word));
    let in_groups = matches!(
        what,
        What::Phone | What::Card | What::Account | What::Iban | What::Ssn | What::Cvc | What::Field
    );
    let mut first = true;
    while text.get(end) == Some(&b' ') {
        let next = word_end(text, end + 1);
        let word = &text[end + 1..next];
        let goes_on =
            (first && is_scheme && !word.is_empty()) || (in_groups && word.iter().any(u8::is_ascii_digit));
        if !goes_on {
            break;
        }
        first = false;
        end = next;
    }
    end
}

/// The end of a value without quotes: white space, a quote, `&`, or a separator with something after it that looks
/// like the next pair. A comma within a password is none.
fn word_end(text: &[u8], start: usize) -> usize {
    let ends = |(index, byte): (usize, &u8)| match byte {
        b' ' | b'\t' | b'\n' | b'\r' | b'&' | b'"' | b'\'' | b'<' | b'\\' => true,
        b',' | b';' | b'|' | b'}' | b']' | b')' => separates(&text[start + index + 1..]),
        _ => false,
    };
    start + text[start..].iter().enumerate().position(ends).unwrap_or(text.len() - start)
}

fn separates(rest: &[u8]) -> bool {
    match rest.first() {
        None => true,
        Some(byte) if !byte.is_ascii_alphanumeric() => true,
        Some(_) => {
            let in_name = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
            let length = rest.iter().take(MAX_NAME).take_while(in_name).count();
            matches!(rest.get(length), Some(b'=' | b':'))
        }
    }
}
