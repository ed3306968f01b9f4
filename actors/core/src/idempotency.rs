//! Outward idempotency: one key for ever, one gate for every resend, and doubt that does not wear off.
//!
//! A step's key is derived from its run and its name, so every attempt of it, in this process or a later one, sends
//! the same. Whether an attempt may be repeated is asked at one place, [`Resend::allows`]. And once an attempt has
//! ended ambiguously, [`Doubt`] holds until the provider itself settles it: a refusal, an open breaker or a lapsed
//! deadline afterwards says nothing about what the first attempt did.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::classify::Safety;
use crate::failure::{ErrorClass, Failure, Reason};
use crate::name::{RunId, StepName};

mod canonical;

pub use canonical::canonical;

/// Which call of a step: each has a key of its own, since each is another request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// To the provider that the step names.
    #[default]
    Primary,
    /// To the n-th provider, from 0, that stands in for it.
    Alternate(usize),
    /// To take it back.
    Undo,
    /// To ask its provider whether it has acted.
    Verify,
}

impl Role {
    /// The word used in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Alternate(_) => "alternate",
            Self::Undo => "undo",
            Self::Verify => "verify",
        }
    }
}

/// The key that every attempt of one call sends: `cw_` and 32 hexadecimal digits, derived from run, step and role. No
/// step's name has a slash, so that no two calls of a run have the same.
pub fn outward_key(run: &RunId, step: &StepName, role: Role) -> String {
    let digest = Sha256::new().chain_update(run.as_str()).chain_update(b"/").chain_update(step.as_str());
    let digest = match role {
        Role::Primary => digest,
        Role::Alternate(number) => digest.chain_update(format!("/alternate/{number}")),
        Role::Undo => digest.chain_update(b"/undo"),
        Role::Verify => digest.chain_update(b"/verify"),
    };
    let digest = digest.finalize();
    let mut key = String::with_capacity(35);
    key.push_str("cw_");
    for byte in digest.iter().take(16) {
        for nibble in [byte >> 4, byte & 15] {
            key.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    key
}

/// What makes it harmless to send an endpoint's request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resend {
    /// It only reads.
    Safe,
    /// The provider knows the key again for this long after it first saw it.
    Key {
        /// How long the provider keeps keys.
        retention: Duration,
    },
    /// Nothing: an ambiguous attempt stays ambiguous.
    Never,
}

impl Resend {
    /// Whether a request that was first sent so long ago may be sent again.
    pub fn allows(self, sent_ago: Option<Duration>) -> bool {
        match (self, sent_ago) {
            (_, None) | (Self::Safe, _) => true,
            (Self::Key { retention }, Some(age)) => age < retention,
            (Self::Never, Some(_)) => false,
        }
    }

    /// Whether a request that breaks after it was sent leaves a doubt that nothing can settle: it must not meet a
    /// connection that the provider may have closed meanwhile.
    pub const fn needs_recent_connection(self) -> bool {
        matches!(self, Self::Never)
    }

    /// Whether the endpoint may change something.
    pub const fn safety(self) -> Safety {
        match self {
            Self::Safe => Safety::Safe,
            Self::Key { .. } | Self::Never => Safety::Mutating,
        }
    }
}

/// Whether it is in doubt that a step has acted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubt(bool);

impl Doubt {
    /// Of a request that may have been sent in a former life, if it may.
    pub const fn since(sent: Option<Duration>) -> Self {
        Self(sent.is_some())
    }

    /// Whether there is doubt.
    pub const fn exists(self) -> bool {
        self.0
    }

    /// Takes a failed attempt into account.
    pub fn observe(&mut self, failure: &Failure) {
        if failure.class == ErrorClass::Ambiguous {
            self.0 = true;
        } else if settles(failure) {
            self.0 = false;
        }
    }
}

/// What is known of a request that was about to be sent, or out, when the process ended.
pub fn interrupted() -> Failure {
    let message = "the server was interrupted while the request may have been out";
    Failure::new(ErrorClass::Ambiguous, "interrupted", message).because(Reason::Lost)
}

/// Whether a failure under the same key tells for certain what became of the first attempt.
///
/// An answer that the provider could parse but not use (`invalid_response`) tells that the effect is done. A refused
/// payment (402), and a refusal that a rule of the endpoint has named as such, tell that it was not done. Other
/// refusals tell nothing: providers answer 400, 409, 422 and 423 to say that the first attempt is still running or has
/// been done already.
fn settles(failure: &Failure) -> bool {
    match failure.class {
        ErrorClass::InvalidResponse => true,
        ErrorClass::Client => failure.ruled || failure.provider_status == Some(402),
        ErrorClass::Transient
        | ErrorClass::RateLimited
        | ErrorClass::Ambiguous
        | ErrorClass::BreakerOpen
        | ErrorClass::Throttled
        | ErrorClass::Overloaded
        | ErrorClass::Deadline
        | ErrorClass::Credential
        | ErrorClass::Internal => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(status: u16) -> Failure {
        Failure::new(ErrorClass::Client, "c", "m").status(Some(status))
    }

    #[test]
    fn the_key_depends_on_run_step_and_role_alone() {
        let key =
            |run: &str, step: &str, role| outward_key(&RunId::new(run), &StepName::new(step).unwrap(), role);
        let charge = key("run_1", "charge", Role::Primary);
        // printf 'run_1/charge' | sha256sum
        assert_eq!(charge, "cw_908c35832bcededb8a97ec43b03a8290");
        assert_eq!(charge, key("run_1", "charge", Role::Primary));
        let others = [
            key("run_2", "charge", Role::Primary),
            key("run_1", "refund", Role::Primary),
            key("run_1", "charge", Role::Undo),
            key("run_1", "charge", Role::Alternate(0)),
            key("run_1", "charge", Role::Alternate(1)),
        ];
        for (n, other) in others.iter().enumerate() {
            assert_ne!(&charge, other);
            assert!(!others[..n].contains(other));
        }
    }

    #[test]
    fn the_gate() {
        let hour = Duration::from_secs(3600);
        assert!(Resend::Never.allows(None));
        assert!(!Resend::Never.allows(Some(hour)));
        assert!(Resend::Safe.allows(Some(hour)));
        assert!(Resend::Key { retention: hour * 2 }.allows(Some(hour)));
        assert!(!Resend::Key { retention: hour }.allows(Some(hour)));
    }

    #[test]
    fn doubt_is_sticky_until_the_provider_settles_it() {
        let mut doubt = Doubt::default();
        doubt.observe(&client(402));
        assert!(!doubt.exists());
        doubt.observe(&Failure::new(ErrorClass::Ambiguous, "reset", "m"));
        assert!(doubt.exists());
        for class in ErrorClass::ALL {
            if !matches!(class, ErrorClass::InvalidResponse) {
                doubt.observe(&Failure::new(class, "c", "m"));
                assert!(doubt.exists(), "{class:?}");
            }
        }
        for status in [400, 401, 403, 404, 409, 422, 423] {
            doubt.observe(&client(status));
            assert!(doubt.exists(), "{status}");
        }
        let mut settled = doubt;
        settled.observe(&client(402));
        assert!(!settled.exists());
        doubt.observe(&Failure { ruled: true, ..client(422) });
        assert!(!doubt.exists());
    }
}
