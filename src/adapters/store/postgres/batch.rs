//! Calls of one kind that wait are written together: while some are on their way to the disk, the next ones gather.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use causeway_actors::store::Unavailable;
use tokio::sync::oneshot;

use super::database::{Database, Failed, unavailable};

/// The most calls in one transaction.
const MAX_GROUP: usize = 128;
/// The most transactions of one kind at once.
const MAX_WRITERS: usize = 2;

/// A kind of call, and how many of them are written at once.
pub(super) trait Kind: 'static {
    /// What is asked.
    type Call: 'static;
    /// What comes of it.
    type Done: 'static;

    /// Writes them together: what comes of each, in their order. It may be done more than once.
    async fn write(database: &Database, calls: &[Self::Call]) -> Result<Vec<Self::Done>, Failed>;
}

type Reply<K> = oneshot::Sender<Result<<K as Kind>::Done, Unavailable>>;

/// Calls of a kind that wait.
pub(super) struct Batch<K: Kind> {
    waiting: RefCell<VecDeque<(K::Call, Reply<K>)>>,
    writers: Cell<usize>,
}

impl<K: Kind> Batch<K> {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { waiting: RefCell::default(), writers: Cell::new(0) })
    }

    /// Has a call written.
    pub(super) async fn write(
        self: &Rc<Self>,
        database: &Rc<Database>,
        call: K::Call,
    ) -> Result<K::Done, Unavailable> {
        let (reply, answered) = oneshot::channel();
        self.waiting.borrow_mut().push_back((call, reply));
        if self.writers.get() < MAX_WRITERS {
            self.writers.set(self.writers.get() + 1);
            tokio::task::spawn_local(Rc::clone(self).serve(Rc::clone(database)));
        }
        answered.await.unwrap_or_else(|_| Err(Unavailable("a call was left without an answer".to_owned())))
    }

    async fn serve(self: Rc<Self>, database: Rc<Database>) {
        loop {
            let group: Vec<_> = {
                let mut waiting = self.waiting.borrow_mut();
                let most = waiting.len().min(MAX_GROUP);
                waiting.drain(..most).collect()
            };
            if group.is_empty() {
                self.writers.set(self.writers.get() - 1);
                return;
            }
            let (calls, replies): (Vec<_>, Vec<_>) = group.into_iter().unzip();
            Self::group(&database, calls, replies).await;
        }
    }

    async fn group(database: &Database, calls: Vec<K::Call>, replies: Vec<Reply<K>>) {
        let written = K::write(database, &calls).await;
        // Whoever asked may have left.
        match written {
            Ok(done) => {
                for (done, reply) in done.into_iter().zip(replies) {
                    let _ = reply.send(Ok(done));
                }
            }
            Err(error) if calls.len() > 1 && error.is_of_one_call() => {
                for (call, reply) in calls.into_iter().zip(replies) {
                    Box::pin(Self::group(database, vec![call], vec![reply])).await;
                }
            }
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(unavailable(&error)));
                }
            }
        }
    }
}
