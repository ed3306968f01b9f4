//! `classify` of an endpoint: the provider's own way to say what went wrong.

use causeway_core::endpoint::Meaning;
use causeway_core::failure::ErrorClass;
use causeway_core::limits::DrainScope;
use causeway_core::name::LimitName;

use super::jq::JqSource;
use super::reader::forms::{choice, name};
use super::reader::{Table, Value};

/// The most rules of one endpoint: each may be run on each answer.
const MAX_RULES: usize = 64;

const CLASSES: [(&str, Meaning); 6] = [
    ("transient", Meaning::Failure(ErrorClass::Transient)),
    ("rate_limited", Meaning::Failure(ErrorClass::RateLimited)),
    ("client", Meaning::Failure(ErrorClass::Client)),
    ("ambiguous", Meaning::Failure(ErrorClass::Ambiguous)),
    ("credential", Meaning::Failure(ErrorClass::Credential)),
    ("success", Meaning::Success),
];

const SCOPES: [(&str, DrainScope); 3] = [
    ("endpoint", DrainScope::Endpoint),
    ("connection", DrainScope::Connection),
    ("integration", DrainScope::Integration),
];

/// One rule. The first whose `when` holds decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassifyRule {
    /// Whether the rule holds for an answer.
    pub when: JqSource,
    /// What it makes of the answer; absent, the status decides.
    pub class: Option<Meaning>,
    /// The provider's stable code.
    pub code: Option<JqSource>,
    /// The provider's words.
    pub message: Option<JqSource>,
    /// How long to wait.
    pub retry_after: Option<JqSource>,
    /// Whom a `rate_limited` holds up.
    pub scope: Option<DrainScope>,
}

/// Reads `classify`; `limits` are the integration's.
pub(super) fn read(table: &mut Table<'_>, limits: &[LimitName]) -> Vec<ClassifyRule> {
    table.list("classify", MAX_RULES, |value| rule(value, limits))
}

fn rule(value: Value<'_>, limits: &[LimitName]) -> Option<ClassifyRule> {
    value.table("a rule such as { when = '.status == 402', class = \"client\" }", |table| {
        let when = table.required("when", "'.status == 402'", JqSource::read);
        let class = table.optional("class", choice(&CLASSES));
        let code = table.optional("code", JqSource::read);
        let message = table.optional("message", JqSource::read);
        let retry_after = table.optional("retry_after", JqSource::read);
        let scope = table.optional("scope", |value| scope(value, limits));
        if class == Some(Meaning::Success) {
            for key in ["code", "message", "retry_after", "scope"] {
                if table.had(key) {
                    table.wrong(key, "a success has none; remove it, or give another `class`");
                }
            }
        }
        Some(ClassifyRule { when: when?, class, code, message, retry_after, scope })
    })
}

fn scope(value: Value<'_>, limits: &[LimitName]) -> Option<DrainScope> {
    if value.is_string() {
        return choice(&SCOPES)(value);
    }
    value.table("\"endpoint\", \"connection\", \"integration\" or { limit = \"reads\" }", |table| {
        let limit: LimitName = table.required("limit", "\"reads\"", name)?;
        if !limits.contains(&limit) {
            table.wrong(
                "limit",
                &format!("there is no limit \"{limit}\" here; write one with this name in [[limits]]"),
            );
            return None;
        }
        Some(DrainScope::Limit(limit))
    })
}
