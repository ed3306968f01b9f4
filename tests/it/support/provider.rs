//! The simulated provider, on a thread of its own.

use std::net::{Ipv4Addr, SocketAddr};

use causeway::sandbox::ledger::{Arrival, Counters, Effect};
use causeway::sandbox::{Behaviour, Control, Ending, Rule, Sandbox, SandboxThread};
use http::Method;

use super::until;

/// A provider of one test's own.
pub(crate) struct Provider {
    sandbox: SandboxThread,
    control: Control,
}

impl Provider {
    /// A provider that is well.
    pub(crate) fn start() -> Self {
        let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        let sandbox = Sandbox::run_in_thread(any).expect("a sandbox starts");
        let control = sandbox.control();
        Self { sandbox, control }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.sandbox.addr())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.sandbox.addr()
    }

    /// Behaves like this towards the next requests, one each, and then is well.
    pub(crate) fn next(&self, steps: impl IntoIterator<Item = Behaviour>) {
        self.control.plan(Rule::sequence(steps)).expect("a plan that can be followed");
    }

    /// Behaves like this from now on.
    pub(crate) fn always(&self, behaviour: impl Into<Behaviour>) {
        self.control.plan(Rule::always(behaviour.into())).expect("a plan that can be followed");
    }

    /// Behaves like this from now on towards requests with this method and a path that begins so.
    pub(crate) fn always_on(&self, method: &Method, path: &str, behaviour: impl Into<Behaviour>) {
        self.control
            .plan(Rule::always(behaviour.into()).on(method, path))
            .expect("a plan that can be followed");
    }

    /// What has arrived.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.control.ledger().arrivals
    }

    /// What has been done.
    pub(crate) fn effects(&self) -> Vec<Effect> {
        self.control.ledger().effects
    }

    /// How busy it is and was.
    pub(crate) fn counters(&self) -> Counters {
        self.control.counters()
    }

    /// How what has arrived has ended.
    pub(crate) fn endings(&self) -> Vec<Ending> {
        self.arrivals().into_iter().map(|arrival| arrival.ending).collect()
    }

    /// Waits for the `count`-th arrival.
    pub(crate) async fn arrived(&self, count: usize) {
        until(&format!("{count} requests arrive"), async || (self.arrivals().len() >= count).then_some(()))
            .await;
    }
}
