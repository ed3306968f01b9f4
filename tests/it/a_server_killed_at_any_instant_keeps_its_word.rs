//! A server under load is killed, again and again: at any microsecond of its life, and at every place before, in and after a
//! durable write and on the way of a request. What it had acknowledged is done, nothing that has a key is done twice, nothing
//! without one either unless a person said so, nothing is stuck, and whoever asks again is told the same.
//!
//! `scripts/crash KILLS [SEED]` runs it as often as one likes; a failure tells the seed. The provider lives on in the test's own
//! process, so its ledger is the truth.
//!
//! - `wishes`: what is asked for, and what was said of it;
//! - `load`: callers, and an operator who trips, cancels, redrives and settles;
//! - `world`: a server's data through its lives, each of which ends by a kill;
//! - `sweep`: lives that end at each failpoint there is;
//! - `judge`: what was said, compared with what was done.

mod judge;
mod load;
mod sweep;
mod wishes;
mod world;

use crate::support::Dice;
use crate::support::wait::Watch;
use world::{Kills, Store, World};

/// As many kills as the tests make, or some more.
const KILLS: usize = 200;
/// As many kills as the tests make of a server whose store is a PostgreSQL database.
const KILLS_ON_POSTGRES: usize = 130;
/// Kills at random instants of one server's data, after which everything is compared.
const KILLS_OF_ONE: usize = 25;
/// The fewest kills of a sweep through all failpoints.
const KILLS_OF_A_SWEEP: usize = 80;
/// As many kills have one sweep among them; fewer than half of that have none.
const KILLS_PER_SWEEP: usize = 200;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.trim().parse().ok())
}

/// How many kills are wanted at random instants, and how many sweeps: all in all so many as usual, or as `CRASH_KILLS` says.
fn wanted(usual: usize) -> (usize, usize) {
    let kills = number("CRASH_KILLS").map_or(usual, |kills| usize::try_from(kills).expect("a number"));
    let sweeps = (kills + KILLS_PER_SWEEP / 2) / KILLS_PER_SWEEP;
    (kills.saturating_sub(sweeps * KILLS_OF_A_SWEEP), sweeps)
}

/// Chance that a failure tells how to have again.
fn dice() -> Dice {
    let seed = number("CRASH_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    println!("seed {seed}");
    Dice(seed)
}

/// Kills a server so often at random instants.
async fn at_random(mut left: usize, store: Store) {
    let (watch, mut dice, mut kills) = (Watch::start(), dice(), Kills::default());
    while left > 0 {
        let some = left.min(KILLS_OF_ONE);
        let mut world = World::new(dice.roll(u64::MAX), store).await;
        world.is_killed_at_random(some).await;
        judge::compare(&world).await;
        kills.add(world);
        left -= some;
    }
    kills.tell(watch.elapsed());
}

/// Has a server die at each failpoint so often.
async fn at_failpoints(sweeps: usize, store: Store) {
    assert!(
        causeway::failpoint::are_there(),
        "this build has no failpoints: run scripts/test or scripts/crash, or cargo with --features failpoints"
    );
    let (watch, mut dice, mut kills) = (Watch::start(), dice(), Kills::default());
    for _ in 0..sweeps {
        let mut world = World::new(dice.roll(u64::MAX), store).await;
        sweep::through(&mut world).await;
        judge::compare(&world).await;
        sweep::of_what_is_old(&mut world).await;
        kills.add(world);
    }
    kills.tell(watch.elapsed());
    assert!(sweeps == 0 || kills.missed(store).is_empty(), "never come by: {:?}", kills.missed(store));
}

mod sqlite {
    use super::*;

    #[tokio::test]
    async fn at_random_instants() {
        at_random(wanted(KILLS).0, Store::Sqlite).await;
    }

    #[tokio::test]
    async fn at_every_failpoint() {
        at_failpoints(wanted(KILLS).1, Store::Sqlite).await;
    }
}

mod postgresql {
    use super::*;

    #[tokio::test]
    async fn at_random_instants() {
        at_random(wanted(KILLS_ON_POSTGRES).0, Store::Postgres).await;
    }

    #[tokio::test]
    async fn at_every_failpoint() {
        at_failpoints(wanted(KILLS_ON_POSTGRES).1, Store::Postgres).await;
    }
}
