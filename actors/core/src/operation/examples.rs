//! What a run promises, one example a sentence.

use super::testing::{DEADLINE, Play, failure, json, plan, read, step};
use super::*;
use ErrorClass::{
    Ambiguous, BreakerOpen, Client, Credential, Deadline, Internal, InvalidResponse, Overloaded, RateLimited,
    Throttled, Transient,
};
use RunStatus::{Cancelled, Failed, Partial, Succeeded, Unknown};

const SECOND: Duration = Duration::from_secs(1);

mod one_step {
    use super::*;

    #[test]
    fn input_and_result_pass_untouched_where_nothing_is_mapped() {
        let mut play = Play::of(vec![step("charge")]);
        assert_eq!(play.open[0].input.as_str(), "{\"amount\": 100}");
        play.pass(Duration::from_millis(42));
        play.ends("charge", CallEnd::Succeeded(json("{ \"id\":\"ch_1\"}")));
        let document = serde_json::to_string(play.outcome()).unwrap();
        assert!(document.contains("\"result\":{ \"id\":\"ch_1\"}"), "{document}");
        assert!(
            document.contains("\"attempts\":1,\"duration_ms\":42,\"served_by\":\"primary\",\"error\":null")
        );
        assert!(document.contains("\"status\":\"succeeded\",\"degraded\":false"), "{document}");
        assert!(play.run.is_done());
    }

    #[test]
    fn input_and_result_are_mapped() {
        let steps = vec![step("charge").input(".input.amount")];
        let result = "{ charge: .steps.charge.result.id, run: .run.id }";
        let mut play = Play::begin(plan(steps, Some(result)), None, None);
        assert_eq!(play.open[0].input.as_str(), "100");
        play.ends("charge", CallEnd::Succeeded(json("{\"id\":\"ch_1\"}")));
        assert_eq!(play.outcome().result.as_str(), r#"{"charge":"ch_1","run":"run_1"}"#);
    }

    #[test]
    fn a_mapping_that_fails_says_what_has_happened() {
        let play = Play::of(vec![step("charge").input(".input.amount.x")]);
        assert_eq!(play.ended(), (Failed, vec![StepStatus::Skipped]));
        assert_eq!(play.outcome().error.as_ref().unwrap().class, Internal);

        let mut play = Play::begin(plan(vec![step("charge")], Some(".steps.charge.result.x")), None, None);
        play.ends("charge", CallEnd::Succeeded(json("1")));
        assert_eq!(play.ended(), (Failed, vec![StepStatus::Succeeded]));
        assert!(play.outcome().error.as_ref().unwrap().message.contains("steps have succeeded"));
        assert!(play.outcome().has_lasting_effects());
    }

    #[test]
    fn a_pending_run_finishes_later_and_once() {
        let mut play = Play::begin(plan(vec![step("charge")], None), Some(SECOND), None);
        assert_eq!(play.run.deadline(), Mono::ZERO + SECOND);
        assert_eq!(play.run.next_deadline(), None, "its call says by itself when the deadline passes");
        play.pass(SECOND).is_overdue("charge");
        let pending = play.pending.as_ref().unwrap();
        assert_eq!((pending.status, pending.finished_at), (RunStatus::Running, None));
        assert_eq!((pending.steps[0].status, pending.steps[0].attempts), (StepStatus::Running, 1));
        play.pass(SECOND).succeeds("charge");
        assert_eq!(play.ended(), (Succeeded, vec![StepStatus::Succeeded]));
        assert_eq!(play.outcome().steps[0].attempts, 1, "told once");
        play.run.call_ended(play.now, 0, CallEnd::Cancelled, Tries { made: 1, sent: false, trial: false });
        play.run.call_is_overdue(play.now, 0, 1);
        play.run.cancel(play.now);
        assert!(play.run.poll().is_none());
    }

    #[test]
    fn the_callers_budget_only_shortens() {
        let play = Play::begin(plan(vec![step("charge")], None), Some(60 * SECOND), None);
        assert_eq!(play.run.deadline(), Mono::ZERO + DEADLINE);
    }

    #[test]
    fn a_run_that_is_lost_is_unknown_once_it_may_have_acted() {
        let mut play = Play::of(vec![step("charge")]);
        let outcome = play.run.lost(play.now);
        assert_eq!((outcome.status, outcome.steps[0].status), (Unknown, StepStatus::Unknown));
        let mut play = Play::of(vec![read("rate")]);
        let outcome = play.run.lost(play.now);
        assert_eq!((outcome.status, outcome.steps[0].status), (Failed, StepStatus::Failed));
        play.run.call_ended(play.now, 0, CallEnd::Cancelled, Tries { made: 1, sent: false, trial: false });
        assert!(play.run.poll().is_none() && play.run.is_done());
    }
}

mod order {
    use super::*;

    #[test]
    fn steps_without_after_start_together_and_others_when_what_they_wait_for_has_succeeded() {
        let mut play = Play::of(vec![step("d").after(&[2]), step("a"), step("c").after(&[1, 3]), step("b")]);
        assert_eq!(play.under_way(), ["a", "b"]);
        assert_eq!(play.succeeds("a").under_way(), ["b"]);
        assert_eq!(play.succeeds("b").under_way(), ["c"]);
        assert_eq!(play.succeeds("c").under_way(), ["d"]);
        assert_eq!(play.succeeds("d").outcome().status, Succeeded);
    }

    #[test]
    fn an_optional_step_need_only_have_ended() {
        for doubt in [false, true] {
            let mut play = Play::of(vec![step("mail").optional(), step("ship").after(&[0])]);
            if doubt {
                play.is_in_doubt("mail")
            } else {
                play.fails("mail", Client)
            };
            assert_eq!(play.under_way(), ["ship"]);
            assert_eq!(play.succeeds("ship").outcome().status, Partial);
        }
    }

    #[test]
    fn a_later_step_sees_what_is_known_of_the_earlier_ones() {
        let sees = "{ a: .steps.a.result, b: .steps.b.error.code, s: .steps.b.status, c: .steps.c, n: .input.amount }";
        let steps = vec![step("a"), step("b").optional(), step("c").after(&[0, 1]).input(sees)];
        let mut play = Play::of(steps);
        play.succeeds("a").fails("b", Client);
        assert_eq!(play.open[0].input.as_str(), r#"{"a":"of a","b":"client","s":"failed","c":null,"n":100}"#);
    }

    #[test]
    fn results_of_several_steps_are_told_by_name_unless_they_are_mapped() {
        let steps = || vec![step("a"), step("b").optional(), step("c")];
        let mut play = Play::of(steps());
        play.succeeds("c").fails("b", Client).succeeds("a");
        assert_eq!(play.outcome().result.as_str(), r#"{"a":"of a","c":"of c"}"#);
        let result = "[.steps[] | .status]";
        let mut play = Play::begin(plan(steps(), Some(result)), None, None);
        play.succeeds("c").fails("b", Client).succeeds("a");
        assert_eq!(play.outcome().result.as_str(), r#"["succeeded","failed","succeeded"]"#);
    }

    #[test]
    fn a_step_lasts_from_its_own_start_to_its_end() {
        let mut play = Play::of(vec![step("a"), step("b").after(&[0])]);
        play.pass(SECOND).succeeds("a");
        play.pass(2 * SECOND).succeeds("b");
        let took: Vec<Duration> = play.outcome().steps.iter().map(|step| step.duration).collect();
        assert_eq!(took, [SECOND, 2 * SECOND]);
    }
}

mod verdict {
    use super::*;

    #[test]
    fn partial_is_an_optional_step_that_did_not_succeed() {
        let mut play = Play::of(vec![step("charge"), step("mail").optional()]);
        play.fails("mail", Transient).succeeds("charge");
        assert_eq!(play.ended(), (Partial, vec![StepStatus::Succeeded, StepStatus::Failed]));
        assert_eq!((play.outcome().degraded, &play.outcome().error), (false, &None));
    }

    #[test]
    fn a_failed_required_step_cancels_what_has_not_started_and_undoes_newest_first() {
        let steps = vec![
            step("reserve").undone(),
            step("charge").after(&[0]).undone(),
            step("note").after(&[1]),
            step("ship").after(&[1]),
            step("mail").after(&[3]).optional(),
        ];
        let mut play = Play::of(steps);
        play.succeeds("reserve").succeeds("charge").succeeds("note").fails("ship", Client);
        assert_eq!(play.under_way(), ["charge-undo"]);
        assert_eq!(play.open[0].input.as_str(), "\"of charge\"", "of the step's result");
        assert_eq!(play.succeeds("charge-undo").under_way(), ["reserve-undo"]);
        play.succeeds("reserve-undo");
        let undone = StepStatus::Undone;
        let statuses = vec![undone, undone, StepStatus::Succeeded, StepStatus::Failed, StepStatus::Skipped];
        assert_eq!(play.ended(), (Failed, statuses));
        assert_eq!((play.code(3), play.code(4)), (Some("client"), Some("step_skipped")));
        let why = play.outcome().steps[4].error.as_ref().unwrap();
        assert_eq!((why.class, &*why.message), (Client, "the required step `ship` has failed"));
        assert_eq!(play.outcome().error.as_ref().unwrap().class, Client);
        assert_eq!(play.outcome().result, Json::NULL);
    }

    #[test]
    fn what_runs_beside_a_failure_ends_as_it_can_and_is_undone() {
        let steps = vec![step("a").undone(), read("b"), step("c"), step("d").after(&[0])];
        let mut play = Play::of(steps);
        play.fails("c", Transient);
        assert_eq!(play.stopped, [0, 1]);
        assert!(play.is_stopped("b").outcome.is_none(), "the other is still out");
        assert_eq!(play.succeeds("a").under_way(), ["a-undo"]);
        play.succeeds("a-undo");
        let skipped = StepStatus::Skipped;
        assert_eq!(play.ended(), (Failed, vec![StepStatus::Undone, skipped, StepStatus::Failed, skipped]));
    }

    #[test]
    fn a_required_step_in_doubt_ends_unknown_and_nothing_is_undone() {
        let mut play =
            Play::of(vec![step("reserve").undone(), step("charge").after(&[0]), step("ship").after(&[1])]);
        play.succeeds("reserve").is_in_doubt("charge");
        assert_eq!(play.ended().0, Unknown);
        assert_eq!(play.ended().1, [StepStatus::Succeeded, StepStatus::Unknown, StepStatus::Skipped]);
        assert_eq!(play.called, ["reserve", "charge"]);
        assert_eq!(play.outcome().error.as_ref().unwrap().class, Ambiguous);
    }

    #[test]
    fn with_a_failure_beside_the_doubt_what_does_not_bear_it_is_undone() {
        for failure_first in [true, false] {
            let steps = vec![
                step("a").undone(),
                step("b").undone(),
                step("c").after(&[0]).undone(),
                step("d").after(&[1]),
            ];
            let mut play = Play::of(steps);
            play.succeeds("a").succeeds("b");
            if failure_first {
                play.fails("d", Client).is_in_doubt("c");
            } else {
                play.is_in_doubt("c").fails("d", Client);
            }
            assert_eq!(play.under_way(), ["b-undo"], "the run can no longer succeed");
            play.succeeds("b-undo");
            let statuses =
                vec![StepStatus::Succeeded, StepStatus::Undone, StepStatus::Unknown, StepStatus::Failed];
            assert_eq!(play.ended(), (Unknown, statuses), "what `c` builds on stands while `c` may");
            assert_eq!(play.code(0), Some("undo_held"));
            assert_eq!(play.outcome().error.as_ref().unwrap().class, Ambiguous);
        }
    }

    #[test]
    fn an_undo_that_fails_makes_the_run_unknown_and_holds_what_it_builds_on() {
        for doubt in [false, true] {
            let steps = vec![
                step("reserve").undone(),
                step("other").undone(),
                step("charge").after(&[0]).undone(),
                step("ship").after(&[1, 2]),
            ];
            let mut play = Play::of(steps);
            play.succeeds("reserve").succeeds("other").succeeds("charge").fails("ship", Client);
            if doubt {
                play.is_in_doubt("charge-undo")
            } else {
                play.fails("charge-undo", Client)
            };
            assert_eq!(play.under_way(), ["other-undo"]);
            play.succeeds("other-undo");
            let charge = if doubt { StepStatus::Unknown } else { StepStatus::Succeeded };
            let statuses = vec![StepStatus::Succeeded, StepStatus::Undone, charge, StepStatus::Failed];
            assert_eq!(play.ended(), (Unknown, statuses));
            let error = play.outcome().error.as_ref().unwrap();
            assert_eq!(&*error.code, "undo_failed");
            assert!(error.message.contains("`charge` succeeded and could not be undone: it failed"));
            assert_eq!((play.code(2), play.code(0)), (Some("undo_failed"), Some("undo_held")));
        }
    }

    #[test]
    fn an_undo_whose_input_cannot_be_made_has_failed() {
        let mut charge = step("charge").undone();
        let program = Program::compile(Kind::Step, ".steps.charge.result.id.x.y").unwrap();
        charge.primary.undo.as_mut().unwrap().input = Some(program);
        let mut play = Play::of(vec![charge, step("ship").after(&[0])]);
        play.succeeds("charge").fails("ship", Client);
        assert_eq!((play.ended().0, play.code(0)), (Unknown, Some("undo_failed")));
    }

    #[test]
    fn an_optional_doubt_beside_a_required_failure_is_not_failed() {
        let mut play = Play::of(vec![step("charge"), step("mail").optional()]);
        play.is_in_doubt("mail").fails("charge", Client);
        assert_eq!(play.ended(), (Unknown, vec![StepStatus::Failed, StepStatus::Unknown]));
    }

    #[test]
    fn what_could_not_be_sent_when_a_sibling_failed_is_never_sent() {
        let play = Play::of(vec![step("a"), step("b").input(".input.amount.x")]);
        assert_eq!(play.called, [""; 0]);
        assert_eq!(play.ended(), (Failed, vec![StepStatus::Skipped, StepStatus::Skipped]));
    }
}

mod cancelling {
    use super::*;

    #[test]
    fn stops_what_runs_and_undoes_what_succeeded() {
        let mut play = Play::of(vec![step("a").undone(), step("b").after(&[0]), step("c").after(&[1])]);
        play.succeeds("a").cancel();
        assert_eq!(play.stopped, [1]);
        play.is_stopped("b");
        assert_eq!(play.under_way(), ["a-undo"]);
        play.cancel().succeeds("a-undo");
        assert_eq!(
            play.ended(),
            (Cancelled, vec![StepStatus::Undone, StepStatus::Skipped, StepStatus::Skipped])
        );
        assert_eq!((play.code(1), play.code(2)), (Some("cancelled"), Some("cancelled")));
    }

    #[test]
    fn what_may_have_acted_ends_as_it_does() {
        let ends: [(CallEnd<Json>, RunStatus); 3] = [
            (CallEnd::Succeeded(Json::NULL), Succeeded),
            (CallEnd::Failed(failure(Client)), Failed),
            (CallEnd::Unknown(failure(Ambiguous)), Unknown),
        ];
        for (end, status) in ends {
            let mut play = Play::of(vec![step("charge")]);
            play.cancel().ends("charge", end);
            assert_eq!(play.ended().0, status);
        }
        let mut play = Play::of(vec![step("charge").undone()]);
        play.cancel().succeeds("charge").succeeds("charge-undo");
        assert_eq!(play.ended(), (Cancelled, vec![StepStatus::Undone]));
    }

    #[test]
    fn doubt_ends_unknown() {
        let mut play = Play::of(vec![step("a").undone(), step("b")]);
        play.succeeds("a").cancel().is_in_doubt("b").succeeds("a-undo");
        assert_eq!(play.ended(), (Unknown, vec![StepStatus::Undone, StepStatus::Unknown]));
    }

    #[test]
    fn nothing_stands_in_and_no_other_is_asked_for_a_caller_that_has_left() {
        let mut play = Play::of(vec![read("rate").or("other").value("1")]);
        play.cancel().fails("rate", Transient);
        assert_eq!(play.ended(), (Failed, vec![StepStatus::Failed]));
        assert_eq!(play.called, ["rate"]);
    }
}

mod deadline {
    use super::*;

    #[test]
    fn with_only_optional_steps_open_the_run_is_over_and_partial() {
        let mut play =
            Play::of(vec![step("charge"), step("mail").optional(), step("push").optional().after(&[1])]);
        play.succeeds("charge").pass(DEADLINE).is_overdue("mail");
        assert!(play.pending.is_none());
        let statuses = vec![StepStatus::Succeeded, StepStatus::Unknown, StepStatus::Skipped];
        assert_eq!(play.ended(), (Partial, statuses));
        assert_eq!((play.code(1), play.code(2)), (Some("deadline_exceeded"), Some("deadline_exceeded")));
        assert_eq!(play.outcome().steps[1].attempts, 1);
        assert_eq!(play.outcome().result.as_str(), r#"{"charge":"of charge"}"#);
        assert!(!play.run.is_done(), "it is kept until the attempt has come home");
        play.succeeds("mail");
        assert!(play.run.is_done());
    }

    #[test]
    fn the_answer_waits_until_each_open_call_has_said_how_it_stands() {
        let mut play = Play::of(vec![step("charge"), read("rate"), step("mail").optional()]);
        play.pass(DEADLINE).is_overdue("charge").is_overdue("mail");
        assert!(play.pending.is_none());
        play.fails("rate", Deadline);
        assert!(play.pending.is_some() && play.outcome.is_none());
        assert_eq!(play.stopped, [0, 2]);
        play.succeeds("charge").succeeds("mail");
        let statuses = vec![StepStatus::Succeeded, StepStatus::Failed, StepStatus::Succeeded];
        assert_eq!(play.ended(), (Failed, statuses));
    }

    #[test]
    fn what_has_not_started_by_then_does_not_start_and_what_is_done_is_undone() {
        let mut play = Play::of(vec![
            step("charge").undone(),
            step("ship").after(&[0]),
            step("mail").optional().after(&[0]),
        ]);
        play.pass(DEADLINE).is_overdue("charge");
        assert!(play.pending.is_some());
        play.succeeds("charge");
        assert_eq!(play.under_way(), ["charge-undo"]);
        assert_eq!(
            play.open[0].deadline,
            Mono::ZERO + DEADLINE + DEADLINE,
            "an undo has a deadline of its own"
        );
        play.succeeds("charge-undo");
        assert_eq!(
            play.ended(),
            (Failed, vec![StepStatus::Undone, StepStatus::Skipped, StepStatus::Skipped])
        );
        assert_eq!(play.outcome().error.as_ref().unwrap().class, Deadline);
    }

    #[test]
    fn a_required_step_behind_an_optional_one_that_is_out_fails_the_run() {
        let mut play = Play::of(vec![step("mail").optional(), step("ship").after(&[0])]);
        play.pass(DEADLINE).is_overdue("mail");
        assert!(play.pending.is_some());
        play.succeeds("mail");
        assert_eq!(play.ended(), (Failed, vec![StepStatus::Succeeded, StepStatus::Skipped]));
    }

    #[test]
    fn a_caller_is_answered_at_the_deadline_though_undo_still_runs() {
        let mut play = Play::of(vec![step("charge").undone(), step("ship").after(&[0])]);
        play.pass(7 * SECOND).succeeds("charge").fails("ship", Client);
        assert_eq!(play.run.next_deadline(), Some(Mono::ZERO + DEADLINE));
        play.pass(SECOND / 2);
        assert!(play.pending.is_none());
        play.pass(SECOND / 2);
        assert!(play.pending.is_some());
        play.is_overdue("charge-undo").succeeds("charge-undo");
        assert_eq!(play.ended().0, Failed);
    }

    #[test]
    fn patience_bounds_the_answer_and_not_the_run() {
        let steps = || vec![step("charge"), step("ship").after(&[0])];
        let mut play = Play::begin(plan(steps(), None), None, Some(2 * SECOND));
        play.pass(SECOND).succeeds("charge").pass(SECOND);
        let accepted = play.accepted.as_ref().unwrap();
        assert_eq!(accepted.status, RunStatus::Running);
        assert_eq!(accepted.steps[0].status, StepStatus::Succeeded);
        assert!(play.run.is_promised());
        play.pass(6 * SECOND).is_overdue("ship");
        assert!(play.pending.is_none(), "it has been answered");
        assert_eq!(play.succeeds("ship").outcome().status, Succeeded);

        let mut play = Play::begin(plan(steps(), None), None, Some(20 * SECOND));
        play.succeeds("charge").succeeds("ship").pass(DEADLINE);
        assert!(play.accepted.is_none() && play.outcome.is_some() && !play.run.is_promised());
    }
}

mod alternates {
    use super::*;

    #[test]
    fn are_asked_in_order_where_the_first_was_not_reached_or_had_no_room() {
        for class in [BreakerOpen, Throttled, Overloaded, Transient] {
            let mut play = Play::of(vec![step("stripe").or("adyen").or("mollie")]);
            play.fails("stripe", class).fails("adyen", class);
            assert_eq!(play.open[0].role, Role::Alternate(1));
            play.succeeds("mollie");
            let outcome = play.outcome();
            assert_eq!((outcome.status, outcome.degraded), (Succeeded, true));
            let step = &outcome.steps[0];
            assert_eq!((step.served_by, step.integration.as_str()), (Some(ServedBy::Alternate), "mollie"));
            assert_eq!((step.attempts, &step.error), (3, &None));
        }
    }

    #[test]
    fn are_not_asked_otherwise() {
        for class in [RateLimited, Client, Deadline, InvalidResponse, Credential, Internal] {
            let mut play = Play::of(vec![step("stripe").or("adyen")]);
            play.fails("stripe", class);
            assert_eq!((play.ended().0, &play.called[..]), (Failed, &["stripe".to_owned()][..]), "{class:?}");
        }
    }

    #[test]
    fn are_not_asked_in_doubt() {
        let mut play = Play::of(vec![step("stripe").or("adyen").value("1")]);
        play.is_in_doubt("stripe");
        assert_eq!((play.ended().0, play.called.len()), (Unknown, 1));
        let mut play = Play::of(vec![step("stripe").or("adyen").or("mollie").value("1")]);
        play.fails("stripe", BreakerOpen).is_in_doubt("adyen");
        assert_eq!((play.ended().0, play.called.len()), (Unknown, 2));
    }

    #[test]
    fn are_not_asked_when_the_time_is_up() {
        let mut play = Play::of(vec![step("stripe").or("adyen")]);
        play.pass(DEADLINE).fails("stripe", Overloaded);
        assert_eq!((play.ended().0, play.called.len()), (Failed, 1));
    }

    #[test]
    fn bring_an_input_and_an_undo_of_their_own() {
        let mut charge = step("stripe").undone().or("adyen").input("{ primary: .input.amount }");
        charge.alternates[0].input = Some(Program::compile(Kind::Step, "{ other: .input.amount }").unwrap());
        let mut play = Play::of(vec![charge, step("ship").after(&[0])]);
        assert_eq!(play.open[0].input.as_str(), r#"{"primary":100}"#);
        play.fails("stripe", BreakerOpen);
        assert_eq!(play.open[0].input.as_str(), r#"{"other":100}"#);
        play.succeeds("adyen").fails("ship", Client).succeeds("adyen-undo");
        assert_eq!(play.called, ["stripe", "adyen", "ship", "adyen-undo"]);
        assert_eq!(play.ended(), (Failed, vec![StepStatus::Undone, StepStatus::Failed]));
    }
}

mod fallback {
    use super::*;
    use crate::stale::StaleResults;

    fn after(success_at: Duration, steps: Vec<StepPlan>) -> Play {
        let plan = plan(steps, None);
        let mut first = Play::begin(Arc::clone(&plan), None, None);
        let kept = std::mem::take(&mut first.succeeds("rate").kept);
        Play::with(plan, None, None, kept, Now::default().after(success_at))
    }

    fn rate() -> StepPlan {
        read("rate").stale(10 * SECOND).value("{\"rate\":1}")
    }

    #[test]
    fn the_last_good_result_then_the_value_stand_in() {
        for class in [Transient, RateLimited, BreakerOpen, Throttled, Overloaded, Deadline, InvalidResponse] {
            let mut play = after(10 * SECOND, vec![rate()]);
            play.fails("rate", class);
            let outcome = play.outcome();
            assert_eq!((outcome.status, outcome.degraded), (Succeeded, true), "{class:?}");
            assert_eq!(
                (outcome.result.as_str(), outcome.steps[0].served_by),
                ("\"of rate\"", Some(ServedBy::Stale))
            );

            let mut play = after(11 * SECOND, vec![rate()]);
            play.fails("rate", class);
            let outcome = play.outcome();
            assert_eq!((outcome.status, outcome.degraded), (Succeeded, true), "{class:?}");
            let by = outcome.steps[0].served_by;
            assert_eq!((outcome.result.as_str(), by), ("{\"rate\":1}", Some(ServedBy::Value)));
        }
    }

    #[test]
    fn what_says_that_the_request_is_wrong_is_not_stood_in_for() {
        for class in [Client, Credential, Internal] {
            let mut play = after(SECOND, vec![rate()]);
            play.fails("rate", class);
            assert_eq!(play.ended(), (Failed, vec![StepStatus::Failed]), "{class:?}");
        }
    }

    #[test]
    fn a_value_stands_in_for_a_call_that_may_act_only_where_it_has_not() {
        for (class, status) in [(Transient, Succeeded), (InvalidResponse, Failed)] {
            let mut play = Play::of(vec![step("mail").value("null").undone()]);
            play.fails("mail", class);
            assert_eq!(play.ended().0, status, "{class:?}");
            let done = class == InvalidResponse;
            assert_eq!(play.outcome().has_lasting_effects(), done, "an answer nobody can read is one");
        }
    }

    #[test]
    fn alternates_come_before_it_and_their_results_are_kept_too() {
        let steps = || vec![read("rate").or("other").stale(10 * SECOND)];
        let mut play = after(SECOND, steps());
        play.fails("rate", BreakerOpen).fails("other", BreakerOpen);
        assert_eq!(play.outcome().steps[0].integration.as_str(), "rate");
        assert_eq!(play.outcome().steps[0].served_by, Some(ServedBy::Stale));

        let mut play = Play::of(steps());
        let kept = std::mem::take(&mut play.fails("rate", BreakerOpen).succeeds("other").kept);
        let mut play = Play::with(plan(steps(), None), None, None, kept, Now::default());
        play.fails("rate", BreakerOpen).fails("other", BreakerOpen);
        let step = &play.outcome().steps[0];
        assert_eq!((step.served_by, step.integration.as_str()), (Some(ServedBy::Stale), "other"));
        assert_eq!(play.outcome().result.as_str(), "\"of other\"");
    }

    #[test]
    fn without_either_the_step_fails_with_what_the_provider_said() {
        let mut play = Play::of(vec![read("rate").stale(SECOND)]);
        play.fails("rate", BreakerOpen);
        assert_eq!((play.ended().0, play.code(0)), (Failed, Some("breaker_open")));
    }

    #[test]
    fn what_stood_in_is_neither_kept_nor_undone() {
        let mut rate = rate();
        rate.primary.undo = step("rate").undone().primary.undo;
        let mut play = Play::of(vec![rate, step("ship").after(&[0])]);
        play.fails("rate", Transient).fails("ship", Client);
        assert_eq!(play.ended(), (Failed, vec![StepStatus::Succeeded, StepStatus::Failed]));
        let nothing = format!("{:?}", StaleResults::default());
        assert_eq!(format!("{:?}", play.kept), nothing);
    }

    #[test]
    fn it_stands_in_at_the_deadline_too() {
        let mut play = after(SECOND, vec![rate()]);
        play.pass(DEADLINE).fails("rate", Deadline);
        assert_eq!(play.outcome().steps[0].served_by, Some(ServedBy::Stale));
    }
}

use crate::mapping::{Kind, Program};
