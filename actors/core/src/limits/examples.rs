//! What limits do, told by examples.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use jiff::tz::TimeZone;
use smallvec::smallvec;

use super::token_bucket::TokenBucketSpec;
use super::*;
use crate::time::Wall;

const NOON: u64 = 1_700_000_000_000 / 86_400_000 * 86_400_000 + 43_200_000;

/// So many milliseconds after noon of some day, by both clocks.
pub(super) fn at(millis: u64) -> Now {
    Now { mono: mono(millis), wall: Wall::from_unix_millis(NOON + millis) }
}

pub(super) fn mono(millis: u64) -> Mono {
    Mono::from_origin(Duration::from_millis(millis))
}

pub(super) fn bucket(requests: u32, per: Duration, burst: u32) -> LimitKind {
    LimitKind::TokenBucket(TokenBucketSpec { requests, per, burst })
}

pub(super) fn window(requests: u32, per: Duration) -> LimitKind {
    LimitKind::SlidingWindow(SlidingWindowSpec::exact(requests, per))
}

pub(super) fn calendar(requests: u32, per: CalendarPeriod) -> LimitKind {
    LimitKind::Calendar(CalendarSpec { requests, per, timezone: TimeZone::UTC })
}

pub(super) fn concurrent(requests: u32) -> LimitKind {
    LimitKind::Concurrent(ConcurrentSpec { requests })
}

pub(super) fn spec(name: &str, kind: LimitKind) -> LimitSpec {
    LimitSpec::new(LimitName::new(name).unwrap(), kind)
}

fn by_connection(name: &str, kind: LimitKind) -> LimitSpec {
    LimitSpec { keyed: Keyed::Connection, ..spec(name, kind) }
}

fn grouped(name: &str, kind: LimitKind) -> LimitSpec {
    LimitSpec { group: Some(group()), ..spec(name, kind) }
}

fn group() -> GroupName {
    GroupName::new("account").unwrap()
}

pub(super) fn limits(specs: &[LimitSpec]) -> Limits {
    Limits::new(specs.to_vec(), &Groups::new(), at(0))
}

fn of(key: &str) -> LimitKey {
    LimitKey::Of(Arc::from(key))
}

fn one(limit: usize, key: LimitKey, cost: u32) -> Demand {
    Demand(smallvec![Take { limit, key, cost }])
}

/// One token of each of the first `limits`.
fn each(limits: usize) -> Demand {
    Demand((0..limits).map(|limit| Take { limit, key: LimitKey::Shared, cost: 1 }).collect())
}

fn remaining(limits: &Limits, millis: u64) -> Vec<u32> {
    limits.snapshot(at(millis)).map(|limit| limit.remaining).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ready_in(limits: &mut Limits, millis: u64, demand: &Demand) -> Option<Duration> {
    limits.take(at(millis), demand).unwrap_err().ready_in
}

/// Ten a second with a burst of two, and sixty a minute with a burst of sixty.
fn two_buckets() -> Limits {
    limits(&[spec("second", bucket(10, seconds(1), 2)), spec("minute", bucket(60, seconds(60), 60))])
}

#[test]
fn a_call_takes_from_all_or_from_none() {
    let mut limits = two_buckets();
    let _sent = [limits.take(at(0), &each(2)).unwrap(), limits.take(at(0), &each(2)).unwrap()];
    let wait = limits.take(at(0), &each(2)).unwrap_err();
    assert_eq!(limits.check(at(0), &each(2)), Err(wait.clone()));
    assert_eq!(wait.limit.unwrap().as_str(), "second");
    assert_eq!(wait.ready_in, Some(Duration::from_millis(100)));
    assert_eq!(wait.blocked.as_slice(), [(0, LimitKey::Shared)]);
    assert_eq!(remaining(&limits, 0), [0, 58]);
}

#[test]
fn a_call_takes_only_from_the_limits_it_names() {
    let mut limits = two_buckets();
    let _sent = limits.take(at(0), &one(1, LimitKey::Shared, 7)).unwrap();
    let _free = limits.take(at(0), &Demand::default()).unwrap();
    let _unknown = limits.take(at(0), &one(9, LimitKey::Shared, 1)).unwrap();
    assert_eq!(remaining(&limits, 0), [2, 53]);
}

#[test]
fn a_budget_demanded_twice_is_asked_for_the_sum() {
    let mut limits = two_buckets();
    let take = Take { limit: 0, key: LimitKey::Shared, cost: 2 };
    let twice = Demand(smallvec![take.clone(), take]);
    assert_eq!(limits.never(&twice).unwrap().as_str(), "second");
    assert_eq!(ready_in(&mut limits, 0, &twice), Some(Duration::MAX));
    assert_eq!(remaining(&limits, 0), [2, 60]);
}

#[test]
fn what_can_never_fit_is_named() {
    for kind in
        [bucket(9, seconds(1), 3), window(3, seconds(1)), calendar(3, CalendarPeriod::Day), concurrent(3)]
    {
        let mut limits = limits(&[spec("small", kind)]);
        assert_eq!(limits.never(&one(0, LimitKey::Shared, 3)), None);
        assert_eq!(limits.never(&one(0, LimitKey::Shared, 4)).unwrap().as_str(), "small");
        assert_eq!(ready_in(&mut limits, 0, &one(0, LimitKey::Shared, 4)), Some(Duration::MAX));
    }
}

#[test]
fn what_was_not_used_is_given_back_to_all() {
    let mut limits = limits(&[
        spec("bucket", bucket(10, seconds(1), 5)),
        spec("window", window(5, seconds(1))),
        spec("day", calendar(5, CalendarPeriod::Day)),
        spec("places", concurrent(5)),
    ]);
    let mut demand = each(4);
    demand.0.iter_mut().for_each(|take| take.cost = 3);
    let taken = limits.take(at(0), &demand).unwrap();
    assert_eq!(remaining(&limits, 0), [2, 2, 2, 2]);
    limits.give_back(at(0), taken);
    assert_eq!(remaining(&limits, 0), [5, 5, 5, 5]);
}

#[test]
fn an_attempt_that_is_over_gives_back_its_places_and_nothing_else() {
    let mut limits = limits(&[spec("places", concurrent(1)), spec("window", window(2, seconds(1)))]);
    let taken = limits.take(at(0), &each(2)).unwrap();
    let wait = limits.take(at(0), &each(2)).unwrap_err();
    assert_eq!((wait.limit.unwrap().as_str(), wait.ready_in), ("places", None));
    assert_eq!(limits.ready_in(at(0), &each(2), 0), None);
    limits.finish(at(1), taken);
    assert_eq!(remaining(&limits, 1), [1, 1]);
}

#[test]
fn without_limits_everybody_goes_unless_parked() {
    let mut limits = limits(&[]);
    assert!((0..1_000).all(|_| limits.take(at(0), &Demand::default()).is_ok()));
    limits.drain(at(0), &Demand::default(), &DrainScope::Endpoint, mono(5_000));
    assert_eq!(limits.parked_until(), Some(mono(5_000)));
    let wait = limits.take(at(1_000), &Demand::default()).unwrap_err();
    assert_eq!(wait, Wait { limit: None, blocked: smallvec![], ready_in: Some(seconds(4)) });
    assert_eq!(limits.ready_in(at(1_000), &Demand::default(), 7), Some(seconds(4)));
    assert!(limits.take(at(5_000), &Demand::default()).is_ok());
}

#[test]
fn parking_empties_every_budget_and_is_never_shortened() {
    let mut limits = two_buckets();
    limits.park_until(at(0), mono(5_000));
    limits.park_until(at(0), mono(1_000));
    assert_eq!(limits.parked_until(), Some(mono(5_000)));
    assert_eq!(remaining(&limits, 5_000), [0, 0]);
    assert_eq!(ready_in(&mut limits, 4_000, &each(2)), Some(seconds(2)));
    let wait = limits.take(at(5_500), &each(2)).unwrap_err();
    assert_eq!((wait.limit.unwrap().as_str(), wait.ready_in), ("minute", Some(Duration::from_millis(500))));
    assert!(limits.take(at(6_000), &each(2)).is_ok());
}

#[test]
fn what_was_taken_before_a_drain_is_void() {
    let mut limits = two_buckets();
    let before = limits.take(at(0), &each(2)).unwrap();
    limits.drain(at(0), &each(2), &DrainScope::Endpoint, mono(1_000));
    let _after = limits.take(at(2_000), &each(2)).unwrap();
    limits.give_back(at(2_000), before);
    assert_eq!(remaining(&limits, 2_000), [1, 0]);
}

#[test]
fn a_drain_holds_up_one_account_and_not_the_other() {
    let mut limits = limits(&[by_connection("account", bucket(10, seconds(1), 10))]);
    let (mine, theirs) = (one(0, of("mine"), 1), one(0, of("theirs"), 1));
    limits.drain(at(0), &mine, &DrainScope::Endpoint, mono(60_000));
    assert_eq!(limits.parked_until(), None);
    assert_eq!(ready_in(&mut limits, 0, &mine), Some(Duration::from_millis(60_100)));
    assert!(limits.take(at(0), &theirs).is_ok());
}

#[test]
fn the_scope_of_a_drain_is_narrowed_and_widened() {
    let specs = [
        spec("all", window(9, seconds(1))),
        by_connection("reads", window(9, seconds(1))),
        by_connection("writes", window(9, seconds(1))),
    ];
    let write = Demand(smallvec![
        Take { limit: 0, key: LimitKey::Shared, cost: 1 },
        Take { limit: 2, key: of("mine"), cost: 1 }
    ]);
    let goes = |scope: &DrainScope, demand: &Demand| {
        let mut limits = limits(&specs);
        limits.drain(at(0), &write, scope, mono(5_000));
        limits.take(at(10), demand).is_ok()
    };
    let all = one(0, LimitKey::Shared, 1);
    let [read, wrote, others] = [one(1, of("mine"), 1), one(2, of("mine"), 1), one(1, of("theirs"), 1)];
    let named = DrainScope::Limit(LimitName::new("writes").unwrap());
    let unknown = DrainScope::Limit(LimitName::new("else").unwrap());
    for (scope, expected) in [
        (DrainScope::Endpoint, [false, true, false, true]),
        (named, [true, true, false, true]),
        (unknown, [false, true, false, true]),
        (DrainScope::Connection, [true, false, false, true]),
        (DrainScope::Integration, [false; 4]),
    ] {
        let went = [&all, &read, &wrote, &others].map(|demand| goes(&scope, demand));
        assert_eq!(went, expected, "{scope:?}");
    }
}

#[test]
fn a_connection_without_limits_of_its_own_parks_the_integration() {
    let mut limits = two_buckets();
    limits.drain(at(0), &each(1), &DrainScope::Connection, mono(5_000));
    assert_eq!(limits.parked_until(), Some(mono(5_000)));
}

#[test]
fn after_a_drain_tokens_come_evenly_and_not_at_once() {
    for (kind, step) in [
        (window(10, seconds(60)), 100),
        (window(10, Duration::from_millis(500)), 50),
        (calendar(10, CalendarPeriod::Day), 100),
        (concurrent(10), 100),
    ] {
        let mut limits = limits(&[spec("limit", kind)]);
        limits.drain(at(0), &each(1), &DrainScope::Endpoint, mono(2_000));
        limits.drain(at(0), &each(1), &DrainScope::Endpoint, mono(1_000));
        for n in 1..=10 {
            assert!(limits.take(at(2_000 + n * step - 1), &each(1)).is_err(), "{n}");
            let _sent = limits.take(at(2_000 + n * step), &each(1)).unwrap();
        }
        assert!(limits.take(at(2_000 + 10 * step), &each(1)).is_err());
    }
}

#[test]
fn headers_take_away_until_the_reset_and_never_give() {
    let told = |remaining, resets_in| [Told { limit: 0, remaining, capacity: Some(100), resets_in }];
    for kind in [bucket(10, seconds(1), 10), window(10, seconds(1)), calendar(10, CalendarPeriod::Hour)] {
        let mut limits = limits(&[spec("limit", kind)]);
        limits.learn(at(0), &each(1), &told(50, Some(seconds(30))));
        assert_eq!(remaining(&limits, 0), [10]);
        limits.learn(at(0), &each(1), &told(2, Some(seconds(30))));
        limits.learn(at(0), &each(1), &told(9, Some(seconds(30))));
        limits.learn(at(0), &each(1), &told(101, Some(seconds(90))));
        assert_eq!(remaining(&limits, 0), [2]);
        let unused = limits.take(at(0), &each(1)).unwrap();
        limits.give_back(at(0), unused);
        let _sent = limits.take(at(0), &one(0, LimitKey::Shared, 2)).unwrap();
        assert_eq!(ready_in(&mut limits, 29_000, &each(1)), Some(seconds(1)));
        assert!(limits.take(at(30_000), &each(1)).is_ok());
    }
}

#[test]
fn a_late_answer_of_the_time_before_the_reset_holds_nobody_up() {
    let mut limits = limits(&[spec("limit", bucket(10, seconds(1), 10))]);
    let told = Told { limit: 0, remaining: 0, capacity: None, resets_in: Some(Duration::ZERO) };
    limits.learn(at(0), &each(1), &[told]);
    assert_eq!(remaining(&limits, 0), [10]);
}

#[test]
fn without_a_reset_what_was_told_holds_for_one_period_of_our_own() {
    let mut limits = limits(&[spec("limit", window(10, seconds(5)))]);
    limits.learn(at(0), &each(1), &[Told { limit: 0, remaining: 0, capacity: None, resets_in: None }]);
    assert_eq!(ready_in(&mut limits, 1_000, &each(1)), Some(seconds(4)));
}

#[test]
fn budgets_with_keys_are_bounded_and_those_in_use_are_never_dropped() {
    let mut limits = limits(&[by_connection("account", window(1, seconds(1)))]);
    let key = |n: usize| one(0, of(&n.to_string()), 1);
    for n in 0..MAX_KEYS {
        let _sent = limits.take(at(0), &key(n)).unwrap();
    }
    assert!(ready_in(&mut limits, 0, &key(MAX_KEYS)).is_some_and(|wait| !wait.is_zero()));
    assert!(limits.check(at(0), &key(MAX_KEYS)).is_err());
    assert!(limits.take(at(999), &key(0)).is_err(), "in use");
    assert_eq!(limits.snapshot(at(999)).next().unwrap().keys, MAX_KEYS);
    assert!(limits.check(at(1_100), &key(MAX_KEYS)).is_ok());
    let _sent = limits.take(at(1_100), &key(MAX_KEYS)).unwrap();
    assert_eq!(limits.snapshot(at(1_100)).next().unwrap().keys, 1);
    assert_eq!(limits.own[0].each().count(), 1, "what was whole again is gone");
}

#[test]
fn a_receipt_of_a_budget_that_was_dropped_gives_nothing_to_its_successor() {
    let mut limits = limits(&[by_connection("account", bucket(100, seconds(1), 2))]);
    let held = limits.take(at(0), &one(0, of("x"), 1)).unwrap();
    for n in 0..100 {
        let _sent = limits.take(at(1_000), &one(0, of(&n.to_string()), 1)).unwrap();
    }
    let _sent = limits.take(at(1_000), &one(0, of("x"), 2)).unwrap();
    limits.give_back(at(1_000), held);
    assert!(limits.take(at(1_000), &one(0, of("x"), 1)).is_err());
}

#[test]
fn other_numbers_keep_what_was_used_and_other_limits_begin_whole() {
    let groups = Groups::new();
    let specs = |requests, kind| {
        [spec("a", bucket(requests, seconds(10), requests)), spec("b", kind), spec("c", concurrent(requests))]
    };
    let mut limits = Limits::new(specs(10, window(10, seconds(10))), &groups, at(0));
    let held = limits.take(at(0), &each(3)).unwrap();
    let _sent = limits.take(at(0), &one(0, LimitKey::Shared, 5)).unwrap();
    limits.respec(specs(8, window(4, seconds(10))), &groups, at(0));
    assert_eq!(remaining(&limits, 0), [2, 3, 7]);
    limits.respec(specs(4, calendar(4, CalendarPeriod::Day)), &groups, at(0));
    assert_eq!(remaining(&limits, 0), [0, 4, 3]);
    limits.drain(at(0), &each(1), &DrainScope::Endpoint, mono(60_000));
    limits.respec([spec("c", concurrent(4)), spec("a", bucket(9, seconds(1), 9))], &groups, at(0));
    assert_eq!(
        ready_in(&mut limits, 59_999, &one(1, LimitKey::Shared, 9)),
        Some(Duration::from_millis(1_001))
    );
    limits.finish(at(1), held);
    assert_eq!(remaining(&limits, 1), [4, 0]);
}

#[test]
fn a_restart_begins_empty_and_keeps_drains_and_quotas() {
    let specs = [
        spec("bucket", bucket(10, seconds(1), 10)),
        spec("window", window(10, seconds(1))),
        spec("day", calendar(10, CalendarPeriod::Day)),
        by_connection("account", bucket(10, seconds(1), 10)),
        spec("places", concurrent(2)),
    ];
    let mut before = limits(&specs);
    let _sent = before.take(at(0), &one(2, LimitKey::Shared, 7)).unwrap();
    before.drain(at(0), &one(3, of("mine"), 1), &DrainScope::Endpoint, mono(60_000));
    let kept = before.kept(at(1));
    let mut after = Limits::restarted(specs.to_vec(), &Groups::new(), at(1_000), &kept);
    assert_eq!(remaining(&after, 1_000), [0, 0, 3, 0, 2]);
    assert_eq!(remaining(&after, 1_500), [5, 0, 3, 0, 2]);
    assert_eq!(remaining(&after, 2_500), [10, 5, 3, 0, 2]);
    assert!(after.take(at(1_050), &one(3, of("theirs"), 1)).is_err(), "new budgets are empty too");
    assert!(after.take(at(1_100), &one(3, of("theirs"), 1)).is_ok());
    assert!(after.take(at(60_050), &one(3, of("mine"), 1)).is_err());
    let out = after.adopt(at(1_000), &one(4, LimitKey::Shared, 2));
    assert!(after.take(at(1_000), &one(4, LimitKey::Shared, 1)).is_err());
    after.finish(at(1_000), out);
    assert!(after.take(at(1_000), &one(4, LimitKey::Shared, 1)).is_ok());
}

#[test]
fn a_parking_outlives_a_restart() {
    let mut before = limits(&[]);
    before.park_until(at(0), mono(5_000));
    let mut after = Limits::restarted([], &Groups::new(), at(1_000), &before.kept(at(1_000)));
    assert_eq!(ready_in(&mut after, 1_000, &Demand::default()), Some(seconds(4)));
}

#[test]
fn a_group_shares_one_budget_and_wakes_who_waits() {
    let groups = Groups::new();
    let new = |specs: Vec<LimitSpec>| Limits::new(specs, &groups, at(0));
    let [x, y] = [grouped("x", concurrent(2)), grouped("y", window(5, seconds(1)))];
    let mut one_of_them = new(vec![x.clone(), y.clone()]);
    let mut the_other = new(vec![y.clone(), x.clone(), spec("z", concurrent(9))]);
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let watch = groups.watch(&group(), move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let first = one_of_them.take(at(0), &each(2)).unwrap();
    let second = the_other.take(at(0), &each(2)).unwrap();
    assert_eq!(remaining(&one_of_them, 0), [0, 3]);
    assert_eq!(remaining(&the_other, 0), [3, 0, 9]);
    the_other.finish(at(0), second);
    assert_eq!(calls.load(Ordering::Relaxed), 0, "nobody waits");
    let _third = the_other.take(at(0), &each(2)).unwrap();
    assert!(the_other.take(at(0), &each(2)).is_err());
    one_of_them.finish(at(0), first);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    drop(watch);
    let fourth = the_other.take(at(0), &each(3)).unwrap();
    assert!(one_of_them.take(at(0), &each(2)).is_err());
    the_other.give_back(at(0), fourth);
    assert_eq!(calls.load(Ordering::Relaxed), 1, "no longer watching");
    assert_eq!(remaining(&one_of_them, 0), [1, 2]);
}

#[test]
fn places_of_a_group_come_back_from_a_member_that_is_gone() {
    let groups = Groups::new();
    let specs = || vec![grouped("x", concurrent(2))];
    let mut lost = Limits::new(specs(), &groups, at(0));
    let taken = lost.take(at(0), &one(0, LimitKey::Shared, 2)).unwrap();
    let mut other = Limits::new(specs(), &groups, at(0));
    assert!(other.take(at(0), &each(1)).is_err());
    drop((lost, taken));
    assert!(other.take(at(0), &each(1)).is_ok());
}

#[test]
fn a_group_outlives_its_members_while_it_has_something_to_remember() {
    let groups = Groups::new();
    let join =
        |requests, millis| Limits::new([grouped("x", window(requests, seconds(1)))], &groups, at(millis));
    let mut gone = join(5, 0);
    let _sent = gone.take(at(0), &one(0, LimitKey::Shared, 4)).unwrap();
    assert_eq!(remaining(&join(9, 0), 0), [1], "the first one's word holds");
    drop(gone);
    let mut heir = join(6, 500);
    assert_eq!(remaining(&heir, 500), [2], "what was used is used; the spec is the heir's");
    heir.respec([grouped("x", window(7, seconds(1)))], &groups, at(500));
    assert_eq!(remaining(&heir, 500), [3]);
}

#[test]
fn members_in_any_order_never_wait_in_a_circle() {
    let groups = Groups::new();
    let specs = [grouped("x", concurrent(1_000)), grouped("y", concurrent(1_000))];
    let reversed = [specs[1].clone(), specs[0].clone()];
    std::thread::scope(|scope| {
        for specs in [specs, reversed] {
            let mut limits = Limits::new(specs, &groups, at(0));
            scope.spawn(move || {
                for _ in 0..20_000 {
                    let taken = limits.take(at(0), &each(2)).unwrap();
                    limits.finish(at(0), taken);
                }
            });
        }
    });
}

#[test]
fn a_snapshot_shows_the_tightest_budget() {
    let mut limits = limits(&[by_connection("account", bucket(10, seconds(1), 10))]);
    let _sent = limits.take(at(0), &one(0, of("a"), 3)).unwrap();
    let _sent = limits.take(at(0), &one(0, of("b"), 5)).unwrap();
    let shown: Vec<_> = limits.snapshot(at(0)).collect();
    let expected = LimitSnapshot {
        name: LimitName::new("account").unwrap(),
        kind: "token_bucket",
        remaining: 5,
        capacity: 10,
        resets_in: Duration::from_millis(500),
        keys: 2,
        reserved: None,
    };
    assert_eq!(shown, [expected]);
}
