//! The world in which runs live: callers, providers, people, and one clock that jumps from event to event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Dice;
use super::judge;
use super::provider::{Deed, ENDPOINTS, Provider, Reply, check_account};
use crate::breaker::{BreakerSpec, ModeChange, ProbeSpec, State};
use crate::bulkhead::PoolSpec;
use crate::classify::{self, Cut, Phase};
use crate::failure::{ErrorClass, Failure};
use crate::idempotency::{Doubt, Role};
use crate::integration::{
    AttemptEnd, AttemptId, Call, CallEnd, CallId, CallRules, Disposition, Effect, Integration,
    IntegrationSpec, Probe, Send,
};
use crate::json::Json;
use crate::limits::{Groups, Watch};
use crate::name::{CorrelationId, EndpointName, GroupName, IntegrationName, OperationName, RunId, StepName};
use crate::operation::{Begin, CallPlan, Directive, Order, Outcome, Plan, Run, StepPlan, Steps, Tries, Undo};
use crate::priority::Priority;
use crate::retry::RetrySpec;
use crate::stale::StaleResults;
use crate::time::{Mono, Now, Wall};

/// From then on providers are well and people leave them alone.
const PEACE: Duration = Duration::from_secs(10);
/// A life that takes longer never ends.
const MOST_TURNS: u32 = 20_000;

/// A word of a life's story, and when it was said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) at: Mono,
    pub(super) word: String,
}

/// What happens by itself.
#[derive(Clone, Copy)]
enum Event {
    Arrive,
    Land(usize, AttemptId),
    DeadlineOf(usize, AttemptId),
    Cancel(usize),
    Mood(usize),
    Restart(usize),
    Trip(usize),
    Reset(usize),
    Peace,
}

/// A run, and what its caller has heard.
pub(super) struct Life {
    pub(super) plan: Arc<Plan>,
    pub(super) run: Run,
    pub(super) cancelled: bool,
    pub(super) outcome: Option<Outcome>,
    /// When the caller was answered.
    answered: Option<Mono>,
    /// Which of a step's providers was asked last.
    asked: BTreeMap<usize, usize>,
}

/// A call under way.
struct Open {
    /// `None` for a probe.
    of: Option<(usize, usize)>,
    deed: Deed,
    endpoint: usize,
    call: Call,
    attempts: u32,
    doubt: Doubt,
}

/// An attempt under way.
struct Flying {
    call: CallId,
    began: Mono,
    reply: Reply,
}

pub(super) struct World {
    dice: Dice,
    now: Now,
    providers: Vec<Provider>,
    specs: Vec<IntegrationSpec>,
    groups: Groups,
    cores: Vec<Integration<Json>>,
    _watches: Vec<Watch>,
    woken: Arc<Vec<AtomicBool>>,
    plans: Vec<Arc<Plan>>,
    lives: Vec<Life>,
    calls: BTreeMap<(usize, CallId), Open>,
    flying: BTreeMap<(usize, AttemptId), Flying>,
    next_attempts: Vec<u64>,
    events: BTreeMap<(Mono, u64), Event>,
    kept: StaleResults,
    next: u64,
    story: Vec<Line>,
}

fn integration_spec(dice: &mut Dice, provider: &Provider) -> IntegrationSpec {
    let small = |dice: &mut Dice, most| u32::try_from(dice.below(most)).unwrap();
    IntegrationSpec {
        breaker: BreakerSpec {
            failures: Some(3 + small(dice, 4)),
            open_for: dice.millis(200, 2000),
            half_open_calls: 1 + small(dice, 2),
            half_open_for: Duration::from_secs(2),
            probe: dice.one_in(2).then_some(ProbeSpec { endpoint: 0, timeout: Duration::from_secs(1) }),
            ..BreakerSpec::default()
        },
        retry: RetrySpec {
            base_delay: Duration::from_millis(50),
            rate_limit_delay: Duration::from_millis(100),
            first_retry_immediately: dice.one_in(2),
            budget_min: small(dice, 6),
            ..RetrySpec::default()
        },
        pool: PoolSpec {
            max_in_flight: 1 + small(dice, 4),
            max_queue: small(dice, 8),
            max_wait: dice.millis(50, 1000),
            ..PoolSpec::default()
        },
        limits: provider.limits.clone(),
    }
}

fn call_plan(integration: usize, endpoint: usize) -> CallPlan {
    CallPlan {
        integration: IntegrationName::new(&format!("p{integration}")).unwrap(),
        endpoint: EndpointName::new(&format!("e{endpoint}")).unwrap(),
        endpoint_index: endpoint,
        resend: ENDPOINTS[endpoint],
        verify: None,
        revision: 0,
    }
}

/// A random operation; a step waits only for earlier ones.
fn operation(dice: &mut Dice, number: usize, integrations: usize) -> Arc<Plan> {
    let count = 1 + dice.index(4);
    let steps = (0..count).map(|index| {
        let endpoint = dice.one_of(&[0, 1, 1, 2]);
        let provider = |dice: &mut Dice| {
            let at = dice.index(integrations);
            let undo = (endpoint > 0 && dice.one_in(2)).then(|| Undo { call: call_plan(at, 1), input: None });
            crate::operation::Provider { undo, ..crate::operation::Provider::new(call_plan(at, endpoint)) }
        };
        let name = StepName::new(&format!("s{index}")).unwrap();
        let mut step = StepPlan::new(name, call_plan(0, endpoint));
        step.primary = provider(dice);
        step.after = (0..index).filter(|_| dice.one_in(3)).collect();
        step.required = !dice.one_in(3);
        if dice.one_in(3) {
            step.alternates.push(provider(dice));
        }
        if endpoint == 0 && dice.one_in(3) {
            step.fallback.stale = Some(Duration::from_secs(5));
        }
        if dice.one_in(6) {
            step.fallback.value = Some(Json::of(&"instead"));
        }
        step
    });
    Arc::new(Plan {
        steps: Steps::new(steps.collect()).unwrap(),
        operation: OperationName::new(&format!("sim.op{number}")).unwrap(),
        version: 1,
        deadline: dice.millis(500, 8000),
        priority: Priority::Normal,
        result: None,
    })
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let count = 2 + dice.index(4);
        let grouped = dice.one_in(2);
        let providers: Vec<Provider> =
            (0..count).map(|at| Provider::new(&mut dice, grouped && at < 2)).collect();
        let specs: Vec<IntegrationSpec> =
            providers.iter().map(|provider| integration_spec(&mut dice, provider)).collect();
        let begin = Mono::from_origin(Duration::from_secs(1000));
        let now = Now { mono: begin, wall: Wall::from_unix_millis(1 << 40) };
        let groups = Groups::new();
        let woken: Arc<Vec<AtomicBool>> = Arc::new((0..count).map(|_| AtomicBool::new(false)).collect());
        let watch = |at: usize| {
            let woken = Arc::clone(&woken);
            groups
                .watch(&GroupName::new("account").unwrap(), move || woken[at].store(true, Ordering::Relaxed))
        };
        let watches = if grouped { (0..2).map(watch).collect() } else { Vec::new() };
        let cores =
            specs.iter().map(|spec| Integration::new(spec.clone(), &groups, now, dice.roll())).collect();
        let operations = 1 + dice.index(2);
        let plans = (0..operations).map(|number| operation(&mut dice, number, count)).collect();
        let mut world = Self {
            dice,
            now,
            providers,
            specs,
            groups,
            cores,
            _watches: watches,
            woken,
            plans,
            lives: Vec::new(),
            calls: BTreeMap::new(),
            flying: BTreeMap::new(),
            next_attempts: vec![0; count],
            events: BTreeMap::new(),
            kept: StaleResults::default(),
            next: 0,
            story: Vec::new(),
        };
        world.plan_ahead(count);
        world
    }

    fn plan_ahead(&mut self, count: usize) {
        let arrivals = 2 + self.dice.index(30);
        // Some worlds are busy for a moment, some a little all the time.
        let span = self.dice.one_of(&[50, 1000, 6000]);
        for _ in 0..arrivals {
            self.within(span, Event::Arrive);
        }
        for _ in 0..self.dice.index(6) {
            let at = self.dice.index(count);
            self.within(8000, Event::Mood(at));
        }
        for event in [Event::Restart, Event::Trip, Event::Reset] {
            if self.dice.one_in(3) {
                let at = self.dice.index(count);
                self.within(8000, event(at));
            }
        }
        self.after(PEACE, Event::Peace);
    }

    fn within(&mut self, millis: u64, event: Event) {
        let after = self.dice.millis(0, millis);
        self.after(after, event);
    }

    fn after(&mut self, span: Duration, event: Event) {
        self.next += 1;
        self.events.insert((self.now.mono + span, self.next), event);
    }

    fn tell(&mut self, word: impl Into<String>) {
        self.story.push(Line { at: self.now.mono, word: word.into() });
    }

    /// Lives to the end, and is judged.
    pub(super) fn live(mut self) -> Vec<Line> {
        for turn in 0.. {
            assert!(turn < MOST_TURNS, "it never ends");
            let Some(at) = self.next_time() else { break };
            self.now = self.now.after(at.since(self.now.mono));
            self.turn();
        }
        for (number, life) in self.lives.iter().enumerate() {
            judge::judge(number, life, &self.providers);
        }
        let outcomes: Vec<Outcome> = self.lives.iter().filter_map(|life| life.outcome.clone()).collect();
        for outcome in outcomes {
            judge::words(&outcome).into_iter().for_each(|word| self.tell(word));
        }
        self.is_at_rest();
        self.story
    }

    fn next_time(&self) -> Option<Mono> {
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        let cores = self.cores.iter().filter_map(Integration::next_deadline);
        let runs = self.lives.iter().filter_map(|life| life.run.next_deadline());
        event.into_iter().chain(cores).chain(runs).min()
    }

    fn turn(&mut self) {
        while let Some((&(at, number), &event)) =
            self.events.first_key_value().filter(|((at, _), _)| *at <= self.now.mono)
        {
            self.events.remove(&(at, number));
            self.happens(event);
            self.settle();
        }
        for at in 0..self.cores.len() {
            self.cores[at].advance(self.now);
            self.settle();
        }
        for life in 0..self.lives.len() {
            self.lives[life].run.advance(self.now);
            self.follows(life);
            self.settle();
        }
        check_account(&self.providers, self.now.mono);
        for (at, core) in self.cores.iter().enumerate() {
            let out = self.flying.range((at, AttemptId(0))..(at + 1, AttemptId(0))).count();
            assert_eq!(
                core.view(self.now).in_flight as usize,
                out,
                "a permit is out with each attempt of {at}"
            );
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Arrive => self.arrives(),
            Event::Land(at, attempt) => self.lands(at, attempt, None),
            Event::DeadlineOf(at, attempt) => self.deadline_comes(at, attempt),
            Event::Cancel(number) => {
                let life = &mut self.lives[number];
                if !life.run.is_done() {
                    life.cancelled = true;
                    life.run.cancel(self.now);
                    self.follows(number);
                }
            }
            Event::Mood(at) => self.providers[at].changes_its_mood(&mut self.dice),
            Event::Restart(at) => self.restarts(at),
            Event::Trip(at) => {
                let lasting = Some(self.dice.millis(100, 2000));
                self.cores[at].set_mode(self.now, ModeChange::trip("exercise".to_owned(), lasting));
            }
            Event::Reset(at) => self.cores[at].reset(self.now),
            Event::Peace => self.providers.iter_mut().for_each(Provider::recovers),
        }
    }

    fn arrives(&mut self) {
        let number = self.lives.len();
        let plan = Arc::clone(&self.plans[self.dice.index(self.plans.len())]);
        let budget = self.dice.one_in(3).then(|| self.dice.millis(100, 6000));
        let wait = self.dice.one_in(4).then(|| self.dice.millis(1, 2000));
        let (id, correlation_id) =
            (RunId::new(format!("run_{number}")), CorrelationId::new("order-17").unwrap());
        let begin =
            Begin { id, correlation_id, plan: Arc::clone(&plan), input: Json::of(&"input"), budget, wait };
        let run = Run::begin(begin, self.now);
        let (cancelled, outcome, answered, asked) = Default::default();
        self.lives.push(Life { plan, run, cancelled, outcome, answered, asked });
        if self.dice.one_in(6) {
            self.within(4000, Event::Cancel(number));
        }
        self.follows(number);
    }

    /// Everything that is to be done is done.
    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for at in 0..self.cores.len() {
                while let Some(effect) = self.cores[at].poll() {
                    quiet = false;
                    self.takes_effect(at, effect);
                }
                if self.woken[at].swap(false, Ordering::Relaxed) {
                    quiet = false;
                    self.tell("group");
                    self.cores[at].group_released(self.now);
                }
            }
            if quiet {
                return;
            }
        }
    }

    /// Does what a run wants, as soon as it wants it.
    fn follows(&mut self, number: usize) {
        while let Some(directive) = self.lives[number].run.poll() {
            self.is_directed(number, directive);
        }
    }

    fn is_directed(&mut self, number: usize, directive: Directive) {
        let now = self.now.mono;
        match directive {
            Directive::Execute(order) => self.executes(number, order),
            Directive::Cancel(step) => {
                let open = self.calls.iter().find(|(_, open)| open.of == Some((number, step)));
                let (at, id) = *open.expect("only a call that is open is asked to stop").0;
                self.cores[at].cancel(self.now, id);
            }
            Directive::Spawn { .. } => panic!("nothing is left to the background"),
            Directive::Keep { key, result } => self.kept.keep(now, key, result),
            Directive::Recall { step, key, within } => {
                let found = self.kept.recall(now, &key, within);
                self.lives[number].run.recalled(self.now, step, found);
            }
            Directive::Pending(_) => self.answers(number, "pending"),
            Directive::Accepted(_) => self.answers(number, "accepted"),
            Directive::Finish(outcome) => {
                let life = &mut self.lives[number];
                assert!(life.outcome.replace(*outcome).is_none(), "a run finishes once");
                if life.answered.is_none() {
                    self.answers(number, "answered");
                }
            }
        }
    }

    fn answers(&mut self, number: usize, how: &str) {
        let life = &mut self.lives[number];
        assert!(life.answered.replace(self.now.mono).is_none(), "a caller is answered once");
        assert!(self.now.mono <= life.run.deadline(), "a caller is answered by its deadline");
        self.tell(how);
    }

    fn executes(&mut self, number: usize, order: Order) {
        let life = &mut self.lives[number];
        let target = life.run.target(order.step).expect("an open step has a target").clone();
        let served = life.asked.get(&order.step).copied().unwrap_or_default();
        let deed = Deed::new(number, order.step, order.role, served);
        if order.role != Role::Undo {
            life.asked.insert(order.step, deed.number);
        }
        let at: usize = target.integration.as_str()[1..].parse().unwrap();
        self.next += 1;
        let id = CallId(self.next);
        let priority = self.dice.one_of(&Priority::ALL);
        self.admits(
            at,
            id,
            Some((number, order.step)),
            deed,
            target.endpoint_index,
            priority,
            order.deadline,
        );
    }

    #[expect(clippy::too_many_arguments, reason = "what makes a call")]
    fn admits(
        &mut self,
        at: usize,
        id: CallId,
        of: Option<(usize, usize)>,
        deed: Deed,
        endpoint: usize,
        priority: Priority,
        deadline: Mono,
    ) {
        let rules = CallRules { resend: ENDPOINTS[endpoint], retry: Arc::new(self.specs[at].retry.clone()) };
        let call =
            Call { id, rules, demand: self.providers[at].demand(), priority, deadline, in_doubt_for: None };
        let open = Open { of, deed, endpoint, call: call.clone(), attempts: 0, doubt: Doubt::default() };
        assert!(self.calls.insert((at, id), open).is_none(), "calls are named once");
        self.cores[at].admit(self.now, call);
    }

    fn takes_effect(&mut self, at: usize, effect: Effect<Json>) {
        match effect {
            Effect::Send(send) => self.sends(at, &send),
            Effect::Stop(attempt) => self.is_asked_to_stop(at, attempt, Cut::Cancelled),
            Effect::Pending(id) => {
                let open = &self.calls[&(at, id)];
                if let Some((number, step)) = open.of {
                    self.lives[number].run.call_is_overdue(self.now, step, open.attempts);
                    self.follows(number);
                }
            }
            Effect::BudgetExhausted(_) => {}
            Effect::Answer { call, end, tries } => self.is_answered(at, call, end, tries),
            Effect::Probe(Probe { call, deadline }) => {
                self.tell("probe");
                let deed = Deed { run: usize::MAX, step: 0, number: 0, undo: false };
                self.admits(at, call, None, deed, 0, Priority::Low, deadline);
            }
            Effect::Transition(transition) => {
                if transition.to == State::Open {
                    self.tell("opened");
                }
            }
        }
    }

    fn sends(&mut self, at: usize, send: &Send) {
        let open = self.calls.get_mut(&(at, send.call)).expect("nobody is called for a call that is over");
        assert!(self.now.mono < open.call.deadline, "nothing is sent after the deadline");
        assert!(send.attempt.0 >= self.next_attempts[at], "attempts are named once");
        self.next_attempts[at] = send.attempt.0 + 1;
        open.attempts = send.number;
        let (deed, endpoint, deadline) = (open.deed, open.endpoint, open.call.deadline);
        let provider = &mut self.providers[at];
        let reply = provider.asked(&mut self.dice, self.now.mono, deed, endpoint, send.attempt);
        let after = reply.after;
        if reply.replayed {
            self.tell("replayed");
        }
        let flying = Flying { call: send.call, began: self.now.mono, reply };
        self.flying.insert((at, send.attempt), flying);
        self.after(after, Event::Land(at, send.attempt));
        self.after(deadline.since(self.now.mono), Event::DeadlineOf(at, send.attempt));
    }

    fn deadline_comes(&mut self, at: usize, attempt: AttemptId) {
        if self.flying.contains_key(&(at, attempt)) {
            self.is_asked_to_stop(at, attempt, Cut::Deadline);
        }
    }

    /// What is safe or has not left stops; the rest runs to its own end.
    fn is_asked_to_stop(&mut self, at: usize, attempt: AttemptId, why: Cut) {
        let flying = &self.flying[&(at, attempt)];
        let safety = ENDPOINTS[self.calls[&(at, flying.call)].endpoint].safety();
        if classify::may_cut(safety, flying.reply.phase) {
            self.tell("cut");
            self.lands(at, attempt, Some(why));
        } else if why == Cut::Deadline {
            self.cores[at].overdue(attempt);
        }
    }

    fn lands(&mut self, at: usize, attempt: AttemptId, cut: Option<Cut>) {
        let Some(Flying { call: id, began, reply }) = self.flying.remove(&(at, attempt)) else { return };
        self.providers[at].is_left(attempt);
        let result = match cut {
            None => reply.result.map(|()| Json::of(&"done")),
            Some(_) => Err(Failure::new(ErrorClass::Deadline, "cut", "message")),
        };
        let open = self.calls.get_mut(&(at, id)).expect("an attempt's call is open");
        if let Err(failure) = &result
            && reply.phase == Phase::Sent
            && ENDPOINTS[open.endpoint].safety() == classify::Safety::Mutating
        {
            open.doubt.observe(failure);
            if failure.class == ErrorClass::RateLimited {
                self.story.push(Line { at: self.now.mono, word: "drained".to_owned() });
            }
        }
        let took = self.now.mono.since(began);
        let end = AttemptEnd { result, phase: reply.phase, cut, took, told: Vec::new() };
        if let Disposition::Retry(_) = self.cores[at].finished(self.now, attempt, end) {
            self.tell("retry");
        }
    }

    fn is_answered(&mut self, at: usize, id: CallId, end: CallEnd<Json>, tries: Tries) {
        let open = self.calls.remove(&(at, id)).expect("a call is answered once, and only if it was asked");
        assert!(!self.flying.values().any(|flying| flying.call == id && !id.is_probe()), "an attempt is out");
        if let Some((number, step)) = open.of {
            self.lives[number].run.call_ended(self.now, step, end, tries);
            self.follows(number);
        }
    }

    /// An actor panics: its core is lost, its attempts are not.
    fn restarts(&mut self, at: usize) {
        self.tell("restart");
        let kept = self.cores[at].kept(self.now);
        let (spec, seed, next) = (self.specs[at].clone(), self.dice.roll(), self.next_attempts[at]);
        let mut core = Integration::restarted(spec, &self.groups, self.now, seed, &kept, next);
        let out = self.flying.range((at, AttemptId(0))..(at + 1, AttemptId(0)));
        let mut adopted = Vec::new();
        for ((_, attempt), flying) in out {
            let open = &self.calls[&(at, flying.call)];
            core.adopt(self.now, open.call.clone(), *attempt, open.attempts, open.doubt);
            adopted.push(flying.call);
        }
        self.cores[at] = core;
        let of_this = self.calls.range((at, CallId(0))..(at + 1, CallId(0)));
        let orphans: Vec<CallId> =
            of_this.map(|((_, id), _)| *id).filter(|id| !adopted.contains(id)).collect();
        for id in orphans {
            let open = &self.calls[&(at, id)];
            let failure = Failure::new(ErrorClass::Internal, "integration_restarted", "message");
            let (doubt, attempts) = (open.doubt.exists(), open.attempts);
            let end = if doubt { CallEnd::Unknown(failure) } else { CallEnd::Failed(failure) };
            self.is_answered(at, id, end, Tries { made: attempts, sent: attempts > 0, trial: false });
        }
    }

    /// Nobody waits, nothing is out, and after a while everything held is back.
    fn is_at_rest(&mut self) {
        assert!(self.flying.is_empty() && self.calls.is_empty(), "nothing is left");
        assert!(self.providers.iter().all(Provider::is_empty));
        let later = self.now.after(Duration::from_secs(600));
        for core in &mut self.cores {
            core.advance(later);
            let view = core.view(later);
            assert_eq!((view.in_flight, view.queued, view.calls, view.trials_out), (0, 0, 0, 0));
            assert!(view.limits.iter().all(|limit| limit.remaining == limit.capacity), "every token is back");
        }
    }
}
