//! Single situations, told one by one.

use super::*;
use crate::breaker::Cause;

fn spec() -> IntegrationSpec {
    IntegrationSpec {
        breaker: BreakerSpec::default(),
        retry: RetrySpec { jitter: 0.0, ..RetrySpec::default() },
        pool: PoolSpec::default(),
        limits: Vec::new(),
        endpoints: vec![Resend::Safe, Resend::Key { retention: Duration::from_secs(60) }],
    }
}

fn at(secs: u64) -> Mono {
    Mono::from_origin(Duration::from_secs(secs))
}

fn call(id: u64, endpoint: usize) -> Call {
    Call { id: CallId(id), endpoint, deadline: at(600) }
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
    let mut core = Integration::new(spec(), at(0), 0);
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
    let mut core = Integration::new(spec(), at(0), 0);
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
    let mut core = Integration::new(IntegrationSpec { pool, ..spec() }, at(0), 0);
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
                Effect::Answer { .. } | Effect::Stop(_) | Effect::Pending(_) | Effect::Transition(_) => {}
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
    let mut core = Integration::<()>::new(spec(), at(0), 0);
    for id in 0..5 {
        core.admit(at(0), Call { deadline: at(1), ..call(id, 0) });
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
    let mut core = Integration::<()>::new(spec(), at(0), 0);
    for id in 0..6 {
        core.admit(at(0), call(id, 0));
    }
    for attempt in sends(&mut core) {
        core.finished(at(1), attempt, end(failed(ErrorClass::RateLimited)));
    }
    assert_eq!(core.view(at(1)).parked_for, Some(Duration::from_secs(1)));
}
