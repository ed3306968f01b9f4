//! What a call takes of the limits, and whom it waits for.

use causeway_actors::fakes::Script;
use causeway_core::failure::ErrorClass;
use causeway_core::limits::{ConcurrentSpec, Keyed, LimitKind, LimitSpec};
use causeway_core::name::{GroupName, LimitName};
use causeway_core::operation::RunStatus;

use crate::world::{At, LONG, Setting, To, World, millis};

/// One place at a time.
fn one_seat() -> LimitSpec {
    let kind = LimitKind::Concurrent(ConcurrentSpec { requests: 1 });
    LimitSpec::new(LimitName::new("seats").unwrap(), kind)
}

#[test]
fn a_place_that_another_integration_gives_back_is_taken_at_once() {
    let play = |_: usize, _: &_| Script::answers(200, "{}").after(millis(300));
    let limits = vec![LimitSpec { group: Some(GroupName::new("account").unwrap()), ..one_seat() }];
    World::live(&Setting { limits, ..Setting::default() }, play, async |world| {
        let began = world.clock.mono();
        let first = world.dispatch_at(At::Neighbour, To::Plain, LONG);
        world.now().await;
        let second = world.dispatch_at(At::Provider, To::Plain, LONG);
        world.now().await;
        assert_eq!(world.transport.flying(), 1, "they share one place");
        assert_eq!(first.outcome().await.status, RunStatus::Succeeded);
        assert_eq!(second.outcome().await.status, RunStatus::Succeeded);
        assert_eq!(world.clock.mono(), began + millis(600));
    });
}

#[test]
fn a_call_without_a_key_is_our_own_failure_and_is_not_sent() {
    let play = |_: usize, _: &_| Script::answers(200, "{}");
    let limits = vec![LimitSpec { keyed: Keyed::Request, ..one_seat() }];
    World::live(&Setting { limits, ..Setting::default() }, play, async |world| {
        let failure = world.dispatch(To::Safe, LONG).failure().await;
        assert_eq!((failure.class, &*failure.code), (ErrorClass::Internal, "limit_key_failed"));
        assert!(world.transport.seen().is_empty());
    });
}
