//! Masking JSON in one pass over its bytes, without a tree.
//!
//! What is harmless is copied as it stands, in long runs; white space between tokens is left out, so that the result
//! is one line. The pass ends once enough is written. It is also the check: at the first byte that is no JSON it
//! gives up, and the text is treated as text. `strings` has what is done with strings.

mod strings;
#[cfg(test)]
pub(super) use strings::SHORTEST;

use super::cards::is_card;
use super::escape::beginning;
use super::fields::Role;
use super::mask::What;
use super::pairs::speaks_of_grant;
use super::{Rules, patterns};
use crate::json::MAX_DEPTH;
use strings::{KEYS, Known};

/// How far beyond what is shown a string is looked at: what begins in the part shown is recognised by what follows.
pub(super) const SLACK: usize = 1024;
/// How much of a document is searched for what it is about, in bytes.
const MAX_CONTEXT: usize = 16 * 1024;

/// What is written of a document.
pub(super) struct Masked {
    /// It may exceed what was asked for.
    pub(super) out: Vec<u8>,
    /// How much was not read.
    pub(super) unread: usize,
    /// Whether anything is masked in it.
    sensitive: bool,
}

/// Masks a document, or several, each an object or an array. `None` if it is none.
pub(super) fn mask(text: &[u8], cap: usize, rules: &Rules) -> Option<Masked> {
    mask_layer(text, cap, rules, 0)
}

/// Masks a document that stands in something else. `None` if it is none; `Some(None)` if nothing is sensitive in it.
pub(super) fn nested(text: &[u8], rules: &Rules) -> Option<Option<Vec<u8>>> {
    if !looks_like_json(text) {
        return None;
    }
    let masked = mask_layer(text, usize::MAX, rules, 1)?;
    Some(masked.sensitive.then_some(masked.out))
}

/// Whether this begins as an object or an array does.
pub(super) fn looks_like_json(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
}

fn mask_layer(text: &[u8], cap: usize, rules: &Rules, layer: u8) -> Option<Masked> {
    let out = Vec::with_capacity(text.len().min(cap).saturating_add(64));
    let mut pass = Pass {
        text,
        rules,
        cap,
        at: 0,
        copied: 0,
        out,
        layer,
        sensitive: false,
        known: [Known::default(); KEYS],
        about_grant: None,
    };
    match pass.documents() {
        Err(Stop::Malformed) => None,
        Ok(()) | Err(Stop::Enough) => {
            pass.flush();
            Some(Masked { out: pass.out, unread: text.len() - pass.at, sensitive: pass.sensitive })
        }
    }
}

/// Why the pass ends early.
enum Stop {
    Malformed,
    Enough,
}

struct Pass<'a> {
    text: &'a [u8],
    rules: &'a Rules,
    cap: usize,
    /// Where the pass stands.
    at: usize,
    /// Up to where is written; between here and `at` is what may be copied.
    copied: usize,
    out: Vec<u8>,
    layer: u8,
    sensitive: bool,
    /// Keys that may be shown as they stand.
    known: [Known; KEYS],
    /// Whether the document is about an OAuth grant, once somebody has asked.
    about_grant: Option<bool>,
}

/// What a value stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Object,
    Card,
    List,
}

impl Pass<'_> {
    /// Copies what may be copied.
    fn flush(&mut self) {
        self.out.extend_from_slice(&self.text[self.copied..self.at]);
        self.copied = self.at;
    }

    /// Writes `with` instead of everything since `from`.
    fn replace(&mut self, from: usize, with: &str) {
        self.out.extend_from_slice(&self.text[self.copied..from]);
        self.out.extend_from_slice(with.as_bytes());
        self.copied = self.at;
    }

    /// The next byte that is no white space, which is left out.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        match self.text.get(self.at) {
            Some(&byte) if byte > b' ' => Some(byte),
            Some(_) => self.skip_space(),
            None => None,
        }
    }

    #[inline(never)]
    fn skip_space(&mut self) -> Option<u8> {
        self.flush();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
        }
        self.copied = self.at;
        self.text.get(self.at).copied()
    }

    /// One document, or more that are objects or arrays, as logs and streams have them.
    fn documents(&mut self) -> Result<(), Stop> {
        let several = matches!(self.peek(), Some(b'{' | b'['));
        self.value(None, Within::Object, 0)?;
        while let Some(byte) = self.peek() {
            if !several || !matches!(byte, b'{' | b'[') {
                return Err(Stop::Malformed);
            }
            self.flush();
            self.out.push(b' ');
            self.value(None, Within::Object, 0)?;
        }
        Ok(())
    }

    fn value(&mut self, what: Option<What>, within: Within, depth: usize) -> Result<(), Stop> {
        match self.peek().ok_or(Stop::Malformed)? {
            b'"' => {
                let inside = self.string()?;
                match what {
                    Some(what) => self.mask_string(inside, what),
                    None => self.look_into(inside)?,
                }
            }
            b'{' if what.is_none() => self.object(within == Within::Card, depth + 1)?,
            b'[' if what.is_none() => self.array(within, depth + 1)?,
            b'{' | b'[' => self.mask_whole(what, depth)?,
            b'-' | b'0'..=b'9' => self.number(what)?,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => return Err(Stop::Malformed),
        }
        self.go_on()
    }

    fn go_on(&self) -> Result<(), Stop> {
        if self.out.len() + (self.at - self.copied) > self.cap { Err(Stop::Enough) } else { Ok(()) }
    }

    fn object(&mut self, card: bool, depth: usize) -> Result<(), Stop> {
        // What a sibling has told of the value to come.
        let mut named = None;
        let mut more = self.open(b'}', depth)?;
        while more {
            if self.peek() != Some(b'"') {
                return Err(Stop::Malformed);
            }
            let judgement = self.key()?;
            if self.peek() != Some(b':') {
                return Err(Stop::Malformed);
            }
            self.at += 1;
            let what = judgement.what.or(match judgement.role {
                Role::Number if card => Some(What::Card),
                Role::Value => named,
                Role::Grant if self.is_about_grant() => Some(What::Key),
                Role::Grant => None,
                Role::None | Role::Card | Role::Number | Role::Name => None,
            });
            if what.is_none() && judgement.role == Role::Name && self.peek() == Some(b'"') {
                let name = self.string()?;
                named = self.judge(name)?.what;
                self.look_into(name)?;
                self.go_on()?;
            } else {
                let within = if judgement.role == Role::Card { Within::Card } else { Within::Object };
                self.value(what, within, depth)?;
            }
            more = self.more(b'}')?;
        }
        Ok(())
    }

    fn is_about_grant(&mut self) -> bool {
        let text = self.text;
        *self.about_grant.get_or_insert_with(|| speaks_of_grant(beginning(text, MAX_CONTEXT)))
    }

    fn array(&mut self, within: Within, depth: usize) -> Result<(), Stop> {
        let inner = if within == Within::Card { Within::Card } else { Within::List };
        let mut more = self.open(b']', depth)?;
        // A list in a list may be a pair: `[["Authorization", "…"], …]`.
        let mut named = None;
        if more && within == Within::List && self.peek() == Some(b'"') {
            let name = self.string()?;
            named = self.judge(name)?.what;
            self.look_into(name)?;
            self.go_on()?;
            more = self.more(b']')?;
        }
        while more {
            self.value(named.take(), inner, depth)?;
            more = self.more(b']')?;
        }
        Ok(())
    }

    fn open(&mut self, close: u8, depth: usize) -> Result<bool, Stop> {
        if depth > MAX_DEPTH {
            return Err(Stop::Malformed);
        }
        self.at += 1;
        let empty = self.peek() == Some(close);
        self.at += usize::from(empty);
        Ok(!empty)
    }

    fn more(&mut self, close: u8) -> Result<bool, Stop> {
        let byte = self.peek().ok_or(Stop::Malformed)?;
        self.at += 1;
        match byte {
            b',' => Ok(true),
            _ if byte == close => Ok(false),
            _ => Err(Stop::Malformed),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Stop> {
        if !self.text[self.at..].starts_with(word) {
            return Err(Stop::Malformed);
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self, what: Option<What>) -> Result<(), Stop> {
        let start = self.at;
        let rest = &self.text[start..];
        let length =
            rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        self.at += length.unwrap_or(rest.len());
        match what {
            None | Some(What::Tokens) => {
                let number = &self.text[start..self.at];
                if number.len() >= 13 && is_card_number(number) {
                    self.replace_value(start, What::Card);
                } else if !self.rules.patterns.is_empty()
                    && !patterns::regions(&self.rules.patterns, number).is_empty()
                {
                    self.replace_value(start, What::Pattern);
                }
            }
            Some(what) => self.replace_value(start, what),
        }
        Ok(())
    }

    /// Writes a placeholder, in quotes, instead of the value that began at `start`.
    fn replace_value(&mut self, start: usize, what: What) {
        self.sensitive = true;
        self.replace(start, "\"");
        self.out.extend_from_slice(what.placeholder().as_bytes());
        self.out.push(b'"');
    }

    /// Steps over an array or object and masks it as a whole.
    fn mask_whole(&mut self, what: Option<What>, depth: usize) -> Result<(), Stop> {
        let start = self.at;
        self.flush();
        let written = self.out.len();
        let (cap, at) = (self.cap, depth + 1);
        // The inside is read to its end, however little is to be shown, and what that writes is taken back.
        self.cap = usize::MAX;
        let read =
            if self.text[start] == b'{' { self.object(false, at) } else { self.array(Within::Object, at) };
        self.cap = cap;
        self.out.truncate(written);
        read?;
        self.copied = start;
        if let Some(what) = what {
            self.replace_value(start, what);
        }
        Ok(())
    }
}

/// Whether a number is a card's: an integer, or one written with an exponent. Coordinates are not.
fn is_card_number(number: &[u8]) -> bool {
    let exponent = number.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let mantissa = &number[..exponent.unwrap_or(number.len())];
    let digits = mantissa.iter().filter(|byte| byte.is_ascii_digit()).count();
    let whole = exponent.is_some() || !mantissa.contains(&b'.');
    whole && (13..=19).contains(&digits) && is_card(mantissa)
}
