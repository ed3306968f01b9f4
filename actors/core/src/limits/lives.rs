//! What limits promise over several lives of the process: killed at any point, ended in order, begun anew, while writes are on
//! their way, fail or are never heard of again, and the wall clock jumps.
//!
//! The disk is what has been written in order; the model is the provider's own book.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;

use super::examples::{at, bucket, calendar, spec, window};
use super::*;
use crate::name::{GroupName, IntegrationName};
use crate::time::Wall;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    /// By one of both integrations, of one limit and key.
    Take {
        member: usize,
        limit: usize,
        key: u8,
        cost: u32,
    },
    GiveBack,
    Drain {
        member: usize,
        limit: usize,
        key: u8,
        millis: u64,
    },
    /// The write that was asked for first is done, or fails.
    Written(bool),
    /// All writes are done.
    AllWritten,
    /// Killed, with so many of the writes done that were on their way; then begun anew after a while.
    Kill {
        done: usize,
        away: u64,
    },
    /// Ended in order, and begun anew.
    End {
        away: u64,
    },
    /// The wall clock is set, so far off, until it is put right.
    Set(i64),
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    call: usize,
    at: u64,
    limit: usize,
    key: u8,
    cost: u32,
}

type Out = (usize, usize, Taken);

struct World {
    specs: Vec<LimitSpec>,
    members: Vec<Limits>,
    /// True time, and when this life began.
    millis: u64,
    began: u64,
    off: i64,
    /// When it is right again, for good.
    right_at: Option<u64>,
    /// How far off it was when it was last looked at.
    seen_off: i64,
    disk: BTreeMap<Subject, Record>,
    life: Option<Life>,
    memory: Memory,
    /// By how much at most what was written of drains is behind.
    lag: Duration,
    on_the_way: VecDeque<(usize, Vec<Due>)>,
    calls: usize,
    out: Vec<Out>,
    sent: Vec<Sent>,
    /// Limit, key, until when.
    drains: Vec<(usize, u8, u64)>,
}

const BEAT: u64 = 1_000;
/// For how long the clock is wrong: for less than a period.
const WRONG: u64 = 50_000;

impl World {
    fn new(specs: Vec<LimitSpec>) -> Self {
        let mut world = Self {
            specs,
            members: Vec::new(),
            millis: 0,
            began: 0,
            off: 0,
            right_at: None,
            seen_off: 0,
            disk: BTreeMap::new(),
            life: None,
            memory: Memory::new(Vec::new(), None, at(0)),
            lag: Duration::ZERO,
            on_the_way: VecDeque::new(),
            calls: 0,
            out: Vec::new(),
            sent: Vec::new(),
            drains: Vec::new(),
        };
        world.begin();
        world
    }

    fn off(&self) -> i64 {
        if self.right_at.is_some_and(|right| self.millis < right) { self.off } else { 0 }
    }

    fn now(&self) -> Now {
        let wall = at(self.millis).wall.unix_millis().saturating_add_signed(self.off());
        let mono = Mono::from_origin(Duration::from_millis(self.millis - self.began));
        Now { mono, wall: Wall::from_unix_millis(wall) }
    }

    fn begin(&mut self) {
        self.began = self.millis;
        let now = self.now();
        let memory = Memory::new(self.disk.values().cloned().collect(), self.life, now);
        let groups = Groups::remembering(memory.clone());
        self.memory = memory;
        if self.drains.is_empty() {
            self.lag = Duration::ZERO;
        }
        self.beat(false);
        let member = |name| {
            let of = groups.of(&IntegrationName::new(name).unwrap());
            Limits::new(self.specs.clone(), &of, now)
        };
        self.members = ["one", "two"].map(member).into();
    }

    fn beat(&mut self, ended: bool) {
        let now = self.now();
        self.seen_off = self.off();
        let at = self.memory.seen(now);
        self.life = Some(if ended { self.memory.ended(at) } else { Life::alive(at) });
    }

    /// The process is gone: what it had out is sent for good, as far as anybody knows.
    fn gone(&mut self, away: u64) {
        self.on_the_way.clear();
        for (_, _, taken) in self.out.drain(..) {
            drop(taken);
        }
        self.members.clear();
        self.millis += away;
        // A process that begins while its clock is ahead believes it, and nobody knows of a clock that was set forward
        // while nobody looked.
        let off = self.off().min(self.seen_off).min(0);
        if off != self.off() {
            (self.off, self.right_at) = (off, Some(self.millis + BEAT));
        }
        // To a wall clock that is ahead of what was written down a drain is over.
        if self.lag > Duration::from_millis(self.off().unsigned_abs()) {
            self.drains.clear();
        }
        self.begin();
    }

    fn key(&self, member: usize, limit: usize, key: u8) -> u8 {
        let spec = &self.specs[limit];
        let key = if spec.keyed == Keyed::Shared { 0 } else { key };
        // Each integration has its own, unless they are of a group.
        if spec.group.is_some() { key } else { key + 10 * u8::try_from(member).unwrap() }
    }

    fn demand(limit: usize, key: u8, cost: u32) -> Demand {
        let key = LimitKey::Of(Arc::from(["a", "b"][usize::from(key)]));
        Demand(std::iter::once(Take { limit, key, cost }).collect())
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Pass(millis) => self.pass(millis),
            Step::Take { member, limit, key, cost } => self.take(member, limit % self.specs.len(), key, cost),
            Step::GiveBack => {
                if let Some((call, member, taken)) = self.out.pop() {
                    let now = self.now();
                    self.members[member].give_back(now, taken);
                    self.sent.retain(|sent| sent.call != call);
                }
            }
            Step::Drain { member, limit, key, millis } => {
                let limit = limit % self.specs.len();
                let (now, until) = (self.now(), self.millis + millis);
                let demand = Self::demand(limit, key, 1);
                let span = Duration::from_millis(millis);
                self.members[member].drain(now, &demand, &DrainScope::Endpoint, now.mono + span);
                self.drains.push((limit, self.key(member, limit, key), until));
                self.tell(member);
                // That it is on disk is what is promised.
                self.all_written();
            }
            Step::Written(ok) => self.written(ok),
            Step::AllWritten => self.all_written(),
            Step::Kill { done, away } => {
                for _ in 0..done.min(self.on_the_way.len()) {
                    let (_, due) = self.on_the_way.pop_front().unwrap();
                    self.put_down(due.into_iter().map(|due| due.record));
                }
                self.gone(away);
            }
            Step::End { away } => {
                self.all_written();
                let now = self.now();
                let records: Vec<_> = self.members.iter_mut().flat_map(|limits| limits.settle(now)).collect();
                self.put_down(records);
                self.beat(true);
                self.gone(away);
            }
            Step::Set(off) => {
                let right_at = *self.right_at.get_or_insert(self.millis + WRONG);
                if self.millis < right_at {
                    self.off = off;
                }
            }
        }
    }

    fn pass(&mut self, millis: u64) {
        let end = self.millis + millis;
        while self.millis < end {
            self.millis = end.min(self.millis + BEAT);
            self.beat(false);
        }
    }

    fn put_down(&mut self, records: impl IntoIterator<Item = Record>) {
        self.disk.extend(records.into_iter().map(|record| (record.subject.clone(), record)));
    }

    fn all_written(&mut self) {
        while !self.on_the_way.is_empty() {
            self.written(true);
        }
    }

    fn written(&mut self, ok: bool) {
        let Some((member, due)) = self.on_the_way.pop_front() else { return };
        if ok {
            self.put_down(due.iter().map(|due| due.record.clone()));
        }
        let now = self.now();
        self.members[member].written(now, &due, ok);
    }

    fn tell(&mut self, member: usize) {
        let now = self.now();
        self.lag = self.lag.max(at(self.millis).wall.since(self.memory.seen(now)));
        let due = self.members[member].take_due(now);
        if !due.is_empty() {
            self.on_the_way.push_back((member, due));
        }
    }

    fn take(&mut self, member: usize, limit: usize, key: u8, cost: u32) {
        let (now, demand) = (self.now(), Self::demand(limit, key, cost));
        match self.members[member].take(now, &demand) {
            Ok(taken) => {
                self.calls += 1;
                let (key, at) = (self.key(member, limit, key), self.millis);
                let drained = |drain: &&(usize, u8, u64)| (drain.0, drain.1) == (limit, key);
                let until = self.drains.iter().filter(drained).map(|drain| drain.2).max();
                assert!(until.is_none_or(|until| at >= until), "nobody goes before a drain's end");
                self.sent.push(Sent { call: self.calls, at, limit, key, cost });
                self.out.push((self.calls, member, taken));
            }
            Err(wait) if wait.ready_in.is_none() => {
                self.members[member].reserve(now, &demand);
            }
            Err(_) => {}
        }
        self.tell(member);
    }

    fn keeps_its_promises(&self) {
        for (limit, spec) in self.specs.iter().enumerate() {
            for key in [0, 1, 10, 11] {
                let of_key = |sent: &&Sent| (sent.limit, sent.key) == (limit, key);
                let sent: Vec<Sent> = self.sent.iter().filter(of_key).copied().collect();
                keeps(&spec.kind, &sent);
            }
        }
    }
}

fn keeps(kind: &LimitKind, sent: &[Sent]) {
    for (first, from) in sent.iter().enumerate() {
        let mut sum = 0_u128;
        for to in &sent[first..] {
            sum += u128::from(to.cost);
            let span = Duration::from_millis(to.at - from.at);
            match kind {
                LimitKind::TokenBucket(bucket) => assert!(
                    sum * bucket.per.as_nanos()
                        <= span.as_nanos() * u128::from(bucket.requests)
                            + bucket.per.as_nanos() * u128::from(bucket.burst),
                    "{sum} in {span:?} of a bucket"
                ),
                LimitKind::SlidingWindow(window) => {
                    assert!(span >= window.per || sum <= u128::from(window.requests), "{sum} in a window");
                }
                LimitKind::Calendar(calendar) => {
                    let minute = |at: u64| at / 60_000;
                    assert!(
                        minute(to.at) != minute(from.at) || sum <= u128::from(calendar.requests),
                        "{sum} in one minute"
                    );
                }
                LimitKind::Concurrent(_) => {}
            }
        }
    }
}

fn kind() -> impl Strategy<Value = LimitKind> {
    let per = || (100_u64..20_000).prop_map(Duration::from_millis);
    prop_oneof![
        3 => prop_oneof![1_u32..12, 20_u32..120].prop_map(|requests| calendar(requests, CalendarPeriod::Minute)),
        1 => (1_u32..20, per(), 1_u32..8).prop_map(|(requests, per, burst)| bucket(requests, per, burst)),
        1 => (1_u32..12, per()).prop_map(|(requests, per)| window(requests, per)),
    ]
}

fn specs() -> impl Strategy<Value = Vec<LimitSpec>> {
    prop::collection::vec((kind(), any::<bool>(), any::<bool>()), 1..3).prop_map(|limits| {
        let spec = |(n, (kind, keyed, grouped)): (usize, (LimitKind, bool, bool))| LimitSpec {
            keyed: if keyed { Keyed::Request } else { Keyed::Shared },
            group: grouped.then(|| GroupName::new("group").unwrap()),
            ..spec(&format!("limit_{n}"), kind)
        };
        limits.into_iter().enumerate().map(spec).collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    let off = prop_oneof![Just(0_i64), -200_000_i64..-10_000, 10_000_i64..200_000];
    prop_oneof![
        4 => prop_oneof![0_u64..50, 0_u64..2_000, 0_u64..40_000].prop_map(Step::Pass),
        20 => (0_usize..2, 0_usize..3, 0_u8..2, 1_u32..4)
            .prop_map(|(member, limit, key, cost)| Step::Take { member, limit, key, cost }),
        1 => Just(Step::GiveBack),
        1 => (0_usize..2, 0_usize..3, 0_u8..2, 0_u64..30_000)
            .prop_map(|(member, limit, key, millis)| Step::Drain { member, limit, key, millis }),
        6 => prop_oneof![4 => Just(true), 1 => Just(false)].prop_map(Step::Written),
        6 => Just(Step::AllWritten),
        2 => (0_usize..4, 0_u64..5_000).prop_map(|(done, away)| Step::Kill { done, away }),
        1 => (0_u64..5_000).prop_map(|away| Step::End { away }),
        1 => off.prop_map(Step::Set),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn no_life_and_no_number_of_them_lets_more_through_than_is_promised(
        specs in specs(),
        steps in prop::collection::vec(step(), 1..250),
    ) {
        let mut world = World::new(specs);
        for step in &steps {
            world.step(step);
        }
        world.keeps_its_promises();
    }

    #[test]
    fn a_kill_costs_a_slice_and_an_end_costs_nothing(
        requests in 1_u32..5_000,
        kills in 0_usize..8,
        ends in 0_usize..4,
        each in 0_u32..50,
    ) {
        let mut world = World::new(vec![spec("day", calendar(requests, CalendarPeriod::Minute))]);
        let go = |world: &mut World, most: u32| {
            for _ in 0..most {
                for _ in 0..2 {
                    world.take(0, 0, 0, 1);
                    world.all_written();
                }
            }
        };
        for _ in 0..kills {
            go(&mut world, each);
            world.step(&Step::Kill { done: 9, away: 0 });
        }
        for _ in 0..ends {
            go(&mut world, each);
            world.step(&Step::End { away: 0 });
        }
        go(&mut world, requests);
        let went = world.sent.iter().map(|sent| sent.cost).sum::<u32>();
        let lost = u32::try_from(kills).unwrap() * (calendar::slice(requests) + 1);
        prop_assert!(went <= requests);
        prop_assert!(went >= requests.saturating_sub(lost), "{went} of {requests}, after {kills} kills");
    }
}
