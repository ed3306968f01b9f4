//! Causeway's server: settings in, HTTP in front, adapters behind, the actors between.
//!
//! - [`settings`]: the configuration, validated; [`plans`]: what the actors are built from;
//! - [`app`]: the server as one value, built, started, stopped; [`reload`]: given another configuration;
//!   `attempt_log`: what became of attempts; `control`: what operators have said; `limit_ledger`: what of limits outlives the process; [`queue`]: what is executed by and by; [`recovery`]: going on where it ended; `redrives`: dead letters taken up again; `retention`: letting go of what is old;
//! - [`api`]: its HTTP; [`access`]: who may call and operate;
//! - [`adapters`]: transport and secrets; [`telemetry`]: logs and metrics;
//! - [`sandbox`]: a simulated provider; [`cli`]: the command line;
//! - [`failpoint`]: where a build for tests can be made to die.
//!
//! `api` never imports `adapters`; they are joined in `app`.

pub mod access;
pub mod adapters;
pub mod api;
pub mod app;
mod attempt_log;
pub mod cli;
mod control;
pub mod failpoint;
mod limit_ledger;
pub mod plans;
pub mod queue;
mod reconciliation;
pub mod recovery;
mod redrives;
pub mod reload;
mod retention;
pub mod sandbox;
pub mod settings;
pub mod telemetry;
