//! `causeway serve`: runs the server until it is told to stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{CommandError, check};
use crate::api::State;
use crate::app::{self, Running, StartError};
use crate::plans::Secrets;
use crate::settings::{LogSettings, Settings};
use crate::telemetry::{self, Logs};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway serve
  causeway serve --config /etc/causeway

It logs to standard output. SIGHUP has it read its configuration again; SIGTERM and Ctrl-C have it finish what is
under way, a second one ends it at once. What is wrong with the configuration is told whole, exit code 2.")]
pub(super) struct Args {
    /// The directory of configuration files.
    #[arg(long, env = "CAUSEWAY_CONFIG", default_value = "config", value_name = "DIR")]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let examined = check::examine(&args.config, Secrets::Read);
    let advice = examined.advice.clone();
    let settings = examined.settings().map_err(|errors| CommandError::Usage(wrong(&errors)))?;
    let (_logs, metrics) = observe(&settings.server.logs)?;
    actix::System::new().block_on(async {
        let running = start(settings, Some(&args.config), metrics, &_logs).await?;
        for advice in &advice {
            tracing::warn!(%advice, "the configuration works and may be better");
        }
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            api = %running.api,
            admin = %running.admin,
            "causeway serves"
        );
        until_told_to_stop(running).await
    })
}

fn wrong(errors: &dyn std::fmt::Display) -> String {
    format!("the configuration is wrong:\n{errors}")
}

/// Starts logs and metrics.
pub(super) fn observe(logs: &LogSettings) -> Result<(Logs, PrometheusHandle), CommandError> {
    let logs = telemetry::start_logs(logs)
        .map_err(|error| CommandError::Failed(format!("starting logs: {error}")))?;
    let metrics = telemetry::start_metrics();
    let metrics = metrics.map_err(|error| CommandError::Failed(format!("starting metrics: {error}")))?;
    Ok((logs, metrics))
}

/// Builds and starts the server.
pub(super) async fn start(
    settings: Settings,
    dir: Option<&Path>,
    metrics: PrometheusHandle,
    logs: &Logs,
) -> Result<Running, CommandError> {
    // Registered once, it holds until the process ends.
    drop(listen(SignalKind::from_raw(FILE_SIZE_EXCEEDED))?);
    let mut app = app::build(settings, Some(metrics.clone())).map_err(|error| match error {
        StartError::Settings(errors) => CommandError::Usage(wrong(&errors)),
        error @ (StartError::Tls(_)
        | StartError::Traces(_)
        | StartError::Store(_)
        | StartError::Unavailable(_)
        | StartError::Listen { .. }) => CommandError::Failed(error.to_string()),
    })?;
    if let Some(dir) = dir {
        app = app.reloads_from(dir.to_owned());
    }
    actix::spawn(telemetry::upkeep(metrics, Some(logs.dropped())));
    app.start().await.map_err(|error| CommandError::Failed(error.to_string()))
}

/// Waits for SIGTERM or SIGINT.
pub(super) async fn told_to_stop() -> Result<(), CommandError> {
    next(&mut ends()?).await;
    Ok(())
}

fn listen(kind: SignalKind) -> Result<Signal, CommandError> {
    signal(kind).map_err(|error| CommandError::Failed(format!("listening for signals: {error}")))
}

fn ends() -> Result<[Signal; 2], CommandError> {
    Ok([listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?])
}

/// What the kernel sends to a process that writes beyond the size a file may have, on Linux. By itself it would end us;
/// heard, it is an error of that write alone.
const FILE_SIZE_EXCEEDED: i32 = 25;

/// Serves until SIGTERM or SIGINT, then drains; a second signal ends the wait. SIGHUP has the configuration read again.
pub(super) async fn until_told_to_stop(running: Running) -> Result<(), CommandError> {
    let mut signals = ends()?;
    let reloads = actix::spawn(reload_at(listen(SignalKind::hangup())?, Arc::clone(running.state())));
    let name = next(&mut signals).await;
    reloads.abort();
    tracing::info!(signal = name, runs = running.state().runs_in_flight(), "stopping: draining runs");
    tokio::select! {
        drained = running.stop() => {
            tracing::info!(drained, "stopped");
            Ok(())
        }
        name = next(&mut signals) => Err(CommandError::Failed(format!("{name} again: stopped without draining"))),
    }
}

async fn reload_at(mut hangup: Signal, state: Arc<State>) {
    while hangup.recv().await.is_some() {
        // What came of it is in the log.
        let _ = state.reload().await;
    }
}

async fn next([terminate, interrupt]: &mut [Signal; 2]) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
