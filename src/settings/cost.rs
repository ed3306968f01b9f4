//! `cost` of an endpoint: how much of the integration's limits one call takes.

use std::ops::RangeInclusive;

use super::error::{Placed, Position};
use super::jq::JqSource;
use super::reader::Value;
use super::reader::forms::integer;

/// Bounds of a cost; at 0 a call takes nothing.
const COST: RangeInclusive<u32> = 0..=10_000_000;

/// How much of each of its limits a call takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CostSettings {
    /// Always so much.
    Fixed(u32),
    /// What an expression makes of the step's input.
    By(JqSource),
}

impl CostSettings {
    pub(super) fn read(value: Value<'_>) -> Option<Placed<Self>> {
        let at: Position = value.position();
        let cost = if value.is_string() {
            JqSource::read(value).map(Self::By)
        } else {
            integer(COST)(value).map(Self::Fixed)
        };
        cost.map(|value| Placed { value, at })
    }
}
