//! The HTTP clients of one integration: the one that holds now, and those that calls under way began with.
//!
//! A plan that leads elsewhere, or through another pool, has a client of its own. The former one lives as long as a
//! call holds it; its idle connections go with it.

use std::rc::{Rc, Weak};
use std::sync::Arc;

use metrics::Gauge;

use super::Parts;
use crate::metric::{Labels, Metric};
use crate::plan::IntegrationPlan;
use crate::ports::{Client, Target};

/// The clients.
pub(super) struct Clients {
    current: (Way, Rc<dyn Client>),
    former: Vec<(Way, Weak<dyn Client>)>,
    /// How many connections they have together.
    connections: Gauge,
}

/// What a client is opened for: plans of the same way share it.
#[derive(Clone, PartialEq)]
struct Way {
    base_url: String,
    target: Target,
}

impl Way {
    fn of(plan: &IntegrationPlan) -> Self {
        let target = Target {
            integration: plan.name.clone(),
            pool: plan.spec.pool.clone(),
            tls: Arc::clone(&plan.tls),
        };
        Self { base_url: plan.base_url.clone(), target }
    }
}

impl Clients {
    pub(super) fn open(parts: &Parts) -> Self {
        let way = Way::of(&parts.plan);
        let labels = Labels::none().named("integration", parts.plan.name.shared());
        let connections = Metric::ConnectionsOpen.gauge(&labels);
        let client = parts.transport.open(&way.target, &connections);
        Self { current: (way, client), former: Vec::new(), connections }
    }

    /// Makes the client of `parts.plan` the one that holds.
    pub(super) fn turn_to(&mut self, parts: &Parts) {
        self.former.retain(|(_, client)| client.strong_count() > 0);
        let way = Way::of(&parts.plan);
        if way != self.current.0 {
            let client =
                self.former_of(&way).unwrap_or_else(|| parts.transport.open(&way.target, &self.connections));
            let (way, client) = std::mem::replace(&mut self.current, (way, client));
            self.former.retain(|(_, client)| client.strong_count() > 0);
            self.former.push((way, Rc::downgrade(&client)));
        }
    }

    /// The client that a call of `plan` goes through.
    pub(super) fn of(&mut self, parts: &Parts, plan: &Arc<IntegrationPlan>) -> Rc<dyn Client> {
        if Arc::ptr_eq(plan, &parts.plan) {
            return Rc::clone(&self.current.1);
        }
        let way = Way::of(plan);
        if way == self.current.0 {
            return Rc::clone(&self.current.1);
        }
        self.former_of(&way).unwrap_or_else(|| {
            let client = parts.transport.open(&way.target, &self.connections);
            self.former.push((way, Rc::downgrade(&client)));
            client
        })
    }

    fn former_of(&self, way: &Way) -> Option<Rc<dyn Client>> {
        self.former.iter().filter(|(known, _)| known == way).find_map(|(_, client)| client.upgrade())
    }
}
