//! Retries of queued work: the same shape as those of a caller who waits, but with time.
//!
//! Nobody stands at the door, so a wait never ends the work: it is parked until then. What ends it is the number of
//! tries and its age, whichever is first. Only an attempt that the provider could have judged counts as a try: work
//! that an open breaker, a limit or the pool has kept waiting has not been tried, and neither has a trial of a
//! half-open breaker that failed, for it was sent to find out about the provider.

use std::time::Duration;

use super::{RetrySpec, backoff, is_retryable};
use crate::failure::{ErrorClass, Failure};

/// A piece of queued work that did not succeed, and asks what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuedAsk {
    /// Tries so far that counted, without this one.
    pub tries: u32,
    /// How this one ended.
    pub class: ErrorClass,
    /// The wait that the provider named, or that breaker, limits or pool tell.
    pub retry_after: Option<Duration>,
    /// Since its first attempt; `None` if there was none yet.
    pub age: Option<Duration>,
    /// Whether sending it again is harmless although an attempt may have acted.
    pub may_resend: bool,
    /// Whether it was a trial of a half-open breaker.
    pub trial: bool,
}

/// What queued work is judged by that ended with this failure. A fault of our own that passes (an actor that is rebuilt, or
/// has gone) says nothing of the work: it is kept waiting, as by a pool without room.
pub fn class_of(failure: &Failure) -> ErrorClass {
    let passes =
        matches!(&*failure.code, "integration_restarting" | "integration_restarted" | "integration_lost");
    if failure.class == ErrorClass::Internal && passes { ErrorClass::Overloaded } else { failure.class }
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueuedDecision {
    /// It is parked for this long, and then tried again.
    Park {
        /// The wait, jitter included.
        wait: Duration,
        /// Tries so far that counted, with this one if it did.
        tries: u32,
    },
    /// It is for a person now.
    GiveUp(QueuedWhy),
}

/// Why it is not tried any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueuedWhy {
    /// Another attempt would fail the same way, or might act twice.
    NotRetryable,
    /// It was tried as often as it may be.
    RetriesUsedUp,
    /// It would be older by then than it may become.
    TooOld,
}

/// Decides what becomes of queued work; `jitter_unit` (0 to 1) comes from a [`Jitter`](super::Jitter).
///
/// The provider's wait takes the place of our own, whether longer or shorter: it knows best.
pub fn decide(spec: &RetrySpec, asked: &QueuedAsk, jitter_unit: f64) -> QueuedDecision {
    let kept_waiting =
        matches!(asked.class, ErrorClass::BreakerOpen | ErrorClass::Throttled | ErrorClass::Overloaded);
    let retryable = is_retryable(asked.class, asked.may_resend);
    if !kept_waiting && !retryable {
        return QueuedDecision::GiveUp(QueuedWhy::NotRetryable);
    }
    let counts = !kept_waiting && !asked.trial;
    let tries = asked.tries.saturating_add(u32::from(counts));
    if counts && tries > spec.queued.max_retries {
        return QueuedDecision::GiveUp(QueuedWhy::RetriesUsedUp);
    }
    let wait = match asked.retry_after {
        Some(named) => backoff::named_delay(spec, named, jitter_unit),
        None => {
            let rate_limited = asked.class == ErrorClass::RateLimited;
            backoff::queued_delay(spec, rate_limited, tries.max(1), jitter_unit)
        }
    };
    let then = asked.age.map(|age| age.saturating_add(wait));
    if then.is_some_and(|then| then >= spec.queued.give_up_after) {
        return QueuedDecision::GiveUp(QueuedWhy::TooOld);
    }
    QueuedDecision::Park { wait, tries }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn asked(class: ErrorClass) -> QueuedAsk {
        QueuedAsk { tries: 0, class, retry_after: None, age: Some(HOUR), may_resend: false, trial: false }
    }

    fn answer(asked: &QueuedAsk) -> QueuedDecision {
        decide(&RetrySpec::default(), asked, 0.0)
    }

    const fn parked(secs: u64, tries: u32) -> QueuedDecision {
        QueuedDecision::Park { wait: Duration::from_secs(secs), tries }
    }

    #[test]
    fn a_fault_of_our_own_that_passes_burns_no_try() {
        let of = |code: &'static str| class_of(&Failure::new(ErrorClass::Internal, code, "m"));
        assert_eq!(of("integration_restarting"), ErrorClass::Overloaded);
        assert_eq!(of("request_mapping_failed"), ErrorClass::Internal);
        let class = of("integration_lost");
        assert!(matches!(answer(&asked(class)), QueuedDecision::Park { tries: 0, .. }));
    }

    #[test]
    fn waits_grow_to_ten_minutes_and_the_twenty_first_try_is_the_last() {
        let transient = asked(ErrorClass::Transient);
        let waits: Vec<_> = (0..20).map(|tries| answer(&QueuedAsk { tries, ..transient })).collect();
        assert_eq!(waits[..4], [parked(1, 1), parked(2, 2), parked(4, 3), parked(8, 4)]);
        assert_eq!((waits[9], waits[19]), (parked(512, 10), parked(600, 20)));
        let last = answer(&QueuedAsk { tries: 20, ..transient });
        assert_eq!(last, QueuedDecision::GiveUp(QueuedWhy::RetriesUsedUp));
    }

    #[test]
    fn a_long_wait_parks_where_a_caller_would_give_up() {
        let day = QueuedAsk { retry_after: Some(24 * HOUR), ..asked(ErrorClass::RateLimited) };
        assert_eq!(answer(&day), parked(24 * 3600, 1));
    }

    #[test]
    fn what_would_be_too_old_by_then_is_given_up() {
        let old = QueuedAsk { age: Some(71 * HOUR), ..asked(ErrorClass::Transient) };
        assert_eq!(answer(&old), parked(1, 1));
        let too_old = QueuedDecision::GiveUp(QueuedWhy::TooOld);
        assert_eq!(answer(&QueuedAsk { retry_after: Some(HOUR), ..old }), too_old);
        assert_eq!(answer(&QueuedAsk { age: Some(72 * HOUR), ..old }), too_old);
    }

    #[test]
    fn what_was_only_kept_waiting_burns_no_try() {
        for class in [ErrorClass::BreakerOpen, ErrorClass::Throttled, ErrorClass::Overloaded] {
            let waits = QueuedAsk {
                tries: 20,
                retry_after: Some(Duration::from_secs(30)),
                age: None,
                ..asked(class)
            };
            assert_eq!(answer(&waits), parked(30, 20), "{class:?}");
        }
    }

    #[test]
    fn a_trial_that_fails_burns_no_try() {
        let trial = QueuedAsk { tries: 20, trial: true, ..asked(ErrorClass::Transient) };
        assert_eq!(answer(&trial), parked(600, 20));
        let refused = QueuedAsk { trial: true, ..asked(ErrorClass::Client) };
        assert_eq!(answer(&refused), QueuedDecision::GiveUp(QueuedWhy::NotRetryable));
    }

    #[test]
    fn what_may_have_acted_is_resent_only_where_that_is_harmless() {
        let ambiguous = asked(ErrorClass::Ambiguous);
        assert_eq!(answer(&ambiguous), QueuedDecision::GiveUp(QueuedWhy::NotRetryable));
        assert_eq!(answer(&QueuedAsk { may_resend: true, ..ambiguous }), parked(1, 1));
    }

    proptest! {
        #[test]
        fn never_earlier_than_asked_never_too_old_and_never_too_often(
            tries in 0_u32..30,
            class in prop::sample::select(ErrorClass::ALL.to_vec()),
            named in prop::option::of(0_u64..400_000),
            age in prop::option::of(0_u64..300_000),
            (may_resend, trial) in any::<(bool, bool)>(),
            unit in 0.0_f64..1.0,
        ) {
            let retry_after = named.map(Duration::from_secs);
            let age = age.map(Duration::from_secs);
            let asked = QueuedAsk { tries, class, retry_after, age, may_resend, trial };
            if let QueuedDecision::Park { wait, tries: counted } = decide(&RetrySpec::default(), &asked, unit) {
                prop_assert!(retry_after.is_none_or(|named| wait >= named));
                prop_assert!(age.is_none_or(|age| age + wait < 72 * HOUR));
                prop_assert!(counted == tries || (counted == tries + 1 && counted <= 20));
            }
        }
    }
}
