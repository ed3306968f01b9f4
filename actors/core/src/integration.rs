//! The calls of one integration: breaker, rate budgets, pool, queue, retries and doubt, composed.
//!
//! # The life of a call
//!
//! A call is admitted ([`Integration::admit`]) and is then in one of three states until it is answered, once:
//!
//! - **waiting** in the admission queue, for a pool permit or for a token;
//! - **in flight**: one attempt is on the wire, holding a pool permit, its tokens and the breaker's permit;
//! - **backing off** before a retry, which then passes breaker, limits and queue anew.
//!
//! The breaker is asked first (a refusal needs no token) and its permit is taken last (a call that would still wait
//! must not hold one of three trial permits). An attempt ends with [`Integration::finished`], whatever became of it:
//! that is where permit, tokens and trial are given back, and where it is decided whether the call is answered or
//! retried. A caller that leaves ([`Integration::cancel`]) is answered at once unless an attempt is out; then the
//! attempt is asked to stop, and answers when it has.
//!
//! A deadline passing while a mutating request is out does not end the call: the attempt says so
//! ([`Integration::overdue`]), the caller is told that the outcome is pending, and the answer follows.
//!
//! Effects are polled out ([`Integration::poll`]); time comes in with every event, and [`Integration::advance`] does
//! what has become due. Timers only wake: nothing here depends on being called in time, only on being told the time.
//! The work of one event does not grow with the queue, but for what concerns everyone in it: a breaker that opens, a
//! 429, new settings.
//!
//! # After a restart
//!
//! The actor that holds this value may have to rebuild it. Attempts of its former life are still out and are
//! [adopted](Integration::adopt): they hold a pool permit, their result answers their call, and nothing else.
//!
//! # The parts
//!
//! `call` (the words), `admission` (in: breaker, limits, pool, queue), `finishing` (out: what is given back, and what becomes of the call), `retrying` (a retry or the end),
//! `holding` (429s) with `patience` (how long), `reconfigure` (new settings), `probing` (calls of its own), `refusal` (what is told), `view`.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};

use crate::breaker::{Breaker, BreakerSpec, Mode, ModeChange, Permit, ProbeSpec, State, Tally};
use crate::bulkhead::queue::Queue;
use crate::bulkhead::{Bulkhead, PoolSpec};
use crate::failure::{ErrorClass, Failure};
use crate::idempotency::Doubt;
use crate::idempotency::interrupted;
use crate::limits::{Demand, DrainScope, Due, Groups, LimitSpec, Limits, Record, Taken};
use crate::operation::Tries;
use crate::priority::Priority;
use crate::retry::{Charge, Jitter, RetryBudget, RetrySpec};
use crate::time::{Mono, Now};

mod admission;
mod call;
#[cfg(test)]
mod examples;
mod finishing;
mod holding;
mod patience;
mod probing;
mod reconfigure;
mod refusal;
mod retrying;
#[cfg(test)]
mod simulation;
mod view;

pub use call::{
    AttemptEnd, AttemptId, Call, CallEnd, CallId, CallRules, Disposition, Effect, LimitWait, Probe, Send,
};
use patience::Patience;
use probing::Prober;
pub use refusal::STORE_UNAVAILABLE;
pub use retrying::RETRY_BUDGET_EXHAUSTED;
pub use view::View;

/// What a restart keeps of an integration.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Who rules the breaker.
    pub mode: Mode,
    /// Drains and quotas.
    pub limits: crate::limits::Kept,
}

/// What an integration's decisions are made from.
#[derive(Clone, Debug)]
pub struct IntegrationSpec {
    /// When to stop calling.
    pub breaker: BreakerSpec,
    /// How to try again; of it, what concerns all calls together. The rest comes with each call.
    pub retry: RetrySpec,
    /// How many at once.
    pub pool: PoolSpec,
    /// How many per time.
    pub limits: Vec<LimitSpec>,
}

/// The decisions of one integration; `T` is what a successful attempt yields.
pub struct Integration<T> {
    limit_specs: Vec<LimitSpec>,
    breaker: Breaker,
    limits: Limits,
    pool: Bulkhead,
    max_wait: Duration,
    queue: Queue<CallId>,
    budget: RetryBudget,
    patience: Patience,
    jitter: Jitter,
    calls: HashMap<CallId, Progress>,
    attempts: HashMap<AttemptId, CallId>,
    /// One entry for each call that waits or backs off: when to look at it again.
    timers: BTreeSet<(Mono, CallId)>,
    /// The breaker has opened, and those who wait have not been told yet.
    opened: bool,
    next_attempt: u64,
    prober: Prober,
    effects: VecDeque<Effect<T>>,
}

/// Where a call stands.
struct Progress {
    id: CallId,
    rules: CallRules,
    demand: Demand,
    priority: Priority,
    deadline: Mono,
    state: Standing,
    attempts: u32,
    /// When it was admitted.
    entered: Mono,
    /// When the last attempt was started.
    started: Mono,
    /// Whether it was a trial of the half-open breaker.
    trial: bool,
    /// When the first attempt that left was started: from then on a provider may know the key.
    first_sent: Option<Mono>,
    /// How long before it was admitted a former life of its run may have sent it.
    sent_before: Option<Duration>,
    doubt: Doubt,
    /// The failure that put it in doubt.
    doubtful: Option<Failure>,
    /// When to look at it again, while it waits or backs off.
    wake: Option<Mono>,
    /// What its retry has taken of the budget, until that has ended.
    charge: Option<Charge>,
    /// The caller left, or the call is of a former life, or a probe: no retry.
    last_attempt: bool,
    /// It began under other settings: what its answer tells of limits may mean others.
    foreign: bool,
}

impl Progress {
    fn new(now: Mono, call: Call) -> Self {
        Self {
            id: call.id,
            rules: call.rules,
            demand: call.demand,
            priority: call.priority,
            deadline: call.deadline,
            state: Standing::Waiting,
            attempts: 0,
            entered: now,
            started: Mono::ZERO,
            trial: false,
            first_sent: None,
            sent_before: call.in_doubt_for,
            doubt: Doubt::since(call.in_doubt_for),
            doubtful: call.in_doubt_for.map(|_| interrupted()),
            wake: None,
            charge: None,
            last_attempt: call.id.is_probe(),
            foreign: false,
        }
    }
}

impl Progress {
    /// How long before `at` it was sent first, as far as it was.
    fn age(&self, at: Mono) -> Option<Duration> {
        let before = self.sent_before.map(|before| before.saturating_add(at.since(self.entered)));
        before.or_else(|| self.first_sent.map(|first| at.since(first)))
    }
}

enum Standing {
    Waiting,
    InFlight(AttemptId, Held),
    BackingOff,
}

/// What an attempt holds beside its pool permit.
struct Held {
    /// None for an attempt of a former life: it tells the breaker nothing.
    permit: Option<Permit>,
    tokens: Taken,
}

impl<T> Integration<T> {
    /// An integration that has not been called yet. `seed` feeds the jitter.
    pub fn new(spec: IntegrationSpec, groups: &Groups, now: Now, seed: u64) -> Self {
        let breaker = Breaker::new(spec.breaker.clone());
        let limits = Limits::new(spec.limits.clone(), groups, now);
        Self::of(spec, breaker, limits, seed, 0)
    }

    /// The same integration after its state was lost: a manual breaker mode is kept, else it begins half-open; of its
    /// budgets the drains and quotas that `kept` tells go on, and the others begin empty. Attempts are named from
    /// `next_attempt` on.
    pub fn restarted(
        spec: IntegrationSpec,
        groups: &Groups,
        now: Now,
        seed: u64,
        kept: &Kept,
        next_attempt: u64,
    ) -> Self {
        let breaker = Breaker::resumed(spec.breaker.clone(), now.mono, kept.mode.clone());
        let limits = Limits::restarted(spec.limits.clone(), groups, now, &kept.limits);
        Self::of(spec, breaker, limits, seed, next_attempt)
    }

    fn of(spec: IntegrationSpec, breaker: Breaker, limits: Limits, seed: u64, next_attempt: u64) -> Self {
        Self {
            breaker,
            limits,
            pool: Bulkhead::new(&spec.pool),
            queue: Queue::new(spec.pool.max_queue(), spec.pool.max_wait),
            max_wait: spec.pool.max_wait,
            budget: RetryBudget::new(spec.retry.budget, spec.retry.budget_min),
            patience: Patience::default(),
            limit_specs: spec.limits,
            jitter: Jitter::seeded(seed),
            calls: HashMap::new(),
            attempts: HashMap::new(),
            timers: BTreeSet::new(),
            opened: false,
            next_attempt,
            prober: Prober::default(),
            effects: VecDeque::new(),
        }
    }

    /// Takes over an attempt that a former life of this integration has started.
    pub fn adopt(&mut self, now: Now, call: Call, attempt: AttemptId, attempts: u32, doubt: Doubt) {
        self.pool.take();
        self.prober.adopt(call.id);
        self.attempts.insert(attempt, call.id);
        let tokens = self.limits.adopt(now, &call.demand);
        let state = Standing::InFlight(attempt, Held { permit: None, tokens });
        let progress = Progress {
            state,
            attempts,
            doubt,
            last_attempt: true,
            foreign: true,
            ..Progress::new(now.mono, call)
        };
        self.calls.insert(progress.id, progress);
    }

    /// An attempt says that the deadline has passed while its request, which may act, is out.
    pub fn overdue(&mut self, attempt: AttemptId) {
        if let Some(id) = self.attempts.get(&attempt) {
            self.effects.push_back(Effect::Pending(*id));
        }
    }

    /// The caller has left: what is not out is answered at once, what is out is asked to stop.
    pub fn cancel(&mut self, now: Now, id: CallId) {
        let Some(progress) = self.calls.get_mut(&id) else { return };
        progress.last_attempt = true;
        match progress.state {
            Standing::InFlight(attempt, _) => self.effects.push_back(Effect::Stop(attempt)),
            Standing::Waiting | Standing::BackingOff => {
                self.caller_left(now.mono, id);
                self.pump(now);
            }
        }
    }

    /// Does what has become due.
    pub fn advance(&mut self, now: Now) {
        self.breaker.advance(now.mono);
        self.note_transitions();
        while let Some(&(at, id)) = self.timers.first().filter(|(at, _)| *at <= now.mono) {
            self.timers.remove(&(at, id));
            let Some(progress) = self.calls.get_mut(&id) else { continue };
            progress.wake = None;
            match progress.state {
                Standing::Waiting if progress.deadline <= now.mono => self.wait_is_over(now, id),
                Standing::Waiting => {
                    let deadline = progress.deadline;
                    self.queue.put_back(id, now.mono);
                    self.wake_at(id, deadline);
                }
                Standing::BackingOff => {
                    // Those whose time has come before have gone, as far as they can.
                    self.pump(now);
                    self.backoff_is_over(now, id);
                }
                Standing::InFlight(..) => {}
            }
        }
        while let Some(id) = self.queue.expired(now.mono) {
            let failure = refusal::overloaded("no permit of the pool came free in time", self.max_wait);
            self.fail(now.mono, id, failure);
        }
        self.pump(now);
        self.probe(now.mono);
    }

    /// Something came free in a group of limits that other integrations share: those who wait for it are tried.
    pub fn group_released(&mut self, now: Now) {
        for (index, _) in self.limit_specs.iter().enumerate().filter(|(_, limit)| limit.group.is_some()) {
            self.queue.released_limit(index, now.mono);
        }
        self.pump(now);
    }

    /// What the disk is to be told of its limits, after each event: most often nothing.
    pub fn take_due(&mut self, now: Now) -> Vec<Due> {
        self.limits.take_due(now)
    }

    /// The disk knows what it was told, or has failed: those who wait for that are tried.
    pub fn written(&mut self, now: Now, due: &[Due], ok: bool) {
        for limit in self.limits.written(now, due, ok) {
            self.queue.released_limit(limit, now.mono);
        }
        self.pump(now);
    }

    /// What the next life of the process is to know of its limits; nothing is called any more by itself.
    pub fn settle(&mut self, now: Now) -> Vec<Record> {
        self.let_probe(false);
        self.limits.settle(now)
    }

    /// When [`Self::advance`] is next needed; `None` while nothing waits.
    pub fn next_deadline(&self) -> Option<Mono> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let breaker = [self.breaker.next_deadline(), self.probe_at()];
        [timer, self.queue.next_expiry()].into_iter().chain(breaker).flatten().min()
    }

    /// Sets the breaker's mode, until another command or for as long as said.
    pub fn set_mode(&mut self, now: Now, change: ModeChange) {
        self.breaker.set_mode(now, change);
        self.note_transitions();
        self.end_probe(now);
        self.pump(now);
    }

    /// Puts the breaker back to automatic, closed, with an empty window.
    pub fn reset(&mut self, now: Now) {
        self.breaker.reset(now.mono);
        self.note_transitions();
        self.pump(now);
    }

    /// The next thing to be done.
    pub fn poll(&mut self) -> Option<Effect<T>> {
        self.effects.pop_front()
    }

    fn note_transitions(&mut self) {
        while let Some(transition) = self.breaker.take_transition() {
            self.opened |= matches!(transition.to, State::Open | State::ForcedOpen);
            self.effects.push_back(Effect::Transition(transition));
        }
    }

    /// Sets the one timer of a call that waits or backs off.
    fn wake_at(&mut self, id: CallId, at: Mono) {
        if let Some(progress) = self.calls.get_mut(&id) {
            if let Some(earlier) = progress.wake.replace(at) {
                self.timers.remove(&(earlier, id));
            }
            self.timers.insert((at, id));
        }
    }

    fn answer(&mut self, now: Mono, id: CallId, end: CallEnd<T>) {
        let Some(progress) = self.calls.remove(&id) else { return };
        if let Some(at) = progress.wake {
            self.timers.remove(&(at, id));
        }
        if matches!(progress.state, Standing::Waiting) {
            self.queue.leave(id, now);
        }
        // A retry that was decided and is not made.
        if let Some(charge) = progress.charge {
            self.budget.give_back(charge);
        }
        self.prober.ended(id, &end, self.breaker.spec().open_for);
        let sent = progress.first_sent.is_some() || progress.sent_before.is_some();
        let tries = Tries { made: progress.attempts, sent, trial: progress.trial };
        self.effects.push_back(Effect::Answer { call: id, end, tries });
    }
}
