//! What the tests stand on.
//!
//! - [`config`]: configuration, as files' texts;
//! - [`server`]: the whole server in this process; [`process`]: the same as its users run it;
//! - [`client`]: an HTTP client that shows everything that came back;
//! - [`provider`]: the simulated provider; [`recorder`]: a provider that keeps whole requests; [`hostile`]: one that
//!   misbehaves byte by byte; [`gate`]: one that asks for a token; [`secure`]: one that speaks TLS; [`authority`]:
//!   certificates for others;
//! - [`queued`]: runs that nobody waits for;
//! - [`stripe`]: a server that speaks Stripe's API, and the configuration that is delivered;
//! - [`fault`]: faults of our own; [`dice`]: chance that can be had again;
//! - [`postgres`]: a real database server; [`promises`]: what holds while a store fails;
//! - [`prometheus`]: a real Prometheus that scrapes a server; [`dashboards`]: what it is asked;
//! - [`logs`]: what this process has logged;
//! - [`wait`]: waiting for a condition, never for a while.

pub(crate) mod authority;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod dashboards;
pub(crate) mod dice;
pub(crate) mod fault;
pub(crate) mod gate;
pub(crate) mod hostile;
pub(crate) mod logs;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod promises;
pub(crate) mod provider;
pub(crate) mod queued;
pub(crate) mod recorder;
pub(crate) mod secure;
pub(crate) mod server;
pub(crate) mod stripe;
pub(crate) mod wait;

pub(crate) use client::{Answer, Ask, Client};
pub(crate) use config::Config;
pub(crate) use dice::Dice;
pub(crate) use process::Process;
pub(crate) use prometheus::Prometheus;
pub(crate) use provider::Provider;
pub(crate) use server::Server;
pub(crate) use wait::until;

/// A good charge.
pub(crate) fn charge() -> serde_json::Value {
    serde_json::json!({ "amount": 1250, "currency": "eur", "source": "tok_visa" })
}
