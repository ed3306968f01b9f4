//! Where integrations are reached: the names, the addresses of their actors, and the permits that bound their calls.
//!
//! A caller takes a permit of the [`Place`] and sends; the permit travels with the call. An actor's supervisor restarts
//! it after a caught panic; an address that has closed all the same (a panic outside every handler) is replaced on the
//! next send by a new actor.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix::dev::{MessageResponse, SendError, ToEnvelope};
use actix::{Addr, ArbiterHandle, Context, Handler, Message, Supervisor};
use causeway_core::name::IntegrationName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::integration::{IntegrationActor, Parts, Reset, Trip, Wake};
use crate::metric::{Labels, Metric};
use crate::plan::IntegrationPlan;

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

impl Directory {
    /// Of these places, in the order of configuration.
    pub(crate) fn new(places: impl IntoIterator<Item = Place>) -> Self {
        let places: Vec<Arc<Place>> = places.into_iter().map(Arc::new).collect();
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

impl Place {
    /// Starts the integration's actor, on `thread` or on the calling one.
    pub(crate) fn start(plan: Arc<IntegrationPlan>, parts: Parts, thread: Option<ArbiterHandle>) -> Self {
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
