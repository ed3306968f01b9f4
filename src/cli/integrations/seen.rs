//! What the admin API answers of an integration, as far as it is shown.
//!
//! Names that a newer server may add are taken as they are: this reads words, it does not judge them.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Integration {
    pub(in crate::cli) name: String,
    pub(super) title: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) runbook: Option<String>,
    pub(in crate::cli) status: String,
    #[serde(default)]
    pub(super) reasons: Vec<String>,
    pub(super) breaker: Breaker,
    #[serde(default)]
    pub(super) limits: Vec<Limit>,
    pub(super) parked_for_ms: Option<u64>,
    pub(super) pool: Pool,
    pub(super) actor: Actor,
    #[serde(default)]
    pub(super) notices: Vec<Notice>,
    pub(super) as_of: String,
    #[serde(default)]
    pub(super) durable: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Notice {
    pub(super) message: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Breaker {
    pub(super) mode: String,
    pub(super) state: String,
    pub(super) epoch: u64,
    pub(super) window: Window,
    pub(super) would: Option<String>,
    #[serde(default)]
    pub(super) openings: u32,
    pub(super) retry_in_ms: Option<u64>,
    #[serde(default)]
    pub(super) due: bool,
    #[serde(default)]
    pub(super) trials_out: u32,
    pub(super) manual: Option<Manual>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Window {
    pub(super) calls: u32,
    pub(super) failures: u32,
    pub(super) slow: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct Manual {
    pub(super) source: String,
    pub(super) by: Option<String>,
    pub(super) reason: String,
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Limit {
    pub(super) name: String,
    pub(super) remaining: u32,
    pub(super) capacity: u32,
    pub(super) resets_in_ms: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Pool {
    pub(super) in_flight: u32,
    pub(super) capacity: u32,
    pub(super) queued: usize,
    pub(super) calls: usize,
}

#[derive(Debug, Deserialize)]
pub(super) struct Actor {
    pub(super) condition: String,
    pub(super) generation: u64,
}

#[cfg(test)]
pub(in crate::cli) mod testing {
    use serde_json::{Value, json};

    use super::Integration;

    /// A healthy integration, as the API tells it, with `changes` to its document.
    pub(in crate::cli) fn seen(name: &str, changes: &[(&str, Value)]) -> Integration {
        let mut document = json!({
            "name": name, "title": null, "owner": null, "runbook": null, "notices": [], "status": "healthy", "reasons": [],
            "breaker": {
                "mode": "auto", "state": "closed", "epoch": 1,
                "window": { "calls": 12, "failures": 1, "slow": 0 }, "would": null, "openings": 0,
                "retry_in_ms": null, "due": false, "trials_out": 0, "manual": null,
            },
            "limits": [], "parked_for_ms": null,
            "pool": { "in_flight": 3, "capacity": 32, "queued": 0, "calls": 3 },
            "actor": { "condition": "running", "generation": 1 },
            "as_of": "2026-11-24T03:20:00.123Z", "durable": false,
        });
        for (pointer, value) in changes {
            *document.pointer_mut(pointer).unwrap() = value.clone();
        }
        serde_json::from_value(document).unwrap()
    }
}
