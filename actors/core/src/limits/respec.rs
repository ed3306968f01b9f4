//! Which budgets an integration has, and what becomes of them when the settings change.

use std::sync::Arc;

use super::{Budgets, Groups, LimitSpec, Limits, Place, Slot};
use crate::time::Now;

impl Limits {
    /// Goes on with other limits. A limit keeps its budgets if its name, kind, keys and group are the same: what was
    /// used counts under the new numbers (as far as it is still known: a window that grows longer does not know what
    /// the shorter one had forgotten), and drains and parking go on. Other limits begin whole.
    pub fn respec(&mut self, specs: impl IntoIterator<Item = LimitSpec>, groups: &Groups, now: Now) {
        let slots = std::mem::take(&mut self.slots);
        let mut own: Vec<Option<Budgets>> = self.own.drain(..).map(Some).collect();
        let shared = std::mem::take(&mut self.shared);
        for spec in specs {
            let before = slots.iter().find(|slot| {
                slot.name == spec.name
                    && slot.kind == spec.kind.as_str()
                    && slot.keyed == spec.keyed
                    && slot.group == spec.group
            });
            let place = match &spec.group {
                Some(group) => {
                    let limit = groups.join(group, &spec, now);
                    if shared.iter().any(|known| Arc::ptr_eq(known, &limit)) {
                        let id = groups.number();
                        limit.lock().respec(&spec, now, id);
                    }
                    self.shared.push(limit);
                    Place::Shared(self.shared.len() - 1)
                }
                None => {
                    let kept = before.and_then(|slot| match slot.place {
                        Place::Own(index) => own.get_mut(index)?.take(),
                        Place::Shared(_) => None,
                    });
                    let mut budgets = kept.unwrap_or_else(|| {
                        Budgets::new(&spec, groups.number(), now, groups.shelf(&spec.name))
                    });
                    let id = budgets.id();
                    budgets.respec(&spec, now, id);
                    self.own.push(budgets);
                    Place::Own(self.own.len() - 1)
                }
            };
            let kind = spec.kind.as_str();
            self.slots.push(Slot { name: spec.name, kind, keyed: spec.keyed, group: spec.group, place });
        }
        self.order_for_locking();
    }

    /// Sorts the shared limits by their numbers, and tells their slots.
    fn order_for_locking(&mut self) {
        let before = self.shared.clone();
        self.shared.sort_by_key(|limit| limit.number());
        self.shared.dedup_by_key(|limit| limit.number());
        for slot in &mut self.slots {
            if let Place::Shared(index) = slot.place
                && let Some(limit) = before.get(index)
                && let Ok(index) = self.shared.binary_search_by_key(&limit.number(), |known| known.number())
            {
                slot.place = Place::Shared(index);
            }
        }
    }
}
