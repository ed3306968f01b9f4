//! `[retry]`: how often, and after which waits, a step is tried again.

use std::ops::RangeInclusive;
use std::time::Duration;

use causeway_core::limits::ResetForm;
use causeway_core::retry::{QueuedRetrySpec, ResetHeader, RetrySpec};

use super::headers::header_name;
use super::reader::forms::{boolean, choice, duration, integer, number};
use super::reader::{Table, Value};

/// Bounds of the retries; 0 turns them off.
const MAX_RETRIES: RangeInclusive<u32> = 0..=100;
/// Bounds of the retries of queued work, which nobody waits for.
const MAX_QUEUED_RETRIES: RangeInclusive<u32> = 0..=10_000;
/// Bounds of a wait of our own making: without one, retries are a flood.
const DELAY: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
/// Bounds of the multiplier: below 1, waits would shrink.
const MULTIPLIER: RangeInclusive<f64> = 1.0..=100.0;
/// Bounds of the share that is added to a wait.
const JITTER: RangeInclusive<f64> = 0.0..=1.0;
/// Bounds of the share of retries among first attempts; at 0 only `budget_min` counts.
const BUDGET: RangeInclusive<f64> = 0.0..=100.0;
/// Bounds of the retries there may be whatever the share.
const BUDGET_MIN: RangeInclusive<u32> = 0..=1_000_000;
/// Bounds of the wait a provider may ask for; at 0 a step never waits.
const MAX_RETRY_AFTER: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(24 * 3600);
/// Bounds of the time after which queued work is given up.
const GIVE_UP_AFTER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 3600);
/// The most headers that tell when to come back.
const MAX_RESET_HEADERS: usize = 8;

/// How a time is written.
pub(super) const RESET_FORMS: [(&str, ResetForm); 2] =
    [("delta", ResetForm::Delta), ("epoch", ResetForm::Epoch)];

/// Reads `retry`; what is absent is taken from `base`.
pub(super) fn read(table: &mut Table<'_>, base: &RetrySpec) -> RetrySpec {
    let read = RetrySpec {
        max_retries: table.or("max_retries", base.max_retries, integer(MAX_RETRIES)),
        base_delay: table.or("base_delay", base.base_delay, duration(DELAY)),
        multiplier: table.or("multiplier", base.multiplier, number(MULTIPLIER)),
        max_delay: table.or("max_delay", base.max_delay, duration(DELAY)),
        jitter: table.or("jitter", base.jitter, number(JITTER)),
        first_retry_immediately: table.or("first_retry_immediately", base.first_retry_immediately, boolean),
        rate_limit_delay: table.or("rate_limit_delay", base.rate_limit_delay, duration(DELAY)),
        budget: table.or("budget", base.budget, number(BUDGET)),
        budget_min: table.or("budget_min", base.budget_min, integer(BUDGET_MIN)),
        max_retry_after: table.or("max_retry_after", base.max_retry_after, duration(MAX_RETRY_AFTER)),
        reset_headers: table.list_or("reset_headers", MAX_RESET_HEADERS, &base.reset_headers, reset_header),
        queued: table.section("queued", |table| queued(table, &base.queued)),
    };
    if read.max_delay < read.base_delay {
        let later = if table.had("max_delay") { "max_delay" } else { "base_delay" };
        table.wrong(
            later,
            "the longest wait is shorter than the first; make `max_delay` at least `base_delay`",
        );
    }
    if read.max_delay < read.rate_limit_delay && table.had("rate_limit_delay") {
        let message = "the wait after a 429 is longer than the longest; make `max_delay` at least as long";
        table.wrong("rate_limit_delay", message);
    }
    read
}

/// Reads `retry` of an endpoint.
pub(super) fn read_of_endpoint(table: &mut Table<'_>, base: &RetrySpec) -> RetrySpec {
    let read = read(table, base);
    for key in ["budget", "budget_min"] {
        if table.had(key) {
            let message =
                "all endpoints share the integration's retry budget: only what its [retry] says counts";
            table.advise(key, message);
        }
    }
    read
}

fn reset_header(value: Value<'_>) -> Option<ResetHeader> {
    value.table("a header such as { name = \"X-RateLimit-Reset\", form = \"epoch\" }", |table| {
        let name = table.required("name", "\"X-RateLimit-Reset\"", |value| header_name(&value));
        let form = table.required("form", "\"epoch\"", choice(&RESET_FORMS));
        Some(ResetHeader { name: name?, form: form? })
    })
}

fn queued(table: &mut Table<'_>, base: &QueuedRetrySpec) -> QueuedRetrySpec {
    QueuedRetrySpec {
        max_retries: table.or("max_retries", base.max_retries, integer(MAX_QUEUED_RETRIES)),
        max_delay: table.or("max_delay", base.max_delay, duration(DELAY)),
        give_up_after: table.or("give_up_after", base.give_up_after, duration(GIVE_UP_AFTER)),
    }
}
