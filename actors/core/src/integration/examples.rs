//! Single situations, told one by one.

use std::sync::Arc;

use super::*;
use crate::breaker::Cause;
use crate::classify::{Cut, Phase};
use crate::idempotency::Resend;
use crate::limits::token_bucket::TokenBucketSpec;
use crate::limits::{ConcurrentSpec, LimitKey, LimitKind, Take, Told};
use crate::name::LimitName;
use crate::priority::Priority;

fn spec() -> IntegrationSpec {
    IntegrationSpec {
        breaker: BreakerSpec::default(),
        retry: RetrySpec { jitter: 0.0, ..RetrySpec::default() },
        pool: PoolSpec::default(),
        limits: Vec::new(),
    }
}

fn at(secs: u64) -> Now {
    Now::default().after(Duration::from_secs(secs))
}

fn core(spec: IntegrationSpec) -> Integration<()> {
    Integration::new(spec, &Groups::new(), at(0), 0)
}

/// A call of the safe endpoint (0), or of one with a key that is kept for a minute (1).
fn call(id: u64, endpoint: usize) -> Call {
    let resend = [Resend::Safe, Resend::Key { retention: Duration::from_secs(60) }][endpoint];
    let rules = CallRules { resend, retry: Arc::new(spec().retry) };
    let (demand, priority) = (Demand::default(), Priority::default());
    Call { id: CallId(id), rules, demand, priority, deadline: at(600).mono, in_doubt_for: None }
}

fn failed(class: ErrorClass) -> Failure {
    Failure::new(class, "code", "message")
}

fn end(failure: Failure) -> AttemptEnd<()> {
    AttemptEnd { result: Err(failure), phase: Phase::Sent, cut: None, took: Duration::ZERO, told: Vec::new() }
}

fn sends(core: &mut Integration<()>) -> Vec<AttemptId> {
    std::iter::from_fn(|| core.poll())
        .filter_map(|effect| if let Effect::Send(send) = effect { Some(send.attempt) } else { None })
        .collect()
}

#[test]
fn a_key_that_will_be_forgotten_by_then_is_not_sent_again() {
    let mut core = core(spec());
    core.admit(at(0), call(1, 1));
    let first = sends(&mut core)[0];
    core.finished(at(5), first, end(failed(ErrorClass::Ambiguous)));
    core.advance(at(6));
    let second = sends(&mut core)[0];
    let patience = failed(ErrorClass::RateLimited).retry_after(Some(Duration::from_secs(120)));
    assert_eq!(core.finished(at(7), second, end(patience)), Disposition::Unknown);
    assert!(sends(&mut core).is_empty());
}

#[test]
fn a_key_that_was_forgotten_in_the_queue_is_not_sent_again() {
    let mut core = core(spec());
    core.admit(at(0), call(1, 1));
    core.admit(at(0), call(2, 0));
    let out = sends(&mut core);
    core.finished(at(1), out[0], end(failed(ErrorClass::Ambiguous)));
    // Another caller's 429 parks everyone beyond the key's retention.
    core.finished(
        at(1),
        out[1],
        end(failed(ErrorClass::RateLimited).retry_after(Some(Duration::from_secs(90)))),
    );
    for now in 2..200 {
        core.advance(at(now));
    }
    let answers: Vec<_> = std::iter::from_fn(|| core.poll()).collect();
    let resent =
        answers.iter().filter(|effect| matches!(effect, Effect::Send(Send { call: CallId(1), .. }))).count();
    assert_eq!(resent, 0, "{answers:?}");
    assert!(
        answers
            .iter()
            .any(|effect| matches!(effect, Effect::Answer { call: CallId(1), end: CallEnd::Unknown(_), .. }))
    );
}

#[test]
fn permits_that_turn_over_do_not_start_the_wait_anew() {
    let pool = PoolSpec { max_in_flight: 1, max_wait: Duration::from_secs(3), ..PoolSpec::default() };
    let mut core = core(IntegrationSpec { pool, ..spec() });
    for id in 0..10 {
        core.admit(at(0), call(id, 0));
    }
    let (mut sent, mut overloaded) = (0, 0);
    for now in 0..10 {
        core.advance(at(now));
        let mut out = Vec::new();
        while let Some(effect) = core.poll() {
            match effect {
                Effect::Send(send) => out.push(send.attempt),
                Effect::Answer { end: CallEnd::Failed(failure), .. } => {
                    assert_eq!(failure.class, ErrorClass::Overloaded);
                    overloaded += 1;
                }
                Effect::Answer { .. }
                | Effect::Stop(_)
                | Effect::Pending(_)
                | Effect::Probe(_)
                | Effect::BudgetExhausted(_)
                | Effect::Transition(_) => {}
            }
        }
        sent += out.len();
        for attempt in out {
            core.finished(
                at(now + 1),
                attempt,
                AttemptEnd {
                    result: Ok(()),
                    phase: Phase::Sent,
                    cut: None,
                    took: Duration::ZERO,
                    told: Vec::new(),
                },
            );
        }
    }
    assert!(sent <= 4, "{sent} were sent, some after more than the longest wait");
    assert_eq!(sent + overloaded, 10);
}

#[test]
fn trials_that_tell_nothing_of_the_provider_close_nothing() {
    let mut core = core(spec());
    for id in 0..5 {
        core.admit(at(0), Call { deadline: at(1).mono, ..call(id, 0) });
        let attempt = sends(&mut core)[0];
        core.finished(at(0), attempt, end(failed(ErrorClass::Transient)));
    }
    assert_eq!(core.view(at(1)).state, State::Open);
    core.admit(at(40), call(9, 0));
    let trial = sends(&mut core)[0];
    let cut = AttemptEnd {
        result: Err(failed(ErrorClass::Deadline)),
        phase: Phase::NotSent,
        cut: Some(Cut::Deadline),
        took: Duration::ZERO,
        told: Vec::new(),
    };
    core.finished(at(41), trial, cut);
    core.advance(at(80));
    let changes: Vec<Cause> = std::iter::from_fn(|| core.poll())
        .filter_map(|effect| if let Effect::Transition(change) = effect { Some(change.cause) } else { None })
        .collect();
    assert_eq!(changes, [Cause::TrialsUndecided]);
    assert_eq!(core.view(at(80)).state, State::Open);
}

#[test]
fn one_burst_of_429_is_one_episode() {
    let mut core = core(spec());
    for id in 0..6 {
        core.admit(at(0), call(id, 0));
    }
    for attempt in sends(&mut core) {
        core.finished(at(1), attempt, end(failed(ErrorClass::RateLimited)));
    }
    assert_eq!(core.view(at(1)).parked_for, Some(Duration::from_secs(1)));
}

fn limit(name: &str, kind: LimitKind) -> LimitSpec {
    LimitSpec::new(LimitName::new(name).unwrap(), kind)
}

/// So many a minute, and no more at once.
fn bucket(name: &str, requests: u32) -> LimitSpec {
    let per = Duration::from_secs(60);
    limit(name, LimitKind::TokenBucket(TokenBucketSpec { requests, per, burst: requests }))
}

fn takes(takes: &[(usize, u32)]) -> Demand {
    let take = |(limit, cost): &(usize, u32)| Take { limit: *limit, key: LimitKey::Shared, cost: *cost };
    Demand(takes.iter().map(take).collect())
}

fn limited(id: u64, demand: &[(usize, u32)]) -> Call {
    Call { demand: takes(demand), ..call(id, 0) }
}

fn succeeded() -> AttemptEnd<()> {
    AttemptEnd { result: Ok(()), phase: Phase::Sent, cut: None, took: Duration::ZERO, told: Vec::new() }
}

/// The calls that were sent, and the failures with which calls ended.
fn done(core: &mut Integration<()>) -> (Vec<Send>, Vec<(u64, Failure)>) {
    let (mut sent, mut failed) = (Vec::new(), Vec::new());
    while let Some(effect) = core.poll() {
        match effect {
            Effect::Send(send) => sent.push(send),
            Effect::Answer { call, end: CallEnd::Failed(failure) | CallEnd::Unknown(failure), .. } => {
                failed.push((call.0, failure));
            }
            Effect::Answer { .. }
            | Effect::Stop(_)
            | Effect::Pending(_)
            | Effect::Probe(_)
            | Effect::BudgetExhausted(_)
            | Effect::Transition(_) => {}
        }
    }
    (sent, failed)
}

fn sent(core: &mut Integration<()>) -> Vec<u64> {
    done(core).0.iter().map(|send| send.call.0).collect()
}

fn refused(core: &mut Integration<()>) -> Vec<(u64, ErrorClass, String)> {
    let failed = done(core).1;
    failed.into_iter().map(|(id, failure)| (id, failure.class, failure.code.into_owned())).collect()
}

#[test]
fn a_call_that_waits_for_one_budget_lets_those_by_who_need_another() {
    let limits = vec![bucket("a", 1), bucket("b", 9)];
    let mut core = core(IntegrationSpec { limits, ..spec() });
    core.admit(at(0), limited(1, &[(0, 1), (1, 1)]));
    core.admit(at(0), limited(2, &[(0, 1)]));
    core.admit(at(0), limited(3, &[(1, 1)]));
    core.admit(at(0), limited(4, &[]));
    assert_eq!(sent(&mut core), [1, 3, 4]);
    assert_eq!(core.next_deadline(), Some(at(60).mono));
    core.advance(at(60));
    let (sends, _) = done(&mut core);
    assert_eq!(sends.len(), 1);
    let waited = LimitWait { limit: LimitName::new("a").unwrap(), waited: Duration::from_secs(60) };
    assert_eq!((sends[0].call.0, sends[0].limited.as_ref()), (2, Some(&waited)));
}

#[test]
fn a_call_that_costs_much_is_not_starved_by_those_that_cost_little() {
    let mut core = core(IntegrationSpec { limits: vec![bucket("a", 4)], ..spec() });
    core.admit(at(0), limited(1, &[(0, 2)]));
    core.admit(at(0), limited(2, &[(0, 4)]));
    core.admit(at(0), limited(3, &[(0, 1)]));
    assert_eq!(sent(&mut core), [1], "two are left, and kept for the second");
    core.advance(at(30));
    assert_eq!(sent(&mut core), [2]);
    core.advance(at(45));
    assert_eq!(sent(&mut core), [3]);
}

#[test]
fn a_wait_that_cannot_fit_the_deadline_is_refused_at_once() {
    let mut core = core(IntegrationSpec { limits: vec![bucket("a", 2)], ..spec() });
    for id in 1..=4 {
        core.admit(at(0), limited(id, &[(0, 1)]));
    }
    assert_eq!(sent(&mut core), [1, 2]);
    // Two are before it, a token comes every half minute.
    core.admit(at(0), Call { deadline: at(90).mono, ..limited(5, &[(0, 1)]) });
    let (_, failed) = done(&mut core);
    assert_eq!((failed[0].0, failed[0].1.class), (5, ErrorClass::Throttled));
    assert_eq!(failed[0].1.retry_after, Some(Duration::from_secs(90)));
    core.admit(at(0), Call { deadline: at(91).mono, ..limited(6, &[(0, 1)]) });
    assert!(done(&mut core).1.is_empty());
    for now in [30, 60, 90] {
        core.advance(at(now));
    }
    assert_eq!(sent(&mut core), [3, 4, 6]);
}

#[test]
fn who_finds_the_queue_full_is_told_what_for() {
    let pool = PoolSpec { max_in_flight: 2, max_queue: 1, ..PoolSpec::default() };
    let limits = vec![bucket("a", 1)];
    let mut core = core(IntegrationSpec { pool, limits, ..spec() });
    for id in 1..=3 {
        core.admit(at(0), limited(id, &[(0, 1)]));
    }
    assert_eq!(refused(&mut core), [(3, ErrorClass::Throttled, "throttled".to_owned())]);
    core.admit(at(0), limited(4, &[]));
    core.admit(at(0), limited(5, &[]));
    assert_eq!(refused(&mut core), [(5, ErrorClass::Overloaded, "overloaded".to_owned())]);
}

#[test]
fn only_the_wait_for_a_permit_is_bounded_by_max_wait() {
    let pool = PoolSpec { max_in_flight: 1, max_wait: Duration::from_secs(3), ..PoolSpec::default() };
    let mut core = core(IntegrationSpec { pool, limits: vec![bucket("a", 1)], ..spec() });
    core.admit(at(0), limited(1, &[(0, 1)]));
    core.admit(at(0), limited(2, &[(0, 1)]));
    core.admit(at(0), limited(3, &[]));
    core.advance(at(3));
    let (sends, failed) = done(&mut core);
    assert_eq!((failed[0].0, failed[0].1.class), (3, ErrorClass::Overloaded));
    core.finished(at(59), sends[0].attempt, succeeded());
    core.advance(at(60));
    assert_eq!(sent(&mut core), [2]);
}

#[test]
fn a_request_that_could_never_go_is_our_own_failure() {
    let mut core = core(IntegrationSpec { limits: vec![bucket("a", 3)], ..spec() });
    core.admit(at(0), limited(1, &[(0, 4)]));
    assert_eq!(refused(&mut core), [(1, ErrorClass::Internal, "cost_exceeds_limit".to_owned())]);
}

#[test]
fn a_place_that_comes_free_is_taken_by_the_next() {
    let seats = limit("seats", LimitKind::Concurrent(ConcurrentSpec { requests: 1 }));
    let mut core = core(IntegrationSpec { limits: vec![seats], ..spec() });
    for id in 1..=3 {
        core.admit(at(0), limited(id, &[(0, 1)]));
    }
    let (sends, _) = done(&mut core);
    assert_eq!(sends.len(), 1);
    core.finished(at(5), sends[0].attempt, succeeded());
    assert_eq!(sent(&mut core), [2]);
}

#[test]
fn high_goes_before_normal_before_low_and_low_is_not_starved() {
    let pool = PoolSpec { max_in_flight: 1, ..PoolSpec::default() };
    let mut core = core(IntegrationSpec { pool, ..spec() });
    core.admit(at(0), call(0, 0));
    let (mut out, _) = done(&mut core);
    core.admit(at(0), Call { priority: Priority::Low, ..call(1, 0) });
    core.admit(at(0), Call { priority: Priority::Normal, ..call(2, 0) });
    let mut order = Vec::new();
    for id in 3..20 {
        core.admit(at(0), Call { priority: Priority::High, ..call(id, 0) });
        core.finished(at(0), out[0].attempt, succeeded());
        out = done(&mut core).0;
        order.push(out[0].call.0);
    }
    assert_eq!(order[..10], [3, 4, 5, 6, 7, 8, 9, 10, 1, 2]);
}

#[test]
fn a_429_holds_up_its_own_budget_and_tells_those_who_wait_in_vain() {
    let limits = vec![bucket("a", 60), bucket("b", 60)];
    let mut core = core(IntegrationSpec { limits, ..spec() });
    core.admit(at(0), limited(1, &[(0, 60)]));
    let (sends, _) = done(&mut core);
    core.admit(at(0), Call { deadline: at(20).mono, ..limited(2, &[(0, 1)]) });
    core.admit(at(0), limited(3, &[(0, 1)]));
    let patience = failed(ErrorClass::RateLimited).retry_after(Some(Duration::from_secs(30)));
    core.finished(at(0), sends[0].attempt, end(patience));
    assert_eq!(refused(&mut core), [(2, ErrorClass::Throttled, "throttled".to_owned())]);
    core.admit(at(1), limited(4, &[(1, 1)]));
    assert_eq!(sent(&mut core), [4]);
    core.advance(at(29));
    assert!(sent(&mut core).is_empty());
}

#[test]
fn a_429_that_names_no_wait_is_longer_each_time_for_its_scope() {
    let mut core = core(IntegrationSpec { limits: vec![bucket("a", 60), bucket("b", 60)], ..spec() });
    let mut now = 0;
    let mut wait = |limit: usize, scope: Option<DrainScope>| {
        now += 40;
        let demand: &[(usize, u32)] = &[(limit, 1)];
        core.admit(at(now), limited(now, demand));
        let (sends, _) = done(&mut core);
        let refusal = Failure { scope, ..failed(ErrorClass::RateLimited) };
        let disposition = core.finished(at(now + 1), sends[0].attempt, end(refusal));
        let Disposition::Retry(wait) = disposition else { panic!("{disposition:?}") };
        core.cancel(at(now + 1), CallId(now));
        wait.as_secs()
    };
    assert_eq!([wait(0, None), wait(0, None), wait(1, None), wait(0, None)], [1, 2, 1, 4]);
    let other = DrainScope::Limit(LimitName::new("b").unwrap());
    assert_eq!(wait(1, Some(other)), 2, "it is the same budget, said in other words");
}

#[test]
fn retries_beyond_the_budget_end_with_the_last_error_and_say_so() {
    let retry = RetrySpec { budget: 0.0, budget_min: 1, jitter: 0.0, ..RetrySpec::default() };
    let mut core = core(IntegrationSpec { retry, ..spec() });
    core.admit(at(0), call(1, 0));
    core.admit(at(0), call(2, 0));
    let out = sends(&mut core);
    assert!(matches!(
        core.finished(at(0), out[0], end(failed(ErrorClass::Transient))),
        Disposition::Retry(_)
    ));
    core.finished(at(0), out[1], end(failed(ErrorClass::Transient)));
    let ended = (2, ErrorClass::Transient, RETRY_BUDGET_EXHAUSTED.to_owned());
    assert_eq!(refused(&mut core), [ended]);
    // The first gives its retry back by leaving.
    core.cancel(at(0), CallId(1));
    core.admit(at(0), call(3, 0));
    let out = sends(&mut core);
    assert!(matches!(
        core.finished(at(0), out[0], end(failed(ErrorClass::Transient))),
        Disposition::Retry(_)
    ));
}

#[test]
fn an_exhausted_budget_does_not_end_doubt() {
    let retry = RetrySpec { budget: 0.0, budget_min: 0, ..RetrySpec::default() };
    let mut core = core(IntegrationSpec { retry, ..spec() });
    core.admit(at(0), call(1, 1));
    let out = sends(&mut core);
    assert_eq!(core.finished(at(0), out[0], end(failed(ErrorClass::Ambiguous))), Disposition::Unknown);
    assert_eq!(refused(&mut core), [(1, ErrorClass::Ambiguous, RETRY_BUDGET_EXHAUSTED.to_owned())]);
}

#[test]
fn a_breaker_that_opens_ends_every_sequence_that_is_not_on_the_wire() {
    let limits = vec![bucket("a", 1)];
    let retry = RetrySpec { jitter: 0.0, budget_min: 9, ..RetrySpec::default() };
    let mut core = core(IntegrationSpec { limits, retry, ..spec() });
    core.admit(at(0), limited(1, &[(0, 1)]));
    core.admit(at(0), limited(2, &[(0, 1)]));
    for id in 3..=7 {
        core.admit(at(0), call(id, 0));
    }
    let out = sends(&mut core);
    for attempt in &out[1..6] {
        core.finished(at(0), *attempt, end(failed(ErrorClass::Transient)));
    }
    let mut told: Vec<u64> = refused(&mut core)
        .into_iter()
        .map(|(id, class, _)| {
            assert_eq!(class, ErrorClass::BreakerOpen);
            id
        })
        .collect();
    told.sort_unstable();
    assert_eq!(told, [2, 3, 4, 5, 6, 7]);
    assert_eq!(core.view(at(0)).calls, 1);
}

#[test]
fn new_settings_keep_what_is_counted_and_who_waits() {
    let spec = |limits| IntegrationSpec { limits, ..spec() };
    let mut core = core(spec(vec![bucket("a", 1), bucket("b", 9)]));
    core.admit(at(0), limited(1, &[(0, 1)]));
    core.admit(at(0), limited(2, &[(0, 1)]));
    core.admit(at(0), limited(3, &[(0, 1)]));
    assert_eq!(sent(&mut core), [1]);
    // The other way round, and a call of which it cannot be told any more what it takes.
    let unknown = Failure::new(ErrorClass::Internal, "limit_key_failed", "message");
    core.reconfigure(at(30), spec(vec![bucket("b", 9), bucket("a", 1)]), &Groups::new(), |id| {
        if id == CallId(3) { Err(unknown.clone()) } else { Ok(takes(&[(1, 1)])) }
    });
    assert_eq!(refused(&mut core), [(3, ErrorClass::Internal, "limit_key_failed".to_owned())]);
    assert_eq!(core.view(at(30)).queued, 1);
    core.advance(at(59));
    assert!(sent(&mut core).is_empty(), "what was used is used");
    core.advance(at(60));
    assert_eq!(sent(&mut core), [2]);
}

#[test]
fn what_was_not_sent_costs_no_token() {
    let mut core = core(IntegrationSpec { limits: vec![bucket("a", 2)], ..spec() });
    for id in 0..10 {
        core.admit(at(0), limited(id, &[(0, 1)]));
        let (sends, _) = done(&mut core);
        let failure = Failure::new(ErrorClass::Internal, "request_mapping_failed", "message");
        core.finished(at(0), sends[0].attempt, AttemptEnd { phase: Phase::NotSent, ..end(failure) });
        done(&mut core);
    }
    assert_eq!(core.view(at(0)).limits[0].remaining, 2);
}

#[test]
fn an_event_does_no_more_work_for_a_long_queue() {
    let pool = PoolSpec { max_queue: 20_000, ..PoolSpec::default() };
    let mut core = core(IntegrationSpec { pool, limits: vec![bucket("a", 1)], ..spec() });
    for id in 0..20_000 {
        core.admit(at(0), Call { deadline: Mono::MAX, rules: patient(), ..limited(id, &[(0, 1)]) });
    }
    assert_eq!(core.view(at(0)).queued, 19_999);
    // Each would look through all who wait if one event did.
    for minute in 1..20_000 {
        core.advance(at(minute * 60));
    }
    assert_eq!(sent(&mut core).len(), 64, "the pool is full");
}

fn patient() -> CallRules {
    let retry = RetrySpec { max_retry_after: Duration::MAX, ..RetrySpec::default() };
    CallRules { resend: Resend::Safe, retry: Arc::new(retry) }
}

#[test]
fn what_an_answer_tells_is_learned_unless_it_was_asked_under_other_settings() {
    let told = || Told { limit: 0, remaining: 0, capacity: None, resets_in: Some(Duration::from_secs(30)) };
    for reloaded in [false, true] {
        let spec = || IntegrationSpec { limits: vec![bucket("a", 9)], ..spec() };
        let mut core = core(spec());
        core.admit(at(0), limited(1, &[(0, 1)]));
        let (sends, _) = done(&mut core);
        if reloaded {
            core.reconfigure(at(0), spec(), &Groups::new(), |_| Ok(takes(&[(0, 1)])));
        }
        core.finished(at(1), sends[0].attempt, AttemptEnd { told: vec![told()], ..succeeded() });
        core.admit(at(1), limited(2, &[(0, 1)]));
        assert_eq!(sent(&mut core).is_empty(), !reloaded, "reloaded: {reloaded}");
    }
}
