//! Waits of our own making: growing, bounded, and spread so that callers do not come back in step.

use std::time::Duration;

use super::RetrySpec;

/// What each further wait after a 429 without a Retry-After is multiplied by.
const RATE_LIMIT_MULTIPLIER: f64 = 2.0;

/// The wait before the `n`-th retry (1 is the first): `min(base_delay × multiplier^(n−1), max_delay)`, and up to the
/// share `jitter` of it on top, as `jitter_unit` says (0 nothing, 1 all of it).
pub fn delay(spec: &RetrySpec, n: u32, jitter_unit: f64) -> Duration {
    grown(spec, (spec.base_delay, spec.multiplier), spec.max_delay, n, jitter_unit)
}

/// The wait before the `n`-th retry where a provider has asked for patience and not said for how long:
/// `min(rate_limit_delay × 2^(n−1), max_delay)`, and jitter on top.
pub fn rate_limit_delay(spec: &RetrySpec, n: u32, jitter_unit: f64) -> Duration {
    grown(spec, (spec.rate_limit_delay, RATE_LIMIT_MULTIPLIER), spec.max_delay, n, jitter_unit)
}

/// The wait of queued work before its `n`-th retry: as [`delay`] or, after a 429, as [`rate_limit_delay`], but for its
/// own longest.
pub(super) fn queued_delay(spec: &RetrySpec, rate_limited: bool, n: u32, jitter_unit: f64) -> Duration {
    let growth = if rate_limited {
        (spec.rate_limit_delay, RATE_LIMIT_MULTIPLIER)
    } else {
        (spec.base_delay, spec.multiplier)
    };
    grown(spec, growth, spec.queued.max_delay, n, jitter_unit)
}

/// A wait that the provider named, and jitter on top: never earlier than asked. The share is taken of `base_delay` at
/// most, so that callers spread out without stretching a wait of minutes by a quarter.
pub fn named_delay(spec: &RetrySpec, named: Duration, jitter_unit: f64) -> Duration {
    named.saturating_add(share(named.min(spec.base_delay), spec.jitter, jitter_unit))
}

fn grown(
    spec: &RetrySpec,
    (base, multiplier): (Duration, f64),
    longest: Duration,
    n: u32,
    jitter_unit: f64,
) -> Duration {
    if base.is_zero() {
        return Duration::ZERO;
    }
    // What is too large for a double or a duration is above any bound.
    let grown = base.as_secs_f64() * multiplier.powf(f64::from(n.saturating_sub(1)));
    let wait = Duration::try_from_secs_f64(grown).unwrap_or(Duration::MAX).min(longest);
    wait.saturating_add(share(wait, spec.jitter, jitter_unit))
}

/// The part of `wait` that is added at random; nothing if a factor is no share.
fn share(wait: Duration, jitter: f64, unit: f64) -> Duration {
    let within = |factor: f64| if factor > 0.0 { factor.min(1.0) } else { 0.0 };
    Duration::try_from_secs_f64(wait.as_secs_f64() * within(jitter) * within(unit)).unwrap_or(wait)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let spec = RetrySpec::default();
        let waits: Vec<_> = (1..=8).map(|n| delay(&spec, n, 0.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        let waits: Vec<_> = (1..=4).map(|n| delay(&spec, n, 1.0).as_millis()).collect();
        assert_eq!(waits, [1_250, 2_500, 5_000, 10_000]);
        assert_eq!(delay(&spec, 2, 0.5), Duration::from_millis(2_250));
    }

    #[test]
    fn a_429_without_a_wait_has_its_own_base() {
        let spec =
            RetrySpec { rate_limit_delay: Duration::from_secs(5), multiplier: 10.0, ..RetrySpec::default() };
        let waits: Vec<_> = (1..=5).map(|n| rate_limit_delay(&spec, n, 0.0).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 30, 30]);
    }

    #[test]
    fn jitter_on_a_named_wait_is_a_share_of_the_base_at_most() {
        let spec = RetrySpec::default();
        assert_eq!(named_delay(&spec, Duration::from_secs(120), 1.0), Duration::from_millis(120_250));
        assert_eq!(named_delay(&spec, Duration::from_millis(400), 1.0), Duration::from_millis(500));
        assert_eq!(named_delay(&spec, Duration::from_secs(120), 0.0), Duration::from_secs(120));
        assert_eq!(named_delay(&spec, Duration::MAX, 1.0), Duration::MAX);
    }

    #[test]
    fn a_base_of_zero_waits_for_nothing() {
        let spec = RetrySpec { base_delay: Duration::ZERO, ..RetrySpec::default() };
        assert_eq!(delay(&spec, u32::MAX, 1.0), Duration::ZERO);
    }

    fn duration() -> impl Strategy<Value = Duration> {
        prop_oneof![
            (0_u64..100_000_000_000).prop_map(Duration::from_nanos),
            any::<u64>().prop_map(Duration::from_secs),
            Just(Duration::MAX),
        ]
    }

    proptest! {
        #[test]
        fn every_wait_is_within_its_bounds(
            base_delay in duration(),
            rate_limit_delay in duration(),
            max_delay in duration(),
            multiplier in 1.0_f64..1e9,
            jitter in 0.0_f64..=1.0,
            n in prop_oneof![0_u32..70, any::<u32>()],
            unit in prop_oneof![0.0_f64..=1.0, any::<f64>()],
        ) {
            let spec = RetrySpec { base_delay, rate_limit_delay, max_delay, multiplier, jitter, ..RetrySpec::default() };
            let own: [&dyn Fn(u32, f64) -> Duration; 2] =
                [&|n, unit| delay(&spec, n, unit), &|n, unit| super::rate_limit_delay(&spec, n, unit)];
            for (kind, base) in own.into_iter().zip([base_delay, rate_limit_delay]) {
                let least = kind(n, 0.0);
                let wait = kind(n, unit);
                // Doubles carry 53 bits: a duration in seconds may be off in the sixteenth place.
                let slack = |span: Duration| span.mul_f64(1e-15).max(Duration::from_nanos(2));
                let base = base.min(max_delay);
                prop_assert!(least <= max_delay);
                prop_assert!(least.saturating_add(slack(least / 4)) >= base);
                prop_assert!(least <= kind(n.saturating_add(1), 0.0));
                prop_assert!(wait >= least);
                let most = least.as_secs_f64() * (1.0 + jitter);
                prop_assert!(wait.as_secs_f64() <= most * (1.0 + 1e-15) + 2e-9);
            }
        }
    }
}
