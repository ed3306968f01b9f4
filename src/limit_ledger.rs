//! What of limits outlives the process, on its way to the store.
//!
//! Actors hand records over as they fall due: what is to be reserved of a quota, who is to be left alone, what was learned.
//! Everything that waits goes to the store in one call, one call at a time, so the latest record of a subject is the one
//! that stays. With each goes when the server was seen alive, and without any, once a second: that is how the next life
//! knows what of short limits may have been used. Where no limit is configured nothing is written.
//!
//! What the store does not take is kept and tried again with what comes next; whoever waits for it is told at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use causeway_actors::clock::Clock;
use causeway_actors::ports::Ledger;
use causeway_actors::store::{Store, Unavailable};
use causeway_core::limits::{Life, LimitKind, Memory, Record, Subject};
use tokio::sync::{Notify, oneshot};

use crate::api::State;

/// How often the server says that it is alive, at least. The core counts on twice as long.
const BEAT: Duration = Duration::from_secs(1);

/// What waits to be written.
#[derive(Default)]
struct Waiting {
    /// By their subjects: as many as there are budgets, at most.
    records: HashMap<Subject, Record>,
    told: Vec<oneshot::Sender<bool>>,
    /// Nothing more is taken.
    is_closed: bool,
}

/// Takes records, and writes them.
pub(crate) struct LimitLedger {
    waiting: Mutex<Waiting>,
    stirred: Notify,
    /// One call at a time.
    writing: tokio::sync::Mutex<()>,
    store: Arc<dyn Store>,
    clock: Clock,
    memory: Memory,
}

impl LimitLedger {
    /// Takes up what the former life of the server has left, and says that this one has begun.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(crate) async fn open(store: Arc<dyn Store>, clock: Clock) -> Result<Arc<Self>, Unavailable> {
        let (records, life) = store.limits().await?;
        let now = clock.now();
        let memory = Memory::new(records, life, now);
        store.keep_limits(Vec::new(), Life::alive(memory.seen(now))).await?;
        Ok(Arc::new(Self {
            waiting: Mutex::default(),
            stirred: Notify::new(),
            writing: tokio::sync::Mutex::default(),
            store,
            clock,
            memory,
        }))
    }

    /// What limits go on from.
    pub(crate) const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Writes what waits, and that the server is alive. Whether that is on disk.
    async fn write(&self) -> bool {
        let _one = self.writing.lock().await;
        let (records, told) = {
            let mut waiting = self.lock();
            (std::mem::take(&mut waiting.records), std::mem::take(&mut waiting.told))
        };
        let written = self.store.keep_limits(
            records.values().cloned().collect(),
            Life::alive(self.memory.seen(self.clock.now())),
        );
        let written = written.await;
        if let Err(error) = &written {
            tracing::debug!(%error, records = records.len(), "what of limits outlives the process is not written");
            let mut waiting = self.lock();
            for (subject, record) in records {
                waiting.records.entry(subject).or_insert(record);
            }
        }
        for waiter in told {
            // Whoever asked may have gone.
            let _ = waiter.send(written.is_ok());
        }
        written.is_ok()
    }

    /// Writes the last records, and whether the server ended in order: then what it has told is all that it has taken.
    pub(crate) async fn close(&self, last: Vec<Record>, in_order: bool) {
        let _one = self.writing.lock().await;
        let records = {
            let mut waiting = self.lock();
            waiting.is_closed = true;
            waiting.told.clear();
            let mut records = std::mem::take(&mut waiting.records);
            records.extend(last.into_iter().map(|record| (record.subject.clone(), record)));
            records
        };
        let seen = self.memory.seen(self.clock.now());
        let life = if in_order { self.memory.ended(seen) } else { Life::alive(seen) };
        if let Err(error) = self.store.keep_limits(records.into_values().collect(), life).await {
            tracing::warn!(%error, "what is left of limits could not be written down: the next start begins with less");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for LimitLedger {
    fn keep(&self, records: Vec<Record>) -> oneshot::Receiver<bool> {
        let (told, hears) = oneshot::channel();
        let mut waiting = self.lock();
        // Where it is closed, who asks hears that nobody answers.
        if !waiting.is_closed {
            waiting.records.extend(records.into_iter().map(|record| (record.subject.clone(), record)));
            waiting.told.push(told);
            self.stirred.notify_one();
        }
        hears
    }
}

/// Writes records as they come, and that the server is alive, for ever.
pub(crate) async fn work(ledger: Arc<LimitLedger>, state: Arc<State>) {
    let mut tick = tokio::time::interval(BEAT);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let beats = tokio::select! {
            () = ledger.stirred.notified() => true,
            _ = tick.tick() => has_rates(&state) || !ledger.lock().records.is_empty(),
        };
        if beats {
            ledger.write().await;
        }
    }
}

/// Whether any integration has a limit that counts over time.
fn has_rates(state: &State) -> bool {
    let rate = |kind: &LimitKind| !matches!(kind, LimitKind::Concurrent(_));
    let directory = state.mesh().directory();
    directory.places().any(|place| place.plan().spec.limits.iter().any(|limit| rate(&limit.kind)))
}
