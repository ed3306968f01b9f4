//! Rate budgets of an integration: never send more than the provider allows, and wait when it asks to.
//!
//! An integration has any number of named buckets, and every call takes a token from each, in one decision: from all or
//! from none, so that a call which waits for one budget does not use up another. Beside them stands one *parking
//! time*: a provider that answers 429 has said that its own count is used up, whatever ours says. Parking empties
//! every bucket and lets nobody go before it ends; it holds where there are no buckets, too.
//!
//! What a call took and did not use (it was refused further on, or never sent) is given back with its receipt.

mod spec;
pub mod token_bucket;

use std::time::Duration;

pub use self::spec::{
    CalendarPeriod, CalendarSpec, ConcurrentSpec, Demand, DrainScope, Keyed, LearnSpec, LimitKey, LimitKind,
    LimitSpec, ResetForm, SlidingWindowSpec, Take, Told,
};
use self::token_bucket::TokenBucket;
use crate::name::LimitName;
use crate::time::Mono;

/// Why a call may not go yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The budget that keeps it longest; `None` while the integration is parked.
    pub limit: Option<LimitName>,
    /// How long until a token of every budget is there: never zero.
    pub ready_in: Duration,
}

/// The receipt of what one call took.
#[must_use = "keep it with the call: what was not used is given back with it"]
#[derive(Debug)]
pub struct Taken {
    /// Which taking it was, counted from one.
    number: u64,
}

/// One budget, as shown to people and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSnapshot {
    /// The budget's name.
    pub name: LimitName,
    /// Tokens to be had now.
    pub remaining: u32,
    /// Tokens of a full bucket.
    pub capacity: u32,
    /// How long until it is full again if nobody takes any more.
    pub resets_in: Duration,
}

/// All budgets of one integration.
#[derive(Clone, Debug)]
pub struct Limits {
    buckets: Vec<(LimitName, TokenBucket)>,
    parked_until: Option<Mono>,
    /// Calls that took their tokens so far.
    taken: u64,
    /// How many of them did so before the last parking, which voided what they took.
    voided: u64,
}

impl Limits {
    /// Full budgets, not parked. The specs are taken to have passed [`TokenBucketSpec::check`].
    pub fn new(specs: impl IntoIterator<Item = LimitSpec>, now: Mono) -> Self {
        let bucket = |spec: LimitSpec| match spec.kind {
            LimitKind::TokenBucket(bucket) => Some((spec.name, TokenBucket::new(&bucket, now))),
            LimitKind::SlidingWindow(_) | LimitKind::Calendar(_) | LimitKind::Concurrent(_) => None,
        };
        Self {
            buckets: specs.into_iter().filter_map(bucket).collect(),
            parked_until: None,
            taken: 0,
            voided: 0,
        }
    }

    /// Takes one token from every budget, or none from any.
    ///
    /// # Errors
    /// A [`Wait`], naming the budget that keeps the call longest.
    pub fn take(&mut self, now: Mono) -> Result<Taken, Wait> {
        let parked = self.parked_for(now);
        let mut longest = (None, parked);
        for (name, bucket) in &self.buckets {
            let wait = bucket.ready_in_turn(now, 1);
            if wait > longest.1 {
                longest = (Some(name), wait);
            }
        }
        let (limit, ready_in) = longest;
        if !ready_in.is_zero() {
            let limit = limit.filter(|_| parked.is_zero()).cloned();
            return Err(Wait { limit, ready_in });
        }
        for (_, bucket) in &mut self.buckets {
            bucket.spend(now, 1);
        }
        self.taken = self.taken.saturating_add(1);
        Ok(Taken { number: self.taken })
    }

    /// Gives back what a call took and did not use. What was taken before a parking is void: the provider has said
    /// that nothing is left.
    ///
    /// A receipt older than a whole burst gives nothing back to that budget: see [`TokenBucket::give_back`].
    pub fn give_back(&mut self, taken: Taken) {
        if taken.number <= self.voided {
            return;
        }
        let since = self.taken.saturating_sub(taken.number);
        for (_, bucket) in &mut self.buckets {
            bucket.give_back(1, since);
        }
    }

    /// Empties every budget and lets nobody go before `until`; from then on tokens come from zero at their pace. A
    /// shorter parking never ends a longer one.
    pub fn park_until(&mut self, now: Mono, until: Mono) {
        let until = until.max(now).max(self.parked_until.unwrap_or_default());
        self.parked_until = Some(until);
        self.voided = self.taken;
        for (_, bucket) in &mut self.buckets {
            bucket.drain_until(now, until);
        }
    }

    /// Until when it was last parked, which may be past; `None` if it never was.
    pub const fn parked_until(&self) -> Option<Mono> {
        self.parked_until
    }

    /// How long until the waiter at `position` (0: the first in line) could go, if all before it go as soon as they
    /// can and nobody else takes a token.
    pub fn ready_in(&self, now: Mono, position: u32) -> Duration {
        let longest = |at: Mono, nth: u32| {
            let waits = self.buckets.iter().map(|(_, bucket)| bucket.ready_in_turn(at, nth));
            waits.max().unwrap_or_default()
        };
        // Until the first goes, a bucket that is ready before the others fills up and loses what it cannot hold; only
        // from there on do they run side by side, and the slowest rules.
        let first = longest(now, 1).max(self.parked_for(now));
        first.saturating_add(longest(now + first, position.saturating_add(1)))
    }

    /// Every budget at `now`, in the order of the settings.
    pub fn snapshot(&self, now: Mono) -> impl Iterator<Item = LimitSnapshot> {
        self.buckets.iter().map(move |(name, bucket)| LimitSnapshot {
            name: name.clone(),
            remaining: bucket.available(now),
            capacity: bucket.capacity(),
            resets_in: bucket.full_in(now),
        })
    }

    fn parked_for(&self, now: Mono) -> Duration {
        self.parked_until.map_or(Duration::ZERO, |until| until.since(now))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::token_bucket::TokenBucketSpec;
    use super::*;

    fn at(millis: u64) -> Mono {
        Mono::from_origin(Duration::from_millis(millis))
    }

    fn spec(name: &str, requests: u32, per: Duration, burst: u32) -> LimitSpec {
        let bucket = TokenBucketSpec { requests, per, burst };
        LimitSpec::new(LimitName::new(name).unwrap(), LimitKind::TokenBucket(bucket))
    }

    /// Ten a second with a burst of two, and sixty a minute with a burst of sixty.
    fn limits() -> Limits {
        let second = spec("second", 10, Duration::from_secs(1), 2);
        let minute = spec("minute", 60, Duration::from_secs(60), 60);
        Limits::new([second, minute], Mono::ZERO)
    }

    fn remaining(limits: &Limits, now: Mono) -> Vec<u32> {
        limits.snapshot(now).map(|limit| limit.remaining).collect()
    }

    #[test]
    fn a_call_takes_from_all_or_from_none() {
        let mut limits = limits();
        assert!(limits.take(at(0)).is_ok());
        assert!(limits.take(at(0)).is_ok());
        let wait = limits.take(at(0)).unwrap_err();
        assert_eq!(wait.limit.unwrap().as_str(), "second");
        assert_eq!(wait.ready_in, Duration::from_millis(100));
        assert_eq!(remaining(&limits, at(0)), [0, 58]);
    }

    #[test]
    fn what_was_not_used_is_given_back_to_all() {
        let mut limits = limits();
        let taken = limits.take(at(0)).unwrap();
        limits.give_back(taken);
        assert_eq!(remaining(&limits, at(0)), [2, 60]);
    }

    #[test]
    fn without_budgets_everybody_goes_unless_parked() {
        let mut limits = Limits::new([], Mono::ZERO);
        assert!((0..1_000).all(|_| limits.take(at(0)).is_ok()));
        limits.park_until(at(0), at(5_000));
        let wait = Wait { limit: None, ready_in: Duration::from_secs(4) };
        assert_eq!(limits.take(at(1_000)).unwrap_err(), wait);
        assert_eq!(limits.ready_in(at(1_000), 7), wait.ready_in);
        assert!(limits.take(at(5_000)).is_ok());
    }

    #[test]
    fn parking_empties_every_budget_and_is_never_shortened() {
        let mut limits = limits();
        limits.park_until(at(0), at(5_000));
        limits.park_until(at(0), at(1_000));
        assert_eq!(limits.parked_until(), Some(at(5_000)));
        assert_eq!(remaining(&limits, at(5_000)), [0, 0]);
        let wait = limits.take(at(4_000)).unwrap_err();
        assert_eq!(wait, Wait { limit: None, ready_in: Duration::from_secs(2) });
        let wait = limits.take(at(5_500)).unwrap_err();
        assert_eq!((wait.limit.unwrap().as_str(), wait.ready_in), ("minute", Duration::from_millis(500)));
        assert!(limits.take(at(6_000)).is_ok());
    }

    #[test]
    fn what_was_taken_before_a_parking_is_void() {
        let mut limits = limits();
        let before = limits.take(at(0)).unwrap();
        limits.park_until(at(0), at(1_000));
        let _after = limits.take(at(2_000)).unwrap();
        limits.give_back(before);
        assert_eq!(remaining(&limits, at(2_000)), [1, 0]);
    }

    #[test]
    fn a_snapshot_tells_what_is_left_and_when_it_is_whole_again() {
        let mut limits = limits();
        let _sent = limits.take(at(0)).unwrap();
        let shown: Vec<_> = limits.snapshot(at(0)).collect();
        let second = LimitName::new("second").unwrap();
        let resets_in = Duration::from_millis(100);
        assert_eq!(shown[0], LimitSnapshot { name: second, remaining: 1, capacity: 2, resets_in });
        assert_eq!(shown[1].resets_in, Duration::from_secs(1));
    }

    #[test]
    fn the_place_in_the_line_tells_the_wait() {
        let mut limits = limits();
        assert_eq!(limits.ready_in(at(0), 1), Duration::ZERO);
        assert_eq!(limits.ready_in(at(0), 2), Duration::from_millis(100));
        while limits.take(at(0)).is_ok() {}
        assert_eq!(limits.ready_in(at(0), 0), Duration::from_millis(100));
        assert_eq!(limits.ready_in(at(0), 9), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn the_line_moves_as_foretold(
            specs in prop::collection::vec((1_u32..20, 1_u64..100, 1_u32..6), 0..4),
            used in 0_usize..20,
            step in 0_u64..2_000_000,
            parked in prop::option::of(0_u64..100_000_000),
        ) {
            let specs = specs.into_iter().enumerate().map(|(n, (requests, millis, burst))| {
                spec(&format!("limit_{n}"), requests, Duration::from_millis(millis), burst)
            });
            let mut limits = Limits::new(specs, Mono::ZERO);
            let mut now = Mono::ZERO;
            for _ in 0..used {
                let _sent = limits.take(now).is_ok();
                now = now + Duration::from_nanos(step);
            }
            if let Some(nanos) = parked {
                limits.park_until(now, now + Duration::from_nanos(nanos));
            }
            let foretold: Vec<_> = (0..30).map(|position| limits.ready_in(now, position)).collect();
            let begin = now;
            for foretold in foretold {
                while let Err(wait) = limits.take(now) {
                    prop_assert!(!wait.ready_in.is_zero());
                    prop_assert_eq!(wait.limit.is_none(), limits.parked_until() > Some(now));
                    now = now + wait.ready_in;
                }
                // Going only at whole nanoseconds may cost up to one at each turn of the slowest budget.
                let went = now.since(begin);
                prop_assert!(went.abs_diff(foretold) < Duration::from_nanos(40), "{went:?}, not {foretold:?}");
            }
        }
    }
}
