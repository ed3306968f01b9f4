//! Causeway's actors: thin shells round the pure core, and the only files that import actix's actors.
//!
//! - [`mesh`] builds everything and takes it down in order; [`directory`] is where integrations are reached;
//! - [`router`] takes operations in, one router per HTTP worker;
//! - [`integration`] is the actor of one external system, with its attempts and their connections;
//! - [`store`] is what must survive; [`board`] is what HTTP reads; [`stale`] keeps the last good results; [`ports`] is what the actors ask of the server;
//! - [`span`]: what traces tell of a run;
//! - [`credential`]: an integration's secret while it changes;
//! - [`guard`] turns a panic into a restart; [`clock`] is the only reader of clocks; [`metric`] names every metric;
//! - [`plan`] is what all of it is built from.

mod attempt;
pub mod board;
pub mod clock;
pub mod credential;
mod demand;
pub mod directory;
#[cfg(feature = "testing")]
pub mod fakes;
pub mod guard;
pub mod integration;
pub mod intents;
pub mod mesh;
mod meters;
pub mod metric;
mod permits;
pub mod plan;
pub mod ports;
mod record;
pub mod router;
pub mod span;
pub mod stale;
pub mod store;

pub use record::{AttemptRecord, Attempts, TARGET as ATTEMPT_TARGET};
