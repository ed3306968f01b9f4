//! Finding card numbers.

use smallvec::SmallVec;

/// Digits of a card number (ISO/IEC 7812).
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// How many groups of digits are looked at together. More than a card can have, so that none is missed where a long
/// run is parted.
const GROUPS: usize = 64;

/// Lengths of hexadecimal identifiers and hashes, in characters.
const HEX_LENGTHS: [usize; 8] = [16, 24, 32, 40, 48, 56, 64, 128];
/// Groups of a UUID.
const UUID: [usize; 5] = [8, 4, 4, 4, 12];

/// A card number that begins in the run of digits at `start`, in which groups may be parted by one space or dash;
/// and where to look on.
pub(super) fn card(text: &[u8], start: usize, floor: usize) -> (Option<(usize, usize)>, usize) {
    let goes_on = |end: usize| match (text.get(end), text.get(end + 1)) {
        (Some(b' ' | b'-'), Some(next)) => next.is_ascii_digit(),
        _ => false,
    };
    let mut end = start + digits(&text[start..]);
    if end - start < *CARD_DIGITS.start() && !goes_on(end) {
        return (None, end);
    }
    let mut groups: SmallVec<[(usize, usize); 8]> = SmallVec::new();
    let mut total = 0;
    end = start;
    loop {
        let from = end;
        end += digits(&text[from..]);
        groups.push((from, end));
        total += end - from;
        if !goes_on(end) || groups.len() == GROUPS {
            break;
        }
        end += 1;
    }
    let is_fraction = start >= floor + 2 && text[start - 1] == b'.' && text[start - 2].is_ascii_digit();
    if total < *CARD_DIGITS.start() || (is_fraction && groups.len() == 1) {
        return (None, end);
    }
    for (index, &(from, _)) in groups.iter().enumerate() {
        let mut digits = 0;
        let longest = groups[index..].iter().map_while(|&(start, end)| {
            digits += end - start;
            (digits <= *CARD_DIGITS.end()).then_some((digits, end))
        });
        let card =
            longest.filter(|&(digits, to)| CARD_DIGITS.contains(&digits) && is_card(&text[from..to])).last();
        if let Some((_, to)) = card {
            return match identifier(text, from, floor) {
                Some(end) if end >= to => (None, end),
                _ => (Some((from, to)), to),
            };
        }
    }
    let resume = if groups.len() == GROUPS { groups[GROUPS - CARD_DIGITS.end()].0 } else { end };
    (None, resume)
}

/// Where the identifier ends round the digits at `at`, if they are part of one: hexadecimal, with a letter in it, and
/// of a usual length. Of millions of trace identifiers many hold what passes for a card number.
fn identifier(text: &[u8], at: usize, floor: usize) -> Option<usize> {
    let start = at - text[floor..at].iter().rev().take(128).take_while(|byte| in_identifier(byte)).count();
    let end = at + text[at..].iter().take(129).take_while(|byte| in_identifier(byte)).count();
    let word = &text[start..end];
    let has_letter = word.iter().any(u8::is_ascii_alphabetic);
    let apart = |byte: &u8| !byte.is_ascii_alphanumeric();
    let parted = text[floor..start].last().is_none_or(apart) && text.get(end).is_none_or(apart) && has_letter;
    let is_uuid = || word.split(|&byte| byte == b'-').map(<[u8]>::len).eq(UUID);
    if parted && is_uuid() {
        return Some(end);
    }
    // Without dashes the word is the run between them.
    let before = word[..at - start].iter().rev().take_while(|&&byte| byte != b'-').count();
    let after = word[at - start..].iter().take_while(|&&byte| byte != b'-').count();
    let run = &text[at - before..at + after];
    let is_hex = HEX_LENGTHS.contains(&run.len()) && run.iter().any(u8::is_ascii_alphabetic);
    let apart_run =
        text[floor..at - before].last().is_none_or(apart) && text.get(at + after).is_none_or(apart);
    (is_hex && apart_run).then_some(at + after)
}

fn in_identifier(byte: &u8) -> bool {
    byte.is_ascii_hexdigit() || *byte == b'-'
}

fn digits(text: &[u8]) -> usize {
    text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len())
}

/// Whether these digits (and separators) are a card number: issued under a range in use, and right by Luhn. Without
/// the range every tenth timestamp in milliseconds would be one.
pub(super) fn is_card(text: &[u8]) -> bool {
    let mut digits = text.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| byte - b'0');
    let issued = match (digits.next(), digits.next()) {
        (Some(2), Some(second)) => (2..=7).contains(&second),
        (Some(8), Some(second)) => (1..=2).contains(&second),
        (Some(9), Some(second)) => second == 7,
        (Some(first), Some(_)) => (3..=6).contains(&first),
        _ => false,
    };
    issued && luhn(text)
}

fn luhn(text: &[u8]) -> bool {
    let digits = text.iter().rev().filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0'));
    let sum: u32 = digits
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit) {
            (0, digit) => digit,
            (_, digit @ 0..5) => digit * 2,
            (_, digit) => digit * 2 - 9,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_within_an_identifier_is_none() {
        let is_masked = |text: &str| {
            let digit = text.bytes().position(|byte| byte.is_ascii_digit()).unwrap();
            card(text.as_bytes(), digit, 0).0.is_some()
        };
        assert!(is_masked("4111111111111111") && is_masked("card4111111111111111x"));
        assert!(!is_masked("ab4111111111111111abcdefabcdef99"), "32 hexadecimal digits");
        assert!(is_masked("ab4111111111111111abcdefabcdef9"), "no usual length");
        assert!(is_masked("xb4111111111111111abcdefabcdef99"), "not hexadecimal");
        assert!(!is_masked("41111111-1111-1111-8111-11111111111a"));
        assert!(is_masked("4111-1111-1111-1111"));
    }
}
