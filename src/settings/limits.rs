//! `[[limits]]`: the rate budgets of an integration.

use std::ops::RangeInclusive;
use std::time::Duration;

use causeway_core::limits::token_bucket::TokenBucketSpec;
use causeway_core::limits::{
    CalendarPeriod, CalendarSpec, ConcurrentSpec, Keyed, LearnHeaders, LearnSpec, LimitKind, ResetForm,
    SlidingWindowSpec,
};
use causeway_core::name::{GroupName, LimitName};
use jiff::tz::TimeZone;

use super::error::At;
use super::glob;
use super::headers::header_name;
use super::jq::JqSource;
use super::reader::forms::{choice, duration, integer, name};
use super::reader::{Table, Value, listed, shown};
use super::retry::RESET_FORMS;

/// The most limits of one integration: a call takes all of them in one decision.
const MAX_LIMITS: usize = 32;
/// The most patterns of endpoints of one limit.
const MAX_PATTERNS: usize = 1000;
/// Bounds of the requests per period, and of the burst: a bucket that holds none lets nothing through.
const REQUESTS: RangeInclusive<u32> = 1..=10_000_000;
/// Bounds of the period.
const PER: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(31 * 24 * 3600);

const KINDS: [(&str, Kind); 4] = [
    ("token_bucket", Kind::TokenBucket),
    ("sliding_window", Kind::SlidingWindow),
    ("calendar", Kind::Calendar),
    ("concurrent", Kind::Concurrent),
];

const PERIODS: [(&str, CalendarPeriod); 4] = [
    ("minute", CalendarPeriod::Minute),
    ("hour", CalendarPeriod::Hour),
    ("day", CalendarPeriod::Day),
    ("month", CalendarPeriod::Month),
];

const SCOPES: [(&str, Scope); 3] =
    [("integration", Scope::Integration), ("endpoints", Scope::Endpoints), ("connection", Scope::Connection)];

#[derive(Clone, Copy)]
enum Kind {
    TokenBucket,
    SlidingWindow,
    Calendar,
    Concurrent,
}

#[derive(Clone, Copy)]
enum Scope {
    Integration,
    Endpoints,
    Connection,
}

/// One rate budget.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitSettings {
    /// Its name in metrics, unique in its integration; `limit-1`, `limit-2` … by place if none is written.
    pub name: LimitName,
    /// What it counts, and how.
    pub kind: LimitKind,
    /// Whether there is one budget, or one for each connection or key.
    pub keyed: Keyed,
    /// Makes the key of the step's input, where there is a budget for each.
    pub by: Option<JqSource>,
    /// Which endpoints take from it, as indexes into the integration's; `None` for all of them.
    pub endpoints: Option<Vec<usize>>,
    /// Integrations that name the same group and the same limit share its budget.
    pub group: Option<GroupName>,
    /// Which headers of an answer correct it.
    pub learn: Option<LearnSpec>,
    /// Where it stands.
    pub at: At,
}

impl LimitSettings {
    /// The most that one call can take of it.
    pub(super) const fn capacity(&self) -> u32 {
        match &self.kind {
            LimitKind::TokenBucket(bucket) => bucket.burst,
            LimitKind::SlidingWindow(window) => window.requests,
            LimitKind::Calendar(calendar) => calendar.requests,
            LimitKind::Concurrent(concurrent) => concurrent.requests,
        }
    }

    /// Whether calls of the endpoint take from it.
    pub(super) fn holds_for(&self, endpoint: usize) -> bool {
        self.endpoints.as_ref().is_none_or(|endpoints| endpoints.contains(&endpoint))
    }

    /// Calls in a second that it allows in the long run, if it is about time at all.
    pub(super) fn per_second(&self) -> Option<f64> {
        let (requests, per) = match &self.kind {
            LimitKind::TokenBucket(bucket) => (bucket.requests, bucket.per),
            LimitKind::SlidingWindow(window) => (window.requests, window.per),
            LimitKind::Calendar(calendar) => (calendar.requests, shortest(calendar.per)),
            LimitKind::Concurrent(_) => return None,
        };
        Some(f64::from(requests) / per.as_secs_f64())
    }
}

const fn shortest(period: CalendarPeriod) -> Duration {
    Duration::from_secs(match period {
        CalendarPeriod::Minute => 60,
        CalendarPeriod::Hour => 3600,
        CalendarPeriod::Day => 23 * 3600,
        CalendarPeriod::Month => 28 * 24 * 3600,
    })
}

/// A limit before it is known which endpoints there are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WrittenLimit {
    limit: LimitSettings,
    patterns: Option<Vec<String>>,
}

/// Reads `limits` of an integration that has these endpoints. To them are added those of `defaults` that are of another
/// name, as far as they are about endpoints it has.
pub(super) fn read(
    table: &mut Table<'_>,
    endpoints: &[String],
    defaults: &[WrittenLimit],
) -> Vec<LimitSettings> {
    let mut names: Vec<LimitName> = Vec::new();
    let mut place = 0;
    let mut limits = table.list("limits", MAX_LIMITS, |value| {
        place += 1;
        let written = value.table("a table, [[limits]]", |table| {
            limit(table, &format!("limit-{place}"), &mut names, Some(endpoints))
        })?;
        Some(resolved(written, endpoints))
    });
    for default in defaults.iter().filter(|default| !names.contains(&default.limit.name)) {
        let limit = resolved(default.clone(), endpoints);
        if limit.endpoints.as_ref().is_none_or(|endpoints| !endpoints.is_empty()) {
            limits.push(limit);
        }
    }
    limits
}

/// Reads `limits` of the defaults.
pub(super) fn read_defaults(table: &mut Table<'_>) -> Vec<WrittenLimit> {
    let mut names: Vec<LimitName> = Vec::new();
    let mut place = 0;
    table.list("limits", MAX_LIMITS, |value| {
        place += 1;
        value.table("a table, [[defaults.limits]]", |table| {
            limit(table, &format!("default-{place}"), &mut names, None)
        })
    })
}

fn resolved(written: WrittenLimit, endpoints: &[String]) -> LimitSettings {
    let indexes = |patterns: Vec<String>| {
        let of_any = |name: &str| patterns.iter().any(|pattern| glob::matches(pattern, name));
        endpoints.iter().enumerate().filter(|(_, name)| of_any(name)).map(|(index, _)| index).collect()
    };
    LimitSettings { endpoints: written.patterns.map(indexes), ..written.limit }
}

fn limit(
    table: &mut Table<'_>,
    default_name: &str,
    names: &mut Vec<LimitName>,
    endpoints: Option<&[String]>,
) -> Option<WrittenLimit> {
    let name = table.optional("name", name).or_else(|| LimitName::new(default_name).ok())?;
    if names.contains(&name) {
        table.wrong("name", &format!("two limits are named \"{name}\"; give each its own name"));
    }
    names.push(name.clone());
    let Some(kind) = table.required("kind", "\"token_bucket\"", choice(&KINDS)) else {
        table.ignore_rest();
        return None;
    };
    let kind = match kind {
        Kind::TokenBucket => token_bucket(table),
        Kind::SlidingWindow => sliding_window(table),
        Kind::Calendar => calendar(table),
        Kind::Concurrent => concurrent(table),
    };
    let (keyed, by) = scope(table);
    let patterns = patterns(table, endpoints);
    let group = table.optional("group", self::name);
    let learn = table.optional("learn", learn).flatten();
    if matches!(kind, Some(LimitKind::Concurrent(_))) && learn.is_some() {
        table.advise("learn", "places are free when their calls are over, whatever a provider says");
    }
    let limit = LimitSettings {
        name,
        kind: kind?,
        keyed,
        by,
        endpoints: None,
        group,
        learn,
        at: At(table.position_of("kind")),
    };
    Some(WrittenLimit { limit, patterns })
}

fn token_bucket(table: &mut Table<'_>) -> Option<LimitKind> {
    let requests = table.required("requests", "100", integer(REQUESTS));
    let per = table.required("per", "\"1s\"", duration(PER));
    let burst = table.optional("burst", integer(REQUESTS));
    table.not_here("timezone", "is for kind = \"calendar\"; remove it");
    let requests = requests?;
    Some(LimitKind::TokenBucket(TokenBucketSpec { requests, per: per?, burst: burst.unwrap_or(requests) }))
}

fn sliding_window(table: &mut Table<'_>) -> Option<LimitKind> {
    let requests = table.required("requests", "100", integer(REQUESTS));
    let per = table.required("per", "\"1s\"", duration(PER));
    no_burst(table);
    table.not_here("timezone", "is for kind = \"calendar\"; remove it");
    Some(LimitKind::SlidingWindow(SlidingWindowSpec::on_arrival(requests?, per?)))
}

fn calendar(table: &mut Table<'_>) -> Option<LimitKind> {
    let requests = table.required("requests", "10000", integer(REQUESTS));
    let per = table.required("per", "\"day\"", choice(&PERIODS));
    let timezone = table.or("timezone", TimeZone::UTC, timezone);
    no_burst(table);
    Some(LimitKind::Calendar(CalendarSpec { requests: requests?, per: per?, timezone }))
}

fn concurrent(table: &mut Table<'_>) -> Option<LimitKind> {
    let requests = table.required("requests", "10", integer(REQUESTS));
    no_burst(table);
    table.not_here("per", "is not for kind = \"concurrent\", which counts calls at once; remove it");
    table.not_here("timezone", "is for kind = \"calendar\"; remove it");
    Some(LimitKind::Concurrent(ConcurrentSpec { requests: requests? }))
}

fn no_burst(table: &mut Table<'_>) {
    table.not_here("burst", "is for kind = \"token_bucket\"; remove it");
}

fn timezone(value: Value<'_>) -> Option<TimeZone> {
    let text = value.string("the name of a time zone such as \"Europe/Berlin\"")?;
    TimeZone::get(text).ok().or_else(|| {
        let right = "write one of the IANA database such as \"UTC\" or \"Europe/Berlin\"";
        value.wrong(&format!("\"{}\" is not the name of a time zone; {right}", shown(text)))
    })
}

/// Whether there is one budget or one for each key, and what makes the key.
fn scope(table: &mut Table<'_>) -> (Keyed, Option<JqSource>) {
    let mut of_endpoints = false;
    let scope = table.optional("scope", |value| {
        if value.is_table() {
            let by = value.table("a table", |table| table.required("by", "'.user'", JqSource::read))?;
            return Some((Keyed::Request, Some(by)));
        }
        if !value.is_string() {
            return value.wrong_type("\"integration\", \"endpoints\", \"connection\" or { by = '.user' }");
        }
        Some(match choice(&SCOPES)(value)? {
            Scope::Integration => (Keyed::Shared, None),
            Scope::Connection => (Keyed::Connection, None),
            Scope::Endpoints => {
                of_endpoints = true;
                (Keyed::Shared, None)
            }
        })
    });
    if of_endpoints && !table.has("endpoints") {
        table.wrong("scope", "it does not say which; write endpoints = [\"list_*\"] beside it");
    }
    scope.unwrap_or((Keyed::Shared, None))
}

/// Patterns of endpoints' names. One that no endpoint bears is a slip.
fn patterns(table: &mut Table<'_>, endpoints: Option<&[String]>) -> Option<Vec<String>> {
    let mut written = 0;
    let patterns = table.list("endpoints", MAX_PATTERNS, |value| {
        written += 1;
        let pattern = value.string("the name of an endpoint, or a pattern such as \"list_*\"")?.to_owned();
        if let Some(endpoints) = endpoints
            && !endpoints.iter().any(|name| glob::matches(&pattern, name))
        {
            let known = listed(endpoints.iter().map(String::as_str), "there are");
            let known = if known.is_empty() { "; there are no endpoints".to_owned() } else { known };
            return value.wrong(&format!("no endpoint is named like \"{}\"{known}", shown(&pattern)));
        }
        Some(pattern)
    });
    if table.had("endpoints") && written == 0 {
        table.wrong("endpoints", "the limit is for no endpoint; name one, or remove the key");
    }
    table.had("endpoints").then_some(patterns)
}

/// `true` goes by the headers that most providers send.
fn learn(value: Value<'_>) -> Option<Option<LearnSpec>> {
    if value.is_table() {
        return value.table("a table", |table| {
            let limit = table.optional("limit", |value| header_name(&value));
            let remaining =
                table.required("remaining", "\"X-RateLimit-Remaining\"", |value| header_name(&value));
            let reset = table.optional("reset", |value| header_name(&value));
            let form = table.or("form", ResetForm::Delta, choice(&RESET_FORMS));
            Some(Some(LearnSpec::Named(LearnHeaders { limit, remaining: remaining?, reset, form })))
        });
    }
    Some(value.boolean()?.then_some(LearnSpec::Auto))
}
