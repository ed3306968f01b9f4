//! A mesh of two integrations and a router, all on one thread, with a scripted provider and a paused clock.
//!
//! [`World::live`] builds one, hands it to a test, and at its end asserts that nothing leaked: no permit, no flight,
//! nothing in flight, queued or on trial.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use bytes::Bytes;
use causeway_actors::board::{Asker, Snapshot};
use causeway_actors::clock::Clock;
use causeway_actors::directory::{Directory, Place};
use causeway_actors::fakes::{Script, ScriptedTransport, Seen};
use causeway_actors::integration::{DieNow, Execute, PanicNow, StepReply};
use causeway_actors::mesh::{Mesh, MeshSpec};
use causeway_actors::plan::{IntegrationPlan, LogPlan, RunContext, StepCall, TraceContext};
use causeway_actors::ports::{Ledger, WireRequest};
use causeway_actors::router::{Abandon, Answer, Dispatch, Reply, Router, RunPermit, Standing};
use causeway_core::failure::Failure;
use causeway_core::idempotency::Role;
use causeway_core::integration::CallId;
use causeway_core::json::Json;
use causeway_core::limits::Memory;
use causeway_core::name::{CorrelationId, OperationName, RunId, StepName};
use causeway_core::operation::{Outcome, Plan, RunStatus};
use causeway_core::priority::Priority;
use causeway_core::sanitise::{Extra, Sanitiser};
use causeway_core::time::Mono;
use tokio::sync::{Semaphore, oneshot};

mod setting;

pub(crate) use setting::{At, Setting, To, operation, or, step, undone};

/// The header that carries the keyed endpoint's key.
pub(crate) const KEY: &str = "idempotency-key";
/// The most runs there may be at once.
pub(crate) const MAX_RUNS: usize = 1000;
/// Until everything that can still happen has happened, in a world with deadlines and timeouts of up to 10 s.
pub(crate) const LONG: Duration = Duration::from_secs(60);

const TRACE: TraceContext = TraceContext::unrecorded(1);

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) transport: ScriptedTransport,
    mesh: Mesh,
    router: Addr<Router>,
    plans: HashMap<(At, To), Arc<Plan>>,
    runs: Arc<Semaphore>,
    names: Cell<u32>,
}

/// A caller that waits.
pub(crate) struct Waiting {
    pub(crate) id: RunId,
    pub(crate) deadline: Mono,
    answered: oneshot::Receiver<Reply>,
}

impl Waiting {
    /// The one answer.
    pub(crate) async fn answer(self) -> Answer {
        self.answered.await.expect("every run is answered").expect("nothing is kept")
    }

    /// The outcome, which is not pending.
    pub(crate) async fn outcome(self) -> Outcome {
        let answer = self.answer().await;
        assert_eq!(answer.standing, Standing::Over, "{:?}", answer.outcome);
        answer.outcome
    }

    /// The failure it ended with, which is known to be one.
    pub(crate) async fn failure(self) -> Failure {
        let outcome = self.outcome().await;
        assert_eq!(outcome.status, RunStatus::Failed, "{outcome:?}");
        outcome.error.unwrap()
    }

    /// Whether there is no answer yet.
    pub(crate) fn waits(&mut self) -> bool {
        matches!(self.answered.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}

impl World {
    /// Builds a world whose provider does as `play` says, lives in it, and asserts that nothing is left.
    pub(crate) fn live(
        setting: &Setting,
        play: impl Fn(usize, &WireRequest) -> Script + Send + Sync + 'static,
        life: impl AsyncFnOnce(&Self),
    ) {
        Self::until(setting, play, async |world| {
            life(world).await;
            world.nothing_is_held().await;
        });
    }

    /// The same, and what is under way at its end stays so.
    pub(crate) fn until(
        setting: &Setting,
        play: impl Fn(usize, &WireRequest) -> Script + Send + Sync + 'static,
        life: impl AsyncFnOnce(&Self),
    ) {
        hush();
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        actix::System::with_tokio_rt(runtime).block_on(async {
            let world = Self::new(setting, play);
            world.now().await;
            life(&world).await;
        });
    }

    fn new(setting: &Setting, play: impl Fn(usize, &WireRequest) -> Script + Send + Sync + 'static) -> Self {
        let clock = Clock::start();
        let transport = ScriptedTransport::new(clock, play);
        let integrations = At::ALL.map(|at| setting.integration(at.name()));
        let plans = At::ALL
            .into_iter()
            .zip(&integrations)
            .flat_map(|(at, integration)| To::ALL.map(|to| ((at, to), to.plan(&integration.name))));
        let plans = plans.collect();
        let mesh = Mesh::start(MeshSpec {
            integrations: integrations.into(),
            transport: Arc::new(transport.clone()),
            log: log(),
            spans: None,
            attempts: None,
            keeper: None,
            limits: setting.ledger.clone().map(|ledger| {
                let memory = Memory::new(ledger.records(), None, clock.now());
                (Arc::new(ledger) as Arc<dyn Ledger>, memory)
            }),
            clock,
            io_threads: 0,
            max_runs: MAX_RUNS,
            seed: setting.seed,
        });
        let router = mesh.start_router();
        let runs = Arc::new(Semaphore::new(MAX_RUNS));
        Self { clock, transport, mesh, router, plans, runs, names: Cell::new(0) }
    }

    /// Runs an operation of the integration that the test is about.
    pub(crate) fn dispatch(&self, to: To, budget: Duration) -> Waiting {
        self.dispatch_at(At::Provider, to, budget)
    }

    pub(crate) fn dispatch_at(&self, at: At, to: To, budget: Duration) -> Waiting {
        self.run(&self.plans[&(at, to)], budget)
    }

    /// The same by a directory that need not be the latest.
    pub(crate) fn dispatch_by(&self, directory: Arc<Directory>, at: At, to: To, budget: Duration) -> Waiting {
        self.send(&self.router, &self.plans[&(at, to)], directory, budget, None)
    }

    /// Runs an operation.
    pub(crate) fn run(&self, plan: &Arc<Plan>, budget: Duration) -> Waiting {
        self.run_at(&self.router, plan, budget, None)
    }

    /// Runs an operation at this router, for a caller that waits no longer than it says.
    pub(crate) fn run_at(
        &self,
        router: &Addr<Router>,
        plan: &Arc<Plan>,
        budget: Duration,
        wait: Option<Duration>,
    ) -> Waiting {
        self.send(router, plan, self.directory(), budget, wait)
    }

    fn send(
        &self,
        router: &Addr<Router>,
        plan: &Arc<Plan>,
        directory: Arc<Directory>,
        budget: Duration,
        wait: Option<Duration>,
    ) -> Waiting {
        let name = self.name();
        let (reply, answered) = oneshot::channel();
        let id = RunId::new(name.as_str());
        let message = Dispatch {
            id: id.clone(),
            correlation_id: CorrelationId::new(&name).unwrap(),
            trace: TRACE,
            plan: Arc::clone(plan),
            directory,
            input: Json::parse(Bytes::from(format!("{{\"run\":\"{name}\"}}"))).unwrap(),
            budget: Some(budget),
            wait,
            priority: None,
            permit: RunPermit::new(Arc::clone(&self.runs).try_acquire_owned().unwrap(), None),
            client: None,
            keeping: None,
            reply,
        };
        assert!(router.try_send(message).is_ok(), "the router has room");
        Waiting { id, deadline: self.clock.mono() + budget, answered }
    }

    pub(crate) const fn router(&self) -> &Addr<Router> {
        &self.router
    }

    /// A router as another worker has it.
    pub(crate) fn another_router(&self) -> Addr<Router> {
        self.mesh.start_router()
    }

    /// Somebody wants a run cancelled.
    pub(crate) fn cancel(&self, id: &RunId) -> Option<Arc<Outcome>> {
        self.mesh.board().cancel(id.as_str(), Asker::Anybody)
    }

    /// Where integrations are reached now.
    pub(crate) fn directory(&self) -> Arc<Directory> {
        self.mesh.directory()
    }

    /// Goes on with these integrations.
    pub(crate) async fn reconfigure(&self, integrations: Vec<Arc<IntegrationPlan>>) {
        self.mesh.reconfigure(integrations, log()).await;
        self.now().await;
    }

    /// The process ends: what the next one is to know of limits.
    pub(crate) async fn settle(&self) -> Vec<causeway_core::limits::Record> {
        self.mesh.settle().await
    }

    /// And it stops what it has.
    pub(crate) fn stop(&self) {
        self.mesh.stop();
    }

    /// An integration on the board.
    pub(crate) fn posted(&self, at: At) -> Option<Arc<Snapshot>> {
        self.mesh.board().integration(at.name())
    }

    /// How many runs are under way.
    pub(crate) fn runs(&self) -> usize {
        MAX_RUNS - self.runs.available_permits()
    }

    /// The caller of a run leaves.
    pub(crate) fn abandon(&self, id: &RunId) {
        assert!(self.router.try_send(Abandon(id.clone())).is_ok(), "the router has room");
    }

    pub(crate) fn place(&self) -> Arc<Place> {
        Arc::clone(self.mesh.directory().find(At::Provider.name()).unwrap())
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot_at(At::Provider)
    }

    fn snapshot_at(&self, at: At) -> Arc<Snapshot> {
        self.mesh.board().integration(at.name()).unwrap()
    }

    /// The actor panics inside its guard.
    pub(crate) fn panic(&self) {
        assert!(self.place().send(PanicNow).is_ok(), "the actor has room");
    }

    /// The actor dies.
    pub(crate) fn kill(&self) {
        assert!(self.place().send(DieNow).is_ok(), "the actor has room");
    }

    /// Puts a step into the actor's mailbox, past the router.
    pub(crate) fn execute(&self, to: To, budget: Duration) -> oneshot::Receiver<StepReply> {
        let name = self.name();
        let (reply, answered) = oneshot::channel();
        let run = Arc::new(RunContext {
            id: RunId::new(name.as_str()),
            correlation_id: CorrelationId::new(&name).unwrap(),
            operation: OperationName::new(to.name()).unwrap(),
            trace: TRACE,
        });
        let (step, deadline) = (StepName::new("charge").unwrap(), self.clock.mono() + budget);
        let (endpoint, input, priority) = (to as usize, Json::NULL, Priority::default());
        let call = StepCall {
            run,
            step,
            index: 0,
            role: Role::Primary,
            endpoint,
            repeats_input: false,
            input,
            priority,
            deadline,
            in_doubt_for: None,
            request: None,
            lease: None,
        };
        let id = CallId(u64::MAX - u64::from(self.names.get()));
        let plan = Arc::clone(self.place().plan());
        let permit = self.place().permit().unwrap();
        assert!(self.place().send(Execute { id, call, plan, permit, reply }).is_ok(), "the actor has room");
        answered
    }

    fn name(&self) -> String {
        self.names.set(self.names.get() + 1);
        format!("run_{}", self.names.get())
    }

    /// A run, as it can be looked up.
    pub(crate) fn look_up(&self, id: &RunId) -> Option<Arc<Outcome>> {
        self.mesh.board().run(id.as_str(), Asker::Anybody)
    }

    /// The requests of a run, in order.
    pub(crate) fn seen(&self, id: &RunId) -> Vec<Seen> {
        let mut seen = self.transport.seen();
        seen.retain(|seen| seen.headers["x-correlation-id"] == id.as_str());
        seen
    }

    /// Everything that can be done now is done; time stands still.
    pub(crate) async fn now(&self) {
        let before = self.clock.mono();
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert_eq!(self.clock.mono(), before);
    }

    /// Time passes, timer by timer.
    pub(crate) async fn pass(&self, span: Duration) {
        tokio::time::sleep(span).await;
        self.now().await;
    }

    async fn nothing_is_held(&self) {
        self.pass(LONG).await;
        assert_eq!(self.transport.flying(), 0, "nothing is on the wire");
        assert_eq!(self.runs(), 0, "every run's permit is back");
        for at in At::ALL {
            let directory = self.mesh.directory();
            let place = directory.find(at.name()).unwrap();
            assert_eq!(place.calls(), 0, "every call's permit is back");
            let view = &self.snapshot_at(at).view;
            let held = (view.in_flight, view.queued, view.calls, view.trials_out);
            assert_eq!(held, (0, 0, 0, 0), "in flight, queued, calls and trials of the {at:?}");
        }
    }
}

fn log() -> LogPlan {
    let sanitiser = Sanitiser::new(&Extra::default());
    LogPlan { bodies: true, max_body: 1024, sample_success: 1.0, sanitiser }
}

/// Panics that a test asks for say nothing; others are told as ever.
fn hush() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.payload_as_str().is_some_and(|message| message.starts_with("asked to")) {
                told(panic);
            }
        }));
    });
}
