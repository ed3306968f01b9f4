//! The only reader of clocks.
//!
//! Everything else takes `now`, so that a test can step time and a run can be replayed. Monotonic time is read
//! through tokio, so that a paused runtime moves it; wall time is read from the system each time, so that it follows
//! the corrections of the host's clock.
//!
//! A [`Clock`] is an origin and costs nothing to copy; points of monotonic time compare only between copies of one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use causeway_core::time::{Mono, Now, Wall};
use tokio::time::Instant;

/// What stands for "never" where a timer needs a point in time: thirty years.
const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);

/// Reads both clocks, from an origin of its own.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts a clock: its monotonic time is zero now.
    pub fn start() -> Self {
        Self { origin: instant_now() }
    }

    /// Both clocks, read together.
    pub fn now(&self) -> Now {
        Now { mono: self.mono(), wall: wall_now() }
    }

    /// Monotonic time alone, for measuring and for timers.
    pub fn mono(&self) -> Mono {
        Mono::from_origin(instant_now().saturating_duration_since(self.origin))
    }

    /// The two clocks, tied together as they stand now.
    pub fn anchor(&self) -> Anchor {
        Anchor { mono: self.mono(), wall: system_now() }
    }

    /// The runtime's own name for `at`, to set a timer by.
    pub fn instant(&self, at: Mono) -> Instant {
        self.origin + at.since_origin().min(FAR)
    }
}

/// By how much the host's clock must have been corrected for an [`Anchor`] to follow.
const CORRECTED: Duration = Duration::from_millis(1);

/// Tells what wall time a point of monotonic time was. One anchor tells the order of points truly: two readings of both
/// clocks never agree to the microsecond.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    mono: Mono,
    wall: SystemTime,
}

impl Anchor {
    /// The wall time at `at`.
    pub fn wall_of(&self, at: Mono) -> SystemTime {
        if at < self.mono {
            return self.wall.checked_sub(self.mono.since(at)).unwrap_or(UNIX_EPOCH);
        }
        self.wall.checked_add(at.since(self.mono)).unwrap_or(self.wall)
    }

    /// This anchor, or a new one where the host's clock has been corrected meanwhile.
    #[must_use]
    pub fn followed(self, clock: &Clock) -> Self {
        let now = clock.anchor();
        let expected = self.wall_of(now.mono);
        let off = now.wall.duration_since(expected).unwrap_or_else(|early| early.duration());
        if off > CORRECTED { now } else { self }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads monotonic time")]
fn instant_now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads wall time")]
fn system_now() -> SystemTime {
    SystemTime::now()
}

/// A host whose clock stands before 1970 is taken to stand at 1970.
fn wall_now() -> Wall {
    let since_epoch = system_now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall::from_unix_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn monotonic_time_follows_a_paused_runtime() {
        let clock = Clock::start();
        assert_eq!(clock.mono(), Mono::ZERO);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(clock.now().mono.since_origin(), Duration::from_secs(3600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_set_by_an_instant_wakes_when_monotonic_time_gets_there() {
        let clock = Clock::start();
        let at = clock.mono() + Duration::from_millis(250);
        tokio::time::sleep_until(clock.instant(at)).await;
        assert_eq!(clock.mono(), at);
    }

    #[test]
    fn an_anchor_tells_the_order_of_points_and_follows_corrections() {
        let clock = Clock::start();
        let anchor = clock.anchor();
        let (before, after) = (anchor.mono - Duration::from_nanos(1), anchor.mono + Duration::from_nanos(1));
        assert!(anchor.wall_of(before) < anchor.wall && anchor.wall < anchor.wall_of(after));
        let corrected = Anchor { wall: anchor.wall - Duration::from_secs(5), ..anchor };
        assert!(corrected.followed(&clock).wall >= anchor.wall);
        assert_eq!(Anchor { mono: Mono::MAX, ..anchor }.wall_of(Mono::ZERO), UNIX_EPOCH);
    }

    #[test]
    fn never_is_far_off_and_does_not_overflow() {
        let clock = Clock::start();
        assert!(clock.instant(Mono::MAX) > clock.instant(Mono::ZERO));
    }

    #[test]
    fn wall_time_is_of_this_age() {
        let year_2024 = 1_704_067_200_000;
        assert!(Clock::start().now().wall.unix_millis() > year_2024);
    }
}
