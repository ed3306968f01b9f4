//! A server that starts finds the data of an older one and goes on with it, that of a newer one and leaves it alone, or a log
//! whose end was being written when the power went, and misses nothing that anybody was promised.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::json;

use crate::support::postgres::{self, Database};
use crate::support::process::causeway;
use crate::support::{Ask, Client, Config, Process, Provider, charge};

/// `CWAY`.
const OURS: i64 = 0x4357_4159;
/// A run that has ended, and not long ago, as every version has it.
const OLD_RUN: &str = "INSERT INTO runs (id, operation, version, correlation_id, trace, priority, status, revision, created_at, \
                       finished_at, configuration, input) VALUES ('run_01', 'payments.charge', 1, 'c', 't', 'normal', 'succeeded', 0, 1, 4000000000000, ";
/// The same, as PostgreSQL has it since how a run ended has a table of its own.
const OLD_RUN_AND_END: &str = "INSERT INTO ends (run, status, at, fence) VALUES ('run_01', 'succeeded', 4000000000000, 0); \
                               INSERT INTO runs (id, operation, version, correlation_id, trace, priority, created_at, \
                               configuration, input) VALUES ('run_01', 'payments.charge', 1, 'c', 't', 'normal', 1, ";
const ENDS_SINCE: usize = 7;

fn keyed(key: &str) -> Ask {
    Ask::run("payments.charge", &charge()).header("idempotency-key", key)
}

fn serve(dir: &Path) -> Process {
    Process::start(&mut causeway(&["serve", "--config", dir.to_str().expect("a path")]))
}

/// The steps of a store's tables, oldest first.
fn steps(store: &str) -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/adapters/store").join(store).join("schema");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("a file").path()).collect();
    let number = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        name.split_once('_').and_then(|(number, _)| number.parse::<u32>().ok()).expect("a number")
    };
    paths.sort_by_key(number);
    assert!(paths.len() > 1, "{store}");
    paths.iter().map(|path| fs::read_to_string(path).expect("a text")).collect()
}

/// It has what is old, takes on what is new, and knows both in its next life.
async fn goes_on(dir: &Path) {
    let mut server = serve(dir);
    let (api, _) = server.serves().await;
    assert_eq!(api.get("/v1/runs/run_01").await.ok()["status"], "succeeded");
    let first = api.send(keyed("k")).await;
    first.ok();
    server.kill();
    let mut server = serve(dir);
    let (api, _) = server.serves().await;
    let again = api.send(keyed("k")).await;
    assert_eq!((again.header("idempotency-replayed"), &again.body), (Some("true"), &first.body));
    assert_eq!(api.get("/v1/runs").await.ok()["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn one_of_every_older_version_is_gone_on_with() {
    let steps = steps("sqlite");
    for version in 1..steps.len() {
        let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
        Config::payments(&provider.url(), "").write(dir.path());
        fs::create_dir(dir.path().join("data")).expect("a directory");
        let old = Connection::open(dir.path().join("data/causeway.db")).expect("a file");
        old.execute_batch(&steps[..version].concat()).expect("its tables");
        old.execute_batch(&format!("{OLD_RUN}x'00', x'00')")).expect("a run");
        old.pragma_update(None, "application_id", OURS).expect("a mark");
        old.execute_batch(&format!("PRAGMA user_version = {version}")).expect("a version");
        drop(old);
        goes_on(dir.path()).await;
    }
}

#[tokio::test]
async fn and_of_a_postgres_database_too() {
    let steps = steps("postgres");
    for version in 1..steps.len() {
        let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
        let database = Database::new().await;
        postgres::kept_in(Config::payments(&provider.url(), ""), &database.url, dir.path()).write(dir.path());
        let tables = "CREATE SCHEMA causeway; SET search_path TO causeway; \
                      CREATE TABLE versions (version bigint NOT NULL PRIMARY KEY);";
        let versions: String =
            (1..=version).map(|version| format!("INSERT INTO versions VALUES ({version});")).collect();
        let run = if version < ENDS_SINCE { OLD_RUN } else { OLD_RUN_AND_END };
        let old = format!("{tables}{}{versions}{run}'\\x00', '\\x00')", steps[..version].concat());
        postgres::execute(&database.url, &old).await;
        goes_on(dir.path()).await;
    }
}

/// It says what is wrong and what to do, and ends.
async fn refuses_a_newer_one(dir: &Path) {
    let refused = serve(dir).ended().await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = "version 1000";
    assert!(refused.err.contains(told) && refused.err.contains("run a newer Causeway"), "{refused:?}");
}

#[tokio::test]
async fn one_of_a_newer_version_is_left_alone() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    Config::payments(&provider.url(), "").write(dir.path());
    let mut server = serve(dir.path());
    let (api, _) = server.serves().await;
    api.send(keyed("k")).await.ok();
    server.terminate();
    server.ended().await;
    let path = dir.path().join("data/causeway.db");
    let newer = Connection::open(&path).expect("the file");
    newer.pragma_update(None, "user_version", 1000).expect("a version");
    drop(newer);
    let before = fs::read(&path).expect("the file");
    refuses_a_newer_one(dir.path()).await;
    assert_eq!(fs::read(&path).expect("the file"), before, "nothing was changed");
}

#[tokio::test]
async fn nor_is_a_postgres_database_of_a_newer_version_touched() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let database = Database::new().await;
    postgres::kept_in(Config::payments(&provider.url(), ""), &database.url, dir.path()).write(dir.path());
    let mut server = serve(dir.path());
    server.serves().await;
    server.terminate();
    server.ended().await;
    postgres::execute(&database.url, "INSERT INTO causeway.versions (version) VALUES (1000)").await;
    refuses_a_newer_one(dir.path()).await;
    // Whose it is has not changed either.
    let taken = "DO $$ BEGIN ASSERT (SELECT epoch FROM causeway.owner) = 1; END $$";
    postgres::execute(&database.url, taken).await;
}

/// Answers to so many charges, each with a key.
async fn answers(api: Client, count: usize) -> Vec<String> {
    let mut answers = Vec::with_capacity(count);
    for n in 0..count {
        let answer = api.send(keyed(&format!("k{n}"))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answers.push(answer.body);
    }
    answers
}

#[tokio::test]
async fn a_log_whose_end_is_torn_loses_nothing_that_was_acknowledged() {
    const CHARGES: usize = 12;
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    Config::payments(&provider.url(), "").write(dir.path());
    let mut server = serve(dir.path());
    let first = answers(server.serves().await.0, CHARGES).await;
    server.kill();
    let log = dir.path().join("data/causeway.db-wal");
    let written = fs::read(&log).expect("a log");
    let frame = 24 + u32::from_be_bytes(written[8..12].try_into().expect("a size of pages")) as usize;
    assert!(written.len() > 32 + 3 * frame, "it has frames: {}", written.len());
    // What was being written when the power went is there in part, as room that was made for it, or as anything else.
    let frame_and_a_half = written[32..32 + frame * 3 / 2].to_vec();
    for tail in [vec![0; 9000], vec![0xa5; 6000], frame_and_a_half] {
        let torn = tempfile::tempdir().expect("a directory");
        Config::payments(&provider.url(), "").write(torn.path());
        fs::create_dir(torn.path().join("data")).expect("a directory");
        for end in ["", "-wal", ".key"] {
            let name = format!("data/causeway.db{end}");
            fs::copy(dir.path().join(&name), torn.path().join(&name)).expect("a copy");
        }
        let log = fs::File::options().append(true).open(torn.path().join("data/causeway.db-wal"));
        log.expect("the log").write_all(&tail).expect("a tail");
        let mut server = serve(torn.path());
        let (api, _) = server.serves().await;
        assert_eq!(answers(api, CHARGES).await, first);
        assert_eq!(provider.effects().len(), CHARGES, "nothing was done again");
        assert_eq!(api.get("/v1/runs?limit=100").await.ok()["items"].as_array().map(Vec::len), Some(CHARGES));
        assert_eq!(api.run("payments.ping", &json!({})).await.status, 200);
    }
}
