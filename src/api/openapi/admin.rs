//! The admin API.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use super::super::problem::Code;
use super::{answers, document, in_path, page_of, paging, query, reference, schemas, text, whole};

const ABOUT: &str = "What operators see and do. A viewer looks, an operator acts on integrations, an admin changes the \
                     configuration. Every error is a problem (RFC 9457) whose `code` has a page under /docs/errors/.";

/// What any call may be refused with before it is looked at.
pub(super) const ANY: [Code; 5] =
    [Code::ForeignOrigin, Code::Unauthenticated, Code::Forbidden, Code::LockedOut, Code::MalformedRequest];

/// What a command may end with.
pub(super) const OF_COMMANDS: [Code; 5] = [
    Code::UnknownIntegration,
    Code::RequestTimeout,
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
    Code::Overloaded,
];

/// The document.
pub(in crate::api) fn admin() -> Value {
    let schemas = json!({
        "Problem": schemas::problem(),
        "Outcome": schemas::outcome(),
        "Step": schemas::step(),
        "Failure": schemas::failure(),
        "Health": schemas::health(),
        "Integration": schemas::integration(),
        "Breaker": schemas::breaker(),
        "Notice": schemas::notice(),
        "DeadLetter": schemas::dead_letter(),
        "Attempt": schemas::attempt(),
        "Redrive": schemas::redrive(),
        "Config": schemas::config(),
    });
    let reason =
        json!({ "type": "string", "minLength": 1, "maxLength": 500, "description": "Why; shown to others." });
    let lasting = json!({ "type": ["string", "null"], "description": "For how long: `30s`, `5m`, `12h`." });
    let modes = json!({ "type": "string", "enum": ["auto", "forced_open", "disabled", "metrics_only"] });
    let trip = json!({ "reason": reason, "for": lasting });
    let mode = json!({ "mode": modes, "reason": reason, "for": lasting });
    let reset = json!({ "reason": { "type": ["string", "null"], "maxLength": 500 } });
    let mut paths = json!({
        "/admin/v1/integrations": { "get": {
            "operationId": "list_integrations",
            "summary": "All integrations with their state",
            "parameters": paging(),
            "responses": answers(vec![(StatusCode::OK, document("A page.", &page_of(&reference("Integration"))))], &ANY),
        } },
        "/admin/v1/integrations/{name}": { "get": {
            "operationId": "show_integration",
            "summary": "One integration with its state",
            "parameters": [in_path("name", "The integration.")],
            "responses": integration(&[Code::UnknownIntegration, Code::Overloaded]),
        } },
        "/admin/v1/integrations/{name}/breaker/trip": command(
            "trip_breaker", "Refuses every call from now on", &trip, &["reason"]),
        "/admin/v1/integrations/{name}/breaker/reset": command(
            "reset_breaker", "Back to automatic: closed, with an empty window", &reset, &[]),
        "/admin/v1/integrations/{name}/breaker/mode": command(
            "set_breaker_mode", "Says who rules the breaker", &mode, &["mode", "reason"]),
        "/admin/v1/integrations/{name}/pause": command(
            "pause_queue", "Stops leasing queued runs; those that are executed go on", &reset, &[]),
        "/admin/v1/integrations/{name}/resume": command(
            "resume_queue", "Starts leasing queued runs again", &reset, &[]),
        "/admin/v1/attempts": { "get": {
            "operationId": "list_attempts",
            "summary": "What was sent to providers and what came back, newest first",
            "parameters": [
                query("run", "Of this run.", json!({ "type": "string" })),
                query("integration", "Of this integration.", json!({ "type": "string" })),
                query("endpoint", "Of this endpoint.", json!({ "type": "string" })),
                query("outcome", "That ended so: `success`, or an error's class.", json!({ "type": "string" })),
                query("status", "Answered with this status (503), class of statuses (5xx), or not at all (none).",
                    json!({ "type": "string", "pattern": "^([1-5][0-9]{2}|[1-5]xx|none)$" })),
                query("correlation_id", "With this correlation id.", json!({ "type": "string" })),
                query("since", "Begun then or later.", json!({ "type": "string", "format": "date-time" })),
                paging()[0].clone(),
                paging()[1].clone(),
            ],
            "responses": answers(
                vec![(StatusCode::OK, document("A page.", &page_of(&reference("Attempt"))))],
                &ANY.into_iter().chain([Code::StoreUnavailable]).collect::<Vec<_>>(),
            ),
        } },
        "/admin/v1/attempts/{id}": attempt("show_attempt", "One attempt", document("The attempt.", &reference("Attempt"))),
        "/admin/v1/attempts/{id}/curl": attempt(
            "write_attempt_for_curl", "One attempt as a command for a shell; what is masked is to be filled in",
            json!({ "description": "The command.", "content": { "text/plain": { "schema": { "type": "string" } } } })),
        "/admin/v1/attempts/{id}/compare": attempt(
            "compare_attempt", "One attempt beside the last at its endpoint that succeeded",
            document("Both, and where they differ.", &json!({
                "type": "object",
                "required": ["attempt", "success", "differences"],
                "properties": {
                    "attempt": reference("Attempt"),
                    "success": { "anyOf": [reference("Attempt"), { "type": "null" }] },
                    "differences": { "type": "array", "maxItems": 200, "items": {
                        "type": "object",
                        "required": ["place", "attempt", "success"],
                        "properties": { "place": { "type": "string" }, "attempt": {}, "success": {} },
                    } },
                },
            }))),
        "/admin/v1/attempts/{id}/replay": { "post": {
            "operationId": "replay_attempt",
            "summary": "Makes its call anew, as a run of its own, of the input as it was and the configuration that holds",
            "parameters": [in_path("id", "The attempt's id.")],
            "requestBody": { "content": { "application/json": { "schema": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "reason": reset["reason"].clone(),
                    "again": { "type": "boolean", "description": "A call that may act is to act once more." },
                },
            } } } },
            "responses": answers(
                vec![(StatusCode::ACCEPTED, document("The run is queued.", &json!({
                    "type": "object",
                    "required": ["id", "status", "attempt"],
                    "properties": {
                        "id": { "type": "string" },
                        "status": { "type": "string", "const": "accepted" },
                        "attempt": { "type": "string" },
                    },
                })))],
                &ANY.into_iter()
                    .chain([Code::UnknownAttempt, Code::NotReplayed, Code::StoreUnavailable, Code::RequestTimeout,
                            Code::BodyTooLarge, Code::UnsupportedMediaType])
                    .collect::<Vec<_>>(),
            ),
        } },
        "/admin/v1/audit": { "get": {
            "operationId": "list_audit",
            "summary": "Who has done what, when and why, newest first",
            "parameters": paging(),
            "responses": answers(
                vec![(StatusCode::OK, document("A page.", &page_of(&json!({
                    "type": "object",
                    "required": ["at", "operator", "action", "subject", "reason"],
                    "properties": {
                        "at": { "type": "string", "format": "date-time" },
                        "operator": { "type": ["string", "null"] },
                        "action": { "type": "string" },
                        "subject": { "type": "string" },
                        "reason": { "type": ["string", "null"] },
                    },
                }))))],
                &ANY.into_iter().chain([Code::StoreUnavailable]).collect::<Vec<_>>(),
            ),
        } },
        "/admin/v1/runs": { "get": super::business::runs("list_runs", "All clients' runs that are kept, newest first") },
        "/admin/v1/runs/{id}": { "get": {
            "operationId": "show_run",
            "summary": "Looks a run up",
            "parameters": [in_path("id", "The run's id, `run_…`."), query(
                "wait",
                "Seconds to wait for the run to end; it is told as it stands then.",
                json!({ "type": "integer", "minimum": 0, "maximum": 60 }),
            )],
            "responses": answers(
                vec![(StatusCode::OK, document("The run as it stands.", &reference("Outcome")))],
                &ANY.into_iter().chain([Code::UnknownRun, Code::StoreUnavailable]).collect::<Vec<_>>(),
            ),
        } },
        "/admin/v1/runs/{id}/cancel": { "post": {
            "operationId": "cancel_run",
            "summary": "Has a run stopped",
            "parameters": [in_path("id", "The run's id, `run_…`.")],
            "requestBody": { "required": false, "content": { "application/json": { "schema": {
                "type": "object", "additionalProperties": false, "properties": reset,
            } } } },
            "responses": answers(
                vec![
                    (StatusCode::OK, document("The run is over.", &reference("Outcome"))),
                    (StatusCode::ACCEPTED, document("It is being stopped; its outcome tells what came of that.", &reference("Outcome"))),
                ],
                &ANY.into_iter()
                    .chain([Code::UnknownRun, Code::StoreUnavailable, Code::Overloaded, Code::RequestTimeout,
                            Code::BodyTooLarge, Code::UnsupportedMediaType])
                    .collect::<Vec<_>>(),
            ),
        } },
        "/admin/v1/notices": { "get": {
            "operationId": "list_notices",
            "summary": "What an operator should know of and that stops nothing",
            "parameters": paging(),
            "responses": answers(vec![(StatusCode::OK, document("A page.", &page_of(&reference("Notice"))))], &ANY),
        } },
        "/admin/v1/config": { "get": {
            "operationId": "show_config",
            "summary": "The configuration that holds, defaults included",
            "description": "Secrets are shown as references; what else may not be shown is masked.",
            "responses": answers(vec![(StatusCode::OK, document("The configuration.", &reference("Config")))], &ANY),
        } },
        "/admin/v1/config/reload": { "post": {
            "operationId": "reload",
            "summary": "Reads the configuration again",
            "description": "Whole or not at all: a set with an error changes nothing and is answered with all errors.",
            "responses": answers(
                vec![(StatusCode::OK, document("What is another than before.", &json!({ "type": "object" })))],
                &[&ANY[..], &[Code::WrongConfiguration, Code::NotImplemented, Code::Internal, Code::StoreUnavailable]].concat(),
            ),
        } },
        "/v1/health": { "get": {
            "operationId": "health",
            "summary": "How the integrations are doing",
            "responses": answers(vec![(StatusCode::OK, document("The health of each.", &reference("Health")))], &ANY),
        } },
        "/metrics": { "get": {
            "operationId": "metrics",
            "summary": "Metrics in the text format of Prometheus",
            "security": [],
            "responses": answers(
                vec![(StatusCode::OK, text("The metrics.")), (StatusCode::NOT_FOUND, text("This server keeps none."))],
                &[],
            ),
        } },
        "/livez": { "get": {
            "operationId": "livez",
            "summary": "Whether the process lives",
            "security": [],
            "responses": answers(vec![(StatusCode::OK, text("It does."))], &[]),
        } },
        "/readyz": { "get": {
            "operationId": "readyz",
            "summary": "Whether it takes runs",
            "security": [],
            "parameters": [super::query("verbose", "With the state of the parts.", json!({}))],
            "responses": answers(
                vec![(StatusCode::OK, text("It does.")), (StatusCode::SERVICE_UNAVAILABLE, text("It is stopping, or its store fails."))],
                &[],
            ),
        } },
    });
    if let (Some(all), Value::Object(more)) = (paths.as_object_mut(), super::dead::paths(&reset)) {
        all.extend(more);
    }
    whole("Causeway: admin API", ABOUT, paths, schemas, true)
}

fn integration(problems: &[Code]) -> Value {
    let good = vec![(StatusCode::OK, document("The integration as it is now.", &reference("Integration")))];
    answers(good, &[&ANY[..], problems].concat())
}

fn command(id: &str, summary: &str, properties: &Value, required: &[&str]) -> Value {
    let body = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false
    });
    json!({ "post": {
        "operationId": id,
        "summary": summary,
        "parameters": [in_path("name", "The integration.")],
        "requestBody": { "required": true, "content": { "application/json": { "schema": body } } },
        "responses": integration(&OF_COMMANDS),
    } })
}

/// A path of one attempt.
fn attempt(id: &str, summary: &str, answer: Value) -> Value {
    json!({ "get": {
        "operationId": id,
        "summary": summary,
        "parameters": [in_path("id", "The attempt's id.")],
        "responses": answers(
            vec![(StatusCode::OK, answer)],
            &ANY.into_iter().chain([Code::UnknownAttempt, Code::StoreUnavailable]).collect::<Vec<_>>(),
        ),
    } })
}
