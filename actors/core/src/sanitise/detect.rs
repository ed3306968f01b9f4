//! Finding what is sensitive by its looks: one pass over text, with one table to say where a closer look is due.
//!
//! The pass stops only at bytes that may begin or mark something: an `@`, a digit, the first letter of a known
//! prefix at the beginning of a word, `:` and `=` (a name may stand before), `>` (a tag), control characters. A
//! closer look tells the region to mask, or that there is none; regions never overlap and come in order.

use super::cards::card;
use super::fields::Fields;
use super::keys;
use super::mask::What;
use super::pairs;

/// A region of the text that must not be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something sensitive.
    Mask(What),
    /// A character that could forge a line or turn the direction of writing.
    Control(char),
}

/// Goes through valid UTF-8.
pub(super) struct Finder<'a> {
    text: &'a [u8],
    fields: &'a Fields,
    at: usize,
    /// The end of the last region: nothing before is looked at again.
    floor: usize,
}

const AT: u8 = 1;
const PERCENT: u8 = 2;
const SEPARATOR: u8 = 3;
const DIGIT: u8 = 4;
const LETTER: u8 = 5;
const DASH: u8 = 6;
const CONTROL: u8 = 7;
const TAG: u8 = 8;

/// Where a closer look is due. The second half is for bytes within a word, where no prefix begins.
const CLASS: [u8; 512] = {
    let mut class = [0; 512];
    let mut byte = 0;
    while byte < 0x20 {
        class[byte] = CONTROL;
        byte += 1;
    }
    class[0x7f] = CONTROL;
    class[0xc2] = CONTROL;
    class[0xe2] = CONTROL;
    byte = b'0' as usize;
    while byte <= b'9' as usize {
        class[byte] = DIGIT;
        byte += 1;
    }
    byte = 0;
    while byte < 128 {
        if keys::begins(byte) {
            class[byte] = LETTER;
        }
        byte += 1;
    }
    class[b'@' as usize] = AT;
    class[b'%' as usize] = PERCENT;
    class[b':' as usize] = SEPARATOR;
    class[b'=' as usize] = SEPARATOR;
    class[b'-' as usize] = DASH;
    class[b'>' as usize] = TAG;
    byte = 0;
    while byte < 256 {
        class[256 + byte] = if class[byte] == LETTER { 0 } else { class[byte] };
        byte += 1;
    }
    class
};

/// What comes after this byte: 256 if that is within a word.
const WITHIN_WORD: [usize; 256] = {
    let mut within = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            within[byte] = 256;
        }
        byte += 1;
    }
    within
};

impl<'a> Finder<'a> {
    pub(super) const fn new(text: &'a [u8], fields: &'a Fields) -> Self {
        Self { text, fields, at: 0, floor: 0 }
    }

    #[inline(never)]
    fn look(&mut self, class: u8) -> Option<Found> {
        let at = self.at;
        self.at += 1;
        let mask = |(start, end, what)| Found { start, end, kind: Kind::Mask(what) };
        match class {
            AT => email(self.text, at, at + 1, self.floor).map(mask),
            PERCENT if self.text[at..].starts_with(b"%40") => {
                email(self.text, at, at + 3, self.floor).map(mask)
            }
            SEPARATOR => pairs::at(self.text, at, self.floor, self.fields).map(mask),
            TAG => pairs::element(self.text, at, self.floor, self.fields).map(mask),
            DIGIT => {
                let (found, resume) = card(self.text, at);
                self.at = resume;
                found.map(|(start, end)| mask((start, end, What::Card)))
            }
            LETTER => keys::prefixed(self.text, at).map(mask),
            DASH => keys::pem(self.text, at).map(mask),
            CONTROL => control(self.text, at),
            _ => None,
        }
    }
}

impl Iterator for Finder<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let (at, class) = scan(self.text, self.at)?;
            self.at = at;
            if let Some(found) = self.look(class) {
                self.at = found.end;
                self.floor = found.end;
                return Some(found);
            }
        }
    }
}

/// The next place that is worth a closer look. This is the loop that all text goes through.
fn scan(text: &[u8], from: usize) -> Option<(usize, u8)> {
    let mut within = from.checked_sub(1).map_or(0, |before| WITHIN_WORD[usize::from(text[before])]);
    for (ahead, &byte) in text.get(from..)?.iter().enumerate() {
        let class = CLASS[(within | usize::from(byte)) & 511];
        within = WITHIN_WORD[usize::from(byte)];
        if class != 0 && is_likely(class, byte, &text[from + ahead + 1..]) {
            return Some((from + ahead, class));
        }
    }
    None
}

/// Whether the next bytes bear the first one out.
fn is_likely(class: u8, byte: u8, next: &[u8]) -> bool {
    match (class, next) {
        (LETTER, [second, ..]) => keys::may_begin(byte, *second),
        (DIGIT, [b' ' | b'-', second, ..] | [second, ..]) => second.is_ascii_digit(),
        (DASH, [second, ..]) => *second == b'-',
        (LETTER | DIGIT | DASH, []) => false,
        _ => true,
    }
}

/// From, to, what.
pub(super) type Region = (usize, usize, What);

/// Control characters, and those beyond ASCII that act like them: C1, line and paragraph separators, and the marks
/// that turn the direction of writing.
fn control(text: &[u8], start: usize) -> Option<Found> {
    let (character, length) = match (text[start], text.get(start + 1), text.get(start + 2)) {
        (0xc2, Some(&second @ 0x80..=0x9f), _) => (u32::from(second), 2),
        (0xe2, Some(0x80), Some(&third @ 0xa8..=0xae)) => (0x2000 + u32::from(third & 0x3f), 3),
        (0xe2, Some(0x81), Some(&third @ 0xa6..=0xa9)) => (0x2040 + u32::from(third & 0x3f), 3),
        (byte @ (0..0x20 | 0x7f), _, _) => (u32::from(byte), 1),
        _ => return None,
    };
    let kind = Kind::Control(char::from_u32(character)?);
    Some(Found { start, end: start + length, kind })
}

/// An address round an `@` that stands from `at` to `after`.
fn email(text: &[u8], at: usize, after: usize, floor: usize) -> Option<Region> {
    let local = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || !byte.is_ascii()
            || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
    };
    let domain = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii() || matches!(byte, b'.' | b'-');
    let start = at - text[floor..at].iter().rev().take_while(|byte| local(byte)).count();
    let mut end = after + text[after..].iter().take_while(|byte| domain(byte)).count();
    while end > after && matches!(text[end - 1], b'.' | b'-') {
        end -= 1;
    }
    let dot = text[after..end].iter().rposition(|&byte| byte == b'.')?;
    let top = &text[after + dot + 1..end];
    let is_name = top.len() >= 2 && !top[0].is_ascii_digit();
    (start < at && dot > 0 && is_name).then_some((start, end, What::Email))
}
