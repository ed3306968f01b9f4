//! The outcomes of the time just past, in ten slices.
//!
//! Exact sliding would keep one timestamp per call. Ten slices are enough to judge a provider, cost the same at one
//! call a minute and at ten thousand a second, and never allocate: each slice holds three numbers, and time moves by
//! leaving whole slices behind.
//!
//! Slices lie on a fixed grid from the origin of monotonic time, each a tenth of the span, so an outcome at `t` falls
//! into slice `⌊10 t / span⌋` and counts while that slice is among the newest ten. How long that is depends on where
//! in its slice it fell: **at least `span` less one slice, at most `span`**. It counts at every age of up to nine
//! tenths of the span, and at no age of a whole span or more. The grid is exact: a span that is not a multiple of ten
//! nanoseconds has no rounding in it.

use std::time::Duration;

use super::{Counts, Outcome};
use crate::time::Mono;

/// The number of slices a span is divided into.
pub const SLICES: usize = 10;

/// The outcomes of the last `span`.
#[derive(Clone, Debug)]
pub(super) struct Slices {
    span: u128,
    /// The slice numbered `i` is kept at `i % SLICES`; only the newest and the nine before it are kept.
    slices: [Counts; SLICES],
    newest: u128,
}

impl Slices {
    /// None yet, over `span`; a span of zero is taken as one nanosecond.
    pub(super) fn new(span: Duration) -> Self {
        Self { span: span.as_nanos().max(1), slices: [Counts::default(); SLICES], newest: 0 }
    }

    /// Whether these are the outcomes of the last `span`.
    pub(super) fn are_over(&self, span: Duration) -> bool {
        self.span == span.as_nanos().max(1)
    }

    /// Counts one outcome. A `now` before the newest one seen is taken as part of the newest slice.
    pub(super) fn record(&mut self, now: Mono, outcome: Outcome) {
        self.advance(now);
        let slot = slot(self.newest);
        self.slices[slot].add(Counts::of(outcome));
    }

    /// What counts at `now`.
    pub(super) fn counts(&self, now: Mono) -> Counts {
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
    pub(super) const fn clear(&mut self) {
        self.slices = [Counts::NONE; SLICES];
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

    /// A call that failed and was slow, or neither.
    fn ended(failed: bool) -> Outcome {
        Outcome { failed, slow: failed }
    }

    fn counts(calls: u32, failures: u32) -> Counts {
        Counts { calls, failures, slow: failures }
    }

    #[test]
    fn an_outcome_at_the_start_of_a_slice_counts_for_the_whole_span() {
        let mut window = Slices::new(Duration::from_secs(10));
        window.record(at(3_000), ended(true));
        assert_eq!(window.counts(at(12_999)), counts(1, 1));
        assert_eq!(window.counts(at(13_000)), Counts::default());
    }

    #[test]
    fn an_outcome_at_the_end_of_a_slice_counts_for_a_slice_less() {
        let mut window = Slices::new(Duration::from_secs(10));
        window.record(at(3_999), ended(false));
        assert_eq!(window.counts(at(12_999)), counts(1, 0));
        assert_eq!(window.counts(at(13_000)), Counts::default());
    }

    #[test]
    fn outcomes_leave_slice_by_slice() {
        let mut window = Slices::new(Duration::from_secs(10));
        for second in 0..25 {
            window.record(at(second * 1_000), ended(second % 2 == 0));
        }
        assert_eq!(window.counts(at(24_000)), counts(10, 5));
        assert_eq!(window.counts(at(27_500)), counts(7, 4));
        window.record(at(500_000), ended(true));
        assert_eq!(window.counts(at(500_000)), counts(1, 1));
    }

    #[test]
    fn clearing_forgets_all() {
        let mut window = Slices::new(Duration::from_secs(10));
        window.record(at(3_000), ended(true));
        window.clear();
        assert_eq!(window.counts(at(3_000)), Counts::default());
        window.record(at(3_000), ended(false));
        assert_eq!(window.counts(at(3_000)), counts(1, 0));
    }

    #[test]
    fn counts_stop_at_the_top_rather_than_wrap() {
        let mut window = Slices::new(Duration::from_secs(10));
        window.record(at(2_000), ended(false));
        window.record(at(3_000), ended(false));
        window.slices[3] = counts(u32::MAX, u32::MAX);
        window.record(at(3_000), ended(true));
        assert_eq!(window.counts(at(3_000)), counts(u32::MAX, u32::MAX));
    }

    #[test]
    fn the_far_end_of_time_and_a_zero_span_are_no_trouble() {
        let mut window = Slices::new(Duration::ZERO);
        window.record(Mono::MAX, ended(true));
        window.record(Mono::ZERO, ended(true));
        assert_eq!(window.counts(Mono::MAX), counts(2, 2));
    }

    proptest! {
        #[test]
        fn counts_are_those_of_a_plain_list(
            span in 1_u64..5_000,
            steps in prop::collection::vec((0_u64..2_000, any::<bool>(), any::<bool>()), 0..120),
        ) {
            let span = Duration::from_nanos(span);
            let mut window = Slices::new(span);
            let mut list = Vec::new();
            let mut now = Mono::ZERO;
            for (step, failed, slow) in steps {
                now = now + Duration::from_nanos(step);
                window.record(now, Outcome { failed, slow });
                list.push((now, failed, slow));
                let counted = window.counts(now);
                let tenths = |t: Mono| t.since_origin().as_nanos() * 10 / span.as_nanos();
                let live: Vec<_> = list.iter().filter(|(t, ..)| tenths(*t) + 10 > tenths(now)).collect();
                prop_assert_eq!(counted.calls as usize, live.len());
                prop_assert_eq!(counted.failures as usize, live.iter().filter(|(_, failed, _)| *failed).count());
                prop_assert_eq!(counted.slow as usize, live.iter().filter(|(.., slow)| *slow).count());

                let within = |limit: u128| list.iter().filter(|(t, ..)| now.since(*t).as_nanos() * 10 <= limit).count();
                prop_assert!(counted.calls as usize >= within(span.as_nanos() * 9), "an outcome left too early");
                prop_assert!(counted.calls as usize <= within(span.as_nanos() * 10 - 1), "an outcome stayed too long");
            }
        }

        #[test]
        fn looking_later_is_the_same_as_having_waited(
            steps in prop::collection::vec((0_u64..400, any::<bool>()), 0..40),
            later in 0_u64..3_000,
        ) {
            let mut window = Slices::new(Duration::from_nanos(1_000));
            let mut now = Mono::ZERO;
            for (step, failed) in steps {
                now = now + Duration::from_nanos(step);
                window.record(now, ended(failed));
            }
            let then = now + Duration::from_nanos(later);
            let looked = window.counts(then);
            window.record(then, ended(false));
            prop_assert_eq!(window.counts(then), counts(looked.calls + 1, looked.failures));
        }
    }
}
