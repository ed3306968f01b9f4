//! The words in which an integration is asked and answers: calls, attempts, how they end, and what is to be done.

use std::sync::Arc;
use std::time::Duration;

use crate::breaker::Transition;
use crate::classify::{Cut, Phase};
use crate::failure::Failure;
use crate::idempotency::Resend;
use crate::limits::{Demand, Told};
use crate::name::LimitName;
use crate::operation::Tries;
use crate::priority::Priority;
use crate::retry::RetrySpec;
use crate::time::Mono;

/// Names a call; unique within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Names an attempt; unique within an integration, across restarts of its actor too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub u64);

/// What a call keeps of its endpoint to its end, whatever is configured meanwhile.
#[derive(Clone, Debug)]
pub struct CallRules {
    /// What makes a resend harmless.
    pub resend: Resend,
    /// How it is tried again.
    pub retry: Arc<RetrySpec>,
}

/// A call to admit.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name.
    pub id: CallId,
    /// How it may be repeated.
    pub rules: CallRules,
    /// What an attempt of it takes of the limits.
    pub demand: Demand,
    /// Whom it stands before in the queue.
    pub priority: Priority,
    /// When its answer is no longer of use.
    pub deadline: Mono,
    /// How long ago a former life of its run may have sent it first: it is in doubt whether it has acted.
    pub in_doubt_for: Option<Duration>,
}

/// How an attempt ended; `T` is what a success yields.
#[derive(Debug)]
pub struct AttemptEnd<T> {
    /// The mapped result, or what went wrong.
    pub result: Result<T, Failure>,
    /// Whether the request had left.
    pub phase: Phase,
    /// What ended it before its own timeouts did.
    pub cut: Option<Cut>,
    /// How long it took, from its start.
    pub took: Duration,
    /// What the answer told of the integration's limits.
    pub told: Vec<Told>,
}

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
pub enum CallEnd<T> {
    /// With a result.
    Succeeded(T),
    /// Without one, and without an effect that is in doubt.
    Failed(Failure),
    /// It is not known whether the provider has acted.
    Unknown(Failure),
    /// The caller left before anything was sent that could have acted.
    Cancelled,
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect<T> {
    /// Start an attempt.
    Send(Send),
    /// Ask an attempt to stop, if it may.
    Stop(AttemptId),
    /// The deadline has passed and a mutating request is out: tell the caller that the outcome is pending.
    Pending(CallId),
    /// A failed attempt would be tried again, but for the retry budget, which is used up; the call's answer follows.
    BudgetExhausted(CallId),
    /// Answer a call; it is over.
    Answer {
        /// Which.
        call: CallId,
        /// With what.
        end: CallEnd<T>,
        /// What it took.
        tries: Tries,
    },
    /// Call the probe's endpoint, to find out whether the provider works again.
    Probe(Probe),
    /// The breaker changed its state, or tells that it would have.
    Transition(Transition),
}

/// A call of the integration's own, to be admitted under this name. Nobody waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its name.
    pub call: CallId,
    /// When its answer is no longer of use.
    pub deadline: Mono,
}

/// How long a call has waited for what a limit had too little of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitWait {
    /// The limit; of several, the last.
    pub limit: LimitName,
    /// How long.
    pub waited: Duration,
}

/// An attempt to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// For which call.
    pub call: CallId,
    /// Its name.
    pub attempt: AttemptId,
    /// 1 for the first.
    pub number: u32,
    /// Whether an earlier attempt of this call has left: its key, if any, is sent again.
    pub resends: bool,
    /// How long the call waited in the queue for it.
    pub queued: Duration,
    /// How long of that it waited for a limit.
    pub limited: Option<LimitWait>,
}

/// What became of the call of a finished attempt: for the attempt's log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The call is answered: succeeded.
    Succeeded,
    /// The call is answered: failed.
    Failed,
    /// The call is answered: unknown.
    Unknown,
    /// The call is answered: its caller had left.
    Cancelled,
    /// It will be tried again after this wait.
    Retry(Duration),
    /// Nobody waits for it: an attempt of a former life.
    Ignored,
}

impl Disposition {
    /// The word used in the attempt's log line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Cancelled => "cancelled",
            Self::Retry(_) => "retry",
            Self::Ignored => "ignored",
        }
    }
}
