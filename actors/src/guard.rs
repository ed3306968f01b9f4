//! What happens when an actor's handler panics: it is caught, counted, and the actor is rebuilt.
//!
//! actix does not restart an actor that panics: its address closes for good, and every call on it is lost. So each
//! handler runs inside [`caught`]; a panic makes the actor stop itself, and its supervisor restarts it with the
//! mailbox intact. Restarts back off, and an actor that keeps panicking is quarantined: it stays alive, refuses
//! calls, and waits for a person. The policy is [`Restarts`], a plain value.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use causeway_core::time::Mono;

/// Panics within [`WINDOW`] that quarantine an actor.
pub const QUARANTINE_AFTER: usize = 5;
/// How far back panics count.
pub const WINDOW: Duration = Duration::from_secs(60);
/// The wait after the second panic in the window; it doubles with each further one. The first costs no wait.
const BASE_BACKOFF: Duration = Duration::from_millis(100);

/// Runs `body` and turns a panic into its message.
///
/// # Errors
/// The panic's message.
pub fn caught<R>(body: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

/// What a panic leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Work again after this wait.
    RestartAfter(Duration),
    /// Stay alive, refuse calls, wait for a person.
    Quarantine,
}

/// The panics of one actor.
#[derive(Debug, Default)]
pub struct Restarts {
    recent: VecDeque<Mono>,
    quarantined: bool,
}

impl Restarts {
    /// Of an actor that takes the place of one in quarantine.
    pub fn quarantined() -> Self {
        Self { quarantined: true, ..Self::default() }
    }

    /// Counts a panic and decides what it leads to. Only a person ends a quarantine, not a further panic much later.
    pub fn panicked(&mut self, now: Mono) -> Verdict {
        if !self.quarantined {
            self.recent.retain(|at| now.since(*at) < WINDOW);
            self.recent.push_back(now);
            self.quarantined = self.recent.len() >= QUARANTINE_AFTER;
        }
        if self.quarantined {
            return Verdict::Quarantine;
        }
        match self.recent.len() {
            0 | 1 => Verdict::RestartAfter(Duration::ZERO),
            n => Verdict::RestartAfter(BASE_BACKOFF.saturating_mul(1 << (n - 2).min(16))),
        }
    }

    /// Forgets the panics: a person has looked.
    pub fn forgive(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_back_off_and_end_in_quarantine() {
        let mut restarts = Restarts::default();
        let waits: Vec<Verdict> =
            (0..5).map(|n| restarts.panicked(Mono::ZERO + Duration::from_secs(n * 10))).collect();
        let after = |millis| Verdict::RestartAfter(Duration::from_millis(millis));
        assert_eq!(waits, [after(0), after(100), after(200), after(400), Verdict::Quarantine]);
        assert_eq!(restarts.panicked(Mono::ZERO + Duration::from_secs(5000)), Verdict::Quarantine);
        restarts.forgive();
        assert_eq!(restarts.panicked(Mono::ZERO + Duration::from_secs(5000)), after(0));
    }

    #[test]
    fn panics_a_minute_apart_do_not_add_up() {
        let mut restarts = Restarts::default();
        for n in 0..20 {
            let verdict = restarts.panicked(Mono::ZERO + Duration::from_secs(n * 60));
            assert_eq!(verdict, Verdict::RestartAfter(Duration::ZERO));
        }
    }

    #[test]
    fn a_panic_is_caught_with_its_message() {
        assert_eq!(caught(|| 1), Ok(1));
        assert_eq!(caught(|| panic!("no {}", "way")), Err::<(), _>("no way".to_owned()));
    }
}
