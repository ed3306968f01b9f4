//! Finding numbers that name a person or an account by their form and check digits: IBAN, social security number,
//! telephone number; and bot tokens, which begin with a number.

use super::detect::{Region, is_word_before};
use super::mask::What;

/// Countries that issue IBANs, with how long theirs are (the registry of ISO 13616).
const IBANS: &[u8] = b"AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29\
ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25\
MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25\
SV28TL23TN24TR26UA29VA22VG24XK20YE30";

/// Digits of a telephone number with its country code (E.164).
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 9..=15;

/// Digits and tail of a Telegram bot's token.
const BOT_DIGITS: std::ops::RangeInclusive<usize> = 8..=10;
const BOT_TAIL: usize = 35;

/// How long the IBAN is that `text` begins with: right in length and check digits, in groups or not.
pub(super) fn iban(text: &[u8]) -> Option<usize> {
    let [a @ b'A'..=b'Z', b @ b'A'..=b'Z', b'0'..=b'9', b'0'..=b'9', ..] = text else { return None };
    let [_, _, tens, ones] =
        IBANS.as_chunks::<4>().0.iter().find(|[first, second, _, _]| (first, second) == (a, b))?;
    let length = usize::from((tens - b'0') * 10 + ones - b'0');
    let mut characters = [0; 34];
    let (mut count, mut at) = (0, 0);
    while count < length {
        match *text.get(at)? {
            byte if byte.is_ascii_alphanumeric() => {
                *characters.get_mut(count)? = byte;
                count += 1;
            }
            b' ' | b'-' if text.get(at + 1).is_some_and(u8::is_ascii_alphanumeric) => {}
            _ => return None,
        }
        at += 1;
    }
    let characters = characters.get(..length)?;
    let parted = text.get(at).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let (head, account) = characters.split_at_checked(4)?;
    let remainder = account.iter().chain(head).fold(0_u32, |remainder, &byte| match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        letter => (remainder * 100 + u32::from(letter.to_ascii_uppercase() - b'A') + 10) % 97,
    });
    (parted && remainder == 1).then_some(at)
}

/// A social security number (`123-45-6789`) at `start`: with dashes, and of those that are issued.
pub(super) fn ssn(text: &[u8], start: usize, floor: usize) -> Option<Region> {
    let number = text[start..].first_chunk::<11>()?;
    let form = number.iter().enumerate().all(|(place, byte)| match place {
        3 | 6 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let [a, b, c, _, d, e, _, serial @ ..] = number;
    let issued = *a != b'9' && ![*b"000", *b"666"].contains(&[*a, *b, *c]) && [*d, *e] != *b"00";
    let goes_on = match text[start + 11..] {
        [b'-', next, ..] | [next, ..] => next.is_ascii_alphanumeric(),
        [] => false,
    };
    let parted =
        !goes_on && (start == floor || (!is_word_before(text, start, floor) && text[start - 1] != b'-'));
    (form && issued && serial != b"0000" && parted).then_some((start, start + 11, What::Ssn))
}

/// A telephone number with its country code at the `+` at `start`. Others are known by their names only: too much
/// else looks like them.
pub(super) fn phone(text: &[u8], start: usize, floor: usize) -> Option<Region> {
    if !matches!(text.get(start + 1), Some(b'1'..=b'9')) || is_word_before(text, start, floor) {
        return None;
    }
    let (mut digits, mut end, mut at) = (0, start, start + 1);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                end = at + 1;
            }
            b' ' | b'-' | b'.' | b'(' | b')' | b'/' if at < end + 2 => {}
            _ => break,
        }
        at += 1;
    }
    let parted = text.get(end).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    (parted && PHONE_DIGITS.contains(&digits)).then_some((start, end, What::Phone))
}

/// A Telegram bot's token (`123456789:AA…`) at `start`.
pub(super) fn bot_token(text: &[u8], start: usize) -> Option<Region> {
    let digits = text[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !BOT_DIGITS.contains(&digits) || text.get(start + digits) != Some(&b':') {
        return None;
    }
    let tail = text[start + digits + 1..]
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        .count();
    (tail == BOT_TAIL).then_some((start, start + digits + 1 + tail, What::Token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ibans_are_known_by_length_and_check_digits() {
        for (text, length) in [
            ("DE89370400440532013000", Some(22)),
            ("DE89 3704 0044 0532 0130 00 and", Some(27)),
            ("GB29NWBK60161331926819.", Some(22)),
            ("NO9386011117947", Some(15)),
            ("MT84MALT011000012345MTLCAST001S", Some(31)),
            ("DE88370400440532013000", None),
            ("DE8937040044053201300", None),
            ("DE893704004405320130001", None),
            ("XX89370400440532013000", None),
            ("DE89", None),
        ] {
            assert_eq!(iban(text.as_bytes()), length, "{text}");
        }
    }

    #[test]
    fn the_registry_is_read_as_written() {
        assert_eq!(IBANS.len() % 4, 0);
        for [first, second, tens, ones] in IBANS.as_chunks::<4>().0 {
            assert!(first.is_ascii_uppercase() && second.is_ascii_uppercase());
            assert!((b'1'..=b'3').contains(tens) && ones.is_ascii_digit());
        }
    }

    #[test]
    fn numbers_of_people_are_known_by_their_form() {
        let ssn = |text: &str| ssn(text.as_bytes(), 0, 0).is_some();
        assert!(ssn("123-45-6789") && ssn("123-45-6789."));
        assert!(!ssn("000-45-6789") && !ssn("666-45-6789") && !ssn("900-45-6789") && !ssn("123-00-6789"));
        assert!(!ssn("123-45-0000") && !ssn("123-45-67890") && !ssn("123-45-6789-1") && !ssn("123-456789"));
        let phone = |text: &str| phone(text.as_bytes(), 0, 0).map(|(_, end, _)| end);
        assert_eq!(phone("+442079460958"), Some(13));
        assert_eq!(phone("+44 (0)20 7946-0958, ext"), Some(19));
        assert_eq!(phone("+1 415 555 2671 x"), Some(15));
        for other in ["+12345678", "+0442079460958", "+1234567890123456", "+44207946095x", "+44"] {
            assert_eq!(phone(other), None, "{other}");
        }
    }
}
