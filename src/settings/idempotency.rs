//! `idempotency` of an endpoint: whether it may be sent again, and by what the provider would know it.

use std::ops::RangeInclusive;
use std::time::Duration;

use causeway_core::classify::Safety;
use causeway_core::name::EndpointName;
use causeway_core::operation::RECONCILE_AFTER;
use http::{HeaderName, Method};

use super::error::Placed;
use super::headers::request_header;
use super::jq::JqSource;
use super::reader::Value;
use super::reader::forms::{choice, duration};

/// How long providers keep a key, as most promise.
const KEY_RETENTION: Duration = Duration::from_secs(24 * 3600);
/// Bounds of the time a provider keeps a key.
const KEY_RETENTION_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 3600);

const WORDS: [(&str, IdempotencySettings); 2] =
    [("safe", IdempotencySettings::Safe), ("none", IdempotencySettings::None)];

/// Whether an endpoint may be sent again when its answer was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdempotencySettings {
    /// It only reads, or does no harm twice: sent again at will.
    Safe,
    /// It may act, and nobody could tell twice from once.
    None,
    /// It may act, and the provider recognises a repetition by a key, or can be asked whether it has acted, or both.
    Known {
        /// How it recognises a repetition.
        key: Option<KeyHeader>,
        /// How it can be asked.
        verify: Option<Box<VerifySettings>>,
    },
}

/// The header that carries a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHeader {
    /// Its name.
    pub header: HeaderName,
    /// How long the provider remembers a key, from its first use.
    pub retention: Duration,
}

/// How a provider can be asked whether it has acted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifySettings {
    /// The query: an endpoint of the same integration that only reads.
    pub endpoint: Placed<EndpointName>,
    /// Makes its input of the call's; default, the same.
    pub input: Option<JqSource>,
    /// Whether it is there; of `{ status, headers, body }`.
    pub found: JqSource,
    /// Makes the step's result of that; default, what the endpoint's own `response` makes.
    pub result: Option<JqSource>,
    /// Asked before the first request, too.
    pub always: bool,
    /// How long after the last attempt in doubt its absence counts.
    pub settle: Duration,
    /// When it is asked about a run that ended in doubt, from its end, ascending.
    pub reconcile_after: Vec<Duration>,
}

impl VerifySettings {
    fn read(value: Value<'_>) -> Option<Self> {
        value.table("a table { endpoint, found }", |table| {
            let endpoint = table.required("endpoint", "\"find_charge\"", |value| {
                let at = value.position();
                let text = value.string("an endpoint of this integration")?;
                let name = EndpointName::new(text);
                name.map_or_else(|error| value.wrong(&error.to_string()), |value| Some(Placed { value, at }))
            });
            let input = table.optional("input", JqSource::read);
            let found = table.required("found", "'.body.data | length > 0'", JqSource::read);
            let result = table.optional("result", JqSource::read);
            let always = table.or("when", false, choice(&WHEN));
            let settle = table.or("settle", SETTLE, duration(SETTLE_BOUNDS));
            let mut reconcile_after =
                table.list_or("reconcile_after", MAX_RECONCILIATIONS, &RECONCILE_AFTER, |value| {
                    duration(RECONCILE_BOUNDS)(value)
                });
            reconcile_after.sort_unstable();
            let endpoint = endpoint?;
            Some(Self { endpoint, input, found: found?, result, always, settle, reconcile_after })
        })
    }
}

/// When a provider is asked whether it has acted: before a request is sent again, or before the first one too.
const WHEN: [(&str, bool); 2] = [("resend", false), ("always", true)];
/// How long providers may take to show what they have done.
const SETTLE: Duration = Duration::from_secs(30);
/// The most times that it is asked about a run that ended in doubt.
const MAX_RECONCILIATIONS: usize = 32;
const RECONCILE_BOUNDS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(30 * 24 * 3600);
const SETTLE_BOUNDS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);

impl IdempotencySettings {
    /// Whether calling the endpoint may change something at the provider.
    pub const fn safety(&self) -> Safety {
        match self {
            Self::Safe => Safety::Safe,
            Self::None | Self::Known { .. } => Safety::Mutating,
        }
    }

    /// What holds for an endpoint that says nothing: methods that HTTP calls safe are (RFC 9110 §9.2.1).
    pub(super) fn of_method(method: &Method) -> Self {
        if method.is_safe() { Self::Safe } else { Self::None }
    }

    pub(super) fn read(value: Value<'_>) -> Option<Self> {
        if value.is_table() {
            return value.table("a table", |table| {
                let header = table.optional("header", request_header);
                let retention = table.or("key_retention", KEY_RETENTION, duration(KEY_RETENTION_BOUNDS));
                let verify = table.optional("verify", VerifySettings::read).map(Box::new);
                if !table.had("header") && !table.had("verify") {
                    table.wrong_whole(
                        "nothing says how a repetition is known; write `header`, or `verify`, or both",
                    );
                }
                if table.had("key_retention") && !table.had("header") {
                    table.wrong("key_retention", "there is no key to be kept; write `header`, or remove it");
                }
                let key = header.map(|header| KeyHeader { header, retention });
                Some(Self::Known { key, verify })
            });
        }
        if !value.is_string() {
            return value.wrong_type("\"safe\", \"none\" or { header = \"Idempotency-Key\" }");
        }
        choice(&WORDS)(value)
    }
}
