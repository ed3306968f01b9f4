//! Causeway's decisions, and nothing but decisions.
//!
//! Breaker, limits, retries, classification, idempotency, runs and mapping are plain functions of a value and
//! `now`: no runtime, no clock, no I/O. A state machine takes events in, and its effects are polled out, so that a
//! whole day of trouble can be replayed from a seed in milliseconds.
//!
//! The parts, from the vocabulary up to the whole:
//!
//! - [`time`], [`name`], [`json`], [`failure`], [`priority`]: the words the others speak in;
//! - [`window`], [`breaker`], [`limits`], [`bulkhead`], [`retry`]: one protection each;
//! - [`classify`], [`idempotency`], [`again`], [`credential`]: what happened, and whether it may be sent again;
//! - [`integration`]: composes these for the calls of one external system;
//! - [`mapping`], [`schema`], [`endpoint`], [`sanitise`]: bytes in, bytes out;
//! - [`operation`]: the run of a business operation; [`stale`]: the last good results it may fall back on.

pub mod again;
pub mod breaker;
pub mod bulkhead;
pub mod classify;
pub mod credential;
pub mod endpoint;
pub mod failure;
pub mod idempotency;
pub mod integration;
pub mod json;
pub mod limits;
pub mod mapping;
pub mod name;
pub mod operation;
pub mod priority;
pub mod retry;
pub mod sanitise;
pub mod schema;
#[cfg(test)]
mod simulation;
pub mod stale;
pub mod time;
pub mod window;
