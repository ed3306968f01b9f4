//! Places that can be given out, of which there may be more or fewer later on.
//!
//! Growing takes effect at once. Shrinking does as places come back: whoever has one keeps it, and what comes back is
//! not given out again until there are as few as there should be.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

/// The places.
pub(crate) struct Permits {
    semaphore: Arc<Semaphore>,
    size: Arc<Mutex<Size>>,
}

struct Size {
    /// How many there are, given out or not.
    total: usize,
    /// How often it was changed: what still waits for an earlier change does nothing.
    epoch: u64,
    /// Waits for places to take out.
    shrinking: Option<AbortHandle>,
}

impl Permits {
    /// So many, none of them given out.
    pub(crate) fn new(total: usize) -> Self {
        let total = total.min(Semaphore::MAX_PERMITS);
        let size = Arc::new(Mutex::new(Size { total, epoch: 0, shrinking: None }));
        Self { semaphore: Arc::new(Semaphore::new(total)), size }
    }

    /// One of them, if there is one.
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.semaphore).try_acquire_owned().ok()
    }

    /// How many are given out.
    pub(crate) fn taken(&self) -> usize {
        let total = self.size.lock().unwrap_or_else(PoisonError::into_inner).total;
        total.saturating_sub(self.semaphore.available_permits())
    }

    /// Lets there be so many from now on. Call inside a runtime.
    pub(crate) fn resize(&self, wanted: usize) {
        let wanted = wanted.min(Semaphore::MAX_PERMITS);
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        size.epoch += 1;
        if let Some(shrinking) = size.shrinking.take() {
            shrinking.abort();
        }
        if wanted >= size.total {
            self.semaphore.add_permits(wanted - size.total);
            size.total = wanted;
            return;
        }
        let mut left = size.total - wanted;
        let forgotten = self.semaphore.forget_permits(left);
        size.total -= forgotten;
        left -= forgotten;
        if left > 0 {
            let (semaphore, size_of, epoch) =
                (Arc::clone(&self.semaphore), Arc::clone(&self.size), size.epoch);
            let shrink = async move {
                for _ in 0..left {
                    let Ok(permit) = semaphore.acquire().await else { return };
                    let mut size = size_of.lock().unwrap_or_else(PoisonError::into_inner);
                    if size.epoch != epoch {
                        return;
                    }
                    permit.forget();
                    size.total -= 1;
                }
            };
            size.shrinking = Some(tokio::spawn(shrink).abort_handle());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn more_are_there_at_once() {
        let permits = Permits::new(1);
        let _held = permits.take().unwrap();
        assert!(permits.take().is_none());
        permits.resize(2);
        let second = permits.take().unwrap();
        assert!(permits.take().is_none());
        assert_eq!(permits.taken(), 2);
        drop(second);
        assert_eq!(permits.taken(), 1);
    }

    #[tokio::test]
    async fn fewer_are_there_as_they_come_back() {
        let permits = Permits::new(4);
        let mut held: Vec<_> = (0..3).map(|_| permits.take().unwrap()).collect();
        permits.resize(1);
        settle().await;
        assert!(permits.take().is_none(), "the one that was free is gone");
        assert_eq!(permits.taken(), 3);
        held.pop();
        settle().await;
        assert!(permits.take().is_none());
        held.pop();
        settle().await;
        assert!(permits.take().is_none());
        assert_eq!(permits.taken(), 1);
        held.pop();
        settle().await;
        let one = permits.take();
        assert!(one.is_some() && permits.take().is_none());
    }

    #[tokio::test]
    async fn a_change_of_mind_leaves_as_many_as_were_asked_for_last() {
        let permits = Permits::new(3);
        let held: Vec<_> = (0..3).map(|_| permits.take().unwrap()).collect();
        permits.resize(1);
        settle().await;
        permits.resize(5);
        settle().await;
        assert_eq!(permits.taken(), 3);
        let more: Vec<_> = std::iter::from_fn(|| permits.take()).collect();
        assert_eq!(more.len(), 2);
        drop((held, more));
        settle().await;
        assert_eq!(permits.taken(), 0);
        assert_eq!(std::iter::from_fn(|| permits.take()).collect::<Vec<_>>().len(), 5);
    }
}
