//! A thousand seeded lives of a mesh: callers come and leave, the provider does whatever providers do, operators
//! trip and reset, the actor panics and dies, time passes or leaps.
//!
//! Whatever happens: every run is answered once, in time and truthfully; nothing passes a bound, a budget, a forced
//! breaker or the provider's own patience; and in the end nothing is held and the integration serves as if new. A
//! failure prints its seed, and a seed lives the same life every time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use causeway_actors::board::Snapshot;
use causeway_actors::fakes::{Ending, Fate, Script, Seen};
use causeway_actors::ports::WireRequest;
use causeway_actors::router::Answer;
use causeway_core::breaker::{BreakerSpec, ProbeSpec};
use causeway_core::bulkhead::PoolSpec;
use causeway_core::classify::Phase;
use causeway_core::endpoint::Timeouts;
use causeway_core::failure::Reason;
use causeway_core::limits::token_bucket::TokenBucketSpec;
use causeway_core::limits::{LimitKind, LimitSpec};
use causeway_core::name::{LimitName, RunId};
use causeway_core::operation::RunStatus;
use causeway_core::retry::RetrySpec;
use causeway_core::time::Mono;

use crate::dice::Dice;
use crate::truth;
use crate::world::{LONG, Setting, To, World, millis};

const SEEDS: u64 = 1000;
const STEPS: u32 = 60;

fn setting(dice: &mut Dice) -> Setting {
    // By count, by rate, or not in this life.
    let (failures, failure_rate) = dice.one_of(&[(Some(3), None), (None, Some(0.5)), (Some(1000), None)]);
    let bucket = TokenBucketSpec { requests: 10, per: millis(1000), burst: 5 };
    let limits = vec![LimitSpec::new(LimitName::new("all").unwrap(), LimitKind::TokenBucket(bucket))];
    let probe = ProbeSpec { endpoint: To::Safe as usize, timeout: millis(3000) };
    Setting {
        breaker: BreakerSpec {
            failures,
            failure_rate,
            minimum_calls: 4,
            window: millis(10_000),
            open_for: millis(1000),
            half_open_calls: 2,
            probe: (dice.below(2) == 0).then_some(probe),
            ..BreakerSpec::default()
        },
        retry: RetrySpec { base_delay: millis(100), ..RetrySpec::default() },
        pool: PoolSpec {
            max_in_flight: 3,
            max_queue: u32::try_from(dice.below(5)).unwrap(),
            ..PoolSpec::default()
        },
        limits: if dice.below(2) == 0 { limits } else { Vec::new() },
        timeouts: Timeouts { total: millis(3000), ..Timeouts::default() },
        ledger: None,
        seed: dice.roll(),
    }
}

/// What becomes of one request.
fn script(dice: &mut Dice) -> Script {
    let wait = Some(1 + u32::try_from(dice.below(3)).unwrap());
    let script = match dice.below(125) {
        0..34 => Script::answers(200, "{}"),
        34..42 => Script::answers(500, ""),
        42..46 => Script::answers(503, ""),
        46..51 => Script::ends(Ending::Answers(503, wait, "")),
        51..56 => Script::ends(Ending::Answers(429, wait, "")),
        56..60 => Script::answers(429, ""),
        60..66 => Script::ends(Ending::Breaks(Reason::Refused)).unsent(),
        66..72 => Script::ends(Ending::Breaks(Reason::Reset)),
        72..76 => return Script::hangs(),
        76..79 => return Script::hangs().unsent(),
        79..84 => Script::ends(Ending::Panics),
        84..86 => Script::answers(402, ""),
        86..88 => Script::answers(422, ""),
        88..91 => Script::answers(409, ""),
        91..94 => Script::answers(401, ""),
        94..97 => Script::answers(200, "<html>"),
        _ => return Script::answers(200, "{}"),
    };
    let Script { leaves_after, .. } = script;
    let late = if leaves_after.is_zero() && dice.below(3) == 0 { dice.millis(500) } else { leaves_after };
    let script = Script { leaves_after: late, ..script };
    script.after(dice.millis(1500) + if late < LONG { late } else { Duration::ZERO })
}

/// What becomes of a run's n-th request depends on these two alone, not on what else is going on.
fn provider(
    seed: u64,
    kind: &Arc<AtomicBool>,
) -> impl Fn(usize, &WireRequest) -> Script + Send + Sync + 'static {
    let requests = Mutex::new(HashMap::<String, u64>::new());
    let kind = Arc::clone(kind);
    move |_, request| {
        let run = request.headers["x-correlation-id"].to_str().unwrap().to_owned();
        let number = match run.strip_prefix("run_") {
            Some(number) => number.parse().unwrap(),
            None => u64::from_str_radix(&run["probe_".len()..], 16).unwrap(),
        };
        let mut requests = requests.lock().unwrap();
        let nth = requests.entry(run).and_modify(|nth| *nth += 1).or_default();
        if kind.load(Ordering::Relaxed) {
            return Script::answers(200, "{}");
        }
        script(&mut Dice::seeded(Dice::seeded(seed).roll() ^ (number << 8) ^ *nth))
    }
}

/// A run, apart from what the mesh knows of it.
struct Run {
    id: RunId,
    to: To,
    began: Mono,
    deadline: Mono,
    left: Option<Mono>,
    told: Told,
}

/// What a caller was told, and when.
type Told = Rc<RefCell<Option<(Answer, Mono)>>>;

struct Life<'w> {
    world: &'w World,
    setting: &'w Setting,
    dice: Dice,
    runs: Vec<Run>,
    /// Whether the actor may die in this life: what goes down with it can then not be told.
    mortal: bool,
    panics: u64,
    deaths: Vec<Mono>,
    /// From when to when the breaker was forced open.
    forced: Vec<(Mono, Mono)>,
    /// Stretches of time in which no timer could fire.
    leaps: Vec<(Mono, Mono)>,
}

impl Life<'_> {
    async fn step(&mut self) {
        match self.dice.below(100) {
            0..42 => self.dispatch(),
            42..50 => self.leave(),
            50..52 => self.trip().await,
            52..57 => self.reset().await,
            57..60 => self.panic(),
            60 if self.mortal => self.die(),
            61..64 => self.leap().await,
            60 | 64..72 => self.world.now().await,
            72..97 => tokio::time::sleep(self.dice.millis(600)).await,
            _ => tokio::time::sleep(self.dice.millis(4000)).await,
        }
    }

    fn dispatch(&mut self) {
        let to = self.dice.one_of(&To::ALL);
        let waiting = self.world.dispatch(to, millis(1) + self.dice.millis(8000));
        let (id, deadline, clock) = (waiting.id.clone(), waiting.deadline, self.world.clock);
        let told = Told::default();
        let tell = Rc::clone(&told);
        actix::spawn(async move {
            let answer = waiting.answer().await;
            *tell.borrow_mut() = Some((answer, clock.mono()));
        });
        self.runs.push(Run { id, to, began: clock.mono(), deadline, left: None, told });
    }

    fn leave(&mut self) {
        if self.runs.is_empty() {
            return;
        }
        let one = usize::try_from(self.dice.below(self.runs.len() as u64)).unwrap();
        let run = &mut self.runs[one];
        if run.told.borrow().is_none() {
            self.world.abandon(&run.id);
            run.left.get_or_insert(self.world.clock.mono());
        }
    }

    async fn trip(&mut self) {
        let lasting = (self.dice.below(8) > 0).then(|| self.dice.millis(3000));
        // A command goes down with an actor that dies before it gets to it; the next finds another actor.
        while self.world.place().trip("exercise".to_owned(), lasting).await.is_err() {}
        let now = self.world.clock.mono();
        self.unforce(now);
        self.forced.push((now, lasting.map_or(Mono::MAX, |lasting| now + lasting)));
    }

    async fn reset(&mut self) {
        while self.world.place().reset(None, None).await.is_err() {}
        self.unforce(self.world.clock.mono());
    }

    fn unforce(&mut self, now: Mono) {
        if let Some((_, until)) = self.forced.last_mut() {
            *until = now.min(*until);
        }
    }

    fn panic(&mut self) {
        self.world.panic();
        self.panics += 1;
    }

    fn die(&mut self) {
        self.world.kill();
        self.deaths.push(self.world.clock.mono());
    }

    async fn leap(&mut self) {
        self.world.now().await;
        let from = self.world.clock.mono();
        tokio::time::advance(self.dice.millis(3000)).await;
        self.leaps.push((from, self.world.clock.mono()));
        self.world.now().await;
    }

    /// What is on the board makes sense, whenever it is looked at.
    fn look(&self) {
        let Snapshot { view, .. } = &*self.world.snapshot();
        let Setting { breaker, pool, .. } = self.setting;
        assert!(view.trials_out <= view.in_flight.min(breaker.half_open_calls), "{view:?}");
        assert!(view.in_flight <= pool.max_in_flight && view.queued <= pool.max_queue as usize, "{view:?}");
        assert!(
            view.in_flight as usize + view.queued <= view.calls && view.calls <= pool.capacity(),
            "{view:?}"
        );
    }

    /// Everything is over: looks back at what happened.
    fn judge(&self) {
        let seen = self.world.transport.seen();
        let mut by_run = HashMap::<&[u8], Vec<Seen>>::new();
        for request in &seen {
            by_run.entry(request.headers["x-correlation-id"].as_bytes()).or_default().push(request.clone());
        }
        for run in &self.runs {
            self.judge_answer(run, by_run.get(run.id.as_str().as_bytes()).map_or(&[], Vec::as_slice));
        }
        for request in &seen {
            let forced = self.forced.iter().any(|(from, until)| *from < request.at && request.at < *until);
            assert!(!forced, "nothing passes a breaker that is forced open: {request:#?}");
        }
        self.judge_budget(&seen);
        if self.deaths.is_empty() {
            self.judge_pool(&seen);
            self.judge_patience(&seen);
            assert_eq!(self.world.snapshot().generation, self.panics, "every panic is one restart");
        }
    }

    fn judge_answer(&self, run: &Run, seen: &[Seen]) {
        let told = run.told.borrow();
        let (answer, at) = told.as_ref().unwrap_or_else(|| panic!("{} is answered", run.id));
        let leap = self.leaps.iter().find(|(from, to)| *from < run.deadline && run.deadline < *to);
        let latest = leap.map_or(run.deadline, |(_, to)| *to);
        assert!(*at <= latest, "{} is answered at {at:?}, in time for {latest:?}", run.id);
        let board = self.world.look_up(&run.id);
        let outcome = if answer.is_pending() {
            assert!(run.to != To::Safe && *at == latest, "{answer:?} at {at:?}");
            let out = seen.last().unwrap();
            assert!(out.at <= run.deadline && out.over.is_some_and(|over| over >= run.deadline), "{out:?}");
            board.as_deref().unwrap()
        } else {
            let told = &answer.outcome;
            let tried = told.steps.iter().any(|step| step.attempts > 0) || told.status == RunStatus::Unknown;
            let kept = (run.to != To::Safe && tried).then_some(told.status);
            assert_eq!(board.map(|outcome| outcome.status), kept, "what may have acted can be looked up");
            assert!(seen.iter().all(|request| request.at <= *at), "nothing is sent after the answer");
            &answer.outcome
        };
        let lost = self.deaths.iter().any(|death| *death >= run.began);
        truth::judge(run.to, seen, outcome, run.left.is_some(), lost);
        assert!(seen.len() <= 1 + self.setting.retry.max_retries as usize, "retries are bounded");
        for request in seen {
            assert!(request.at < run.deadline, "nothing is sent after the deadline");
            assert!(
                run.left.is_none_or(|left| request.at <= left),
                "nothing is sent for a caller that has left"
            );
        }
    }

    fn judge_budget(&self, seen: &[Seen]) {
        for LimitSpec { kind, .. } in &self.setting.limits {
            let LimitKind::TokenBucket(bucket) = kind else { continue };
            let sent = seen.iter().filter(|request| {
                !matches!(request.fate, Fate::Ended(Phase::NotSent) | Fate::Dropped(Phase::NotSent))
            });
            let sent: Vec<Mono> = sent.map(|request| request.at).collect();
            let most = usize::try_from(bucket.requests + bucket.burst).unwrap();
            for times in sent.windows(most + 1) {
                assert!(times[most].since(times[0]) >= bucket.per, "{} in one period: {times:?}", most + 1);
            }
        }
    }

    fn judge_pool(&self, seen: &[Seen]) {
        for request in seen {
            let out =
                |other: &&Seen| other.at <= request.at && other.over.is_none_or(|over| over > request.at);
            let out = seen.iter().filter(out).count();
            assert!(out <= self.setting.pool.max_in_flight as usize, "{out} on the wire at {:?}", request.at);
        }
    }

    fn judge_patience(&self, seen: &[Seen]) {
        for refused in seen {
            let (Ending::Answers(429, Some(wait), _), Some(over)) = (&refused.script.ending, refused.over)
            else {
                continue;
            };
            let until = over + Duration::from_secs(u64::from(*wait));
            let ended = matches!(refused.fate, Fate::Ended(_));
            let early = seen.iter().find(|request| ended && over < request.at && request.at < until);
            assert!(early.is_none(), "nobody goes before the provider's time: {refused:#?}\n{early:#?}");
        }
    }

    /// All that it can hold at once is served at once.
    async fn serves_as_if_new(&mut self) {
        self.reset().await;
        self.world.pass(LONG).await;
        let runs: Vec<_> = (0..self.setting.pool.max_in_flight + self.setting.pool.max_queue)
            .map(|_| self.world.dispatch(To::Plain, LONG))
            .collect();
        for run in runs {
            let outcome = run.outcome().await;
            assert_eq!(outcome.status, RunStatus::Succeeded, "{outcome:#?}");
        }
    }
}

fn live(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let lived = std::panic::catch_unwind(|| {
            let mut dice = Dice::seeded(seed);
            let setting = setting(&mut dice);
            let kind = Arc::new(AtomicBool::new(false));
            World::live(&setting, provider(seed, &kind), async |world| {
                let mortal = dice.below(4) == 0;
                let (runs, deaths, forced, leaps) = Default::default();
                let setting = &setting;
                let mut life = Life { world, setting, dice, runs, mortal, panics: 0, deaths, forced, leaps };
                for _ in 0..STEPS {
                    life.step().await;
                    life.look();
                }
                world.pass(LONG).await;
                life.judge();
                kind.store(true, Ordering::Relaxed);
                life.serves_as_if_new().await;
            });
        });
        assert!(lived.is_ok(), "seed {seed} fails: see the assertion above");
    }
}

// In two halves, so that they run side by side.
#[test]
fn every_run_ends_truthfully_and_nothing_is_held_first_half() {
    live(0..SEEDS / 2);
}

#[test]
fn every_run_ends_truthfully_and_nothing_is_held_second_half() {
    live(SEEDS / 2..SEEDS);
}
