//! One budget of any kind, with what holds it back beside its own count.
//!
//! A budget lets a call go when three agree: its own *count* (bucket, window, quota or places), the *ramp* that follows
//! a drain, and the *ceiling* that a provider's headers have set.
//!
//! # The ceiling
//!
//! When an answer says that fewer are left than we reckoned, somebody else uses the account, or the provider counts
//! otherwise. From then on no more than it said go until the time it named for its reset; then our own count rules
//! again. Headers thus only ever take away, and only for that long: an answer that says more than we reckon changes
//! nothing, and answers that arrive out of order can hold a budget down until the reset and no longer.
//!
//! What the provider says does not yet include what is still on its way to it, but our own count does. It is taken as
//! it stands all the same: were the calls in flight deducted, most of them would be deducted twice. Their own answers
//! correct it as they come in.
//!
//! Where budgets outlive the process (`keeping`), the disk is told a little less than is left, and again when that is nearly
//! reached: a process that is killed may lose a few tokens and gains none.

mod keeping;

use std::time::Duration;

use super::calendar::{Calendar, is_low, slice};
use super::concurrent::Concurrent;
use super::ramp::Ramp;
use super::sliding_window::SlidingWindow;
use super::spec::LimitKind;
use super::token_bucket::TokenBucket;
use crate::retry::LONGEST_RETRY_AFTER;
use crate::time::{Mono, Now};

/// One budget of tokens or places.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    count: Count,
    ramp: Option<Box<Ramp>>,
    ceiling: Option<Ceiling>,
    /// Tokens taken so far.
    taken: u64,
    /// How many of them were taken before the last drain, which made them void.
    voided: u64,
    /// The disk is to be told, and somebody has been.
    is_due: bool,
}

#[derive(Clone, Debug)]
enum Count {
    Bucket(TokenBucket),
    Window(SlidingWindow),
    Quota(Calendar),
    Places(Concurrent),
}

/// The most that may go until an instant.
#[derive(Clone, Copy, Debug)]
struct Ceiling {
    left: u32,
    until: Mono,
    /// Tokens taken when it was set: only later ones come back to it.
    since: u64,
    /// As many are left at least, and the disk knows of no more.
    told: u32,
}

impl Ceiling {
    fn new(left: u32, until: Mono, since: u64) -> Self {
        let mut ceiling = Self { left, until, since, told: 0 };
        ceiling.tell();
        ceiling
    }

    /// What the disk is told: less than there is.
    fn tell(&mut self) {
        self.told = self.left.saturating_sub(slice(self.left));
    }

    /// Whether as much is used as the disk knows of.
    const fn runs_low(&self) -> bool {
        self.told > 0 && is_low(self.left.saturating_sub(self.told), slice(self.left))
    }

    fn holds(&self, now: Mono) -> bool {
        now < self.until
    }
}

/// Where in a budget's life a taking was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// Tokens taken until then, these included.
    number: u64,
    at: Mono,
}

/// The longer of two waits, of which `None` is one of unknown length.
pub(super) fn longer(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    Some(one?.max(other?))
}

impl Budget {
    /// A whole budget, in which `taken` tokens have been taken in a former life.
    pub(super) fn new(kind: &LimitKind, now: Now, taken: u64) -> Self {
        let count = match kind {
            LimitKind::TokenBucket(spec) => Count::Bucket(TokenBucket::new(spec, now.mono)),
            LimitKind::SlidingWindow(spec) => Count::Window(SlidingWindow::new(spec)),
            LimitKind::Calendar(spec) => Count::Quota(Calendar::new(spec, now)),
            LimitKind::Concurrent(spec) => Count::Places(Concurrent::new(spec)),
        };
        Self { count, ramp: None, ceiling: None, taken, voided: taken, is_due: false }
    }

    /// Tokens of a whole budget.
    pub(super) const fn capacity(&self) -> u32 {
        match &self.count {
            Count::Bucket(bucket) => bucket.capacity(),
            Count::Window(window) => window.capacity(),
            Count::Quota(calendar) => calendar.capacity(),
            Count::Places(places) => places.capacity(),
        }
    }

    /// Tokens to be had at `now`.
    pub(super) fn available(&self, now: Now) -> u32 {
        let own = match &self.count {
            Count::Bucket(bucket) => bucket.available(now.mono),
            Count::Window(window) => window.available(now.mono),
            Count::Quota(calendar) => calendar.available(now),
            Count::Places(places) => places.available(),
        };
        let ramp = self.ramp.as_ref().map_or(u32::MAX, |ramp| ramp.available(now.mono));
        let ceiling = self.ceiling.filter(|ceiling| ceiling.holds(now.mono));
        own.min(ramp).min(ceiling.map_or(u32::MAX, |ceiling| ceiling.left))
    }

    /// How long until the last of `ahead + 1` takings of `n` tokens each can be made, if each is made as soon as it
    /// can be: never too long, and zero only if it can be made now. `None` if that depends on a release;
    /// [`Duration::MAX`] if it never can.
    #[inline]
    pub(super) fn ready_in_turn(&self, now: Now, n: u32, ahead: u32) -> Option<Duration> {
        let all = n.saturating_mul(ahead.saturating_add(1));
        let own = match &self.count {
            Count::Bucket(bucket) if n > bucket.capacity() => Duration::MAX,
            Count::Bucket(bucket) => bucket.ready_in_turn(now.mono, all),
            Count::Window(window) => window.ready_in_turn(now.mono, n, ahead),
            Count::Quota(calendar) => calendar.ready_in_turn(now, n, ahead)?,
            Count::Places(places) => places.ready_in_turn(n, ahead)?,
        };
        if self.ramp.is_none() && self.ceiling.is_none() {
            return Some(own);
        }
        let ramp = self.ramp.as_ref().map_or(Duration::ZERO, |ramp| ramp.ready_in_turn(now.mono, all));
        let ceiling = self.ceiling.filter(|ceiling| all > ceiling.left);
        Some(own.max(ramp).max(ceiling.map_or(Duration::ZERO, |ceiling| ceiling.until.since(now.mono))))
    }

    /// How long until it is whole again if nobody takes any more; for places: as far as it depends on time.
    pub(super) fn full_in(&self, now: Now) -> Duration {
        let own = match &self.count {
            Count::Bucket(bucket) => bucket.full_in(now.mono),
            Count::Window(window) => window.full_in(now.mono),
            Count::Quota(calendar) => calendar.full_in(now),
            Count::Places(_) => Duration::ZERO,
        };
        let ramp = self.ramp.as_ref().map_or(Duration::ZERO, |ramp| ramp.over_in(now.mono));
        let ceiling = self.ceiling.map_or(Duration::ZERO, |ceiling| ceiling.until.since(now.mono));
        own.max(ramp).max(ceiling)
    }

    /// Whether it is as good as new: whole, and nothing holds it back.
    pub(super) fn is_idle(&self, now: Now) -> bool {
        self.available(now) == self.capacity() && self.full_in(now).is_zero() && !self.has_reserve(now)
    }

    /// Tokens taken so far.
    pub(super) const fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes `n` tokens that are known to be there.
    #[inline]
    pub(super) fn spend(&mut self, now: Now, n: u32) -> Mark {
        match &mut self.count {
            Count::Bucket(bucket) => bucket.spend(now.mono, n),
            Count::Window(window) => window.spend(now.mono, n),
            Count::Quota(calendar) => calendar.spend(now, n),
            Count::Places(places) => places.spend(n),
        }
        if let Some(ramp) = &mut self.ramp {
            if ramp.is_over(now.mono) { self.ramp = None } else { ramp.spend(now.mono, n) }
        }
        if let Some(ceiling) = &mut self.ceiling {
            ceiling.left = ceiling.left.saturating_sub(n);
            self.ceiling = self.ceiling.filter(|ceiling| ceiling.holds(now.mono));
        }
        self.taken = self.taken.saturating_add(u64::from(n));
        Mark { number: self.taken, at: now.mono }
    }

    /// Takes the places of an attempt that is out already, whether there are any or not. Other kinds have counted it.
    pub(super) fn adopt(&mut self, now: Now, n: u32) -> Mark {
        match &mut self.count {
            Count::Places(places) => places.spend(n),
            Count::Bucket(_) | Count::Window(_) | Count::Quota(_) => {}
        }
        Mark { number: self.taken, at: now.mono }
    }

    /// The attempt is over: its places come back.
    pub(super) const fn release(&mut self, n: u32) {
        match &mut self.count {
            Count::Places(places) => places.release(n),
            Count::Bucket(_) | Count::Window(_) | Count::Quota(_) => {}
        }
    }

    /// Puts back `n` tokens that were not used, as far as the promise allows. What was taken before a drain is void
    /// for a bucket, a ramp and a ceiling: the provider has said that nothing is left of it. A window and a quota
    /// count what was sent, drained or not, so there an unsent call never counts.
    pub(super) fn give_back(&mut self, mark: Mark, n: u32) {
        let since = self.taken.saturating_sub(mark.number);
        let void = mark.number <= self.voided;
        match &mut self.count {
            Count::Bucket(bucket) if !void => bucket.give_back(n, since),
            Count::Bucket(_) => {}
            Count::Window(window) => window.give_back(mark.at, n),
            Count::Quota(calendar) => calendar.give_back(mark.at, n),
            Count::Places(places) => places.release(n),
        }
        if let Some(ramp) = self.ramp.as_mut().filter(|_| !void) {
            ramp.give_back(n, since);
        }
        if let Some(ceiling) = self.ceiling.as_mut().filter(|ceiling| mark.number > ceiling.since) {
            ceiling.left = ceiling.left.saturating_add(n);
        }
    }

    /// Empties it until `until`; from then on tokens come at their pace, from zero. A shorter drain never ends a
    /// longer one.
    pub(super) fn drain(&mut self, now: Now, until: Mono) {
        self.voided = self.taken;
        let until = until.max(now.mono).max(self.drained_until().unwrap_or_default());
        let (capacity, span) = (self.capacity(), self.pace());
        match &mut self.count {
            Count::Bucket(bucket) => bucket.drain_until(now.mono, until),
            Count::Window(_) | Count::Quota(_) | Count::Places(_) => {
                self.ramp = Some(Box::new(Ramp::new(capacity, span, now.mono, until)));
            }
        }
    }

    /// Has it come as far as it would have if it had been drained until `until`, which may be past.
    pub(super) fn drain_since(&mut self, now: Now, until: Mono) {
        let then = Now { mono: now.mono.min(until), ..now };
        self.drain(then, until);
        if self.ramp.as_ref().is_some_and(|ramp| ramp.is_over(now.mono)) {
            self.ramp = None;
        }
    }

    /// Until when it was last drained, as far as that may still matter.
    pub(super) fn drained_until(&self) -> Option<Mono> {
        match &self.count {
            Count::Bucket(bucket) => bucket.drained_until(),
            Count::Window(_) | Count::Quota(_) | Count::Places(_) => {
                self.ramp.as_ref().map(|ramp| ramp.until())
            }
        }
    }

    /// Takes in how many are left, as the provider counts, until it resets. Whether that is news.
    pub(super) fn learn(&mut self, now: Now, remaining: u32, resets_in: Option<Duration>) -> bool {
        let ours = self.available(now);
        if remaining >= ours || matches!(self.count, Count::Places(_)) {
            return false;
        }
        let span = resets_in.unwrap_or_else(|| self.refill(now));
        if !span.is_zero() && span <= LONGEST_RETRY_AFTER {
            let until = (now.mono + span).max(self.ceiling.map_or(Mono::ZERO, |ceiling| ceiling.until));
            self.ceiling = Some(Ceiling::new(remaining, until, self.taken));
            return true;
        }
        false
    }

    /// How long our own count takes to be whole again, for a provider that does not say when its own will be.
    fn refill(&self, now: Now) -> Duration {
        match &self.count {
            Count::Bucket(bucket) => bucket.refill(),
            Count::Window(window) => window.per(),
            Count::Quota(calendar) => calendar.over_in(now),
            Count::Places(_) => Duration::ZERO,
        }
    }

    /// Goes on under another spec of the same kind.
    pub(super) fn respec(&mut self, kind: &LimitKind, now: Now) {
        match (&mut self.count, kind) {
            (Count::Bucket(bucket), LimitKind::TokenBucket(spec)) => bucket.respec(spec, now.mono),
            (Count::Window(window), LimitKind::SlidingWindow(spec)) => window.respec(spec),
            (Count::Quota(calendar), LimitKind::Calendar(spec)) => calendar.respec(spec, now),
            (Count::Places(places), LimitKind::Concurrent(spec)) => places.respec(spec),
            (_, kind) => *self = Self::new(kind, now, self.taken),
        }
        self.voided = self.taken;
        if let Some(until) = self.ramp.take().map(|ramp| ramp.until()) {
            self.drain(now, until);
        }
    }

    /// A calendar's quota of which something is used; `None` for other kinds, which are whole again soon.
    pub(super) fn quota(&self, now: Now) -> Option<&Calendar> {
        match &self.count {
            Count::Quota(calendar) => Some(calendar).filter(|calendar| calendar.is_used(now)),
            Count::Bucket(_) | Count::Window(_) | Count::Places(_) => None,
        }
    }

    /// Goes on with the quota of a former life.
    pub(super) fn resume(&mut self, former: &Calendar, kind: &LimitKind, now: Now) {
        if let (Count::Quota(calendar), LimitKind::Calendar(spec)) = (&mut self.count, kind) {
            *calendar = former.clone();
            calendar.respec(spec, now);
        }
    }

    /// Over how long the capacity comes back after a drain, unless that is longer than a ramp lasts.
    const fn pace(&self) -> Duration {
        match &self.count {
            Count::Window(window) => window.per(),
            Count::Bucket(_) | Count::Quota(_) | Count::Places(_) => super::ramp::LONGEST,
        }
    }
}
