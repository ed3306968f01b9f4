//! Builds the actors, keeps them alive, and takes them down in order.
//!
//! Integrations are placed round robin on I/O threads; the [`Directory`] tells where each is reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::{Actor, Addr, Arbiter};

use crate::board::Board;
use crate::clock::Clock;
use crate::directory::{Directory, Place};
use crate::integration::Parts;
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

impl Mesh {
    /// Builds every integration's actor. Call inside an actix system.
    pub fn start(spec: MeshSpec) -> Self {
        let MeshSpec { integrations, transport, log, clock, io_threads, max_runs, seed } = spec;
        let arbiters: Vec<Arbiter> = (0..io_threads).map(|_| Arbiter::new()).collect();
        let (board, log) = (Arc::new(Board::default()), Arc::new(log));
        let places = integrations.into_iter().enumerate().map(|(index, plan)| {
            let thread = (!arbiters.is_empty()).then(|| arbiters[index % arbiters.len()].handle());
            let parts = Parts {
                plan: Arc::clone(&plan),
                transport: Arc::clone(&transport),
                board: Arc::clone(&board),
                clock,
                log: Arc::clone(&log),
                seed: seed.wrapping_add(index as u64),
            };
            Place::start(plan, parts, thread)
        });
        let directory = Arc::new(Directory::new(places));
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
