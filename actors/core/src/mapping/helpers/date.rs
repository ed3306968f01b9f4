//! Instants in the forms that providers write them, and back. Everything is UTC; nothing asks a clock.

use jaq_core::{Error, ValR};
use jaq_json::Val;
use jiff::civil::{Date, DateTime};
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Decimal, integer, string, takes, text_of, wrong};

/// From here on a number counts milliseconds: as seconds it would be the year 5138.
const MILLIS_FROM: i64 = 100_000_000_000;

/// Reads an instant: seconds or milliseconds since 1970 (a number, or a string of one), RFC 3339, a date and time or
/// a date without a zone (taken as UTC), RFC 2822 and so HTTP-dates.
fn instant(name: &str, value: &Val) -> Result<Timestamp, Error<Val>> {
    let text = text_of(value).ok_or_else(|| takes(name, "an instant, as a number or a string", value))?;
    let text = text.trim();
    let parsed = epoch(text)
        .or_else(|| text.parse().ok())
        .or_else(|| {
            text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
        })
        .or_else(|| text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp()))
        .or_else(|| rfc2822::DateTimeParser::new().parse_timestamp(text).ok());
    let forms =
        "takes seconds or milliseconds since 1970, RFC 3339, RFC 2822, or a date; this is none of them";
    parsed.ok_or_else(|| wrong(name, forms))
}

fn epoch(text: &str) -> Option<Timestamp> {
    let nanos = Decimal::parse(text)?;
    let (whole, fraction) = (&nanos.whole, format!("{:0<9.9}", nanos.fraction));
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: i64 = fraction.parse().ok()?;
    let span = if whole >= MILLIS_FROM {
        SignedDuration::from_millis(whole)
    } else {
        SignedDuration::from_secs(whole) + SignedDuration::from_nanos(fraction)
    };
    Timestamp::from_duration(if nanos.negative { -span } else { span }).ok()
}

/// `2026-01-02T03:04:05Z`, with a fraction only where there is one.
pub(super) fn to_rfc3339(value: &Val) -> ValR<Val> {
    string(instant("to_rfc3339", value)?.to_string())
}

/// `2026-01-02`.
pub(super) fn to_date(value: &Val) -> ValR<Val> {
    string(instant("to_date", value)?.to_zoned(TimeZone::UTC).date().to_string())
}

/// Whole seconds since 1970, rounded down.
pub(super) fn to_epoch(value: &Val) -> ValR<Val> {
    let instant = instant("to_epoch", value)?;
    whole("to_epoch", instant.as_millisecond().div_euclid(1000))
}

/// Whole milliseconds since 1970.
pub(super) fn to_epoch_ms(value: &Val) -> ValR<Val> {
    whole("to_epoch_ms", instant("to_epoch_ms", value)?.as_millisecond())
}

fn whole(name: &str, number: i64) -> ValR<Val> {
    integer(&number.to_string()).ok_or_else(|| wrong(name, "takes an instant"))
}
