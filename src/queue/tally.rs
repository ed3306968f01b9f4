//! How many runs an integration has in its queue: what `max_pending` is measured by, exactly, and without asking the store
//! about each.
//!
//! One server owns the store, so whatever comes and goes is told here. A run that is about to be written down has its place
//! *reserved* before, so that however many come at once, no more are taken on than there is room for. What the store
//! counts sets the tally right only where nothing was under way meanwhile: otherwise nobody could tell what the count has
//! seen.

/// Runs that wait or are executed, and places kept for those that are about to be written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    runs: u64,
    reserved: u64,
    /// Grows with each change.
    changes: u64,
}

impl Tally {
    /// Runs that wait or are executed.
    pub(super) const fn runs(&self) -> u64 {
        self.runs
    }

    /// Keeps a place for a run, if there are fewer than `most`.
    pub(super) fn reserve(&mut self, most: u32) -> bool {
        let has_room = self.runs + self.reserved < u64::from(most);
        self.reserved += u64::from(has_room);
        self.changes += 1;
        has_room
    }

    /// The run is there, in the place that was kept for it.
    pub(super) const fn fill(&mut self) {
        self.release();
        self.add();
    }

    /// There will be no such run.
    pub(super) const fn release(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
        self.changes += 1;
    }

    /// A run is there that no place was kept for: a later step of one that was taken on is never refused.
    pub(super) const fn add(&mut self) {
        self.runs += 1;
        self.changes += 1;
    }

    /// A run is over, or waits elsewhere.
    pub(super) const fn remove(&mut self) {
        self.runs = self.runs.saturating_sub(1);
        self.changes += 1;
    }

    /// What a count that begins now gives back to [`Self::counted`]; `None` while a run is being written down.
    pub(super) fn before_count(&self) -> Option<u64> {
        (self.reserved == 0).then_some(self.changes)
    }

    /// So many have been counted, if nothing has changed since.
    pub(super) const fn counted(&mut self, before: u64, runs: u64) {
        if self.changes == before {
            self.runs = runs;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_count_counts_only_where_nothing_has_changed() {
        let mut tally = Tally::default();
        tally.counted(tally.before_count().unwrap(), 7);
        assert_eq!(tally.runs(), 7);
        let before = tally.before_count().unwrap();
        assert!(tally.reserve(8) && !tally.reserve(8));
        assert_eq!(tally.before_count(), None);
        tally.counted(before, 3);
        tally.fill();
        tally.counted(before, 3);
        assert_eq!(tally.runs(), 8);
    }

    proptest! {
        /// Whatever happens in whatever order, it is what has come less what has gone, and nobody is let in beyond the most.
        #[test]
        fn it_is_what_came_less_what_went(events in prop::collection::vec(0_u8..5, 0..200), most in 1_u32..20) {
            let (mut tally, mut runs, mut reserved) = (Tally::default(), 0_u64, 0_u64);
            for event in events {
                match event {
                    0 => {
                        let let_in = tally.reserve(most);
                        prop_assert_eq!(let_in, runs + reserved < u64::from(most));
                        reserved += u64::from(let_in);
                    }
                    1 if reserved > 0 => {
                        tally.fill();
                        (reserved, runs) = (reserved - 1, runs + 1);
                    }
                    2 if reserved > 0 => {
                        tally.release();
                        reserved -= 1;
                    }
                    3 if runs > 0 => {
                        tally.remove();
                        runs -= 1;
                    }
                    4 => {
                        tally.add();
                        runs += 1;
                    }
                    _ => {}
                }
                prop_assert_eq!(tally.runs(), runs);
            }
        }
    }
}
