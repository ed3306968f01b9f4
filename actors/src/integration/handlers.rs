//! The messages, each handled in one turn.

use std::rc::Rc;

use actix::Handler;
use causeway_core::idempotency::Doubt;
use causeway_core::integration::CallEnd;
use causeway_core::operation::Tries;

use super::{
    AttemptFinished, AttemptOverdue, Caller, Cancel, Execute, IntegrationActor, LimitsWritten, Reset,
    SetMode, Settle, Wake,
};
#[cfg(feature = "testing")]
use super::{DieNow, PanicNow};
use crate::attempt::StepState;

impl Handler<Execute> for IntegrationActor {
    type Result = ();

    fn handle(&mut self, message: Execute, ctx: &mut Self::Context) {
        let Execute { id, call, plan, permit, reply } = message;
        let client = self.clients.of(&self.parts, &plan);
        let doubt = Doubt::since(call.in_doubt_for);
        let step = Rc::new(StepState::new(call, plan));
        let admitted = Rc::clone(&step);
        self.calls.insert(
            id,
            Caller { reply, step, client, attempts: 0, doubt, acted: false, permit: Some(permit) },
        );
        self.turn(ctx, |actor, now| {
            let demand = match actor.refusal(now.mono) {
                Some(failure) => Err(failure),
                None => admitted.demand(&actor.parts.plan),
            };
            match demand {
                Ok(demand) => actor.core.admit(now, admitted.call(id, demand)),
                Err(failure) => actor.answer(id, CallEnd::Failed(failure), Tries::NONE),
            }
        });
    }
}

impl Handler<Wake> for IntegrationActor {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.turn(ctx, |_, _| {});
    }
}

impl Handler<Cancel> for IntegrationActor {
    type Result = ();

    fn handle(&mut self, Cancel(call): Cancel, ctx: &mut Self::Context) {
        self.turn(ctx, |actor, now| actor.core.cancel(now, call));
    }
}

impl Handler<AttemptFinished> for IntegrationActor {
    type Result = ();

    fn handle(&mut self, message: AttemptFinished, ctx: &mut Self::Context) {
        let AttemptFinished { attempt, report } = message;
        let Some(flying) = self.landed(attempt, &report) else { return };
        self.turn(ctx, |actor, now| actor.finished(now, attempt, &flying, report));
    }
}

impl Handler<AttemptOverdue> for IntegrationActor {
    type Result = ();

    fn handle(&mut self, AttemptOverdue(attempt): AttemptOverdue, ctx: &mut Self::Context) {
        self.turn(ctx, |actor, _| actor.core.overdue(attempt));
    }
}

impl Handler<LimitsWritten> for IntegrationActor {
    type Result = ();

    fn handle(&mut self, LimitsWritten { due, ok }: LimitsWritten, ctx: &mut Self::Context) {
        self.turn(ctx, |actor, now| actor.core.written(now, &due, ok));
    }
}

impl Handler<Settle> for IntegrationActor {
    type Result = ();

    fn handle(&mut self, Settle { done }: Settle, ctx: &mut Self::Context) {
        self.turn(ctx, |actor, now| {
            // Whoever asked may have gone.
            let _ = done.send(actor.core.settle(now));
        });
    }
}

impl Handler<SetMode> for IntegrationActor {
    type Result = ();

    fn handle(&mut self, SetMode { change, done }: SetMode, ctx: &mut Self::Context) {
        tracing::warn!(
            integration = self.parts.plan.name.as_str(),
            mode = change.mode.as_str(),
            reason = change.reason,
            by = ?change.by,
            lasting = ?change.lasting,
            "the breaker's mode is set"
        );
        self.turn(ctx, |actor, now| {
            actor.core.set_mode(now, change);
            actor.post(now);
            // An operator who has hung up does not wait.
            let _ = done.send(());
        });
    }
}

impl Handler<Reset> for IntegrationActor {
    type Result = ();

    fn handle(&mut self, message: Reset, ctx: &mut Self::Context) {
        let Reset { reason, by, done } = message;
        let integration = self.parts.plan.name.as_str();
        tracing::warn!(integration, reason, by, "an operator resets the breaker");
        self.restarts.forgive();
        self.meters.quarantined(false);
        self.turn(ctx, |actor, now| {
            actor.core.reset(now);
            actor.rested(now);
            // An operator who has hung up does not wait.
            let _ = done.send(());
        });
    }
}

#[cfg(feature = "testing")]
impl Handler<PanicNow> for IntegrationActor {
    type Result = ();

    #[expect(clippy::panic, reason = "its one purpose")]
    fn handle(&mut self, _: PanicNow, ctx: &mut Self::Context) {
        self.turn(ctx, |_, _| panic!("asked to"));
    }
}

#[cfg(feature = "testing")]
impl Handler<DieNow> for IntegrationActor {
    type Result = ();

    #[expect(clippy::panic, reason = "its one purpose")]
    fn handle(&mut self, _: DieNow, _: &mut Self::Context) {
        panic!("asked to die");
    }
}
