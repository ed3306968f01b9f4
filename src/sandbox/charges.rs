//! The charges the provider holds: its effects, findable by id and by reference.

use std::collections::{BTreeMap, HashMap, VecDeque};

use causeway_core::time::Now;
use serde_json::{Value, json};

use super::call::Order;
use super::ledger::{Effect, micros};
use super::mix;

/// The most charges in one list.
pub(super) const PAGE: usize = 100;

/// The latest charges, oldest first.
#[derive(Debug)]
pub(super) struct Charges {
    seed: u64,
    created: u64,
    kept: VecDeque<Effect>,
    /// Which charge each id is, counted from the first one ever created.
    by_id: HashMap<String, u64>,
    totals: BTreeMap<String, u64>,
    capacity: usize,
}

impl Charges {
    /// None yet; the latest `capacity` will be kept. Equal seeds give equal ids.
    pub(super) fn new(seed: u64, capacity: usize) -> Self {
        let (kept, by_id, totals) = (VecDeque::new(), HashMap::new(), BTreeMap::new());
        Self { seed, created: 0, kept, by_id, totals, capacity }
    }

    /// Creates a charge.
    pub(super) fn create(&mut self, order: Order, key: Option<String>, arrival: u64, now: Now) -> &Effect {
        if self.kept.len() >= self.capacity
            && let Some(oldest) = self.kept.pop_front()
        {
            self.by_id.remove(&oldest.id);
        }
        let position = self.created;
        self.created += 1;
        let total = self.totals.entry(order.currency.clone()).or_default();
        *total = total.saturating_add(order.amount);
        let effect = Effect {
            kind: "charge".to_owned(),
            id: format!("ch_{:016x}{position:08x}", mix(self.seed.wrapping_add(position))),
            arrival,
            at_us: micros(now.mono),
            created: now.wall.unix_millis() / 1000,
            amount: order.amount,
            currency: order.currency,
            key,
            reference: order.reference,
        };
        self.by_id.insert(effect.id.clone(), position);
        self.kept.push_back_mut(effect)
    }

    /// The charge with this id.
    pub(super) fn get(&self, id: &str) -> Option<&Effect> {
        let position = self.by_id.get(id)?.checked_sub(self.dropped())?;
        self.kept.get(usize::try_from(position).ok()?)
    }

    /// The newest charges first, all or those with this reference; at most [`PAGE`], and whether there are more.
    pub(super) fn newest(&self, reference: Option<&str>) -> (Vec<&Effect>, bool) {
        let wanted = |effect: &&Effect| reference.is_none() || effect.reference.as_deref() == reference;
        let mut found: Vec<_> = self.kept.iter().rev().filter(wanted).take(PAGE + 1).collect();
        let more = found.len() > PAGE;
        found.truncate(PAGE);
        (found, more)
    }

    /// The sum of all charges ever created, by currency.
    pub(super) fn totals(&self) -> &BTreeMap<String, u64> {
        &self.totals
    }

    /// The charges kept, oldest first.
    pub(super) fn kept(&self) -> Vec<Effect> {
        self.kept.iter().cloned().collect()
    }

    /// How many made room for later ones.
    pub(super) fn dropped(&self) -> u64 {
        self.created.saturating_sub(self.kept.len() as u64)
    }
}

/// A charge as the provider shows it.
pub(super) fn document(charge: &Effect) -> Value {
    json!({
        "id": charge.id,
        "object": "charge",
        "amount": charge.amount,
        "currency": charge.currency,
        "reference": charge.reference,
        "status": "succeeded",
        "created": charge.created,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(charges: &mut Charges, amount: u64, reference: Option<&str>) -> String {
        let order = Order {
            amount,
            currency: "usd".into(),
            source: "tok_visa".into(),
            reference: reference.map(str::to_owned),
        };
        charges.create(order, None, 1, Now::default()).id.clone()
    }

    #[test]
    fn equal_seeds_give_equal_ids_and_other_seeds_others() {
        let ids = |seed| {
            let mut charges = Charges::new(seed, 10);
            (0..5).map(|_| create(&mut charges, 1, None)).collect::<Vec<_>>()
        };
        assert_eq!(ids(1), ids(1));
        assert!(ids(1).iter().all(|id| !ids(2).contains(id)));
        assert!(ids(1)[0].starts_with("ch_"));
    }

    #[test]
    fn the_oldest_make_room_and_the_rest_are_still_found() {
        let mut charges = Charges::new(0, 2);
        let ids: Vec<_> = (1..=3).map(|amount| create(&mut charges, amount, None)).collect();
        assert!(charges.get(&ids[0]).is_none());
        assert_eq!(charges.get(&ids[1]).unwrap().amount, 2);
        assert_eq!(charges.get(&ids[2]).unwrap().amount, 3);
        assert_eq!((charges.kept().len(), charges.dropped()), (2, 1));
        assert_eq!(charges.totals()["usd"], 6);
    }

    #[test]
    fn a_list_is_newest_first_filtered_and_bounded() {
        let mut charges = Charges::new(0, 1000);
        (1..=150).for_each(|amount| {
            drop(create(&mut charges, amount, Some(["odd", "even"][amount as usize % 2])))
        });
        let (all, more) = charges.newest(None);
        assert_eq!((all.len(), all[0].amount, more), (PAGE, 150, true));
        let (odd, more) = charges.newest(Some("odd"));
        assert_eq!((odd.len(), odd[0].amount, more), (75, 150, false));
        assert!(charges.newest(Some("none")).0.is_empty());
    }
}
