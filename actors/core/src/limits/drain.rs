//! Whom a provider's refusal holds up, and until when.

use super::{Demand, DrainScope, Keyed, LimitKey, Limits, Place, Take};
use crate::time::{Mono, Now};

impl Limits {
    /// A provider has refused a call that took this demand, until `until`. Until then nobody takes from what the scope
    /// names; then tokens come from zero, at a pace. A shorter drain never ends a longer one. What was taken before
    /// a drain does not come back.
    ///
    /// Where the scope names nothing (the call takes from no limit, its connection has none of its own) the whole
    /// integration is parked; where it names a limit that the call does not take from, all that it takes from are
    /// drained.
    pub fn drain(&mut self, now: Now, demand: &Demand, scope: &DrainScope, until: Mono) {
        if *scope == DrainScope::Integration {
            self.park_until(now, until);
        }
        let drained = match scope {
            DrainScope::Endpoint | DrainScope::Integration => Vec::new(),
            DrainScope::Limit(name) => {
                let named = |take: &&Take| self.slots.get(take.limit).is_some_and(|slot| slot.name == *name);
                demand.0.iter().filter(named).cloned().collect()
            }
            DrainScope::Connection => match self.connection_of(demand) {
                Some(connection) => self.takes_of_connection(&connection),
                None => return self.park_until(now, until),
            },
        };
        let takes = if drained.is_empty() { demand.0.as_slice() } else { drained.as_slice() };
        let mut any = false;
        for take in takes {
            any |= self.drain_one(now, take, until);
        }
        if !any && *scope != DrainScope::Integration {
            self.park_until(now, until);
        }
    }

    /// Lets nobody go before `until`, and drains every limit that is not shared with other integrations. A shorter
    /// parking never ends a longer one.
    pub fn park_until(&mut self, now: Now, until: Mono) {
        self.park(now, until);
        self.tell_parking();
    }

    pub(super) fn park(&mut self, now: Now, until: Mono) {
        let until = until.max(now.mono).max(self.parked_until.unwrap_or_default());
        self.parked_until = Some(until);
        for budgets in &mut self.own {
            budgets.drain_all(now, until);
        }
    }

    fn drain_one(&mut self, now: Now, take: &Take, until: Mono) -> bool {
        self.stirred = true;
        match self.slots.get(take.limit).map(|slot| slot.place) {
            Some(Place::Own(index)) => {
                let budgets = self.own.get_mut(index);
                budgets.map(|budgets| budgets.drain(now, &take.key, until)).is_some()
            }
            Some(Place::Shared(index)) => {
                let Some(limit) = self.shared.get(index) else { return false };
                let awaited = limit.lock().drain(now, &take.key, until);
                if awaited {
                    limit.wake();
                }
                true
            }
            None => false,
        }
    }

    /// The connection that a call goes over, if one of its limits goes by that.
    fn connection_of(&self, demand: &Demand) -> Option<LimitKey> {
        let by_connection =
            |take: &&Take| self.slots.get(take.limit).is_some_and(|slot| slot.keyed == Keyed::Connection);
        demand.0.iter().find(by_connection).map(|take| take.key.clone())
    }

    /// One token of each limit that goes by the connection.
    fn takes_of_connection(&self, connection: &LimitKey) -> Vec<Take> {
        let limits = self.slots.iter().enumerate().filter(|(_, slot)| slot.keyed == Keyed::Connection);
        limits.map(|(limit, _)| Take { limit, key: connection.clone(), cost: 1 }).collect()
    }
}
