//! The sliding window: never more than so many in *any* span of a given length.
//!
//! A token bucket lets up to rate + burst through in one period, by its nature; where a provider counts strictly, that
//! is too much. Here each taking is remembered with its instant and counts for exactly `per`: a token taken at `t` is
//! there again at `t + per` and not a nanosecond before. No grid, no slices, no weighted guess.
//!
//! A token is taken when we send. A provider counts when a request arrives, and the way there varies: it may see two
//! requests nearer to each other than they were sent. That is what the spec's margin is for, by which the window is
//! longer than the provider's; whose way varies by more sets `requests` a little below the provider's.
//!
//! Memory is bounded by [`MAX_ENTRIES`]: up to that many tokens per window each taking has its own entry. Above it,
//! takings within `per / MAX_ENTRIES` of each other share an entry, which counts from the *last* of them: the promise
//! stays exact, and a token comes back at most that much later.

use std::collections::VecDeque;
use std::time::Duration;

use super::spec::SlidingWindowSpec;
use crate::time::Mono;

/// The most takings that one window remembers apart.
pub const MAX_ENTRIES: u32 = 4096;

/// One budget of tokens.
#[derive(Clone, Debug)]
pub struct SlidingWindow {
    requests: u32,
    per: Duration,
    /// Takings in the same cell of this many nanoseconds share an entry.
    grain: u128,
    /// In the order of time; those older than `per` are dropped at the next taking.
    entries: VecDeque<Entry>,
    /// The sum over `entries`.
    held: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Mono,
    tokens: u32,
}

impl SlidingWindow {
    /// An empty window: all tokens are there. A zero in the spec counts as the least above it.
    pub fn new(spec: &SlidingWindowSpec) -> Self {
        let (requests, per) =
            (spec.requests.max(1), spec.per.saturating_add(spec.margin).max(Duration::from_nanos(1)));
        let cells = if requests > MAX_ENTRIES { u128::from(MAX_ENTRIES) } else { u128::MAX };
        let grain = (per.as_nanos() / cells).max(1);
        Self { requests, per, grain, entries: VecDeque::new(), held: 0 }
    }

    /// How many tokens there are when nothing was taken.
    pub const fn capacity(&self) -> u32 {
        self.requests
    }

    /// The window's length, its margin included.
    pub const fn per(&self) -> Duration {
        self.per
    }

    /// Tokens to be had at `now`.
    pub fn available(&self, now: Mono) -> u32 {
        self.requests.saturating_sub(self.used(now))
    }

    /// How long until the last of `ahead + 1` takings of `n` tokens can be made, if each is made as soon as it can
    /// be. [`Duration::MAX`] if `n` is above the capacity.
    ///
    /// At most `capacity / n` of them fit into one window, so each goes one window after the one that many before it.
    pub fn ready_in_turn(&self, now: Mono, n: u32, ahead: u32) -> Duration {
        let Some(fitting) = self.requests.checked_div(n) else { return Duration::ZERO };
        let Some(rounds) = ahead.checked_div(fitting) else { return Duration::MAX };
        let first_rounds = self.room_in(now, (ahead % fitting + 1) * n);
        if rounds == 0 { first_rounds } else { self.per.saturating_mul(rounds).saturating_add(first_rounds) }
    }

    /// How long until all tokens are there if nobody takes any more.
    pub fn full_in(&self, now: Mono) -> Duration {
        self.entries.back().map_or(Duration::ZERO, |last| self.left(last, now))
    }

    /// Takes `n` tokens that are known to be there.
    pub fn spend(&mut self, now: Mono, n: u32) {
        while let Some(oldest) = self.entries.front().filter(|oldest| self.left(oldest, now).is_zero()) {
            self.held = self.held.saturating_sub(oldest.tokens);
            self.entries.pop_front();
        }
        if n == 0 {
            return;
        }
        self.held = self.held.saturating_add(n);
        let cell = self.cell(now);
        match self.entries.back().filter(|last| last.at >= now || self.cell(last.at) == cell).copied() {
            Some(last) => {
                self.entries.pop_back();
                let at = last.at.max(now);
                self.entries.push_back(Entry { at, tokens: last.tokens.saturating_add(n) });
            }
            None => self.entries.push_back(Entry { at: now, tokens: n }),
        }
    }

    /// Puts back `n` tokens that were taken at `at` and not used: it is as if they had not been taken. Nothing
    /// happens once they have come back by themselves.
    pub fn give_back(&mut self, at: Mono, n: u32) {
        let index = self.entries.partition_point(|entry| entry.at < at);
        let cell = self.cell(at);
        let grain = self.grain;
        let Some(entry) = self.entries.get_mut(index) else { return };
        if cell != entry.at.since_origin().as_nanos() / grain {
            return;
        }
        let back = n.min(entry.tokens);
        entry.tokens -= back;
        self.held = self.held.saturating_sub(back);
        if entry.tokens == 0 {
            self.entries.remove(index);
        }
    }

    /// Goes on under another spec. What was taken counts for the new span; what the old span had already forgotten
    /// is not known any more.
    pub fn respec(&mut self, spec: &SlidingWindowSpec) {
        let Self { entries, held, .. } = std::mem::replace(self, Self::new(spec));
        (self.entries, self.held) = (entries, held);
    }

    fn used(&self, now: Mono) -> u32 {
        let gone = self.entries.iter().take_while(|entry| self.left(entry, now).is_zero());
        self.held.saturating_sub(gone.map(|entry| entry.tokens).fold(0, u32::saturating_add))
    }

    /// How long until `n` tokens, at most the capacity, are there at once.
    fn room_in(&self, now: Mono, n: u32) -> Duration {
        let mut held = self.held;
        let fits = self.requests - n.min(self.requests);
        for entry in &self.entries {
            let left = self.left(entry, now);
            if held <= fits && !left.is_zero() {
                break;
            }
            held = held.saturating_sub(entry.tokens);
            if held <= fits && !left.is_zero() {
                return left;
            }
        }
        Duration::ZERO
    }

    /// How long an entry still counts.
    const fn left(&self, entry: &Entry, now: Mono) -> Duration {
        self.per.saturating_sub(now.since(entry.at))
    }

    const fn cell(&self, at: Mono) -> u128 {
        at.since_origin().as_nanos() / self.grain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Mono {
        Mono::from_origin(Duration::from_millis(millis))
    }

    fn window(requests: u32, millis: u64) -> SlidingWindow {
        SlidingWindow::new(&SlidingWindowSpec::exact(requests, Duration::from_millis(millis)))
    }

    #[test]
    fn each_token_comes_back_after_its_own_window() {
        let mut window = window(3, 1_000);
        window.spend(at(0), 1);
        window.spend(at(400), 2);
        assert_eq!(window.ready_in_turn(at(500), 1, 0), Duration::from_millis(500));
        assert_eq!(window.ready_in_turn(at(500), 2, 0), Duration::from_millis(900));
        assert_eq!(window.ready_in_turn(at(500), 1, 3), Duration::from_millis(1_500));
        assert_eq!(window.ready_in_turn(at(500), 4, 0), Duration::MAX);
        assert_eq!([999, 1_000, 1_399, 1_400].map(|now| window.available(at(now))), [0, 1, 1, 3]);
        assert_eq!(window.full_in(at(500)), Duration::from_millis(900));
    }

    #[test]
    fn what_is_given_back_counts_no_more_and_is_given_back_once() {
        let mut window = window(3, 1_000);
        window.spend(at(0), 3);
        window.give_back(at(0), 2);
        assert_eq!(window.available(at(1)), 2);
        window.spend(at(1_000), 3);
        window.give_back(at(0), 1);
        assert_eq!(window.available(at(1_000)), 0, "it had come back by itself");
    }

    #[test]
    fn memory_is_bounded_and_the_promise_kept() {
        let mut window = window(1_000_000, 1_000);
        for micros in 0..900_000 {
            window.spend(Mono::from_origin(Duration::from_micros(micros)), 1);
        }
        assert!(window.entries.len() <= MAX_ENTRIES as usize + 1, "{}", window.entries.len());
        let first_comes_back = window.ready_in_turn(at(900), 1, 100_000);
        let late = first_comes_back - Duration::from_millis(100);
        assert!(late <= Duration::from_micros(1_000_000 / u64::from(MAX_ENTRIES) + 1), "{late:?}");
    }

    #[test]
    fn time_that_stands_still_or_is_at_its_end_is_no_trouble() {
        let mut window = window(3, 1_000);
        window.spend(Mono::MAX, 3);
        window.spend(at(0), 1);
        assert_eq!(window.available(Mono::MAX), 0);
        window.give_back(Mono::MAX, u32::MAX);
        assert_eq!(window.available(Mono::MAX), 3);
    }
}
