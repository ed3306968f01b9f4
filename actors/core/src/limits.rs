//! Limits of an integration: never send more than the provider allows, and wait when it asks to.
//!
//! An integration has any number of named limits. What a call takes of them, the [`Demand`], is settled before it comes
//! here: which limits its endpoint has, under which keys, at what cost. It takes all of that in one decision or
//! nothing ([`Limits::take`]), so that a call which waits for one budget does not use up another.
//!
//! # The life of what was taken
//!
//! The receipt ([`Taken`]) stays with the attempt. When that is over, it is handed back in one of two ways: a request that
//! was sent has spent its tokens and only gives its places back ([`Limits::finish`]); one that was not sent gives
//! everything back ([`Limits::give_back`]), as far as that cannot let more through than was promised.
//!
//! # What holds a call up
//!
//! - its own count: [`token_bucket`], [`sliding_window`], [`calendar`], [`concurrent`];
//! - a *drain* ([`Limits::drain`]): a provider that answers 429 has said that its own count is used up, whatever ours
//!   says. Nobody goes before its time, and then tokens come from zero, at a pace ([`ramp`]);
//! - what an answer's headers have told ([`Limits::learn`]; [`told`] reads them): it takes away, and never gives;
//! - *parking* ([`Limits::park_until`]): the whole integration waits, where there are no limits, too.
//!
//! # What outlives the process
//!
//! Where the server keeps state on disk, a token of a calendar's quota is taken only when the disk knows it as taken, and
//! drains and what was learned are told to it as they come ([`Limits::take_due`]). What comes back is remembered
//! ([`Memory`]), and budgets go on with it; `keeping` has how.
//!
//! A limit has one budget, or one for each key (`budgets`); it belongs to one integration, or to several on different
//! threads that share an account ([`groups`]).

mod budget;
mod budgets;
pub mod calendar;
pub mod concurrent;
mod drain;
pub mod groups;
mod keeping;
mod kept;
mod memory;
pub mod ramp;
mod record;
mod respec;
pub mod sliding_window;
mod spec;
mod take;
pub mod token_bucket;
pub mod told;

#[cfg(test)]
mod examples;
#[cfg(test)]
mod lives;
#[cfg(test)]
mod properties;

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use self::budget::{Mark, longer};
use self::budgets::Budgets;
pub use self::budgets::{Due, MAX_KEYS};
pub use self::calendar::ASK_AGAIN;
use self::groups::SharedLimit;
pub use self::groups::{Groups, Watch};
use self::keeping::Parking;
pub use self::keeping::Reserving;
pub use self::kept::Kept;
pub use self::memory::{BLIND, Memory};
pub use self::record::{Life, Owner, QuotaRecord, Record, Rest, Subject};
pub use self::spec::{
    CalendarPeriod, CalendarSpec, ConcurrentSpec, Demand, DrainScope, Keyed, LearnHeaders, LearnSpec,
    LimitKey, LimitKind, LimitSpec, ResetForm, SlidingWindowSpec, Take, Told,
};
use self::take::Open;
pub use self::told::observe;
use crate::name::{GroupName, LimitName};
use crate::time::{Mono, Now};

/// Why a call may not go yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The limit that keeps it longest; `None` while the integration is parked longer.
    pub limit: Option<LimitName>,
    /// The budgets that have too little: calls that need the same of one of them need not ask.
    pub blocked: SmallVec<[(usize, LimitKey); 2]>,
    /// How long until everything is there, if nobody else takes any: never zero. [`Duration::MAX`] if it never will
    /// be ([`Limits::never`]); `None` if that depends on a release.
    pub ready_in: Option<Duration>,
}

/// The receipt of what one call took.
///
/// Dropped without being handed back, it counts as spent; places of a shared limit come back all the same, so that
/// an integration that fails takes none of them with it.
#[must_use = "keep it with the attempt: places, and what was not used, are given back with it"]
#[derive(Debug)]
pub struct Taken {
    entries: SmallVec<[Entry; 2]>,
}

/// What was taken of one budget.
#[derive(Debug)]
struct Entry {
    limit: usize,
    budgets: u64,
    key: LimitKey,
    cost: u32,
    mark: Mark,
    /// Whether places are held until the attempt is over.
    holds_places: bool,
    /// The shared limit whose places they are: they come back when this is dropped.
    places_of: Option<Arc<SharedLimit>>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(limit) = &self.places_of {
            limit.release(self.budgets, &self.key, self.cost);
        }
    }
}

/// One limit, as shown to people and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSnapshot {
    /// The limit's name.
    pub name: LimitName,
    /// The word for its kind used in settings.
    pub kind: &'static str,
    /// Tokens to be had now; of several budgets, in the one that has the least.
    pub remaining: u32,
    /// Tokens of a whole budget.
    pub capacity: u32,
    /// How long until that budget is whole again if nobody takes any more. Places come back when attempts end, which
    /// is not counted here.
    pub resets_in: Duration,
    /// How many budgets with a key are in use.
    pub keys: usize,
    /// Tokens of that budget that are reserved on disk and not used yet; `None` where none have to be.
    pub reserved: Option<u32>,
}

/// All limits of one integration.
#[derive(Debug)]
pub struct Limits {
    /// In the order of the settings, as demands count them.
    slots: Vec<Slot>,
    own: Vec<Budgets>,
    /// In the order of locking.
    shared: Vec<Arc<SharedLimit>>,
    parked_until: Option<Mono>,
    /// Something may be due to be told to the disk.
    stirred: bool,
    /// What is remembered of its parking; `None` where nothing outlives the process.
    parking: Option<Parking>,
}

/// What a limit is called and where its budgets are.
#[derive(Debug)]
struct Slot {
    name: LimitName,
    kind: &'static str,
    keyed: Keyed,
    group: Option<GroupName>,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// An index into [`Limits::own`].
    Own(usize),
    /// An index into [`Limits::shared`].
    Shared(usize),
}

impl Limits {
    /// Whole budgets, not parked; those of a group as its other members have left them. The specs are taken to have
    /// been checked.
    pub fn new(specs: impl IntoIterator<Item = LimitSpec>, groups: &Groups, now: Now) -> Self {
        let mut limits = Self {
            slots: Vec::new(),
            own: Vec::new(),
            shared: Vec::new(),
            parked_until: None,
            stirred: false,
            parking: Parking::of(groups),
        };
        limits.respec(specs, groups, now);
        limits.recall_parking(now);
        limits
    }

    /// Takes everything that is demanded, or nothing.
    ///
    /// # Errors
    /// A [`Wait`], naming the limit that keeps the call longest.
    pub fn take(&mut self, now: Now, demand: &Demand) -> Result<Taken, Wait> {
        let parked = self.parked_for(now.mono);
        let mut open = Open::new(&self.slots, &mut self.own, &self.shared, demand);
        open.make_room(now, demand);
        if !open.has(now, demand, parked) {
            return Err(open.wait(now, demand, parked));
        }
        let entries = demand.0.iter().filter_map(|take| open.spend(now, take)).collect();
        self.stirred |= open.is_due(demand);
        Ok(Taken { entries })
    }

    /// Whether [`take`](Self::take) would succeed now.
    ///
    /// # Errors
    /// The [`Wait`] that it would answer.
    pub fn check(&self, now: Now, demand: &Demand) -> Result<(), Wait> {
        let parked = self.parked_for(now.mono);
        let mut open = Open::new(&self.slots, self.own.as_slice(), &self.shared, demand);
        if open.has(now, demand, parked) { Ok(()) } else { Err(open.wait(now, demand, parked)) }
    }

    /// The limit of which more is demanded than there ever is at once, if there is one.
    pub fn never(&self, demand: &Demand) -> Option<&LimitName> {
        let open = Open::new(&self.slots, self.own.as_slice(), &self.shared, demand);
        let exceeded = |take: &&Take| {
            open.budgets(take.limit).is_some_and(|budgets| open.cost_of(demand, take) > budgets.capacity())
        };
        let limit = demand.0.iter().find(exceeded)?.limit;
        self.slots.get(limit).map(|slot| &slot.name)
    }

    /// The attempt is over and its request was sent: its places come back, the rest is spent.
    pub fn finish(&mut self, _now: Now, taken: Taken) {
        // Places of a shared limit come back as their entries are dropped.
        for entry in taken.entries.iter().filter(|entry| entry.holds_places && entry.places_of.is_none()) {
            if let Some(budgets) = self.own_budgets(entry) {
                budgets.release(&entry.key, entry.cost);
            }
        }
    }

    /// The request was not sent: everything comes back, as far as the promise allows.
    pub fn give_back(&mut self, _now: Now, taken: Taken) {
        for entry in taken.entries {
            if entry.places_of.is_some() {
                continue;
            }
            if let Some(budgets) = self.own_budgets(&entry) {
                budgets.give_back(&entry.key, entry.mark, entry.cost);
            } else if let Some(limit) = self.shared_limit(&entry) {
                let mut budgets = limit.lock();
                let awaited =
                    budgets.id() == entry.budgets && budgets.give_back(&entry.key, entry.mark, entry.cost);
                drop(budgets);
                if awaited {
                    limit.wake();
                }
            }
        }
    }

    /// Takes the places of an attempt that is out already, whether there are any or not: after a restart. Nothing is
    /// taken of other limits, which begin empty then.
    pub fn adopt(&mut self, now: Now, demand: &Demand) -> Taken {
        let mut open = Open::new(&self.slots, &mut self.own, &self.shared, demand);
        Taken { entries: demand.0.iter().filter_map(|take| open.adopt(now, take)).collect() }
    }

    /// Takes in what the answer to a call that took this demand has told of its limits ([`observe`]).
    pub fn learn(&mut self, now: Now, demand: &Demand, told: &[Told]) {
        self.stirred = true;
        for told in told {
            let Some(take) = demand.0.iter().find(|take| take.limit == told.limit) else { continue };
            if told.capacity.is_some_and(|capacity| told.remaining > capacity) {
                continue;
            }
            match self.slots.get(take.limit).map(|slot| slot.place) {
                Some(Place::Own(index)) => {
                    if let Some(budgets) = self.own.get_mut(index) {
                        budgets.learn(now, &take.key, told.remaining, told.resets_in);
                    }
                }
                Some(Place::Shared(index)) => {
                    if let Some(limit) = self.shared.get(index) {
                        limit.lock().learn(now, &take.key, told.remaining, told.resets_in);
                    }
                }
                None => {}
            }
        }
    }

    /// How long a waiter has to wait that has `ahead` others with the same demand before it, if all of them go as soon
    /// as they can. It is never less than that, so what does not fit a deadline now will not. Exact for a limit by
    /// itself and for any number of token buckets. `None` where it depends on a release.
    pub fn ready_in(&self, now: Now, demand: &Demand, ahead: u32) -> Option<Duration> {
        let open = Open::new(&self.slots, self.own.as_slice(), &self.shared, demand);
        // Until the first goes, a bucket that is ready before the others fills up and loses what it cannot hold; only
        // from there on do they run side by side, and the slowest rules.
        let first = open.ready_in(now, demand, 0)?.max(self.parked_for(now.mono));
        if ahead == 0 {
            return Some(first);
        }
        Some(first.saturating_add(open.ready_in(now.after(first), demand, ahead)?))
    }

    /// Until when the whole integration was last parked, which may be past; `None` if it never was.
    pub const fn parked_until(&self) -> Option<Mono> {
        self.parked_until
    }

    /// Every limit at `now`, in the order of the settings.
    pub fn snapshot(&self, now: Now) -> impl Iterator<Item = LimitSnapshot> {
        self.slots.iter().filter_map(move |slot| match slot.place {
            Place::Own(index) => self.own.get(index).map(|budgets| shown(slot, budgets, now)),
            Place::Shared(index) => self.shared.get(index).map(|limit| shown(slot, &limit.lock(), now)),
        })
    }

    fn parked_for(&self, now: Mono) -> Duration {
        self.parked_until.map_or(Duration::ZERO, |until| until.since(now))
    }

    /// The budgets of this integration that an entry was taken from, if they still are.
    fn own_budgets(&mut self, entry: &Entry) -> Option<&mut Budgets> {
        let taken_from = |index: &usize| self.own.get(*index).is_some_and(|own| own.id() == entry.budgets);
        let index = match self.slots.get(entry.limit).map(|slot| slot.place) {
            Some(Place::Own(index)) => Some(index).filter(taken_from),
            Some(Place::Shared(_)) | None => None,
        };
        // The settings may have changed meanwhile, and the order with them.
        let index = index.or_else(|| (0..self.own.len()).find(taken_from))?;
        self.own.get_mut(index)
    }

    /// The shared limit that an entry was taken from, if it still is one of this integration's.
    fn shared_limit(&self, entry: &Entry) -> Option<Arc<SharedLimit>> {
        self.shared.iter().find(|limit| limit.lock().id() == entry.budgets).cloned()
    }
}

fn shown(slot: &Slot, budgets: &Budgets, now: Now) -> LimitSnapshot {
    let tightest = budgets.tightest(now);
    let capacity = budgets.capacity();
    LimitSnapshot {
        name: slot.name.clone(),
        kind: slot.kind,
        remaining: tightest.map_or(capacity, |budget| budget.available(now)),
        capacity,
        resets_in: tightest.map_or(Duration::ZERO, |budget| budget.full_in(now)),
        keys: budgets.keys_in_use(now),
        reserved: tightest.and_then(|budget| budget.reserved(now)),
    }
}
