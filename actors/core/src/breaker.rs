//! The circuit breaker (being built).

use std::time::Duration;

/// When a breaker opens, and how it closes again.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerSpec {
    /// Opens at this many failures in the window; `None` where only a rate is wanted.
    pub failures: Option<u32>,
    /// How far back outcomes count.
    pub window: Duration,
    /// Opens at this share of failures (0 < rate ≤ 1), once there are `minimum_calls`.
    pub failure_rate: Option<f64>,
    /// The least number of calls in the window before a rate is judged.
    pub minimum_calls: u32,
    /// How long it stays open.
    pub open_for: Duration,
    /// How many calls may try while half-open, in one cycle.
    pub half_open_calls: u32,
}

impl Default for BreakerSpec {
    fn default() -> Self {
        Self {
            failures: Some(5),
            window: Duration::from_secs(60),
            failure_rate: None,
            minimum_calls: 20,
            open_for: Duration::from_secs(30),
            half_open_calls: 3,
        }
    }
}
