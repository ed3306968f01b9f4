//! What is remembered of limits beside the limits themselves: what the disk knew when the process began, and what it was
//! told since.
//!
//! Budgets are made when they are needed and dropped when they are whole; limits come and go with the settings. A budget
//! that is made goes on with what is remembered of it, be it of a former life of the process or of this one. Where nothing
//! outlives the process there is no memory, and budgets begin whole.
//!
//! # Short limits
//!
//! What a process that was killed has taken last of a bucket or a window, the disk does not know. But it knows when that
//! process was last seen alive ([`Life`]): at worst everything was taken at that moment, or at most [`BLIND`] after
//! it. So they begin empty as of then. One that ended in order has told what was left of those that it used; of others it
//! knew no more than it was told.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::LimitKey;
use super::record::{Life, Owner, Record, Rest, Subject};
use crate::name::LimitName;
use crate::time::{Now, Wall};

/// For how long at most a process takes tokens without telling the disk that it is alive.
pub const BLIND: Duration = Duration::from_secs(2);

/// From so many records on those that tell nothing any more are looked for.
const SWEEP_FROM: usize = 1024;
/// What a record tells of wall time counts for so long after it: a clock may be set back.
const GRACE: Duration = Duration::from_secs(86_400);

/// What is remembered. Clones are handles of the same.
#[derive(Clone)]
pub struct Memory(Arc<Mutex<Remembered>>);

struct Remembered {
    records: HashMap<Subject, Noted>,
    sweep_at: usize,
    /// The former process.
    life: Option<Life>,
    /// When this one began.
    began: Now,
}

/// A record, and when it was heard of: from then on its waits go by monotonic time.
#[derive(Clone, Debug)]
pub(super) struct Noted {
    pub(super) record: Record,
    at: Now,
}

impl Noted {
    /// How long ago it was written down.
    pub(super) fn age(&self, now: Now) -> Duration {
        self.at.wall.since(self.record.at).saturating_add(now.mono.since(self.at.mono))
    }

    /// How long until then from `now` on, by what the wall showed when it was heard of.
    pub(super) fn left_as_found(&self, now: Now, until: Wall) -> Duration {
        until.since(self.at.wall).saturating_sub(now.mono.since(self.at.mono))
    }

    /// The same; no longer than it was when it was written down.
    pub(super) fn left(&self, now: Now, until: Wall) -> Duration {
        self.record.left(self.at, until).saturating_sub(now.mono.since(self.at.mono))
    }

    /// The same with its times as they are by a clock that shows `seen` at `now`: the one that they were written down by may have been
    /// behind, and be right again. `None` where nothing is left of it.
    fn retold(&self, now: Now, seen: Wall) -> Option<Record> {
        let until =
            |until| Some(self.left(now, until)).filter(|left| !left.is_zero()).map(|left| seen + left);
        let rest =
            |rest: Option<Rest>| rest.and_then(|rest| Some(Rest { until: until(rest.until)?, ..rest }));
        let Record { subject, drained_until, learned, rest: left, .. } = self.record.clone();
        let drained_until = drained_until.and_then(until);
        let (learned, left) = (rest(learned), rest(left));
        let record = Record { subject, at: seen, quota: None, drained_until, learned, rest: left };
        (!record.is_empty()).then_some(record)
    }
}

impl Memory {
    /// What a former process has left, if there was one, as it is found at `now`.
    pub fn new(records: Vec<Record>, life: Option<Life>, now: Now) -> Self {
        let ended = life.is_some_and(|life| life.ended);
        let known = |record: Record| {
            // Only what was left at its very end is told by it.
            let rest = record.rest.filter(|_| ended);
            (record.subject.clone(), Noted { record: Record { rest, ..record }, at: now })
        };
        let records = records.into_iter().map(known).collect();
        Self(Arc::new(Mutex::new(Remembered { records, sweep_at: SWEEP_FROM, life, began: now })))
    }

    /// What a process is to tell of itself that ends in order.
    pub fn ended(&self, at: Wall) -> Life {
        let former = self.lock().life;
        Life { at, ended: true, untold_until: former.and_then(|life| life.untold_until) }
    }

    /// The time, by whichever clock is ahead: the wall, or the latest that was known at the start and the time since. It is what
    /// is written down, so that a wall clock that is behind for a while shortens nothing.
    pub fn seen(&self, now: Now) -> Wall {
        let remembered = self.lock();
        let known = remembered.life.map_or(remembered.began.wall, |life| life.at.max(remembered.began.wall));
        now.wall.max(known + now.mono.since(remembered.began.mono))
    }

    /// Remembers what the disk knows now.
    pub(super) fn note(&self, record: Record, now: Now) {
        let mut remembered = self.lock();
        if remembered.records.len() >= remembered.sweep_at {
            remembered.records.retain(|_, noted| noted.record.until() + GRACE > now.wall);
            remembered.sweep_at = remembered.records.len().saturating_mul(2).max(SWEEP_FROM);
        }
        remembered.records.insert(record.subject.clone(), Noted { record, at: now });
    }

    pub(super) fn recall(&self, subject: &Subject) -> Option<Noted> {
        self.lock().records.get(subject).cloned()
    }

    /// What was left of a limit's budgets at the end of the former process, where none but `made` have been made since: as it is now.
    fn unmade(&self, owner: &Owner, limit: &LimitName, now: Now, made: &HashSet<Subject>) -> Vec<Record> {
        let seen = self.seen(now);
        let remembered = self.lock();
        let is_of_it = |noted: &&Noted| {
            let Record { subject, rest, quota, .. } = &noted.record;
            let is_left = rest.is_some() && quota.is_none();
            is_left
                && subject.owner == *owner
                && subject.limit.as_ref() == Some(limit)
                && !made.contains(subject)
        };
        remembered.records.values().filter(is_of_it).filter_map(|noted| noted.retold(now, seen)).collect()
    }

    /// Whether the former process has seen a later time than this one at its start: one of both was wrong.
    fn is_doubtful(&self) -> bool {
        let remembered = self.lock();
        remembered.life.is_some_and(|life| remembered.began.wall < life.at)
    }

    /// For how long at least nobody has taken anything of a short limit, if somebody has before.
    fn quiet_for(&self, now: Now) -> Option<Duration> {
        let remembered = self.lock();
        let (life, began) = (remembered.life?, remembered.began);
        let untold = life.untold_until?;
        // A clock that was set back tells nothing of how long it was.
        let quiet = if began.wall < life.at { Duration::ZERO } else { began.wall.since(untold) };
        Some(quiet.saturating_add(now.mono.since(began.mono)))
    }

    /// Held for moments, and while it is no other lock is taken.
    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("records", &self.lock().records.len()).finish_non_exhaustive()
    }
}

/// What is remembered of one limit.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    memory: Memory,
    owner: Owner,
    limit: LimitName,
}

impl Shelf {
    pub(super) fn new(memory: &Memory, owner: Owner, limit: &LimitName) -> Self {
        Self { memory: memory.clone(), owner, limit: limit.clone() }
    }

    /// What a record of a key's budget is about.
    pub(super) fn subject(&self, key: &LimitKey) -> Subject {
        Subject::of(&self.owner, &self.limit, key)
    }

    /// What is known of the budget of a key.
    pub(super) fn recall(&self, key: &LimitKey) -> Option<Noted> {
        self.memory.recall(&self.subject(key))
    }

    /// Whether it is not certain which period the process has begun in.
    pub(super) fn is_doubtful(&self) -> bool {
        self.memory.is_doubtful()
    }

    pub(super) fn note(&self, record: Record, now: Now) {
        self.memory.note(record, now);
    }

    pub(super) fn seen(&self, now: Now) -> Wall {
        self.memory.seen(now)
    }

    pub(super) fn quiet_for(&self, now: Now) -> Option<Duration> {
        self.memory.quiet_for(now)
    }

    /// What was left of its budgets at the end of the former process, where none but those of `made` have been made since.
    pub(super) fn unmade<'a>(&self, now: Now, made: impl Iterator<Item = &'a LimitKey>) -> Vec<Record> {
        let made = made.map(|key| self.subject(key)).collect();
        self.memory.unmade(&self.owner, &self.limit, now, &made)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::examples::{at, bucket, calendar, spec, window};
    use super::super::*;
    use super::*;
    use crate::name::IntegrationName;

    fn begin(specs: &[LimitSpec], memory: &Memory, now: Now) -> Limits {
        let groups = Groups::remembering(memory.clone()).of(&IntegrationName::new("it").unwrap());
        Limits::new(specs.to_vec(), &groups, now)
    }

    fn nothing() -> Memory {
        Memory::new(Vec::new(), None, at(0))
    }

    fn one(limit: usize, key: &str) -> Demand {
        let key = if key.is_empty() { LimitKey::Shared } else { LimitKey::Of(Arc::from(key)) };
        Demand(std::iter::once(Take { limit, key, cost: 1 }).collect())
    }

    /// What is due is on disk; returns it.
    fn written(limits: &mut Limits, now: Now) -> Vec<Record> {
        let due = limits.take_due(now);
        limits.written(now, &due, true);
        due.into_iter().map(|due| due.record).collect()
    }

    fn wait(limits: &mut Limits, now: Now, demand: &Demand) -> Option<Duration> {
        limits.take(now, demand).err().and_then(|wait| wait.ready_in)
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_drain_goes_on_in_another_life_and_is_never_longer_than_it_was() {
        let specs = [spec("window", window(5, seconds(1)))];
        let mut limits = begin(&specs, &nothing(), at(0));
        limits.drain(at(0), &one(0, ""), &DrainScope::Endpoint, at(60_000).mono);
        let records = written(&mut limits, at(0));
        let life = Some(Life { ended: true, untold_until: None, ..Life::alive(at(0).wall) });
        let begun = |found: Now| {
            let mut limits = begin(&specs, &Memory::new(records.clone(), life, found), found);
            // A window comes back evenly, so the first comes a little later.
            wait(&mut limits, found, &one(0, "")).map(|wait| wait.as_secs())
        };
        assert_eq!(begun(at(20_000)), Some(40));
        assert_eq!(begun(at(60_001)), None, "it is over");
        let back = Now { wall: Wall::from_unix_millis(at(0).wall.unix_millis() - 500_000), ..at(0) };
        assert_eq!(begun(back), Some(60), "the clock was set back");
    }

    #[test]
    fn what_was_learned_goes_on_until_the_reset() {
        let specs = [spec("bucket", bucket(100, seconds(1), 100))];
        let mut limits = begin(&specs, &nothing(), at(0));
        let _sent = limits.take(at(0), &one(0, "")).unwrap();
        let told = Told { limit: 0, remaining: 40, capacity: None, resets_in: Some(seconds(30)) };
        limits.learn(at(0), &one(0, ""), &[told]);
        let mut records = written(&mut limits, at(0));
        for _ in 0..20 {
            limits.take(at(10), &one(0, "")).map(|taken| limits.finish(at(10), taken)).unwrap();
            let more = written(&mut limits, at(10));
            records = if more.is_empty() { records } else { more };
        }
        let life = Some(Life { untold_until: None, ..Life::alive(at(10).wall) });
        let mut next = begin(&specs, &Memory::new(records, life, at(5_000)), at(5_000));
        let left = std::iter::from_fn(|| next.take(at(5_000), &one(0, "")).ok()).count();
        assert!((18..=20).contains(&left), "{left} of 20");
        assert_eq!(wait(&mut next, at(5_000), &one(0, "")), Some(seconds(25)));
    }

    #[test]
    fn short_limits_begin_empty_as_of_when_the_former_life_was_last_seen() {
        let specs = [spec("window", window(5, seconds(10))), spec("bucket", bucket(1, seconds(10), 5))];
        let life = Some(Life::alive(at(0).wall));
        // So much is not known.
        let blind = u64::try_from(BLIND.as_millis()).unwrap();
        let begun = |after: u64| {
            let found = Now { mono: at(7).mono, ..at(after + blind) };
            let mut limits = begin(&specs, &Memory::new(Vec::new(), life, found), found);
            [0, 1].map(|limit| wait(&mut limits, found, &one(limit, "")).map(|wait| wait.as_secs()))
        };
        assert_eq!(begun(0), [Some(10), Some(10)]);
        assert_eq!(begun(6_000), [Some(4), Some(4)]);
        assert_eq!(begun(12_000), [None, None]);
        let mut first = begin(&specs, &nothing(), at(0));
        assert!(first.take(at(0), &one(0, "")).is_ok(), "nobody was there before");
    }

    #[test]
    fn what_was_reserved_for_many_keys_is_not_lost_to_want_of_room() {
        let specs = [LimitSpec { keyed: Keyed::Request, ..spec("each", calendar(3, CalendarPeriod::Day)) }];
        let mut limits = begin(&specs, &nothing(), at(0));
        let users: Vec<Demand> = (0..1_000).map(|user| one(0, &user.to_string())).collect();
        for user in &users {
            assert_eq!(limits.take(at(0), user).unwrap_err().ready_in, None);
            assert_eq!(limits.reserve(at(0), user), Reserving::Waits);
        }
        // Looked through for whole ones meanwhile.
        assert!(limits.take(at(5_000), &one(0, "new")).is_err());
        assert_eq!(written(&mut limits, at(5_000)).len(), 1_000);
        for user in &users {
            for _ in 0..3 {
                if let Ok(taken) = limits.take(at(5_000), user) {
                    limits.finish(at(5_000), taken);
                } else {
                    limits.reserve(at(5_000), user);
                    written(&mut limits, at(5_000));
                    assert!(limits.take(at(5_000), user).is_ok());
                }
                written(&mut limits, at(5_000));
            }
            assert!(limits.take(at(5_000), user).is_err());
        }
    }

    #[test]
    fn records_name_nobody() {
        let specs = [LimitSpec { keyed: Keyed::Request, ..spec("each", calendar(3, CalendarPeriod::Day)) }];
        let mut limits = begin(&specs, &nothing(), at(0));
        for user in ["ann", "bob"] {
            limits.reserve(at(0), &one(0, user));
        }
        let keys: Vec<_> = written(&mut limits, at(0)).into_iter().map(|record| record.subject.key).collect();
        assert!(keys[0].is_some() && keys[0] != keys[1]);
        let mut again = begin(&specs, &nothing(), at(0));
        again.reserve(at(0), &one(0, "ann"));
        assert_eq!(written(&mut again, at(0))[0].subject.key, keys[0], "and are found again");
    }
}
