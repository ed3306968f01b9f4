//! Lets go of what has been kept for long enough, a little at a time, so that nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use causeway_core::time::Wall;

use crate::api::State;
use crate::settings::Retention;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(60);
/// How much is let go in one piece.
const SLICE: usize = 500;
/// How long others have the store to themselves between two pieces.
const PAUSE: Duration = Duration::from_millis(50);

/// Lets go of what is old, for ever.
pub(crate) async fn sweep(state: Arc<State>, retention: Retention) {
    loop {
        let now = state.clock().now().wall;
        let ago = |kept: Duration| {
            let kept = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
            Wall::from_unix_millis(now.unix_millis().saturating_sub(kept))
        };
        let (before, dead_before) = (ago(retention.runs), ago(retention.dead_letters));
        loop {
            match state.store().forget_old_attempts(ago(retention.attempts), SLICE).await {
                Ok(gone) if gone >= SLICE => tokio::time::sleep(PAUSE).await,
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "old attempts could not be let go");
                    break;
                }
            }
        }
        if let Err(error) = state.store().forget_old_deeds(ago(retention.audit), SLICE).await {
            tracing::warn!(%error, "old entries of the audit trail could not be let go");
        }
        loop {
            let dead = state.store().forget_old_dead_letters(dead_before, SLICE).await;
            let runs = state.store().forget_old_runs(before, SLICE).await;
            match dead.and_then(|dead| runs.map(|runs| runs.max(dead))) {
                Ok(gone) if gone >= SLICE => tokio::time::sleep(PAUSE).await,
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "old runs could not be let go");
                    break;
                }
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}
