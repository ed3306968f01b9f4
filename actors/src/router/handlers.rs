//! The messages, each handled in one turn.

use std::sync::Arc;

use actix::Handler;
use causeway_core::operation::{Begin, Resumed, Run, RunStatus, Sent};

use super::flight::Flight;
use super::keeping::{self, Kept, Written};
use super::messages::StepNews;
use super::{Abandon, Dispatch, Inquire, Resume, Router, RunPermit};
use crate::guard;
use crate::meters::RunMeters;
use crate::plan::RunContext;
use crate::store::{Intent, NewRun, Progress, Ticket};

impl Handler<Dispatch> for Router {
    type Result = ();

    fn handle(&mut self, message: Dispatch, ctx: &mut Self::Context) {
        let Dispatch {
            id,
            correlation_id,
            trace,
            plan,
            directory,
            input,
            budget,
            wait,
            priority,
            permit,
            client,
            keeping,
            reply,
        } = message;
        let meters =
            self.meters.entry(plan.operation.clone()).or_insert_with(|| RunMeters::new(&plan.operation));
        meters.began();
        let (now, priority) = (self.shared.clock.now(), priority.unwrap_or(plan.priority));
        let is_kept = wait.is_some() || plan.may_act() || keeping.is_some();
        let keeping = keeping
            .filter(|_| self.shared.keeper.is_some())
            .map(|keeping| (keeping, trace, client.clone(), now));
        let begin = Begin { id, correlation_id, plan, input, budget, wait };
        match guard::caught(|| Run::begin(begin, now)) {
            Ok(run) => {
                let context = Arc::new(RunContext::of(&run, trace));
                let kept = keeping.map(|keeping| Self::kept(&run, priority, keeping));
                let reply = Some(reply);
                let flight =
                    Flight::new(run, directory, context, priority, is_kept, kept, reply, client, permit);
                self.drive(ctx, flight, |_, _| {});
            }
            // Nothing was sent: the caller learns of it by its reply being dropped.
            Err(message) => {
                meters.ended(RunStatus::Failed, std::time::Duration::ZERO);
                tracing::error!(panic = message, "a fault in its mapping ended a run");
            }
        }
    }
}

impl Handler<Resume> for Router {
    type Result = bool;

    fn handle(&mut self, message: Resume, ctx: &mut Self::Context) -> bool {
        let Resume { run, plan, directory, permit, lease } = message;
        let NewRun {
            id,
            client,
            correlation_id,
            trace,
            priority,
            created_at,
            input,
            progress,
            configuration,
            ..
        } = *run;
        let ticket = lease.as_ref().map_or_else(Ticket::default, |lease| lease.ticket);
        let cancelled = lease.as_ref().is_some_and(|lease| lease.cancelled);
        let meters =
            self.meters.entry(plan.operation.clone()).or_insert_with(|| RunMeters::new(&plan.operation));
        meters.began();
        let clock = &self.shared.clock;
        let Progress { revision, snapshot, intents, .. } = progress;
        let sent = |intent: &Intent| Sent {
            step: intent.step,
            role: intent.role,
            ago: keeping::age(intent, clock.now().wall),
        };
        let sent = intents.iter().filter(|intent| intent.in_doubt).map(sent).collect();
        let patient = lease.is_some();
        let resumed = Resumed {
            id: id.clone(),
            correlation_id,
            plan,
            input,
            began: created_at,
            snapshot,
            sent,
            patient,
        };
        let now = clock.now();
        match guard::caught(|| Run::resume(resumed, now)) {
            Ok(Some(run)) => {
                let context = Arc::new(RunContext::of(&run, trace));
                let kept = Some(Kept::resumed(revision, intents, ticket, configuration));
                let mut flight =
                    Flight::new(run, directory, context, priority, true, kept, None, client, permit);
                flight.lease = lease;
                self.drive(ctx, flight, |flight, now| {
                    if cancelled {
                        flight.run.cancel(now);
                    }
                });
                true
            }
            Ok(None) => {
                meters.withdrawn();
                tracing::error!(run_id = id.as_str(), "a run does not fit the plan it began with");
                false
            }
            Err(message) => {
                meters.withdrawn();
                tracing::error!(
                    run_id = id.as_str(),
                    panic = message,
                    "a fault ended a run that was to go on"
                );
                false
            }
        }
    }
}

impl Handler<Inquire> for Router {
    type Result = ();

    fn handle(&mut self, message: Inquire, ctx: &mut Self::Context) {
        let Inquire { run, plan, directory, ended_ago, reply } = message;
        let NewRun { id, client, correlation_id, trace, priority, created_at, input, progress, .. } = *run;
        if self.runs.contains_key(&id) {
            return;
        }
        let resumed = Resumed {
            id: id.clone(),
            correlation_id,
            plan,
            input,
            began: created_at,
            snapshot: progress.snapshot,
            sent: Vec::new(),
            patient: true,
        };
        let now = self.shared.clock.now();
        match guard::caught(|| Run::inquire(resumed, ended_ago, now)) {
            Ok(Some(run)) => {
                let context = Arc::new(RunContext::of(&run, trace));
                let permit = RunPermit::of_queue();
                let mut flight =
                    Flight::new(run, directory, context, priority, false, None, None, client, permit);
                flight.inquiry = Some((ended_ago, reply));
                self.drive(ctx, flight, |_, _| {});
            }
            Ok(None) => {}
            Err(message) => {
                tracing::error!(run_id = id.as_str(), panic = message, "a fault ended an inquiry");
            }
        }
    }
}

impl Handler<Written> for Router {
    type Result = ();

    fn handle(&mut self, written: Written, ctx: &mut Self::Context) {
        let Some(mut flight) = self.runs.remove(&written.run) else { return };
        if self.wrote(ctx, &mut flight, written) {
            return self.drive(ctx, flight, |_, _| {});
        }
        if let Some(at) = flight.timer {
            self.timers.remove(&(at, flight.run.id().clone()));
        }
        if !flight.recorded
            && let Some(meters) = self.meters.get(&flight.run.plan().operation)
        {
            meters.withdrawn();
        }
    }
}

impl Handler<StepNews> for Router {
    type Result = ();

    fn handle(&mut self, StepNews { run, call, news }: StepNews, ctx: &mut Self::Context) {
        if let Some(flight) = self.runs.remove(&run) {
            let jitter = self.jitter.next_unit();
            self.drive(ctx, flight, |flight, now| flight.tell(now, call, news, jitter));
        }
    }
}

impl Handler<Abandon> for Router {
    type Result = ();

    fn handle(&mut self, Abandon(run): Abandon, ctx: &mut Self::Context) {
        let Some(mut flight) = self.runs.remove(&run) else { return self.cancel_elsewhere(&run) };
        if let Some(kept) = flight.kept.as_mut().filter(|kept| kept.put_off.is_some()) {
            // What is being written does not know of it.
            kept.put_off_cancelled = true;
        }
        self.drive(ctx, flight, |flight, now| flight.run.cancel(now));
    }
}
