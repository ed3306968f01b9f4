//! A server under load is killed, again and again, at any microsecond of its life. What it had acknowledged is done, nothing that
//! has a key is done twice, and nothing is stuck.
//!
//! `scripts/crash KILLS [SEED]` runs it as often as one likes; a failure tells the seed. The provider lives on in the test's own
//! process, so its ledger is the truth.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use causeway::sandbox::{Action, Behaviour};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::postgres::{self, Database};
use crate::support::process::causeway;
use crate::support::{Ask, Client, Config, Dice, Process, Provider, until};

/// As many kills as the tests make.
const KILLS: usize = 200;
/// As many kills as the tests make of a server whose store is a PostgreSQL database.
const KILLS_ON_POSTGRES: usize = 50;
/// Kills of one server's data, after which everything is compared.
const KILLS_OF_ONE: usize = 25;
/// Callers at once.
const CALLERS: usize = 8;
/// The longest that a server lives after it has begun to serve, in microseconds.
const LIFE: u64 = 120_000;

/// What is asked for: by the amount of its charge it is known again in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wish {
    amount: u64,
    operation: &'static str,
}

/// What was said of a wish before the server was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// That it is done.
    Done,
    /// That it will be done.
    Accepted,
    /// Something else.
    Else(u16),
}

const OPERATIONS: [&str; 4] = ["payments.charge", "later", "payments.charge_once", "both"];

impl Wish {
    fn ask(self) -> Ask {
        let input = json!({ "amount": self.amount, "currency": "eur", "source": "tok_visa" });
        Ask::run(self.operation, &input).header("idempotency-key", &format!("wish-{}", self.amount))
    }

    /// The effects that it has when it is done.
    fn effects(self) -> usize {
        if self.operation == "both" { 2 } else { 1 }
    }

    /// Whether its provider takes a key for it, so that there is no doubt.
    fn is_keyed(self) -> bool {
        self.operation != "payments.charge_once"
    }
}

type Words = Arc<Mutex<BTreeMap<Wish, Option<Said>>>>;

fn config(provider: &Provider) -> Config {
    let sections = "[retry]\nmax_retries = 20\nbase_delay = \"5ms\"\nmax_delay = \"20ms\"\nbudget_min = 100000\n[retry.queued]\nmax_retries = 100\nmax_delay = \"50ms\"\n[breaker]\nfailures = 1000000\n[queue]\nlease = \"2s\"";
    let both = "deadline = \"15s\"\n[[steps]]\nname = \"one\"\ncall = \"payments.charge\"\n[[steps]]\nname = \"two\"\nafter = [\"one\"]\ncall = \"payments.charge\"\ninput = '.input'\nbackground = true\n";
    Config::payments(&provider.url(), sections)
        .operation("later", "mode = \"async\"\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n")
        .operation("both", both)
}

/// Asks until the server is gone.
async fn ask_on(api: Client, words: Words, numbers: Arc<Mutex<u64>>, mut dice: Dice) {
    loop {
        let amount = {
            let mut next = numbers.lock().expect("a number");
            *next += 1;
            *next
        };
        let operation = OPERATIONS[usize::try_from(dice.roll(4)).expect("a place")];
        let wish = Wish { amount, operation };
        words.lock().expect("the words").insert(wish, None);
        let Ok(answer) = api.try_send(wish.ask()).await else { return };
        let said = match answer.status {
            200 => Said::Done,
            202 => Said::Accepted,
            other => Said::Else(other),
        };
        words.lock().expect("the words").insert(wish, Some(said));
    }
}

/// Serves, is asked, and is killed: so often. Then everything that was wished is compared with what was done.
async fn lives(kills: usize, seed: u64, store: Store) {
    let mut dice = Dice(seed);
    let provider = Provider::start();
    let troubles = [
        Behaviour::normal().delayed(Duration::from_millis(dice.roll(15))),
        Behaviour::from(Action::DropAfter {}),
        Behaviour::from(Action::DropBefore {}),
        Behaviour::status(503),
    ];
    let dir = tempfile::tempdir().expect("a directory");
    let database = match store {
        Store::Sqlite => None,
        Store::Postgres => Some(Database::new().await),
    };
    let config = config(&provider);
    let config = match &database {
        None => config,
        Some(database) => postgres::kept_in(config, &database.url, dir.path()),
    };
    config.write(dir.path());
    let path = dir.path().to_str().expect("a path").to_owned();
    let (words, numbers) = (Words::default(), Arc::new(Mutex::new(0)));
    for _ in 0..kills {
        let trouble = &troubles[usize::try_from(dice.roll(4)).expect("a place")];
        provider.next((0..4).map(|_| trouble.clone()));
        let mut server = Process::start(&mut causeway(&["serve", "--config", &path]));
        let (api, _) = server.serves().await;
        let callers = (0..CALLERS).map(|_| {
            let dice = Dice(dice.roll(u64::MAX));
            tokio::spawn(ask_on(api, Arc::clone(&words), Arc::clone(&numbers), dice))
        });
        let callers: Vec<_> = callers.collect();
        tokio::time::sleep(Duration::from_micros(dice.roll(LIFE))).await;
        server.kill();
        join_all(callers).await;
    }
    provider.always(Behaviour::normal());
    let mut server = Process::start(&mut causeway(&["serve", "--config", &path]));
    let (api, _) = server.serves().await;
    until("nothing is under way", async || {
        for status in ["accepted", "running", "waiting"] {
            let left = api.get(&format!("/v1/runs?limit=1&status={status}")).await.ok();
            if left["items"] != json!([]) {
                return None;
            }
        }
        Some(())
    })
    .await;
    // Before anything is asked again: nothing was done twice, whatever was said.
    let mut done: BTreeMap<u64, usize> = BTreeMap::new();
    for effect in provider.effects() {
        *done.entry(effect.amount).or_default() += 1;
    }
    let words = words.lock().expect("the words").clone();
    assert!(words.len() > kills, "{} wishes in {kills} lives", words.len());
    let of = |wanted: &[Option<Said>]| words.values().filter(|said| wanted.contains(said)).count();
    println!(
        "{kills} lives: {} wishes, {} done, {} accepted, {} without an answer; {} effects",
        words.len(),
        of(&[Some(Said::Done)]),
        of(&[Some(Said::Accepted)]),
        of(&[None]),
        provider.effects().len(),
    );
    for (wish, said) in &words {
        let times = done.get(&wish.amount).copied().unwrap_or_default();
        assert!(times <= wish.effects(), "{wish:?} was done {times} times; said: {said:?}");
        if matches!(said, Some(Said::Done | Said::Accepted)) {
            assert_eq!(times, wish.effects(), "{wish:?} was lost; said: {said:?}");
        }
    }
    // And whoever asks again is told the truth.
    for (wish, said) in words {
        let answer = api.send(wish.ask()).await;
        let told = answer.json();
        let status =
            told["status"].as_str().or_else(|| told["run"]["status"].as_str()).unwrap_or_default().to_owned();
        if wish.is_keyed() {
            if answer.status == 202 {
                // It had not been taken on before.
                assert_ne!(said, Some(Said::Accepted), "{wish:?} was forgotten");
            } else {
                assert_eq!(status, "succeeded", "{wish:?}, said {said:?}: {answer:?}");
            }
        }
        if matches!(said, Some(Said::Done | Said::Accepted)) {
            assert_eq!(
                answer.header("idempotency-replayed"),
                Some("true"),
                "{wish:?}, said {said:?}: {answer:?}"
            );
        }
    }
    let all: Vec<Value> =
        provider.effects().into_iter().map(|effect| json!([effect.key, effect.amount])).collect();
    let mut keyed: Vec<&Value> = all.iter().filter(|effect| !effect[0].is_null()).collect();
    let before = keyed.len();
    keyed.sort_by_key(|effect| effect.to_string());
    keyed.dedup();
    assert_eq!(keyed.len(), before, "no key has two effects");
    server.terminate();
}

/// Where the server keeps its word.
#[derive(Clone, Copy)]
enum Store {
    Sqlite,
    Postgres,
}

async fn kill(usual: usize, store: Store) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let kills = number("CRASH_KILLS").map_or(usual, |kills| usize::try_from(kills).expect("a number"));
    let seed = number("CRASH_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    println!("{kills} kills, seed {seed}");
    let mut left = kills;
    let mut dice = Dice(seed);
    while left > 0 {
        let some = left.min(KILLS_OF_ONE);
        lives(some, dice.roll(u64::MAX), store).await;
        left -= some;
    }
}

#[tokio::test]
async fn and_does_nothing_twice() {
    kill(KILLS, Store::Sqlite).await;
}

#[tokio::test]
async fn and_does_nothing_twice_on_postgres() {
    kill(KILLS_ON_POSTGRES, Store::Postgres).await;
}
