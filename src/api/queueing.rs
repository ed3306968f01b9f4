//! Runs that nobody waits for: answered 202 as soon as they are on disk, and executed by and by.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use causeway_actors::intents;
use causeway_actors::plan::RunContext;
use causeway_actors::store::{Claimed, Known, NewRun, Progress, Queue, Unavailable};
use causeway_core::name::CorrelationId;
use causeway_core::operation::{Begin, Outcome, Run, RunStatus, StepStatus};
use causeway_core::time::Mono;

use super::operations::{Asked, COME_BACK, end_of, goes_on, in_flight, known, unavailable};
use super::problem::{Code, Problem};
use super::{State, answers, context, runs};
use crate::queue::Reserved;
use crate::settings::InFlight;

/// Leaves a run to the queue.
pub(super) async fn run(
    request: &HttpRequest,
    state: &State,
    asked: &Asked,
    correlation_id: &CorrelationId,
    arrived: Mono,
) -> Result<HttpResponse, Problem> {
    if state.refusing() {
        let detail = "the server is stopping and takes no new runs; another one may";
        return Err(Problem::new(Code::Draining, detail).retry_after(Some(COME_BACK)));
    }
    let now = state.clock().now();
    let begin = Begin {
        id: context::run_id(),
        correlation_id: correlation_id.clone(),
        plan: Arc::clone(&asked.plan),
        input: asked.input.clone(),
        budget: None,
        wait: None,
    };
    let mut run = Run::begin(begin, now);
    // One that has nothing to wait for is executed by whoever has its first step.
    let first = asked.plan.steps.as_slice().first().map(|step| step.primary.call.integration.clone());
    let Some(integration) = run.waits_for().cloned().or(first) else {
        return Err(Problem::new(Code::Internal, "the operation has no step"));
    };
    let place = asked.directory.find(integration.as_str());
    let most = place.map_or(u32::MAX, |place| place.plan().queue.max_pending);
    let Some(reserved) = state.queues().reserve(&integration, most) else {
        // Who has asked before is answered, however many wait.
        if let Some(known) = known(state, asked).await? {
            return repeated(state, asked, known, arrived).await;
        }
        let detail = format!("{most} runs wait for `{integration}` already; nothing was taken on");
        return Err(Problem::new(Code::Overloaded, detail).retry_after(Some(COME_BACK)));
    };
    let not_before = asked.not_before.unwrap_or(now.wall);
    let (trace, priority) =
        (context::trace(request, state.sample()), asked.priority.unwrap_or(asked.plan.priority));
    let (accepted, mut progress) = (accepted(&run), Progress::of(&run));
    if intents::is_soon(not_before, now.wall) {
        let context = RunContext::of(&run, trace);
        progress.intents = intents::foresee(&mut run, context, &asked.directory, priority, now.wall).await;
    }
    let new = NewRun {
        id: run.id().clone(),
        client: asked.client.clone(),
        operation: asked.plan.operation.clone(),
        version: asked.plan.version,
        correlation_id: correlation_id.clone(),
        trace,
        priority,
        created_at: now.wall,
        claim: asked.claim,
        configuration: asked.configuration,
        input: asked.input.clone(),
        progress,
        part: None,
        queue: Some(Queue { integration: integration.clone(), not_before }),
    };
    match claimed(state, new, reserved).await {
        Ok(Claimed::New) => {}
        Ok(Claimed::Known(known)) => return repeated(state, asked, known, arrived).await,
        Err(error) => return Err(unavailable(&error, false)),
    }
    asked.count("new");
    if let Some(wait) = asked.wait {
        let until = state.clock().instant(arrived + wait);
        if let Ok(Ok(Some(answer))) = tokio::time::timeout_at(until, end_of(state, run.id())).await {
            return Ok(answers::first(&answer));
        }
    }
    Ok(runs::goes_on(&accepted))
}

/// Writes a run down, in the place that was kept for it: whether its caller still waits or has left meanwhile.
async fn claimed(state: &State, new: NewRun, reserved: Reserved) -> Result<Claimed, Unavailable> {
    let store = Arc::clone(state.store());
    let written = actix_web::rt::spawn(async move {
        let claimed = store.claim_run(new).await;
        if matches!(claimed, Ok(Claimed::New)) {
            reserved.fill();
        }
        claimed
    });
    written.await.unwrap_or_else(|_| Err(Unavailable("writing a run down ended without a result".to_owned())))
}

/// The run as it stands on disk: nothing of it has begun.
fn accepted(run: &Run) -> Outcome {
    let mut outcome = run.so_far();
    outcome.status = RunStatus::Accepted;
    for step in outcome.steps.iter_mut().filter(|step| step.status == StepStatus::Running) {
        step.status = StepStatus::Pending;
    }
    outcome
}

/// The same key once more.
async fn repeated(
    state: &State,
    asked: &Asked,
    known: Known,
    arrived: Mono,
) -> Result<HttpResponse, Problem> {
    let Known { id, fingerprint, answer } = known;
    if asked.claim.as_ref().is_some_and(|claim| claim.fingerprint != fingerprint) {
        asked.count("mismatch");
        let detail =
            format!("the key was used for the run {id}, with another input or version; nothing was taken on");
        return Err(Problem::new(Code::IdempotencyKeyReused, detail));
    }
    if let Some(answer) = answer {
        asked.count("replayed");
        return Ok(answers::again(&answer));
    }
    if asked.keys.in_flight == InFlight::Conflict {
        return Err(in_flight(state, asked, &id));
    }
    asked.count("attached");
    if let Some(wait) = asked.wait {
        let until = state.clock().instant(arrived + wait);
        // Whether it has ended or not, it is told as it stands then.
        let _ = tokio::time::timeout_at(until, end_of(state, &id)).await;
    }
    goes_on(state, asked, &id).await
}
