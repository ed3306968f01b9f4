//! A breaker's settings.

use std::time::Duration;

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
        }
    }
}

/// Why a breaker cannot work with its settings.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BreakerSpecError {
    /// Neither a count nor a rate.
    #[error("the breaker would never open: set `failures`, `failure_rate` or both")]
    NeverOpens,
    /// A number or a span that must not be zero.
    #[error("`{0}` of the breaker is 0: set it to more than that")]
    Zero(&'static str),
    /// A rate that is no share.
    #[error("`failure_rate` of the breaker is {0}: set it above 0 and up to 1")]
    NoShare(f64),
}

impl BreakerSpec {
    /// Whether a breaker can open, wait and recover with these settings.
    ///
    /// # Errors
    /// [`BreakerSpecError`], naming the first setting that is out of range.
    pub fn check(&self) -> Result<(), BreakerSpecError> {
        if self.failures.is_none() && self.failure_rate.is_none() {
            return Err(BreakerSpecError::NeverOpens);
        }
        if let Some(rate) = self.failure_rate
            && !(rate > 0.0 && rate <= 1.0)
        {
            return Err(BreakerSpecError::NoShare(rate));
        }
        let zero = [
            ("failures", self.failures == Some(0)),
            ("window", self.window.is_zero()),
            ("minimum_calls", self.minimum_calls == 0),
            ("open_for", self.open_for.is_zero()),
            ("half_open_calls", self.half_open_calls == 0),
        ];
        zero.iter().find(|(_, zero)| *zero).map_or(Ok(()), |(name, _)| Err(BreakerSpecError::Zero(name)))
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
    }
}
