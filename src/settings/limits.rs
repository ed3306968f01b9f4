//! `[[limits]]`: the rate budgets of an integration.

use std::ops::RangeInclusive;
use std::time::Duration;

use causeway_core::limits::token_bucket::TokenBucketSpec;
use causeway_core::name::LimitName;

use super::reader::Table;
use super::reader::forms::{choice, duration, integer, name};

/// The most limits of one integration: a call takes all of them in one decision.
const MAX_LIMITS: usize = 32;
/// Bounds of the requests per period, and of the burst: a bucket that holds none lets nothing through.
const REQUESTS: RangeInclusive<u32> = 1..=10_000_000;
/// Bounds of the period.
const PER: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(31 * 24 * 3600);

const KINDS: [(&str, Kind); 1] = [("token_bucket", Kind::TokenBucket)];

#[derive(Clone, Copy)]
enum Kind {
    TokenBucket,
}

/// One rate budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Its name in metrics, unique in its integration; `limit-1`, `limit-2` … by place if none is written.
    pub name: LimitName,
    /// What it counts, and how.
    pub kind: LimitKind,
}

/// How a budget is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// So many per period, with a burst.
    TokenBucket(TokenBucketSpec),
}

/// Reads `limits`.
pub(super) fn read(table: &mut Table<'_>) -> Vec<LimitSettings> {
    let mut names: Vec<LimitName> = Vec::new();
    let mut place = 0;
    table.list("limits", MAX_LIMITS, |value| {
        place += 1;
        value.table("a table, [[limits]]", |table| limit(table, place, &mut names))
    })
}

fn limit(table: &mut Table<'_>, place: usize, names: &mut Vec<LimitName>) -> Option<LimitSettings> {
    let name = table.optional("name", name).or_else(|| LimitName::new(&format!("limit-{place}")).ok())?;
    if names.contains(&name) {
        table.wrong("name", &format!("two limits are named \"{name}\"; give each its own name"));
    }
    names.push(name.clone());
    let Some(kind) = table.required("kind", "\"token_bucket\"", choice(&KINDS)) else {
        table.ignore_rest();
        return None;
    };
    let kind = match kind {
        Kind::TokenBucket => LimitKind::TokenBucket(token_bucket(table)?),
    };
    Some(LimitSettings { name, kind })
}

fn token_bucket(table: &mut Table<'_>) -> Option<TokenBucketSpec> {
    let requests = table.required("requests", "100", integer(REQUESTS));
    let per = table.required("per", "\"1s\"", duration(PER));
    let burst = table.optional("burst", integer(REQUESTS));
    let requests = requests?;
    Some(TokenBucketSpec { requests, per: per?, burst: burst.unwrap_or(requests) })
}
