//! `[[steps]]`: whom a step calls, what stands in for it, and what takes it back.

use std::ops::RangeInclusive;
use std::time::Duration;

use causeway_core::json::Json;
use causeway_core::name::StepName;
use causeway_core::operation::MAX_STEPS;
use serde_json::json;

use crate::settings::calls::{Call, Catalogue};
use crate::settings::error::Placed;
use crate::settings::jq::JqSource;
use crate::settings::reader::forms::{boolean, duration};
use crate::settings::reader::{Table, Value};

/// The most alternates of a step.
const MAX_ALTERNATES: usize = 8;
/// Bounds of how old a result may be that is served in place of a new one.
const STALE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);

/// One step of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepSettings {
    /// Its name, unique in its operation.
    pub name: StepName,
    /// The steps it waits for, by their places; there is no ring.
    pub after: Vec<usize>,
    /// Whether the run fails where the step does; default true.
    pub required: bool,
    /// Whether it is left to a run of its own, which nobody waits for; default false.
    pub background: bool,
    /// What it calls; exists.
    pub call: Call,
    /// Makes the step's input of `{ input, run, steps }`.
    pub input: Option<JqSource>,
    /// What takes a success back.
    pub undo: Option<UndoSettings>,
    /// What it calls instead, in this order.
    pub alternates: Vec<AlternateSettings>,
    /// What stands in where nobody serves.
    pub fallback: FallbackSettings,
}

/// What takes a success back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoSettings {
    /// What it calls; exists.
    pub call: Call,
    /// Makes its input of `{ input, run, steps }`; default, the step's result.
    pub input: Option<JqSource>,
}

/// What a step calls instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlternateSettings {
    /// What it calls; exists.
    pub call: Call,
    /// Makes its input; default, as for the step.
    pub input: Option<JqSource>,
    /// What takes its success back.
    pub undo: Option<UndoSettings>,
}

/// What stands in where nobody serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FallbackSettings {
    /// The last good result, if it is no older.
    pub stale: Option<Placed<Duration>>,
    /// This.
    pub value: Option<Json>,
}

/// A step whose place among the others is still to be found.
pub(super) struct Draft<'d> {
    pub(super) step: StepSettings,
    /// Its name, where it stands.
    pub(super) name: Value<'d>,
    /// The names of what it waits for, where they stand.
    pub(super) after: Vec<Value<'d>>,
}

pub(super) fn read<'d>(table: &mut Table<'d>, catalogue: &Catalogue) -> Option<Draft<'d>> {
    let name = table.required("name", "\"charge\"", |value| Some((name(&value), value)));
    let call = table.required("call", "\"stripe.create_charge\"", |value| catalogue.resolve(&value));
    let after = table.optional("after", |value| value.members(MAX_STEPS));
    for value in after.iter().flatten() {
        value.shape(|| json!({ "type": "string" }));
    }
    let required = table.or("required", true, boolean);
    let input = table.optional("input", JqSource::read);
    let undo = table.optional("undo", |value| undo(value, catalogue));
    let alternates = table.list("alternates", MAX_ALTERNATES, |value| alternate(value, catalogue));
    let fallback = table.optional("fallback", |value| value.table("a table { stale, value }", fallback));
    let background = table.or("background", false, boolean);
    table.not_yet(&["completes"]);
    let (name, name_value) = name?;
    let step = StepSettings {
        name: name?,
        after: Vec::new(),
        required,
        background,
        call: call?,
        input,
        undo,
        alternates,
        fallback: fallback.unwrap_or_default(),
    };
    Some(Draft { step, name: name_value, after: after.unwrap_or_default() })
}

fn name(value: &Value<'_>) -> Option<StepName> {
    let text = value.string("a name")?;
    StepName::new(text).map_or_else(|error| value.wrong(&error.to_string()), Some)
}

fn undo(value: Value<'_>, catalogue: &Catalogue) -> Option<UndoSettings> {
    value.table("a table { call, input }", |table| {
        let call = table.required("call", "\"stripe.refund\"", |value| catalogue.resolve(&value));
        let input = table.optional("input", JqSource::read);
        Some(UndoSettings { call: call?, input })
    })
}

fn alternate(value: Value<'_>, catalogue: &Catalogue) -> Option<AlternateSettings> {
    if value.is_string() {
        let call = catalogue.resolve(&value)?;
        return Some(AlternateSettings { call, input: None, undo: None });
    }
    value.table("an endpoint such as \"adyen.create_payment\", or a table { call, input, undo }", |table| {
        let call = table.required("call", "\"adyen.create_payment\"", |value| catalogue.resolve(&value));
        let input = table.optional("input", JqSource::read);
        let undo = table.optional("undo", |value| undo(value, catalogue));
        Some(AlternateSettings { call: call?, input, undo })
    })
}

fn fallback(table: &mut Table<'_>) -> Option<FallbackSettings> {
    let stale = table.optional("stale", |value| {
        let at = value.position();
        duration(STALE)(value).map(|value| Placed { value, at })
    });
    let value = table.optional("value", |value| value.json().map(|json| Json::of(&json)));
    if !table.had("stale") && !table.had("value") {
        table.wrong_whole("nothing would stand in; write stale = \"10m\" or value = { … }");
    }
    Some(FallbackSettings { stale, value })
}
