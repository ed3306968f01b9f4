//! Where integrations are reached: the names, the plans, the addresses of their actors, and the permits that bound
//! their calls.
//!
//! A [`Directory`] does not change: a reload makes another one, and a run goes by the one it began with. So a
//! [`Place`] is two things: the plan that holds in this directory, and the seat of the actor, which the places of
//! one integration share from directory to directory. When the last directory and the last run that know a seat are
//! gone, its actor ends, and its entry on the board with it.
//!
//! A caller takes a permit of the place and sends; the permit travels with the call. An actor's supervisor restarts it
//! after a caught panic; an address that has closed all the same (a panic outside every handler) is replaced on the
//! next send by a new actor.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix::dev::{MessageResponse, SendError, ToEnvelope};
use actix::{Addr, Arbiter, ArbiterHandle, Context, Handler, Message, Supervisor};
use causeway_core::breaker::ModeChange;
use causeway_core::limits::Record;
use causeway_core::name::IntegrationName;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::integration::{IntegrationActor, Parts, Reconfigure, Reset, SetMode, Settle, Wake};
use crate::metric::{Labels, Metric};
use crate::permits::Permits;
use crate::plan::{IntegrationPlan, LogPlan};

/// How long an actor that has no room for a new plan is left alone before it is told again.
const TELL_AGAIN: Duration = Duration::from_millis(20);

/// Finds integrations by name.
#[derive(Default)]
pub struct Directory {
    places: HashMap<IntegrationName, Arc<Place>>,
    /// The names, in the order of configuration.
    names: Vec<IntegrationName>,
}

/// Where an integration is reached, and the plan by which.
pub struct Place {
    plan: Arc<IntegrationPlan>,
    seat: Arc<Seat>,
}

/// The actor of an integration, wherever it is.
struct Seat {
    address: RwLock<Addr<IntegrationActor>>,
    permits: Permits,
    parts: RwLock<Parts>,
    thread: Thread,
}

/// The thread an actor lives on.
pub(crate) enum Thread {
    /// The one that called.
    Calling,
    /// One that it shares with others.
    Shared(ArbiterHandle),
    /// One of its own, which ends with it.
    Own(Arbiter),
}

/// An operator's command that did not reach the actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the integration's actor did not take the command; try again")]
pub struct Unreachable;

impl Directory {
    /// Of these places, in the order of configuration.
    pub(crate) fn new(places: impl IntoIterator<Item = Arc<Place>>) -> Self {
        let places: Vec<Arc<Place>> = places.into_iter().collect();
        let names = places.iter().map(|place| place.name().clone()).collect();
        Self { names, places: places.into_iter().map(|place| (place.name().clone(), place)).collect() }
    }

    /// An integration's place.
    pub fn find(&self, name: &str) -> Option<&Arc<Place>> {
        self.places.get(name)
    }

    /// The integrations' places, in the order of configuration.
    pub fn places(&self) -> impl Iterator<Item = &Arc<Place>> {
        self.names.iter().filter_map(|name| self.places.get(name))
    }
}

impl Seat {
    fn send<M>(&self, message: M) -> Result<(), SendError<M>>
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

    fn parts(&self) -> Parts {
        self.parts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn revive(&self) {
        let mut address = self.address.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been here already; its actor is alive, be it ever so busy.
        if matches!(address.try_send(Wake), Err(SendError::Closed(_))) {
            let parts = self.parts();
            let name = parts.plan.name.clone();
            Metric::ActorRestarts.counter(&Labels::none().named("actor", name.shared())).increment(1);
            tracing::error!(integration = name.as_str(), "the integration's actor had died; starting anew");
            *address = self.thread.start(parts);
        }
    }

    /// Has the actor go on by this plan; returns when it does. One that dies meanwhile is started with it.
    async fn reconfigure(&self, plan: Arc<IntegrationPlan>, log: Arc<LogPlan>) {
        {
            let mut parts = self.parts.write().unwrap_or_else(PoisonError::into_inner);
            parts.plan = Arc::clone(&plan);
            parts.log = Arc::clone(&log);
        }
        loop {
            let (done, when_done) = oneshot::channel();
            let message = Reconfigure { plan: Arc::clone(&plan), log: Arc::clone(&log), done };
            // One that died with the message begins anew with the plan; being told again does it no harm.
            if self.send(message).is_ok() && when_done.await.is_ok() {
                break;
            }
            tokio::time::sleep(TELL_AGAIN).await;
        }
        // Its mailbox has room for as many only now.
        self.permits.resize(plan.spec.pool.capacity());
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let parts = self.parts();
        parts.board.forget(&parts.plan.name, parts.seed);
        self.thread.stop_own();
    }
}

impl Thread {
    fn start(&self, parts: Parts) -> Addr<IntegrationActor> {
        let new = move |_: &mut Context<IntegrationActor>| IntegrationActor::new(parts);
        match self {
            Self::Calling => Supervisor::start(new),
            Self::Shared(thread) => Supervisor::start_in_arbiter(thread, new),
            Self::Own(thread) => Supervisor::start_in_arbiter(&thread.handle(), new),
        }
    }

    fn stop_own(&self) {
        if let Self::Own(thread) = self {
            thread.stop();
        }
    }
}

impl Place {
    /// Starts the integration's actor on `thread`.
    pub(crate) fn start(plan: Arc<IntegrationPlan>, parts: Parts, thread: Thread) -> Self {
        let address = RwLock::new(thread.start(parts.clone()));
        let permits = Permits::new(plan.spec.pool.capacity());
        Self { plan, seat: Arc::new(Seat { address, permits, parts: RwLock::new(parts), thread }) }
    }

    /// The same integration by another plan; returns when its actor goes by it.
    pub(crate) async fn reconfigured(&self, plan: Arc<IntegrationPlan>, log: Arc<LogPlan>) -> Self {
        self.seat.reconfigure(Arc::clone(&plan), log).await;
        Self { plan, seat: Arc::clone(&self.seat) }
    }

    /// The same integration, as calls that go by this plan reach it.
    pub(crate) fn under(&self, plan: Arc<IntegrationPlan>) -> Self {
        Self { plan, seat: Arc::clone(&self.seat) }
    }

    /// Ends the thread that the integration has for itself, if it has one.
    pub(crate) fn stop_own_thread(&self) {
        self.seat.thread.stop_own();
    }

    /// The integration's name.
    pub fn name(&self) -> &IntegrationName {
        &self.plan.name
    }

    /// What the integration is built from.
    pub const fn plan(&self) -> &Arc<IntegrationPlan> {
        &self.plan
    }

    /// A place for one call; `None` when there is none.
    pub fn permit(&self) -> Option<OwnedSemaphorePermit> {
        self.seat.permits.take()
    }

    /// How many calls the integration holds.
    pub fn calls(&self) -> usize {
        self.seat.permits.taken()
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
        self.seat.send(message)
    }

    /// Sets the breaker's mode, and returns when it has taken effect.
    ///
    /// # Errors
    /// [`Unreachable`] when the actor did not take the command.
    pub async fn set_mode(&self, change: ModeChange) -> Result<(), Unreachable> {
        let (done, when_done) = oneshot::channel();
        self.send(SetMode { change, done }).map_err(|_| Unreachable)?;
        when_done.await.map_err(|_| Unreachable)
    }

    /// What the next life of the process is to know of its limits; it does nothing by itself any more.
    ///
    /// # Errors
    /// [`Unreachable`] when the actor did not take the command.
    pub async fn settle(&self) -> Result<Vec<Record>, Unreachable> {
        let (done, when_done) = oneshot::channel();
        self.send(Settle { done }).map_err(|_| Unreachable)?;
        when_done.await.map_err(|_| Unreachable)
    }

    /// Opens the breaker by hand, and returns when it has taken effect.
    ///
    /// # Errors
    /// [`Unreachable`] when the actor did not take the command.
    pub async fn trip(&self, reason: String, lasting: Option<Duration>) -> Result<(), Unreachable> {
        self.set_mode(ModeChange::trip(reason, lasting)).await
    }

    /// Puts the breaker back to automatic and closed, and returns when it has taken effect. `by` is the operator, where
    /// it is known.
    ///
    /// # Errors
    /// [`Unreachable`] when the actor did not take the command.
    pub async fn reset(&self, reason: Option<String>, by: Option<String>) -> Result<(), Unreachable> {
        let (done, when_done) = oneshot::channel();
        self.send(Reset { reason, by, done }).map_err(|_| Unreachable)?;
        when_done.await.map_err(|_| Unreachable)
    }
}
