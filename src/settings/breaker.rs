//! `[breaker]`: when calls stop, and how they begin again.

use std::ops::RangeInclusive;
use std::time::Duration;

use causeway_core::breaker::BreakerSpec;

use super::reader::Table;
use super::reader::forms::{duration, integer, positive_share};

/// Bounds of the calls and failures that are counted.
const CALLS: RangeInclusive<u32> = 1..=1_000_000;
/// Bounds of the window: its slices must be worth telling apart, and a breaker forgets within a day.
const WINDOW: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(24 * 3600);
/// Bounds of the time a breaker stays open.
const OPEN_FOR: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
/// Bounds of the trials while half-open.
const HALF_OPEN_CALLS: RangeInclusive<u32> = 1..=10_000;

/// Reads `breaker`. Where a rate is written, failures are counted only if that is written too.
pub(super) fn read(table: &mut Table<'_>) -> BreakerSpec {
    let default = BreakerSpec::default();
    let failures = table.optional("failures", integer(CALLS));
    let failure_rate = table.optional("failure_rate", positive_share);
    BreakerSpec {
        failures: if failure_rate.is_some() { failures } else { failures.or(default.failures) },
        window: table.or("window", default.window, duration(WINDOW)),
        failure_rate,
        minimum_calls: table.or("minimum_calls", default.minimum_calls, integer(CALLS)),
        open_for: table.or("open_for", default.open_for, duration(OPEN_FOR)),
        half_open_calls: table.or("half_open_calls", default.half_open_calls, integer(HALF_OPEN_CALLS)),
        ..default
    }
}
