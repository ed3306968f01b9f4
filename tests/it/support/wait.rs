//! Waiting for a condition, with a deadline; and measuring.

use std::time::Duration;

use causeway_actors::clock::Clock;
use causeway_core::time::Mono;

/// The longest wait for anything that must happen: far above what a busy machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Looks until there is something to be seen. Fails the test when there is nothing for too long.
pub(crate) async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, look).await
}

/// The same, for what takes long by itself.
pub(crate) async fn until_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let watch = Watch::start();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(watch.elapsed() < patience, "waited {} s in vain: {what}", patience.as_secs());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Measures how long something takes.
#[derive(Clone, Copy)]
pub(crate) struct Watch(Clock, Mono);

impl Watch {
    pub(crate) fn start() -> Self {
        let clock = Clock::start();
        Self(clock, clock.mono())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.mono().since(self.1)
    }
}
