//! Forward: which steps start, whom they ask, and what stands in.

use super::{
    CallEnd, Directive, ErrorClass, Failure, Json, Now, Open, Order, Run, ServedBy, StepPlan, StepStatus,
    Stop, cancelled, deadline_exceeded,
};
use crate::classify::Safety;
use crate::mapping::{Input, Vars};
use crate::stale::StaleKey;

impl Run {
    /// Starts what waits for nothing any more. What can no longer be in time is skipped, which may make others ready.
    pub(super) fn start_ready(&mut self, now: Now) {
        while self.stop.is_none()
            && let Some(step) = (0..self.steps.len()).find(|step| self.is_ready(*step))
        {
            if self.is_late(now) {
                self.fail(now, step, deadline_exceeded());
            } else if self.plan.steps.get(step).is_some_and(|plan| plan.background) {
                self.leave(now, step);
            } else {
                self.ask(now, step, 0);
            }
        }
    }

    fn is_ready(&self, step: usize) -> bool {
        let waits = |state: &super::Step| state.status == StepStatus::Pending;
        let Some(plan) = self.plan.steps.get(step).filter(|_| self.steps.get(step).is_some_and(waits)) else {
            return false;
        };
        plan.after.is_empty() || plan.after.iter().all(|earlier| self.lets_start(earlier))
    }

    /// Whether what waits for a step need not wait any more.
    fn lets_start(&self, step: usize) -> bool {
        let optional = self.plan.steps.get(step).is_some_and(|plan| !plan.required);
        self.steps.get(step).is_some_and(|state| {
            matches!(state.status, StepStatus::Succeeded | StepStatus::Accepted)
                || (optional && state.has_ended())
        })
    }

    /// Whether the deadline has passed; a call that says so is believed.
    pub(super) fn is_late(&self, now: Now) -> bool {
        now.mono >= self.deadline || self.steps.iter().any(|state| state.open == Some(Open::Overdue))
    }

    /// Leaves a step to a run of its own.
    fn leave(&mut self, now: Now, step: usize) {
        match self.step_input(step, 0) {
            Ok(input) => {
                self.directives.push_back(Directive::Spawn { step, input });
                if let Some(state) = self.steps.get_mut(step) {
                    state.status = StepStatus::Running;
                    state.began = Some(now.mono);
                    state.open = Some(Open::Leaving);
                }
            }
            Err(failure) => self.fail(now, step, failure),
        }
    }

    /// Asks a provider of the step.
    fn ask(&mut self, now: Now, step: usize, number: usize) {
        if let Some(state) = self.steps.get_mut(step) {
            state.provider = number;
        }
        if self.looks_first(step) {
            self.starts(now, step);
            return self.look_first(now, step);
        }
        self.send(now, step);
    }

    /// Makes the call that serves the step.
    pub(super) fn send(&mut self, now: Now, step: usize) {
        let number = self.steps.get(step).map_or(0, |state| state.provider);
        let input = match self.step_input(step, number) {
            Ok(input) => input,
            Err(failure) => return self.fail(now, step, failure),
        };
        let plan = self.plan.steps.get(step);
        let (Some(state), Some(plan)) = (self.steps.get_mut(step), plan) else { return };
        if plan.fallback.stale.is_some()
            && let Some(provider) = plan.provider(number)
        {
            state.keys.push((number, StaleKey::of(&self.plan.operation, &provider.call, &input)));
        }
        state.open = Some(Open::Serving);
        self.starts(now, step);
        let role = StepPlan::role(number);
        let order = Order { step, role, input, deadline: self.deadline, in_doubt_for: None };
        self.directives.push_back(Directive::Execute(order));
    }

    fn starts(&mut self, now: Now, step: usize) {
        if let Some(state) = self.steps.get_mut(step) {
            state.status = StepStatus::Running;
            state.began.get_or_insert(now.mono);
        }
    }

    pub(super) fn step_input(&self, step: usize, number: usize) -> Result<Json, Failure> {
        let plan = self.plan.steps.get(step);
        let Some((plan, program)) = plan.and_then(|plan| Some((plan, plan.input_of(number)?))) else {
            return Ok(self.input.clone());
        };
        let input = Input::step(&self.input, &self.view(), &self.known());
        program.value(&input, &Vars::default()).map_err(|error| {
            let message = format!("mapping the input of step `{}`: {error}", plan.name);
            Failure::new(ErrorClass::Internal, "input_mapping_failed", message)
        })
    }

    /// Takes the end of a provider's call.
    pub(super) fn served(&mut self, now: Now, step: usize, end: CallEnd<Json>) {
        match end {
            CallEnd::Succeeded(result) => self.keep_and_succeed(now, step, result),
            CallEnd::Failed(failure) => self.not_served(now, step, failure),
            CallEnd::Unknown(failure) => {
                if let Some(failure) = self.settle_doubt(now, step, failure) {
                    self.stays_in_doubt(now, step, failure);
                }
            }
            CallEnd::Cancelled => {
                let failure = self.why_skipped().unwrap_or_else(cancelled);
                self.end(now, step, StepStatus::Skipped, failure);
                // Nobody stops a call but its run; should one be stopped all the same, so is the run.
                if self.stop.is_none() {
                    self.stop(now, Stop::Cancelled);
                }
            }
        }
    }

    fn keep_and_succeed(&mut self, now: Now, step: usize, result: Json) {
        let Some(state) = self.steps.get(step) else { return };
        let by = if state.provider == 0 { ServedBy::Primary } else { ServedBy::Alternate };
        if let Some((_, key)) = state.keys.last() {
            self.directives.push_back(Directive::Keep { key: *key, result: result.clone() });
        }
        self.succeed(now, step, result, by);
    }

    pub(super) fn succeed(&mut self, now: Now, step: usize, result: Json, by: ServedBy) {
        if let Some(state) = self.steps.get_mut(step) {
            state.result = Some(result);
            state.served_by = Some(by);
            state.end(now.mono, StepStatus::Succeeded, None);
            self.succeeded.push(step);
        }
    }

    /// A provider could not serve, and nothing is in doubt: another is asked, or something stands in, or the step fails.
    fn not_served(&mut self, now: Now, step: usize, failure: Failure) {
        let late = self.is_late(now);
        let plan = self.plan.steps.get(step);
        let (Some(state), Some(plan)) = (self.steps.get_mut(step), plan) else { return };
        if self.stop.is_some() {
            return self.fail(now, step, failure);
        }
        let next = state.provider + 1;
        if another_may_help(failure.class) && !late && plan.provider(next).is_some() {
            return self.ask(now, step, next);
        }
        let safety =
            plan.provider(state.provider).map_or(Safety::Mutating, |provider| provider.call.safety());
        if !may_be_stood_in_for(failure.class, safety) {
            return self.fail(now, step, failure);
        }
        state.error = Some(failure);
        self.fall_back(now, step, 0);
    }

    /// Looks for the result kept under the n-th key; where there is no such key, the value stands in.
    fn fall_back(&mut self, now: Now, step: usize, nth: usize) {
        let plan = self.plan.steps.get(step);
        let (Some(state), Some(plan)) = (self.steps.get_mut(step), plan) else { return };
        if let (Some(within), Some((_, key))) = (plan.fallback.stale, state.keys.get(nth)) {
            state.open = Some(Open::Recalling(nth));
            return self.directives.push_back(Directive::Recall { step, key: *key, within });
        }
        if let Some(value) = &plan.fallback.value {
            state.provider = 0;
            let value = value.clone();
            return self.succeed(now, step, value, ServedBy::Value);
        }
        if let Some(failure) = state.error.take() {
            self.fail(now, step, failure);
        }
    }

    pub(super) fn take_recalled(&mut self, now: Now, step: usize, nth: usize, found: Option<Json>) {
        let Some(state) = self.steps.get_mut(step) else { return };
        state.open = None;
        match (found, state.keys.get(nth)) {
            (Some(result), Some((provider, _))) => {
                state.provider = *provider;
                self.succeed(now, step, result, ServedBy::Stale);
            }
            _ => self.fall_back(now, step, nth + 1),
        }
    }

    /// Ends a step that has no result, and nothing in doubt. One that has never been asked for is skipped.
    pub(super) fn fail(&mut self, now: Now, step: usize, failure: Failure) {
        let asked = self.steps.get(step).is_some_and(|state| state.began.is_some());
        self.end(now, step, if asked { StepStatus::Failed } else { StepStatus::Skipped }, failure);
        if self.is_required(step) {
            self.stop(now, Stop::Failed(step));
        }
    }

    pub(super) fn end(&mut self, now: Now, step: usize, status: StepStatus, failure: Failure) {
        if let Some(state) = self.steps.get_mut(step) {
            state.end(now.mono, status, Some(failure));
        }
    }

    pub(super) fn is_required(&self, step: usize) -> bool {
        self.plan.steps.get(step).is_none_or(|plan| plan.required)
    }
}

/// Whether another provider may serve where one has ended so: it was not reached, or had no room. What it has refused,
/// another would refuse too; what it has asked for patience about is its own answer.
const fn another_may_help(class: ErrorClass) -> bool {
    match class {
        ErrorClass::Transient | ErrorClass::BreakerOpen | ErrorClass::Throttled | ErrorClass::Overloaded => {
            true
        }
        ErrorClass::RateLimited
        | ErrorClass::Client
        | ErrorClass::Ambiguous
        | ErrorClass::Deadline
        | ErrorClass::InvalidResponse
        | ErrorClass::Credential
        | ErrorClass::Internal => false,
    }
}

/// Whether something may stand in for a provider that has ended so: it is the provider that failed, and not the
/// request, our configuration or our right to ask; and what has acted and was not understood is not covered up.
const fn may_be_stood_in_for(class: ErrorClass, safety: Safety) -> bool {
    match class {
        ErrorClass::Transient
        | ErrorClass::RateLimited
        | ErrorClass::BreakerOpen
        | ErrorClass::Throttled
        | ErrorClass::Overloaded
        | ErrorClass::Deadline => true,
        ErrorClass::InvalidResponse => matches!(safety, Safety::Safe),
        ErrorClass::Client | ErrorClass::Ambiguous | ErrorClass::Credential | ErrorClass::Internal => false,
    }
}
