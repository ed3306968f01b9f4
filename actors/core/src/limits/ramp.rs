//! What follows a drain: silence, and then a slope instead of a cliff.
//!
//! A token bucket comes out of a drain empty and refills at its pace. A window, a quota or a number of places would be
//! there whole at the instant the provider's time is up, and everybody who waited for it would go at once. So they come
//! back evenly: the whole capacity over its own period, or over [`LONGEST`] where that is longer, beginning with the
//! drain's end. After that the limit's own count alone rules again.

use std::time::Duration;

use super::token_bucket::{TokenBucket, TokenBucketSpec};
use crate::time::Mono;

/// The longest that a limit takes to be whole again after a drain.
pub const LONGEST: Duration = Duration::from_secs(1);

/// Nothing until an instant, then evenly more.
#[derive(Clone, Debug)]
pub struct Ramp {
    slope: TokenBucket,
    until: Mono,
    over_at: Mono,
}

impl Ramp {
    /// Nothing until `until`, then `capacity` over `span`.
    pub fn new(capacity: u32, span: Duration, now: Mono, until: Mono) -> Self {
        let span = span.min(LONGEST);
        let mut slope =
            TokenBucket::new(&TokenBucketSpec { requests: capacity, per: span, burst: capacity }, now);
        slope.drain_until(now, until);
        Self { slope, until, over_at: until + span }
    }

    /// Until when nothing goes.
    pub const fn until(&self) -> Mono {
        self.until
    }

    /// Whether it no longer holds anybody up.
    pub fn is_over(&self, now: Mono) -> bool {
        now >= self.over_at
    }

    /// How long until it no longer holds anybody up.
    pub const fn over_in(&self, now: Mono) -> Duration {
        self.over_at.since(now)
    }

    /// Tokens it lets go at `now`.
    pub fn available(&self, now: Mono) -> u32 {
        if self.is_over(now) { u32::MAX } else { self.slope.available(now) }
    }

    /// How long until it lets the `n`-th token from now on go.
    pub fn ready_in_turn(&self, now: Mono, n: u32) -> Duration {
        self.slope.ready_in_turn(now, n).min(self.over_in(now))
    }

    /// Takes `n` tokens.
    pub fn spend(&mut self, now: Mono, n: u32) {
        self.slope.spend(now, n);
    }

    /// Puts back `n` tokens that were not used; `taken_since` is how many were taken after these.
    pub fn give_back(&mut self, n: u32, taken_since: u64) {
        self.slope.give_back(n, taken_since);
    }
}
