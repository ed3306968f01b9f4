//! Builds the actors, keeps them alive, and takes them down in order.
//!
//! Integrations are placed round robin on I/O threads. A [`Place`] is where an integration is reached: its actor's
//! address and the permits that bound its calls. An actor's supervisor restarts it after a caught panic; an address
//! that has closed all the same (a panic outside every handler) is replaced on the next send by a new actor.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix::dev::{MessageResponse, SendError, ToEnvelope};
use actix::{Actor, Addr, Arbiter, ArbiterHandle, Context, Handler, Message, Supervisor};
use causeway_core::name::IntegrationName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::board::Board;
use crate::clock::Clock;
use crate::integration::{IntegrationActor, Parts, Reset, Trip, Wake};
use crate::metric::{Labels, Metric};
use crate::plan::{IntegrationPlan, LogPlan};
use crate::ports::Transport;
use crate::router::Router;

/// What a mesh is built from.
pub struct MeshSpec {
    /// The integrations.
    pub integrations: Vec<Arc<IntegrationPlan>>,
    /// Makes their HTTP clients.
    pub transport: Arc<dyn Transport>,
    /// How attempts are logged.
    pub log: LogPlan,
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
    directory: Arc<Directory>,
    board: Arc<Board>,
    clock: Clock,
    arbiters: Vec<Arbiter>,
    routers: AtomicU64,
    max_runs: usize,
}

/// Finds integrations by name.
pub struct Directory {
    places: HashMap<IntegrationName, Arc<Place>>,
    /// The names, in the order of configuration.
    names: Vec<IntegrationName>,
}

/// Where an integration is reached.
pub struct Place {
    plan: Arc<IntegrationPlan>,
    address: RwLock<Addr<IntegrationActor>>,
    permits: Arc<Semaphore>,
    parts: Parts,
    thread: Option<ArbiterHandle>,
}

/// An operator's command that did not reach the actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the integration's actor did not take the command; try again")]
pub struct Unreachable;

impl Mesh {
    /// Builds every integration's actor. Call inside an actix system.
    pub fn start(spec: MeshSpec) -> Self {
        let MeshSpec { integrations, transport, log, clock, io_threads, max_runs, seed } = spec;
        let arbiters: Vec<Arbiter> = (0..io_threads).map(|_| Arbiter::new()).collect();
        let (board, log) = (Arc::new(Board::default()), Arc::new(log));
        let names = integrations.iter().map(|plan| plan.name.clone()).collect();
        let places = integrations
            .into_iter()
            .enumerate()
            .map(|(index, plan)| {
                let thread = (!arbiters.is_empty()).then(|| arbiters[index % arbiters.len()].handle());
                let parts = Parts {
                    plan: Arc::clone(&plan),
                    transport: Arc::clone(&transport),
                    board: Arc::clone(&board),
                    clock,
                    log: Arc::clone(&log),
                    seed: seed.wrapping_add(index as u64),
                };
                (plan.name.clone(), Arc::new(Place::new(plan, parts, thread)))
            })
            .collect();
        let directory = Arc::new(Directory { places, names });
        Self { directory, board, clock, arbiters, routers: AtomicU64::new(0), max_runs }
    }

    /// Starts a router on the calling thread.
    pub fn start_router(&self) -> Addr<Router> {
        let index = self.routers.fetch_add(1, Ordering::Relaxed);
        Router::new(Arc::clone(&self.directory), Arc::clone(&self.board), self.clock, index, self.max_runs)
            .start()
    }

    /// Finds integrations.
    pub const fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// What HTTP reads.
    pub const fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Ends the I/O threads, and with them every attempt still out: call when the runs are drained.
    pub fn stop(&self) {
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
    }
}

impl Directory {
    /// An integration's place.
    pub fn find(&self, name: &str) -> Option<&Arc<Place>> {
        self.places.get(name)
    }

    /// The integrations' places, in the order of configuration.
    pub fn places(&self) -> impl Iterator<Item = &Arc<Place>> {
        self.names.iter().filter_map(|name| self.places.get(name))
    }
}

impl Place {
    fn new(plan: Arc<IntegrationPlan>, parts: Parts, thread: Option<ArbiterHandle>) -> Self {
        let address = RwLock::new(start(parts.clone(), thread.as_ref()));
        let permits = Arc::new(Semaphore::new(plan.spec.pool.capacity().min(Semaphore::MAX_PERMITS)));
        Self { plan, address, permits, parts, thread }
    }

    /// The integration's name.
    pub fn name(&self) -> &IntegrationName {
        &self.plan.name
    }

    /// What the integration is built from.
    pub fn plan(&self) -> &Arc<IntegrationPlan> {
        &self.plan
    }

    /// A place for one call; `None` when there is none.
    pub fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// How many calls the integration holds.
    pub fn calls(&self) -> usize {
        self.plan.spec.pool.capacity() - self.permits.available_permits()
    }

    /// What an overloaded caller is told to wait.
    pub fn retry_after(&self) -> Duration {
        self.plan.spec.pool.max_wait
    }

    /// Sends to the actor; one that has died is replaced first.
    ///
    /// # Errors
    /// The message, when the mailbox is full or the thread is gone.
    pub fn send<M>(&self, message: M) -> Result<(), SendError<M>>
    where
        M: Message + Send + 'static,
        M::Result: MessageResponse<IntegrationActor, M> + Send,
        IntegrationActor: Handler<M>,
        Context<IntegrationActor>: ToEnvelope<IntegrationActor, M>,
    {
        let sent = self.address.read().unwrap_or_else(PoisonError::into_inner).try_send(message);
        match sent {
            Err(SendError::Closed(message)) => {
                self.revive();
                self.address.read().unwrap_or_else(PoisonError::into_inner).try_send(message)
            }
            sent => sent,
        }
    }

    fn revive(&self) {
        let mut address = self.address.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been here already; its actor is alive, be it ever so busy.
        if matches!(address.try_send(Wake), Err(SendError::Closed(_))) {
            Metric::ActorRestarts
                .counter(&Labels::none().named("actor", self.plan.name.shared()))
                .increment(1);
            tracing::error!(
                integration = self.plan.name.as_str(),
                "the integration's actor had died; starting anew"
            );
            *address = start(self.parts.clone(), self.thread.as_ref());
        }
    }

    /// Opens the breaker by hand, and returns when it has taken effect.
    ///
    /// # Errors
    /// [`Unreachable`] when the actor did not take the command.
    pub async fn trip(&self, reason: String, lasting: Option<Duration>) -> Result<(), Unreachable> {
        let (done, when_done) = oneshot::channel();
        self.send(Trip { reason, lasting, done }).map_err(|_| Unreachable)?;
        when_done.await.map_err(|_| Unreachable)
    }

    /// Puts the breaker back to automatic and closed, and returns when it has taken effect.
    ///
    /// # Errors
    /// [`Unreachable`] when the actor did not take the command.
    pub async fn reset(&self, reason: Option<String>) -> Result<(), Unreachable> {
        let (done, when_done) = oneshot::channel();
        self.send(Reset { reason, done }).map_err(|_| Unreachable)?;
        when_done.await.map_err(|_| Unreachable)
    }
}

fn start(parts: Parts, thread: Option<&ArbiterHandle>) -> Addr<IntegrationActor> {
    match thread {
        Some(thread) => Supervisor::start_in_arbiter(thread, move |_| IntegrationActor::new(parts)),
        None => Supervisor::start(move |_| IntegrationActor::new(parts)),
    }
}
