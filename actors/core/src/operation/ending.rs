//! How a run comes to its end: stopped, undone, answered at the deadline, judged.

use super::{
    CallEnd, Directive, ErrorClass, Failure, Json, Now, Open, Order, Outcome, Reason, Role, Run, RunStatus,
    ServedBy, StepStatus, Stop, cancelled, deadline_exceeded,
};
use crate::classify::Safety;
use crate::idempotency::interrupted;
use crate::mapping::{Input, Vars};

/// The code of a step that has succeeded and could not be taken back.
pub const UNDO_FAILED: &str = "undo_failed";

/// The code of one that was not taken back, since what builds on it may stand.
pub(super) const UNDO_HELD: &str = "undo_held";

impl Run {
    /// Goes on as far as it can: starts steps, undoes them, answers, finishes.
    pub(super) fn settle(&mut self, now: Now) {
        if self.over {
            return;
        }
        self.start_ready(now);
        if self.is_open() || (self.undoes() && self.undo_next(now)) {
            return self.tell_at_the_deadline(now);
        }
        self.finish(now);
    }

    fn is_open(&self) -> bool {
        self.steps.iter().any(|state| state.open.is_some())
    }

    /// Lets nothing more start, and asks what runs to stop. The first reason counts; but a failure is more than a doubt.
    pub(super) fn stop(&mut self, now: Now, why: Stop) {
        match (self.stop, why) {
            (None, _) => self.stop = Some(why),
            (Some(Stop::Doubt(_)), Stop::Failed(_) | Stop::Cancelled) => {
                self.stop = Some(why);
                return;
            }
            (Some(_), _) => return,
        }
        let reason = self.why_skipped().unwrap_or_else(cancelled);
        let (mut unsent, mut doubtful) = (super::StepSet::EMPTY, super::StepSet::EMPTY);
        self.directives.retain(|directive| {
            if let Directive::Spawn { step, .. } = directive {
                unsent = unsent.with(*step);
                return false;
            }
            let Directive::Execute(order) = directive else { return true };
            // A look only reads, and something is in doubt.
            if order.role == Role::Verify {
                return true;
            }
            // Not sent again; what a former life has sent may have acted.
            if order.in_doubt_for.is_some() {
                doubtful = doubtful.with(order.step);
            } else {
                unsent = unsent.with(order.step);
            }
            false
        });
        for (step, state) in self.steps.iter_mut().enumerate() {
            if doubtful.contains(step) {
                state.open = None;
            } else if unsent.contains(step) || state.status == StepStatus::Pending {
                state.open = None;
                state.end(now.mono, StepStatus::Skipped, Some(reason.clone()));
            } else if matches!(state.open, Some(Open::Serving | Open::Overdue))
                || (why == Stop::Cancelled && state.open == Some(Open::Looking))
            {
                self.directives.push_back(Directive::Cancel(step));
            } else if why == Stop::Cancelled && state.open == Some(Open::Settling) {
                state.open = None;
                let failure = state.doubt.take().and_then(|doubt| doubt.failure).unwrap_or_else(interrupted);
                state.end(now.mono, StepStatus::Unknown, Some(failure));
            }
        }
        for step in doubtful.iter() {
            if why == Stop::Cancelled {
                self.stays_in_doubt(now, step, interrupted());
            } else {
                self.served(now, step, CallEnd::Unknown(interrupted()));
            }
        }
    }

    /// Why a step is skipped in a run that has stopped.
    pub(super) fn why_skipped(&self) -> Option<Failure> {
        let (step, what) = match self.stop? {
            Stop::Cancelled | Stop::Inquiry => return Some(cancelled()),
            Stop::Failed(step) => (step, "has failed"),
            Stop::Doubt(step) => (step, "is in doubt"),
        };
        let class = self.steps.get(step).and_then(|state| state.error.as_ref()).map(|error| error.class);
        let name = self.plan.steps.get(step).map_or("", |plan| plan.name.as_str());
        let message = format!("the required step `{name}` {what}");
        Some(Failure::new(class.unwrap_or(ErrorClass::Internal), "step_skipped", message))
    }

    /// Whether what succeeded is to be taken back.
    const fn undoes(&self) -> bool {
        matches!(self.stop, Some(Stop::Failed(_) | Stop::Cancelled))
    }

    /// Takes back the newest success that can be; `false` when there is none left.
    fn undo_next(&mut self, now: Now) -> bool {
        while let Some(step) = self.succeeded.pop() {
            if !self.can_be_undone(step) {
                continue;
            }
            if let Some(later) = self.what_holds(step) {
                self.hold(step, later);
                continue;
            }
            match self.undo_input(step) {
                Ok(input) => {
                    if let Some(state) = self.steps.get_mut(step) {
                        state.open = Some(Open::Undoing);
                    }
                    // It has as long as a run has: that the caller's time is up must not leave things half done.
                    let deadline = (now.mono + self.plan.deadline).max(self.deadline);
                    let order = Order { step, role: Role::Undo, input, deadline, in_doubt_for: None };
                    self.directives.push_back(Directive::Execute(order));
                    return true;
                }
                Err(failure) => self.undo_failed(step, &failure),
            }
        }
        false
    }

    fn has_undo(&self, step: usize) -> bool {
        let provider = self.steps.get(step).map(|state| state.provider);
        let plan = provider.and_then(|number| self.plan.steps.get(step)?.provider(number));
        plan.is_some_and(|provider| provider.undo.is_some())
    }

    fn can_be_undone(&self, step: usize) -> bool {
        let served = self.steps.get(step).and_then(|state| state.served_by);
        self.has_undo(step) && matches!(served, Some(ServedBy::Primary | ServedBy::Alternate))
    }

    /// A step that builds on this one and may stand, though it ought to be taken back first: it is in doubt, or could
    /// not be, or nobody could read what came of it.
    fn what_holds(&self, step: usize) -> Option<usize> {
        let may_stand = |later: usize| {
            let unread = |state: &super::Step| {
                let class = state.error.as_ref().map(|error| error.class);
                state.status == StepStatus::Failed && class == Some(ErrorClass::InvalidResponse)
            };
            let stands = |state: &super::Step| state.status == StepStatus::Unknown || unread(state);
            self.stuck.contains(later) || (self.has_undo(later) && self.steps.get(later).is_some_and(stands))
        };
        (0..self.steps.len()).find(|later| self.plan.steps.builds_on(*later, step) && may_stand(*later))
    }

    pub(super) fn undo_input(&self, step: usize) -> Result<Json, Failure> {
        let state = self.steps.get(step);
        let plan = state.and_then(|state| self.plan.steps.get(step)?.provider(state.provider));
        let program = plan.and_then(|provider| provider.undo.as_ref()).and_then(|undo| undo.input.as_ref());
        let Some(program) = program else {
            return Ok(state.and_then(|state| state.result.clone()).unwrap_or(Json::NULL));
        };
        let input = Input::step(&self.input, &self.view(), &self.known());
        program.value(&input, &Vars::default()).map_err(|error| {
            let message = format!("mapping the input of its undo: {error}");
            Failure::new(ErrorClass::Internal, "input_mapping_failed", message)
        })
    }

    /// Takes the end of the call that takes a step back.
    pub(super) fn undo_ended(&mut self, step: usize, end: CallEnd<Json>) {
        match end {
            CallEnd::Succeeded(_) => {
                if let Some(state) = self.steps.get_mut(step) {
                    state.status = StepStatus::Undone;
                }
            }
            CallEnd::Failed(failure) => self.undo_failed(step, &failure),
            CallEnd::Unknown(failure) => {
                self.undo_failed(step, &failure);
                if let Some(state) = self.steps.get_mut(step) {
                    state.status = StepStatus::Unknown;
                }
            }
            CallEnd::Cancelled => self.undo_failed(step, &cancelled()),
        }
    }

    /// A step could not be taken back: it stands as it is, and says so.
    fn undo_failed(&mut self, step: usize, failure: &Failure) {
        self.stuck = self.stuck.with(step);
        let name = self.plan.steps.get(step).map_or("", |plan| plan.name.as_str());
        let message = format!("the step `{name}` succeeded and could not be undone: {}", failure.message);
        if let Some(state) = self.steps.get_mut(step) {
            let told = Failure { code: UNDO_FAILED.into(), message: message.into(), ..failure.clone() };
            state.error = Some(told);
        }
    }

    /// A step is not taken back, since one that builds on it may stand.
    fn hold(&mut self, step: usize, later: usize) {
        let name = self.plan.steps.get(later).map_or("", |plan| plan.name.as_str());
        let message = format!("not undone, since the step `{name}`, which builds on it, may stand");
        if let Some(state) = self.steps.get_mut(step) {
            state.error = Some(Failure::new(ErrorClass::Internal, UNDO_HELD, message));
        }
    }

    /// Answers once the deadline has passed and all that is open is known to be past it.
    pub(super) fn tell_at_the_deadline(&mut self, now: Now) {
        let past =
            |open: Open| matches!(open, Open::Overdue | Open::Undoing | Open::Looking | Open::Settling);
        if self.over || !self.steps.iter().filter_map(|state| state.open).all(past) {
            return;
        }
        if !self.is_late(now) {
            // What is known not to fit is told at once.
            if self.next_look().is_some_and(|at| at > self.deadline) {
                self.tell_pending();
            }
            return;
        }
        for step in 0..self.steps.len() {
            if self.steps.get(step).is_some_and(|state| state.status == StepStatus::Pending) {
                self.fail(now, step, deadline_exceeded());
            }
        }
        let required_is_open = (0..self.steps.len())
            .any(|step| self.is_required(step) && self.steps.get(step).is_some_and(|it| it.open.is_some()));
        if self.stop.is_none() && !required_is_open {
            return self.leave_open_ones(now);
        }
        self.tell_pending();
    }

    /// Tells the caller that the run goes on, unless only what is optional does.
    fn tell_pending(&mut self) {
        let required = |step: &usize| self.stop.is_some() || self.is_required(*step);
        let open = |step: &usize| self.steps.get(*step).is_some_and(|state| state.open.is_some());
        if !self.answered && (0..self.steps.len()).filter(open).any(|step| required(&step)) {
            self.answered = true;
            self.directives.push_back(Directive::Pending(Box::new(self.so_far())));
        }
    }

    /// Only optional steps are open: the run is over without them.
    fn leave_open_ones(&mut self, now: Now) {
        let message = "the deadline passed while its request was out; it may or may not act";
        for state in self.steps.iter_mut().filter(|state| state.open.is_some()) {
            if state.open == Some(Open::Settling) {
                state.open = None;
            }
            let failure = Failure::new(ErrorClass::Ambiguous, "deadline_exceeded", message);
            state.end(now.mono, StepStatus::Unknown, Some(failure.because(Reason::TotalTimeout)));
        }
        self.finish(now);
    }

    fn finish(&mut self, now: Now) {
        self.over = true;
        let (mut status, mut error) = self.verdict();
        let mut result = Json::NULL;
        if matches!(status, RunStatus::Succeeded | RunStatus::Partial) {
            match self.result() {
                Ok(made) => result = made,
                Err(failure) => (status, error) = (RunStatus::Failed, Some(failure)),
            }
        }
        let outcome = self.outcome(status, result, error, Some(now));
        self.directives.push_back(Directive::Finish(Box::new(outcome)));
    }

    /// What has become of the run, from what has become of its steps.
    fn verdict(&self) -> (RunStatus, Option<Failure>) {
        let is = |status: StepStatus| move |state: &&super::Step| state.status == status;
        let error_of = |step: usize| self.steps.get(step).and_then(|state| state.error.clone());
        let done = |status| matches!(status, StepStatus::Succeeded | StepStatus::Accepted);
        let all_succeeded = self.steps.iter().all(|state| done(state.status));
        let Some(stop) = self.stop else {
            return (if all_succeeded { RunStatus::Succeeded } else { RunStatus::Partial }, None);
        };
        if let Some(stuck) = self.stuck.iter().next() {
            return (RunStatus::Unknown, error_of(stuck));
        }
        if let Some(doubtful) = self.steps.iter().find(is(StepStatus::Unknown)) {
            return (RunStatus::Unknown, doubtful.error.clone());
        }
        match stop {
            Stop::Inquiry => (RunStatus::Unknown, None),
            Stop::Doubt(step) => (RunStatus::Unknown, error_of(step)),
            Stop::Failed(step) => (RunStatus::Failed, error_of(step)),
            Stop::Cancelled if all_succeeded => (RunStatus::Succeeded, None),
            Stop::Cancelled => {
                let failed = |step: &usize| {
                    self.is_required(*step)
                        && self.steps.get(*step).is_some_and(|it| it.status == StepStatus::Failed)
                };
                match (0..self.steps.len()).find(failed) {
                    Some(step) => (RunStatus::Failed, error_of(step)),
                    None => (RunStatus::Cancelled, None),
                }
            }
        }
    }

    /// Ends the run after a fault of our own has taken it out of hand: of calls that are out and may act, and of what was
    /// still to be taken back, nobody knows what becomes.
    pub fn lost(&mut self, now: Now) -> Outcome {
        let message = "a fault in the router has ended the run";
        let failure = Failure::new(ErrorClass::Internal, "run_lost", message);
        let mut doubt = self.succeeded.iter().any(|step| self.can_be_undone(*step));
        for step in 0..self.steps.len() {
            let in_doubt = self
                .steps
                .get(step)
                .and_then(|state| state.doubt.as_ref())
                .is_some_and(|doubt| doubt.failure.is_some());
            let may_act = in_doubt || self.target(step).is_some_and(|call| call.safety() == Safety::Mutating);
            let Some(state) = self.steps.get_mut(step) else { continue };
            let status = match (state.open.take(), state.status) {
                (Some(Open::Undoing), _) => StepStatus::Unknown,
                (_, StepStatus::Running | StepStatus::Waiting) if may_act => StepStatus::Unknown,
                (_, StepStatus::Running | StepStatus::Waiting) => StepStatus::Failed,
                (_, StepStatus::Pending) => StepStatus::Skipped,
                (_, _) => continue,
            };
            state.end(now.mono, status, Some(failure.clone()));
            doubt |= status == StepStatus::Unknown;
        }
        self.over = true;
        self.directives.clear();
        let status = if doubt { RunStatus::Unknown } else { RunStatus::Failed };
        self.outcome(status, Json::NULL, Some(failure), Some(now))
    }
}
