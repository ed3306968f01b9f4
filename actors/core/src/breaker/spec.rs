//! A breaker's settings.

use std::time::Duration;

use super::ModeKind;
use crate::window::{MAX_CALLS, Reach};

/// When a breaker opens, and how it closes again.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerSpec {
    /// Opens at this many failures in the window; `None` where only a rate is wanted.
    pub failures: Option<u32>,
    /// How far back outcomes count.
    pub window: Duration,
    /// Counts the last so many calls instead of a span of time.
    pub window_calls: Option<u32>,
    /// Opens at this share of failures (0 < rate ≤ 1), once there are `minimum_calls`.
    pub failure_rate: Option<f64>,
    /// The least number of calls in the window before a rate is judged.
    pub minimum_calls: u32,
    /// A call that takes longer than this is slow; `None` where slowness is not judged.
    pub slow_call: Option<Duration>,
    /// Opens at this share of slow calls (0 < rate ≤ 1), once there are `minimum_calls`.
    pub slow_rate: Option<f64>,
    /// How long it stays open.
    pub open_for: Duration,
    /// What each consecutive opening's time is multiplied by (≥ 1).
    pub open_multiplier: f64,
    /// The longest it stays open.
    pub open_max: Duration,
    /// How many calls may try while half-open, in one cycle.
    pub half_open_calls: u32,
    /// How long a half-open cycle lasts without a verdict.
    pub half_open_for: Duration,
    /// What a breaker that is due asks by itself; `None`: it waits for a call.
    pub probe: Option<ProbeSpec>,
    /// The mode it starts with.
    pub mode: ModeKind,
}

/// A breaker's own try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeSpec {
    /// Which endpoint, by index; it must be safe, since nobody has asked for it to act.
    pub endpoint: usize,
    /// How long its attempt may take.
    pub timeout: Duration,
}

impl Default for BreakerSpec {
    fn default() -> Self {
        Self {
            failures: Some(5),
            window: Duration::from_secs(60),
            window_calls: None,
            failure_rate: None,
            minimum_calls: 20,
            slow_call: None,
            slow_rate: None,
            open_for: Duration::from_secs(30),
            open_multiplier: 1.0,
            open_max: Duration::from_secs(300),
            half_open_calls: 3,
            half_open_for: Duration::from_secs(30),
            probe: None,
            mode: ModeKind::Auto,
        }
    }
}

/// Why a breaker cannot work with its settings.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BreakerSpecError {
    /// Neither a count nor a rate.
    #[error("the breaker would never open: set `failures`, `failure_rate`, or `slow_rate` with `slow_call`")]
    NeverOpens,
    /// A number or a span that must not be zero.
    #[error("`{0}` of the breaker is 0: set it to more than that")]
    Zero(&'static str),
    /// A rate that is no share.
    #[error("`{name}` of the breaker is {rate}: set it above 0 and up to 1")]
    NoShare {
        /// The setting.
        name: &'static str,
        /// What it says.
        rate: f64,
    },
    /// Slowness without a share of it, or a share without what is slow.
    #[error("`slow_call` and `slow_rate` of the breaker are judged together: set both or neither")]
    HalfSlow,
    /// A window too small for what is judged in it.
    #[error("`window_calls` of the breaker is {window}, below `{name}` ({least}): it would never be judged")]
    NeverJudged {
        /// The calls in the window.
        window: u32,
        /// The setting that asks for more.
        name: &'static str,
        /// For how many.
        least: u32,
    },
    /// A window larger than is kept.
    #[error("`window_calls` of the breaker is {0}: set it to {MAX_CALLS} or less")]
    WindowTooLarge(u32),
    /// An open time that would shrink, or be no number.
    #[error("`open_multiplier` of the breaker is {0}: set it to 1 or more")]
    Multiplier(f64),
    /// A longest open time below the first.
    #[error("`open_max` of the breaker is below `open_for`: raise the one or lower the other")]
    OpenMax,
}

impl BreakerSpec {
    /// Whether a breaker can open, wait and recover with these settings.
    ///
    /// # Errors
    /// [`BreakerSpecError`], naming the first setting that is out of range.
    pub fn check(&self) -> Result<(), BreakerSpecError> {
        if self.slow_call.is_some() != self.slow_rate.is_some() {
            return Err(BreakerSpecError::HalfSlow);
        }
        if self.failures.is_none() && self.failure_rate.is_none() && self.slow_rate.is_none() {
            return Err(BreakerSpecError::NeverOpens);
        }
        for (name, rate) in [("failure_rate", self.failure_rate), ("slow_rate", self.slow_rate)] {
            if let Some(rate) = rate.filter(|rate| !(*rate > 0.0 && *rate <= 1.0)) {
                return Err(BreakerSpecError::NoShare { name, rate });
            }
        }
        let zero = [
            ("failures", self.failures == Some(0)),
            ("window", self.window.is_zero()),
            ("window_calls", self.window_calls == Some(0)),
            ("minimum_calls", self.minimum_calls == 0),
            ("slow_call", self.slow_call == Some(Duration::ZERO)),
            ("open_for", self.open_for.is_zero()),
            ("half_open_calls", self.half_open_calls == 0),
            ("half_open_for", self.half_open_for.is_zero()),
        ];
        if let Some((name, _)) = zero.iter().find(|(_, zero)| *zero) {
            return Err(BreakerSpecError::Zero(name));
        }
        self.check_window()?;
        self.check_open_time()
    }

    fn check_window(&self) -> Result<(), BreakerSpecError> {
        let Some(window) = self.window_calls else { return Ok(()) };
        if window > MAX_CALLS {
            return Err(BreakerSpecError::WindowTooLarge(window));
        }
        let rated = self.failure_rate.is_some() || self.slow_rate.is_some();
        let asked = [("failures", self.failures), ("minimum_calls", rated.then_some(self.minimum_calls))];
        let never =
            asked.into_iter().find_map(|(name, least)| Some((name, least.filter(|it| *it > window)?)));
        never.map_or(Ok(()), |(name, least)| Err(BreakerSpecError::NeverJudged { window, name, least }))
    }

    fn check_open_time(&self) -> Result<(), BreakerSpecError> {
        if !(self.open_multiplier >= 1.0 && self.open_multiplier.is_finite()) {
            return Err(BreakerSpecError::Multiplier(self.open_multiplier));
        }
        if self.open_max < self.open_for { Err(BreakerSpecError::OpenMax) } else { Ok(()) }
    }

    /// How far back outcomes count.
    pub(super) fn reach(&self) -> Reach {
        self.window_calls.map_or(Reach::Span(self.window), Reach::Calls)
    }

    /// Whether a call that took so long is slow.
    pub(super) fn is_slow(&self, took: Duration) -> bool {
        self.slow_call.is_some_and(|slow_call| took > slow_call)
    }

    /// How long it stays open after `earlier` consecutive openings: `min(open_for × open_multiplier^earlier, open_max)`.
    pub(super) fn open_time(&self, earlier: u32) -> Duration {
        if earlier == 0 {
            return self.open_for;
        }
        // What is too large for a double or a duration is above any bound.
        let grown = self.open_for.as_secs_f64() * self.open_multiplier.powf(f64::from(earlier));
        Duration::try_from_secs_f64(grown).unwrap_or(Duration::MAX).min(self.open_max.max(self.open_for))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_that_cannot_work_is_refused_by_name() {
        let refused = |change: fn(&mut BreakerSpec)| {
            let mut spec = BreakerSpec::default();
            change(&mut spec);
            spec.check().unwrap_err().to_string()
        };
        assert_eq!(BreakerSpec::default().check(), Ok(()));
        assert!(refused(|spec| spec.failures = None).contains("never open"));
        assert!(refused(|spec| spec.failures = Some(0)).contains("`failures`"));
        assert!(refused(|spec| spec.failure_rate = Some(0.0)).contains("`failure_rate`"));
        assert!(refused(|spec| spec.failure_rate = Some(1.1)).contains("1.1"));
        assert!(refused(|spec| spec.failure_rate = Some(f64::NAN)).contains("`failure_rate`"));
        assert!(refused(|spec| spec.window = Duration::ZERO).contains("`window`"));
        assert!(refused(|spec| spec.minimum_calls = 0).contains("`minimum_calls`"));
        assert!(refused(|spec| spec.open_for = Duration::ZERO).contains("`open_for`"));
        assert!(refused(|spec| spec.half_open_calls = 0).contains("`half_open_calls`"));
        assert!(refused(|spec| spec.half_open_for = Duration::ZERO).contains("`half_open_for`"));
        assert!(refused(|spec| spec.slow_rate = Some(0.5)).contains("both or neither"));
        assert!(refused(|spec| spec.slow_call = Some(Duration::from_secs(1))).contains("both or neither"));
        let slow = |call: u64, rate| {
            let slow_call = Some(Duration::from_secs(call));
            BreakerSpec { failures: None, slow_call, slow_rate: Some(rate), ..BreakerSpec::default() }.check()
        };
        assert_eq!(slow(1, 1.0), Ok(()), "slowness alone is a reason to open");
        assert_eq!(slow(0, 1.0), Err(BreakerSpecError::Zero("slow_call")));
        assert_eq!(slow(1, 1.5), Err(BreakerSpecError::NoShare { name: "slow_rate", rate: 1.5 }));
    }

    #[test]
    fn a_window_of_calls_must_hold_what_is_judged_in_it() {
        let check = |window_calls, failures, failure_rate| {
            let window_calls = Some(window_calls);
            BreakerSpec { window_calls, failures, failure_rate, ..BreakerSpec::default() }.check()
        };
        assert_eq!(check(5, Some(5), None), Ok(()), "`minimum_calls` is of rates only");
        assert!(check(4, Some(5), None).unwrap_err().to_string().contains("below `failures` (5)"));
        assert_eq!(check(20, None, Some(0.5)), Ok(()));
        assert!(check(19, None, Some(0.5)).unwrap_err().to_string().contains("below `minimum_calls` (20)"));
        assert_eq!(check(0, Some(5), None), Err(BreakerSpecError::Zero("window_calls")));
        assert!(check(MAX_CALLS + 1, Some(5), None).unwrap_err().to_string().contains("1000000 or less"));
    }

    #[test]
    fn open_times_grow_within_their_bounds() {
        let spec = |open_multiplier| BreakerSpec { open_multiplier, ..BreakerSpec::default() };
        let times = |spec: BreakerSpec| [0, 1, 2, 3, 4, u32::MAX].map(|n| spec.open_time(n).as_secs());
        assert_eq!(times(spec(1.0)), [30; 6]);
        assert_eq!(times(spec(2.0)), [30, 60, 120, 240, 300, 300]);
        for bad in [0.5, f64::NAN, f64::INFINITY] {
            assert!(matches!(spec(bad).check(), Err(BreakerSpecError::Multiplier(_))));
        }
        let longest = BreakerSpec { open_max: Duration::from_secs(29), ..spec(1.0) };
        assert_eq!(longest.check(), Err(BreakerSpecError::OpenMax));
    }
}
