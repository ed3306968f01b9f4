//! Doubt about a call whose provider can be asked whether it has acted.
//!
//! A call that ends in doubt is *looked* up with the query that its endpoint names. *Found* is definite: the step has
//! succeeded with what was found. *Absent* may only mean that the provider has not come round to it yet, so it counts
//! when two looks agree, the second at least `settle` after the last attempt in doubt; then nothing was done, and the
//! call is made once more, the same bytes and the same key. A look that tells nothing leaves the step in doubt.
//!
//! Where `always` is set, the provider is asked before the first request too: what is there already is not done again.
//!
//! Looking only reads, so it goes on when the run has stopped; sending does not.

use std::time::Duration;

use super::{
    CallEnd, Directive, ErrorClass, Failure, Json, Mono, Now, Open, Order, Role, Run, ServedBy, StepPlan,
    StepStatus, Stop, Verify,
};
use crate::idempotency::{Resend, outward_key};
use crate::mapping::{Input, Vars};

/// How often a call is made again because it was found absent.
pub(super) const MAX_ROUNDS: u8 = 3;

/// What is known of a step whose call is in doubt.
#[derive(Clone, Debug)]
pub(super) struct InDoubt {
    /// What put it in doubt; `None`: nothing was sent yet, and it is only made sure that nothing is there.
    pub(super) failure: Option<Failure>,
    /// When the last attempt in doubt ended.
    since: Mono,
    /// One look has found nothing.
    absent: bool,
    /// When the next look is due.
    pub(super) until: Mono,
}

impl InDoubt {
    /// Since now, as far as is known.
    pub(super) const fn of(failure: Failure, now: Mono) -> Self {
        Self::since(failure, now, now)
    }

    /// Since then.
    pub(super) const fn since(failure: Failure, since: Mono, now: Mono) -> Self {
        Self { failure: Some(failure), since, absent: false, until: now }
    }
}

impl Run {
    /// How the provider that a step was asked of last can be asked whether it has acted.
    pub(super) fn verify(&self, step: usize) -> Option<&Verify> {
        let provider = self.steps.get(step).map(|state| state.provider);
        provider.and_then(|number| self.plan.steps.get(step)?.provider(number)?.call.verify.as_deref())
    }

    /// Whether the provider is to be asked before anything is sent.
    pub(super) fn looks_first(&self, step: usize) -> bool {
        self.verify(step).is_some_and(|verify| verify.always)
    }

    /// Looks before the first request.
    pub(super) fn look_first(&mut self, now: Now, step: usize) {
        self.put_in_doubt(step, InDoubt { failure: None, since: now.mono, absent: false, until: now.mono });
        self.look(now, step);
    }

    /// Takes a doubt up, if the provider can be asked; gives it back otherwise.
    pub(super) fn settle_doubt(&mut self, now: Now, step: usize, failure: Failure) -> Option<Failure> {
        if self.verify(step).is_none() {
            return Some(failure);
        }
        let failure = Some(failure);
        self.put_in_doubt(step, InDoubt { failure, since: now.mono, absent: false, until: now.mono });
        self.look(now, step);
        None
    }

    fn put_in_doubt(&mut self, step: usize, doubt: InDoubt) {
        if let Some(state) = self.steps.get_mut(step) {
            state.doubt = Some(doubt);
        }
    }

    pub(super) fn look(&mut self, now: Now, step: usize) {
        let input = match self.look_input(step) {
            Ok(input) => input,
            Err(failure) => return self.tells_nothing(now, step, &failure),
        };
        let Some(state) = self.steps.get_mut(step) else { return };
        state.open = Some(Open::Looking);
        // It has as long as a run has: the caller is told meanwhile.
        let deadline = now.mono + self.plan.deadline;
        let order = Order { step, role: Role::Verify, input, deadline, in_doubt_for: None };
        self.directives.push_back(Directive::Execute(order));
    }

    fn look_input(&self, step: usize) -> Result<Json, Failure> {
        let number = self.steps.get(step).map_or(0, |state| state.provider);
        let input = self.step_input(step, number)?;
        let plan = self.plan.steps.get(step);
        let Some(program) = self.verify(step).and_then(|verify| verify.input.as_ref()) else {
            return Ok(input);
        };
        let resend = plan.and_then(|plan| Some(plan.provider(number)?.call.resend));
        let keyed = matches!(resend, Some(Resend::Key { .. }));
        let key =
            plan.filter(|_| keyed).map(|plan| outward_key(&self.id, &plan.name, StepPlan::role(number)));
        let mapped = Input::json(&input)
            .and_then(|input| program.value(&input, &Vars::request(&self.view(), key.as_deref())));
        mapped.map_err(|error| {
            let message = format!("mapping the input of its verification: {error}");
            Failure::new(ErrorClass::Internal, "input_mapping_failed", message)
        })
    }

    /// Takes the end of a look.
    pub(super) fn looked(&mut self, now: Now, step: usize, end: CallEnd<Json>) {
        let answer = match end {
            CallEnd::Succeeded(answer) => answer,
            // A resource of its own that is not there is absent, whatever the body says.
            CallEnd::Failed(failure) if matches!(failure.provider_status, Some(404 | 410)) => {
                let status = failure.provider_status;
                Json::of(&serde_json::json!({ "status": status, "headers": {}, "body": null }))
            }
            CallEnd::Failed(failure) | CallEnd::Unknown(failure) => {
                return self.tells_nothing(now, step, &failure);
            }
            CallEnd::Cancelled => return self.tells_nothing(now, step, &super::cancelled()),
        };
        let verdict = Input::json(&answer).and_then(|input| {
            let Some(verify) = self.verify(step) else { return Ok(None) };
            if !verify.found.truth(&input)? {
                return Ok(None);
            }
            verify.result.value(&input, &Vars::default()).map(Some)
        });
        match verdict {
            Ok(Some(result)) => self.is_found(now, step, result),
            Ok(None) => self.is_absent(now, step),
            Err(error) => {
                let message = format!("reading the answer to its verification: {error}");
                let failure = Failure::new(ErrorClass::InvalidResponse, "verification_unreadable", message);
                self.tells_nothing(now, step, &failure);
            }
        }
    }

    fn is_found(&mut self, now: Now, step: usize, result: Json) {
        let Some(state) = self.steps.get_mut(step) else { return };
        (state.doubt, state.open) = (None, None);
        let by = if state.provider == 0 { ServedBy::Primary } else { ServedBy::Alternate };
        // It is there, whoever has put it there.
        state.sent = true;
        self.succeed(now, step, result, by);
    }

    fn is_absent(&mut self, now: Now, step: usize) {
        let settle = self.verify(step).map_or(Duration::ZERO, |verify| verify.settle);
        let Some(state) = self.steps.get_mut(step) else { return };
        state.open = None;
        let Some(doubt) = &mut state.doubt else { return };
        if doubt.failure.is_none() {
            state.doubt = None;
            return self.send(now, step);
        }
        let settled = doubt.since + settle;
        if doubt.absent && now.mono >= settled {
            return self.was_not_done(now, step);
        }
        doubt.absent = true;
        doubt.until = settled.max(now.mono);
        state.open = Some(Open::Settling);
        self.look_again(now);
    }

    /// Nothing was done: the call is made again, unless the run has stopped or it was made often enough.
    fn was_not_done(&mut self, now: Now, step: usize) {
        let Some(state) = self.steps.get_mut(step) else { return };
        let failure = state.doubt.take().and_then(|doubt| doubt.failure);
        state.rounds = state.rounds.saturating_add(1);
        if self.stop.is_none() && state.rounds <= MAX_ROUNDS {
            return self.send(now, step);
        }
        let message = match failure {
            Some(failure) => format!("{}; the provider says that it was not done", failure.message),
            None => "the provider says that it was not done".to_owned(),
        };
        let failure = Failure::new(ErrorClass::Transient, "verified_absent", message);
        self.served(now, step, CallEnd::Failed(failure));
    }

    /// Looks again where it is time to.
    pub(super) fn look_again(&mut self, now: Now) {
        for step in 0..self.steps.len() {
            let due = self.steps.get(step).is_some_and(|state| {
                state.open == Some(Open::Settling)
                    && state.doubt.as_ref().is_some_and(|doubt| doubt.until <= now.mono)
            });
            if due {
                self.look(now, step);
            }
        }
    }

    /// The provider could not be asked, or its answer means nothing.
    fn tells_nothing(&mut self, now: Now, step: usize, why: &Failure) {
        let Some(state) = self.steps.get_mut(step) else { return };
        state.open = None;
        state.left_alone =
            matches!(why.class, ErrorClass::BreakerOpen | ErrorClass::Throttled | ErrorClass::Overloaded);
        match state.doubt.take().and_then(|doubt| doubt.failure) {
            Some(failure) => {
                let message = format!("{}; then it could not be verified: {}", failure.message, why.message);
                self.stays_in_doubt(now, step, Failure { message: message.into(), ..failure });
            }
            // Nothing was sent.
            None => self.served(now, step, CallEnd::Failed(why.clone())),
        }
    }

    /// Ends a step in doubt.
    pub(super) fn stays_in_doubt(&mut self, now: Now, step: usize, failure: Failure) {
        self.end(now, step, StepStatus::Unknown, failure);
        if self.is_required(step) {
            self.stop(now, Stop::Doubt(step));
        }
    }

    /// When the next look is due.
    pub(super) fn next_look(&self) -> Option<Mono> {
        let settling = self.steps.iter().filter(|state| state.open == Some(Open::Settling));
        settling.filter_map(|state| state.doubt.as_ref()).map(|doubt| doubt.until).min()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::*;
    use super::super::{Outcome, RunStatus, Tries};
    use super::*;
    use crate::mapping::{Kind, Program};
    use crate::name::{CorrelationId, RunId};
    use crate::operation::Begin;

    const SETTLE: Duration = Duration::from_secs(30);

    fn program(text: &str) -> Program {
        Program::compile(Kind::Response, text).unwrap()
    }

    fn verified(always: bool) -> StepPlan {
        let mut step = step("a");
        let verify = Verify {
            call: read("query").primary.call,
            input: Some(Program::compile(Kind::Request, "$run.id").unwrap()),
            found: program(".body.data != null"),
            result: program(".body.data"),
            always,
            settle: SETTLE,
            reconcile_after: Vec::new(),
        };
        step.primary.call.verify = Some(Arc::new(verify));
        step
    }

    struct Played {
        run: Run,
        now: Now,
    }

    impl Played {
        fn begin(always: bool) -> Self {
            let now = Now::default();
            let begin = Begin {
                id: RunId::new("run_1"),
                correlation_id: CorrelationId::new("c").unwrap(),
                plan: plan(vec![verified(always)], None),
                input: Json::of(&"input"),
                budget: None,
                wait: None,
            };
            Self { run: Run::begin(begin, now), now }
        }

        /// What is asked for next: of whom.
        fn asks(&mut self) -> Option<String> {
            loop {
                match self.run.poll()? {
                    Directive::Execute(order) => {
                        if order.role == Role::Verify {
                            assert_eq!(order.input.as_str(), "\"run_1\"");
                        }
                        return Some(self.run.target(order.step).unwrap().integration.to_string());
                    }
                    Directive::Pending(_) => {}
                    Directive::Finish(_)
                    | Directive::Accepted(_)
                    | Directive::Cancel(_)
                    | Directive::Keep { .. }
                    | Directive::Recall { .. }
                    | Directive::Spawn { .. } => return None,
                }
            }
        }

        fn is_answered(&mut self, end: CallEnd<Json>) {
            self.run.call_ended(self.now, 0, end, Tries { made: 1, sent: true, trial: false });
        }

        fn is_in_doubt(&mut self) {
            let failure = Failure::new(ErrorClass::Ambiguous, "reset", "it broke");
            self.is_answered(CallEnd::Unknown(failure));
        }

        fn query_says(&mut self, body: &str) {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            self.is_answered(CallEnd::Succeeded(Json::of(
                &serde_json::json!({ "status": 200, "headers": {}, "body": body }),
            )));
        }

        fn passes(&mut self, span: Duration) {
            self.now.mono = self.now.mono + span;
            self.run.advance(self.now);
        }

        fn end(&mut self) -> Outcome {
            loop {
                if let Directive::Finish(outcome) = self.run.poll().expect("an end") {
                    return *outcome;
                }
            }
        }
    }

    #[test]
    fn found_is_definite() {
        let mut played = Played::begin(false);
        assert_eq!(played.asks().unwrap(), "a");
        played.is_in_doubt();
        assert_eq!(played.asks().unwrap(), "query");
        played.query_says(r#"{"data":{"id":1}}"#);
        let outcome = played.end();
        assert_eq!((outcome.status, outcome.result.as_str()), (RunStatus::Succeeded, r#"{"id":1}"#));
        assert_eq!(outcome.steps[0].attempts, 1, "a look is no attempt");
    }

    #[test]
    fn absent_counts_when_two_looks_agree_and_the_second_is_late_enough() {
        let mut played = Played::begin(false);
        played.asks();
        played.is_in_doubt();
        played.asks();
        played.query_says("{}");
        assert_eq!(played.asks(), None);
        assert_eq!(played.run.next_deadline(), Some(Mono::ZERO + SETTLE));
        played.passes(SETTLE - Duration::from_millis(1));
        assert_eq!(played.asks(), None);
        played.passes(Duration::from_millis(1));
        assert_eq!(played.asks().unwrap(), "query");
        played.query_says("{}");
        assert_eq!(played.asks().unwrap(), "a", "it was not done: it is made again");
        played.is_answered(CallEnd::Succeeded(Json::of(&"done")));
        assert_eq!(played.end().status, RunStatus::Succeeded);
    }

    #[test]
    fn what_appears_meanwhile_is_found() {
        let mut played = Played::begin(false);
        played.asks();
        played.is_in_doubt();
        played.asks();
        played.query_says("{}");
        played.passes(SETTLE);
        played.asks();
        played.query_says(r#"{"data":7}"#);
        assert_eq!(played.end().status, RunStatus::Succeeded);
    }

    #[test]
    fn a_look_that_tells_nothing_leaves_the_doubt() {
        for end in [
            CallEnd::Failed(Failure::new(ErrorClass::Transient, "refused", "no query")),
            CallEnd::Succeeded(Json::of(&serde_json::json!({ "status": 200, "body": 1 }))),
        ] {
            let mut played = Played::begin(false);
            played.asks();
            played.is_in_doubt();
            played.asks();
            played.is_answered(end);
            let outcome = played.end();
            assert_eq!(outcome.status, RunStatus::Unknown);
            assert!(outcome.error.unwrap().message.contains("could not be verified"));
        }
    }

    #[test]
    fn a_404_is_absent() {
        let mut played = Played::begin(true);
        assert_eq!(played.asks().unwrap(), "query");
        played.is_answered(CallEnd::Failed(Failure::new(ErrorClass::Client, "c", "m").status(Some(404))));
        assert_eq!(played.asks().unwrap(), "a");
    }

    #[test]
    fn where_it_is_always_asked_what_is_there_is_not_done_again() {
        let mut played = Played::begin(true);
        assert_eq!(played.asks().unwrap(), "query");
        played.query_says(r#"{"data":"there"}"#);
        assert_eq!(played.end().result.as_str(), "\"there\"");

        let mut played = Played::begin(true);
        played.asks();
        played.query_says("{}");
        assert_eq!(played.asks().unwrap(), "a", "one look is enough before anything was sent");

        let mut played = Played::begin(true);
        played.asks();
        played.is_answered(CallEnd::Failed(Failure::new(ErrorClass::Client, "c", "m").status(Some(403))));
        let outcome = played.end();
        assert_eq!(outcome.status, RunStatus::Failed, "nothing was sent");
    }

    #[test]
    fn it_is_not_made_again_for_ever() {
        let mut played = Played::begin(false);
        for _ in 0..=MAX_ROUNDS {
            assert_eq!(played.asks().unwrap(), "a");
            played.is_in_doubt();
            played.asks();
            played.query_says("{}");
            played.passes(SETTLE);
            played.asks();
            played.query_says("{}");
        }
        let outcome = played.end();
        assert_eq!(outcome.status, RunStatus::Failed, "it is known that it was not done");
        assert_eq!(outcome.error.unwrap().code, "verified_absent");
    }

    #[test]
    fn a_cancelled_run_stays_in_doubt() {
        let mut played = Played::begin(false);
        played.asks();
        played.is_in_doubt();
        played.asks();
        played.query_says("{}");
        played.run.cancel(played.now);
        assert_eq!(played.end().status, RunStatus::Unknown);
    }

    #[test]
    fn a_wait_that_cannot_fit_the_deadline_is_told_at_once() {
        let mut played = Played::begin(false);
        played.asks();
        played.is_in_doubt();
        played.asks();
        assert!(played.run.plan().deadline < SETTLE);
        played.query_says("{}");
        assert!(matches!(played.run.poll(), Some(Directive::Pending(_))));
    }
}
