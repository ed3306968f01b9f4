//! What limits promise, whatever happens: takings of any cost over stacked limits, by several members of a group and
//! under several keys, given back, finished, drained and told otherwise by headers, while the wall clock jumps.
//!
//! The model is the provider's own book: a list of what was sent when, on which every promise is checked at the end.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::examples::{at, bucket, calendar, concurrent, limits, mono, spec, window};
use super::*;
use crate::name::GroupName;
use crate::time::Wall;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Take { member: usize, takes: Vec<(usize, u8, u32)> },
    GiveBack { which: usize },
    Finish { which: usize },
    Drain { member: usize, limit: usize, key: u8, millis: u64 },
    Learn { member: usize, limit: usize, remaining: u32, resets: Option<u64> },
}

/// A wall clock that is wrong for less than a minute, by any amount, but not from the start.
#[derive(Clone, Copy, Debug)]
struct Glitch {
    from: u64,
    lasts: u64,
    by: i64,
}

/// What was sent under one key of one limit.
#[derive(Clone, Copy, Debug)]
struct Sent {
    call: usize,
    at: u64,
    limit: usize,
    key: u8,
    cost: u32,
}

struct World {
    specs: Vec<LimitSpec>,
    members: Vec<Limits>,
    glitch: Glitch,
    millis: u64,
    calls: usize,
    out: Vec<(usize, usize, Taken)>,
    sent: Vec<Sent>,
    /// Limit, key, until when.
    drains: Vec<(usize, u8, u64)>,
    /// Limit, the first call it is about, until when, how many.
    ceilings: Vec<(usize, usize, u64, u32)>,
}

impl World {
    fn new(specs: Vec<LimitSpec>, members: usize, glitch: Glitch) -> Self {
        let groups = Groups::new();
        let members = (0..members).map(|_| Limits::new(specs.clone(), &groups, at(0))).collect();
        let (out, sent, drains, ceilings) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { specs, members, glitch, millis: 0, calls: 0, out, sent, drains, ceilings }
    }

    fn now(&self) -> Now {
        let Glitch { from, lasts, by } = self.glitch;
        let wrong = (from..from + lasts).contains(&self.millis);
        let wall = at(self.millis).wall.unix_millis();
        let wall = if wrong { wall.saturating_add_signed(by) } else { wall };
        Now { wall: Wall::from_unix_millis(wall), ..at(self.millis) }
    }

    /// The key under which a limit counts: none for one that has none.
    fn key(&self, limit: usize, key: u8) -> u8 {
        if self.specs[limit].keyed == Keyed::Shared { 0 } else { key }
    }

    fn demand(&self, takes: &[(usize, u8, u32)]) -> Demand {
        let take = |&(limit, key, cost): &(usize, u8, u32)| Take {
            limit: limit % self.specs.len(),
            key: LimitKey::Of(Arc::from(["a", "b", "c"][usize::from(key % 3)])),
            cost,
        };
        Demand(takes.iter().map(take).collect())
    }

    fn step(&mut self, step: &Step) {
        let now = self.now();
        match step {
            Step::Pass(millis) => self.millis += millis,
            Step::Take { member, takes } => self.take(*member, takes),
            Step::GiveBack { which } if !self.out.is_empty() => {
                let (call, member, taken) = self.out.remove(which % self.out.len());
                self.members[member].give_back(now, taken);
                self.sent.retain(|sent| sent.call != call);
            }
            Step::Finish { which } if !self.out.is_empty() => {
                let (_, member, taken) = self.out.remove(which % self.out.len());
                self.members[member].finish(now, taken);
            }
            Step::GiveBack { .. } | Step::Finish { .. } => {}
            Step::Drain { member, limit, key, millis } => {
                let (limit, key, member) = (limit % self.specs.len(), key % 3, member % self.members.len());
                let demand = self.demand(&[(limit, key, 1)]);
                let until = self.millis + millis;
                self.members[member].drain(now, &demand, &DrainScope::Endpoint, mono(until));
                self.drains.push((limit, self.key(limit, key), until));
            }
            Step::Learn { member, limit, remaining, resets } => {
                self.learn(member % self.members.len(), limit % self.specs.len(), *remaining, *resets);
            }
        }
    }

    fn take(&mut self, member: usize, takes: &[(usize, u8, u32)]) {
        let now = self.now();
        let member = member % self.members.len();
        let demand = self.demand(takes);
        let before: Vec<_> = self.members[member].snapshot(now).collect();
        let checked = self.members[member].check(now, &demand);
        match self.members[member].take(now, &demand) {
            Ok(taken) => {
                assert_eq!(checked, Ok(()));
                self.calls += 1;
                for (take, (_, key, cost)) in demand.0.iter().zip(takes) {
                    let (limit, key) = (take.limit, self.key(take.limit, key % 3));
                    let drained = |drain: &&(usize, u8, u64)| (drain.0, drain.1) == (limit, key);
                    let until = self.drains.iter().filter(drained).map(|drain| drain.2).max();
                    assert!(
                        until.is_none_or(|until| self.millis >= until),
                        "nobody goes before a drain's end"
                    );
                    self.sent.push(Sent { call: self.calls, at: self.millis, limit, key, cost: *cost });
                }
                self.out.push((self.calls, member, taken));
            }
            Err(wait) => {
                assert_eq!(checked, Err(wait.clone()));
                assert!(wait.ready_in.is_none_or(|wait| !wait.is_zero()));
                assert!(!wait.blocked.is_empty() && wait.limit.is_some());
                let after: Vec<_> = self.members[member].snapshot(now).collect();
                assert_eq!(before, after, "what is refused takes nothing");
            }
        }
    }

    fn learn(&mut self, member: usize, limit: usize, remaining: u32, resets: Option<u64>) {
        let now = self.now();
        let ours = self.members[member].snapshot(now).nth(limit).unwrap().remaining;
        let demand = self.demand(&[(limit, 0, 1)]);
        let resets_in = resets.map(Duration::from_millis);
        self.members[member].learn(now, &demand, &[Told { limit, remaining, capacity: None, resets_in }]);
        let after = self.members[member].snapshot(now).nth(limit).unwrap().remaining;
        assert!(after <= ours, "headers give nothing");
        let spec = &self.specs[limit];
        if let Some(resets) = resets
            && spec.keyed == Keyed::Shared
            && spec.kind.as_str() != "concurrent"
            && remaining < ours
        {
            self.ceilings.push((limit, self.calls + 1, self.millis + resets, remaining));
        }
    }

    fn keeps_its_promises(&self) {
        for (limit, spec) in self.specs.iter().enumerate() {
            for key in 0..3 {
                let of_key = |sent: &&Sent| (sent.limit, sent.key) == (limit, key);
                let sent: Vec<Sent> = self.sent.iter().filter(of_key).copied().collect();
                self.keeps(spec, &sent);
            }
        }
        for (limit, first, until, most) in &self.ceilings {
            let told = |sent: &&Sent| sent.limit == *limit && sent.call >= *first && sent.at < *until;
            let went: u32 = self.sent.iter().filter(told).map(|sent| sent.cost).sum();
            assert!(went <= *most, "{went} went until the reset, of {most}");
        }
    }

    fn keeps(&self, spec: &LimitSpec, sent: &[Sent]) {
        for (first, from) in sent.iter().enumerate() {
            let mut sum = 0_u128;
            for to in &sent[first..] {
                sum += u128::from(to.cost);
                let span = Duration::from_millis(to.at - from.at);
                match &spec.kind {
                    LimitKind::TokenBucket(bucket) => assert!(
                        sum * bucket.per.as_nanos()
                            <= span.as_nanos() * u128::from(bucket.requests)
                                + bucket.per.as_nanos() * u128::from(bucket.burst)
                    ),
                    LimitKind::SlidingWindow(window) => {
                        assert!(span >= window.per || sum <= u128::from(window.requests));
                    }
                    LimitKind::Calendar(calendar) => {
                        let minute = |at: u64| at / 60_000;
                        assert!(
                            minute(to.at) != minute(from.at) || sum <= u128::from(calendar.requests),
                            "{sum} in one minute"
                        );
                    }
                    LimitKind::Concurrent(places) => {
                        let out = |sent: &&Sent| self.out.iter().any(|(call, ..)| *call == sent.call);
                        let held: u32 = sent.iter().filter(out).map(|sent| sent.cost).sum();
                        assert!(held <= places.requests);
                    }
                }
            }
        }
    }
}

fn kind() -> impl Strategy<Value = LimitKind> {
    let per = || (100_u64..5_000).prop_map(Duration::from_millis);
    prop_oneof![
        (1_u32..20, per(), 1_u32..8).prop_map(|(requests, per, burst)| bucket(requests, per, burst)),
        (1_u32..12, per()).prop_map(|(requests, per)| window(requests, per)),
        (1_u32..12).prop_map(|requests| calendar(requests, CalendarPeriod::Minute)),
        (1_u32..6).prop_map(concurrent),
    ]
}

fn specs(grouped: bool) -> impl Strategy<Value = Vec<LimitSpec>> {
    prop::collection::vec((kind(), any::<bool>()), 1..4).prop_map(move |limits| {
        let spec = |(n, (kind, keyed))| LimitSpec {
            keyed: if keyed { Keyed::Request } else { Keyed::Shared },
            group: grouped.then(|| GroupName::new("group").unwrap()),
            ..spec(&format!("limit_{n}"), kind)
        };
        limits.into_iter().enumerate().map(spec).collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    let takes = prop::collection::vec((0_usize..3, 0_u8..3, 1_u32..4), 1..3);
    prop_oneof![
        5 => prop_oneof![0_u64..50, 0_u64..2_000, 0_u64..30_000].prop_map(Step::Pass),
        12 => (0_usize..2, takes).prop_map(|(member, takes)| Step::Take { member, takes }),
        2 => any::<usize>().prop_map(|which| Step::GiveBack { which }),
        3 => any::<usize>().prop_map(|which| Step::Finish { which }),
        1 => (0_usize..2, 0_usize..3, 0_u8..3, 0_u64..5_000)
            .prop_map(|(member, limit, key, millis)| Step::Drain { member, limit, key, millis }),
        1 => (0_usize..2, 0_usize..3, 0_u32..6, prop::option::of(0_u64..5_000))
            .prop_map(|(member, limit, remaining, resets)| Step::Learn { member, limit, remaining, resets }),
    ]
}

fn glitch() -> impl Strategy<Value = Glitch> {
    (1_u64..300_000, 0_u64..50_000, -200_000_i64..200_000).prop_map(|(from, lasts, by)| Glitch {
        from,
        lasts,
        by,
    })
}

/// How many tokens somebody gets in a span who takes each as soon as it is there and ends each call at once.
fn greedy(kind: LimitKind, span: u64, until: u32) -> u32 {
    let mut limits = limits(&[spec("limit", kind)]);
    let demand = Demand(std::iter::once(Take { limit: 0, key: LimitKey::Shared, cost: 1 }).collect());
    let (mut now, mut taken) = (at(0), 0);
    while now.mono <= mono(span) && taken < until {
        match limits.take(now, &demand) {
            Ok(receipt) => {
                taken += 1;
                limits.finish(now, receipt);
            }
            Err(wait) => now = now.after(wait.ready_in.unwrap()),
        }
    }
    taken
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_limit_ever_lets_more_through_than_it_promises(
        specs in specs(false),
        steps in prop::collection::vec(step(), 1..150),
        glitch in glitch(),
    ) {
        let mut world = World::new(specs, 1, glitch);
        for step in &steps {
            world.step(step);
        }
        world.keeps_its_promises();
    }

    #[test]
    fn members_of_a_group_together_take_no_more_than_one(
        specs in specs(true),
        steps in prop::collection::vec(step(), 1..150),
        glitch in glitch(),
    ) {
        let mut world = World::new(specs, 2, glitch);
        for step in &steps {
            world.step(step);
        }
        world.keeps_its_promises();
    }

    #[test]
    fn the_greedy_get_all_that_is_promised(requests in 1_u32..30, millis in 10_u64..3_000, spans in 1_u32..20) {
        let per = Duration::from_millis(millis);
        let span = u64::from(spans) * millis;
        prop_assert_eq!(greedy(window(requests, per), span, u32::MAX), requests * (spans + 1));
        let minutes = u64::from(spans) * 60_000;
        prop_assert_eq!(greedy(calendar(requests, CalendarPeriod::Minute), minutes, u32::MAX), requests * (spans + 1));
        prop_assert_eq!(greedy(concurrent(requests), 0, 1_000), 1_000);
    }

    #[test]
    fn the_line_moves_as_foretold(
        kinds in prop_oneof![
            prop::collection::vec((1_u32..20, 1_u64..100, 1_u32..6), 0..4).prop_map(|specs| {
                let new = |(requests, millis, burst)| bucket(requests, Duration::from_millis(millis), burst);
                specs.into_iter().map(new).collect::<Vec<_>>()
            }),
            (1_u32..9, 1_u64..100).prop_map(|(n, millis)| vec![window(n, Duration::from_millis(millis))]),
            (1_u32..9).prop_map(|requests| vec![calendar(requests, CalendarPeriod::Minute)]),
        ],
        used in 0_usize..20,
        step in 0_u64..2_000_000,
        cost in 1_u32..3,
        parked in prop::option::of(0_u64..100_000_000),
    ) {
        let specs: Vec<_> = kinds.into_iter().enumerate().map(|(n, kind)| spec(&format!("limit_{n}"), kind)).collect();
        let mut limits = limits(&specs);
        let demand = |cost| Demand((0..specs.len()).map(|limit| Take { limit, key: LimitKey::Shared, cost }).collect());
        prop_assume!(limits.never(&demand(cost)).is_none());
        let mut now = at(0);
        for _ in 0..used {
            let _sent = limits.take(now, &demand(1)).is_ok();
            now = now.after(Duration::from_nanos(step));
        }
        // Wall time is kept in whole milliseconds.
        now = at(u64::try_from(now.mono.since_origin().as_millis()).unwrap() + 1);
        let buckets = specs.iter().all(|spec| spec.kind.as_str() == "token_bucket");
        if let Some(nanos) = parked.filter(|_| buckets) {
            limits.park_until(now, now.mono + Duration::from_nanos(nanos));
        }
        let demand = demand(cost);
        let foretold: Vec<_> = (0..30).map(|ahead| limits.ready_in(now, &demand, ahead).unwrap()).collect();
        let begin = now.mono;
        for foretold in foretold {
            loop {
                let Err(wait) = limits.take(now, &demand) else { break };
                let wait = wait.ready_in.unwrap();
                prop_assert!(!wait.is_zero());
                now = now.after(wait);
            }
            // Going only at whole nanoseconds may cost up to one at each turn of the slowest budget.
            let went = now.mono.since(begin);
            prop_assert!(went.abs_diff(foretold) < Duration::from_nanos(80), "{went:?}, not {foretold:?}");
        }
    }

    #[test]
    fn no_forecast_of_a_mixture_is_too_long(specs in specs(false), used in 0_u32..20, millis in 0_u64..500) {
        let specs: Vec<_> = specs.into_iter().map(|spec| LimitSpec { keyed: Keyed::Shared, ..spec }).collect();
        let mut limits = limits(&specs);
        let demand = Demand((0..specs.len()).map(|limit| Take { limit, key: LimitKey::Shared, cost: 1 }).collect());
        let mut now = at(0);
        for _ in 0..used {
            if let Ok(taken) = limits.take(now, &demand) {
                limits.finish(now, taken);
            }
            now = now.after(Duration::from_millis(millis));
        }
        let foretold: Vec<_> = (0..10).map_while(|ahead| limits.ready_in(now, &demand, ahead)).collect();
        let begin = now.mono;
        for foretold in foretold {
            while let Err(wait) = limits.take(now, &demand) {
                now = now.after(wait.ready_in.unwrap());
            }
            prop_assert!(now.mono.since(begin) + Duration::from_nanos(80) >= foretold);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn a_large_window_gives_nearly_all(requests in 5_000_u32..50_000, gap in 1_u64..1_000) {
        let mut limits = limits(&[spec("limit", window(requests, Duration::from_secs(1)))]);
        let demand = Demand(std::iter::once(Take { limit: 0, key: LimitKey::Shared, cost: 1 }).collect());
        let (mut now, mut taken, mut log) = (at(0), 0_u32, Vec::new());
        while now.mono < mono(3_000) {
            if let Err(wait) = limits.take(now, &demand) {
                now = now.after(wait.ready_in.unwrap());
            } else {
                taken += 1;
                log.push(now.mono);
                now = now.after(Duration::from_nanos(gap * 100));
            }
        }
        let offered = u32::try_from(3_000_000_000 / (gap * 100)).unwrap();
        prop_assert!(f64::from(taken) >= 0.95 * f64::from(offered.min(3 * requests)), "{taken} of {offered}");
        let all = usize::try_from(requests).unwrap();
        let strict = log.windows(all + 1).all(|run| run[all].since(run[0]) >= Duration::from_secs(1));
        prop_assert!(strict);
    }
}
