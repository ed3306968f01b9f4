//! HTTP, in front of the actors: the business API and the admin API, each on its own listener.
//!
//! - `operations`: runs operations; `catalogue`: tells what there is to run; `runs`: looks them up and cancels them; `health`: how the mesh is doing;
//! - `admin`: integrations and their breakers; `config`: what holds, and reading it again; `probes`: `/livez`, `/readyz`, `/metrics`;
//! - `openapi`: both APIs as documents; `docs`: the same as pages, and a page for each error;
//! - [`problem`]: every error, as RFC 9457 tells it; `state`: what the handlers share;
//! - `access`: who may; `context`: correlation and trace; `browser`: keeps web pages out; `body`: reads bounded bodies;
//! - `page`: lists, a page at a time.
//!
//! Reads come from the board, never from a mailbox; this module never imports the adapters.

mod access;
mod admin;
mod body;
mod browser;
mod catalogue;
mod config;
mod context;
mod docs;
mod health;
mod openapi;
mod operations;
mod page;
mod probes;
pub mod problem;
mod runs;
mod shown;
mod state;

use std::sync::Arc;

use actix::Addr;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use causeway_actors::router::Router;

pub(crate) use shown::Shown;
pub use state::{Live, State};

/// The routes of the business API.
pub(crate) fn business(config: &mut ServiceConfig, state: Arc<State>, router: Addr<Router>) {
    config
        .app_data(Data::from(state))
        .app_data(Data::new(router))
        .service(
            web::scope("/v1")
                .wrap(from_fn(access::clients))
                .route("/operations", web::get().to(catalogue::list))
                .route("/operations/{operation}", web::post().to(operations::run))
                .route("/runs/{id}", web::get().to(runs::show))
                .route("/runs/{id}/cancel", web::post().to(runs::cancel))
                .route("/health", web::get().to(health::show))
                .default_service(web::to(problem::no_such_page)),
        )
        .route("/openapi.json", web::get().to(docs::business_document))
        .route("/docs", web::get().to(docs::business_page))
        .configure(error_pages)
        .default_service(web::to(problem::no_such_page));
}

/// What problems' types lead to, on every listener.
fn error_pages(config: &mut ServiceConfig) {
    config
        .route("/docs/errors", web::get().to(docs::error_index))
        .route("/docs/errors/{code}", web::get().to(docs::error));
}

/// The routes of the admin API.
pub(crate) fn admin(config: &mut ServiceConfig, state: Arc<State>) {
    let commands = web::scope("/admin/v1")
        .wrap(from_fn(access::operators))
        .route("/config", web::get().to(config::show))
        .route("/config/reload", web::post().to(config::reload))
        .route("/integrations", web::get().to(admin::list))
        .route("/integrations/{name}", web::get().to(admin::show))
        .route("/integrations/{name}/breaker/trip", web::post().to(admin::trip))
        .route("/integrations/{name}/breaker/reset", web::post().to(admin::reset))
        .route("/integrations/{name}/breaker/mode", web::post().to(admin::set_mode))
        .route("/notices", web::get().to(config::notices))
        .default_service(web::to(problem::no_such_page));
    let health = web::scope("/v1")
        .wrap(from_fn(access::operators))
        .route("/health", web::get().to(health::show))
        .default_service(web::to(problem::no_such_page));
    let all = web::scope("")
        .wrap(from_fn(context::tell))
        .service(commands)
        .service(health)
        .route("/openapi.json", web::get().to(docs::admin_document))
        .route("/docs", web::get().to(docs::admin_page))
        .configure(error_pages)
        .route("/metrics", web::get().to(probes::metrics))
        .route("/livez", web::get().to(probes::live))
        .route("/readyz", web::get().to(probes::ready))
        .default_service(web::to(problem::no_such_page));
    config.app_data(Data::from(state)).service(all);
}
