//! `[endpoints.NAME]`: one call an integration offers.

use causeway_core::again::MAX_REDIRECTS;
use causeway_core::endpoint::Timeouts;
use causeway_core::name::{EndpointName, LimitName};
use causeway_core::retry::RetrySpec;
use http::{HeaderMap, HeaderName, Method};

use super::base_url::is_path_byte;
use super::classify::{self, ClassifyRule};
use super::cost::CostSettings;
use super::error::{At, Placed};
use super::idempotency::IdempotencySettings;
use super::jq::JqSource;
use super::reader::forms::{choice, integer};
use super::reader::{Key, Table, Value};
use super::response_schema::SchemaSettings;
use super::{headers, retry, timeouts};

/// The longest path of an endpoint, in bytes; its message says so too.
const MAX_PATH: usize = 2048;

const METHODS: [(&str, Method); 7] = [
    ("GET", Method::GET),
    ("HEAD", Method::HEAD),
    ("OPTIONS", Method::OPTIONS),
    ("POST", Method::POST),
    ("PUT", Method::PUT),
    ("PATCH", Method::PATCH),
    ("DELETE", Method::DELETE),
];

const BODIES: [(&str, BodyFormat); 5] = [
    ("json", BodyFormat::Json),
    ("form", BodyFormat::Form),
    ("multipart", BodyFormat::Multipart),
    ("text", BodyFormat::Text),
    ("none", BodyFormat::None),
];

/// One call an integration offers.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSettings {
    /// Its name, unique in its integration.
    pub name: EndpointName,
    /// The method.
    pub method: Method,
    /// The path, appended to the base URL: begins with `/`; each `{name}` in it is well-formed, and is filled from
    /// what `request` gives as `path`.
    pub path: String,
    /// Where the path stands.
    pub path_at: At,
    /// How the request's body is written.
    pub body: BodyFormat,
    /// Makes the request of a step's input.
    pub request: Option<JqSource>,
    /// Makes the step's result of the response.
    pub response: Option<JqSource>,
    /// Whether it may be sent again.
    pub idempotency: IdempotencySettings,
    /// The provider's own way to say what went wrong, in order.
    pub classify: Vec<ClassifyRule>,
    /// What the provider's answers should look like.
    pub response_schema: Option<SchemaSettings>,
    /// The header that tells the provider the time left.
    pub deadline_header: Option<HeaderName>,
    /// How long each part may take: the integration's, with what the endpoint overrides.
    pub timeouts: Timeouts,
    /// The most redirects followed, to the same origin only.
    pub follow_redirects: u8,
    /// The static headers: the integration's, with what the endpoint adds and overrides.
    pub headers: HeaderMap,
    /// How often it is tried again: as the integration's, with what the endpoint overrides.
    pub retry: RetrySpec,
    /// How much of each of its limits a call takes; default 1.
    pub cost: Placed<CostSettings>,
}

/// How a request's body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// As JSON.
    Json,
    /// As `application/x-www-form-urlencoded`.
    Form,
    /// As `multipart/form-data`.
    Multipart,
    /// As plain text.
    Text,
    /// Not at all.
    None,
}

/// What endpoints have from their integration.
pub(super) struct Inherited<'a> {
    pub(super) timeouts: &'a Timeouts,
    pub(super) headers: &'a HeaderMap,
    pub(super) retry: &'a RetrySpec,
    pub(super) limits: &'a [LimitName],
}

impl EndpointSettings {
    pub(super) fn read(key: &Key<'_>, value: Value<'_>, inherited: &Inherited<'_>) -> Option<Self> {
        let name = EndpointName::new(key.text());
        let name = name.map_or_else(|error| key.wrong(&error.to_string()), Some);
        value.table("a table, [endpoints.NAME]", |table| Self::read_table(name, table, inherited))
    }

    fn read_table(
        name: Option<EndpointName>,
        table: &mut Table<'_>,
        inherited: &Inherited<'_>,
    ) -> Option<Self> {
        let method = table.required("method", "\"POST\"", choice(&METHODS));
        let path = table.required("path", "\"/v1/charges\"", path);
        let body = table.optional("body", choice(&BODIES));
        let request = table.optional("request", JqSource::read);
        let response = table.optional("response", JqSource::read);
        let idempotency = table.optional("idempotency", IdempotencySettings::read);
        let classify = classify::read(table, inherited.limits);
        let response_schema = table.optional("response_schema", SchemaSettings::read);
        let deadline_header = table.optional("deadline_header", headers::request_header);
        let timeouts = table.section("timeouts", |table| timeouts::read(table, inherited.timeouts));
        let follow_redirects = table.or("follow_redirects", 0, integer(0..=u32::from(MAX_REDIRECTS)));
        let mut headers = inherited.headers.clone();
        headers.extend(headers::read(table));
        let retry = table.section("retry", |table| retry::read_of_endpoint(table, inherited.retry));
        let cost = table.optional("cost", CostSettings::read);
        table.not_yet(&["scopes"]);

        let path_at = At(table.position_of("path"));
        let (method, path) = (method?, path?);
        if path.contains('{') && !table.had("request") {
            let right = "write request = '{ path: { name: .name } }', with each name of the path";
            table.wrong("path", &format!("nothing fills the placeholders; {right}"));
        }
        let idempotency = idempotency.unwrap_or_else(|| IdempotencySettings::of_method(&method));
        if idempotency == IdempotencySettings::None {
            let risk =
                "a call that may have acted is never sent again, and ends `unknown` for a person to resolve";
            let right = "write { header = \"…\" } if the provider takes a key, or \"safe\" if it only reads";
            table.advise("idempotency", &format!("{risk}; {right}"));
        }
        Some(Self {
            name: name?,
            body: body.unwrap_or_else(|| BodyFormat::of_method(&method)),
            idempotency,
            method,
            path,
            path_at: path_at.clone(),
            request,
            response,
            classify,
            response_schema,
            deadline_header,
            timeouts,
            follow_redirects: u8::try_from(follow_redirects).unwrap_or(MAX_REDIRECTS),
            headers,
            retry,
            cost: cost.unwrap_or(Placed { value: CostSettings::Fixed(1), at: path_at.0 }),
        })
    }
}

impl BodyFormat {
    /// What holds for an endpoint that says nothing: only methods whose content has a meaning (RFC 9110 §9.3) have one.
    fn of_method(method: &Method) -> Self {
        if [Method::POST, Method::PUT, Method::PATCH].contains(method) { Self::Json } else { Self::None }
    }
}

fn path(value: Value<'_>) -> Option<String> {
    let text = value.string("a path such as \"/v1/charges\"")?;
    match check_path(text) {
        Ok(()) => Some(text.to_owned()),
        Err(wrong) => value.wrong(wrong),
    }
}

/// Whether `text` is a path whose placeholders are well-formed; else what is wrong with it.
fn check_path(text: &str) -> Result<(), &'static str> {
    if !text.starts_with('/') {
        return Err("a path begins with `/`; write one such as \"/v1/charges\"");
    }
    if text.len() > MAX_PATH {
        return Err("the path is longer than 2048 bytes; write what is long in `request`");
    }
    if text.contains(['?', '#']) {
        return Err("a path has no query and no fragment; write request = '{ query: { name: .name } }'");
    }
    let mut rest = text;
    while let Some((literal, tail)) = rest.split_once('{') {
        check_literal(literal)?;
        let Some((_, tail)) = tail.split_once('}').filter(|(name, _)| is_placeholder(name)) else {
            return Err("a placeholder is not well-formed; write {name}, of letters, digits and `_`");
        };
        rest = tail;
    }
    check_literal(rest)
}

fn check_literal(text: &str) -> Result<(), &'static str> {
    if text.bytes().all(is_path_byte) {
        return Ok(());
    }
    Err("a character cannot stand in a path; write it percent-encoded, and placeholders as {name}")
}

fn is_placeholder(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
