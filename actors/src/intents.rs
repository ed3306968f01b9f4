//! The requests that a queued run is about to send, made ready when it is written down.
//!
//! What may act is on disk before it is sent, with the word that it may have been sent. For a run whose caller waits that is
//! written with its claim. A queued run is claimed long before, and is leased before it is executed: its first requests are
//! written with the claim, and the lease is that word. So nothing is written between the lease and the first byte.
//!
//! That is done where a doubt is cheap: the provider knows the key again. Whoever leases the run after one that died with it
//! sends it once more, though it may never have been sent. What nothing makes harmless, or has to be asked about, is not put
//! in doubt before it is: it is written down once more when it is sent.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use causeway_core::idempotency::Role;
use causeway_core::operation::{Directive, Order, Run};
use causeway_core::priority::Priority;
use causeway_core::time::Wall;
use futures_util::FutureExt;

use crate::attempt;
use crate::directory::Directory;
use crate::plan::{IntegrationPlan, RunContext, StepCall};
use crate::store::Intent;

/// How long after it was made ready a request may be sent without being written down again: the provider's memory of its key
/// is counted from then on.
const FRESH: Duration = Duration::from_secs(60);

/// The fence of a run's first lease.
const FIRST_LEASE: u32 = 1;

/// Makes the first requests of a run ready that has just begun, as far as they are foreseen. It is not gone on with afterwards.
pub async fn foresee(
    run: &mut Run,
    context: RunContext,
    directory: &Directory,
    priority: Priority,
    now: Wall,
) -> Vec<Intent> {
    let (context, mut intents) = (Arc::new(context), Vec::new());
    while let Some(directive) = run.poll() {
        let Directive::Execute(order) = directive else { continue };
        let role = order.role;
        let Some((call, plan)) = keyed_call(run, order, &context, directory, priority) else { continue };
        let step = call.index;
        // One that cannot be written fails when its turn comes, and so does one in whose mapping there is a fault.
        let ready = AssertUnwindSafe(attempt::materialise(plan, call)).catch_unwind().await;
        if let Ok(Ok(request)) = ready {
            let repeats_input = request.body == *run.input().bytes();
            let lease = Some(FIRST_LEASE);
            intents.push(Intent { step, role, at: now, request, in_doubt: false, lease, repeats_input });
        }
    }
    intents
}

fn keyed_call(
    run: &Run,
    order: Order,
    context: &Arc<RunContext>,
    directory: &Directory,
    priority: Priority,
) -> Option<(StepCall, Arc<IntegrationPlan>)> {
    let Order { step, role, input, deadline, in_doubt_for } = order;
    let target = run.target(step).filter(|target| role != Role::Verify && target.bears_doubt())?;
    let place = directory.find(target.integration.as_str())?;
    let call = StepCall {
        run: Arc::clone(context),
        step: run.plan().steps.get(step)?.name.clone(),
        index: step,
        role,
        endpoint: target.endpoint_index,
        repeats_input: input == *run.input(),
        input,
        priority,
        deadline,
        in_doubt_for,
        request: None,
        lease: None,
    };
    Some((call, Arc::clone(place.plan())))
}

/// Whether a run that waits until then is executed soon enough for its requests to be made ready now.
pub fn is_soon(not_before: Wall, now: Wall) -> bool {
    not_before.since(now) < FRESH / 2
}

impl Intent {
    /// Whether the lease with this fence has told already that it may have been sent.
    pub(crate) fn is_told_by(&self, fence: u32, now: Wall) -> bool {
        self.lease == Some(fence) && self.is_fresh(now)
    }

    /// Whether it was made ready, and has waited for too long since to be sent as if it was new. `untried`: no attempt has been
    /// made.
    pub(crate) fn is_stale(&self, untried: bool, now: Wall) -> bool {
        self.lease.is_some() && untried && !self.in_doubt && !self.is_fresh(now)
    }

    fn is_fresh(&self, now: Wall) -> bool {
        // A clock that has been set back tells nothing.
        now >= self.at && now.since(self.at) < FRESH
    }
}

#[cfg(test)]
mod tests {
    use causeway_core::endpoint::Materialised;

    use super::*;

    fn intent(lease: Option<u32>, in_doubt: bool) -> Intent {
        let (method, path_and_query) = (http::Method::POST, "/".to_owned());
        let request = Materialised {
            method,
            path_and_query,
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::new(),
        };
        let (at, role) = (Wall::from_unix_millis(1_000_000), Role::Primary);
        Intent { step: 0, role, at, request, in_doubt, lease, repeats_input: false }
    }

    fn later(seconds: u64) -> Wall {
        Wall::from_unix_millis(1_000_000) + Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_tells_of_what_was_made_ready_for_it_and_not_long_ago() {
        assert!(intent(Some(3), false).is_told_by(3, later(59)));
        assert!(!intent(Some(3), false).is_told_by(4, later(0)));
        assert!(!intent(None, false).is_told_by(3, later(0)));
        assert!(!intent(Some(3), false).is_told_by(3, later(60)));
        let before = Wall::from_unix_millis(999_999);
        assert!(!intent(Some(3), false).is_told_by(3, before), "its clock was set back");
    }

    #[test]
    fn what_has_waited_for_too_long_is_made_ready_anew_unless_it_may_have_been_sent() {
        assert!(intent(Some(1), false).is_stale(true, later(60)));
        assert!(!intent(Some(1), false).is_stale(true, later(59)));
        assert!(!intent(Some(1), false).is_stale(false, later(60)), "it was tried");
        assert!(!intent(Some(1), true).is_stale(true, later(60)), "it is in doubt");
        assert!(!intent(None, false).is_stale(true, later(60)), "it was written down to be sent");
    }
}
