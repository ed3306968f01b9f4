//! Steering a sandbox: as Rust methods on a handle, and the same over HTTP.
//!
//! | request | does |
//! |---|---|
//! | `GET /_control/ledger` | answers the [`Ledger`] |
//! | `DELETE /_control/ledger` | forgets arrivals, charges, keys, counters and the plan |
//! | `GET /_control/plan` | answers what is left of the plan: `{ "rules": […] }` |
//! | `PUT /_control/plan` | sets one [`Rule`], in place of one for the same path and method; answers as `GET` does |
//!
//! A rule reads `{ "path": "/v1/charges", "method": "POST", "steps": [{ "kind": "drop_after" }], "then": { "kind":
//! "normal" } }`, all of it optional. The control API asks for no credentials: bind a sandbox to loopback.

use std::sync::Arc;

use http::StatusCode;
use http::header::{ALLOW, HeaderValue};
use http::request::Parts;
use serde_json::{Value, json};

use super::answer::{self, Answer, Refusal};
use super::ledger::{Counters, Ledger};
use super::plan::{PlanError, Rule};
use super::state::Shared;

const PREFIX: &str = "/_control/";

/// A handle on a running sandbox, from any thread; after the sandbox stopped it still tells what happened.
#[derive(Clone, Debug)]
pub struct Control {
    shared: Arc<Shared>,
}

impl Control {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Everything noted since the start or the last reset.
    pub fn ledger(&self) -> Ledger {
        self.shared.lock().ledger()
    }

    /// How busy the sandbox is and was.
    pub fn counters(&self) -> Counters {
        self.shared.lock().book.counters()
    }

    /// Sets the behaviour for the requests that `rule` matches, in place of a rule for the same path and method.
    ///
    /// # Errors
    ///
    /// When the rule cannot be followed; the plan is then as it was.
    pub fn plan(&self, rule: Rule) -> Result<(), PlanError> {
        self.shared.lock().plan.set(rule)
    }

    /// What is left of the plan.
    pub fn rules(&self) -> Vec<Rule> {
        self.shared.lock().plan.rules().to_vec()
    }

    /// Forgets arrivals, charges, keys, counters and the plan; ids begin again. What is under way has no effect any
    /// more, and its connection is closed.
    pub fn reset(&self) {
        self.shared.lock().reset();
    }
}

/// Whether a path is the control API's.
pub(super) fn is_for(path: &str) -> bool {
    path.starts_with(PREFIX)
}

/// Answers a control request.
pub(super) fn answer(shared: &Arc<Shared>, head: &Parts, body: &[u8]) -> Answer {
    let control = Control::new(Arc::clone(shared));
    let part = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    match (head.method.as_str(), part) {
        ("GET", "ledger") => answer::json(StatusCode::OK, &control.ledger()),
        ("DELETE", "ledger") => {
            control.reset();
            answer::empty(StatusCode::NO_CONTENT)
        }
        ("GET", "plan") => rules(&control),
        ("PUT", "plan") => match set(&control, body) {
            Ok(()) => rules(&control),
            Err(message) => refuse(StatusCode::BAD_REQUEST, "plan_invalid", message),
        },
        (_, "ledger") => not_allowed("GET, DELETE"),
        (_, "plan") => not_allowed("GET, PUT"),
        _ => {
            refuse(StatusCode::NOT_FOUND, "url_unknown", "the control API has `ledger` and `plan`".to_owned())
        }
    }
}

fn set(control: &Control, body: &[u8]) -> Result<(), String> {
    // By way of a map: serde would also take an array for a rule, and an empty one would wipe the plan.
    let rule = serde_json::from_slice(body).and_then(|fields| serde_json::from_value(Value::Object(fields)));
    let rule = rule.map_err(|error| format!("the plan cannot be read: {error}"))?;
    control.plan(rule).map_err(|error| error.to_string())
}

fn rules(control: &Control) -> Answer {
    answer::json(StatusCode::OK, &json!({ "rules": control.rules() }))
}

fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = refuse(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format!("only {allowed}"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn refuse(status: StatusCode, code: &'static str, message: String) -> Answer {
    Refusal { status, kind: "control_error", code, message }.into()
}

#[cfg(test)]
mod tests {
    use super::super::Sandbox;
    use super::super::testing::{ANY, charge, exchange, get};
    use super::*;

    #[tokio::test]
    async fn the_plan_is_set_and_what_is_left_of_it_shown() {
        let sandbox = Sandbox::start(ANY).unwrap();
        let rule = json!({
            "path": "/v1/charges", "method": "post",
            "steps": [{ "kind": "status", "status": 503 }, { "kind": "garbage" }],
        });
        let set = exchange(sandbox.addr(), "PUT /_control/plan", &[], &rule.to_string()).await;
        assert_eq!((set.status(), set.json()["rules"][0]["steps"].as_array().unwrap().len()), (200, 2));
        assert_eq!(charge(sandbox.addr(), "k").await.status(), 503);
        let left = get(sandbox.addr(), "/_control/plan").await.json();
        let expected = json!({
            "path": "/v1/charges", "method": "POST",
            "steps": [{ "kind": "garbage" }], "then": { "kind": "normal" },
        });
        assert_eq!(left, json!({ "rules": [expected] }));
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_plan_is_said_and_nothing_changes() {
        let sandbox = Sandbox::start(ANY).unwrap();
        let cases = [
            (json!({ "step": [] }), "unknown field `step`"),
            (json!({ "steps": [{ "kind": "hang", "for": 1 }] }), "unknown field `for`"),
            (json!({ "steps": [{ "kind": "sulk" }] }), "unknown variant `sulk`"),
            (json!({ "steps": [{ "status": 500 }] }), "missing field `kind`"),
            (json!({ "then": { "kind": "status", "status": 99 } }), "99 is no status"),
            (json!([]), "the plan cannot be read"),
        ];
        for (plan, part) in cases {
            let refused = exchange(sandbox.addr(), "PUT /_control/plan", &[], &plan.to_string()).await;
            let error = refused.json();
            assert_eq!((refused.status(), &error["error"]["code"]), (400, &json!("plan_invalid")));
            assert!(error["error"]["message"].as_str().unwrap().contains(part), "{error}");
        }
        assert!(sandbox.control().rules().is_empty());
    }

    #[tokio::test]
    async fn the_ledger_is_read_and_reset() {
        let sandbox = Sandbox::start(ANY).unwrap();
        let first = charge(sandbox.addr(), "k").await.json();
        sandbox.control().plan(Rule::always(super::super::behaviour::Behaviour::status(500))).unwrap();
        let ledger: Ledger =
            serde_json::from_value(get(sandbox.addr(), "/_control/ledger").await.json()).unwrap();
        assert_eq!((ledger.arrivals.len(), ledger.effects.len(), ledger.counters.requests), (1, 1, 1));

        assert_eq!(exchange(sandbox.addr(), "DELETE /_control/ledger", &[], "").await.status(), 204);
        assert!(sandbox.control().ledger().arrivals.is_empty());
        let again = charge(sandbox.addr(), "k").await;
        assert!(!again.headers().contains_key("idempotent-replayed"));
        assert_eq!(again.json()["id"], first["id"]);
    }

    #[tokio::test]
    async fn other_control_requests_are_refused() {
        let sandbox = Sandbox::start(ANY).unwrap();
        assert_eq!(get(sandbox.addr(), "/_control/").await.status(), 404);
        let refused = exchange(sandbox.addr(), "POST /_control/plan", &[], "{}").await;
        assert_eq!((refused.status(), refused.headers()["allow"].as_str()), (405, "GET, PUT"));
        assert_eq!(sandbox.control().ledger().arrivals, []);
        assert_ne!(refused.json(), Value::Null);
    }
}
