//! OpenAPI 3.1 documents of both APIs.
//!
//! The frame is made from the code: problem codes and their statuses from [`Code`], words from the enums that are
//! answered. The operations and their input schemas are merged in at run time, each as a path of its own, so that a
//! client made from the document knows every operation by name.
//!
//! An input schema is moved under `components/schemas`, and its references with it: they lead into the schema itself,
//! which is no document of its own any more.

mod admin;
mod business;
mod dead;
mod schemas;

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use super::problem::{Code, MEDIA_TYPE};

pub(super) use admin::admin;
pub(super) use business::business;

/// The answers that a call may give: those that are no problem, then the codes of its problems, by status.
fn answers(good: Vec<(StatusCode, Value)>, problems: &[Code]) -> Value {
    let mut answers: Map<String, Value> =
        good.into_iter().map(|(status, answer)| (status.as_str().to_owned(), answer)).collect();
    let mut by_status = BTreeMap::<u16, Vec<String>>::new();
    for code in problems {
        by_status.entry(code.status().as_u16()).or_default().push(format!("`{code}`"));
    }
    for (status, codes) in by_status {
        let answer = json!({
            "description": format!("Problem: {}", codes.join(", ")),
            "headers": { "X-Correlation-Id": correlation() },
            "content": { MEDIA_TYPE: { "schema": reference("Problem") } }
        });
        answers.insert(status.to_string(), answer);
    }
    Value::Object(answers)
}

/// An answer of JSON.
fn document(description: &str, schema: &Value) -> Value {
    json!({
        "description": description,
        "headers": { "X-Correlation-Id": correlation() },
        "content": { "application/json": { "schema": schema } }
    })
}

/// An answer of text.
fn text(description: &str) -> Value {
    json!({ "description": description, "content": { "text/plain": { "schema": { "type": "string" } } } })
}

fn correlation() -> Value {
    json!({ "description": "What links this answer to the event behind it.", "schema": { "type": "string" } })
}

/// A schema of the document.
fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn header(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "header", "description": description, "schema": schema })
}

fn query(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn in_path(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": { "type": "string" } })
}

/// `limit` and `cursor` of a list.
fn paging() -> [Value; 2] {
    use super::page::{DEFAULT_LIMIT, MAX_LIMIT};
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT });
    [
        query("limit", "The most items of the answer.", limit),
        query("cursor", "The `next_cursor` of the page before.", json!({ "type": "string" })),
    ]
}

/// A page of a list.
fn page_of(item: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["items", "next_cursor"],
        "properties": {
            "items": { "type": "array", "items": item },
            "next_cursor": { "type": ["string", "null"] }
        }
    })
}

/// A whole document.
fn whole(title: &str, description: &str, paths: Value, schemas: Value, keyed: bool) -> Value {
    let mut document = json!({
        "openapi": "3.1.0",
        "info": { "title": title, "description": description, "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": { "schemas": schemas }
    });
    if keyed {
        document["components"]["securitySchemes"] = json!({ "key": { "type": "http", "scheme": "bearer" } });
        document["security"] = json!([{ "key": [] }]);
    }
    document
}
