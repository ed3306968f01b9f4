//! What a world is made from: two integrations, each with a safe endpoint, one with a key and one without.

use std::sync::Arc;
use std::time::Duration;

use causeway_actors::credential::Credential;
use causeway_actors::fakes::ScriptedLedger;
use causeway_actors::plan::{Auth, IntegrationPlan};
use causeway_core::breaker::BreakerSpec;
use causeway_core::bulkhead::PoolSpec;
use causeway_core::endpoint::{BodyKind, Cost, Endpoint, PathTemplate, Timeouts};
use causeway_core::idempotency::Resend;
use causeway_core::integration::IntegrationSpec;
use causeway_core::limits::LimitSpec;
use causeway_core::mapping::{Kind, Program};
use causeway_core::name::{EndpointName, IntegrationName, OperationName, StepName};
use causeway_core::operation::{CallPlan, Plan, Provider, StepPlan, Steps, Undo};
use causeway_core::priority::Priority;
use causeway_core::retry::RetrySpec;
use http::{HeaderMap, HeaderName, Method};

use super::{KEY, LONG};

/// Which endpoint a run calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum To {
    /// Reads.
    Safe,
    /// Acts, with a key.
    Keyed,
    /// Acts, without a key.
    Plain,
}

impl To {
    pub(crate) const ALL: [Self; 3] = [Self::Safe, Self::Keyed, Self::Plain];

    const fn resend(self) -> Resend {
        match self {
            Self::Safe => Resend::Safe,
            Self::Keyed => Resend::Key { retention: Duration::from_secs(3600) },
            Self::Plain => Resend::Never,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Keyed => "keyed",
            Self::Plain => "plain",
        }
    }

    fn endpoint(self, timeouts: Timeouts, retry: RetrySpec) -> Endpoint {
        let safe = self == Self::Safe;
        Endpoint {
            name: EndpointName::new(self.name()).unwrap(),
            method: if safe { Method::GET } else { Method::POST },
            path: PathTemplate::parse("/v1/charges").unwrap(),
            body: if safe { BodyKind::None } else { BodyKind::Json },
            headers: HeaderMap::new(),
            request: None,
            response: None,
            rules: Vec::new(),
            schema: None,
            deadline_header: None,
            resend: self.resend(),
            verified: false,
            key_header: (self == Self::Keyed).then(|| HeaderName::from_static(KEY)),
            timeouts,
            retry: Arc::new(retry),
            cost: Cost::default(),
            follow_redirects: 0,
        }
    }

    pub(super) fn plan(self, integration: &IntegrationName) -> Arc<Plan> {
        Arc::new(Plan {
            operation: OperationName::new(self.name()).unwrap(),
            version: 1,
            deadline: LONG,
            priority: Priority::default(),
            steps: Steps::new(vec![StepPlan::new(StepName::new("charge").unwrap(), self.call(integration))])
                .unwrap(),
            result: None,
        })
    }

    fn call(self, integration: &IntegrationName) -> CallPlan {
        CallPlan {
            integration: integration.clone(),
            endpoint: EndpointName::new(self.name()).unwrap(),
            endpoint_index: self as usize,
            resend: self.resend(),
            verify: None,
            revision: 0,
        }
    }
}

/// A step whose request's body, where it has one, is its name: `"charge"`.
pub(crate) fn step(name: &str, at: At, to: To, after: &[usize]) -> StepPlan {
    StepPlan {
        input: Some(named(name)),
        after: after.iter().copied().collect(),
        ..StepPlan::new(StepName::new(name).unwrap(), call(at, to))
    }
}

/// The same, with an undo whose body is `"undo NAME"`.
pub(crate) fn undone(step: StepPlan, at: At) -> StepPlan {
    let input = Some(named(&format!("undo {}", step.name)));
    let undo = Some(Undo { call: call(at, To::Keyed), input });
    StepPlan { primary: Provider { undo, ..step.primary }, ..step }
}

/// The same, with an alternate elsewhere.
pub(crate) fn or(mut step: StepPlan, at: At, to: To) -> StepPlan {
    step.alternates.push(Provider::new(call(at, to)));
    step
}

fn call(at: At, to: To) -> CallPlan {
    to.call(&IntegrationName::new(at.name()).unwrap())
}

fn named(name: &str) -> Program {
    Program::compile(Kind::Step, &format!("\"{name}\"")).unwrap()
}

/// An operation of these steps.
pub(crate) fn operation(steps: Vec<StepPlan>) -> Arc<Plan> {
    Arc::new(Plan {
        operation: OperationName::new("several").unwrap(),
        version: 1,
        deadline: LONG,
        priority: Priority::default(),
        steps: Steps::new(steps).unwrap(),
        result: None,
    })
}

/// What a world is made from.
#[derive(Clone, Default)]
pub(crate) struct Setting {
    pub(crate) breaker: BreakerSpec,
    pub(crate) retry: RetrySpec,
    pub(crate) pool: PoolSpec,
    pub(crate) limits: Vec<LimitSpec>,
    pub(crate) timeouts: Timeouts,
    /// What of limits outlives the process, if anything does.
    pub(crate) ledger: Option<ScriptedLedger>,
    pub(crate) seed: u64,
}

impl Setting {
    /// So small a pool that a few calls fill it.
    pub(crate) fn pool(max_in_flight: u32, max_queue: u32) -> Self {
        Self { pool: PoolSpec { max_in_flight, max_queue, ..PoolSpec::default() }, ..Self::default() }
    }

    pub(crate) fn integration(&self, name: &str) -> Arc<IntegrationPlan> {
        Arc::new(IntegrationPlan {
            name: IntegrationName::new(name).unwrap(),
            title: None,
            base_url: format!("https://{name}.example"),
            query: None,
            account: 0,
            dedicated_thread: false,
            auth: Credential::fixed(Auth::None),
            tls: Arc::default(),
            endpoints: To::ALL.map(|to| to.endpoint(self.timeouts, self.retry.clone())).into(),
            verifies: Vec::new(),
            queue: Default::default(),
            limit_keys: self.limits.iter().map(|_| None).collect(),
            spec: IntegrationSpec {
                breaker: self.breaker.clone(),
                retry: self.retry.clone(),
                pool: self.pool.clone(),
                limits: self.limits.clone(),
            },
        })
    }
}

/// Which integration a run calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum At {
    /// The one that a test is about.
    Provider,
    /// The other.
    Neighbour,
}

impl At {
    pub(super) const ALL: [Self; 2] = [Self::Provider, Self::Neighbour];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Neighbour => "neighbour",
        }
    }
}
