//! `POST /admin/v1/attempts/{id}/replay`: makes a call anew, as a run of its own.
//!
//! What is sent is made of the input as it was, which is kept sealed, with its run or beside the attempt, and of what is configured now: a
//! mapping that was mended since is tried that way. The run has an id of its own, and so a key of its own: a call that may
//! act, acts once more. Whoever wants that says so; whoever wants to know what became of the first takes up its run instead.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use causeway_actors::store::{Attempt, NewRun, Progress, Queue};
use causeway_core::name::{CorrelationId, RunId};
use causeway_core::operation::{Begin, Part, Plan, Run};
use serde::Deserialize;

use super::admin::{audited, command, reason};
use super::problem::{Code, Problem, unavailable};
use super::state::Live;
use super::{State, access, attempts, context};
use crate::control::Command;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Asked {
    reason: Option<String>,
    /// The call may act, and is to act once more.
    #[serde(default)]
    again: bool,
}

/// Makes the call of an attempt anew.
pub(super) async fn replay(
    request: HttpRequest,
    payload: Payload,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let Asked { reason: why, again } = command(&request, payload).await?;
    let why = why.map(reason).transpose()?;
    let attempt = attempts::find(&state, &id).await?;
    let new = prepared(&request, &state, &attempt, again).await?;
    let (run, queue) = (new.id.clone(), new.queue.clone());

    let subject = format!("{} as {run}", attempt.id);
    let operator = access::operator(&request);
    let spoken = Command { operator, action: "attempt.replay", subject: &subject, reason: why };
    audited(&state, spoken, None).await?;

    state.store().claim_run(new).await.map_err(|error| unavailable(&error))?;
    queue.iter().for_each(|queue| state.queues().queued(&queue.integration));
    let mut response = HttpResponse::Accepted();
    response.insert_header((header::LOCATION, format!("/admin/v1/runs/{run}")));
    response.insert_header((context::CORRELATION_ID, context::correlation_id(&request).as_str()));
    Ok(response.json(serde_json::json!({ "id": run, "status": "accepted", "attempt": attempt.id })))
}

fn refused(why: impl std::fmt::Display) -> Problem {
    Problem::new(Code::NotReplayed, format!("the call is not made again: {why}"))
}

/// The run that makes it anew.
async fn prepared(
    request: &HttpRequest,
    state: &State,
    attempt: &Attempt,
    again: bool,
) -> Result<NewRun, Problem> {
    let input = attempt.input.clone().ok_or_else(|| {
        refused(if attempt.repeats_input {
            "its input was its run's, which is not kept any more"
        } else {
            "its input was not kept: it was too large, or too much waited to be written"
        })
    })?;
    let live = state.live();
    let (whole, part) = called(state, &live, attempt).await?;
    let plan = whole.part(part).ok_or_else(|| refused("its step is no longer configured"))?;
    if plan.may_act() && !again {
        return Err(refused(
            "it may act, and would act once more, under a key of its own; to go on with the first, take up its run's \
             dead letter, and if it is to be done again, say `\"again\": true`",
        ));
    }
    let now = state.clock().now();
    let correlation_id = CorrelationId::new(&attempt.record.correlation_id)
        .unwrap_or_else(|| context::correlation_id(request));
    let plan = Arc::new(plan);
    let begin = Begin {
        id: context::run_id(),
        correlation_id: correlation_id.clone(),
        plan: Arc::clone(&plan),
        input: input.clone(),
        budget: None,
        wait: None,
    };
    let run = Run::begin(begin, now);
    let integration = plan.steps.get(0).map(|step| step.primary.call.integration.clone());
    let queue = integration.map(|integration| Queue { integration, not_before: now.wall });
    Ok(NewRun {
        id: run.id().clone(),
        client: None,
        operation: plan.operation.clone(),
        version: plan.version,
        correlation_id,
        trace: context::trace(request, state.sample()),
        priority: plan.priority,
        created_at: now.wall,
        claim: None,
        configuration: live.configuration(),
        input,
        progress: Progress::of(&run),
        part: Some(part),
        queue,
    })
}

/// The call of an attempt, in the operation as it is configured now: in the version of its run, where that is known.
async fn called(state: &State, live: &Live, attempt: &Attempt) -> Result<(Arc<Plan>, Part), Problem> {
    let record = &attempt.record;
    let run =
        state.store().run(RunId::new(record.run_id.as_str())).await.map_err(|error| unavailable(&error))?;
    let versions = live
        .operation(&record.operation)
        .ok_or_else(|| refused(format_args!("`{}` is no longer configured", record.operation)))?;
    let offer = match run {
        Some(run) => versions.version(run.version),
        None => versions.current(),
    };
    let gone = || {
        let (step, integration, endpoint) = (&record.step, &record.integration, &record.endpoint);
        refused(format_args!(
            "the step `{step}` of `{}` no longer calls `{integration}.{endpoint}`",
            record.operation
        ))
    };
    let plan = &offer.ok_or_else(gone)?.plan;
    let steps = plan.steps.as_slice();
    let place = steps.iter().position(|step| step.name.as_str() == record.step).ok_or_else(gone)?;
    let call = plan
        .steps
        .get(place)
        .and_then(|step| step.find_call(&record.role, &record.integration, &record.endpoint))
        .ok_or_else(gone)?;
    Ok((Arc::clone(plan), Part { step: place, call: Some(call) }))
}
