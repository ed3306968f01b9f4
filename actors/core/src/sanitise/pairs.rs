//! Finding what is sensitive by the name before it: `key=value`, `key: value`, `("key", "value")`, and the user in a
//! URL. Where its value ends, `values` tells.

use super::Rules;
use super::detect::{Region, after_escape};
use super::fields::{Role, two_words};
use super::keys::find;
use super::mask::{What, ends_with_placeholder, is_placeholder};
use super::values::{self, ENTITIES, closing_quote};

/// The longest name looked for before a separator, in bytes.
const MAX_NAME: usize = 128;
/// Quotes, escapes and spaces passed over between a name and its separator.
const MAX_GAP: usize = 8;
/// The longest user before a host, in bytes.
const MAX_AUTHORITY: usize = 2048;
/// How far from a name something is looked for that tells what it means, in bytes.
const MAX_CONTEXT: usize = 512;

/// Where a name stands.
#[derive(Clone, Copy)]
struct Name {
    start: usize,
    end: usize,
}

/// Looks at the `:` or `=` at `at`.
pub(super) fn at(text: &[u8], at: usize, floor: usize, rules: &Rules) -> Option<Region> {
    if let Some(start) = authority(text, at) {
        return userinfo(text, start);
    }
    let name = name_before(text, at, floor)?;
    let spelled = &text[name.start..name.end];
    let (judged, role) = judge(spelled, rules);
    let what = match (judged.or_else(|| words(text, name, floor)), role) {
        (Some(what), _) => what,
        (None, Role::Name) if in_url(text, name) && spelled.eq_ignore_ascii_case(b"key") => What::Key,
        (None, Role::Name) => return super::markup::part(text, at, rules),
        (None, Role::Value) => sibling(text, name.start, rules)?,
        (None, Role::Number) => in_card(text, name.start, rules).then_some(What::Card)?,
        (None, Role::Grant) => grant(text, name).then_some(What::Key)?,
        (None, Role::None | Role::Card) => return None,
    };
    let (start, end) = values::after(text, at + 1, name.start, what)?;
    let content = &text[start..end];
    let says_nothing = [&b"true"[..], b"false", b"null", b"none", b"yes", b"no"]
        .iter()
        .any(|word| content.eq_ignore_ascii_case(word));
    (start < end && !says_nothing && !is_placeholder(content)).then_some((start, end, what))
}

/// Looks at the `,` at `at`, which may stand between a name and its value: `("authorization", "…")`.
pub(super) fn listed(text: &[u8], at: usize, floor: usize, rules: &Rules) -> Option<Region> {
    let quoted = text[floor..at].strip_suffix(b"\"").or_else(|| text[floor..at].strip_suffix(b"'"))?;
    let escapes = quoted.iter().rev().take(MAX_GAP).take_while(|&&byte| byte == b'\\').count();
    let end = floor + quoted.len() - escapes;
    let start = word_start(text, end, floor);
    let before = text[floor..start].strip_suffix(&[text[at - 1]])?;
    let open = before.iter().rev().find(|&&byte| byte != b'\\')?;
    if !matches!(open, b'(' | b'[') {
        return None;
    }
    let what = rules.fields.judge(&text[start..end]).what?;
    let gap = text[at + 1..].iter().take(MAX_GAP).take_while(|byte| byte.is_ascii_whitespace()).count();
    let from = at + 1 + gap;
    let escapes = text[from..].iter().take(MAX_GAP).take_while(|&&byte| byte == b'\\').count();
    let &quote = text.get(from + escapes).filter(|byte| matches!(byte, b'"' | b'\''))?;
    let content = from + escapes + 1;
    let close = closing_quote(text, content, quote, escapes);
    (content < close && !is_placeholder(&text[content..close])).then_some((content, close, what))
}

/// Where the authority of a URL begins whose scheme ends at `at`. JSON may escape its slashes.
fn authority(text: &[u8], at: usize) -> Option<usize> {
    let slash = |rest: &[u8]| match rest {
        [b'/', ..] => Some(1),
        [b'\\', b'/', ..] => Some(2),
        _ => None,
    };
    let first = slash(text.get(at + 1..)?).filter(|_| text[at] == b':')?;
    let second = slash(text.get(at + 1 + first..)?)?;
    Some(at + 1 + first + second)
}

/// `user:password@` of a URL whose authority begins at `start`. A password may hold what should be encoded in it.
fn userinfo(text: &[u8], start: usize) -> Option<Region> {
    let window = &text[start..text.len().min(start + MAX_AUTHORITY)];
    let parts = |(at, byte): (usize, &u8)| match byte {
        b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'\'' | b'<' | b'>' => true,
        b'\\' => values::is_escape(&window[at + 1..]),
        _ => false,
    };
    let word = &window[..window.iter().enumerate().position(parts).unwrap_or(window.len())];
    let length = word.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(word.len());
    let sign = word[..length].iter().rposition(|&byte| byte == b'@').or_else(|| {
        // What follows the colon of a host is a port, or nothing.
        let colon = word[..length].iter().position(|&byte| byte == b':')?;
        let is_port = word[colon + 1..length].iter().all(u8::is_ascii_digit);
        let is_masked = word[..colon].ends_with(b"[masked");
        (!is_port && !is_masked && !word.starts_with(b"["))
            .then(|| word.iter().rposition(|&byte| byte == b'@'))?
    })?;
    let first = word.iter().position(|&byte| byte == b']').map_or(&word[..0], |at| &word[..=at]);
    (sign > 0 && !is_placeholder(first)).then_some((start, start + sign, What::Userinfo))
}

fn name_before(text: &[u8], at: usize, floor: usize) -> Option<Name> {
    let gap = |byte: &u8| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'`' | b'\\');
    let mut end = at - text[floor..at].iter().rev().take(MAX_GAP).take_while(|byte| gap(byte)).count();
    if let Some(entity) = ENTITIES.iter().find(|entity| text[floor..end].ends_with(entity)) {
        end -= entity.len();
    } else if text[floor..end].ends_with(b")") && text[at + 1..].starts_with(b"(") {
        // `Key (email)=(…)`, as PostgreSQL tells.
        end -= 1;
    }
    let start = after_escape(text, word_start(text, end, floor), end);
    let name = &text[start..end];
    let is_name = name.iter().any(u8::is_ascii_alphabetic) && !name.ends_with(b"[masked");
    is_name.then_some(Name { start, end })
}

fn word_start(text: &[u8], end: usize, floor: usize) -> usize {
    let in_name =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']');
    let start = end - text[floor..end].iter().rev().take(MAX_NAME).take_while(|byte| in_name(byte)).count();
    // A placeholder is no part of a name.
    let mut brackets = (start..end).rev().filter(|&at| text[at] == b']').map(|at| at + 1);
    brackets.find(|&after| ends_with_placeholder(&text[floor..after])).unwrap_or(start)
}

/// What a name in text says: as a whole, by its parts in brackets, by what follows its last dot.
fn judge(name: &[u8], rules: &Rules) -> (Option<What>, Role) {
    let judged = if name.contains(&b'[') { rules.fields.judge_path(name) } else { rules.fields.judge(name) };
    if judged.what.is_some() {
        return (judged.what, judged.role);
    }
    let last = name.rsplit(|&byte| byte == b'.').next().filter(|last| last.len() < name.len());
    let judged = last.map_or(judged, |last| rules.fields.judge(last));
    (judged.what, judged.role)
}

/// Whether the name stands where those of a query do.
fn in_url(text: &[u8], name: Name) -> bool {
    text[..name.start].ends_with(b"&amp;") || matches!(text[..name.start].last(), Some(b'?' | b'&' | b'#'))
}

/// Whether `code` or `state` are those of an OAuth grant.
fn grant(text: &[u8], name: Name) -> bool {
    let in_url = in_url(text, name);
    if in_url && text[name.start..name.end].eq_ignore_ascii_case(b"code") {
        return true;
    }
    let near = &text[name.start.saturating_sub(MAX_CONTEXT)..text.len().min(name.end + MAX_CONTEXT)];
    speaks_of_grant(near)
        || (in_url
            && [&b"?code="[..], b"&code=", b"&amp;code="].iter().any(|code| find(near, code).is_some()))
}

/// Whether this is about an OAuth grant.
pub(super) fn speaks_of_grant(text: &[u8]) -> bool {
    [&b"grant_type"[..], b"code_verifier", b"redirect_uri", b"response_type", b"grantType", b"redirectUri"]
        .iter()
        .any(|word| find(text, word).is_some())
}

/// Two words that are a sensitive name together.
fn words(text: &[u8], name: Name, floor: usize) -> Option<What> {
    let one_space = name.start > floor + 1 && text[name.start - 1] == b' ';
    one_space.then(|| two_words(&text[word_start(text, name.start - 1, floor)..name.end])).flatten()
}

/// What the sibling before a `value` names it: `name="password" value="…"`.
fn sibling(text: &[u8], start: usize, rules: &Rules) -> Option<What> {
    let from = start.saturating_sub(MAX_CONTEXT);
    let around = text[from..start].iter().rposition(|byte| matches!(byte, b'{' | b'}' | b'<' | b'>' | b';'));
    let from = around.map_or(from, |at| from + at + 1);
    (from..start).rev().filter(|&at| matches!(text[at], b':' | b'=')).find_map(|at| {
        let name = name_before(text, at, from)?;
        if rules.fields.judge(&text[name.start..name.end]).role != Role::Name {
            return None;
        }
        let (start, end) = values::after(text, at + 1, name.start, What::Secret)?;
        rules.fields.judge(&text[start..end]).what
    })
}

/// Whether the object in which a `number` stands is a card.
fn in_card(text: &[u8], start: usize, rules: &Rules) -> bool {
    let from = start.saturating_sub(MAX_CONTEXT);
    let mut depth = 0_usize;
    for at in (from..start).rev() {
        match text[at] {
            b'}' => depth += 1,
            b'{' if depth > 0 => depth -= 1,
            b'{' => {
                let colon =
                    at - text[from..at].iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
                let sign = text[from..colon].last().is_some_and(|byte| matches!(byte, b':' | b'='));
                let name = sign.then(|| name_before(text, colon - 1, from)).flatten();
                return name
                    .is_some_and(|name| rules.fields.judge(&text[name.start..name.end]).role == Role::Card);
            }
            _ => {}
        }
    }
    false
}
