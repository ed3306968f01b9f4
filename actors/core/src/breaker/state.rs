//! The words of the breaker: its states, why it changes them, and what it hands out.

use std::time::Duration;

use crate::time::{Mono, Wall};

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Calls pass and are counted.
    Closed,
    /// Calls fail at once.
    Open,
    /// A few calls try.
    HalfOpen,
    /// Tripped by a person: calls fail at once until it expires or is reset.
    ForcedOpen,
}

impl State {
    /// The name used in answers, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
        }
    }
}

/// What a call says about the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tally {
    /// It works.
    Success,
    /// It does not.
    Failure,
    /// Neither: a refusal of the request, or a failure that is not the provider's. Not counted.
    Neutral,
    /// It asks for patience. Not counted, and no reason to close a half-open breaker.
    RateLimited,
}

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// So many failures in the window.
    Failures,
    /// Such a share of failures in the window.
    FailureRate,
    /// The time of being open was up, and a call asked.
    Due,
    /// A trial failed; with a failure rate, too many of them.
    TrialFailed,
    /// The trials succeeded; with a failure rate, enough of them.
    TrialsSucceeded,
    /// The trials' time was up: no verdict, but answers and no failure.
    TrialsNeutral,
    /// The trials' time was up without a verdict.
    TrialsUndecided,
    /// A person opened it.
    Tripped,
    /// A person closed it.
    Reset,
    /// The time it was forced open for was up.
    Expired,
    /// Its actor was restarted, and what it had counted was lost.
    Restarted,
}

impl Cause {
    /// The name used in answers, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::FailureRate => "failure_rate",
            Self::Due => "due",
            Self::TrialFailed => "trial_failed",
            Self::TrialsSucceeded => "trials_succeeded",
            Self::TrialsNeutral => "trials_neutral",
            Self::TrialsUndecided => "trials_undecided",
            Self::Tripped => "tripped",
            Self::Reset => "reset",
            Self::Expired => "expired",
            Self::Restarted => "restarted",
        }
    }
}

/// One change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state left.
    pub from: State,
    /// The state entered.
    pub to: State,
    /// Why.
    pub cause: Cause,
}

/// Who rules the breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Outcomes and time.
    Auto,
    /// A person, who forced it open.
    ForcedOpen(Forced),
}

/// A breaker forced open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forced {
    /// When it ends by itself; `None` where only a reset ends it.
    pub until: Option<Mono>,
    /// Since when, for people.
    pub since: Wall,
    /// Why, in a person's words.
    pub reason: String,
}

/// Leave for one call.
///
/// It is worth what the state that gave it is worth: it carries that state's epoch, and once the breaker has moved
/// on, handing it back changes nothing. It must come back through [`record`](super::Breaker::record) or
/// [`release`](super::Breaker::release); a trial's permit that is lost is missing until the cycle's time is up.
#[must_use = "a permit goes back to its breaker: record the call's end, or release it"]
#[derive(Debug)]
pub struct Permit {
    pub(super) epoch: u64,
    pub(super) trial: bool,
}

impl Permit {
    /// Whether the call is one of a half-open breaker's trials.
    pub const fn is_trial(&self) -> bool {
        self.trial
    }
}

/// Why a call may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The state that refuses it: never closed.
    pub state: State,
    /// Until when asking again is in vain, as far as is known: open, the time left; forced open, the time left, `None`
    /// without an expiry; half-open with all permits out, the time in which the trials are decided at the latest (it
    /// may be sooner).
    pub retry_after: Option<Duration>,
}
