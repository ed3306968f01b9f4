//! Settings in, plans out: compiles the expressions, reads the secrets, and joins names to what they mean.
//!
//! What can only be found out here (an expression that does not compile, a secret that is not there) is told like
//! every other error of the configuration: all at once, each at its place.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_actors::plan::{Auth, IntegrationPlan, LogPlan};
use causeway_core::endpoint::{BodyKind, Endpoint, PathTemplate, Rule};
use causeway_core::idempotency::Resend;
use causeway_core::integration::IntegrationSpec;
use causeway_core::limits::{self, LimitSpec};
use causeway_core::mapping::{Kind, Program};
use causeway_core::name::OperationName;
use causeway_core::operation::{Plan, StepPlan};
use causeway_core::sanitise::{Extra, Sanitiser};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

use crate::adapters::secrets;
use crate::settings::{
    AuthSettings, BodyFormat, ClassifyRule, EndpointSettings, IdempotencySettings, IntegrationSettings,
    JqSource, LimitKind, LogBodies, OperationSettings, SecretRef, Settings, SettingsError, SettingsErrors,
    StepSettings,
};

/// What the actors and the API are built from.
#[derive(Debug)]
pub struct Plans {
    /// The integrations.
    pub integrations: Vec<Arc<IntegrationPlan>>,
    /// The operations, by name.
    pub operations: HashMap<OperationName, Arc<Plan>>,
}

/// Makes plans of settings.
///
/// # Errors
/// Everything that is wrong: expressions, paths, secrets.
pub fn make(settings: &Settings) -> Result<Plans, SettingsErrors> {
    let mut errors = SettingsErrors::default();
    let integrations: Vec<_> = settings
        .integrations
        .iter()
        .filter_map(|settings| integration(settings, &mut errors))
        .map(Arc::new)
        .collect();
    let operations: HashMap<_, _> = settings
        .operations
        .iter()
        .filter_map(|settings| operation(settings, &integrations, &mut errors))
        .map(|plan| (plan.operation.clone(), Arc::new(plan)))
        .collect();
    if errors.is_empty() { Ok(Plans { integrations, operations }) } else { Err(errors) }
}

/// How attempts are logged.
pub fn log(settings: &Settings) -> LogPlan {
    let mut extra = Extra {
        fields: settings.server.redact.fields.clone(),
        headers: settings.server.redact.headers.iter().map(ToString::to_string).collect(),
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
        sanitiser: Sanitiser::new(&extra),
    }
}

fn integration(settings: &IntegrationSettings, errors: &mut SettingsErrors) -> Option<IntegrationPlan> {
    let file: Arc<str> = format!("integrations/{}.toml", settings.name).into();
    let auth = match auth(&settings.auth) {
        Ok(auth) => Some(auth),
        Err(what) => {
            errors.push(SettingsError::whole(Arc::clone(&file), format!("auth: {what}")));
            None
        }
    };
    let endpoints: Vec<Option<Endpoint>> =
        settings.endpoints.iter().map(|endpoint| self::endpoint(settings, endpoint, &file, errors)).collect();
    let endpoints: Vec<Endpoint> = endpoints.into_iter().collect::<Option<_>>()?;
    let spec = IntegrationSpec {
        breaker: settings.breaker.clone(),
        retry: settings.retry.clone(),
        pool: settings.pool.clone(),
        limits: settings
            .limits
            .iter()
            .map(|limit| {
                let LimitKind::TokenBucket(bucket) = &limit.kind;
                LimitSpec::new(limit.name.clone(), limits::LimitKind::TokenBucket(bucket.clone()))
            })
            .collect(),
        endpoints: endpoints.iter().map(|endpoint| endpoint.resend).collect(),
    };
    let base = &settings.base_url;
    Some(IntegrationPlan {
        name: settings.name.clone(),
        title: Some(settings.title.clone()),
        base_url: format!("{}://{}{}", base.scheme(), base.authority(), base.prefix()),
        auth: auth?,
        endpoints,
        spec,
    })
}

fn endpoint(
    integration: &IntegrationSettings,
    settings: &EndpointSettings,
    file: &Arc<str>,
    errors: &mut SettingsErrors,
) -> Option<Endpoint> {
    let path = PathTemplate::parse(&settings.path).map_err(|error| {
        errors.push(SettingsError::whole(
            Arc::clone(file),
            format!("endpoint {}: path: {error}", settings.name),
        ));
    });
    let request = compile(Kind::Request, settings.request.as_ref(), errors);
    let response = compile(Kind::Response, settings.response.as_ref(), errors);
    let rules: Vec<Option<Rule>> = settings.classify.iter().map(|settings| rule(settings, errors)).collect();
    let (resend, key_header) = match &settings.idempotency {
        IdempotencySettings::Safe => (Resend::Safe, None),
        IdempotencySettings::None => (Resend::Never, None),
        IdempotencySettings::Header { header, key_retention } => {
            (Resend::Key { retention: *key_retention }, Some(header.clone()))
        }
    };
    Some(Endpoint {
        name: settings.name.clone(),
        method: settings.method.clone(),
        path: path.ok()?,
        body: match settings.body {
            BodyFormat::Json => BodyKind::Json,
            BodyFormat::Form => BodyKind::Form,
            BodyFormat::None => BodyKind::None,
        },
        headers: headers(integration, settings),
        request: request?,
        response: response?,
        rules: rules.into_iter().collect::<Option<_>>()?,
        resend,
        key_header,
        timeouts: settings.timeouts,
    })
}

fn rule(settings: &ClassifyRule, errors: &mut SettingsErrors) -> Option<Rule> {
    let when = compile(Kind::Response, Some(&settings.when), errors);
    let code = compile(Kind::Response, settings.code.as_ref(), errors);
    let message = compile(Kind::Response, settings.message.as_ref(), errors);
    Some(Rule { when: when??, class: settings.class, code: code?, message: message? })
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

fn operation(
    settings: &OperationSettings,
    integrations: &[Arc<IntegrationPlan>],
    errors: &mut SettingsErrors,
) -> Option<Plan> {
    let [step] = settings.steps.as_slice() else { return None };
    let result = compile(Kind::Outcome, settings.result.as_ref(), errors);
    let step = self::step(step, integrations, errors);
    Some(Plan {
        operation: settings.name.clone(),
        version: settings.version,
        deadline: settings.deadline,
        step: step?,
        result: result?,
    })
}

fn step(
    settings: &StepSettings,
    integrations: &[Arc<IntegrationPlan>],
    errors: &mut SettingsErrors,
) -> Option<StepPlan> {
    let input = compile(Kind::Step, settings.input.as_ref(), errors);
    let integration = integrations.iter().find(|plan| plan.name == settings.call.integration)?;
    let found =
        integration.endpoints.iter().enumerate().find(|(_, plan)| plan.name == settings.call.endpoint);
    let (endpoint_index, endpoint) = found?;
    Some(StepPlan {
        name: settings.name.clone(),
        integration: integration.name.clone(),
        endpoint: endpoint.name.clone(),
        endpoint_index,
        safety: endpoint.resend.safety(),
        input: input?,
    })
}

/// Compiles an expression; the outer `None` says that it does not compile, which has been told.
fn compile(kind: Kind, source: Option<&JqSource>, errors: &mut SettingsErrors) -> Option<Option<Program>> {
    let Some(source) = source else { return Some(None) };
    match Program::compile(kind, &source.source) {
        Ok(program) => Some(Some(program)),
        Err(error) => {
            errors
                .push(SettingsError::at(source.at.clone(), format!("this is no usable jq program: {error}")));
            None
        }
    }
}

fn auth(settings: &AuthSettings) -> Result<Auth, String> {
    let read = |reference: &SecretRef| secrets::resolve(reference).map_err(|error| error.to_string());
    match settings {
        AuthSettings::None => Ok(Auth::None),
        AuthSettings::Bearer { token } => {
            let token = read(token)?;
            header(AUTHORIZATION, format!("Bearer {}", token.expose_secret()))
        }
        AuthSettings::Basic { username, password } => {
            let username = read(username)?;
            let password = password.as_ref().map_or_else(|| Ok(SecretString::default()), read)?;
            let pair = format!("{}:{}", username.expose_secret(), password.expose_secret());
            header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)))
        }
        AuthSettings::Header { name, value } => header(name.clone(), read(value)?.expose_secret().to_owned()),
        AuthSettings::Query { name, value } => {
            let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            Ok(Auth::Query(encode(name), SecretString::from(encode(read(value)?.expose_secret()))))
        }
    }
}

fn header(name: http::HeaderName, value: String) -> Result<Auth, String> {
    let mut value = HeaderValue::try_from(value).map_err(|_| {
        "the secret has a character that no header can carry; check that it was stored whole".to_owned()
    })?;
    value.set_sensitive(true);
    Ok(Auth::Header(name, value))
}
