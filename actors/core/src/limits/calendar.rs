//! The calendar quota: so many until the minute, hour, day or month turns, where the provider's clock hangs.
//!
//! It is the one limit that goes by wall time, and wall time jumps: an operator sets it, a daemon corrects it, a machine
//! wakes up. The provider's calendar does not jump with it. So a period is left only when **both** clocks say that it
//! is over: the wall reads its end or later, and as much monotonic time has passed as was left of it when it was
//! entered. In between, when only one says so, the period is *in doubt*, and what is taken then counts in the period
//! that may be over and in the one that may have begun.
//!
//! What follows from that:
//!
//! - a clock that jumps back never gives a quota twice: a period that was entered is not left backwards;
//! - a clock that jumps forward gives nothing before its time, and if it is put right again nothing has happened;
//! - a clock that is put right within a period's length, whenever that is and however wrong it was, never makes a
//!   period of the provider see more than its quota. (A period entered while the clock is wrong could be left while it
//!   still is. So its end is foretold by monotonic time from the period before as well, unless both clocks have gone
//!   side by side for a whole period.)
//!
//! The price is paid in waiting, never in overshoot: after a machine has slept, one period may last longer by as much.
//! And a clock that had jumped into the next century while a period turned does not shut the limit until then: what
//! was taken longer ago than the longest such period cannot count any more, whatever any clock says.
//!
//! Where the server keeps state on disk, a token is taken only when the disk knows it as taken: `reserve` has how.
//!
//! Days have 23 or 25 hours where the time zone changes its clocks, and midnight is the first instant of its day even
//! where the clocks skip it.

mod reserve;

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use self::reserve::ASK_AGAIN;
use self::reserve::Reserve;
pub(super) use self::reserve::{Ask, is_low, slice};
use super::spec::{CalendarPeriod, CalendarSpec};
use crate::time::{Mono, Now, Wall};

/// The most periods that a forecast looks ahead one by one; beyond it, it reckons with the shortest.
const MAX_FORECAST: u32 = 16;

/// One budget of tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    requests: u32,
    per: CalendarPeriod,
    timezone: TimeZone,
    /// Tokens taken in the period.
    used: u32,
    /// Since when they are counted.
    counted_since: Mono,
    /// When the period was entered.
    entered: Now,
    /// When it ends, by either clock.
    ends: Wall,
    ends_mono: Mono,
    /// Tokens among `used` that were taken while it was in doubt.
    late: u32,
    /// Since when it is in doubt.
    late_since: Option<Mono>,
    /// When the last token was taken, or the period was entered.
    last_take: Mono,
    /// What the disk knows as taken; `None` where nothing outlives the process.
    reserve: Option<Reserve>,
    /// Tokens that a former life of the process took while the period was in doubt: they count in the next one too.
    carried: u32,
    /// A former life of the process has seen a later time than the wall showed: the period is in doubt to its end.
    is_doubted: bool,
}

enum Phase {
    Within,
    InDoubt,
    Over,
    /// Whatever was taken is older than the longest period.
    Stale,
}

impl Calendar {
    /// The whole quota of the period that `now` lies in. A zero in the spec counts as one.
    pub fn new(spec: &CalendarSpec, now: Now) -> Self {
        let mut calendar = Self {
            requests: spec.requests.max(1),
            per: spec.per,
            timezone: spec.timezone.clone(),
            used: 0,
            counted_since: now.mono,
            entered: now,
            ends: now.wall,
            ends_mono: now.mono,
            late: 0,
            late_since: None,
            last_take: now.mono,
            reserve: None,
            carried: 0,
            is_doubted: false,
        };
        calendar.enter(now, 0, Mono::ZERO);
        calendar
    }

    /// How many tokens a period has.
    pub const fn capacity(&self) -> u32 {
        self.requests
    }

    /// Tokens to be had at `now`.
    pub fn available(&self, now: Now) -> u32 {
        self.requests.saturating_sub(self.used_at(now))
    }

    /// Whether anything is counted at `now`.
    pub fn is_used(&self, now: Now) -> bool {
        self.used_at(now) > 0
    }

    /// How long until the last of `ahead + 1` takings of `n` tokens can be made, if each is made as soon as it can
    /// be and the clocks do not jump. [`Duration::MAX`] if `n` is above the quota; `None` if it fits and waits for the
    /// disk.
    pub fn ready_in_turn(&self, now: Now, n: u32, ahead: u32) -> Option<Duration> {
        let Some(fitting) = self.requests.checked_div(n) else { return Some(Duration::ZERO) };
        if fitting == 0 {
            return Some(Duration::MAX);
        }
        let fit_now = self.available(now) / n;
        match ahead.checked_sub(fit_now) {
            Some(beyond) => Some(self.turns_in(now, beyond / fitting)),
            None => (ahead > 0 || self.has_reserved(now, n)).then_some(Duration::ZERO),
        }
    }

    /// How long until the period is over.
    pub fn over_in(&self, now: Now) -> Duration {
        self.turns_in(now, 0)
    }

    /// How long until the quota is whole again if nobody takes any more.
    pub fn full_in(&self, now: Now) -> Duration {
        if self.used_at(now) == 0 { Duration::ZERO } else { self.turns_in(now, 0) }
    }

    /// Takes `n` tokens that are known to be there.
    pub fn spend(&mut self, now: Now, n: u32) {
        self.turn(now);
        self.used = self.used.saturating_add(n);
        if self.late_since.is_some() {
            self.late = self.late.saturating_add(n);
        }
        self.last_take = now.mono;
    }

    /// Notes what the clocks say.
    pub fn turn(&mut self, now: Now) {
        match self.phase(now) {
            Phase::Within => (self.late, self.late_since) = (0, None),
            Phase::InDoubt => {
                self.late_since.get_or_insert(now.mono);
            }
            Phase::Over => self.enter_next(now, self.late.saturating_add(self.carried)),
            Phase::Stale => self.enter_next(now, 0),
        }
    }

    /// Puts back `n` tokens that were taken at `at` and not used, if that was in this period.
    pub fn give_back(&mut self, at: Mono, n: u32) {
        if at >= self.counted_since {
            self.used = self.used.saturating_sub(n);
        }
        if self.late_since.is_some_and(|since| at >= since) {
            self.late = self.late.saturating_sub(n);
        }
    }

    /// Goes on under another spec: what was used stays used until the next turn.
    pub fn respec(&mut self, spec: &CalendarSpec, now: Now) {
        let other = self.per != spec.per || self.timezone != spec.timezone;
        let used = self.used_at(now);
        (self.requests, self.per, self.timezone) = (spec.requests.max(1), spec.per, spec.timezone.clone());
        if other {
            let since = self.counted_since;
            self.enter(now, used, Mono::ZERO);
            self.counted_since = since;
        }
    }

    /// Leaves the period. A doubt whether the wall clock is right is over when it has gone well for a whole one.
    fn enter_next(&mut self, now: Now, used: u32) {
        let is_doubted = self.is_doubted && !self.clocks_agree(now);
        self.enter(now, used, self.foretold(now));
        self.is_doubted = is_doubted;
    }

    /// Begins the period that `now` lies in, with so many tokens counted already; it is not left before `earliest`.
    fn enter(&mut self, now: Now, used: u32, earliest: Mono) {
        self.used = used;
        self.late = 0;
        (self.carried, self.is_doubted) = (0, false);
        if let Some(reserve) = &mut self.reserve {
            *reserve = Reserve::default();
        }
        self.entered = now;
        self.last_take = now.mono;
        self.counted_since = self.late_since.take().unwrap_or(now.mono);
        self.ends = self.end_after(now.wall);
        self.ends_mono = (now.mono + self.ends.since(now.wall)).max(earliest);
    }

    /// When the period that `now` lies in ends, as the last turn and the time since tell; nothing if the wall clock has
    /// earned its trust.
    fn foretold(&self, now: Now) -> Mono {
        if self.clocks_agree(now) {
            return Mono::ZERO;
        }
        let wall = self.ends + now.mono.since(self.ends_mono);
        now.mono + self.end_after(wall).since(wall)
    }

    /// Whether both clocks have gone equally far since the period was entered, and that is long ago. They may differ
    /// by what clocks are read in, and by what crystals differ.
    fn clocks_agree(&self, now: Now) -> bool {
        let (wall, mono) = (now.wall.since(self.entered.wall), now.mono.since(self.entered.mono));
        mono >= self.per.shortest() && wall.abs_diff(mono) <= Duration::from_millis(10) + mono / 10_000
    }

    fn phase(&self, now: Now) -> Phase {
        if self.stale_in(now).is_zero() {
            return Phase::Stale;
        }
        match (now.wall >= self.ends, now.mono >= self.ends_mono) {
            (true, true) => Phase::Over,
            (false, false) if !self.is_doubted => Phase::Within,
            (false, _) | (true, false) => Phase::InDoubt,
        }
    }

    fn used_at(&self, now: Now) -> u32 {
        match self.phase(now) {
            Phase::Within | Phase::InDoubt => self.used,
            Phase::Over => self.late.saturating_add(self.carried),
            Phase::Stale => 0,
        }
    }

    /// How long until nothing that was taken can count any more.
    fn stale_in(&self, now: Now) -> Duration {
        self.per.longest().saturating_sub(now.mono.since(self.last_take))
    }

    /// How long until the period that `now` lies in has ended, and `more` after it.
    fn turns_in(&self, now: Now, more: u32) -> Duration {
        let anew = || self.end_after(now.wall).since(now.wall);
        let both = || self.ends.since(now.wall).max(self.ends_mono.since(now.mono));
        let mut over = match self.phase(now) {
            Phase::Within | Phase::InDoubt => both().min(self.stale_in(now)),
            Phase::Over => anew().min(self.stale_in(now)),
            Phase::Stale => anew(),
        };
        for _ in 0..more.min(MAX_FORECAST) {
            let turn = now.wall + over;
            over += self.end_after(turn).since(turn);
        }
        over.saturating_add(self.per.shortest().saturating_mul(more.saturating_sub(MAX_FORECAST)))
    }

    /// The first turn after `wall`. Beyond the calendar's own end (the year 9999) a period lasts its longest.
    fn end_after(&self, wall: Wall) -> Wall {
        let turn = self.turn_after(wall).filter(|turn| *turn > wall);
        turn.unwrap_or_else(|| wall + self.per.longest())
    }

    fn turn_after(&self, wall: Wall) -> Option<Wall> {
        let at = Timestamp::from_millisecond(i64::try_from(wall.unix_millis()).ok()?).ok()?;
        let day = self.timezone.to_datetime(at).date();
        let turn = match self.per {
            CalendarPeriod::Minute => return self.full_after(at.as_second(), 60),
            CalendarPeriod::Hour => return self.full_after(at.as_second(), 3_600),
            CalendarPeriod::Day => day.tomorrow(),
            CalendarPeriod::Month => day.last_of_month().tomorrow(),
        };
        let turn = turn.ok()?.to_zoned(self.timezone.clone()).ok()?.timestamp();
        u64::try_from(turn.as_millisecond()).ok().map(Wall::from_unix_millis)
    }

    /// The first instant after `second` at which the local clock shows a multiple of `step` seconds.
    fn full_after(&self, second: i64, step: i64) -> Option<Wall> {
        let past = |second: i64| {
            let offset = self.timezone.to_offset(Timestamp::from_second(second).ok()?);
            Some((second + i64::from(offset.seconds())).rem_euclid(step))
        };
        let mut full = second + step - past(second)?;
        // Clocks that are put forward or back by half an hour meanwhile show no full hour then.
        let off = past(full)?;
        if off != 0 {
            full += step - off;
        }
        u64::try_from(full).ok()?.checked_mul(1_000).map(Wall::from_unix_millis)
    }
}

impl CalendarPeriod {
    /// No such period is longer: with what time zones are known to do to their clocks, and as much again.
    const fn longest(self) -> Duration {
        Duration::from_secs(match self {
            Self::Minute => 120,
            Self::Hour => 2 * 3_600,
            Self::Day => 48 * 3_600,
            Self::Month => 32 * 24 * 3_600,
        })
    }

    /// No such period is shorter.
    const fn shortest(self) -> Duration {
        Duration::from_secs(match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 22 * 3_600,
            Self::Month => 27 * 24 * 3_600,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(per: CalendarPeriod, zone: &str, now: Now) -> Calendar {
        Calendar::new(&CalendarSpec { requests: 5, per, timezone: TimeZone::get(zone).unwrap() }, now)
    }

    fn wall(text: &str) -> Wall {
        let at: Timestamp = text.parse().unwrap();
        Wall::from_unix_millis(u64::try_from(at.as_millisecond()).unwrap())
    }

    fn at(text: &str) -> Now {
        Now { mono: Mono::from_origin(Duration::from_secs(1_000_000)), wall: wall(text) }
    }

    fn jumped(now: Now, by: i64) -> Now {
        let wall = now.wall.unix_millis().saturating_add_signed(by * 1_000);
        Now { wall: Wall::from_unix_millis(wall), ..now }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn periods_turn_where_the_local_clock_says() {
        use CalendarPeriod::{Day, Hour, Minute, Month};
        for (per, zone, from, to) in [
            (Minute, "UTC", "2025-06-15T12:00:00Z", "2025-06-15T12:01:00Z"),
            (Minute, "UTC", "2025-06-15T12:00:59.999Z", "2025-06-15T12:01:00Z"),
            (Hour, "Asia/Kolkata", "2025-06-15T12:10:00Z", "2025-06-15T12:30:00Z"),
            (Day, "UTC", "2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z"),
            (Day, "America/New_York", "2025-06-15T03:59:00Z", "2025-06-15T04:00:00Z"),
            (Month, "UTC", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
            (Month, "Europe/Berlin", "2025-03-15T00:00:00Z", "2025-03-31T22:00:00Z"),
            // 23 hours, 25 hours.
            (Day, "Europe/Berlin", "2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z"),
            (Day, "Europe/Berlin", "2025-10-25T22:00:00Z", "2025-10-26T23:00:00Z"),
            // Where there is no midnight the day begins at one.
            (Day, "Africa/Cairo", "2025-04-24T20:00:00Z", "2025-04-24T22:00:00Z"),
            // Half an hour put back, half an hour put forward.
            (Hour, "Australia/Lord_Howe", "2025-04-05T14:10:00Z", "2025-04-05T15:30:00Z"),
            (Hour, "Australia/Lord_Howe", "2025-10-04T15:10:00Z", "2025-10-04T16:00:00Z"),
            // A day that an island left out.
            (Day, "Pacific/Apia", "2011-12-29T12:00:00Z", "2011-12-30T10:00:00Z"),
        ] {
            let quota = quota(per, zone, at(from));
            assert_eq!(quota.ends, wall(to), "{per:?} in {zone} after {from}");
        }
    }

    #[test]
    fn a_quota_is_whole_again_at_the_turn_and_not_before() {
        let noon = at("2025-06-15T12:00:00Z");
        let mut quota = quota(CalendarPeriod::Day, "UTC", noon);
        quota.spend(noon, 5);
        assert_eq!(quota.ready_in_turn(noon, 1, 0), Some(seconds(43_200)));
        assert_eq!(quota.ready_in_turn(noon, 2, 3), Some(seconds(43_200 + 86_400)));
        assert_eq!(quota.available(noon.after(Duration::from_millis(43_199_999))), 0);
        assert_eq!(quota.available(noon.after(seconds(43_200))), 5);
    }

    #[test]
    fn a_clock_that_jumps_gives_nothing() {
        let noon = at("2025-06-15T12:00:00Z");
        let mut quota = quota(CalendarPeriod::Day, "UTC", noon);
        quota.spend(noon, 5);
        for days in [-400, -1, 1, 400] {
            assert_eq!(quota.available(jumped(noon, days * 86_400)), 0);
        }
        let midnight = noon.after(seconds(43_200));
        quota.spend(midnight, 3);
        assert_eq!(quota.available(jumped(midnight, -10)), 2, "a period is not left backwards");
    }

    #[test]
    fn what_is_taken_in_doubt_counts_before_and_after_the_turn() {
        let noon = at("2025-06-15T12:00:00Z");
        let mut quota = quota(CalendarPeriod::Day, "UTC", noon);
        let one_past = noon.after(seconds(43_200 + 3_600));
        quota.spend(jumped(one_past, -2 * 3_600), 2);
        quota.give_back(one_past.mono, 1);
        assert_eq!(quota.available(one_past), 4, "the clock was an hour late");
        quota.spend(one_past, 4);
        assert_eq!(quota.available(one_past), 0);
    }

    #[test]
    fn a_far_jump_does_not_shut_the_limit_for_ever() {
        let start = at("2025-06-15T12:00:00Z");
        let mut quota = quota(CalendarPeriod::Minute, "UTC", start);
        let century = jumped(start.after(seconds(60)), 3_000_000_000);
        quota.spend(century, 5);
        let back = start.after(seconds(61));
        assert_eq!(quota.available(back), 0);
        let wait = quota.ready_in_turn(back, 1, 0).unwrap();
        assert!(wait <= seconds(120), "{wait:?}");
        quota.spend(back.after(wait), 1);
        assert_eq!(quota.ends, wall("2025-06-15T12:04:00Z"));
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        for wall in [0, u64::MAX, u64::MAX / 2, 253_402_300_799_999] {
            for mono in [Mono::ZERO, Mono::MAX] {
                let now = Now { mono, wall: Wall::from_unix_millis(wall) };
                let mut quota = quota(CalendarPeriod::Month, "Pacific/Apia", now);
                quota.spend(now, 5);
                let wait = quota.ready_in_turn(now, 5, u32::MAX).unwrap();
                assert!(wait > Duration::ZERO && quota.available(now) <= 5);
            }
        }
    }
}
