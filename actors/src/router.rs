//! The router: takes business operations in, dispatches their steps, and answers with outcomes.
//!
//! One router lives on each HTTP worker's thread, so taking an operation in is a hop within a thread; a step crosses
//! to its integration's thread and back. The router holds the runs in flight ([`causeway_core::operation::Run`]),
//! does what they ask for, and meets integrations only through messages. A permit of the integration travels with
//! each step: none left is `overloaded` at once, so no mailbox is ever relied on as a bound.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::SendError;
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message};
use causeway_core::classify::Safety;
use causeway_core::failure::{ErrorClass, Failure};
use causeway_core::integration::{CallEnd, CallId};
use causeway_core::json::Json;
use causeway_core::name::{CorrelationId, OperationName, RunId};
use causeway_core::operation::{Directive, Outcome, Plan, Run, RunStatus};
use causeway_core::time::Now;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::board::Board;
use crate::clock::Clock;
use crate::directory::{Directory, Place};
use crate::guard;
use crate::integration::{Cancel, Execute, StepEnd, StepReply};
use crate::meters::RunMeters;
use crate::metric::{Labels, Metric};
use crate::plan::{RunContext, StepCall, TraceContext};

/// Runs an operation.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Dispatch {
    /// The run's id.
    pub id: RunId,
    /// What links it to the event behind it.
    pub correlation_id: CorrelationId,
    /// The trace it belongs to.
    pub trace: TraceContext,
    /// What to do.
    pub plan: Arc<Plan>,
    /// With what.
    pub input: Json,
    /// The caller's own deadline, from now.
    pub budget: Option<Duration>,
    /// The place among all runs that it takes up, until it is over.
    pub permit: OwnedSemaphorePermit,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Answer>,
}

/// What a caller is told.
#[derive(Debug)]
pub struct Answer {
    /// The run as it stands.
    pub outcome: Outcome,
    /// Whether the outcome is still to come.
    pub pending: bool,
}

/// The caller of a run has left.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Abandon(pub RunId);

#[derive(Message)]
#[rtype(result = "()")]
struct StepNews {
    run: RunId,
    news: News,
}

enum News {
    Ended(StepEnd),
    Overdue,
    /// The integration's actor went away without a word.
    Lost,
}

/// One worker's router.
pub struct Router {
    directory: Arc<Directory>,
    board: Arc<Board>,
    clock: Clock,
    runs: HashMap<RunId, InFlight>,
    meters: HashMap<OperationName, RunMeters>,
    next_call: u64,
    mailbox: usize,
}

struct InFlight {
    run: Run,
    context: Arc<RunContext>,
    reply: Option<oneshot::Sender<Answer>>,
    call: Option<(CallId, Arc<Place>)>,
    _permit: OwnedSemaphorePermit,
}

impl InFlight {
    /// Whether the run may act: those that do can be looked up.
    fn may_act(&self) -> bool {
        self.run.plan().step.safety == Safety::Mutating
    }

    fn tell(&mut self, now: Now, news: News) {
        match news {
            News::Ended(StepEnd { end, attempts }) => self.run.step_ended(now, end, attempts),
            News::Overdue => self.run.step_is_overdue(),
            News::Lost => {
                let message = "the integration's actor went away during the call";
                let failure = Failure::new(ErrorClass::Internal, "integration_lost", message);
                let end = if self.may_act() { CallEnd::Unknown(failure) } else { CallEnd::Failed(failure) };
                self.run.step_ended(now, end, 0);
            }
        }
    }
}

impl Router {
    /// A router for one thread. `index` tells it from the others; `max_runs` bounds its mailbox.
    pub(crate) fn new(
        directory: Arc<Directory>,
        board: Arc<Board>,
        clock: Clock,
        index: u64,
        max_runs: usize,
    ) -> Self {
        Self {
            directory,
            board,
            clock,
            runs: HashMap::new(),
            meters: HashMap::new(),
            next_call: index << 48,
            mailbox: max_runs.saturating_mul(4).saturating_add(64),
        }
    }

    /// Tells a run the news and does what it asks for, until it waits or is over. A panic ends this run and no other.
    fn drive(&mut self, ctx: &Context<Self>, mut flight: InFlight, news: Option<News>) {
        let driven = guard::caught(|| {
            if let Some(news) = news {
                flight.tell(self.clock.now(), news);
            }
            self.steps(ctx, &mut flight)
        });
        match driven {
            Ok(None) => {
                self.runs.insert(flight.run.id().clone(), flight);
            }
            Ok(Some(outcome)) => self.finish(flight, outcome),
            Err(message) => {
                Metric::ActorRestarts.counter(&Labels::none().word("actor", "router")).increment(1);
                tracing::error!(
                    run_id = flight.run.id().as_str(),
                    panic = message,
                    "a fault in the router ended a run"
                );
                let outcome = flight.run.lost(self.clock.now());
                self.finish(flight, outcome);
            }
        }
    }

    /// Does what a run asks for; its outcome, if it is over.
    fn steps(&mut self, ctx: &Context<Self>, flight: &mut InFlight) -> Option<Outcome> {
        while let Some(directive) = flight.run.poll() {
            match directive {
                Directive::Execute(input) => self.execute(ctx, flight, input),
                Directive::Pending(outcome) => answer(flight, Answer { outcome: *outcome, pending: true }),
                Directive::Finish(outcome) => return Some(*outcome),
            }
        }
        None
    }

    fn execute(&mut self, ctx: &Context<Self>, flight: &mut InFlight, input: Json) {
        if flight.may_act() {
            self.board.run_started(flight.run.so_far());
        }
        if let Err(failure) = self.send(ctx, flight, input) {
            flight.run.step_ended(self.clock.now(), CallEnd::Failed(failure), 0);
        }
    }

    fn send(&mut self, ctx: &Context<Self>, flight: &mut InFlight, input: Json) -> Result<(), Failure> {
        let step = &flight.run.plan().step;
        let Some(place) = self.directory.find(step.integration.as_str()) else {
            let message = format!("the integration `{}` is not configured", step.integration);
            return Err(Failure::new(ErrorClass::Internal, "no_such_integration", message));
        };
        let permit = place.permit().ok_or_else(|| overloaded(place))?;
        let id = CallId(self.next_call);
        self.next_call += 1;
        let (reply, answered) = oneshot::channel();
        let call = StepCall {
            run: Arc::clone(&flight.context),
            step: step.name.clone(),
            endpoint: step.endpoint_index,
            input,
            deadline: flight.run.deadline(),
        };
        place.send(Execute { id, call, permit, reply }).map_err(|_| overloaded(place))?;
        flight.call = Some((id, Arc::clone(place)));
        actix::spawn(await_step(ctx.address(), flight.run.id().clone(), answered));
        Ok(())
    }

    fn finish(&mut self, mut flight: InFlight, outcome: Outcome) {
        let took = self.clock.mono().since(flight.run.began().mono);
        if let Some(meters) = self.meters.get(&outcome.operation) {
            meters.ended(outcome.status, took);
        }
        if flight.may_act()
            && outcome.status != RunStatus::Unknown
            && outcome.steps.iter().all(|step| step.attempts == 0)
        {
            self.board.run_came_to_nothing(&outcome.id);
        } else if flight.may_act() {
            self.board.run_finished(outcome.clone());
        }
        answer(&mut flight, Answer { outcome, pending: false });
    }
}

fn answer(flight: &mut InFlight, answer: Answer) {
    if let Some(reply) = flight.reply.take() {
        // A caller that is gone waits for nothing; the outcome is on the board.
        let _ = reply.send(answer);
    }
}

fn overloaded(place: &Place) -> Failure {
    let message = format!("the integration `{}` has no room for another call", place.name());
    Failure::new(ErrorClass::Overloaded, "overloaded", message).retry_after(Some(place.retry_after()))
}

/// Waits for a step's answers and hands them to the router.
async fn await_step(router: Addr<Router>, run: RunId, mut answered: oneshot::Receiver<StepReply>) {
    loop {
        let (news, rest) = match answered.await {
            Ok(StepReply::Ended(end)) => (News::Ended(end), None),
            Ok(StepReply::Pending(rest)) => (News::Overdue, Some(rest)),
            Err(_) => (News::Lost, None),
        };
        if router.try_send(StepNews { run: run.clone(), news }).is_err() {
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
    }
}

impl Handler<Dispatch> for Router {
    type Result = ();

    fn handle(&mut self, message: Dispatch, ctx: &mut Self::Context) {
        let Dispatch { id, correlation_id, trace, plan, input, budget, permit, reply } = message;
        let meters = self.meters.entry(plan.operation.clone()).or_insert_with_key(RunMeters::new);
        meters.began();
        let now = self.clock.now();
        let begun = guard::caught(|| Run::begin(id, correlation_id, plan, input, now, budget));
        match begun {
            Ok(run) => {
                let context = Arc::new(RunContext::of(&run, trace));
                self.drive(
                    ctx,
                    InFlight { run, context, reply: Some(reply), call: None, _permit: permit },
                    None,
                );
            }
            // Nothing was sent: the caller learns of it by its reply being dropped.
            Err(message) => {
                meters.ended(RunStatus::Failed, Duration::ZERO);
                tracing::error!(panic = message, "a fault in its mapping ended a run");
            }
        }
    }
}

impl Handler<StepNews> for Router {
    type Result = ();

    fn handle(&mut self, StepNews { run, news }: StepNews, ctx: &mut Self::Context) {
        if let Some(flight) = self.runs.remove(&run) {
            self.drive(ctx, flight, Some(news));
        }
    }
}

impl Handler<Abandon> for Router {
    type Result = ();

    fn handle(&mut self, Abandon(run): Abandon, _: &mut Self::Context) {
        if let Some((call, place)) = self.runs.get(&run).and_then(|flight| flight.call.as_ref())
            && let Err(SendError::Full(_) | SendError::Closed(_)) = place.send(Cancel(*call))
        {
            tracing::warn!(run_id = run.as_str(), "could not tell the integration that the caller has left");
        }
    }
}
