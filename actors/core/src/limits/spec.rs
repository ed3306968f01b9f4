//! What a rate budget is told to be, and what a call takes of it.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use jiff::tz::TimeZone;
use smallvec::SmallVec;

use super::token_bucket::TokenBucketSpec;
use crate::name::{GroupName, LimitName};

/// One named budget.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitSpec {
    /// Its name in metrics and answers; unique in its integration.
    pub name: LimitName,
    /// What it counts, and how.
    pub kind: LimitKind,
    /// Which endpoints take from it, as indexes into the integration's; `None` for all of them.
    pub endpoints: Option<Vec<usize>>,
    /// Whether there is one budget, or one for each key.
    pub keyed: Keyed,
    /// Integrations that name the same group and the same limit share its budget.
    pub group: Option<GroupName>,
    /// Which headers of an answer tell what the provider thinks is left; `None` to go by our own count alone.
    pub learn: Option<LearnSpec>,
}

impl LimitSpec {
    /// One budget for all endpoints, of one integration, that goes by its own count.
    pub const fn new(name: LimitName, kind: LimitKind) -> Self {
        Self { name, kind, endpoints: None, keyed: Keyed::Shared, group: None, learn: None }
    }

    /// The most that one call could ever take at once.
    pub const fn capacity(&self) -> u32 {
        self.kind.capacity()
    }
}

/// How a budget is counted.
#[derive(Clone, Debug, PartialEq)]
pub enum LimitKind {
    /// So many per period, with a burst.
    TokenBucket(TokenBucketSpec),
    /// Never more than so many in any window.
    SlidingWindow(SlidingWindowSpec),
    /// So many per minute, hour, day or month of the calendar.
    Calendar(CalendarSpec),
    /// So many at once.
    Concurrent(ConcurrentSpec),
}

impl LimitKind {
    /// The most that one call could ever take at once.
    pub const fn capacity(&self) -> u32 {
        match self {
            Self::TokenBucket(bucket) => bucket.burst,
            Self::SlidingWindow(window) => window.requests,
            Self::Calendar(calendar) => calendar.requests,
            Self::Concurrent(concurrent) => concurrent.requests,
        }
    }

    /// The word used in settings.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TokenBucket(_) => "token_bucket",
            Self::SlidingWindow(_) => "sliding_window",
            Self::Calendar(_) => "calendar",
            Self::Concurrent(_) => "concurrent",
        }
    }
}

/// Never more than `requests` in any span of `per`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlidingWindowSpec {
    /// The most requests in any window (≥ 1).
    pub requests: u32,
    /// The window.
    pub per: Duration,
    /// How much longer than `per` a request counts, because the way to the provider varies.
    pub margin: Duration,
}

impl SlidingWindowSpec {
    /// The longest [`margin`](Self::margin) there is by default.
    pub const LONGEST_MARGIN: Duration = Duration::from_millis(250);

    /// So many in any span of `per`, as the provider counts on arrival: two requests may come nearer to each other than
    /// they were sent, by as much as their ways differ. A fortieth of the window, at most
    /// [`LONGEST_MARGIN`](Self::LONGEST_MARGIN), allows for that and leaves more than 97 % of the limit to be used.
    pub fn on_arrival(requests: u32, per: Duration) -> Self {
        Self { requests, per, margin: (per / 40).min(Self::LONGEST_MARGIN) }
    }

    /// So many in any span of `per` as we send.
    pub const fn exact(requests: u32, per: Duration) -> Self {
        Self { requests, per, margin: Duration::ZERO }
    }
}

/// So many until the calendar turns.
#[derive(Clone, Debug, PartialEq)]
pub struct CalendarSpec {
    /// The most requests in one period (≥ 1).
    pub requests: u32,
    /// The period.
    pub per: CalendarPeriod,
    /// Whose minute, hour, midnight or month it is.
    pub timezone: TimeZone,
}

/// A period of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarPeriod {
    /// Resets at the full minute.
    Minute,
    /// Resets at the full hour.
    Hour,
    /// Resets at midnight.
    Day,
    /// Resets at the first midnight of a month.
    Month,
}

impl CalendarPeriod {
    /// The word used in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// So many at once: what a call takes comes back when its attempt is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConcurrentSpec {
    /// The most at once (≥ 1).
    pub requests: u32,
}

/// Whether a limit is one budget, or one for each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyed {
    /// One for all.
    Shared,
    /// One for each connection (account).
    Connection,
    /// One for each key that an expression makes of the step's input.
    Request,
}

/// The headers in which a provider tells what is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LearnSpec {
    /// The usual ones, whichever the provider sends: `RateLimit`, `RateLimit-Remaining`, `X-RateLimit-Remaining`, and
    /// their kin for the reset, which is read as seconds from now or since 1970 by its size.
    Auto,
    /// These, and no others.
    Named(LearnHeaders),
}

/// Headers named by the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnHeaders {
    /// How many there are when it is full.
    pub limit: Option<HeaderName>,
    /// How many are left.
    pub remaining: HeaderName,
    /// When it is full again.
    pub reset: Option<HeaderName>,
    /// How `reset` is written.
    pub form: ResetForm,
}

/// How a provider writes when a budget is full again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetForm {
    /// Seconds from now.
    Delta,
    /// Seconds since 1970.
    Epoch,
}

/// Which of a limit's budgets a call takes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitKey {
    /// The only one.
    #[default]
    Shared,
    /// The one of this connection or key.
    Of(Arc<str>),
}

/// What one call takes, of all limits or of none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Demand(pub SmallVec<[Take; 2]>);

/// What one call takes of one limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Take {
    /// The limit, as an index into the integration's.
    pub limit: usize,
    /// Which of its budgets.
    pub key: LimitKey,
    /// How many tokens (of a `concurrent` limit: places).
    pub cost: u32,
}

/// Whom a provider's 429 holds up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrainScope {
    /// The limits that the call takes from; where there are none, the whole integration.
    Endpoint,
    /// Everything that goes over the call's connection.
    Connection,
    /// The whole integration.
    Integration,
    /// One limit that the call takes from.
    Limit(LimitName),
}

/// What an answer has told of one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The limit, as an index into the integration's.
    pub limit: usize,
    /// Tokens left, as the provider counts.
    pub remaining: u32,
    /// Tokens there may be, if it says so.
    pub capacity: Option<u32>,
    /// How long until they are all back, if it says so.
    pub resets_in: Option<Duration>,
}
