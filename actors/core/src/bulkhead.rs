//! The pool's permits, and in front of them the one admission queue.
//!
//! A call holds a permit from the moment its attempt starts until the response's body has ended or the attempt is
//! dropped. Calls that cannot start at once wait in the [`queue`], for a permit or for a token of a rate budget. A permit
//! is waited for at most [`PoolSpec::max_wait`]; a token may be waited for until the deadline.

use std::time::Duration;

pub mod queue;

/// The most calls of one integration that wait for their retry.
pub const MAX_BACKING_OFF: u32 = 1024;

/// How many calls an integration carries, and how many wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// Attempts on the wire at once (≥ 1).
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

impl PoolSpec {
    /// The bound of the queue.
    pub fn max_queue(&self) -> usize {
        usize::try_from(self.max_queue).unwrap_or(usize::MAX)
    }

    /// How many calls the integration holds at once, on the wire, waiting and backing off together. Who backs off
    /// needs neither the pool nor the queue, and leaves their room to others.
    pub fn capacity(&self) -> usize {
        let pool = self.max_in_flight.saturating_add(self.max_queue);
        usize::try_from(pool.saturating_add(MAX_BACKING_OFF)).unwrap_or(usize::MAX)
    }
}

/// The permits of a pool.
#[derive(Debug)]
pub struct Bulkhead {
    max_in_flight: u32,
    in_flight: u32,
}

impl Bulkhead {
    /// An idle pool.
    pub fn new(spec: &PoolSpec) -> Self {
        Self { max_in_flight: spec.max_in_flight.max(1), in_flight: 0 }
    }

    /// Another number of permits. Those that are out stay out: where there are fewer now, none is given until enough
    /// have come back.
    pub fn respec(&mut self, spec: &PoolSpec) {
        self.max_in_flight = spec.max_in_flight.max(1);
    }

    /// Whether a permit is free.
    pub const fn has_room(&self) -> bool {
        self.in_flight < self.max_in_flight
    }

    /// Takes a permit. An attempt taken over from an earlier life of the actor takes one even beyond the maximum,
    /// for it is on the wire whatever is decided here.
    pub const fn take(&mut self) {
        self.in_flight += 1;
    }

    /// Gives a permit back.
    pub const fn give_back(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Attempts on the wire.
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Permits there are.
    pub const fn capacity(&self) -> u32 {
        self.max_in_flight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_fewer_permits_those_that_are_out_stay_out() {
        let spec = |max_in_flight| PoolSpec { max_in_flight, ..PoolSpec::default() };
        let mut pool = Bulkhead::new(&spec(3));
        for _ in 0..3 {
            pool.take();
        }
        pool.respec(&spec(2));
        assert_eq!((pool.has_room(), pool.in_flight(), pool.capacity()), (false, 3, 2));
        pool.give_back();
        assert!(!pool.has_room());
        pool.give_back();
        assert!(pool.has_room());
        pool.give_back();
        pool.give_back();
        assert_eq!(pool.in_flight(), 0);
    }
}
