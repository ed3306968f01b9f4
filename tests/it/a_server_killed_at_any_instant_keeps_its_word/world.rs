//! A server's data, a provider that outlives it, and lives that end by a kill.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::Duration;

use causeway::failpoint::{self, Durable, Failpoint};
use causeway::sandbox::{Action, Behaviour};
use futures_util::future::join_all;
use tempfile::TempDir;

use super::load::{self, Deed, Operator};
use super::wishes::{self, Memory};
use crate::support::clock::Clock;
use crate::support::postgres::{self, Database};
use crate::support::process::causeway;
use crate::support::{Client, Dice, Process, Provider, until};

/// Callers at once.
const CALLERS: usize = 8;
/// The same, where all that matters is that a failpoint is come by.
const FEW_CALLERS: usize = 4;
/// The longest that a server lives after it has begun to serve, in microseconds, where chance ends it.
const LIFE: u64 = 120_000;

/// Where the server keeps its word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    Sqlite,
    Postgres,
}

impl Store {
    /// Whether it comes by a failpoint in a server's life.
    pub(super) fn has(self, point: &Failpoint) -> bool {
        match point {
            // No server asks for it by itself.
            Failpoint::Write(Durable::Check, _) => false,
            Failpoint::Write(Durable::KeyFile, _) => self == Self::Sqlite,
            Failpoint::Write(Durable::Own, _) => self == Self::Postgres,
            Failpoint::Write(..) | Failpoint::Request(_) => true,
        }
    }
}

/// How many kills there were, and where.
#[derive(Default)]
pub(super) struct Kills {
    at_random: usize,
    at: BTreeMap<Failpoint, usize>,
    wishes: usize,
}

impl Kills {
    pub(super) fn count(&self) -> usize {
        self.at_random + self.at.values().sum::<usize>()
    }

    pub(super) fn add(&mut self, world: World) {
        self.at_random += world.kills.at_random;
        for (point, kills) in world.kills.at {
            *self.at.entry(point).or_default() += kills;
        }
        self.wishes += world.memory.with(|words| words.wishes.len());
    }

    /// What no server has come by.
    pub(super) fn missed(&self, store: Store) -> Vec<String> {
        let missed = failpoint::all().filter(|point| store.has(point) && !self.at.contains_key(point));
        missed.map(|point| point.to_string()).collect()
    }

    pub(super) fn tell(&self, took: Duration) {
        println!(
            "{} kills: {} at random instants, {} at {} failpoints; {} wishes; {:.0} s",
            self.count(),
            self.at_random,
            self.count() - self.at_random,
            self.at.len(),
            self.wishes,
            took.as_secs_f64(),
        );
        for (point, kills) in &self.at {
            println!("  {point}: {kills}");
        }
    }
}

/// A server through its lives.
pub(super) struct World {
    pub(super) provider: Provider,
    pub(super) memory: Memory,
    pub(super) dice: Dice,
    pub(super) store: Store,
    dir: TempDir,
    _database: Option<Database>,
    kills: Kills,
}

impl World {
    pub(super) async fn new(seed: u64, store: Store) -> Self {
        let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
        let database = match store {
            Store::Sqlite => None,
            Store::Postgres => Some(Database::new().await),
        };
        let config = wishes::config(&provider);
        let config = match &database {
            None => config,
            Some(database) => postgres::kept_in(config, &database.url, dir.path()),
        };
        config.write(dir.path());
        let (memory, dice, kills) = (Memory::default(), Dice(seed), Kills::default());
        Self { provider, memory, dice, store, dir, _database: database, kills }
    }

    /// The server's command line.
    pub(super) fn command(&self) -> Command {
        causeway(&["serve", "--config", self.dir.path().to_str().expect("a path")])
    }

    /// A wall clock for its servers.
    pub(super) fn clock(&self) -> Clock {
        Clock::new(self.dir.path())
    }

    /// The configuration says the same in other words.
    pub(super) fn changes_its_configuration(&self) {
        let path = self.dir.path().join("causeway.toml");
        let text = std::fs::read_to_string(&path).expect("a configuration");
        std::fs::write(&path, text + "# So be it.\n").expect("it is written");
    }

    /// The server begins another life, which nothing is to end.
    pub(super) async fn serve(&self) -> (Process, Client, Client) {
        let mut server = Process::start(&mut self.command());
        let (api, admin) = server.serves().await;
        (server, api, admin)
    }

    /// Lives so often, each time with another trouble, until chance ends it.
    pub(super) async fn is_killed_at_random(&mut self, kills: usize) {
        for _ in 0..kills {
            self.is_in_trouble();
            let (mut server, api, admin) = self.serve().await;
            let load = self.load(api, admin, CALLERS, None);
            tokio::time::sleep(Duration::from_micros(self.dice.roll(LIFE))).await;
            server.kill();
            self.kills.at_random += 1;
            load.await;
        }
    }

    /// The next requests do not go well.
    pub(super) fn is_in_trouble(&mut self) {
        let troubles = [
            Behaviour::normal().delayed(Duration::from_millis(self.dice.roll(15))),
            Behaviour::from(Action::DropAfter {}),
            Behaviour::from(Action::DropBefore {}),
            Behaviour::from(Action::Hang { act: self.dice.roll(2) == 0 }),
            Behaviour::status(503),
        ];
        let trouble = self.dice.pick(&troubles);
        self.provider.next((0..4).map(|_| trouble.clone()));
    }

    /// Begins a life that nobody asks for anything and that dies at a failpoint; `false`: it does not come by before it serves.
    pub(super) async fn dies_starting(&mut self, point: Failpoint, command: &mut Command) -> bool {
        let mut server = Process::start(command.env("FAILPOINTS", format!("{point}=return")));
        let served = server.serves_or_ends().await.is_some();
        if !served {
            self.is_found_dead(server, point).await;
        }
        !served
    }

    /// The same, where it comes by as soon as it serves.
    pub(super) async fn dies_idle(&mut self, point: Failpoint, command: &mut Command) {
        let mut server = Process::start(command.env("FAILPOINTS", format!("{point}=return")));
        server.serves_or_ends().await;
        self.is_found_dead(server, point).await;
    }

    /// Lives until it comes by a failpoint for the `nth` time, asked for all sorts of things, for one above all. `too` is
    /// armed with it.
    pub(super) async fn dies_serving(&mut self, point: Failpoint, nth: u64, too: &str, above: Option<Deed>) {
        let armed = format!(
            "{too}{point}={}return",
            if nth > 1 { format!("{}*off->", nth - 1) } else { String::new() }
        );
        let mut server = Process::start(self.command().env("FAILPOINTS", &armed));
        let served = server.serves_or_ends().await;
        let load = served.map(|(api, admin)| self.load(api, admin, FEW_CALLERS, above));
        let what = format!("a server dies that is armed with {armed}");
        until(&what, async || server.has_ended().then_some(())).await;
        self.is_found_dead(server, point).await;
        if let Some(load) = load {
            load.await;
        }
    }

    /// The server has ended at a failpoint, as by `kill -9`.
    pub(super) async fn is_found_dead(&mut self, server: Process, point: Failpoint) {
        let ended = server.ended().await;
        assert_eq!(ended.status.signal(), Some(9), "armed with {point} it ended otherwise: {ended:?}");
        *self.kills.at.entry(point).or_default() += 1;
    }

    /// Asks until the server is gone.
    fn load(
        &mut self,
        api: Client,
        admin: Client,
        callers: usize,
        above: Option<Deed>,
    ) -> impl Future<Output = ()> + use<> {
        let operator = Operator { api, admin, memory: self.memory.clone(), above };
        let mut all = vec![tokio::spawn(operator.work(Dice(self.dice.roll(u64::MAX))))];
        all.extend(
            (0..callers)
                .map(|_| tokio::spawn(load::call(api, self.memory.clone(), Dice(self.dice.roll(u64::MAX))))),
        );
        async {
            for ended in join_all(all).await {
                ended.expect("a promise was kept");
            }
        }
    }
}
