//! Settings in, plans out: compiles the expressions, reads the secrets, and joins names to what they mean.
//!
//! What can only be found out here (an expression that does not compile, a secret that is not there) is told like
//! every other error of the configuration: all at once, each at its place.

use std::collections::HashMap;
use std::sync::Arc;

use causeway_actors::credential::Credential;
use causeway_actors::plan::{Auth, IntegrationPlan, LogPlan};
use causeway_core::endpoint::{BodyKind, Cost, Endpoint, PathTemplate, ResponseSchema, Rule};
use causeway_core::idempotency::Resend;
use causeway_core::integration::IntegrationSpec;
use causeway_core::limits::LimitSpec;
use causeway_core::mapping::{Kind, Program};
use causeway_core::name::OperationName;
use causeway_core::sanitise::{Extra, Sanitiser};
use causeway_core::schema::InvalidSchema;
use http::header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::access::Access;
use crate::adapters::{credential, secrets, tls_files};
use crate::settings::{
    ApiVersion, AuthSettings, BodyFormat, ClassifyRule, CostSettings, EndpointSettings, IdempotencySettings,
    IntegrationSettings, JqSource, LogBodies, SchemaSettings, SchemaText, Settings, SettingsError,
    SettingsErrors,
};

mod access;
mod operation;
mod verify;

pub use operation::{Offer, Versions};

/// What the actors and the API are built from.
#[derive(Debug)]
pub struct Plans {
    /// The integrations.
    pub integrations: Vec<Arc<IntegrationPlan>>,
    /// The operations, by name.
    pub operations: HashMap<OperationName, Versions>,
    /// Who may call, and who may operate.
    pub access: Access,
}

/// Whether the secrets are there to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// They are read; one that is missing is an error.
    Read,
    /// They are elsewhere: no reference is followed, so what comes of it proves itself with nothing.
    Elsewhere,
}

/// Makes plans of settings.
///
/// # Errors
/// Everything that is wrong: expressions, paths, secrets.
pub fn make(settings: &Settings) -> Result<Plans, SettingsErrors> {
    let (plans, errors) = attempt(settings, Secrets::Read);
    if errors.is_empty() { Ok(plans) } else { Err(errors) }
}

/// What would be wrong with plans of these settings, which may be a part of what was written.
pub fn check(settings: &Settings, secrets: Secrets) -> SettingsErrors {
    attempt(settings, secrets).1
}

fn attempt(settings: &Settings, secrets: Secrets) -> (Plans, SettingsErrors) {
    let mut errors = SettingsErrors::default();
    let integrations: Vec<_> = settings
        .integrations
        .iter()
        .filter_map(|settings| integration(settings, secrets, &mut errors))
        .map(Arc::new)
        .collect();
    let mut operations = HashMap::<OperationName, Versions>::new();
    for settings in &settings.operations {
        if let Some(offer) = operation::offer(settings, &integrations, &mut errors) {
            operations.entry(settings.name.clone()).or_default().add(offer);
        }
    }
    let access = access::access(&settings.server, secrets, &mut errors);
    (Plans { integrations, operations, access }, errors)
}

/// How attempts are logged.
pub fn log(settings: &Settings) -> LogPlan {
    let mut extra = Extra {
        fields: settings.server.redact.fields.clone(),
        headers: settings.server.redact.headers.iter().map(ToString::to_string).collect(),
        patterns: settings.server.redact.patterns.clone(),
    };
    // A provider may send our own credential back, in a redirect or an error: by its name it is known again.
    for integration in &settings.integrations {
        match &integration.auth {
            AuthSettings::Query { name, .. } => extra.fields.push(name.clone()),
            AuthSettings::Header { name, .. } => extra.fields.push(name.to_string()),
            AuthSettings::None | AuthSettings::Basic { .. } | AuthSettings::Bearer { .. } => {}
        }
    }
    let settings = &settings.server;
    LogPlan {
        bodies: settings.logs.bodies == LogBodies::Sanitised,
        max_body: settings.logs.max_body,
        sample_success: settings.logs.sample_success,
        sanitiser: Sanitiser::new(&extra).with_secrets(secrets::known().clone()),
    }
}

fn integration(
    settings: &IntegrationSettings,
    secrets: Secrets,
    errors: &mut SettingsErrors,
) -> Option<IntegrationPlan> {
    let (auth, tls) = match secrets {
        Secrets::Read => (credential::open(&settings.auth, errors), tls_files::read(&settings.tls, errors)),
        Secrets::Elsewhere => (Some(Credential::fixed(Auth::None)), Some(Arc::default())),
    };
    let endpoints: Vec<Option<Endpoint>> =
        settings.endpoints.iter().map(|endpoint| self::endpoint(settings, endpoint, errors)).collect();
    let limit_keys: Vec<Option<Option<Program>>> =
        settings.limits.iter().map(|limit| compile(Kind::Request, limit.by.as_ref(), errors)).collect();
    let mut endpoints: Vec<Endpoint> = endpoints.into_iter().collect::<Option<_>>()?;
    let verifies = verify::all(settings, &mut endpoints, errors)?;
    let spec = IntegrationSpec {
        breaker: settings.breaker.clone(),
        retry: settings.retry.clone(),
        pool: settings.pool.clone(),
        limits: settings
            .limits
            .iter()
            .map(|limit| LimitSpec {
                name: limit.name.clone(),
                kind: limit.kind.clone(),
                endpoints: limit.endpoints.clone(),
                keyed: limit.keyed,
                group: limit.group.clone(),
                learn: limit.learn.clone(),
            })
            .collect(),
    };
    let base = &settings.base_url;
    let (version, query) = match &settings.api_version {
        Some(ApiVersion::Path(path)) => (path.as_str(), None),
        Some(ApiVersion::Query { name, value }) => ("", Some(format!("{}={}", encode(name), encode(value)))),
        // In the endpoints' headers already.
        Some(ApiVersion::Header { .. }) | None => ("", None),
    };
    Some(IntegrationPlan {
        name: settings.name.clone(),
        title: Some(settings.title.clone()),
        base_url: format!("{base}{version}"),
        query,
        auth: auth?,
        tls: tls?,
        endpoints,
        verifies,
        limit_keys: limit_keys.into_iter().collect::<Option<_>>()?,
        spec,
        queue: settings.queue.clone(),
        account: settings.auth.account(),
        dedicated_thread: settings.dedicated_thread,
    })
}

fn endpoint(
    integration: &IntegrationSettings,
    settings: &EndpointSettings,
    errors: &mut SettingsErrors,
) -> Option<Endpoint> {
    let path = PathTemplate::parse(&settings.path).map_err(|error| {
        let message = format!("`endpoints.{}.path`: {error}", settings.name);
        errors.push(SettingsError::at(settings.path_at.0.clone(), message));
    });
    let request = compile(Kind::Request, settings.request.as_ref(), errors);
    let response = compile(Kind::Response, settings.response.as_ref(), errors);
    let cost = match &settings.cost.value {
        CostSettings::Fixed(tokens) => Some(Cost::Fixed(*tokens)),
        CostSettings::By(source) => compile(Kind::Request, Some(source), errors).flatten().map(Cost::By),
    };
    let rules: Vec<Option<Rule>> = settings.classify.iter().map(|settings| rule(settings, errors)).collect();
    let schema = schema(settings.response_schema.as_ref(), errors);
    let (resend, key_header) = match &settings.idempotency {
        IdempotencySettings::Safe => (Resend::Safe, None),
        IdempotencySettings::None => (Resend::Never, None),
        IdempotencySettings::Known { key: Some(key), .. } => {
            (Resend::Key { retention: key.retention }, Some(key.header.clone()))
        }
        IdempotencySettings::Known { key: None, .. } => (Resend::Never, None),
    };
    Some(Endpoint {
        name: settings.name.clone(),
        method: settings.method.clone(),
        path: path.ok()?,
        body: match settings.body {
            BodyFormat::Json => BodyKind::Json,
            BodyFormat::Form => BodyKind::Form,
            BodyFormat::Multipart => BodyKind::Multipart,
            BodyFormat::Text => BodyKind::Text,
            BodyFormat::None => BodyKind::None,
        },
        headers: headers(integration, settings),
        request: request?,
        response: response?,
        rules: rules.into_iter().collect::<Option<_>>()?,
        schema: schema?,
        deadline_header: settings.deadline_header.clone(),
        resend,
        key_header,
        verified: matches!(settings.idempotency, IdempotencySettings::Known { verify: Some(_), .. }),
        timeouts: settings.timeouts,
        retry: Arc::new(settings.retry.clone()),
        cost: cost?,
        follow_redirects: settings.follow_redirects,
    })
}

fn rule(settings: &ClassifyRule, errors: &mut SettingsErrors) -> Option<Rule> {
    let when = compile(Kind::Response, Some(&settings.when), errors);
    let code = compile(Kind::Response, settings.code.as_ref(), errors);
    let message = compile(Kind::Response, settings.message.as_ref(), errors);
    let retry_after = compile(Kind::Response, settings.retry_after.as_ref(), errors);
    Some(Rule {
        when: when??,
        class: settings.class,
        code: code?,
        message: message?,
        retry_after: retry_after?,
        scope: settings.scope.clone(),
    })
}

/// Compiles a schema; the outer `None` says that it does not compile, which has been told.
fn schema(settings: Option<&SchemaSettings>, errors: &mut SettingsErrors) -> Option<Option<ResponseSchema>> {
    let Some(settings) = settings else { return Some(None) };
    let SchemaSettings { schema, mode } = settings;
    ResponseSchema::compile(&schema.text, *mode)
        .map_err(|error| unusable(schema, &error, errors))
        .ok()
        .map(Some)
}

fn unusable(schema: &SchemaText, error: &InvalidSchema, errors: &mut SettingsErrors) {
    let message = match &schema.file {
        Some(file) => format!("the schema {file}: {error}"),
        None => error.to_string(),
    };
    errors.push(SettingsError::at(schema.at.clone(), message));
}

/// The headers of every request: ours, then the integration's, then the endpoint's; later ones win.
fn headers(integration: &IntegrationSettings, endpoint: &EndpointSettings) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("causeway/", env!("CARGO_PKG_VERSION"))));
    for (name, value) in integration.headers.iter().chain(&endpoint.headers) {
        headers.insert(name.clone(), value.clone());
    }
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
}

/// Compiles an expression; the outer `None` says that it does not compile, which has been told.
fn compile(kind: Kind, source: Option<&JqSource>, errors: &mut SettingsErrors) -> Option<Option<Program>> {
    let Some(source) = source else { return Some(None) };
    match Program::compile(kind, &source.source) {
        Ok(program) => Some(Some(program)),
        Err(error) => {
            errors.push(source.wrong(&error));
            None
        }
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
