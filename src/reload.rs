//! Reads the configuration again, and goes on with it whole or not at all.
//!
//! Everything that can fail comes first: files, expressions, secrets. Only when all of it is right is anything changed:
//! the actors are told, then operations and integrations are swapped in one step. A run goes by what held when it
//! began, to its end. What the process was started with (listeners, threads, the log's form) stays as it is until the
//! next start, and the report says so.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_actors::plan::{IntegrationPlan, LogPlan};
use causeway_actors::store::Unavailable;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::api::{Live, Shown, State};
use crate::plans::{self, Plans, Secrets};
use crate::recovery;
use crate::settings::{Advice, Examined, ServerSettings, Settings, SettingsError, SettingsErrors};

/// Reads the configuration again.
pub struct Reloader {
    /// Where the configuration is; `None` where it was not read from files.
    dir: Option<PathBuf>,
    /// What the process was started with.
    started: ServerSettings,
    /// What holds now. Locked while it is replaced, so there is one reload at a time.
    current: Mutex<Settings>,
}

/// Why there was no reload. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The server was not started from files.
    #[error("this server was not started from a directory of files, so there is nothing to read again")]
    NoFiles,
    /// What the files say is wrong.
    #[error("the configuration is wrong and changes nothing:\n{0}")]
    Wrong(SettingsErrors),
    /// The store does not take the configuration that runs would begin with.
    #[error("{0}; nothing has changed")]
    Store(#[from] Unavailable),
    /// The files could not be read to their end.
    #[error("reading the configuration ended without a result; nothing has changed")]
    Lost,
}

/// What a reload has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What is another now.
    pub changed: Changed,
    /// What was accepted and takes effect at the next start.
    pub notes: Vec<String>,
    /// What is right and yet unwise, each at its place.
    pub advice: Vec<String>,
    /// The files are what holds after a restart, too.
    pub durable: bool,
}

/// What is another than before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The server's own settings that took effect.
    pub server: Vec<&'static str>,
    /// The integrations.
    pub integrations: Differences,
    /// The operations.
    pub operations: Differences,
}

/// Names, by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Differences {
    /// New ones.
    pub added: Vec<String>,
    /// Those that are gone.
    pub removed: Vec<String>,
    /// Those that are another than before.
    pub changed: Vec<String>,
}

impl Report {
    /// Writes it to the log.
    pub fn tell(&self) {
        let words = |names: &[String]| names.join(" ");
        let (integrations, operations) = (&self.changed.integrations, &self.changed.operations);
        tracing::info!(
            server = self.changed.server.join(" "),
            integrations_added = words(&integrations.added),
            integrations_removed = words(&integrations.removed),
            integrations_changed = words(&integrations.changed),
            operations_added = words(&operations.added),
            operations_removed = words(&operations.removed),
            operations_changed = words(&operations.changed),
            notes = self.notes.join("; "),
            "the configuration was reloaded"
        );
        for advice in &self.advice {
            tracing::warn!(advice, "the configuration works and may be better");
        }
    }
}

impl Reloader {
    /// Of a server started with `settings`, which were read from `dir`.
    pub(crate) fn new(dir: Option<PathBuf>, settings: Settings) -> Self {
        Self { dir, started: settings.server.clone(), current: Mutex::new(settings) }
    }

    /// Reads the configuration again and goes on with it; what has changed.
    ///
    /// # Errors
    /// [`ReloadError`], and nothing has changed.
    pub async fn reload(&self, state: &State) -> Result<Report, ReloadError> {
        let dir = self.dir.clone().ok_or(ReloadError::NoFiles)?;
        let mut current = self.current.lock().await;
        let read = tokio::task::spawn_blocking(move || read(&dir)).await.map_err(|_| ReloadError::Lost)?;
        let Fresh { settings, plans, log, advice } = read.map_err(ReloadError::Wrong)?;
        self.keep_keys(&settings.server)?;
        let former: HashMap<String, Arc<IntegrationPlan>> = state
            .mesh()
            .directory()
            .places()
            .map(|place| (place.name().to_string(), Arc::clone(place.plan())))
            .collect();
        let kept = |plan: Arc<IntegrationPlan>| {
            let unchanged = |known: &&Arc<IntegrationPlan>| {
                let before = current.integrations.iter().find(|known| known.name == plan.name);
                let now = settings.integrations.iter().find(|known| known.name == plan.name);
                before.zip(now).is_some_and(|(before, now)| before == now)
                    && known.auth.current() == plan.auth.current()
                    // The files may say something else under the same names.
                    && known.tls == plan.tls
            };
            former.get(plan.name.as_str()).filter(unchanged).cloned().unwrap_or(plan)
        };
        let integrations: Vec<Arc<IntegrationPlan>> = plans.integrations.into_iter().map(kept).collect();
        let report = Report {
            changed: Changed {
                server: server(&current.server, &settings.server),
                integrations: differences(
                    former.iter().map(|(name, plan)| (name.clone(), plan)),
                    integrations.iter().map(|plan| (plan.name.to_string(), plan)),
                    Arc::ptr_eq,
                ),
                operations: differences(
                    current.operations.iter().map(|operation| (operation.label.clone(), operation)),
                    settings.operations.iter().map(|operation| (operation.label.clone(), operation)),
                    |before, now| before == now,
                ),
            },
            notes: at_the_next_start(&self.started, &current, &settings),
            advice: advice.iter().map(ToString::to_string).collect(),
            durable: true,
        };
        let configuration = recovery::keep(&**state.store(), &settings).await?;
        let shown = Shown::new(&settings, &log.sanitiser);
        let directory = state.mesh().reconfigure(integrations, log).await;
        let access = plans.access.going_on_from(state.live().access());
        state.swap(Live::new(&settings.server, shown, plans.operations, access, directory, configuration));
        *current = settings;
        Ok(report)
    }
}

impl Reloader {
    /// The directory of files, where there is one.
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// What was accepted and takes effect at the next start.
    pub async fn notes(&self) -> Vec<String> {
        let current = self.current.lock().await;
        at_the_next_start(&self.started, &current, &current)
    }

    /// The listeners stay where they are until the next start: one that other machines reach goes on asking for keys.
    fn keep_keys(&self, now: &ServerSettings) -> Result<(), ReloadError> {
        let listen = &self.started.listen;
        let mut errors = SettingsErrors::default();
        for (key, address, section, keyless) in [
            ("listen.api", listen.api, "clients", now.clients.is_empty()),
            ("listen.admin", listen.admin, "operators", now.operators.is_empty()),
        ] {
            if keyless && !address.ip().to_canonical().is_loopback() {
                let message = format!(
                    "`{key}` is {address} until the next start, and other machines reach it: keep [[{section}]] until \
                     then"
                );
                errors.push(SettingsError::whole("causeway.toml".into(), message));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(ReloadError::Wrong(errors)) }
    }
}

/// A configuration, ready to be gone on with.
struct Fresh {
    settings: Settings,
    plans: Plans,
    log: LogPlan,
    advice: Vec<Advice>,
}

fn read(dir: &Path) -> Result<Fresh, SettingsErrors> {
    let mut examined = Examined::directory(dir);
    if !examined.errors.is_empty() {
        examined.and_wrong(plans::check(&examined.settings, Secrets::Read));
        return Err(examined.errors);
    }
    let Examined { settings, advice, .. } = examined;
    let plans = plans::make(&settings)?;
    let log = plans::log(&settings);
    Ok(Fresh { settings, plans, log, advice })
}

fn differences<'a, T: 'a>(
    before: impl Iterator<Item = (String, &'a T)>,
    now: impl Iterator<Item = (String, &'a T)>,
    same: impl Fn(&T, &T) -> bool,
) -> Differences {
    let mut before: HashMap<String, &T> = before.collect();
    let mut differences = Differences::default();
    for (name, now) in now {
        match before.remove(&name) {
            None => differences.added.push(name),
            Some(before) if !same(before, now) => differences.changed.push(name),
            Some(_) => {}
        }
    }
    differences.removed = before.into_keys().collect();
    differences.removed.sort();
    differences
}

/// The server's own settings that differ and take effect at once.
fn server(before: &ServerSettings, now: &ServerSettings) -> Vec<&'static str> {
    let (logs, before_logs) = (&now.logs, &before.logs);
    let logged = (logs.bodies, logs.max_body) != (before_logs.bodies, before_logs.max_body)
        || logs.sample_success.to_bits() != before_logs.sample_success.to_bits();
    let parts = [
        ("region", now.region != before.region),
        ("listen.trusted_proxies", now.listen.trusted_proxies != before.listen.trusted_proxies),
        ("clients", now.clients != before.clients),
        ("operators", now.operators != before.operators),
        ("listen.max_body", now.listen.max_body != before.listen.max_body),
        ("logs", logged),
        ("redact", now.redact != before.redact),
        ("defaults", now.defaults != before.defaults),
    ];
    parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part).collect()
}

/// What differs from what the process was started with and cannot be changed while it runs.
fn at_the_next_start(started: &ServerSettings, before: &Settings, now: &Settings) -> Vec<String> {
    let (was, is) = (&started.listen, &now.server.listen);
    let parts = [
        ("listen.api", is.api != was.api),
        ("listen.admin", is.admin != was.admin),
        ("listen.head_timeout", is.head_timeout != was.head_timeout),
        ("listen.max_in_flight", is.max_in_flight != was.max_in_flight),
        ("listen.drain", is.drain != was.drain),
        ("listen.io_threads", is.io_threads != was.io_threads),
        ("store", now.server.store != started.store),
        ("encryption", now.server.encryption != started.encryption),
        ("traces", now.server.traces != started.traces),
        ("logs.format", now.server.logs.format != started.logs.format),
        ("logs.level", now.server.logs.level != started.logs.level),
    ];
    let server = parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part.to_owned());
    let moved = now.integrations.iter().filter(|now| {
        let before = before.integrations.iter().find(|before| before.name == now.name);
        before.is_some_and(|before| before.dedicated_thread != now.dedicated_thread)
    });
    let threads = moved.map(|integration| format!("{}: dedicated_thread", integration.name));
    server.chain(threads).map(|part| format!("`{part}` takes effect at the next start")).collect()
}
