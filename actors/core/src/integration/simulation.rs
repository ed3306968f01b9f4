//! A hundred thousand seeded lives of one integration, each checked at every step.
//!
//! A world of callers, a provider, an operator and a clock does whatever its seed says: calls arrive and leave, urgent
//! or not, with budgets of their own or shared; attempts succeed, fail, hang, are lost or overdue; 429s hold up
//! everyone or a few, the breaker is tripped and reset, settings change, the actor panics and is rebuilt. Whatever
//! happens: every call is answered exactly once, and by its deadline unless it is out; the provider never sees more
//! than each limit allows, nor anyone before the time it has named; who came first goes first; retries are a share of
//! the traffic; what may not be sent again is not; and at the end every permit, token and trial is back. A failure
//! prints its seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::breaker::ModeKind;
use crate::classify::{self, Cut, Phase, Safety};
use crate::failure::Reason;
use crate::idempotency::Resend;
use crate::limits::token_bucket::TokenBucketSpec;
use crate::limits::{ConcurrentSpec, DrainScope, LimitKey, LimitKind, SlidingWindowSpec, Take};
use crate::name::LimitName;
use crate::priority::Priority;
use crate::retry::RetrySpec;
use crate::time::Wall;

const SEEDS: u64 = 100_000;
const STEPS: u32 = 60;
const RESENDS: [Resend; 3] =
    [Resend::Safe, Resend::Key { retention: Duration::from_secs(3600) }, Resend::Never];

const PROBE: ProbeSpec = ProbeSpec { endpoint: 0, timeout: Duration::from_secs(2) };

/// The limits a world may have: a bucket for all, a window for each user, and seats.
const BUCKET: TokenBucketSpec = TokenBucketSpec { requests: 10, per: Duration::from_secs(1), burst: 5 };
const WINDOW: SlidingWindowSpec = SlidingWindowSpec::exact(4, Duration::from_secs(2));
const SEATS: ConcurrentSpec = ConcurrentSpec { requests: 3 };

fn limit(which: usize) -> LimitSpec {
    let kinds = [
        ("bucket", LimitKind::TokenBucket(BUCKET)),
        ("window", LimitKind::SlidingWindow(WINDOW)),
        ("seats", LimitKind::Concurrent(SEATS)),
    ];
    let (name, kind) = kinds[which].clone();
    LimitSpec::new(LimitName::new(name).unwrap(), kind)
}

/// A small generator of our own: the same numbers everywhere, for ever.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    fn millis(&mut self, bound: u64) -> Duration {
        Duration::from_millis(self.below(bound))
    }
}

/// What a call takes of the limits, by their place in the list above.
type Wants = Vec<(usize, LimitKey, u32)>;

/// What the world knows of a call, apart from the integration.
struct Known {
    id: CallId,
    resend: Resend,
    priority: Priority,
    deadline: Mono,
    wants: Wants,
    doubt: bool,
    sent: u32,
    ambiguous: bool,
    left: bool,
    /// The time that the provider has named to it.
    not_before: Mono,
    /// When its retry was scheduled, and started.
    retry: Option<(Mono, Option<Mono>)>,
}

impl Known {
    const fn new(id: CallId, resend: Resend, deadline: Mono) -> Self {
        Self {
            id,
            resend,
            priority: Priority::Normal,
            deadline,
            wants: Vec::new(),
            doubt: false,
            sent: 0,
            ambiguous: false,
            left: false,
            not_before: Mono::ZERO,
            retry: None,
        }
    }
}

struct World {
    dice: Dice,
    now: Now,
    spec: IntegrationSpec,
    /// Which of the limits there are, in the order of the settings.
    limits: Vec<usize>,
    core: Integration<()>,
    open: BTreeMap<CallId, Known>,
    flying: BTreeMap<AttemptId, (CallId, Mono)>,
    answered: BTreeSet<CallId>,
    stopping: BTreeSet<AttemptId>,
    /// What was taken of which limit, when, and not given back.
    taken: Vec<(Mono, AttemptId, usize, LimitKey, u32)>,
    parked_until: Mono,
    drained_until: BTreeMap<(usize, LimitKey), Mono>,
    tripped_until: Option<Option<Mono>>,
    firsts: Vec<Mono>,
    /// Retries that are over, by when they were scheduled, and started.
    retries: Vec<(Mono, Option<Mono>)>,
    /// More than is allowed may be there from before an actor's restart or other settings.
    most_in_flight: u32,
    most_queued: usize,
    /// Calls that have had an attempt.
    been_out: BTreeSet<CallId>,
    next_call: u64,
    next_attempt: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let rate = dice.below(2) == 0;
        let limits: Vec<usize> = (0..3).filter(|_| dice.below(2) == 0).collect();
        let spec = IntegrationSpec {
            breaker: BreakerSpec {
                failures: (!rate).then_some(3),
                failure_rate: rate.then_some(0.5),
                minimum_calls: 4,
                window: Duration::from_secs(10),
                open_for: Duration::from_secs(2),
                half_open_calls: 2,
                probe: (dice.below(2) == 0).then_some(PROBE),
                ..BreakerSpec::default()
            },
            retry: RetrySpec {
                base_delay: Duration::from_millis(100),
                first_retry_immediately: dice.below(2) == 0,
                budget: dice.one_of(&[0.0, 0.2, 1.0]),
                budget_min: u32::try_from(dice.below(8)).unwrap(),
                ..RetrySpec::default()
            },
            pool: pool(&mut dice),
            limits: limits.iter().map(|which| limit(*which)).collect(),
        };
        let now =
            Now { mono: Mono::from_origin(Duration::from_secs(1000)), wall: Wall::from_unix_millis(1 << 40) };
        Self {
            core: Integration::new(spec.clone(), &Groups::new(), now, seed),
            most_in_flight: spec.pool.max_in_flight,
            most_queued: spec.pool.max_queue(),
            dice,
            now,
            spec,
            limits,
            open: BTreeMap::new(),
            flying: BTreeMap::new(),
            answered: BTreeSet::new(),
            stopping: BTreeSet::new(),
            taken: Vec::new(),
            parked_until: Mono::ZERO,
            drained_until: BTreeMap::new(),
            tripped_until: None,
            firsts: Vec::new(),
            retries: Vec::new(),
            been_out: BTreeSet::new(),
            next_call: 0,
            next_attempt: 0,
        }
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..35 => self.arrive(),
            35..70 => self.land(),
            70..77 => self.leave(),
            77..79 => self.overdue(),
            79..81 => self.set_mode(),
            81..83 => self.reset(),
            83..85 => self.restart(),
            85..87 => self.reconfigure(),
            87..95 => {
                let span = self.dice.millis(800);
                self.pass(span);
            }
            _ => self.pass_to_next(),
        }
        self.core.advance(self.now);
        self.perform();
        self.check();
    }

    fn arrive(&mut self) {
        let users = [LimitKey::Of("ann".into()), LimitKey::Of("bob".into())];
        let user = users[usize::try_from(self.dice.below(2)).unwrap()].clone();
        let cost = self.dice.one_of(&[1, 1, 1, 3]);
        let key = |which| if which == 1 { user.clone() } else { LimitKey::Shared };
        let mut wants: Wants = Vec::new();
        for which in 0..3 {
            if self.limits.contains(&which) && self.dice.below(4) > 0 {
                wants.push((which, key(which), cost));
            }
        }
        let (resend, deadline) = (self.dice.one_of(&RESENDS), self.now.mono + self.dice.millis(8000));
        let priority = self.dice.one_of(&Priority::ALL);
        let known = Known { priority, wants, ..Known::new(CallId(self.next_call), resend, deadline) };
        let call = self.call(&known);
        self.next_call += 1;
        self.open.insert(known.id, known);
        self.core.admit(self.now, call);
    }

    fn call(&self, known: &Known) -> Call {
        let rules = CallRules { resend: known.resend, retry: Arc::new(self.spec.retry.clone()) };
        let demand = demand(&self.limits, &known.wants);
        Call {
            id: known.id,
            rules,
            demand,
            priority: known.priority,
            deadline: known.deadline,
            in_doubt_for: None,
        }
    }

    /// Ends an attempt in one of the ways attempts end.
    fn land(&mut self) {
        let Some(attempt) = self.pick_flying() else { return };
        let (id, _) = self.flying[&attempt];
        let safety = self.open[&id].resend.safety();
        let safe = safety == Safety::Safe;
        let phase = if self.dice.below(5) == 0 { Phase::NotSent } else { Phase::Sent };
        let failed = |class: ErrorClass| Err(Failure::new(class, "code", "message"));
        let wait = Some(Duration::from_millis(self.dice.below(4000)));
        let bucket = LimitName::new("bucket").unwrap();
        let scopes = [None, Some(DrainScope::Integration), Some(DrainScope::Limit(bucket))];
        let scope = scopes[usize::try_from(self.dice.below(3)).unwrap()].clone();
        let rate_limited = |wait| {
            failed(ErrorClass::RateLimited).map_err(|f: Failure| Failure { scope, ..f.retry_after(wait) })
        };
        let (result, phase, cut) = if self.stopping.contains(&attempt) && classify::may_cut(safety, phase) {
            (failed(ErrorClass::Deadline), phase, Some(Cut::Cancelled))
        } else if phase == Phase::NotSent {
            (failed(classify::broken(safety, Reason::Refused, phase)), phase, None)
        } else {
            let result = match self.dice.below(13) {
                0..4 => Ok(()),
                4..7 => failed(if safe { ErrorClass::Transient } else { ErrorClass::Ambiguous }),
                7 => rate_limited(wait),
                8 => rate_limited(None),
                9 => failed(ErrorClass::Client).map_err(|f: Failure| f.status(Some(402))),
                10 => failed(ErrorClass::InvalidResponse),
                11 => failed(ErrorClass::Transient).map_err(|f: Failure| f.retry_after(wait)),
                _ => failed(ErrorClass::Ambiguous).map_err(|f: Failure| f.because(Reason::Lost)),
            };
            (result, phase, None)
        };
        self.finish(attempt, AttemptEnd { result, phase, cut, took: Duration::ZERO, told: Vec::new() });
    }

    fn finish(&mut self, attempt: AttemptId, end: AttemptEnd<()>) {
        let (id, _) = self.flying.remove(&attempt).unwrap();
        self.stopping.remove(&attempt);
        let now = self.now.mono;
        let known = self.open.get_mut(&id).unwrap();
        if end.phase == Phase::Sent {
            known.sent += 1;
        } else {
            self.taken.retain(|(_, taken, ..)| *taken != attempt);
        }
        // A seat is free again when its holder is back.
        self.taken.retain(|(_, taken, which, ..)| *taken != attempt || *which != 2);
        let unsent = end.phase == Phase::NotSent && end.cut.is_some();
        self.retries.extend(known.retry.take().filter(|_| !unsent));
        if let Err(failure) = &end.result {
            known.not_before = now + failure.retry_after.unwrap_or_default();
            match failure.class {
                ErrorClass::Ambiguous => (known.doubt, known.ambiguous) = (true, true),
                ErrorClass::Client | ErrorClass::InvalidResponse => known.doubt = false,
                ErrorClass::RateLimited => {
                    let until = now + failure.retry_after.unwrap_or_default();
                    let wants = known.wants.clone();
                    self.drained(failure.scope.as_ref(), &wants, until);
                }
                ErrorClass::Transient
                | ErrorClass::BreakerOpen
                | ErrorClass::Throttled
                | ErrorClass::Overloaded
                | ErrorClass::Deadline
                | ErrorClass::Credential
                | ErrorClass::Internal => {}
            }
        }
        let succeeded = end.result.is_ok();
        let disposition = self.core.finished(self.now, attempt, end);
        assert_eq!(disposition == Disposition::Succeeded, succeeded, "{disposition:?}");
        if let Disposition::Retry(_) = disposition {
            let known = self.open.get_mut(&id).unwrap();
            assert!(!known.left, "no retry for a caller that has left");
            known.retry = Some((now, None));
            self.perform();
            self.check_budget();
        }
    }

    fn drained(&mut self, scope: Option<&DrainScope>, wants: &Wants, until: Mono) {
        let bucket = wants.iter().find(|(which, ..)| *which == 0);
        let drained: Vec<_> = match (scope, bucket) {
            (Some(DrainScope::Integration), _) => Vec::new(),
            (Some(DrainScope::Limit(_)), Some(bucket)) => vec![bucket],
            _ => wants.iter().collect(),
        };
        if drained.is_empty() {
            self.parked_until = self.parked_until.max(until);
        }
        for (which, key, _) in drained {
            let held = self.drained_until.entry((*which, key.clone())).or_default();
            *held = until.max(*held);
        }
    }

    /// Those scheduled or started in the last ten seconds are a share of the first attempts in them, or a few.
    fn check_budget(&self) {
        let recent = |at: &&Mono| **at + Duration::from_secs(10) > self.now.mono;
        // What has only just been started was no reason yet not to schedule another.
        let counts = |(scheduled, started): &&(Mono, Option<Mono>)| {
            let started = started.as_ref().filter(|started| **started < self.now.mono);
            recent(&scheduled) || started.is_some_and(|started| recent(&started))
        };
        let under_way = self.open.values().filter_map(|known| known.retry.as_ref());
        let retries = self.retries.iter().chain(under_way).filter(counts).count() as f64;
        let firsts = self.firsts.iter().filter(recent).count() as f64;
        let allowed = f64::from(self.spec.retry.budget_min).max(firsts * self.spec.retry.budget);
        assert!(retries <= allowed, "{retries} retries to {firsts} first attempts");
    }

    fn leave(&mut self) {
        let waiting: Vec<CallId> = self.open.keys().copied().collect();
        if !waiting.is_empty() {
            let id = self.dice.one_of(&waiting);
            self.open.get_mut(&id).unwrap().left = true;
            self.core.cancel(self.now, id);
        }
    }

    fn overdue(&mut self) {
        if let Some(attempt) = self.pick_flying() {
            self.core.overdue(attempt);
        }
    }

    /// A person sets a mode, mostly by a trip.
    fn set_mode(&mut self) {
        let lasting = (self.dice.below(2) == 0).then(|| self.dice.millis(5000));
        let mode = self.dice.one_of(&[
            ModeKind::ForcedOpen,
            ModeKind::ForcedOpen,
            ModeKind::Auto,
            ModeKind::Disabled,
            ModeKind::MetricsOnly,
        ]);
        let until = lasting.map(|lasting| self.now.mono + lasting);
        self.tripped_until = (mode == ModeKind::ForcedOpen).then_some(until);
        self.core.set_mode(self.now, ModeChange { mode, ..ModeChange::trip("exercise".to_owned(), lasting) });
        let view = self.core.view(self.now);
        assert!(view.state != State::ForcedOpen || view.queued == 0, "whoever waits is told");
    }

    fn reset(&mut self) {
        self.tripped_until = None;
        self.core.reset(self.now);
    }

    /// Other settings: another pool, and the limits in another order.
    fn reconfigure(&mut self) {
        let view = self.core.view(self.now);
        self.limits.reverse();
        self.spec.limits.reverse();
        self.spec.pool = pool(&mut self.dice);
        self.most_in_flight = view.in_flight.max(self.spec.pool.max_in_flight);
        self.most_queued = view.queued.max(self.spec.pool.max_queue());
        let (open, limits) = (&self.open, &self.limits);
        let groups = Groups::new();
        self.core
            .reconfigure(self.now, self.spec.clone(), &groups, |id| Ok(demand(limits, &open[&id].wants)));
    }

    /// The actor panics: the core is lost, its attempts are not.
    fn restart(&mut self) {
        let kept = self.core.kept(self.now);
        let (seed, groups) = (self.dice.roll(), Groups::new());
        let (spec, next) = (self.spec.clone(), self.next_attempt);
        let mut core = Integration::restarted(spec, &groups, self.now, seed, &kept, next);
        for (attempt, (id, _)) in &self.flying {
            let known = &self.open[id];
            let mut doubt = Doubt::default();
            if known.doubt {
                doubt.observe(&Failure::new(ErrorClass::Ambiguous, "code", "message"));
            }
            core.adopt(self.now, self.call(known), *attempt, known.sent + 1, doubt);
        }
        self.core = core;
        self.firsts.clear();
        self.retries.clear();
        let flying: BTreeSet<CallId> = self.flying.values().map(|(id, _)| *id).collect();
        let orphans: Vec<CallId> = self.open.keys().copied().filter(|id| !flying.contains(id)).collect();
        for id in orphans {
            self.open.remove(&id);
            self.answered.insert(id);
        }
        for known in self.open.values_mut() {
            (known.left, known.retry) = (true, None);
        }
    }
    fn pass(&mut self, span: Duration) {
        self.now = self.now.after(span);
    }

    fn pass_to_next(&mut self) {
        if let Some(next) = self.core.next_deadline() {
            self.pass(next.since(self.now.mono));
        }
    }

    fn pick_flying(&mut self) -> Option<AttemptId> {
        let flying: Vec<AttemptId> = self.flying.keys().copied().collect();
        (!flying.is_empty()).then(|| self.dice.one_of(&flying))
    }

    fn perform(&mut self) {
        while let Some(effect) = self.core.poll() {
            match effect {
                Effect::Send(send) => self.sent(send),
                Effect::Stop(attempt) => {
                    assert!(self.flying.contains_key(&attempt));
                    self.stopping.insert(attempt);
                }
                Effect::Pending(id) => assert!(self.open.contains_key(&id)),
                Effect::Answer { call, end, .. } => self.got_answer(call, &end),
                Effect::Probe(probe) => self.probed(probe),
                Effect::BudgetExhausted(id) => assert!(self.open.contains_key(&id)),
                Effect::Transition(_) => {}
            }
        }
    }

    fn probed(&mut self, probe: Probe) {
        assert_eq!(probe.deadline, self.now.mono + PROBE.timeout + probing::PROBE_PATIENCE);
        assert_eq!(self.core.view(self.now).mode, Mode::Auto, "where a person rules nobody probes");
        assert!(!self.open.keys().any(|id| id.is_probe()), "one at a time");
        if self.dice.below(20) == 0 {
            return self.core.cannot_probe(probe.call);
        }
        self.answered.remove(&probe.call);
        self.been_out.remove(&probe.call);
        let known = Known { priority: Priority::Low, ..Known::new(probe.call, Resend::Safe, probe.deadline) };
        let call = self.call(&known);
        self.open.insert(known.id, known);
        self.core.admit(self.now, call);
    }

    fn sent(&mut self, send: Send) {
        let now = self.now.mono;
        let known = &self.open[&send.call];
        assert!(!known.left, "nothing is sent for a caller that has left");
        assert!(now < known.deadline, "nothing is sent after the deadline");
        assert!(!(known.ambiguous && known.resend == Resend::Never), "without a key nothing is sent twice");
        assert_eq!(send.resends, known.sent > 0);
        assert!(now >= self.parked_until.max(known.not_before), "nobody goes before the provider's time");
        for (which, key, _) in &known.wants {
            let drained = self.drained_until.get(&(*which, key.clone()));
            assert!(drained.is_none_or(|until| now >= *until), "nobody goes into a drained limit");
        }
        if let Some(until) = self.tripped_until {
            assert!(until.is_some_and(|until| until <= now), "nothing passes a breaker that is forced open");
        }
        assert!(send.attempt.0 >= self.next_attempt, "attempts are named once");
        self.next_attempt = send.attempt.0 + 1;
        if send.number == 1 {
            let before = |other: &&Known| {
                // Probes are not numbered as callers are.
                !known.id.is_probe()
                    && other.id < known.id
                    && other.priority == known.priority
                    && other.wants == known.wants
                    && other.sent == 0
                    && !other.left
                    && other.retry.is_none()
                    && !self.flying.values().any(|(call, _)| *call == other.id)
                    && !self.been_out.contains(&other.id)
            };
            let earlier = self.open.values().find(before).map(|earlier| earlier.id);
            assert_eq!(earlier, None, "first come, first served");
            self.firsts.push(now);
        }
        self.been_out.insert(send.call);
        let wants = known.wants.clone();
        self.taken.extend(wants.into_iter().map(|(which, key, cost)| (now, send.attempt, which, key, cost)));
        self.flying.insert(send.attempt, (send.call, now));
        if let Some(retry) = &mut self.open.get_mut(&send.call).unwrap().retry {
            retry.1 = Some(now);
        }
    }

    fn got_answer(&mut self, id: CallId, end: &CallEnd<()>) {
        let known = self.open.remove(&id).expect("a call is answered once, and only if it was asked");
        assert!(self.answered.insert(id));
        assert!(!self.flying.values().any(|(call, _)| *call == id), "not answered while an attempt is out");
        match end {
            CallEnd::Succeeded(()) => {}
            CallEnd::Unknown(_) => assert!(known.doubt, "unknown only where there is doubt"),
            CallEnd::Failed(_) | CallEnd::Cancelled => {
                assert!(!known.doubt, "doubt is never told as a failure")
            }
        }
    }

    fn check(&mut self) {
        let view = self.core.view(self.now);
        assert_eq!(usize::try_from(view.in_flight).unwrap(), self.flying.len());
        self.most_in_flight = self.most_in_flight.min(view.in_flight).max(view.capacity);
        self.most_queued = self.most_queued.min(view.queued).max(self.spec.pool.max_queue());
        assert!(view.in_flight <= self.most_in_flight);
        assert!(view.queued <= self.most_queued);
        assert_eq!(view.calls, self.open.len());
        assert!(view.trials_out <= self.spec.breaker.half_open_calls);
        assert!(view.trials_out <= view.in_flight, "a trial is out with an attempt and not without");
        for (id, known) in &self.open {
            let out = self.flying.values().any(|(call, _)| call == id);
            assert!(out || self.now.mono < known.deadline, "what is not out is answered by its deadline");
        }
        for which in &self.limits {
            let (span, most) = match which {
                0 => (BUCKET.per, BUCKET.requests + BUCKET.burst),
                1 => (WINDOW.per, WINDOW.requests),
                _ => (Duration::MAX, SEATS.requests),
            };
            let recent =
                |(at, _, of, ..): &&(Mono, _, usize, _, _)| of == which && *at + span > self.now.mono;
            let mut seen: BTreeMap<&LimitKey, u32> = BTreeMap::new();
            for (.., key, cost) in self.taken.iter().filter(recent) {
                *seen.entry(key).or_default() += cost;
            }
            assert!(seen.values().all(|seen| *seen <= most), "limit {which}: {seen:?}");
        }
    }

    /// Everybody is answered, and the breaker has no more to find out.
    fn rest(&mut self) {
        for _ in 0..10_000 {
            while let Some(attempt) = self.flying.keys().next().copied() {
                let (result, phase, cut) = (Ok(()), Phase::Sent, None);
                let end = AttemptEnd { result, phase, cut, took: Duration::ZERO, told: Vec::new() };
                self.finish(attempt, end);
                self.perform();
            }
            if self.open.is_empty() && self.core.probe_at().is_none() {
                break;
            }
            self.pass_to_next();
            self.core.advance(self.now);
            self.perform();
        }
        assert!(self.open.is_empty(), "every call is answered");
    }

    /// The world comes to rest: everything held is back.
    fn settle(&mut self) {
        self.rest();
        // A mode may expire meanwhile, and the breaker probe.
        for _ in 0..2 {
            self.pass(Duration::from_secs(600));
            self.core.advance(self.now);
            self.perform();
            self.rest();
        }
        let view = self.core.view(self.now);
        assert_eq!((view.in_flight, view.queued, view.calls, view.trials_out), (0, 0, 0, 0));
        assert!(view.limits.iter().all(|limit| limit.remaining == limit.capacity), "every token is back");
        assert_eq!(self.core.timers.len() + self.core.attempts.len(), 0);
        assert_eq!(self.core.budget.retries(self.now.mono), 0);
    }
}

fn pool(dice: &mut Dice) -> PoolSpec {
    PoolSpec {
        max_in_flight: 1 + u32::try_from(dice.below(4)).unwrap(),
        max_queue: u32::try_from(dice.below(6)).unwrap(),
        max_wait: Duration::from_millis(100 + dice.below(3000)),
        ..PoolSpec::default()
    }
}

/// What a call wants, as the settings of the day count the limits.
fn demand(limits: &[usize], wants: &Wants) -> Demand {
    let take = |(which, key, cost): &(usize, LimitKey, u32)| {
        let limit = limits.iter().position(|limit| limit == which)?;
        Some(Take { limit, key: key.clone(), cost: *cost })
    };
    Demand(wants.iter().filter_map(take).collect())
}

fn live(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let lived = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..STEPS {
                world.step();
            }
            world.settle();
        });
        assert!(lived.is_ok(), "seed {seed} fails: see the assertion above");
    }
}

// In two halves, so that they run side by side.
#[test]
fn everything_comes_back_whatever_happens_first_half() {
    live(0..SEEDS / 2);
}

#[test]
fn everything_comes_back_whatever_happens_second_half() {
    live(SEEDS / 2..SEEDS);
}
