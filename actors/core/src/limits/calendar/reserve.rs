//! What of a quota is on disk: a token is taken only when the disk knows it as taken.
//!
//! Tokens are reserved in slices, ahead of their use: as a slice runs low the next one is asked for, so that in the
//! steady state nobody waits for the disk. A process that is killed loses what it had reserved and not used, a slice at
//! most and what one call costs; the provider never sees more than the quota, for the next life counts everything reserved
//! as used. One that ends in order gives the rest back.
//!
//! A token that is taken while the period is in doubt may belong to the next one; the disk is told how many of those
//! there may be as well, and the next life counts them in the period that it finds.
//!
//! The period on disk only moves forward: as long as the wall shows a time before its end, be it of days ago, the
//! process is in it. If the wall shows a time before the last that the former life has seen, then it was wrong then or is
//! now, and nobody knows which: what is taken then counts in this period and in the next, until both clocks have gone side by
//! side for a whole one.

use std::time::Duration;

use super::super::memory::Noted;
use super::super::record::QuotaRecord;
use super::{Calendar, Phase};
use crate::time::{Mono, Now};

/// As large is a slice at most: so many tokens are lost when a process is killed.
const LARGEST_SLICE: u32 = 1_000;
/// Into so many slices a quota is cut, if none is larger than [`LARGEST_SLICE`].
const SLICES: u32 = 20;
/// Who has not heard from the disk for that long asks again, and who has heard that it fails does not ask before.
pub const ASK_AGAIN: Duration = Duration::from_secs(1);

/// By so much a wall clock may have been wrong when something was written down in doubt.
const WRONG_BY: Duration = Duration::from_secs(86_400);

/// How many of so many tokens are reserved at a time.
pub(in super::super) const fn slice(tokens: u32) -> u32 {
    let slice = tokens / SLICES;
    if slice > LARGEST_SLICE {
        LARGEST_SLICE
    } else if slice == 0 {
        1
    } else {
        slice
    }
}

/// Whether so few tokens are left that the next slice is asked for.
pub(in super::super) const fn is_low(left: u32, slice: u32) -> bool {
    left < slice.div_ceil(2)
}

/// What the disk knows of a period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Reserve {
    /// Tokens that it knows as taken.
    on_disk: u32,
    /// How many of them may have been taken while the period was in doubt.
    late_on_disk: u32,
    asked: Option<Asked>,
    failed_at: Option<Mono>,
}

/// What the disk was last told and has not confirmed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Asked {
    tokens: u32,
    late: u32,
    at: Mono,
}

/// What comes of asking the disk for tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Ask {
    /// There are enough, or there is no asking for them.
    Nothing,
    /// They have been asked for.
    Pending,
    /// It is to be told.
    Tell,
    /// It fails.
    Fails,
}

impl Calendar {
    /// From now on the disk is asked first; what it knows of the period is nothing.
    pub(in super::super) fn reserve_first(&mut self) {
        self.reserve = Some(Reserve::default());
    }

    /// Tokens that the disk knows as taken and that can still be used; `None` where it is not asked.
    pub(in super::super) fn reserved(&self, now: Now) -> Option<u32> {
        let reserve = self.reserve?;
        let left = reserve.on_disk.saturating_sub(self.used);
        Some(match self.phase(now) {
            Phase::Within => left,
            Phase::InDoubt => left.min(reserve.late_on_disk.saturating_sub(self.late)),
            Phase::Over | Phase::Stale => 0,
        })
    }

    pub(super) fn has_reserved(&self, now: Now, n: u32) -> bool {
        self.reserve.is_none() || self.reserved(now).is_some_and(|left| left >= n)
    }

    /// Whether more is reserved of the period than is used, or is asked for.
    pub(in super::super) fn has_reserve(&self, now: Now) -> bool {
        let Some(reserve) = &self.reserve else { return false };
        let (asked, ahead) = (reserve.asked.is_some(), reserve.on_disk > self.used);
        (asked || ahead) && matches!(self.phase(now), Phase::Within | Phase::InDoubt)
    }

    /// Whether the next slice should be asked for.
    pub(in super::super) fn runs_low(&self, now: Now) -> bool {
        let Some(reserve) = &self.reserve else { return false };
        reserve.asked.is_none()
            && reserve.failed_at.is_none()
            && self.used < self.requests
            && (reserve.on_disk < self.requests || self.late_since.is_some())
            && self.reserved(now).is_some_and(|left| is_low(left, slice(self.requests)))
    }

    /// Sees to it that `n` tokens are reserved, with a slice more.
    pub(in super::super) fn ask(&mut self, now: Now, n: u32) -> Ask {
        self.turn(now);
        let (late, in_doubt) = (self.late, self.late_since.is_some());
        let (used, requests, enough) = (self.used, self.requests, self.has_reserved(now, n));
        let Some(reserve) = &mut self.reserve else { return Ask::Nothing };
        if reserve.failed_at.is_some_and(|at| now.mono.since(at) < ASK_AGAIN) {
            return if enough { Ask::Nothing } else { Ask::Fails };
        }
        let (least, slice) = (used.saturating_add(n), slice(requests));
        if least > requests {
            return Ask::Nothing;
        }
        let asked_for = |asked: &Asked| {
            now.mono.since(asked.at) < ASK_AGAIN
                && asked.tokens >= least
                && (!in_doubt || asked.late >= late.saturating_add(n))
        };
        if reserve.asked.as_ref().is_some_and(asked_for) {
            return if enough { Ask::Nothing } else { Ask::Pending };
        }
        let known = reserve.asked.map_or(reserve.on_disk, |asked| asked.tokens.max(reserve.on_disk));
        let tokens = least.saturating_add(slice).min(requests).max(known);
        let late = if in_doubt { late.saturating_add(n).saturating_add(slice) } else { 0 };
        if tokens <= reserve.on_disk && late <= reserve.late_on_disk {
            return Ask::Nothing;
        }
        reserve.asked = Some(Asked { tokens, late, at: now.mono });
        Ask::Tell
    }

    /// What the disk is to know of the period; `None` if that is nothing.
    pub(in super::super) fn record(&self) -> Option<QuotaRecord> {
        let reserve = self.reserve.as_ref()?;
        let (tokens, late) = reserve.asked.map_or((0, 0), |asked| (asked.tokens, asked.late));
        let reserved = tokens.max(reserve.on_disk).max(self.used);
        // Of one period the disk is never told less than it was: an answer may be on its way that trusts in it.
        let late = late.max(reserve.late_on_disk).max(self.late).saturating_add(self.carried);
        (reserved > 0).then(|| QuotaRecord { calendar: self.name(), ends: self.ends, reserved, late })
    }

    /// The disk knows it now, or has failed.
    pub(in super::super) fn written(&mut self, now: Mono, record: &QuotaRecord, ok: bool) {
        let carried = self.carried;
        let is_of_it = record.ends == self.ends && record.calendar == self.name();
        let Some(reserve) = &mut self.reserve else { return };
        if !ok {
            (reserve.asked, reserve.failed_at) = (None, Some(now));
        } else if is_of_it {
            reserve.failed_at = None;
            reserve.on_disk = reserve.on_disk.max(record.reserved);
            reserve.late_on_disk = reserve.late_on_disk.max(record.late.saturating_sub(carried));
            let confirmed =
                |asked: Asked| asked.tokens <= reserve.on_disk && asked.late <= reserve.late_on_disk;
            reserve.asked = reserve.asked.filter(|asked| !confirmed(*asked));
        }
    }

    /// Gives the rest of what is reserved back: nothing more is taken of it.
    pub(in super::super) fn settle(&mut self) {
        let (used, late) = (self.used, self.late);
        if let Some(reserve) = &mut self.reserve {
            *reserve = Reserve { on_disk: used, late_on_disk: late, ..Reserve::default() };
        }
    }

    /// The wall may have been wrong when it told which period this is: it is in doubt to its end, at least.
    pub(in super::super) const fn doubt(&mut self) {
        self.is_doubted = true;
    }

    /// Goes on with what the disk knows.
    pub(in super::super) fn recall(&mut self, now: Now, noted: &Noted) {
        let Some(record) = &noted.record.quota else { return };
        self.turn(now);
        let goes_on = record.ends > now.wall || record.ends >= self.ends;
        if record.calendar != self.name() {
            // Of another calendar: as after a change of the settings, what was used counts until the next turn.
            if goes_on {
                self.used = self.used.max(record.reserved);
            }
        } else if goes_on {
            if record.ends > self.ends {
                self.ends = record.ends;
                self.ends_mono = now.mono + noted.left_as_found(now, record.ends);
            }
            self.used = self.used.max(record.reserved);
            self.carried = self.carried.max(record.late);
            if let Some(reserve) = &mut self.reserve {
                (reserve.on_disk, reserve.late_on_disk) = (record.reserved, 0);
            }
        } else if noted.age(now) < self.per.longest() + WRONG_BY {
            // Taken when it was in doubt whether that period was over: it may have been this one already.
            self.used = self.used.max(record.late);
        }
    }

    /// What kind of calendar it is.
    fn name(&self) -> Box<str> {
        format!("{} {}", self.per.as_str(), self.timezone.iana_name().unwrap_or_default()).into()
    }
}
