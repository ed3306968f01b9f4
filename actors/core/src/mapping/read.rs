//! From JSON text to jq values, in one strict pass.
//!
//! jaq reads a superset of JSON (comments, `NaN`, keys that are no strings) and recurses without a bound; what comes
//! from a provider is read here instead. Numbers keep what they say: an integer of any length and a decimal such as
//! `1.10` are printed again as they were read. Strings without escapes are slices of the text.

use std::ops::Range;

use bytes::Bytes;
use jaq_json::{Map, Num, Val};

use crate::json::MAX_DEPTH;

/// The most digits an integer is calculated with exactly. Longer ones are kept as text and calculated with as
/// floats: turning digits into an integer costs their number squared.
const MAX_INTEGER_DIGITS: usize = 400;

/// What room an object begins with.
const MEMBERS: usize = 8;

/// Why a text is not read. Never says what stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("not well-formed JSON at byte {0}")]
    Malformed(usize),
}

/// Reads exactly one document.
pub(super) fn document(text: &Bytes) -> Result<Val, Unreadable> {
    let valid = std::str::from_utf8(text);
    valid.map_err(|error| Unreadable::Malformed(error.valid_up_to()))?;
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.malformed()),
    }
}

struct Reader<'a> {
    text: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    const fn malformed(&self) -> Unreadable {
        Unreadable::Malformed(self.at)
    }

    fn value(&mut self, depth: usize) -> Result<Val, Unreadable> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", Val::Bool(true)),
            Some(b'f') => self.word(b"false", Val::Bool(false)),
            Some(b'n') => self.word(b"null", Val::Null),
            Some(_) | None => Err(self.malformed()),
        }
    }

    fn word(&mut self, word: &[u8], value: Val) -> Result<Val, Unreadable> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.malformed());
        }
        self.at += word.len();
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Val, Unreadable> {
        let mut more = self.open(b'}', depth)?;
        let mut members = Map::with_capacity_and_hasher(if more { MEMBERS } else { 0 }, Default::default());
        while more {
            if self.peek() != Some(b'"') {
                return Err(self.malformed());
            }
            let key = self.string()?;
            if self.peek() != Some(b':') {
                return Err(self.malformed());
            }
            self.at += 1;
            members.insert(key, self.value(depth)?);
            more = self.more(b'}')?;
        }
        Ok(Val::obj(members))
    }

    fn array(&mut self, depth: usize) -> Result<Val, Unreadable> {
        let mut items = Vec::new();
        let mut more = self.open(b']', depth)?;
        while more {
            items.push(self.value(depth)?);
            more = self.more(b']')?;
        }
        Ok(Val::Arr(items.into()))
    }

    /// Steps over an opening bracket; whether anything stands in it.
    fn open(&mut self, close: u8, depth: usize) -> Result<bool, Unreadable> {
        if depth > MAX_DEPTH {
            return Err(Unreadable::TooDeep);
        }
        self.at += 1;
        let empty = self.peek() == Some(close);
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// Steps over a comma or the closing bracket; whether another follows.
    fn more(&mut self, close: u8) -> Result<bool, Unreadable> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(_) | None => Err(self.malformed()),
        }
    }

    fn string(&mut self) -> Result<Val, Unreadable> {
        let start = self.at + 1;
        self.plain(start);
        if self.text.get(self.at) == Some(&b'"') {
            self.at += 1;
            return Ok(Val::utf8_str(self.text.slice(start..self.at - 1)));
        }
        let mut decoded = self.text[start..self.at].to_vec();
        loop {
            match self.text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.escape(&mut decoded)?,
                Some(_) | None => return Err(self.malformed()),
            }
            let run = self.plain(self.at);
            decoded.extend_from_slice(&self.text[run]);
        }
        self.at += 1;
        Ok(Val::utf8_str(decoded))
    }

    /// Steps over what stands for itself in a string.
    fn plain(&mut self, start: usize) -> Range<usize> {
        let rest = &self.text[start..];
        let length = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        self.at = start + length.unwrap_or(rest.len());
        start..self.at
    }

    fn escape(&mut self, decoded: &mut Vec<u8>) -> Result<(), Unreadable> {
        let plain = match self.text.get(self.at + 1) {
            Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'u') => return self.unicode(decoded),
            Some(_) | None => return Err(self.malformed()),
        };
        decoded.push(plain);
        self.at += 2;
        Ok(())
    }

    /// `\uXXXX`, or two of them for one character beyond the basic plane; half a pair becomes U+FFFD.
    fn unicode(&mut self, decoded: &mut Vec<u8>) -> Result<(), Unreadable> {
        let first = self.hex()?;
        let mut code = first;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
            let back = self.at;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            } else {
                self.at = back;
            }
        }
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn hex(&mut self) -> Result<u32, Unreadable> {
        let digits = self.text.get(self.at + 2..self.at + 6).ok_or(self.malformed())?;
        let code =
            digits.iter().try_fold(0, |code, &digit| Some(code * 16 + char::from(digit).to_digit(16)?));
        self.at += 6;
        code.ok_or(self.malformed())
    }

    fn number(&mut self) -> Result<Val, Unreadable> {
        let start = self.at;
        self.at += usize::from(self.text[start] == b'-');
        let digits = self.at;
        let integer_digits = self.digits()?;
        if integer_digits > 1 && self.text[digits] == b'0' {
            return Err(self.malformed());
        }
        let mut integer = true;
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
            integer = false;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.text.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
            integer = false;
        }
        let text =
            std::str::from_utf8(&self.text[start..self.at]).map_err(|_| Unreadable::Malformed(start))?;
        let exact = integer && integer_digits <= MAX_INTEGER_DIGITS && text != "-0";
        let number = if exact { Num::from_str_radix(text, 10) } else { None };
        Ok(Val::Num(number.unwrap_or_else(|| Num::Dec(jaq_json::Rc::new(text.to_owned())))))
    }

    fn digits(&mut self) -> Result<usize, Unreadable> {
        let count = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.malformed()) } else { Ok(count) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::write;
    use super::*;
    use proptest::prelude::*;

    fn again(text: &str) -> Result<String, Unreadable> {
        let value = document(&Bytes::copy_from_slice(text.as_bytes()))?;
        Ok(String::from_utf8(write::json(&value).unwrap()).unwrap())
    }

    #[test]
    fn numbers_are_printed_as_they_were_read() {
        let long = "7".repeat(100_000);
        for number in [
            "0",
            "-0",
            "-0.0",
            "12",
            "9007199254740993",
            "-9223372036854775809",
            "123456789012345678901234567890",
            "1.10",
            "1e3",
            "1E+400",
            "0.1000000000000000055511151231257827",
            &long,
        ] {
            assert_eq!(again(number).unwrap(), number);
        }
    }

    #[test]
    fn strings_are_decoded() {
        assert_eq!(again(r#""a\u0041\n\/\"\ud83d\ude00\ud800x""#).unwrap(), "\"aA\\n/\\\"😀\u{fffd}x\"");
        assert_eq!(again("{\"\\u0061\":\"ü\",\"a\":2}").unwrap(), "{\"a\":2}");
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "", "{", "[1,]", "{\"a\"}", "{a:1}", "01", "1.", "-", "+1", "NaN", "nul", "\"\n\"", "\"\\x\"",
            "1 2", "#\n1",
        ] {
            assert!(again(text).is_err(), "{text}");
        }
        assert_eq!(again(&"[".repeat(1_000_000)), Err(Unreadable::TooDeep));
        assert!(again(&format!("{}{}", "[".repeat(128), "]".repeat(128))).is_ok());
        assert!(document(&Bytes::from_static(b"\"\xff\"")).is_err());
    }

    proptest! {
        /// Any text is read exactly when serde_json reads it, but for depth.
        #[test]
        fn it_agrees_with_serde(text in r#"[\[\]{}:,"0-9eE.\-+ \\untrfals/]{0,24}"#) {
            let expected = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(again(&text).is_ok(), expected, "{}", text);
        }
    }
}
