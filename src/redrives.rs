//! Dead letters that are taken up again: one, or all of a kind at a measured rate.
//!
//! A bulk redrive goes through the dead letters of its filter that were there when it was asked for, newest first, and
//! takes up so many a second. How far it is, is written down about once a second, and so it goes on after a restart: what it
//! had taken up in between is no dead letter any more, or one that died later, and either is passed over. The runs
//! themselves are queued and wait for breakers and limits like any other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use causeway_actors::store::{Control, DeadFilter, DeadGroup, NewRun, Queue, Reopened, Unavailable};
use causeway_core::name::{IntegrationName, RunId};
use causeway_core::operation::Resolution;
use causeway_core::time::Wall;
use serde::{Deserialize, Serialize};

use crate::api::State;

/// The most bulk redrives that are under way or paused.
pub(crate) const MAX_OPEN: usize = 16;
/// The most that are remembered.
const MAX_KEPT: usize = 100;
/// How many dead letters are asked for in one piece.
const PIECE: usize = 100;
/// How often, at most, it is written down how far one is.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How long a store that has failed is left alone.
const STORE_FAILED: Duration = Duration::from_secs(1);
/// What they are written down under.
const PREFIX: &str = "redrive/";

/// Which dead letters; every condition must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    /// Of this integration.
    pub(crate) integration: Option<String>,
    /// Of this operation.
    pub(crate) operation: Option<String>,
    /// With this error.
    pub(crate) code: Option<String>,
}

impl Filter {
    /// How many of these groups' dead letters it is about.
    pub(crate) fn matched(&self, groups: &[DeadGroup]) -> u64 {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        let mine = groups.iter().filter(|group| {
            is(&self.integration, &group.integration)
                && is(&self.operation, &group.operation)
                && is(&self.code, &group.code)
        });
        mine.map(|group| group.count).sum()
    }
}

/// Where a bulk redrive stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Running,
    Paused,
    Done,
    Cancelled,
}

/// A bulk redrive, as it is written down.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Redrive {
    pub(crate) id: String,
    pub(crate) filter: Filter,
    /// How many a second.
    pub(crate) rate: f64,
    pub(crate) status: Status,
    /// How many there were when it was asked for.
    pub(crate) matched: u64,
    /// How many were taken up.
    pub(crate) done: u64,
    /// How many could not be.
    pub(crate) failed: u64,
    /// Milliseconds since the Unix epoch.
    pub(crate) created_at: u64,
    /// The last one that it has looked at.
    cursor: Option<String>,
}

impl Redrive {
    pub(crate) fn new(filter: Filter, rate: f64, matched: u64, now: Wall) -> Self {
        let created_at = now.unix_millis();
        let random = uuid::Uuid::new_v4().as_u64_pair().0;
        let id = format!("rdr_{created_at:012x}{random:016x}");
        let status = Status::Running;
        Self { id, filter, rate, status, matched, done: 0, failed: 0, created_at, cursor: None }
    }

    /// How long it will take from now, in seconds, if it goes on as it is.
    pub(crate) fn eta_seconds(&self) -> Option<f64> {
        let left = self.matched.saturating_sub(self.done + self.failed);
        matches!(self.status, Status::Running | Status::Paused).then(|| (left as f64 / self.rate).ceil())
    }

    /// That it stands so, to be written down.
    pub(crate) fn kept(&self) -> Control {
        let value = serde_json::to_string(self).unwrap_or_default();
        Control { key: format!("{PREFIX}{}", self.id), value: Some(value) }
    }
}

/// The bulk redrives that are known.
#[derive(Default)]
pub(crate) struct Redrives {
    known: Mutex<BTreeMap<String, (Redrive, u64)>>,
}

impl Redrives {
    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Redrive, u64)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of them.
    pub(crate) fn get(&self, id: &str) -> Option<Redrive> {
        self.locked().get(id).map(|(redrive, _)| redrive.clone())
    }

    /// All of them, newest first.
    pub(crate) fn all(&self) -> Vec<Redrive> {
        self.locked().values().rev().map(|(redrive, _)| redrive.clone()).collect()
    }

    /// Takes one in, unless too many are open; those that are over and long past are let go of, and told.
    pub(crate) fn add(&self, redrive: Redrive) -> Option<Vec<Control>> {
        let mut known = self.locked();
        let is_open =
            |(redrive, _): &&(Redrive, u64)| matches!(redrive.status, Status::Running | Status::Paused);
        if known.values().filter(is_open).count() >= MAX_OPEN {
            return None;
        }
        let over: Vec<String> =
            known.iter().filter(|(_, one)| !is_open(one)).map(|(id, _)| id.clone()).collect();
        let surplus = (known.len() + 1).saturating_sub(MAX_KEPT);
        let gone = over.into_iter().take(surplus);
        let gone: Vec<Control> = gone
            .map(|id| {
                known.remove(&id);
                Control { key: format!("{PREFIX}{id}"), value: None }
            })
            .collect();
        known.insert(redrive.id.clone(), (redrive, 0));
        Some(gone)
    }

    /// Forgets one that nobody works at yet.
    pub(crate) fn withdraw(&self, id: &str) {
        self.locked().remove(id);
    }

    /// Says where one that is not over stands from now on; as it is then, and who works at it from now on.
    pub(crate) fn set(&self, id: &str, status: Status) -> Option<(Redrive, u64)> {
        let mut known = self.locked();
        let (redrive, worker) = known.get_mut(id)?;
        if matches!(redrive.status, Status::Running | Status::Paused) && redrive.status != status {
            redrive.status = status;
            // Whoever worked at it finds that it is no longer theirs.
            *worker += 1;
        }
        Some((redrive.clone(), *worker))
    }

    /// Changes one, if it is still this worker's; as it is then.
    fn change(&self, id: &str, worker: u64, change: impl FnOnce(&mut Redrive)) -> Option<Redrive> {
        let mut known = self.locked();
        let (redrive, mine) = known.get_mut(id).filter(|(_, mine)| *mine == worker)?;
        debug_assert_eq!(*mine, worker);
        change(redrive);
        Some(redrive.clone())
    }
}

/// Takes up those that were written down, before anything is served; those that go on.
pub(crate) fn take_in(redrives: &Redrives, controls: &[(String, String)]) -> Vec<String> {
    let kept = controls.iter().filter(|(key, _)| key.starts_with(PREFIX));
    let kept: Vec<Redrive> = kept.filter_map(|(_, value)| serde_json::from_str(value).ok()).collect();
    let running = kept.iter().filter(|redrive| redrive.status == Status::Running);
    let running = running.map(|redrive| redrive.id.clone()).collect();
    redrives.locked().extend(kept.into_iter().map(|redrive| (redrive.id.clone(), (redrive, 0))));
    running
}

/// Works at a bulk redrive until it is over, paused, cancelled, or somebody else's.
pub(crate) async fn work(state: Arc<State>, id: String, worker: u64) {
    let mut written = state.clock().mono();
    loop {
        let Some(redrive) = state.redrives().change(&id, worker, |_| {}) else { return };
        let Filter { integration, operation, code } = redrive.filter;
        let before = redrive.cursor.map(RunId::new);
        let filter = DeadFilter { run: None, integration, operation, code, before };
        let letters = match state.store().dead_letters(filter, PIECE).await {
            Ok(letters) => letters,
            Err(_) => {
                tokio::time::sleep(STORE_FAILED).await;
                continue;
            }
        };
        if letters.is_empty() {
            if let Some(done) = state.redrives().change(&id, worker, |redrive| redrive.status = Status::Done)
            {
                tracing::info!(
                    redrive = id,
                    done = done.done,
                    failed = done.failed,
                    "a bulk redrive is done"
                );
                write(&state, &done).await;
            }
            return;
        }
        for letter in letters {
            let run = &letter.run.id;
            // What died since then is not what was asked for.
            let taken = if letter.died_at.unix_millis() > redrive.created_at { None } else { Some(()) };
            let taken = match taken {
                None => Ok(false),
                Some(()) => match one(&state, &id, worker, run).await {
                    None => return,
                    Some(taken) => taken,
                },
            };
            let changed = state.redrives().change(&id, worker, |redrive| {
                redrive.cursor = Some(run.to_string());
                match taken {
                    Ok(true) => redrive.done += 1,
                    Ok(false) => {}
                    Err(()) => redrive.failed += 1,
                }
            });
            let Some(changed) = changed else { return };
            if state.clock().mono().since(written) >= WRITE_EVERY {
                written = state.clock().mono();
                write(&state, &changed).await;
            }
            if taken != Ok(false) {
                tokio::time::sleep(Duration::from_secs_f64(1.0 / changed.rate)).await;
            }
        }
    }
}

/// Takes one run up: whether it was, `Ok(false)` where it is no dead letter any more, `Err` where it cannot be. `None`: it is no
/// longer this worker's.
async fn one(state: &State, id: &str, worker: u64, run: &RunId) -> Option<Result<bool, ()>> {
    loop {
        state.redrives().change(id, worker, |_| {})?;
        let taken = match prepare(state, run, &Resolution::Redrive).await {
            Ok(reopened) => take_up(state, reopened).await,
            Err(error) => Err(error),
        };
        return Some(match taken {
            Ok(()) => Ok(true),
            Err(NotTaken::Gone) => Ok(false),
            Err(NotTaken::Refused(why)) => {
                tracing::warn!(
                    redrive = id,
                    run_id = run.as_str(),
                    why,
                    "a dead letter is not taken up again"
                );
                Err(())
            }
            Err(NotTaken::Unavailable(_)) => {
                tokio::time::sleep(STORE_FAILED).await;
                continue;
            }
        });
    }
}

async fn write(state: &State, redrive: &Redrive) {
    if let Err(error) = state.store().keep(redrive.kept()).await {
        tracing::warn!(redrive = redrive.id, %error, "how far a bulk redrive is could not be written down");
    }
}

/// Why a dead letter is not taken up again.
pub(crate) enum NotTaken {
    /// It is none any more.
    Gone,
    /// It cannot be.
    Refused(String),
    /// The store did not answer.
    Unavailable(Unavailable),
}

impl From<Unavailable> for NotTaken {
    fn from(error: Unavailable) -> Self {
        Self::Unavailable(error)
    }
}

/// A dead letter's run as it would be taken up again.
pub(crate) async fn prepare(
    state: &State,
    id: &RunId,
    resolution: &Resolution,
) -> Result<Reopened, NotTaken> {
    let filter = DeadFilter { run: Some(id.clone()), ..DeadFilter::default() };
    let letter = state.store().dead_letters(filter, 1).await?.pop();
    let (letter, run) = letter.zip(state.store().dead_run(id.clone()).await?).ok_or(NotTaken::Gone)?;
    let NewRun { id, priority, mut progress, .. } = run;
    let refused = |why: String| NotTaken::Refused(format!("the run {id} is not taken up again: {why}"));
    let (snapshot, about) =
        progress.snapshot.reopened(resolution).map_err(|error| refused(error.to_string()))?;
    if matches!(resolution, Resolution::Resend | Resolution::Succeeded(_) | Resolution::Failed) {
        for intent in progress.intents.iter_mut().filter(|intent| intent.step == about) {
            intent.in_doubt = false;
        }
    }
    progress.snapshot = snapshot;
    progress.revision += 1;
    let integration = IntegrationName::new(&letter.death.integration).map_err(|_| {
        refused("its operation cannot be had any more; let it go, and run what it was about anew".to_owned())
    })?;
    let queue = Queue { integration, not_before: state.clock().now().wall };
    Ok(Reopened { is_resolved: *resolution == Resolution::Failed, priority, queue, progress, id })
}

/// Takes it up again.
pub(crate) async fn take_up(state: &State, reopened: Reopened) -> Result<(), NotTaken> {
    let (id, integration) = (reopened.id.clone(), reopened.queue.integration.clone());
    if !state.store().reopen(reopened).await? {
        return Err(NotTaken::Gone);
    }
    state.mesh().board().take_run_off(&id);
    state.queues().queued(&integration);
    Ok(())
}
