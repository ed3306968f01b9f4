//! What happened, and could the provider have acted?
//!
//! Two facts decide the class of an exchange: the answer (or how it broke), and whether the request had left. A
//! request of which no byte reached the socket cannot have done anything, so its failure is `transient` even on an
//! endpoint that moves money; the same timeout one byte later is `ambiguous`, because "no answer" is not "no effect".
//! A provider's own rules (an endpoint's `classify`) come before this table and may override it.

use crate::breaker::Tally;
use crate::failure::{ErrorClass, Failure, Reason};

/// Whether calling an endpoint may change something at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// It only reads, or is declared so: it may be sent again at will.
    Safe,
    /// It may act.
    Mutating,
}

impl Safety {
    /// `transient` where the provider's acting would not matter, `ambiguous` where it would.
    const fn doubtful(self) -> ErrorClass {
        match self {
            Self::Safe => ErrorClass::Transient,
            Self::Mutating => ErrorClass::Ambiguous,
        }
    }
}

/// How far an exchange got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No byte of the request reached the socket, or HTTP/2 refused the stream: the provider cannot have acted.
    NotSent,
    /// Anything else.
    Sent,
}

/// What ended an attempt before its own timeouts did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The run's deadline.
    Deadline,
    /// The caller left, or an operator cancelled.
    Cancelled,
}

/// Whether an attempt may be dropped when its caller leaves or its run's deadline passes.
///
/// A mutating request that has left always runs to its own timeout: dropping it would turn an answer that may be on
/// its way into a doubt.
pub const fn may_cut(safety: Safety, phase: Phase) -> bool {
    matches!((safety, phase), (Safety::Safe, _) | (_, Phase::NotSent))
}

/// The class of an exchange that broke before its response was whole.
pub const fn broken(safety: Safety, reason: Reason, phase: Phase) -> ErrorClass {
    match (reason, phase) {
        (Reason::Certificate, _) => ErrorClass::Credential,
        (_, Phase::NotSent) => ErrorClass::Transient,
        (_, Phase::Sent) => safety.doubtful(),
    }
}

/// The class of a whole response by its status alone; `None` for a success.
///
/// `refuses_for_now` says that it carried a usable Retry-After; `resends_key` that this attempt sent an idempotency
/// key that an earlier one had sent already.
pub const fn answered(
    safety: Safety,
    status: u16,
    refuses_for_now: bool,
    resends_key: bool,
) -> Option<ErrorClass> {
    match status {
        200..=299 => None,
        429 => Some(ErrorClass::RateLimited),
        425 => Some(ErrorClass::Transient),
        503 if refuses_for_now => Some(ErrorClass::Transient),
        // The first one may still be running.
        409 if resends_key => Some(ErrorClass::Ambiguous),
        408 | 500.. => Some(safety.doubtful()),
        _ => Some(ErrorClass::Client),
    }
}

/// How the breaker counts a failed attempt.
///
/// Only what tells of the provider's health counts: not our own faults, not the caller's impatience, not a refusal
/// of this one request.
pub const fn tally(failure: &Failure, cut: Option<Cut>) -> Tally {
    if cut.is_some() || matches!(failure.reason, Reason::Lost | Reason::Cancelled) {
        return Tally::Neutral;
    }
    match failure.class {
        ErrorClass::Transient | ErrorClass::Ambiguous | ErrorClass::InvalidResponse => Tally::Failure,
        ErrorClass::RateLimited => Tally::RateLimited,
        ErrorClass::Client
        | ErrorClass::BreakerOpen
        | ErrorClass::Throttled
        | ErrorClass::Overloaded
        | ErrorClass::Deadline
        | ErrorClass::Credential
        | ErrorClass::Internal => Tally::Neutral,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phase_decides_between_failure_and_doubt() {
        for reason in [Reason::Dns, Reason::Refused, Reason::ConnectTimeout, Reason::Tls, Reason::Reset] {
            assert_eq!(broken(Safety::Mutating, reason, Phase::NotSent), ErrorClass::Transient);
        }
        for reason in [Reason::FirstByteTimeout, Reason::BodyTimeout, Reason::TotalTimeout, Reason::Reset] {
            assert_eq!(broken(Safety::Mutating, reason, Phase::Sent), ErrorClass::Ambiguous);
            assert_eq!(broken(Safety::Safe, reason, Phase::Sent), ErrorClass::Transient);
        }
        assert_eq!(broken(Safety::Safe, Reason::Certificate, Phase::NotSent), ErrorClass::Credential);
    }

    #[test]
    fn the_table_of_statuses() {
        use ErrorClass::{Ambiguous, Client, RateLimited, Transient};
        let rows = [
            // status, retry-after, resends key, safe, mutating
            (200, false, false, None, None),
            (204, false, true, None, None),
            (302, false, false, Some(Client), Some(Client)),
            (400, true, false, Some(Client), Some(Client)),
            (401, false, false, Some(Client), Some(Client)),
            (408, false, false, Some(Transient), Some(Ambiguous)),
            (409, false, false, Some(Client), Some(Client)),
            (409, false, true, Some(Ambiguous), Some(Ambiguous)),
            (422, false, true, Some(Client), Some(Client)),
            (425, false, false, Some(Transient), Some(Transient)),
            (429, false, false, Some(RateLimited), Some(RateLimited)),
            (500, true, false, Some(Transient), Some(Ambiguous)),
            (502, false, false, Some(Transient), Some(Ambiguous)),
            (503, false, false, Some(Transient), Some(Ambiguous)),
            (503, true, false, Some(Transient), Some(Transient)),
            (504, false, false, Some(Transient), Some(Ambiguous)),
            (599, false, false, Some(Transient), Some(Ambiguous)),
        ];
        for (status, refuses, resends, safe, mutating) in rows {
            assert_eq!(answered(Safety::Safe, status, refuses, resends), safe, "{status} safe");
            assert_eq!(answered(Safety::Mutating, status, refuses, resends), mutating, "{status} mutating");
        }
    }

    /// The table of the contract, in its own words and order, for every status.
    fn contract(safe: bool, status: u16, retry_after: bool, resends: bool) -> Option<ErrorClass> {
        use ErrorClass::{Ambiguous, Client, RateLimited, Transient};
        let doubtful = if safe { Transient } else { Ambiguous };
        if (200..300).contains(&status) {
            return None;
        }
        if [408, 500, 502, 504].contains(&status) {
            return Some(doubtful);
        }
        if status == 425 || (status == 503 && retry_after) {
            return Some(Transient);
        }
        if status >= 500 {
            return Some(doubtful);
        }
        if status == 429 {
            return Some(RateLimited);
        }
        if status == 409 && resends {
            return Some(Ambiguous);
        }
        Some(Client)
    }

    #[test]
    fn every_status_is_as_the_contract_says() {
        for status in 100..=999 {
            for (retry_after, resends) in [(false, false), (false, true), (true, false), (true, true)] {
                for (safety, safe) in [(Safety::Safe, true), (Safety::Mutating, false)] {
                    assert_eq!(
                        answered(safety, status, retry_after, resends),
                        contract(safe, status, retry_after, resends),
                        "{status} {safety:?}, Retry-After {retry_after}, resends a key {resends}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_break_is_as_the_contract_says() {
        use Reason::{
            BodyTimeout, BodyTooLarge, Cancelled, Certificate, Connect, ConnectTimeout, Dns,
            FirstByteTimeout, Lost, Protocol, Refused, Reset, Tls, TotalTimeout,
        };
        for reason in [
            BodyTimeout,
            BodyTooLarge,
            Cancelled,
            Certificate,
            Connect,
            ConnectTimeout,
            Dns,
            FirstByteTimeout,
            Lost,
            Protocol,
            Refused,
            Reset,
            Tls,
            TotalTimeout,
            Reason::None,
        ] {
            for phase in [Phase::NotSent, Phase::Sent] {
                for safety in [Safety::Safe, Safety::Mutating] {
                    let expected = match (reason, phase, safety) {
                        (Certificate, _, _) => ErrorClass::Credential,
                        (_, Phase::Sent, Safety::Mutating) => ErrorClass::Ambiguous,
                        _ => ErrorClass::Transient,
                    };
                    assert_eq!(broken(safety, reason, phase), expected, "{reason:?} {phase:?} {safety:?}");
                }
            }
        }
    }

    #[test]
    fn only_what_tells_of_health_counts() {
        let failure = |class| Failure::new(class, "code", "message");
        assert_eq!(tally(&failure(ErrorClass::Ambiguous), None), Tally::Failure);
        assert_eq!(tally(&failure(ErrorClass::RateLimited), None), Tally::RateLimited);
        assert_eq!(tally(&failure(ErrorClass::Client), None), Tally::Neutral);
        assert_eq!(tally(&failure(ErrorClass::Transient), Some(Cut::Deadline)), Tally::Neutral);
        assert_eq!(tally(&failure(ErrorClass::Ambiguous).because(Reason::Lost), None), Tally::Neutral);
    }

    #[test]
    fn what_has_left_and_may_act_is_never_cut() {
        assert!(!may_cut(Safety::Mutating, Phase::Sent));
        assert!(may_cut(Safety::Mutating, Phase::NotSent));
        assert!(may_cut(Safety::Safe, Phase::Sent));
    }
}
