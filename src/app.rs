//! The server as one value: built from settings, started on its listeners, drained and stopped.
//!
//! [`build`] joins the parts and touches no network; [`App::start`] binds and serves. Shutting down goes in order:
//! readiness off, new work refused, runs drained until a deadline, then the listeners, then the actors' threads.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::rt::task::JoinHandle;
use actix_web::{App as WebApp, HttpServer};
use causeway_actors::Attempts;
use causeway_actors::clock::Clock;
use causeway_actors::mesh::{Mesh, MeshSpec};
use causeway_actors::plan::LogPlan;
use causeway_actors::ports::{Ledger, Transport};
use causeway_actors::router::Keeper;
use causeway_actors::span::Spans;
use causeway_actors::store::Unavailable;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::adapters::store;
use crate::adapters::traces::{self, Exporting, TracesError};
use crate::adapters::transport::{HttpTransport, tls};
use crate::api::{self, Live, Shown, State};
use crate::attempt_log::{self, AttemptLog};
use crate::limit_ledger::{self, LimitLedger};
use crate::plans::{self, Plans};
use crate::queue::{self, Queues};
use crate::reconciliation;
use crate::redrives;
use crate::reload::Reloader;
use crate::settings::{ListenSettings, Settings, SettingsErrors};
use crate::{control, recovery, retention};

/// Connections at once, on each listener's worker.
const MAX_CONNECTIONS: usize = 10_000;
/// How long a listener waits for open connections when the runs are drained.
const LISTENER_GRACE: u64 = 1;
/// How long the last spans may take to their collector.
const TRACES_GRACE: Duration = Duration::from_secs(3);
/// How long what is left of limits may take to be told and written at the end.
const LIMITS_GRACE: Duration = Duration::from_secs(2);
/// How long what became of attempts may take to be written at the end.
const ATTEMPTS_GRACE: Duration = Duration::from_secs(2);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error("{0}")]
    Settings(#[from] SettingsErrors),
    /// No TLS for outgoing connections.
    #[error("{0}")]
    Tls(#[from] tls::TlsConfigError),
    /// No export of traces.
    #[error("{0}")]
    Traces(#[from] TracesError),
    /// The store could not be opened.
    #[error("{0}")]
    Store(#[from] store::OpenError),
    /// The store could not be used.
    #[error("{0}")]
    Unavailable(#[from] Unavailable),
    /// A listener could not be bound.
    #[error("listening on {address} for {purpose}: {error}; is another server running there?")]
    Listen {
        /// Which listener.
        purpose: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
}

/// A server that has not started.
pub struct App {
    settings: Settings,
    plans: Plans,
    log: LogPlan,
    transport: Arc<dyn Transport>,
    metrics: Option<PrometheusHandle>,
    dir: Option<PathBuf>,
}

/// A server that serves.
pub struct Running {
    /// Where the business API listens.
    pub api: SocketAddr,
    /// Where the admin API listens.
    pub admin: SocketAddr,
    state: Arc<State>,
    handles: [ServerHandle; 2],
    tasks: [JoinHandle<()>; 6],
    attempts: Arc<AttemptLog>,
    ledger: Arc<LimitLedger>,
    exporting: Option<Exporting>,
    drain: Duration,
}

/// Makes a server of settings.
///
/// # Errors
/// [`StartError`]: what is wrong with the configuration, or TLS that cannot be set up.
pub fn build(settings: Settings, metrics: Option<PrometheusHandle>) -> Result<App, StartError> {
    let plans = plans::make(&settings)?;
    let log = plans::log(&settings);
    let transport = Arc::new(HttpTransport::new(Arc::new(tls::system_authorities()?))?);
    Ok(App { settings, plans, log, transport, metrics, dir: None })
}

impl App {
    /// The directory that the settings were read from, to be read again at a reload.
    #[must_use]
    pub fn reloads_from(mut self, dir: PathBuf) -> Self {
        self.dir = Some(dir);
        self
    }

    /// Binds the listeners and serves. Call inside an actix system.
    ///
    /// # Errors
    /// [`StartError`]: a listener that cannot be bound, a store that cannot be opened.
    pub async fn start(self) -> Result<Running, StartError> {
        let listen = self.settings.server.listen.clone();
        let api_listener = bind("the business API", listen.api)?;
        let admin_listener = bind("the admin API", listen.admin)?;
        let (api, admin) = (address(&api_listener, listen.api), address(&admin_listener, listen.admin));
        let clock = Clock::start();
        let store = store::open(&self.settings.server.store, &self.settings.server.encryption, clock).await?;
        let configuration = recovery::keep(&*store, &self.settings).await?;
        let left = store.unfinished_runs().await?;
        let ledger = LimitLedger::open(Arc::clone(&store), clock).await?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let server = &self.settings.server;
        let (spans, exporting) =
            traces::start(&server.traces, &server.region, &self.transport, clock)?.unzip();
        let sample = exporting.as_ref().map(|_| server.traces.sample);
        let shown = Shown::new(&self.settings, &self.log.sanitiser);
        let queues = Arc::<Queues>::default();
        queues.begin(store.queues().await?);
        let [waiting, paused, cancelled] = [(); 3].map(|()| Arc::clone(&queues));
        let (attempts, waiting_attempts) = AttemptLog::new();
        let mesh = Mesh::start(MeshSpec {
            integrations: self.plans.integrations,
            transport: self.transport,
            log: self.log,
            spans: spans.map(|spans| spans as Arc<dyn Spans>),
            attempts: Some(Arc::clone(&attempts) as Arc<dyn Attempts>),
            keeper: Some(Keeper {
                store: Arc::clone(&store),
                render: api::answers::of,
                queued: Arc::new(move |integration| waiting.queued(integration)),
                cancelled: Arc::new(move |run| cancelled.cancel(run)),
                is_paused: Arc::new(move |integration| paused.is_paused(integration)),
            }),
            limits: Some((Arc::clone(&ledger) as Arc<dyn Ledger>, ledger.memory().clone())),
            clock,
            io_threads: if listen.io_threads == 0 { cores } else { listen.io_threads as usize },
            max_runs: listen.max_in_flight as usize,
            seed: uuid::Uuid::new_v4().as_u64_pair().0,
        });
        let Plans { operations, access, .. } = self.plans;
        let live =
            Live::new(&self.settings.server, shown, operations, access, mesh.directory(), configuration);
        let retention = self.settings.server.store.retention;
        let reloader = Reloader::new(self.dir, self.settings);
        let state = Arc::new(State::new(
            live,
            listen.max_in_flight,
            mesh,
            store,
            queues,
            clock,
            sample,
            self.metrics,
            reloader,
        ));
        let redriven = control::take_up(&state, &**state.store()).await?;
        let handles = [
            serve(api_server(&state, &listen, api_listener), "the business API", api)?,
            serve(admin_server(&state, &listen, admin_listener), "the admin API", admin)?,
        ];
        let home = state.mesh().start_router();
        let tasks = [
            actix_web::rt::spawn(recovery::go_on(Arc::clone(&state), home.clone(), left)),
            actix_web::rt::spawn(queue::work(Arc::clone(&state), home.clone())),
            actix_web::rt::spawn(reconciliation::work(Arc::clone(&state), home)),
            actix_web::rt::spawn(retention::sweep(Arc::clone(&state), retention)),
            actix_web::rt::spawn(attempt_log::keep(waiting_attempts, Arc::clone(state.store()))),
            actix_web::rt::spawn(limit_ledger::work(Arc::clone(&ledger), Arc::clone(&state))),
        ];
        for redrive in redriven {
            actix_web::rt::spawn(redrives::work(Arc::clone(&state), redrive, 0));
        }
        Ok(Running { api, admin, state, handles, tasks, attempts, ledger, exporting, drain: listen.drain })
    }
}

impl Running {
    /// What the handlers share.
    pub const fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Stops in order. `true` when every run had ended in time.
    pub async fn stop(self) -> bool {
        self.state.refuse_new_runs();
        let drained = tokio::time::timeout(self.drain, self.state.all_runs_ended()).await.is_ok();
        if !drained {
            tracing::warn!(
                left = self.state.runs_in_flight(),
                "runs were still under way when the drain time was up"
            );
        }
        // They are no promise: what the store does not take in time is let go of.
        let _ = tokio::time::timeout(ATTEMPTS_GRACE, self.attempts.flush()).await;
        // What was reserved and is not used is given back. Runs that go on may take more, and nobody would be told.
        let settled = async { self.ledger.close(self.state.mesh().settle().await, drained).await };
        if tokio::time::timeout(LIMITS_GRACE, settled).await.is_err() {
            tracing::warn!(
                "what is left of limits was not written down in time: the next start begins with less"
            );
        }
        self.tasks.iter().for_each(JoinHandle::abort);
        for handle in &self.handles {
            handle.stop(true).await;
        }
        self.state.mesh().stop();
        if let Some(exporting) = self.exporting {
            exporting.stop(TRACES_GRACE).await;
        }
        drained
    }
}

fn bind(purpose: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|error| StartError::Listen { purpose, address, error })
}

fn address(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

fn api_server(state: &Arc<State>, listen: &ListenSettings, listener: TcpListener) -> io::Result<Server> {
    let state = Arc::clone(state);
    let server = HttpServer::new(move || {
        let router = state.mesh().start_router();
        WebApp::new().configure(|config| api::business(config, Arc::clone(&state), router))
    });
    let server = server
        .tcp_nodelay(true)
        .h1_allow_half_closed(false)
        .max_connections(MAX_CONNECTIONS)
        .client_request_timeout(listen.head_timeout)
        .shutdown_timeout(LISTENER_GRACE)
        .disable_signals();
    Ok(server.listen(listener)?.run())
}

/// One worker of its own, so that a scrape never stands in an operation's way.
fn admin_server(state: &Arc<State>, listen: &ListenSettings, listener: TcpListener) -> io::Result<Server> {
    let state = Arc::clone(state);
    let server =
        HttpServer::new(move || WebApp::new().configure(|config| api::admin(config, Arc::clone(&state))));
    let server = server
        .workers(1)
        .tcp_nodelay(true)
        .h1_allow_half_closed(false)
        .max_connections(MAX_CONNECTIONS)
        .client_request_timeout(listen.head_timeout)
        .shutdown_timeout(LISTENER_GRACE)
        .disable_signals();
    Ok(server.listen(listener)?.run())
}

fn serve(
    server: io::Result<Server>,
    purpose: &'static str,
    address: SocketAddr,
) -> Result<ServerHandle, StartError> {
    let server = server.map_err(|error| StartError::Listen { purpose, address, error })?;
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, purpose, "a listener has failed");
        }
    });
    Ok(handle)
}
