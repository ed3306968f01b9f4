//! What of limits outlives the process: records, as the disk has them, in wall time.
//!
//! A record tells of one budget, or, without a limit, that a whole integration is parked. Each is whole: the latest
//! takes the place of all before it. Keys come from outside and may name people, so a record has their digest.
//!
//! Wall time may have been set back meanwhile. So no wait is ever longer than it was when it was written down.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{BLIND, LimitKey};
use crate::name::{GroupName, IntegrationName, LimitName};
use crate::time::{Now, Wall};

/// Whose limits they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// One integration's.
    Integration(IntegrationName),
    /// Those of all integrations of a group.
    Group(GroupName),
}

/// What a record tells of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// Whose limit.
    pub owner: Owner,
    /// Which; `None` for the whole integration.
    pub limit: Option<LimitName>,
    /// The digest of the budget's key, where it has one.
    pub key: Option<[u8; 32]>,
}

/// What the disk knows of one budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which.
    pub subject: Subject,
    /// When it was written down.
    pub at: Wall,
    /// Of a calendar: what is reserved of the period.
    pub quota: Option<QuotaRecord>,
    /// Until when the provider has asked to be left alone.
    pub drained_until: Option<Wall>,
    /// What the provider has said that is left, until its reset: no more than that.
    pub learned: Option<Rest>,
    /// What was left at the end of a process that ended in order, until it would be whole again.
    pub rest: Option<Rest>,
}

/// What is reserved of a calendar's period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaRecord {
    /// The calendar, in words: those of another say little of this one.
    pub calendar: Box<str>,
    /// When the period ends.
    pub ends: Wall,
    /// Tokens that may have been taken of it.
    pub reserved: u32,
    /// How many of the next period's, while it was not certain which of both it was.
    pub late: u32,
}

/// So many tokens until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// How many.
    pub left: u32,
    /// Until when.
    pub until: Wall,
}

/// The last that is known of the former process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When it was seen alive, by whichever of its clocks was ahead: the wall, or the wall at its start and the time since.
    pub at: Wall,
    /// Whether it ended in order then, and took nothing any more.
    pub ended: bool,
    /// Until when it may have taken anything of buckets and windows of which no record tells.
    pub untold_until: Option<Wall>,
}

impl Life {
    /// Of a process that goes on: what it takes next, nobody is told.
    pub fn alive(at: Wall) -> Self {
        Self { at, ended: false, untold_until: Some(at + BLIND) }
    }
}

impl Subject {
    /// The budget of a key.
    pub(super) fn of(owner: &Owner, limit: &LimitName, key: &LimitKey) -> Self {
        let key = match key {
            LimitKey::Shared => None,
            LimitKey::Of(text) => Some(digest(owner, limit, text)),
        };
        Self { owner: owner.clone(), limit: Some(limit.clone()), key }
    }
}

/// The digest of a key: another for each limit, so that records cannot be joined by it.
fn digest(owner: &Owner, limit: &LimitName, key: &str) -> [u8; 32] {
    let (kind, owner) = match owner {
        Owner::Integration(name) => (b'i', name.as_str()),
        Owner::Group(name) => (b'g', name.as_str()),
    };
    let mut digest = Sha256::new();
    digest.update([kind]);
    for part in [owner, limit.as_str(), key] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().into()
}

impl Record {
    /// Whether it tells nothing.
    pub const fn is_empty(&self) -> bool {
        self.quota.is_none() && self.drained_until.is_none() && self.learned.is_none() && self.rest.is_none()
    }

    /// From when on it tells nothing any more, as far as wall time goes.
    pub fn until(&self) -> Wall {
        let quota = self.quota.as_ref().map(|quota| quota.ends);
        let rests = [self.learned, self.rest].map(|rest| rest.map(|rest| rest.until));
        [quota, self.drained_until, rests[0], rests[1]].into_iter().flatten().max().unwrap_or(self.at)
    }

    /// How long until then from `now` on: not longer than it was.
    pub(super) fn left(&self, now: Now, until: Wall) -> Duration {
        until.since(now.wall).min(until.since(self.at))
    }
}
