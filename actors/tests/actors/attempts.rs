//! An attempt reports its end exactly once, whatever becomes of it.

use causeway_actors::fakes::{Ending, Script};
use causeway_core::breaker::{BreakerSpec, State};
use causeway_core::failure::{ErrorClass, Reason};
use causeway_core::operation::RunStatus;

use crate::world::{LONG, Setting, To, World, millis};

#[test]
fn an_attempt_that_panics_is_lost_once_and_is_nothing_against_the_provider() {
    let touchy = BreakerSpec { failures: Some(1), ..BreakerSpec::default() };
    let setting = Setting { breaker: touchy, ..Setting::default() };
    for (to, status, class) in [
        (To::Safe, RunStatus::Failed, ErrorClass::Internal),
        (To::Plain, RunStatus::Unknown, ErrorClass::Ambiguous),
    ] {
        World::live(
            &setting,
            |_, _| Script::ends(Ending::Panics).after(millis(10)),
            async |world| {
                let outcome = world.dispatch(to, LONG).outcome().await;
                let failure = outcome.error.unwrap();
                assert_eq!((outcome.status, failure.class, &*failure.code), (status, class, "attempt_lost"));
                assert_eq!(failure.reason, Reason::Lost);
                assert_eq!(
                    (outcome.steps[0].attempts, world.transport.seen().len()),
                    (1, 1),
                    "and is not sent again"
                );
                world.pass(millis(200)).await;
                let view = &world.snapshot().view;
                assert_eq!((view.state, view.window.calls, view.window.failures), (State::Closed, 0, 0));
                assert_eq!(world.snapshot().generation, 0, "its actor has not noticed");
            },
        );
    }
}

#[test]
fn a_lost_attempt_is_sent_again_where_there_is_a_key() {
    let play =
        |n: usize, _: &_| if n == 0 { Script::ends(Ending::Panics) } else { Script::answers(200, "{}") };
    World::live(&Setting::default(), play, async |world| {
        let keyed = world.dispatch(To::Keyed, LONG);
        let id = keyed.id.clone();
        assert_eq!(keyed.outcome().await.status, RunStatus::Succeeded);
        let seen = world.seen(&id);
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].headers[crate::world::KEY], seen[1].headers[crate::world::KEY]);
        assert_eq!(seen[0].body, seen[1].body);
    });
}
