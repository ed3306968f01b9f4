//! What a call is told that is not allowed an attempt.

use std::time::Duration;

use crate::breaker::{Refusal, State};
use crate::failure::{ErrorClass, Failure};
use crate::limits::ASK_AGAIN;
use crate::name::LimitName;

pub(super) fn deadline_exceeded() -> Failure {
    Failure::new(
        ErrorClass::Deadline,
        "deadline_exceeded",
        "the deadline passed before an attempt could start",
    )
}

pub(super) fn breaker_open(refusal: &Refusal) -> Failure {
    let message = match refusal.state {
        State::ForcedOpen => "an operator has opened the circuit breaker",
        State::HalfOpen => "the circuit breaker is half-open and all its trial calls are out",
        State::Open | State::Closed | State::Disabled | State::MetricsOnly => "the circuit breaker is open",
    };
    Failure::new(ErrorClass::BreakerOpen, "breaker_open", message).retry_after(refusal.retry_after)
}

pub(super) fn key_forgotten() -> Failure {
    let message = "the provider no longer knows the key of the first attempt, so it is not sent again";
    Failure::new(ErrorClass::Ambiguous, "key_forgotten", message)
}

pub(super) fn cost_exceeds_limit(limit: &LimitName) -> Failure {
    let message = format!(
        "the request costs more than limit `{limit}` can ever hold; raise the limit's burst or lower the cost"
    );
    Failure::new(ErrorClass::Internal, "cost_exceeds_limit", message)
}

/// The code of a step, and of an answer, that the store has failed.
pub const STORE_UNAVAILABLE: &str = "store_unavailable";

pub(super) fn not_reserved(limit: &LimitName) -> Failure {
    let message = format!(
        "nothing was sent: what it takes of limit `{limit}` could not be written down before, for the store fails"
    );
    Failure::new(ErrorClass::Overloaded, STORE_UNAVAILABLE, message).retry_after(Some(ASK_AGAIN))
}

pub(super) fn throttled(wait: Duration) -> Failure {
    let message = "the rate budget has no token in the time left";
    Failure::new(ErrorClass::Throttled, "throttled", message).retry_after(Some(wait))
}

pub(super) fn queue_full_of_throttled(wait: Duration) -> Failure {
    let message = "the rate budget has no token, and the admission queue is full";
    Failure::new(ErrorClass::Throttled, "throttled", message).retry_after(Some(wait))
}

pub(super) fn overloaded(message: &'static str, wait: Duration) -> Failure {
    Failure::new(ErrorClass::Overloaded, "overloaded", message).retry_after(Some(wait))
}
