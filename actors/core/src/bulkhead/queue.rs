//! The admission queue: who goes next, among calls that wait for different things.
//!
//! One queue holds all calls that cannot start at once. Some wait for a permit of the pool, which any of them could
//! use; some wait for a budget that others do not need. So there is one bound and one order, and several lines:
//!
//! - **Ready**: what would start if the pool had room. Each is tried when its turn comes.
//! - **A line** for each budget that keeps a call waiting. Whoever needs that budget and comes later stands behind
//!   it, even if it needs less: else one that needs much would be overtaken for ever. Whoever does not need it goes by.
//!   Only the first of a line is tried, so thousands in line cost nothing until their turn comes. A call that needs
//!   several budgets stands in line for those that are missing, and gives way in the others: one exhausted account
//!   does not hold up what shares no more with it than the integration's limit. Only one that gave way and was set back
//!   by it [`MAX_SET_BACK`] times keeps its place in every line from then on, for else it might never find together
//!   what it needs together.
//! - **Apart**: what waits for a time only (a provider's pause), and is put back when it has come.
//!
//! # Order
//!
//! First come, first served, within a priority; high before normal before low. A call that was first of its priority
//! and was passed by [`MAX_OVERTAKEN`] starts of a higher one goes before all others then: the low never starve. The
//! order is one order of all calls, the same in every line, so two lines never wait for each other.

mod line;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use foldhash::HashMapExt;

pub use self::line::Gate;
use self::line::{Line, Rank, Turn};
use crate::limits::{Demand, Take};
use crate::priority::Priority;
use crate::time::Mono;

/// So often may the first call of a priority be passed by calls of a higher one, before it goes before all.
pub const MAX_OVERTAKEN: u32 = 8;

/// So often may a call find, when what it waited for has come, that something else has gone meanwhile, before it keeps
/// its place in every line.
pub const MAX_SET_BACK: u32 = 8;

/// A call that waits.
#[derive(Debug)]
struct Waiter {
    turn: Turn,
    needs: Demand,
    joined: Mono,
    /// Since when it is ready; `None` while it stands in line or apart.
    ready: Option<Mono>,
    /// How long it was ready before.
    was_ready: Duration,
    overtaken: u32,
    set_back: u32,
    /// The limit that has kept it waiting, the last of several.
    limit: Option<usize>,
}

/// How a call has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    /// In all.
    pub total: Duration,
    /// For a permit of the pool, of that.
    pub for_permit: Duration,
    /// The limit that kept it waiting for the rest, if it was one.
    pub limit: Option<usize>,
}

/// The calls that wait; `K` names a call.
#[derive(Debug)]
pub struct Queue<K> {
    max: usize,
    max_wait: Duration,
    next: u64,
    waiting: foldhash::HashMap<K, Waiter>,
    ready: BTreeMap<Turn, K>,
    /// When those that are ready will have waited for a permit as long as they may.
    expiries: BTreeSet<(Mono, K)>,
    lines: HashMap<Gate, Line<K>>,
}

impl<K: Copy + Ord + Hash> Queue<K> {
    /// An empty queue that holds `max` calls, each waiting for a permit no longer than `max_wait`.
    pub fn new(max: usize, max_wait: Duration) -> Self {
        Self {
            max,
            max_wait,
            next: 0,
            waiting: foldhash::HashMap::new(),
            ready: BTreeMap::new(),
            expiries: BTreeSet::new(),
            lines: HashMap::new(),
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a call that comes now would have no place.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= self.max
    }

    /// Whether a call that comes now may be tried at once: nobody that is ready waits for the same permits, and nobody
    /// in line for the same budgets stands before it.
    pub fn may_pass(&self, needs: &Demand, priority: Priority) -> bool {
        self.ready.is_empty() && self.is_first(needs, Turn { rank: priority.into(), number: self.next })
    }

    /// What those need of a budget who stand before a call that comes now.
    pub fn ahead(&self, take: &Take, priority: Priority) -> u64 {
        self.line(take).map_or(0, |line| line.tokens_to(priority.into()))
    }

    /// Takes a call in; `false` when there is no place.
    #[must_use]
    pub fn join(&mut self, call: K, needs: Demand, priority: Priority, now: Mono) -> bool {
        if self.is_full() {
            return false;
        }
        let turn = Turn { rank: priority.into(), number: self.next };
        self.next += 1;
        let waiter = Waiter {
            turn,
            needs,
            joined: now,
            ready: None,
            was_ready: Duration::ZERO,
            overtaken: 0,
            set_back: 0,
            limit: None,
        };
        self.waiting.insert(call, waiter);
        self.put_back(call, now);
        true
    }

    /// Makes a call ready that waits for nothing but its turn and a permit any more, or puts it in line where it is not
    /// its turn.
    pub fn put_back(&mut self, call: K, now: Mono) {
        let mut stirred = vec![call];
        while let Some(call) = stirred.pop() {
            let Some(waiter) = self.waiting.get(&call).filter(|waiter| waiter.ready.is_none()) else {
                continue;
            };
            if let Some(places) = self.behind(waiter) {
                self.stand_in_line(call, &places, &mut stirred);
            } else if let Some(waiter) = self.waiting.get_mut(&call) {
                waiter.ready = Some(now);
                self.ready.insert(waiter.turn, call);
                let left = self.max_wait.saturating_sub(waiter.was_ready);
                self.expiries.insert((now + left, call));
            }
        }
    }

    fn put_all_back(&mut self, calls: Vec<K>, now: Mono) {
        for call in calls {
            self.put_back(call, now);
        }
    }

    /// The call whose turn it is.
    pub fn next(&mut self, now: Mono) -> Option<K> {
        while let Some((_, &call)) = self.ready.first_key_value() {
            let behind = self.waiting.get(&call).and_then(|waiter| self.behind(waiter));
            let Some(places) = behind else { return Some(call) };
            self.unready(call, now);
            let mut stirred = Vec::new();
            self.stand_in_line(call, &places, &mut stirred);
            self.put_all_back(stirred, now);
        }
        None
    }

    /// Notes that a call cannot have these budgets (none: it waits apart). It is put back by whoever knows when.
    pub fn blocked(&mut self, call: K, gates: &[Gate], now: Mono) {
        self.unready(call, now);
        let Some(waiter) = self.waiting.get_mut(&call) else { return };
        let blocked = |take: &Take| gates.iter().any(|(limit, key)| *limit == take.limit && *key == take.key);
        let places: Vec<usize> = waiter
            .needs
            .0
            .iter()
            .enumerate()
            .filter(|(_, take)| blocked(take))
            .map(|(place, _)| place)
            .collect();
        let stands = |take: &Take| {
            let line = self.lines.get(&(take.limit, take.key.clone()));
            line.is_some_and(|line| line.members.contains_key(&waiter.turn))
        };
        let has_waited = waiter.needs.0.iter().any(stands);
        let waits_on = places.iter().filter_map(|place| waiter.needs.0.get(*place)).any(stands);
        if has_waited && !waits_on {
            waiter.set_back += 1;
        }
        let mut stirred = Vec::new();
        self.stand_in_line(call, &places, &mut stirred);
        self.put_all_back(stirred, now);
    }

    /// Something of a budget has come back: the first who waits for it may be tried.
    pub fn released(&mut self, take: &Take, now: Mono) {
        if let Some((_, first)) = self.line(take).and_then(Line::first) {
            self.put_back(first, now);
        }
    }

    /// Something of a limit has come back, and it is not known of which budget.
    pub fn released_limit(&mut self, limit: usize, now: Mono) {
        let lines = self.lines.iter().filter(|((of, _), _)| *of == limit);
        let firsts: Vec<K> = lines.filter_map(|(_, line)| line.first().map(|(_, call)| call)).collect();
        for first in firsts {
            self.put_back(first, now);
        }
    }

    /// Lets a call go that is not started: it is answered.
    pub fn leave(&mut self, call: K, now: Mono) -> Option<Waited> {
        self.unready(call, now);
        let waiter = self.waiting.remove(&call)?;
        let mut stirred = Vec::new();
        for take in &waiter.needs.0 {
            stirred.extend(self.leave_line(take, waiter.turn));
        }
        self.put_all_back(stirred, now);
        let total = now.since(waiter.joined);
        Some(Waited { total, for_permit: waiter.was_ready, limit: waiter.limit })
    }

    /// Lets a call go that is started, which may overtake others.
    pub fn start(&mut self, call: K, now: Mono) -> Option<Waited> {
        let waiter = self.waiting.get(&call)?;
        let (needs, rank) = (waiter.needs.clone(), waiter.turn.rank);
        let waited = self.leave(call, now);
        self.overtake(&needs, rank, now);
        waited
    }

    /// Notes that a call is started that did not have to wait.
    pub fn passed(&mut self, needs: &Demand, priority: Priority, now: Mono) {
        if !self.waiting.is_empty() {
            self.overtake(needs, priority.into(), now);
        }
    }

    /// When the first of those that are ready will have waited for a permit as long as it may.
    pub fn next_expiry(&self) -> Option<Mono> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// The call that has waited for a permit as long as it may.
    pub fn expired(&self, now: Mono) -> Option<K> {
        self.expiries.first().filter(|(at, _)| *at <= now).map(|(_, call)| *call)
    }

    /// Whether a call waits for a permit and for nothing else.
    pub fn waits_for_permit(&self, call: K) -> bool {
        self.waiting.get(&call).is_some_and(|waiter| waiter.ready.is_some())
    }

    /// All who wait, in order, with what they need.
    pub fn in_order(&self) -> Vec<(K, &Demand)> {
        let mut all: Vec<_> =
            self.waiting.iter().map(|(call, waiter)| (waiter.turn, *call, &waiter.needs)).collect();
        all.sort_unstable_by_key(|(turn, ..)| *turn);
        all.into_iter().map(|(_, call, needs)| (call, needs)).collect()
    }

    /// Takes other bounds, and asks anew what each call needs. Nobody loses their place; more than there is room for
    /// stay until they have gone.
    pub fn respec(&mut self, max: usize, max_wait: Duration, now: Mono, mut needs: impl FnMut(K) -> Demand) {
        self.lines.clear();
        let calls: Vec<K> = self.in_order().into_iter().map(|(call, _)| call).collect();
        for call in &calls {
            self.unready(*call, now);
            if let Some(waiter) = self.waiting.get_mut(call) {
                waiter.needs = needs(*call);
                waiter.limit = None;
            }
        }
        // Only now: until here they stand under the old wait.
        (self.max, self.max_wait) = (max, max_wait);
        self.put_all_back(calls, now);
    }

    fn line(&self, take: &Take) -> Option<&Line<K>> {
        if self.lines.is_empty() {
            return None;
        }
        self.lines.get(&(take.limit, take.key.clone()))
    }

    fn is_first(&self, needs: &Demand, turn: Turn) -> bool {
        let before =
            |take: &Take| self.line(take).and_then(Line::first).is_some_and(|(first, _)| first < turn);
        !needs.0.iter().any(before)
    }

    /// Which of the budgets that a call needs others stand in line for before it; `None` where it is its turn.
    fn behind(&self, waiter: &Waiter) -> Option<Vec<usize>> {
        if self.lines.is_empty() || self.is_first(&waiter.needs, waiter.turn) {
            return None;
        }
        let before =
            |take: &Take| self.line(take).and_then(Line::first).is_some_and(|(first, _)| first < waiter.turn);
        Some(
            waiter
                .needs
                .0
                .iter()
                .enumerate()
                .filter(|(_, take)| before(take))
                .map(|(place, _)| place)
                .collect(),
        )
    }

    /// Has a call stand in line for some of what it needs, by their places in its demand, and give way for the rest.
    /// Who is first in a line by that, and may be tried, is added to `stirred`.
    fn stand_in_line(&mut self, call: K, places: &[usize], stirred: &mut Vec<K>) {
        let Some(waiter) = self.waiting.get_mut(&call) else { return };
        for take in places.iter().filter_map(|place| waiter.needs.0.get(*place)) {
            waiter.limit = Some(take.limit);
            let line = self.lines.entry((take.limit, take.key.clone())).or_insert_with(Line::new);
            line.insert(waiter.turn, call, take.cost);
        }
        if waiter.set_back >= MAX_SET_BACK || waiter.needs.0.len() == places.len() {
            return;
        }
        let (turn, needs) = (waiter.turn, waiter.needs.clone());
        let given_way = needs.0.iter().enumerate().filter(|(place, _)| !places.contains(place));
        for (_, take) in given_way {
            stirred.extend(self.leave_line(take, turn));
        }
    }

    /// Takes a turn out of a line. Tells who is first now, if it was first before.
    fn leave_line(&mut self, take: &Take, turn: Turn) -> Option<K> {
        if self.lines.is_empty() {
            return None;
        }
        let gate = (take.limit, take.key.clone());
        let line = self.lines.get_mut(&gate)?;
        let was_first = line.first().is_some_and(|(first, _)| first == turn);
        line.remove(turn);
        let first = line.first();
        if first.is_none() {
            self.lines.remove(&gate);
        }
        first.filter(|_| was_first).map(|(_, first)| first)
    }

    fn unready(&mut self, call: K, now: Mono) {
        let Some(waiter) = self.waiting.get_mut(&call) else { return };
        if let Some(since) = waiter.ready.take() {
            self.ready.remove(&waiter.turn);
            let left = self.max_wait.saturating_sub(waiter.was_ready);
            self.expiries.remove(&(since + left, call));
            waiter.was_ready = waiter.was_ready.saturating_add(now.since(since));
        }
    }

    /// Counts it for the first of each lower rank that a call was started before them.
    fn overtake(&mut self, needs: &Demand, rank: Rank, now: Mono) {
        let mut passed: Vec<K> = Vec::new();
        for lower in [Rank::Normal, Rank::Low].into_iter().filter(|lower| *lower > rank) {
            let ready = self.ready.range(Turn::first_of(lower)..).next();
            passed.extend(ready.filter(|(turn, _)| turn.rank == lower).map(|(_, call)| *call));
            for take in &needs.0 {
                passed.extend(self.line(take).and_then(|line| line.first_of(lower)));
            }
        }
        passed.sort_unstable();
        passed.dedup();
        for call in passed {
            let Some(waiter) = self.waiting.get_mut(&call) else { continue };
            waiter.overtaken += 1;
            if waiter.overtaken >= MAX_OVERTAKEN {
                self.promote(call, now);
            }
        }
    }

    /// Puts a call before all others, wherever it stands.
    fn promote(&mut self, call: K, now: Mono) {
        let Some(waiter) = self.waiting.get_mut(&call) else { return };
        let old = waiter.turn;
        let turn = Turn { rank: Rank::Due, ..old };
        waiter.turn = turn;
        if self.ready.remove(&old).is_some() {
            self.ready.insert(turn, call);
        }
        let needs = waiter.needs.clone();
        for take in &needs.0 {
            if let Some(line) = self.lines.get_mut(&(take.limit, take.key.clone()))
                && let Some(&(_, cost)) = line.members.get(&old)
            {
                line.remove(old);
                line.insert(turn, call, cost);
            }
        }
        self.put_back(call, now);
    }
}
