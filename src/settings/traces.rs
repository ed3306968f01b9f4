//! `[traces]`: where spans go.

use super::base_url::BaseUrl;
use super::reader::Table;
use super::reader::forms::number;

/// Where spans go, and of which runs.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSettings {
    /// The collector's OTLP/HTTP address, to which `/v1/traces` is added; without one nothing is recorded.
    pub otlp: Option<BaseUrl>,
    /// The share of runs that are recorded, 0 to 1, where the caller's `traceparent` does not decide. Default 1.
    pub sample: f64,
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self { otlp: None, sample: 1.0 }
    }
}

impl TraceSettings {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let default = Self::default();
        Self {
            otlp: table.optional("otlp", BaseUrl::read_collector),
            sample: table.or("sample", default.sample, number(0.0..=1.0)),
        }
    }
}
