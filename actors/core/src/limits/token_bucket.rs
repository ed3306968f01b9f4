//! The token bucket: so many requests per period, and a burst.
//!
//! Kept as one instant, the *theoretical arrival time* of the generic cell rate algorithm (ITU-T I.371): the instant
//! at which the bucket would be full again if nobody took any more. A token costs one interval (the period divided by
//! the requests in it); taking moves the instant on by that, and a taking is allowed as long as it stays within
//! `burst` intervals of now. There is no timer, no refill and nothing to drift: time is counted in nanoseconds
//! multiplied by the requests per period, in which an interval is a whole number, so a rate of three per second is
//! exactly that for ever.
//!
//! The promise: in any span `t`, at most `rate × t + burst` tokens leave that are not given back, and whoever takes
//! as soon as possible gets all of that. (A burst of one leaves no room for the fraction of a nanosecond by which a
//! clock of whole nanoseconds is late: there an interval is rounded up to the next one.)

use std::time::Duration;

use crate::time::Mono;

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

/// Why a bucket cannot work with its settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` of a limit is 0, so nothing could ever be sent: set it to more than that")]
pub struct TokenBucketSpecError(&'static str);

impl TokenBucketSpec {
    /// Whether tokens come at all.
    ///
    /// # Errors
    /// [`TokenBucketSpecError`], naming the first setting that is zero.
    pub fn check(&self) -> Result<(), TokenBucketSpecError> {
        let zero =
            [("requests", self.requests == 0), ("per", self.per.is_zero()), ("burst", self.burst == 0)];
        zero.iter().find(|(_, zero)| *zero).map_or(Ok(()), |(name, _)| Err(TokenBucketSpecError(name)))
    }
}

/// Time in nanoseconds × requests per period, since the origin.
///
/// The longest duration has 94 bits of nanoseconds, times 32 bits of requests or of burst: an instant and a full
/// bucket after it take 127 bits.
type Ticks = u128;

/// One budget of tokens.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    requests: u128,
    interval: Ticks,
    burst: u32,
    /// When it would be full if nobody took any more; in the past: it is full.
    full_at: Ticks,
    last_take: Ticks,
    drained_until: Option<Mono>,
}

impl TokenBucket {
    /// A full bucket. The spec is taken to have passed [`TokenBucketSpec::check`]; a zero in it counts as the least
    /// above it.
    pub fn new(spec: &TokenBucketSpec, now: Mono) -> Self {
        let requests = u128::from(spec.requests.max(1));
        let now = now.since_origin().as_nanos() * requests;
        Self {
            requests,
            interval: spec.per.as_nanos().max(1),
            burst: spec.burst.max(1),
            full_at: now,
            last_take: now,
            drained_until: None,
        }
    }

    /// How many tokens there are when it is full.
    pub const fn capacity(&self) -> u32 {
        self.burst
    }

    /// Whole tokens to be had at `now`.
    pub fn available(&self, now: Mono) -> u32 {
        let room = self.full().saturating_sub(self.full_at.saturating_sub(self.ticks(now)));
        u32::try_from(room / self.interval).unwrap_or(self.burst)
    }

    /// How long until `n` tokens are there at once: exactly then [`take`](Self::take) succeeds, and not a nanosecond
    /// before. `None` if they never will be, because `n` is above the capacity.
    pub fn ready_in(&self, now: Mono, n: u32) -> Option<Duration> {
        (n <= self.burst).then(|| self.ready_in_turn(now, n))
    }

    /// How long until the `n`-th token from now on is there, if each is taken as soon as it can be.
    pub(super) fn ready_in_turn(&self, now: Mono, n: u32) -> Duration {
        let now = self.ticks(now);
        let after = self.full_at.max(now) + self.interval * u128::from(n);
        self.span(after.saturating_sub(now + self.full()))
    }

    /// How long until it is full if nobody takes any more.
    pub fn full_in(&self, now: Mono) -> Duration {
        self.span(self.full_at.saturating_sub(self.ticks(now)))
    }

    /// Takes `n` tokens if they are all there.
    #[must_use]
    pub fn take(&mut self, now: Mono, n: u32) -> bool {
        let ready = self.ready_in(now, n).is_some_and(|wait| wait.is_zero());
        if ready {
            self.spend(now, n);
        }
        ready
    }

    /// Takes `n` tokens that are known to be there.
    pub(super) fn spend(&mut self, now: Mono, n: u32) {
        let now = self.ticks(now);
        self.full_at = self.full_at.max(now) + self.interval * u128::from(n);
        self.last_take = self.last_take.max(now);
    }

    /// Puts back `n` tokens that were not used; `taken_since` is how many were taken after these. Tokens from before a
    /// drain are gone and not to be given back.
    ///
    /// The bucket may have been full in between, and would then have lost what it could not hold: a token put back all
    /// the same would let more than `rate × t + burst` through. So there are never more afterwards than if
    /// these had not been taken: a full bucket at the time of the last taking would have held at most what is left of it
    /// after `taken_since`. In effect all come back as long as others took few or the bucket is scarce, and none once a
    /// whole burst was taken since.
    pub fn give_back(&mut self, n: u32, taken_since: u64) {
        let Some(taken_since) = u32::try_from(taken_since).ok().filter(|since| *since < self.burst) else {
            return;
        };
        let without = self.full_at.saturating_sub(self.interval * u128::from(n));
        let others = self.last_take + self.interval * u128::from(taken_since);
        let others = if taken_since == 0 { 0 } else { others };
        let drained = self.drained_until.map_or(0, |until| self.ticks(until) + self.full());
        self.full_at = without.max(others).max(drained).min(self.full_at);
    }

    /// Empties it until `until`, or until `now` if that is later: no token comes before, and from then on they come
    /// from zero at the normal pace (the first, one interval later). An earlier drain never shortens a later one.
    pub fn drain_until(&mut self, now: Mono, until: Mono) {
        let until = until.max(now).max(self.drained_until.unwrap_or_default());
        self.drained_until = Some(until);
        self.full_at = self.full_at.max(self.ticks(until) + self.full());
    }

    /// A bucket that was empty so long before `now`, and of which nobody has taken anything since.
    pub(super) fn begin_empty(&mut self, now: Mono, ago: Duration) {
        let missing = self.full().saturating_sub(ago.as_nanos().saturating_mul(self.requests));
        self.full_at = self.full_at.max(self.ticks(now) + missing);
    }

    /// A bucket that is full so long after `now`.
    pub(super) fn begin_full_in(&mut self, now: Mono, span: Duration) {
        let missing = span.as_nanos().saturating_mul(self.requests).min(self.full());
        self.full_at = self.full_at.max(self.ticks(now) + missing);
    }

    /// How long it takes from empty to full.
    pub(super) fn refill(&self) -> Duration {
        self.span(self.full())
    }

    /// Goes on under another spec: what is missing now is missing then, and a drain goes on.
    pub(super) fn respec(&mut self, spec: &TokenBucketSpec, now: Mono) {
        let mut bucket = Self::new(spec, now);
        bucket.spend(now, self.burst.saturating_sub(self.available(now)).min(bucket.burst));
        if let Some(until) = self.drained_until {
            if until > now {
                bucket.drain_until(now, until);
            }
            bucket.drained_until = Some(until);
        }
        *self = bucket;
    }

    /// Until when it was last drained, which may be past; `None` if it never was.
    pub const fn drained_until(&self) -> Option<Mono> {
        self.drained_until
    }

    const fn full(&self) -> Ticks {
        self.interval * self.burst as u128
    }

    const fn ticks(&self, at: Mono) -> Ticks {
        at.since_origin().as_nanos() * self.requests
    }

    /// A number of ticks as time, rounded up: never too early.
    fn span(&self, ticks: Ticks) -> Duration {
        const NANOS: u128 = 1_000_000_000;
        if ticks == 0 {
            return Duration::ZERO;
        }
        let nanos = ticks.div_ceil(self.requests);
        let rest = u32::try_from(nanos % NANOS).unwrap_or_default();
        u64::try_from(nanos / NANOS).map_or(Duration::MAX, |secs| Duration::new(secs, rest))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(nanos: u64) -> Mono {
        Mono::from_origin(Duration::from_nanos(nanos))
    }

    fn seconds(seconds: u64) -> Mono {
        Mono::from_origin(Duration::from_secs(seconds))
    }

    fn bucket(requests: u32, per: Duration, burst: u32) -> TokenBucket {
        TokenBucket::new(&TokenBucketSpec { requests, per, burst }, Mono::ZERO)
    }

    fn per_second(requests: u32, burst: u32) -> TokenBucket {
        bucket(requests, Duration::from_secs(1), burst)
    }

    #[test]
    fn it_starts_full_and_refills_at_its_pace() {
        let mut bucket = per_second(2, 5);
        assert_eq!(bucket.available(seconds(0)), 5);
        assert!(bucket.take(seconds(0), 5));
        assert!(!bucket.take(seconds(0), 1));
        assert_eq!(bucket.ready_in(seconds(0), 1), Some(Duration::from_millis(500)));
        assert_eq!(bucket.ready_in(seconds(0), 5), Some(Duration::from_millis(2_500)));
        assert_eq!(bucket.available(seconds(1)), 2);
        assert_eq!(bucket.full_in(seconds(1)), Duration::from_millis(1_500));
        assert_eq!(bucket.available(seconds(100)), 5);
    }

    #[test]
    fn more_than_the_capacity_never_fits() {
        let mut bucket = per_second(2, 5);
        assert_eq!(bucket.ready_in(seconds(0), 6), None);
        assert!(!bucket.take(seconds(0), 6));
        assert_eq!(bucket.available(seconds(0)), 5);
    }

    #[test]
    fn a_third_of_a_second_does_not_drift() {
        let mut bucket = per_second(3, 2);
        let mut now = Mono::ZERO;
        for _ in 0..300_001 {
            now = now + bucket.ready_in(now, 1).unwrap();
            assert!(bucket.take(now, 1));
        }
        now = now + bucket.ready_in(now, 1).unwrap();
        assert_eq!(now, seconds(100_000));
    }

    #[test]
    fn a_drain_lets_nothing_go_before_its_end_and_then_refills_from_zero() {
        let mut bucket = per_second(2, 5);
        bucket.drain_until(seconds(1), seconds(10));
        assert_eq!(bucket.available(seconds(9)), 0);
        assert_eq!(bucket.available(seconds(10)), 0);
        assert_eq!(bucket.ready_in(seconds(1), 1), Some(Duration::from_millis(9_500)));
        assert_eq!(bucket.available(seconds(11)), 2);
        assert_eq!(bucket.drained_until(), Some(seconds(10)));
    }

    #[test]
    fn an_earlier_drain_never_shortens_a_later_one() {
        let mut bucket = per_second(2, 5);
        bucket.drain_until(seconds(0), seconds(10));
        bucket.drain_until(seconds(0), seconds(3));
        assert_eq!(bucket.drained_until(), Some(seconds(10)));
        assert_eq!(bucket.available(seconds(10)), 0);
    }

    #[test]
    fn a_drain_into_the_past_empties_it_now() {
        let mut bucket = per_second(2, 5);
        bucket.drain_until(seconds(20), seconds(3));
        assert_eq!(bucket.available(seconds(20)), 0);
        assert_eq!(bucket.available(seconds(21)), 2);
    }

    #[test]
    fn what_is_given_back_at_once_is_as_if_it_had_not_been_taken() {
        let mut bucket = per_second(2, 5);
        for n in 1..=5 {
            assert!(bucket.take(seconds(0), n));
            bucket.give_back(n, 0);
            assert_eq!(bucket.available(seconds(0)), 5);
        }
    }

    #[test]
    fn a_scarce_token_given_back_late_is_there_again() {
        let mut bucket = bucket(5, Duration::from_secs(60), 5);
        for _ in 0..5 {
            assert!(bucket.take(seconds(0), 1));
        }
        bucket.give_back(1, 4);
        assert_eq!(bucket.available(seconds(1)), 1);
    }

    #[test]
    fn a_token_that_the_bucket_would_have_lost_does_not_come_back() {
        let mut bucket = per_second(1, 1);
        assert!(bucket.take(seconds(0), 1));
        assert!(bucket.take(seconds(5), 1));
        bucket.give_back(1, 1);
        assert!(!bucket.take(seconds(5), 1));
    }

    #[test]
    fn giving_back_never_ends_a_drain() {
        let mut bucket = per_second(2, 5);
        assert!(bucket.take(seconds(0), 3));
        bucket.drain_until(seconds(0), seconds(10));
        bucket.give_back(3, 0);
        assert_eq!(bucket.available(seconds(10)), 0);
        assert!(bucket.take(seconds(11), 2));
        bucket.give_back(2, 0);
        assert_eq!(bucket.available(seconds(11)), 2);
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let mut bucket = bucket(u32::MAX, Duration::MAX, u32::MAX);
        assert!(bucket.take(Mono::MAX, u32::MAX));
        assert!(!bucket.take(Mono::MAX, 1));
        bucket.drain_until(Mono::ZERO, Mono::MAX);
        bucket.give_back(u32::MAX, u64::MAX);
        assert_eq!(bucket.available(Mono::MAX), 0);
        assert_eq!(bucket.ready_in(Mono::ZERO, u32::MAX), Some(Duration::MAX));
    }

    #[test]
    fn a_spec_without_tokens_is_refused_by_name() {
        let spec =
            |requests, per, burst| TokenBucketSpec { requests, per: Duration::from_secs(per), burst }.check();
        assert_eq!(spec(1, 1, 1), Ok(()));
        assert!(spec(0, 1, 1).unwrap_err().to_string().contains("`requests`"));
        assert!(spec(1, 0, 1).unwrap_err().to_string().contains("`per`"));
        assert!(spec(1, 1, 0).unwrap_err().to_string().contains("`burst`"));
    }

    /// The bucket as one draws it: a level that rises with time up to the brim, in fractions of `1 / per` tokens.
    struct Level {
        spec: TokenBucketSpec,
        level: u128,
        seen: Mono,
    }

    impl Level {
        fn at(&mut self, now: Mono) -> u128 {
            let risen = now.since(self.seen).as_nanos() * u128::from(self.spec.requests);
            self.level = (self.level + risen).min(self.spec.per.as_nanos() * u128::from(self.spec.burst));
            self.seen = now;
            self.level
        }
    }

    fn spec() -> impl Strategy<Value = TokenBucketSpec> {
        (1_u32..20, 1_u64..5_000, 1_u32..12).prop_map(|(requests, per, burst)| TokenBucketSpec {
            requests,
            per: Duration::from_nanos(per),
            burst,
        })
    }

    /// No span from one taking to another holds more than `rate × t + burst`.
    fn keeps_the_promise(spec: &TokenBucketSpec, takings: &[Mono]) -> bool {
        let per = spec.per.as_nanos();
        takings.iter().enumerate().all(|(first, from)| {
            takings[first..].iter().zip(1_u128..).all(|(to, count)| {
                count * per
                    <= to.since(*from).as_nanos() * u128::from(spec.requests) + per * u128::from(spec.burst)
            })
        })
    }

    proptest! {
        #[test]
        fn it_is_the_level_in_the_drawing(
            spec in spec(),
            steps in prop::collection::vec((0_u64..3_000, 0_u32..14), 1..100),
        ) {
            let mut bucket = TokenBucket::new(&spec, Mono::ZERO);
            let per = spec.per.as_nanos();
            let mut drawing = Level { level: per * u128::from(spec.burst), seen: Mono::ZERO, spec };
            let mut now = Mono::ZERO;
            for (step, n) in steps {
                now = now + Duration::from_nanos(step);
                prop_assert_eq!(u128::from(bucket.available(now)), drawing.at(now) / per);
                let fits = drawing.at(now) >= per * u128::from(n);
                if let Some(wait) = bucket.ready_in(now, n) {
                    prop_assert_eq!(wait.is_zero(), fits);
                    prop_assert!(bucket.clone().take(now + wait, n));
                    let sooner = wait.saturating_sub(Duration::from_nanos(1));
                    prop_assert_eq!(bucket.clone().take(now + sooner, n), wait.is_zero());
                }
                prop_assert_eq!(bucket.take(now, n), fits);
                if fits {
                    drawing.level -= per * u128::from(n);
                }
            }
        }

        #[test]
        fn the_greedy_get_all_of_the_promise_and_no_more(spec in spec(), span in 0_u64..100_000) {
            let mut bucket = TokenBucket::new(&spec, at(7));
            let mut now = at(7);
            let mut takings = Vec::new();
            loop {
                now = now + bucket.ready_in(now, 1).unwrap();
                if now > at(7 + span) || takings.len() > 2_000 {
                    break;
                }
                prop_assert!(bucket.take(now, 1));
                takings.push(now);
            }
            if takings.len() <= 2_000 {
                let requests = u128::from(spec.requests);
                let earned = if spec.burst == 1 {
                    u128::from(span) / spec.per.as_nanos().div_ceil(requests)
                } else {
                    u128::from(span) * requests / spec.per.as_nanos()
                };
                prop_assert_eq!(takings.len() as u128, earned + u128::from(spec.burst));
            }
            takings.truncate(300);
            prop_assert!(keeps_the_promise(&spec, &takings));
        }

        #[test]
        fn giving_back_keeps_the_promise(
            spec in spec(),
            steps in prop::collection::vec((0_u64..1_500, 0_u32..12, any::<usize>()), 1..200),
        ) {
            let mut bucket = TokenBucket::new(&spec, Mono::ZERO);
            let mut now = Mono::ZERO;
            let mut taken = 0_u64;
            let mut held: Vec<(Mono, u64)> = Vec::new();
            for (step, takes, which) in steps {
                now = now + Duration::from_nanos(step);
                if takes == 0 && !held.is_empty() {
                    let before = bucket.available(now);
                    let (_, number) = held.remove(held.len() - 1 - which % held.len().min(6));
                    bucket.give_back(1, taken - number);
                    let after = bucket.available(now);
                    prop_assert!((before..=before + 1).contains(&after));
                    if number == taken {
                        prop_assert!(after == (before + 1).min(spec.burst), "the last one comes back whole");
                    }
                    now = now + Duration::from_nanos(step % 2);
                }
                for _ in 0..takes.saturating_sub(4) {
                    if bucket.take(now, 1) {
                        taken += 1;
                        held.push((now, taken));
                    }
                }
            }
            let takings: Vec<Mono> = held.iter().map(|(when, _)| *when).collect();
            prop_assert!(keeps_the_promise(&spec, &takings));
        }
    }
}
