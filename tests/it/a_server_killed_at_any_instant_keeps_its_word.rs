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

/// As many kills as the tests make.
const KILLS: usize = 200;
/// As many kills as the tests make of a server whose store is a PostgreSQL database.
const KILLS_ON_POSTGRES: usize = 125;
/// Kills at random instants of one server's data, after which everything is compared.
const KILLS_OF_ONE: usize = 25;
/// A sweep of all failpoints makes about half as many kills.
const KILLS_PER_SWEEP: usize = 200;
/// The fewest kills that have a sweep among them.
const KILLS_WITH_A_SWEEP: usize = 100;

/// Kills a server so often, or as often as `CRASH_KILLS` says, at failpoints and at random instants.
async fn kill(usual: usize, store: Store) {
    assert!(
        causeway::failpoint::are_there(),
        "this build has no failpoints: run scripts/test or scripts/crash, or cargo with --features failpoints"
    );
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let wanted = number("CRASH_KILLS").map_or(usual, |kills| usize::try_from(kills).expect("a number"));
    let seed = number("CRASH_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    println!("{wanted} kills, seed {seed}");
    let (watch, mut dice, mut kills) = (Watch::start(), Dice(seed), Kills::default());
    while kills.count() < wanted {
        let left = wanted - kills.count();
        let mut world = World::new(dice.roll(u64::MAX), store).await;
        if left >= KILLS_WITH_A_SWEEP && kills.sweeps * KILLS_PER_SWEEP <= kills.count() {
            sweep::through(&mut world).await;
            judge::compare(&world).await;
            sweep::of_what_is_old(&mut world).await;
            kills.sweeps += 1;
        } else {
            world.is_killed_at_random(left.min(KILLS_OF_ONE)).await;
            judge::compare(&world).await;
        }
        kills.add(world);
    }
    kills.tell(watch.elapsed());
    assert!(kills.sweeps == 0 || kills.missed(store).is_empty(), "never reached: {:?}", kills.missed(store));
}

#[tokio::test]
async fn and_does_nothing_twice() {
    kill(KILLS, Store::Sqlite).await;
}

#[tokio::test]
async fn and_does_nothing_twice_on_postgres() {
    kill(KILLS_ON_POSTGRES, Store::Postgres).await;
}
