//! `[defaults]` of the server's file: the starting point of every integration.
//!
//! An integration's own key wins, key by key; a limit of the same name is its own.

use causeway_core::bulkhead::PoolSpec;
use causeway_core::endpoint::Timeouts;
use causeway_core::retry::RetrySpec;

use super::breaker::{self, WrittenBreaker};
use super::limits::{self, WrittenLimit};
use super::reader::Table;
use super::{pool, retry, timeouts};

/// What integrations start from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DefaultSettings {
    /// `[defaults.timeouts]`.
    pub timeouts: Timeouts,
    /// `[defaults.retry]`.
    pub retry: RetrySpec,
    /// `[defaults.breaker]`.
    pub breaker: WrittenBreaker,
    /// `[defaults.pool]`.
    pub pool: PoolSpec,
    /// `[[defaults.limits]]`.
    pub(super) limits: Vec<WrittenLimit>,
}

impl DefaultSettings {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let own = Self::default();
        Self {
            timeouts: table.section("timeouts", |table| timeouts::read(table, &own.timeouts)),
            retry: table.section("retry", |table| retry::read(table, &own.retry)),
            breaker: table.section("breaker", |table| breaker::read(table, &own.breaker)),
            pool: table.section("pool", |table| pool::read(table, &own.pool)),
            limits: limits::read_defaults(table),
        }
    }
}
