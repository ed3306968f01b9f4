//! What the disk is to be told of a limit's budgets, and what becomes of that.

use super::{Budgets, Store};
use crate::limits::calendar::Ask;
use crate::limits::record::Record;
use crate::limits::{LimitKey, LimitKind};
use crate::time::Now;

/// What the disk is to be told of one budget, and whose it is.
#[derive(Clone, Debug)]
pub struct Due {
    /// The budgets that it is one of.
    pub(in super::super) budgets: u64,
    pub(in super::super) key: LimitKey,
    /// What it is to be told.
    pub record: Record,
}

impl Budgets {
    /// Sees to it that `n` tokens of a key's quota are reserved on disk, for a call that waits for that.
    pub(in super::super) fn reserve(&mut self, now: Now, key: &LimitKey, n: u32) -> Ask {
        let is_quota = matches!(self.kind, LimitKind::Calendar(_));
        // A key for which there is no room waits for that.
        if !is_quota || (self.existing_mut(key).is_none() && !self.has_room(now)) {
            return Ask::Nothing;
        }
        self.ask(now, key, n)
    }

    /// Sees to it that the disk knows what a budget has come to, and that `n` tokens are reserved.
    pub(super) fn ask(&mut self, now: Now, key: &LimitKey, n: u32) -> Ask {
        if self.shelf.is_none() {
            return Ask::Nothing;
        }
        let asked = self.budget_mut(now, key).ask(now, n);
        if asked == Ask::Tell {
            self.tell(key);
        }
        asked
    }

    /// Notes that the disk is to be told of the budget of a key.
    pub(super) fn tell(&mut self, key: &LimitKey) {
        if self.shelf.is_some() && self.existing_mut(key).is_some_and(super::Budget::mark_due) {
            self.due.push(match &self.store {
                Store::One(_) => LimitKey::Shared,
                Store::Each(_) => key.clone(),
            });
        }
    }

    /// Whether the disk is to be told of any.
    pub(in super::super) const fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// What the disk is to be told.
    pub(in super::super) fn take_due(&mut self, now: Now, all: &mut Vec<Due>) {
        let Some(shelf) = self.shelf.clone().filter(|_| self.is_due()) else { return };
        let seen = shelf.seen(now);
        for key in std::mem::take(&mut self.due) {
            let (subject, budgets) = (shelf.subject(&key), self.id);
            if let Some(budget) = self.existing_mut(&key) {
                let record = budget.record(now, seen, subject);
                all.push(Due { budgets, key, record });
            }
        }
    }

    /// The disk knows of one, or has failed. Whether somebody waits for that.
    pub(in super::super) fn written(&mut self, now: Now, due: &Due, ok: bool) -> bool {
        if let Some(budget) = self.existing_mut(&due.key) {
            budget.written(now.mono, &due.record, ok);
        }
        if ok {
            self.note(due.record.clone(), now);
        }
        std::mem::take(&mut self.awaited)
    }

    fn note(&self, record: Record, now: Now) {
        if let Some(shelf) = &self.shelf {
            shelf.note(record, now);
        }
    }

    /// What the next life is to know of all of them: nothing more is taken.
    pub(in super::super) fn settle(&mut self, now: Now, all: &mut Vec<Record>) {
        let Some(shelf) = self.shelf.clone() else { return };
        let seen = shelf.seen(now);
        match &mut self.store {
            Store::One(budget) => all.extend(budget.settle(now, seen, shelf.subject(&LimitKey::Shared))),
            Store::Each(budgets) => {
                let settled = budgets
                    .iter_mut()
                    .filter_map(|(key, budget)| budget.settle(now, seen, shelf.subject(key)));
                all.extend(settled);
                // Nobody has asked for these in this life.
                all.extend(shelf.unmade(now, budgets.keys()));
            }
        }
    }
}
