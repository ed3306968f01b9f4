//! What of a budget outlives the process: told to the disk, and taken up again.

use std::time::Duration;

use super::{Budget, Ceiling, Count};
use crate::limits::calendar::Ask;
use crate::limits::memory::Noted;
use crate::limits::record::{Record, Rest, Subject};
use crate::time::{Mono, Now, Wall};

impl Budget {
    /// From now on the disk is asked before a token of a quota is taken.
    pub(in super::super) fn reserve_first(&mut self) {
        if let Count::Quota(calendar) = &mut self.count {
            calendar.reserve_first();
        }
    }

    /// Tokens that are reserved and not used; `None` where nothing is.
    pub(in super::super) fn reserved(&self, now: Now) -> Option<u32> {
        match &self.count {
            Count::Quota(calendar) => calendar.reserved(now),
            Count::Bucket(_) | Count::Window(_) | Count::Places(_) => None,
        }
    }

    /// Whether anything is reserved, or asked for, that would be lost with it.
    pub(super) fn has_reserve(&self, now: Now) -> bool {
        match &self.count {
            Count::Quota(calendar) => calendar.has_reserve(now),
            Count::Bucket(_) | Count::Window(_) | Count::Places(_) => false,
        }
    }

    /// Begins empty as of `ago` before `now`.
    pub(in super::super) fn begin_empty(&mut self, now: Now, ago: Duration) {
        match &mut self.count {
            Count::Bucket(bucket) => bucket.begin_empty(now.mono, ago),
            Count::Window(window) => {
                let left = window.per().saturating_sub(ago);
                if !left.is_zero() {
                    self.drain(now, now.mono + left);
                }
            }
            Count::Quota(_) | Count::Places(_) => {}
        }
    }

    /// Which period of a quota it is in is doubtful.
    pub(in super::super) const fn doubt(&mut self) {
        if let Count::Quota(calendar) = &mut self.count {
            calendar.doubt();
        }
    }

    /// Goes on with what is remembered of it.
    pub(in super::super) fn recall(&mut self, now: Now, noted: &Noted) {
        let record = &noted.record;
        if let Count::Quota(calendar) = &mut self.count {
            calendar.recall(now, noted);
        }
        if let Some(rest) = &record.rest {
            let left = noted.left(now, rest.until);
            match &mut self.count {
                Count::Bucket(bucket) => bucket.begin_full_in(now.mono, left),
                Count::Window(_) => self.at_most(now, rest.left, left),
                Count::Quota(_) | Count::Places(_) => {}
            }
        }
        if let Some(learned) = &record.learned {
            self.at_most(now, learned.left, noted.left(now, learned.until));
        }
        let drained = record.drained_until.map(|until| noted.left(now, until));
        if let Some(left) = drained.filter(|left| !left.is_zero()) {
            self.drain(now, now.mono + left);
        }
    }

    /// No more than `left` for so long.
    fn at_most(&mut self, now: Now, left: u32, span: Duration) {
        if !span.is_zero() {
            let now = now.mono;
            let known = self.ceiling.filter(|known| known.holds(now));
            let left = known.map_or(left, |known| known.left.min(left));
            let until = known.map_or(Mono::ZERO, |known| known.until).max(now + span);
            self.ceiling = Some(Ceiling::new(left, until, self.taken));
        }
    }

    /// Whether the disk should be told what a taking has led to.
    #[inline]
    pub(in super::super) fn runs_low(&self, now: Now) -> bool {
        let quota = match &self.count {
            Count::Quota(calendar) => calendar.runs_low(now),
            Count::Bucket(_) | Count::Window(_) | Count::Places(_) => false,
        };
        quota || self.ceiling.is_some_and(|ceiling| ceiling.runs_low())
    }

    /// Sees to it that `n` tokens are reserved, and that the disk knows of no more than is left.
    pub(in super::super) fn ask(&mut self, now: Now, n: u32) -> Ask {
        let ceiling = self.ceiling.as_mut().filter(|ceiling| ceiling.runs_low());
        let told = ceiling.map(Ceiling::tell).is_some();
        let asked = match &mut self.count {
            Count::Quota(calendar) => calendar.ask(now, n),
            Count::Bucket(_) | Count::Window(_) | Count::Places(_) => Ask::Nothing,
        };
        if told && asked == Ask::Nothing { Ask::Tell } else { asked }
    }

    /// Notes that the disk is to be told; whether that was not known.
    pub(in super::super) const fn mark_due(&mut self) -> bool {
        !std::mem::replace(&mut self.is_due, true)
    }

    /// What the disk is to be told; `seen` is what time it is.
    pub(in super::super) fn record(&mut self, now: Now, seen: Wall, subject: Subject) -> Record {
        self.is_due = false;
        let wall = |at: Mono| seen + at.since(now.mono);
        let ceiling = self.ceiling.filter(|ceiling| ceiling.holds(now.mono));
        Record {
            subject,
            at: seen,
            quota: match &self.count {
                Count::Quota(calendar) => calendar.record(),
                Count::Bucket(_) | Count::Window(_) | Count::Places(_) => None,
            },
            drained_until: self.drained_until().filter(|until| *until > now.mono).map(wall),
            learned: ceiling.map(|ceiling| Rest { left: ceiling.told, until: wall(ceiling.until) }),
            rest: None,
        }
    }

    /// The disk knows it now, or has failed.
    pub(in super::super) fn written(&mut self, now: Mono, record: &Record, ok: bool) {
        if let (Count::Quota(calendar), Some(quota)) = (&mut self.count, &record.quota) {
            calendar.written(now, quota, ok);
        }
    }

    /// What the next life is to know of this one, which takes no more; `None` if it is as good as new.
    pub(in super::super) fn settle(&mut self, now: Now, seen: Wall, subject: Subject) -> Option<Record> {
        if self.is_idle(now) {
            return None;
        }
        if let Count::Quota(calendar) = &mut self.count {
            calendar.settle();
        }
        if let Some(ceiling) = &mut self.ceiling {
            ceiling.told = ceiling.left;
        }
        let record = self.record(now, seen, subject);
        let rest = match &self.count {
            Count::Bucket(bucket) => Some((bucket.available(now.mono), bucket.full_in(now.mono))),
            Count::Window(window) => Some((window.available(now.mono), window.full_in(now.mono))),
            Count::Quota(_) | Count::Places(_) => None,
        };
        let rest = rest.filter(|(_, span)| !span.is_zero());
        Some(Record { rest: rest.map(|(left, span)| Rest { left, until: seen + span }), ..record })
    }
}
