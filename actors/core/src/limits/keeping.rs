//! What the disk is told of an integration's limits, and what comes of that.
//!
//! [`Limits::take_due`] is asked after each event: most often nothing is due, and that is a look at a flag. What is due is
//! written down, in the order in which it came, and [`Limits::written`] hears of it. A call that finds too little
//! reserved has it [reserved](Limits::reserve) and waits until then.

use smallvec::SmallVec;

use super::calendar::Ask;
use super::record::{Owner, Record, Subject};
use super::{Budgets, Demand, Due, Groups, LimitKey, Limits, Memory, Place, Take};
use crate::name::LimitName;
use crate::time::{Mono, Now};

/// What an integration's parking is remembered by.
#[derive(Clone, Debug)]
pub(super) struct Parking {
    memory: Memory,
    owner: Owner,
    /// The disk is to be told of it.
    is_due: bool,
}

/// What becomes of a call that finds too little reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserving {
    /// Nothing: it is there, or is no quota's.
    Nothing,
    /// It waits.
    Waits,
    /// The store does not take it, for this limit.
    Fails(LimitName),
}

impl Parking {
    pub(super) fn of(groups: &Groups) -> Option<Self> {
        let (memory, owner) = groups.memory()?;
        Some(Self { memory: memory.clone(), owner, is_due: false })
    }

    fn subject(&self) -> Subject {
        Subject { owner: self.owner.clone(), limit: None, key: None }
    }
}

impl Limits {
    /// Sees to it that what is demanded of quotas is reserved on disk, as far as it fits them.
    pub fn reserve(&mut self, now: Now, demand: &Demand) -> Reserving {
        let mut reserving = Reserving::Nothing;
        for take in &demand.0 {
            match self.ask(now, take) {
                Ask::Nothing => {}
                Ask::Pending => reserving = Reserving::Waits,
                Ask::Tell => {
                    self.stirred = true;
                    reserving = Reserving::Waits;
                }
                Ask::Fails => {
                    if let Some(slot) = self.slots.get(take.limit) {
                        return Reserving::Fails(slot.name.clone());
                    }
                }
            }
        }
        reserving
    }

    fn ask(&mut self, now: Now, take: &Take) -> Ask {
        let ask = |budgets: &mut Budgets| budgets.reserve(now, &take.key, take.cost);
        match self.slots.get(take.limit).map(|slot| slot.place) {
            Some(Place::Own(index)) => self.own.get_mut(index).map_or(Ask::Nothing, ask),
            Some(Place::Shared(index)) => {
                self.shared.get(index).map_or(Ask::Nothing, |limit| ask(&mut limit.lock()))
            }
            None => Ask::Nothing,
        }
    }

    /// What the disk is to be told now.
    pub fn take_due(&mut self, now: Now) -> Vec<Due> {
        if !std::mem::take(&mut self.stirred) {
            return Vec::new();
        }
        let mut all = Vec::new();
        self.own.iter_mut().for_each(|budgets| budgets.take_due(now, &mut all));
        self.shared.iter().for_each(|limit| limit.lock().take_due(now, &mut all));
        if self.parking.as_mut().is_some_and(|parking| std::mem::take(&mut parking.is_due)) {
            let record = self.parking_record(now);
            all.extend(record.map(|record| Due { budgets: 0, key: LimitKey::Shared, record }));
        }
        all
    }

    /// The disk knows what it was told, or has failed. The limits for which calls may wait for that, as indexes.
    pub fn written(&mut self, now: Now, due: &[Due], ok: bool) -> SmallVec<[usize; 2]> {
        let mut concerned = SmallVec::new();
        for due in due {
            if due.record.subject.limit.is_none() {
                if let Some(parking) = self.parking.as_ref().filter(|_| ok) {
                    parking.memory.note(due.record.clone(), now);
                }
                continue;
            }
            for (index, slot) in self.slots.iter().enumerate() {
                let is_it = match slot.place {
                    Place::Own(own) => {
                        let budgets = self.own.get_mut(own).filter(|own| own.id() == due.budgets);
                        budgets.map(|budgets| budgets.written(now, due, ok)).is_some()
                    }
                    Place::Shared(shared) => self.shared.get(shared).is_some_and(|limit| {
                        let mut budgets = limit.lock();
                        let is_it = budgets.id() == due.budgets;
                        let awaited = is_it && budgets.written(now, due, ok);
                        drop(budgets);
                        if awaited {
                            limit.wake();
                        }
                        is_it
                    }),
                };
                if is_it {
                    concerned.push(index);
                    break;
                }
            }
        }
        concerned
    }

    /// What the next life of the process is to know: the rest of what is reserved is given back, and nothing more is
    /// taken without being reserved anew.
    pub fn settle(&mut self, now: Now) -> Vec<Record> {
        let mut all = Vec::new();
        self.own.iter_mut().for_each(|budgets| budgets.settle(now, &mut all));
        self.shared.iter().for_each(|limit| limit.lock().settle(now, &mut all));
        all.extend(self.parking_record(now).filter(|record| record.drained_until.is_some()));
        all
    }

    /// Notes that the disk is to be told until when the integration is parked.
    pub(super) const fn tell_parking(&mut self) {
        self.stirred = true;
        if let Some(parking) = &mut self.parking {
            parking.is_due = true;
        }
    }

    /// Goes on with a parking of a former life.
    pub(super) fn recall_parking(&mut self, now: Now) {
        let noted = self.parking.as_ref().and_then(|parking| parking.memory.recall(&parking.subject()));
        if let Some(noted) = noted
            && let Some(left) = noted.record.drained_until.map(|until| noted.left(now, until))
            && !left.is_zero()
        {
            self.park(now, now.mono + left);
        }
    }

    fn parking_record(&self, now: Now) -> Option<Record> {
        let parking = self.parking.as_ref()?;
        let (subject, seen) = (parking.subject(), parking.memory.seen(now));
        let until = self.parked_until.filter(|until| *until > now.mono);
        let drained_until = until.map(|until: Mono| seen + until.since(now.mono));
        Some(Record { subject, at: seen, quota: None, drained_until, learned: None, rest: None })
    }
}
