//! What the queue promises, told one by one and beside a plain list.

use proptest::prelude::*;

use super::*;
use crate::limits::LimitKey;

fn at(millis: u64) -> Mono {
    Mono::from_origin(Duration::from_millis(millis))
}

fn queue(max: usize) -> Queue<u32> {
    Queue::new(max, Duration::from_secs(1))
}

fn take(limit: usize, cost: u32) -> Take {
    Take { limit, key: LimitKey::Shared, cost }
}

fn needs(limits: &[usize]) -> Demand {
    Demand(limits.iter().map(|limit| take(*limit, 1)).collect())
}

fn gate(limit: usize) -> Gate {
    (limit, LimitKey::Shared)
}

fn started(queue: &mut Queue<u32>) -> Option<u32> {
    let call = queue.next(at(0))?;
    queue.start(call, at(0));
    Some(call)
}

#[test]
fn it_is_bounded_and_first_come_first_served_within_a_priority() {
    let mut queue = queue(4);
    for (call, priority) in
        [(1, Priority::Low), (2, Priority::Normal), (3, Priority::Normal), (4, Priority::High)]
    {
        assert!(queue.join(call, needs(&[]), priority, at(0)));
    }
    assert!(!queue.join(5, needs(&[]), Priority::High, at(0)));
    assert_eq!(queue.len(), 4);
    let order: Vec<u32> = std::iter::from_fn(|| started(&mut queue)).collect();
    assert_eq!(order, [4, 2, 3, 1]);
    assert!(queue.is_empty());
}

#[test]
fn who_does_not_need_the_exhausted_budget_goes_by() {
    let mut queue = queue(9);
    for (call, limits) in [(1, &[0][..]), (2, &[0, 1]), (3, &[1]), (4, &[])] {
        assert!(queue.join(call, needs(limits), Priority::Normal, at(0)));
    }
    assert_eq!(queue.next(at(0)), Some(1));
    queue.blocked(1, &[gate(0)], at(0));
    // The second stands behind the first, and nobody waits for what it needs besides but has not been refused.
    assert_eq!((started(&mut queue), started(&mut queue), started(&mut queue)), (Some(3), Some(4), None));
    queue.put_back(1, at(0));
    assert_eq!((started(&mut queue), started(&mut queue)), (Some(1), Some(2)));
}

#[test]
fn what_needs_much_is_not_overtaken_by_what_needs_little() {
    let mut queue = queue(9);
    assert!(queue.join(1, Demand([take(0, 10)].into_iter().collect()), Priority::Normal, at(0)));
    queue.blocked(1, &[gate(0)], at(0));
    assert!(!queue.may_pass(&needs(&[0]), Priority::Normal));
    assert!(queue.may_pass(&needs(&[0]), Priority::High));
    assert!(queue.may_pass(&needs(&[1]), Priority::Low));
    assert_eq!(queue.ahead(&take(0, 1), Priority::Normal), 10);
    assert_eq!(queue.ahead(&take(0, 1), Priority::High), 0);
    assert!(queue.join(2, needs(&[0]), Priority::Normal, at(0)));
    assert_eq!(started(&mut queue), None);
    queue.leave(1, at(0));
    assert_eq!(started(&mut queue), Some(2), "whoever is first now is tried");
}

#[test]
fn who_waits_for_its_own_account_gives_way_to_those_that_share_only_the_rest() {
    const ALL: usize = 0;
    const ACCOUNT: usize = 1;
    let mut queue = queue(9);
    for (call, limits) in [(1, &[ALL, ACCOUNT][..]), (2, &[ALL, ACCOUNT]), (3, &[ALL]), (4, &[ALL])] {
        assert!(queue.join(call, needs(limits), Priority::Normal, at(0)));
    }
    // Both are gone when it is tried first, and so all are in line for what they share.
    assert_eq!(queue.next(at(0)), Some(1));
    queue.blocked(1, &[gate(ALL), gate(ACCOUNT)], at(0));
    assert_eq!(queue.next(at(0)), None);
    queue.released(&take(ALL, 1), at(0));
    assert_eq!(queue.next(at(0)), Some(1));
    queue.blocked(1, &[gate(ACCOUNT)], at(0));
    assert_eq!((started(&mut queue), started(&mut queue), started(&mut queue)), (Some(3), Some(4), None));
    queue.released(&take(ACCOUNT, 1), at(0));
    assert_eq!((started(&mut queue), started(&mut queue)), (Some(1), Some(2)));
}

#[test]
fn who_was_set_back_often_enough_keeps_what_it_needs_together() {
    let mut queue = queue(99);
    assert!(queue.join(0, needs(&[0, 1]), Priority::Normal, at(0)));
    assert_eq!(queue.next(at(0)), Some(0));
    queue.blocked(0, &[gate(0)], at(0));
    let mut passed = 0;
    for call in 1.. {
        // What it waited for has come, and the other has gone; each comes just as it stands in line for the other.
        let (comes, gone) = if call % 2 == 1 { (0, 1) } else { (1, 0) };
        queue.released(&take(comes, 1), at(0));
        assert_eq!(queue.next(at(0)), Some(0));
        queue.blocked(0, &[gate(gone)], at(0));
        assert!(queue.join(call, needs(&[comes]), Priority::Normal, at(0)));
        if started(&mut queue).is_none() {
            break;
        }
        passed += 1;
    }
    assert_eq!(passed, MAX_SET_BACK - 1);
}

#[test]
fn what_comes_back_is_offered_to_the_first_in_line() {
    let mut queue = queue(9);
    for call in 1..=2 {
        assert!(queue.join(call, needs(&[0]), Priority::Normal, at(0)));
    }
    queue.blocked(1, &[gate(0)], at(0));
    assert_eq!(queue.next(at(0)), None);
    queue.released(&take(0, 1), at(0));
    assert_eq!(started(&mut queue), Some(1));
}

#[test]
fn a_low_call_is_passed_only_so_often() {
    for in_line in [false, true] {
        let mut queue = queue(99);
        assert!(queue.join(0, needs(&[0]), Priority::Low, at(0)));
        if in_line {
            queue.blocked(0, &[gate(0)], at(0));
        }
        let mut passed = 0;
        for call in 1.. {
            assert!(queue.join(call, needs(&[0]), Priority::High, at(0)));
            match started(&mut queue) {
                Some(0) => break,
                Some(_) => passed += 1,
                None => panic!("nobody goes"),
            }
        }
        assert_eq!(passed, MAX_OVERTAKEN, "in line: {in_line}");
    }
}

#[test]
fn only_time_spent_ready_counts_as_waiting_for_a_permit() {
    let mut queue = queue(9);
    assert!(queue.join(1, needs(&[0]), Priority::Normal, at(0)));
    assert_eq!(queue.next_expiry(), Some(at(1_000)));
    queue.blocked(1, &[gate(0)], at(400));
    assert_eq!((queue.next_expiry(), queue.waits_for_permit(1)), (None, false));
    queue.put_back(1, at(5_000));
    assert_eq!((queue.next_expiry(), queue.waits_for_permit(1)), (Some(at(5_600)), true));
    assert_eq!((queue.expired(at(5_599)), queue.expired(at(5_600))), (None, Some(1)));
    let waited =
        Waited { total: Duration::from_millis(5_600), for_permit: Duration::from_secs(1), limit: Some(0) };
    assert_eq!(queue.leave(1, at(5_600)), Some(waited));
    assert_eq!(queue.next_expiry(), None);
}

#[test]
fn other_bounds_cost_nobody_their_place() {
    let mut queue = queue(3);
    for call in 1..=3 {
        assert!(queue.join(call, needs(&[0]), Priority::Normal, at(0)));
    }
    queue.blocked(1, &[gate(0)], at(0));
    queue.respec(1, Duration::from_secs(2), at(0), |call| needs(&[usize::try_from(call).unwrap()]));
    assert!(queue.is_full());
    queue.blocked(1, &[gate(1)], at(0));
    let order: Vec<u32> = std::iter::from_fn(|| started(&mut queue)).collect();
    assert_eq!(order, [2, 3], "they have nothing in common any more");
}

#[test]
fn another_wait_counts_from_the_same_instant() {
    let mut queue = queue(3);
    assert!(queue.join(1, needs(&[]), Priority::Normal, at(0)));
    queue.respec(3, Duration::from_secs(3), at(400), |_| needs(&[]));
    assert_eq!(queue.next_expiry(), Some(at(3_000)));
    assert_eq!(started(&mut queue), Some(1));
    assert_eq!((queue.next_expiry(), queue.expired(at(9_000))), (None, None), "who has gone does not expire");
}

#[derive(Clone, Debug)]
enum Step {
    Join(Priority, Vec<usize>),
    /// The next is tried: it starts, or these budgets have nothing for it.
    Try(Vec<usize>),
    PutBack(usize),
    Release(usize),
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let limits = || prop::collection::btree_set(0_usize..4, 0..3).prop_map(|set| set.into_iter().collect());
    let priority = prop::sample::select(Priority::ALL.to_vec());
    prop_oneof![
        4 => (priority, limits()).prop_map(|(priority, limits)| Step::Join(priority, limits)),
        4 => limits().prop_map(Step::Try),
        1 => any::<usize>().prop_map(Step::PutBack),
        1 => (0_usize..4).prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::Leave),
    ]
}

/// A call as a plain list knows it.
#[derive(Clone, Debug)]
struct Known {
    call: u32,
    priority: Priority,
    limits: Vec<usize>,
    /// The budgets that were refused to it last.
    refused: Vec<usize>,
    passed: u32,
}

proptest! {
    #[test]
    fn nobody_overtakes_who_needs_the_same_and_everybody_goes(
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut queue = queue(20);
        let mut line: Vec<Known> = Vec::new();
        let mut last = 0;
        for step in steps {
            match step {
                Step::Join(priority, limits) => {
                    last += 1;
                    let joined = queue.join(last, needs(&limits), priority, at(0));
                    prop_assert_eq!(joined, line.len() < 20);
                    if joined {
                        line.push(Known { call: last, priority, limits, refused: Vec::new(), passed: 0 });
                    }
                }
                Step::Try(dry) => {
                    let Some(call) = queue.next(at(0)) else { continue };
                    let place = line.iter().position(|known| known.call == call).unwrap();
                    let dry: Vec<usize> =
                        dry.into_iter().filter(|limit| line[place].limits.contains(limit)).collect();
                    if dry.is_empty() {
                        let gone = line.remove(place);
                        check_order(&line, place, &gone)?;
                        count_passed(&mut line, &gone);
                        queue.start(call, at(0));
                    } else {
                        let gates: Vec<Gate> = dry.iter().copied().map(gate).collect();
                        queue.blocked(call, &gates, at(0));
                        line[place].refused = dry;
                    }
                }
                Step::PutBack(which) if !line.is_empty() => {
                    queue.put_back(line[which % line.len()].call, at(0));
                }
                Step::Release(limit) => queue.released(&take(limit, 1), at(0)),
                Step::Leave(which) if !line.is_empty() => {
                    let gone = line.remove(which % line.len());
                    queue.leave(gone.call, at(0));
                }
                Step::PutBack(_) | Step::Leave(_) => {}
            }
            prop_assert_eq!(queue.len(), line.len());
        }
        // Every budget is full again, and the timers of those in line come.
        let calls: Vec<u32> = line.iter().map(|known| known.call).collect();
        for call in calls {
            queue.put_back(call, at(0));
        }
        let order = std::iter::from_fn(|| started(&mut queue)).count();
        prop_assert_eq!(order, line.len(), "nobody is forgotten");
        prop_assert!(queue.lines.is_empty() && queue.ready.is_empty() && queue.expiries.is_empty());
    }
}

/// Whoever started has not gone before one of its own priority or a higher one that came earlier and is refused
/// what both need, unless that one stands behind yet another for something that only they need, and so gives
/// way.
fn check_order(line: &[Known], place: usize, gone: &Known) -> Result<(), TestCaseError> {
    let before = |index: usize, other: &Known, (of, earlier): (usize, &Known)| {
        let else_needed = |limit: &usize| other.limits.contains(limit) && !gone.limits.contains(limit);
        let goes_first = other.priority < earlier.priority || index < of || other.passed >= MAX_OVERTAKEN;
        index != of && goes_first && earlier.limits.iter().any(else_needed)
    };
    let gives_way =
        |of: (usize, &Known)| line.iter().enumerate().any(|(index, other)| before(index, other, of));
    let earlier = line.iter().enumerate().take(place);
    for (of, earlier) in earlier.filter(|(_, earlier)| earlier.priority <= gone.priority) {
        let shared = earlier.refused.iter().any(|limit| gone.limits.contains(limit));
        let shared = shared && !gives_way((of, earlier));
        let due = gone.priority > earlier.priority || gone.passed >= MAX_OVERTAKEN;
        prop_assert!(!shared || due, "{gone:?} before {earlier:?}");
    }
    Ok(())
}

/// Counts it, at most, for whom it could have been counted.
fn count_passed(line: &mut [Known], gone: &Known) {
    for known in line.iter_mut().filter(|known| known.priority > gone.priority) {
        known.passed += 1;
    }
}
