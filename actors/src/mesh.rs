//! Builds the actors, keeps them alive, gives them new plans, and takes them down in order.
//!
//! Integrations are placed round robin on I/O threads, or on one of their own; the [`Directory`] tells where each is
//! reached. A reload makes a new directory: what is new is started, what has changed is told and keeps its state, what
//! is gone ends with the last run that knows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use actix::{Actor, Addr, Arbiter};
use arc_swap::ArcSwap;
use causeway_core::limits::{Groups, Memory, Record};
use futures_util::future::join_all;

use crate::board::Board;
use crate::clock::Clock;
use crate::directory::{Directory, Place, Thread};
use crate::integration::Parts;
use crate::plan::{IntegrationPlan, LogPlan};
use crate::ports::{Ledger, Transport};
use crate::record::Attempts;
use crate::router::{Keeper, Router, Shared};
use crate::span::Spans;
use crate::stale::StaleStore;

/// What a mesh is built from.
pub struct MeshSpec {
    /// The integrations.
    pub integrations: Vec<Arc<IntegrationPlan>>,
    /// Makes their HTTP clients.
    pub transport: Arc<dyn Transport>,
    /// How attempts are logged.
    pub log: LogPlan,
    /// Takes the spans of traces, if anybody records them.
    pub spans: Option<Arc<dyn Spans>>,
    /// Keeps what became of attempts, if anybody does.
    pub attempts: Option<Arc<dyn Attempts>>,
    /// Keeps runs, where they are kept.
    pub keeper: Option<Keeper>,
    /// Keeps what of limits outlives the process, where anything does, and what it has kept.
    pub limits: Option<(Arc<dyn Ledger>, Memory)>,
    /// Reads time.
    pub clock: Clock,
    /// Threads for integrations; 0 places everything on the calling thread.
    pub io_threads: usize,
    /// The most runs there may be at once.
    pub max_runs: usize,
    /// Feeds jitter and span ids.
    pub seed: u64,
}

/// All actors but the routers.
pub struct Mesh {
    directory: ArcSwap<Directory>,
    board: Arc<Board>,
    groups: Groups,
    stale: Arc<StaleStore>,
    transport: Arc<dyn Transport>,
    spans: Option<Arc<dyn Spans>>,
    attempts: Option<Arc<dyn Attempts>>,
    keeper: Option<Keeper>,
    ledger: Option<Arc<dyn Ledger>>,
    clock: Clock,
    arbiters: Vec<Arbiter>,
    seed: u64,
    seats: AtomicUsize,
    routers: AtomicU64,
    stopping: Arc<AtomicBool>,
    max_runs: usize,
}

impl Mesh {
    /// Builds every integration's actor. Call inside an actix system.
    pub fn start(spec: MeshSpec) -> Self {
        let MeshSpec {
            integrations,
            transport,
            log,
            spans,
            attempts,
            keeper,
            limits,
            clock,
            io_threads,
            max_runs,
            seed,
        } = spec;
        let (ledger, memory) = limits.unzip();
        let mesh = Self {
            directory: ArcSwap::default(),
            board: Arc::default(),
            groups: memory.map_or_else(Groups::new, Groups::remembering),
            stale: Arc::default(),
            transport,
            spans,
            attempts,
            keeper,
            ledger,
            clock,
            arbiters: (0..io_threads).map(|_| Arbiter::new()).collect(),
            seed,
            seats: AtomicUsize::new(0),
            routers: AtomicU64::new(0),
            stopping: Arc::default(),
            max_runs,
        };
        let log = Arc::new(log);
        let places = integrations.into_iter().map(|plan| Arc::new(mesh.place(plan, &log)));
        mesh.directory.store(Arc::new(Directory::new(places)));
        mesh
    }

    /// Starts an integration's actor.
    fn place(&self, plan: Arc<IntegrationPlan>, log: &Arc<LogPlan>) -> Place {
        let index = self.seats.fetch_add(1, Ordering::Relaxed);
        let parts = Parts {
            plan: Arc::clone(&plan),
            transport: Arc::clone(&self.transport),
            board: Arc::clone(&self.board),
            spans: self.spans.clone(),
            attempts: self.attempts.clone(),
            clock: self.clock,
            log: Arc::clone(log),
            seed: self.seed.wrapping_add(index as u64),
            groups: self.groups.of(&plan.name),
            ledger: self.ledger.clone(),
        };
        let shared = index.checked_rem(self.arbiters.len()).and_then(|index| self.arbiters.get(index));
        let thread = match shared {
            None => Thread::Calling,
            Some(_) if plan.dedicated_thread => Thread::Own(Arbiter::new()),
            Some(shared) => Thread::Shared(shared.handle()),
        };
        Place::start(plan, parts, thread)
    }

    /// Goes on with these integrations; returns when every actor goes by its plan. Runs under way keep to the
    /// directory they began with. Call inside an actix system, one call after the other.
    pub async fn reconfigure(&self, integrations: Vec<Arc<IntegrationPlan>>, log: LogPlan) -> Arc<Directory> {
        let (log, former) = (Arc::new(log), self.directory());
        let places = integrations.into_iter().map(|plan| {
            let (known, log) = (former.find(plan.name.as_str()).cloned(), Arc::clone(&log));
            async move {
                Arc::new(match known {
                    Some(known) => known.reconfigured(plan, log).await,
                    None => self.place(plan, &log),
                })
            }
        });
        let directory = Arc::new(Directory::new(join_all(places).await));
        self.directory.store(Arc::clone(&directory));
        directory
    }

    /// Where integrations are reached by former plans of theirs. One that is gone is not reached.
    pub fn directory_of(&self, integrations: Vec<Arc<IntegrationPlan>>) -> Arc<Directory> {
        let now = self.directory();
        let place = |plan: Arc<IntegrationPlan>| {
            now.find(plan.name.as_str()).map(|place| Arc::new(place.under(plan)))
        };
        Arc::new(Directory::new(integrations.into_iter().filter_map(place)))
    }

    /// Starts a router on the calling thread.
    pub fn start_router(&self) -> Addr<Router> {
        let index = self.routers.fetch_add(1, Ordering::Relaxed);
        let (board, stale) = (Arc::clone(&self.board), Arc::clone(&self.stale));
        Router::new(
            Shared {
                board,
                stale,
                spans: self.spans.clone(),
                clock: self.clock,
                keeper: self.keeper.clone(),
                stopping: Arc::clone(&self.stopping),
            },
            index,
            self.max_runs,
        )
        .start()
    }

    /// Finds the integrations that there are now.
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.load_full()
    }

    /// What HTTP reads.
    pub const fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// What the next life of the process is to know of limits: call when the runs are drained and before they are
    /// stopped. What an actor does not tell is known as the disk has it.
    pub async fn settle(&self) -> Vec<Record> {
        let directory = self.directory();
        let told = join_all(directory.places().map(|place| place.settle())).await;
        told.into_iter().flatten().flatten().collect()
    }

    /// Ends the I/O threads, and with them every attempt still out: call when the runs are drained. A run that waits for such an attempt
    /// does not end by that: it is as after a crash.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        for place in self.directory().places() {
            place.stop_own_thread();
        }
    }
}
