//! The pool's permits and its admission queue (being built).

use std::time::Duration;

/// How many calls an integration carries, and how many wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// Attempts on the wire at once.
    pub max_in_flight: u32,
    /// Calls waiting for a permit or a token.
    pub max_queue: u32,
    /// The longest wait for a pool permit.
    pub max_wait: Duration,
    /// Idle connections kept.
    pub max_idle: u32,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
}

impl Default for PoolSpec {
    fn default() -> Self {
        Self {
            max_in_flight: 64,
            max_queue: 256,
            max_wait: Duration::from_secs(1),
            max_idle: 32,
            idle_timeout: Duration::from_secs(90),
            http2: true,
        }
    }
}
