//! Operations: names become places in the integrations they call, and versions stand side by side.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use causeway_actors::plan::IntegrationPlan;
use causeway_core::classify::Safety;
use causeway_core::mapping::Kind;
use causeway_core::operation::{CallPlan, Fallback, Plan, Provider, StepPlan, Steps, Undo};
use causeway_core::schema::Schema;

use super::{compile, unusable};
use crate::settings::{
    Call, FallbackSettings, KeyMode, KeySettings, Mode, OperationSettings, SettingsError, SettingsErrors,
    StepSettings, UndoSettings,
};

/// The versions of one operation.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    /// By their numbers.
    offers: Vec<Offer>,
}

/// One version of an operation, as callers are offered it.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What is done.
    pub plan: Arc<Plan>,
    /// Its name for people.
    pub title: String,
    /// Whether only callers that ask for this version get it.
    pub preview: bool,
    /// What its input looks like; `None`: any JSON.
    pub input: Option<Schema>,
    /// What callers' keys mean.
    pub keys: KeySettings,
    /// Whether runs that only read are kept too.
    pub journal: bool,
    /// Whether callers wait.
    pub mode: Mode,
}

impl Versions {
    pub(super) fn add(&mut self, offer: Offer) {
        self.offers.push(offer);
        self.offers.sort_by_key(|offer| offer.plan.version);
    }

    /// This version.
    pub fn version(&self, number: u32) -> Option<&Offer> {
        self.all().find(|offer| offer.plan.version == number)
    }

    /// What a caller gets that names none: the highest that is no preview.
    pub fn current(&self) -> Option<&Offer> {
        self.offers.iter().rev().find(|offer| !offer.preview)
    }

    /// All of them, by their numbers.
    pub fn all(&self) -> impl Iterator<Item = &Offer> {
        self.offers.iter()
    }
}

/// One version; `None` if something is wrong with it, which has been told.
pub(super) fn offer(
    settings: &OperationSettings,
    integrations: &[Arc<IntegrationPlan>],
    errors: &mut SettingsErrors,
) -> Option<Offer> {
    let input = match &settings.input_schema {
        None => Some(None),
        Some(schema) => {
            let compiled = Schema::compile(&schema.text);
            compiled.map_err(|error| unusable(schema, &error, errors)).ok().map(Some)
        }
    };
    let plan = Arc::new(plan(settings, integrations, errors)?);
    if plan.may_act() && settings.idempotency.mode == KeyMode::Off {
        let message = "`idempotency`: a step may act, and without keys a repetition would act twice; write \"required\" \
                       or \"optional\", or give the endpoints idempotency = \"safe\" if they only read";
        errors.push(SettingsError::at(settings.idempotency_at.0.clone(), message));
        return None;
    }
    Some(Offer {
        plan,
        title: settings.title.clone(),
        preview: settings.preview,
        input: input?,
        keys: settings.idempotency,
        journal: settings.journal,
        mode: settings.mode,
    })
}

fn plan(
    settings: &OperationSettings,
    integrations: &[Arc<IntegrationPlan>],
    errors: &mut SettingsErrors,
) -> Option<Plan> {
    let result = compile(Kind::Outcome, settings.result.as_ref(), errors);
    let steps: Vec<Option<StepPlan>> =
        settings.steps.iter().map(|settings| step(settings, integrations, errors)).collect();
    let steps = Steps::new(steps.into_iter().collect::<Option<_>>()?).map_err(|error| {
        let file = Arc::clone(&settings.deadline_at.0.file);
        errors.push(SettingsError::whole(file, error.to_string()));
    });
    Some(Plan {
        operation: settings.name.clone(),
        version: settings.version,
        deadline: settings.deadline,
        priority: settings.priority,
        steps: steps.ok()?,
        result: result?,
    })
}

fn step(
    settings: &StepSettings,
    integrations: &[Arc<IntegrationPlan>],
    errors: &mut SettingsErrors,
) -> Option<StepPlan> {
    let input = compile(Kind::Step, settings.input.as_ref(), errors);
    let undo = self::undo(settings.undo.as_ref(), integrations, errors);
    let alternates: Vec<Option<Provider>> = settings
        .alternates
        .iter()
        .map(|settings| {
            let input = compile(Kind::Step, settings.input.as_ref(), errors);
            let undo = self::undo(settings.undo.as_ref(), integrations, errors);
            Some(Provider { call: call(&settings.call, integrations)?, input: input?, undo: undo? })
        })
        .collect();
    let primary = Provider { call: call(&settings.call, integrations)?, input: None, undo: undo? };
    let alternates: Vec<Provider> = alternates.into_iter().collect::<Option<_>>()?;
    let fallback = fallback(&settings.fallback, std::iter::once(&primary).chain(&alternates), errors)?;
    Some(StepPlan {
        name: settings.name.clone(),
        after: settings.after.iter().copied().collect(),
        required: settings.required,
        background: settings.background,
        input: input?,
        primary,
        alternates,
        fallback,
    })
}

/// The outer `None` says that something is wrong with it, which has been told.
fn undo(
    settings: Option<&UndoSettings>,
    integrations: &[Arc<IntegrationPlan>],
    errors: &mut SettingsErrors,
) -> Option<Option<Undo>> {
    let Some(settings) = settings else { return Some(None) };
    let input = compile(Kind::Step, settings.input.as_ref(), errors);
    Some(Some(Undo { call: call(&settings.call, integrations)?, input: input? }))
}

/// Results may only be served again of calls that do nothing but read.
fn fallback<'a>(
    settings: &FallbackSettings,
    mut providers: impl Iterator<Item = &'a Provider>,
    errors: &mut SettingsErrors,
) -> Option<Fallback> {
    let acts = |provider: &&Provider| provider.call.safety() == Safety::Mutating;
    if let Some(stale) = &settings.stale
        && let Some(Provider { call, .. }) = providers.find(acts)
    {
        let message = format!(
            "`stale`: {}.{} may act, and an earlier result does not tell that it has; remove the key, or give the \
             endpoint idempotency = \"safe\" if it only reads",
            call.integration, call.endpoint
        );
        errors.push(SettingsError::at(stale.at.clone(), message));
        return None;
    }
    let stale = settings.stale.as_ref().map(|stale| stale.value);
    Some(Fallback { stale, value: settings.value.clone() })
}

/// `None` if the integration is wrong, which has been told.
fn call(call: &Call, integrations: &[Arc<IntegrationPlan>]) -> Option<CallPlan> {
    let integration = integrations.iter().find(|plan| plan.name == call.integration)?;
    let mut endpoints = integration.endpoints.iter().enumerate();
    let (endpoint_index, endpoint) = endpoints.find(|(_, plan)| plan.name == call.endpoint)?;
    // All that makes a request or reads its answer, in the words of its own debug form; it holds no secret.
    let mut revision = DefaultHasher::new();
    format!("{} {} {:?} {endpoint:?}", integration.account, integration.base_url, integration.query)
        .hash(&mut revision);
    Some(CallPlan {
        integration: integration.name.clone(),
        endpoint: endpoint.name.clone(),
        endpoint_index,
        resend: endpoint.resend,
        verify: integration.verifies.get(endpoint_index).cloned().flatten(),
        revision: revision.finish(),
    })
}
