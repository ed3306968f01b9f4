//! `operations/NAME.toml`: one business capability.

use std::ops::RangeInclusive;
use std::time::Duration;

use causeway_core::name::{OperationName, StepName};

use super::calls::{Call, Catalogue};
use super::jq::JqSource;
use super::reader::forms::{duration, integer, name, title};
use super::reader::{Table, Value};

/// The most steps that are read; one can be run.
const MAX_STEPS: usize = 64;
/// Bounds of the version.
const VERSION: RangeInclusive<u32> = 1..=1_000_000;
/// Bounds of the deadline: a caller waits for it.
const DEADLINE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
/// The deadline of an operation that names none.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(8);

/// One business capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationSettings {
    /// Its file's name.
    pub name: OperationName,
    /// Its name for people; default, its name.
    pub title: String,
    /// Its version; default 1.
    pub version: u32,
    /// How long a run may take; default 8 s.
    pub deadline: Duration,
    /// Makes the run's result of `{ input, run, steps }`.
    pub result: Option<JqSource>,
    /// Its steps: exactly one.
    pub steps: Vec<StepSettings>,
}

/// One endpoint call of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepSettings {
    /// Its name, unique in its operation.
    pub name: StepName,
    /// What it calls; exists.
    pub call: Call,
    /// Makes the step's input of `{ input, run, steps }`.
    pub input: Option<JqSource>,
}

/// Reads an operation's file. `name` is absent if the file's name is wrong.
pub(super) fn read(
    name: Option<OperationName>,
    table: &mut Table<'_>,
    catalogue: &Catalogue,
) -> Option<OperationSettings> {
    let title = table.optional("title", title);
    let version = table.or("version", 1, integer(VERSION));
    let deadline = table.or("deadline", DEFAULT_DEADLINE, duration(DEADLINE));
    let result = table.optional("result", JqSource::read);
    let steps =
        table.required("steps", "[{ name = \"charge\", call = \"stripe.create_charge\" }]", |value| {
            steps(value, catalogue)
        });
    if steps.as_ref().is_some_and(Vec::is_empty) {
        table.wrong("steps", "an operation has one step; write [[steps]] with `name` and `call`");
    }
    let name = name?;
    let title = title.unwrap_or_else(|| name.to_string());
    Some(OperationSettings { title, name, version, deadline, result, steps: steps? })
}

fn steps(value: Value<'_>, catalogue: &Catalogue) -> Option<Vec<StepSettings>> {
    let members = value.members(MAX_STEPS)?;
    let written = members.len();
    let mut steps = Vec::new();
    for (index, member) in members.into_iter().enumerate() {
        if index > 0 {
            member.tell("operations of several steps are not available; keep one step");
        }
        steps.extend(member.table("a table, [[steps]]", |table| step(table, catalogue)));
    }
    (steps.len() == written).then_some(steps)
}

fn step(table: &mut Table<'_>, catalogue: &Catalogue) -> Option<StepSettings> {
    let name = table.required("name", "\"charge\"", name);
    let call = table.required("call", "\"stripe.create_charge\"", |value| catalogue.resolve(&value));
    let input = table.optional("input", JqSource::read);
    Some(StepSettings { name: name?, call: call?, input })
}
