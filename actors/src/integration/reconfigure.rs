//! A new plan for an actor that works: it goes on by it, and what is under way ends as it began.

use std::sync::Arc;

use actix::{Context, Handler};
use causeway_core::integration::CallId;
use causeway_core::limits::Demand;

use super::{IntegrationActor, Reconfigure};
use crate::meters::Meters;

impl Handler<Reconfigure> for IntegrationActor {
    type Result = ();

    fn handle(&mut self, message: Reconfigure, ctx: &mut Context<Self>) {
        let Reconfigure { plan, log, done } = message;
        self.parts.log = log;
        if Arc::ptr_eq(&self.parts.plan, &plan) {
            // Nothing is new but, it may be, the log; or it began anew with this plan.
            let _ = done.send(());
            return;
        }
        ctx.set_mailbox_capacity(Self::mailbox(&plan));
        self.parts.plan = plan;
        self.clients.turn_to(&self.parts);
        let meters = Meters::new(&self.parts.plan);
        self.meters.followed_by(&meters);
        self.meters = meters;
        self.watch_groups(ctx);
        self.turn(ctx, |actor, now| {
            let current = Arc::clone(&actor.parts.plan);
            let calls = &actor.calls;
            let demand_of = |id: CallId| {
                calls.get(&id).map_or_else(|| Ok(Demand::default()), |caller| caller.step.demand(&current))
            };
            actor.core.reconfigure(now, current.spec.clone(), &actor.parts.groups, demand_of);
            actor.post(now);
            // Whoever asked may have gone.
            let _ = done.send(());
        });
    }
}
