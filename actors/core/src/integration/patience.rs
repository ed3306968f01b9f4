//! How long to wait where a provider answers 429 and does not say: longer each time, for everyone whom it holds up.
//!
//! What a 429 means to one caller it means to all who share the budget behind it, so the growing wait belongs to the
//! scope and not to the caller. An *episode* begins with the first 429 and is over when a call of that scope succeeds;
//! each further 429 in it doubles the wait. Answers to attempts that were out already when one came tell nothing new, be
//! they 429s or successes.

use std::collections::HashMap;

use crate::limits::{Demand, DrainScope, LimitKey, LimitSpec, Take};
use crate::time::Mono;

/// The most scopes with an episode; beyond it the oldest is forgotten, and its next 429 begins anew.
const MAX_SCOPES: usize = 1024;

/// Whom a 429 holds up, as a key to count by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Scope {
    All,
    Connection,
    /// Budgets, as limit and key.
    Budgets(Vec<(usize, LimitKey)>),
}

/// 429s of one scope in a row.
#[derive(Clone, Copy, Debug)]
struct Episode {
    count: u32,
    /// When the last of them came that counted.
    last: Mono,
    /// Until when the scope waits.
    until: Mono,
}

/// The episodes of an integration.
#[derive(Clone, Debug, Default)]
pub(super) struct Patience(HashMap<Scope, Episode>);

impl Patience {
    /// Counts a 429 to an attempt that was started at `started`, and says which one it is of its scope: 1 is the first.
    pub(super) fn refused(
        &mut self,
        limits: &[LimitSpec],
        demand: &Demand,
        scope: &DrainScope,
        started: Mono,
        now: Mono,
    ) -> u32 {
        let scope = of(limits, demand, scope);
        if !self.0.contains_key(&scope) && self.0.len() >= MAX_SCOPES {
            let oldest =
                self.0.iter().min_by_key(|(_, episode)| episode.last).map(|(scope, _)| scope.clone());
            oldest.map(|oldest| self.0.remove(&oldest));
        }
        let episode =
            self.0.entry(scope).or_insert(Episode { count: 0, last: Mono::ZERO, until: Mono::ZERO });
        if episode.count == 0 || started > episode.last {
            episode.count = episode.count.saturating_add(1);
            episode.last = now;
        }
        episode.count
    }

    /// Notes until when a scope waits; whether that is longer than before.
    pub(super) fn waits(
        &mut self,
        limits: &[LimitSpec],
        demand: &Demand,
        scope: &DrainScope,
        until: Mono,
    ) -> bool {
        let episode = self.0.get_mut(&of(limits, demand, scope));
        episode.is_none_or(|episode| {
            let longer = until > episode.until;
            episode.until = episode.until.max(until);
            longer
        })
    }

    /// An attempt that was started at `started` has succeeded: the episodes of every scope it belongs to are over, unless
    /// it was out already when their last 429 came.
    pub(super) fn succeeded(&mut self, demand: &Demand, started: Mono) {
        if self.0.is_empty() {
            return;
        }
        let takes = |(limit, key): &(usize, LimitKey)| {
            demand.0.iter().any(|take| take.limit == *limit && take.key == *key)
        };
        let of = |scope: &Scope| match scope {
            Scope::All | Scope::Connection => true,
            Scope::Budgets(budgets) => budgets.iter().all(takes),
        };
        self.0.retain(|scope, episode| started <= episode.last || !of(scope));
    }

    /// The limits have changed, and with them what the scopes mean.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

fn of(limits: &[LimitSpec], demand: &Demand, scope: &DrainScope) -> Scope {
    let budget = |take: &Take| (take.limit, take.key.clone());
    match scope {
        DrainScope::Integration => Scope::All,
        DrainScope::Connection => Scope::Connection,
        DrainScope::Endpoint if demand.0.is_empty() => Scope::All,
        DrainScope::Endpoint => Scope::Budgets(demand.0.iter().map(budget).collect()),
        DrainScope::Limit(name) => {
            let named = |take: &&Take| limits.get(take.limit).is_some_and(|limit| limit.name == *name);
            Scope::Budgets(demand.0.iter().filter(named).map(budget).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::LimitKind;
    use crate::limits::token_bucket::TokenBucketSpec;
    use crate::name::LimitName;

    fn at(secs: u64) -> Mono {
        Mono::from_origin(Duration::from_secs(secs))
    }

    fn demand(keys: &[&str]) -> Demand {
        let take = |(limit, key): (usize, &&str)| Take { limit, key: LimitKey::Of((*key).into()), cost: 1 };
        Demand(keys.iter().enumerate().map(take).collect())
    }

    fn limits() -> Vec<LimitSpec> {
        let bucket = TokenBucketSpec { requests: 1, per: Duration::from_secs(1), burst: 1 };
        let limit =
            |name| LimitSpec::new(LimitName::new(name).unwrap(), LimitKind::TokenBucket(bucket.clone()));
        vec![limit("user"), limit("organisation")]
    }

    #[test]
    fn each_scope_counts_for_itself() {
        let (limits, mut patience) = (limits(), Patience::default());
        let mut refused = |demand: &Demand, scope: &DrainScope, now| {
            patience.refused(&limits, demand, scope, at(now), at(now))
        };
        let (ann, bob) = (demand(&["ann", "acme"]), demand(&["bob", "acme"]));
        let organisation = DrainScope::Limit(LimitName::new("organisation").unwrap());
        assert_eq!(refused(&ann, &DrainScope::Endpoint, 1), 1);
        assert_eq!(refused(&ann, &DrainScope::Endpoint, 2), 2);
        assert_eq!(refused(&bob, &DrainScope::Endpoint, 3), 1);
        assert_eq!(refused(&ann, &organisation, 4), 1);
        assert_eq!(refused(&bob, &organisation, 5), 2, "they share the organisation's budget");
        assert_eq!(refused(&bob, &DrainScope::Integration, 6), 1);
        assert_eq!(
            refused(&Demand::default(), &DrainScope::Endpoint, 7),
            2,
            "without limits it is all of it"
        );
    }

    #[test]
    fn answers_to_what_was_out_already_are_the_same_episode() {
        let mut patience = Patience::default();
        let mut refused = |started, now| {
            patience.refused(&[], &Demand::default(), &DrainScope::Integration, at(started), at(now))
        };
        assert_eq!((refused(0, 5), refused(4, 6), refused(5, 7)), (1, 1, 1));
        assert_eq!((refused(6, 8), refused(7, 9)), (2, 2));
    }

    #[test]
    fn a_success_ends_the_episodes_of_its_own_scopes() {
        let (limits, mut patience) = (limits(), Patience::default());
        let (ann, bob) = (demand(&["ann", "acme"]), demand(&["bob", "acme"]));
        for demand in [&ann, &bob] {
            patience.refused(&limits, demand, &DrainScope::Endpoint, at(0), at(1));
        }
        patience.refused(&limits, &bob, &DrainScope::Connection, at(0), at(1));
        patience.succeeded(&ann, at(2));
        let mut again = |demand: &Demand, scope| patience.refused(&limits, demand, &scope, at(2), at(3));
        assert_eq!(again(&ann, DrainScope::Endpoint), 1);
        assert_eq!(again(&bob, DrainScope::Endpoint), 2);
        assert_eq!(again(&bob, DrainScope::Connection), 1);
    }

    #[test]
    fn a_success_that_was_out_already_ends_none() {
        let (none, all) = (Demand::default(), DrainScope::Integration);
        let mut patience = Patience::default();
        assert_eq!(patience.refused(&[], &none, &all, at(0), at(1)), 1);
        patience.succeeded(&none, at(1));
        assert_eq!(patience.refused(&[], &none, &all, at(2), at(3)), 2);
        patience.succeeded(&none, at(0));
        assert_eq!(patience.refused(&[], &none, &all, at(5), at(6)), 3);
        patience.succeeded(&none, at(7));
        assert_eq!(patience.refused(&[], &none, &all, at(8), at(9)), 1);
    }

    #[test]
    fn only_a_longer_wait_is_news() {
        let mut patience = Patience::default();
        let (none, all) = (Demand::default(), DrainScope::Integration);
        patience.refused(&[], &none, &all, at(0), at(1));
        let mut waits = |until| patience.waits(&[], &none, &all, at(until));
        assert_eq!([waits(9), waits(9), waits(4), waits(10)], [true, false, false, true]);
    }

    #[test]
    fn scopes_are_bounded() {
        let (limits, mut patience) = (limits(), Patience::default());
        for n in 0..2 * MAX_SCOPES as u64 {
            let user = demand(&[&n.to_string()]);
            assert_eq!(patience.refused(&limits, &user, &DrainScope::Endpoint, at(n), at(n)), 1);
        }
        assert_eq!(patience.0.len(), MAX_SCOPES);
    }
}
