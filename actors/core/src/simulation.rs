//! A hundred thousand seeded lives of the whole core: operations of several steps over several integrations, some of
//! which share an account, at providers that follow a script of good and bad hours.
//!
//! Time is virtual: the world jumps from one event to the next. Callers come, wait or leave; providers answer, refuse,
//! fail, hang, limit and lose answers; integrations are rebuilt after a panic, tripped and reset by people. Each provider
//! keeps a [ledger](provider) of what it has done and counts what it has got. At the end the outcome of each run is held
//! against the ledgers: what is told as done was done, once; what is told as failed was not; what was taken back was
//! taken back; doubt is told as doubt. No provider has ever got more than its limits allow, no key was used for two
//! effects, every caller was answered by its deadline, every run has ended, and everything held is back. A failure
//! prints its seed, and a seed always tells the same story.

mod judge;
mod provider;
mod world;

use world::World;

const SEEDS: u64 = 100_000;

/// A small generator of our own: the same numbers everywhere, for ever.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }

    fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    fn millis(&mut self, from: u64, to: u64) -> std::time::Duration {
        std::time::Duration::from_millis(from + self.below(to - from))
    }
}

fn live(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let lived = std::panic::catch_unwind(|| World::new(seed).live());
        assert!(lived.is_ok(), "seed {seed} fails: see the assertion above");
    }
}

// In quarters, so that they run side by side.
#[test]
fn outcomes_are_true_whatever_happens_first_quarter() {
    live(0..SEEDS / 4);
}

#[test]
fn outcomes_are_true_whatever_happens_second_quarter() {
    live(SEEDS / 4..SEEDS / 2);
}

#[test]
fn outcomes_are_true_whatever_happens_third_quarter() {
    live(SEEDS / 2..SEEDS / 4 * 3);
}

#[test]
fn outcomes_are_true_whatever_happens_fourth_quarter() {
    live(SEEDS / 4 * 3..SEEDS);
}

#[test]
fn a_seed_always_tells_the_same_story() {
    for seed in 0..500 {
        assert_eq!(World::new(seed).live(), World::new(seed).live(), "seed {seed}");
    }
}

#[test]
fn the_lives_have_all_there_is() {
    // What the simulation never meets it does not test.
    let mut met = std::collections::BTreeMap::<String, u32>::new();
    for seed in 0..2_000 {
        for line in World::new(seed).live() {
            *met.entry(line.word).or_default() += 1;
        }
    }
    for word in [
        "run succeeded",
        "run partial",
        "run failed",
        "run unknown",
        "run cancelled",
        "step undone",
        "step skipped",
        "by alternate",
        "by stale",
        "by value",
        "code breaker_open",
        "code throttled",
        "code overloaded",
        "code retry_budget_exhausted",
        "pending",
        "accepted",
        "retry",
        "replayed",
        "drained",
        "restart",
        "cut",
        "probe",
        "group",
        "opened",
    ] {
        assert!(met.get(word).is_some_and(|times| *times >= 10), "{word}: {met:#?}");
    }
}
