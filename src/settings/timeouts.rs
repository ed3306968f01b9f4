//! `[timeouts]`: how long each part of an attempt may take.

use std::ops::RangeInclusive;
use std::time::Duration;

use causeway_core::endpoint::Timeouts;

use super::reader::Table;
use super::reader::forms::duration;

/// Bounds of each timeout: at zero nothing ever succeeds, and no call that somebody waits for takes an hour.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);

/// Reads `timeouts`; what is absent is taken from `base`.
pub(super) fn read(table: &mut Table<'_>, base: &Timeouts) -> Timeouts {
    let read = Timeouts {
        connect: table.or("connect", base.connect, duration(TIMEOUT)),
        first_byte: table.or("first_byte", base.first_byte, duration(TIMEOUT)),
        body: table.or("body", base.body, duration(TIMEOUT)),
        total: table.or("total", base.total, duration(TIMEOUT)),
    };
    let within = ["connect", "first_byte", "body", "total"].into_iter().any(|key| table.had(key));
    if within && read.total < read.connect.max(read.first_byte) {
        let first = "the whole attempt ends before its parts may";
        table.advise("total", &format!("{first}; give it as long as `connect` and `first_byte` together"));
    }
    read
}
