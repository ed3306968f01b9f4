//! Finding what is sensitive by its looks: one pass over text, with one table to say where a closer look is due.
//!
//! The pass stops only at bytes that may begin or mark something: an `@`, a digit, the first letter of a known
//! prefix at the beginning of a word, `:`, `=` and `,` (a name may stand before), `>` (a tag), `%` (an encoding),
//! control characters. A closer look tells the region to mask, or that there is none; regions never overlap and come
//! in order.

mod scan;

use smallvec::SmallVec;

use super::cards::card;
use super::keys;
use super::mask::What;
use super::pairs;
use super::percent::Word;
use super::{Rules, markup, numbers, patterns, values};
use scan::{AT, COMMA, CONTROL, DASH, DIGIT, ESCAPE, LETTER, PERCENT, PLUS, SEPARATOR, TAG, scan};
pub(super) use scan::{after_escape, is_word_before};

/// How often percent-encoding within percent-encoding is taken away.
const MAX_LAYERS: u8 = 3;
/// How far behind something found the `@` is looked for that makes it part of an address, in bytes.
const MAX_LOCAL: usize = 256;

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
    later: Option<Box<Later>>,
}

/// What is found and not told yet. Most text has nothing of it.
#[derive(Default)]
struct Later {
    /// What the configured patterns match, the first last.
    matched: Vec<(usize, usize)>,
    /// What comes after something that is not told yet.
    pending: Option<Found>,
    /// What has been found ahead, the first last; what stands before it is still to be looked at.
    ahead: Vec<Found>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(text: &'a [u8], rules: &'a Rules) -> Self {
        let mut finder =
            Self { text, rules, at: 0, floor: 0, decoded: 0, no_block: 0, layer: 0, later: None };
        if !rules.patterns.is_empty() {
            let mut matched = patterns::regions(&rules.patterns, text);
            matched.reverse();
            finder.later().matched = matched;
        }
        finder
    }

    fn later(&mut self) -> &mut Later {
        self.later.get_or_insert_default()
    }

    #[inline(never)]
    fn look(&mut self, text: &[u8], class: u8) -> Option<Found> {
        let (at, floor, rules) = (self.at, self.floor, self.rules);
        self.at += 1;
        let region = match class {
            AT => email(text, at, floor),
            PERCENT => self.look_encoded(text, at),
            SEPARATOR => keys::padded_pem(text, at, floor).or_else(|| pairs::at(text, at, floor, rules)),
            COMMA => pairs::listed(text, at, floor, rules),
            TAG => markup::element(text, at, rules),
            DIGIT => self.look_digits(text, at),
            PLUS => numbers::phone(text, at, floor),
            LETTER => keys::prefixed(text, at),
            DASH => keys::pem(text, at, floor),
            ESCAPE => {
                // Its letter is no part of the word after it, unless it is no escape.
                let key = keys::prefixed(text, at + 1);
                self.at += usize::from(key.is_none());
                key
            }
            CONTROL => match self.look_back(text, at) {
                None => return control(text, at),
                block => block,
            },
            _ => None,
        };
        let (start, end, what) = match (class, region?) {
            (LETTER | ESCAPE | DIGIT | PLUS, region) => self.with_address(text, region),
            (_, region) => region,
        };
        Some(Found { start, end, kind: Kind::Mask(what) })
    }

    /// The region, or the address that it is part of: `4111111111111111@mail.example.com`.
    fn with_address(&mut self, text: &[u8], region: Region) -> Region {
        let (start, end, what) = region;
        let reach = &text[end..text.len().min(end + MAX_LOCAL)];
        let stop = end + reach.iter().take_while(|&&byte| is_local(byte)).count();
        let encoded = || text[end..stop].iter().position(|&byte| byte == b'%').map(|ahead| end + ahead);
        let decoded = self.decoded;
        let address = match text.get(stop) {
            Some(b'@') => email(text, stop, self.floor),
            _ => encoded().and_then(|at| self.look_encoded(text, at)),
        };
        match address {
            Some((from, to, found)) if from <= end => {
                let mut end = to.max(end);
                // What else was found in the word may stand in this one.
                let ahead = &mut self.later().ahead;
                while let Some(next) = ahead.pop_if(|next| next.start < end) {
                    end = end.max(next.end);
                }
                (from.min(start), end, if from <= start { found } else { what })
            }
            Some((start, end, what)) => {
                self.later().ahead.push(Found { start, end, kind: Kind::Mask(what) });
                region
            }
            None => {
                // Without what was found the rest of the word may be another.
                self.decoded = decoded;
                region
            }
        }
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
        self.later().ahead.extend(later);
        first
    }

    /// The next that the built-in detectors find.
    fn built_in(&mut self) -> Option<Found> {
        loop {
            let ahead = self.later.as_ref().and_then(|later| later.ahead.last());
            let text = ahead.map_or(self.text, |ahead| &self.text[..ahead.start]);
            let Some((at, class)) = scan(text, self.at, self.floor) else {
                let mut ahead = self.later.as_mut()?.ahead.pop()?;
                ahead.start = ahead.start.max(self.floor);
                if ahead.end <= ahead.start {
                    continue;
                }
                return Some(self.tell(ahead));
            };
            self.at = at;
            match self.look(text, class) {
                Some(found) if found.start > at => self.later().ahead.push(found),
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
        let Some((mut start, mut end)) = self.later().matched.pop() else { return self.pending() };
        let pattern = Kind::Mask(What::Pattern);
        let mut kind = pattern;
        while let Some(found) = self.pending() {
            if found.end <= start {
                self.later().matched.push((start, end));
                return Some(found);
            }
            if found.start >= end {
                self.later().pending = Some(found);
                break;
            }
            if kind == pattern && matches!(found.kind, Kind::Mask(_)) {
                kind = found.kind;
            }
            (start, end) = (start.min(found.start), end.max(found.end));
            while let Some((_, further)) = self.later().matched.pop_if(|(from, _)| *from < end) {
                end = end.max(further);
            }
        }
        Some(Found { start, end, kind })
    }

    fn pending(&mut self) -> Option<Found> {
        self.later().pending.take().or_else(|| self.built_in())
    }
}

impl Iterator for Finder<'_> {
    type Item = Found;

    #[inline]
    fn next(&mut self) -> Option<Found> {
        if self.rules.patterns.is_empty() { self.built_in() } else { self.either() }
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

/// Whether this may stand before the `@` of an address.
const fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || !byte.is_ascii()
        || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
}

/// An address round the `@` at `at`.
fn email(text: &[u8], at: usize, floor: usize) -> Option<Region> {
    let domain = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii() || matches!(byte, b'.' | b'-');
    let after = at + 1;
    let start = at - text[floor..at].iter().rev().take_while(|&&byte| is_local(byte)).count();
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
