//! `operations/NAME.toml`: one business capability; `operations/NAME@VERSION.toml`: a version of it.
//!
//! `step` reads one step, `graph` finds out which waits for which, `keys` what callers' idempotency keys mean.

use std::ops::RangeInclusive;
use std::time::Duration;

use causeway_core::classify::Safety;
use causeway_core::name::OperationName;
use causeway_core::operation::MAX_STEPS;
use causeway_core::priority::Priority;

use super::calls::Catalogue;
use super::error::{Advice, At};
use super::integration::IntegrationSettings;
use super::jq::JqSource;
use super::reader::forms::{boolean, choice, duration, integer, title};
use super::reader::{Table, Value};
use super::response_schema::SchemaText;

mod graph;
mod keys;
mod step;

pub use keys::{InFlight, KeyMode, KeySettings};
pub use step::{AlternateSettings, FallbackSettings, StepSettings, UndoSettings};

/// Bounds of the version.
pub(super) const VERSION: RangeInclusive<u32> = 1..=1_000_000;
/// Bounds of the deadline: a caller waits for it.
const DEADLINE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
/// The deadline of an operation that names none.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(8);

const PRIORITIES: [(&str, Priority); 3] =
    [("high", Priority::High), ("normal", Priority::Normal), ("low", Priority::Low)];

/// Whether callers wait.
const MODES: [(&str, Mode); 2] = [(Mode::Sync.as_str(), Mode::Sync), (Mode::Async.as_str(), Mode::Async)];

/// Whether callers wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They do, for the outcome.
    Sync,
    /// They are told where to look as soon as the run is on disk.
    Async,
}

impl Mode {
    /// As it is written in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
        }
    }
}

/// One version of a business capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationSettings {
    /// Its file's name.
    pub name: OperationName,
    /// Its file's name, with the version where that is part of it.
    pub label: String,
    /// Its name for people; default, its name.
    pub title: String,
    /// Its version; default, that of its file's name, or 1.
    pub version: u32,
    /// Whether only callers that ask for this version get it.
    pub preview: bool,
    /// How long a run may take; default 8 s.
    pub deadline: Duration,
    /// Where the deadline stands; where it does not, the file's beginning.
    pub deadline_at: At,
    /// Whether callers wait.
    pub mode: Mode,
    /// How urgent a run is whose caller does not say.
    pub priority: Priority,
    /// What callers' keys mean.
    pub idempotency: KeySettings,
    /// Where that stands; where it does not, the file's beginning.
    pub idempotency_at: At,
    /// Whether runs that only read are kept too; default false.
    pub journal: bool,
    /// What its input looks like; default, any JSON.
    pub input_schema: Option<SchemaText>,
    /// Makes the run's result of `{ input, run, steps }`.
    pub result: Option<JqSource>,
    /// Its steps: at least one.
    pub steps: Vec<StepSettings>,
}

/// What an operation's file is named.
pub(super) struct Named {
    pub(super) name: OperationName,
    pub(super) version: Option<u32>,
}

/// Reads an operation's file. `named` is absent if the file's name is wrong.
pub(super) fn read(
    named: Option<Named>,
    table: &mut Table<'_>,
    catalogue: &Catalogue,
) -> Option<OperationSettings> {
    let title = table.optional("title", title);
    let version = table.optional("version", integer(VERSION));
    let preview = table.or("preview", false, boolean);
    let deadline = table.or("deadline", DEFAULT_DEADLINE, duration(DEADLINE));
    let priority = table.or("priority", Priority::default(), choice(&PRIORITIES));
    let input_schema = table.optional("input_schema", SchemaText::read);
    let result = table.optional("result", JqSource::read);
    let steps =
        table.required("steps", "[{ name = \"charge\", call = \"stripe.create_charge\" }]", |value| {
            steps(value, catalogue)
        });
    if steps.as_ref().is_some_and(Vec::is_empty) {
        table.wrong("steps", "an operation has a step; write [[steps]] with `name` and `call`");
    }
    let mode = table.or("mode", Mode::Sync, choice(&MODES));

    let journal = table.or("journal", false, boolean);
    let idempotency = table.optional("idempotency", keys::read).unwrap_or_default();
    let idempotency_at = At(table.position_of("idempotency"));
    let deadline_at = At(table.position_of("deadline"));
    let Named { name, version: of_file } = named?;
    if let (Some(of_file), Some(version)) = (of_file, version)
        && of_file != version
    {
        let message = format!("the file's name says {of_file}; write {of_file}, or remove the key");
        table.wrong("version", &message);
    }
    let label = of_file.map_or_else(|| name.to_string(), |version| format!("{name}@{version}"));
    let version = of_file.or(version).unwrap_or(1);
    let title = title.unwrap_or_else(|| name.to_string());
    let steps = steps?;
    Some(OperationSettings {
        name,
        label,
        title,
        version,
        preview,
        deadline,
        deadline_at,
        mode,
        priority,
        idempotency,
        idempotency_at,
        journal,
        input_schema,
        result,
        steps,
    })
}

fn steps(value: Value<'_>, catalogue: &Catalogue) -> Option<Vec<StepSettings>> {
    let members = value.members(MAX_STEPS)?;
    let written = members.len();
    let mut drafts = Vec::with_capacity(written);
    for member in members {
        drafts.extend(member.table("a table, [[steps]]", |table| step::read(table, catalogue)));
    }
    if drafts.len() < written {
        // Which are there to be waited for, nobody knows.
        return None;
    }
    graph::join(drafts)
}

/// What may be better in the light of what the operations call.
pub(super) fn advice(operations: &[OperationSettings], integrations: &[IntegrationSettings]) -> Vec<Advice> {
    let slow = operations.iter().filter_map(|operation| slow_steps(operation, integrations));
    let keyless = operations.iter().filter_map(|operation| keys_left_to_callers(operation, integrations));
    slow.chain(keyless).collect()
}

/// Whoever acts and takes requests without a key acts twice for a caller that asks twice.
fn keys_left_to_callers(
    operation: &OperationSettings,
    integrations: &[IntegrationSettings],
) -> Option<Advice> {
    let acting = operation.steps.iter().find(|step| {
        let integration = integrations.iter().find(|known| known.name == step.call.integration);
        let endpoint =
            integration.and_then(|known| known.endpoints.iter().find(|it| it.name == step.call.endpoint));
        endpoint.is_some_and(|endpoint| endpoint.idempotency.safety() == Safety::Mutating)
    })?;
    (operation.idempotency.mode == KeyMode::Optional).then(|| {
        let message = format!(
            "`idempotency`: {} may act, and a caller that asks again without a key has it act again; write idempotency = \
             \"required\"",
            acting.call
        );
        Advice::at(operation.idempotency_at.0.clone(), message)
    })
}

/// A run whose deadline is shorter than one slow attempt answers that its outcome is pending, or nothing at all.
fn slow_steps(operation: &OperationSettings, integrations: &[IntegrationSettings]) -> Option<Advice> {
    operation.steps.iter().find_map(|step| {
        let integration = integrations.iter().find(|known| known.name == step.call.integration)?;
        let endpoint = integration.endpoints.iter().find(|known| known.name == step.call.endpoint)?;
        let patience = (endpoint.timeouts.connect + endpoint.timeouts.first_byte).min(endpoint.timeouts.total);
        (operation.deadline < patience).then(|| {
            let message = format!(
                "`deadline`: {:?} is shorter than the {patience:?} that {} may take to answer; give it longer, or shorten \
                 the endpoint's timeouts",
                operation.deadline, step.call
            );
            Advice::at(operation.deadline_at.0.clone(), message)
        })
    })
}
