//! Goes on with what a former life of the server has left: runs that were under way when it ended.
//!
//! A run goes by the configuration it began with to its end, also in another process: the files are kept in the store
//! under their digest, and read again where they are not the ones that hold now. What cannot be gone on with, because
//! its operation is no longer to be had, ends with what is known of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;

use actix::Addr;
use bytes::Bytes;
use causeway_actors::directory::Directory;
use causeway_actors::router::{Resume, Router, RunPermit, died};
use causeway_actors::store::{ConfigurationId, Death, Ending, NewRun, Progress, Store, Unavailable};
use causeway_core::failure::{ErrorClass, Failure};
use causeway_core::json::Json;
use causeway_core::name::{OperationName, RunId};
use causeway_core::operation::{Outcome, Plan, RunStatus};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::api::{State, answers};
use crate::plans::{self, Versions};
use crate::settings::Settings;

/// Keeps the files of a configuration, and names it.
///
/// # Errors
/// [`Unavailable`].
pub(crate) async fn keep(store: &dyn Store, settings: &Settings) -> Result<ConfigurationId, Unavailable> {
    let files: Vec<(String, &str)> =
        settings.files.iter().map(|written| (written.path(), written.text.as_str())).collect();
    let text = serde_json::to_vec(&files).map_err(|error| Unavailable(error.to_string()))?;
    let id = ConfigurationId(Sha256::digest(&text).into());
    store.keep_configuration(id, Bytes::from(text)).await?;
    Ok(id)
}

/// A configuration that runs have begun with.
struct Former {
    operations: HashMap<OperationName, Versions>,
    directory: Arc<Directory>,
}

/// Goes on with these runs, each as soon as there is a place for it.
pub(crate) async fn go_on(state: Arc<State>, router: Addr<Router>, left: Vec<RunId>) {
    if left.is_empty() {
        return;
    }
    tracing::warn!(runs = left.len(), "runs were under way when the server ended: going on with them");

    for id in left {
        let run = match state.store().unfinished(id.clone()).await {
            Ok(Some(run)) => run,
            Ok(None) => continue,
            Err(error) => {
                tracing::error!(run_id = id.as_str(), %error, "a run that was under way cannot be read");
                continue;
            }
        };
        let Some(permit) = state.run_permit_in_turn().await else { return };
        match known(&state, &run).await {
            Some((plan, directory)) => {
                let permit = RunPermit::new(permit, None);
                let resume = Resume { run: Box::new(run), plan, directory, permit, lease: None };
                if router.send(resume).await.is_err() {
                    return;
                }
            }
            None => end(&state, run, 0).await,
        }
    }
    tracing::info!("every run that was under way goes on");
}

/// What a run does, and where.
pub(crate) async fn known(state: &State, run: &NewRun) -> Option<(Arc<Plan>, Arc<Directory>)> {
    let (plan, directory) = whole(state, run).await?;
    match run.part {
        None => Some((plan, directory)),
        Some(part) => Some((Arc::new(plan.part(part)?), directory)),
    }
}

async fn whole(state: &State, run: &NewRun) -> Option<(Arc<Plan>, Arc<Directory>)> {
    {
        let live = state.live();
        if live.configuration() == run.configuration {
            let plan = live.operation(run.operation.as_str())?.version(run.version)?.plan.clone();
            return Some((plan, Arc::clone(live.directory())));
        }
    }
    let mut formers = state.formers().0.lock().await;
    let known = match formers.entry(run.configuration) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(unknown) => unknown.insert(read(state, run.configuration).await),
    };
    let known = known.as_ref()?;
    let plan = Arc::clone(&known.operations.get(&run.operation)?.version(run.version)?.plan);
    Some((plan, Arc::clone(&known.directory)))
}

/// The configurations that runs which are under way have begun with; `None` for one that cannot be had any more.
#[derive(Default)]
pub struct Formers(Mutex<HashMap<ConfigurationId, Option<Former>>>);

async fn read(state: &State, id: ConfigurationId) -> Option<Former> {
    let files = match state.store().configuration(id).await {
        Ok(files) => files?,
        Err(error) => {
            tracing::error!(%error, "a configuration that runs began with cannot be read");
            return None;
        }
    };
    let dir = state.dir().unwrap_or(Path::new("")).to_owned();
    let made = tokio::task::spawn_blocking(move || {
        let files: Vec<(String, String)> = serde_json::from_slice(&files).ok()?;
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let plans = Settings::from_texts_in(&dir, &files).and_then(|settings| plans::make(&settings));
        plans
            .map_err(|error| tracing::error!(%error, "a configuration that runs began with holds no more"))
            .ok()
    });
    let plans = made.await.ok()??;
    let directory = state.mesh().directory_of(plans.integrations);
    Some(Former { operations: plans.operations, directory })
}

/// Ends a run that nobody can go on with: in doubt, where something may have been sent.
pub(crate) async fn end(state: &State, run: NewRun, fence: u32) {
    let NewRun { id, operation, version, correlation_id, created_at, progress, .. } = run;
    let doubt = !progress.intents.is_empty();
    let message = format!(
        "`{operation}@{version}` cannot be had any more, neither now nor as it was when the run began"
    );
    let class = if doubt { ErrorClass::Ambiguous } else { ErrorClass::Internal };
    let at = state.clock().now().wall;
    let outcome = Outcome {
        id: id.clone(),
        operation,
        version,
        correlation_id,
        status: if doubt { RunStatus::Unknown } else { RunStatus::Failed },
        degraded: false,
        result: Json::NULL,
        steps: Vec::new(),
        error: Some(Failure::new(class, "operation_gone", message)),
        created_at,
        finished_at: Some(at),
        sent: doubt,
    };
    tracing::error!(run_id = id.as_str(), "a run that was under way cannot be gone on with");
    let progress = doubt.then(|| Progress { revision: progress.revision + 1, ..progress });
    let answer = answers::of(&outcome, fence > 0);
    let death = Some(Death {
        integration: String::new(),
        operation: outcome.operation.to_string(),
        step: None,
        class: class.as_str().to_owned(),
        code: "operation_gone".to_owned(),
    });
    let (run, cause) = (id.clone(), death.clone());
    let ending = Ending {
        id,
        status: outcome.status,
        at,
        answer,
        progress,
        children: Vec::new(),
        fence,
        death,
        inquire_at: None,
    };
    match state.store().finish_run(ending).await {
        Ok(_) => cause.iter().for_each(|death| died(&run, death)),
        Err(error) => tracing::error!(%error, "its end could not be written down"),
    }
}
