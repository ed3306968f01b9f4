//! What was not sent on a used connection is sent once more at once, and nothing counts it.

use causeway_actors::fakes::{Ending, Script};
use causeway_actors::ports::Carrier;
use causeway_core::breaker::{BreakerSpec, State};
use causeway_core::endpoint::Timeouts;
use causeway_core::failure::{ErrorClass, Reason};
use causeway_core::operation::RunStatus;
use causeway_core::retry::RetrySpec;

use crate::world::{LONG, Setting, To, World, millis};

/// A request that its connection did not take.
fn stale() -> Script {
    Script::ends(Ending::Breaks(Reason::Reset)).unsent().reused()
}

/// Nothing is retried, and the first failure opens the breaker.
fn strict() -> Setting {
    Setting {
        retry: RetrySpec { max_retries: 0, ..RetrySpec::default() },
        breaker: BreakerSpec { failures: Some(1), ..BreakerSpec::default() },
        ..Setting::default()
    }
}

#[test]
fn it_is_no_retry_and_no_failure() {
    for to in To::ALL {
        let play = |n: usize, _: &_| if n == 0 { stale() } else { Script::answers(200, "{}") };
        World::live(&strict(), play, async |world| {
            let run = world.dispatch(to, LONG);
            let id = run.id.clone();
            let outcome = run.outcome().await;
            assert_eq!((outcome.status, outcome.steps[0].attempts), (RunStatus::Succeeded, 1), "{to:?}");
            let seen = world.seen(&id);
            let first = if to == To::Plain { Carrier::Recent } else { Carrier::Any };
            let carriers: Vec<_> = seen.iter().map(|seen| seen.carrier).collect();
            assert_eq!(carriers, [first, Carrier::New], "{to:?}");
            assert_eq!((&seen[0].headers, &seen[0].body), (&seen[1].headers, &seen[1].body));
            let view = &world.snapshot().view;
            assert_eq!((view.state, view.window.failures), (State::Closed, 0));
        });
    }
}

#[test]
fn it_is_done_once_and_only_for_a_used_connection() {
    for (script, sent) in [(stale(), 2), (Script { reused: false, ..stale() }, 1)] {
        World::live(
            &strict(),
            move |_, _| script.clone(),
            async |world| {
                let failure = world.dispatch(To::Plain, LONG).failure().await;
                assert_eq!((failure.class, failure.reason), (ErrorClass::Transient, Reason::Reset));
                assert_eq!(world.transport.seen().len(), sent);
            },
        );
    }
}

#[test]
fn the_attempts_timeout_binds_both() {
    let timeouts = Timeouts { total: millis(1000), ..Timeouts::default() };
    let play = |n: usize, _: &_| if n == 0 { stale().after(millis(700)) } else { Script::hangs() };
    World::live(&Setting { timeouts, ..strict() }, play, async |world| {
        let begun = world.clock.mono();
        let outcome = world.dispatch(To::Plain, LONG).outcome().await;
        assert_eq!(outcome.status, RunStatus::Unknown, "the second one was sent");
        assert_eq!(outcome.error.unwrap().reason, Reason::TotalTimeout);
        assert_eq!(world.clock.mono().since(begun), millis(1000));
    });
}
