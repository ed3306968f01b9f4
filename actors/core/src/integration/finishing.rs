//! The way out: an attempt has ended, what it held is given back, and its call is answered or tried again.

use super::{
    AttemptEnd, AttemptId, CallEnd, CallId, Disposition, Held, Integration, Now, Permit, Standing, Tally,
};
use crate::classify::{self, Phase};
use crate::failure::{ErrorClass, Failure, Reason};
use crate::time::Mono;

impl<T> Integration<T> {
    /// Takes the end of an attempt: gives back what it held, and answers its call or has it tried again.
    pub fn finished(&mut self, now: Now, attempt: AttemptId, end: AttemptEnd<T>) -> Disposition {
        let Some(id) = self.attempts.remove(&attempt) else { return Disposition::Ignored };
        self.pool.give_back();
        let Some(progress) = self.calls.get_mut(&id) else { return Disposition::Ignored };
        if end.phase == Phase::Sent {
            progress.first_sent.get_or_insert(progress.started);
        }
        if let Some(charge) = progress.charge.take()
            && end.phase == Phase::NotSent
            && end.cut.is_some()
        {
            self.budget.give_back(charge);
        }
        if let Standing::InFlight(_, held) = std::mem::replace(&mut progress.state, Standing::BackingOff) {
            self.hand_back(now, id, held, &end);
        }
        let disposition = match end.result {
            Ok(result) => {
                if let Some(progress) = self.calls.get(&id) {
                    self.patience.succeeded(&progress.demand, progress.started);
                }
                self.answer(now.mono, id, CallEnd::Succeeded(result));
                Disposition::Succeeded
            }
            Err(failure) => self.attempt_failed(now, id, failure, end.cut),
        };
        self.pump(now);
        disposition
    }

    /// Gives back what an attempt held, with what it tells of the limits and of the provider.
    fn hand_back(&mut self, now: Now, id: CallId, held: Held, end: &AttemptEnd<T>) {
        match end.phase {
            Phase::Sent => self.limits.finish(now, held.tokens),
            Phase::NotSent => self.limits.give_back(now, held.tokens),
        }
        if let Some(progress) = self.calls.get(&id) {
            if !end.told.is_empty() && !progress.foreign {
                self.limits.learn(now, &progress.demand, &end.told);
            }
            if !self.queue.is_empty() && progress.foreign {
                // What it took may be called otherwise by now.
                for limit in 0..self.limit_specs.len() {
                    self.queue.released_limit(limit, now.mono);
                }
            } else if !self.queue.is_empty() {
                for take in &progress.demand.0 {
                    self.queue.released(take, now.mono);
                }
            }
        }
        if let Some(permit) = held.permit {
            self.tell_breaker(now.mono, permit, end);
            self.note_transitions();
        }
    }

    /// Hands the breaker's permit back: with what it tells of the provider, or unused where it tells nothing.
    fn tell_breaker(&mut self, now: Mono, permit: Permit, end: &AttemptEnd<T>) {
        let failure = end.result.as_ref().err();
        let ours =
            |failure: &Failure| failure.class == ErrorClass::Internal || failure.reason == Reason::Lost;
        if end.cut.is_some() || failure.is_some_and(ours) {
            return self.breaker.release(permit);
        }
        let tally = failure.map_or(Tally::Success, |failure| classify::tally(failure, end.cut));
        self.breaker.record(now, permit, tally, end.took);
    }
}
