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
//!
//! # After a restart
//!
//! The actor that holds this value may have to rebuild it. Attempts of its former life are still out and are
//! [adopted](Integration::adopt): they hold a pool permit, their result answers their call, and nothing else.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use crate::breaker::{Breaker, BreakerSpec, Mode, Permit, Refusal, State, Tally};
use crate::bulkhead::{Bulkhead, PoolSpec};
use crate::classify::{self, Cut, Phase};
use crate::failure::{ErrorClass, Failure, Reason};
use crate::idempotency::{Doubt, Resend};
use crate::limits::{LimitSpec, Limits, Taken};
use crate::retry::{self, Asked, Decision, Jitter, RetrySpec, Why};
use crate::time::{Mono, Now};

mod call;
#[cfg(test)]
mod examples;
mod retrying;
#[cfg(test)]
mod simulation;
mod view;

pub use call::{AttemptEnd, AttemptId, Call, CallEnd, CallId, Disposition, Effect, Send};
pub use view::View;

/// What an integration's decisions are made from.
#[derive(Clone, Debug)]
pub struct IntegrationSpec {
    /// When to stop calling.
    pub breaker: BreakerSpec,
    /// How to try again.
    pub retry: RetrySpec,
    /// How many at once.
    pub pool: PoolSpec,
    /// How many per time.
    pub limits: Vec<LimitSpec>,
    /// Per endpoint, by index: what makes a resend harmless.
    pub endpoints: Vec<Resend>,
}

/// The decisions of one integration; `T` is what a successful attempt yields.
pub struct Integration<T> {
    spec: IntegrationSpec,
    breaker: Breaker,
    limits: Limits,
    pool: Bulkhead<CallId>,
    jitter: Jitter,
    calls: HashMap<CallId, Progress>,
    attempts: HashMap<AttemptId, CallId>,
    /// One entry for each call that waits or backs off: when to look at it again.
    timers: BTreeSet<(Mono, CallId)>,
    /// When the head of the queue can have its tokens.
    tokens_at: Option<Mono>,
    /// Episodes of 429 in a row, for the backoff of the whole integration where they name no wait.
    rate_limited: u32,
    /// When the last of them began.
    parked_at: Option<Mono>,
    next_attempt: u64,
    effects: VecDeque<Effect<T>>,
}

/// Where a call stands.
struct Progress {
    endpoint: usize,
    deadline: Mono,
    state: Standing,
    attempts: u32,
    /// When the last attempt was started.
    started: Mono,
    /// When the first attempt that left was started: from then on a provider may know the key.
    first_sent: Option<Mono>,
    doubt: Doubt,
    /// The failure that put it in doubt.
    doubtful: Option<Failure>,
    /// When to look at it again, while it waits or backs off.
    wake: Option<Mono>,
    /// The caller left, or the call is of a former life: no retry.
    last_attempt: bool,
}

impl Progress {
    fn new(call: &Call) -> Self {
        Self {
            endpoint: call.endpoint,
            deadline: call.deadline,
            state: Standing::Waiting,
            attempts: 0,
            started: Mono::ZERO,
            first_sent: None,
            doubt: Doubt::default(),
            doubtful: None,
            wake: None,
            last_attempt: false,
        }
    }
}

enum Standing {
    Waiting,
    /// Without what it holds for an attempt of a former life.
    InFlight(Option<Held>),
    BackingOff,
}

/// What an attempt holds beside its pool permit.
struct Held {
    permit: Permit,
    tokens: Taken,
}

impl<T> Integration<T> {
    /// An integration that has not been called yet. `seed` feeds the jitter.
    pub fn new(spec: IntegrationSpec, now: Mono, seed: u64) -> Self {
        let breaker = Breaker::new(spec.breaker.clone());
        Self::with_breaker(spec, breaker, now, seed, 0)
    }

    /// The same integration after its state was lost: a manual breaker mode is kept, else it begins half-open; its
    /// budgets begin empty and stay so until `parked_until`. Attempts are named from `next_attempt` on.
    pub fn restarted(
        spec: IntegrationSpec,
        now: Mono,
        seed: u64,
        mode: Mode,
        parked_until: Option<Mono>,
        next_attempt: u64,
    ) -> Self {
        let breaker = Breaker::resumed(spec.breaker.clone(), now, mode);
        let mut integration = Self::with_breaker(spec, breaker, now, seed, next_attempt);
        integration.limits.park_until(now, parked_until.unwrap_or(now).max(now));
        integration
    }

    fn with_breaker(
        spec: IntegrationSpec,
        breaker: Breaker,
        now: Mono,
        seed: u64,
        next_attempt: u64,
    ) -> Self {
        Self {
            limits: Limits::new(spec.limits.clone(), now),
            pool: Bulkhead::new(&spec.pool),
            spec,
            breaker,
            jitter: Jitter::seeded(seed),
            calls: HashMap::new(),
            attempts: HashMap::new(),
            timers: BTreeSet::new(),
            tokens_at: None,
            rate_limited: 0,
            parked_at: None,
            next_attempt,
            effects: VecDeque::new(),
        }
    }

    /// Takes over an attempt that a former life of this integration has started.
    pub fn adopt(&mut self, call: Call, attempt: AttemptId, attempts: u32, doubt: Doubt) {
        self.pool.take();
        self.attempts.insert(attempt, call.id);
        let state = Standing::InFlight(None);
        self.calls
            .insert(call.id, Progress { state, attempts, doubt, last_attempt: true, ..Progress::new(&call) });
    }

    /// Takes a call in: it is sent, made to wait, or answered at once.
    pub fn admit(&mut self, now: Mono, call: Call) {
        self.calls.insert(call.id, Progress::new(&call));
        self.enter(now, call.id);
    }

    /// Lets a call, new or back from its backoff, pass breaker, limits and pool.
    fn enter(&mut self, now: Mono, id: CallId) {
        let Some(deadline) = self.calls.get(&id).map(|progress| progress.deadline) else { return };
        if deadline <= now {
            return self.refuse(id, deadline_exceeded());
        }
        if let Err(refusal) = self.breaker.would_admit(now) {
            return self.refuse(id, breaker_open(&refusal));
        }
        let wait = self.limits.ready_in(now, u32::try_from(self.pool.queued()).unwrap_or(u32::MAX));
        if wait >= deadline.since(now) || wait > self.spec.retry.max_retry_after {
            return self.refuse(id, throttled(wait));
        }
        if !self.pool.join(id, now) && !self.pass_an_empty_queue(now, id) {
            return self.refuse(id, overloaded("the admission queue is full", self.pool.max_wait()));
        }
        self.pump(now);
        if matches!(self.calls.get(&id), Some(Progress { state: Standing::Waiting, .. })) {
            self.wake_at(id, deadline);
        }
    }

    /// With `max_queue = 0` nobody may wait, but a call that can start at once may do so.
    fn pass_an_empty_queue(&mut self, now: Mono, id: CallId) -> bool {
        if self.pool.queued() > 0 || !self.pool.has_room() || !self.may_be_sent(now, id) {
            return false;
        }
        let Ok(tokens) = self.limits.take(now) else { return false };
        self.start(now, id, now, tokens);
        true
    }

    /// Starts what can start, in the queue's order.
    fn pump(&mut self, now: Mono) {
        self.tokens_at = None;
        while let Some((id, since)) = self.pool.head() {
            if self.calls.get(&id).is_none_or(|progress| progress.deadline <= now) {
                self.wait_is_over(now, id);
                continue;
            }
            if !self.may_be_sent(now, id) {
                self.pool.pop();
                self.refuse(id, key_forgotten());
                continue;
            }
            if let Err(refusal) = self.breaker.would_admit(now) {
                self.pool.pop();
                self.refuse(id, breaker_open(&refusal));
                continue;
            }
            if !self.pool.has_room() {
                return self.pool.head_waits_for_permit(now, true);
            }
            match self.limits.take(now) {
                Ok(tokens) => {
                    self.pool.pop();
                    self.start(now, id, since, tokens);
                }
                Err(wait) => {
                    self.tokens_at = Some(now + wait.ready_in);
                    return self.pool.head_waits_for_permit(now, false);
                }
            }
        }
        self.pool.head_waits_for_permit(now, false);
    }

    /// Takes the pool's and, last, the breaker's permit, and sends.
    fn start(&mut self, now: Mono, id: CallId, since: Mono, tokens: Taken) {
        let permit = match self.breaker.admit(now) {
            Ok(permit) => permit,
            Err(refusal) => {
                self.limits.give_back(tokens);
                return self.refuse(id, breaker_open(&refusal));
            }
        };
        self.note_transitions();
        let attempt = AttemptId(self.next_attempt);
        self.next_attempt += 1;
        let Some(progress) = self.calls.get_mut(&id) else {
            self.limits.give_back(tokens);
            return self.breaker.release(permit);
        };
        if let Some(at) = progress.wake.take() {
            self.timers.remove(&(at, id));
        }
        self.pool.take();
        progress.state = Standing::InFlight(Some(Held { permit, tokens }));
        progress.attempts += 1;
        progress.started = now;
        self.attempts.insert(attempt, id);
        self.effects.push_back(Effect::Send(Send {
            call: id,
            attempt,
            number: progress.attempts,
            resends: progress.first_sent.is_some(),
            queued: now.since(since),
        }));
    }

    /// Takes the end of an attempt: gives back what it held, and answers its call or has it tried again.
    pub fn finished(&mut self, now: Mono, attempt: AttemptId, end: AttemptEnd<T>) -> Disposition {
        let Some(id) = self.attempts.remove(&attempt) else { return Disposition::Ignored };
        self.pool.give_back();
        let Some(progress) = self.calls.get_mut(&id) else { return Disposition::Ignored };
        let held = match std::mem::replace(&mut progress.state, Standing::BackingOff) {
            Standing::InFlight(held) => held,
            Standing::Waiting | Standing::BackingOff => None,
        };
        if end.phase == Phase::Sent {
            progress.first_sent.get_or_insert(progress.started);
        }
        if let Some(Held { permit, tokens }) = held {
            if end.phase == Phase::NotSent {
                self.limits.give_back(tokens);
            }
            self.tell_breaker(now, permit, end.result.as_ref().err(), end.cut);
            self.note_transitions();
        }
        let disposition = match end.result {
            Ok(result) => {
                self.rate_limited = 0;
                self.answer(id, CallEnd::Succeeded(result));
                Disposition::Succeeded
            }
            Err(failure) => self.attempt_failed(now, id, failure, end.cut),
        };
        if self.breaker.state(now) == State::Open {
            self.end_backoffs_that_cannot_help(now);
        }
        self.pump(now);
        disposition
    }

    /// Hands the breaker's permit back: with what it tells of the provider, or unused where it tells nothing.
    fn tell_breaker(&mut self, now: Mono, permit: Permit, failure: Option<&Failure>, cut: Option<Cut>) {
        let ours =
            |failure: &Failure| failure.class == ErrorClass::Internal || failure.reason == Reason::Lost;
        if cut.is_some() || failure.is_some_and(ours) {
            return self.breaker.release(permit);
        }
        let tally = failure.map_or(Tally::Success, |failure| classify::tally(failure, cut));
        self.breaker.record(now, permit, tally);
    }

    /// The gate of every resend: a call in doubt is sent again only while its provider still knows the key.
    fn may_be_sent(&self, at: Mono, id: CallId) -> bool {
        self.calls.get(&id).is_none_or(|progress| {
            !progress.doubt.exists() || self.resend(progress.endpoint).allows(progress.first_sent, at)
        })
    }

    /// An attempt says that the deadline has passed while its request, which may act, is out.
    pub fn overdue(&mut self, attempt: AttemptId) {
        if let Some(id) = self.attempts.get(&attempt) {
            self.effects.push_back(Effect::Pending(*id));
        }
    }

    /// The caller has left: what is not out is answered at once, what is out is asked to stop.
    pub fn cancel(&mut self, now: Mono, id: CallId) {
        let Some(progress) = self.calls.get_mut(&id) else { return };
        progress.last_attempt = true;
        match progress.state {
            Standing::InFlight(_) => {
                let out = self.attempts.iter().find(|(_, call)| **call == id).map(|(attempt, _)| *attempt);
                self.effects.extend(out.map(Effect::Stop));
            }
            Standing::Waiting | Standing::BackingOff => {
                self.pool.leave(id);
                self.caller_left(id);
                self.pump(now);
            }
        }
    }

    /// Does what has become due.
    pub fn advance(&mut self, now: Mono) {
        self.breaker.advance(now);
        self.note_transitions();
        while let Some(&(at, id)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            let Some(progress) = self.calls.get_mut(&id) else { continue };
            progress.wake = None;
            match progress.state {
                Standing::Waiting => self.wait_is_over(now, id),
                Standing::BackingOff => self.backoff_is_over(now, id),
                Standing::InFlight(_) => {}
            }
        }
        while self.pool.head_expires().is_some_and(|at| at <= now) {
            if let Some((id, _)) = self.pool.pop() {
                self.refuse(id, overloaded("no permit of the pool came free in time", self.pool.max_wait()));
            }
        }
        self.pump(now);
    }

    /// When [`Self::advance`] is next needed; `None` while nothing waits.
    pub fn next_deadline(&self) -> Option<Mono> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let head = self.pool.head().and(self.tokens_at);
        [timer, head, self.pool.head_expires(), self.breaker.next_deadline()].into_iter().flatten().min()
    }

    /// Opens the breaker by hand, until it is reset or for as long as said.
    pub fn trip(&mut self, now: Now, reason: String, lasting: Option<Duration>) {
        self.breaker.trip(now, reason, lasting);
        self.note_transitions();
        self.end_backoffs_that_cannot_help(now.mono);
        self.pump(now.mono);
    }

    /// Puts the breaker back to automatic, closed, with an empty window.
    pub fn reset(&mut self, now: Mono) {
        self.breaker.reset(now);
        self.note_transitions();
        self.pump(now);
    }

    /// The next thing to be done.
    pub fn poll(&mut self) -> Option<Effect<T>> {
        self.effects.pop_front()
    }

    /// How the endpoint's requests may be repeated.
    pub fn resend(&self, endpoint: usize) -> Resend {
        self.spec.endpoints.get(endpoint).copied().unwrap_or(Resend::Never)
    }

    fn note_transitions(&mut self) {
        while let Some(transition) = self.breaker.take_transition() {
            self.effects.push_back(Effect::Transition(transition));
        }
    }

    /// Ends a call without a result: failed, or unknown if an earlier attempt is in doubt. What is told then is the
    /// reason for the doubt, and what ended the call after it.
    fn fail(&mut self, id: CallId, failure: Failure) -> Disposition {
        let in_doubt = self.calls.get_mut(&id).filter(|progress| progress.doubt.exists());
        let Some(progress) = in_doubt else {
            self.answer(id, CallEnd::Failed(failure));
            return Disposition::Failed;
        };
        let told = match progress.doubtful.take() {
            Some(reason) if failure.class != ErrorClass::Ambiguous => {
                let message = format!("{}; then {}: {}", reason.message, failure.code, failure.message);
                Failure { message: message.into(), retry_after: failure.retry_after, ..reason }
            }
            Some(_) | None => failure,
        };
        self.answer(id, CallEnd::Unknown(told));
        Disposition::Unknown
    }

    /// Ends a call that is not allowed to start.
    fn refuse(&mut self, id: CallId, failure: Failure) {
        self.fail(id, failure);
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

    fn answer(&mut self, id: CallId, end: CallEnd<T>) {
        if let Some(progress) = self.calls.remove(&id) {
            if let Some(at) = progress.wake {
                self.timers.remove(&(at, id));
            }
            self.effects.push_back(Effect::Answer { call: id, end, attempts: progress.attempts });
        }
    }
}

fn deadline_exceeded() -> Failure {
    Failure::new(
        ErrorClass::Deadline,
        "deadline_exceeded",
        "the deadline passed before an attempt could start",
    )
}

fn breaker_open(refusal: &Refusal) -> Failure {
    let message = match refusal.state {
        State::ForcedOpen => "an operator has opened the circuit breaker",
        State::HalfOpen => "the circuit breaker is half-open and all its trial calls are out",
        State::Open | State::Closed => "the circuit breaker is open",
    };
    Failure::new(ErrorClass::BreakerOpen, "breaker_open", message).retry_after(refusal.retry_after)
}

fn key_forgotten() -> Failure {
    let message = "the provider no longer knows the key of the first attempt, so it is not sent again";
    Failure::new(ErrorClass::Ambiguous, "key_forgotten", message)
}

fn throttled(wait: Duration) -> Failure {
    let message = "the rate budget has no token in the time left";
    Failure::new(ErrorClass::Throttled, "throttled", message).retry_after(Some(wait))
}

fn overloaded(message: &'static str, wait: Duration) -> Failure {
    Failure::new(ErrorClass::Overloaded, "overloaded", message).retry_after(Some(wait))
}
