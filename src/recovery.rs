//! Goes on with what a former life of the server has left: runs that were under way when it ended.
//!
//! A run goes by the configuration it began with to its end, also in another process: the files are kept in the store
//! under their digest, and read again where they are not the ones that hold now. What cannot be gone on with, because
//! its operation is no longer to be had, ends with what is known of it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use bytes::Bytes;
use causeway_actors::directory::Directory;
use causeway_actors::router::{Resume, Router, RunPermit, died};
use causeway_actors::store::{ConfigurationId, Death, Ending, NewRun, Progress, Store, Ticket, Unavailable};
use causeway_core::failure::{ErrorClass, Failure};
use causeway_core::json::Json;
use causeway_core::name::{OperationName, RunId};
use causeway_core::operation::{Outcome, Plan, RunStatus};
use causeway_core::time::Mono;
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

/// How long a store that has failed is left alone.
const STORE_FAILED: Duration = Duration::from_secs(1);
/// How long it is believed that a configuration cannot be had: what was missing may be put back.
const BELIEVED: Duration = Duration::from_secs(60);

/// A configuration that runs have begun with.
struct Former {
    operations: HashMap<OperationName, Versions>,
    directory: Arc<Directory>,
}

/// Why it is not known what a run does.
pub(crate) enum NotKnown {
    /// It cannot be had any more, and why.
    Gone(String),
    /// The store did not answer.
    Unavailable(Unavailable),
}

/// The configurations that runs which are under way have begun with; or why one cannot be had, and since when.
#[derive(Default)]
pub struct Formers(Mutex<HashMap<ConfigurationId, Had>>);

/// A configuration, or why it cannot be had and since when.
type Had = Result<Former, (String, Mono)>;

/// Goes on with these runs, each as soon as there is a place for it.
pub(crate) async fn go_on(state: Arc<State>, router: Addr<Router>, left: Vec<RunId>) {
    if left.is_empty() {
        return;
    }
    tracing::warn!(runs = left.len(), "runs were under way when the server ended: going on with them");
    let mut left = VecDeque::from(left);
    let mut told = HashSet::new();
    while let Some(id) = left.pop_front() {
        if let Err(error) = go_on_with(&state, &router, &id).await {
            if told.insert(id.clone()) {
                tracing::error!(run_id = id.as_str(), %error, "a run that was under way cannot be read yet");
            }
            left.push_back(id);
            tokio::time::sleep(STORE_FAILED).await;
        }
    }
    tracing::info!("every run that was under way goes on");
}

async fn go_on_with(state: &State, router: &Addr<Router>, id: &RunId) -> Result<(), Unavailable> {
    let Some(run) = state.store().unfinished(id.clone()).await? else { return Ok(()) };
    let Some(permit) = state.run_permit_in_turn().await else { return Ok(()) };
    let why = match known(state, &run).await {
        Ok((plan, directory)) => {
            let permit = RunPermit::new(permit, None);
            let resume = Resume { run: Box::new(run.clone()), plan, directory, permit, lease: None };
            // A router that has ended has nobody who could go on with it now.
            if router.send(resume).await.unwrap_or(true) {
                return Ok(());
            }
            FAULT.to_owned()
        }
        Err(NotKnown::Gone(why)) => why,
        Err(NotKnown::Unavailable(error)) => return Err(error),
    };
    end(state, run, Ticket::default(), &why).await.map(drop)
}

/// Why a run cannot be gone on with whose plan is there.
pub(crate) const FAULT: &str = "it could not be taken up, which the log tells more of";

/// What a run does, and where.
pub(crate) async fn known(state: &State, run: &NewRun) -> Result<(Arc<Plan>, Arc<Directory>), NotKnown> {
    let (plan, directory) = whole(state, run).await?;
    let plan = match run.part {
        None => plan,
        Some(part) => Arc::new(plan.part(part).ok_or_else(|| no_such(run))?),
    };
    if run.progress.snapshot.fits(&plan) { Ok((plan, directory)) } else { Err(no_such(run)) }
}

fn no_such(run: &NewRun) -> NotKnown {
    let NewRun { operation, version, .. } = run;
    NotKnown::Gone(format!("the configuration it began with has no such `{operation}@{version}`"))
}

async fn whole(state: &State, run: &NewRun) -> Result<(Arc<Plan>, Arc<Directory>), NotKnown> {
    let of = |versions: Option<&Versions>| {
        let offer = versions.and_then(|versions| versions.version(run.version));
        offer.map(|offer| Arc::clone(&offer.plan)).ok_or_else(|| no_such(run))
    };
    {
        let live = state.live();
        if live.configuration() == run.configuration {
            return Ok((of(live.operation(run.operation.as_str()))?, Arc::clone(live.directory())));
        }
    }
    let mut formers = state.formers().0.lock().await;
    let now = state.clock().mono();
    let is_old = |known: &Result<Former, (String, Mono)>| match known {
        Ok(_) => false,
        Err((_, since)) => now.since(*since) >= BELIEVED,
    };
    if formers.get(&run.configuration).is_none_or(is_old) {
        let read = read(state, run.configuration).await.map_err(NotKnown::Unavailable)?;
        formers.insert(run.configuration, read.map_err(|why| (why, now)));
    }
    match formers.get(&run.configuration) {
        Some(Ok(former)) => Ok((of(former.operations.get(&run.operation))?, Arc::clone(&former.directory))),
        Some(Err((why, _))) => Err(NotKnown::Gone(why.clone())),
        None => Err(no_such(run)),
    }
}

/// A configuration that runs began with; inside, why it cannot be had any more.
async fn read(state: &State, id: ConfigurationId) -> Result<Result<Former, String>, Unavailable> {
    let Some(files) = state.store().configuration(id).await? else {
        return Ok(Err("the configuration it began with is not kept any more".to_owned()));
    };
    let dir = state.dir().unwrap_or(Path::new("")).to_owned();
    let made = tokio::task::spawn_blocking(move || {
        let files: Vec<(String, String)> =
            serde_json::from_slice(&files).map_err(|error| error.to_string())?;
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let plans = Settings::from_texts_in(&dir, &files).and_then(|settings| plans::make(&settings));
        plans.map_err(|error| error.to_string())
    });
    let made = made.await.unwrap_or_else(|_| Err("reading it ended without a result".to_owned()));
    Ok(match made {
        Ok(plans) => {
            let directory = state.mesh().directory_of(plans.integrations);
            Ok(Former { operations: plans.operations, directory })
        }
        Err(why) => {
            tracing::error!(why, "a configuration that runs began with holds no more");
            Err(format!("the configuration it began with holds no more: {why}"))
        }
    })
}

/// Ends a run that nobody can go on with: in doubt, where something may have been sent. Whether it was still ours to end.
///
/// # Errors
/// [`Unavailable`]: it has not ended.
pub(crate) async fn end(state: &State, run: NewRun, ticket: Ticket, why: &str) -> Result<bool, Unavailable> {
    let integration = waits_at(state, &run);
    let NewRun { id, operation, version, correlation_id, created_at, progress, .. } = run;
    let doubt = progress.intents.iter().any(|intent| intent.in_doubt);
    let message = format!("`{operation}@{version}` cannot be gone on with: {why}");
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
        error: Some(Failure::new(class, OPERATION_GONE, message)),
        created_at,
        finished_at: Some(at),
        sent: ticket.first_try.is_some()
            || progress.intents.iter().any(|intent| intent.in_doubt || intent.lease.is_none()),
    };
    tracing::error!(run_id = id.as_str(), why, "a run that was under way cannot be gone on with");
    let death = Death {
        integration,
        operation: outcome.operation.to_string(),
        step: None,
        class: class.as_str().to_owned(),
        code: OPERATION_GONE.to_owned(),
    };
    let ending = Ending {
        id: id.clone(),
        status: outcome.status,
        at,
        answer: answers::of(&outcome, ticket.is_async),
        progress: Some(Progress { revision: progress.revision + 1, ..progress.without_leases() }),
        children: Vec::new(),
        fence: ticket.fence,
        death: Some(death.clone()),
        inquire_at: None,
    };
    let ours = state.store().finish_run(ending).await?;
    if ours {
        died(&id, &death);
    }
    Ok(ours)
}

/// Where a run waits, or would wait if it were taken up again; empty where nobody knows.
fn waits_at(state: &State, run: &NewRun) -> String {
    if let Some(queue) = &run.queue {
        return queue.integration.to_string();
    }
    let step = run.progress.intents.first().map_or(0, |intent| intent.step);
    let live = state.live();
    let offer = live.operation(run.operation.as_str()).and_then(|versions| versions.version(run.version));
    let step = offer.and_then(|offer| offer.plan.steps.get(step));
    step.map_or_else(String::new, |step| step.primary.call.integration.to_string())
}

/// The code of a run that nobody can go on with.
const OPERATION_GONE: &str = "operation_gone";
