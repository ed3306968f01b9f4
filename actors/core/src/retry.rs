//! Retries (being built).

use std::time::Duration;

/// How often, and after which waits, a synchronous step is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetrySpec {
    /// Attempts after the first; 0 turns retries off.
    pub max_retries: u32,
    /// The wait before the first retry.
    pub base_delay: Duration,
    /// What each further wait is multiplied by (≥ 1).
    pub multiplier: f64,
    /// The longest wait of our own making.
    pub max_delay: Duration,
    /// Up to this share is added to a wait, at random (0 to 1).
    pub jitter: f64,
    /// The wait after a 429 that names none; doubles with each further one.
    pub rate_limit_delay: Duration,
    /// A synchronous step gives up at once when the provider asks for more than this.
    pub max_retry_after: Duration,
}

impl Default for RetrySpec {
    fn default() -> Self {
        Self {
            max_retries: 3,
            base_delay: Duration::from_secs(1),
            multiplier: 2.0,
            max_delay: Duration::from_secs(30),
            jitter: 0.25,
            rate_limit_delay: Duration::from_secs(1),
            max_retry_after: Duration::from_secs(300),
        }
    }
}
