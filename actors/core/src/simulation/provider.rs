//! A provider that follows its script, keeps a ledger of what it has done, and counts what it gets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Dice;
use crate::classify::{self, Phase, Safety};
use crate::failure::{ErrorClass, Failure, Reason};
use crate::idempotency::{Resend, Role};
use crate::integration::AttemptId;
use crate::limits::token_bucket::TokenBucketSpec;
use crate::limits::{ConcurrentSpec, LimitKey, LimitKind, LimitSpec, SlidingWindowSpec, Take};
use crate::name::{GroupName, LimitName};
use crate::time::Mono;

/// What a provider may be asked for, and by which call of which run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Deed {
    pub(super) run: usize,
    pub(super) step: usize,
    /// Of the step's providers this is the so-many-th.
    pub(super) number: usize,
    pub(super) undo: bool,
}

impl Deed {
    pub(super) fn new(run: usize, step: usize, role: Role, served: usize) -> Self {
        let number = match role {
            Role::Primary => 0,
            Role::Alternate(nth) => nth + 1,
            Role::Undo | Role::Verify => served,
        };
        Self { run, step, number, undo: role == Role::Undo }
    }
}

/// The endpoints that every provider has, by their place.
pub(super) const ENDPOINTS: [Resend; 3] =
    [Resend::Safe, Resend::Key { retention: Duration::from_secs(3600) }, Resend::Never];

/// How a provider feels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    Down,
    Failing,
    Hanging,
    Limiting,
}

const MOODS: [Mood; 5] = [Mood::Well, Mood::Down, Mood::Failing, Mood::Hanging, Mood::Limiting];

const BUCKET: TokenBucketSpec = TokenBucketSpec { requests: 20, per: Duration::from_secs(1), burst: 4 };
const WINDOW: SlidingWindowSpec = SlidingWindowSpec::exact(6, Duration::from_secs(2));
const SEATS: ConcurrentSpec = ConcurrentSpec { requests: 2 };

/// How an attempt will end.
pub(super) struct Reply {
    pub(super) after: Duration,
    pub(super) phase: Phase,
    pub(super) result: Result<(), Failure>,
    /// Whether an earlier effect was told once more.
    pub(super) replayed: bool,
}

/// One provider; several may have their accounts in one group.
pub(super) struct Provider {
    mood: Mood,
    pub(super) limits: Vec<LimitSpec>,
    /// What was done, and how often.
    pub(super) ledger: BTreeMap<Deed, u32>,
    /// When what arrived.
    arrivals: Vec<Mono>,
    inside: BTreeSet<AttemptId>,
}

impl Provider {
    pub(super) fn new(dice: &mut Dice, in_group: bool) -> Self {
        let named = |name, kind| LimitSpec::new(LimitName::new(name).unwrap(), kind);
        let mut limits = Vec::new();
        if dice.one_in(2) {
            limits.push(named("bucket", LimitKind::TokenBucket(BUCKET)));
        }
        if in_group {
            let group = Some(GroupName::new("account").unwrap());
            limits.push(LimitSpec { group, ..named("window", LimitKind::SlidingWindow(WINDOW)) });
        } else if dice.one_in(3) {
            limits.push(named("window", LimitKind::SlidingWindow(WINDOW)));
        }
        if dice.one_in(3) {
            limits.push(named("seats", LimitKind::Concurrent(SEATS)));
        }
        let mood = if dice.one_in(2) { Mood::Well } else { dice.one_of(&MOODS) };
        Self { mood, limits, ledger: BTreeMap::new(), arrivals: Vec::new(), inside: BTreeSet::new() }
    }

    /// Every request takes one of each.
    pub(super) fn demand(&self) -> crate::limits::Demand {
        let take = |limit| Take { limit, key: LimitKey::Shared, cost: 1 };
        crate::limits::Demand((0..self.limits.len()).map(take).collect())
    }

    pub(super) fn changes_its_mood(&mut self, dice: &mut Dice) {
        self.mood = if dice.one_in(2) { Mood::Well } else { dice.one_of(&MOODS) };
    }

    /// From now on it answers.
    pub(super) const fn recovers(&mut self) {
        self.mood = Mood::Well;
    }

    /// A request comes: what the provider does, and what it will say.
    pub(super) fn asked(
        &mut self,
        dice: &mut Dice,
        now: Mono,
        deed: Deed,
        endpoint: usize,
        attempt: AttemptId,
    ) -> Reply {
        let safety = ENDPOINTS[endpoint].safety();
        let after = dice.millis(1, 80);
        let reply = |after, phase, result| Reply { after, phase, result, replayed: false };
        let failed = |class| Err(Failure::new(class, "code", "message"));
        if self.mood == Mood::Down || dice.one_in(30) {
            let class = classify::broken(safety, Reason::Refused, Phase::NotSent);
            return reply(after, Phase::NotSent, failed(class));
        }
        self.counts(now, attempt);
        let lost = if safety == Safety::Safe { ErrorClass::Transient } else { ErrorClass::Ambiguous };
        let replayed = self.ledger.contains_key(&deed);
        let sent = |after, result| Reply { replayed, ..reply(after, Phase::Sent, result) };
        let rate_limited = |dice: &mut Dice| {
            let wait = dice.one_in(2).then(|| dice.millis(100, 2000));
            failed(ErrorClass::RateLimited).map_err(|failure: Failure| failure.retry_after(wait))
        };
        match self.mood {
            Mood::Failing => {
                if dice.one_in(2) {
                    self.does(safety, endpoint, deed);
                }
                sent(after, failed(lost))
            }
            Mood::Hanging => {
                if dice.one_in(2) {
                    self.does(safety, endpoint, deed);
                }
                sent(dice.millis(500, 3000), failed(lost))
            }
            Mood::Limiting if !dice.one_in(3) => sent(after, rate_limited(dice)),
            Mood::Down | Mood::Well | Mood::Limiting => match dice.below(20) {
                // Whoever has acted on a key says so when asked again, and does not refuse.
                0 if !replayed => sent(after, failed(ErrorClass::Client)),
                1 => {
                    let wait = Some(dice.millis(1, 500));
                    sent(after, failed(ErrorClass::Transient).map_err(|it: Failure| it.retry_after(wait)))
                }
                2 if !replayed => {
                    self.does(safety, endpoint, deed);
                    sent(after, failed(ErrorClass::InvalidResponse))
                }
                3 => {
                    self.does(safety, endpoint, deed);
                    sent(after, failed(lost))
                }
                4 => sent(after, rate_limited(dice)),
                _ => {
                    self.does(safety, endpoint, deed);
                    sent(after, Ok(()))
                }
            },
        }
    }

    fn does(&mut self, safety: Safety, endpoint: usize, deed: Deed) {
        if safety == Safety::Safe {
            return;
        }
        let times = self.ledger.entry(deed).or_default();
        // A key that is known is answered from memory.
        *times = if matches!(ENDPOINTS[endpoint], Resend::Key { .. }) { 1 } else { *times + 1 };
    }

    fn counts(&mut self, now: Mono, attempt: AttemptId) {
        self.arrivals.push(now);
        self.inside.insert(attempt);
        for limit in &self.limits {
            match &limit.kind {
                LimitKind::TokenBucket(spec) => {
                    let seen = seen(&self.arrivals, spec.per, now);
                    assert!(seen <= (spec.requests + spec.burst) as usize, "{seen} against the bucket");
                }
                LimitKind::SlidingWindow(spec) => {
                    let seen = seen(&self.arrivals, spec.per, now);
                    assert!(seen <= spec.requests as usize, "{seen} against the window");
                }
                LimitKind::Concurrent(spec) => {
                    let inside = self.inside.len();
                    assert!(inside <= spec.requests as usize, "{inside} on the seats");
                }
                LimitKind::Calendar(_) => unreachable!("none has one here"),
            }
        }
    }

    /// The request is over.
    pub(super) fn is_left(&mut self, attempt: AttemptId) {
        self.inside.remove(&attempt);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inside.is_empty()
    }
}

/// How many came within a span.
fn seen(arrivals: &[Mono], span: Duration, now: Mono) -> usize {
    arrivals.iter().rev().take_while(|at| **at + span > now).count()
}

/// What those with one account have got together is within its limit.
pub(super) fn check_account(providers: &[Provider], now: Mono) {
    let members = providers.iter().filter(|it| it.limits.iter().any(|limit| limit.group.is_some()));
    let seen: usize = members.map(|member| seen(&member.arrivals, WINDOW.per, now)).sum();
    assert!(seen <= WINDOW.requests as usize, "{seen} against the account");
}
