//! `GET /admin/v1/audit`: who has done what, when and why.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use causeway_actors::store::Audited;
use causeway_core::time::Wall;
use serde::{Deserialize, Serialize};

use super::problem::{Code, Problem, unavailable};
use super::{State, page};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Entry {
    at: Wall,
    operator: Option<String>,
    action: String,
    subject: String,
    reason: Option<String>,
}

pub(super) async fn list(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, Problem> {
    let malformed = |detail: String| Problem::new(Code::MalformedRequest, detail);
    let asked: Listed = page::query(&request)?;
    let limit = page::limit(asked.limit)?;
    let before = asked.cursor.map(|cursor| page::key(&cursor)).transpose()?;
    let wrong = || malformed("`cursor` is a `next_cursor` of this list".to_owned());
    let before = before.map(|key| key.parse::<i64>().map_err(|_| wrong())).transpose()?;
    let mut trail = state.store().trail(before, limit + 1).await.map_err(|error| unavailable(&error))?;
    let more = trail.len() > limit;
    trail.truncate(limit);
    let last = trail.last().filter(|_| more).map(|entry| entry.id.to_string());
    let entry = |audited: Audited| {
        let Audited { at, operator, action, subject, reason, .. } = audited;
        Entry { at, operator, action, subject, reason }
    };
    let items: Vec<Entry> = trail.into_iter().map(entry).collect();
    Ok(HttpResponse::Ok().json(page::after(items, last)))
}
