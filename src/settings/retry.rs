//! `[retry]`: how often, and after which waits, a step is tried again.

use std::ops::RangeInclusive;
use std::time::Duration;

use causeway_core::retry::RetrySpec;

use super::reader::Table;
use super::reader::forms::{duration, integer, number};

/// Bounds of the retries; 0 turns them off.
const MAX_RETRIES: RangeInclusive<u32> = 0..=100;
/// Bounds of a wait of our own making: without one, retries are a flood.
const DELAY: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
/// Bounds of the multiplier: below 1, waits would shrink.
const MULTIPLIER: RangeInclusive<f64> = 1.0..=100.0;
/// Bounds of the share that is added to a wait.
const JITTER: RangeInclusive<f64> = 0.0..=1.0;
/// Bounds of the wait a provider may ask for; at 0 a step never waits.
const MAX_RETRY_AFTER: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(24 * 3600);

/// Reads `retry`.
pub(super) fn read(table: &mut Table<'_>) -> RetrySpec {
    let default = RetrySpec::default();
    RetrySpec {
        max_retries: table.or("max_retries", default.max_retries, integer(MAX_RETRIES)),
        base_delay: table.or("base_delay", default.base_delay, duration(DELAY)),
        multiplier: table.or("multiplier", default.multiplier, number(MULTIPLIER)),
        max_delay: table.or("max_delay", default.max_delay, duration(DELAY)),
        jitter: table.or("jitter", default.jitter, number(JITTER)),
        rate_limit_delay: table.or("rate_limit_delay", default.rate_limit_delay, duration(DELAY)),
        max_retry_after: table.or("max_retry_after", default.max_retry_after, duration(MAX_RETRY_AFTER)),
        ..default
    }
}
