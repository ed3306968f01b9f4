//! What a failed attempt leads to: another one after a wait, or the end of its call.

use super::{
    Asked, CallEnd, CallId, Cut, Decision, Disposition, ErrorClass, Failure, Integration, Mono, Progress,
    Reason, Standing, State, Why, breaker_open, overloaded, retry, throttled,
};

impl<T> Integration<T> {
    /// Decides between a retry and the end, after what the attempt held has been given back.
    pub(super) fn attempt_failed(
        &mut self,
        now: Mono,
        id: CallId,
        mut failure: Failure,
        cut: Option<Cut>,
    ) -> Disposition {
        if failure.class == ErrorClass::RateLimited {
            self.park(now, id, &mut failure);
        }
        let Some(progress) = self.calls.get_mut(&id) else { return Disposition::Ignored };
        match cut {
            Some(Cut::Cancelled) => return self.caller_left(id),
            Some(Cut::Deadline) => return self.fail(id, failure),
            None => progress.doubt.observe(&failure),
        }
        if failure.class == ErrorClass::Ambiguous {
            progress.doubtful = Some(failure.clone());
        }
        if progress.last_attempt {
            return self.fail(id, failure);
        }
        let (deadline, attempts) = (progress.deadline, progress.attempts);
        if !self.may_be_sent(now, id) {
            return self.fail(id, failure);
        }
        let asked = Asked {
            retry_number: attempts,
            class: failure.class,
            retry_after: failure.retry_after,
            time_left: Some(deadline.since(now)),
            may_resend: true,
        };
        match retry::decide(&self.spec.retry, &asked, self.jitter.next_unit()) {
            Decision::Retry(delay) if self.may_be_sent(now + delay, id) => self.back_off(now, id, delay),
            Decision::Retry(_) => self.fail(id, failure),
            Decision::GiveUp(Why::NotRetryable | Why::RetriesUsedUp) => self.fail(id, failure),
            Decision::GiveUp(Why::TooLong { wait } | Why::DeadlineTooNear { wait }) => {
                self.fail(id, failure.retry_after(Some(wait)))
            }
        }
    }

    /// A 429 holds everyone up, not just the caller that met it: the budgets are empty until the provider's time,
    /// or, where it names none, for a wait that doubles with each further 429.
    /// Answers to attempts that were out already when it began belong to the same episode.
    fn park(&mut self, now: Mono, id: CallId, failure: &mut Failure) {
        let started = self.calls.get(&id).map(|progress| progress.started);
        if self.parked_at.is_none_or(|parked_at| started.is_some_and(|started| started > parked_at)) {
            self.rate_limited = self.rate_limited.saturating_add(1);
            self.parked_at = Some(now);
        }
        let wait = failure
            .retry_after
            .unwrap_or_else(|| retry::backoff::rate_limit_delay(&self.spec.retry, self.rate_limited, 0.0));
        failure.retry_after = Some(wait);
        self.limits.park_until(now, now + wait);
        let line: Vec<CallId> = self.pool.line().collect();
        for (position, id) in line.into_iter().enumerate() {
            let wait = self.limits.ready_in(now, u32::try_from(position).unwrap_or(u32::MAX));
            let too_late = |progress: &Progress| wait >= progress.deadline.since(now);
            if self.calls.get(&id).is_some_and(too_late) {
                self.pool.leave(id);
                self.refuse(id, throttled(wait));
            }
        }
    }

    fn back_off(&mut self, now: Mono, id: CallId, delay: std::time::Duration) -> Disposition {
        let until = now + delay;
        if let Err(refusal) = self.breaker.would_admit(until)
            && matches!(refusal.state, State::Open | State::ForcedOpen)
        {
            let refusal = self.breaker.would_admit(now).err().unwrap_or(refusal);
            return self.fail(id, breaker_open(&refusal));
        }
        if let Some(progress) = self.calls.get_mut(&id) {
            progress.state = Standing::BackingOff;
        }
        self.wake_at(id, until);
        Disposition::Retry(delay)
    }

    /// A breaker that has opened ends the sequences whose next attempt it would refuse anyway.
    pub(super) fn end_backoffs_that_cannot_help(&mut self, now: Mono) {
        let Err(refusal) = self.breaker.would_admit(now) else { return };
        let hopeless = |progress: &Progress| {
            matches!(progress.state, Standing::BackingOff)
                && progress.wake.is_some_and(|wake| self.breaker.would_admit(wake).is_err())
        };
        let ended: Vec<CallId> =
            self.calls.iter().filter(|(_, progress)| hopeless(progress)).map(|(id, _)| *id).collect();
        for id in ended {
            self.refuse(id, breaker_open(&refusal));
        }
    }

    pub(super) fn backoff_is_over(&mut self, now: Mono, id: CallId) {
        if let Some(progress) = self.calls.get_mut(&id) {
            progress.state = Standing::Waiting;
            self.enter(now, id);
        }
    }

    /// The deadline has come while the call stood in the queue.
    pub(super) fn wait_is_over(&mut self, now: Mono, id: CallId) {
        self.pool.leave(id);
        let failure = if self.pool.head_expires().is_some() || !self.pool.has_room() {
            overloaded("no permit of the pool came free before the deadline", self.pool.max_wait())
        } else {
            throttled(self.limits.ready_in(now, 0))
        };
        self.refuse(id, failure);
    }

    /// Ends a call whose caller is gone. What was in doubt stays in doubt.
    pub(super) fn caller_left(&mut self, id: CallId) -> Disposition {
        if self.calls.get(&id).is_some_and(|progress| progress.doubt.exists()) {
            let message = "the caller left while it was in doubt whether an attempt had acted";
            let failure = Failure::new(ErrorClass::Ambiguous, "cancelled_in_doubt", message);
            return self.fail(id, failure.because(Reason::Cancelled));
        }
        self.answer(id, CallEnd::Cancelled);
        Disposition::Cancelled
    }
}
