//! What a run writes down, and when: before it acts, as it goes on, and at its end.
//!
//! A kept run is claimed before anything is sent for it; a request that may act is held until its intent is on disk;
//! and its caller is told the end when that is on disk. One write of a run is out at a time, so its records are in
//! order whatever the store does. What piles up meanwhile goes with the next one: the first requests of a run go with
//! its claim, and what earlier steps have come to goes with the intents of later ones.
//!
//! A write that fails ends nothing that is known to be so. A claim that fails is no run. An intent that fails is a step
//! that was not sent. An end that cannot be written is kept and written again until it is: its caller is told that the
//! store has failed, since nobody could answer it the same a second time.

use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, Message};
use causeway_core::classify::Safety;
use causeway_core::endpoint::Materialised;
use causeway_core::failure::{ErrorClass, Failure};
use causeway_core::idempotency::Role;
use causeway_core::integration::CallId;
use causeway_core::json::Json;
use causeway_core::name::{IntegrationName, RunId};
use causeway_core::operation::{Outcome, Run, RunStatus, Snapshot, StepOutcome, StepStatus, UNDO_FAILED};
use causeway_core::time::{Mono, Now, Wall};
use tokio::sync::OwnedSemaphorePermit;

use super::messages::{Standing, Stays};
use super::{Router, STORE_UNAVAILABLE};
use crate::attempt;
use crate::directory::Place;
use crate::plan::{IntegrationPlan, StepCall};
use crate::store::{
    Claimed, ConfigurationId, Death, Ending, Intent, Known, NewRun, Parked, Progress, Queue, Store,
    StoredAnswer, Ticket, Unavailable,
};

/// How long a run waits before it tries again to write its end down.
const WRITE_AGAIN: Duration = Duration::from_millis(500);

/// Where runs are kept, and how their ends are told.
#[derive(Clone)]
pub struct Keeper {
    /// Keeps them.
    pub store: Arc<dyn Store>,
    /// Makes what a caller is told of a run that is over: the same bytes each time it asks. Of a queued run, whose caller was
    /// told where to look, that is the outcome, whatever it is.
    pub render: fn(&Outcome, bool) -> StoredAnswer,
    /// Told of a run that waits at an integration now.
    pub queued: Arc<dyn Fn(&IntegrationName) + Send + Sync>,
    /// Told of a run that was to be cancelled when no router had it any more, or just put it off.
    pub cancelled: Arc<dyn Fn(&RunId) + Send + Sync>,
    /// Whether an integration takes no queued work until somebody says so.
    pub is_paused: Arc<dyn Fn(&IntegrationName) -> bool + Send + Sync>,
}

/// What a run has written down, and has still to write.
pub(super) struct Kept {
    /// What its claim writes; `None` once it is claimed.
    claim: Option<Box<NewRun>>,
    /// Calls that wait until they may be sent.
    held: Vec<Held>,
    /// The requests that may have been sent.
    intents: Vec<Intent>,
    revision: u32,
    /// A write is out.
    writing: bool,
    /// Something has come about that is not written down yet.
    unsaved: bool,
    /// Whether it stays at its end.
    stays: Stays,
    /// How it ended, until that is written down.
    ending: Option<Box<Outcome>>,
    /// When to write the end down once more.
    again_at: Option<Mono>,
    /// What its caller is told as soon as it is claimed.
    told_when_claimed: Option<(Outcome, Standing)>,
    /// Runs in the background that are not written down yet.
    children: Vec<NewRun>,
    /// Where the runs in the background wait that have been written down.
    pub(super) queued: Vec<IntegrationName>,
    /// What it is executed under.
    pub(super) ticket: Ticket,
    /// The configuration that it goes by.
    pub(super) configuration: ConfigurationId,
    /// Where and until when it is put off, until that is written down.
    pub(super) put_off: Option<Queue>,
    /// Whether it was cancelled since.
    pub(super) put_off_cancelled: bool,
}

/// A call that waits until it may be sent.
pub(super) struct Held {
    pub(super) id: CallId,
    pub(super) call: StepCall,
    pub(super) place: Arc<Place>,
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) safety: Safety,
    /// It goes with the write that is out.
    leaving: bool,
}

impl Held {
    pub(super) const fn new(
        id: CallId,
        call: StepCall,
        place: Arc<Place>,
        permit: OwnedSemaphorePermit,
        safety: Safety,
    ) -> Self {
        Self { id, call, place, permit, safety, leaving: false }
    }
}

/// A write, with the calls that go with it.
pub(super) struct Write {
    what: What,
    now: Now,
    fence: u32,
    /// The run's.
    input: Json,
    /// The requests that are still to be made ready, by their calls.
    calls: Vec<(CallId, StepCall, Arc<IntegrationPlan>)>,
}

enum What {
    Claim(Box<NewRun>),
    Record(Progress),
    Finish(Box<Ending>),
    Park(Box<Parked>),
    Forget,
}

/// What became of a write.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Written {
    pub(super) run: RunId,
    result: Result<Done, Unavailable>,
    /// The requests that were made ready for it; one that cannot be written is `None`.
    requests: Vec<(CallId, Option<Materialised>)>,
    intents: Vec<Intent>,
    /// How many runs in the background went with it.
    children: usize,
}

enum Done {
    Claimed(Claimed),
    Recorded,
    Ended,
    PutOff,
    /// Somebody else has it.
    Lost,
}

/// What a router does next for a run whose write is done.
pub(super) enum Next {
    /// These calls may be sent.
    Send(Vec<Held>),
    /// These calls are not sent: what they were about to do could not be written down.
    NotSent(Vec<Held>, Failure),
    /// The run is another's.
    Known(Known),
    /// There is no run: it could not be written down.
    NotBegun(Unavailable),
    /// The end is on disk.
    Ended(Box<Outcome>),
    /// The end is not on disk yet.
    NotEnded(Unavailable),
    /// It is put off.
    PutOff(Queue),
    /// Somebody else has the run.
    Lost,
}

impl Kept {
    /// Of a run that begins.
    pub(super) fn begins(claim: NewRun, stays: Stays) -> Self {
        let configuration = claim.configuration;
        Self {
            claim: Some(Box::new(claim)),
            stays,
            ..Self::resumed(0, Vec::new(), Ticket::default(), configuration)
        }
    }

    /// Of a run that goes on.
    pub(super) const fn resumed(
        revision: u32,
        intents: Vec<Intent>,
        ticket: Ticket,
        configuration: ConfigurationId,
    ) -> Self {
        Self {
            claim: None,
            held: Vec::new(),
            intents,
            revision,
            writing: false,
            unsaved: false,
            stays: Stays::Always,
            ending: None,
            again_at: None,
            told_when_claimed: None,
            children: Vec::new(),
            queued: Vec::new(),
            ticket,
            configuration,
            put_off: None,
            put_off_cancelled: false,
        }
    }

    /// Whether the run is kept, whatever comes of it.
    pub(super) const fn is_sure_to_stay(&self) -> bool {
        matches!(self.stays, Stays::Always)
    }

    /// Whether it is on disk.
    pub(super) const fn is_claimed(&self) -> bool {
        self.claim.is_none()
    }

    /// Whether it has nothing to write any more.
    pub(super) const fn is_done(&self) -> bool {
        self.ending.is_none() && self.put_off.is_none() && !self.writing
    }

    /// When it wants to be told the time. `deadline` is the run's.
    pub(super) fn next_deadline(&self, deadline: Mono, awaited: bool) -> Option<Mono> {
        let late = (!self.is_claimed() && awaited).then_some(deadline);
        [late, self.again_at].into_iter().flatten().min()
    }

    /// Takes over a call that is to be sent. `None`: it may go at once.
    pub(super) fn hold(&mut self, held: Held, now: Wall) -> Option<Held> {
        let (step, role, fence) = (held.call.index, held.call.role, self.ticket.fence);
        let untried = self.ticket.first_try.is_none();
        self.intents
            .retain(|intent| intent.step != step || intent.role != role || !intent.is_stale(untried, now));
        // A doubt that the order does not know of is one of another life, which a person has had begin anew: were it sent on
        // the strength of that, the next life would find the step as it had not begun.
        let is_known = held.call.in_doubt_for.is_some();
        let is_told = |intent: &Intent| (intent.in_doubt && is_known) || intent.is_told_by(fence, now);
        let is_intended = held.safety == Safety::Safe || self.intent(step, role).is_some_and(is_told);
        if self.is_claimed() && is_intended {
            put_in_doubt(&mut self.intents, std::iter::once(&held));
            return Some(self.with_its_request(held));
        }
        self.held.push(held);
        None
    }

    /// Takes back the call of a step that was not sent yet.
    pub(super) fn withdraw(&mut self, step: usize) -> bool {
        let before = self.held.len();
        self.held.retain(|held| held.call.index != step);
        before > self.held.len()
    }

    /// A run in the background has begun.
    pub(super) fn begets(&mut self, child: NewRun) {
        self.children.push(child);
        self.unsaved = true;
    }

    /// The request of a call has certainly not acted.
    pub(super) fn is_settled(&mut self, step: usize, role: Role) {
        for intent in self.intents.iter_mut().filter(|intent| intent.step == step && intent.role == role) {
            intent.in_doubt = false;
        }
    }

    /// Whether nothing of it waits to be sent or written.
    pub(super) const fn is_idle(&self) -> bool {
        self.held.is_empty() && !self.writing && self.is_claimed()
    }

    /// Something has come about that should be on disk soon.
    pub(super) const fn changed(&mut self) {
        self.unsaved = true;
    }

    /// The run has ended so.
    pub(super) fn ends(&mut self, outcome: Outcome) {
        self.ending = Some(Box::new(outcome));
    }

    /// Has the caller told this as soon as the run is on disk; `None` if it has to wait.
    pub(super) fn tell(&mut self, outcome: Outcome, standing: Standing) -> Option<(Outcome, Standing)> {
        if self.is_claimed() {
            return Some((outcome, standing));
        }
        self.told_when_claimed = Some((outcome, standing));
        None
    }

    /// What the caller was to be told when the run is on disk.
    pub(super) const fn told_when_claimed(&mut self) -> Option<(Outcome, Standing)> {
        self.told_when_claimed.take()
    }

    /// The end of a run for which nothing was written: it came to nothing before anything was sent.
    pub(super) fn came_to_nothing(&mut self) -> Option<Outcome> {
        let idle = !self.is_claimed() && !self.writing && self.children.is_empty();
        let nothing = idle && self.told_when_claimed.is_none();
        if nothing { self.ending.take().map(|outcome| *outcome) } else { None }
    }

    /// The next write, if there is one to be made now.
    pub(super) fn next_write(
        &mut self,
        run: &Run,
        now: Now,
        render: fn(&Outcome, bool) -> StoredAnswer,
    ) -> Option<Write> {
        if self.writing || self.again_at.is_some_and(|at| at > now.mono) {
            return None;
        }
        self.again_at = None;
        let calls = self.leaving();
        let what = if let Some(claim) = &self.claim {
            let claim = NewRun { progress: self.progress(run.snapshot()), ..(**claim).clone() };
            What::Claim(Box::new(claim))
        } else if let Some(outcome) = &self.ending {
            if self.stays(run, outcome) {
                What::Finish(Box::new(self.ending(run, outcome, now, render)))
            } else {
                What::Forget
            }
        } else if let Some(queue) = &self.put_off {
            let (queue, ticket) = (queue.clone(), self.ticket);
            self.revision += 1;
            // What goes with this lease by itself goes with the next one so.
            let mut progress = self.progress(run.snapshot());
            for intent in &mut progress.intents {
                intent.lease = intent.lease.and(ticket.fence.checked_add(1));
            }
            What::Park(Box::new(Parked { id: run.id().clone(), ticket, queue, progress }))
        } else if self.unsaved || self.held.iter().any(|held| held.leaving) {
            self.revision += 1;
            // From now on what is written down tells what may have been sent.
            self.intents.iter_mut().for_each(|intent| intent.lease = None);
            What::Record(self.progress(run.snapshot()))
        } else {
            return None;
        };
        (self.writing, self.unsaved) = (true, false);
        Some(Write { what, now, calls, fence: self.ticket.fence, input: run.input().clone() })
    }

    /// Whether a run that has ended so is kept: what may have been done, what was promised, and what was asked to be.
    pub(super) fn stays(&self, run: &Run, outcome: &Outcome) -> bool {
        let by_itself = match self.stays {
            Stays::Always => true,
            Stays::IfSent => outcome.sent,
            Stays::IfPromised => false,
        };
        by_itself || outcome.status == RunStatus::Unknown || run.is_promised()
    }

    /// The calls that go with the next write.
    fn leaving(&mut self) -> Vec<(CallId, StepCall, Arc<IntegrationPlan>)> {
        // Those that were written down before are about to be sent once more, byte for byte.
        for held in self.held.iter_mut().filter(|held| held.safety == Safety::Mutating) {
            let is_known = |it: &&Intent| it.step == held.call.index && it.role == held.call.role;
            if let Some(intent) = self.intents.iter().find(is_known) {
                held.call.request = Some(intent.request.clone());
            }
        }
        let leave = |held: &mut Held| {
            held.leaving = true;
            (held.safety == Safety::Mutating && held.call.request.is_none())
                .then(|| (held.id, held.call.clone(), Arc::clone(held.place.plan())))
        };
        self.held.iter_mut().filter_map(leave).collect()
    }

    fn progress(&self, snapshot: Snapshot) -> Progress {
        let (mut intents, children) = (self.intents.clone(), self.children.clone());
        put_in_doubt(&mut intents, self.held.iter().filter(|held| held.leaving));
        Progress { revision: self.revision, snapshot, intents, children }
    }

    fn ending(
        &self,
        run: &Run,
        outcome: &Outcome,
        now: Now,
        render: fn(&Outcome, bool) -> StoredAnswer,
    ) -> Ending {
        // What a person may take up again.
        let death = self.died(outcome);
        Ending {
            id: outcome.id.clone(),
            status: outcome.status,
            at: outcome.finished_at.unwrap_or(now.wall),
            answer: render(outcome, self.ticket.is_async),
            progress: death.is_some().then(|| Progress {
                revision: self.revision + 1,
                children: Vec::new(),
                ..self.progress(run.snapshot()).without_leases()
            }),
            children: self.children.clone(),
            fence: self.ticket.fence,
            inquire_at: death.as_ref().and_then(|_| run.reconciles_after()).map(|after| now.wall + after),
            death,
        }
    }

    /// Why a person has to look at a run that has ended so, if one has to.
    pub(super) fn died(&self, outcome: &Outcome) -> Option<Death> {
        let unsettled = outcome.status == RunStatus::Unknown
            || (outcome.status == RunStatus::Failed && self.ticket.fence > 0 && !self.ticket.is_resolved);
        unsettled.then(|| death(outcome))
    }

    /// Takes what became of a write.
    pub(super) fn written(&mut self, now: Mono, written: Written) -> Next {
        let Written { result, requests, intents, children, .. } = written;
        self.writing = false;
        if matches!(result, Ok(Done::Claimed(Claimed::New) | Done::Recorded | Done::Ended | Done::PutOff)) {
            let begun = self.children.drain(..children.min(self.children.len()));
            let queued = begun.filter_map(|child| child.queue).map(|queue| queue.integration);
            self.queued.extend(queued);
        }
        let (left, stay) = std::mem::take(&mut self.held).into_iter().partition(|held| held.leaving);
        self.held = stay;
        match result {
            Ok(Done::Claimed(Claimed::Known(known))) => Next::Known(known),
            Ok(Done::Claimed(Claimed::New)) => {
                self.claim = None;
                self.goes(left, requests, intents)
            }
            Ok(Done::Recorded) => self.goes(left, requests, intents),
            Ok(Done::PutOff) => self.put_off.take().map_or(Next::Lost, Next::PutOff),
            Ok(Done::Lost) => Next::Lost,
            Ok(Done::Ended) => match self.ending.take() {
                Some(outcome) => Next::Ended(outcome),
                None => Next::Send(Vec::new()),
            },
            Err(error) if !self.is_claimed() => Next::NotBegun(error),
            Err(_) if self.put_off.is_some() => {
                self.again_at = Some(now + WRITE_AGAIN);
                Next::Send(Vec::new())
            }
            Err(error) if self.ending.is_some() => {
                self.again_at = Some(now + WRITE_AGAIN);
                Next::NotEnded(error)
            }
            Err(error) => Next::NotSent(left, not_written(&error)),
        }
    }

    fn goes(
        &mut self,
        left: Vec<Held>,
        mut requests: Vec<(CallId, Option<Materialised>)>,
        intents: Vec<Intent>,
    ) -> Next {
        self.intents.extend(intents);
        put_in_doubt(&mut self.intents, left.iter());
        Next::Send(
            left.into_iter()
                .map(|mut held| {
                    if let Some(place) = requests.iter().position(|(id, _)| *id == held.id) {
                        held.call.request = requests.swap_remove(place).1;
                    }
                    held
                })
                .collect(),
        )
    }

    pub(super) fn intent(&self, step: usize, role: Role) -> Option<&Intent> {
        self.intents.iter().find(|intent| intent.step == step && intent.role == role)
    }

    fn with_its_request(&self, mut held: Held) -> Held {
        let intent = self.intent(held.call.index, held.call.role);
        held.call.request = intent.map(|intent| intent.request.clone());
        held
    }
}

/// What goes with a write may have acted from then on.
fn put_in_doubt<'a>(intents: &mut [Intent], leaving: impl Iterator<Item = &'a Held> + Clone) {
    for intent in intents {
        let goes = |held: &Held| held.call.index == intent.step && held.call.role == intent.role;
        intent.in_doubt |= leaving.clone().any(goes);
    }
}

/// A step whose intent could not be written down was not sent, and may be asked for again.
fn not_written(error: &Unavailable) -> Failure {
    let message = format!("nothing was sent, since it could not be written down before: {error}");
    Failure::new(ErrorClass::Overloaded, STORE_UNAVAILABLE, message).retry_after(Some(Duration::from_secs(1)))
}

impl Write {
    /// Whether nothing is done for the run any more when it is written, by whoever has it.
    pub(super) const fn is_last(&self) -> bool {
        matches!(self.what, What::Finish(_) | What::Park(_) | What::Forget)
    }

    /// Makes the requests ready, writes, and tells the router.
    pub(super) async fn run(self, store: Arc<dyn Store>, router: Addr<Router>, run: RunId) {
        let Self { mut what, now, calls, fence, input } = self;
        let children = match &what {
            What::Claim(run) => run.progress.children.len(),
            What::Record(progress) => progress.children.len(),
            What::Park(parked) => parked.progress.children.len(),
            What::Finish(ending) => ending.children.len(),
            What::Forget => 0,
        };
        let mut requests = Vec::with_capacity(calls.len());
        let mut intents = Vec::with_capacity(calls.len());
        for (id, call, plan) in calls {
            let (step, role) = (call.index, call.role);
            let request = attempt::materialise(plan, call).await.ok();
            if let Some(request) = &request {
                intents.push(Intent {
                    step,
                    role,
                    at: now.wall,
                    repeats_input: request.body == *input.bytes(),
                    request: request.clone(),
                    in_doubt: true,
                    lease: None,
                });
            }
            requests.push((id, request));
        }
        match &mut what {
            What::Claim(run) => run.progress.intents.extend(intents.iter().cloned()),
            What::Record(progress) => progress.intents.extend(intents.iter().cloned()),
            What::Finish(_) | What::Park(_) | What::Forget => {}
        }
        let result = match what {
            What::Claim(run) => store.claim_run(*run).await.map(Done::Claimed),
            What::Record(progress) => {
                let written = store.record(run.clone(), fence, progress).await;
                written.map(|ours| if ours { Done::Recorded } else { Done::Lost })
            }
            What::Finish(ending) => {
                let written = store.finish_run(*ending).await;
                written.map(|ours| if ours { Done::Ended } else { Done::Lost })
            }
            What::Park(parked) => {
                let written = store.park(*parked).await;
                written.map(|ours| if ours { Done::PutOff } else { Done::Lost })
            }
            What::Forget => store.forget_run(run.clone()).await.map(|()| Done::Ended),
        };
        let written = Written { run, result, requests, intents, children };
        if router.try_send(written).is_err() {
            tracing::error!("could not tell a router what became of a write");
        }
    }
}

/// What a person has to look at.
fn death(outcome: &Outcome) -> Death {
    let is = |status| outcome.steps.iter().find(move |step| step.status == status);
    // What could not be taken back is what is left to be done, and not what had failed before.
    let stuck = |step: &&StepOutcome| {
        step.error.as_ref().is_some_and(|error| error.code == UNDO_FAILED)
            && outcome.error.as_ref().is_some_and(|error| error.code == UNDO_FAILED)
    };
    let step = outcome.steps.iter().find(stuck);
    let step = step.or_else(|| is(StepStatus::Unknown)).or_else(|| is(StepStatus::Failed));
    let step = step.or_else(|| outcome.steps.iter().find(|step| step.error.is_some()));
    let error = outcome.error.as_ref().or_else(|| step.and_then(|step| step.error.as_ref()));
    Death {
        integration: step.map_or_else(String::new, |step| step.integration.to_string()),
        operation: outcome.operation.to_string(),
        step: step.map(|step| step.name.to_string()),
        class: error.map_or("internal", |error| error.class.as_str()).to_owned(),
        code: error.map_or_else(|| "unknown".to_owned(), |error| error.code.to_string()),
    }
}

/// How long ago what a run may have sent was written down. A clock that has been set back since tells nothing: it is as
/// if it was long ago.
pub(super) fn age(intent: &Intent, now: Wall) -> Duration {
    if now + CLOCK_SLACK < intent.at { Duration::MAX } else { now.since(intent.at) }
}

/// By how much wall clocks are corrected without anybody minding.
const CLOCK_SLACK: Duration = Duration::from_secs(60);
