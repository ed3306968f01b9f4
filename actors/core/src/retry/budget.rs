//! The retry budget: what all retries of an integration together may add to its traffic.
//!
//! Each caller's retries are few, but when a provider fails everybody retries, and a provider in trouble gets several
//! times its usual traffic. So retries are counted over the integration: those scheduled or started in the last
//! [`SPAN`] may be no more than a share of the first attempts in it, or a small number where there is hardly any
//! traffic.
//!
//! A retry is charged when it is decided, and counts again when it starts (a long wait may lie between). One that
//! comes to nothing is given back with its [`Charge`].
//!
//! Time is cut into slices. The oldest slice reaches back beyond the span: retries in it still count, first attempts
//! in it do not, so that the bound holds in any span to the nanosecond.

use std::time::Duration;

use crate::time::Mono;

/// How far back is counted.
const SPAN: Duration = Duration::from_secs(10);
const SLICE: Duration = Duration::from_millis(500);
/// The slices of a span, of which one is under way, and one that sticks out at the other end.
const SLICES: u64 = SPAN.as_secs() * 1_000 / SLICE.as_millis() as u64 + 1;

/// What was counted in one slice.
#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    number: u64,
    firsts: u32,
    retries: u32,
}

/// The count of first attempts and retries of one integration.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    share: f64,
    least: u32,
    slices: [Slice; SLICES as usize],
}

/// A retry that has been charged.
#[must_use = "keep it with the call: a retry that is not sent is given back"]
#[derive(Debug)]
pub struct Charge {
    slice: u64,
}

impl RetryBudget {
    /// A budget of `least` retries, or of as many as `share` of the first attempts, whichever is more.
    pub fn new(share: f64, least: u32) -> Self {
        Self { share, least, slices: [Slice::default(); SLICES as usize] }
    }

    /// Other bounds for the same counts.
    pub const fn respec(&mut self, share: f64, least: u32) {
        (self.share, self.least) = (share, least);
    }

    /// Counts a first attempt.
    pub fn first(&mut self, now: Mono) {
        let slice = self.slice(number(now));
        slice.firsts = slice.firsts.saturating_add(1);
    }

    /// Charges a retry; `None` when the budget is used up.
    pub fn charge(&mut self, now: Mono) -> Option<Charge> {
        (self.retries(now) < self.allowed(now)).then(|| self.count(now))
    }

    /// Counts that a charged retry starts.
    pub fn started(&mut self, now: Mono, charge: Charge) -> Charge {
        self.give_back(charge);
        self.count(now)
    }

    /// Takes back what was not sent.
    #[expect(clippy::needless_pass_by_value, reason = "it cannot be given back twice")]
    pub fn give_back(&mut self, charge: Charge) {
        let place = self.slices.get_mut(place(charge.slice));
        if let Some(slice) = place.filter(|slice| slice.number == charge.slice) {
            slice.retries = slice.retries.saturating_sub(1);
        }
    }

    /// Retries that count at `now`.
    pub fn retries(&self, now: Mono) -> u32 {
        let now = number(now);
        let counted = self.slices.iter().filter(|slice| recent(slice.number, now));
        counted.fold(0, |sum, slice| sum.saturating_add(slice.retries))
    }

    /// How many may count at `now`.
    pub fn allowed(&self, now: Mono) -> u32 {
        let now = number(now);
        let whole = |slice: &&Slice| recent(slice.number, now) && now - slice.number < SLICES - 1;
        let firsts =
            self.slices.iter().filter(whole).fold(0_u32, |sum, slice| sum.saturating_add(slice.firsts));
        let share = (f64::from(firsts) * self.share.clamp(0.0, f64::from(u32::MAX))).floor();
        self.least.max(share as u32)
    }

    fn count(&mut self, now: Mono) -> Charge {
        let number = number(now);
        let slice = self.slice(number);
        slice.retries = slice.retries.saturating_add(1);
        Charge { slice: number }
    }

    /// The slice of a number, emptied if it still holds an older one.
    fn slice(&mut self, number: u64) -> &mut Slice {
        let slice = &mut self.slices[place(number)];
        if slice.number < number {
            *slice = Slice { number, ..Slice::default() };
        }
        slice
    }
}

const fn recent(slice: u64, now: u64) -> bool {
    slice <= now && now - slice < SLICES
}

fn number(at: Mono) -> u64 {
    u64::try_from(at.since_origin().as_nanos() / SLICE.as_nanos()).unwrap_or(u64::MAX)
}

fn place(number: u64) -> usize {
    usize::try_from(number % SLICES).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Mono {
        Mono::from_origin(Duration::from_millis(millis))
    }

    fn charged(budget: &mut RetryBudget, now: Mono) -> u32 {
        let charges = std::iter::from_fn(|| budget.charge(now)).take(1_000);
        u32::try_from(charges.count()).unwrap()
    }

    #[test]
    fn a_few_retries_are_always_allowed_and_then_a_share() {
        let mut budget = RetryBudget::new(0.2, 3);
        assert_eq!(charged(&mut budget, at(0)), 3);
        for _ in 0..100 {
            budget.first(at(1_000));
        }
        assert_eq!(charged(&mut budget, at(1_000)), 17);
        assert_eq!(charged(&mut budget, at(10_499)), 0);
        assert_eq!(charged(&mut budget, at(10_500)), 3, "the first ones are more than ten seconds ago");
        assert_eq!(charged(&mut budget, at(22_000)), 3);
    }

    #[test]
    fn a_retry_that_is_not_sent_is_given_back() {
        let mut budget = RetryBudget::new(0.0, 1);
        let charge = budget.charge(at(0)).unwrap();
        assert!(budget.charge(at(100)).is_none());
        budget.give_back(charge);
        assert!(budget.charge(at(200)).is_some());
    }

    #[test]
    fn a_retry_counts_anew_when_it_starts() {
        let mut budget = RetryBudget::new(0.0, 1);
        let charge = budget.charge(at(0)).unwrap();
        let charge = budget.started(at(30_000), charge);
        assert_eq!(budget.retries(at(30_000)), 1);
        assert!(budget.charge(at(39_999)).is_none());
        budget.give_back(charge);
        assert!(budget.charge(at(40_000)).is_some());
    }

    #[test]
    fn one_given_back_after_its_slice_has_gone_changes_nothing() {
        let mut budget = RetryBudget::new(0.0, 2);
        let old = budget.charge(at(0)).unwrap();
        // The same place, a turn later.
        let _new = budget.charge(at(10_500)).unwrap();
        budget.give_back(old);
        assert_eq!(budget.retries(at(10_500)), 1);
    }

    #[test]
    fn no_budget_and_a_wild_one() {
        assert_eq!(charged(&mut RetryBudget::new(0.0, 0), at(0)), 0);
        for share in [f64::NAN, -1.0] {
            let mut budget = RetryBudget::new(share, 1);
            budget.first(at(0));
            assert_eq!(charged(&mut budget, at(0)), 1);
        }
        let mut budget = RetryBudget::new(f64::INFINITY, 0);
        budget.first(Mono::MAX);
        assert_eq!(charged(&mut budget, Mono::MAX), 1_000);
    }

    proptest! {
        /// Beside it stands a plain list of everything that happened.
        #[test]
        fn retries_are_a_share_of_the_first_attempts_in_any_ten_seconds(
            share in 0.0_f64..1.5,
            least in 0_u32..5,
            steps in prop::collection::vec((0_u64..2_500, 0_u8..8, any::<usize>()), 1..300),
        ) {
            let mut budget = RetryBudget::new(share, least);
            let mut firsts: Vec<u64> = Vec::new();
            // When each was scheduled or, later, started; nothing for one that was given back.
            let mut retries: Vec<Option<u64>> = Vec::new();
            let mut waiting: Vec<(Charge, usize)> = Vec::new();
            let mut now = 0;
            for (step, what, which) in steps {
                now += step;
                let first = |span: u64| firsts.iter().filter(|time| **time + span > now).count() as f64;
                let again = |retries: &[Option<u64>], span: u64| {
                    retries.iter().flatten().filter(|time| **time + span > now).count() as f64
                };
                match what {
                    0..4 => {
                        budget.first(at(now));
                        firsts.push(now);
                    }
                    4..6 => {
                        if let Some(charge) = budget.charge(at(now)) {
                            retries.push(Some(now));
                            waiting.push((charge, retries.len() - 1));
                            prop_assert!(again(&retries, 10_000) <= f64::from(least).max(share * first(10_000)));
                        } else {
                            // It is stricter by a slice at most.
                            let bound = f64::from(least).max((share * first(9_500)).floor());
                            prop_assert!(again(&retries, 10_500) >= bound);
                        }
                    }
                    6 if !waiting.is_empty() => {
                        let (charge, index) = waiting.swap_remove(which % waiting.len());
                        retries[index] = Some(now);
                        waiting.push((budget.started(at(now), charge), index));
                    }
                    _ if !waiting.is_empty() => {
                        let (charge, index) = waiting.swap_remove(which % waiting.len());
                        budget.give_back(charge);
                        retries[index] = None;
                    }
                    _ => {}
                }
            }
        }
    }
}
