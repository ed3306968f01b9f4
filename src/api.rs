//! HTTP, in front of the actors: the business API and the admin API, each on its own listener.
//!
//! - `operations`: runs operations, `queueing`: leaves them to the queue, `keys`: their idempotency keys, `answers`: what is told at their end; `catalogue`: tells what there is to run; `runs`: looks them up and cancels them; `health`: how the mesh is doing;
//! - `admin`: integrations and their breakers; `attempts`: what was sent and came back; `audit`: who has done what; `dead_letters`: what a person has to look at; `config`: what holds, and reading it again; `probes`: `/livez`, `/readyz`, `/metrics`;
//! - `openapi`: both APIs as documents; `docs`: the same as pages, and a page for each error;
//! - [`problem`]: every error, as RFC 9457 tells it; `state`: what the handlers share;
//! - `access`: who may; `context`: correlation and trace; `browser`: keeps web pages out; `body`: reads bounded bodies;
//! - `page`: lists, a page at a time.
//!
//! Reads come from the board, never from a mailbox; this module never imports the adapters.

mod access;
mod admin;
pub(crate) mod answers;
mod attempts;
mod audit;
mod body;
mod browser;
mod catalogue;
mod config;
mod context;
mod dead_letters;
mod docs;
mod health;
mod keys;
mod openapi;
mod operations;
mod page;
mod probes;
pub mod problem;
mod queueing;
mod redrives;
mod replay;
mod runs;
mod shown;
mod state;

use std::sync::Arc;

use actix::Addr;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{FromRequest, Handler, Resource, Responder, Route};
use causeway_actors::router::Router;

use problem::Only;
pub(crate) use shown::Shown;
pub use state::{Live, State};

/// A path to read.
fn get<H, A>(path: &str, handler: H) -> Resource
where
    H: Handler<A, Output: Responder + 'static>,
    A: FromRequest + 'static,
{
    only(path, Only::Get, web::get().to(handler))
}

/// A path to act at.
fn post<H, A>(path: &str, handler: H) -> Resource
where
    H: Handler<A, Output: Responder + 'static>,
    A: FromRequest + 'static,
{
    only(path, Only::Post, web::post().to(handler))
}

/// A path for one method; others are told so.
fn only(path: &str, method: Only, route: Route) -> Resource {
    let others = move |request| async move { problem::other_method(&request, method) };
    web::resource(path).route(route).default_service(web::to(others))
}

/// The routes of the business API.
pub(crate) fn business(config: &mut ServiceConfig, state: Arc<State>, router: Addr<Router>) {
    config
        .app_data(Data::from(state))
        .app_data(Data::new(router))
        .service(
            web::scope("/v1")
                .wrap(from_fn(access::clients))
                .service(get("/operations", catalogue::list))
                .service(post("/operations/{operation}", operations::run))
                .service(get("/runs", runs::list))
                .service(get("/runs/{id}", runs::show))
                .service(get("/runs/{id}/attempts", attempts::of_run))
                .service(post("/runs/{id}/cancel", runs::cancel))
                .service(get("/health", health::show))
                .default_service(web::to(problem::no_such_page)),
        )
        .service(get("/openapi.json", docs::business_document))
        .service(get("/docs", docs::business_page))
        .configure(error_pages)
        .default_service(web::to(problem::no_such_page));
}

/// What problems' types lead to, on every listener.
fn error_pages(config: &mut ServiceConfig) {
    config.service(get("/docs/errors", docs::error_index)).service(get("/docs/errors/{code}", docs::error));
}

/// The routes of the admin API.
pub(crate) fn admin(config: &mut ServiceConfig, state: Arc<State>) {
    let commands = web::scope("/admin/v1")
        .wrap(from_fn(access::operators))
        .service(get("/config", config::show))
        .service(post("/config/reload", config::reload))
        .service(get("/integrations", admin::list))
        .service(get("/integrations/{name}", admin::show))
        .service(post("/integrations/{name}/breaker/trip", admin::trip))
        .service(post("/integrations/{name}/breaker/reset", admin::reset))
        .service(post("/integrations/{name}/breaker/mode", admin::set_mode))
        .service(post("/integrations/{name}/pause", admin::pause))
        .service(post("/integrations/{name}/resume", admin::resume))
        .service(get("/runs", runs::list))
        .service(get("/runs/{id}", runs::show))
        .service(post("/runs/{id}/cancel", runs::cancel_any))
        .service(get("/attempts", attempts::list))
        .service(get("/attempts/{id}", attempts::show))
        .service(get("/attempts/{id}/curl", attempts::curl))
        .service(get("/attempts/{id}/compare", attempts::compare))
        .service(post("/attempts/{id}/replay", replay::replay))
        .service(get("/audit", audit::list))
        .service(get("/dead-letters", dead_letters::list))
        .service(get("/dead-letters/groups", dead_letters::groups))
        .service(
            only("/dead-letters/{id}", Only::GetOrDelete, web::get().to(dead_letters::show))
                .route(web::delete().to(dead_letters::forget)),
        )
        .service(
            only("/redrives", Only::GetOrPost, web::get().to(redrives::list))
                .route(web::post().to(redrives::create)),
        )
        .service(get("/redrives/{id}", redrives::show))
        .service(post("/redrives/{id}/pause", redrives::pause))
        .service(post("/redrives/{id}/resume", redrives::resume))
        .service(post("/redrives/{id}/cancel", redrives::cancel))
        .service(post("/dead-letters/{id}/redrive", dead_letters::redrive))
        .service(post("/dead-letters/{id}/resolve", dead_letters::resolve))
        .service(get("/notices", config::notices))
        .default_service(web::to(problem::no_such_page));
    let health = web::scope("/v1")
        .wrap(from_fn(access::operators))
        .service(get("/health", health::show))
        .default_service(web::to(problem::no_such_page));
    let all = web::scope("")
        .wrap(from_fn(context::tell))
        .service(commands)
        .service(health)
        .service(get("/openapi.json", docs::admin_document))
        .service(get("/docs", docs::admin_page))
        .configure(error_pages)
        .service(get("/metrics", probes::metrics))
        .service(get("/livez", probes::live))
        .service(get("/readyz", probes::ready))
        .default_service(web::to(problem::no_such_page));
    config.app_data(Data::from(state)).service(all);
}
