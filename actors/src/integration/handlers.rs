//! The messages, each handled in one turn.

use std::rc::Rc;

use actix::Handler;
use causeway_core::idempotency::Doubt;
use causeway_core::integration::{Call, CallEnd};

use super::{AttemptFinished, AttemptOverdue, Caller, Cancel, Execute, IntegrationActor, Reset, Trip, Wake};
#[cfg(feature = "testing")]
use super::{DieNow, PanicNow};
use crate::attempt::StepState;

impl Handler<Execute> for IntegrationActor {
    type Result = ();

    fn handle(&mut self, message: Execute, ctx: &mut Self::Context) {
        let Execute { id, call, permit, reply } = message;
        let admitted = Call { id, endpoint: call.endpoint, deadline: call.deadline };
        let step = Rc::new(StepState::new(call));
        self.calls.insert(
            id,
            Caller { reply, step, attempts: 0, doubt: Doubt::default(), acted: false, _permit: permit },
        );
        self.turn(ctx, |actor, now| match actor.refusal(now.mono) {
            Some(failure) => actor.answer(id, CallEnd::Failed(failure), 0),
            None => actor.core.admit(now.mono, admitted),
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
        self.turn(ctx, |actor, now| actor.core.cancel(now.mono, call));
    }
}

impl Handler<AttemptFinished> for IntegrationActor {
    type Result = ();

    fn handle(&mut self, message: AttemptFinished, ctx: &mut Self::Context) {
        self.turn(ctx, |actor, now| actor.finished(now.mono, message.attempt, message.report));
    }
}

impl Handler<AttemptOverdue> for IntegrationActor {
    type Result = ();

    fn handle(&mut self, AttemptOverdue(attempt): AttemptOverdue, ctx: &mut Self::Context) {
        self.turn(ctx, |actor, _| actor.core.overdue(attempt));
    }
}

impl Handler<Trip> for IntegrationActor {
    type Result = ();

    fn handle(&mut self, message: Trip, ctx: &mut Self::Context) {
        let Trip { reason, lasting, done } = message;
        tracing::warn!(
            integration = self.parts.plan.name.as_str(),
            reason,
            ?lasting,
            "an operator trips the breaker"
        );
        self.turn(ctx, |actor, now| {
            actor.core.trip(now, reason, lasting);
            actor.post(now);
            // An operator who has hung up does not wait.
            let _ = done.send(());
        });
    }
}

impl Handler<Reset> for IntegrationActor {
    type Result = ();

    fn handle(&mut self, message: Reset, ctx: &mut Self::Context) {
        let Reset { reason, done } = message;
        tracing::warn!(integration = self.parts.plan.name.as_str(), reason, "an operator resets the breaker");
        self.restarts.forgive();
        self.meters.quarantined(false);
        self.turn(ctx, |actor, now| {
            actor.core.reset(now.mono);
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
