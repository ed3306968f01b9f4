//! What a deadline ends, what it does not, and what becomes of a caller that leaves.

use causeway_actors::fakes::{Fate, Script};
use causeway_core::classify::Phase;
use causeway_core::failure::ErrorClass;
use causeway_core::operation::RunStatus;

use crate::world::{LONG, Setting, To, World, millis};

#[test]
fn a_safe_attempt_is_cut_at_the_deadline() {
    World::live(
        &Setting::default(),
        |_, _| Script::hangs(),
        async |world| {
            let run = world.dispatch(To::Safe, millis(700));
            let (id, deadline) = (run.id.clone(), run.deadline);
            let failure = run.failure().await;
            assert_eq!((failure.class, &*failure.code), (ErrorClass::Deadline, "deadline_exceeded"));
            assert_eq!(world.clock.mono(), deadline);
            assert_eq!(world.seen(&id)[0].fate, Fate::Dropped(Phase::Sent));
            assert_eq!(
                world.snapshot().view.window.calls,
                0,
                "the caller's impatience is not the provider's failure"
            );
        },
    );
}

#[test]
fn a_mutating_attempt_that_has_left_answers_pending_at_the_deadline_and_its_outcome_later() {
    let play = |_: usize, _: &_| Script::answers(200, "{\"id\":\"ch_1\"}").after(millis(1500));
    World::live(&Setting::default(), play, async |world| {
        let run = world.dispatch(To::Plain, millis(700));
        let (id, deadline) = (run.id.clone(), run.deadline);
        let answer = run.answer().await;
        assert_eq!(world.clock.mono(), deadline);
        assert!(answer.is_pending());
        assert_eq!((answer.outcome.status, answer.outcome.finished_at), (RunStatus::Running, None));
        assert_eq!(world.look_up(&id).unwrap().status, RunStatus::Running);
        assert_eq!((world.place().calls(), world.runs()), (1, 1), "it still takes up its places");

        world.pass(millis(800)).await;
        let outcome = world.look_up(&id).unwrap();
        assert_eq!((outcome.status, outcome.result.as_str()), (RunStatus::Succeeded, "{\"id\":\"ch_1\"}"));
        assert_eq!((world.place().calls(), world.runs()), (0, 0));
    });
}

#[test]
fn a_pending_run_that_times_out_ends_unknown() {
    World::live(
        &Setting::default(),
        |_, _| Script::hangs(),
        async |world| {
            let run = world.dispatch(To::Plain, millis(700));
            let id = run.id.clone();
            assert!(run.answer().await.is_pending());
            world.pass(LONG).await;
            let outcome = world.look_up(&id).unwrap();
            assert_eq!(
                (outcome.status, &*outcome.error.clone().unwrap().code),
                (RunStatus::Unknown, "total_timeout")
            );
        },
    );
}

#[test]
fn a_pending_run_survives_its_actors_restart() {
    let play = |_: usize, _: &_| Script::answers(200, "{}").after(millis(1500));
    World::live(&Setting::default(), play, async |world| {
        let (before, after) =
            (world.dispatch(To::Plain, millis(700)), world.dispatch(To::Plain, millis(900)));
        let ids = [before.id.clone(), after.id.clone()];
        assert!(before.answer().await.is_pending());
        world.panic();
        let deadline = after.deadline;
        assert!(after.answer().await.is_pending());
        assert_eq!(world.clock.mono(), deadline);
        world.pass(LONG).await;
        for id in ids {
            assert_eq!(world.look_up(&id).unwrap().status, RunStatus::Succeeded);
        }
    });
}

#[test]
fn an_attempt_that_has_not_left_fails_at_the_deadline() {
    World::live(
        &Setting::default(),
        |_, _| Script::hangs().unsent(),
        async |world| {
            for to in To::ALL {
                let run = world.dispatch(to, millis(700));
                let (id, deadline) = (run.id.clone(), run.deadline);
                let failure = run.failure().await;
                assert_eq!((failure.class, world.clock.mono()), (ErrorClass::Deadline, deadline), "{to:?}");
                assert_eq!(world.seen(&id)[0].fate, Fate::Dropped(Phase::NotSent));
            }
        },
    );
}

#[test]
fn a_call_that_waits_for_its_turn_is_answered_at_the_deadline() {
    World::live(
        &Setting::pool(1, 4),
        |_, _| Script::hangs(),
        async |world| {
            let first = world.dispatch(To::Plain, millis(900));
            world.now().await;
            let waiting = world.dispatch(To::Plain, millis(700));
            let deadline = waiting.deadline;
            assert_eq!(waiting.failure().await.class, ErrorClass::Overloaded);
            assert_eq!(world.clock.mono(), deadline);
            assert!(first.answer().await.is_pending());
            assert_eq!(world.transport.seen().len(), 1);
        },
    );
}

#[test]
fn a_caller_that_leaves_takes_along_what_is_safe_or_unsent() {
    let play = |n: usize, _: &_| if n == 0 { Script::hangs() } else { Script::hangs().unsent() };
    World::live(&Setting::pool(2, 2), play, async |world| {
        let runs = [To::Safe, To::Plain, To::Plain].map(|to| world.dispatch(to, LONG));
        world.now().await;
        assert_eq!(world.transport.flying(), 2, "the third waits");
        let left = world.clock.mono();
        for run in runs.iter().rev() {
            world.abandon(&run.id);
        }
        for run in runs {
            assert_eq!(run.outcome().await.status, RunStatus::Cancelled);
        }
        assert_eq!((world.clock.mono(), world.transport.flying()), (left, 0), "at once");
        assert_eq!(world.transport.seen().len(), 2, "the third was never sent");
        assert_eq!(world.place().calls(), 0);
    });
}

#[test]
fn a_caller_that_leaves_does_not_stop_what_may_have_acted() {
    let play = |_: usize, _: &_| Script::answers(200, "{}").after(millis(500));
    World::live(&Setting::default(), play, async |world| {
        for to in [To::Keyed, To::Plain] {
            let mut run = world.dispatch(to, LONG);
            world.now().await;
            world.abandon(&run.id);
            world.pass(millis(499)).await;
            assert!(run.waits());
            assert_eq!(world.transport.flying(), 1);
            assert_eq!(run.outcome().await.status, RunStatus::Succeeded);
        }
    });
}

#[test]
fn nothing_is_sent_again_for_a_caller_that_has_left() {
    World::live(
        &Setting::default(),
        |_, _| Script::answers(500, "").after(millis(500)),
        async |world| {
            let run = world.dispatch(To::Keyed, LONG);
            let id = run.id.clone();
            world.now().await;
            world.abandon(&id);
            assert_eq!(run.outcome().await.status, RunStatus::Unknown);
            world.pass(LONG).await;
            assert_eq!(world.seen(&id).len(), 1);
        },
    );
}
