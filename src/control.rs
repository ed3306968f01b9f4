//! What operators say, written down before it takes effect, and taken up again at the next start.
//!
//! What stops or starts traffic takes effect also where the store cannot take it: a breaker must be opened by hand while
//! the disk is full, too. It is then told to the log alone, and answers say that a restart forgets it. Nothing else is done
//! that cannot be written down.

use std::time::Duration;

use causeway_actors::store::{Control, Deed, Store, Unavailable};
use causeway_core::breaker::{By, ModeChange, ModeKind};
use causeway_core::name::IntegrationName;
use causeway_core::time::Wall;
use serde::{Deserialize, Serialize};

use crate::api::State;
use crate::redrives;

/// How long a command waits for the store.
const PATIENCE: Duration = Duration::from_secs(2);

/// A breaker's mode, as it is written down.
#[derive(Debug, Deserialize, Serialize)]
struct KeptMode {
    mode: String,
    reason: String,
    by: Option<String>,
    /// Milliseconds since the Unix epoch.
    until: Option<u64>,
}

/// Who does what.
#[derive(Debug)]
pub(crate) struct Command<'a> {
    pub(crate) operator: Option<String>,
    pub(crate) action: &'static str,
    pub(crate) subject: &'a str,
    pub(crate) reason: Option<String>,
}

/// Writes a command down that takes effect in any case, and what holds from then on; whether that was possible.
pub(crate) async fn audit(state: &State, command: Command<'_>, control: Option<Control>) -> bool {
    let (action, subject) = (command.action, command.subject.to_owned());
    match audited(state, command, control).await {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(action, subject, %error, "a command takes effect and is not written down");
            false
        }
    }
}

/// Writes a command down, and what holds from then on.
///
/// # Errors
/// When that cannot be done; the command must not take effect.
pub(crate) async fn audited(
    state: &State,
    command: Command<'_>,
    control: Option<Control>,
) -> Result<(), Unavailable> {
    let Command { operator, action, subject, reason } = command;
    tracing::warn!(operator, action, subject, reason, "an operator's command");
    let at = state.clock().now().wall;
    let deed = Deed { at, operator, action, subject: subject.to_owned(), reason, control };
    let written = tokio::time::timeout(PATIENCE, state.store().audit(deed)).await;
    written.unwrap_or_else(|_| Err(Unavailable("the store does not answer".to_owned())))
}

fn mode_of(integration: &str) -> String {
    format!("breaker/{integration}")
}

fn pause_of(integration: &str) -> String {
    format!("pause/{integration}")
}

/// What holds of a breaker's mode.
pub(crate) fn of_mode(integration: &str, change: &ModeChange, now: Wall) -> Control {
    let by = match &change.by {
        By::Operator(name) => name.clone(),
        By::Settings => None,
    };
    let kept = KeptMode {
        mode: change.mode.as_str().to_owned(),
        reason: change.reason.clone(),
        by,
        until: change.lasting.map(|lasting| (now + lasting).unix_millis()),
    };
    let value = (change.mode != ModeKind::Auto).then(|| serde_json::to_string(&kept).unwrap_or_default());
    Control { key: mode_of(integration), value }
}

/// That a breaker is automatic again.
pub(crate) fn of_reset(integration: &str) -> Control {
    Control { key: mode_of(integration), value: None }
}

/// Whether an integration is paused.
pub(crate) fn of_pause(integration: &str, paused: bool) -> Control {
    Control { key: pause_of(integration), value: paused.then(|| "{}".to_owned()) }
}

/// Takes up what held when the server ended, before anything is served; the bulk redrives that are to go on.
///
/// # Errors
/// [`Unavailable`].
pub(crate) async fn take_up(state: &State, store: &dyn Store) -> Result<Vec<String>, Unavailable> {
    let now = state.clock().now().wall;
    let controls = store.controls().await?;
    let going_on = redrives::take_in(state.redrives(), &controls);
    for (key, value) in controls {
        let Some((kind, name)) = key.split_once('/') else { continue };
        let Some(place) = state.mesh().directory().find(name).cloned() else { continue };
        match kind {
            "pause" => {
                if let Ok(name) = IntegrationName::new(name) {
                    state.queues().set_paused(&name, true);
                }
            }
            "breaker" => {
                let Ok(kept) = serde_json::from_str::<KeptMode>(&value) else { continue };
                let Some(mode) = ModeKind::named(&kept.mode) else { continue };
                let until = kept.until.map(Wall::from_unix_millis);
                // One that has run out meanwhile is over.
                if until.is_some_and(|until| until <= now) {
                    continue;
                }
                let lasting = until.map(|until| until.since(now));
                let change = ModeChange { mode, reason: kept.reason, by: By::Operator(kept.by), lasting };
                if place.set_mode(change).await.is_err() {
                    tracing::error!(integration = name, "the breaker's mode could not be taken up again");
                }
            }
            _ => {}
        }
    }
    Ok(going_on)
}
