//! `[[clients]]` and `[[operators]]`: who may call the business API, and who may use the admin API.
//!
//! Where there are none, no key is asked for, and a listener takes only what its own machine sends it.

use std::ops::RangeInclusive;
use std::time::Duration;

use causeway_core::limits::token_bucket::TokenBucketSpec;
use causeway_core::name::{ClientName, OperatorName};
use serde_json::json;

use super::auth::placed;
use super::error::{Advice, Placed};
use super::glob;
use super::operation::OperationSettings;
use super::reader::forms::{choice, integer, name};
use super::reader::{Table, Value, shown};
use super::secret::SecretRef;

/// The most clients, and the most operators.
const MAX_ENTRIES: usize = 1000;
/// The most patterns of operations that one client is given.
const MAX_PATTERNS: usize = 100;
/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 100;
/// Bounds of the runs of one client at once.
const MAX_IN_FLIGHT: RangeInclusive<u32> = 1..=1_000_000;
/// Bounds of a client's rate, in requests.
const RATE: RangeInclusive<u32> = 1..=1_000_000;

const RATE_UNITS: [(&str, Duration); 3] =
    [("s", Duration::from_secs(1)), ("m", Duration::from_secs(60)), ("h", Duration::from_secs(3600))];

const ROLES: [(&str, Role); 3] =
    [("viewer", Role::Viewer), ("operator", Role::Operator), ("admin", Role::Admin)];

/// A business service that may call.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientSettings {
    /// Its name, for logs and for people.
    pub name: ClientName,
    /// Where its key is to be read.
    pub key: Placed<SecretRef>,
    /// Patterns of the operations it may run; default none.
    pub operations: Vec<Placed<String>>,
    /// Its runs at once; default, as many as the server takes on.
    pub max_in_flight: Option<u32>,
    /// How often it may call; default, as often as it likes.
    pub rate: Option<TokenBucketSpec>,
}

impl ClientSettings {
    /// Whether it may run the operation.
    pub fn may_run(&self, operation: &str) -> bool {
        self.operations.iter().any(|pattern| glob::matches(&pattern.value, operation))
    }
}

/// Who may use the admin API.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorSettings {
    /// The name, for logs and for people.
    pub name: OperatorName,
    /// Where the key is to be read.
    pub key: Placed<SecretRef>,
    /// What may be done with it; default, look.
    pub role: Role,
}

/// What an operator may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    Viewer,
    /// Act on integrations: trip, reset, set modes.
    Operator,
    /// Change what the server is: its configuration.
    Admin,
}

impl Role {
    /// The word used in files and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// Reads `[[clients]]`.
pub(super) fn clients(table: &mut Table<'_>) -> Vec<ClientSettings> {
    let mut names = Vec::new();
    table.list("clients", MAX_ENTRIES, |value| {
        value.table("a table, [[clients]]", |table| client(table, &mut names))
    })
}

/// Reads `[[operators]]`.
pub(super) fn operators(table: &mut Table<'_>) -> Vec<OperatorSettings> {
    let mut names = Vec::new();
    table.list("operators", MAX_ENTRIES, |value| {
        value.table("a table, [[operators]]", |table| operator(table, &mut names))
    })
}

/// Patterns that no operation has a name for: a slip, or of an operation that is gone.
pub(super) fn advice(clients: &[ClientSettings], operations: &[OperationSettings]) -> Vec<Advice> {
    let names_one = |pattern: &&Placed<String>| {
        operations.iter().any(|operation| glob::matches(&pattern.value, operation.name.as_str()))
    };
    let patterns = clients.iter().flat_map(|client| &client.operations);
    let idle = patterns.filter(|pattern| !names_one(pattern));
    let told = |pattern: &Placed<String>| {
        let message = format!("`operations`: no operation is named like \"{}\"", shown(&pattern.value));
        Advice::at(pattern.at.clone(), message)
    };
    idle.map(told).collect()
}

fn client(table: &mut Table<'_>, names: &mut Vec<ClientName>) -> Option<ClientSettings> {
    let name = table.required("name", "\"checkout\"", name);
    unique(table, name.as_ref(), names);
    let key = table.required("key", "{ env = \"CHECKOUT_KEY\" }", placed);
    let operations = table.list("operations", MAX_PATTERNS, pattern);
    if operations.is_empty() {
        table.advise_whole(
            "without `operations` this client may run none; write operations = [\"payments.*\"]",
        );
    }
    let max_in_flight = table.optional("max_in_flight", integer(MAX_IN_FLIGHT));
    let rate = table.optional("rate", rate);
    table.not_yet(&["events"]);
    Some(ClientSettings { name: name?, key: key?, operations, max_in_flight, rate })
}

fn operator(table: &mut Table<'_>, names: &mut Vec<OperatorName>) -> Option<OperatorSettings> {
    let name = table.required("name", "\"oncall\"", name);
    unique(table, name.as_ref(), names);
    let key = table.required("key", "{ env = \"ONCALL_KEY\" }", placed);
    let role = table.or("role", Role::Viewer, choice(&ROLES));
    Some(OperatorSettings { name: name?, key: key?, role })
}

fn unique<T: Clone + PartialEq + std::fmt::Display>(table: &Table<'_>, name: Option<&T>, names: &mut Vec<T>) {
    let Some(name) = name else { return };
    if names.contains(name) {
        table.wrong("name", &format!("\"{name}\" is there already; give each its own name"));
    }
    names.push(name.clone());
}

fn pattern(value: Value<'_>) -> Option<Placed<String>> {
    let text = value.string("the name of an operation, or a pattern such as \"payments.*\"")?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte);
    if (1..=MAX_PATTERN).contains(&text.len()) && text.bytes().all(fits) {
        return Some(Placed { value: text.to_owned(), at: value.position() });
    }
    let right = "write an operation's name, in which `*` stands for any characters, such as \"payments.*\"";
    value.wrong(&format!("\"{}\" is no pattern of operations; {right}", shown(text)))
}

/// So many requests in a second, a minute or an hour; at once, as many as there are in it.
fn rate(value: Value<'_>) -> Option<TokenBucketSpec> {
    value.shape(|| json!({ "pattern": "^[0-9]+/(s|m|h)$" }));
    let text = value.string("a rate such as \"500/s\"")?;
    let read = text.split_once('/').and_then(|(requests, unit)| {
        let digits = requests.bytes().all(|byte| byte.is_ascii_digit());
        let requests = requests.parse::<u32>().ok().filter(|requests| digits && RATE.contains(requests))?;
        let (_, per) = RATE_UNITS.iter().find(|(known, _)| *known == unit)?;
        Some(TokenBucketSpec { requests, per: *per, burst: requests })
    });
    let right = "write a whole number from 1 to 1000000 and one of /s, /m, /h, such as \"500/s\"";
    read.or_else(|| value.wrong(&format!("\"{}\" is not a rate; {right}", shown(text))))
}
