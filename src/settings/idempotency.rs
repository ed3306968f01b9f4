//! `idempotency` of an endpoint: whether it may be sent again, and by what the provider would know it.

use std::ops::RangeInclusive;
use std::time::Duration;

use causeway_core::classify::Safety;
use http::{HeaderName, Method};

use super::headers::request_header;
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
    /// It may act, and the provider recognises a repetition by a key.
    Header {
        /// The header that carries the key.
        header: HeaderName,
        /// How long the provider remembers a key, from its first use.
        key_retention: Duration,
    },
}

impl IdempotencySettings {
    /// Whether calling the endpoint may change something at the provider.
    pub const fn safety(&self) -> Safety {
        match self {
            Self::Safe => Safety::Safe,
            Self::None | Self::Header { .. } => Safety::Mutating,
        }
    }

    /// What holds for an endpoint that says nothing: methods that HTTP calls safe are (RFC 9110 §9.2.1).
    pub(super) fn of_method(method: &Method) -> Self {
        if method.is_safe() { Self::Safe } else { Self::None }
    }

    pub(super) fn read(value: Value<'_>) -> Option<Self> {
        if value.is_table() {
            return value.table("a table", |table| {
                let header = table.required("header", "\"Idempotency-Key\"", request_header);
                table.not_yet(&["verify"]);
                let key_retention = table.or("key_retention", KEY_RETENTION, duration(KEY_RETENTION_BOUNDS));
                Some(Self::Header { header: header?, key_retention })
            });
        }
        if !value.is_string() {
            return value.wrong_type("\"safe\", \"none\" or { header = \"Idempotency-Key\" }");
        }
        choice(&WORDS)(value)
    }
}
