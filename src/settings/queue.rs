//! `[queue]`: how queued runs are executed at an integration.

use std::ops::RangeInclusive;
use std::time::Duration;

use causeway_actors::plan::QueueSpec;

use super::reader::Table;
use super::reader::forms::{duration, integer};

/// Bounds of the runs at once.
const SLOTS: RangeInclusive<u32> = 1..=10_000;
/// Bounds of the lease: shorter ones are lost to a slow disk.
const LEASE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// Bounds of how many may wait.
const MAX_PENDING: RangeInclusive<u32> = 1..=100_000_000;

pub(super) fn read(table: &mut Table<'_>) -> QueueSpec {
    let default = QueueSpec::default();
    QueueSpec {
        slots: table.or("slots", default.slots, integer(SLOTS)),
        lease: table.or("lease", default.lease, duration(LEASE)),
        max_pending: table.or("max_pending", default.max_pending, integer(MAX_PENDING)),
    }
}
