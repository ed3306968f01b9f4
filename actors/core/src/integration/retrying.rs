//! What a failed attempt leads to: another one after a wait, or the end of its call.

use std::time::Duration;

use super::admission::may_be_sent;
use super::{CallEnd, CallId, Charge, Disposition, Effect, Integration, Mono, Now, Standing, State, refusal};
use crate::classify::Cut;
use crate::failure::{ErrorClass, Failure, Reason};
use crate::retry::{self, Asked, Decision, Why};

/// The code of a step that ends because the integration's retry budget is used up.
pub const RETRY_BUDGET_EXHAUSTED: &str = "retry_budget_exhausted";

impl<T> Integration<T> {
    /// Decides between a retry and the end, after what the attempt held has been given back.
    pub(super) fn attempt_failed(
        &mut self,
        now: Now,
        id: CallId,
        mut failure: Failure,
        cut: Option<Cut>,
    ) -> Disposition {
        if failure.class == ErrorClass::RateLimited {
            self.hold_up(now, id, &mut failure);
        }
        let now = now.mono;
        let Some(progress) = self.calls.get_mut(&id) else { return Disposition::Ignored };
        match cut {
            Some(Cut::Cancelled) => return self.caller_left(now, id),
            Some(Cut::Deadline) => return self.fail(now, id, failure),
            None => progress.doubt.observe(&failure),
        }
        if failure.class == ErrorClass::Ambiguous {
            progress.doubtful = Some(failure.clone());
        }
        if progress.last_attempt || !may_be_sent(progress, now) {
            return self.fail(now, id, failure);
        }
        let asked = Asked {
            retry_number: progress.attempts,
            class: failure.class,
            retry_after: failure.retry_after,
            time_left: Some(progress.deadline.since(now)),
            may_resend: true,
        };
        match retry::decide(&progress.rules.retry, &asked, self.jitter.next_unit()) {
            Decision::Retry(delay) if may_be_sent(progress, now + delay) => {
                self.try_again(now, id, failure, delay)
            }
            Decision::Retry(_) => self.fail(now, id, failure),
            Decision::GiveUp(Why::NotRetryable | Why::RetriesUsedUp) => self.fail(now, id, failure),
            Decision::GiveUp(Why::TooLong { wait } | Why::DeadlineTooNear { wait }) => {
                self.fail(now, id, failure.retry_after(Some(wait)))
            }
        }
    }

    /// Schedules a retry, unless the breaker is open or the retry budget used up.
    fn try_again(&mut self, now: Mono, id: CallId, mut failure: Failure, delay: Duration) -> Disposition {
        if let Err(refusal) = self.breaker.would_admit(now)
            && matches!(refusal.state, State::Open | State::ForcedOpen)
        {
            return self.fail(now, id, refusal::breaker_open(&refusal));
        }
        let Some(charge) = self.budget.charge(now) else {
            self.effects.push_back(Effect::BudgetExhausted(id));
            failure.code = RETRY_BUDGET_EXHAUSTED.into();
            return self.fail(now, id, failure);
        };
        self.back_off(id, now + delay, charge);
        Disposition::Retry(delay)
    }

    fn back_off(&mut self, id: CallId, until: Mono, charge: Charge) {
        if let Some(progress) = self.calls.get_mut(&id) {
            progress.state = Standing::BackingOff;
            progress.charge = Some(charge);
        }
        self.wake_at(id, until);
    }

    pub(super) fn backoff_is_over(&mut self, now: Now, id: CallId) {
        if let Some(progress) = self.calls.get_mut(&id) {
            progress.state = Standing::Waiting;
            self.enter(now, id);
        }
    }

    /// Ends a call without a result: failed, or unknown if an earlier attempt is in doubt. What is told then is the
    /// reason for the doubt, and what ended the call after it.
    pub(super) fn fail(&mut self, now: Mono, id: CallId, failure: Failure) -> Disposition {
        let in_doubt = self.calls.get_mut(&id).filter(|progress| progress.doubt.exists());
        let Some(progress) = in_doubt else {
            self.answer(now, id, CallEnd::Failed(failure));
            return Disposition::Failed;
        };
        let told = match progress.doubtful.take() {
            Some(reason) if failure.class != ErrorClass::Ambiguous => {
                let message = format!("{}; then {}: {}", reason.message, failure.code, failure.message);
                let exhausted = failure.code == RETRY_BUDGET_EXHAUSTED;
                let code = if exhausted { failure.code } else { reason.code };
                Failure { code, message: message.into(), retry_after: failure.retry_after, ..reason }
            }
            Some(_) | None => failure,
        };
        self.answer(now, id, CallEnd::Unknown(told));
        Disposition::Unknown
    }

    /// Ends a call whose caller is gone. What was in doubt stays in doubt.
    pub(super) fn caller_left(&mut self, now: Mono, id: CallId) -> Disposition {
        if self.calls.get(&id).is_some_and(|progress| progress.doubt.exists()) {
            let message = "the caller left while it was in doubt whether an attempt had acted";
            let failure = Failure::new(ErrorClass::Ambiguous, "cancelled_in_doubt", message);
            return self.fail(now, id, failure.because(Reason::Cancelled));
        }
        self.answer(now, id, CallEnd::Cancelled);
        Disposition::Cancelled
    }
}
