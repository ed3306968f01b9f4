//! New settings while calls are under way.
//!
//! Breaker and budgets keep what they have counted, calls keep their places and what they began with; what they take of
//! the limits is asked anew, for a limit's place among the others may be another now.

use super::{CallId, Demand, Failure, Groups, Integration, IntegrationSpec, Now, Standing, refusal};

impl<T> Integration<T> {
    /// Goes on with other settings. `demand_of` tells what a call takes of the new limits; one for which that cannot be
    /// told is answered with the failure, or, if it is on the wire, is not tried again. Bounds of the pool and the
    /// queue hold at once for what comes; what is there already stays.
    pub fn reconfigure(
        &mut self,
        now: Now,
        spec: IntegrationSpec,
        groups: &Groups,
        mut demand_of: impl FnMut(CallId) -> Result<Demand, Failure>,
    ) {
        self.breaker.respec(now.mono, spec.breaker);
        self.note_transitions();
        self.end_probe(now);
        self.limits.respec(spec.limits.clone(), groups, now);
        self.pool.respec(&spec.pool);
        self.budget.respec(spec.retry.budget, spec.retry.budget_min);
        if spec.limits != self.limit_specs {
            self.patience.forget();
        }
        (self.limit_specs, self.max_wait) = (spec.limits, spec.pool.max_wait);
        let mut refused = Vec::new();
        for (id, progress) in &mut self.calls {
            progress.foreign = true;
            let on_the_wire = matches!(progress.state, Standing::InFlight(..));
            let demand = demand_of(*id).and_then(|demand| {
                let never = self.limits.never(&demand).filter(|_| !on_the_wire);
                never.map_or(Ok(()), |limit| Err(refusal::cost_exceeds_limit(limit))).map(|()| demand)
            });
            match demand {
                Ok(demand) => progress.demand = demand,
                Err(failure) => {
                    progress.demand = Demand::default();
                    progress.last_attempt = true;
                    if !on_the_wire {
                        refused.push((*id, failure));
                    }
                }
            }
        }
        refused.sort_unstable_by_key(|(id, _)| *id);
        for (id, failure) in refused {
            self.fail(now.mono, id, failure);
        }
        let calls = &self.calls;
        let needs = |id| calls.get(&id).map_or_else(Demand::default, |progress| progress.demand.clone());
        self.queue.respec(spec.pool.max_queue(), spec.pool.max_wait, now.mono, needs);
        self.refuse_those_in_vain(now);
        self.advance(now);
    }
}
