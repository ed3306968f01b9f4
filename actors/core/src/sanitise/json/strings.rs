//! The strings of a document: stepped over, judged as names, looked into.

use super::{Pass, SLACK, Stop, looks_like_json, mask_layer};
use crate::sanitise::detect::{Finder, Found, Kind, controls};
use crate::sanitise::escape::{beginning, decode_unicode, push_control, push_json, unescape};
use crate::sanitise::fields::Judgement;
use crate::sanitise::mask::What;

/// How deep JSON within strings of JSON is read as such.
const MAX_LAYERS: u8 = 4;
/// The least letters that may be a secret by their looks, the shortest key with its prefix.
pub(in crate::sanitise) const SHORTEST: usize = 10;
/// How many keys are remembered.
pub(super) const KEYS: usize = 32;

/// A key that has been judged.
#[derive(Clone, Copy, Default)]
pub(super) struct Known {
    pub(super) from: usize,
    pub(super) to: usize,
    judgement: Option<Judgement>,
}

/// The inside of a string: from, to, whether there are escapes.
#[derive(Clone, Copy)]
pub(super) struct Inside {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) escaped: bool,
}

impl Pass<'_> {
    /// Steps over a key and tells what it says. Lists repeat the keys of their records: what is harmless to show is
    /// judged once.
    pub(super) fn key(&mut self) -> Result<Judgement, Stop> {
        let key = self.string()?;
        let text = self.text;
        let raw = &text[key.from..key.to];
        let last = raw.last().copied().unwrap_or_default();
        let place = (raw.len() * 7 + usize::from(last)) % KEYS;
        let known = self.known[place];
        if let Some(judgement) = known.judgement
            && text[known.from..known.to] == *raw
        {
            return Ok(judgement);
        }
        let judgement = self.judge(key)?;
        let written = (self.out.len(), self.copied);
        self.look_into(key)?;
        if written == (self.out.len(), self.copied) && !key.escaped {
            self.known[place] = Known { from: key.from, to: key.to, judgement: Some(judgement) };
        }
        Ok(judgement)
    }

    /// What a string says as a name.
    pub(super) fn judge(&self, name: Inside) -> Result<Judgement, Stop> {
        let raw = &self.text[name.from..name.to];
        if name.escaped {
            return Ok(self.rules.fields.judge(&unescape(raw).ok_or(Stop::Malformed)?));
        }
        Ok(self.rules.fields.judge(raw))
    }

    /// Steps over a string.
    pub(super) fn string(&mut self) -> Result<Inside, Stop> {
        let from = self.at + 1;
        let (mut at, mut escaped) = (from, false);
        loop {
            at += special(self.text.get(at..).unwrap_or_default());
            match self.text.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                // A control character should be an escape, and is written as one.
                Some(_) => at += 1,
                None => return Err(Stop::Malformed),
            }
        }
        self.at = at + 1;
        Ok(Inside { from, to: at, escaped })
    }

    pub(super) fn mask_string(&mut self, inside: Inside, what: What) {
        // That it was empty tells something and harms nobody.
        if inside.from < inside.to {
            self.replace_value(inside.from - 1, what);
        }
    }

    /// Looks into a string that has just been stepped over.
    pub(super) fn look_into(&mut self, inside: Inside) -> Result<(), Stop> {
        let shown = self.cap.saturating_sub(self.out.len()).saturating_add(SLACK);
        let raw = &self.text[inside.from..inside.to];
        let whole = raw.len() <= shown;
        if inside.escaped {
            return self.look_into_escaped(inside, shown);
        }
        if raw.len() < SHORTEST
            && self.rules.patterns.is_empty()
            && raw.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_')
        {
            return Ok(());
        }
        for found in Finder::new(beginning(raw, shown), self.rules) {
            self.put(inside.from, found);
        }
        if whole { Ok(()) } else { Err(Stop::Enough) }
    }

    /// The same for a string with escapes, which are taken away before it is judged.
    fn look_into_escaped(&mut self, inside: Inside, shown: usize) -> Result<(), Stop> {
        let raw = &self.text[inside.from..inside.to];
        let unescaped = unescape(raw).ok_or(Stop::Malformed)?;
        let decoded = decode_unicode(&unescaped);
        if self.layer < MAX_LAYERS
            && looks_like_json(&decoded)
            && let Some(inner) = mask_layer(&decoded, shown, self.rules, self.layer + 1)
        {
            if inner.sensitive {
                self.rewrite(inside, |out| push_json(out, &inner.out));
            } else {
                self.keep(inside);
            }
            return if inner.unread > 0 { Err(Stop::Enough) } else { Ok(()) };
        }
        let seen = beginning(&decoded, shown);
        let rules = self.rules;
        if !Finder::new(seen, rules).any(|found| matches!(found.kind, Kind::Mask(_))) {
            self.keep(inside);
            return Ok(());
        }
        self.rewrite(inside, |out| {
            let mut copied = 0;
            for found in Finder::new(seen, rules) {
                push_json(out, &seen[copied..found.start]);
                match found.kind {
                    Kind::Mask(what) => out.extend_from_slice(what.placeholder().as_bytes()),
                    Kind::Control(character) => push_control(out, character),
                }
                copied = found.end;
            }
            push_json(out, &seen[copied..]);
        });
        if seen.len() < decoded.len() { Err(Stop::Enough) } else { Ok(()) }
    }

    /// Keeps a string as it stands; what must not stand raw is written as an escape.
    fn keep(&mut self, inside: Inside) {
        for found in controls(&self.text[inside.from..inside.to]) {
            self.put(inside.from, found);
        }
    }

    /// Writes something else instead of a string that holds something sensitive.
    fn rewrite(&mut self, inside: Inside, write: impl FnOnce(&mut Vec<u8>)) {
        self.sensitive = true;
        self.out.extend_from_slice(&self.text[self.copied..inside.from]);
        write(&mut self.out);
        self.copied = inside.to;
    }

    /// Writes what stands for a region of the string that begins at `base`.
    fn put(&mut self, base: usize, found: Found) {
        self.out.extend_from_slice(&self.text[self.copied..base + found.start]);
        match found.kind {
            Kind::Mask(what) => {
                self.sensitive = true;
                self.out.extend_from_slice(what.placeholder().as_bytes());
            }
            Kind::Control(character) => push_control(&mut self.out, character),
        }
        self.copied = base + found.end;
    }
}

/// How far it is to the next quote, backslash or control character, eight bytes at a time.
fn special(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & HIGHS
    }
    let mut at = 0;
    while let Some(chunk) = text[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let quotes = zeros(word ^ (ONES * b'"' as u64));
        let backslashes = zeros(word ^ (ONES * b'\\' as u64));
        let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let found = quotes | backslashes | controls;
        if found != 0 {
            // A borrow may mark a byte too many, but never before the first that is right.
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = text[at..].iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    rest.map_or(text.len(), |rest| at + rest)
}
