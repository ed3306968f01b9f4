//! `integrations/NAME.toml`: one external system.

use causeway_core::breaker::BreakerSpec;
use causeway_core::bulkhead::PoolSpec;
use causeway_core::endpoint::Timeouts;
use causeway_core::name::IntegrationName;
use causeway_core::retry::RetrySpec;
use http::HeaderMap;

use super::auth::AuthSettings;
use super::base_url::BaseUrl;
use super::endpoint::{EndpointSettings, Inherited};
use super::limits::{self, LimitSettings};
use super::reader::Table;
use super::reader::forms::title;
use super::{breaker, headers, pool, retry, timeouts};

/// The most endpoints of one integration.
const MAX_ENDPOINTS: usize = 1000;

/// One external system.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegrationSettings {
    /// Its file's name.
    pub name: IntegrationName,
    /// Its name for people; default, its name.
    pub title: String,
    /// Where its endpoints are.
    pub base_url: BaseUrl,
    /// Headers of every request. They are in each endpoint's headers too.
    pub headers: HeaderMap,
    /// `[auth]`: how its requests are authenticated; default, not at all.
    pub auth: AuthSettings,
    /// `[timeouts]`. They are in each endpoint's timeouts too.
    pub timeouts: Timeouts,
    /// `[retry]`.
    pub retry: RetrySpec,
    /// `[breaker]`.
    pub breaker: BreakerSpec,
    /// `[pool]`.
    pub pool: PoolSpec,
    /// `[[limits]]`, in the file's order.
    pub limits: Vec<LimitSettings>,
    /// `[endpoints.NAME]`, in the file's order.
    pub endpoints: Vec<EndpointSettings>,
}

/// What reading an integration gave: which endpoints it declares holds even where one of them is wrong.
pub(super) struct Read {
    pub(super) declared: Vec<String>,
    pub(super) settings: Option<IntegrationSettings>,
}

/// Reads an integration's file. `name` is absent if the file's name is wrong.
pub(super) fn read(name: Option<IntegrationName>, table: &mut Table<'_>) -> Read {
    let title = table.optional("title", title);
    let base_url = table.required("base_url", "\"https://api.example.com\"", BaseUrl::read);
    let headers = headers::read(table);
    let auth = table.or("auth", AuthSettings::None, AuthSettings::read);
    let timeouts = table.section("timeouts", |table| timeouts::read(table, &Timeouts::default()));
    let retry = table.section("retry", retry::read);
    let breaker = table.section("breaker", breaker::read);
    let pool = table.section("pool", pool::read);
    let limits = limits::read(table);

    let inherited = Inherited { timeouts: &timeouts, headers: &headers };
    let entries = table.entries("endpoints", MAX_ENDPOINTS);
    let declared = entries.iter().map(|(key, _)| key.text().to_owned()).collect();
    let read = entries.into_iter().filter_map(|(key, value)| EndpointSettings::read(&key, value, &inherited));
    let endpoints = read.collect();

    let settings = name.zip(base_url).map(|(name, base_url)| IntegrationSettings {
        title: title.unwrap_or_else(|| name.to_string()),
        name,
        base_url,
        headers,
        auth,
        timeouts,
        retry,
        breaker,
        pool,
        limits,
        endpoints,
    });
    Read { declared, settings }
}
