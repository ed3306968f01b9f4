//! `/admin/v1/config`: shows the configuration, and reads it again; `/admin/v1/notices`: what is to be said of it.
//!
//! A set of files that is wrong changes nothing and is answered with everything that is wrong, each at its place.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::admin::audited;
use super::problem::{Code, Problem};
use super::shown::Notice;
use super::{State, access, page};
use crate::control::Command;
use crate::reload::ReloadError;
use crate::settings::Finding;

pub(super) async fn show(state: Data<State>) -> HttpResponse {
    let notes = state.reloader().notes().await;
    let directory = state.reloader().dir().map(|dir| dir.display().to_string());
    let live = state.live();
    let shown = live.shown();
    HttpResponse::Ok().json(json!({
        "directory": directory,
        "files": shown.files,
        "server": shown.config["server"],
        "integrations": shown.config["integrations"],
        "operations": shown.config["operations"],
        "notes": notes,
        "durable": directory.is_some(),
    }))
}

pub(super) async fn notices(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, Problem> {
    let live = state.live();
    let key = |(index, notice): (usize, &Notice)| (format!("{index:06}"), notice.clone());
    let all = live.shown().notices.iter().enumerate().map(key).collect();
    Ok(HttpResponse::Ok().json(page::of(&request, all)?))
}

pub(super) async fn reload(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, Problem> {
    let operator = access::operator(&request);
    let command = Command { operator, action: "config.reload", subject: "configuration", reason: None };
    audited(&state, command, None).await?;
    // In a task of its own: a caller that hangs up must not leave it half done.
    let reloading = actix_web::rt::spawn(async move { state.reload().await });
    match reloading.await.unwrap_or(Err(ReloadError::Lost)) {
        Ok(report) => Ok(HttpResponse::Ok().json(report)),
        Err(ReloadError::Wrong(errors)) => {
            let detail =
                format!("the configuration has {} errors; what held before still holds", errors.len());
            Err(Problem::new(Code::WrongConfiguration, detail)
                .findings(errors.iter().map(Finding::from).collect()))
        }
        Err(error @ ReloadError::NoFiles) => Err(Problem::new(Code::NotImplemented, error.to_string())),
        Err(error @ ReloadError::Store(_)) => {
            let wait = Some(std::time::Duration::from_secs(1));
            Err(Problem::new(Code::StoreUnavailable, error.to_string()).retry_after(wait))
        }
        Err(error @ ReloadError::Lost) => Err(Problem::new(Code::Internal, error.to_string())),
    }
}
