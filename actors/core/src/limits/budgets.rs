//! The budgets of one limit: a single one, or one for each key.
//!
//! Keys come from outside (accounts, users, addresses), so their number has a bound, [`MAX_KEYS`]. A budget that is whole
//! again is as good as one that was never made, and is dropped when room is needed. If that makes none, because all of
//! [`MAX_KEYS`] are in use, a call with a new key waits until one is whole again: a budget shared by the latecomers would
//! let a key that later gets its own take twice, and dropping one in use would let its key do so at once.

mod keeping;

use std::collections::HashMap;
use std::time::Duration;

pub use self::keeping::Due;
use super::budget::{Budget, Mark};
use super::calendar::Calendar;
use super::memory::Shelf;
use super::spec::{Keyed, LimitKey, LimitKind, LimitSpec};
use crate::time::{Mono, Now};

/// The most budgets of one limit that are kept at a time.
pub const MAX_KEYS: usize = 10_000;

/// How often at most all budgets are looked through for whole ones.
const SWEEP_EVERY: Duration = Duration::from_millis(10);

/// Below so many budgets nothing is looked through.
const SWEEP_FROM: usize = 64;

/// One limit with all its budgets.
#[derive(Debug)]
pub(super) struct Budgets {
    /// Names these budgets for receipts: others that take their place have another.
    id: u64,
    kind: LimitKind,
    keyed: Keyed,
    store: Store,
    /// Of a calendar with keys: when its periods turn. A budget made while the clock is wrong goes by this one's.
    turns: Option<Calendar>,
    /// New budgets are drained until then.
    drained_until: Option<Mono>,
    /// At least as many tokens as were ever taken from any budget that was dropped.
    taken: u64,
    /// At how many budgets it is next looked for whole ones.
    sweep_at: usize,
    /// Not before then.
    sweep_from: Mono,
    /// Somebody was told to wait.
    awaited: bool,
    /// What is remembered of them beside; `None` where nothing outlives the process.
    shelf: Option<Shelf>,
    /// The keys of those that the disk is to be told of.
    due: Vec<LimitKey>,
    /// New budgets begin empty as of so long before then.
    emptied: Option<(Mono, Duration)>,
}

#[derive(Debug)]
enum Store {
    One(Budget),
    Each(HashMap<LimitKey, Budget>),
}

impl Budgets {
    /// Whole budgets, or what is remembered of them.
    pub(super) fn new(spec: &LimitSpec, id: u64, now: Now, shelf: Option<Shelf>) -> Self {
        let quiet = shelf.as_ref().and_then(|shelf| shelf.quiet_for(now));
        let mut budgets = Self {
            id,
            kind: spec.kind.clone(),
            keyed: spec.keyed,
            store: Store::Each(HashMap::new()),
            turns: turns(spec, now),
            drained_until: None,
            taken: 0,
            sweep_at: SWEEP_FROM,
            sweep_from: Mono::ZERO,
            awaited: false,
            shelf,
            due: Vec::new(),
            emptied: quiet.map(|quiet| (now.mono, quiet)),
        };
        let is_doubtful = budgets.shelf.as_ref().is_some_and(Shelf::is_doubtful);
        if let Some(turns) = budgets.turns.as_mut().filter(|_| is_doubtful) {
            turns.doubt();
        }
        if spec.keyed == Keyed::Shared {
            let mut one = budgets.fresh(now, &LimitKey::Shared);
            if is_doubtful {
                one.doubt();
            }
            budgets.store = Store::One(one);
        }
        budgets
    }

    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    /// Whether places are held until an attempt is over.
    pub(super) const fn holds_places(&self) -> bool {
        matches!(self.kind, LimitKind::Concurrent(_))
    }

    /// Tokens of a whole budget.
    pub(super) const fn capacity(&self) -> u32 {
        self.kind.capacity()
    }

    /// Begins empty, as after a restart: what a former life took is not known. Quotas and places are taken over instead.
    pub(super) fn start_empty(&mut self, now: Now) {
        match &self.kind {
            LimitKind::TokenBucket(_) => self.drain_all(now, now.mono),
            LimitKind::SlidingWindow(window) => self.drain_all(now, now.mono + window.per),
            LimitKind::Calendar(_) | LimitKind::Concurrent(_) => {}
        }
    }

    /// How long until the last of `ahead + 1` takings of `n` tokens each can be made; see
    /// [`Budget::ready_in_turn`].
    #[inline]
    pub(super) fn ready_in_turn(&self, now: Now, key: &LimitKey, n: u32, ahead: u32) -> Option<Duration> {
        match &self.store {
            Store::One(budget) => budget.ready_in_turn(now, n, ahead),
            Store::Each(budgets) => match budgets.get(key) {
                Some(budget) => budget.ready_in_turn(now, n, ahead),
                None if self.has_room(now) => self.fresh(now, key).ready_in_turn(now, n, ahead),
                None if self.holds_places() => None,
                None => Some(self.sweep_from.since(now.mono).max(SWEEP_EVERY)),
            },
        }
    }

    /// Takes `n` tokens that are known to be there.
    #[inline]
    pub(super) fn spend(&mut self, now: Now, key: &LimitKey, n: u32) -> Mark {
        let is_kept = self.shelf.is_some();
        let budget = self.budget_mut(now, key);
        let mark = budget.spend(now, n);
        if is_kept && budget.runs_low(now) {
            self.ask(now, key, 0);
        }
        mark
    }

    /// Takes the places of an attempt that is out already.
    pub(super) fn adopt(&mut self, now: Now, key: &LimitKey, n: u32) -> Mark {
        self.budget_mut(now, key).adopt(now, n)
    }

    /// Gives places back. Whether somebody was told to wait.
    pub(super) fn release(&mut self, key: &LimitKey, n: u32) -> bool {
        if let Some(budget) = self.existing_mut(key) {
            budget.release(n);
        }
        std::mem::take(&mut self.awaited)
    }

    /// Puts back what was not used, as far as the promise allows. Whether somebody was told to wait.
    pub(super) fn give_back(&mut self, key: &LimitKey, mark: Mark, n: u32) -> bool {
        if let Some(budget) = self.existing_mut(key) {
            budget.give_back(mark, n);
        }
        std::mem::take(&mut self.awaited)
    }

    /// Notes that somebody was told to wait.
    pub(super) const fn await_release(&mut self) {
        self.awaited = true;
    }

    /// Empties the budget of one key until `until`. Whether somebody was told to wait, and less long.
    pub(super) fn drain(&mut self, now: Now, key: &LimitKey, until: Mono) -> bool {
        self.budget_mut(now, key).drain(now, until);
        self.tell(key);
        std::mem::take(&mut self.awaited)
    }

    /// Empties all budgets until `until`, those that are yet to be made too.
    pub(super) fn drain_all(&mut self, now: Now, until: Mono) {
        self.drained_until = Some(until.max(self.drained_until.unwrap_or_default()));
        match &mut self.store {
            Store::One(budget) => budget.drain(now, until),
            Store::Each(budgets) => budgets.values_mut().for_each(|budget| budget.drain(now, until)),
        }
    }

    /// Takes in what an answer has told of one budget.
    pub(super) fn learn(&mut self, now: Now, key: &LimitKey, remaining: u32, resets_in: Option<Duration>) {
        if self.existing_mut(key).is_some_and(|budget| budget.learn(now, remaining, resets_in)) {
            self.tell(key);
        }
    }

    /// Goes on under another spec; with other keys or of another kind they begin anew, under `id`.
    pub(super) fn respec(&mut self, spec: &LimitSpec, now: Now, id: u64) {
        if self.keyed != spec.keyed || self.kind.as_str() != spec.kind.as_str() {
            *self = Self::new(spec, id, now, self.shelf.take());
        } else if self.kind != spec.kind {
            self.kind = spec.kind.clone();
            self.turns = turns(spec, now);
            match &mut self.store {
                Store::One(budget) => budget.respec(&spec.kind, now),
                Store::Each(budgets) => {
                    budgets.values_mut().for_each(|budget| budget.respec(&spec.kind, now));
                }
            }
        }
    }

    /// Prepares for a taking: drops budgets that are whole again, if there are many, so that a new key finds room.
    #[inline]
    pub(super) fn make_room(&mut self, now: Now) {
        let Store::Each(budgets) = &mut self.store else { return };
        if let Some(turns) = &mut self.turns {
            turns.turn(now);
        }
        if budgets.len() < self.sweep_at || now.mono < self.sweep_from {
            return;
        }
        budgets.retain(|_, budget| {
            let idle = budget.is_idle(now);
            if idle {
                self.taken = self.taken.max(budget.taken());
            }
            !idle
        });
        self.sweep_at = budgets.len().saturating_mul(2).clamp(SWEEP_FROM, MAX_KEYS);
        self.sweep_from = now.mono + SWEEP_EVERY;
    }

    /// The budget with the least left.
    pub(super) fn tightest(&self, now: Now) -> Option<&Budget> {
        match &self.store {
            Store::One(budget) => Some(budget),
            Store::Each(budgets) => budgets.values().min_by_key(|budget| budget.available(now)),
        }
    }

    /// How many budgets have a key and are not whole.
    pub(super) fn keys_in_use(&self, now: Now) -> usize {
        match &self.store {
            Store::One(_) => 0,
            Store::Each(budgets) => budgets.values().filter(|budget| !budget.is_idle(now)).count(),
        }
    }

    /// Whether all are whole.
    pub(super) fn is_idle(&self, now: Now) -> bool {
        match &self.store {
            Store::One(budget) => budget.is_idle(now),
            Store::Each(budgets) => budgets.values().all(|budget| budget.is_idle(now)),
        }
    }

    /// All budgets that there are, with their keys.
    pub(super) fn each(&self) -> impl Iterator<Item = (&LimitKey, &Budget)> {
        let (one, each) = match &self.store {
            Store::One(budget) => (Some((&LimitKey::Shared, budget)), None),
            Store::Each(budgets) => (None, Some(budgets.iter())),
        };
        one.into_iter().chain(each.into_iter().flatten())
    }

    /// Goes on with what a former life kept of the budget of one key.
    pub(super) fn resume(
        &mut self,
        now: Now,
        key: &LimitKey,
        drained_until: Option<Mono>,
        quota: Option<&Calendar>,
    ) {
        let kind = self.kind.clone();
        let budget = self.budget_mut(now, key);
        if let Some(quota) = quota {
            budget.resume(quota, &kind, now);
        }
        if let Some(until) = drained_until {
            budget.drain(now, until);
            self.tell(key);
        }
    }

    /// The budget of a key, made if there is none yet.
    fn budget_mut(&mut self, now: Now, key: &LimitKey) -> &mut Budget {
        match &mut self.store {
            Store::One(budget) => budget,
            Store::Each(budgets) => {
                let Self { kind, turns, taken, drained_until, shelf, emptied, .. } = self;
                let past = Past { shelf: shelf.as_ref(), drained_until: *drained_until, emptied: *emptied };
                let fresh = || fresh(kind, turns.as_ref(), now, *taken, key, &past);
                budgets.entry(key.clone()).or_insert_with(fresh)
            }
        }
    }

    fn existing_mut(&mut self, key: &LimitKey) -> Option<&mut Budget> {
        match &mut self.store {
            Store::One(budget) => Some(budget),
            Store::Each(budgets) => budgets.get_mut(key),
        }
    }

    fn has_room(&self, now: Now) -> bool {
        match &self.store {
            Store::One(_) => true,
            Store::Each(budgets) => {
                budgets.len() < MAX_KEYS
                    || (now.mono >= self.sweep_from && budgets.values().any(|budget| budget.is_idle(now)))
            }
        }
    }

    fn fresh(&self, now: Now, key: &LimitKey) -> Budget {
        let past =
            Past { shelf: self.shelf.as_ref(), drained_until: self.drained_until, emptied: self.emptied };
        fresh(&self.kind, self.turns.as_ref(), now, self.taken, key, &past)
    }
}

/// What a new budget goes on from.
struct Past<'a> {
    shelf: Option<&'a Shelf>,
    drained_until: Option<Mono>,
    emptied: Option<(Mono, Duration)>,
}

/// A whole budget, or one that has come as far since the last drain as the others, and what is remembered of it. What was
/// taken of an earlier budget with its key cannot be given back to it: `taken` is at least as many.
fn fresh(
    kind: &LimitKind,
    turns: Option<&Calendar>,
    now: Now,
    taken: u64,
    key: &LimitKey,
    past: &Past<'_>,
) -> Budget {
    let mut budget = Budget::new(kind, now, taken);
    if let Some(turns) = turns {
        budget.resume(turns, kind, now);
    }
    if let Some((at, ago)) = past.emptied {
        budget.begin_empty(now, ago.saturating_add(now.mono.since(at)));
    }
    if let Some(shelf) = past.shelf {
        budget.reserve_first();
        if let Some(noted) = shelf.recall(key) {
            budget.recall(now, &noted);
        }
    }
    if let Some(until) = past.drained_until {
        budget.drain_since(now, until);
    }
    budget
}

fn turns(spec: &LimitSpec, now: Now) -> Option<Calendar> {
    match (&spec.kind, spec.keyed) {
        (LimitKind::Calendar(calendar), Keyed::Connection | Keyed::Request) => {
            Some(Calendar::new(calendar, now))
        }
        _ => None,
    }
}
