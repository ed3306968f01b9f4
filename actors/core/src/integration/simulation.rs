//! A hundred thousand seeded lives of one integration, each checked at every step.
//!
//! A world of callers, a provider, an operator and a clock does whatever its seed says: calls arrive and leave,
//! attempts succeed, fail, hang, are lost or overdue, 429s park everyone, the breaker is tripped and reset, the actor
//! panics and is rebuilt. Whatever happens: every call is answered exactly once; bounds hold; what may not be sent
//! again is not; and at the end every permit, token and trial is back. A failure prints its seed.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::classify::Safety;
use crate::limits::LimitKind;
use crate::limits::token_bucket::TokenBucketSpec;
use crate::name::LimitName;
use crate::time::Wall;

const SEEDS: u64 = 100_000;
const STEPS: u32 = 60;
const ENDPOINTS: [Resend; 3] =
    [Resend::Safe, Resend::Key { retention: Duration::from_secs(3600) }, Resend::Never];

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

/// What the world knows of a call, apart from the integration.
struct Known {
    call: Call,
    doubt: bool,
    sent: u32,
    ambiguous: bool,
    left: bool,
}

struct World {
    dice: Dice,
    now: Now,
    spec: IntegrationSpec,
    core: Integration<()>,
    open: BTreeMap<CallId, Known>,
    flying: BTreeMap<AttemptId, (CallId, Mono)>,
    answered: BTreeSet<CallId>,
    stopping: BTreeSet<AttemptId>,
    /// When tokens were taken, and not given back.
    taken: Vec<(Mono, AttemptId)>,
    parked_until: Mono,
    tripped_until: Option<Option<Mono>>,
    next_call: u64,
    next_attempt: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let limited = dice.below(2) == 0;
        let bucket = TokenBucketSpec { requests: 10, per: Duration::from_secs(1), burst: 5 };
        let rate = dice.below(2) == 0;
        let spec = IntegrationSpec {
            breaker: BreakerSpec {
                failures: (!rate).then_some(3),
                failure_rate: rate.then_some(0.5),
                minimum_calls: 4,
                window: Duration::from_secs(10),
                open_for: Duration::from_secs(2),
                half_open_calls: 2,
                ..BreakerSpec::default()
            },
            retry: RetrySpec { base_delay: Duration::from_millis(100), ..RetrySpec::default() },
            pool: PoolSpec {
                max_in_flight: 3,
                max_queue: u32::try_from(dice.below(5)).unwrap(),
                ..PoolSpec::default()
            },
            limits: if limited {
                vec![LimitSpec::new(LimitName::new("all").unwrap(), LimitKind::TokenBucket(bucket))]
            } else {
                Vec::new()
            },
            endpoints: ENDPOINTS.to_vec(),
        };
        let now =
            Now { mono: Mono::from_origin(Duration::from_secs(1000)), wall: Wall::from_unix_millis(1 << 40) };
        Self {
            core: Integration::new(spec.clone(), now.mono, seed),
            dice,
            now,
            spec,
            open: BTreeMap::new(),
            flying: BTreeMap::new(),
            answered: BTreeSet::new(),
            stopping: BTreeSet::new(),
            taken: Vec::new(),
            parked_until: Mono::ZERO,
            tripped_until: None,
            next_call: 0,
            next_attempt: 0,
        }
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..35 => self.arrive(),
            35..70 => self.land(),
            70..78 => self.leave(),
            78..80 => self.overdue(),
            80..82 => self.trip(),
            82..84 => self.reset(),
            84..86 => self.restart(),
            86..95 => {
                let span = self.dice.millis(800);
                self.pass(span);
            }
            _ => self.pass_to_next(),
        }
        self.core.advance(self.now.mono);
        self.perform();
        self.check();
    }

    fn arrive(&mut self) {
        let call = Call {
            id: CallId(self.next_call),
            endpoint: usize::try_from(self.dice.below(3)).unwrap(),
            deadline: self.now.mono + self.dice.millis(8000),
        };
        self.next_call += 1;
        self.open.insert(call.id, Known { call, doubt: false, sent: 0, ambiguous: false, left: false });
        self.core.admit(self.now.mono, call);
    }

    /// Ends an attempt in one of the ways attempts end.
    fn land(&mut self) {
        let Some(attempt) = self.pick_flying() else { return };
        let (id, _) = self.flying[&attempt];
        let endpoint = self.open[&id].call.endpoint;
        let safe = ENDPOINTS[endpoint].safety() == Safety::Safe;
        let phase = if self.dice.below(5) == 0 { Phase::NotSent } else { Phase::Sent };
        let failed = |class: ErrorClass| Err(Failure::new(class, "code", "message"));
        let wait = Some(Duration::from_millis(self.dice.below(4000)));
        let (result, phase, cut) = if self.stopping.contains(&attempt)
            && classify::may_cut(ENDPOINTS[endpoint].safety(), phase)
        {
            (failed(ErrorClass::Deadline), phase, Some(Cut::Cancelled))
        } else if phase == Phase::NotSent {
            (failed(classify::broken(ENDPOINTS[endpoint].safety(), Reason::Refused, phase)), phase, None)
        } else {
            match self.dice.below(12) {
                0..4 => (Ok(()), phase, None),
                4..7 => {
                    (failed(if safe { ErrorClass::Transient } else { ErrorClass::Ambiguous }), phase, None)
                }
                7 => (failed(ErrorClass::RateLimited).map_err(|f: Failure| f.retry_after(wait)), phase, None),
                8 => (failed(ErrorClass::RateLimited), phase, None),
                9 => (failed(ErrorClass::Client).map_err(|f: Failure| f.status(Some(402))), phase, None),
                10 => (failed(ErrorClass::InvalidResponse), phase, None),
                _ => {
                    (failed(ErrorClass::Ambiguous).map_err(|f: Failure| f.because(Reason::Lost)), phase, None)
                }
            }
        };
        self.finish(attempt, AttemptEnd { result, phase, cut, took: Duration::ZERO, told: Vec::new() });
    }

    fn finish(&mut self, attempt: AttemptId, end: AttemptEnd<()>) {
        let (id, _) = self.flying.remove(&attempt).unwrap();
        self.stopping.remove(&attempt);
        let known = self.open.get_mut(&id).unwrap();
        if end.phase == Phase::Sent {
            known.sent += 1;
        } else {
            self.taken.retain(|(_, taken)| *taken != attempt);
        }
        if let Err(failure) = &end.result {
            match failure.class {
                ErrorClass::Ambiguous => (known.doubt, known.ambiguous) = (true, true),
                ErrorClass::Client | ErrorClass::InvalidResponse => known.doubt = false,
                ErrorClass::RateLimited => {
                    let wait = failure.retry_after.unwrap_or_default();
                    self.parked_until = self.parked_until.max(self.now.mono + wait);
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
        let disposition = self.core.finished(self.now.mono, attempt, end);
        assert_eq!(disposition == Disposition::Succeeded, succeeded, "{disposition:?}");
        if let Disposition::Retry(_) = disposition {
            assert!(!self.open[&id].left, "no retry for a caller that has left");
        }
    }

    fn leave(&mut self) {
        let waiting: Vec<CallId> = self.open.keys().copied().collect();
        if !waiting.is_empty() {
            let id = self.dice.one_of(&waiting);
            self.open.get_mut(&id).unwrap().left = true;
            self.core.cancel(self.now.mono, id);
        }
    }

    fn overdue(&mut self) {
        if let Some(attempt) = self.pick_flying() {
            self.core.overdue(attempt);
        }
    }

    fn trip(&mut self) {
        let lasting = (self.dice.below(2) == 0).then(|| self.dice.millis(5000));
        self.tripped_until = Some(lasting.map(|lasting| self.now.mono + lasting));
        self.core.trip(self.now, "exercise".to_owned(), lasting);
    }

    fn reset(&mut self) {
        self.tripped_until = None;
        self.core.reset(self.now.mono);
    }

    /// The actor panics: the core is lost, its attempts are not.
    fn restart(&mut self) {
        let (mode, parked) = self.core.kept();
        let seed = self.dice.roll();
        let mut core =
            Integration::restarted(self.spec.clone(), self.now.mono, seed, mode, parked, self.next_attempt);
        for (attempt, (id, _)) in &self.flying {
            let known = &self.open[id];
            let mut doubt = Doubt::default();
            if known.doubt {
                doubt.observe(&Failure::new(ErrorClass::Ambiguous, "code", "message"));
            }
            core.adopt(known.call, *attempt, known.sent + 1, doubt);
        }
        self.core = core;
        let flying: BTreeSet<CallId> = self.flying.values().map(|(id, _)| *id).collect();
        let orphans: Vec<CallId> = self.open.keys().copied().filter(|id| !flying.contains(id)).collect();
        for id in orphans {
            self.open.remove(&id);
            self.answered.insert(id);
        }
        for known in self.open.values_mut() {
            known.left = true;
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
                Effect::Transition(_) => {}
            }
        }
    }

    fn sent(&mut self, send: Send) {
        let now = self.now.mono;
        let known = &self.open[&send.call];
        let resend = ENDPOINTS[known.call.endpoint];
        assert!(!known.left, "nothing is sent for a caller that has left");
        assert!(now < known.call.deadline, "nothing is sent after the deadline");
        assert!(!(known.ambiguous && resend == Resend::Never), "without a key nothing is sent twice");
        assert_eq!(send.resends, known.sent > 0);
        assert!(now >= self.parked_until, "nobody goes before the provider's time");
        if let Some(until) = self.tripped_until {
            assert!(until.is_some_and(|until| until <= now), "nothing passes a breaker that is forced open");
        }
        assert!(send.attempt.0 >= self.next_attempt, "attempts are named once");
        self.next_attempt = send.attempt.0 + 1;
        self.taken.push((now, send.attempt));
        self.flying.insert(send.attempt, (send.call, now));
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
        let view = self.core.view(self.now.mono);
        assert_eq!(usize::try_from(view.in_flight).unwrap(), self.flying.len());
        assert!(view.in_flight <= view.capacity);
        assert!(view.queued <= usize::try_from(self.spec.pool.max_queue).unwrap());
        assert_eq!(view.calls, self.open.len());
        assert!(view.trials_out <= self.spec.breaker.half_open_calls);
        assert!(view.trials_out <= view.in_flight, "a trial is out with an attempt and not without");
        for (id, known) in &self.open {
            let out = self.flying.values().any(|(call, _)| call == id);
            assert!(
                out || self.now.mono < known.call.deadline,
                "what is not out is answered by its deadline"
            );
        }
        for limit in &self.spec.limits {
            let LimitKind::TokenBucket(bucket) = &limit.kind else { continue };
            let since = self.now.mono - bucket.per;
            let recent = self.taken.iter().filter(|(at, _)| *at > since).count();
            let most = usize::try_from(bucket.requests + bucket.burst).unwrap();
            assert!(recent <= most, "{recent} in one period");
        }
    }

    /// The world comes to rest: everything held is back.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            while let Some(attempt) = self.flying.keys().next().copied() {
                self.finish(
                    attempt,
                    AttemptEnd {
                        result: Ok(()),
                        phase: Phase::Sent,
                        cut: None,
                        took: Duration::ZERO,
                        told: Vec::new(),
                    },
                );
                self.perform();
            }
            if self.open.is_empty() {
                break;
            }
            self.pass_to_next();
            self.core.advance(self.now.mono);
            self.perform();
        }
        assert!(self.open.is_empty(), "every call is answered");
        self.pass(Duration::from_secs(600));
        self.core.advance(self.now.mono);
        let view = self.core.view(self.now.mono);
        assert_eq!((view.in_flight, view.queued, view.calls, view.trials_out), (0, 0, 0, 0));
        assert!(view.limits.iter().all(|limit| limit.remaining == limit.capacity), "every token is back");
        assert_eq!(self.core.timers.len() + self.core.attempts.len(), 0);
    }
}

#[test]
fn what_was_not_sent_costs_no_token() {
    let now = Now::default();
    let bucket = TokenBucketSpec { requests: 1, per: Duration::from_secs(60), burst: 2 };
    let spec = IntegrationSpec {
        breaker: BreakerSpec::default(),
        retry: RetrySpec::default(),
        pool: PoolSpec::default(),
        limits: vec![LimitSpec::new(LimitName::new("all").unwrap(), LimitKind::TokenBucket(bucket))],
        endpoints: ENDPOINTS.to_vec(),
    };
    let mut core = Integration::<()>::new(spec, now.mono, 0);
    for id in 0..10 {
        let deadline = now.mono + Duration::from_secs(1);
        core.admit(now.mono, Call { id: CallId(id), endpoint: 2, deadline });
        let Some(Effect::Send(send)) = core.poll() else { panic!("call {id} finds a token") };
        let failure = Failure::new(ErrorClass::Internal, "request_mapping_failed", "message");
        core.finished(
            now.mono,
            send.attempt,
            AttemptEnd {
                result: Err(failure),
                phase: Phase::NotSent,
                cut: None,
                took: Duration::ZERO,
                told: Vec::new(),
            },
        );
        assert!(matches!(core.poll(), Some(Effect::Answer { end: CallEnd::Failed(_), .. })));
    }
    assert_eq!(core.view(now.mono).limits[0].remaining, 2);
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
