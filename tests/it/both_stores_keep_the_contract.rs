//! What the store's port promises holds of each store: examples, and what they say to the same thousand calls.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causeway::adapters::store;
use causeway::settings::{EncryptionKey, EncryptionSettings, SecretRef, StoreSettings, StoreUrl};
use causeway_actors::clock::Clock;
use causeway_actors::plan::TraceContext;
use causeway_actors::store::{
    Attempt, AttemptFilter, Claim, Claimed, ConfigurationId, Control, DeadFilter, Death, Deed, Ending,
    Intent, Known, NewRun, Parked, Progress, Queue, Reopened, RunFilter, Store, StoredAnswer, Ticket,
};
use causeway_core::endpoint::Materialised;
use causeway_core::idempotency::Role;
use causeway_core::json::Json;
use causeway_core::limits::{Life, Owner, QuotaRecord, Record, Rest, Subject};
use causeway_core::name::{
    ClientName, CorrelationId, EndpointName, GroupName, IntegrationName, LimitName, OperationName, RunId,
    StepName,
};
use causeway_core::operation::{Begin, CallPlan, Part, Plan, Run, RunStatus, StepPlan, Steps};
use causeway_core::priority::Priority;
use causeway_core::time::Wall;
use futures_util::future::{join, join_all};
use serde_json::json;

use crate::support::Dice;
use crate::support::postgres::{self, Database, Postgres};

/// A store, and what it stands on.
struct Kept {
    settings: StoreSettings,
    keys: EncryptionSettings,
    _dir: tempfile::TempDir,
    _database: Option<Database>,
}

impl Kept {
    fn of(url: StoreUrl, dir: tempfile::TempDir, database: Option<Database>) -> Self {
        use base64::Engine as _;
        let path = dir.path().join("key");
        std::fs::write(&path, base64::engine::general_purpose::STANDARD.encode([1; 32])).expect("a file");
        let keys = vec![EncryptionKey { id: "k1".to_owned(), key: placed(SecretRef::File(path)) }];
        let settings = StoreSettings { url, ..StoreSettings::default() };
        Self { settings, keys: EncryptionSettings { keys }, _dir: dir, _database: database }
    }

    fn sqlite() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self::of(StoreUrl::Sqlite(dir.path().join("causeway.db")), dir, None)
    }

    async fn postgres() -> Self {
        let database = Database::new().await;
        Self::of(postgres_url(&database.url), tempfile::tempdir().expect("a directory"), Some(database))
    }

    async fn open(&self) -> Arc<dyn Store> {
        self.try_open().await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn try_open(&self) -> Result<Arc<dyn Store>, store::OpenError> {
        store::open(&self.settings, &self.keys, Clock::start()).await
    }
}

fn postgres_url(text: &str) -> StoreUrl {
    StoreUrl::Postgres(causeway::settings::PostgresUrl { text: text.to_owned(), authorities: None })
}

fn placed(value: SecretRef) -> causeway::settings::Placed<SecretRef> {
    causeway::settings::Placed {
        value,
        at: causeway::settings::Position { file: Arc::from(""), line: 0, column: 0 },
    }
}

/// Each promise as a test of each store.
macro_rules! of_both {
    ($($promise:ident),* $(,)?) => {
        mod sqlite { $( #[tokio::test] async fn $promise() { super::$promise(super::Kept::sqlite()).await } )* }
        mod postgresql { $( #[tokio::test] async fn $promise() { super::$promise(super::Kept::postgres().await).await } )* }
    };
}

of_both!(
    a_claim_is_one_runs_whoever_asks_and_however_often,
    a_key_is_kept_until_it_has_run_out,
    of_many_with_one_key_one_is_new,
    an_older_record_never_replaces_a_newer,
    a_run_in_the_background_is_written_with_its_parent,
    leases_go_by_turns_and_priorities_and_an_older_fence_changes_nothing,
    many_who_lease_at_once_share_nothing,
    what_is_put_off_waits_for_its_time,
    a_run_is_shown_and_found_as_it_stands,
    an_end_is_told_again_and_a_fence_never_goes_back,
    many_who_execute_at_once_lose_nothing,
    a_queue_of_the_former_version_is_gone_on_with,
    runs_are_found_by_what_they_are,
    dead_letters_are_taken_up_once,
    runs_in_doubt_are_asked_about_when_it_is_time,
    what_operators_say_holds_and_is_told,
    attempts_are_found_by_what_they_are,
    what_an_older_lease_let_be_sent_is_in_doubt,
    what_is_taken_up_again_is_not_ended_by_a_repetition,
    what_limits_have_told_last_is_what_is_known,
    what_is_old_goes_in_pieces,
    configurations_go_that_nobody_goes_by,
    everything_is_there_in_another_life,
    one_server_at_a_time,
);

fn plan() -> Arc<Plan> {
    let call = CallPlan {
        integration: name("stripe"),
        endpoint: EndpointName::new("charge").expect("a name"),
        endpoint_index: 0,
        resend: causeway_core::idempotency::Resend::Never,
        verify: None,
        revision: 0,
    };
    Arc::new(Plan {
        operation: OperationName::new("pay").expect("a name"),
        version: 1,
        deadline: Duration::from_secs(1),
        priority: Priority::Normal,
        steps: Steps::new(vec![StepPlan::new(StepName::new("a").expect("a name"), call)]).expect("a plan"),
        result: None,
    })
}

fn progress(revision: u32) -> Progress {
    let begin = Begin {
        id: RunId::new("run_any"),
        correlation_id: CorrelationId::new("c").expect("an id"),
        plan: plan(),
        input: Json::of(&"4242 4242"),
        budget: None,
        wait: None,
    };
    Progress { revision, ..Progress::of(&Run::begin(begin, Clock::start().now())) }
}

fn run(id: &str) -> NewRun {
    NewRun {
        id: RunId::new(id),
        client: None,
        operation: OperationName::new("pay").expect("a name"),
        version: 1,
        correlation_id: CorrelationId::new("c").expect("an id"),
        trace: TraceContext::unrecorded(7),
        priority: Priority::Normal,
        created_at: Wall::from_unix_millis(1000),
        claim: None,
        configuration: ConfigurationId::default(),
        input: Json::of(&"4242 4242"),
        progress: progress(0),
        part: None,
        queue: None,
    }
}

fn name(text: &str) -> IntegrationName {
    IntegrationName::new(text).expect("a name")
}

fn queued(id: &str, client: &str, priority: Priority) -> NewRun {
    let queue = Some(Queue { integration: name("stripe"), not_before: Wall::from_unix_millis(1) });
    NewRun { client: Some(ClientName::new(client).expect("a name")), priority, queue, ..run(id) }
}

fn keyed(id: &str, key: u8) -> NewRun {
    let claim = Claim { scope: [key; 32], fingerprint: [key + 1; 32], retention: Duration::from_secs(60) };
    NewRun { claim: Some(claim), ..run(id) }
}

fn ending(id: &str, fence: u32, death: Option<&str>) -> Ending {
    let death = death.map(|code| Death {
        integration: "stripe".to_owned(),
        operation: "pay".to_owned(),
        step: Some("a".to_owned()),
        class: "timeout".to_owned(),
        code: code.to_owned(),
    });
    Ending {
        id: RunId::new(id),
        status: if death.is_some() { RunStatus::Unknown } else { RunStatus::Succeeded },
        at: Wall::from_unix_millis(2000),
        answer: StoredAnswer { status: 200, body: Bytes::from_static(b"{\"done\":true}") },
        progress: death.is_some().then(|| progress(7)),
        children: Vec::new(),
        fence,
        inquire_at: death.as_ref().map(|_| Wall::from_unix_millis(3000)),
        death,
    }
}

async fn is_new(store: &dyn Store, run: NewRun) -> bool {
    matches!(store.claim_run(run).await.expect("it works"), Claimed::New)
}

async fn holder(store: &dyn Store, run: NewRun) -> Known {
    match store.claim_run(run).await.expect("it works") {
        Claimed::Known(known) => known,
        Claimed::New => panic!("the key is taken"),
    }
}

fn in_a_minute() -> Wall {
    Clock::start().now().wall + Duration::from_secs(60)
}

async fn a_claim_is_one_runs_whoever_asks_and_however_often(kept: Kept) {
    let store = kept.open().await;
    assert!(is_new(&*store, keyed("run_1", 1)).await);
    assert!(is_new(&*store, keyed("run_1", 1)).await, "asked twice");
    let known = holder(&*store, keyed("run_2", 1)).await;
    assert_eq!((known.id.as_str(), known.fingerprint, known.answer), ("run_1", [2; 32], None));
    store.forget_run(RunId::new("run_1")).await.expect("it works");
    assert!(is_new(&*store, keyed("run_2", 1)).await);
    assert_eq!(store.unfinished(RunId::new("run_2")).await.unwrap().unwrap().input, Json::of(&"4242 4242"));
}

async fn a_key_is_kept_until_it_has_run_out(kept: Kept) {
    let store = kept.open().await;
    assert!(is_new(&*store, keyed("run_1", 1)).await);
    assert_eq!(store.finish_run(ending("run_1", 0, None)).await, Ok(true));
    let later = |id: &str, at| NewRun { created_at: Wall::from_unix_millis(at), ..keyed(id, 1) };
    let answer = StoredAnswer { status: 200, body: Bytes::from_static(b"{\"done\":true}") };
    assert_eq!(holder(&*store, later("run_2", 61_999)).await.answer, Some(answer.clone()));
    let known = async |key, at| {
        let known = store.known([key; 32], Wall::from_unix_millis(at)).await.expect("it works");
        known.map(|known| (known.id.to_string(), known.fingerprint, known.answer))
    };
    assert_eq!(known(1, 61_999).await, Some(("run_1".to_owned(), [2; 32], Some(answer))));
    assert_eq!((known(1, 62_000).await, known(2, 0).await), (None, None));
    assert!(is_new(&*store, later("run_2", 62_000)).await, "a minute after its end");
    assert_eq!(holder(&*store, later("run_3", 62_001)).await.id.as_str(), "run_2");
    assert!(store.run(RunId::new("run_1")).await.unwrap().is_some(), "the run is kept without its key");
}

async fn of_many_with_one_key_one_is_new(kept: Kept) {
    let store = kept.open().await;
    let claims = (0..200).map(|n| {
        let (store, run) =
            (Arc::clone(&store), keyed(&format!("run_{n:03}"), u8::try_from(n % 4).expect("small")));
        tokio::spawn(async move { is_new(&*store, run).await })
    });
    let new = join_all(claims).await.into_iter().filter(|new| *new.as_ref().expect("it ends")).count();
    assert_eq!(new, 4, "of four keys");
    assert_eq!(store.unfinished_runs().await.unwrap().len(), 4);
}

async fn an_older_record_never_replaces_a_newer(kept: Kept) {
    let store = kept.open().await;
    let id = || RunId::new("run_1");
    assert!(is_new(&*store, run("run_1")).await);
    let all = join_all((1..=20).rev().map(|revision| store.record(id(), 0, progress(revision)))).await;
    assert!(all.iter().all(|done| *done == Ok(true)), "{all:?}");
    assert_eq!(store.unfinished(id()).await.unwrap().unwrap().progress.revision, 20);
    assert_eq!(store.record(id(), 1, progress(30)).await, Ok(false), "somebody else's");
    assert_eq!(store.record(RunId::new("run_none"), 0, progress(30)).await, Ok(false));
    assert_eq!(store.finish_run(ending("run_1", 0, None)).await, Ok(true));
    assert_eq!(store.record(id(), 0, progress(40)).await, Ok(true), "it is ours, and over");
    assert!(store.unfinished(id()).await.unwrap().is_none());
    let record = store.run(id()).await.unwrap().unwrap();
    assert_eq!(
        (record.status, record.finished_at),
        (RunStatus::Succeeded, Some(Wall::from_unix_millis(2000)))
    );
}

async fn a_run_in_the_background_is_written_with_its_parent(kept: Kept) {
    let store = kept.open().await;
    let with = |children: Vec<NewRun>, revision| Progress { children, ..progress(revision) };
    let child = |id: &str| NewRun {
        part: Some(Part { step: 1, call: Some(2) }),
        ..queued(id, "a", Priority::Normal)
    };
    assert!(is_new(&*store, NewRun { progress: with(vec![child("run_1a")], 0), ..run("run_1") }).await);
    assert_eq!(
        store.record(RunId::new("run_1"), 0, with(vec![child("run_1a"), child("run_1b")], 1)).await,
        Ok(true)
    );
    assert_eq!(store.record(RunId::new("run_1"), 3, with(vec![child("run_1x")], 2)).await, Ok(false));
    let end = Ending { children: vec![child("run_1c")], ..ending("run_1", 0, None) };
    assert_eq!(store.finish_run(end.clone()).await, Ok(true));
    assert_eq!(store.finish_run(end).await, Ok(true), "asked twice");
    let leased = store.lease(name("stripe"), in_a_minute(), 10).await.unwrap();
    let ids: Vec<_> = leased.iter().map(|leased| (leased.run.id.to_string(), leased.run.part)).collect();
    assert_eq!(
        ids,
        ["run_1a", "run_1b", "run_1c"].map(|id| (id.to_owned(), Some(Part { step: 1, call: Some(2) })))
    );
}

async fn leases_go_by_turns_and_priorities_and_an_older_fence_changes_nothing(kept: Kept) {
    let store = kept.open().await;
    for n in 0..6 {
        assert!(is_new(&*store, queued(&format!("run_a{n}"), "a", Priority::Normal)).await);
    }
    assert!(is_new(&*store, queued("run_b0", "b", Priority::Normal)).await);
    assert!(is_new(&*store, queued("run_c0", "c", Priority::High)).await);
    let other = Queue { integration: name("adyen"), not_before: Wall::from_unix_millis(1) };
    assert!(is_new(&*store, NewRun { queue: Some(other), ..queued("run_d0", "a", Priority::High) }).await);
    let lease = |limit| store.lease(name("stripe"), in_a_minute(), limit);
    let ids: Vec<String> = lease(3).await.unwrap().iter().map(|leased| leased.run.id.to_string()).collect();
    assert_eq!(ids, ["run_c0", "run_a0", "run_b0"], "the urgent one, then one of each client");
    assert_eq!(lease(10).await.unwrap().len(), 5);
    assert!(lease(10).await.unwrap().is_empty(), "each is leased once");

    // The lease runs out, and somebody else takes the run.
    let depth = |depths: Vec<causeway_actors::store::QueueDepth>| {
        depths.into_iter().find(|depth| depth.integration == name("stripe")).expect("its queue")
    };
    let depths = depth(store.queues().await.unwrap());
    assert_eq!((depths.pending, depths.delayed, depths.leased, depths.oldest), (0, 0, 8, None));
    assert_eq!(store.release(in_a_minute() + Duration::from_secs(1)).await, Ok(8));
    let again =
        lease(10).await.unwrap().into_iter().find(|leased| leased.run.id.as_str() == "run_a0").unwrap();
    assert_eq!((again.ticket.fence, again.ticket.is_async, again.cancelled), (2, true, false));
    let id = || RunId::new("run_a0");
    assert_eq!(store.record(id(), 1, progress(9)).await, Ok(false), "who holds an older fence has lost it");
    assert_eq!(store.record(id(), 2, progress(9)).await, Ok(true));
    let lost = store.heartbeat(vec![(id(), 1), (id(), 2), (RunId::new("run_none"), 1)], in_a_minute()).await;
    assert_eq!(lost, Ok(vec![id(), RunId::new("run_none")]));
    assert_eq!(store.finish_run(ending("run_a0", 1, None)).await, Ok(false));
    assert_eq!(store.finish_run(ending("run_a0", 2, None)).await, Ok(true));
}

async fn many_who_lease_at_once_share_nothing(kept: Kept) {
    let store = kept.open().await;
    let claims = (0..120)
        .map(|n| store.claim_run(queued(&format!("run_{n:03}"), &format!("c{}", n % 5), Priority::Normal)));
    assert!(join_all(claims).await.iter().all(Result::is_ok));
    let leases = join_all((0..30).map(|_| store.lease(name("stripe"), in_a_minute(), 7))).await;
    let mut all: Vec<String> = leases
        .into_iter()
        .flat_map(|leased| leased.expect("it works"))
        .map(|leased| {
            assert_eq!(leased.ticket.fence, 1);
            leased.run.id.to_string()
        })
        .collect();
    all.extend(
        store.lease(name("stripe"), in_a_minute(), 200).await.unwrap().iter().map(|l| l.run.id.to_string()),
    );
    all.sort();
    let expected: Vec<String> = (0..120).map(|n| format!("run_{n:03}")).collect();
    assert_eq!(all, expected, "each once");
}

async fn what_is_put_off_waits_for_its_time(kept: Kept) {
    let store = kept.open().await;
    assert!(is_new(&*store, queued("run_1", "a", Priority::Low)).await);
    let leased = store.lease(name("stripe"), in_a_minute(), 1).await.unwrap().remove(0);
    let park = |fence, at| Parked {
        id: RunId::new("run_1"),
        ticket: Ticket { fence, tries: 3, first_try: Some(Wall::from_unix_millis(5)), ..leased.ticket },
        queue: Queue { integration: name("stripe"), not_before: at },
        progress: progress(4),
    };
    assert_eq!(store.park(park(2, in_a_minute())).await, Ok(false));
    assert_eq!(store.park(park(1, in_a_minute())).await, Ok(true));
    assert!(store.lease(name("stripe"), in_a_minute(), 1).await.unwrap().is_empty(), "it is not its time");
    let depths = store.queues().await.unwrap().remove(0);
    assert_eq!((depths.pending, depths.delayed, depths.leased, depths.oldest), (0, 1, 0, None));
    assert_eq!(store.run(RunId::new("run_1")).await.unwrap().unwrap().status, RunStatus::Waiting);
    assert_eq!(store.cancel_run(RunId::new("run_1")).await, Ok(true));
    let leased = store.lease(name("stripe"), in_a_minute(), 1).await.unwrap().remove(0);
    assert!(leased.cancelled, "who is cancelled goes first and at once");
    let cancelled = async |limit| {
        let leased = store.lease_cancelled(name("stripe"), in_a_minute(), limit).await.expect("it works");
        leased.iter().map(|leased| (leased.run.id.to_string(), leased.cancelled)).collect::<Vec<_>>()
    };
    assert_eq!(cancelled(9).await, [], "it is executed");
    for (id, client) in [("run_2", "a"), ("run_3", "b"), ("run_4", "a"), ("run_5", "b")] {
        assert!(is_new(&*store, queued(id, client, Priority::High)).await);
    }
    for id in ["run_2", "run_3", "run_4"] {
        assert_eq!(store.cancel_run(RunId::new(id)).await, Ok(true));
    }
    let first = cancelled(2).await;
    let all: BTreeSet<_> = first.iter().cloned().chain(cancelled(9).await).collect();
    let expected = ["run_2", "run_3", "run_4"].map(|id| (id.to_owned(), true));
    assert_eq!((first.len(), all), (2, BTreeSet::from(expected)), "these and no others");
    let other = Parked { id: RunId::new("run_2"), ..park(1, in_a_minute()) };
    assert_eq!(store.park(other).await, Ok(true));
    assert_eq!(cancelled(9).await, [], "it was looked at, and waits for its time");
    assert_eq!((leased.ticket.tries, leased.ticket.first_try), (3, Some(Wall::from_unix_millis(5))));
    assert_eq!(leased.run.progress.revision, 4);
    assert_eq!(store.cancel_run(RunId::new("run_1")).await, Ok(false), "it is executed");
}

/// The runs that are found as standing so, which are those that are shown so.
async fn standing(store: &dyn Store, status: RunStatus) -> Vec<String> {
    let found = store.runs(RunFilter { status: Some(status), ..RunFilter::default() }, 1000).await;
    let found: Vec<String> = found.expect("it works").iter().map(|run| run.id.to_string()).collect();
    let all = store.runs(RunFilter::default(), 1000).await.expect("it works");
    let shown: Vec<String> =
        all.iter().filter(|run| run.status == status).map(|run| run.id.to_string()).collect();
    assert_eq!(found, shown, "{status:?}");
    for id in &found {
        let one = store.run(RunId::new(id.as_str())).await.expect("it works").expect("it is there");
        assert_eq!(one.status, status, "{id}");
    }
    found
}

fn parked(id: &str, ticket: Ticket, not_before: Wall, revision: u32) -> Parked {
    let queue = Queue { integration: name("stripe"), not_before };
    Parked { id: RunId::new(id), ticket, queue, progress: progress(revision) }
}

async fn a_run_is_shown_and_found_as_it_stands(kept: Kept) {
    use RunStatus::{Accepted, Failed, Partial, Running, Succeeded, Unknown, Waiting};
    let store = kept.open().await;
    assert!(is_new(&*store, run("run_0")).await);
    for n in 1..4 {
        assert!(is_new(&*store, queued(&format!("run_{n}"), "a", Priority::Normal)).await);
    }
    assert_eq!(standing(&*store, Accepted).await, ["run_3", "run_2", "run_1"]);
    assert_eq!(standing(&*store, Running).await, ["run_0"]);
    let lease = async || store.lease(name("stripe"), in_a_minute(), 1).await.expect("it works").remove(0);
    let leased = lease().await;
    assert_eq!(leased.run.id.as_str(), "run_1");
    assert_eq!(standing(&*store, Accepted).await, ["run_3", "run_2"]);
    assert_eq!(standing(&*store, Running).await, ["run_1", "run_0"], "what is leased is under way");
    assert_eq!(store.release(in_a_minute() + Duration::from_secs(1)).await, Ok(1));
    assert_eq!(
        standing(&*store, Running).await,
        ["run_1", "run_0"],
        "what has begun is never as if it had not"
    );
    let leased = lease().await;
    assert_eq!(store.park(parked("run_1", leased.ticket, Wall::from_unix_millis(1), 3)).await, Ok(true));
    assert_eq!(standing(&*store, Waiting).await, ["run_1"]);
    assert_eq!(standing(&*store, Running).await, ["run_0"]);
    let leased = lease().await;
    assert_eq!((leased.run.id.as_str(), leased.ticket.fence), ("run_1", 3));
    assert!(standing(&*store, Waiting).await.is_empty());
    assert_eq!(standing(&*store, Running).await, ["run_1", "run_0"]);
    assert_eq!(store.finish_run(ending("run_1", 3, Some("a"))).await, Ok(true));
    assert_eq!(standing(&*store, Running).await, ["run_0"]);
    assert_eq!(standing(&*store, Unknown).await, ["run_1"]);
    let reopened = Reopened {
        id: RunId::new("run_1"),
        is_resolved: false,
        priority: Priority::Normal,
        queue: Queue { integration: name("stripe"), not_before: Wall::from_unix_millis(1) },
        progress: progress(8),
    };
    assert_eq!(store.reopen(reopened).await, Ok(true));
    assert_eq!(standing(&*store, Accepted).await, ["run_3", "run_2", "run_1"]);
    store.forget_run(RunId::new("run_3")).await.expect("it works");
    assert_eq!(standing(&*store, Accepted).await, ["run_2", "run_1"]);
    for n in ["run_0", "run_2"] {
        assert_eq!(store.finish_run(ending(n, 0, None)).await, Ok(true));
    }
    assert_eq!(standing(&*store, Succeeded).await, ["run_2", "run_0"]);
    for none in [Running, Waiting, Unknown, Failed, Partial] {
        assert!(standing(&*store, none).await.is_empty(), "{none:?}");
    }
    let depths = store.queues().await.unwrap();
    assert_eq!((depths.len(), depths[0].all()), (1, 1));
}

async fn an_end_is_told_again_and_a_fence_never_goes_back(kept: Kept) {
    let store = kept.open().await;
    assert!(is_new(&*store, queued("run_1", "a", Priority::Normal)).await);
    let id = || RunId::new("run_1");
    let fence = async || {
        store.lease(name("stripe"), in_a_minute(), 9).await.expect("it works").remove(0).ticket.fence
    };
    assert_eq!(fence().await, 1);
    let put_off = parked("run_1", Ticket { fence: 1, ..Ticket::default() }, Wall::from_unix_millis(1), 3);
    for _ in 0..2 {
        assert_eq!(store.park(put_off.clone()).await, Ok(true), "asked twice");
    }
    assert_eq!(fence().await, 2);
    assert_eq!(store.park(put_off.clone()).await, Ok(false), "somebody else has it");
    for _ in 0..2 {
        assert_eq!(store.finish_run(ending("run_1", 2, Some("a"))).await, Ok(true), "asked twice");
    }
    assert_eq!(store.record(id(), 2, progress(40)).await, Ok(true), "it is ours, and over");
    for fence in [0, 1, 3] {
        assert_eq!(store.finish_run(ending("run_1", fence, None)).await, Ok(false));
        assert_eq!(store.record(id(), fence, progress(40)).await, Ok(false));
    }
    let ticket = Ticket { fence: 2, ..Ticket::default() };
    assert_eq!(store.park(parked("run_1", ticket, Wall::default(), 41)).await, Ok(false), "it is over");
    assert_eq!(store.heartbeat(vec![(id(), 2)], in_a_minute()).await, Ok(vec![id()]));
    assert_eq!(store.cancel_run(id()).await, Ok(false));
    assert!(store.queues().await.unwrap().is_empty());
    let reopened = Reopened {
        id: id(),
        is_resolved: false,
        priority: Priority::Normal,
        queue: Queue { integration: name("stripe"), not_before: Wall::from_unix_millis(1) },
        progress: progress(42),
    };
    assert_eq!(store.reopen(reopened).await, Ok(true));
    assert_eq!(store.finish_run(ending("run_1", 2, None)).await, Ok(false), "who had it before");
    assert_eq!(store.record(id(), 2, progress(50)).await, Ok(false));
    assert_eq!(fence().await, 4);
    let unfinished = store.unfinished(id()).await.unwrap().unwrap();
    assert_eq!((unfinished.progress.revision, unfinished.queue.unwrap().integration), (42, name("stripe")));
    assert_eq!(store.finish_run(ending("run_1", 4, None)).await, Ok(true));
}

/// Leases what there is and puts each off once, then ends it, until all have ended; how many it has ended.
async fn executes(store: Arc<dyn Store>, ended: Arc<std::sync::atomic::AtomicUsize>, all: usize) {
    use std::sync::atomic::Ordering::SeqCst;
    while ended.load(SeqCst) < all {
        let leased = store.lease(name("stripe"), in_a_minute(), 7).await.expect("it works");
        if leased.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let each = leased.into_iter().map(async |leased| {
            let (id, ticket) = (leased.run.id.clone(), leased.ticket);
            let revision = leased.run.progress.revision;
            assert_eq!(revision, ticket.tries * 2, "what was written last is what is read");
            let kept = store.heartbeat(vec![(id.clone(), ticket.fence)], in_a_minute()).await;
            assert_eq!(kept, Ok(Vec::new()));
            assert_eq!(store.record(id.clone(), ticket.fence, progress(revision + 1)).await, Ok(true));
            if ticket.tries == 0 {
                let ticket = Ticket { tries: 1, ..ticket };
                let put_off = parked(id.as_str(), ticket, Wall::from_unix_millis(1), revision + 2);
                assert_eq!(store.park(put_off).await, Ok(true));
            } else {
                assert_eq!(store.finish_run(ending(id.as_str(), ticket.fence, None)).await, Ok(true));
                ended.fetch_add(1, SeqCst);
            }
        });
        join_all(each).await;
    }
}

async fn many_who_execute_at_once_lose_nothing(kept: Kept) {
    const ALL: usize = 300;
    let store = kept.open().await;
    let claims = (0..ALL)
        .map(|n| store.claim_run(queued(&format!("run_{n:03}"), &format!("c{}", n % 5), Priority::Normal)));
    assert!(join_all(claims).await.iter().all(Result::is_ok));
    let ended = Arc::default();
    let workers = (0..8).map(|_| tokio::spawn(executes(Arc::clone(&store), Arc::clone(&ended), ALL)));
    let workers: Vec<_> = workers.collect();
    while ended.load(std::sync::atomic::Ordering::SeqCst) < ALL && !workers.iter().any(|w| w.is_finished()) {
        assert_eq!(store.release(Wall::from_unix_millis(1)).await, Ok(0), "none has run out");
        assert!(store.queues().await.is_ok());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for worker in workers {
        worker.await.expect("it ends in order");
    }
    assert_eq!(ended.load(std::sync::atomic::Ordering::SeqCst), ALL, "each once");
    assert!(store.queues().await.unwrap().is_empty());
    assert_eq!(standing(&*store, RunStatus::Succeeded).await.len(), ALL);
}

/// Makes runs what they were before how they stand and how they ended had tables of their own, and the queue before it had one.
async fn made_older(kept: &Kept) {
    let older = "ALTER TABLE runs ADD COLUMN status TEXT NOT NULL DEFAULT ''; ALTER TABLE runs ADD COLUMN revision INT NOT NULL DEFAULT 0; \
        ALTER TABLE runs ADD COLUMN finished_at INT; ALTER TABLE runs ADD COLUMN claim_until INT; \
        ALTER TABLE runs ADD COLUMN state BYTES; ALTER TABLE runs ADD COLUMN answer_status INT; \
        ALTER TABLE runs ADD COLUMN answer BYTES; ALTER TABLE runs ADD COLUMN queue TEXT; \
        ALTER TABLE runs ADD COLUMN fence INT NOT NULL DEFAULT 0; ALTER TABLE runs ADD COLUMN resolved FLAG; \
        UPDATE runs SET status = coalesce((SELECT status FROM ends WHERE run = id), (SELECT status FROM progress WHERE run = id)), \
        revision = coalesce((SELECT revision FROM progress WHERE run = id), 0), finished_at = (SELECT at FROM ends WHERE run = id), \
        claim_until = (SELECT claim_until FROM ends WHERE run = id), state = (SELECT state FROM progress WHERE run = id), \
        answer_status = (SELECT answer_status FROM ends WHERE run = id), answer = (SELECT answer FROM ends WHERE run = id), \
        queue = (SELECT integration FROM queue WHERE run = id), fence = coalesce((SELECT fence FROM ends WHERE run = id), 0); \
        DROP TABLE progress; DROP TABLE ends; \
        CREATE INDEX runs_unfinished ON runs (id) WHERE finished_at IS NULL AND queue IS NULL; \
        CREATE INDEX runs_unusual ON runs (status, id) WHERE status NOT IN ('accepted', 'running', 'succeeded'); \
        ALTER TABLE runs ADD COLUMN rank INT; ALTER TABLE runs ADD COLUMN lane TEXT; \
        ALTER TABLE runs ADD COLUMN not_before INT; ALTER TABLE runs ADD COLUMN lease_until INT; \
        ALTER TABLE runs ADD COLUMN tries INT NOT NULL DEFAULT 0; ALTER TABLE runs ADD COLUMN first_try INT; \
        ALTER TABLE runs ADD COLUMN cancel FLAG; \
        UPDATE runs SET rank = (SELECT rank FROM queue WHERE run = id), lane = (SELECT lane FROM queue WHERE run = id), \
        not_before = (SELECT not_before FROM queue WHERE run = id), lease_until = (SELECT lease_until FROM queue WHERE run = id), \
        tries = (SELECT tries FROM queue WHERE run = id), first_try = (SELECT first_try FROM queue WHERE run = id), \
        cancel = (SELECT cancel FROM queue WHERE run = id), fence = (SELECT fence FROM queue WHERE run = id) \
        WHERE queue IS NOT NULL; \
        UPDATE runs SET status = 'running' WHERE lease_until IS NOT NULL; \
        DROP TABLE queue; \
        CREATE INDEX runs_due ON runs (queue, rank, lane, not_before, id) WHERE queue IS NOT NULL AND lease_until IS NULL; \
        CREATE INDEX runs_leased ON runs (lease_until) WHERE lease_until IS NOT NULL; \
        DROP INDEX runs_unusual; \
        CREATE INDEX runs_unusual ON runs (status, id) WHERE status NOT IN ('running', 'succeeded');";
    match &kept.settings.url {
        StoreUrl::Sqlite(path) => {
            let older = older.replace(" INT", " INTEGER").replace("FLAG", "INTEGER NOT NULL DEFAULT 0");
            let older = older.replace("BYTES", "BLOB");
            let connection = rusqlite::Connection::open(path).expect("a database");
            connection.execute_batch(&format!("{older} PRAGMA user_version = 9")).expect("it is older");
        }
        StoreUrl::Postgres(url) => {
            let older = older.replace(" INT", " bigint").replace("FLAG", "boolean NOT NULL DEFAULT false");
            let older = older.replace("BYTES", "bytea");
            let version = "DROP FUNCTION wake(); DELETE FROM versions WHERE version > 5";
            postgres::execute(&url.text, &format!("SET search_path TO causeway; {older} {version}")).await;
        }
    }
}

async fn a_queue_of_the_former_version_is_gone_on_with(kept: Kept) {
    use RunStatus::{Accepted, Running, Succeeded, Unknown, Waiting};
    let store = kept.open().await;
    let lease =
        async |store: &dyn Store, limit| store.lease(name("stripe"), in_a_minute(), limit).await.unwrap();
    for id in ["run_done", "run_dead", "run_parked", "run_leased"] {
        assert!(is_new(&*store, queued(id, "a", Priority::Normal)).await);
    }
    let leased = lease(&*store, 9).await;
    let ticket = Ticket { tries: 3, first_try: Some(Wall::from_unix_millis(5)), ..leased[0].ticket };
    assert_eq!(store.finish_run(ending("run_done", 1, None)).await, Ok(true));
    assert_eq!(store.finish_run(ending("run_dead", 1, Some("a"))).await, Ok(true));
    assert_eq!(store.park(parked("run_parked", ticket, in_a_minute(), 4)).await, Ok(true));
    assert_eq!(store.cancel_run(RunId::new("run_parked")).await, Ok(true));
    assert!(is_new(&*store, queued("run_wait", "b", Priority::Low)).await);
    assert!(is_new(&*store, run("run_waited_for")).await);
    drop(store);
    made_older(&kept).await;

    let store = kept.open().await;
    for (status, id) in
        [(Accepted, "run_wait"), (Waiting, "run_parked"), (Succeeded, "run_done"), (Unknown, "run_dead")]
    {
        assert_eq!(standing(&*store, status).await, [id]);
    }
    assert_eq!(standing(&*store, Running).await, ["run_waited_for", "run_leased"]);
    assert_eq!(store.unfinished_runs().await.unwrap(), [RunId::new("run_waited_for")]);
    let depths = store.queues().await.unwrap().remove(0);
    assert_eq!((depths.pending, depths.delayed, depths.leased), (3, 0, 0));
    let leased = lease(&*store, 9).await;
    let leased: Vec<_> = leased
        .iter()
        .map(|l| {
            (l.run.id.as_str(), l.ticket.fence, l.ticket.tries, l.cancelled, l.ticket.first_try.is_some())
        })
        .collect();
    let expected = [
        ("run_parked", 2, 3, true, true),
        ("run_leased", 2, 0, false, false),
        ("run_wait", 1, 0, false, false),
    ];
    assert_eq!(leased, expected);
    assert_eq!(store.finish_run(ending("run_done", 1, None)).await, Ok(true), "asked twice");
    for (id, fence) in [("run_parked", 2), ("run_leased", 2), ("run_wait", 1), ("run_waited_for", 0)] {
        assert_eq!(store.finish_run(ending(id, fence + 1, None)).await, Ok(false), "{id}");
        assert_eq!(store.finish_run(ending(id, fence, None)).await, Ok(true), "{id}");
    }
    let reopened = Reopened {
        id: RunId::new("run_dead"),
        is_resolved: false,
        priority: Priority::Normal,
        queue: Queue { integration: name("stripe"), not_before: Wall::from_unix_millis(1) },
        progress: progress(8),
    };
    assert_eq!(store.reopen(reopened).await, Ok(true));
    assert_eq!(lease(&*store, 9).await[0].ticket.fence, 3);
}

async fn runs_are_found_by_what_they_are(kept: Kept) {
    let store = kept.open().await;
    for n in 0..4 {
        let client = (n > 0).then(|| ClientName::new(if n == 1 { "a" } else { "b" }).expect("a name"));
        let correlation_id = CorrelationId::new(&format!("c{n}")).expect("an id");
        let created_at = Wall::from_unix_millis(n);
        let new = NewRun { client, correlation_id, created_at, ..run(&format!("run_{n}")) };
        assert!(is_new(&*store, new).await);
    }
    assert_eq!(store.finish_run(ending("run_3", 0, None)).await, Ok(true));
    let found = async |filter: RunFilter| {
        let runs = store.runs(filter, 10).await.expect("it works");
        runs.into_iter().map(|run| run.id.to_string()).collect::<Vec<_>>()
    };
    let none = RunFilter::default;
    assert_eq!(found(none()).await, ["run_3", "run_2", "run_1", "run_0"]);
    assert_eq!(store.runs(none(), 2).await.unwrap().len(), 2);
    assert_eq!(found(RunFilter { before: Some(RunId::new("run_2")), ..none() }).await, ["run_1", "run_0"]);
    assert_eq!(found(RunFilter { client: Some(None), ..none() }).await, ["run_0"]);
    let b = ClientName::new("b").expect("a name");
    assert_eq!(found(RunFilter { client: Some(Some(b)), ..none() }).await, ["run_3", "run_2"]);
    assert_eq!(found(RunFilter { status: Some(RunStatus::Succeeded), ..none() }).await, ["run_3"]);
    let correlation_id = CorrelationId::new("c1");
    assert_eq!(found(RunFilter { correlation_id, ..none() }).await, ["run_1"]);
    let since = Some(Wall::from_unix_millis(2));
    assert_eq!(found(RunFilter { since, status: Some(RunStatus::Running), ..none() }).await, ["run_2"]);
    let operation = OperationName::new("refund").ok();
    assert!(found(RunFilter { operation, ..none() }).await.is_empty());
}

async fn dead_letters_are_taken_up_once(kept: Kept) {
    let store = kept.open().await;
    for (n, code) in ["a", "b", "a"].into_iter().enumerate() {
        let id = format!("run_{n}");
        assert!(is_new(&*store, run(&id)).await);
        assert_eq!(store.finish_run(ending(&id, 0, Some(code))).await, Ok(true));
    }
    let ids = async |filter: DeadFilter| {
        let letters = store.dead_letters(filter, 10).await.expect("it works");
        letters.into_iter().map(|letter| letter.run.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids(DeadFilter::default()).await, ["run_2", "run_1", "run_0"]);
    assert_eq!(
        ids(DeadFilter { code: Some("a".to_owned()), ..DeadFilter::default() }).await,
        ["run_2", "run_0"]
    );
    assert!(
        ids(DeadFilter { integration: Some("no\0ne".to_owned()), ..DeadFilter::default() }).await.is_empty()
    );
    let groups = store.dead_groups().await.unwrap();
    let groups: Vec<_> = groups.iter().map(|group| (group.code.as_str(), group.count)).collect();
    assert_eq!(groups, [("a", 2), ("b", 1)]);
    assert_eq!(store.dead_run(RunId::new("run_1")).await.unwrap().unwrap().progress.revision, 7);
    let reopened = || Reopened {
        id: RunId::new("run_1"),
        is_resolved: true,
        priority: Priority::High,
        queue: Queue { integration: name("stripe"), not_before: Wall::from_unix_millis(1) },
        progress: progress(8),
    };
    assert_eq!(store.reopen(reopened()).await, Ok(true));
    assert_eq!(store.reopen(reopened()).await, Ok(true), "asked twice");
    let leased = store.lease(name("stripe"), in_a_minute(), 9).await.unwrap();
    assert_eq!(leased.len(), 1);
    assert_eq!((leased[0].ticket.is_resolved, leased[0].run.progress.revision), (true, 8));
    assert_eq!(ids(DeadFilter::default()).await, ["run_2", "run_0"]);
    assert_eq!(store.forget_dead_letter(RunId::new("run_0")).await, Ok(true));
    assert_eq!(store.forget_dead_letter(RunId::new("run_0")).await, Ok(false));
    assert!(store.dead_run(RunId::new("run_0")).await.unwrap().is_none());
    assert_eq!(store.reopen(Reopened { id: RunId::new("run_0"), ..reopened() }).await, Ok(false));
    assert_eq!(store.forget_old_dead_letters(Wall::from_unix_millis(2000), 9).await, Ok(0));
    assert_eq!(store.forget_old_dead_letters(Wall::from_unix_millis(2001), 9).await, Ok(1));
}

async fn runs_in_doubt_are_asked_about_when_it_is_time(kept: Kept) {
    let store = kept.open().await;
    for (n, run) in [run("run_0"), queued("run_1", "stripe", Priority::Normal)].into_iter().enumerate() {
        let id = run.id.to_string();
        assert!(is_new(&*store, run).await);
        let at = Wall::from_unix_millis(3000 + n as u64);
        let ending = Ending { inquire_at: Some(at), ..ending(&id, 0, Some("reset")) };
        assert_eq!(store.finish_run(ending).await, Ok(true));
    }
    assert!(is_new(&*store, run("run_2")).await);
    let never = Ending { inquire_at: None, ..ending("run_2", 0, Some("reset")) };
    assert_eq!(store.finish_run(never).await, Ok(true));
    let due = async |by: u64, limit: usize| {
        let due = store.due_inquiries(Wall::from_unix_millis(by), limit).await.expect("it works");
        due.into_iter().map(|due| (due.run.to_string(), due.is_async)).collect::<Vec<_>>()
    };
    let (first, second) = (("run_0".to_owned(), false), ("run_1".to_owned(), true));
    assert!(due(2999, 9).await.is_empty());
    assert_eq!(due(3000, 9).await, std::slice::from_ref(&first));
    assert_eq!(due(9000, 9).await, [first.clone(), second.clone()], "who has waited longest first");
    assert_eq!(due(9000, 1).await, std::slice::from_ref(&first));
    let later = Some(Wall::from_unix_millis(4000));
    store.inquire_at(RunId::new("run_0"), later).await.expect("it works");
    assert_eq!(due(9000, 9).await, [second.clone(), first]);
    assert_eq!(due(3999, 9).await, [second]);
    for run in ["run_0", "run_1", "run_9"] {
        store.inquire_at(RunId::new(run), None).await.expect("it works");
    }
    assert!(due(9000, 9).await.is_empty());
    // What was read before somebody else took it up does not hold any more.
    let reopened = |revision| Reopened {
        id: RunId::new("run_2"),
        is_resolved: false,
        priority: Priority::Normal,
        queue: Queue { integration: name("stripe"), not_before: Wall::from_unix_millis(1) },
        progress: progress(revision),
    };
    assert_eq!(store.reopen(reopened(9)).await, Ok(true));
    let leased = store.lease(name("stripe"), in_a_minute(), 9).await.expect("it works");
    let fence = leased[0].ticket.fence;
    assert_eq!(store.finish_run(ending("run_2", fence, Some("reset"))).await, Ok(true));
    assert_eq!(store.reopen(reopened(8)).await, Ok(false), "read before");
    assert_eq!(store.reopen(reopened(11)).await, Ok(true));
}

async fn what_operators_say_holds_and_is_told(kept: Kept) {
    let store = kept.open().await;
    let deed = |subject: &str, value: Option<&str>| Deed {
        at: Wall::from_unix_millis(5),
        operator: Some("oncall".to_owned()),
        action: "breaker.mode",
        subject: subject.to_owned(),
        reason: Some("a \0 in it".to_owned()),
        control: Some(Control { key: subject.to_owned(), value: value.map(ToOwned::to_owned) }),
    };
    for (subject, value) in [("a", Some("1")), ("b", Some("2")), ("a", Some("3")), ("b", None)] {
        store.audit(deed(subject, value)).await.expect("it works");
    }
    store.audit(Deed { control: None, ..deed("c", None) }).await.expect("it works");
    assert_eq!(store.controls().await.unwrap(), [("a".to_owned(), "3".to_owned())]);
    let trail = store.trail(None, 10).await.unwrap();
    let subjects: Vec<&str> = trail.iter().map(|audited| audited.subject.as_str()).collect();
    assert_eq!(subjects, ["c", "b", "a", "b", "a"]);
    assert_eq!(store.trail(Some(trail[3].id), 10).await.unwrap().len(), 1);
    assert_eq!(store.forget_old_deeds(Wall::from_unix_millis(6), 2).await, Ok(2));
    assert_eq!(store.trail(None, 10).await.unwrap().len(), 3);
}

fn attempt(n: u16) -> Attempt {
    let record = json!({
        "run_id": format!("run_{}", n % 3), "correlation_id": "c", "trace_id": "t", "operation": "pay", "step": "charge",
        "role": "call", "integration": "stripe", "endpoint": if n == 4 { "refund" } else { "charge" }, "attempt": n,
        "span_id": "s", "method": "POST", "url": "https://api.example/", "request_headers": "{}", "request_body": "{}",
        "status": if n == 0 { None } else { Some(200 + n * 100) }, "response_headers": null, "response_body": null,
        "queue_ms": 0.5, "dns_ms": null, "connect_ms": null, "tls_ms": null, "first_byte_ms": null, "total_ms": 1.5,
        "connection_reused": true, "sent_again": null, "outcome": if n == 1 { "success" } else { "transient" },
        "code": null, "reason": null, "error": null, "retry_in_ms": null, "disposition": "succeeded"
    });
    let at = Wall::from_unix_millis(1000 + u64::from(n));
    let record = serde_json::from_value(record).expect("a record");
    let id = format!("att_{:012x}{n:020}", at.unix_millis());
    Attempt { id, at, record, input: Some(Json::of(&n)), repeats_input: false }
}

async fn attempts_are_found_by_what_they_are(kept: Kept) {
    let store = kept.open().await;
    let all: Vec<Attempt> = (0..5).map(attempt).collect();
    store.append_attempts(all.clone()).await.expect("it works");
    store.append_attempts(all.clone()).await.expect("asked twice");
    let found = async |filter: AttemptFilter| {
        let attempts = store.attempts(filter, 10).await.expect("it works");
        attempts.into_iter().map(|attempt| attempt.record.attempt).collect::<Vec<_>>()
    };
    let none = AttemptFilter::default;
    assert_eq!(store.attempts(none(), 10).await.unwrap(), all.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(store.attempts(none(), 2).await.unwrap().len(), 2);
    assert_eq!(found(AttemptFilter { id: Some(all[3].id.clone()), ..none() }).await, [3]);
    assert_eq!(found(AttemptFilter { run: Some(RunId::new("run_1")), ..none() }).await, [4, 1]);
    assert_eq!(found(AttemptFilter { endpoint: Some("refund".to_owned()), ..none() }).await, [4]);
    let success = Some("success".to_owned());
    assert_eq!(
        found(AttemptFilter { integration: Some("stripe".to_owned()), outcome: success, ..none() }).await,
        [1]
    );
    assert_eq!(found(AttemptFilter { status: Some((400, 599)), ..none() }).await, [3, 2]);
    assert_eq!(found(AttemptFilter { status: Some((0, 0)), ..none() }).await, [0]);
    assert_eq!(found(AttemptFilter { since: Some(all[2].at), ..none() }).await, [4, 3, 2]);
    assert_eq!(found(AttemptFilter { before: Some(all[2].id.clone()), ..none() }).await, [1, 0]);
    assert!(found(AttemptFilter { correlation_id: Some("d\0".to_owned()), ..none() }).await.is_empty());
    assert_eq!(store.forget_old_attempts(all[3].at, 2).await, Ok(2));
    assert_eq!(store.forget_old_attempts(all[3].at, 2).await, Ok(1));
    assert_eq!(found(none()).await, [4, 3]);
    // Of one that repeats its run's input that is looked up there, while the run is kept.
    let repeats = |n| Attempt { input: None, repeats_input: true, ..attempt(n) };
    store.append_attempts(vec![repeats(6), repeats(7)]).await.expect("it works");
    assert!(is_new(&*store, run("run_1")).await);
    let inputs = async |n: u16| {
        let filter = AttemptFilter { id: Some(attempt(n).id), ..none() };
        store.attempts(filter, 1).await.expect("it works").remove(0).input
    };
    assert_eq!(inputs(7).await, Some(Json::of(&"4242 4242")), "of run_1");
    assert_eq!(inputs(6).await, None, "run_0 is not kept");
}

/// What a lease tells by itself.
async fn what_is_taken_up_again_is_not_ended_by_a_repetition(kept: Kept) {
    let store = kept.open().await;
    for n in 0..200 {
        let id = format!("run_{n:03}");
        assert!(is_new(&*store, queued(&id, "a", Priority::Normal)).await);
        let lease = async || store.lease(name("stripe"), in_a_minute(), 9).await.expect("it works");
        let fences = async || lease().await.iter().map(|leased| leased.ticket.fence).collect::<Vec<_>>();
        assert_eq!(fences().await, [1]);
        let dies = ending(&id, 1, Some("a"));
        assert_eq!(store.finish_run(dies.clone()).await, Ok(true));
        let reopened = Reopened {
            id: RunId::new(id.as_str()),
            is_resolved: false,
            priority: Priority::Normal,
            queue: Queue { integration: name("stripe"), not_before: Wall::from_unix_millis(1) },
            progress: progress(8),
        };
        // The answer was lost, and it is asked again; meanwhile a person has seen the dead letter.
        let (_, taken_up) = join(store.finish_run(dies.clone()), store.reopen(reopened)).await;
        assert_eq!(taken_up, Ok(true), "{id}");
        assert_eq!(fences().await, [3], "{id}");
        assert_eq!(store.finish_run(dies).await, Ok(false), "{id}");
        assert_eq!(store.finish_run(ending(&id, 3, None)).await, Ok(true), "{id}");
        assert!(store.dead_letters(DeadFilter::default(), 9).await.expect("it works").is_empty(), "{id}");
    }
}

async fn what_an_older_lease_let_be_sent_is_in_doubt(kept: Kept) {
    let store = kept.open().await;
    let mut new = queued("run_1", "shop", Priority::Normal);
    let request = |body: &Json| Materialised {
        method: http::Method::POST,
        path_and_query: "/charges?a=b".to_owned(),
        headers: [(http::header::ACCEPT, http::HeaderValue::from_static("*/*"))].into_iter().collect(),
        body: body.bytes().clone(),
    };
    let intent = |role, body: &Json, repeats_input, lease| Intent {
        step: 0,
        role,
        at: Wall::from_unix_millis(7),
        request: request(body),
        in_doubt: false,
        lease,
        repeats_input,
    };
    let other = Json::of(&"other");
    new.progress.intents =
        vec![intent(Role::Primary, &new.input, true, Some(1)), intent(Role::Undo, &other, false, None)];
    store.claim_run(new.clone()).await.expect("it works");
    let mut doubts = Vec::new();
    for _ in 0..2 {
        let leased = store.lease(name("stripe"), in_a_minute(), 1).await.expect("it works").remove(0);
        let intents = leased.run.progress.intents;
        for (read, written) in intents.iter().zip(&new.progress.intents) {
            let Materialised { method, path_and_query, headers, body } = &read.request;
            assert_eq!((method, path_and_query.as_str()), (&http::Method::POST, "/charges?a=b"));
            assert_eq!((headers, body), (&written.request.headers, &written.request.body));
            let of =
                |intent: &Intent| (intent.step, intent.role, intent.at, intent.lease, intent.repeats_input);
            assert_eq!(of(read), of(written));
        }
        doubts.push(intents.iter().map(|intent| intent.in_doubt).collect::<Vec<_>>());
        assert_eq!(store.release(in_a_minute() + Duration::from_secs(1)).await, Ok(1));
    }
    assert_eq!(doubts, [[false, false], [true, false]]);
}

/// A record that tells everything that one may.
fn record(owner: Owner, limit: Option<&str>, key: Option<u8>, until: u64) -> Record {
    let at = Wall::from_unix_millis;
    let subject = Subject {
        owner,
        limit: limit.map(|name| LimitName::new(name).expect("a name")),
        key: key.map(|byte| [byte; 32]),
    };
    let quota = QuotaRecord { calendar: "day UTC".into(), ends: at(until), reserved: u32::MAX, late: 3 };
    let rest = Some(Rest { left: 7, until: at(until - 1) });
    Record {
        subject,
        at: at(1000),
        quota: Some(quota),
        drained_until: Some(at(until - 2)),
        learned: rest,
        rest,
    }
}

async fn what_limits_have_told_last_is_what_is_known(kept: Kept) {
    let store = kept.open().await;
    assert_eq!(store.limits().await, Ok((Vec::new(), None)));
    let (own, group) =
        (Owner::Integration(name("stripe")), Owner::Group(GroupName::new("stripe").expect("a name")));
    let life = |at| Life::alive(Wall::from_unix_millis(at));
    let mut all = vec![
        record(group, Some("day"), None, 9000),
        record(own.clone(), None, None, 5000),
        record(own.clone(), Some("day"), Some(1), 6000),
        record(own.clone(), Some("day"), Some(2), 7000),
        record(own.clone(), Some("day"), None, 8000),
    ];
    let known = async |store: &dyn Store| {
        let (mut records, life) = store.limits().await.expect("it works");
        records.sort_by(|one, other| one.subject.cmp(&other.subject));
        (records, life)
    };
    all.sort_by(|one, other| one.subject.cmp(&other.subject));
    for _ in 0..2 {
        store.keep_limits(all.clone(), life(1)).await.expect("it works, asked twice too");
        assert_eq!(known(&*store).await, (all.clone(), Some(life(1))));
    }
    // The latest takes the place of the one before it, and one that tells nothing leaves nothing.
    let last = all.last_mut().expect("there are some");
    *last = Record { quota: None, learned: None, ..last.clone() };
    let gone = Record { quota: None, drained_until: None, learned: None, rest: None, ..all.remove(0) };
    let ended = Life { at: Wall::from_unix_millis(2), ended: true, untold_until: None };
    let told = vec![gone, all.last().expect("there are some").clone()];
    store.keep_limits(told, ended).await.expect("it works");
    assert_eq!(known(&*store).await, (all.clone(), Some(ended)));
    // Those go that are over, and in pieces.
    let over: Vec<Record> = (10..20).map(|key| record(own.clone(), Some("over"), Some(key), 3000)).collect();
    store.keep_limits(over, life(3)).await.expect("it works");
    assert_eq!(store.forget_old_limits(Wall::from_unix_millis(3001), 8).await, Ok(8));
    assert_eq!(store.forget_old_limits(Wall::from_unix_millis(3001), 8).await, Ok(2));
    assert_eq!(store.forget_old_limits(Wall::from_unix_millis(3001), 8).await, Ok(0));
    drop(store);
    assert_eq!(known(&*kept.open().await).await, (all, Some(life(3))));
}

async fn what_is_old_goes_in_pieces(kept: Kept) {
    let store = kept.open().await;
    for n in 0..20 {
        assert!(is_new(&*store, run(&format!("run_000000000001{n:04}"))).await);
    }
    for n in ["9997", "9998", "9999"] {
        assert!(is_new(&*store, run(&format!("run_000000000001{n}"))).await);
    }
    assert_eq!(store.finish_run(ending("run_0000000000019997", 0, None)).await, Ok(true));
    assert_eq!(store.finish_run(ending("run_0000000000019998", 0, Some("a"))).await, Ok(true));
    assert_eq!(store.finish_run(ending("run_0000000000019999", 0, None)).await, Ok(true));
    // More than a slice of runs that have not ended stand before them, and a dead letter among them.
    assert_eq!(store.forget_old_runs(Wall::from_unix_millis(2000), 5).await, Ok(0), "not older than itself");
    assert_eq!(store.forget_old_runs(Wall::from_unix_millis(2001), 1).await, Ok(1));
    assert_eq!(store.forget_old_runs(Wall::from_unix_millis(2001), 5).await, Ok(1));
    assert_eq!(store.forget_old_runs(Wall::from_unix_millis(2001), 5).await, Ok(0));
    assert!(
        store.run(RunId::new("run_0000000000019998")).await.unwrap().is_some(),
        "a person has not seen it"
    );
    assert_eq!(store.unfinished_runs().await.unwrap().len(), 20);
    // A key is kept for a minute from its run's end, and as long the run.
    let (now, id) = (Clock::start().now().wall, "run_0000000000029999");
    assert!(is_new(&*store, keyed(id, 1)).await);
    assert_eq!(store.finish_run(Ending { at: now, ..ending(id, 0, None) }).await, Ok(true));
    assert_eq!(store.forget_old_runs(in_a_minute(), 5).await, Ok(0));
    assert!(store.run(RunId::new(id)).await.unwrap().is_some());
}

async fn configurations_go_that_nobody_goes_by(kept: Kept) {
    let store = kept.open().await;
    let id = |n| ConfigurationId([n; 32]);
    for n in 0..10 {
        store.keep_configuration(id(n), Bytes::from_static(b"files")).await.expect("it works");
    }
    let of = |n, run: NewRun| NewRun { configuration: id(n), ..run };
    // Of each kind that has not ended: under way, waiting, leased, dead; and one that is over.
    assert!(is_new(&*store, of(1, run("run_1"))).await);
    assert!(is_new(&*store, of(2, queued("run_2", "a", Priority::High))).await);
    assert_eq!(store.lease(name("stripe"), in_a_minute(), 1).await.unwrap().len(), 1);
    assert!(is_new(&*store, of(3, queued("run_3", "a", Priority::Low))).await);
    for (n, death) in [(4, Some("a")), (5, None)] {
        assert!(is_new(&*store, of(n, run(&format!("run_{n}")))).await);
        assert_eq!(store.finish_run(ending(&format!("run_{n}"), 0, death)).await, Ok(true));
    }
    let later = in_a_minute();
    let forget = |before, limit| store.forget_old_configurations(vec![id(6), id(7)], before, limit);
    assert_eq!(forget(Wall::from_unix_millis(1000), 100).await, Ok(0), "none is so old");
    assert_eq!(forget(later, 1).await, Ok(1));
    assert_eq!(forget(later, 100).await, Ok(3), "0, 5, 8 and 9");
    assert_eq!(forget(later, 100).await, Ok(0));
    for n in 0..10 {
        let there = store.configuration(id(n)).await.unwrap().is_some();
        assert_eq!(there, [1, 2, 3, 4, 6, 7].contains(&n), "{n}");
    }
    assert_eq!(store.forget_dead_letter(RunId::new("run_4")).await, Ok(true));
    assert_eq!(forget(later, 100).await, Ok(1));
}

async fn everything_is_there_in_another_life(kept: Kept) {
    let store = kept.open().await;
    let id = ConfigurationId([3; 32]);
    assert!(store.configuration(id).await.unwrap().is_none());
    store.keep_configuration(id, Bytes::from_static(b"files")).await.expect("it works");
    store.keep_configuration(id, Bytes::from_static(b"files")).await.expect("asked twice");
    assert!(is_new(&*store, run("run_1")).await);
    assert!(is_new(&*store, queued("run_2", "a", Priority::Normal)).await);
    assert_eq!(store.lease(name("stripe"), in_a_minute(), 5).await.unwrap().len(), 1);
    let waits = NewRun {
        queue: Some(Queue { integration: name("crm"), not_before: Wall::default() }),
        ..queued("run_3", "a", Priority::Normal)
    };
    assert!(is_new(&*store, waits).await);
    drop(store);
    let store = kept.open().await;
    assert_eq!(store.configuration(id).await.unwrap(), Some(Bytes::from_static(b"files")));
    assert_eq!(store.unfinished_runs().await.unwrap(), [RunId::new("run_1")]);
    let recovered = store.runs(RunFilter { recovered: true, ..RunFilter::default() }, 9).await.unwrap();
    let recovered: Vec<_> = recovered.iter().map(|run| (run.id.as_str(), run.recovered)).collect();
    assert_eq!(recovered, [("run_2", true), ("run_1", true)], "what was under way, and not what waited");
    assert_eq!(standing(&*store, RunStatus::Running).await, ["run_2", "run_1"]);
    assert_eq!(standing(&*store, RunStatus::Accepted).await, ["run_3"]);
    let again = store.lease(name("stripe"), in_a_minute(), 5).await.unwrap();
    assert_eq!((again.len(), again[0].ticket.fence), (1, 2), "whoever held it has ended");
    store.check().await.expect("it can be written to");
}

async fn one_server_at_a_time(kept: Kept) {
    let store = kept.open().await;
    let second = kept.try_open().await.err().expect("the first has it").to_string();
    assert!(second.contains("another server has it"), "{second}");
    drop(store);
    kept.open().await;
}

#[tokio::test]
async fn a_database_sealed_under_another_key_or_of_a_newer_version_is_refused() {
    let kept = Kept::postgres().await;
    let StoreUrl::Postgres(url) = &kept.settings.url else { panic!("a database") };
    drop(kept.open().await);
    let other = tempfile::tempdir().expect("a directory");
    let path = other.path().join("key");
    std::fs::write(&path, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").expect("a file");
    let keys = vec![EncryptionKey { id: "k2".to_owned(), key: placed(SecretRef::File(path)) }];
    let sealed = store::open(&kept.settings, &EncryptionSettings { keys }, Clock::start()).await;
    let sealed = sealed.err().expect("it is refused").to_string();
    assert!(sealed.contains("`k1`, which is not configured"), "{sealed}");
    postgres::execute(&url.text, "INSERT INTO causeway.versions (version) VALUES (1000)").await;
    let newer = kept.try_open().await.err().expect("it is refused").to_string();
    assert!(newer.contains("version 1000") && newer.contains("newer Causeway"), "{newer}");
}

#[tokio::test]
async fn a_server_that_the_database_was_taken_from_writes_nothing_more() {
    let kept = Kept::postgres().await;
    let StoreUrl::Postgres(url) = &kept.settings.url else { panic!("a database") };
    let first = kept.open().await;
    assert!(is_new(&*first, run("run_1")).await);
    // Its connections are lost, as when a network is divided, and another server takes the database before it is back.
    let end_them = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                    WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let second = loop {
        postgres::execute(&url.text, end_them).await;
        if let Ok(second) = kept.try_open().await {
            break second;
        }
    };
    let refused =
        first.record(RunId::new("run_1"), 0, progress(5)).await.expect_err("it is not its own any more");
    assert!(refused.to_string().contains("another server has taken the database"), "{refused}");
    assert!(first.claim_run(run("run_2")).await.is_err());
    assert_eq!(second.unfinished_runs().await.unwrap(), [RunId::new("run_1")]);
    assert_eq!(second.record(RunId::new("run_1"), 0, progress(5)).await, Ok(true));
}

#[tokio::test]
async fn who_brings_a_queued_run_forward_in_the_database_wakes_its_server() {
    use futures_util::{StreamExt, stream};
    use tokio_postgres::AsyncMessage;
    let kept = Kept::postgres().await;
    let StoreUrl::Postgres(url) = &kept.settings.url else { panic!("a database") };
    let store = kept.open().await;
    store.woken().await; // By what may have been before it listened.
    let (client, mut connection) = tokio_postgres::connect(&url.text, tokio_postgres::NoTls).await.unwrap();
    let mut said = Box::pin(stream::poll_fn(move |context| connection.poll_message(context)));
    let (sender, mut pids) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(said)) = said.next().await {
            if let AsyncMessage::Notification(notification) = said {
                sender.send(notification.process_id()).unwrap();
            }
        }
    });
    client.batch_execute("LISTEN causeway_queue").await.unwrap();
    // What the server writes itself wakes nobody: the first who does is who did it in the database.
    assert!(is_new(&*store, queued("run_1", "a", Priority::Low)).await);
    let leased = store.lease(name("stripe"), in_a_minute(), 1).await.unwrap().remove(0);
    assert_eq!(store.park(parked("run_1", leased.ticket, in_a_minute(), 4)).await, Ok(true));
    assert!(store.lease(name("stripe"), in_a_minute(), 1).await.unwrap().is_empty(), "it is not its time");
    client.batch_execute("UPDATE causeway.queue SET not_before = 0 WHERE run = 'run_1'").await.unwrap();
    let me: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    assert_eq!(pids.recv().await, Some(me));
    store.woken().await;
    assert_eq!(store.lease(name("stripe"), in_a_minute(), 1).await.unwrap().len(), 1);
    // It is told again after it has lost its connection.
    let end_them = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                    AND application_name = 'causeway'";
    client.batch_execute(end_them).await.unwrap();
    store.woken().await;
    client.batch_execute("UPDATE causeway.queue SET lease_until = NULL").await.unwrap();
    store.woken().await;
    assert_eq!(pids.recv().await, Some(me));
}

#[tokio::test]
async fn a_database_server_that_restarts_is_waited_for_and_nothing_it_acknowledged_is_lost() {
    let mut server = Postgres::start().await;
    let kept = Kept::of(postgres_url(&server.url()), tempfile::tempdir().expect("a directory"), None);
    let store = kept.open().await;
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let claims = (0..40).map(|n| {
            let (store, id) = (Arc::clone(&store), format!("run_{round}_{n:02}"));
            tokio::spawn(async move { (is_new_or_not(&*store, run(&id)).await, id) })
        });
        let claims: Vec<_> = claims.collect();
        server.end_at_once().await;
        for claim in claims {
            let (done, id) = claim.await.expect("it ends");
            if done {
                acknowledged.push(RunId::new(id));
            }
        }
        assert!(store.claim_run(run("run_meanwhile")).await.is_err(), "it is not there");
        server.start_again().await;
        crate::support::until("the store works again", async || store.check().await.ok()).await;
        let id = format!("run_{round}_after");
        assert!(is_new(&*store, run(&id)).await);
        acknowledged.push(RunId::new(id));
    }
    let there = store.unfinished_runs().await.expect("it works");
    let lost: Vec<_> = acknowledged.iter().filter(|id| !there.contains(id)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

async fn is_new_or_not(store: &dyn Store, run: NewRun) -> bool {
    store.claim_run(run).await.is_ok()
}

/// What a store says to a call that follows from the dice, in words.
async fn said(store: &dyn Store, dice: &mut Dice, clock: Wall) -> String {
    let id = RunId::new(format!("run_{:02}", dice.roll(12)));
    let fence = u32::try_from(dice.roll(3)).expect("small");
    let revision = u32::try_from(dice.roll(40)).expect("small");
    let at = Wall::from_unix_millis(dice.roll(2) * 10_000_000_000_000);
    let queue = Queue { integration: name(dice.pick::<&str>(&["stripe", "adyen"])), not_before: at };
    match dice.roll(16) {
        0..=3 => {
            let client = *dice.pick(&["a", "b", "c"]);
            let priority = *dice.pick(&[Priority::High, Priority::Normal, Priority::Low]);
            let mut new = queued(id.as_str(), client, priority);
            new.queue = (dice.roll(3) > 0).then_some(queue);
            new.claim =
                keyed("x", u8::try_from(dice.roll(5)).expect("small")).claim.filter(|_| dice.roll(2) == 0);
            new.created_at = Wall::from_unix_millis(dice.roll(200_000));
            format!("{:?}", store.claim_run(new).await)
        }
        4 => format!("{:?}", store.record(id, fence, progress(revision)).await),
        5 => {
            let code = *dice.pick(&["a", "b"]);
            let death = (dice.roll(2) == 0).then_some(code);
            format!("{:?}", store.finish_run(ending(id.as_str(), fence, death)).await)
        }
        6 | 7 => {
            let limit = usize::try_from(dice.roll(3)).expect("small");
            let leased = store.lease(queue.integration, clock, limit).await.expect("it works");
            let say = |l: &causeway_actors::store::Leased| {
                format!("{} {:?} {} {}", l.run.id, l.ticket, l.cancelled, l.run.progress.revision)
            };
            format!("{:?}", leased.iter().map(say).collect::<Vec<_>>())
        }
        8 => {
            let ticket = Ticket { fence, tries: revision, ..Ticket::default() };
            let park = Parked { id, ticket, queue, progress: progress(revision) };
            format!("{:?}", store.park(park).await)
        }
        9 => format!("{:?}", store.heartbeat(vec![(id, fence)], clock).await),
        10 => format!("{:?}", store.cancel_run(id).await),
        11 => {
            let reopened = Reopened {
                id,
                is_resolved: fence == 1,
                priority: Priority::Low,
                queue,
                progress: progress(revision),
            };
            format!("{:?}", store.reopen(reopened).await)
        }
        12 => format!("{:?} {:?}", store.forget_run(id.clone()).await, store.forget_dead_letter(id).await),
        13 => format!("{:?}", store.release(clock + Duration::from_secs(dice.roll(2))).await),
        14 => format!("{:?}", store.forget_old_runs(Wall::from_unix_millis(3000), 1).await),
        _ => {
            let runs = store.runs(RunFilter::default(), 100).await;
            let dead = store.dead_letters(DeadFilter::default(), 100).await;
            for status in RunStatus::ALL {
                standing(store, status).await;
            }
            format!("{runs:?} {dead:?} {:?} {:?}", store.queues().await, store.unfinished_runs().await)
        }
    }
}

/// Seeds that have found something once.
const SEEDS: [u64; 1] = [10_659_983_759_390_952_222];

#[tokio::test]
async fn they_say_the_same_to_the_same() {
    for seed in SEEDS.into_iter().chain([uuid::Uuid::new_v4().as_u64_pair().0]) {
        let (sqlite, postgres) = (Kept::sqlite(), Kept::postgres().await);
        let (sqlite, postgres) = (sqlite.open().await, postgres.open().await);
        let (mut one, mut other) = (Dice(seed), Dice(seed));
        let clock = in_a_minute();
        for call in 0..1000 {
            let (one, other) =
                (said(&*sqlite, &mut one, clock).await, said(&*postgres, &mut other, clock).await);
            assert_eq!(one, other, "call {call} of seed {seed}");
        }
    }
}
