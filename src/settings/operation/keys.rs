//! `idempotency` of an operation: what its callers' keys mean.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::settings::reader::Value;
use crate::settings::reader::forms::{choice, duration};

/// How long keys are kept, where nothing else is said.
const RETENTION: Duration = Duration::from_secs(24 * 3600);
/// Bounds of how long keys are kept.
const RETENTION_BOUNDS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(365 * 86_400);

const MODES: [(&str, KeyMode); 3] =
    [("required", KeyMode::Required), ("optional", KeyMode::Optional), ("off", KeyMode::Off)];
const IN_FLIGHT: [(&str, InFlight); 2] = [("attach", InFlight::Attach), ("conflict", InFlight::Conflict)];

/// What callers' keys mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySettings {
    /// Whether there must be one.
    pub mode: KeyMode,
    /// How long one is kept, from its run's end.
    pub retention: Duration,
    /// What a repetition gets while the run is under way.
    pub in_flight: InFlight,
}

/// Whether there must be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyMode {
    /// A request without one is refused.
    Required,
    /// One counts where it is given.
    Optional,
    /// One is passed over: the operation only reads.
    Off,
}

/// What a repetition gets while the run is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InFlight {
    /// It waits, and is answered the same.
    Attach,
    /// It is told so at once.
    Conflict,
}

impl KeyMode {
    /// The word of the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
            Self::Off => "off",
        }
    }
}

impl Default for KeySettings {
    fn default() -> Self {
        Self { mode: KeyMode::Optional, retention: RETENTION, in_flight: InFlight::Attach }
    }
}

pub(super) fn read(value: Value<'_>) -> Option<KeySettings> {
    let default = KeySettings::default();
    if value.is_table() {
        return value.table("a table { mode, retention, in_flight }", |table| {
            Some(KeySettings {
                mode: table.or("mode", default.mode, choice(&MODES)),
                retention: table.or("retention", default.retention, duration(RETENTION_BOUNDS)),
                in_flight: table.or("in_flight", default.in_flight, choice(&IN_FLIGHT)),
            })
        });
    }
    if !value.is_string() {
        return value.wrong_type("\"required\", \"optional\", \"off\" or { mode, retention, in_flight }");
    }
    choice(&MODES)(value).map(|mode| KeySettings { mode, ..default })
}
