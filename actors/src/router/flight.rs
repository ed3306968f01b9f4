//! One run in flight: its state, its calls, and who waits for it.

use std::sync::Arc;
use std::time::Duration;

use actix::dev::SendError;
use causeway_core::classify::Safety;
use causeway_core::failure::{ErrorClass, Failure};
use causeway_core::integration::{CallEnd, CallId};
use causeway_core::json::Json;
use causeway_core::name::ClientName;
use causeway_core::operation::{CallPlan, Finding, Outcome, Run, Tries};
use causeway_core::priority::Priority;
use causeway_core::retry::queued::{self, QueuedAsk, QueuedDecision};
use causeway_core::time::{Mono, Now};
use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::keeping::{self, Kept};
use super::messages::{Answer, Lease, LeaseEnd, News, NotRun, Reply, RunPermit, Standing};
use crate::directory::{Directory, Place};
use crate::integration::{Cancel, StepEnd};
use crate::plan::RunContext;
use crate::store::Queue;

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
    /// The calls that are made again later, and how they ended.
    pub(super) put_off: Vec<(usize, CallEnd<Json>, Tries)>,
    /// Where the run waits for that.
    pub(super) queue: Option<Queue>,
    /// Tells whoever leased it that it is over or put off, by being dropped.
    pub(super) lease: Option<Lease>,
    /// Its lease has run out.
    pub(super) is_lost: bool,
    /// Of a run that is only asked about: how long ago it ended, and whom to tell what was found out.
    pub(super) inquiry: Option<(Duration, oneshot::Sender<Finding>)>,

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
            put_off: Vec::new(),
            queue: None,
            lease: None,
            is_lost: false,
            inquiry: None,
            reply,
            client,
            _permit: permit,
        }
    }

    /// Tells whoever leased the run what came of that.
    pub(super) fn leased(&mut self, end: LeaseEnd) {
        if let Some(lease) = self.lease.take() {
            // A worker that is gone has no slots to be freed.
            let _ = lease.done.send(end);
        }
    }

    /// Tells the run what has become of a call.
    pub(super) fn tell(&mut self, now: Now, call: CallId, news: News, jitter: f64) {
        let Some(place) = self.calls.iter().position(|open| open.id == call) else { return };
        let Some(step) = self.calls.get(place).map(|open| open.step) else { return };
        match news {
            News::Overdue(attempts) => self.run.call_is_overdue(now, step, attempts),
            News::Ended(StepEnd { end, tries }) => {
                self.calls.swap_remove(place);
                let acted = self.run.target(step).is_some_and(|call| call.safety() == Safety::Mutating);
                self.call_ended(now, step, end, tries, jitter);
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
                self.call_ended(now, step, end, Tries { sent: doubt, ..Tries::NONE }, jitter);
            }
        }
    }

    /// Takes the end of a call, made or not: the run is told, unless it is queued and the call is made again later.
    pub(super) fn call_ended(
        &mut self,
        now: Now,
        step: usize,
        end: CallEnd<Json>,
        tries: Tries,
        jitter: f64,
    ) {
        match self.puts_off(now, step, &end, tries, jitter) {
            None => self.run.call_ended(now, step, end, tries),
            Some(queue) => {
                self.put_off.push((step, end, tries));
                if self.queue.as_ref().is_none_or(|other| other.not_before < queue.not_before) {
                    self.queue = Some(queue);
                }
            }
        }
    }

    /// Where, and until when, a queued run waits for a call of it to be made again; `None` where it is not.
    fn puts_off(
        &mut self,
        now: Now,
        step: usize,
        end: &CallEnd<Json>,
        tries: Tries,
        jitter: f64,
    ) -> Option<Queue> {
        let kept = self.kept.as_mut().filter(|kept| kept.ticket.fence > 0)?;
        let (failure, doubt) = match end {
            CallEnd::Failed(failure) => (failure, false),
            CallEnd::Unknown(failure) => (failure, true),
            CallEnd::Succeeded(_) | CallEnd::Cancelled => return None,
        };
        let target = self.run.target(step).filter(|_| self.run.may_put_off(step))?;
        let role = self.run.role(step)?;
        // Where the provider can be asked, it is.
        if doubt && target.verify.is_some() {
            return None;
        }
        let place = self.directory.find(target.integration.as_str())?;
        let endpoint = place.plan().endpoints.get(target.endpoint_index)?;
        let sent_ago = kept.intent(step, role).map(|intent| keeping::age(intent, now.wall));
        let asked = QueuedAsk {
            tries: kept.ticket.tries,
            class: if doubt { ErrorClass::Ambiguous } else { queued::class_of(failure) },
            retry_after: failure.retry_after,
            age: kept.ticket.first_try.map(|first| now.wall.since(first)),
            may_resend: target.resend.allows(sent_ago),
            trial: tries.trial,
        };
        let QueuedDecision::Park { wait, tries: counted } = queued::decide(&endpoint.retry, &asked, jitter)
        else {
            return None;
        };
        kept.ticket.tries = counted;
        if tries.made > 0 {
            kept.ticket.first_try.get_or_insert(now.wall);
        }
        if !doubt {
            kept.is_settled(step, role);
        }
        Some(Queue { integration: target.integration.clone(), not_before: now.wall + wait })
    }

    /// Has the run waited for later, once all that is out has come home.
    pub(super) fn waits(&mut self) {
        let Some(kept) = self.kept.as_mut().filter(|kept| kept.is_idle()) else { return };
        if self.calls.is_empty() && !self.put_off.is_empty() && kept.put_off.is_none() {
            for (step, end, tries) in self.put_off.drain(..) {
                self.run.call_is_put_off(step, end, tries);
            }
            kept.put_off = self.queue.take();
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
