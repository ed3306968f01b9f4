//! Asks providers what became of runs that ended in doubt, later and later, and takes those runs up that are settled.
//!
//! When a run is asked about next stands beside its dead letter, so it goes on after a restart. Asking changes nothing; what
//! is found out is written to the audit trail and then into the run, in one transaction that does nothing if somebody has
//! taken the run up meanwhile. A provider that is left alone, its breaker open or its limits drained, is asked a minute
//! later, and that does not count.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::Addr;
use causeway_actors::metric::{Labels, Metric};
use causeway_actors::router::{Inquire, Router};
use causeway_actors::store::{Deed, DueInquiry, NewRun, Queue, Reopened, Unavailable};
use causeway_core::name::RunId;
use causeway_core::operation::{Finding, Plan, Settled};
use causeway_core::time::Wall;
use tokio::sync::oneshot;

use crate::api::State;
use crate::recovery::{self, NotKnown};
use crate::redrives::{self, NotTaken};

/// How often it is looked for runs that are due.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The most runs that are asked about at once.
const MAX_OPEN: usize = 64;
/// When a provider is asked that was left alone.
const LEFT_ALONE: Duration = Duration::from_secs(60);

/// The runs that are asked about now.
type Open = Arc<Mutex<HashSet<RunId>>>;

/// Asks about what is due, for ever.
pub(crate) async fn work(state: Arc<State>, router: Addr<Router>) {
    let open = Open::default();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // Those that are asked about now are due, too.
        let due = match state.store().due_inquiries(state.clock().now().wall, 2 * MAX_OPEN).await {
            Ok(due) => due,
            Err(error) => {
                tracing::debug!(%error, "runs in doubt could not be looked for");
                continue;
            }
        };
        for due in due {
            let is_new = {
                let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
                open.len() < MAX_OPEN && open.insert(due.run.clone())
            };
            if is_new {
                let (state, router, open) = (Arc::clone(&state), router.clone(), Arc::clone(&open));
                actix_web::rt::spawn(async move {
                    if let Err(error) = one(&state, &router, &due).await {
                        tracing::warn!(run_id = due.run.as_str(), %error, "a run in doubt stays so for now");
                    }
                    open.lock().unwrap_or_else(PoisonError::into_inner).remove(&due.run);
                });
            }
        }
    }
}

/// Asks about one run, and takes it up if it is settled.
async fn one(state: &State, router: &Addr<Router>, due: &DueInquiry) -> Result<(), Unavailable> {
    let Some(run) = state.store().dead_run(due.run.clone()).await? else {
        return state.store().inquire_at(due.run.clone(), None).await;
    };
    let (plan, directory) = match recovery::known(state, &run).await {
        Ok(known) => known,
        Err(NotKnown::Unavailable(error)) => return Err(error),
        Err(NotKnown::Gone(why)) => {
            tracing::warn!(run_id = due.run.as_str(), why, "nobody can be asked about a run in doubt");
            return state.store().inquire_at(due.run.clone(), None).await;
        }
    };
    let now = state.clock().now().wall;
    let (reply, found_out) = oneshot::channel();
    let inquire = Inquire {
        run: Box::new(run.clone()),
        plan: Arc::clone(&plan),
        directory,
        ended_ago: now.since(due.died_at),
        reply,
    };
    if router.send(inquire).await.is_err() {
        // The server ends.
        return Ok(());
    }
    let finding = found_out.await.unwrap_or_default();
    match &finding.settled {
        Some(settled) if !settled.is_empty() => settle(state, due, run, &plan, settled).await,
        Some(_) | None => {
            let next = next(due, &finding, state.clock().now().wall);
            count(if finding.asked { "undecided" } else { "not_asked" });
            state.store().inquire_at(due.run.clone(), next).await
        }
    }
}

/// When it is asked about next.
fn next(due: &DueInquiry, finding: &Finding, now: Wall) -> Option<Wall> {
    let after = finding.again_after.map(|after| due.died_at + after);
    if finding.asked {
        after
    } else {
        after.map(|after| after.min(now + LEFT_ALONE)).or(Some(now + LEFT_ALONE))
    }
}

fn count(result: &'static str) {
    Metric::Reconciliations.counter(&Labels::none().word("result", result)).increment(1);
}

/// Takes a run up with what has become of its steps.
async fn settle(
    state: &State,
    due: &DueInquiry,
    run: NewRun,
    plan: &Plan,
    settled: &[Settled],
) -> Result<(), Unavailable> {
    let Some(first) = settled.first().and_then(|settled| plan.steps.get(settled.step)) else { return Ok(()) };
    let NewRun { id, priority, mut progress, .. } = run;
    for intent in &mut progress.intents {
        intent.in_doubt &= !settled.iter().any(|settled| settled.step == intent.step);
    }
    progress.snapshot = progress.snapshot.settled(settled);
    progress.revision += 1;
    let integration = first.primary.call.integration.clone();
    let fails = settled.iter().any(|settled| settled.required && settled.found.is_none());

    let at = state.clock().now().wall;
    let reason = told(plan, settled);
    tracing::info!(run_id = id.as_str(), reason, "a run that ended in doubt is settled");
    let (subject, action) = (id.to_string(), "run.reconcile");
    let deed = Deed { at, operator: None, action, subject, reason: Some(reason), control: None };
    state.store().audit(deed).await?;
    count(if fails { "absent" } else { "found" });

    let reopened = Reopened {
        id,
        // Whoever waited for it was told that nobody knew, and learns of its end when it asks again; for one that nobody
        // waited for a person has to.
        is_resolved: fails && !due.is_async,
        priority,
        queue: Queue { integration, not_before: at },
        progress,
    };
    match redrives::take_up(state, reopened).await {
        // Somebody else has taken it up.
        Ok(()) | Err(NotTaken::Gone | NotTaken::Refused(_)) => Ok(()),
        Err(NotTaken::Unavailable(error)) => Err(error),
    }
}

/// What was found out, in words.
fn told(plan: &Plan, settled: &[Settled]) -> String {
    let of = |settled: &Settled| {
        let name = plan.steps.get(settled.step).map_or("", |step| step.name.as_str());
        let what = if settled.found.is_some() { "was found at its provider" } else { "was not done" };
        format!("the step `{name}` {what}")
    };
    settled.iter().map(of).collect::<Vec<_>>().join("; ")
}
