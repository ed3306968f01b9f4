//! A sliding window of outcomes: how many calls ended, and how many of them failed, in the time just past.
//!
//! Exact sliding would keep one timestamp per call. Ten slices are enough to judge a provider, cost the same at one
//! call a minute and at ten thousand a second, and never allocate: each slice holds two numbers, and time moves by
//! leaving whole slices behind.
//!
//! Slices lie on a fixed grid from the origin of monotonic time, each a tenth of the span, so an outcome at `t` falls
//! into slice `⌊10 t / span⌋` and counts while that slice is among the newest ten. How long that is depends on where
//! in its slice it fell: **at least `span` less one slice, at most `span`**. It counts at every age of up to nine
//! tenths of the span, and at no age of a whole span or more. The grid is exact: a span that is not a multiple of ten
//! nanoseconds has no rounding in it.

use std::time::Duration;

use crate::time::Mono;

/// The number of slices a span is divided into.
pub const SLICES: usize = 10;

/// Outcomes in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that ended with a success or a failure; stops at [`u32::MAX`].
    pub calls: u32,
    /// Those of them that failed; stops at [`u32::MAX`].
    pub failures: u32,
}

impl Counts {
    /// The share of failures, from 0 to 1; 0 where nothing ended.
    ///
    /// It is one division, so it compares exactly with a share written in decimals: 7 of 100 is 0.07, whereas
    /// 0.07 × 100 is a little more than 7.
    pub fn failure_share(self) -> f64 {
        if self.calls == 0 { 0.0 } else { f64::from(self.failures) / f64::from(self.calls) }
    }

    const fn add(&mut self, more: Self) {
        self.calls = self.calls.saturating_add(more.calls);
        self.failures = self.failures.saturating_add(more.failures);
    }
}

/// Successes and failures of the last `span`.
#[derive(Clone, Debug)]
pub struct Window {
    span: u128,
    /// The slice numbered `i` is kept at `i % SLICES`; only the newest and the nine before it are kept.
    slices: [Counts; SLICES],
    newest: u128,
}

impl Window {
    /// An empty window over `span`; a span of zero is taken as one nanosecond.
    pub fn new(span: Duration) -> Self {
        Self { span: span.as_nanos().max(1), slices: [Counts::default(); SLICES], newest: 0 }
    }

    /// Counts one outcome. A `now` before the newest one seen is taken as part of the newest slice.
    pub fn record(&mut self, now: Mono, failed: bool) {
        self.advance(now);
        let slot = slot(self.newest);
        self.slices[slot].add(Counts { calls: 1, failures: u32::from(failed) });
    }

    /// What counts at `now`.
    pub fn counts(&self, now: Mono) -> Counts {
        let mut sum = Counts::default();
        let newest = slot(self.newest);
        let passed = self.slice_at(now).saturating_sub(self.newest).min(SLICES as u128) as usize;
        for (place, slice) in self.slices.iter().enumerate() {
            let age = passed + (newest + SLICES - place) % SLICES;
            if age < SLICES {
                sum.add(*slice);
            }
        }
        sum
    }

    /// Forgets every outcome.
    pub const fn clear(&mut self) {
        self.slices = [Counts { calls: 0, failures: 0 }; SLICES];
    }

    fn advance(&mut self, now: Mono) {
        let current = self.slice_at(now);
        let steps = current.saturating_sub(self.newest).min(SLICES as u128);
        for step in 0..steps {
            self.slices[slot(current - step)] = Counts::default();
        }
        self.newest = self.newest.max(current);
    }

    /// The number of the slice `now` falls into; 128 bits hold ten times the longest duration in nanoseconds.
    const fn slice_at(&self, now: Mono) -> u128 {
        now.since_origin().as_nanos() * SLICES as u128 / self.span
    }
}

const fn slot(slice: u128) -> usize {
    (slice % SLICES as u128) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Mono {
        Mono::from_origin(Duration::from_millis(millis))
    }

    #[test]
    fn an_outcome_at_the_start_of_a_slice_counts_for_the_whole_span() {
        let mut window = Window::new(Duration::from_secs(10));
        window.record(at(3_000), true);
        assert_eq!(window.counts(at(12_999)), Counts { calls: 1, failures: 1 });
        assert_eq!(window.counts(at(13_000)), Counts::default());
    }

    #[test]
    fn an_outcome_at_the_end_of_a_slice_counts_for_a_slice_less() {
        let mut window = Window::new(Duration::from_secs(10));
        window.record(at(3_999), false);
        assert_eq!(window.counts(at(12_999)), Counts { calls: 1, failures: 0 });
        assert_eq!(window.counts(at(13_000)), Counts::default());
    }

    #[test]
    fn outcomes_leave_slice_by_slice() {
        let mut window = Window::new(Duration::from_secs(10));
        for second in 0..25 {
            window.record(at(second * 1_000), second % 2 == 0);
        }
        assert_eq!(window.counts(at(24_000)), Counts { calls: 10, failures: 5 });
        assert_eq!(window.counts(at(27_500)), Counts { calls: 7, failures: 4 });
        window.record(at(500_000), true);
        assert_eq!(window.counts(at(500_000)), Counts { calls: 1, failures: 1 });
    }

    #[test]
    fn clearing_forgets_all() {
        let mut window = Window::new(Duration::from_secs(10));
        window.record(at(3_000), true);
        window.clear();
        assert_eq!(window.counts(at(3_000)), Counts::default());
        window.record(at(3_000), false);
        assert_eq!(window.counts(at(3_000)), Counts { calls: 1, failures: 0 });
    }

    #[test]
    fn counts_stop_at_the_top_rather_than_wrap() {
        let mut window = Window::new(Duration::from_secs(10));
        window.record(at(2_000), false);
        window.record(at(3_000), false);
        window.slices[3] = Counts { calls: u32::MAX, failures: u32::MAX };
        window.record(at(3_000), true);
        assert_eq!(window.counts(at(3_000)), Counts { calls: u32::MAX, failures: u32::MAX });
    }

    #[test]
    fn the_far_end_of_time_and_a_zero_span_are_no_trouble() {
        let mut window = Window::new(Duration::ZERO);
        window.record(Mono::MAX, true);
        window.record(Mono::ZERO, true);
        assert_eq!(window.counts(Mono::MAX), Counts { calls: 2, failures: 2 });
    }

    #[test]
    fn a_share_compares_exactly_with_its_decimals() {
        for calls in 1..=200_u32 {
            for failures in 0..=calls {
                let written: f64 = format!("{}e-4", failures * 10_000 / calls).parse().unwrap();
                let exact = (failures * 10_000) % calls == 0;
                let share = Counts { calls, failures }.failure_share();
                assert!(if exact { share == written } else { share > written }, "{failures} of {calls}");
            }
        }
    }

    proptest! {
        #[test]
        fn counts_are_those_of_a_plain_list(
            span in 1_u64..5_000,
            steps in prop::collection::vec((0_u64..2_000, any::<bool>()), 0..120),
        ) {
            let span = Duration::from_nanos(span);
            let mut window = Window::new(span);
            let mut list = Vec::new();
            let mut now = Mono::ZERO;
            for (step, failed) in steps {
                now = now + Duration::from_nanos(step);
                window.record(now, failed);
                list.push((now, failed));
                let counts = window.counts(now);
                let tenths = |t: Mono| t.since_origin().as_nanos() * 10 / span.as_nanos();
                let live: Vec<_> = list.iter().filter(|(t, _)| tenths(*t) + 10 > tenths(now)).collect();
                prop_assert_eq!(counts.calls as usize, live.len());
                prop_assert_eq!(counts.failures as usize, live.iter().filter(|(_, failed)| *failed).count());

                let within = |limit: u128| list.iter().filter(|(t, _)| now.since(*t).as_nanos() * 10 <= limit).count();
                prop_assert!(counts.calls as usize >= within(span.as_nanos() * 9), "an outcome left too early");
                prop_assert!(counts.calls as usize <= within(span.as_nanos() * 10 - 1), "an outcome stayed too long");
            }
        }

        #[test]
        fn looking_later_is_the_same_as_having_waited(
            steps in prop::collection::vec((0_u64..400, any::<bool>()), 0..40),
            later in 0_u64..3_000,
        ) {
            let mut window = Window::new(Duration::from_nanos(1_000));
            let mut now = Mono::ZERO;
            for (step, failed) in steps {
                now = now + Duration::from_nanos(step);
                window.record(now, failed);
            }
            let then = now + Duration::from_nanos(later);
            let looked = window.counts(then);
            window.record(then, false);
            prop_assert_eq!(window.counts(then), Counts { calls: looked.calls + 1, failures: looked.failures });
        }
    }
}
