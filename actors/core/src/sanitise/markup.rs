//! Finding what is sensitive by the name that markup gives it: elements of XML and HTML, written plainly or escaped,
//! and the parts of a multipart form.

use super::Rules;
use super::detect::Region;
use super::fields::Role;
use super::keys::find;
use super::mask::{What, is_placeholder};
use super::values;

/// How far back a tag may begin, and a name before it.
const MAX_TAG: usize = 256;
/// The longest head of a part, in bytes.
const MAX_HEAD: usize = 512;

/// Tags, plain and escaped: how they begin, how they end.
const PLAIN: (&[u8], &[u8]) = (b"<", b">");
const ESCAPED: (&[u8], &[u8]) = (b"&lt;", b"&gt;");

/// Looks at the `>` (or the `;` of a `&gt;`) at `at`, which may end the opening tag of a sensitive element.
pub(super) fn element(text: &[u8], at: usize, rules: &Rules) -> Option<Region> {
    let (begin, end) = if text[at] == b'>' { PLAIN } else { ESCAPED };
    let from = at.saturating_sub(MAX_TAG);
    let before = text[from..=at].strip_suffix(end)?;
    let open = from + rfind(before, begin)?;
    let tag = &before[open - from + begin.len()..];
    if !tag.first().is_some_and(u8::is_ascii_alphabetic) || tag.ends_with(b"/") || find(tag, end).is_some() {
        return None;
    }
    let name = &tag[..tag.iter().position(u8::is_ascii_whitespace).unwrap_or(tag.len())];
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-' | b'.');
    if !name.iter().all(in_name) {
        return None;
    }
    let local = name.rsplit(|&byte| byte == b':').next().unwrap_or(name);
    let judged = rules.fields.judge(local).what;
    let what =
        judged.or_else(|| attribute(tag, rules)).or_else(|| named_before(text, open, (begin, end), rules))?;
    let start = at + 1;
    let rest = &text[start..];
    let close = find(rest, &[begin, b"/", name].concat());
    let length = close.unwrap_or_else(|| {
        // Cut off, or no element at all: a word in angle brackets.
        let nested = rest.trim_ascii_start().starts_with(begin);
        let line = || find(rest, begin).into_iter().chain(find(rest, b"\n")).min();
        if nested { rest.len() } else { line().unwrap_or(rest.len()) }
    });
    let content = &rest[..length];
    (!content.trim_ascii().is_empty() && !is_placeholder(content)).then_some((start, start + length, what))
}

/// What an attribute says of an element's content: `<field name="password">`.
fn attribute(tag: &[u8], rules: &Rules) -> Option<What> {
    let signs = (0..tag.len()).filter(|&at| tag[at] == b'=');
    signs.into_iter().find_map(|at| {
        let start = tag[..at].iter().rposition(|byte| !byte.is_ascii_alphanumeric())?;
        let name = &tag[start + 1..at];
        if rules.fields.judge(name).role != Role::Name && !name.eq_ignore_ascii_case(b"id") {
            return None;
        }
        let (from, to) = values::after(tag, at + 1, start, What::Secret)?;
        rules.fields.judge(&tag[from..to]).what
    })
}

/// What the element before says of this one: `<name>password</name><value>…`.
fn named_before(text: &[u8], open: usize, (begin, end): (&[u8], &[u8]), rules: &Rules) -> Option<What> {
    let before = text[open.saturating_sub(MAX_TAG)..open].trim_ascii_end().strip_suffix(end)?;
    let closing = rfind(before, &[begin, b"/"].concat())?;
    let name = &before[closing + begin.len() + 1..];
    if rules.fields.judge(name).role != Role::Name {
        return None;
    }
    let content = &before[..closing];
    let from = rfind(content, end)? + end.len();
    rules.fields.judge(content[from..].trim_ascii()).what
}

/// Looks at the `=` at `at` before the name of a part: `Content-Disposition: form-data; name="password"`.
pub(super) fn part(text: &[u8], at: usize, rules: &Rules) -> Option<Region> {
    find(&text[at.saturating_sub(MAX_TAG)..at], b"form-data")?;
    let (from, to) = values::after(text, at + 1, at, What::Secret)?;
    let what = rules.fields.judge_path(&text[from..to]).what?;
    let head = &text[to..text.len().min(to + MAX_HEAD)];
    let blank = |mark: &[u8]| find(head, mark).map(|at| to + at + mark.len());
    // Lines end as they do on the wire, or as an error message quotes them.
    let ends: [(&[u8], &[u8]); 4] =
        [(b"\r\n\r\n", b"\r\n--"), (b"\n\n", b"\n--"), (b"\\r\\n\\r\\n", b"\\r\\n--"), (b"\\n\\n", b"\\n--")];
    let (start, close) = ends.iter().find_map(|(mark, close)| Some((blank(mark)?, *close)))?;
    let end = find(&text[start..], close).map_or(text.len(), |length| start + length);
    (start < end && !is_placeholder(&text[start..end])).then_some((start, end, what))
}

fn rfind(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).rposition(|window| window == needle)
}
