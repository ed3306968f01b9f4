//! One run in flight: its state, its calls, and who waits for it.

use std::sync::Arc;

use actix::dev::SendError;
use causeway_core::classify::Safety;
use causeway_core::failure::{ErrorClass, Failure};
use causeway_core::integration::{CallEnd, CallId};
use causeway_core::name::ClientName;
use causeway_core::operation::{CallPlan, Outcome, Run, Tries};
use causeway_core::priority::Priority;
use causeway_core::time::{Mono, Now};
use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::keeping::Kept;
use super::messages::{Answer, News, NotRun, Reply, RunPermit, Standing};
use crate::directory::{Directory, Place};
use crate::integration::{Cancel, StepEnd};
use crate::plan::RunContext;

/// A run in flight.
pub(super) struct Flight {
    pub(super) run: Run,
    pub(super) directory: Arc<Directory>,
    pub(super) context: Arc<RunContext>,
    pub(super) priority: Priority,
    pub(super) calls: SmallVec<[OpenCall; 1]>,
    /// When it wants to be told the time.
    pub(super) timer: Option<Mono>,
    /// Whether it can be looked up while it is under way: what may act, and what its caller does not wait for.
    pub(super) is_kept: bool,
    /// Whether its outcome has been written down.
    pub(super) recorded: bool,
    /// What it writes down; `None` for one that is answered and forgotten.
    pub(super) kept: Option<Kept>,
    reply: Option<oneshot::Sender<Reply>>,
    /// Who asked for it.
    pub(super) client: Option<ClientName>,
    _permit: RunPermit,
}

/// A call under way.
pub(super) struct OpenCall {
    pub(super) id: CallId,
    pub(super) step: usize,
    pub(super) place: Arc<Place>,
}

impl Flight {
    #[expect(clippy::too_many_arguments, reason = "made at one place, of all that belongs to a run")]
    pub(super) fn new(
        run: Run,
        directory: Arc<Directory>,
        context: Arc<RunContext>,
        priority: Priority,
        is_kept: bool,
        kept: Option<Kept>,
        reply: Option<oneshot::Sender<Reply>>,
        client: Option<ClientName>,
        permit: RunPermit,
    ) -> Self {
        let (calls, timer, recorded) = (SmallVec::new(), None, false);
        Self {
            run,
            directory,
            context,
            priority,
            calls,
            timer,
            is_kept,
            recorded,
            kept,
            reply,
            client,
            _permit: permit,
        }
    }

    /// Tells the run what has become of a call.
    pub(super) fn tell(&mut self, now: Now, call: CallId, news: News) {
        let Some(place) = self.calls.iter().position(|open| open.id == call) else { return };
        let Some(step) = self.calls.get(place).map(|open| open.step) else { return };
        match news {
            News::Overdue(attempts) => self.run.call_is_overdue(now, step, attempts),
            News::Ended(StepEnd { end, tries }) => {
                self.calls.swap_remove(place);
                let acted = self.run.target(step).is_some_and(|call| call.safety() == Safety::Mutating);
                self.run.call_ended(now, step, end, tries);
                if acted && let Some(kept) = &mut self.kept {
                    kept.changed();
                }
            }
            News::Lost => {
                self.calls.swap_remove(place);
                let message = "the integration's actor went away during the call";
                let failure = Failure::new(ErrorClass::Internal, "integration_lost", message);
                let may_act = |call: &CallPlan| call.safety() == Safety::Mutating;
                let doubt = self.run.target(step).is_none_or(may_act);
                let end = if doubt { CallEnd::Unknown(failure) } else { CallEnd::Failed(failure) };
                self.run.call_ended(now, step, end, Tries { made: 0, sent: doubt });
            }
        }
    }

    /// Asks the open call of a step to stop.
    pub(super) fn stop(&self, step: usize) {
        for OpenCall { id, place, .. } in self.calls.iter().filter(|open| open.step == step) {
            if let Err(SendError::Full(_) | SendError::Closed(_)) = place.send(Cancel(*id)) {
                let run_id = self.run.id().as_str();
                tracing::warn!(run_id, "could not tell the integration that a call is no longer wanted");
            }
        }
    }

    /// Answers the caller, if it has not been answered.
    pub(super) fn answer(&mut self, outcome: Outcome, standing: Standing) {
        self.reply(Ok(Answer { outcome, standing }));
    }

    /// Tells the caller that there is no run to be answered with, if it has not been answered.
    pub(super) fn refuse(&mut self, why: NotRun) {
        self.reply(Err(why));
    }

    fn reply(&mut self, told: Reply) {
        if let Some(reply) = self.reply.take() {
            // A caller that is gone waits for nothing; the outcome is on the board.
            let _ = reply.send(told);
        }
    }

    /// Whether its caller waits for an answer.
    pub(super) const fn is_awaited(&self) -> bool {
        self.reply.is_some()
    }

    /// When it wants to be told the time.
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        let writes = self.kept.as_ref();
        let writes = writes.and_then(|kept| kept.next_deadline(self.run.deadline(), self.is_awaited()));
        [self.run.next_deadline(), writes].into_iter().flatten().min()
    }

    /// Whether nothing is left to be done, waited for or written down.
    pub(super) fn is_done(&self) -> bool {
        self.run.is_done() && self.kept.as_ref().is_none_or(Kept::is_done)
    }

    /// Whether others may look it up: not before it is on disk, where it is to be kept there.
    pub(super) fn can_be_found(&self) -> bool {
        self.is_kept && self.kept.as_ref().is_none_or(Kept::is_claimed)
    }
}
