//! The whole server, in this process, on a thread and an actix system of its own.
//!
//! Dropping it stops it as a signal would, and fails the test if it does not end in order or if anything leaked: a
//! run, a call's place in an integration.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use causeway::api::State;
use causeway::app;
use causeway::settings::StoreUrl;
use causeway_actors::directory::Place;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::{Answer, Ask, Client, Config, until};

/// How long what is under way at a test's end may take: longer than any timeout in the tests.
const COMES_TO_REST: Duration = Duration::from_secs(10);

/// A server of one test's own.
pub(crate) struct Server {
    pub(crate) api: Client,
    pub(crate) admin: Client,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<Result<(), String>>>,
    /// Where its store is.
    data: Arc<TempDir>,
}

impl Server {
    pub(crate) fn start(config: &Config) -> Self {
        Self::start_with(config, None)
    }

    /// A server that can read its configuration again; it is written to `dir`.
    pub(crate) fn start_in(dir: &Path, config: &Config) -> Self {
        config.write(dir);
        let kept = config.clone().kept_in(dir);
        Self::start_with(&kept, Some(dir.to_owned()))
    }

    /// Has it read its configuration again.
    pub(crate) async fn reload(&self) -> Answer {
        self.admin.send(Ask::post_text("/admin/v1/config/reload", "")).await
    }

    /// The same server in another life: another process would find as much.
    pub(crate) fn restarted(self, config: &Config) -> Self {
        let data = Arc::clone(&self.data);
        drop(self);
        Self::start_on(config, None, data)
    }

    fn start_with(config: &Config, dir: Option<PathBuf>) -> Self {
        Self::start_on(config, dir, Arc::new(tempfile::tempdir().expect("a directory")))
    }

    fn start_on(config: &Config, dir: Option<PathBuf>, data: Arc<TempDir>) -> Self {
        let mut settings = config.settings();
        if dir.is_none() {
            settings.server.store.url = StoreUrl::Sqlite(data.path().join("causeway.db"));
        }
        let (tell, told) = mpsc::sync_channel(1);
        let (stop, stopping) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("server".to_owned()).spawn(move || {
            actix::System::new().block_on(async {
                let app = app::build(settings, None).map_err(|error| error.to_string())?;
                let app = match dir {
                    Some(dir) => app.reloads_from(dir),
                    None => app,
                };
                let running = app.start().await.map_err(|error| error.to_string())?;
                let state = Arc::clone(running.state());
                // A test that has failed meanwhile listens no more, and has dropped `stop`.
                let _ = tell.send((Client::new(running.api), Client::new(running.admin), Arc::clone(&state)));
                let _ = stopping.await;
                let rested = tokio::time::timeout(COMES_TO_REST, at_rest(&state)).await;
                let leaks = leaks(&state);
                let drained = running.stop().await;
                match rested {
                    Ok(()) if drained => Ok(()),
                    Ok(()) => Err("the server was at rest and did not drain".to_owned()),
                    Err(_) => Err(format!("the server did not come to rest: {leaks}")),
                }
            })
        });
        let thread = thread.expect("a thread for the server");
        match told.recv() {
            Ok((api, admin, state)) => {
                Self { api, admin, state, stop: Some(stop), thread: Some(thread), data }
            }
            Err(_) => panic!("the server did not start: {:?}", thread.join()),
        }
    }

    /// An integration, as the router sees it.
    pub(crate) fn place(&self, integration: &str) -> Arc<Place> {
        Arc::clone(self.state.mesh().directory().find(integration).expect("the integration is configured"))
    }

    /// An integration, as operators see it.
    pub(crate) async fn integration(&self, name: &str) -> Value {
        self.admin.get(&format!("/admin/v1/integrations/{name}")).await.ok()
    }

    /// Waits until an integration's breaker is in this state.
    pub(crate) async fn breaker_is(&self, name: &str, state: &str) {
        let what = format!("the breaker of {name} is {state}");
        until(&what, async || (self.integration(name).await["breaker"]["state"] == state).then_some(()))
            .await;
    }

    /// Waits until an open breaker would let a call try.
    pub(crate) async fn breaker_is_due(&self, name: &str) {
        until(&format!("the breaker of {name} is due"), async || {
            (self.integration(name).await["breaker"]["due"] == true).then_some(())
        })
        .await;
    }

    /// Waits until no run is under way and every call's place has come back.
    pub(crate) async fn at_rest(&self) {
        until("the server comes to rest", async || (leaks(&self.state) == NO_LEAKS).then_some(())).await;
    }
}

const NO_LEAKS: &str = "0 runs";

/// What is under way, in words.
fn leaks(state: &State) -> String {
    let mut words = format!("{} runs", state.runs_in_flight());
    for place in state.mesh().directory().places().filter(|place| place.calls() > 0) {
        words.push_str(&format!(", {} calls of {}", place.calls(), place.name()));
    }
    words
}

async fn at_rest(state: &State) {
    while leaks(state) != NO_LEAKS {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(thread::JoinHandle::join);
        // A test that is failing already is not to be drowned out by what follows from it.
        if !thread::panicking() {
            match ended {
                Some(Ok(Ok(()))) | None => {}
                Some(Ok(Err(what))) => panic!("{what}"),
                Some(Err(_)) => panic!("the server's thread panicked"),
            }
        }
    }
}
