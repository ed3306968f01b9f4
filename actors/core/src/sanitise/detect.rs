//! Finding what is sensitive by its looks: one pass over text, with one table to say where a closer look is due.
//!
//! The pass stops only at bytes that may begin or mark something: an `@`, a digit, the first letter of a known
//! prefix at the beginning of a word, `:`, `=` and `,` (a name may stand before), `>` (a tag), `%` (an encoding),
//! control characters. A closer look tells the region to mask, or that there is none; regions never overlap and come
//! in order.

use smallvec::SmallVec;

use super::cards::card;
use super::keys;
use super::mask::What;
use super::pairs;
use super::percent::{Word, encoded};
use super::{Rules, markup, numbers, patterns, values};

/// How often percent-encoding within percent-encoding is taken away.
const MAX_LAYERS: u8 = 3;

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
    rules: &'a Rules,
    at: usize,
    /// The end of the last region: nothing before is looked at again.
    floor: usize,
    /// Up to where percent-encoding has been taken away in vain.
    decoded: usize,
    /// Up to where no block goes on whose beginning is cut off.
    no_block: usize,
    layer: u8,
    /// What the configured patterns match and is not told yet, the first last.
    matched: Vec<(usize, usize)>,
    /// What has been found and comes after something that is not told yet.
    pending: Option<Found>,
    /// What has been found ahead, the first last; what stands before it is still to be looked at.
    ahead: Vec<Found>,
}

const AT: u8 = 1;
const PERCENT: u8 = 2;
const SEPARATOR: u8 = 3;
const DIGIT: u8 = 4;
const LETTER: u8 = 5;
const DASH: u8 = 6;
const CONTROL: u8 = 7;
const TAG: u8 = 8;
const PLUS: u8 = 9;
const COMMA: u8 = 10;

/// What came before a byte, as the place of its row in a table: nothing of a word, a letter or digit, a backslash.
const APART: u16 = 0;
const WITHIN_WORD: u16 = 256;
const ESCAPE: u16 = 512;

/// Where a closer look is due, by what came before: no prefix begins within a word.
const CLASS: [u8; 768] = {
    let mut class = [0; 768];
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
    class[b';' as usize] = TAG;
    class[b'+' as usize] = PLUS;
    class[b',' as usize] = COMMA;
    byte = 0;
    while byte < 256 {
        class[256 + byte] = if class[byte] == LETTER { 0 } else { class[byte] };
        class[512 + byte] = class[byte];
        byte += 1;
    }
    class
};

/// What a byte is to the next one. The letter of an escape (`\n`) is no part of the word after it.
const BEFORE: [u16; 768] = {
    let mut before = [APART; 768];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            before[byte] = WITHIN_WORD;
            before[256 + byte] = WITHIN_WORD;
        }
        byte += 1;
    }
    let backslash = b'\\' as usize;
    before[backslash] = ESCAPE;
    before[256 + backslash] = ESCAPE;
    before[512 + backslash] = ESCAPE;
    before
};

/// Whether a letter or digit stands before `at` that is of the same word.
pub(super) fn is_word_before(text: &[u8], at: usize, floor: usize) -> bool {
    match &text[floor..at] {
        [.., b'\\', _] | [] => false,
        [.., byte] => byte.is_ascii_alphanumeric(),
    }
}

/// Where the word begins that seems to begin at `start` and may begin with the letters of an escape.
pub(super) fn after_escape(text: &[u8], start: usize, end: usize) -> usize {
    match (text[..start].last(), &text[start..end]) {
        (Some(b'\\'), [b'n' | b'r' | b't', ..]) => start + 1,
        (Some(b'\\'), [b'u', digits @ ..])
            if digits.len() >= 4 && digits[..4].iter().all(u8::is_ascii_hexdigit) =>
        {
            start + 5
        }
        _ => start,
    }
}

impl<'a> Finder<'a> {
    pub(super) fn new(text: &'a [u8], rules: &'a Rules) -> Self {
        let mut matched = Vec::new();
        if !rules.patterns.is_empty() {
            matched = patterns::regions(&rules.patterns, text);
            matched.reverse();
        }
        Self {
            text,
            rules,
            at: 0,
            floor: 0,
            decoded: 0,
            no_block: 0,
            layer: 0,
            matched,
            pending: None,
            ahead: Vec::new(),
        }
    }

    #[inline(never)]
    fn look(&mut self, text: &[u8], class: u8) -> Option<Found> {
        let (at, floor, rules) = (self.at, self.floor, self.rules);
        self.at += 1;
        let region = match class {
            AT => email(text, at, floor),
            PERCENT => self.look_encoded(text, at),
            SEPARATOR => pairs::at(text, at, floor, rules),
            COMMA => pairs::listed(text, at, floor, rules),
            TAG => markup::element(text, at, rules),
            DIGIT => self.look_digits(text, at),
            PLUS => numbers::phone(text, at, floor),
            LETTER => keys::prefixed(text, at),
            DASH => keys::pem(text, at, floor),
            CONTROL => match self.look_back(text, at) {
                None => return control(text, at),
                block => block,
            },
            _ => None,
        };
        region.map(|(start, end, what)| Found { start, end, kind: Kind::Mask(what) })
    }

    fn look_digits(&mut self, text: &[u8], at: usize) -> Option<Region> {
        let number = numbers::ssn(text, at, self.floor).or_else(|| numbers::bot_token(text, at));
        if number.is_some() {
            return number;
        }
        let (found, resume) = card(text, at, self.floor);
        self.at = resume;
        found.map(|(start, end)| (start, end, What::Card))
    }

    /// Looks whether a line's end is within a block that is known by its end only.
    fn look_back(&mut self, text: &[u8], at: usize) -> Option<Region> {
        if at < self.no_block {
            return None;
        }
        keys::cut_pem(text, at, self.floor).map_err(|end| self.no_block = end).ok()
    }

    /// Looks at the word round a `%` once its encoding is taken away.
    fn look_encoded(&mut self, text: &[u8], at: usize) -> Option<Region> {
        if at < self.decoded || self.layer == MAX_LAYERS {
            return None;
        }
        let word = Word::around(text, at, self.floor);
        self.decoded = word.end();
        let mut inner = Finder::new(&word.text, self.rules);
        inner.layer = self.layer + 1;
        let found = inner.filter_map(|found| match found.kind {
            Kind::Mask(what) => {
                let (start, end) = (word.place(found.start), word.place(found.end));
                // The word may end before the value: one in brackets, a header's, one with a `<` in it.
                let goes_on = end == word.end()
                    && (matches!(text[start], b'{' | b'[' | b'(')
                        || matches!(what, What::Authorization | What::Cookie)
                        || matches!(text.get(end), Some(b'<' | b'>')));
                let whole = goes_on.then(|| values::after(text, start, start, what)).flatten();
                Some((start, whole.map_or(end, |(_, whole)| whole.max(end)), what))
            }
            Kind::Control(_) => None,
        });
        let mut regions: SmallVec<[Region; 4]> = found.collect();
        regions.reverse();
        let first = regions.pop();
        let later =
            regions.into_iter().map(|(start, end, what)| Found { start, end, kind: Kind::Mask(what) });
        self.ahead.extend(later);
        first
    }

    /// The next that the built-in detectors find.
    fn built_in(&mut self) -> Option<Found> {
        loop {
            let text = self.ahead.last().map_or(self.text, |ahead| &self.text[..ahead.start]);
            let Some((at, class)) = scan(text, self.at, self.floor) else {
                let ahead = self.ahead.pop()?;
                return Some(self.tell(ahead));
            };
            self.at = at;
            match self.look(text, class) {
                Some(found) if found.start > at => self.ahead.push(found),
                Some(found) => return Some(self.tell(found)),
                None => {}
            }
        }
    }

    const fn tell(&mut self, found: Found) -> Found {
        self.at = found.end;
        self.floor = found.end;
        found
    }

    /// The next of both that the detectors find and that patterns match; where they meet, both as one.
    fn either(&mut self) -> Option<Found> {
        let Some((mut start, mut end)) = self.matched.pop() else {
            return self.pending.take().or_else(|| self.built_in());
        };
        let pattern = Kind::Mask(What::Pattern);
        let mut kind = pattern;
        while let Some(found) = self.pending.take().or_else(|| self.built_in()) {
            if found.end <= start {
                self.matched.push((start, end));
                return Some(found);
            }
            if found.start >= end {
                self.pending = Some(found);
                break;
            }
            if kind == pattern && matches!(found.kind, Kind::Mask(_)) {
                kind = found.kind;
            }
            (start, end) = (start.min(found.start), end.max(found.end));
            while let Some((_, further)) = self.matched.pop_if(|(from, _)| *from < end) {
                end = end.max(further);
            }
        }
        Some(Found { start, end, kind })
    }
}

impl Iterator for Finder<'_> {
    type Item = Found;

    #[inline]
    fn next(&mut self) -> Option<Found> {
        if self.matched.is_empty() && self.pending.is_none() { self.built_in() } else { self.either() }
    }
}

/// The next place that is worth a closer look. This is the loop that all text goes through.
fn scan(text: &[u8], from: usize, floor: usize) -> Option<(usize, u8)> {
    let mut before = match text.get(floor..from)? {
        [.., b'\\'] => ESCAPE,
        _ if is_word_before(text, from, floor) => WITHIN_WORD,
        _ => APART,
    };
    for (ahead, &byte) in text[from..].iter().enumerate() {
        let row = usize::from(before | u16::from(byte));
        // The rows are three; the bound is for the compiler.
        let class = CLASS[row.min(767)];
        before = BEFORE[row.min(767)];
        if class != 0 && is_likely(class, byte, &text[from + ahead + 1..]) {
            return Some((from + ahead, class));
        }
    }
    None
}

/// Whether the next bytes bear the first one out.
#[inline]
fn is_likely(class: u8, byte: u8, next: &[u8]) -> bool {
    match (class, next) {
        (LETTER, next) => keys::may_begin(byte, next),
        (DIGIT, [b' ' | b'-', second, ..] | [second, ..]) => second.is_ascii_digit(),
        (DASH, [second, ..]) => *second == b'-',
        (PERCENT, [high, low, ..]) => encoded(*high, *low).is_some(),
        (PLUS, [second, ..]) => second.is_ascii_digit(),
        (COMMA, [second, ..]) => matches!(second, b' ' | b'"' | b'\'' | b'\\'),
        (DIGIT | DASH | PERCENT | PLUS | COMMA, _) => false,
        _ => true,
    }
}

/// From, to, what.
pub(super) type Region = (usize, usize, What);

/// Control characters, and those beyond ASCII that act like them: C1, line and paragraph separators, and the marks
/// that turn the direction of writing.
pub(super) fn control(text: &[u8], start: usize) -> Option<Found> {
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

/// All characters that must not stand raw.
pub(super) fn controls(text: &[u8]) -> impl Iterator<Item = Found> {
    (0..text.len()).filter_map(|at| control(text, at))
}

/// An address round the `@` at `at`.
fn email(text: &[u8], at: usize, floor: usize) -> Option<Region> {
    let local = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || !byte.is_ascii()
            || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
    };
    let domain = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii() || matches!(byte, b'.' | b'-');
    let after = at + 1;
    let start = at - text[floor..at].iter().rev().take_while(|byte| local(byte)).count();
    let start = after_escape(text, start, at);
    let mut end = after + text[after..].iter().take_while(|byte| domain(byte)).count();
    while end > after && matches!(text[end - 1], b'.' | b'-') {
        end -= 1;
    }
    let dot = text[after..end].iter().rposition(|&byte| byte == b'.')?;
    let top = &text[after + dot + 1..end];
    let is_name = top.len() >= 2 && !top[0].is_ascii_digit();
    (start < at && dot > 0 && is_name).then_some((start, end, What::Email))
}
