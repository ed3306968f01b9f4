//! The breaker's own calls: the core decides when, here they get a request, and nobody to answer.
//!
//! A probe is no run: it has an id of its own form, which no look-up knows and logs tell apart, and takes no place
//! among the callers' calls. Its input is an empty object.

use std::rc::Rc;
use std::sync::Arc;

use causeway_core::classify::Safety;
use causeway_core::idempotency::{Doubt, Role};
use causeway_core::integration::Probe;
use causeway_core::json::Json;
use causeway_core::name::{CorrelationId, OperationName, RunId, StepName};
use causeway_core::priority::Priority;
use causeway_core::time::Now;
use tokio::sync::oneshot;

use super::{Caller, IntegrationActor};
use crate::attempt::StepState;
use crate::plan::{RunContext, StepCall, TraceContext};

/// Spreads consecutive numbers over 64 bits.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl IntegrationActor {
    /// Makes the call that the core has asked for.
    pub(super) fn probe(&mut self, now: Now, probe: Probe) {
        let Some(step) = self.probe_step(probe).map(Rc::new).filter(|step| step.safety() == Safety::Safe)
        else {
            return self.core.cannot_probe(probe.call);
        };
        let demand = match step.demand(&self.parts.plan) {
            Ok(demand) => demand,
            Err(failure) => {
                let integration = self.parts.plan.name.as_str();
                let error = &*failure.message;
                tracing::warn!(integration, error, "the breaker's probe cannot be made");
                return self.core.cannot_probe(probe.call);
            }
        };
        // Nobody hears the answer: what it tells, the core has heard.
        let (reply, _) = oneshot::channel();
        let (client, doubt) = (self.clients.of(&self.parts, &step.plan), Doubt::default());
        let call = step.call(probe.call, demand);
        self.calls.insert(
            probe.call,
            Caller { reply, step, client, attempts: 0, doubt, acted: false, permit: None },
        );
        self.core.admit(now, call);
    }

    /// The probe as a step of the plan that holds now.
    fn probe_step(&self, probe: Probe) -> Option<StepState> {
        let plan = &self.parts.plan;
        let endpoint = plan.spec.breaker.probe?.endpoint;
        let life = self.parts.seed.rotate_left(29) ^ self.generation.rotate_left(32);
        let number = life ^ probe.call.0.wrapping_mul(GOLDEN);
        let id = RunId::new(format!("probe_{number:016x}"));
        let trace_id = (u128::from(number.wrapping_mul(GOLDEN)) << 64) | u128::from(number) | 1;
        let run = RunContext {
            correlation_id: CorrelationId::of(&id),
            id,
            operation: OperationName::probe(),
            trace: TraceContext::unrecorded(trace_id),
        };
        let call = StepCall {
            run: Arc::new(run),
            step: StepName::probe(),
            index: 0,
            role: Role::Primary,
            endpoint,
            repeats_input: false,
            input: Json::of(&serde_json::Map::new()),
            priority: Priority::Low,
            deadline: probe.deadline,
            in_doubt_for: None,
            request: None,
            lease: None,
        };
        Some(StepState::new(call, Arc::clone(plan)))
    }
}
