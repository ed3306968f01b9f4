//! Where the value ends that follows a sensitive name in text.
//!
//! Nobody says so in text. It ends where the text says so (quotes, brackets, indentation), else at white space or at
//! what separates pairs; rather a word too many is masked than a secret shown in part.

use super::mask::What;

/// Spaces, quotes and escapes passed over between a separator and its value.
const MAX_GAP: usize = 64;
/// The longest name that tells the next pair.
const MAX_NAME: usize = 128;
/// The longest line looked at for its indentation, in bytes.
const MAX_LINE: usize = 512;
/// Quotes as HTML writes them.
pub(super) const ENTITIES: [&[u8]; 4] = [b"&quot;", b"&#34;", b"&#39;", b"&apos;"];

/// The value behind the separator that ends at `from`, of the name at `name`: from, to, without its quotes.
pub(super) fn after(text: &[u8], from: usize, name: usize, what: What) -> Option<(usize, usize)> {
    let skip = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'=' | b':' | b'>');
    let start = from + text.get(from..)?.iter().take(MAX_GAP).take_while(|byte| skip(byte)).count();
    if let Some(region) = block(text, from, start, name) {
        return Some(region);
    }
    let escapes = text[start..].iter().take(MAX_GAP).take_while(|&&byte| byte == b'\\').count();
    if let Some(entity) = ENTITIES.iter().find(|entity| text[start..].starts_with(entity)) {
        let content = start + entity.len();
        return Some((
            content,
            super::keys::find(&text[content..], entity).map_or(text.len(), |at| content + at),
        ));
    }
    match *text.get(start + escapes)? {
        quote @ (b'"' | b'\'' | b'`') => {
            let content = start + escapes + 1;
            Some((content, closing_quote(text, content, quote, escapes)))
        }
        bracket @ (b'{' | b'[' | b'(') if escapes == 0 => {
            Some((start, word_end(text, closing_bracket(text, start, bracket))))
        }
        _ if matches!(what, What::Authorization | What::Cookie) => Some((start, line_end(text, start))),
        _ => Some((start, unquoted(text, start, what))),
    }
}

/// A value on lines of its own, further in than its name, as YAML writes lists, maps and long texts.
fn block(text: &[u8], from: usize, start: usize, name: usize) -> Option<(usize, usize)> {
    let (mut first, end_of) = (start, |at: usize| {
        at + text[at..].iter().position(|&byte| byte == b'\n').unwrap_or(text.len() - at)
    });
    if matches!(text.get(start), Some(b'"' | b'\'' | b'{' | b'[' | b'`' | b'\\' | b'<') | None) {
        return None;
    }
    if text[start] == b'|' {
        let line = &text[start + 1..end_of(start)];
        if !line.iter().all(|byte| matches!(byte, b'-' | b'+' | b'0'..=b'9' | b' ' | b'\r')) {
            return None;
        }
        first = (end_of(start) + 1).min(text.len());
    } else {
        // `>-` has been taken for a separator in part.
        let gap = &text[from..start];
        let folded = gap.contains(&b'>') && matches!(text[start], b'-' | b'+');
        if folded && text[start + 1..end_of(start)].trim_ascii().is_empty() {
            first = (end_of(start) + 1).min(text.len());
        } else if !gap.contains(&b'\n') {
            return None;
        }
    }
    let line_start =
        |at: usize| at - text[..at].iter().rev().take(MAX_LINE).take_while(|&&byte| byte != b'\n').count();
    let indent = |at: usize| text[at..].iter().take(MAX_LINE).take_while(|&&byte| byte == b' ').count();
    let name_at = line_start(name);
    let depth = indent(name_at);
    let mut at = line_start(first);
    let mut end = start;
    while at < text.len() {
        let line_end = end_of(at);
        let inner = indent(at);
        let blank = text[at..line_end].trim_ascii().is_empty();
        let item = inner == depth && text[at + inner..].starts_with(b"- ");
        if !blank && inner <= depth && !item {
            break;
        }
        if !blank {
            end = line_end;
        }
        at = line_end + 1;
    }
    (end > start).then_some((start, end))
}

/// The quote that is escaped as often as the opening one was; the end of the text if it is cut off.
pub(super) fn closing_quote(text: &[u8], content: usize, quote: u8, escapes: usize) -> usize {
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

/// Behind the bracket that closes the one at `start`. Those within strings are none; how often their quotes are
/// escaped the first one tells.
fn closing_bracket(text: &[u8], start: usize, open: u8) -> usize {
    let (mut depth, mut backslashes, mut quoted) = (0_usize, 0_usize, false);
    let mut escapes = None;
    for (index, &byte) in text[start..].iter().enumerate() {
        match byte {
            b'\\' => {
                backslashes += 1;
                continue;
            }
            b'"' if *escapes.get_or_insert(backslashes) == backslashes => quoted = !quoted,
            b'(' | b')' if open != b'(' => {}
            b'{' | b'[' | b'(' if !quoted => depth += 1,
            b'}' | b']' | b')' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        backslashes = 0;
        if depth == 0 {
            return start + index + 1;
        }
    }
    text.len()
}

/// The end of a header's value: that of the line, or a quote round the header, which is none of a parameter's.
fn line_end(text: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\n' | b'\r' => return at,
            b'\\' if is_escape(&text[at + 1..]) => return at,
            quote @ (b'"' | b'\'') if at > start && text[at - 1] == b'=' => {
                let close = closing_quote(text, at + 1, quote, 0);
                at = close;
            }
            b'"' | b'\'' => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// Whether a backslash before this is that of an escape.
pub(super) fn is_escape(after: &[u8]) -> bool {
    matches!(after.first(), None | Some(b'n' | b'r' | b't' | b'"' | b'\'' | b'\\'))
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

/// The end of a value without quotes: white space, a quote, or a separator with something after it that looks like
/// the next pair. A comma within a password is none.
fn word_end(text: &[u8], start: usize) -> usize {
    let ends = |(index, byte): (usize, &u8)| {
        let rest = &text[start + index + 1..];
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'\'' => true,
            b'<' => rest.starts_with(b"/"),
            b'\\' => is_escape(rest),
            b'&' => separates(rest) || ENTITIES.iter().any(|entity| rest.starts_with(&entity[1..])),
            b',' | b';' | b'|' | b'}' | b']' | b')' => separates(rest),
            _ => false,
        }
    };
    start + text[start..].iter().enumerate().position(ends).unwrap_or(text.len() - start)
}

fn separates(rest: &[u8]) -> bool {
    match rest.first() {
        None => true,
        Some(byte) if !byte.is_ascii_alphanumeric() => true,
        Some(_) => {
            let in_name = |byte: &&u8| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']' | b'%')
            };
            let length = rest.iter().take(MAX_NAME).take_while(in_name).count();
            matches!(rest.get(length), Some(b'=' | b':'))
        }
    }
}
