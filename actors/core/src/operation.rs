//! The run of a business operation: from its input to one truthful outcome.
//!
//! A [`Plan`] says what an operation does; a [`Run`] is one execution of it. The run is told what happened and says what
//! is to be done next ([`Run::poll`]): execute a call, stop one, tell the caller, finish with the [`Outcome`].
//!
//! # The life of a run
//!
//! **Forward**: steps start as soon as all they wait for have succeeded, or, if those are optional, have ended. A step
//! asks its provider; where that could not serve and nobody has acted, the next; where none could, its fallback stands
//! in. In doubt there is no next and no fallback; but where the provider can be asked whether it has acted, it is
//! (`verifying`).
//!
//! **Stopped** by a required step that failed or is in doubt, or by a caller that cancels: nothing more starts, what
//! runs is asked to stop and ends as it can: what may have acted runs to its own end.
//!
//! **Undoing**, once nothing runs: of a run that failed or was cancelled, what succeeded is taken back, newest first,
//! one after the other. A run that only is in doubt is left as it stands: the step in doubt may turn out to have
//! succeeded, and what it builds on must then be there. An undo that fails leaves its step as it is, and with it those
//! that it builds on; the run is then `unknown`.
//!
//! **Over**: it finishes once. Its caller may have been answered before: at the deadline, where something is out that may
//! act or is being undone (*pending*), or after as long as it wanted to wait (*accepted*). Where only optional steps
//! are open at the deadline the run is over then, and they are `unknown` in its outcome for good; what they still do
//! is recorded as attempts, and the run is kept ([`Run::is_done`]) until they have come home. One that is over may be taken
//! up again: by a person (`reopening`), or since a provider has told what it did (`reconciling`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::failure::{ErrorClass, Failure, Reason};
use crate::idempotency::Role;
use crate::integration::CallEnd;
use crate::json::Json;
use crate::name::{CorrelationId, IntegrationName, RunId};
use crate::stale::StaleKey;
use crate::time::{Mono, Now};

mod ending;
#[cfg(test)]
mod examples;
mod outcome;
mod plan;
mod reconciling;
mod reopening;
mod resuming;
mod serving;
#[cfg(test)]
mod simulation;
mod snapshot;
mod step;
#[cfg(test)]
mod testing;
mod verifying;
mod view;

pub use ending::UNDO_FAILED;
pub use outcome::{Outcome, RunStatus, ServedBy, StepOutcome, StepStatus};
pub use plan::{
    CallPlan, Fallback, InvalidSteps, MAX_STEPS, Part, Plan, Provider, StepPlan, StepSet, Steps, Undo, Verify,
};
pub use reconciling::{Finding, RECONCILE_AFTER, Settled};
pub use reopening::{NotReopened, Resolution};
pub use resuming::{Resumed, Sent};
pub use snapshot::Snapshot;

use step::{Open, Step};

/// What a run begins with.
#[derive(Debug)]
pub struct Begin {
    /// Its id.
    pub id: RunId,
    /// What links it to the event behind it.
    pub correlation_id: CorrelationId,
    /// What to do.
    pub plan: Arc<Plan>,
    /// With what.
    pub input: Json,
    /// The caller's own deadline, from now; only a smaller one than the operation's counts.
    pub budget: Option<Duration>,
    /// How long the caller wants to wait for its answer; the run goes on.
    pub wait: Option<Duration>,
}

/// What is to be done for a run.
#[derive(Debug)]
pub enum Directive {
    /// Execute a call.
    Execute(Order),
    /// Ask the open call of this step to stop, if it may.
    Cancel(usize),
    /// Leave a step to a run of its own, and say which with [`Run::spawned`].
    Spawn {
        /// The step.
        step: usize,
        /// The input of its run.
        input: Json,
    },
    /// Keep the result of a call that only reads.
    Keep {
        /// What determines it.
        key: StaleKey,
        /// It.
        result: Json,
    },
    /// Look for a kept result, and say what was found with [`Run::recalled`].
    Recall {
        /// For this step.
        step: usize,
        /// What determines it.
        key: StaleKey,
        /// How old it may be.
        within: Duration,
    },
    /// Tell the caller that the outcome is pending; the run goes on.
    Pending(Box<Outcome>),
    /// Tell the caller that the run goes on: it has waited as long as it wanted to.
    Accepted(Box<Outcome>),
    /// The run is over: record its outcome, and tell the caller unless it has been answered.
    Finish(Box<Outcome>),
}

/// A call to execute.
#[derive(Debug)]
pub struct Order {
    /// Of which step.
    pub step: usize,
    /// Which of its calls; [`Run::target`] says to whom.
    pub role: Role,
    /// Its input.
    pub input: Json,
    /// When its answer is no longer of use.
    pub deadline: Mono,
    /// How long ago a former life of the run may have sent it first: it is in doubt whether it has acted.
    pub in_doubt_for: Option<Duration>,
}

/// What a call took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// How many attempts were made.
    pub made: u32,
    /// Whether a byte of any of them may have reached the provider.
    pub sent: bool,
    /// Whether the last was a trial of a half-open breaker: made to find out about the provider.
    pub trial: bool,
}

impl Tries {
    /// None was made.
    pub const NONE: Self = Self { made: 0, sent: false, trial: false };
}

/// One execution of an operation.
pub struct Run {
    id: RunId,
    correlation_id: CorrelationId,
    plan: Arc<Plan>,
    input: Json,
    began: Now,
    deadline: Mono,
    /// When the caller no longer wants to wait.
    patience: Option<Mono>,
    steps: SmallVec<[Step; 1]>,
    /// The steps that have succeeded, in that order, as far as they have not been looked at for an undo.
    succeeded: SmallVec<[usize; 1]>,
    /// Those whose undo failed.
    stuck: StepSet,
    stop: Option<Stop>,
    /// Whether the caller has been answered.
    answered: bool,
    over: bool,
    directives: VecDeque<Directive>,
}

/// Why nothing more starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stop {
    /// This required step has failed.
    Failed(usize),
    /// This required step is in doubt.
    Doubt(usize),
    /// Somebody wants it.
    Cancelled,
    /// It is over, and only asked about.
    Inquiry,
}

impl Run {
    /// Begins a run.
    pub fn begin(begin: Begin, now: Now) -> Self {
        let Begin { id, correlation_id, plan, input, budget, wait } = begin;
        let deadline = now.mono + budget.map_or(plan.deadline, |budget| budget.min(plan.deadline));
        let mut run = Self {
            id,
            correlation_id,
            input,
            began: now,
            deadline,
            patience: wait.map(|wait| now.mono + wait),
            steps: plan.steps.as_slice().iter().map(|_| Step::default()).collect(),
            succeeded: SmallVec::new(),
            stuck: StepSet::EMPTY,
            stop: None,
            answered: false,
            over: false,
            directives: VecDeque::with_capacity(2),
            plan,
        };
        run.settle(now);
        run
    }

    /// Takes the end of the open call of a step.
    pub fn call_ended(&mut self, now: Now, step: usize, end: CallEnd<Json>, tries: Tries) {
        let Some(state) = self.steps.get_mut(step) else { return };
        state.sent |= tries.sent;
        match state.open {
            Some(Open::Serving | Open::Overdue) => {
                state.open = None;
                // What comes home after the end is recorded as attempts, and changes no outcome.
                if !self.over {
                    state.attempts_out = 0;
                    state.attempts = state.attempts.saturating_add(tries.made);
                    self.served(now, step, end);
                }
            }
            Some(Open::Undoing) => {
                state.open = None;
                self.undo_ended(step, end);
            }
            Some(Open::Looking) => {
                state.open = None;
                if !self.over {
                    self.looked(now, step, end);
                }
            }
            Some(Open::Recalling(_) | Open::Settling | Open::Leaving) | None => return,
        }
        self.settle(now);
    }

    /// The deadline has passed while the request of a step, which may act, is out: its n-th attempt.
    pub fn call_is_overdue(&mut self, now: Now, step: usize, attempts: u32) {
        if let Some(state) = self.steps.get_mut(step)
            && state.open == Some(Open::Serving)
        {
            state.open = Some(Open::Overdue);
            state.attempts_out = attempts;
            self.settle(now);
        }
    }

    /// A step has been left to this run.
    pub fn spawned(&mut self, now: Now, step: usize, child: RunId) {
        if let Some(state) = self.steps.get_mut(step).filter(|state| state.open == Some(Open::Leaving)) {
            state.open = None;
            state.child = Some(child);
            state.end(now.mono, StepStatus::Accepted, None);
            self.settle(now);
        }
    }

    /// The integration that its first open call is to; `None` where none is open.
    pub fn waits_for(&self) -> Option<&IntegrationName> {
        (0..self.steps.len()).find_map(|step| self.target(step)).map(|call| &call.integration)
    }

    /// The open call of a step has ended so, and is made again later: in another life of the run.
    pub fn call_is_put_off(&mut self, step: usize, end: CallEnd<Json>, tries: Tries) {
        if let Some(state) = self.steps.get_mut(step) {
            state.attempts = state.attempts.saturating_add(tries.made);
            state.sent |= tries.sent;
            if let CallEnd::Failed(failure) | CallEnd::Unknown(failure) = end {
                state.error = Some(failure);
            }
        }
    }

    /// Whether the open call of a step may be made again later: it serves the step or takes it back, and nobody else
    /// could be asked instead.
    pub fn may_put_off(&self, step: usize) -> bool {
        let Some(state) = self.steps.get(step) else { return false };
        let plan = self.plan.steps.get(step);
        let another = plan.is_some_and(|plan| plan.provider(state.provider + 1).is_some());
        match state.open {
            Some(Open::Serving | Open::Overdue) => self.stop.is_none() && !another,
            Some(Open::Undoing) => true,
            Some(Open::Recalling(_) | Open::Looking | Open::Settling | Open::Leaving) | None => false,
        }
    }

    /// Takes what was found of a kept result.
    pub fn recalled(&mut self, now: Now, step: usize, found: Option<Json>) {
        if let Some(Open::Recalling(nth)) = self.steps.get(step).and_then(|state| state.open) {
            self.take_recalled(now, step, nth, found);
            self.settle(now);
        }
    }

    /// Stops what is safe or unsent, lets nothing more start, and takes back what succeeded.
    pub fn cancel(&mut self, now: Now) {
        if !self.over {
            self.stop(now, Stop::Cancelled);
            self.settle(now);
        }
    }

    /// Does what has become due.
    pub fn advance(&mut self, now: Now) {
        if self.over {
            return;
        }
        self.look_again(now);
        if self.answered {
            return;
        }
        if self.patience.is_some_and(|until| until <= now.mono) {
            self.answered = true;
            self.directives.push_back(Directive::Accepted(Box::new(self.so_far())));
        } else {
            self.tell_at_the_deadline(now);
        }
    }

    /// When [`Self::advance`] is next needed. Calls in flight say by themselves when the deadline passes; an undo has a
    /// deadline of its own.
    pub fn next_deadline(&self) -> Option<Mono> {
        if self.over {
            return None;
        }
        let told = |open| matches!(open, Open::Undoing | Open::Looking | Open::Settling);
        let untold = self.steps.iter().filter_map(|state| state.open).any(told);
        let answer = [self.patience, untold.then_some(self.deadline)];
        let answer = answer.into_iter().flatten().min().filter(|_| !self.answered);
        [answer, self.next_look()].into_iter().flatten().min()
    }

    /// The next thing to be done.
    pub fn poll(&mut self) -> Option<Directive> {
        self.directives.pop_front()
    }

    /// Whether nothing is left to be done or waited for.
    pub fn is_done(&self) -> bool {
        self.over && self.steps.iter().all(|state| state.open.is_none())
    }

    /// Whom the open call of a step is to.
    pub fn target(&self, step: usize) -> Option<&CallPlan> {
        let state = self.steps.get(step)?;
        let provider = self.plan.steps.get(step)?.provider(state.provider)?;
        match state.open? {
            Open::Serving | Open::Overdue => Some(&provider.call),
            Open::Undoing => provider.undo.as_ref().map(|undo| &undo.call),
            Open::Looking => provider.call.verify.as_ref().map(|verify| &verify.call),
            Open::Recalling(_) | Open::Settling | Open::Leaving => None,
        }
    }

    /// Which of a step's calls is open.
    pub fn role(&self, step: usize) -> Option<Role> {
        let state = self.steps.get(step)?;
        match state.open? {
            Open::Serving | Open::Overdue => Some(StepPlan::role(state.provider)),
            Open::Undoing => Some(Role::Undo),
            Open::Looking => Some(Role::Verify),
            Open::Recalling(_) | Open::Settling | Open::Leaving => None,
        }
    }

    /// Whether the caller was told that the run goes on: its outcome must then be found.
    pub const fn is_promised(&self) -> bool {
        self.answered
    }

    /// When the answer is no longer of use.
    pub const fn deadline(&self) -> Mono {
        self.deadline
    }

    /// When the run began.
    pub const fn began(&self) -> Now {
        self.began
    }

    /// The run's id.
    pub const fn id(&self) -> &RunId {
        &self.id
    }

    /// What links the run to the event behind it.
    pub const fn correlation_id(&self) -> &CorrelationId {
        &self.correlation_id
    }

    /// With what.
    pub const fn input(&self) -> &Json {
        &self.input
    }

    /// What the operation does.
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }
}

fn deadline_exceeded() -> Failure {
    let message = "the deadline passed before the step could start";
    Failure::new(ErrorClass::Deadline, "deadline_exceeded", message)
}

fn cancelled() -> Failure {
    let message = "the run was cancelled before the step could act";
    Failure::new(ErrorClass::Deadline, "cancelled", message).because(Reason::Cancelled)
}
