//! The admin API's paths of dead letters.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use super::super::problem::Code;
use super::admin::{ANY, OF_COMMANDS};
use super::{answers, document, in_path, page_of, paging, query, reference};

/// All of them. `reset` is a command that may say why.
pub(super) fn paths(reset: &Value) -> Value {
    json!({
        "/admin/v1/dead-letters": { "get": {
            "operationId": "list_dead_letters",
            "summary": "Runs that a person has to look at, newest first",
            "parameters": [
                query("integration", "Of this integration.", json!({ "type": "string" })),
                query("operation", "Of this operation.", json!({ "type": "string" })),
                query("code", "With this error.", json!({ "type": "string" })),
                paging()[0].clone(),
                paging()[1].clone(),
            ],
            "responses": answers(
                vec![(StatusCode::OK, document("A page.", &page_of(&reference("DeadLetter"))))],
                &ANY.into_iter().chain([Code::StoreUnavailable]).collect::<Vec<_>>(),
            ),
        } },
        "/admin/v1/dead-letters/groups": { "get": {
            "operationId": "group_dead_letters",
            "summary": "How many dead letters there are of each kind",
            "responses": answers(
                vec![(StatusCode::OK, document("The kinds, the most first.", &json!({ "type": "object" })))],
                &ANY.into_iter().chain([Code::StoreUnavailable]).collect::<Vec<_>>(),
            ),
        } },
        "/admin/v1/dead-letters/{id}": {
            "get": {
                "operationId": "show_dead_letter",
                "summary": "A dead letter, with its run, its input and its requests",
                "parameters": [in_path("id", "The run's id.")],
                "responses": answers(
                    vec![(StatusCode::OK, document("The dead letter.", &reference("DeadLetter")))],
                    &ANY.into_iter().chain([Code::UnknownRun, Code::StoreUnavailable]).collect::<Vec<_>>(),
                ),
            },
            "delete": {
                "operationId": "forget_dead_letter",
                "summary": "Lets a dead letter go; its run stays as it is",
                "parameters": [in_path("id", "The run's id."), query("reason", "Why, for the audit trail.", json!({ "type": "string", "minLength": 1, "maxLength": 500 }))],
                "responses": answers(
                    vec![(StatusCode::NO_CONTENT, json!({ "description": "It is gone." }))],
                    &ANY.into_iter().chain([Code::UnknownRun, Code::StoreUnavailable]).collect::<Vec<_>>(),
                ),
            },
        },
        "/admin/v1/redrives": {
            "get": {
                "operationId": "list_redrives",
                "summary": "The redrives of many that are remembered, newest first",
                "responses": answers(
                    vec![(StatusCode::OK, document("All of them.", &page_of(&reference("Redrive"))))],
                    &ANY,
                ),
            },
            "post": {
                "operationId": "begin_redrive",
                "summary": "Tries the runs of all dead letters of a kind again, so many a second",
                "requestBody": { "required": true, "content": { "application/json": { "schema": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "filter": {
                            "type": "object",
                            "additionalProperties": false,
                            "description": "Which; every condition must hold. None: all there are.",
                            "properties": {
                                "integration": { "type": ["string", "null"] },
                                "operation": { "type": ["string", "null"] },
                                "code": { "type": ["string", "null"] },
                            },
                        },
                        "rate": { "type": ["number", "null"], "minimum": 0.01, "maximum": 1000, "description": "How many a second; 10." },
                        "reason": reset["reason"].clone(),
                        "dry_run": { "type": "boolean", "description": "Only tell how many there are." },
                    },
                } } } },
                "responses": answers(
                    vec![
                        (StatusCode::OK, document("What it would be about.", &reference("Redrive"))),
                        (StatusCode::ACCEPTED, document("It has begun.", &reference("Redrive"))),
                    ],
                    &ANY.into_iter()
                        .chain([Code::StoreUnavailable, Code::RequestTimeout, Code::BodyTooLarge,
                                Code::UnsupportedMediaType, Code::Overloaded])
                        .collect::<Vec<_>>(),
                ),
            },
        },
        "/admin/v1/redrives/{id}": { "get": {
            "operationId": "show_redrive",
            "summary": "How far it is",
            "parameters": [in_path("id", "The redrive's id.")],
            "responses": answers(
                vec![(StatusCode::OK, document("The redrive.", &reference("Redrive")))],
                &ANY.into_iter().chain([Code::UnknownRedrive]).collect::<Vec<_>>(),
            ),
        } },
        "/admin/v1/redrives/{id}/pause": redrive("pause_redrive", "Stops it for a while", reset),
        "/admin/v1/redrives/{id}/resume": redrive("resume_redrive", "Goes on with it", reset),
        "/admin/v1/redrives/{id}/cancel": redrive(
            "cancel_redrive", "Stops it for good; what is taken up already goes on", reset),
        "/admin/v1/dead-letters/{id}/redrive": dead_letter("redrive_dead_letter", "Tries its run again", reset, &[]),
        "/admin/v1/dead-letters/{id}/resolve": dead_letter(
            "resolve_dead_letter",
            "Says what has become of its run",
            &json!({
                "as": { "type": "string", "enum": ["succeeded", "failed", "resend"] },
                "result": {},
                "reason": { "type": ["string", "null"], "maxLength": 500 },
            }),
            &["as"],
        )
    })
}

/// A command to a redrive of many.
fn redrive(id: &str, summary: &str, properties: &Value) -> Value {
    json!({ "post": {
        "operationId": id,
        "summary": summary,
        "parameters": [in_path("id", "The redrive's id.")],
        "requestBody": { "required": true, "content": { "application/json": { "schema": {
            "type": "object", "additionalProperties": false, "properties": properties,
        } } } },
        "responses": answers(
            vec![(StatusCode::OK, document("The redrive, as it stands.", &reference("Redrive")))],
            &ANY.into_iter()
                .chain([Code::UnknownRedrive, Code::StoreUnavailable, Code::RequestTimeout, Code::BodyTooLarge,
                        Code::UnsupportedMediaType])
                .collect::<Vec<_>>(),
        ),
    } })
}

/// A command about a dead letter.
fn dead_letter(id: &str, summary: &str, properties: &Value, required: &[&str]) -> Value {
    let body = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    let codes = [Code::UnknownRun, Code::NotReopened, Code::StoreUnavailable];
    let codes: Vec<Code> = ANY.into_iter().chain(OF_COMMANDS).chain(codes).collect();
    let taken = json!({
        "type": "object",
        "properties": { "id": { "type": "string" }, "status": { "const": "accepted" } },
    });
    json!({ "post": {
        "operationId": id,
        "summary": summary,
        "parameters": [in_path("id", "The run's id.")],
        "requestBody": { "required": true, "content": { "application/json": { "schema": body } } },
        "responses": answers(vec![(StatusCode::ACCEPTED, document("Its run goes on.", &taken))], &codes),
    } })
}
