//! A sliding window of outcomes: how many calls ended, how many of them failed, and how many were slow.
//!
//! "Lately" is either a span of time or a number of calls. A span forgets by itself, so that the failures of an hour ago
//! say nothing of now; it suits what is called often. The last so many calls are judged the same at one call an hour
//! and at a thousand a second; a quiet integration keeps them for as long as it is quiet.
//!
//! - `slices`: the outcomes of a span of time, in ten slices;
//! - `calls`: the outcomes of the last so many calls, exactly.

mod calls;
mod slices;

use std::time::Duration;

use self::calls::LastCalls;
use self::slices::Slices;
pub use self::{calls::MAX_CALLS, slices::SLICES};
use crate::time::Mono;

/// How a call ended, as far as a window counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// It failed.
    pub failed: bool,
    /// It took too long, whether it failed or not.
    pub slow: bool,
}

/// Outcomes in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that ended with a success or a failure; stops at [`u32::MAX`].
    pub calls: u32,
    /// Those of them that failed; stops at [`u32::MAX`].
    pub failures: u32,
    /// Those of them that were slow; stops at [`u32::MAX`].
    pub slow: u32,
}

impl Counts {
    pub(crate) const NONE: Self = Self { calls: 0, failures: 0, slow: 0 };

    pub(crate) fn of(outcome: Outcome) -> Self {
        Self { calls: 1, failures: u32::from(outcome.failed), slow: u32::from(outcome.slow) }
    }

    /// The share of failures, from 0 to 1; 0 where nothing ended.
    ///
    /// It is one division, so it compares exactly with a share written in decimals: 7 of 100 is 0.07, whereas
    /// 0.07 × 100 is a little more than 7.
    pub fn failure_share(self) -> f64 {
        share(self.failures, self.calls)
    }

    /// The share of slow calls, from 0 to 1; 0 where nothing ended.
    pub fn slow_share(self) -> f64 {
        share(self.slow, self.calls)
    }

    pub(crate) const fn add(&mut self, more: Self) {
        self.calls = self.calls.saturating_add(more.calls);
        self.failures = self.failures.saturating_add(more.failures);
        self.slow = self.slow.saturating_add(more.slow);
    }
}

fn share(part: u32, whole: u32) -> f64 {
    if whole == 0 { 0.0 } else { f64::from(part) / f64::from(whole) }
}

/// How far back a window reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// So long.
    Span(Duration),
    /// So many calls: from 1 to [`MAX_CALLS`].
    Calls(u32),
}

/// The outcomes of late.
#[derive(Clone, Debug)]
pub struct Window(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Span(Slices),
    Calls(LastCalls),
}

impl Window {
    /// An empty window. A span of zero is taken as one nanosecond, a number of calls out of range as the nearest in it.
    pub fn new(reach: Reach) -> Self {
        Self(match reach {
            Reach::Span(span) => Kind::Span(Slices::new(span)),
            Reach::Calls(calls) => Kind::Calls(LastCalls::new(calls)),
        })
    }

    /// The same outcomes within another reach, as far as they can be told: the last calls are kept, as many as there is
    /// room for. Slices of another span do not tell when in them a call ended, so another span begins empty.
    #[must_use]
    pub fn reaching(self, reach: Reach) -> Self {
        match (self.0, reach) {
            (Kind::Span(slices), Reach::Span(span)) if slices.are_over(span) => Self(Kind::Span(slices)),
            (Kind::Calls(last), Reach::Calls(calls)) => Self(Kind::Calls(last.resized(calls))),
            (Kind::Span(_) | Kind::Calls(_), reach) => Self::new(reach),
        }
    }

    /// Counts one outcome.
    pub fn record(&mut self, now: Mono, outcome: Outcome) {
        match &mut self.0 {
            Kind::Span(slices) => slices.record(now, outcome),
            Kind::Calls(last) => last.record(outcome),
        }
    }

    /// What counts at `now`.
    pub fn counts(&self, now: Mono) -> Counts {
        match &self.0 {
            Kind::Span(slices) => slices.counts(now),
            Kind::Calls(last) => last.counts(),
        }
    }

    /// Forgets every outcome.
    pub fn clear(&mut self) {
        match &mut self.0 {
            Kind::Span(slices) => slices.clear(),
            Kind::Calls(last) => last.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Outcome = Outcome { failed: true, slow: false };

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_share_compares_exactly_with_its_decimals() {
        for calls in 1..=200_u32 {
            for failures in 0..=calls {
                let written: f64 = format!("{}e-4", failures * 10_000 / calls).parse().unwrap();
                let exact = (failures * 10_000) % calls == 0;
                let share = Counts { calls, failures, slow: failures }.failure_share();
                assert_eq!(share, Counts { calls, failures: 0, slow: failures }.slow_share());
                assert!(if exact { share == written } else { share > written }, "{failures} of {calls}");
            }
        }
    }

    #[test]
    fn another_reach_keeps_what_it_can_tell() {
        let now = Mono::from_origin(secs(100));
        let filled = |reach| {
            let mut window = Window::new(reach);
            (0..8).for_each(|n| window.record(now, Outcome { failed: n >= 4, slow: n == 7 }));
            window
        };
        let all = Counts { calls: 8, failures: 4, slow: 1 };
        let (span, calls) = (Reach::Span(secs(60)), Reach::Calls(10));
        let kept = |from, to| filled(from).reaching(to).counts(now);
        assert_eq!(kept(span, span), all);
        assert_eq!(kept(span, Reach::Span(secs(30))), Counts::default());
        assert_eq!(kept(calls, Reach::Calls(64)), all);
        assert_eq!(kept(calls, Reach::Calls(5)), Counts { calls: 5, failures: 4, slow: 1 });
        assert_eq!((kept(calls, span), kept(span, calls)), (Counts::default(), Counts::default()));

        let mut shrunk = filled(calls).reaching(Reach::Calls(2));
        shrunk.record(now, Outcome::default());
        assert_eq!(shrunk.counts(now), Counts { calls: 2, failures: 1, slow: 1 }, "the oldest has left");
    }

    #[test]
    fn only_a_span_forgets_by_itself() {
        for (reach, kept) in [(Reach::Span(secs(60)), 0), (Reach::Calls(10), 1)] {
            let mut window = Window::new(reach);
            window.record(Mono::ZERO, FAILED);
            assert_eq!(window.counts(Mono::from_origin(secs(3600))).failures, kept);
            window.clear();
            assert_eq!(window.counts(Mono::ZERO), Counts::default());
        }
    }
}
