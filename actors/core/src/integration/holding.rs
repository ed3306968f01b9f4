//! A 429 holds everyone up who shares the budget behind it, and not just the caller that met it.

use std::collections::HashMap;

use super::{CallId, DrainScope, Duration, Failure, Integration, Now, admission, refusal};
use crate::bulkhead::queue::Gate;
use crate::limits::Take;
use crate::retry::backoff;

impl<T> Integration<T> {
    /// Drains the scope of a 429 until the provider's time, or, where it names none, for a wait that doubles with each
    /// further 429 of that scope; the failure then tells that wait.
    pub(super) fn hold_up(&mut self, now: Now, id: CallId, failure: &mut Failure) {
        let Some(progress) = self.calls.get(&id) else { return };
        let scope = failure.scope.clone().unwrap_or(DrainScope::Endpoint);
        let (specs, demand) = (&self.limit_specs, &progress.demand);
        let number = self.patience.refused(specs, demand, &scope, progress.started, now.mono);
        let own = || backoff::rate_limit_delay(&progress.rules.retry, number, 0.0);
        let wait = failure.retry_after.unwrap_or_else(own);
        failure.retry_after = Some(wait);
        let until = now.mono + wait;
        self.limits.drain(now, demand, &scope, until);
        if self.patience.waits(specs, demand, &scope, until) {
            self.refuse_those_in_vain(now);
        }
    }

    /// Answers those who wait and whose deadline is known now to come first.
    pub(super) fn refuse_those_in_vain(&mut self, now: Now) {
        let mut ahead: HashMap<Gate, u64> = HashMap::new();
        let mut late: Vec<(CallId, Duration)> = Vec::new();
        for (id, needs) in self.queue.in_order() {
            let Some(progress) = self.calls.get(&id) else { continue };
            let before =
                |take: &Take| ahead.get(&(take.limit, take.key.clone())).copied().unwrap_or_default();
            let (_, wait) = self.token_wait(now, needs, before);
            if admission::in_vain(progress, wait, now.mono) {
                late.push((id, wait));
                continue;
            }
            for take in &needs.0 {
                *ahead.entry((take.limit, take.key.clone())).or_default() += u64::from(take.cost);
            }
        }
        for (id, wait) in late {
            self.fail(now.mono, id, refusal::throttled(wait));
        }
    }
}
