//! What a panic leads to: the actor stops, its supervisor restarts it, and its core is rebuilt round what is out.

use std::time::Duration;

use actix::{Context, Supervised};
use causeway_core::failure::{ErrorClass, Failure};
use causeway_core::integration::{CallEnd, CallId, Integration};
use causeway_core::operation::Tries;
use causeway_core::time::{Mono, Now};

use super::IntegrationActor;
use crate::board::Condition;
use crate::guard::Verdict;

impl IntegrationActor {
    pub(super) fn rested(&mut self, now: Now) {
        self.resting_until = None;
        self.condition = Condition::Running;
        self.core.let_probe(true);
        self.post(now);
    }

    pub(super) fn panicked(&mut self, ctx: &mut Context<Self>, now: Mono, message: &str) {
        let verdict = self.restarts.panicked(now);
        self.meters.restarted();
        tracing::error!(
            integration = self.parts.plan.name.as_str(),
            panic = message,
            ?verdict,
            "the integration's actor panicked and is rebuilt"
        );
        (self.condition, self.resting_until) = match verdict {
            Verdict::RestartAfter(Duration::ZERO) => (Condition::Running, None),
            Verdict::RestartAfter(wait) => (Condition::Restarting, Some(now + wait)),
            Verdict::Quarantine => (Condition::Quarantined, None),
        };
        self.meters.quarantined(self.condition == Condition::Quarantined);
        actix::ActorContext::stop(ctx);
    }

    /// Why no call is taken just now, if none is.
    pub(super) fn refusal(&self, now: Mono) -> Option<Failure> {
        let (message, wait) = match self.condition {
            Condition::Running => return None,
            Condition::Restarting => (
                "the integration is restarting after a fault",
                self.resting_until.map(|until| until.since(now)),
            ),
            Condition::Quarantined => ("the integration is set aside after repeated faults", None),
        };
        let code = "integration_restarting";
        Some(Failure::new(ErrorClass::Internal, code, message).retry_after(wait))
    }

    /// Rebuilds the core: attempts on the wire are adopted, calls that waited are answered.
    fn rebuild(&mut self, now: Now) {
        let kept = self.core.kept(now);
        let spec = self.parts.plan.spec.clone();
        let seed = self.parts.seed.wrapping_add(self.generation);
        let mut core = Integration::restarted(spec, &self.parts.groups, now, seed, &kept, self.next_attempt);
        let mut adopted = Vec::with_capacity(self.flying.len());
        for (attempt, flying) in &self.flying {
            if let Some(caller) = self.calls.get(&flying.call) {
                // On the wire it is, even if a new configuration makes no demand of it.
                let demand = caller.step.demand(&self.parts.plan).unwrap_or_default();
                let call = caller.step.call(flying.call, demand);
                core.adopt(now, call, *attempt, caller.attempts, caller.doubt);
                adopted.push(flying.call);
            }
        }
        self.core = core;
        self.core.let_probe(self.condition == Condition::Running);
        let orphans: Vec<CallId> = self.calls.keys().copied().filter(|id| !adopted.contains(id)).collect();
        for id in orphans {
            let Some(caller) = self.calls.get(&id) else { continue };
            let message = "the integration's actor was rebuilt while the call waited; it was not sent again";
            let failure = Failure::new(ErrorClass::Internal, "integration_restarted", message);
            let doubt = caller.doubt.exists() || caller.acted;
            let tries = Tries { made: caller.attempts, sent: caller.attempts > 0 || doubt, trial: false };
            let end = if doubt { CallEnd::Unknown(failure) } else { CallEnd::Failed(failure) };
            self.answer(id, end, tries);
        }
    }
}

impl Supervised for IntegrationActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.generation += 1;
        self.rebuild(self.parts.clock.now());
    }
}
