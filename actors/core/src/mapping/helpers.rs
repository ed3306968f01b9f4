//! Functions that jq lacks: telling missing from null, coercing, money, dates.
//!
//! All are pure and exact: what they cannot do without guessing is an error that names what they take and the kind
//! of what they were given, never its value.

mod coerce;
mod date;
mod money;

use jaq_core::native::{Fun, bome, run, v};
use jaq_core::{Error, ValR};
use jaq_json::{Num, Val};
use jaq_std::ValT as _;

use super::error::kind_of;
use super::native::Engine;
use super::write;

/// The functions.
pub(super) fn funs() -> impl Iterator<Item = Fun<Engine>> {
    [
        run::<Engine>(("to_integer", v(0), |cv| bome(coerce::to_integer(&cv.1)))),
        run::<Engine>(("to_number", v(0), |cv| bome(coerce::to_number(&cv.1)))),
        run::<Engine>(("to_string", v(0), |cv| bome(coerce::to_string(cv.1)))),
        run::<Engine>(("to_boolean", v(0), |cv| bome(coerce::to_boolean(&cv.1)))),
        run::<Engine>(("minor_units", v(1), |mut cv| bome(money::minor_units(&cv.0.pop_var())))),
        run::<Engine>(("to_minor", v(2), |mut cv| {
            let currency = cv.0.pop_var();
            bome(money::to_minor(&cv.0.pop_var(), &currency))
        })),
        run::<Engine>(("from_minor", v(2), |mut cv| {
            let currency = cv.0.pop_var();
            bome(money::from_minor(&cv.0.pop_var(), &currency))
        })),
        run::<Engine>(("to_rfc3339", v(0), |cv| bome(date::to_rfc3339(&cv.1)))),
        run::<Engine>(("to_date", v(0), |cv| bome(date::to_date(&cv.1)))),
        run::<Engine>(("to_epoch", v(0), |cv| bome(date::to_epoch(&cv.1)))),
        run::<Engine>(("to_epoch_ms", v(0), |cv| bome(date::to_epoch_ms(&cv.1)))),
        run::<Engine>(("present_path", v(1), |mut cv| {
            let path = cv.0.pop_var();
            bome(Ok(Val::Bool(is_present(cv.1, &path))))
        })),
    ]
    .into_iter()
}

/// Whether something stands at a path, be it null.
fn is_present(mut value: Val, path: &Val) -> bool {
    let Val::Arr(keys) = path else { return false };
    for key in keys.iter() {
        let found = match (&value, key) {
            (Val::Obj(members), key) => members.get(key).cloned(),
            (Val::Arr(items), Val::Num(_)) => {
                let index = key.as_isize().and_then(|index| {
                    let index = if index < 0 { index.checked_add_unsigned(items.len())? } else { index };
                    usize::try_from(index).ok()
                });
                index.and_then(|index| items.get(index)).cloned()
            }
            _ => None,
        };
        let Some(found) = found else { return false };
        value = found;
    }
    true
}

/// The error of a function that takes something else.
fn takes(name: &str, what: &str, given: &Val) -> Error<Val> {
    raise(format!("{name} takes {what}, not {}", kind_of(given)))
}

/// The same, where the kind is right and the value is not.
fn wrong(name: &str, why: &str) -> Error<Val> {
    raise(format!("{name} {why}"))
}

/// As bytes, which no program can make: so the words are known to be ours, and may be told.
fn raise(message: String) -> Error<Val> {
    Error::new(Val::byte_str(message))
}

/// A number's or string's text; none for other kinds.
fn text_of(value: &Val) -> Option<String> {
    match value {
        Val::TStr(text) => std::str::from_utf8(text).ok().map(str::to_owned),
        Val::Num(_) => write::json(value).ok().and_then(|text| String::from_utf8(text).ok()),
        Val::Null | Val::Bool(_) | Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => None,
    }
}

/// An integer of digits, perhaps with a sign.
fn integer(digits: &str) -> Option<Val> {
    Num::from_str_radix(digits, 10).map(Val::Num)
}

fn string(text: String) -> ValR<Val> {
    Ok(Val::utf8_str(text))
}

/// A decimal: a sign, digits before the point, digits after it without zeros at their end.
struct Decimal {
    negative: bool,
    whole: String,
    fraction: String,
}

/// The most digits of a decimal that is calculated with.
const MAX_DIGITS: usize = 100;

impl Decimal {
    /// Reads `12`, `-12.50`, `1.25e3`: what JSON has for numbers. None if it is none, or has too many digits.
    fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let exponent: i32 = exponent.parse().ok()?;
        let few = whole.len() + fraction.len() <= MAX_DIGITS && exponent.unsigned_abs() <= 100;
        if !(digits(whole) && digits(fraction) && few) {
            return None;
        }
        let mut all = format!("{whole}{fraction}");
        let mut point = i32::try_from(whole.len()).ok()? + exponent;
        if point < 0 {
            all.insert_str(0, &"0".repeat(usize::try_from(-point).ok()?));
            point = 0;
        }
        let point = usize::try_from(point).ok()?;
        if all.len() < point {
            all.push_str(&"0".repeat(point - all.len()));
        }
        let (whole, fraction) = all.split_at(point);
        let whole = whole.trim_start_matches('0').to_owned();
        Some(Self { negative, whole, fraction: fraction.trim_end_matches('0').to_owned() })
    }

    /// The integer that it is after its point was moved right; none if digits remain behind it.
    fn scaled(&self, places: usize) -> Option<Val> {
        let missing = places.checked_sub(self.fraction.len())?;
        let digits = format!("{}{}{}", self.whole, self.fraction, "0".repeat(missing));
        let digits = digits.trim_start_matches('0');
        match (digits, self.negative) {
            ("", _) => integer("0"),
            (digits, true) => integer(&format!("-{digits}")),
            (digits, false) => integer(digits),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use crate::json::Json;
    use crate::mapping::{Input, Kind, Program, Vars};

    fn value(source: &str, document: &str) -> Result<String, String> {
        let program =
            Program::compile(Kind::Response, source).unwrap_or_else(|error| panic!("{source}: {error}"));
        let json = Json::parse(Bytes::copy_from_slice(document.as_bytes())).unwrap();
        let value = program.value(&Input::json(&json).unwrap(), &Vars::default());
        value.map(|json| json.as_str().to_owned()).map_err(|error| error.to_string())
    }

    fn all(table: &[(&str, &str)]) {
        for (source, expected) in table {
            assert_eq!(value(source, "null").as_deref(), Ok(*expected), "{source}");
        }
    }

    fn told(table: &[(&str, &str)]) {
        for (source, part) in table {
            let message = value(source, r#"{"secret":"hunter2"}"#).unwrap_err();
            assert!(message.contains(part) && !message.contains("hunter2"), "{source}: {message}");
        }
    }

    #[test]
    fn missing_is_not_null() {
        let document = r#"{"null":null,"false":false,"a":{"b":null},"list":[null,2]}"#;
        for (source, expected) in [
            ("or_missing(.gone; 1)", "1"),
            ("or_missing(.null; 1)", "null"),
            ("or_missing(.false; 1)", "false"),
            ("or_missing(.a.b; 1)", "null"),
            ("or_missing(.a.c; 1)", "1"),
            ("or_missing(.gone.further; 1)", "1"),
            ("or_missing(.list[0]; 1)", "null"),
            ("or_missing(.list[5]; 1)", "1"),
            ("or_missing(.list[-1]; 1)", "2"),
            ("or_missing(empty; 1)", "1"),
            ("or_null(.gone; 1)", "1"),
            ("or_null(.null; 1)", "1"),
            ("or_null(.false; 1)", "false"),
            ("or_null(.list[1]; 1)", "2"),
            (".false // 1", "1"),
            (".a | has(\"b\")", "true"),
        ] {
            assert_eq!(value(source, document).as_deref(), Ok(expected), "{source}");
        }
    }

    #[test]
    fn coercing_loses_nothing() {
        all(&[
            ("\"12\" | to_integer", "12"),
            ("12 | to_integer", "12"),
            ("\" -12.0 \" | to_integer", "-12"),
            ("1.5e1 | to_integer", "15"),
            ("\"123456789012345678901234567890\" | to_integer", "123456789012345678901234567890"),
            ("\"9007199254740993\" | to_integer", "9007199254740993"),
            ("\"1.10\" | to_number", "1.10"),
            ("1.10 | to_number", "1.10"),
            ("12 | to_string", "\"12\""),
            ("1.10 | to_string", "\"1.10\""),
            ("true | to_string", "\"true\""),
            ("[\"TRUE\", \"1\", 1, true] | map(to_boolean)", "[true,true,true,true]"),
            ("[\"false\", \"0\", 0, false] | map(to_boolean)", "[false,false,false,false]"),
            ("try (\"x\" | to_integer) catch \"no\"", "\"no\""),
            (
                "try (null | to_integer) catch .",
                "\"to_integer takes a number or a string of digits, not null\"",
            ),
        ]);
        told(&[
            (".secret | to_integer", "to_integer takes a whole number"),
            ("\"1.5\" | to_integer", "whole number"),
            (". | to_integer", "to_integer takes a number or a string of digits, not an object"),
            (".secret | to_number", "this string is none"),
            ("\"0x10\" | to_number", "this string is none"),
            (". | to_string", "not an object"),
            (".secret | to_boolean", "true, false, 1 or 0"),
            ("2 | to_boolean", "true, false, 1 or 0"),
            ("\"to_date \\(.secret)\" | error", "withheld"),
        ]);
    }

    #[test]
    fn money_never_becomes_a_float() {
        all(&[
            ("minor_units(\"JPY\")", "0"),
            ("minor_units(\"eur\")", "2"),
            ("minor_units(\"KWD\")", "3"),
            ("minor_units(\"CLF\")", "4"),
            ("to_minor(\"19.99\"; \"EUR\")", "1999"),
            ("to_minor(19.99; \"EUR\")", "1999"),
            ("to_minor(1.1; \"EUR\")", "110"),
            ("to_minor(\"-0.05\"; \"usd\")", "-5"),
            ("to_minor(0; \"USD\")", "0"),
            ("to_minor(\"-0.00\"; \"USD\")", "0"),
            ("to_minor(\"12.500\"; \"USD\")", "1250"),
            ("to_minor(500; \"JPY\")", "500"),
            ("to_minor(\"1.2345\"; \"CLF\")", "12345"),
            ("to_minor(1.5e3; \"BHD\")", "1500000"),
            ("to_minor(\"90071992547409.93\"; \"EUR\")", "9007199254740993"),
            ("to_minor(\"123456789012345678901.01\"; \"EUR\")", "12345678901234567890101"),
            ("from_minor(1999; \"EUR\")", "\"19.99\""),
            ("from_minor(5; \"EUR\")", "\"0.05\""),
            ("from_minor(-5; \"EUR\")", "\"-0.05\""),
            ("from_minor(0; \"KWD\")", "\"0.000\""),
            ("from_minor(500; \"JPY\")", "\"500\""),
            ("from_minor(\"9007199254740993\"; \"EUR\")", "\"90071992547409.93\""),
        ]);
        told(&[
            ("to_minor(\"1.999\"; \"EUR\")", "no more digits"),
            ("to_minor(\"0.5\"; \"JPY\")", "no more digits"),
            ("to_minor(19.99 * 3; \"EUR\")", "not as calculated"),
            ("to_minor(.secret; \"EUR\")", "an amount such as"),
            ("to_minor(null; \"EUR\")", "not null"),
            ("to_minor(1; \"EURO\")", "ISO 4217"),
            ("to_minor(1; .secret)", "ISO 4217"),
            ("to_minor(1; null)", "a currency's code"),
            ("to_minor(\"1e999999999\"; \"EUR\")", "an amount such as"),
            ("from_minor(1.5; \"EUR\")", "whole number"),
        ]);
    }

    #[test]
    fn dates_are_read_in_every_form() {
        all(&[
            ("1767323045 | to_rfc3339", "\"2026-01-02T03:04:05Z\""),
            ("1767323045123 | to_rfc3339", "\"2026-01-02T03:04:05.123Z\""),
            ("1767323045.5 | to_rfc3339", "\"2026-01-02T03:04:05.5Z\""),
            ("\"1767323045\" | to_rfc3339", "\"2026-01-02T03:04:05Z\""),
            ("\"2026-01-02T05:04:05+02:00\" | to_rfc3339", "\"2026-01-02T03:04:05Z\""),
            ("\"2026-01-02T03:04:05\" | to_rfc3339", "\"2026-01-02T03:04:05Z\""),
            ("\"2026-01-02 03:04:05\" | to_rfc3339", "\"2026-01-02T03:04:05Z\""),
            ("\"2026-01-02\" | to_rfc3339", "\"2026-01-02T00:00:00Z\""),
            ("\"Fri, 02 Jan 2026 03:04:05 GMT\" | to_epoch", "1767323045"),
            ("\"2026-01-02T23:30:00-02:00\" | to_date", "\"2026-01-03\""),
            ("\"2026-01-02T03:04:05.999Z\" | to_epoch", "1767323045"),
            ("\"2026-01-02T03:04:05.999Z\" | to_epoch_ms", "1767323045999"),
            ("-1.5 | to_epoch", "-2"),
            ("0 | to_rfc3339", "\"1970-01-01T00:00:00Z\""),
        ]);
        told(&[
            (".secret | to_rfc3339", "none of them"),
            ("1e30 | to_epoch", "none of them"),
            ("[] | to_date", "not an array"),
        ]);
    }

    proptest! {
        /// There and back again, for every amount and currency.
        #[test]
        fn minor_units_come_back(amount in any::<i64>(), currency in prop::sample::select(vec!["JPY", "EUR", "KWD", "CLF"])) {
            let source = format!("to_minor(from_minor({amount}; \"{currency}\"); \"{currency}\")");
            prop_assert_eq!(value(&source, "null"), Ok(amount.to_string()));
        }

        #[test]
        fn no_text_makes_them_stumble(text in r#"[-+0-9.eEx:TZ ]{0,30}"#) {
            let document = serde_json::to_string(&text).unwrap();
            for source in ["to_integer", "to_number", "to_boolean", "to_rfc3339", "to_epoch_ms", "to_minor(.; \"EUR\")", "from_minor(.; \"EUR\")"] {
                let _ = value(source, &document);
            }
        }
    }
}
