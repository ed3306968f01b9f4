//! `/admin/v1/config`: reads the configuration again.
//!
//! A set of files that is wrong changes nothing and is answered with everything that is wrong, each at its place.

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::State;
use super::problem::{Code, Problem};
use crate::reload::ReloadError;
use crate::settings::Finding;

pub(super) async fn reload(state: Data<State>) -> Result<HttpResponse, Problem> {
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
        Err(error @ ReloadError::Lost) => Err(Problem::new(Code::Internal, error.to_string())),
    }
}
