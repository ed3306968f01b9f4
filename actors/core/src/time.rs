//! Time as the core sees it: handed in, never read.
//!
//! Windows, timers and delays use monotonic time ([`Mono`]); wall time ([`Wall`]) serves only HTTP dates, expiries
//! and timestamps shown to people. A caller reads both at once and hands them over as [`Now`], so one decision never
//! sees two clocks disagree.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A point in monotonic time: the span since the process's own origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(Duration);

impl Mono {
    /// The origin.
    pub const ZERO: Self = Self(Duration::ZERO);
    /// Further off than any timer: what "never" compares as.
    pub const MAX: Self = Self(Duration::MAX);

    /// The point `since_origin` after the origin.
    pub const fn from_origin(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// The span since the origin.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// The span from `earlier` to here; zero if `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Mono {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

impl Sub<Duration> for Mono {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span))
    }
}

/// A point in wall time, in milliseconds since the Unix epoch. It is written as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(u64);

impl Wall {
    /// The point `millis` milliseconds after the Unix epoch.
    pub const fn from_unix_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_millis(self) -> u64 {
        self.0
    }

    /// The span from `earlier` to here; zero if `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Wall {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(timestamp) => write!(f, "{timestamp:.3}"),
            Err(_) => write!(f, "{millis}"),
        }
    }
}

impl Serialize for Wall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Both clocks, read at the same instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For windows, timers and delays.
    pub mono: Mono,
    /// For HTTP dates and people.
    pub wall: Wall,
}

impl Now {
    /// The same instant, `span` later on both clocks.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self { mono: self.mono + span, wall: self.wall + span }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_written_for_people() {
        assert_eq!(Wall::from_unix_millis(1_700_000_000_042).to_string(), "2023-11-14T22:13:20.042Z");
        assert_eq!(Wall::from_unix_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Wall::from_unix_millis(u64::MAX).to_string(), i64::MAX.to_string());
    }

    #[test]
    fn earlier_minus_later_is_zero() {
        let (earlier, later) =
            (Mono::from_origin(Duration::from_secs(1)), Mono::from_origin(Duration::from_secs(3)));
        assert_eq!(later.since(earlier), Duration::from_secs(2));
        assert_eq!(earlier.since(later), Duration::ZERO);
        assert_eq!(Mono::MAX + Duration::from_secs(1), Mono::MAX);
    }
}
