//! From jq values to JSON text, within bounds.
//!
//! A program may build what JSON cannot say (`nan`, bytes, keys that are no strings) or what would be endless when
//! printed (shared parts, each printed anew), so every value is printed here, and printing ends at [`MAX_SIZE`].
//! A float without a fraction is printed as an integer, as jq does: `1000 / 100` is `10`.

use std::io::Write as _;

use jaq_json::{Num, Val};

use crate::json::MAX_DEPTH;

/// The largest text printed, in bytes.
pub(super) const MAX_SIZE: usize = 4 << 20;
/// From here on a float is no longer exact as an integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Why a value is not printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unprintable {
    #[error("is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("is larger than {MAX_SIZE} bytes")]
    TooLarge,
    #[error("holds a number that JSON cannot say (infinite, or not a number)")]
    NotFinite,
    #[error("holds raw bytes, which JSON cannot say")]
    Bytes,
    #[error("holds an object whose key is no string")]
    Key,
}

/// Prints without white space.
pub(super) fn json(value: &Val) -> Result<Vec<u8>, Unprintable> {
    let mut out = Vec::with_capacity(256);
    write(&mut out, value, 0)?;
    Ok(out)
}

fn write(out: &mut Vec<u8>, value: &Val, depth: usize) -> Result<(), Unprintable> {
    match value {
        Val::Arr(_) | Val::Obj(_) if depth == MAX_DEPTH => return Err(Unprintable::TooDeep),
        Val::Null => out.extend_from_slice(b"null"),
        Val::Bool(true) => out.extend_from_slice(b"true"),
        Val::Bool(false) => out.extend_from_slice(b"false"),
        Val::Num(number) => write_number(out, number)?,
        Val::TStr(text) => write_string(out, text),
        Val::BStr(_) => return Err(Unprintable::Bytes),
        Val::Arr(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(out, item, depth + 1)?;
            }
            out.push(b']');
        }
        Val::Obj(members) => {
            out.push(b'{');
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                let Val::TStr(key) = key else { return Err(Unprintable::Key) };
                write_string(out, key);
                out.push(b':');
                write(out, member, depth + 1)?;
            }
            out.push(b'}');
        }
    }
    if out.len() > MAX_SIZE { Err(Unprintable::TooLarge) } else { Ok(()) }
}

fn write_number(out: &mut Vec<u8>, number: &Num) -> Result<(), Unprintable> {
    // Writing into a vector cannot fail.
    let _ = match number {
        Num::Int(integer) => write!(out, "{integer}"),
        Num::BigInt(integer) => write!(out, "{integer}"),
        Num::Float(float) if !float.is_finite() => return Err(Unprintable::NotFinite),
        Num::Float(float) if float.fract() == 0.0 && float.abs() < EXACT => write!(out, "{float:.0}"),
        Num::Float(float) => write!(out, "{float:?}"),
        Num::Dec(digits) => out.write_all(digits.as_bytes()),
    };
    Ok(())
}

fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    // Decoding base64 may yield text that is not UTF-8.
    match std::str::from_utf8(text) {
        Ok(_) => escape(out, text),
        Err(_) => escape(out, String::from_utf8_lossy(text).as_bytes()),
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, text: &[u8]) {
    let mut copied = 0;
    for (at, &byte) in text.iter().enumerate() {
        if !matches!(byte, b'"' | b'\\' | 0..0x20) {
            continue;
        }
        out.extend_from_slice(&text[copied..at]);
        copied = at + 1;
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => {
                // Writing into a vector cannot fail.
                let _ = write!(out, "\\u{byte:04x}");
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.extend_from_slice(&text[copied..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(value: &Val) -> Result<String, Unprintable> {
        json(value).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn floats_are_printed_as_jq_does() {
        for (float, text) in [(10.0, "10"), (-3.0, "-3"), (0.1, "0.1"), (1e21, "1e21"), (2.5e-9, "2.5e-9")] {
            assert_eq!(print(&Val::from(float)).unwrap(), text);
        }
        assert_eq!(print(&Val::from(f64::NAN)), Err(Unprintable::NotFinite));
        assert_eq!(print(&Val::from(f64::INFINITY)), Err(Unprintable::NotFinite));
    }

    #[test]
    fn strings_are_escaped() {
        let text = "q\" b\\ n\n c\u{1} ü 😀";
        let printed = print(&Val::from(text.to_owned())).unwrap();
        assert_eq!(serde_json::from_str::<String>(&printed).unwrap(), text);
        assert_eq!(print(&Val::utf8_str(&b"a\xffb"[..])).unwrap(), "\"a\u{fffd}b\"");
        assert_eq!(print(&Val::byte_str(&b"x"[..])), Err(Unprintable::Bytes));
    }

    #[test]
    fn what_is_shared_a_billion_times_is_not_printed_a_billion_times() {
        let mut value = Val::Null;
        for _ in 0..64 {
            value = [value.clone(), value].into_iter().collect();
        }
        assert_eq!(print(&value), Err(Unprintable::TooLarge));
        let deep = (0..200).fold(Val::Null, |inner, _| [inner].into_iter().collect());
        assert_eq!(print(&deep), Err(Unprintable::TooDeep));
        let just = (0..128).fold(Val::Null, |inner, _| [inner].into_iter().collect());
        assert!(print(&just).is_ok());
    }
}
