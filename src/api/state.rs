//! What the handlers share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use causeway_actors::clock::Clock;
use causeway_actors::mesh::Mesh;
use causeway_core::name::OperationName;
use causeway_core::operation::Plan;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::settings::ServerSettings;

/// What the handlers share.
pub struct State {
    region: String,
    max_body: usize,
    operations: HashMap<OperationName, Arc<Plan>>,
    mesh: Mesh,
    clock: Clock,
    metrics: Option<PrometheusHandle>,
    runs: Arc<Semaphore>,
    max_runs: u32,
    refusing: AtomicBool,
}

impl State {
    /// Of a server about to serve.
    pub(crate) fn new(
        settings: &ServerSettings,
        operations: HashMap<OperationName, Arc<Plan>>,
        mesh: Mesh,
        clock: Clock,
        metrics: Option<PrometheusHandle>,
    ) -> Self {
        let max_runs = settings.listen.max_in_flight;
        Self {
            region: settings.region.clone(),
            max_body: settings.listen.max_body,
            operations,
            mesh,
            clock,
            metrics,
            runs: Arc::new(Semaphore::new(max_runs as usize)),
            max_runs,
            refusing: AtomicBool::new(false),
        }
    }

    /// Where this server runs, as its settings say.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The largest request body, in bytes.
    pub const fn max_body(&self) -> usize {
        self.max_body
    }

    /// An operation's plan.
    pub fn operation(&self, name: &str) -> Option<&Arc<Plan>> {
        self.operations.get(name)
    }

    /// The actors.
    pub const fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// Reads time.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// The metrics registry, where there is one.
    pub const fn metrics(&self) -> Option<&PrometheusHandle> {
        self.metrics.as_ref()
    }

    /// A place among all runs; `None` when there is none.
    pub fn run_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.runs).try_acquire_owned().ok()
    }

    /// Runs that are not over.
    pub fn runs_in_flight(&self) -> usize {
        (self.max_runs as usize).saturating_sub(self.runs.available_permits())
    }

    /// From now on new runs are refused, and `/readyz` says so.
    pub fn refuse_new_runs(&self) {
        self.refusing.store(true, Ordering::Release);
    }

    /// Whether new runs are refused.
    pub fn refusing(&self) -> bool {
        self.refusing.load(Ordering::Acquire)
    }

    /// Returns when no run is under way.
    pub async fn all_runs_ended(&self) {
        // The semaphore is never closed, so this only ever succeeds.
        let _ = self.runs.acquire_many(self.max_runs).await;
    }
}
