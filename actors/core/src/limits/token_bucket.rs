//! The token bucket (being built).

use std::time::Duration;

/// So many requests per period, with a burst.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBucketSpec {
    /// Requests per period (≥ 1).
    pub requests: u32,
    /// The period.
    pub per: Duration,
    /// The capacity: how many may go at once (≥ 1).
    pub burst: u32,
}
