//! `GET /v1/operations`: what there is to run, and what each takes.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use causeway_core::json::Json;
use causeway_core::operation::Plan;
use serde::Serialize;

use super::problem::Problem;
use super::{State, access, context, page};
use crate::plans::Offer;

/// A version of an operation.
#[derive(Serialize)]
struct Item {
    operation: String,
    version: u32,
    title: String,
    /// Whether a caller that names no version gets this one.
    current: bool,
    /// Only for callers that ask for this version.
    preview: bool,
    mode: &'static str,
    deadline_ms: u64,
    priority: &'static str,
    /// Whether running it may change anything at a provider.
    mutates: bool,
    /// What its input looks like; `null`: any JSON.
    input_schema: Option<Json>,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    name: String,
    integration: String,
    endpoint: String,
    required: bool,
    /// The steps that it waits for.
    after: Vec<String>,
}

pub(super) async fn list(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, Problem> {
    let (live, client) = (state.live(), access::client(&request));
    let mut items = Vec::new();
    for versions in live.operations() {
        let current = versions.current().map(|offer| offer.plan.version);
        for offer in versions.all() {
            let name = offer.plan.operation.as_str();
            if client.as_ref().is_none_or(|client| client.may_run(name)) {
                let key = format!("{name}@{:07}", offer.plan.version);
                items.push((key, item(offer, current)));
            }
        }
    }
    let id = context::correlation_id(&request);
    let page = page::of(&request, items).map_err(|problem| problem.correlated(id.as_str()))?;
    Ok(HttpResponse::Ok().insert_header((context::CORRELATION_ID, id.as_str())).json(page))
}

fn item(offer: &Offer, current: Option<u32>) -> Item {
    let plan = &offer.plan;
    Item {
        operation: plan.operation.to_string(),
        version: plan.version,
        title: offer.title.clone(),
        current: current == Some(plan.version),
        preview: offer.preview,
        mode: offer.mode.as_str(),
        deadline_ms: u64::try_from(plan.deadline.as_millis()).unwrap_or(u64::MAX),
        priority: plan.priority.as_str(),
        mutates: plan.may_act(),
        input_schema: offer.input.as_ref().map(|schema| schema.text().clone()),
        steps: steps(plan),
    }
}

fn steps(plan: &Plan) -> Vec<Step> {
    let named = |index: usize| plan.steps.get(index).map(|step| step.name.to_string());
    plan.steps
        .as_slice()
        .iter()
        .map(|step| Step {
            name: step.name.to_string(),
            integration: step.primary.call.integration.to_string(),
            endpoint: step.primary.call.endpoint.to_string(),
            required: step.required,
            after: step.after.iter().filter_map(named).collect(),
        })
        .collect()
}
