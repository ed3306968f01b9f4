//! The way in: a call passes breaker, limits and pool, or waits for them, or is told at once that waiting is of no use.

use super::{
    AttemptId, CallId, Demand, Duration, Effect, Held, Integration, LimitWait, Mono, Now, Progress, Send,
    Standing, State, Taken, refusal,
};
use crate::bulkhead::queue::{Gate, Waited};
use crate::limits::{ASK_AGAIN, Reserving, Take, Wait};

impl<T> Integration<T> {
    /// Takes a call in: it is sent, made to wait, or answered at once.
    pub fn admit(&mut self, now: Now, call: super::Call) {
        let id = call.id;
        self.calls.insert(id, Progress::new(now.mono, call));
        self.enter(now, id);
        self.pump(now);
    }

    /// Lets a call, new or back from its backoff, pass breaker, limits and pool.
    pub(super) fn enter(&mut self, now: Now, id: CallId) {
        let Some(progress) = self.calls.get(&id) else { return };
        let refused = if progress.deadline <= now.mono {
            Some(refusal::deadline_exceeded())
        } else if !may_be_sent(progress, now.mono) {
            Some(refusal::key_forgotten())
        } else if let Err(refusal) = self.breaker.would_admit(now.mono) {
            Some(refusal::breaker_open(&refusal))
        } else {
            self.limits.never(&progress.demand).map(refusal::cost_exceeds_limit)
        };
        if let Some(failure) = refused {
            self.fail(now.mono, id, failure);
            return;
        }
        // Who stands before it in line comes first, even if there is enough for this one.
        let blocked = if self.queue.may_pass(&progress.demand, progress.priority) {
            match self.at_once(now, id) {
                Tried::Started => return,
                Tried::NoPermit => None,
                Tried::NoTokens(wait) => Some(wait),
            }
        } else {
            None
        };
        self.wait(now, id, blocked.as_ref());
    }

    /// Starts a call that nobody stands before, if it finds all it needs.
    fn at_once(&mut self, now: Now, id: CallId) -> Tried {
        let Some(progress) = self.calls.get(&id) else { return Tried::Started };
        if !self.pool.has_room() {
            return self
                .limits
                .check(now, &progress.demand)
                .map_or_else(Tried::NoTokens, |()| Tried::NoPermit);
        }
        match self.limits.take(now, &progress.demand) {
            Ok(tokens) => {
                self.queue.passed(&progress.demand, progress.priority, now.mono);
                self.start(now, id, None, tokens);
                Tried::Started
            }
            Err(wait) => Tried::NoTokens(wait),
        }
    }

    /// Puts a call into the queue, unless it is known that it would wait in vain.
    fn wait(&mut self, now: Now, id: CallId, blocked: Option<&Wait>) {
        let Some(progress) = self.calls.get(&id) else { return };
        let (deadline, priority) = (progress.deadline, progress.priority);
        let ahead = |take: &Take| self.queue.ahead(take, priority);
        let (tokens, known) = self.token_wait(now, &progress.demand, ahead);
        if in_vain(progress, known, now.mono) {
            self.fail(now.mono, id, refusal::throttled(known));
            return;
        }
        let demand = progress.demand.clone();
        if !self.queue.join(id, demand, priority, now.mono) {
            let failure = if blocked.is_some() || tokens {
                refusal::queue_full_of_throttled(self.told_wait(known))
            } else {
                refusal::overloaded("the admission queue is full", self.max_wait)
            };
            self.fail(now.mono, id, failure);
            return;
        }
        match blocked {
            Some(wait) => self.blocked(now, id, wait),
            None => self.wake_at(id, deadline),
        }
    }

    /// Whether it is tokens that a call would wait for, and for how long at least, as far as that is known, if those
    /// `ahead` of it go as soon as they can.
    pub(super) fn token_wait(
        &self,
        now: Now,
        demand: &Demand,
        ahead: impl Fn(&Take) -> u64,
    ) -> (bool, Duration) {
        let alone = self.limits.ready_in(now, demand, 0);
        let mut wait = alone.unwrap_or_default();
        let mut tokens = alone.is_none_or(|wait| !wait.is_zero());
        for take in &demand.0 {
            let before = ahead(take);
            if before > 0 {
                tokens = true;
                let as_large = u32::try_from(before / u64::from(take.cost.max(1))).unwrap_or(u32::MAX);
                let single = Demand(std::iter::once(take.clone()).collect());
                wait = wait.max(self.limits.ready_in(now, &single, as_large).unwrap_or_default());
            }
        }
        (tokens, wait)
    }

    /// What a throttled caller is told to wait. Nobody knows when an attempt ends that holds a place; it is as good a
    /// guess as for a permit of the pool.
    pub(super) const fn told_wait(&self, known: Duration) -> Duration {
        if known.is_zero() { self.max_wait } else { known }
    }

    /// Starts what can start, in the queue's order.
    pub(super) fn pump(&mut self, now: Now) {
        self.tell_those_who_wait(now.mono);
        while self.pool.has_room() {
            let Some(id) = self.queue.next(now.mono) else { return };
            self.turn_has_come(now, id);
        }
    }

    fn turn_has_come(&mut self, now: Now, id: CallId) {
        let Some(progress) = self.calls.get(&id) else {
            self.queue.leave(id, now.mono);
            return;
        };
        if progress.deadline <= now.mono {
            return self.wait_is_over(now, id);
        }
        if !may_be_sent(progress, now.mono) {
            self.fail(now.mono, id, refusal::key_forgotten());
            return;
        }
        if let Err(refusal) = self.breaker.would_admit(now.mono) {
            self.fail(now.mono, id, refusal::breaker_open(&refusal));
            return;
        }
        match self.limits.take(now, &progress.demand) {
            Ok(tokens) => {
                let waited = self.queue.start(id, now.mono);
                self.start(now, id, waited, tokens);
            }
            Err(wait) => match wait.ready_in.filter(|known| in_vain(progress, *known, now.mono)) {
                Some(known) => {
                    self.fail(now.mono, id, refusal::throttled(known));
                }
                None => self.blocked(now, id, &wait),
            },
        }
    }

    /// Has a call stand in line until what it needs may be there.
    fn blocked(&mut self, now: Now, id: CallId, wait: &Wait) {
        let Some(progress) = self.calls.get(&id) else { return };
        let reserving = if wait.ready_in.is_none() {
            self.limits.reserve(now, &progress.demand)
        } else {
            Reserving::Nothing
        };
        let again = match reserving {
            Reserving::Nothing => Mono::MAX,
            // Whoever was to tell that it is reserved may be gone.
            Reserving::Waits => now.mono + ASK_AGAIN,
            Reserving::Fails(limit) => {
                self.fail(now.mono, id, refusal::not_reserved(&limit));
                return;
            }
        };
        let retry = wait.ready_in.map_or(again, |wait| now.mono + wait);
        let wake = progress.deadline.min(retry);
        let gates: &[Gate] = &wait.blocked;
        self.queue.blocked(id, gates, now.mono);
        self.wake_at(id, wake);
    }

    /// Takes the pool's and, last, the breaker's permit, and sends.
    fn start(&mut self, now: Now, id: CallId, waited: Option<Waited>, tokens: Taken) {
        let permit = match self.breaker.admit(now.mono) {
            Ok(permit) => permit,
            Err(refusal) => {
                self.limits.give_back(now, tokens);
                self.fail(now.mono, id, refusal::breaker_open(&refusal));
                return;
            }
        };
        self.note_transitions();
        let attempt = AttemptId(self.next_attempt);
        self.next_attempt += 1;
        let Some(progress) = self.calls.get_mut(&id) else {
            self.limits.give_back(now, tokens);
            return self.breaker.release(permit);
        };
        if let Some(at) = progress.wake.take() {
            self.timers.remove(&(at, id));
        }
        self.pool.take();
        progress.trial = permit.is_trial();
        progress.state = Standing::InFlight(attempt, Held { permit: Some(permit), tokens });
        progress.attempts += 1;
        progress.started = now.mono;
        if progress.attempts == 1 {
            self.budget.first(now.mono);
        }
        progress.charge = progress.charge.take().map(|charge| self.budget.started(now.mono, charge));
        self.attempts.insert(attempt, id);
        let limited = waited.and_then(|waited| {
            let limit = self.limit_specs.get(waited.limit?)?;
            Some(LimitWait {
                limit: limit.name.clone(),
                waited: waited.total.saturating_sub(waited.for_permit),
            })
        });
        self.effects.push_back(Effect::Send(Send {
            call: id,
            attempt,
            number: progress.attempts,
            resends: progress.first_sent.is_some() || progress.sent_before.is_some(),
            queued: waited.map_or(Duration::ZERO, |waited| waited.total),
            limited,
        }));
    }

    /// The deadline has come while the call stood in the queue.
    pub(super) fn wait_is_over(&mut self, now: Now, id: CallId) {
        let Some(progress) = self.calls.get(&id) else { return };
        let failure = if self.queue.waits_for_permit(id) {
            refusal::overloaded("no permit of the pool came free before the deadline", self.max_wait)
        } else {
            let known = self.limits.ready_in(now, &progress.demand, 0).unwrap_or_default();
            refusal::throttled(self.told_wait(known))
        };
        self.fail(now.mono, id, failure);
    }

    /// A breaker that has opened ends every sequence that is not on the wire: its next attempt would be refused.
    fn tell_those_who_wait(&mut self, now: Mono) {
        if !std::mem::take(&mut self.opened) {
            return;
        }
        let Err(refusal) = self.breaker.would_admit(now) else { return };
        if !matches!(refusal.state, State::Open | State::ForcedOpen) {
            return;
        }
        let waits = |progress: &Progress| !matches!(progress.state, Standing::InFlight(..));
        let mut ended: Vec<CallId> =
            self.calls.iter().filter(|(_, progress)| waits(progress)).map(|(id, _)| *id).collect();
        ended.sort_unstable();
        for id in ended {
            self.fail(now, id, refusal::breaker_open(&refusal));
        }
    }
}

/// What became of a call that nobody stood before.
enum Tried {
    Started,
    NoPermit,
    NoTokens(Wait),
}

/// The gate of every resend: a call in doubt is sent again only while its provider still knows the key.
pub(super) fn may_be_sent(progress: &Progress, at: Mono) -> bool {
    !progress.doubt.exists() || progress.rules.resend.allows(progress.age(at))
}

/// Whether a wait is longer than a caller can or will wait.
pub(super) fn in_vain(progress: &Progress, wait: Duration, now: Mono) -> bool {
    wait >= progress.deadline.since(now) || wait > progress.rules.retry.max_retry_after
}
