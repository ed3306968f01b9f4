//! Executes what is queued: leases runs whose turn has come, hands them to a router, and keeps their leases while they are
//! executed.
//!
//! Each integration has a worker of its own with so many slots, so one that hangs holds up nobody else. A slot is taken until
//! all that is left of its run is to write its end down. A worker leases nothing while its integration is paused, its breaker
//! is open or its provider has asked for silence: a run that waits burns no try. What was cancelled it leases all the same, for
//! that asks nobody for anything but to take back what stands, which waits for its own turn. What a run comes to is the router's
//! to find out: it is over, or put off until later, or lost to somebody whose lease is newer.
//!
//! `tally` counts what waits, for `max_pending`.

mod tally;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actix::Addr;
use causeway_actors::board::{Asker, Condition, Snapshot};
use causeway_actors::metric::{Labels, Metric};
use causeway_actors::plan::{LeasedUntil, QueueSpec};
use causeway_actors::router::{Lease, LeaseEnd, Resume, Router, RunPermit, Slot};
use causeway_actors::store::{Leased, NewRun, QueueDepth, Ticket, Unavailable};
use causeway_core::breaker::State as Circuit;
use causeway_core::name::{IntegrationName, RunId};
use causeway_core::time::Now;
use dashmap::DashMap;
use tokio::sync::{Notify, oneshot};

use crate::api::State;
use crate::recovery::{self, NotKnown};
use tally::Tally;

/// How often a worker looks for what has become due, while anything waits at its integration.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often it looks where nothing is known to wait.
const LOOK_IDLE: Duration = Duration::from_secs(5);
/// How often, at most, it looks because somebody else has put something in the queue.
const LOOK_OTHERS: Duration = Duration::from_millis(500);
/// How often the tallies are set right by the store, and new integrations get their workers.
const TALLY_EVERY: Duration = Duration::from_secs(2);
/// The most runs that are leased in one piece.
const MAX_LEASE: usize = 256;
/// How many times as many runs as there are slots may be leased, those included whose ends are being written down.
const MAX_ENDING: usize = 2;
/// By how much the host's clock must have been set forward for leases to be renewed at once.
const CLOCK_JUMPS: Duration = Duration::from_secs(1);
/// How long a worker leaves a store alone that has failed.
const STORE_FAILED: Duration = Duration::from_secs(1);

/// What is known of the queues without asking the store.
#[derive(Default)]
pub struct Queues {
    queues: DashMap<IntegrationName, Arc<Queue>>,
    depths: Mutex<Vec<QueueDepth>>,
    /// Runs that are to be cancelled and are on their way between a router and a queue.
    to_cancel: Mutex<BTreeSet<RunId>>,
    cancel: Notify,
    stopping: AtomicBool,
}

/// One integration's queue.
#[derive(Default)]
struct Queue {
    tally: Mutex<Tally>,
    paused: AtomicBool,
    /// Something may have been cancelled that has not been leased since; also before anything is known.
    cancelled: Cancelled,
    wake: Notify,
    active: Mutex<HashMap<RunId, (u32, LeasedUntil)>>,
    /// The slots that are taken: by those of the active ones that are more than written down.
    taken: AtomicUsize,
}

/// Whether there may be runs that wait and have been cancelled.
struct Cancelled(AtomicBool);

impl Default for Cancelled {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl Queue {
    fn active(&self) -> usize {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a count that begins now may set right; `None` while runs are executed or written down, which may end meanwhile.
    fn before_count(&self) -> Option<u64> {
        let before = self.tally().before_count();
        before.filter(|_| self.active() == 0)
    }

    fn counted(&self, before: Option<u64>, runs: u64) {
        if let Some(before) = before.filter(|_| self.active() == 0) {
            self.tally().counted(before, runs);
        }
    }
}

/// A slot that is taken.
struct Taken(Arc<Queue>);

impl Taken {
    fn new(queue: &Arc<Queue>) -> Self {
        queue.taken.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(queue))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
        self.0.wake.notify_one();
    }
}

/// A place in a queue, kept for a run that is about to be written down.
pub(crate) struct Reserved {
    queue: Arc<Queue>,
    is_filled: bool,
}

impl Reserved {
    /// The run is on disk.
    pub(crate) fn fill(mut self) {
        self.is_filled = true;
        self.queue.tally().fill();
        self.queue.wake.notify_one();
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.is_filled {
            self.queue.tally().release();
        }
    }
}

impl Queues {
    fn of(&self, integration: &IntegrationName) -> Arc<Queue> {
        Arc::clone(&self.queues.entry(integration.clone()).or_default())
    }

    /// Takes in what waits when the server starts.
    pub(crate) fn begin(&self, depths: Vec<QueueDepth>) {
        for depth in &depths {
            let queue = self.of(&depth.integration);
            queue.counted(queue.before_count(), depth.all());
        }
        *self.depths.lock().unwrap_or_else(PoisonError::into_inner) = depths;
    }

    /// Keeps a place for another run at an integration; `None` where as many wait as may.
    pub(crate) fn reserve(&self, integration: &IntegrationName, max_pending: u32) -> Option<Reserved> {
        let queue = self.of(integration);
        if queue.tally().reserve(max_pending) { Some(Reserved { queue, is_filled: false }) } else { None }
    }

    /// A run waits that no place was kept for: a step of one that was taken on before.
    pub fn queued(&self, integration: &IntegrationName) {
        let queue = self.of(integration);
        queue.tally().add();
        queue.wake.notify_one();
    }

    /// A run that waits somewhere should be looked at.
    pub fn look_everywhere(&self) {
        self.queues.iter().for_each(|queue| queue.wake.notify_one());
    }

    /// A run that waits somewhere has been cancelled: it is looked for, whatever its integration waits for.
    pub fn look_for_cancelled(&self) {
        for queue in &self.queues {
            queue.cancelled.0.store(true, Ordering::Release);
            queue.wake.notify_one();
        }
    }

    /// Has a run cancelled that no router has, wherever it is.
    pub fn cancel(&self, run: &RunId) {
        self.to_cancel.lock().unwrap_or_else(PoisonError::into_inner).insert(run.clone());
        self.cancel.notify_one();
    }

    fn take_to_cancel(&self) -> BTreeSet<RunId> {
        std::mem::take(&mut *self.to_cancel.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether nothing is leased at an integration until it is resumed.
    pub fn is_paused(&self, integration: &IntegrationName) -> bool {
        self.of(integration).paused.load(Ordering::Acquire)
    }

    /// Stops or starts leasing.
    pub fn set_paused(&self, integration: &IntegrationName, paused: bool) {
        let queue = self.of(integration);
        queue.paused.store(paused, Ordering::Release);
        queue.wake.notify_one();
    }

    /// What waits at an integration, as last counted.
    pub fn depth(&self, integration: &IntegrationName) -> Option<QueueDepth> {
        let depths = self.depths.lock().unwrap_or_else(PoisonError::into_inner);
        depths.iter().find(|depth| depth.integration == *integration).cloned()
    }

    /// Nothing is leased any more.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Queued runs that are executed.
    pub fn executing(&self) -> usize {
        self.queues.iter().map(|queue| queue.active()).sum()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// Keeps a worker for each integration, and the tallies right, for ever.
pub(crate) async fn work(state: Arc<State>, router: Addr<Router>) {
    futures_util::future::join3(keep_workers(&state, &router), follow_others(&state), follow_cancels(&state))
        .await;
}

async fn keep_workers(state: &Arc<State>, router: &Addr<Router>) {
    let mut workers: HashMap<IntegrationName, actix_web::rt::task::JoinHandle<()>> = HashMap::new();
    let (mut last, mut dead) = (state.clock().now(), BTreeMap::new());
    loop {
        count(state, &mut last).await;
        tell_dead(state, &mut dead).await;
        let directory = state.mesh().directory();
        let mut names: Vec<IntegrationName> = directory.places().map(|place| place.name().clone()).collect();
        // Of one that is gone there may be runs that began when it was there.
        names.extend(state.queues().queues.iter().map(|queue| queue.key().clone()));
        for name in names {
            workers
                .entry(name.clone())
                .or_insert_with(|| actix_web::rt::spawn(serve(Arc::clone(state), router.clone(), name)));
        }
        tokio::time::sleep(TALLY_EVERY).await;
    }
}

/// Looks at once at what somebody else has put in the queues. Where, is not told: every worker looks, so it is not for every row of
/// somebody who goes on.
async fn follow_others(state: &State) {
    loop {
        state.store().woken().await;
        tracing::debug!("somebody else may have put something in the queues: they are looked at");
        state.queues().look_everywhere();
        tokio::time::sleep(LOOK_OTHERS).await;
    }
}

/// Has runs cancelled that were on their way when somebody wanted it.
async fn follow_cancels(state: &State) {
    let queues = state.queues();
    loop {
        queues.cancel.notified().await;
        let mut left = false;
        for run in queues.take_to_cancel() {
            if !is_cancelled(state, &run).await {
                queues.cancel(&run);
                left = true;
            }
        }
        if left {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Whether a run is over, is cancelled where it waits, or has been told to stop where it is executed.
async fn is_cancelled(state: &State, run: &RunId) -> bool {
    match state.store().cancel_run(run.clone()).await {
        Ok(true) => {
            state.queues().look_for_cancelled();
            return true;
        }
        Ok(false) => {}
        Err(error) => {
            tracing::debug!(%error, run_id = run.as_str(), "a run could not be cancelled yet");
            return false;
        }
    }
    match state.store().run(run.clone()).await {
        Ok(Some(record)) if record.answer.is_none() => {
            state.mesh().board().cancel(run.as_str(), Asker::Anybody).is_some()
        }
        Ok(_) => true,
        Err(_) => false,
    }
}

/// The leases that this server holds, made to last from now on, where the host's clock has been set forward meanwhile: on
/// disk they would seem to have run out. Whether that was possible.
async fn follow_clock(state: &State, last: &mut Now) -> bool {
    let now = state.clock().now();
    let expected = last.wall + now.mono.since(last.mono);
    if now.wall.since(expected) < CLOCK_JUMPS {
        *last = now;
        return true;
    }
    tracing::warn!(ahead_s = now.wall.since(expected).as_secs(), "the host's clock was set forward");
    let held: Vec<_> =
        state.queues().queues.iter().map(|queue| (queue.key().clone(), Arc::clone(&queue))).collect();
    for (integration, queue) in held {
        if let Err(error) = renew(state, &queue, &integration).await {
            tracing::warn!(%error, integration = integration.as_str(), "leases could not be kept");
            return false;
        }
    }
    *last = now;
    true
}

/// Sets the tallies right.
async fn count(state: &State, last: &mut Now) {
    if !follow_clock(state, last).await {
        return;
    }
    // Of those whose holder has died, or has not been heard of for too long.
    match state.store().release(state.clock().now().wall).await {
        Ok(0) => {}
        Ok(released) => {
            tracing::warn!(released, "leases had run out: their runs wait again");
            state.queues().look_for_cancelled();
        }
        Err(error) => tracing::debug!(%error, "leases that have run out could not be looked for"),
    }
    let queues = state.queues();
    let before: Vec<_> = queues
        .queues
        .iter()
        .map(|queue| (queue.key().clone(), Arc::clone(&queue), queue.before_count()))
        .collect();
    let depths = match state.store().queues().await {
        Ok(depths) => depths,
        Err(error) => return tracing::debug!(%error, "the queues could not be counted"),
    };
    for (integration, queue, before) in before {
        let depth = depths.iter().find(|depth| depth.integration == integration);
        queue.counted(before, depth.map_or(0, QueueDepth::all));
    }
    for depth in depths.iter().filter(|depth| depth.pending > 0) {
        queues.of(&depth.integration).wake.notify_one();
    }
    tell(state, &depths);
    *queues.depths.lock().unwrap_or_else(PoisonError::into_inner) = depths;
}

/// Writes how many runs a person has to look at. Of what there were some before, and are none now, too.
async fn tell_dead(state: &State, told: &mut BTreeMap<(String, String), u64>) {
    let groups = match state.store().dead_groups().await {
        Ok(groups) => groups,
        Err(error) => return tracing::debug!(%error, "the dead letters could not be counted"),
    };
    told.values_mut().for_each(|count| *count = 0);
    for group in groups {
        *told.entry((group.integration, group.operation)).or_default() += group.count;
    }
    for ((integration, operation), count) in told.iter() {
        let labels = Labels::none().named("integration", integration.as_str().into());
        let labels = labels.named("operation", operation.as_str().into());
        Metric::DeadLetters.gauge(&labels).set(f64::from(u32::try_from(*count).unwrap_or(u32::MAX)));
    }
}

/// Writes the gauges of all integrations, of those too at which nothing waits.
fn tell(state: &State, depths: &[QueueDepth]) {
    let (directory, now) = (state.mesh().directory(), state.clock().now().wall);
    for place in directory.places() {
        let labels = || Labels::none().named("integration", place.name().shared());
        let depth = depths.iter().find(|depth| depth.integration == *place.name());
        let [pending, delayed, leased] =
            depth.map_or([0; 3], |depth| [depth.pending, depth.delayed, depth.leased]);
        for (word, count) in [("pending", pending), ("delayed", delayed), ("leased", leased)] {
            let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
            Metric::QueueDepth.gauge(&labels().word("state", word)).set(count);
        }
        let oldest = depth.and_then(|depth| depth.oldest).map_or(0.0, |at| now.since(at).as_secs_f64());
        Metric::QueueOldest.gauge(&labels()).set(oldest);
    }
}

/// One integration's worker.
async fn serve(state: Arc<State>, router: Addr<Router>, integration: IntegrationName) {
    let queue = state.queues().of(&integration);
    actix_web::rt::spawn(keep_leases(Arc::clone(&state), Arc::clone(&queue), integration.clone()));
    while !state.queues().is_stopping() {
        let waits = queue.tally().runs() > 0;
        // Whatever wakes it, it looks.
        let _ = tokio::time::timeout(if waits { LOOK_EVERY } else { LOOK_IDLE }, queue.wake.notified()).await;
        let rooms = [(Which::Cancelled, room_for_cancelled as Room), (Which::Due, room)];
        for (which, room) in rooms {
            while let Some(limit) = room(&state, &queue, &integration) {
                match lease(&state, &router, &queue, &integration, (which, limit)).await {
                    Some(leased) if leased == limit => {}
                    Some(_) => break,
                    None => {
                        tokio::time::sleep(STORE_FAILED).await;
                        break;
                    }
                }
            }
        }
    }
}

/// Which runs are leased.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Due,
    Cancelled,
}

/// Says how many may be leased now; `None` for none.
type Room = fn(&State, &Queue, &IntegrationName) -> Option<usize>;

fn spec(state: &State, integration: &IntegrationName) -> QueueSpec {
    let directory = state.mesh().directory();
    directory.find(integration.as_str()).map_or_else(QueueSpec::default, |place| place.plan().queue.clone())
}

/// How many cancelled runs may be leased now: where calls hang, as many as there are slots besides.
fn room_for_cancelled(state: &State, queue: &Queue, integration: &IntegrationName) -> Option<usize> {
    if state.queues().is_stopping() || !queue.cancelled.0.load(Ordering::Acquire) {
        return None;
    }
    let running = |snapshot: &Snapshot| snapshot.condition == Condition::Running;
    if state.mesh().board().integration(integration.as_str()).is_some_and(|snapshot| !running(&snapshot)) {
        return None;
    }
    let slots = spec(state, integration).slots as usize;
    // What they take back makes calls, too.
    let free = (2 * slots).saturating_sub(queue.taken.load(Ordering::Relaxed));
    let free = free.min((slots * (MAX_ENDING + 1)).saturating_sub(queue.active())).min(MAX_LEASE);
    (free > 0).then_some(free)
}

/// How many runs that are due may be leased now; `None` for none.
fn room(state: &State, queue: &Queue, integration: &IntegrationName) -> Option<usize> {
    if state.queues().is_stopping() || queue.paused.load(Ordering::Acquire) {
        return None;
    }
    let slots = spec(state, integration).slots as usize;
    // While ends are written others are executed; where they cannot be, they do not pile up.
    let free = slots.saturating_sub(queue.taken.load(Ordering::Relaxed));
    let free = free.min((slots * MAX_ENDING).saturating_sub(queue.active())).min(MAX_LEASE);
    if free == 0 {
        return None;
    }
    let Some(snapshot) = state.mesh().board().integration(integration.as_str()) else { return Some(free) };
    if snapshot.condition != Condition::Running {
        return None;
    }
    let (view, age) = (&snapshot.view, state.clock().mono().since(snapshot.at.mono));
    if view.parked_for.is_some_and(|wait| wait > age) {
        return None;
    }
    match view.state {
        Circuit::Closed | Circuit::Disabled | Circuit::MetricsOnly => Some(free),
        // Somebody has to try.
        Circuit::HalfOpen => (queue.active() == 0).then_some(1),
        Circuit::Open => (view.is_due(age) && queue.active() == 0).then_some(1),
        Circuit::ForcedOpen => None,
    }
}

/// Leases runs and begins to execute them; how many, or `None` where the store has failed.
async fn lease(
    state: &Arc<State>,
    router: &Addr<Router>,
    queue: &Arc<Queue>,
    integration: &IntegrationName,
    (which, limit): (Which, usize),
) -> Option<usize> {
    let lease = spec(state, integration).lease;
    let now = state.clock().now();
    let (store, until) = (state.store(), now.wall + lease);
    let asked = match which {
        Which::Due => store.lease(integration.clone(), until, limit).await,
        Which::Cancelled => {
            // What is cancelled from now on is looked for once more.
            queue.cancelled.0.store(false, Ordering::Release);
            store.lease_cancelled(integration.clone(), until, limit).await
        }
    };
    let leased = match asked {
        Ok(leased) => leased,
        Err(error) => {
            queue.cancelled.0.fetch_or(which == Which::Cancelled, Ordering::AcqRel);
            tracing::debug!(%error, "runs could not be leased");
            return None;
        }
    };
    let count = leased.len();
    queue.cancelled.0.fetch_or(which == Which::Cancelled && count == limit, Ordering::AcqRel);
    for Leased { run, ticket, cancelled } in leased {
        let until = LeasedUntil::new(now.mono + lease);
        let id = run.id.clone();
        let fence = ticket.fence;
        let active = (fence, until.clone());
        queue.active.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), active);
        let slot = Taken::new(queue);
        let execution =
            execute(Arc::clone(state), router.clone(), Box::new(run), (ticket, cancelled), until, slot);
        let (state, queue) = (Arc::clone(state), Arc::clone(queue));
        actix_web::rt::spawn(async move {
            match execution.await {
                LeaseEnd::Over => queue.tally().remove(),
                LeaseEnd::PutOff(integration) => {
                    queue.tally().remove();
                    state.queues().queued(&integration);
                }
                LeaseEnd::Lost => {}
            }
            {
                let mut active = queue.active.lock().unwrap_or_else(PoisonError::into_inner);
                // Another lease of the run may have taken this one's place.
                if active.get(&id).is_some_and(|(held, _)| *held == fence) {
                    active.remove(&id);
                }
            }
            queue.wake.notify_one();
        });
    }
    Some(count)
}

/// Executes a run. It is boxed, as is what rarely happens to it: what is spawned for each run is moved about, and stays small.
async fn execute(
    state: Arc<State>,
    router: Addr<Router>,
    run: Box<NewRun>,
    (ticket, cancelled): (Ticket, bool),
    until: LeasedUntil,
    slot: Taken,
) -> LeaseEnd {
    let id = run.id.clone();
    let (plan, directory) = match recovery::known(&state, &run).await {
        Ok(known) => known,
        Err(NotKnown::Gone(why)) => return Box::pin(end(&state, *run, ticket, &why)).await,
        Err(NotKnown::Unavailable(error)) => {
            tracing::debug!(%error, run_id = id.as_str(), "what a run does could not be read yet");
            return LeaseEnd::Lost;
        }
    };
    let (done, ended) = oneshot::channel();
    let slot = Some(Slot::new(slot));
    let lease = Lease { ticket, cancelled, until, slot, done };
    let permit = RunPermit::of_queue();
    let resume = Resume { run, plan, directory, permit, lease: Some(lease) };
    match router.send(resume).await {
        Ok(true) => ended.await.unwrap_or(LeaseEnd::Lost),
        Ok(false) => Box::pin(end_faulty(&state, id, ticket)).await,
        Err(_) => LeaseEnd::Lost,
    }
}

/// Ends a run that no router could take up.
async fn end_faulty(state: &State, id: RunId, ticket: Ticket) -> LeaseEnd {
    match state.store().unfinished(id).await {
        Ok(Some(mut run)) => {
            run.progress.leased(ticket.fence);
            end(state, run, ticket, recovery::FAULT).await
        }
        Ok(None) | Err(_) => LeaseEnd::Lost,
    }
}

/// Ends a run that nobody can go on with; where that cannot be written down, it is tried again when its lease has run out.
async fn end(state: &State, run: NewRun, ticket: Ticket, why: &str) -> LeaseEnd {
    match recovery::end(state, run, ticket, why).await {
        Ok(true) => LeaseEnd::Over,
        Ok(false) | Err(_) => LeaseEnd::Lost,
    }
}

/// Keeps the leases of what is executed.
async fn keep_leases(state: Arc<State>, queue: Arc<Queue>, integration: IntegrationName) {
    loop {
        tokio::time::sleep(spec(&state, &integration).lease / 3).await;
        if let Err(error) = renew(&state, &queue, &integration).await {
            tracing::warn!(%error, integration = integration.as_str(), "leases could not be kept");
        }
    }
}

/// Renews the leases of what is executed at an integration.
async fn renew(state: &State, queue: &Queue, integration: &IntegrationName) -> Result<(), Unavailable> {
    let lease = spec(state, integration).lease;
    let kept: Vec<(RunId, u32, LeasedUntil)> = {
        let active = queue.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.iter().map(|(id, (fence, until))| (id.clone(), *fence, until.clone())).collect()
    };
    if kept.is_empty() {
        return Ok(());
    }
    let now = state.clock().now();
    let runs = kept.iter().map(|(id, fence, _)| (id.clone(), *fence)).collect();
    let lost = state.store().heartbeat(runs, now.wall + lease).await?;
    for (_, _, kept) in kept.iter().filter(|(id, _, _)| !lost.contains(id)) {
        kept.move_to(now.mono + lease);
    }
    Ok(())
}
