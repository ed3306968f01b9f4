//! Lets go of what has been kept for long enough, a little at a time, so that nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use causeway_actors::store::{ConfigurationId, Store, Unavailable};
use causeway_core::time::Wall;

use crate::api::State;
use crate::settings::Retention;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(60);
/// For how long what of limits tells nothing any more is kept: a clock that was set back may say otherwise.
const LIMITS: Duration = Duration::from_secs(86_400);
/// How much is let go in one piece.
const SLICE: usize = 500;
/// The same of configurations: each is some files.
const CONFIGURATIONS: usize = 20;
/// How long others have the store to themselves between two pieces.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a configuration is kept that nobody goes by: longer than it takes a request that has met it to begin its run.
const MET: Duration = Duration::from_secs(300);

/// Lets go of what is old, for ever.
pub(crate) async fn sweep(state: Arc<State>, retention: Retention) {
    // What a request has met as the configuration that holds, it may still begin a run with.
    let mut held = state.live().configuration();
    loop {
        let (store, now) = (&**state.store(), state.clock().now().wall);
        tell("attempts", attempts(store, ago(now, retention.attempts)).await);
        tell("entries of the audit trail", deeds(store, ago(now, retention.audit)).await);
        tell("records of limits", limits(store, ago(now, LIMITS)).await);
        tell("runs", runs(store, ago(now, retention.runs), ago(now, retention.dead_letters)).await);
        let holds = state.live().configuration();
        tell("configurations", configurations(store, vec![held, holds], ago(now, MET)).await);
        held = holds;
        tokio::time::sleep(EVERY).await;
    }
}

fn ago(now: Wall, kept: Duration) -> Wall {
    let kept = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
    Wall::from_unix_millis(now.unix_millis().saturating_sub(kept))
}

fn tell(what: &str, done: Result<(), Unavailable>) {
    if let Err(error) = done {
        tracing::warn!(%error, "old {what} could not be let go");
    }
}

async fn attempts(store: &dyn Store, before: Wall) -> Result<(), Unavailable> {
    while store.forget_old_attempts(before, SLICE).await? >= SLICE {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn limits(store: &dyn Store, before: Wall) -> Result<(), Unavailable> {
    store.forget_old_limits(before, SLICE).await.map(drop)
}

async fn deeds(store: &dyn Store, before: Wall) -> Result<(), Unavailable> {
    store.forget_old_deeds(before, SLICE).await.map(drop)
}

/// Dead letters first: their runs go when they are none any more.
async fn runs(store: &dyn Store, before: Wall, dead_before: Wall) -> Result<(), Unavailable> {
    loop {
        let dead = store.forget_old_dead_letters(dead_before, SLICE).await?;
        let runs = store.forget_old_runs(before, SLICE).await?;
        if dead.max(runs) < SLICE {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn configurations(
    store: &dyn Store,
    current: Vec<ConfigurationId>,
    before: Wall,
) -> Result<(), Unavailable> {
    while store.forget_old_configurations(current.clone(), before, CONFIGURATIONS).await? >= CONFIGURATIONS {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
