//! One decision over all the budgets of a demand: looked at together, taken together.
//!
//! The shared ones among them are locked for as long as it takes, in the order of their numbers.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use smallvec::SmallVec;

use super::{Budgets, Demand, Entry, Keyed, Mark, Place, SharedLimit, Slot, Take, Wait, longer};
use crate::time::Now;

/// The budgets of a demand, at hand; `O` is how the integration's own are borrowed.
pub(super) struct Open<'a, O> {
    slots: &'a [Slot],
    own: O,
    shared: &'a [Arc<SharedLimit>],
    /// Those of `shared` that the demand takes from, by their index there.
    locked: SmallVec<[(usize, MutexGuard<'a, Budgets>); 2]>,
    /// No limit is demanded twice.
    distinct: bool,
}

impl<'a, O: Deref<Target: AsRef<[Budgets]>>> Open<'a, O> {
    /// Locks what has to be.
    #[inline]
    pub(super) fn new(slots: &'a [Slot], own: O, shared: &'a [Arc<SharedLimit>], demand: &Demand) -> Self {
        let mut locked = SmallVec::new();
        for (index, limit) in shared.iter().enumerate() {
            let place = Place::Shared(index);
            if demand.0.iter().any(|take| slots.get(take.limit).is_some_and(|slot| slot.place == place)) {
                locked.push((index, limit.lock()));
            }
        }
        let twice = |(index, take): (usize, &Take)| {
            demand.0.iter().take(index).any(|other| other.limit == take.limit)
        };
        let distinct = !demand.0.iter().enumerate().any(twice);
        Self { slots, own, shared, locked, distinct }
    }

    /// What a demand takes in all of the budget that this part of it takes from.
    #[inline]
    pub(super) fn cost_of(&self, demand: &Demand, take: &Take) -> u32 {
        if self.distinct {
            return take.cost;
        }
        let one = self.slots.get(take.limit).is_some_and(|slot| slot.keyed == Keyed::Shared);
        let same = |other: &&Take| other.limit == take.limit && (one || other.key == take.key);
        demand.0.iter().filter(same).map(|other| other.cost).fold(0, u32::saturating_add)
    }

    /// The budgets of a limit that the demand takes from.
    #[inline]
    pub(super) fn budgets(&self, limit: usize) -> Option<&Budgets> {
        match self.slots.get(limit)?.place {
            Place::Own(index) => (*self.own).as_ref().get(index),
            Place::Shared(index) => {
                self.locked.iter().find(|(locked, _)| *locked == index).map(|(_, budgets)| &**budgets)
            }
        }
    }

    /// Whether the disk is to be told of any budget that the demand takes from.
    #[inline]
    pub(super) fn is_due(&self, demand: &Demand) -> bool {
        demand.0.iter().any(|take| self.budgets(take.limit).is_some_and(Budgets::is_due))
    }

    /// Whether everything is there.
    #[inline]
    pub(super) fn has(&self, now: Now, demand: &Demand, parked: Duration) -> bool {
        parked.is_zero()
            && demand.0.iter().all(|take| self.ready(now, demand, take, 0) == Some(Duration::ZERO))
    }

    /// How long until everything is there, after `ahead` others with the same demand; `None` if that is not known.
    pub(super) fn ready_in(&self, now: Now, demand: &Demand, ahead: u32) -> Option<Duration> {
        let waits = demand.0.iter().map(|take| self.ready(now, demand, take, ahead));
        waits.fold(Some(Duration::ZERO), longer)
    }

    /// What a demand that is not all there has to wait for. Whoever shares it will wake the waiter.
    pub(super) fn wait(&mut self, now: Now, demand: &Demand, parked: Duration) -> Wait {
        let mut longest = (None, Some(parked));
        let mut blocked = SmallVec::new();
        for take in &demand.0 {
            let wait = self.ready(now, demand, take, 0);
            if wait == Some(Duration::ZERO) {
                continue;
            }
            if longer(longest.1, wait) != longest.1 {
                longest = (Some(take.limit), wait);
            }
            blocked.push((take.limit, take.key.clone()));
            if let Some(Place::Shared(index)) = self.slots.get(take.limit).map(|slot| slot.place) {
                for (_, budgets) in self.locked.iter_mut().filter(|(locked, _)| *locked == index) {
                    budgets.await_release();
                }
            }
        }
        let (limit, ready_in) = longest;
        let limit = limit.and_then(|limit| self.slots.get(limit)).map(|slot| slot.name.clone());
        Wait { limit, blocked, ready_in }
    }

    #[inline]
    fn ready(&self, now: Now, demand: &Demand, take: &Take, ahead: u32) -> Option<Duration> {
        let Some(budgets) = self.budgets(take.limit) else { return Some(Duration::ZERO) };
        budgets.ready_in_turn(now, &take.key, self.cost_of(demand, take), ahead)
    }
}

impl<O: DerefMut<Target: AsRef<[Budgets]> + AsMut<[Budgets]>>> Open<'_, O> {
    /// Makes room for keys that are new.
    #[inline]
    pub(super) fn make_room(&mut self, now: Now, demand: &Demand) {
        let slots = self.slots;
        let keyed = |take: &&Take| slots.get(take.limit).is_some_and(|slot| slot.keyed != Keyed::Shared);
        for take in demand.0.iter().filter(keyed) {
            if let Some(budgets) = self.budgets_mut(take.limit) {
                budgets.make_room(now);
            }
        }
    }

    /// Takes what is known to be there.
    #[inline]
    pub(super) fn spend(&mut self, now: Now, take: &Take) -> Option<Entry> {
        let budgets = self.budgets_mut(take.limit)?;
        let mark = budgets.spend(now, &take.key, take.cost);
        let (id, holds_places) = (budgets.id(), budgets.holds_places());
        Some(self.entry(take, mark, id, holds_places))
    }

    /// Takes the places of an attempt that is out already.
    pub(super) fn adopt(&mut self, now: Now, take: &Take) -> Option<Entry> {
        let budgets = self.budgets_mut(take.limit)?;
        let mark = budgets.adopt(now, &take.key, take.cost);
        let (id, holds_places) = (budgets.id(), budgets.holds_places());
        Some(self.entry(take, mark, id, holds_places))
    }

    #[inline]
    fn entry(&self, take: &Take, mark: Mark, budgets: u64, holds_places: bool) -> Entry {
        let place = self.slots.get(take.limit).filter(|_| holds_places).map(|slot| slot.place);
        let places_of = match place {
            Some(Place::Shared(index)) => self.shared.get(index).cloned(),
            Some(Place::Own(_)) | None => None,
        };
        Entry {
            limit: take.limit,
            budgets,
            key: take.key.clone(),
            cost: take.cost,
            mark,
            holds_places,
            places_of,
        }
    }

    #[inline]
    fn budgets_mut(&mut self, limit: usize) -> Option<&mut Budgets> {
        match self.slots.get(limit)?.place {
            Place::Own(index) => (*self.own).as_mut().get_mut(index),
            Place::Shared(index) => {
                let mut locked = self.locked.iter_mut();
                locked.find(|(locked, _)| *locked == index).map(|(_, budgets)| &mut **budgets)
            }
        }
    }
}
