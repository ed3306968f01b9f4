//! Retries: whether a failed attempt is followed by another, and after which wait.
//!
//! A retry must be worth it: only a failure that may pass is tried again ([`decide`]), only where it does no harm
//! ([`Asked::may_resend`]), only so often, and only if the wait fits. The provider's word on the wait rules
//! ([`retry_after`]); without one the wait grows from retry to retry ([`backoff`]). Every wait is spread at random,
//! and only upward ([`Jitter`]). All of an integration's retries together are bounded by a share of its first attempts
//! ([`RetryBudget`]), so that they never make much of a provider's trouble. What cannot be in time is given up at once, with the wait told, so that the caller
//! can use the time left; queued work, which has time, waits instead ([`queued`]).

pub mod backoff;
mod budget;
mod header;
mod jitter;
pub mod queued;

use std::time::Duration;

use http::HeaderName;

pub use self::budget::{Charge, RetryBudget};
pub use self::header::{LONGEST_RETRY_AFTER, retry_after, wait_named};
pub use self::jitter::Jitter;
use crate::failure::ErrorClass;
use crate::limits::ResetForm;

/// How often, and after which waits, a synchronous step is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetrySpec {
    /// Attempts after the first; 0 turns retries off.
    pub max_retries: u32,
    /// The wait before the first retry.
    pub base_delay: Duration,
    /// What each further wait is multiplied by (≥ 1).
    pub multiplier: f64,
    /// The longest wait of our own making.
    pub max_delay: Duration,
    /// Up to this share is added to a wait, at random (0 to 1).
    pub jitter: f64,
    /// Whether the first retry of a `transient` failure goes without a wait.
    pub first_retry_immediately: bool,
    /// The wait after a 429 that names none; doubles with each further one.
    pub rate_limit_delay: Duration,
    /// Retries in the last 10 s may be this share of the first attempts in them.
    pub budget: f64,
    /// Retries there may be in 10 s whatever the share.
    pub budget_min: u32,
    /// A synchronous step gives up at once when the provider asks for more than this.
    pub max_retry_after: Duration,
    /// Headers besides Retry-After that tell when to come back, in the order they are looked at.
    pub reset_headers: Vec<ResetHeader>,
    /// What holds for queued work instead.
    pub queued: QueuedRetrySpec,
}

/// A header in which a provider tells when to come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetHeader {
    /// The header.
    pub name: HeaderName,
    /// How the time is written in it.
    pub form: ResetForm,
}

/// How often, and for how long, queued work is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedRetrySpec {
    /// Attempts after the first.
    pub max_retries: u32,
    /// The longest wait of our own making.
    pub max_delay: Duration,
    /// From the first attempt on; whichever is reached first.
    pub give_up_after: Duration,
}

impl Default for QueuedRetrySpec {
    fn default() -> Self {
        Self {
            max_retries: 20,
            max_delay: Duration::from_secs(600),
            give_up_after: Duration::from_secs(72 * 3600),
        }
    }
}

impl Default for RetrySpec {
    fn default() -> Self {
        Self {
            max_retries: 3,
            base_delay: Duration::from_secs(1),
            multiplier: 2.0,
            max_delay: Duration::from_secs(30),
            jitter: 0.25,
            first_retry_immediately: false,
            rate_limit_delay: Duration::from_secs(1),
            budget: 0.2,
            budget_min: 3,
            max_retry_after: Duration::from_secs(300),
            reset_headers: Vec::new(),
            queued: QueuedRetrySpec::default(),
        }
    }
}

/// Why retries cannot work with their settings.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RetrySpecError {
    /// Waits would shrink, or be no number.
    #[error("`multiplier` of the retries is {0}: set it to 1 or more")]
    Multiplier(f64),
    /// A jitter that is no share.
    #[error("`jitter` of the retries is {0}: set it from 0 to 1")]
    Jitter(f64),
    /// A first wait above the longest.
    #[error("`{0}` of the retries is above `max_delay`: lower the one or raise the other")]
    AboveMaxDelay(&'static str),
}

impl RetrySpec {
    /// Whether waits grow within their bounds.
    ///
    /// # Errors
    /// [`RetrySpecError`], naming the first setting that is out of range.
    pub fn check(&self) -> Result<(), RetrySpecError> {
        if !(self.multiplier >= 1.0 && self.multiplier.is_finite()) {
            return Err(RetrySpecError::Multiplier(self.multiplier));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(RetrySpecError::Jitter(self.jitter));
        }
        let first = [("base_delay", self.base_delay), ("rate_limit_delay", self.rate_limit_delay)];
        let above = first.iter().find(|(_, delay)| *delay > self.max_delay);
        above.map_or(Ok(()), |(name, _)| Err(RetrySpecError::AboveMaxDelay(name)))
    }
}

/// A failed attempt that asks for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The retry it would be: 1 after the first attempt.
    pub retry_number: u32,
    /// How the attempt failed.
    pub class: ErrorClass,
    /// The wait the provider named.
    pub retry_after: Option<Duration>,
    /// What is left until the deadline; `None` without one.
    pub time_left: Option<Duration>,
    /// Whether sending it again is harmless although the attempt may have acted: the endpoint is safe, or has a key
    /// or a way to verify.
    pub may_resend: bool,
}

/// Whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// After this wait.
    Retry(Duration),
    /// Not any more.
    GiveUp(Why),
}

/// Why not to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Another attempt would fail the same way, or might act twice.
    NotRetryable,
    /// It was tried as often as it may be.
    RetriesUsedUp,
    /// The provider asks for more than `max_retry_after`.
    TooLong {
        /// The wait the provider named.
        wait: Duration,
    },
    /// The wait would end at the deadline or after it.
    DeadlineTooNear {
        /// The wait that would have been, jitter included.
        wait: Duration,
    },
}

/// Decides about one more attempt; `jitter_unit` (0 to 1) comes from a [`Jitter`].
///
/// The provider's wait takes the place of our own, whether longer or shorter: it knows best.
pub fn decide(spec: &RetrySpec, asked: &Asked, jitter_unit: f64) -> Decision {
    if !is_retryable(asked.class, asked.may_resend) {
        return Decision::GiveUp(Why::NotRetryable);
    }
    if asked.retry_number > spec.max_retries {
        return Decision::GiveUp(Why::RetriesUsedUp);
    }
    let wait = match asked.retry_after {
        Some(wait) if wait > spec.max_retry_after => return Decision::GiveUp(Why::TooLong { wait }),
        Some(named) => backoff::named_delay(spec, named, jitter_unit),
        None if asked.class == ErrorClass::RateLimited => {
            backoff::rate_limit_delay(spec, asked.retry_number, jitter_unit)
        }
        None if goes_at_once(spec, asked) => Duration::ZERO,
        None => backoff::delay(spec, asked.retry_number, jitter_unit),
    };
    if asked.time_left.is_some_and(|left| wait >= left) {
        return Decision::GiveUp(Why::DeadlineTooNear { wait });
    }
    Decision::Retry(wait)
}

/// Whether it is the first retry of a failure that a second look may not see again, and such go without a wait.
fn goes_at_once(spec: &RetrySpec, asked: &Asked) -> bool {
    spec.first_retry_immediately && asked.retry_number == 1 && asked.class == ErrorClass::Transient
}

const fn is_retryable(class: ErrorClass, may_resend: bool) -> bool {
    match class {
        ErrorClass::Transient | ErrorClass::RateLimited => true,
        ErrorClass::Ambiguous => may_resend,
        ErrorClass::Client
        | ErrorClass::BreakerOpen
        | ErrorClass::Throttled
        | ErrorClass::Overloaded
        | ErrorClass::Deadline
        | ErrorClass::InvalidResponse
        | ErrorClass::Credential
        | ErrorClass::Internal => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(class: ErrorClass) -> Asked {
        Asked { retry_number: 1, class, retry_after: None, time_left: None, may_resend: false }
    }

    fn answer(asked: &Asked) -> Decision {
        decide(&RetrySpec::default(), asked, 0.0)
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn transient_rate_limited_and_resendable_failures_are_tried_again() {
        for class in ErrorClass::ALL {
            let passes = matches!(class, ErrorClass::Transient | ErrorClass::RateLimited);
            let resendable = passes || class == ErrorClass::Ambiguous;
            for (may_resend, expected) in [(false, passes), (true, resendable)] {
                let decision = answer(&Asked { may_resend, ..asked(class) });
                let wanted =
                    if expected { Decision::Retry(secs(1)) } else { Decision::GiveUp(Why::NotRetryable) };
                assert_eq!(decision, wanted, "{class:?}, may_resend {may_resend}");
            }
        }
    }

    #[test]
    fn the_first_retry_of_a_transient_failure_may_go_at_once() {
        let spec = RetrySpec { first_retry_immediately: true, ..RetrySpec::default() };
        let wait = |asked: &Asked| decide(&spec, asked, 1.0);
        let transient = asked(ErrorClass::Transient);
        assert_eq!(wait(&transient), Decision::Retry(Duration::ZERO));
        assert_eq!(
            wait(&Asked { retry_number: 2, ..transient }),
            Decision::Retry(Duration::from_millis(2_500))
        );
        assert_eq!(
            wait(&Asked { retry_after: Some(secs(4)), ..transient }),
            Decision::Retry(Duration::from_millis(4_250))
        );
        assert_eq!(wait(&asked(ErrorClass::RateLimited)), Decision::Retry(Duration::from_millis(1_250)));
        let ambiguous = Asked { may_resend: true, ..asked(ErrorClass::Ambiguous) };
        assert_eq!(wait(&ambiguous), Decision::Retry(Duration::from_millis(1_250)));
        assert_eq!(answer(&transient), Decision::Retry(secs(1)), "only where it is set");
    }

    #[test]
    fn three_retries_and_no_more() {
        let retry = |retry_number| answer(&Asked { retry_number, ..asked(ErrorClass::Transient) });
        assert_eq!([retry(1), retry(2), retry(3)], [1, 2, 4].map(|wait| Decision::Retry(secs(wait))));
        assert_eq!(retry(4), Decision::GiveUp(Why::RetriesUsedUp));
        let off = RetrySpec { max_retries: 0, ..RetrySpec::default() };
        assert_eq!(decide(&off, &asked(ErrorClass::Transient), 0.0), Decision::GiveUp(Why::RetriesUsedUp));
    }

    #[test]
    fn the_wait_that_the_provider_names_is_kept_with_jitter_only_upward() {
        let named = |class, wait| Asked { retry_after: Some(secs(wait)), ..asked(class) };
        let spec = RetrySpec::default();
        let late = decide(&spec, &named(ErrorClass::RateLimited, 60), 1.0);
        assert_eq!(late, Decision::Retry(Duration::from_millis(60_250)));
        assert_eq!(answer(&named(ErrorClass::Transient, 60)), Decision::Retry(secs(60)));
        assert_eq!(answer(&named(ErrorClass::RateLimited, 0)), Decision::Retry(Duration::ZERO));
    }

    #[test]
    fn a_429_without_a_wait_doubles_its_own_delay() {
        let spec = RetrySpec { rate_limit_delay: secs(5), max_retries: 9, ..RetrySpec::default() };
        let waits = (1..=5).map(|retry_number| {
            decide(&spec, &Asked { retry_number, ..asked(ErrorClass::RateLimited) }, 0.0)
        });
        assert!(waits.eq([5, 10, 20, 30, 30].map(|wait| Decision::Retry(secs(wait)))));
    }

    #[test]
    fn a_wait_above_the_longest_is_given_up_at_once_and_told() {
        let named = |wait| answer(&Asked { retry_after: Some(secs(wait)), ..asked(ErrorClass::RateLimited) });
        assert_eq!(named(300), Decision::Retry(secs(300)));
        assert_eq!(named(301), Decision::GiveUp(Why::TooLong { wait: secs(301) }));
    }

    #[test]
    fn a_wait_that_does_not_fit_the_time_left_is_given_up_at_once_and_told() {
        let left = |millis| Some(Duration::from_millis(millis));
        let within = |time_left| answer(&Asked { time_left, ..asked(ErrorClass::Transient) });
        assert_eq!(within(left(1_001)), Decision::Retry(secs(1)));
        assert_eq!(within(left(1_000)), Decision::GiveUp(Why::DeadlineTooNear { wait: secs(1) }));
        let named =
            Asked { retry_after: Some(secs(60)), time_left: left(5_000), ..asked(ErrorClass::RateLimited) };
        assert_eq!(answer(&named), Decision::GiveUp(Why::DeadlineTooNear { wait: secs(60) }));
    }

    #[test]
    fn a_spec_that_cannot_work_is_refused_by_name() {
        let refused = |change: fn(&mut RetrySpec)| {
            let mut spec = RetrySpec::default();
            change(&mut spec);
            spec.check().unwrap_err().to_string()
        };
        assert_eq!(RetrySpec::default().check(), Ok(()));
        assert!(refused(|spec| spec.multiplier = 0.9).contains("`multiplier`"));
        assert!(refused(|spec| spec.multiplier = f64::INFINITY).contains("`multiplier`"));
        assert!(refused(|spec| spec.jitter = f64::NAN).contains("`jitter`"));
        assert!(refused(|spec| spec.jitter = 1.5).contains("1.5"));
        assert!(refused(|spec| spec.base_delay = Duration::from_secs(31)).contains("`base_delay`"));
        assert!(refused(|spec| spec.rate_limit_delay = Duration::MAX).contains("`rate_limit_delay`"));
    }

    proptest! {
        #[test]
        fn never_earlier_than_asked_and_never_past_the_deadline(
            retry_number in 1_u32..10,
            named in prop::option::of(0_u64..400_000),
            left in prop::option::of(0_u64..400_000),
            unit in 0.0_f64..1.0,
        ) {
            let asked = Asked {
                retry_number,
                class: ErrorClass::RateLimited,
                retry_after: named.map(Duration::from_millis),
                time_left: left.map(Duration::from_millis),
                may_resend: false,
            };
            if let Decision::Retry(wait) = decide(&RetrySpec::default(), &asked, unit) {
                prop_assert!(asked.retry_after.is_none_or(|named| wait >= named));
                prop_assert!(asked.time_left.is_none_or(|left| wait < left));
                prop_assert!(asked.retry_after.is_none_or(|named| named <= secs(300)));
                prop_assert!(retry_number <= 3);
            }
        }
    }
}
