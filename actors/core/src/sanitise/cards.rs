//! Finding card numbers.

use smallvec::SmallVec;

/// Digits of a card number (ISO/IEC 7812).
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// How many groups of digits are looked at together. More than a card can have, so that none is missed where a long
/// run is parted.
const GROUPS: usize = 64;

/// A card number that begins in the run of digits at `start`, in which groups may be parted by one space or dash;
/// and where to look on.
pub(super) fn card(text: &[u8], start: usize) -> (Option<(usize, usize)>, usize) {
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
    let is_fraction = start >= 2 && text[start - 1] == b'.' && text[start - 2].is_ascii_digit();
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
            return (Some((from, to)), to);
        }
    }
    let resume = if groups.len() == GROUPS { groups[GROUPS - CARD_DIGITS.end()].0 } else { end };
    (None, resume)
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
