//! Runs of several steps, and of steps that something stands in for.

use std::time::Duration;

use causeway_actors::fakes::{Ending, Fate, Script};
use causeway_actors::ports::WireRequest;
use causeway_actors::router::Standing;
use causeway_core::operation::{Outcome, RunStatus, ServedBy, StepStatus};

use crate::world::{At, KEY, LONG, Setting, To, World, millis, operation, or, step, undone};

fn body(request: &WireRequest) -> String {
    String::from_utf8_lossy(&request.body).trim_matches('"').to_owned()
}

fn bodies(world: &World) -> Vec<String> {
    let text = |body: &[u8]| String::from_utf8_lossy(body).trim_matches('"').to_owned();
    world.transport.seen().iter().map(|seen| text(&seen.body)).collect()
}

fn statuses(outcome: &Outcome) -> (RunStatus, Vec<StepStatus>) {
    (outcome.status, outcome.steps.iter().map(|step| step.status).collect())
}

fn ok() -> Script {
    Script::answers(200, "{}")
}

fn refused() -> Script {
    Script::answers(402, "")
}

#[test]
fn steps_that_wait_for_nothing_run_side_by_side_and_others_after_them() {
    World::live(
        &Setting::default(),
        |_, _| ok().after(millis(500)),
        async |world| {
            let plan = operation(vec![
                step("a", At::Provider, To::Plain, &[]),
                step("b", At::Neighbour, To::Plain, &[]),
                step("c", At::Provider, To::Plain, &[0, 1]),
            ]);
            let began = world.clock.mono();
            let outcome = world.run(&plan, LONG).outcome().await;
            assert_eq!(world.clock.mono().since(began), millis(1000));
            assert_eq!(outcome.status, RunStatus::Succeeded);
            let at: Vec<Duration> = world.transport.seen().iter().map(|seen| seen.at.since(began)).collect();
            assert_eq!(at, [Duration::ZERO, Duration::ZERO, millis(500)]);
            let took: Vec<Duration> = outcome.steps.iter().map(|step| step.duration).collect();
            assert_eq!(took, [millis(500); 3], "each from its own start");
        },
    );
}

#[test]
fn what_succeeded_is_undone_newest_first_each_with_a_key_of_its_own() {
    let play = |_: usize, request: &WireRequest| if body(request) == "c" { refused() } else { ok() };
    World::live(&Setting::default(), play, async |world| {
        let plan = operation(vec![
            undone(step("a", At::Provider, To::Keyed, &[]), At::Neighbour),
            undone(step("b", At::Neighbour, To::Keyed, &[0]), At::Provider),
            step("c", At::Provider, To::Keyed, &[1]),
            step("d", At::Provider, To::Keyed, &[2]),
        ]);
        let run = world.run(&plan, LONG);
        let id = run.id.clone();
        let outcome = run.outcome().await;
        let undone = StepStatus::Undone;
        let expected = (RunStatus::Failed, vec![undone, undone, StepStatus::Failed, StepStatus::Skipped]);
        assert_eq!(statuses(&outcome), expected);
        assert_eq!(bodies(world), ["a", "b", "c", "undo b", "undo a"]);
        let mut keys: Vec<_> = world.transport.seen().iter().map(|seen| seen.headers[KEY].clone()).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 5, "no two calls have the same key");
        assert_eq!(statuses(&world.look_up(&id).unwrap()), expected);
    });
}

#[test]
fn an_undo_that_fails_makes_the_run_unknown() {
    let play = |_: usize, request: &WireRequest| if body(request) == "a" { ok() } else { refused() };
    World::live(&Setting::default(), play, async |world| {
        let a = undone(step("a", At::Provider, To::Plain, &[]), At::Provider);
        let plan = operation(vec![a, step("b", At::Provider, To::Plain, &[0])]);
        let outcome = world.run(&plan, LONG).outcome().await;
        let expected = (RunStatus::Unknown, vec![StepStatus::Succeeded, StepStatus::Failed]);
        assert_eq!(statuses(&outcome), expected);
        assert_eq!(outcome.error.unwrap().code, "undo_failed");
    });
}

#[test]
fn a_caller_that_leaves_stops_every_step_and_undoes_what_succeeded() {
    let play = |_: usize, request: &WireRequest| match body(request).as_str() {
        "b" => Script::hangs().unsent(),
        "" => Script::hangs(),
        "c" => ok().after(millis(500)),
        _ => ok(),
    };
    World::live(&Setting::default(), play, async |world| {
        let plan = operation(vec![
            undone(step("a", At::Provider, To::Plain, &[]), At::Provider),
            step("b", At::Provider, To::Plain, &[]),
            step("safe", At::Neighbour, To::Safe, &[]),
            undone(step("c", At::Neighbour, To::Plain, &[]), At::Provider),
            step("d", At::Neighbour, To::Plain, &[3]),
        ]);
        let run = world.run(&plan, LONG);
        world.pass(millis(100)).await;
        world.abandon(&run.id);
        world.now().await;
        let seen = world.transport.seen();
        assert_eq!(seen[1].fate, Fate::Dropped(causeway_core::classify::Phase::NotSent));
        assert!(matches!(seen[2].fate, Fate::Dropped(_)), "what only reads is dropped: {:?}", seen[2]);
        assert_eq!(world.transport.flying(), 1, "what may have acted is not");
        let outcome = run.outcome().await;
        let (undone, skipped) = (StepStatus::Undone, StepStatus::Skipped);
        assert_eq!(
            statuses(&outcome),
            (RunStatus::Cancelled, vec![undone, skipped, skipped, undone, skipped])
        );
        assert_eq!(bodies(world)[4..], ["undo c", "undo a"]);
    });
}

#[test]
fn any_worker_can_cancel_a_run() {
    let play = |n: usize, _: &WireRequest| if n == 0 { ok() } else { Script::hangs().unsent() };
    World::live(&Setting::default(), play, async |world| {
        let other = world.another_router();
        let plan = operation(vec![
            step("a", At::Provider, To::Plain, &[]),
            step("b", At::Provider, To::Plain, &[0]),
        ]);
        let run = world.run_at(&other, &plan, LONG, None);
        world.pass(millis(100)).await;
        let so_far = world.cancel(&run.id).unwrap();
        assert_eq!(statuses(&so_far), (RunStatus::Running, vec![StepStatus::Succeeded, StepStatus::Running]));
        let id = run.id.clone();
        let outcome = run.outcome().await;
        assert_eq!(
            statuses(&outcome),
            (RunStatus::Cancelled, vec![StepStatus::Succeeded, StepStatus::Skipped])
        );
        assert_eq!(world.cancel(&id).unwrap().status, RunStatus::Cancelled, "it is over");
        assert!(world.cancel(&causeway_core::name::RunId::new("run_unknown")).is_none());
    });
}

#[test]
fn with_only_an_optional_step_open_the_outcome_is_partial_and_the_attempt_comes_home() {
    let play = |_: usize, request: &WireRequest| {
        ok().after(if body(request) == "mail" { millis(2000) } else { millis(100) })
    };
    World::live(&Setting::default(), play, async |world| {
        let mut mail = step("mail", At::Neighbour, To::Plain, &[]);
        mail.required = false;
        let plan = operation(vec![step("charge", At::Provider, To::Plain, &[]), mail]);
        let run = world.run(&plan, millis(700));
        let (id, deadline) = (run.id.clone(), run.deadline);
        let outcome = run.outcome().await;
        assert_eq!(world.clock.mono(), deadline);
        let expected = (RunStatus::Partial, vec![StepStatus::Succeeded, StepStatus::Unknown]);
        assert_eq!((statuses(&outcome), outcome.steps[1].attempts), (expected.clone(), 1));
        assert_eq!((world.transport.flying(), world.runs()), (1, 1), "it is not cut, and waited for");
        world.pass(millis(1300)).await;
        assert!(matches!(world.transport.seen()[1].fate, Fate::Ended(_)));
        assert_eq!(world.runs(), 0);
        assert_eq!(statuses(&world.look_up(&id).unwrap()), expected, "what is over stays as it was told");
    });
}

#[test]
fn a_caller_is_answered_at_the_deadline_while_undo_runs() {
    let play = |_: usize, request: &WireRequest| match body(request).as_str() {
        "b" => refused().after(millis(500)),
        "undo a" => ok().after(millis(3000)),
        _ => ok(),
    };
    World::live(&Setting::default(), play, async |world| {
        let a = undone(step("a", At::Provider, To::Plain, &[]), At::Provider);
        let plan = operation(vec![a, step("b", At::Provider, To::Plain, &[0])]);
        let run = world.run(&plan, millis(700));
        let (id, deadline) = (run.id.clone(), run.deadline);
        assert_eq!(run.answer().await.standing, Standing::Pending);
        assert_eq!(world.clock.mono(), deadline);
        world.pass(LONG).await;
        let expected = (RunStatus::Failed, vec![StepStatus::Undone, StepStatus::Failed]);
        assert_eq!(statuses(&world.look_up(&id).unwrap()), expected);
    });
}

#[test]
fn patience_bounds_the_answer_and_not_the_run() {
    World::live(
        &Setting::default(),
        |_, _| ok().after(millis(500)),
        async |world| {
            let plan = operation(vec![
                step("a", At::Provider, To::Safe, &[]),
                step("b", At::Provider, To::Safe, &[0]),
            ]);
            let run = world.run_at(world.router(), &plan, LONG, Some(millis(700)));
            let (id, began) = (run.id.clone(), world.clock.mono());
            let answer = run.answer().await;
            assert_eq!(world.clock.mono().since(began), millis(700));
            assert_eq!(answer.standing, Standing::Accepted);
            let so_far = statuses(&answer.outcome);
            assert_eq!(so_far, (RunStatus::Running, vec![StepStatus::Succeeded, StepStatus::Running]));
            assert_eq!(statuses(&world.look_up(&id).unwrap()), so_far, "though it only reads");
            world.pass(millis(300)).await;
            assert_eq!(world.look_up(&id).unwrap().status, RunStatus::Succeeded);

            let run = world.run_at(world.router(), &plan, LONG, Some(millis(5000)));
            let id = run.id.clone();
            assert_eq!(run.outcome().await.status, RunStatus::Succeeded);
            assert!(world.look_up(&id).is_none(), "it was told, and only read");
        },
    );
}

#[test]
fn an_alternate_serves_where_the_first_is_open() {
    World::live(
        &Setting::default(),
        |_, _| ok(),
        async |world| {
            let plan =
                operation(vec![or(step("charge", At::Provider, To::Keyed, &[]), At::Neighbour, To::Keyed)]);
            let outcome = world.run(&plan, LONG).outcome().await;
            assert_eq!((outcome.degraded, outcome.steps[0].served_by), (false, Some(ServedBy::Primary)));
            world.place().trip("exercise".to_owned(), None).await.unwrap();
            let outcome = world.run(&plan, LONG).outcome().await;
            assert_eq!(
                (outcome.status, outcome.degraded, outcome.steps[0].served_by),
                (RunStatus::Succeeded, true, Some(ServedBy::Alternate))
            );
            assert_eq!(outcome.steps[0].integration.as_str(), "neighbour");
            world.place().reset(None, None).await.unwrap();
        },
    );
}

#[test]
fn nothing_stands_in_for_what_is_in_doubt() {
    let play =
        |_: usize, _: &WireRequest| Script::ends(Ending::Breaks(causeway_core::failure::Reason::Reset));
    World::live(&Setting::default(), play, async |world| {
        let mut charge = or(step("charge", At::Provider, To::Plain, &[]), At::Neighbour, To::Plain);
        charge.fallback.value = Some(causeway_core::json::Json::NULL);
        let outcome = world.run(&operation(vec![charge]), LONG).outcome().await;
        assert_eq!(statuses(&outcome), (RunStatus::Unknown, vec![StepStatus::Unknown]));
        assert_eq!(world.transport.seen().len(), 1);
    });
}

#[test]
fn what_one_router_has_read_another_serves_stale_while_it_is_not_too_old() {
    let play = |n: usize, _: &WireRequest| if n == 0 { ok() } else { Script::answers(500, "") };
    let mut setting = Setting::default();
    setting.retry.max_retries = 0;
    World::live(&setting, play, async |world| {
        let mut rate = step("rate", At::Provider, To::Safe, &[]);
        rate.fallback.stale = Some(millis(1000));
        let plan = operation(vec![rate]);
        let other = world.another_router();
        assert!(!world.run(&plan, LONG).outcome().await.degraded);
        world.pass(millis(1000)).await;
        let outcome = world.run_at(&other, &plan, LONG, None).outcome().await;
        assert_eq!(
            (outcome.status, outcome.degraded, outcome.steps[0].served_by),
            (RunStatus::Succeeded, true, Some(ServedBy::Stale))
        );
        assert_eq!(outcome.result.as_str(), "{}");
        world.pass(millis(1)).await;
        let failure = world.run(&plan, LONG).failure().await;
        assert_eq!(failure.provider_status, Some(500));
    });
}

#[test]
fn a_step_without_room_does_not_hold_up_the_others_truth() {
    // One place for a call: the second step finds none, and the first, which is out, is told to its end.
    World::live(
        &Setting::pool(1, 0),
        |_, _| ok().after(millis(500)),
        async |world| {
            let plan = operation(vec![
                undone(step("a", At::Provider, To::Plain, &[]), At::Neighbour),
                step("b", At::Provider, To::Plain, &[]),
            ]);
            let outcome = world.run(&plan, LONG).outcome().await;
            let expected = (RunStatus::Failed, vec![StepStatus::Undone, StepStatus::Failed]);
            assert_eq!(statuses(&outcome), expected);
            assert_eq!(outcome.error.unwrap().code, "overloaded");
        },
    );
}
