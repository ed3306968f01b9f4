//! One half-open cycle: a fixed number of permits, and what came of them.
//!
//! Every permit of the cycle is in one of three places: still here, out with a call, or used up by a success or a
//! failure. One that comes back without a verdict on the provider is here again, for another call.

use super::{Cause, Tally};
use crate::time::Mono;

/// Where a cycle leads, and why.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    Close(Cause),
    Reopen(Cause),
}

/// The permits of one cycle.
#[derive(Clone, Debug)]
pub(super) struct Trials {
    here: u32,
    out: u32,
    successes: u32,
    failures: u32,
    /// The provider answered something that says neither, other than 429.
    neutral: bool,
    until: Mono,
}

impl Trials {
    /// A cycle of `calls` permits that must come to a verdict before `until`.
    pub(super) const fn new(calls: u32, until: Mono) -> Self {
        Self { here: calls, out: 0, successes: 0, failures: 0, neutral: false, until }
    }

    /// When the cycle is decided without further answers.
    pub(super) const fn until(&self) -> Mono {
        self.until
    }

    /// Whether a permit can be taken.
    pub(super) const fn any_here(&self) -> bool {
        self.here > 0
    }

    /// Permits out with a call.
    pub(super) const fn out(&self) -> u32 {
        self.out
    }

    /// Hands a permit out; the caller has looked whether there is one.
    pub(super) const fn take(&mut self) {
        self.here = self.here.saturating_sub(1);
        self.out = self.out.saturating_add(1);
    }

    /// Takes a permit back that settled nothing.
    pub(super) const fn give_back(&mut self) {
        self.here = self.here.saturating_add(1);
        self.out = self.out.saturating_sub(1);
    }

    /// Notes how a trial ended, and says whether that decides the cycle.
    pub(super) fn record(&mut self, tally: Tally, failure_rate: Option<f64>) -> Option<Verdict> {
        match tally {
            Tally::Neutral => {
                self.neutral = true;
                self.give_back();
            }
            Tally::RateLimited => self.give_back(),
            Tally::Success => {
                self.out = self.out.saturating_sub(1);
                self.successes = self.successes.saturating_add(1);
            }
            Tally::Failure => {
                self.out = self.out.saturating_sub(1);
                self.failures = self.failures.saturating_add(1);
            }
        }
        self.verdict(failure_rate)
    }

    /// Without a rate one failure is enough; with one, all trials are heard first.
    fn verdict(&self, failure_rate: Option<f64>) -> Option<Verdict> {
        let all_back = self.here == 0 && self.out == 0;
        let failed = match failure_rate {
            None => self.failures > 0,
            Some(rate) => {
                let trials = f64::from(self.successes.saturating_add(self.failures));
                all_back && f64::from(self.failures) / trials >= rate
            }
        };
        if failed {
            return Some(Verdict::Reopen(Cause::TrialFailed));
        }
        all_back.then_some(Verdict::Close(Cause::TrialsSucceeded))
    }

    /// Where the cycle leads when its time is up: an answer, even a neutral one, shows that the provider is there;
    /// silence does not, and a 429 is no invitation.
    pub(super) const fn at_end(&self) -> Verdict {
        if self.neutral && self.failures == 0 {
            Verdict::Close(Cause::TrialsNeutral)
        } else {
            Verdict::Reopen(Cause::TrialsUndecided)
        }
    }
}
