//! The breaker in single situations, told one by one.

use super::*;
use crate::time::Wall;

fn at(millis: u64) -> Mono {
    Mono::from_origin(Duration::from_millis(millis))
}

fn now(millis: u64) -> Now {
    Now { mono: at(millis), wall: Wall::from_unix_millis(1_700_000_000_000 + millis) }
}

fn call(breaker: &mut Breaker, millis: u64, tally: Tally) {
    call_taking(breaker, millis, tally, 0);
}

/// A call that took `took` milliseconds and ends now.
fn call_taking(breaker: &mut Breaker, millis: u64, tally: Tally, took: u64) {
    let permit = breaker.admit(at(millis)).unwrap();
    breaker.record(at(millis), permit, tally, Duration::from_millis(took));
}

fn trip(breaker: &mut Breaker, millis: u64, reason: &str, lasting: Option<Duration>) {
    breaker.set_mode(now(millis), ModeChange::trip(reason.to_owned(), lasting));
}

fn set(breaker: &mut Breaker, millis: u64, mode: ModeKind, lasting: Option<u64>) {
    let lasting = lasting.map(Duration::from_millis);
    let by = By::Operator(Some("ada".to_owned()));
    breaker.set_mode(now(millis), ModeChange { mode, reason: "exercise".to_owned(), by, lasting });
}

/// A breaker that opened at `millis` and is due 30 s later.
fn opened(spec: BreakerSpec, millis: u64) -> Breaker {
    let mut breaker = Breaker::new(BreakerSpec { failures: Some(1), ..spec });
    call(&mut breaker, millis, Tally::Failure);
    assert_eq!(breaker.state(at(millis)), State::Open);
    breaker
}

fn transitions(breaker: &mut Breaker) -> Vec<(&'static str, &'static str, &'static str)> {
    std::iter::from_fn(|| breaker.take_transition())
        .map(|change| (change.from.as_str(), change.to.as_str(), change.cause.as_str()))
        .collect()
}

fn with_rate() -> BreakerSpec {
    BreakerSpec { failures: None, failure_rate: Some(0.5), ..BreakerSpec::default() }
}

#[test]
fn it_opens_at_the_fifth_failure_and_not_before() {
    let mut breaker = Breaker::new(BreakerSpec::default());
    for n in 0..4 {
        call(&mut breaker, n, Tally::Failure);
        call(&mut breaker, n, Tally::Success);
    }
    assert_eq!(breaker.state(at(4)), State::Closed);
    call(&mut breaker, 5, Tally::Failure);
    assert_eq!(breaker.state(at(5)), State::Open);
    assert_eq!(breaker.counts(at(5)), Counts { calls: 9, failures: 5, slow: 0 });
    assert_eq!(transitions(&mut breaker), [("closed", "open", "failures")]);
}

#[test]
fn failures_out_of_the_window_do_not_open_it() {
    let mut breaker = Breaker::new(BreakerSpec::default());
    for n in 0..20 {
        call(&mut breaker, n * 15_000, Tally::Failure);
    }
    assert_eq!(breaker.state(at(19 * 15_000)), State::Closed);
}

#[test]
fn a_rate_is_judged_from_the_minimum_of_calls_on() {
    let mut breaker = Breaker::new(with_rate());
    for _ in 0..19 {
        call(&mut breaker, 0, Tally::Failure);
    }
    assert_eq!(breaker.state(at(0)), State::Closed);
    call(&mut breaker, 0, Tally::Success);
    assert_eq!(transitions(&mut breaker), [("closed", "open", "failure_rate")]);
}

#[test]
fn a_share_below_the_rate_does_not_open_it_and_the_rate_itself_does() {
    let mut breaker = Breaker::new(with_rate());
    for _ in 0..100 {
        call(&mut breaker, 0, Tally::Success);
    }
    for _ in 0..99 {
        call(&mut breaker, 0, Tally::Failure);
    }
    assert_eq!(breaker.state(at(0)), State::Closed);
    call(&mut breaker, 0, Tally::Failure);
    assert_eq!(breaker.state(at(0)), State::Open);
}

#[test]
fn with_both_written_either_opens_it() {
    let mut breaker = Breaker::new(BreakerSpec { failures: Some(5), ..with_rate() });
    for _ in 0..5 {
        call(&mut breaker, 0, Tally::Failure);
    }
    assert_eq!(transitions(&mut breaker), [("closed", "open", "failures")]);
}

#[test]
fn neutral_answers_and_429_are_not_counted() {
    let mut breaker = Breaker::new(BreakerSpec::default());
    for _ in 0..50 {
        call(&mut breaker, 0, Tally::Neutral);
        call(&mut breaker, 0, Tally::RateLimited);
    }
    assert_eq!(breaker.counts(at(0)), Counts::default());
}

#[test]
fn while_open_calls_fail_at_once_with_the_time_left() {
    let mut breaker = opened(BreakerSpec::default(), 1_000);
    let refusal = Refusal { state: State::Open, retry_after: Some(Duration::from_millis(29_999)) };
    assert_eq!(breaker.would_admit(at(1_001)), Err(refusal));
    assert_eq!(breaker.admit(at(1_001)).unwrap_err(), refusal);
    assert_eq!(breaker.due(), Some(at(31_000)));
    assert!(breaker.would_admit(at(30_999)).is_err());
    assert_eq!(breaker.would_admit(at(31_000)), Ok(()));
}

#[test]
fn an_idle_open_breaker_stays_open_until_a_call_asks() {
    let mut breaker = opened(BreakerSpec::default(), 0);
    breaker.advance(at(900_000));
    assert_eq!(breaker.state(at(900_000)), State::Open);
    assert_eq!(breaker.next_deadline(), None);
    assert!(breaker.admit(at(900_000)).unwrap().is_trial());
    assert_eq!(breaker.state(at(900_000)), State::HalfOpen);
    assert_eq!(transitions(&mut breaker), [("closed", "open", "failures"), ("open", "half_open", "due")]);
}

#[test]
fn half_open_gives_exactly_its_permits_in_one_cycle() {
    let mut breaker = opened(BreakerSpec::default(), 0);
    let permits: Vec<_> = (0..3).map(|_| breaker.admit(at(30_000)).unwrap()).collect();
    assert_eq!(breaker.trials_out(), 3);
    let refusal = Refusal { state: State::HalfOpen, retry_after: Some(Duration::from_secs(29)) };
    assert_eq!(breaker.admit(at(31_000)).unwrap_err(), refusal);
    for permit in permits.into_iter().take(2) {
        breaker.record(at(31_000), permit, Tally::Success, Duration::ZERO);
    }
    assert!(breaker.admit(at(31_000)).is_err(), "a success uses its permit up");
    assert_eq!(breaker.trials_out(), 1);
}

#[test]
fn all_successes_close_it_and_empty_the_window() {
    let mut breaker = opened(BreakerSpec::default(), 0);
    for _ in 0..3 {
        assert_eq!(breaker.counts(at(30_000)), Counts { calls: 1, failures: 1, slow: 0 });
        call(&mut breaker, 30_000, Tally::Success);
    }
    assert_eq!(breaker.state(at(30_000)), State::Closed);
    assert_eq!(breaker.counts(at(30_000)), Counts::default());
    assert_eq!(transitions(&mut breaker).last(), Some(&("half_open", "closed", "trials_succeeded")));
}

#[test]
fn without_a_rate_the_first_failure_re_opens() {
    let mut breaker = opened(BreakerSpec::default(), 0);
    let slow = breaker.admit(at(30_000)).unwrap();
    call(&mut breaker, 30_001, Tally::Success);
    call(&mut breaker, 30_002, Tally::Failure);
    assert_eq!(breaker.due(), Some(at(60_002)));
    assert_eq!(transitions(&mut breaker).last(), Some(&("half_open", "open", "trial_failed")));
    breaker.record(at(30_003), slow, Tally::Success, Duration::ZERO);
    assert_eq!(breaker.state(at(30_003)), State::Open);
}

#[test]
fn with_a_rate_it_is_decided_when_all_are_back() {
    for (failures, state) in [(1, State::Closed), (2, State::Open), (3, State::Open)] {
        let mut breaker = opened(with_rate(), 0);
        let permits: Vec<_> = (0..3).map(|_| breaker.admit(at(30_000)).unwrap()).collect();
        for (n, permit) in permits.into_iter().enumerate() {
            assert_eq!(breaker.state(at(30_000)), State::HalfOpen);
            let tally = if n < failures { Tally::Failure } else { Tally::Success };
            breaker.record(at(30_000), permit, tally, Duration::ZERO);
        }
        assert_eq!(breaker.state(at(30_000)), state, "{failures} failures");
    }
}

#[test]
fn a_permit_without_a_verdict_is_there_for_another_call() {
    for settle in [
        |breaker: &mut Breaker, permit| breaker.record(at(30_000), permit, Tally::Neutral, Duration::ZERO),
        |breaker: &mut Breaker, permit| {
            breaker.record(at(30_000), permit, Tally::RateLimited, Duration::ZERO)
        },
        |breaker: &mut Breaker, permit| breaker.release(permit),
    ] {
        let mut breaker = opened(BreakerSpec::default(), 0);
        let mut permits: Vec<_> = (0..3).map(|_| breaker.admit(at(30_000)).unwrap()).collect();
        settle(&mut breaker, permits.pop().unwrap());
        assert_eq!(breaker.trials_out(), 2);
        permits.push(breaker.admit(at(30_000)).unwrap());
        assert!(breaker.admit(at(30_000)).is_err());
    }
}

#[test]
fn a_cycle_without_a_verdict_closes_only_on_neutral_answers_other_than_429() {
    let cases: [(&[Tally], State); 6] = [
        (&[], State::Open),
        (&[Tally::RateLimited], State::Open),
        (&[Tally::Neutral, Tally::RateLimited], State::Closed),
        (&[Tally::Success, Tally::Neutral], State::Closed),
        (&[Tally::Success], State::Open),
        (&[Tally::Neutral, Tally::Failure], State::Open),
    ];
    for (answers, state) in cases {
        let mut breaker = opened(with_rate(), 0);
        breaker.admit(at(30_000)).map(|permit| breaker.release(permit)).unwrap();
        for tally in answers {
            call(&mut breaker, 30_000, *tally);
        }
        assert_eq!(breaker.next_deadline(), Some(at(60_000)));
        assert_eq!(breaker.state(at(59_999)), State::HalfOpen);
        assert_eq!(breaker.state(at(60_000)), state, "{answers:?}");
        breaker.advance(at(60_000));
        assert_eq!(breaker.next_deadline(), None);
        let cause = if state == State::Closed { "trials_neutral" } else { "trials_undecided" };
        assert_eq!(transitions(&mut breaker).last(), Some(&("half_open", state.as_str(), cause)));
    }
}

#[test]
fn a_result_of_another_epoch_changes_nothing() {
    let mut breaker = Breaker::new(BreakerSpec { failures: Some(1), ..BreakerSpec::default() });
    let early: Vec<_> = (0..4).map(|_| breaker.admit(at(0)).unwrap()).collect();
    call(&mut breaker, 0, Tally::Failure);
    let trial = breaker.admit(at(30_000)).unwrap();
    let epoch = breaker.epoch();
    for (permit, tally) in early.into_iter().zip([Tally::Failure, Tally::Success, Tally::Neutral]) {
        breaker.record(at(30_000), permit, tally, Duration::ZERO);
    }
    assert_eq!((breaker.epoch(), breaker.trials_out()), (epoch, 1));
    breaker.release(trial);
    assert_eq!(breaker.trials_out(), 0);
}

#[test]
fn tripped_it_refuses_until_it_expires_and_then_tries() {
    let mut breaker = Breaker::new(BreakerSpec::default());
    trip(&mut breaker, 1_000, "maintenance", Some(Duration::from_secs(60)));
    let refusal = Refusal { state: State::ForcedOpen, retry_after: Some(Duration::from_secs(50)) };
    assert_eq!(breaker.admit(at(11_000)).unwrap_err(), refusal);
    let forced = Manual {
        until: Some(at(61_000)),
        since: Some(now(1_000).wall),
        reason: "maintenance".to_owned(),
        by: By::Operator(None),
    };
    assert_eq!(breaker.mode(), &Mode::ForcedOpen(forced));
    assert_eq!(breaker.next_deadline(), Some(at(61_000)));
    assert_eq!(breaker.would_admit(at(61_000)), Ok(()));
    breaker.advance(at(61_000));
    assert_eq!((breaker.state(at(61_000)), breaker.mode()), (State::HalfOpen, &Mode::Auto));
    assert_eq!(
        transitions(&mut breaker),
        [("closed", "forced_open", "tripped"), ("forced_open", "half_open", "expired")]
    );
}

#[test]
fn tripped_without_an_expiry_it_stays_until_a_reset() {
    let mut breaker = opened(BreakerSpec::default(), 0);
    trip(&mut breaker, 0, "bad data", None);
    let refusal = Refusal { state: State::ForcedOpen, retry_after: None };
    assert_eq!(breaker.would_admit(Mono::MAX), Err(refusal));
    breaker.reset(at(10));
    assert_eq!((breaker.state(at(10)), breaker.mode()), (State::Closed, &Mode::Auto));
    assert_eq!(breaker.counts(at(10)), Counts::default());
    assert_eq!(transitions(&mut breaker).last(), Some(&("forced_open", "closed", "reset")));
}

#[test]
fn a_second_trip_renews_the_words_without_a_change_of_state() {
    let mut breaker = Breaker::new(BreakerSpec::default());
    trip(&mut breaker, 0, "first", None);
    let epoch = breaker.epoch();
    trip(&mut breaker, 5, "second", Some(Duration::from_secs(1)));
    assert_eq!((breaker.epoch(), breaker.next_deadline()), (epoch, Some(at(1_005))));
    assert!(matches!(breaker.mode(), Mode::ForcedOpen(forced) if forced.reason == "second"));
}

#[test]
fn a_reset_of_a_closed_breaker_empties_its_window() {
    let mut breaker = Breaker::new(BreakerSpec::default());
    call(&mut breaker, 0, Tally::Failure);
    breaker.reset(at(0));
    assert_eq!(breaker.counts(at(0)), Counts::default());
    assert_eq!(breaker.take_transition(), None);
}

#[test]
fn after_a_restart_it_keeps_a_manual_mode_else_tries_first() {
    let mut breaker = Breaker::resumed(BreakerSpec::default(), at(7), Mode::Auto);
    assert_eq!(breaker.state(at(7)), State::HalfOpen);
    assert_eq!(transitions(&mut breaker), [("closed", "half_open", "restarted")]);

    for kind in [ModeKind::ForcedOpen, ModeKind::Disabled, ModeKind::MetricsOnly] {
        let by = By::Operator(Some("ada".to_owned()));
        let manual = Manual { until: Some(at(9)), since: None, reason: "why".to_owned(), by };
        let mode = Mode::new(kind, manual);
        let breaker = Breaker::resumed(BreakerSpec::default(), at(7), mode.clone());
        assert_eq!((Some(breaker.state(at(8))), breaker.mode()), (mode.state(), &mode));
        assert_eq!(breaker.state(at(9)), State::HalfOpen);
    }
}

#[test]
fn transitions_that_nobody_takes_are_bounded() {
    let mut breaker = Breaker::new(BreakerSpec::default());
    for n in 0..100 {
        trip(&mut breaker, n, "", None);
        breaker.reset(at(n));
    }
    let kept = transitions(&mut breaker);
    assert_eq!(kept.len(), MAX_TRANSITIONS);
    assert_eq!(kept.last(), Some(&("forced_open", "closed", "reset")));
}

#[test]
fn the_last_so_many_calls_are_judged_however_long_they_took_to_come() {
    let mut breaker =
        Breaker::new(BreakerSpec { failures: Some(3), window_calls: Some(4), ..BreakerSpec::default() });
    let hour = 3_600_000;
    for (n, tally) in [Tally::Failure, Tally::Failure, Tally::Success, Tally::Success].into_iter().enumerate()
    {
        call(&mut breaker, n as u64 * hour, tally);
    }
    call(&mut breaker, 4 * hour, Tally::Failure);
    assert_eq!(breaker.counts(at(4 * hour)), Counts { calls: 4, failures: 2, slow: 0 }, "the first has left");
    assert_eq!(breaker.state(at(4 * hour)), State::Closed);
    call(&mut breaker, 5 * hour, Tally::Failure);
    assert_eq!(breaker.state(at(5 * hour)), State::Closed, "again one comes and one leaves");
    call(&mut breaker, 6 * hour, Tally::Failure);
    assert_eq!(transitions(&mut breaker), [("closed", "open", "failures")]);
}

fn with_slow_rate() -> BreakerSpec {
    let slow_call = Some(Duration::from_millis(100));
    BreakerSpec {
        failures: None,
        slow_call,
        slow_rate: Some(0.5),
        minimum_calls: 4,
        ..BreakerSpec::default()
    }
}

#[test]
fn slow_calls_open_it_whether_they_fail_or_not() {
    let mut breaker = Breaker::new(with_slow_rate());
    for (tally, took) in
        [(Tally::Success, 100), (Tally::Success, 101), (Tally::Neutral, 9_000), (Tally::Failure, 0)]
    {
        call_taking(&mut breaker, 0, tally, took);
    }
    assert_eq!(breaker.counts(at(0)), Counts { calls: 3, failures: 1, slow: 1 });
    call_taking(&mut breaker, 0, Tally::Failure, 5_000);
    assert_eq!(transitions(&mut breaker), [("closed", "open", "slow_rate")]);
}

#[test]
fn trials_that_are_too_slow_re_open_it_when_all_are_back() {
    for (slow, state, cause) in [(1, State::Closed, "trials_succeeded"), (2, State::Open, "trials_slow")] {
        let mut breaker = opened(with_slow_rate(), 0);
        for n in 0..3 {
            assert_eq!(breaker.state(at(30_000)), if n == 0 { State::Open } else { State::HalfOpen });
            call_taking(&mut breaker, 30_000, Tally::Success, if n < slow { 101 } else { 1 });
        }
        assert_eq!(breaker.state(at(30_000)), state);
        assert_eq!(transitions(&mut breaker).last(), Some(&("half_open", state.as_str(), cause)));
    }
}

fn escalating() -> BreakerSpec {
    let (open_multiplier, open_max) = (2.0, Duration::from_secs(100));
    BreakerSpec { open_multiplier, open_max, half_open_calls: 1, ..BreakerSpec::default() }
}

/// How long it is open, each time that its trial fails.
fn open_times(breaker: &mut Breaker, now: &mut u64, times: usize) -> Vec<u128> {
    std::iter::repeat_with(|| {
        let open_for = breaker.due().unwrap().since(at(*now)).as_millis();
        *now += u64::try_from(open_for).unwrap();
        call(breaker, *now, Tally::Failure);
        open_for
    })
    .take(times)
    .collect()
}

#[test]
fn each_further_opening_lasts_longer_until_a_recovery() {
    let (mut breaker, mut now) = (opened(escalating(), 0), 0);
    assert_eq!(open_times(&mut breaker, &mut now, 4), [30_000, 60_000, 100_000, 100_000]);
    assert_eq!(breaker.openings(), 5);
    now += 100_000;
    call(&mut breaker, now, Tally::Success);
    assert_eq!((breaker.state(at(now)), breaker.openings()), (State::Closed, 0));
    call(&mut breaker, now, Tally::Failure);
    assert_eq!(open_times(&mut breaker, &mut now, 2), [30_000, 60_000]);

    breaker.reset(at(now));
    call(&mut breaker, now, Tally::Failure);
    assert_eq!(open_times(&mut breaker, &mut now, 1), [30_000], "a reset forgets them too");
}

#[test]
fn a_trip_is_no_recovery() {
    let (mut breaker, mut now) = (opened(escalating(), 0), 0);
    open_times(&mut breaker, &mut now, 1);
    trip(&mut breaker, now, "exercise", Some(Duration::from_secs(1)));
    now += 1_000;
    call(&mut breaker, now, Tally::Failure);
    assert_eq!(open_times(&mut breaker, &mut now, 1), [100_000]);
}

#[test]
fn disabled_it_counts_and_never_opens() {
    let mut breaker = Breaker::new(BreakerSpec::default());
    call(&mut breaker, 0, Tally::Failure);
    set(&mut breaker, 0, ModeKind::Disabled, None);
    for _ in 0..50 {
        call(&mut breaker, 1, Tally::Failure);
    }
    assert_eq!(breaker.counts(at(1)), Counts { calls: 51, failures: 51, slow: 0 });
    assert_eq!((breaker.state(at(1)), breaker.next_deadline()), (State::Disabled, None));
    assert_eq!(transitions(&mut breaker), [("closed", "disabled", "mode_set")]);
    let manual = breaker.mode().manual().unwrap();
    assert_eq!((manual.reason.as_str(), manual.since), ("exercise", Some(now(0).wall)));
    assert_eq!(manual.by, By::Operator(Some("ada".to_owned())));
}

#[test]
fn a_mode_that_lets_calls_pass_begins_without_what_had_opened_it() {
    for mode in [ModeKind::Disabled, ModeKind::MetricsOnly] {
        let mut breaker = opened(BreakerSpec::default(), 0);
        trip(&mut breaker, 0, "exercise", None);
        set(&mut breaker, 0, mode, None);
        assert_eq!((breaker.counts(at(0)), breaker.openings()), (Counts::default(), 0));
        assert_eq!(breaker.would(at(0)), (mode == ModeKind::MetricsOnly).then_some(State::Closed));
    }
}

#[test]
fn with_metrics_only_it_refuses_nobody_and_tells_what_it_would_have_done() {
    let mut breaker = Breaker::new(BreakerSpec {
        failures: Some(2),
        mode: ModeKind::MetricsOnly,
        ..BreakerSpec::default()
    });
    for n in 0..10 {
        call(&mut breaker, n, Tally::Failure);
    }
    assert_eq!((breaker.state(at(9)), breaker.would(at(9))), (State::MetricsOnly, Some(State::Open)));
    assert_eq!(breaker.counts(at(9)).calls, 2, "the others it would have refused, and not known of");
    let trial = breaker.admit(at(30_001)).unwrap();
    assert!(trial.is_trial());
    breaker.record(at(30_001), trial, Tally::Failure, Duration::ZERO);
    let told: Vec<_> = std::iter::from_fn(|| breaker.take_transition()).collect();
    assert!(told.iter().all(|change| !change.enforced));
    let would: Vec<_> = told.iter().map(|change| (change.would(), change.cause.as_str())).collect();
    assert_eq!(
        would,
        [("would_open", "failures"), ("would_half_open", "due"), ("would_open", "trial_failed")]
    );
    assert_eq!((breaker.due(), breaker.probe_from()), (None, None), "nothing waits for it");
}

#[test]
fn every_mode_that_expires_ends_half_open() {
    for kind in [ModeKind::ForcedOpen, ModeKind::Disabled, ModeKind::MetricsOnly] {
        let mut breaker = Breaker::new(BreakerSpec::default());
        set(&mut breaker, 0, kind, Some(5_000));
        assert_eq!(breaker.next_deadline(), Some(at(5_000)));
        assert_eq!(breaker.state(at(4_999)).as_str(), kind.as_str());
        assert_eq!(breaker.state(at(5_000)), State::HalfOpen);
        assert_eq!((breaker.would_admit(at(5_000)), breaker.would(at(5_000))), (Ok(()), None));
        breaker.advance(at(5_000));
        assert_eq!(breaker.mode(), &Mode::Auto);
        assert_eq!(transitions(&mut breaker).last(), Some(&(kind.as_str(), "half_open", "expired")));
    }
}

#[test]
fn a_mode_that_is_ended_by_hand_ends_half_open_too() {
    let mut breaker = Breaker::new(BreakerSpec::default());
    set(&mut breaker, 0, ModeKind::Auto, None);
    assert_eq!((breaker.state(at(0)), breaker.take_transition()), (State::Closed, None), "it was automatic");
    set(&mut breaker, 0, ModeKind::Disabled, None);
    set(&mut breaker, 0, ModeKind::Auto, Some(10));
    assert_eq!((breaker.state(at(0)), breaker.mode()), (State::HalfOpen, &Mode::Auto));
    assert_eq!(breaker.next_deadline(), Some(at(30_000)), "the automatic mode does not expire");
}

#[test]
fn results_from_before_a_change_of_mode_count_for_nothing() {
    let mut breaker = Breaker::new(BreakerSpec::default());
    let before = breaker.admit(at(0)).unwrap();
    set(&mut breaker, 0, ModeKind::Disabled, None);
    breaker.record(at(0), before, Tally::Failure, Duration::ZERO);
    assert_eq!(breaker.counts(at(0)), Counts::default());
}

#[test]
fn a_probe_is_of_use_while_it_is_due_or_tries() {
    let mut breaker = opened(BreakerSpec { half_open_calls: 1, ..BreakerSpec::default() }, 0);
    assert_eq!(breaker.probe_from(), Some(at(30_000)));
    let trial = breaker.admit(at(30_000)).unwrap();
    assert_eq!(breaker.probe_from(), None, "no permit is left for it");
    breaker.release(trial);
    assert!(breaker.probe_from().is_some_and(|from| from <= at(30_000)));
    trip(&mut breaker, 30_000, "exercise", None);
    assert_eq!(breaker.probe_from(), None);
    breaker.reset(at(30_000));
    assert_eq!(breaker.probe_from(), None);
}

#[test]
fn other_settings_leave_state_window_and_mode_as_they_are() {
    let mut breaker = opened(BreakerSpec::default(), 0);
    let epoch = breaker.epoch();
    let spec = BreakerSpec { open_for: Duration::from_secs(5), half_open_calls: 1, ..BreakerSpec::default() };
    breaker.respec(at(1), spec.clone());
    assert_eq!((breaker.due(), breaker.epoch()), (Some(at(30_000)), epoch), "a wait ends as it was begun");
    assert_eq!(breaker.counts(at(1)).failures, 1);
    call(&mut breaker, 30_000, Tally::Failure);
    assert_eq!(breaker.due(), Some(at(35_000)));
    breaker.respec(at(30_000), BreakerSpec { window_calls: Some(10), ..spec.clone() });
    assert_eq!(breaker.counts(at(30_000)), Counts::default());

    let disabled = BreakerSpec { mode: ModeKind::Disabled, ..spec.clone() };
    breaker.respec(at(30_000), disabled.clone());
    assert_eq!(breaker.state(at(30_000)), State::Disabled);
    assert_eq!(breaker.mode().manual().unwrap().by, By::Settings);
    breaker.respec(at(30_001), spec.clone());
    assert_eq!(breaker.state(at(30_001)), State::HalfOpen);
    assert_eq!(transitions(&mut breaker).last(), Some(&("disabled", "half_open", "reconfigured")));

    trip(&mut breaker, 30_002, "exercise", None);
    breaker.respec(at(30_003), disabled);
    assert_eq!(breaker.state(at(30_003)), State::ForcedOpen, "an operator's word stands");
}
