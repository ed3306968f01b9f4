//! The pool's permits and the one admission queue in front of them.
//!
//! A call holds a permit from the moment its attempt starts until the response's body has ended or the attempt is
//! dropped. Calls that cannot start at once wait here, first come first served, for a permit or for a token of a rate
//! budget. A permit is waited for at most [`PoolSpec::max_wait`]; a token may be waited for until the deadline, so
//! the queue remembers since when it is the pool that holds its head up.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Mono;

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
    /// How many calls the integration holds at once, on the wire and waiting together.
    pub fn capacity(&self) -> usize {
        usize::try_from(self.max_in_flight.saturating_add(self.max_queue)).unwrap_or(usize::MAX)
    }
}

/// Permits and queue; `K` names a call.
#[derive(Debug)]
pub struct Bulkhead<K> {
    max_in_flight: u32,
    max_queue: usize,
    max_wait: Duration,
    in_flight: u32,
    waiting: VecDeque<(K, Mono)>,
    /// Since when the head waits for a permit and for nothing else.
    full_since: Option<Mono>,
}

impl<K: Copy + PartialEq> Bulkhead<K> {
    /// An idle pool.
    pub fn new(spec: &PoolSpec) -> Self {
        Self {
            max_in_flight: spec.max_in_flight.max(1),
            max_queue: usize::try_from(spec.max_queue).unwrap_or(usize::MAX),
            max_wait: spec.max_wait,
            in_flight: 0,
            waiting: VecDeque::new(),
            full_since: None,
        }
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

    /// Joins the queue; `false` when it is full.
    #[must_use]
    pub fn join(&mut self, call: K, now: Mono) -> bool {
        let room = self.waiting.len() < self.max_queue;
        if room {
            self.waiting.push_back((call, now));
        }
        room
    }

    /// Leaves the queue, wherever the call stands in it.
    pub fn leave(&mut self, call: K) {
        if let Some(place) = self.waiting.iter().position(|(waiting, _)| *waiting == call) {
            self.waiting.remove(place);
        }
    }

    /// The call whose turn it is, and since when it waits.
    pub fn head(&self) -> Option<(K, Mono)> {
        self.waiting.front().copied()
    }

    /// Takes the head off the queue.
    pub fn pop(&mut self) -> Option<(K, Mono)> {
        self.waiting.pop_front()
    }

    /// The calls in line, first to last.
    pub fn line(&self) -> impl Iterator<Item = K> + '_ {
        self.waiting.iter().map(|(call, _)| *call)
    }

    /// How many wait.
    pub fn queued(&self) -> usize {
        self.waiting.len()
    }

    /// Notes whether it is a permit that the head waits for.
    pub const fn head_waits_for_permit(&mut self, now: Mono, waits: bool) {
        self.full_since = match (waits, self.full_since) {
            (false, _) => None,
            (true, None) => Some(now),
            (true, since) => since,
        };
    }

    /// When the head will have waited for a permit as long as it may.
    pub fn head_expires(&self) -> Option<Mono> {
        let (_, since) = self.head()?;
        Some(self.full_since?.max(since) + self.max_wait)
    }

    /// The longest wait for a permit: what `overloaded` tells as Retry-After.
    pub const fn max_wait(&self) -> Duration {
        self.max_wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Mono {
        Mono::from_origin(Duration::from_millis(millis))
    }

    #[test]
    fn the_queue_is_bounded_and_in_order() {
        let mut pool = Bulkhead::new(&PoolSpec { max_in_flight: 1, max_queue: 2, ..PoolSpec::default() });
        pool.take();
        assert!(!pool.has_room());
        assert!(pool.join(1, at(0)) && pool.join(2, at(1)));
        assert!(!pool.join(3, at(2)));
        pool.leave(1);
        assert_eq!(pool.head(), Some((2, at(1))));
        pool.give_back();
        pool.give_back();
        assert_eq!(pool.in_flight(), 0);
    }

    #[test]
    fn only_time_spent_waiting_for_a_permit_counts() {
        let spec = PoolSpec { max_wait: Duration::from_millis(100), ..PoolSpec::default() };
        let mut pool = Bulkhead::new(&spec);
        assert!(pool.join(1, at(0)));
        assert_eq!(pool.head_expires(), None);
        pool.head_waits_for_permit(at(500), true);
        pool.head_waits_for_permit(at(550), true);
        assert_eq!(pool.head_expires(), Some(at(600)));
        pool.head_waits_for_permit(at(560), false);
        assert_eq!(pool.head_expires(), None);
    }
}
