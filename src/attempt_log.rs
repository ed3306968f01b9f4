//! The log of attempts in the store: what became of each, sanitised, written many at once behind the back of those who
//! call.
//!
//! It is no promise. What comes faster than it can be written, or comes while the store fails, is let go of and
//! counted: `causeway_dropped_total{kind="attempt_log"}`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use causeway_actors::metric::{Labels, Metric};
use causeway_actors::store::{Attempt, Store};
use causeway_actors::{AttemptRecord, Attempts};
use causeway_core::json::Json;
use causeway_core::time::Wall;
use metrics::Counter;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;

/// The most attempts that wait to be written.
const MAX_WAITING: usize = 8192;
/// The most attempts in one piece.
const MAX_GROUP: usize = 512;
/// The largest input of a call that is kept, in bytes.
const MAX_INPUT: usize = 64 << 10;
/// How many bytes of inputs wait at once; beyond that attempts are kept without.
const MAX_WAITING_INPUT: usize = 16 << 20;
/// How long attempts gather before they are written.
const GATHER: Duration = Duration::from_millis(50);

enum Message {
    Ended(Box<Attempt>),
    /// Everything before it is to be written, and then this is told.
    Flush(oneshot::Sender<()>),
}

/// Takes attempts.
pub(crate) struct AttemptLog {
    sender: Sender<Message>,
    dropped: Counter,
    count: AtomicU32,
    /// Bytes of inputs that wait.
    held: Arc<AtomicUsize>,
}

impl AttemptLog {
    /// A log, and what [`keep`] is to write of it.
    pub(crate) fn new() -> (Arc<Self>, Waiting) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let dropped = Metric::Dropped.counter(&Labels::none().word("kind", "attempt_log"));
        dropped.increment(0);
        let held = Arc::<AtomicUsize>::default();
        let log =
            Self { sender, dropped: dropped.clone(), count: AtomicU32::new(0), held: Arc::clone(&held) };
        (Arc::new(log), Waiting { receiver, dropped, held })
    }

    /// Returns when everything that has ended so far is written, or let go of.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.sender.send(Message::Flush(done)).await.is_ok() {
            // Whoever writes may have ended; then there is nothing to wait for.
            let _ = written.await;
        }
    }
}

impl Attempts for AttemptLog {
    fn ended(&self, at: Wall, record: AttemptRecord, input: Option<&Json>) {
        let size = input.map_or(0, |input| input.bytes().len());
        let fits = size <= MAX_INPUT && self.held.load(Ordering::Relaxed) + size <= MAX_WAITING_INPUT;
        let (repeats_input, input) = (input.is_none(), input.filter(|_| fits).cloned());
        // In the order of their time, as ids of runs are; and of those of one millisecond in the order of their ends.
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let random = uuid::Uuid::new_v4().as_u64_pair().1 & 0xffff_ffff_ffff;
        let id = format!("att_{:012x}{number:08x}{random:012x}", at.unix_millis());
        let held = if fits { size } else { 0 };
        self.held.fetch_add(held, Ordering::Relaxed);
        if self
            .sender
            .try_send(Message::Ended(Box::new(Attempt { id, at, record, input, repeats_input })))
            .is_err()
        {
            self.held.fetch_sub(held, Ordering::Relaxed);
            self.dropped.increment(1);
        }
    }
}

/// Attempts that are to be written.
pub(crate) struct Waiting {
    receiver: Receiver<Message>,
    dropped: Counter,
    held: Arc<AtomicUsize>,
}

/// Writes attempts down, until nobody takes any more.
pub(crate) async fn keep(mut waiting: Waiting, store: Arc<dyn Store>) {
    let mut messages = Vec::with_capacity(MAX_GROUP);
    while waiting.receiver.recv_many(&mut messages, MAX_GROUP).await > 0 {
        let (mut attempts, mut told) = (Vec::new(), Vec::new());
        for message in messages.drain(..) {
            match message {
                Message::Ended(attempt) => attempts.push(*attempt),
                Message::Flush(done) => told.push(done),
            }
        }
        let count = attempts.len();
        let inputs = attempts.iter().filter_map(|attempt: &Attempt| attempt.input.as_ref());
        let held: usize = inputs.map(|input| input.bytes().len()).sum();
        if count > 0
            && let Err(error) = store.append_attempts(attempts).await
        {
            waiting.dropped.increment(count as u64);
            tracing::debug!(%error, count, "attempts are not written down");
        }
        waiting.held.fetch_sub(held, Ordering::Relaxed);
        let flushes = !told.is_empty();
        for done in told {
            // Whoever asked may have left.
            let _ = done.send(());
        }
        if !flushes && count < MAX_GROUP {
            tokio::time::sleep(GATHER).await;
        }
    }
}
