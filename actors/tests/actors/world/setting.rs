//! What a world is made from: two integrations, each with a safe endpoint, one with a key and one without.

use std::sync::Arc;
use std::time::Duration;

use causeway_actors::plan::{Auth, IntegrationPlan};
use causeway_core::breaker::BreakerSpec;
use causeway_core::bulkhead::PoolSpec;
use causeway_core::endpoint::{BodyKind, Endpoint, PathTemplate, Timeouts};
use causeway_core::idempotency::Resend;
use causeway_core::integration::IntegrationSpec;
use causeway_core::limits::LimitSpec;
use causeway_core::name::{EndpointName, IntegrationName, OperationName, StepName};
use causeway_core::operation::{Plan, StepPlan};
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

    fn endpoint(self, timeouts: Timeouts) -> Endpoint {
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
            resend: self.resend(),
            key_header: (self == Self::Keyed).then(|| HeaderName::from_static(KEY)),
            timeouts,
        }
    }

    pub(super) fn plan(self, integration: &IntegrationName) -> Arc<Plan> {
        Arc::new(Plan {
            operation: OperationName::new(self.name()).unwrap(),
            version: 1,
            deadline: LONG,
            step: StepPlan {
                name: StepName::new("charge").unwrap(),
                integration: integration.clone(),
                endpoint: EndpointName::new(self.name()).unwrap(),
                endpoint_index: self as usize,
                safety: self.resend().safety(),
                input: None,
            },
            result: None,
        })
    }
}

/// What a world is made from.
#[derive(Clone, Default)]
pub(crate) struct Setting {
    pub(crate) breaker: BreakerSpec,
    pub(crate) retry: RetrySpec,
    pub(crate) pool: PoolSpec,
    pub(crate) limits: Vec<LimitSpec>,
    pub(crate) timeouts: Timeouts,
    pub(crate) seed: u64,
}

impl Setting {
    /// So small a pool that a few calls fill it.
    pub(crate) fn pool(max_in_flight: u32, max_queue: u32) -> Self {
        Self { pool: PoolSpec { max_in_flight, max_queue, ..PoolSpec::default() }, ..Self::default() }
    }

    pub(super) fn integration(&self, name: &str) -> Arc<IntegrationPlan> {
        Arc::new(IntegrationPlan {
            name: IntegrationName::new(name).unwrap(),
            title: None,
            base_url: format!("https://{name}.example"),
            auth: Auth::None,
            endpoints: To::ALL.map(|to| to.endpoint(self.timeouts)).into(),
            spec: IntegrationSpec {
                breaker: self.breaker.clone(),
                retry: self.retry.clone(),
                pool: self.pool.clone(),
                limits: self.limits.clone(),
                endpoints: To::ALL.map(To::resend).into(),
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

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Neighbour => "neighbour",
        }
    }
}
