//! The actor of one integration: a shell round [`causeway_core::integration`].
//!
//! It lives on one I/O thread with its HTTP client, its attempts and their connections. Messages come in, the core
//! decides, effects go out; the actor itself decides nothing about breakers, limits or retries. What it holds beside
//! the core are the things a pure value cannot: reply channels, running attempts, permits, one wake-up timer.
//!
//! # Panics and restarts
//!
//! Every handler runs the core inside [`guard::caught`]. A panic stops the actor; its supervisor calls
//! [`restarting`](actix::Supervised::restarting), which rebuilds the core. Calls that had an attempt on the wire keep it: the rebuilt
//! core adopts the attempt, and its result answers the call. Calls that were waiting are answered: failed, or
//! unknown where an earlier attempt is in doubt. The mailbox survives, the neighbours do not notice.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, SpawnHandle};
use causeway_core::breaker::Transition;
use causeway_core::classify::Safety;
use causeway_core::failure::ErrorClass;
use causeway_core::idempotency::Doubt;
use causeway_core::integration::{AttemptId, CallEnd, CallId, Disposition, Effect, Integration, Send};
use causeway_core::json::Json;
use causeway_core::limits::{self, Groups, Told, Watch};
use causeway_core::operation::Tries;
use causeway_core::time::{Mono, Now, Wall};
use http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::attempt::{self, Guard, Job, Report, StepState};
use crate::board::{Board, Condition, Snapshot};
use crate::clock::Clock;
use crate::guard::{self, Restarts};
use crate::meters::Meters;
use crate::plan::{IntegrationPlan, LogPlan};
use crate::ports::{Client, Ledger, Transport};
use crate::record::{self, Attempts, Record};
use crate::span::{self, Attempt, Span, Spans};

mod clients;
mod handlers;
mod keeping;
mod messages;
mod probes;
mod reconfigure;
mod restart;

use clients::Clients;
pub(crate) use messages::{AttemptFinished, AttemptOverdue, LimitsWritten, Reconfigure, Settle, Wake};
pub use messages::{Cancel, Execute, Reset, SetMode, StepEnd, StepReply};
#[cfg(feature = "testing")]
pub use messages::{DieNow, PanicNow};

/// How often, at most, the board is told what has changed but for the breaker, which is told at once.
const POST_EVERY: Duration = Duration::from_millis(200);

/// What an actor is built from.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) plan: Arc<IntegrationPlan>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) board: Arc<Board>,
    pub(crate) spans: Option<Arc<dyn Spans>>,
    pub(crate) attempts: Option<Arc<dyn Attempts>>,
    pub(crate) clock: Clock,
    pub(crate) log: Arc<LogPlan>,
    pub(crate) seed: u64,
    /// The limits that integrations share, and what is remembered of its own.
    pub(crate) groups: Groups,
    /// Writes down what of limits outlives the process, where anything does.
    pub(crate) ledger: Option<Arc<dyn Ledger>>,
}

/// One integration's actor.
pub struct IntegrationActor {
    parts: Parts,
    core: Integration<Json>,
    clients: Clients,
    meters: Meters,
    calls: HashMap<CallId, Caller>,
    flying: HashMap<AttemptId, Flying>,
    next_attempt: u64,
    restarts: Restarts,
    condition: Condition,
    /// After a panic: no call before this.
    resting_until: Option<Mono>,
    generation: u64,
    wake: Option<(Mono, SpawnHandle)>,
    posted: Mono,
    stale: bool,
    sampled: f64,
    /// Of the attempt that has ended in this turn, until what it leads to is known.
    span: Option<Span>,
    /// Set from any thread when something came free in a group of limits.
    group_released: Arc<AtomicBool>,
    /// Keeps the wakers with the groups.
    watches: Vec<Watch>,
}

/// Who waits for a call.
struct Caller {
    reply: oneshot::Sender<StepReply>,
    step: Rc<StepState>,
    client: Rc<dyn Client>,
    attempts: u32,
    doubt: Doubt,
    /// An attempt has come back with the effect done, and the call is not answered yet.
    acted: bool,
    /// The place it takes up among the callers' calls; a probe takes none.
    permit: Option<OwnedSemaphorePermit>,
}

/// An attempt on the wire.
struct Flying {
    call: CallId,
    queued: Duration,
    stop: Option<oneshot::Sender<()>>,
}

/// A restart keeps the actor; this is its end.
impl Drop for IntegrationActor {
    fn drop(&mut self) {
        self.meters.gone();
    }
}

impl IntegrationActor {
    /// A new actor. One that takes the place of an actor that has died goes by what that one left on the board.
    pub(crate) fn new(parts: Parts) -> Self {
        let now = parts.clock.now();
        let (spec, seed) = (parts.plan.spec.clone(), parts.seed);
        let last = parts.board.integration(parts.plan.name.as_str());
        let mut core = match last.as_deref() {
            None => Integration::new(spec, &parts.groups, now, seed),
            Some(Snapshot { kept, generation, .. }) => {
                let seed = seed.wrapping_add(*generation);
                let mut kept = kept.clone();
                if parts.ledger.is_some() {
                    // The board is a little behind; the disk is not.
                    kept.limits = kept.limits.without_quotas();
                }
                Integration::restarted(spec, &parts.groups, now, seed, &kept, 0)
            }
        };
        let quarantined = last.as_ref().is_some_and(|last| last.condition == Condition::Quarantined);
        core.let_probe(!quarantined);
        Self {
            core,
            clients: Clients::open(&parts),
            meters: Meters::new(&parts.plan),
            calls: HashMap::new(),
            flying: HashMap::new(),
            next_attempt: 0,
            restarts: if quarantined { Restarts::quarantined() } else { Restarts::default() },
            condition: if quarantined { Condition::Quarantined } else { Condition::Running },
            resting_until: None,
            generation: last.map_or(0, |last| last.generation + 1),
            wake: None,
            posted: now.mono,
            stale: true,
            sampled: 0.0,
            span: None,
            group_released: Arc::default(),
            watches: Vec::new(),
            parts,
        }
    }

    /// How many messages the mailbox holds: reports and requests of every call there can be, and a few of operators.
    pub(crate) fn mailbox(plan: &IntegrationPlan) -> usize {
        plan.spec.pool.capacity().saturating_mul(4).saturating_add(64)
    }

    /// Runs the core, does what it asks for, and sets the timer; a panic stops the actor.
    fn turn(&mut self, ctx: &mut Context<Self>, body: impl FnOnce(&mut Self, Now)) {
        let now = self.parts.clock.now();
        let turned = guard::caught(|| {
            self.core.advance(now);
            if self.group_released.swap(false, Ordering::AcqRel) {
                self.core.group_released(now);
            }
            if self.resting_until.is_some_and(|until| until <= now.mono) {
                self.rested(now);
            }
            body(self, now);
            self.perform(ctx, now);
        });
        if let Some((spans, span)) = self.parts.spans.as_ref().zip(self.span.take()) {
            spans.record(span);
        }
        match turned {
            Ok(()) => self.schedule(ctx, now.mono),
            Err(message) => self.panicked(ctx, now.mono, &message),
        }
    }

    fn perform(&mut self, ctx: &Context<Self>, now: Now) {
        while let Some(effect) = self.core.poll() {
            match effect {
                Effect::Send(send) => self.send(ctx, send),
                Effect::Stop(attempt) => {
                    if let Some(stop) = self.flying.get_mut(&attempt).and_then(|flying| flying.stop.take()) {
                        // An attempt that has just ended does not listen any more; its report is on its way.
                        let _ = stop.send(());
                    }
                }
                Effect::Pending(call) => self.tell_pending(call),
                Effect::BudgetExhausted(_) => self.meters.retry_budget_exhausted(),
                Effect::Answer { call, end, tries } => self.answer(call, end, tries),
                Effect::Probe(probe) => self.probe(now, probe),
                Effect::Transition(transition) => {
                    self.tell_transition(&transition);
                    if let Some(span) = &mut self.span {
                        span.events.push(span::of_transition(&transition, now.mono));
                    }
                    // Before the answers of this turn: whoever has one and looks sees what it has led to.
                    self.post(now);
                }
            }
        }
        self.tell_ledger(ctx, now);
        self.stale = true;
        if now.mono.since(self.posted) >= POST_EVERY {
            self.post(now);
        }
    }

    fn send(&mut self, ctx: &Context<Self>, send: Send) {
        let Some(caller) = self.calls.get_mut(&send.call) else { return };
        caller.attempts = send.number;
        if let Some(wait) = &send.limited {
            self.meters.limit_wait(wait);
        }
        self.next_attempt = self.next_attempt.max(send.attempt.0 + 1);
        let (stop, stopped) = oneshot::channel();
        self.flying.insert(send.attempt, Flying { call: send.call, queued: send.queued, stop: Some(stop) });
        let safety = caller.step.safety();
        let address = ctx.address().downgrade();
        actix::spawn(attempt::run(Job {
            step: Rc::clone(&caller.step),
            client: Rc::clone(&caller.client),
            clock: self.parts.clock,
            sanitiser: self.parts.log.sanitiser.clone(),
            number: send.number,
            resends: send.resends,
            span: self.parts.seed.rotate_left(17) ^ send.attempt.0.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            stop: stopped,
            guard: Guard::new(address, send.attempt, safety),
        }));
    }

    fn tell_pending(&mut self, call: CallId) {
        if let Some(caller) = self.calls.get_mut(&call) {
            let (reply, rest) = oneshot::channel();
            let first = std::mem::replace(&mut caller.reply, reply);
            // A router that is gone waits for nothing.
            let _ = first.send(StepReply::Pending { attempts: caller.attempts, rest });
        }
    }

    fn answer(&mut self, call: CallId, end: CallEnd<Json>, tries: Tries) {
        if let Some(caller) = self.calls.remove(&call) {
            if let CallEnd::Failed(failure) | CallEnd::Unknown(failure) = &end
                && caller.permit.is_some()
            {
                self.meters.rejection(failure.class);
            }
            // A router that is gone waits for nothing; the permit comes back all the same.
            let _ = caller.reply.send(StepReply::Ended(StepEnd { end, tries }));
        }
    }

    fn tell_transition(&self, transition: &Transition) {
        self.meters.transition(transition);
        tracing::warn!(
            target: "causeway::breaker",
            integration = self.parts.plan.name.as_str(),
            from = transition.from.as_str(),
            to = transition.to.as_str(),
            reason = transition.cause.as_str(),
            enforced = transition.enforced,
            "{}",
            if transition.enforced {
                "breaker changed its state"
            } else {
                "breaker would have changed its state; its mode is metrics_only"
            }
        );
    }

    /// Takes note of what has come back, before anything is made of it: should that panic, the rebuilt core does not
    /// wait for an attempt that nobody will report again, and the call's answer tells what is known.
    fn landed(&mut self, attempt: AttemptId, report: &Report) -> Option<Flying> {
        let flying = self.flying.remove(&attempt)?;
        let caller = self.calls.get_mut(&flying.call)?;
        let failure = report.end.result.as_ref().err();
        if let Some(failure) = failure {
            caller.doubt.observe(failure);
        }
        let mutating = caller.step.safety() == Safety::Mutating;
        let done = failure.is_none_or(|failure| failure.class == ErrorClass::InvalidResponse);
        caller.acted = mutating && done;
        Some(flying)
    }

    fn finished(&mut self, now: Now, attempt: AttemptId, flying: &Flying, report: Report) {
        let Some(caller) = self.calls.get(&flying.call) else { return };
        let step = Rc::clone(&caller.step);
        let Report { mut end, trace } = report;
        if let Some(response) = &trace.response {
            end.told = told(&self.parts.plan, &step, &response.headers, now.wall);
        }
        let failure = end.result.as_ref().err().cloned();
        let disposition = self.core.finished(now, attempt, end);
        let endpoint = step.name();
        let status = trace.response.as_ref().map(|response| response.status.as_u16());
        let status = status.or_else(|| failure.as_ref().and_then(|failure| failure.provider_status));
        self.meters.phases(flying.queued, &trace.timings, trace.reused);
        if let Some(endpoint) = endpoint {
            let result = failure.as_ref().map_or(Ok(()), Err);
            self.meters.attempt(endpoint, result, status, trace.timings.total);
            if let (Disposition::Retry(_), Some(failure)) = (disposition, &failure) {
                self.meters.retry(endpoint, failure.class);
            }
        }
        let run = &step.call.run;
        if run.trace.sampled && self.parts.spans.is_some() {
            let (failure, url) = (failure.as_ref(), record::url(&self.parts.log.sanitiser, &step));
            let (queued, ended) = (flying.queued, now.mono);
            let (step, trace) = (&*step, &trace);
            self.span = Attempt { step, trace, run, failure, status, queued, disposition, url, ended }.span();
        }
        if failure.is_some() || self.sample() {
            let (log, failure) = (&self.parts.log, failure.as_ref());
            Record { log, step: &step, trace: &trace, failure, queued: flying.queued, disposition }
                .tell(now.wall, self.parts.attempts.as_deref());
        }
    }

    /// Whether this success is logged: evenly spread, not at random.
    fn sample(&mut self) -> bool {
        self.sampled += self.parts.log.sample_success;
        let logged = self.sampled >= 1.0;
        if logged {
            self.sampled -= 1.0;
        }
        logged
    }

    /// Writes the board, and the gauges with it. It is stale at once where time alone changes it: while tokens come
    /// back, and while outcomes leave the breaker's window.
    fn post(&mut self, now: Now) {
        let (view, kept) = (self.core.view(now), self.core.kept(now));
        self.stale =
            view.window.calls > 0 || view.limits.iter().any(|limit| limit.remaining < limit.capacity);
        self.meters.gauges(&view);
        let snapshot = Snapshot {
            view,
            kept,
            at: now,
            condition: self.condition,
            generation: self.generation,
            seat: self.parts.seed,
        };
        self.parts.board.post(&self.parts.plan.name, snapshot);
        self.posted = now.mono;
    }

    /// One timer wakes the actor: for the core, for the board, for the end of a rest.
    fn schedule(&mut self, ctx: &mut Context<Self>, now: Mono) {
        let board = self.stale.then(|| self.posted + POST_EVERY);
        let Some(next) = [self.core.next_deadline(), board, self.resting_until].into_iter().flatten().min()
        else {
            return;
        };
        match self.wake {
            Some((at, _)) if at <= next => {}
            earlier => {
                if let Some((_, handle)) = earlier {
                    ctx.cancel_future(handle);
                }
                let handle = ctx.run_later(next.since(now), Self::woken);
                self.wake = Some((next, handle));
            }
        }
    }

    /// Has the actor woken when something comes free in a group of limits. A mailbox without room for the message holds
    /// others, and any turn looks.
    fn watch_groups(&mut self, ctx: &Context<Self>) {
        let groups: BTreeSet<_> =
            self.parts.plan.spec.limits.iter().filter_map(|limit| limit.group.as_ref()).collect();
        let watch = |group| {
            let (address, released) = (ctx.address().downgrade(), Arc::clone(&self.group_released));
            self.parts.groups.watch(group, move || {
                if !released.swap(true, Ordering::AcqRel)
                    && let Some(address) = address.upgrade()
                {
                    let _ = address.try_send(Wake);
                }
            })
        };
        self.watches = groups.into_iter().map(watch).collect();
    }

    fn woken(&mut self, ctx: &mut Context<Self>) {
        self.wake = None;
        self.turn(ctx, |_, _| {});
    }
}

/// What an answer tells of the limits that its call takes from.
fn told(plan: &Arc<IntegrationPlan>, step: &StepState, headers: &HeaderMap, at: Wall) -> Vec<Told> {
    if plan.spec.limits.iter().all(|limit| limit.learn.is_none()) {
        return Vec::new();
    }
    // A call without a demand has not been sent.
    step.demand(plan)
        .map_or_else(|_| Vec::new(), |demand| limits::observe(&plan.spec.limits, &demand, headers, at))
}

impl Actor for IntegrationActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(Self::mailbox(&self.parts.plan));
        self.wake = None;
        self.watch_groups(ctx);
        self.post(self.parts.clock.now());
        // The timer is not set here: a context that restarts counts its timers anew, and may still have to carry out
        // that the first of its former life be cancelled. By the next message it has. A mailbox without room for it
        // holds others.
        let _ = ctx.address().try_send(Wake);
    }
}
