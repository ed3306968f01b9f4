//! The loop that all text goes through: it stops where a closer look is due.
//!
//! One table lookup per byte tells whether it may begin or mark something, one more whether it is within a word; the
//! bytes after it bear it out or not. Everything else costs nothing.

use crate::sanitise::keys;
use crate::sanitise::percent::encoded;

pub(super) const AT: u8 = 1;
pub(super) const PERCENT: u8 = 2;
pub(super) const SEPARATOR: u8 = 3;
pub(super) const DIGIT: u8 = 4;
pub(super) const LETTER: u8 = 5;
pub(super) const DASH: u8 = 6;
pub(super) const CONTROL: u8 = 7;
pub(super) const TAG: u8 = 8;
pub(super) const PLUS: u8 = 9;
pub(super) const COMMA: u8 = 10;
pub(super) const ESCAPE: u8 = 11;

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
    class[b';' as usize] = TAG;
    class[b'+' as usize] = PLUS;
    class[b',' as usize] = COMMA;
    class[b'\\' as usize] = ESCAPE;
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

/// Whether a letter or digit stands before `at` that is of the same word.
pub(in crate::sanitise) fn is_word_before(text: &[u8], at: usize, floor: usize) -> bool {
    match &text[floor..at] {
        [.., b'\\', _] | [] => false,
        [.., byte] => byte.is_ascii_alphanumeric(),
    }
}

/// Where the word begins that seems to begin at `start` and may begin with the letters of an escape.
pub(in crate::sanitise) fn after_escape(text: &[u8], start: usize, end: usize) -> usize {
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

/// The next place that is worth a closer look. This is the loop that all text goes through.
pub(super) fn scan(text: &[u8], from: usize, floor: usize) -> Option<(usize, u8)> {
    let rest = text.get(from..)?;
    let mut within = if is_word_before(text, from, floor) { 256 } else { 0 };
    for (ahead, &byte) in rest.iter().enumerate() {
        let class = CLASS[(within | usize::from(byte)) & 511];
        within = WITHIN_WORD[usize::from(byte)];
        if class != 0 && is_likely(class, byte, &rest[ahead + 1..]) {
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
        (ESCAPE, [second, ..]) => second.is_ascii_alphabetic(),
        (DIGIT | DASH | PERCENT | PLUS | COMMA | ESCAPE, _) => false,
        _ => true,
    }
}
