//! What a restart of an integration's actor keeps of its limits.
//!
//! The actor's value may be broken after a fault, so its limits are built anew. What other integrations share lives
//! on outside it. Of its own limits buckets and windows begin empty: what the former life took last is not asked for.
//! But a provider that has asked for silence until ten o'clock means ten o'clock, and a month's quota that is half used
//! is half used: those are kept. Places are held by attempts that are still out; each is
//! [adopted](Limits::adopt).

use super::calendar::Calendar;
use super::{Groups, LimitKey, LimitSpec, Limits, Place};
use crate::name::LimitName;
use crate::time::{Mono, Now};

/// Drains and quotas that outlive a restart: at most [`MAX_KEYS`](super::MAX_KEYS) for each limit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    parked_until: Option<Mono>,
    budgets: Vec<KeptBudget>,
}

#[derive(Clone, Debug, PartialEq)]
struct KeptBudget {
    limit: LimitName,
    key: LimitKey,
    drained_until: Option<Mono>,
    quota: Option<Calendar>,
}

impl Kept {
    /// Without the quotas: where the disk knows more of them than what was kept.
    #[must_use]
    pub fn without_quotas(mut self) -> Self {
        self.budgets.iter_mut().for_each(|kept| kept.quota = None);
        self
    }

    /// Only that the whole integration is parked.
    pub const fn parked(until: Option<Mono>) -> Self {
        Self { parked_until: until, budgets: Vec::new() }
    }
}

impl Limits {
    /// What a restart at `now` is to keep.
    pub fn kept(&self, now: Now) -> Kept {
        let mut budgets = Vec::new();
        for slot in &self.slots {
            let Place::Own(index) = slot.place else { continue };
            let Some(own) = self.own.get(index) else { continue };
            budgets.extend(own.each().filter_map(|(key, budget)| {
                let drained_until = budget.drained_until().filter(|until| *until > now.mono);
                let quota = budget.quota(now).cloned();
                (drained_until.is_some() || quota.is_some()).then(|| KeptBudget {
                    limit: slot.name.clone(),
                    key: key.clone(),
                    drained_until,
                    quota,
                })
            }));
        }
        Kept { parked_until: self.parked_until.filter(|until| *until > now.mono), budgets }
    }

    /// The limits of an integration after its state was lost: short ones begin empty, drains and quotas go on.
    pub fn restarted(
        specs: impl IntoIterator<Item = LimitSpec>,
        groups: &Groups,
        now: Now,
        kept: &Kept,
    ) -> Self {
        let mut limits = Self::new(specs, groups, now);
        for budgets in &mut limits.own {
            budgets.start_empty(now);
        }
        if let Some(until) = kept.parked_until {
            limits.park_until(now, until);
        }
        // What fell due in the turn that failed may not have been told.
        limits.stirred = true;
        for kept in &kept.budgets {
            let Some(slot) = limits.slots.iter().find(|slot| slot.name == kept.limit) else { continue };
            let Place::Own(index) = slot.place else { continue };
            let Some(budgets) = limits.own.get_mut(index) else { continue };
            budgets.resume(now, &kept.key, kept.drained_until, kept.quota.as_ref());
        }
        limits
    }
}
