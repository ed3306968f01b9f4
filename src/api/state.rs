//! What the handlers share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::header::HeaderMap;
use arc_swap::{ArcSwap, Guard};
use causeway_actors::clock::Clock;
use causeway_actors::directory::Directory;
use causeway_actors::mesh::Mesh;
use causeway_actors::router;
use causeway_actors::store::{ConfigurationId, Store};
use causeway_core::name::OperationName;
use dashmap::DashSet;
use ipnet::IpNet;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Shown, access};
use crate::access::{Access, Lockout};
use crate::plans::Versions;
use crate::queue::Queues;
use crate::recovery::Formers;
use crate::redrives::Redrives;
use crate::reload::{ReloadError, Reloader, Report};
use crate::settings::ServerSettings;

/// How often a server that stops looks whether queued runs are still executed.
const DRAIN_LOOK: std::time::Duration = std::time::Duration::from_millis(20);

/// What the handlers share.
pub struct State {
    live: ArcSwap<Live>,
    mesh: Mesh,
    clock: Clock,
    /// The share of runs whose trace we record where nobody else decides; `None` where nothing is recorded.
    sample: Option<f64>,
    metrics: Option<PrometheusHandle>,
    store: Arc<dyn Store>,
    /// Integrations about which something was said that is not written down.
    unwritten: DashSet<String>,
    queues: Arc<Queues>,
    formers: Formers,
    runs: Arc<Semaphore>,
    max_runs: u32,
    refusing: AtomicBool,
    lockout: Lockout,
    redrives: Redrives,
    reloader: Reloader,
}

/// What a reload swaps, whole: who looks once sees one configuration, never parts of two.
pub struct Live {
    region: String,
    shown: Shown,
    max_body: usize,
    operations: HashMap<OperationName, Versions>,
    access: Access,
    trusted_proxies: Vec<IpNet>,
    directory: Arc<Directory>,
    configuration: ConfigurationId,
}

impl Live {
    /// Of settings, and what was made of them.
    pub(crate) fn new(
        settings: &ServerSettings,
        shown: Shown,
        operations: HashMap<OperationName, Versions>,
        access: Access,
        directory: Arc<Directory>,
        configuration: ConfigurationId,
    ) -> Self {
        operations.values().flat_map(Versions::all).for_each(|offer| router::announce(&offer.plan));
        let (region, max_body) = (settings.region.clone(), settings.listen.max_body);
        let trusted_proxies = settings.listen.trusted_proxies.clone();
        Self { region, shown, max_body, operations, access, trusted_proxies, directory, configuration }
    }

    /// Who may call, and who may operate.
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// Where a request comes from.
    pub fn origin(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let trusted =
            |hop: IpAddr| self.trusted_proxies.iter().any(|network| network.contains(&hop.to_canonical()));
        access::origin(peer, headers, trusted)
    }

    /// Where this server runs, as its settings say.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The configuration, as it may be shown.
    pub(super) const fn shown(&self) -> &Shown {
        &self.shown
    }

    /// The largest request body, in bytes.
    pub const fn max_body(&self) -> usize {
        self.max_body
    }

    /// The operations, in no order.
    pub fn operations(&self) -> impl Iterator<Item = &Versions> {
        self.operations.values()
    }

    /// An operation's versions.
    pub fn operation(&self, name: &str) -> Option<&Versions> {
        self.operations.get(name)
    }

    /// Which configuration it is.
    pub const fn configuration(&self) -> ConfigurationId {
        self.configuration
    }

    /// Where the integrations that the operations call are reached.
    pub const fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }
}

impl State {
    /// Of a server about to serve.
    #[expect(clippy::too_many_arguments, reason = "made at one place, of all that handlers share")]
    pub(crate) fn new(
        live: Live,
        max_runs: u32,
        mesh: Mesh,
        store: Arc<dyn Store>,
        queues: Arc<Queues>,
        clock: Clock,
        sample: Option<f64>,
        metrics: Option<PrometheusHandle>,
        reloader: Reloader,
    ) -> Self {
        Self {
            live: ArcSwap::from_pointee(live),
            mesh,
            clock,
            sample,
            metrics,
            store,
            unwritten: DashSet::new(),
            queues,
            formers: Formers::default(),
            runs: Arc::new(Semaphore::new(max_runs as usize)),
            max_runs,
            refusing: AtomicBool::new(false),
            lockout: Lockout::default(),
            redrives: Redrives::default(),
            reloader,
        }
    }

    /// What holds now. Look once for what must fit together, and not across an await.
    pub fn live(&self) -> Guard<Arc<Live>> {
        self.live.load()
    }

    /// From now on this holds.
    pub(crate) fn swap(&self, live: Live) {
        self.live.store(Arc::new(live));
    }

    /// Reads the configuration again and goes on with it, whole or not at all; the log tells what came of it.
    ///
    /// # Errors
    /// [`ReloadError`], and nothing has changed.
    pub async fn reload(&self) -> Result<Report, ReloadError> {
        let reloaded = self.reloader.reload(self).await;
        match &reloaded {
            Ok(report) => report.tell(),
            Err(error) => tracing::error!(%error, "the configuration was not reloaded"),
        }
        reloaded
    }

    /// The directory that the configuration is read from, where there is one.
    pub(crate) fn dir(&self) -> Option<&std::path::Path> {
        self.reloader.dir()
    }

    /// Reads the configuration again.
    pub(super) const fn reloader(&self) -> &Reloader {
        &self.reloader
    }

    /// The actors.
    pub const fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// What survives the process.
    pub const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// What was said about an integration was written down, or not.
    pub(super) fn written(&self, integration: &str, written: bool) {
        if written {
            self.unwritten.remove(integration);
        } else {
            self.unwritten.insert(integration.to_owned());
        }
    }

    /// Whether a restart remembers what operators have said about an integration.
    pub(super) fn remembers(&self, integration: &str) -> bool {
        !self.unwritten.contains(integration)
    }

    /// Dead letters that are taken up again by the many.
    pub(crate) const fn redrives(&self) -> &Redrives {
        &self.redrives
    }

    /// What is queued.
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// The configurations that runs have begun with.
    pub(crate) const fn formers(&self) -> &Formers {
        &self.formers
    }

    /// A place among all runs, as soon as there is one.
    pub async fn run_permit_in_turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.runs).acquire_owned().await.ok()
    }

    /// Reads time.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Who has sent wrong keys.
    pub const fn lockout(&self) -> &Lockout {
        &self.lockout
    }

    /// The metrics registry, where there is one.
    pub const fn metrics(&self) -> Option<&PrometheusHandle> {
        self.metrics.as_ref()
    }

    /// A place among all runs; `None` when there is none.
    pub fn run_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.runs).try_acquire_owned().ok()
    }

    /// The share of runs whose trace is recorded where nobody else decides.
    pub fn sample(&self) -> f64 {
        self.sample.unwrap_or_default()
    }

    /// Runs that are not over.
    pub fn runs_in_flight(&self) -> usize {
        (self.max_runs as usize).saturating_sub(self.runs.available_permits())
    }

    /// From now on new runs are refused, and `/readyz` says so.
    pub fn refuse_new_runs(&self) {
        self.refusing.store(true, Ordering::Release);
        self.queues.stop();
    }

    /// Whether new runs are refused.
    pub fn refusing(&self) -> bool {
        self.refusing.load(Ordering::Acquire)
    }

    /// Returns when no run is under way.
    pub async fn all_runs_ended(&self) {
        // The semaphore is never closed, so this only ever succeeds.
        let _ = self.runs.acquire_many(self.max_runs).await;
        while self.queues.executing() > 0 {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    }
}
