//! Beyond its bounds an integration refuses at once.

use std::time::Duration;

use causeway_actors::fakes::Script;
use causeway_core::failure::ErrorClass;
use causeway_core::operation::RunStatus;

use crate::world::{At, LONG, Setting, To, World, millis};

#[test]
fn one_call_beyond_the_capacity_is_overloaded_at_once() {
    let play = |_: usize, _: &_| Script::answers(200, "{}").after(millis(100));
    World::live(&Setting::pool(64, 256), play, async |world| {
        let began = world.clock.mono();
        let mut taken: Vec<_> = (0..64 + 256).map(|_| world.dispatch(To::Plain, LONG)).collect();
        let failure = world.dispatch(To::Plain, LONG).failure().await;
        assert_eq!(
            (failure.class, failure.retry_after),
            (ErrorClass::Overloaded, Some(Duration::from_secs(1)))
        );
        world.now().await;
        assert_eq!(world.clock.mono(), began);
        assert!(taken.iter_mut().all(super::world::Waiting::waits), "all others have their place");
        assert_eq!(world.transport.flying(), 64);
        let neighbours = world.dispatch_at(At::Neighbour, To::Plain, LONG);
        assert_eq!(neighbours.outcome().await.status, RunStatus::Succeeded);
        for run in taken {
            assert_eq!(run.outcome().await.status, RunStatus::Succeeded);
        }
        assert_eq!(world.clock.mono(), began + millis(500), "five rounds of 64");
    });
}

#[test]
fn a_wait_for_the_pool_is_bounded() {
    let play = |_: usize, _: &_| Script::answers(200, "{}").after(millis(2500));
    World::live(&Setting::pool(1, 4), play, async |world| {
        let first = world.dispatch(To::Plain, LONG);
        world.now().await;
        let began = world.clock.mono();
        let second = world.dispatch(To::Plain, LONG);
        assert_eq!(second.failure().await.class, ErrorClass::Overloaded);
        assert_eq!(world.clock.mono(), began + Duration::from_secs(1));
        assert_eq!(first.outcome().await.status, RunStatus::Succeeded);
    });
}

#[test]
fn a_trip_ends_the_wait_of_all_in_the_queue() {
    let play = |_: usize, _: &_| Script::answers(200, "{}").after(millis(500));
    World::live(&Setting::pool(1, 4), play, async |world| {
        let flying = world.dispatch(To::Plain, LONG);
        world.now().await;
        let waiting = [To::Safe, To::Keyed, To::Plain].map(|to| world.dispatch(to, LONG));
        world.now().await;
        let began = world.clock.mono();
        world.place().trip("exercise".to_owned(), Some(millis(2000))).await.unwrap();
        for run in waiting {
            let failure = run.failure().await;
            assert_eq!((failure.class, failure.retry_after), (ErrorClass::BreakerOpen, Some(millis(2000))));
        }
        assert_eq!(world.clock.mono(), began);
        assert_eq!(flying.outcome().await.status, RunStatus::Succeeded, "what is out comes home");
        assert_eq!(world.dispatch(To::Safe, LONG).failure().await.class, ErrorClass::BreakerOpen);
        world.pass(millis(2000)).await;
        assert_eq!(world.dispatch(To::Safe, LONG).outcome().await.status, RunStatus::Succeeded);
    });
}
