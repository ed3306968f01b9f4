//! One half-open cycle: a fixed number of permits, and what came of them.
//!
//! Every permit of the cycle is in one of three places: still here, out with a call, or used up by a success or a
//! failure. One that comes back without a verdict on the provider is here again, for another call.

use super::{BreakerSpec, Cause, Tally};
use crate::time::Mono;
use crate::window::{Counts, Outcome};

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
    /// Those that told of the provider.
    ended: Counts,
    /// The provider answered something that says neither, other than 429.
    neutral: bool,
    until: Mono,
}

impl Trials {
    /// A cycle of `calls` permits that must come to a verdict before `until`.
    pub(super) const fn new(calls: u32, until: Mono) -> Self {
        Self { here: calls, out: 0, ended: Counts::NONE, neutral: false, until }
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
    pub(super) fn record(&mut self, tally: Tally, slow: bool, spec: &BreakerSpec) -> Option<Verdict> {
        match tally {
            Tally::Neutral => {
                self.neutral = true;
                self.give_back();
            }
            Tally::RateLimited => self.give_back(),
            Tally::Success | Tally::Failure => {
                self.out = self.out.saturating_sub(1);
                self.ended.add(Counts::of(Outcome { failed: tally == Tally::Failure, slow }));
            }
        }
        self.verdict(spec)
    }

    /// Without a failure rate one failure is enough; whatever is a share is judged when all trials are heard.
    fn verdict(&self, spec: &BreakerSpec) -> Option<Verdict> {
        let all_back = self.here == 0 && self.out == 0;
        let failed = match spec.failure_rate {
            None => self.ended.failures > 0,
            Some(rate) => all_back && self.ended.failure_share() >= rate,
        };
        if failed {
            return Some(Verdict::Reopen(Cause::TrialFailed));
        }
        let slow = spec.slow_rate.is_some_and(|rate| self.ended.slow_share() >= rate);
        let verdict =
            if slow { Verdict::Reopen(Cause::TrialsSlow) } else { Verdict::Close(Cause::TrialsSucceeded) };
        all_back.then_some(verdict)
    }

    /// Where the cycle leads when its time is up: an answer, even a neutral one, shows that the provider is there;
    /// silence does not, and a 429 is no invitation.
    pub(super) const fn at_end(&self) -> Verdict {
        if self.neutral && self.ended.failures == 0 {
            Verdict::Close(Cause::TrialsNeutral)
        } else {
            Verdict::Reopen(Cause::TrialsUndecided)
        }
    }
}
