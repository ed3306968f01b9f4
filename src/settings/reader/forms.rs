//! Forms that many sections share: durations, sizes, numbers, choices, names.
//!
//! Each takes its bounds and gives a function that reads one [`Value`], so a section reads like the table it stands
//! for: `pool.or("max_wait", default, duration(SHORTEST..=LONGEST))`.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use causeway_core::name::InvalidName;
use serde_json::json;

use super::{Value, shown};

/// The longest title or label, in characters.
const MAX_TEXT: usize = 200;

const DURATION_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZE_UNITS: [(&str, usize); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// A duration within `bounds`: a whole number and one of `ms s m h d`.
pub(in crate::settings) fn duration(
    bounds: RangeInclusive<Duration>,
) -> impl FnOnce(Value<'_>) -> Option<Duration> {
    move |value| {
        value.shape(|| json!({ "pattern": "^[0-9]+(ms|s|m|h|d)$" }));
        let text = value.string("a duration such as \"30s\"")?;
        let Some((number, (_, millis))) = quantity(text, &DURATION_UNITS) else {
            let message =
                "is not a duration; write a whole number and one of ms, s, m, h, d, such as \"30s\"";
            return value.wrong(&format!("\"{}\" {message}", shown(text)));
        };
        let duration = number.and_then(|number| number.checked_mul(millis)).map(Duration::from_millis);
        let range =
            || format!("\"{}\" to \"{}\"", spell_duration(*bounds.start()), spell_duration(*bounds.end()));
        within(duration, &bounds, &value, text, range)
    }
}

/// A duration of any length, outside a file.
pub(in crate::settings) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, (_, millis)) = quantity(text, &DURATION_UNITS)?;
    number?.checked_mul(millis).map(Duration::from_millis)
}

/// A size in bytes within `bounds`: a whole number and one of `B KiB MiB GiB`.
pub(in crate::settings) fn size(bounds: RangeInclusive<usize>) -> impl FnOnce(Value<'_>) -> Option<usize> {
    move |value| {
        value.shape(|| json!({ "pattern": "^[0-9]+(B|KiB|MiB|GiB)$" }));
        let text = value.string("a size such as \"64KiB\"")?;
        let Some((number, (_, bytes))) = quantity(text, &SIZE_UNITS) else {
            let message =
                "is not a size; write a whole number and one of B, KiB, MiB, GiB, such as \"64KiB\"";
            return value.wrong(&format!("\"{}\" {message}", shown(text)));
        };
        let size = number.and_then(|number| usize::try_from(number).ok()?.checked_mul(bytes));
        let range = || format!("\"{}\" to \"{}\"", spell_size(*bounds.start()), spell_size(*bounds.end()));
        within(size, &bounds, &value, text, range)
    }
}

/// A whole number within `bounds`.
pub(in crate::settings) fn integer(bounds: RangeInclusive<u32>) -> impl FnOnce(Value<'_>) -> Option<u32> {
    move |value| {
        value.shape(|| json!({ "minimum": bounds.start(), "maximum": bounds.end() }));
        let integer = value.integer("a whole number")?;
        let text = integer.map_or_else(|| "the number".to_owned(), |integer| integer.to_string());
        let range = || format!("{} to {}", bounds.start(), bounds.end());
        within(integer.and_then(|integer| u32::try_from(integer).ok()), &bounds, &value, &text, range)
    }
}

/// A number within `bounds`.
pub(in crate::settings) fn number(bounds: RangeInclusive<f64>) -> impl FnOnce(Value<'_>) -> Option<f64> {
    move |value| {
        value.shape(|| json!({ "minimum": bounds.start(), "maximum": bounds.end() }));
        let number = value.float("a number")?;
        let range = || format!("{:?} to {:?}", bounds.start(), bounds.end());
        within(Some(number), &bounds, &value, &number.to_string(), range)
    }
}

/// A share above 0, at most 1.
pub(in crate::settings) fn positive_share(value: Value<'_>) -> Option<f64> {
    value.shape(|| json!({ "exclusiveMinimum": 0, "maximum": 1 }));
    let share = value.float("a number above 0, at most 1")?;
    if share > 0.0 && share <= 1.0 {
        return Some(share);
    }
    value.wrong(&format!("{share} is out of range; write a number above 0, at most 1"))
}

/// `true` or `false`.
pub(in crate::settings) fn boolean(value: Value<'_>) -> Option<bool> {
    value.boolean()
}

/// A short text for people, on one line.
pub(in crate::settings) fn title(value: Value<'_>) -> Option<String> {
    value.shape(|| json!({ "minLength": 1, "maxLength": MAX_TEXT }));
    let text = value.string("a string")?;
    let fits =
        !text.trim().is_empty() && text.chars().count() <= MAX_TEXT && !text.contains(char::is_control);
    if fits {
        return Some(text.to_owned());
    }
    value.wrong(&format!(
        "the text is empty, too long or has control characters; write 1 to {MAX_TEXT} characters on one line"
    ))
}

/// One of a closed set of words.
pub(in crate::settings) fn choice<T: Clone>(
    options: &'static [(&'static str, T)],
) -> impl FnOnce(Value<'_>) -> Option<T> {
    move |value| {
        if let Some(option) = value.probed_choice(options) {
            return Some(option.clone());
        }
        let known: Vec<&str> = options.iter().map(|(word, _)| *word).collect();
        let text = value.string(&format!("one of \"{}\"", known.join("\", \"")))?;
        match options.iter().find(|(word, _)| *word == text) {
            Some((_, option)) => Some(option.clone()),
            None => value.wrong_choice(text, &known),
        }
    }
}

/// The same, where the contract has words that this version does not.
pub(in crate::settings) fn choice_or_later<T: Clone>(
    options: &'static [(&'static str, T)],
    later: &'static [&'static str],
) -> impl FnOnce(Value<'_>) -> Option<T> {
    move |value| {
        if let Some(word) = later.iter().find(|word| value.is(word)) {
            let known: Vec<String> = options.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            let right = known.join(" or ");
            return value.wrong(&format!("\"{word}\" is not available in this version; write {right}"));
        }
        choice(options)(value)
    }
}

/// A name of the core's vocabulary.
pub(in crate::settings) fn name<T: FromStr<Err = InvalidName>>(value: Value<'_>) -> Option<T> {
    let text = value.string("a name")?;
    text.parse().map_or_else(|error: InvalidName| value.wrong(&error.to_string()), Some)
}

/// Splits a quantity into its number (`None`: it fits no `u64`) and its unit.
fn quantity<U: Copy>(text: &str, units: &[(&'static str, U)]) -> Option<(Option<u64>, (&'static str, U))> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).filter(|(number, _)| !number.is_empty())?;
    let unit = units.iter().find(|(known, _)| *known == unit)?;
    Some((number.parse().ok(), *unit))
}

fn within<T: PartialOrd>(
    number: Option<T>,
    bounds: &RangeInclusive<T>,
    value: &Value<'_>,
    written: &str,
    range: impl FnOnce() -> String,
) -> Option<T> {
    match number {
        Some(number) if bounds.contains(&number) => Some(number),
        Some(_) | None => value.wrong(&format!("{} is out of range; write {}", shown(written), range())),
    }
}

fn spell_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    spell(millis, &DURATION_UNITS, |millis, unit| millis.is_multiple_of(unit).then(|| millis / unit))
}

fn spell_size(size: usize) -> String {
    spell(size, &SIZE_UNITS, |size, unit| size.is_multiple_of(unit).then(|| size / unit))
}

/// `number` in the largest unit that divides it.
fn spell<T: Copy + Default + PartialEq + Display>(
    number: T,
    units: &[(&'static str, T)],
    divide: impl Fn(T, T) -> Option<T>,
) -> String {
    let smallest = units.first().map_or("", |(unit, _)| *unit);
    if number == T::default() {
        return format!("0{smallest}");
    }
    let whole =
        units.iter().rev().find_map(|(unit, worth)| Some(format!("{}{unit}", divide(number, *worth)?)));
    whole.unwrap_or_else(|| format!("{number}{smallest}"))
}

#[cfg(test)]
mod tests {
    use super::super::Document;
    use super::*;
    use std::path::Path;

    fn read<T>(text: &str, form: impl FnOnce(Value<'_>) -> Option<T>) -> Result<T, String> {
        let text = format!("k = {text}");
        let document = Document::new("f".into(), Path::new(""), &text);
        let read = document.read(|table| table.optional("k", form)).flatten();
        let errors: Vec<String> = document.errors().iter().map(ToString::to_string).collect();
        assert_eq!(read.is_none(), !errors.is_empty(), "told once, or read: {errors:?}");
        read.ok_or_else(|| errors.join("\n"))
    }

    const SECOND: Duration = Duration::from_secs(1);
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn durations_have_a_number_and_a_unit() {
        let read = |text: &str| read(text, duration(Duration::ZERO..=30 * DAY));
        assert_eq!(read("\"250ms\""), Ok(Duration::from_millis(250)));
        assert_eq!(read("\"1s\""), Ok(SECOND));
        assert_eq!(read("\"5m\""), Ok(300 * SECOND));
        assert_eq!(read("\"12h\""), Ok(DAY / 2));
        assert_eq!(read("\"30d\""), Ok(30 * DAY));
        assert_eq!(read("\"0s\""), Ok(Duration::ZERO));
        for bad in ["", "s", "5", "5 s", " 5s", "1.5s", "-5s", "+5s", "5S", "5µs", "1h30m", "٣s"] {
            let error = read(&format!("\"{bad}\"")).unwrap_err();
            assert!(error.contains("is not a duration; write"), "{error}");
        }
        for far in ["31d", "999999999999999999d", "99999999999999999999999999s"] {
            let error = read(&format!("\"{far}\"")).unwrap_err();
            assert!(error.ends_with("is out of range; write \"0ms\" to \"30d\""), "{error}");
        }
        let error = read("5").unwrap_err();
        assert_eq!(error, "f:1:5: `k`: an integer cannot stand here; write a duration such as \"30s\"");
    }

    #[test]
    fn sizes_have_a_number_and_a_binary_unit() {
        let read = |text: &str| read(text, size(1..=64 << 20));
        assert_eq!(read("\"64KiB\""), Ok(65_536));
        assert_eq!(read("\"1MiB\""), Ok(1 << 20));
        assert_eq!(read("\"7B\""), Ok(7));
        assert!(read("\"64KB\"").unwrap_err().contains("is not a size; write"));
        assert!(read("\"0KiB\"").unwrap_err().ends_with("is out of range; write \"1B\" to \"64MiB\""));
        assert!(read("\"18446744073709551615GiB\"").unwrap_err().contains("out of range"));
    }

    #[test]
    fn numbers_keep_to_their_bounds() {
        assert_eq!(read("0x1f", integer(0..=99)), Ok(31));
        assert_eq!(read("1_0", integer(0..=99)), Ok(10));
        for bad in ["-1", "100", "4294967296"] {
            let error = read(bad, integer(0..=99)).unwrap_err();
            assert!(error.ends_with(&format!("{bad} is out of range; write 0 to 99")), "{error}");
        }
        assert!(
            read("99999999999999999999", integer(0..=9)).unwrap_err().contains("the number is out of range")
        );
        assert!(read("1.0", integer(0..=9)).unwrap_err().contains("a float cannot stand here"));
        assert_eq!(read("0.25", number(0.0..=1.0)), Ok(0.25));
        assert_eq!(read("1", number(0.0..=1.0)), Ok(1.0));
        for bad in ["nan", "inf", "-0.1", "1.1", "2", "99999999999"] {
            let error = read(bad, number(0.0..=1.0)).unwrap_err();
            assert!(error.ends_with("is out of range; write 0.0 to 1.0"), "{error}");
        }
        assert_eq!(read("1", positive_share), Ok(1.0));
        assert!(read("0", positive_share).unwrap_err().contains("above 0, at most 1"));
        assert!(read("nan", positive_share).is_err());
    }

    #[test]
    fn choices_suggest_the_nearest() {
        const ON_OFF: [(&str, bool); 2] = [("enabled", true), ("disabled", false)];
        assert_eq!(read("\"enabled\"", choice(&ON_OFF)), Ok(true));
        let error = read("\"enable\"", choice(&ON_OFF)).unwrap_err();
        assert_eq!(error, "f:1:5: `k`: \"enable\" is not available; did you mean \"enabled\"?");
        let error = read("\"x\\ny\"", choice(&ON_OFF)).unwrap_err();
        assert_eq!(error, "f:1:5: `k`: \"x\\u{a}y\" is not available; write \"enabled\" or \"disabled\"");
    }
}
