//! `/admin/v1/redrives`: dead letters of a kind are taken up again, so many a second.

use std::time::Duration;

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use causeway_core::time::Wall;
use serde::{Deserialize, Serialize};

use super::admin::{audited, command, reason};
use super::problem::{Code, Problem, printable, unavailable};
use super::{State, access, page};
use crate::control::Command;
use crate::redrives::{self, Filter, Redrive, Status};

/// How many a second, where nothing is said.
const DEFAULT_RATE: f64 = 10.0;
/// The most a second, and the least.
const RATES: std::ops::RangeInclusive<f64> = 0.01..=1000.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    filter: Filter,
    rate: Option<f64>,
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Shown {
    /// `None`: nothing was begun.
    id: Option<String>,
    status: &'static str,
    filter: Filter,
    matched: u64,
    done: u64,
    failed: u64,
    rate: f64,
    eta_seconds: Option<f64>,
    created_at: Wall,
}

impl From<Redrive> for Shown {
    fn from(redrive: Redrive) -> Self {
        let eta_seconds = redrive.eta_seconds();
        let Redrive { id, filter, rate, status, matched, done, failed, created_at, .. } = redrive;
        let status = match status {
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Done => "done",
            Status::Cancelled => "cancelled",
        };
        let created_at = Wall::from_unix_millis(created_at);
        Self { id: Some(id), status, filter, matched, done, failed, rate, eta_seconds, created_at }
    }
}

/// Begins one, or tells what it would be about.
pub(super) async fn create(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let Asked { filter, rate, reason: why, dry_run } = command(&request, payload).await?;
    let rate = rate.unwrap_or(DEFAULT_RATE);
    if !RATES.contains(&rate) {
        let detail = format!("`rate` is a number a second, from {} to {}", RATES.start(), RATES.end());
        return Err(Problem::new(Code::MalformedRequest, detail));
    }
    let why = why.map(reason).transpose()?;
    let groups = state.store().dead_groups().await.map_err(|error| unavailable(&error))?;
    let matched = filter.matched(&groups);
    let redrive = Redrive::new(filter, rate, matched, state.clock().now().wall);
    if dry_run {
        let shown = Shown { id: None, status: "dry_run", ..Shown::from(redrive) };
        return Ok(HttpResponse::Ok().json(shown));
    }
    let Some(gone) = state.redrives().add(redrive.clone()) else {
        let detail = format!("{} are under way or paused already; wait, or cancel one", redrives::MAX_OPEN);
        return Err(Problem::new(Code::Overloaded, detail).retry_after(Some(Duration::from_secs(5))));
    };
    for gone in gone {
        // One that is remembered for longer does no harm.
        let _ = state.store().keep(gone).await;
    }
    let operator = access::operator(&request);
    let spoken = Command { operator, action: "redrive.begin", subject: &redrive.id, reason: why };
    if let Err(problem) = audited(&state, spoken, Some(redrive.kept())).await {
        state.redrives().withdraw(&redrive.id);
        return Err(problem);
    }
    actix_web::rt::spawn(redrives::work(state.into_inner(), redrive.id.clone(), 0));
    let mut response = HttpResponse::Accepted();
    response.insert_header((actix_web::http::header::LOCATION, format!("/admin/v1/redrives/{}", redrive.id)));
    Ok(response.json(Shown::from(redrive)))
}

/// All that are known, newest first.
pub(super) async fn list(state: Data<State>) -> Result<HttpResponse, Problem> {
    let items: Vec<Shown> = state.redrives().all().into_iter().map(Shown::from).collect();
    Ok(HttpResponse::Ok().json(page::after(items, None)))
}

fn unknown(id: &str) -> Problem {
    let detail = format!("no redrive `{}` is known here", printable(id));
    Problem::new(Code::UnknownRedrive, detail)
}

pub(super) async fn show(id: Path<String>, state: Data<State>) -> Result<HttpResponse, Problem> {
    let redrive = state.redrives().get(&id).ok_or_else(|| unknown(&id))?;
    Ok(HttpResponse::Ok().json(Shown::from(redrive)))
}

pub(super) async fn pause(
    request: HttpRequest,
    payload: Payload,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    set(request, payload, &id, state, Status::Paused, "redrive.pause").await
}

pub(super) async fn resume(
    request: HttpRequest,
    payload: Payload,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    set(request, payload, &id, state, Status::Running, "redrive.resume").await
}

pub(super) async fn cancel(
    request: HttpRequest,
    payload: Payload,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    set(request, payload, &id, state, Status::Cancelled, "redrive.cancel").await
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Why {
    reason: Option<String>,
}

/// One that is over stays as it is, and is told so.
async fn set(
    request: HttpRequest,
    payload: Payload,
    id: &str,
    state: Data<State>,
    status: Status,
    action: &'static str,
) -> Result<HttpResponse, Problem> {
    let Why { reason: why } = command(&request, payload).await?;
    let why = why.map(reason).transpose()?;
    let before = state.redrives().get(id).ok_or_else(|| unknown(id))?;
    let operator = access::operator(&request);
    audited(&state, Command { operator, action, subject: id, reason: why }, None).await?;
    let (redrive, worker) = state.redrives().set(id, status).ok_or_else(|| unknown(id))?;
    if redrive.status != before.status {
        state.store().keep(redrive.kept()).await.map_err(|error| unavailable(&error))?;
        if redrive.status == Status::Running {
            actix_web::rt::spawn(redrives::work(state.into_inner(), redrive.id.clone(), worker));
        }
    }
    Ok(HttpResponse::Ok().json(Shown::from(redrive)))
}
