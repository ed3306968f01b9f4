//! The router: takes business operations in, dispatches their steps, and answers with outcomes.
//!
//! One router lives on each HTTP worker's thread, so taking an operation in is a hop within a thread; a step crosses
//! to its integration's thread and back. The router holds the runs in flight ([`causeway_core::operation::Run`]),
//! does what they ask for, and meets integrations only through messages. A permit of the integration travels with
//! each call: none left is `overloaded` at once, so no mailbox is ever relied on as a bound.
//!
//! A run that is over while a call of it is still out (an optional one, past the deadline) is held until that has come
//! home, so that a server that stops waits for it.
//!
//! `flight` is one run with what belongs to it; `keeping` is what it writes down, and when; `messages` is what a router
//! is told, and what it answers; `handlers` takes them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::{Actor, Addr, AsyncContext, Context, SpawnHandle};
use causeway_core::failure::{ErrorClass, Failure};
use causeway_core::idempotency::Role;
use causeway_core::integration::{CallEnd, CallId};
use causeway_core::json::Json;
use causeway_core::name::{ClientName, OperationName, RunId};
use causeway_core::operation::{Begin, Directive, MAX_STEPS, Order, Outcome, Part, Run, RunStatus, Tries};
use causeway_core::priority::Priority;
use causeway_core::retry::Jitter;
use causeway_core::time::{Mono, Now};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::board::Board;
use crate::clock::Clock;
use crate::directory::Place;
use crate::guard;
use crate::integration::{Execute, StepReply};
use crate::meters::{self, RunMeters};
use crate::metric::{Labels, Metric};
use crate::plan::{StepCall, TraceContext};
use crate::span::{self, Spans};
use crate::stale::StaleStore;
use crate::store::{NewRun, Progress, Queue};

mod flight;
mod handlers;
mod keeping;
mod messages;

pub use crate::meters::{announce, died};
pub use causeway_core::integration::STORE_UNAVAILABLE;
pub use keeping::Keeper;
pub use messages::{
    Abandon, Answer, Dispatch, Inquire, Keeping, Lease, LeaseEnd, NotRun, Reply, Resume, RunPermit, Slot,
    Standing, Stays,
};

use flight::{Flight, OpenCall};
use keeping::{Held, Kept, Next, Written};
use messages::{News, StepNews};

/// What routers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) board: Arc<Board>,
    pub(crate) stale: Arc<StaleStore>,
    pub(crate) spans: Option<Arc<dyn Spans>>,
    pub(crate) clock: Clock,
    pub(crate) keeper: Option<Keeper>,
    /// Whether integrations are being stopped for good: a call that is lost with one has not ended.
    pub(crate) stopping: Arc<AtomicBool>,
}

/// One worker's router.
pub struct Router {
    shared: Shared,
    /// Tells it from the others.
    index: u64,
    runs: HashMap<RunId, Flight>,
    /// When runs want to be told the time: those that no call tells it.
    timers: BTreeSet<(Mono, RunId)>,
    wake: Option<(Mono, SpawnHandle)>,
    meters: HashMap<OperationName, RunMeters>,
    next_call: u64,
    jitter: Jitter,
    mailbox: usize,
}

impl Router {
    /// A router for one thread. `index` tells it from the others; `max_runs` bounds its mailbox.
    pub(crate) fn new(shared: Shared, index: u64, max_runs: usize) -> Self {
        // Of each run: to begin it, to leave it, and of each of its calls that it is overdue and that it has ended.
        // And as many writes again, at most.
        let messages_of_a_run = 4 * MAX_STEPS + 4;
        Self {
            shared,
            index,
            runs: HashMap::new(),
            timers: BTreeSet::new(),
            wake: None,
            meters: HashMap::new(),
            next_call: index << 48,
            jitter: Jitter::seeded(index.wrapping_add(1)),
            mailbox: max_runs.saturating_mul(messages_of_a_run).saturating_add(64),
        }
    }

    /// Tells a run what has happened and does what it asks for, until it waits or is done. A panic ends this run and no
    /// other.
    fn drive(&mut self, ctx: &mut Context<Self>, mut flight: Flight, event: impl FnOnce(&mut Flight, Now)) {
        let driven = guard::caught(|| {
            event(&mut flight, self.shared.clock.now());
            self.follow(ctx, &mut flight);
        });
        if let Err(message) = driven {
            Metric::ActorRestarts.counter(&Labels::none().word("actor", "router")).increment(1);
            let run_id = flight.run.id().as_str();
            tracing::error!(run_id, panic = message, "a fault in the router ended a run");
            let outcome = flight.run.lost(self.shared.clock.now());
            if !flight.recorded {
                self.finish(&mut flight, outcome);
            }
        }
        if flight.is_lost {
            return self.leave(flight);
        }
        self.keep(ctx, &mut flight);
        self.set_timer(ctx, &mut flight);
        if flight.is_done() {
            return;
        }
        if flight.can_be_found() && !flight.recorded {
            self.shared.board.run_changed(flight.run.so_far(), flight.client.clone(), self.index);
        }
        self.runs.insert(flight.run.id().clone(), flight);
    }

    /// Leaves a run to whoever leases it next: its own lease has run out, so nothing more is sent or written for it.
    fn leave(&mut self, flight: Flight) {
        tracing::warn!(
            run_id = flight.run.id().as_str(),
            "the lease of a run has run out: it is left to the next"
        );
        self.shared.board.take_run_off(flight.run.id());
        if let Some(at) = flight.timer {
            self.timers.remove(&(at, flight.run.id().clone()));
        }
        if let Some(meters) = self.meters.get(&flight.run.plan().operation).filter(|_| !flight.recorded) {
            meters.withdrawn();
        }
    }

    /// Does what a run asks for.
    fn follow(&mut self, ctx: &Context<Self>, flight: &mut Flight) {
        while let Some(directive) = flight.run.poll() {
            match directive {
                Directive::Execute(order) => self.execute(ctx, flight, order),
                Directive::Cancel(step) => self.stop(flight, step),
                Directive::Spawn { step, input } => self.spawn(flight, step, input),
                Directive::Keep { key, result } => {
                    self.shared.stale.keep(self.shared.clock.mono(), key, result);
                }
                Directive::Recall { step, key, within } => {
                    let now = self.shared.clock.now();
                    flight.run.recalled(now, step, self.shared.stale.recall(now.mono, &key, within));
                }
                Directive::Pending(outcome) => self.tell(flight, *outcome, Standing::Pending),
                Directive::Accepted(outcome) => self.tell(flight, *outcome, Standing::Accepted),
                Directive::Finish(outcome) => self.finish(flight, *outcome),
            }
        }
    }

    fn execute(&mut self, ctx: &Context<Self>, flight: &mut Flight, order: Order) {
        let step = order.step;
        let sent =
            if self.is_kept_waiting(flight, &order) { Err(paused()) } else { self.send(ctx, flight, order) };
        if let Err(failure) = sent {
            self.not_sent(flight, step, failure);
        }
    }

    /// Whether the integration of a queued run's next call is paused: the run waits there, wherever it was leased.
    fn is_kept_waiting(&self, flight: &Flight, order: &Order) -> bool {
        let Some(keeper) = self.shared.keeper.as_ref().filter(|_| flight.lease.is_some()) else {
            return false;
        };
        order.role != Role::Verify
            && flight.run.may_put_off(order.step)
            && flight.run.target(order.step).is_some_and(|call| (keeper.is_paused)(&call.integration))
    }

    fn send(&mut self, ctx: &Context<Self>, flight: &mut Flight, order: Order) -> Result<(), Failure> {
        let Order { step, role, input, deadline, in_doubt_for } = order;
        let found = flight.run.plan().steps.get(step).zip(flight.run.target(step));
        let Some((plan, target)) = found else { return Err(no_such_step()) };
        let Some(place) = flight.directory.find(target.integration.as_str()) else {
            let message = format!("the integration `{}` is not configured", target.integration);
            return Err(Failure::new(ErrorClass::Internal, "no_such_integration", message));
        };
        let permit = place.permit().ok_or_else(|| overloaded(place))?;
        let id = CallId(self.next_call);
        self.next_call += 1;
        let call = StepCall {
            run: Arc::clone(&flight.context),
            step: plan.name.clone(),
            index: step,
            role,
            endpoint: target.endpoint_index,
            repeats_input: flight.kept.as_ref().is_some_and(Kept::is_sure_to_stay)
                && input == *flight.run.input(),
            input,
            priority: flight.priority,
            deadline,
            in_doubt_for,
            request: None,
            lease: flight.lease.as_ref().map(|lease| lease.until.clone()),
        };
        let held = Held::new(id, call, Arc::clone(place), permit, target.safety());
        match &mut flight.kept {
            None => self.dispatch(ctx, flight, held),
            Some(kept) => kept
                .hold(held, self.shared.clock.now().wall)
                .map_or(Ok(()), |held| self.dispatch(ctx, flight, held)),
        }
    }

    /// Hands a call to its integration.
    fn dispatch(&self, ctx: &Context<Self>, flight: &mut Flight, held: Held) -> Result<(), Failure> {
        let Held { id, call, place, permit, .. } = held;
        if flight.lease.as_ref().is_some_and(|lease| !lease.until.holds(self.shared.clock.mono())) {
            flight.is_lost = true;
            return Ok(());
        }
        let (reply, answered) = oneshot::channel();
        let step = call.index;
        let message = Execute { id, call, plan: Arc::clone(place.plan()), permit, reply };
        place.send(message).map_err(|_| overloaded(&place))?;
        flight.calls.push(OpenCall { id, step, place });
        let stopping = Arc::clone(&self.shared.stopping);
        actix::spawn(await_step(ctx.address(), stopping, flight.run.id().clone(), id, answered));
        Ok(())
    }

    /// Asks the open call of a step to stop; one that has not been sent yet does not have to be asked.
    fn stop(&self, flight: &mut Flight, step: usize) {
        if flight.kept.as_mut().is_some_and(|kept| kept.withdraw(step)) {
            flight.run.call_ended(self.shared.clock.now(), step, CallEnd::Cancelled, Tries::NONE);
        } else if let Some(place) = flight.put_off.iter().position(|(put_off, _, _)| *put_off == step) {
            // It would have been made again later; now it has ended as it did.
            let (_, end, tries) = flight.put_off.swap_remove(place);
            flight.run.call_ended(self.shared.clock.now(), step, end, tries);
        } else {
            flight.stop(step);
        }
    }

    /// Answers the caller, as soon as what it is told is sure to be found again.
    fn tell(&self, flight: &mut Flight, outcome: Outcome, standing: Standing) {
        let told = match &mut flight.kept {
            None => Some((outcome, standing)),
            Some(kept) => kept.tell(outcome, standing),
        };
        if let Some((outcome, standing)) = told {
            flight.answer(outcome, standing);
        }
    }

    /// Writes down what there is to be written down.
    fn keep(&mut self, ctx: &Context<Self>, flight: &mut Flight) {
        flight.waits();
        let Some((kept, keeper)) = flight.kept.as_mut().zip(self.shared.keeper.as_ref()) else { return };
        let now = self.shared.clock.now();
        if let Some(outcome) = kept.came_to_nothing() {
            flight.kept = None;
            return self.told_the_end(flight, outcome);
        }
        if let Some(write) = kept.next_write(&flight.run, now, keeper.render) {
            if write.is_last() && flight.calls.is_empty() {
                flight.lease.iter_mut().for_each(|lease| lease.slot = None);
            }
            actix::spawn(write.run(Arc::clone(&keeper.store), ctx.address(), flight.run.id().clone()));
        }
        if !kept.is_claimed() && flight.is_awaited() && flight.run.deadline() <= now.mono {
            flight.refuse(NotRun::Late);
            flight.run.cancel(now);
            self.follow(ctx, flight);
        }
    }

    /// Goes on after a write; `false` where there is no run.
    fn wrote(&mut self, ctx: &Context<Self>, flight: &mut Flight, written: Written) -> bool {
        let Some(kept) = &mut flight.kept else { return true };
        let next = kept.written(self.shared.clock.mono(), written);
        if let Some(keeper) = &self.shared.keeper {
            kept.queued.drain(..).for_each(|integration| (keeper.queued)(&integration));
        }
        match next {
            Next::Send(calls) => {
                if let Some((outcome, standing)) = kept.told_when_claimed() {
                    flight.answer(outcome, standing);
                }
                for held in calls {
                    let step = held.call.index;
                    if let Err(failure) = self.dispatch(ctx, flight, held) {
                        self.not_sent(flight, step, failure);
                    }
                }
            }
            Next::NotSent(calls, failure) => {
                for held in calls {
                    self.not_sent(flight, held.call.index, failure.clone());
                }
            }
            Next::Known(known) => {
                flight.refuse(NotRun::Known(known));
                return false;
            }
            Next::NotBegun(error) => {
                flight.refuse(NotRun::Unavailable { error, ended: false });
                return false;
            }
            Next::Ended(outcome) => {
                if let Some(death) = kept.died(&outcome) {
                    meters::died(&outcome.id, &death);
                }
                self.told_the_end(flight, *outcome);
            }
            Next::PutOff(queue) => {
                let cancelled = kept.put_off_cancelled;
                self.shared.board.take_run_off(flight.run.id());
                flight.leased(LeaseEnd::PutOff(queue.integration));
                if cancelled {
                    self.cancel_elsewhere(flight.run.id());
                }
                return false;
            }
            Next::Lost => {
                tracing::warn!(
                    run_id = flight.run.id().as_str(),
                    "another one has the run by now: it is left to it"
                );
                self.shared.board.take_run_off(flight.run.id());
                return false;
            }
            Next::NotEnded(error) => {
                tracing::error!(run_id = flight.run.id().as_str(), %error, "a run's end could not be written down");
                flight.refuse(NotRun::Unavailable { error, ended: true });
            }
        }
        self.follow(ctx, flight);
        true
    }

    /// Has a run cancelled that is, or will be, wherever runs wait.
    fn cancel_elsewhere(&self, run: &RunId) {
        if let Some(keeper) = &self.shared.keeper {
            (keeper.cancelled)(run);
        }
    }

    /// Begins a run in the background.
    fn spawn(&self, flight: &mut Flight, step: usize, input: Json) {
        let now = self.shared.clock.now();
        let id = RunId::new(format!("run_{}", Uuid::now_v7().simple()));
        let Some((part, kept)) = flight.run.plan().part(Part::step(step)).zip(flight.kept.as_mut()) else {
            let run_id = flight.run.id().as_str();
            return tracing::error!(run_id, step, "a step in the background has nobody to be left to");
        };
        let correlation_id = flight.run.correlation_id().clone();
        let plan = Arc::new(part);
        let begin = Begin { id: id.clone(), correlation_id, plan, input, budget: None, wait: None };
        let begun = Run::begin(begin, now);
        let integration = begun.waits_for().cloned();
        kept.begets(NewRun {
            id: id.clone(),
            client: flight.client.clone(),
            operation: flight.run.plan().operation.clone(),
            version: flight.run.plan().version,
            correlation_id: flight.run.correlation_id().clone(),
            trace: flight.context.trace,
            priority: flight.priority,
            created_at: now.wall,
            claim: None,
            configuration: kept.configuration,
            input: begun.input().clone(),
            progress: Progress::of(&begun),
            part: Some(Part::step(step)),
            queue: integration.map(|integration| Queue { integration, not_before: now.wall }),
        });
        flight.run.spawned(now, step, id);
    }

    fn not_sent(&mut self, flight: &mut Flight, step: usize, failure: Failure) {
        let (now, jitter) = (self.shared.clock.now(), self.jitter.next_unit());
        flight.call_ended(now, step, CallEnd::Failed(failure), Tries::NONE, jitter);
    }

    /// Tells the world how a run has ended that is written down, or of which there was nothing to be written.
    fn told_the_end(&self, flight: &mut Flight, outcome: Outcome) {
        self.shared.board.take_run_off(&outcome.id);
        flight.leased(LeaseEnd::Over);
        flight.answer(outcome, Standing::Over);
    }

    fn finish(&mut self, flight: &mut Flight, outcome: Outcome) {
        flight.recorded = true;
        if let Some((ended_ago, reply)) = flight.inquiry.take() {
            // Whoever asked may have left.
            let _ = reply.send(flight.run.finding(ended_ago));
            return;
        }
        let (began, ended) = (flight.run.began().mono, self.shared.clock.mono());
        let took = ended.since(began);
        if let Some(spans) = self.shared.spans.as_ref().filter(|_| flight.context.trace.sampled) {
            let (trace, client) = (flight.context.trace, flight.client.as_ref());
            span::of_run(&outcome, trace, client, began, ended)
                .into_iter()
                .for_each(|span| spans.record(span));
        }
        if let Some(meters) = self.meters.get(&outcome.operation) {
            meters.ended(outcome.status, took);
        }
        if outcome.degraded {
            RunMeters::fallbacks(flight.run.plan(), &outcome);
        }
        if let Some(kept) = &mut flight.kept {
            return kept.ends(outcome);
        }
        let may_have_acted =
            flight.run.plan().may_act() && (outcome.status == RunStatus::Unknown || outcome.was_attempted());
        if may_have_acted || flight.run.is_promised() {
            self.shared.board.run_finished(outcome.clone(), flight.client.clone());
        } else if flight.is_kept {
            self.shared.board.take_run_off(&outcome.id);
        }
        flight.answer(outcome, Standing::Over);
    }

    fn set_timer(&mut self, ctx: &mut Context<Self>, flight: &mut Flight) {
        let next = flight.next_deadline();
        if next == flight.timer {
            return;
        }
        let id = flight.run.id();
        if let Some(at) = flight.timer {
            self.timers.remove(&(at, id.clone()));
        }
        self.timers.extend(next.map(|at| (at, id.clone())));
        flight.timer = next;
        self.schedule(ctx);
    }

    /// One timer wakes the router, for all its runs.
    fn schedule(&mut self, ctx: &mut Context<Self>) {
        let Some(next) = self.timers.first().map(|(at, _)| *at) else { return };
        match self.wake {
            Some((at, _)) if at <= next => {}
            earlier => {
                if let Some((_, handle)) = earlier {
                    ctx.cancel_future(handle);
                }
                let handle = ctx.run_later(next.since(self.shared.clock.mono()), Self::woken);
                self.wake = Some((next, handle));
            }
        }
    }

    fn woken(&mut self, ctx: &mut Context<Self>) {
        self.wake = None;
        let now = self.shared.clock.mono();
        while let Some((at, id)) = self.timers.pop_first() {
            if at > now {
                self.timers.insert((at, id));
                break;
            }
            if let Some(mut flight) = self.runs.remove(&id) {
                flight.timer = None;
                self.drive(ctx, flight, |flight, now| flight.run.advance(now));
            }
        }
        self.schedule(ctx);
    }
}

impl Router {
    /// What a run that is written down begins with.
    fn kept(
        run: &Run,
        priority: Priority,
        (keeping, trace, client, now): (Keeping, TraceContext, Option<ClientName>, Now),
    ) -> Kept {
        let claim = NewRun {
            id: run.id().clone(),
            client,
            operation: run.plan().operation.clone(),
            version: run.plan().version,
            correlation_id: run.correlation_id().clone(),
            trace,
            priority,
            created_at: now.wall,
            claim: keeping.claim,
            configuration: keeping.configuration,
            input: run.input().clone(),
            progress: Progress::of(run),
            part: None,
            queue: None,
        };
        Kept::begins(claim, keeping.stays)
    }
}

fn paused() -> Failure {
    let failure =
        Failure::new(ErrorClass::Overloaded, "paused", "the integration is paused: the run waits there");
    failure.retry_after(Some(std::time::Duration::ZERO))
}

fn no_such_step() -> Failure {
    Failure::new(ErrorClass::Internal, "no_such_step", "the run asks for a call that its plan does not have")
}

fn overloaded(place: &Place) -> Failure {
    let message = format!("the integration `{}` has no room for another call", place.name());
    Failure::new(ErrorClass::Overloaded, "overloaded", message).retry_after(Some(place.retry_after()))
}

/// Waits for a call's answers and hands them to the router.
async fn await_step(
    router: Addr<Router>,
    stopping: Arc<AtomicBool>,
    run: RunId,
    call: CallId,
    mut answered: oneshot::Receiver<StepReply>,
) {
    loop {
        let (news, rest) = match answered.await {
            Ok(StepReply::Ended(end)) => (News::Ended(end), None),
            Ok(StepReply::Pending { attempts, rest }) => (News::Overdue(attempts), Some(rest)),
            // Its run has not ended, and goes on in the next life.
            Err(_) if stopping.load(Ordering::SeqCst) => return,
            Err(_) => (News::Lost, None),
        };
        if router.try_send(StepNews { run: run.clone(), call, news }).is_err() {
            tracing::error!(run_id = run.as_str(), "could not hand a step's answer to its router");
        }
        match rest {
            Some(rest) => answered = rest,
            None => return,
        }
    }
}

impl Actor for Router {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.mailbox);
        self.shared.board.router_started(self.index, ctx.address().downgrade());
    }
}
