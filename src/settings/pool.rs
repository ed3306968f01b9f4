//! `[pool]`: how many calls an integration carries, and how many wait.

use std::ops::RangeInclusive;
use std::time::Duration;

use causeway_core::bulkhead::PoolSpec;

use super::reader::Table;
use super::reader::forms::{boolean, duration, integer};

/// Bounds of the attempts at once: each has a socket or a stream.
const MAX_IN_FLIGHT: RangeInclusive<u32> = 1..=10_000;
/// Bounds of the queue; at 0 nobody waits.
const MAX_QUEUE: RangeInclusive<u32> = 0..=1_000_000;
/// Bounds of the wait for a permit; at 0 nobody waits.
const MAX_WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);
/// Bounds of the idle connections; at 0 each call makes its own.
const MAX_IDLE: RangeInclusive<u32> = 0..=10_000;
/// Bounds of the time a connection may idle.
const IDLE_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);

/// Reads `pool`; what is absent is taken from `base`.
pub(super) fn read(table: &mut Table<'_>, base: &PoolSpec) -> PoolSpec {
    let read = PoolSpec {
        max_in_flight: table.or("max_in_flight", base.max_in_flight, integer(MAX_IN_FLIGHT)),
        max_queue: table.or("max_queue", base.max_queue, integer(MAX_QUEUE)),
        max_wait: table.or("max_wait", base.max_wait, duration(MAX_WAIT)),
        max_idle: table.or("max_idle", base.max_idle, integer(MAX_IDLE)),
        idle_timeout: table.or("idle_timeout", base.idle_timeout, duration(IDLE_TIMEOUT)),
        http2: table.or("http2", base.http2, boolean),
    };
    // The defaults keep few connections on purpose; other numbers are somebody's own.
    let own = PoolSpec::default();
    let as_ever = (read.max_in_flight, read.max_idle) == (own.max_in_flight, own.max_idle);
    let written = table.had("max_in_flight") || table.had("max_idle");
    if written && !as_ever && read.max_idle < read.max_in_flight {
        let key = if table.had("max_idle") { "max_idle" } else { "max_in_flight" };
        table.advise(
            key,
            &format!(
                "up to {} connections carry calls and {} are kept, so the others are made anew in each burst; write \
                 max_idle = {}",
                read.max_in_flight, read.max_idle, read.max_in_flight
            ),
        );
    }
    read
}
