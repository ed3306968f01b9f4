//! The concurrent limit: so many at once.
//!
//! A place is held from the taking until the attempt is over, whatever became of it. When that will be nobody knows,
//! so a wait for a place has no known length.

use std::time::Duration;

use super::spec::ConcurrentSpec;

/// One budget of places.
#[derive(Clone, Debug)]
pub struct Concurrent {
    places: u32,
    held: u32,
}

impl Concurrent {
    /// All places free. A zero in the spec counts as one.
    pub fn new(spec: &ConcurrentSpec) -> Self {
        Self { places: spec.requests.max(1), held: 0 }
    }

    /// How many places there are.
    pub const fn capacity(&self) -> u32 {
        self.places
    }

    /// Places to be had now.
    pub const fn available(&self) -> u32 {
        self.places.saturating_sub(self.held)
    }

    /// Zero if `ahead + 1` takings of `n` places fit now, [`Duration::MAX`] if one could never fit; `None`, unknown,
    /// else.
    pub const fn ready_in_turn(&self, n: u32, ahead: u32) -> Option<Duration> {
        if n > self.places {
            return Some(Duration::MAX);
        }
        let all = n.saturating_mul(ahead.saturating_add(1));
        if all <= self.available() { Some(Duration::ZERO) } else { None }
    }

    /// Takes `n` places. Attempts that are out already may hold more than there are.
    pub const fn spend(&mut self, n: u32) {
        self.held = self.held.saturating_add(n);
    }

    /// Gives `n` places back.
    pub const fn release(&mut self, n: u32) {
        self.held = self.held.saturating_sub(n);
    }

    /// Goes on with another number of places.
    pub fn respec(&mut self, spec: &ConcurrentSpec) {
        self.places = spec.requests.max(1);
    }
}
