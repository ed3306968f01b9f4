//! How providers can be asked whether they have acted: queries become endpoints of their own.
//!
//! What tells whether something is there is the query's whole answer, and not what its own mapping makes of it, so the
//! query is an endpoint beside the one that it is named after: the same request, and the answer as it is.

use std::sync::Arc;

use causeway_core::classify::Safety;
use causeway_core::endpoint::Endpoint;
use causeway_core::mapping::{Kind, Program};
use causeway_core::operation::{CallPlan, Verify};

use super::compile;
use crate::settings::{
    IdempotencySettings, IntegrationSettings, JqSource, SettingsError, SettingsErrors, VerifySettings,
};

/// For each of the integration's endpoints its query, which is added to them. `None` if something is wrong, which has
/// been told.
pub(super) fn all(
    settings: &IntegrationSettings,
    endpoints: &mut Vec<Endpoint>,
    errors: &mut SettingsErrors,
) -> Option<Vec<Option<Arc<Verify>>>> {
    let mut verifies = Vec::with_capacity(settings.endpoints.len());
    let mut good = true;
    for endpoint in &settings.endpoints {
        let IdempotencySettings::Known { verify: Some(verify), .. } = &endpoint.idempotency else {
            verifies.push(None);
            continue;
        };
        let made = one(settings, endpoint.response.as_ref(), verify, endpoints, errors);
        good &= made.is_some();
        verifies.push(made.map(Arc::new));
    }
    good.then_some(verifies)
}

fn one(
    settings: &IntegrationSettings,
    response: Option<&JqSource>,
    verify: &VerifySettings,
    endpoints: &mut Vec<Endpoint>,
    errors: &mut SettingsErrors,
) -> Option<Verify> {
    let query = query(settings, verify, endpoints, errors);
    let input = compile(Kind::Request, verify.input.as_ref(), errors);
    let found = compile(Kind::Response, Some(&verify.found), errors);
    let result = match verify.result.as_ref().or(response) {
        Some(source) => compile(Kind::Response, Some(source), errors).flatten(),
        None => Program::compile(Kind::Response, ".body").ok(),
    };
    let (query, result) = (query?, result?);
    let call = CallPlan {
        integration: settings.name.clone(),
        endpoint: query.name.clone(),
        endpoint_index: endpoints.len(),
        resend: query.resend,
        verify: None,
        revision: 0,
    };
    endpoints.push(query);
    let VerifySettings { always, settle, .. } = *verify;
    let reconcile_after = verify.reconcile_after.clone();
    Some(Verify { call, input: input?, found: found??, result, always, settle, reconcile_after })
}

/// The query, with its whole answer as its result.
fn query(
    settings: &IntegrationSettings,
    verify: &VerifySettings,
    endpoints: &[Endpoint],
    errors: &mut SettingsErrors,
) -> Option<Endpoint> {
    let mut wrong = |what: String| {
        errors.push(SettingsError::at(verify.endpoint.at.clone(), format!("`verify.endpoint`: {what}")));
        None
    };
    let name = &verify.endpoint.value;
    let Some(query) = endpoints.iter().find(|endpoint| endpoint.name == *name) else {
        return wrong(format!("{} has no endpoint `{name}`; name one that only reads", settings.name));
    };
    if query.resend.safety() == Safety::Mutating {
        return wrong(format!("`{name}` may act, and asking must not; name an endpoint that only reads"));
    }
    let response = Program::compile(Kind::Response, ".").ok()?;
    Some(Endpoint { response: Some(response), schema: None, ..query.clone() })
}
