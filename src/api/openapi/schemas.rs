//! What the APIs answer, as JSON Schemas.

use causeway_core::failure::ErrorClass;
use causeway_core::operation::RunStatus;
use serde_json::{Value, json};

use super::super::problem::Code;
use super::reference;

/// `T` or `null`.
fn maybe(schema: &Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn object(properties: Value, optional: &[&str]) -> Value {
    let required: Vec<&String> = properties
        .as_object()
        .into_iter()
        .flat_map(|all| all.keys())
        .filter(|key| !optional.contains(&key.as_str()))
        .collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

fn words(words: impl IntoIterator<Item = &'static str>) -> Value {
    let words: Vec<&str> = words.into_iter().collect();
    json!({ "type": "string", "enum": words })
}

const TIME: &str = "date-time";

fn time() -> Value {
    json!({ "type": "string", "format": TIME })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn string() -> Value {
    json!({ "type": "string" })
}

fn nullable_string() -> Value {
    json!({ "type": ["string", "null"] })
}

fn nullable_count() -> Value {
    json!({ "type": ["integer", "null"], "minimum": 0 })
}

/// An error answer.
pub(super) fn problem() -> Value {
    let codes: Vec<String> = Code::ALL.iter().map(ToString::to_string).collect();
    let properties = json!({
        "type": { "type": "string", "description": "The page that tells what the code means." },
        "title": string(),
        "status": { "type": "integer" },
        "detail": { "type": "string", "description": "This case, and what to do." },
        "code": { "type": "string", "enum": codes },
        "retryable": { "type": "boolean", "description": "Whether the same request may help later and can do no harm." },
        "correlation_id": nullable_string(),
        "run": reference("Outcome"),
        "errors": { "type": "array", "description": "Each thing that is wrong, with its place.", "items": { "type": "object" } }
    });
    object(properties, &["run", "errors"])
}

/// What is told of a run.
pub(super) fn outcome() -> Value {
    let properties = json!({
        "id": string(),
        "operation": string(),
        "version": { "type": "integer", "minimum": 1 },
        "correlation_id": string(),
        "status": words(RunStatus::ALL.map(RunStatus::as_str)),
        "degraded": { "type": "boolean", "description": "Whether an alternate or a fallback served a step." },
        "result": { "description": "As the operation's mapping makes it; `null` without one." },
        "steps": { "type": "array", "items": reference("Step") },
        "error": maybe(&reference("Failure")),
        "created_at": time(),
        "finished_at": maybe(&time()),
        "durable": { "type": "boolean", "description": "Whether a restart of the server would remember it." },
        "recovered": { "type": "boolean", "description": "Whether another life of the server went on with it than began it." }
    });
    object(properties, &["durable", "recovered"])
}

/// What is told of a step.
pub(super) fn step() -> Value {
    let properties = json!({
        "name": string(),
        "integration": string(),
        "endpoint": string(),
        "status": words(["pending", "running", "waiting", "accepted", "succeeded", "failed", "unknown", "skipped", "undone"]),
        "attempts": count(),
        "duration_ms": count(),
        "served_by": { "type": ["string", "null"], "enum": ["primary", "alternate", "stale", "value", null] },
        "error": maybe(&reference("Failure")),
        "run": string()
    });
    object(properties, &["run"])
}

/// What went wrong.
pub(super) fn failure() -> Value {
    let properties = json!({
        "class": words(ErrorClass::ALL.map(ErrorClass::as_str)),
        "code": string(),
        "reason": { "type": "string", "description": "Where the exchange broke: `dns`, `refused`, `total_timeout`, …; `none`." },
        "message": string(),
        "provider_status": nullable_count(),
        "retry_after_ms": nullable_count()
    });
    object(properties, &[])
}

/// A version of an operation, as the catalogue tells it.
pub(super) fn operation() -> Value {
    let step = object(
        json!({
            "name": string(), "integration": string(), "endpoint": string(), "required": { "type": "boolean" },
            "after": { "type": "array", "items": string() }
        }),
        &[],
    );
    let properties = json!({
        "operation": string(),
        "version": { "type": "integer", "minimum": 1 },
        "title": string(),
        "current": { "type": "boolean", "description": "Whether a caller that names no version gets this one." },
        "preview": { "type": "boolean", "description": "Only for callers that ask for this version." },
        "mode": words(["sync", "async"]),
        "deadline_ms": count(),
        "priority": words(["high", "normal", "low"]),
        "mutates": { "type": "boolean" },
        "input_schema": { "description": "A JSON Schema; `null`: any JSON.", "type": ["object", "boolean", "null"] },
        "steps": { "type": "array", "items": step }
    });
    object(properties, &[])
}

/// How the mesh is doing.
pub(super) fn health() -> Value {
    let status = words(["healthy", "degraded", "down"]);
    let own = words(["healthy", "degraded", "paused", "down"]);
    let integration = object(
        json!({ "status": own, "breaker": string(), "reasons": { "type": "array", "items": string() } }),
        &[],
    );
    let properties = json!({
        "status": status,
        "region": string(),
        "integrations": { "type": "object", "additionalProperties": integration }
    });
    object(properties, &[])
}

/// An integration, as operators see it.
pub(super) fn integration() -> Value {
    let reserved = "Tokens of a calendar that are reserved on disk and not used yet.";
    let limit = object(
        json!({
            "name": string(), "remaining": count(), "capacity": count(), "resets_in_ms": count(),
            "reserved": { "type": ["integer", "null"], "minimum": 0, "description": reserved }
        }),
        &[],
    );
    let properties = json!({
        "name": string(),
        "title": nullable_string(),
        "group": nullable_string(),
        "owner": { "type": ["string", "null"], "description": "Who is responsible for it." },
        "runbook": { "type": ["string", "null"], "description": "Where it is written what to do when it fails." },
        "status": words(["healthy", "degraded", "paused", "down"]),
        "reasons": { "type": "array", "items": string() },
        "breaker": reference("Breaker"),
        "limits": { "type": "array", "items": limit },
        "parked_for_ms": nullable_count(),
        "pool": object(json!({ "in_flight": count(), "capacity": count(), "queued": count(), "calls": count() }), &[]),
        "queue": object(json!({ "paused": { "type": "boolean" }, "pending": count(), "delayed": count(), "leased": count(), "slots": count(), "max_pending": count() }), &[]),
        "actor": object(
            json!({ "condition": words(["running", "restarting", "quarantined"]), "generation": count() }),
            &[],
        ),
        "notices": { "type": "array", "items": reference("Notice") },
        "as_of": time(),
        "durable": { "type": "boolean", "description": "Whether it would survive a restart." }
    });
    object(properties, &[])
}

/// Something that an operator should know of.
pub(super) fn notice() -> Value {
    let properties = json!({
        "integration": nullable_string(),
        "kind": words(["configuration"]),
        "file": string(),
        "line": nullable_count(),
        "column": nullable_count(),
        "message": string()
    });
    object(properties, &[])
}

/// The configuration that holds.
pub(super) fn config() -> Value {
    let tables = json!({ "type": "object", "additionalProperties": { "type": "object" } });
    let texts = json!({ "type": "array", "items": string() });
    let properties = json!({
        "directory": { "type": ["string", "null"], "description": "Where it was read from; `null`: from no files." },
        "files": texts,
        "server": { "type": "object", "description": "causeway.toml, over the defaults." },
        "integrations": tables,
        "operations": tables,
        "notes": { "type": "array", "items": string(), "description": "What takes effect at the next start." },
        "durable": { "type": "boolean", "description": "Whether it would survive a restart." }
    });
    object(properties, &[])
}

/// A circuit breaker.
pub(super) fn breaker() -> Value {
    let manual = object(
        json!({
            "source": words(["settings", "operator"]), "by": nullable_string(), "reason": string(),
            "since": maybe(&time()), "until": maybe(&time())
        }),
        &[],
    );
    let properties = json!({
        "mode": words(["auto", "forced_open", "disabled", "metrics_only"]),
        "state": string(),
        "epoch": count(),
        "window": object(json!({ "calls": count(), "failures": count(), "slow": count() }), &[]),
        "would": nullable_string(),
        "openings": count(),
        "retry_in_ms": nullable_count(),
        "due": { "type": "boolean" },
        "trials_out": count(),
        "manual": maybe(&manual)
    });
    object(properties, &[])
}

/// A redrive of many.
pub(super) fn redrive() -> Value {
    object(
        json!({
            "id": { "type": ["string", "null"], "description": "`null`: nothing was begun." },
            "status": { "type": "string", "enum": ["dry_run", "running", "paused", "done", "cancelled"] },
            "filter": { "type": "object" },
            "matched": count(),
            "done": count(),
            "failed": { "type": "integer", "minimum": 0, "description": "How many could not be taken up." },
            "rate": { "type": "number", "description": "How many a second." },
            "eta_seconds": { "type": ["number", "null"] },
            "created_at": { "type": "string", "format": "date-time" },
        }),
        &[],
    )
}

/// What became of an attempt.
pub(super) fn attempt() -> Value {
    let text = || json!({ "type": "string" });
    let masked = || json!({ "type": ["string", "null"], "description": "Masked as in logs." });
    let headers = || json!({ "type": ["object", "null"], "description": "Masked as in logs." });
    let number = || json!({ "type": ["number", "null"], "minimum": 0 });
    object(
        json!({
            "id": text(),
            "at": { "type": "string", "format": "date-time" },
            "run_id": text(),
            "correlation_id": text(),
            "trace_id": text(),
            "operation": text(),
            "step": text(),
            "role": text(),
            "integration": text(),
            "endpoint": text(),
            "attempt": count(),
            "span_id": text(),
            "method": text(),
            "url": masked(),
            "request_headers": headers(),
            "request_body": masked(),
            "status": nullable_count(),
            "response_headers": headers(),
            "response_body": masked(),
            "queue_ms": number(),
            "dns_ms": number(),
            "connect_ms": number(),
            "tls_ms": number(),
            "first_byte_ms": number(),
            "total_ms": number(),
            "connection_reused": { "type": ["boolean", "null"] },
            "sent_again": nullable_string(),
            "outcome": text(),
            "code": nullable_string(),
            "reason": nullable_string(),
            "error": nullable_string(),
            "retry_in_ms": number(),
            "disposition": text(),
        }),
        &[],
    )
}

/// An attempt, as its run's client sees it.
pub(super) fn told_attempt() -> Value {
    let mut told = attempt();
    let shown = [
        "id",
        "at",
        "step",
        "role",
        "integration",
        "endpoint",
        "attempt",
        "status",
        "outcome",
        "code",
        "reason",
        "error",
        "queue_ms",
        "total_ms",
        "retry_in_ms",
    ];
    if let Some(properties) = told["properties"].as_object_mut() {
        properties.retain(|name, _| shown.contains(&name.as_str()));
    }
    told["required"] = json!(shown);
    told
}

/// A run that a person has to look at.
pub(super) fn dead_letter() -> Value {
    let text = || json!({ "type": "string" });
    object(
        json!({
            "id": { "type": "string", "description": "Its run's." },
            "integration": text(),
            "operation": text(),
            "step": { "type": ["string", "null"] },
            "class": text(),
            "code": text(),
            "message": { "type": ["string", "null"] },
            "attempts": count(),
            "correlation_id": text(),
            "died_at": { "type": "string", "format": "date-time" },
            "run": { "$ref": "#/components/schemas/Outcome" },
            "input": { "description": "Masked as in logs." },
            "requests": { "type": "array", "items": { "type": "object" } },
            "attempt_log": { "type": "array", "items": { "$ref": "#/components/schemas/Attempt" } },
        }),
        &["run", "input", "requests", "attempt_log"],
    )
}
