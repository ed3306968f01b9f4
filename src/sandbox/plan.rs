//! How the provider is to behave: a sequence of behaviours for the requests that match.
//!
//! A [`Rule`] names requests by method and by the beginning of their path. Each matching request takes the next of its
//! `steps`; when they are used up, `then` holds for ever. Where several rules match, the one with the longest path
//! wins, and among those the one that names a method; where none does, the provider is well.

use std::collections::VecDeque;

use http::Method;
use serde::{Deserialize, Serialize};

use super::behaviour::{Behaviour, MAX_WAIT};

/// The most rules held at once.
pub const MAX_RULES: usize = 64;
/// The most steps in one rule.
pub const MAX_STEPS: usize = 10_000;

/// The behaviours for the requests that match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// How the path begins.
    #[serde(default = "any_path")]
    pub path: String,
    /// The method, in any case; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// One for each matching request, in order.
    #[serde(default)]
    pub steps: VecDeque<Behaviour>,
    /// For every matching request after those.
    #[serde(default = "Behaviour::normal")]
    pub then: Behaviour,
}

/// Why a rule cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The plan is full.
    #[error(
        "the plan already holds {MAX_RULES} rules: replace one by its path and method, or reset the sandbox"
    )]
    TooManyRules,
    /// The rule is too long.
    #[error("a rule of {0} steps is too long: at most {MAX_STEPS}")]
    TooManySteps(usize),
    /// The path matches nothing.
    #[error("the path `{0}` can match no request: begin it with `/` and leave `/_control` out")]
    Path(String),
    /// The method is no token.
    #[error("`{0}` is no HTTP method")]
    Method(String),
    /// The status is no final one.
    #[error("{0} is no status that ends a request: use 200 to 599")]
    Status(u16),
    /// The header cannot be sent.
    #[error("the header `{0}` cannot be sent: its name or value is no HTTP, or it frames the message")]
    Header(String),
    /// The client would wait too long.
    #[error("a wait of {0} ms is too long: at most {max} ms for delays and jitter together", max = MAX_WAIT.as_millis())]
    Wait(u64),
}

impl Rule {
    /// For all requests: `steps` in order, then normal.
    pub fn sequence(steps: impl IntoIterator<Item = Behaviour>) -> Self {
        let steps = steps.into_iter().collect();
        Self { path: any_path(), method: None, steps, then: Behaviour::normal() }
    }

    /// For all requests: `behaviour`, for ever.
    pub fn always(behaviour: Behaviour) -> Self {
        Self { then: behaviour, ..Self::sequence([]) }
    }

    /// The same, for requests with this method and a path that begins so.
    #[must_use]
    pub fn on(self, method: &Method, path: &str) -> Self {
        Self { path: path.to_owned(), method: Some(method.as_str().to_owned()), ..self }
    }

    fn check(&self) -> Result<(), PlanError> {
        if !self.path.starts_with('/') || self.path.starts_with("/_control") {
            return Err(PlanError::Path(self.path.clone()));
        }
        if let Some(method) = &self.method
            && Method::from_bytes(method.as_bytes()).is_err()
        {
            return Err(PlanError::Method(method.clone()));
        }
        if self.steps.len() > MAX_STEPS {
            return Err(PlanError::TooManySteps(self.steps.len()));
        }
        self.steps.iter().chain([&self.then]).try_for_each(Behaviour::check)
    }

    fn matches(&self, method: &Method, path: &str) -> bool {
        path.starts_with(&self.path) && self.method.as_deref().is_none_or(|named| named == method.as_str())
    }
}

/// The rules, and how far each has been followed.
#[derive(Debug, Default)]
pub(super) struct Plan {
    rules: Vec<Rule>,
}

impl Plan {
    /// Adds `rule`, in place of one for the same path and method.
    pub(super) fn set(&mut self, mut rule: Rule) -> Result<(), PlanError> {
        rule.check()?;
        if let Some(method) = &mut rule.method {
            method.make_ascii_uppercase();
        }
        let same = |other: &&mut Rule| other.path == rule.path && other.method == rule.method;
        if let Some(present) = self.rules.iter_mut().find(same) {
            *present = rule;
        } else if self.rules.len() < MAX_RULES {
            self.rules.push(rule);
        } else {
            return Err(PlanError::TooManyRules);
        }
        Ok(())
    }

    /// Takes the behaviour for the next request to arrive.
    pub(super) fn next(&mut self, method: &Method, path: &str) -> Behaviour {
        let matching = self.rules.iter_mut().filter(|rule| rule.matches(method, path));
        match matching.max_by_key(|rule| (rule.path.len(), rule.method.is_some())) {
            Some(rule) => rule.steps.pop_front().unwrap_or_else(|| rule.then.clone()),
            None => Behaviour::normal(),
        }
    }

    /// What is left of each rule.
    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

fn any_path() -> String {
    "/".to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::behaviour::Action;
    use super::*;

    fn statuses(plan: &mut Plan, count: usize, method: &Method, path: &str) -> Vec<Option<u16>> {
        let status = |behaviour: Behaviour| {
            if let Action::Status { status, .. } = behaviour.action { Some(status) } else { None }
        };
        (0..count).map(|_| status(plan.next(method, path))).collect()
    }

    #[test]
    fn steps_are_taken_one_by_one_and_then_holds_for_ever() {
        let mut plan = Plan::default();
        let rule = Rule { then: Behaviour::status(500), ..Rule::sequence([503, 502].map(Behaviour::status)) };
        plan.set(rule).unwrap();
        let seen = statuses(&mut plan, 4, &Method::GET, "/v1/ping");
        assert_eq!(seen, [Some(503), Some(502), Some(500), Some(500)]);
    }

    #[test]
    fn the_most_specific_rule_wins_and_the_others_are_not_used_up() {
        let mut plan = Plan::default();
        plan.set(Rule::always(Behaviour::status(500)).on(&Method::POST, "/v1/charges")).unwrap();
        plan.set(Rule { path: "/v1/charges".into(), ..Rule::always(Behaviour::status(501)) }).unwrap();
        plan.set(Rule::sequence([Behaviour::status(502)])).unwrap();
        assert_eq!(statuses(&mut plan, 1, &Method::POST, "/v1/charges"), [Some(500)]);
        assert_eq!(statuses(&mut plan, 1, &Method::GET, "/v1/charges/ch_1"), [Some(501)]);
        assert_eq!(statuses(&mut plan, 2, &Method::GET, "/v1/ping"), [Some(502), None]);
    }

    #[test]
    fn a_rule_for_the_same_requests_replaces_the_one_before() {
        let mut plan = Plan::default();
        let lower = Rule { method: Some("get".into()), ..Rule::always(Behaviour::status(500)) };
        plan.set(lower).unwrap();
        plan.set(Rule::always(Behaviour::normal()).on(&Method::GET, "/")).unwrap();
        assert_eq!(plan.rules().len(), 1);
        assert_eq!(statuses(&mut plan, 1, &Method::GET, "/"), [None]);
    }

    #[test]
    fn an_empty_rule_is_for_every_request_and_normal() {
        assert_eq!(serde_json::from_str::<Rule>("{}").unwrap(), Rule::sequence([]));
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let mut plan = Plan::default();
        let with_header = |name: &str, value: &str| {
            let headers = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            Rule::always(Action::Status { status: 200, headers, body: None, act: false }.into())
        };
        let long = Behaviour::from(Action::Delay { ms: 400_000, jitter_ms: 200_001 });
        let refused = [
            (Rule::always(Behaviour::status(101)), PlanError::Status(101)),
            (Rule::always(Behaviour::status(600)), PlanError::Status(600)),
            (with_header("content-length", "1"), PlanError::Header("content-length".into())),
            (with_header("a b", "1"), PlanError::Header("a b".into())),
            (with_header("a", "1\r\nb: 2"), PlanError::Header("a".into())),
            (Rule::always(long), PlanError::Wait(600_001)),
            (Rule { path: "v1".into(), ..Rule::sequence([]) }, PlanError::Path("v1".into())),
            (Rule { path: "/_control/".into(), ..Rule::sequence([]) }, PlanError::Path("/_control/".into())),
            (Rule { method: Some("G T".into()), ..Rule::sequence([]) }, PlanError::Method("G T".into())),
            (
                Rule::sequence(vec![Behaviour::normal(); MAX_STEPS + 1]),
                PlanError::TooManySteps(MAX_STEPS + 1),
            ),
        ];
        for (rule, error) in refused {
            assert_eq!(plan.set(rule), Err(error));
        }
        assert!(plan.rules().is_empty());
    }

    #[test]
    fn the_plan_is_bounded() {
        let mut plan = Plan::default();
        let rule = |number: usize| Rule { path: format!("/{number}"), ..Rule::sequence([]) };
        assert!((0..MAX_RULES).all(|number| plan.set(rule(number)).is_ok()));
        assert_eq!(plan.set(rule(MAX_RULES)), Err(PlanError::TooManyRules));
        assert_eq!(plan.set(rule(0)), Ok(()));
    }
}
