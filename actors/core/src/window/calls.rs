//! The outcomes of the last so many calls, exactly: a ring of two bits each, and their sums beside it.

use super::{Counts, Outcome};

/// The most calls that are remembered: 250 kB.
pub const MAX_CALLS: u32 = 1_000_000;

/// Outcomes in one word of the ring, two bits each.
const PER_WORD: u32 = u64::BITS / 2;
const FAILED: u64 = 0b01;
const SLOW: u64 = 0b10;

/// The outcomes of the last `size` calls.
#[derive(Clone, Debug)]
pub(super) struct LastCalls {
    ring: Box<[u64]>,
    size: u32,
    /// The place of the next outcome; where the ring is full, that of the oldest.
    next: u32,
    counts: Counts,
}

impl LastCalls {
    pub(super) fn new(size: u32) -> Self {
        let size = size.clamp(1, MAX_CALLS);
        let ring = vec![0; size.div_ceil(PER_WORD) as usize].into();
        Self { ring, size, next: 0, counts: Counts::NONE }
    }

    /// The newest of them, as many as fit.
    pub(super) fn resized(self, size: u32) -> Self {
        if size == self.size {
            return self;
        }
        let mut resized = Self::new(size);
        let oldest = self.next + self.size - self.counts.calls;
        for age in 0..self.counts.calls {
            resized.record(self.at((oldest + age) % self.size));
        }
        resized
    }

    /// Counts one outcome; the oldest leaves where there is no room for both.
    pub(super) fn record(&mut self, outcome: Outcome) {
        if self.counts.calls == self.size {
            let Counts { calls, failures, slow } = Counts::of(self.at(self.next));
            self.counts.calls -= calls;
            self.counts.failures -= failures;
            self.counts.slow -= slow;
        }
        self.counts.add(Counts::of(outcome));
        let (word, shift) = place(self.next);
        let bits = (u64::from(outcome.failed) * FAILED) | (u64::from(outcome.slow) * SLOW);
        self.ring[word] = (self.ring[word] & !((FAILED | SLOW) << shift)) | (bits << shift);
        self.next = (self.next + 1) % self.size;
    }

    pub(super) const fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) const fn clear(&mut self) {
        self.counts = Counts::NONE;
    }

    fn at(&self, index: u32) -> Outcome {
        let (word, shift) = place(index);
        let bits = self.ring[word] >> shift;
        Outcome { failed: bits & FAILED != 0, slow: bits & SLOW != 0 }
    }
}

const fn place(index: u32) -> (usize, u32) {
    ((index / PER_WORD) as usize, index % PER_WORD * 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcome() -> impl Strategy<Value = Outcome> {
        (any::<bool>(), any::<bool>()).prop_map(|(failed, slow)| Outcome { failed, slow })
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Record(Outcome),
        Resize(u32),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            60 => outcome().prop_map(Step::Record),
            1 => (1_u32..130).prop_map(Step::Resize),
            1 => Just(Step::Clear),
        ]
    }

    #[test]
    fn a_size_out_of_range_is_taken_as_the_nearest() {
        let mut none = LastCalls::new(0);
        none.record(Outcome { failed: true, slow: true });
        none.record(Outcome { failed: true, slow: false });
        assert_eq!(none.counts(), Counts { calls: 1, failures: 1, slow: 0 });
        assert_eq!(LastCalls::new(u32::MAX).size, MAX_CALLS);
    }

    proptest! {
        #[test]
        fn counts_are_those_of_the_end_of_a_plain_list(
            size in 1_u32..130,
            steps in prop::collection::vec(step(), 0..400),
        ) {
            let mut last = LastCalls::new(size);
            let (mut list, mut size) = (Vec::new(), size as usize);
            for step in steps {
                match step {
                    Step::Record(outcome) => {
                        last.record(outcome);
                        list.push(outcome);
                    }
                    Step::Resize(to) => {
                        last = last.resized(to);
                        size = to as usize;
                    }
                    Step::Clear => {
                        last.clear();
                        list.clear();
                    }
                }
                list.drain(..list.len().saturating_sub(size));
                let mut counts = Counts::NONE;
                list.iter().for_each(|outcome| counts.add(Counts::of(*outcome)));
                prop_assert_eq!(last.counts(), counts);
            }
        }
    }
}
