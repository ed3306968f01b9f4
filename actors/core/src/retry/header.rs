//! Reading when to come back: Retry-After (RFC 9110, section 10.2.3), and the headers of a provider's own.
//!
//! A provider's own header (`X-RateLimit-Reset`) tells when a budget is full again. Most send it with every answer, so
//! it is a wait only where the answer is that the budget is used up, and says nothing of any other failure.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

use super::ResetHeader;
use crate::limits::ResetForm;
use crate::time::Wall;

/// The longest wait believed: quotas reset within a month, and what lies years off is a mistake (most often an instant
/// written where a span belongs), which must not park an integration for as long.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How long the response asks to wait from `now` on: whole seconds, or until an HTTP-date in any of its three forms.
///
/// A date names a second, so the wait is rounded up to whole seconds: never before the second it names. A date in the
/// past means now. Of several headers the longest wait counts. `None` where there is none that makes sense: signs,
/// fractions, words, more than [`LONGEST_RETRY_AFTER`].
///
/// Where the answer has a date of its own, `now` is what the provider's clock shows: ours may differ.
pub fn retry_after(headers: &HeaderMap, now: Wall) -> Option<Duration> {
    let now = providers_now(headers, now);
    let values = headers.get_all(RETRY_AFTER).iter();
    values.filter_map(|value| parse(value.to_str().ok()?.trim(), now)).max()
}

/// How long a refusal for want of budget asks to wait from `now` on: by Retry-After, else by the first of `resets` that
/// makes sense. Seconds may have a fraction; a time in the past means now. `None` where none makes sense.
pub fn wait_named(headers: &HeaderMap, resets: &[ResetHeader], now: Wall) -> Option<Duration> {
    retry_after(headers, now).or_else(|| {
        let now = providers_now(headers, now);
        resets.iter().find_map(|reset| {
            let values = headers.get_all(&reset.name).iter();
            values.filter_map(|value| until_reset(value.to_str().ok()?.trim(), reset.form, now)).max()
        })
    })
}

/// The instant of the answer by the provider's clock, or else by ours.
fn providers_now(headers: &HeaderMap, ours: Wall) -> Wall {
    let date = headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?.trim()).ok());
    let since = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| u64::try_from(since.as_millis()).ok()).map_or(ours, Wall::from_unix_millis)
}

fn until_reset(value: &str, form: ResetForm, now: Wall) -> Option<Duration> {
    let written = seconds(value)?;
    let wait = match form {
        ResetForm::Delta => written,
        ResetForm::Epoch => written.saturating_sub(Duration::from_millis(now.unix_millis())),
    };
    (wait <= LONGEST_RETRY_AFTER).then_some(wait)
}

/// Digits, and perhaps a fraction of up to nine.
fn seconds(text: &str) -> Option<Duration> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: u32 = format!("{fraction:0<9}").parse().ok()?;
    Some(Duration::new(whole.parse().ok()?, nanos))
}

fn parse(value: &str, now: Wall) -> Option<Duration> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let wait = if digits { Duration::from_secs(value.parse().ok()?) } else { until_date(value, now)? };
    (wait <= LONGEST_RETRY_AFTER).then_some(wait)
}

fn until_date(value: &str, now: Wall) -> Option<Duration> {
    let date = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let left = date.saturating_sub(Duration::from_millis(now.unix_millis()));
    Some(Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const EXAMPLE: u64 = 784_111_777;

    fn read(values: &[&[u8]], now_millis: u64) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(RETRY_AFTER, HeaderValue::from_bytes(value).unwrap());
        }
        retry_after(&headers, Wall::from_unix_millis(now_millis))
    }

    fn whole(value: &str) -> Option<u64> {
        read(&[value.as_bytes()], 0).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_are_read_as_they_stand() {
        assert_eq!(whole("120"), Some(120));
        assert_eq!(whole("0"), Some(0));
        assert_eq!(whole(" \t7 "), Some(7));
        assert_eq!(whole("007"), Some(7));
    }

    #[test]
    fn a_date_is_read_by_the_clock_of_who_wrote_it() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
        let fast = Wall::from_unix_millis((EXAMPLE + 60) * 1000);
        assert_eq!(retry_after(&headers, fast), Some(Duration::ZERO));
        headers.insert(DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:07 GMT"));
        assert_eq!(retry_after(&headers, fast), Some(Duration::from_secs(30)));
    }

    #[test]
    fn nonsense_is_no_wait() {
        for nonsense in
            ["", " ", "-1", "+1", "1.5", "1e3", "soon", "12s", "12 13", "1,2", "99999999999999999999999"]
        {
            assert_eq!(whole(nonsense), None, "{nonsense:?}");
        }
        assert_eq!(read(&[b"\xff\xfe"], 0), None);
        assert_eq!(read(&[b"Sun, 31 Feb 2027 08:49:37 GMT"], 0), None);
        assert_eq!(read(&[], 0), None);
    }

    #[test]
    fn a_wait_of_more_than_a_year_is_nonsense() {
        let longest = LONGEST_RETRY_AFTER.as_secs();
        assert_eq!(whole(&longest.to_string()), Some(longest));
        assert_eq!(whole(&(longest + 1).to_string()), None);
        assert_eq!(whole("1790000000"), None);
        assert_eq!(read(&[b"Fri, 31 Dec 9999 23:59:59 GMT"], EXAMPLE * 1_000), None);
    }

    #[test]
    fn a_date_has_three_forms() {
        for form in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            let wait = read(&[form.as_bytes()], (EXAMPLE - 90) * 1_000);
            assert_eq!(wait, Some(Duration::from_secs(90)), "{form}");
        }
    }

    #[test]
    fn a_date_is_never_taken_too_early_and_a_past_one_means_now() {
        let date: &[&[u8]] = &[b"Sun, 06 Nov 1994 08:49:37 GMT"];
        assert_eq!(read(date, EXAMPLE * 1_000 - 1_500), Some(Duration::from_secs(2)));
        assert_eq!(read(date, EXAMPLE * 1_000 - 1), Some(Duration::from_secs(1)));
        assert_eq!(read(date, EXAMPLE * 1_000), Some(Duration::ZERO));
        assert_eq!(read(date, EXAMPLE * 1_000 + 5), Some(Duration::ZERO));
        assert_eq!(read(date, u64::MAX), Some(Duration::ZERO));
    }

    #[test]
    fn of_several_the_longest_counts() {
        assert_eq!(read(&[b"3", b"nonsense", b"20", b"7"], 0), Some(Duration::from_secs(20)));
    }

    fn named(headers: &[(&str, &str)], form: ResetForm, now_millis: u64) -> Option<Duration> {
        let name = |name: &str| http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        let headers: HeaderMap = headers
            .iter()
            .map(|(header, value)| (name(header), HeaderValue::from_str(value).unwrap()))
            .collect();
        let resets = [
            ResetHeader { name: name("x-reset"), form },
            ResetHeader { name: name("x-reset-after"), form: ResetForm::Delta },
        ];
        wait_named(&headers, &resets, Wall::from_unix_millis(now_millis))
    }

    #[test]
    fn a_reset_is_read_as_a_span_or_as_a_time() {
        let (delta, epoch) = (ResetForm::Delta, ResetForm::Epoch);
        let at = EXAMPLE * 1_000;
        let secs = |secs| Some(Duration::from_secs(secs));
        assert_eq!(named(&[("x-reset", "30")], delta, at), secs(30));
        assert_eq!(named(&[("x-reset", "0.25")], delta, at), Some(Duration::from_millis(250)));
        assert_eq!(named(&[("x-reset", &(EXAMPLE + 90).to_string())], epoch, at), secs(90));
        assert_eq!(named(&[("x-reset", &(EXAMPLE - 90).to_string())], epoch, at), secs(0));
        // A span where a time was said, a time in milliseconds where seconds were said: years off either way.
        assert_eq!(named(&[("x-reset", "30")], epoch, at), secs(0));
        assert_eq!(named(&[("x-reset", &EXAMPLE.to_string())], delta, at), None);
        assert_eq!(named(&[("x-reset", &(EXAMPLE * 1_000).to_string())], epoch, at), None);
    }

    #[test]
    fn retry_after_comes_first_then_the_resets_in_their_order() {
        let all = [("retry-after", "7"), ("x-reset", "20"), ("x-reset-after", "3")];
        let wait = |headers: &[(&str, &str)]| named(headers, ResetForm::Delta, 0).map(|wait| wait.as_secs());
        assert_eq!([wait(&all), wait(&all[1..]), wait(&all[2..])], [Some(7), Some(20), Some(3)]);
        assert_eq!(wait(&[("retry-after", "soon"), ("x-reset", "-1"), ("x-reset-after", "3")]), Some(3));
        for nonsense in ["", ".", "1.", ".5", "-1", "1e3", "1.0000000001", "soon", "99999999999999999999"] {
            let read = named(&[("x-reset", nonsense)], ResetForm::Delta, 0);
            assert_eq!(read, None, "{nonsense:?}");
        }
    }

    /// The same instant in the other two forms, taken from the first one's text.
    fn forms(date: &str) -> [String; 3] {
        let (weekday, day, month, year, time) =
            (&date[..3], &date[5..7], &date[8..11], &date[12..16], &date[17..25]);
        let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
        let long = days.iter().find(|long| long.starts_with(weekday)).unwrap();
        let padded = day.strip_prefix('0').map_or_else(|| day.to_owned(), |digit| format!(" {digit}"));
        let obsolete = format!("{long}, {day}-{month}-{} {time} GMT", &year[2..]);
        [date.to_owned(), obsolete, format!("{weekday} {month} {padded} {time} {year}")]
    }

    proptest! {
        #[test]
        fn dates_come_back_in_all_forms(
            // Two digits of a year reach from 1970 to 2069.
            date in 0_u64..3_155_000_000,
            ahead in 0_u64..2 * LONGEST_RETRY_AFTER.as_secs() * 1_000,
        ) {
            let now = (date * 1_000).saturating_sub(ahead);
            let left = Duration::from_secs((date * 1_000 - now).div_ceil(1_000));
            let expected = (left <= LONGEST_RETRY_AFTER).then_some(left);
            for form in forms(&httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(date))) {
                prop_assert_eq!(read(&[form.as_bytes()], now), expected, "{}", form);
            }
        }

        #[test]
        fn no_bytes_make_it_stumble(bytes in prop::collection::vec(any::<u8>(), 0..40), now in any::<u64>()) {
            if HeaderValue::from_bytes(&bytes).is_ok() {
                let wait = read(&[&bytes], now);
                prop_assert!(wait.is_none_or(|wait| wait <= LONGEST_RETRY_AFTER));
            }
        }

        #[test]
        fn no_text_like_a_date_makes_it_stumble(
            text in "(Sun|Sunday|Mon)?,? ?[0-9]{0,2}[ -]?(Nov|Feb)?[ -]?[ 0-9:]{0,12} ?[0-9]{0,4} ?(GMT)?",
            now in any::<u64>(),
        ) {
            let wait = read(&[text.as_bytes()], now);
            prop_assert!(wait.is_none_or(|wait| wait <= LONGEST_RETRY_AFTER));
        }
    }
}
