//! The business API.

use actix_web::http::StatusCode;
use causeway_core::operation::RunStatus;
use causeway_core::schema::Schema;
use serde_json::{Map, Value, json};

use super::super::problem::Code;
use super::{answers, document, header, in_path, page_of, paging, query, reference, schemas, whole};
use crate::plans::Offer;
use crate::settings::Mode;

const ABOUT: &str = "Runs business operations at the external systems behind them, and answers with one truthful outcome. Every \
                     error is a problem (RFC 9457) whose `code` has a page under /docs/errors/.";

/// What any call may be refused with before it is looked at.
const ANY: [Code; 4] = [Code::ForeignOrigin, Code::Unauthenticated, Code::LockedOut, Code::MalformedRequest];

/// What running an operation may end with.
const OF_RUNS: [Code; 26] = [
    Code::IdempotencyKeyRequired,
    Code::IdempotencyKeyReused,
    Code::RunInFlight,
    Code::StoreUnavailable,
    Code::Forbidden,
    Code::TooManyRequests,
    Code::UnknownOperation,
    Code::RequestTimeout,
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
    Code::InvalidInput,
    Code::Cancelled,
    Code::ProviderRefused,
    Code::RateLimited,
    Code::Throttled,
    Code::Internal,
    Code::NotImplemented,
    Code::ProviderFailed,
    Code::InvalidResponse,
    Code::Credential,
    Code::BreakerOpen,
    Code::Overloaded,
    Code::Draining,
    Code::DeadlineExceeded,
    Code::OutcomeUnknown,
    Code::OutcomePending,
];

/// The document, with these operations; each with whether callers that name no version get it.
pub(in crate::api) fn business<'a>(offers: impl Iterator<Item = (&'a Offer, bool)>, keyed: bool) -> Value {
    let mut paths = frame();
    let mut schemas = json!({
        "Problem": schemas::problem(),
        "Outcome": schemas::outcome(),
        "Step": schemas::step(),
        "Failure": schemas::failure(),
        "Operation": schemas::operation(),
        "Health": schemas::health(),
    });
    let mut offers: Vec<(&Offer, bool)> = offers.collect();
    offers.sort_by_key(|(offer, _)| (offer.plan.operation.as_str(), offer.plan.version));
    for (offer, current) in offers {
        let (name, version) = (&offer.plan.operation, offer.plan.version);
        let body = match &offer.input {
            None => json!({}),
            Some(schema) => {
                let component = format!("{name}.v{version}.input");
                let body = reference(&component);
                schemas[component.as_str()] = moved(schema, &component);
                body
            }
        };
        let labels = [current.then(|| name.to_string()), Some(format!("{name}@{version}"))];
        for label in labels.into_iter().flatten() {
            paths.insert(format!("/v1/operations/{label}"), json!({ "post": run(offer, &label, &body) }));
        }
    }
    whole("Causeway: business API", ABOUT, Value::Object(paths), schemas, keyed)
}

fn run(offer: &Offer, label: &str, body: &Value) -> Value {
    let millis = u64::try_from(offer.plan.deadline.as_millis()).unwrap_or(u64::MAX);
    let outcome = reference("Outcome");
    let mut good = vec![(
        StatusCode::OK,
        document("Succeeded, or partial: a step that is not required did not.", &outcome),
    )];
    let (accepted, how) = match offer.mode {
        Mode::Sync => (
            "Not final after as long as `Prefer: wait` says; the run goes on.",
            format!("within {millis} ms"),
        ),
        Mode::Async => ("On disk, to be executed by and by.", "by and by".to_owned()),
    };
    good.push((StatusCode::ACCEPTED, document(accepted, &outcome)));
    let problems: Vec<Code> = ANY.into_iter().chain(OF_RUNS).collect();
    json!({
        "operationId": label,
        "summary": offer.title,
        "description": format!(
            "Runs `{label}` {how}{}.",
            if offer.plan.may_act() { "; it may change something at a provider" } else { "; it only reads" }
        ),
        "parameters": [
            header("X-Correlation-Id", "What links the run to the event behind it; made where it is missing.", json!({ "type": "string" })),
            header("traceparent", "The caller's trace (W3C).", json!({ "type": "string" })),
            header(
                "X-Deadline-Ms",
                "How long the run may take in all; shortens the operation's deadline.",
                json!({ "type": "integer", "minimum": 1 }),
            ),
            header(
                "Prefer",
                "`wait=N`: an answer within N seconds, be the run over or not; `respond-async`: an answer as soon as the run is on \
                 disk, to be executed by and by (RFC 7240).",
                json!({ "type": "string" }),
            ),
            header(
                "Idempotency-Key",
                "Of your own, new for each thing that is meant: asked again with the same, it is answered the same and done once.",
                json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" }),
            ),
            header(
                "X-Not-Before",
                "Of a run that nobody waits for: it is not executed earlier (RFC 3339).",
                json!({ "type": "string", "format": "date-time" }),
            ),
            header("X-Priority", "How urgent it is.", json!({ "type": "string", "enum": ["high", "normal", "low"] })),
        ],
        "requestBody": { "required": true, "content": { "application/json": { "schema": body } } },
        "responses": answers(good, &problems),
    })
}

/// A list of runs.
pub(super) fn runs(id: &str, summary: &str) -> Value {
    let mut parameters = paging().to_vec();
    let conditions = [
        query("operation", "Of this operation.", json!({ "type": "string" })),
        query(
            "status",
            "That stand so.",
            json!({ "type": "string", "enum": RunStatus::ALL.map(RunStatus::as_str) }),
        ),
        query("correlation_id", "With this correlation id.", json!({ "type": "string" })),
        query("since", "Begun then or later (RFC 3339).", json!({ "type": "string", "format": "date-time" })),
        query(
            "recovered",
            "`true`: only those that another life of the server went on with than began them.",
            json!({ "type": "boolean" }),
        ),
    ];
    parameters.extend(conditions);
    let codes: Vec<Code> = ANY.into_iter().chain([Code::StoreUnavailable]).collect();
    json!({
        "operationId": id,
        "summary": summary,
        "parameters": parameters,
        "responses": answers(
            vec![(StatusCode::OK, document("A page.", &page_of(&reference("Outcome"))))],
            &codes,
        ),
    })
}

/// The paths that are there whatever the configuration says.
fn frame() -> Map<String, Value> {
    let ok = |description: &str, schema: &Value| vec![(StatusCode::OK, document(description, schema))];
    let with = |codes: &[Code]| ANY.into_iter().chain(codes.iter().copied()).collect::<Vec<_>>();
    let outcome = reference("Outcome");
    let id = in_path("id", "The run's id, `run_…`.");
    let paths = json!({
        "/v1/operations": { "get": {
            "operationId": "list_operations",
            "summary": "What there is to run",
            "parameters": paging(),
            "responses": answers(ok("The operations that the caller may run.", &page_of(&reference("Operation"))), &ANY),
        } },
        "/v1/runs": { "get": runs("list_runs", "The runs that are kept, newest first") },
        "/v1/runs/{id}": { "get": {
            "operationId": "show_run",
            "summary": "Looks a run up",
            "description": "Runs that only read are not kept unless that was asked for, nor are those for which nothing was \
                            sent; others for as long as the server's settings say.",
            "parameters": [id.clone(), query(
                "wait",
                "Seconds to wait for the run to end; it is told as it stands then.",
                json!({ "type": "integer", "minimum": 0, "maximum": 60 }),
            )],
            "responses": answers(ok("The run as it stands.", &outcome), &with(&[Code::UnknownRun, Code::StoreUnavailable])),
        } },
        "/v1/runs/{id}/attempts": { "get": {
            "operationId": "list_attempts_of_run",
            "summary": "What became of a run's attempts, oldest first, as far as that is still known",
            "parameters": [id.clone()],
            "responses": answers(
                ok("The attempts.", &page_of(&schemas::told_attempt())),
                &with(&[Code::UnknownRun, Code::StoreUnavailable]),
            ),
        } },
        "/v1/runs/{id}/cancel": { "post": {
            "operationId": "cancel_run",
            "summary": "Has a run stopped",
            "description": "Stops what is safe or unsent and takes back what succeeded; a run that is over stays as it is.",
            "parameters": [id],
            "responses": answers(
                vec![
                    (StatusCode::OK, document("The run is over.", &outcome)),
                    (StatusCode::ACCEPTED, document("It is being stopped; its outcome tells what came of that.", &outcome)),
                ],
                &with(&[Code::UnknownRun, Code::StoreUnavailable, Code::Overloaded]),
            ),
        } },
        "/v1/health": { "get": {
            "operationId": "health",
            "summary": "How the integrations are doing",
            "responses": answers(ok("The health of each.", &reference("Health")), &ANY),
        } },
    });
    match paths {
        Value::Object(paths) => paths,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// A schema as a part of the document: what leads into it leads there.
fn moved(schema: &Schema, component: &str) -> Value {
    let mut schema: Value = serde_json::from_str(schema.text().as_str()).unwrap_or_default();
    move_references(&mut schema, component);
    schema
}

fn move_references(value: &mut Value, component: &str) {
    match value {
        Value::Array(members) => members.iter_mut().for_each(|member| move_references(member, component)),
        Value::Object(members) => {
            for (key, member) in members {
                if key == "$ref"
                    && let Value::String(target) = member
                    && let Some(within) =
                        target.strip_prefix('#').filter(|it| it.is_empty() || it.starts_with('/'))
                {
                    *target = format!("#/components/schemas/{component}{within}");
                } else {
                    move_references(member, component);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_lead_to_where_the_schema_is() {
        let text = r##"{ "$defs": { "a": { "type": "string" } }, "properties": { "x": { "$ref": "#/$defs/a" }, "y": { "$ref": "#" } } }"##;
        let moved = moved(&Schema::compile(text).unwrap(), "pay.v1.input");
        assert_eq!(moved["properties"]["x"]["$ref"], "#/components/schemas/pay.v1.input/$defs/a");
        assert_eq!(moved["properties"]["y"]["$ref"], "#/components/schemas/pay.v1.input");
    }
}
