//! Logs to standard output, metrics to a registry that `/metrics` renders.
//!
//! Log lines are handed to a thread of their own: writing never blocks an operation. When that thread cannot keep up,
//! lines are dropped and counted (`causeway_dropped_total`), and so are those that could not be written.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use causeway_actors::metric::{Labels, Metric};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use crate::settings::{LogFormat, LogSettings};

mod lines;

/// Log lines held for the writing thread.
const MAX_LINES: usize = 65_536;
/// Bytes gathered into one write while more lines are waiting.
const WRITE_SIZE: usize = 64 << 10;
/// How often histograms are folded and dropped lines counted.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(2);
/// Finer bounds, for the parts of an attempt, in seconds.
const PHASE_BUCKETS: [f64; 11] = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// What a store does: a commit may take less than a millisecond.
const COMMIT_BUCKETS: [f64; 12] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];
/// How many writes are in a group.
const BATCH_BUCKETS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Keeps the log's thread alive; drop it last, and the log is whole.
pub struct Logs {
    _guard: WorkerGuard,
    dropped: Dropped,
}

impl Logs {
    /// Lines dropped so far, for the counter.
    pub fn dropped(&self) -> Dropped {
        self.dropped.clone()
    }
}

/// Counts lines that nobody will read.
#[derive(Clone)]
pub struct Dropped {
    /// The writing thread could not keep up.
    overrun: ErrorCounter,
    /// What is written to did not take them.
    unwritten: Arc<AtomicU64>,
}

impl Dropped {
    fn lines(&self) -> u64 {
        (self.overrun.dropped_lines() as u64).saturating_add(self.unwritten.load(Ordering::Relaxed))
    }
}

/// Counts the lines that could not be written: the log's thread hands over one at a time, and passes errors over.
struct Counting<W> {
    to: W,
    unwritten: Arc<AtomicU64>,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.to.write(line).inspect_err(|_| {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Starts logging for the whole process.
///
/// # Errors
/// When logging has been started already.
pub fn start_logs(settings: &LogSettings) -> Result<Logs, tracing_subscriber::util::TryInitError> {
    let unwritten = Arc::<AtomicU64>::default();
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MAX_LINES)
        .thread_name("log")
        .finish(Counting { to: output(), unwritten: Arc::clone(&unwritten) });
    let dropped = Dropped { overrun: writer.error_counter(), unwritten };
    let level = filter(settings);
    let registry = tracing_subscriber::registry();
    match settings.format {
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer().event_format(lines::JsonLines).with_writer(writer);
            registry.with(layer.with_filter(level)).try_init()?;
        }
        LogFormat::Pretty => {
            let colour = io::IsTerminal::is_terminal(&io::stdout()) && std::env::var_os("NO_COLOR").is_none();
            let layer = tracing_subscriber::fmt::layer().with_ansi(colour).with_writer(writer);
            registry.with(layer.with_filter(level)).try_init()?;
        }
    }
    Ok(Logs { _guard: guard, dropped })
}

/// Standard output without the standard library's line buffer, which would make a system call of each line: the log's
/// thread flushes whenever no line is waiting.
fn output() -> Box<dyn Write + Send> {
    match io::stdout().as_fd().try_clone_to_owned() {
        Ok(stdout) => Box::new(BufWriter::with_capacity(WRITE_SIZE, File::from(stdout))),
        Err(_) => Box::new(io::stdout()),
    }
}

/// Libraries tell only what needs attention; what we tell is the settings' to say.
fn filter(settings: &LogSettings) -> Targets {
    let own = LevelFilter::from_level(settings.level);
    Targets::new().with_default(own.min(LevelFilter::WARN)).with_target("causeway", own)
}

/// Makes the process's metrics registry.
///
/// # Errors
/// When there is one already.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    let only = |metric: Metric| Matcher::Full(metric.name().to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets(&Metric::BUCKETS)?
        .set_buckets_for_metric(only(Metric::AttemptPhase), &PHASE_BUCKETS)?
        .set_buckets_for_metric(only(Metric::StoreCommit), &COMMIT_BUCKETS)?
        .set_buckets_for_metric(only(Metric::StoreBatch), &BATCH_BUCKETS)?
        .install_recorder()?;
    Metric::describe_all();
    let labels = Labels::none().word("version", env!("CARGO_PKG_VERSION")).word("revision", revision());
    Metric::BuildInfo.gauge(&labels).set(1.0);
    Ok(handle)
}

/// The commit this was built from, where the build was told.
const fn revision() -> &'static str {
    match option_env!("CAUSEWAY_REVISION") {
        Some(revision) => revision,
        None => "unknown",
    }
}

/// Folds histograms and counts dropped lines, for ever.
pub async fn upkeep(metrics: PrometheusHandle, dropped: Option<Dropped>) {
    let lines = Metric::Dropped.counter(&Labels::none().word("kind", "log"));
    lines.increment(0);
    loop {
        tokio::time::sleep(UPKEEP_EVERY).await;
        metrics.run_upkeep();
        if let Some(dropped) = &dropped {
            lines.absolute(dropped.lines());
        }
    }
}
