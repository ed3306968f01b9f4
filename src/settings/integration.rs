//! `integrations/NAME.toml`: one external system.

use causeway_actors::plan::QueueSpec;
use causeway_core::breaker::BreakerSpec;
use causeway_core::bulkhead::PoolSpec;
use causeway_core::endpoint::Timeouts;
use causeway_core::name::{GroupName, IntegrationName, LimitName};
use causeway_core::retry::RetrySpec;
use http::{HeaderMap, Uri};

use super::api_version::ApiVersion;
use super::auth::AuthSettings;
use super::base_url::BaseUrl;
use super::cost::CostSettings;
use super::defaults::DefaultSettings;
use super::endpoint::{EndpointSettings, Inherited};
use super::error::SettingsErrors;
use super::limits::{self, LimitSettings};
use super::reader::forms::{boolean, name, title};
use super::reader::{Key, Table, Value};
use super::tls::{self, TlsSettings};
use super::{SettingsError, breaker, headers, pool, queue, retry, timeouts};

/// The most endpoints of one integration.
const MAX_ENDPOINTS: usize = 1000;
/// From so many calls in a second on, a number of failures says little: a share does.
const MANY_CALLS: f64 = 10.0;

/// What the contract has and this version does not.
const NOT_YET: [&str; 8] =
    ["status_page", "tls", "sandbox", "health", "webhooks", "polls", "versions", "chaos"];

/// One external system.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegrationSettings {
    /// Its file's name.
    pub name: IntegrationName,
    /// Its name for people; default, its name.
    pub title: String,
    /// Where it is drawn, beside others of the same group.
    pub group: Option<GroupName>,
    /// Who is responsible for it.
    pub owner: Option<String>,
    /// Where it is written what to do when it fails.
    pub runbook: Option<String>,
    /// Where its endpoints are.
    pub base_url: BaseUrl,
    /// Whether it has an I/O thread of its own.
    pub dedicated_thread: bool,
    /// Which version of the provider's API it is written for.
    pub api_version: Option<ApiVersion>,
    /// Headers of every request, that of the version among them. They are in each endpoint's headers too.
    pub headers: HeaderMap,
    /// `[auth]`: how its requests are authenticated; default, not at all.
    pub auth: AuthSettings,
    /// `[tls]`: whom its connections trust, and what they show.
    pub tls: TlsSettings,
    /// `[timeouts]`. They are in each endpoint's timeouts too.
    pub timeouts: Timeouts,
    /// `[retry]`. It is in each endpoint's too.
    pub retry: RetrySpec,
    /// `[breaker]`.
    pub breaker: BreakerSpec,
    /// `[pool]`.
    pub pool: PoolSpec,
    /// `[queue]`.
    pub queue: QueueSpec,
    /// `[[limits]]`, in the file's order; then those of the defaults.
    pub limits: Vec<LimitSettings>,
    /// `[endpoints.NAME]`, in the file's order.
    pub endpoints: Vec<EndpointSettings>,
}

/// What reading an integration gave: which endpoints it declares holds even where one of them is wrong.
pub(super) struct Read {
    pub(super) declared: Vec<String>,
    pub(super) settings: Option<IntegrationSettings>,
    /// What is wrong with keys in the light of others, at places of their own.
    pub(super) errors: Vec<SettingsError>,
}

/// Reads an integration's file. `name` is absent if the file's name is wrong.
pub(super) fn read(name: Option<IntegrationName>, table: &mut Table<'_>, defaults: &DefaultSettings) -> Read {
    table.not_yet(&NOT_YET);
    let title = table.optional("title", title);
    let group = table.optional("group", self::name);
    let owner = table.optional("owner", self::title);
    let runbook = table.optional("runbook", runbook);
    let base_url = table.required("base_url", "\"https://api.example.com\"", BaseUrl::read);
    let dedicated_thread = table.or("dedicated_thread", false, boolean);
    let api_version = table.optional("api_version", ApiVersion::read);
    let mut headers = headers::read(table);
    if let Some((name, value)) = api_version.as_ref().and_then(ApiVersion::header)
        && headers.insert(name, value).is_some()
    {
        table.wrong("api_version", "the header is given in `headers` too; remove it there");
    }
    let auth = table.or("auth", AuthSettings::None, AuthSettings::read);
    let tls = table.section("tls", tls::read);
    let timeouts = table.section("timeouts", |table| timeouts::read(table, &defaults.timeouts));
    let retry = table.section("retry", |table| retry::read(table, &defaults.retry));
    let written = table.section("breaker", |table| breaker::read(table, &defaults.breaker));
    let pool = table.section("pool", |table| pool::read(table, &defaults.pool));
    let queue = table.section("queue", queue::read);

    let entries = table.entries("endpoints", MAX_ENDPOINTS);
    let declared: Vec<String> = entries.iter().map(|(key, _)| key.text().to_owned()).collect();
    let limits = limits::read(table, &declared, &defaults.limits);
    let limit_names: Vec<LimitName> = limits.iter().map(|limit| limit.name.clone()).collect();
    let inherited = Inherited { timeouts: &timeouts, headers: &headers, retry: &retry, limits: &limit_names };
    let endpoints = endpoints(entries, &inherited);
    let mut errors = Vec::new();
    let mut breaker = written.spec;
    if let Some(probe) = &written.probe {
        let probe = breaker::probe(probe, &declared, &endpoints);
        breaker.probe = probe.unwrap_or_else(|error| {
            errors.push(error);
            None
        });
    }
    for (index, endpoint) in &endpoints {
        errors.extend(cost_that_never_fits(*index, endpoint, &limits));
    }
    advise(table, &breaker, &limits);

    let settings = name.zip(base_url).map(|(name, base_url)| IntegrationSettings {
        title: title.unwrap_or_else(|| name.to_string()),
        name,
        group,
        owner,
        runbook,
        base_url,
        dedicated_thread,
        api_version,
        headers,
        auth,
        tls,
        timeouts,
        retry,
        breaker,
        pool,
        queue,
        limits,
        endpoints: endpoints.into_iter().map(|(_, endpoint)| endpoint).collect(),
    });
    Read { declared, settings, errors }
}

/// The endpoints that are right, each with its place among all.
fn endpoints(
    entries: Vec<(Key<'_>, Value<'_>)>,
    inherited: &Inherited<'_>,
) -> Vec<(usize, EndpointSettings)> {
    let read = |(index, (key, value)): (usize, (Key<'_>, Value<'_>))| {
        EndpointSettings::read(&key, value, inherited).map(|endpoint| (index, endpoint))
    };
    entries.into_iter().enumerate().filter_map(read).collect()
}

fn runbook(value: Value<'_>) -> Option<String> {
    let text = value.string("a URL such as \"https://wiki.example.com/stripe\"")?;
    let web = text.starts_with("https://") || text.starts_with("http://");
    if web && text.parse::<Uri>().is_ok_and(|url| url.host().is_some_and(|host| !host.is_empty())) {
        return Some(text.to_owned());
    }
    value.wrong("this is not a URL; write one such as \"https://wiki.example.com/stripe\"")
}

/// A call that costs more than a limit ever holds would wait for ever.
fn cost_that_never_fits(
    index: usize,
    endpoint: &EndpointSettings,
    limits: &[LimitSettings],
) -> Option<SettingsError> {
    let cost = &endpoint.cost;
    let CostSettings::Fixed(fixed) = cost.value else { return None };
    let tight = limits.iter().find(|limit| limit.holds_for(index) && limit.capacity() < fixed)?;
    let (name, limit, capacity) = (&endpoint.name, &tight.name, tight.capacity());
    let message = format!(
        "`endpoints.{name}.cost`: {fixed} never fits the limit \"{limit}\" ({}:{}), which holds {capacity}; write at \
         most {capacity}, or let the limit hold more",
        tight.at.0.file, tight.at.0.line
    );
    Some(SettingsError::at(cost.at.clone(), message))
}

/// What may be better in the light of all sections.
fn advise(table: &Table<'_>, breaker: &causeway_core::breaker::BreakerSpec, limits: &[LimitSettings]) {
    let for_all = limits.iter().filter(|limit| limit.endpoints.is_none());
    let rate = for_all.filter_map(LimitSettings::per_second).min_by(f64::total_cmp);
    if limits.is_empty() {
        let risk = "nothing keeps calls below what the provider allows";
        table.advise_whole(&format!(
            "there are no limits, so {risk}; write [[limits]] with its documented rates"
        ));
    }
    if let Some(rate) = rate.filter(|rate| *rate > MANY_CALLS)
        && breaker.failure_rate.is_none()
        && let Some(failures) = breaker.failures
    {
        table.advise(
            "breaker",
            &format!(
                "the limits allow {rate} calls a second, among which {failures} failures in {} s may be few; write \
                 failure_rate = 0.5",
                breaker.window.as_secs_f64()
            ),
        );
    }
}

/// Finds limits that share a budget and do not agree on it; each is told where it stands and names the other.
pub(super) fn groups_that_disagree(integrations: &[IntegrationSettings], errors: &mut SettingsErrors) {
    let mut first: Vec<&LimitSettings> = Vec::new();
    for limit in integrations.iter().flat_map(|integration| &integration.limits) {
        let Some(group) = &limit.group else { continue };
        let known = first.iter().find(|known| known.group == limit.group && known.name == limit.name);
        let Some(known) = known else {
            first.push(limit);
            continue;
        };
        if known.kind != limit.kind || known.keyed != limit.keyed {
            let message = format!(
                "the limit \"{}\" of group \"{group}\" is one budget, and {} says otherwise what it holds; write the same \
                 kind, requests, per and scope in both",
                limit.name, known.at.0
            );
            errors.push(SettingsError::at(limit.at.0.clone(), message));
        }
    }
}
