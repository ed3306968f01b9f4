//! A panic in one integration's actor costs what it must and no more.

use std::sync::atomic::{AtomicBool, Ordering};

use causeway_actors::ATTEMPT_TARGET;
use causeway_actors::board::Condition;
use causeway_actors::fakes::Script;
use causeway_actors::integration::{StepEnd, StepReply};
use causeway_core::breaker::State;
use causeway_core::failure::ErrorClass;
use causeway_core::integration::CallEnd;
use causeway_core::operation::RunStatus;
use tokio::sync::oneshot;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::set_default;
use tracing::{Event, Metadata, Subscriber};

use crate::world::{At, LONG, Setting, To, World, millis};

async fn succeeded(step: oneshot::Receiver<StepReply>) -> bool {
    matches!(step.await, Ok(StepReply::Ended(StepEnd { end: CallEnd::Succeeded(_), .. })))
}

#[test]
fn a_panic_ends_what_waits_and_nothing_else() {
    let play = |_: usize, _: &_| Script::answers(200, "{}").after(millis(500));
    World::live(&Setting::pool(1, 4), play, async |world| {
        let flying = world.dispatch(To::Plain, LONG);
        world.now().await;
        let waiting = world.dispatch(To::Plain, LONG);
        world.now().await;
        let began = world.clock.mono();

        world.panic();
        let queued = world.execute(To::Plain, LONG);
        let neighbours = world.dispatch_at(At::Neighbour, To::Plain, LONG);
        let failure = waiting.failure().await;
        assert_eq!((failure.class, &*failure.code), (ErrorClass::Internal, "integration_restarted"));
        assert_eq!(world.clock.mono(), began, "at once");
        assert_eq!(world.transport.seen().len(), 2, "the call that had waited was never sent");

        assert_eq!(flying.outcome().await.status, RunStatus::Succeeded);
        assert_eq!(neighbours.outcome().await.status, RunStatus::Succeeded);
        assert_eq!(world.clock.mono(), began + millis(500));
        assert!(succeeded(queued).await, "the message in the mailbox survives");
        assert_eq!(world.clock.mono(), began + millis(1000), "the attempt in flight has kept its permit");
        let snapshot = world.snapshot();
        assert_eq!((snapshot.generation, snapshot.view.state), (1, State::HalfOpen));
    });
}

#[test]
fn restarts_back_off_and_quarantine_lasts_until_a_reset() {
    World::live(
        &Setting::default(),
        |_, _| Script::answers(200, "{}"),
        async |world| {
            world.panic();
            assert_eq!(
                world.dispatch(To::Safe, LONG).outcome().await.status,
                RunStatus::Succeeded,
                "the first is free"
            );
            for rest in [100, 200, 400] {
                world.panic();
                world.now().await;
                let failure = world.dispatch(To::Safe, LONG).failure().await;
                assert_eq!((failure.class, &*failure.code), (ErrorClass::Internal, "integration_restarting"));
                assert_eq!(failure.retry_after, Some(millis(rest)));
                assert_eq!(world.snapshot().condition, Condition::Restarting);
                world.pass(millis(rest - 1)).await;
                world.dispatch(To::Safe, LONG).failure().await;
                world.pass(millis(1)).await;
                assert_eq!(world.dispatch(To::Safe, LONG).outcome().await.status, RunStatus::Succeeded);
                assert_eq!(world.snapshot().condition, Condition::Running);
            }
            world.panic();
            world.pass(60 * LONG).await;
            let failure = world.dispatch(To::Safe, LONG).failure().await;
            assert_eq!((&*failure.code, failure.retry_after), ("integration_restarting", None));
            assert_eq!(world.snapshot().condition, Condition::Quarantined);
            let neighbours = world.dispatch_at(At::Neighbour, To::Safe, LONG);
            assert_eq!(neighbours.outcome().await.status, RunStatus::Succeeded);

            world.panic();
            world.now().await;
            assert_eq!(world.snapshot().condition, Condition::Quarantined, "another panic is no way out");

            world.place().reset(None, None).await.unwrap();
            assert_eq!(world.snapshot().condition, Condition::Running);
            assert_eq!(world.dispatch(To::Safe, LONG).outcome().await.status, RunStatus::Succeeded);
            world.panic();
            world.now().await;
            assert_eq!(world.snapshot().condition, Condition::Running, "and the count begins anew");
        },
    );
}

#[test]
fn panics_with_work_between_them_in_the_mailbox_do_not_stop_the_clock() {
    World::live(
        &Setting::default(),
        |_, _| Script::answers(200, "{}"),
        async |world| {
            world.panic();
            let between = [(); 2].map(|()| world.execute(To::Plain, LONG));
            world.panic();
            for step in between {
                assert!(succeeded(step).await);
            }
            assert_eq!(world.snapshot().condition, Condition::Restarting);
            world.pass(millis(100)).await;
            assert_eq!(world.snapshot().condition, Condition::Running, "without a call that asks");
            assert_eq!(world.dispatch(To::Plain, LONG).outcome().await.status, RunStatus::Succeeded);
        },
    );
}

#[test]
fn a_rest_is_over_when_its_time_is_however_late_its_timer() {
    World::live(
        &Setting::default(),
        |_, _| Script::answers(200, "{}"),
        async |world| {
            world.panic();
            world.panic();
            world.now().await;
            assert_eq!(world.snapshot().condition, Condition::Restarting);
            let first = world.execute(To::Plain, LONG);
            tokio::time::advance(millis(100)).await;
            assert!(succeeded(first).await, "though the actor has heard of it before its timer");
        },
    );
}

#[test]
fn an_attempt_that_outlives_two_restarts_answers_its_call() {
    let play = |_: usize, _: &_| Script::answers(200, "{}").after(millis(500));
    World::live(&Setting::default(), play, async |world| {
        let flying = world.dispatch(To::Plain, LONG);
        world.now().await;
        world.panic();
        world.pass(millis(10)).await;
        world.panic();
        assert_eq!(world.clock.mono(), flying.deadline - LONG + millis(10));
        assert_eq!(flying.outcome().await.status, RunStatus::Succeeded);
    });
}

/// A log that panics when it is told of an attempt: a fault after the attempt has ended and before its call is
/// answered.
struct FaultyLog(AtomicBool);

impl Subscriber for FaultyLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == ATTEMPT_TARGET
    }

    fn event(&self, _: &Event<'_>) {
        assert!(!self.0.swap(false, Ordering::Relaxed), "asked to, by the log");
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn a_result_that_is_lost_to_a_panic_is_never_told_as_a_failure() {
    for (to, expected) in
        [(To::Safe, RunStatus::Failed), (To::Keyed, RunStatus::Unknown), (To::Plain, RunStatus::Unknown)]
    {
        World::live(
            &Setting::default(),
            |_, _| Script::answers(200, "{}"),
            async |world| {
                let _log = set_default(FaultyLog(AtomicBool::new(true)));
                let outcome = world.dispatch(to, LONG).outcome().await;
                let code = outcome.error.unwrap().code;
                assert_eq!((outcome.status, &*code), (expected, "integration_restarted"), "{to:?}");
                assert_eq!(world.snapshot().generation, 1);
            },
        );
    }
}

#[test]
fn a_dead_actor_is_replaced_on_the_next_send() {
    let play = |n: usize, _: &_| Script::answers(200, "{}").after(millis(if n < 2 { 500 } else { 0 }));
    World::live(&Setting::pool(2, 4), play, async |world| {
        let (safe, plain) = (world.dispatch(To::Safe, LONG), world.dispatch(To::Plain, LONG));
        world.now().await;
        let waiting = world.dispatch(To::Safe, LONG);
        world.now().await;
        world.kill();
        for lost in [safe, waiting] {
            assert_eq!(&*lost.failure().await.code, "integration_lost");
        }
        let outcome = plain.outcome().await;
        assert_eq!((outcome.status, &*outcome.error.unwrap().code), (RunStatus::Unknown, "integration_lost"));
        assert_eq!(world.place().calls(), 0);
        assert_eq!(world.dispatch(To::Plain, LONG).outcome().await.status, RunStatus::Succeeded);
        assert_eq!(world.snapshot().generation, 1);
    });
}

#[test]
fn a_call_that_is_lost_because_the_process_ends_has_not_ended() {
    let play = |_: usize, _: &_| Script::answers(200, "{}").after(millis(500));
    World::until(&Setting::default(), play, async |world| {
        let mut flying = world.dispatch(To::Plain, LONG);
        world.now().await;
        world.stop();
        world.kill();
        world.now().await;
        assert!(flying.waits(), "what became of it is for the next life to find out");
    });
}

#[test]
fn a_dead_actors_successor_keeps_what_a_person_has_decided() {
    World::live(
        &Setting::default(),
        |_, _| Script::answers(200, "{}"),
        async |world| {
            world.place().trip("exercise".to_owned(), None).await.unwrap();
            world.kill();
            world.now().await;
            let failure = world.dispatch(To::Safe, LONG).failure().await;
            assert_eq!(failure.class, ErrorClass::BreakerOpen);
            assert_eq!(world.snapshot().view.state, State::ForcedOpen);

            world.place().reset(None, None).await.unwrap();
            (0..5).for_each(|_| world.panic());
            world.kill();
            world.now().await;
            let failure = world.dispatch(To::Safe, LONG).failure().await;
            assert_eq!(&*failure.code, "integration_restarting");
            assert_eq!(world.snapshot().condition, Condition::Quarantined);
        },
    );
}

#[test]
fn an_operator_is_not_told_that_a_command_took_effect_which_was_lost() {
    World::live(
        &Setting::default(),
        |_, _| Script::answers(200, "{}"),
        async |world| {
            world.kill();
            assert!(world.place().trip("exercise".to_owned(), None).await.is_err());
            world.place().trip("exercise".to_owned(), None).await.unwrap();
            assert_eq!(world.snapshot().view.state, State::ForcedOpen);
        },
    );
}
