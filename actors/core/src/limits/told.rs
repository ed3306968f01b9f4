//! What an answer's headers tell of the limits its call took from.
//!
//! Providers tell it in a few ways, none of them binding:
//!
//! - `RateLimit: "default";r=50;t=30` (draft-ietf-httpapi-ratelimit-headers, from its eighth edition on): policies with what
//!   remains and the seconds until the reset;
//! - `RateLimit: limit=100, remaining=50, reset=5` (its seventh);
//! - `RateLimit-Limit`, `RateLimit-Remaining`, `RateLimit-Reset` (the earlier ones), the reset in seconds from now;
//! - `X-RateLimit-Limit`, `-Remaining`, `-Reset` and `X-Rate-Limit-…` (everybody else), the reset in seconds from now
//!   or since 1970: a number above a thousand million is an instant, and above that thousandfold in milliseconds.
//!
//! An instant is compared with the answer's own `Date`, where it has one: then it does not matter whether our clock
//! agrees with the provider's. What makes no sense is as good as not told.

use std::time::{Duration, UNIX_EPOCH};

use http::header::DATE;
use http::{HeaderMap, HeaderName};

use super::{Demand, LearnHeaders, LearnSpec, LimitSpec, ResetForm, Told};
use crate::retry::LONGEST_RETRY_AFTER;
use crate::time::Wall;

/// The least number that is an instant: 2001-09-09, and more seconds than anybody waits.
const LEAST_EPOCH: f64 = 1e9;
/// The least number that is an instant in milliseconds.
const LEAST_EPOCH_MILLIS: f64 = 1e12;

/// The families of headers that [`LearnSpec::Auto`] looks for, in this order: limit, remaining, reset.
const FAMILIES: [[&str; 3]; 3] = [
    ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"],
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"],
    ["x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"],
];

/// What an answer tells of the limits that the demand takes from and that learn; `at` is when it came.
pub fn observe(specs: &[LimitSpec], demand: &Demand, headers: &HeaderMap, at: Wall) -> Vec<Told> {
    let mut all = Vec::new();
    for take in &demand.0 {
        let Some(spec) = specs.get(take.limit) else { continue };
        let read = match &spec.learn {
            None => continue,
            Some(LearnSpec::Auto) => auto(spec.name.as_str(), headers, at),
            Some(LearnSpec::Named(names)) => named(names, headers, at),
        };
        let sensible = |read: &Read| read.capacity.is_none_or(|capacity| read.remaining <= capacity);
        if let Some(Read { remaining, capacity, resets_in }) = read.filter(sensible) {
            all.push(Told { limit: take.limit, remaining, capacity, resets_in });
        }
    }
    all
}

struct Read {
    remaining: u32,
    capacity: Option<u32>,
    resets_in: Option<Duration>,
}

fn auto(limit: &str, headers: &HeaderMap, at: Wall) -> Option<Read> {
    structured(limit, headers).or_else(|| {
        FAMILIES.iter().find_map(|[limit, remaining, reset]| {
            let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
            Some(Read {
                remaining: tokens(text(remaining)?)?,
                capacity: text(limit).and_then(tokens),
                resets_in: text(reset).and_then(|text| by_size(text, headers, at)),
            })
        })
    })
}

fn named(names: &LearnHeaders, headers: &HeaderMap, at: Wall) -> Option<Read> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let reset = names.reset.as_ref().and_then(text).and_then(number);
    Some(Read {
        remaining: tokens(text(&names.remaining)?)?,
        capacity: names.limit.as_ref().and_then(text).and_then(tokens),
        resets_in: reset.and_then(|reset| match names.form {
            ResetForm::Delta => span(reset),
            ResetForm::Epoch => until(reset, headers, at),
        }),
    })
}

/// The field `RateLimit`. Of several policies the one named as the limit counts, else the one with the least left.
fn structured(limit: &str, headers: &HeaderMap) -> Option<Read> {
    let fields = headers.get_all("ratelimit").iter().filter_map(|value| value.to_str().ok());
    let items: Vec<&str> = fields.flat_map(|field| field.split(',')).map(str::trim).collect();
    if items.first().is_some_and(|item| !item.contains(';')) {
        let of = |name| items.iter().find_map(|item| parameter(item, name));
        return Some(Read {
            remaining: tokens(of("remaining")?)?,
            capacity: of("limit").and_then(tokens),
            resets_in: of("reset").and_then(number).and_then(span),
        });
    }
    let policies = items.iter().filter_map(|item| {
        let (name, parameters) = item.split_once(';')?;
        let of = |name| parameters.split(';').find_map(|text| parameter(text, name));
        let read = Read {
            remaining: tokens(of("r")?)?,
            capacity: None,
            resets_in: of("t").and_then(number).and_then(span),
        };
        Some((name.trim().trim_matches('"') != limit, read))
    });
    policies.min_by_key(|(other, read)| (*other, read.remaining)).map(|(_, read)| read)
}

fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (key, value) = text.split_once('=')?;
    (key.trim() == name).then(|| value.trim())
}

/// A whole number of tokens; of a list (`100, 100;w=60`) the first.
fn tokens(text: &str) -> Option<u32> {
    let first = text.split([',', ';']).next()?.trim();
    first.bytes().all(|byte| byte.is_ascii_digit()).then(|| first.parse().ok())?
}

/// Digits, with a fraction or without.
fn number(text: &str) -> Option<f64> {
    let first = text.split([',', ';']).next()?.trim();
    let plain = first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| first.parse().ok())?
}

/// A reset whose form is told by its size.
fn by_size(text: &str, headers: &HeaderMap, at: Wall) -> Option<Duration> {
    let number = number(text)?;
    if number > LEAST_EPOCH { until(number, headers, at) } else { span(number) }
}

fn span(seconds: f64) -> Option<Duration> {
    let span = Duration::try_from_secs_f64(seconds).ok()?;
    (span <= LONGEST_RETRY_AFTER).then_some(span)
}

/// How long until an instant, by the answer's own clock if it shows it; zero if it is past.
fn until(epoch: f64, headers: &HeaderMap, at: Wall) -> Option<Duration> {
    let seconds = if epoch > LEAST_EPOCH_MILLIS { epoch / 1_000.0 } else { epoch };
    let date = headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let date = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    let now = date.unwrap_or_else(|| Duration::from_millis(at.unix_millis()));
    let left = Duration::try_from_secs_f64(seconds).ok()?.saturating_sub(now);
    (left <= LONGEST_RETRY_AFTER).then_some(left)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::super::examples::{spec, window};
    use super::super::{LimitKey, Take};
    use super::*;

    /// 2023-11-14T22:13:20Z.
    const NOW: u64 = 1_700_000_000;

    fn read(learn: LearnSpec, headers: &[(&'static str, &str)]) -> Option<(u32, Option<u32>, Option<u64>)> {
        let specs = [LimitSpec { learn: Some(learn), ..spec("reads", window(9, Duration::from_secs(1))) }];
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let demand = Demand(std::iter::once(Take { limit: 0, key: LimitKey::Shared, cost: 1 }).collect());
        let told = observe(&specs, &demand, &map, Wall::from_unix_millis(NOW * 1_000));
        told.first().map(|told| {
            (
                told.remaining,
                told.capacity,
                told.resets_in.map(|span| u64::try_from(span.as_millis()).unwrap()),
            )
        })
    }

    fn auto(headers: &[(&'static str, &str)]) -> Option<(u32, Option<u32>, Option<u64>)> {
        read(LearnSpec::Auto, headers)
    }

    #[test]
    fn the_usual_headers_are_found() {
        let ietf =
            [("ratelimit-limit", "100, 100;w=60"), ("ratelimit-remaining", "7"), ("ratelimit-reset", "30")];
        assert_eq!(auto(&ietf), Some((7, Some(100), Some(30_000))));
        let github = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000060")];
        assert_eq!(auto(&github), Some((0, None, Some(60_000))));
        let others = [("x-rate-limit-remaining", "3"), ("x-rate-limit-reset", "1.5")];
        assert_eq!(auto(&others), Some((3, None, Some(1_500))));
        let millis = [("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", "1700000001500")];
        assert_eq!(auto(&millis), Some((3, None, Some(1_500))));
        assert_eq!(
            auto(&[("ratelimit", "limit=10, remaining=5, reset=4")]),
            Some((5, Some(10), Some(4_000)))
        );
        assert_eq!(auto(&[("ratelimit", "\"default\";r=50;t=30")]), Some((50, None, Some(30_000))));
        assert_eq!(auto(&[]), None);
    }

    #[test]
    fn of_several_policies_the_limits_own_counts_or_the_tightest() {
        assert_eq!(
            auto(&[("ratelimit", "\"burst\";r=9;t=1, \"day\";r=5;t=900")]),
            Some((5, None, Some(900_000)))
        );
        assert_eq!(
            auto(&[("ratelimit", "\"reads\";r=9;t=1, \"day\";r=5;t=900")]),
            Some((9, None, Some(1_000)))
        );
    }

    #[test]
    fn an_instant_is_told_by_the_providers_own_clock() {
        let headers = [
            ("date", "Tue, 14 Nov 2023 21:13:20 GMT"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1699996430"),
        ];
        assert_eq!(auto(&headers), Some((0, None, Some(30_000))));
        assert_eq!(auto(&[headers[1], headers[2]]), Some((0, None, Some(0))), "past by ours");
    }

    #[test]
    fn named_headers_are_read_as_told_and_no_others() {
        let names = |form| {
            LearnSpec::Named(LearnHeaders {
                limit: Some(HeaderName::from_static("max")),
                remaining: HeaderName::from_static("left"),
                reset: Some(HeaderName::from_static("again")),
                form,
            })
        };
        let headers = [("max", "10"), ("left", "4"), ("again", "1700000005"), ("ratelimit-remaining", "1")];
        assert_eq!(read(names(ResetForm::Epoch), &headers), Some((4, Some(10), Some(5_000))));
        assert_eq!(read(names(ResetForm::Delta), &headers), Some((4, Some(10), None)), "more than a year");
        assert_eq!(read(names(ResetForm::Delta), &headers[3..]), None);
    }

    #[test]
    fn nonsense_is_not_told() {
        for remaining in ["", "-1", "+1", "1.5", "many", "99999999999", "0x10", "{}"] {
            assert_eq!(auto(&[("x-ratelimit-remaining", remaining)]), None, "{remaining}");
        }
        for reset in ["", "-5", "soon", "1e3", ".", "1..2", "99999999", "99999999999999999999999"] {
            let told = auto(&[("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", reset)]);
            assert_eq!(told, Some((3, None, None)), "{reset}");
        }
        assert_eq!(auto(&[("ratelimit-limit", "5"), ("ratelimit-remaining", "6")]), None, "more than all");
        assert_eq!(auto(&[("ratelimit", "r=5"), ("x-ratelimit-remaining", "2")]), Some((2, None, None)));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_stumble(text in "[ -~]{0,30}", reset in "[0-9.;,=\"rt ]{0,20}") {
            for name in ["ratelimit", "ratelimit-remaining", "x-ratelimit-remaining"] {
                let told = auto(&[(name, text.as_str()), ("ratelimit-reset", reset.as_str()), ("x-ratelimit-reset", reset.as_str())]);
                let longest = u64::try_from(LONGEST_RETRY_AFTER.as_millis()).unwrap();
                prop_assert!(told.is_none_or(|(_, _, resets)| resets.is_none_or(|resets| resets <= longest)));
            }
        }
    }
}
