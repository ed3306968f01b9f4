//! `classify` of an endpoint: the provider's own way to say what went wrong.

use causeway_core::failure::ErrorClass;

use super::jq::JqSource;
use super::reader::forms::choice;
use super::reader::{Table, Value};

/// The most rules of one endpoint: each may be run on each answer.
const MAX_RULES: usize = 64;

const CLASSES: [(&str, ErrorClass); 4] = [
    ("transient", ErrorClass::Transient),
    ("rate_limited", ErrorClass::RateLimited),
    ("client", ErrorClass::Client),
    ("ambiguous", ErrorClass::Ambiguous),
];

/// One rule. The first whose `when` holds decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassifyRule {
    /// Whether the rule holds for an answer.
    pub when: JqSource,
    /// The class it gives: transient, rate_limited, client or ambiguous; absent, the answer's own.
    pub class: Option<ErrorClass>,
    /// The provider's stable code.
    pub code: Option<JqSource>,
    /// The provider's words.
    pub message: Option<JqSource>,
}

/// Reads `classify`.
pub(super) fn read(table: &mut Table<'_>) -> Vec<ClassifyRule> {
    table.list("classify", MAX_RULES, |value| rule(value))
}

fn rule(value: Value<'_>) -> Option<ClassifyRule> {
    value.table("a rule such as { when = '.status == 402', class = \"client\" }", |table| {
        let when = table.required("when", "'.status == 402'", JqSource::read);
        let class = table.optional("class", choice(&CLASSES));
        let code = table.optional("code", JqSource::read);
        let message = table.optional("message", JqSource::read);
        Some(ClassifyRule { when: when?, class, code, message })
    })
}
