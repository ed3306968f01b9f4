//! The words of the breaker: its states, why it changes them, and what it hands out.

use std::time::Duration;

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
    /// Switched off: calls pass and are counted, and nothing opens it.
    Disabled,
    /// On trial itself: calls pass, and it only tells what it would have done.
    MetricsOnly,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Closed, Self::Open, Self::HalfOpen, Self::ForcedOpen, Self::Disabled, Self::MetricsOnly];

    /// The name used in answers, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics_only",
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
    /// Such a share of slow calls in the window.
    SlowRate,
    /// The time of being open was up, and a call asked.
    Due,
    /// A trial failed; with a failure rate, too many of them.
    TrialFailed,
    /// None too many of the trials failed, and too many were slow.
    TrialsSlow,
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
    /// A person set another mode.
    ModeSet,
    /// The settings name another mode than before.
    Reconfigured,
    /// The time a manual mode was set for was up.
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
            Self::SlowRate => "slow_rate",
            Self::Due => "due",
            Self::TrialFailed => "trial_failed",
            Self::TrialsSlow => "trials_slow",
            Self::TrialsSucceeded => "trials_succeeded",
            Self::TrialsNeutral => "trials_neutral",
            Self::TrialsUndecided => "trials_undecided",
            Self::Tripped => "tripped",
            Self::Reset => "reset",
            Self::ModeSet => "mode_set",
            Self::Reconfigured => "reconfigured",
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
    /// Whether it holds. A breaker that is in `metrics_only` mode tells its changes as it would have made them.
    pub enforced: bool,
}

impl Transition {
    /// What a breaker that only tells would have done.
    pub const fn would(&self) -> &'static str {
        match self.to {
            State::Open | State::ForcedOpen => "would_open",
            State::HalfOpen => "would_half_open",
            State::Closed | State::Disabled | State::MetricsOnly => "would_close",
        }
    }
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
    pub(super) pass: Pass,
}

/// How a call came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// It was let through, and how it ends is counted.
    Counted,
    /// It is one of a half-open cycle's trials.
    Trial,
    /// A breaker that only tells would have refused it: how it ends, it would not know.
    Unseen,
}

impl Permit {
    /// Whether the call is one of a half-open cycle's trials.
    pub const fn is_trial(&self) -> bool {
        matches!(self.pass, Pass::Trial)
    }
}

/// Why a call may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The state that refuses it: open, half-open or forced open.
    pub state: State,
    /// Until when asking again is in vain, as far as is known: open, the time left; forced open, the time left, `None`
    /// without an expiry; half-open with all permits out, the time in which the trials are decided at the latest (it
    /// may be sooner).
    pub retry_after: Option<Duration>,
}
