//! The store in a PostgreSQL database, in the schema `causeway`.
//!
//! One thread talks to it, over a few connections. Calls that come with each run (`runs::Claims`, `Records`, `Ends`,
//! `queue::Parks`) are written many at once (`batch`); the others are a statement each. Every transaction proves that the
//! database is still this server's (`schema::take`): one that it was taken from writes nothing more.
//!
//! The database belongs to one server at a time: a connection of its own holds a lock on it, and takes it again when the
//! connection was lost. The same connection is told when somebody else puts something in the queue (`schema/8_woken.sql`).

mod attempts;
mod batch;
mod configurations;
mod control;
mod database;
mod dead;
mod limits;
mod queue;
mod runs;
mod schema;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use causeway_actors::clock::Clock;
use causeway_actors::store::{
    Attempt, AttemptFilter, Audited, Claimed, ConfigurationId, Control, DeadFilter, DeadGroup, DeadLetter,
    Deed, DueInquiry, Ending, Known, Leased, NewRun, Parked, Progress, QueueDepth, Reopened, RunFilter,
    RunRecord, Store, Unavailable,
};
use causeway_core::limits::{Life, Record};
use causeway_core::name::{IntegrationName, RunId};
use causeway_core::time::Wall;
use futures_util::future::LocalBoxFuture;
use futures_util::{StreamExt, stream};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::OpenError;
use super::doubtful::{self, Doubtful};
use super::limits::LimitRow;
use super::recent::Recent;
use super::rows;
use super::sealing::Keyring;
use super::watch::{Watch, Works};
use crate::adapters::transport::tls;
use crate::failpoint::Durable;
use crate::settings::PostgresUrl;
use batch::Batch;
use database::{Database, SETUP, describe};
use schema::SchemaError;

/// The most calls that wait.
const MAX_WAITING: usize = 16_384;
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// For how long what nobody waits for any more may still be committed: the server's own limits on what was sent together.
const LATE: Duration = Duration::from_secs(60);
/// How long a connection may be silent while an answer is due at the level of TCP.
const SILENT: Duration = Duration::from_secs(10);
/// How often, and how often at most, a server that starts looks whether the one before it has let go of the database.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: usize = 50;
/// How often it is looked whether the database is still held.
const KEEP: Duration = Duration::from_secs(1);
/// Asks to be told when somebody else puts something in the queue.
const LISTEN: &str = "LISTEN causeway_queue";

/// What the thread knows.
struct Parts {
    database: Rc<Database>,
    claims: Rc<Batch<runs::Claims>>,
    records: Rc<Batch<runs::Records>>,
    ends: Rc<Batch<runs::Ends>>,
    parks: Rc<Batch<queue::Parks>>,
}

type Job = Box<dyn FnOnce(Rc<Parts>) -> LocalBoxFuture<'static, ()> + Send>;

/// The store in a database.
pub(super) struct PostgresStore {
    keyring: Arc<Keyring>,
    jobs: mpsc::UnboundedSender<Job>,
    /// What bounds the calls that wait.
    places: Arc<Semaphore>,
    clock: Clock,
    /// Counts leases: who goes first changes with each.
    turns: AtomicUsize,
    doubtful: Doubtful,
    recent: Arc<Recent>,
    works: Works,
    woken: Arc<Notify>,
}

impl PostgresStore {
    /// Opens the database; makes the tables where there are none.
    pub(super) async fn open(
        url: &PostgresUrl,
        password: Option<SecretString>,
        keyring: Keyring,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let place = url.to_string();
        let wrong = |what: String| OpenError::Store { place: place.clone(), what };
        let config = config(url, password).map_err(wrong)?;
        let tls = connector(url).map_err(wrong)?;
        let keyring = Arc::new(keyring);
        let (jobs, asked) = mpsc::unbounded_channel();
        let (opened, told) = oneshot::channel();
        let (keys, watch) = (Arc::clone(&keyring), Watch::new(place.clone(), clock));
        let (works, woken) = (watch.told(), Arc::new(Notify::new()));
        let holding = Holding { config, tls, woken: Arc::clone(&woken) };
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => {
                    let serve = serve(holding, keys, watch, opened, asked);
                    tokio::task::LocalSet::new().block_on(&runtime, serve);
                }
                // Whoever waits to be told finds that nobody will.
                Err(error) => tracing::error!(%error, "the store's thread cannot be set up"),
            }
        };
        let started = thread::Builder::new().name("store".to_owned()).spawn(run);
        started.map_err(|error| wrong(format!("its thread cannot be started: {error}")))?;
        told.await.unwrap_or_else(|_| Err("its thread has ended".to_owned())).map_err(wrong)?;
        Ok(Self {
            keyring,
            jobs,
            places: Arc::new(Semaphore::new(MAX_WAITING)),
            clock,
            turns: AtomicUsize::new(0),
            doubtful: Doubtful::default(),
            recent: Arc::default(),
            works,
            woken,
        })
    }

    /// Has the thread do something.
    async fn ask<T, F, W>(&self, work: W) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Unavailable>> + 'static,
        W: FnOnce(Rc<Parts>) -> F + Send + 'static,
    {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Unavailable(format!("{MAX_WAITING} calls wait for it already")))?;
        let (reply, answered) = oneshot::channel();
        let job: Job = Box::new(move |parts| {
            Box::pin(async move {
                // Whoever asked may have left.
                let _ = reply.send(work(parts).await);
                drop(place);
            })
        });
        let ended = || Unavailable("its thread has ended".to_owned());
        self.jobs.send(job).map_err(|_| ended())?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}

impl PostgresStore {
    async fn claim(&self, row: &Arc<rows::Row>) -> Result<Claimed, Unavailable> {
        let row = Arc::clone(row);
        let known = self.ask(move |to| async move { to.claims.write(&to.database, row).await? }).await;
        match known? {
            None => Ok(Claimed::New),
            Some(known) => known.open(&self.keyring).map(Claimed::Known),
        }
    }

    /// Takes back the claims that were refused and may be on disk.
    async fn take_back(&self) -> Result<(), Unavailable> {
        let ids = self.doubtful.all();
        if ids.is_empty() {
            return Ok(());
        }
        let gone = ids.clone();
        let taken = self.ask(move |to| async move { runs::take_back(&to.database, &gone).await }).await?;
        self.doubtful.taken_back(&ids, self.clock.mono(), LATE);
        if taken > 0 {
            tracing::warn!(
                runs = taken,
                "runs that were refused while the store failed were on disk: they are taken back"
            );
        }
        Ok(())
    }
}

/// How to reach it.
fn config(url: &PostgresUrl, password: Option<SecretString>) -> Result<Config, String> {
    let mut config: Config = url.text.parse().map_err(|error| format!("its url cannot be used: {error}"))?;
    if let Some(password) = password {
        config.password(password.expose_secret());
    }
    let is_local = |host: &Host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
        Host::Unix(_) => true,
    };
    // What would do without TLS where it is not offered may be talked into it by anyone in between.
    let is_near = url.authorities.is_none() && config.get_hosts().iter().all(is_local);
    if config.get_ssl_mode() == SslMode::Prefer && !is_near {
        config.ssl_mode(SslMode::Require);
    }
    config.application_name("causeway").connect_timeout(CONNECT).tcp_user_timeout(SILENT);
    config
        .keepalives_idle(SILENT)
        .target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
    Ok(config)
}

fn connector(url: &PostgresUrl) -> Result<MakeRustlsConnect, String> {
    let roots = match &url.authorities {
        None => tls::system_authorities().unwrap_or_else(|_| RootCertStore::empty()),
        Some(path) => {
            let unusable = |error: &dyn std::fmt::Display| format!("sslrootcert {}: {error}", path.display());
            let mut roots = RootCertStore::empty();
            for der in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
                roots.add(der.map_err(|error| unusable(&error))?).map_err(|error| unusable(&error))?;
            }
            roots
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(MakeRustlsConnect::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// How the connection is made that holds the database, and is told what others do.
struct Holding {
    config: Config,
    tls: MakeRustlsConnect,
    woken: Arc<Notify>,
}

impl Holding {
    async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
        let woken = Arc::clone(&self.woken);
        tokio::spawn(async move {
            let mut said = stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(said) = said.next().await {
                match said {
                    Ok(AsyncMessage::Notification(_)) => woken.notify_one(),
                    Ok(AsyncMessage::Notice(notice)) => {
                        tracing::debug!(notice = notice.message(), "the database server says");
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(error = describe(&error), "a connection to the store is lost");
                        break;
                    }
                }
            }
        });
        client.batch_execute(SETUP).await?;
        client.batch_execute(LISTEN).await?;
        // What was said before nobody heard.
        self.woken.notify_one();
        Ok(client)
    }
}

/// What the thread does: opens the database, says so, and does what it is asked until nobody can ask any more.
async fn serve(
    holding: Holding,
    keyring: Arc<Keyring>,
    watch: Watch,
    opened: oneshot::Sender<Result<(), String>>,
    mut asked: mpsc::UnboundedReceiver<Job>,
) {
    let (holder, database) = match prepare(&holding, &keyring, watch).await {
        Ok(prepared) => prepared,
        Err(error) => {
            let _ = opened.send(Err(error));
            return;
        }
    };
    let parts = Rc::new(Parts {
        database: Rc::new(database),
        claims: Batch::new(),
        records: Batch::new(),
        ends: Batch::new(),
        parks: Batch::new(),
    });
    tokio::task::spawn_local(hold(holder, holding));
    if opened.send(Ok(())).is_err() {
        return;
    }
    let mut under_way = tokio::task::JoinSet::new();
    while let Some(job) = asked.recv().await {
        under_way.spawn_local(job(Rc::clone(&parts)));
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
}

async fn prepare(holding: &Holding, keyring: &Keyring, watch: Watch) -> Result<(Client, Database), String> {
    let said = |error: tokio_postgres::Error| describe(&error);
    let mut client = holding.connect().await.map_err(said)?;
    let mut looked = 0;
    while !schema::lock(&client).await.map_err(said)? {
        looked += 1;
        if looked > LOOKS {
            return Err("another server has it; stop that one, or give this one another database".to_owned());
        }
        tokio::time::sleep(LOOK).await;
    }
    warn_of_what_is_not_kept(&client).await.map_err(said)?;
    let wrong = |error: SchemaError| error.to_string();
    schema::bring_up_to_date(&mut client).await.map_err(wrong)?;
    schema::check_keys(&mut client, keyring).await.map_err(wrong)?;
    let epoch = schema::take(&mut client).await.map_err(said)?;
    let Holding { config, tls, .. } = holding;
    let database = Database::new(config.clone(), tls.clone(), epoch, watch);
    let database = database.map_err(|error| error.to_string())?;
    // Whoever held a lease on it has ended, or writes nothing more.
    runs::mark_recovered(&database).await.map_err(|error| error.to_string())?;
    let leases = queue::release(&database, Wall::from_unix_millis(u64::MAX)).await;
    super::tell_of_leases(leases.map_err(|error| error.to_string())?);
    Ok((client, database))
}

async fn warn_of_what_is_not_kept(client: &Client) -> Result<(), tokio_postgres::Error> {
    for setting in ["fsync", "full_page_writes"] {
        let value: String = client.query_one("SELECT current_setting($1)", &[&setting]).await?.try_get(0)?;
        if value == "off" {
            tracing::warn!(
                setting,
                "the database server is set up to lose what it has acknowledged when its machine fails: turn this on"
            );
        }
    }
    Ok(())
}

/// Holds the database, so that no other server takes it.
async fn hold(mut client: Client, holding: Holding) {
    loop {
        tokio::time::sleep(KEEP).await;
        if !client.is_closed() {
            continue;
        }
        let Ok(next) = holding.connect().await else { continue };
        match schema::lock(&next).await {
            Ok(true) => client = next,
            Ok(false) => tracing::error!(
                "another server holds the database: this one writes nothing once that has taken it"
            ),
            Err(error) => tracing::debug!(error = describe(&error), "the database cannot be held"),
        }
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn claim_run(&self, run: NewRun) -> Result<Claimed, Unavailable> {
        let (id, ids) = (run.id.clone(), doubtful::ids_of(&run));
        let row = Arc::new(rows::Row::seal(&run, &self.keyring));
        // Before it is on disk, for it may be leased as soon as it is.
        self.recent.keep(run, self.clock.now().wall);
        let mut claimed = self.claim(&row).await;
        if !matches!(claimed, Ok(Claimed::New)) {
            self.recent.forget(id.as_str());
        }
        if self.doubtful.has_taken(&claimed) {
            self.take_back().await?;
            claimed = self.claim(&row).await;
        }
        self.doubtful.follow(&claimed, &ids, self.clock.mono());
        claimed
    }

    async fn known(&self, scope: [u8; 32], at: Wall) -> Result<Option<Known>, Unavailable> {
        let found = self.ask(move |to| async move { runs::known(&to.database, &scope, at).await }).await?;
        let found = found.map(|known| known.open(&self.keyring)).transpose()?;
        // One that nobody was promised is as good as gone.
        Ok(found.filter(|known| !self.doubtful.has(known.id.as_str())))
    }

    async fn record(&self, id: RunId, fence: u32, progress: Progress) -> Result<bool, Unavailable> {
        let standing = rows::Standing::seal(&id, fence, &progress, &self.keyring);
        self.ask(move |to| async move { to.records.write(&to.database, standing).await }).await
    }

    async fn finish_run(&self, ending: Ending) -> Result<bool, Unavailable> {
        let end = rows::End::seal(&ending, &self.keyring);
        self.ask(move |to| async move { to.ends.write(&to.database, end).await }).await
    }

    async fn forget_run(&self, id: RunId) -> Result<(), Unavailable> {
        self.ask(move |to| async move { runs::forget(&to.database, &id).await }).await
    }

    async fn run(&self, id: RunId) -> Result<Option<RunRecord>, Unavailable> {
        let found = self.ask(move |to| async move { runs::one(&to.database, &id).await }).await?;
        found.map(|found| found.open(&self.keyring)).transpose()
    }

    async fn runs(&self, filter: RunFilter, limit: usize) -> Result<Vec<RunRecord>, Unavailable> {
        let found = self.ask(move |to| async move { runs::list(&to.database, &filter, limit).await }).await?;
        found.into_iter().map(|found| found.open(&self.keyring)).collect()
    }

    async fn lease(
        &self,
        integration: IntegrationName,
        until: Wall,
        limit: usize,
    ) -> Result<Vec<Leased>, Unavailable> {
        let (now, turn) = (self.clock.now().wall, self.turns.fetch_add(1, Ordering::Relaxed));
        let recent = Arc::clone(&self.recent);
        let lease = move |to: Rc<Parts>| async move {
            queue::lease(&to.database, &recent, &integration, (now, until), limit, turn).await
        };
        Ok(rows::open_leases(self.ask(lease).await?, &self.keyring))
    }

    fn works(&self) -> bool {
        self.works.works()
    }

    async fn lease_cancelled(
        &self,
        integration: IntegrationName,
        until: Wall,
        limit: usize,
    ) -> Result<Vec<Leased>, Unavailable> {
        let recent = Arc::clone(&self.recent);
        let lease = move |to: Rc<Parts>| async move {
            queue::lease_cancelled(&to.database, &recent, &integration, until, limit).await
        };
        Ok(rows::open_leases(self.ask(lease).await?, &self.keyring))
    }

    async fn heartbeat(&self, runs: Vec<(RunId, u32)>, until: Wall) -> Result<Vec<RunId>, Unavailable> {
        self.ask(move |to| async move { queue::heartbeat(&to.database, runs, until).await }).await
    }

    async fn park(&self, parked: Parked) -> Result<bool, Unavailable> {
        let parked = rows::SealedPark::seal(&parked, &self.keyring);
        self.ask(move |to| async move { to.parks.write(&to.database, parked).await }).await
    }

    async fn cancel_run(&self, id: RunId) -> Result<bool, Unavailable> {
        self.ask(move |to| async move { queue::cancel(&to.database, &id).await }).await
    }

    async fn dead_letters(&self, filter: DeadFilter, limit: usize) -> Result<Vec<DeadLetter>, Unavailable> {
        let found = self.ask(move |to| async move { dead::list(&to.database, &filter, limit).await }).await?;
        found.into_iter().map(|letter| letter.open(&self.keyring)).collect()
    }

    async fn dead_groups(&self) -> Result<Vec<DeadGroup>, Unavailable> {
        self.ask(|to| async move { dead::groups(&to.database).await }).await
    }

    async fn dead_run(&self, id: RunId) -> Result<Option<NewRun>, Unavailable> {
        let found = self.ask(move |to| async move { dead::run(&to.database, &id).await }).await?;
        found.map(|found| found.open(&self.keyring)).transpose()
    }

    async fn reopen(&self, reopened: Reopened) -> Result<bool, Unavailable> {
        let reopened = rows::SealedReopened::seal(&reopened, &self.keyring);
        self.ask(move |to| async move { dead::reopen(&to.database, &reopened).await }).await
    }

    async fn due_inquiries(&self, by: Wall, limit: usize) -> Result<Vec<DueInquiry>, Unavailable> {
        self.ask(move |to| async move { dead::due_inquiries(&to.database, by, limit).await }).await
    }

    async fn inquire_at(&self, run: RunId, at: Option<Wall>) -> Result<(), Unavailable> {
        self.ask(move |to| async move { dead::inquire_at(&to.database, &run, at).await }).await
    }

    async fn forget_dead_letter(&self, id: RunId) -> Result<bool, Unavailable> {
        self.ask(move |to| async move { dead::forget(&to.database, &id).await }).await
    }

    async fn forget_old_dead_letters(&self, before: Wall, limit: usize) -> Result<usize, Unavailable> {
        self.ask(move |to| async move { dead::forget_old(&to.database, before, limit).await }).await
    }

    async fn audit(&self, deed: Deed) -> Result<(), Unavailable> {
        self.ask(move |to| async move { control::audit(&to.database, &deed).await }).await
    }

    async fn keep(&self, held: Control) -> Result<(), Unavailable> {
        self.ask(move |to| async move { control::keep(&to.database, &held).await }).await
    }

    async fn controls(&self) -> Result<Vec<(String, String)>, Unavailable> {
        self.ask(|to| async move { control::controls(&to.database).await }).await
    }

    async fn trail(&self, before: Option<i64>, limit: usize) -> Result<Vec<Audited>, Unavailable> {
        self.ask(move |to| async move { control::trail(&to.database, before, limit).await }).await
    }

    async fn forget_old_deeds(&self, before: Wall, limit: usize) -> Result<usize, Unavailable> {
        self.ask(move |to| async move { control::forget_old(&to.database, before, limit).await }).await
    }

    async fn keep_limits(&self, records: Vec<Record>, life: Life) -> Result<(), Unavailable> {
        let rows = records.iter().map(LimitRow::of).collect::<Result<Vec<_>, _>>()?;
        self.ask(move |to| async move { limits::keep(&to.database, &rows, life).await }).await
    }

    async fn limits(&self) -> Result<(Vec<Record>, Option<Life>), Unavailable> {
        let (rows, life) = self.ask(|to| async move { limits::all(&to.database).await }).await?;
        Ok((rows.into_iter().map(LimitRow::open).collect::<Result<_, _>>()?, life))
    }

    async fn forget_old_limits(&self, before: Wall, limit: usize) -> Result<usize, Unavailable> {
        self.ask(move |to| async move { limits::forget_old(&to.database, before, limit).await }).await
    }

    async fn append_attempts(&self, attempts: Vec<Attempt>) -> Result<(), Unavailable> {
        let rows: Vec<_> =
            attempts.into_iter().map(|attempt| rows::SealedAttempt::seal(attempt, &self.keyring)).collect();
        self.ask(move |to| async move { attempts::append(&to.database, &rows).await }).await
    }

    async fn attempts(&self, filter: AttemptFilter, limit: usize) -> Result<Vec<Attempt>, Unavailable> {
        let found =
            self.ask(move |to| async move { attempts::list(&to.database, &filter, limit).await }).await?;
        found.into_iter().map(|attempt| attempt.open(&self.keyring)).collect()
    }

    async fn forget_old_attempts(&self, before: Wall, limit: usize) -> Result<usize, Unavailable> {
        self.ask(move |to| async move { attempts::forget_old(&to.database, before, limit).await }).await
    }

    async fn release(&self, by: Wall) -> Result<usize, Unavailable> {
        self.take_back().await?;
        self.ask(move |to| async move { queue::release(&to.database, by).await }).await
    }

    async fn woken(&self) {
        self.woken.notified().await;
    }

    async fn queues(&self) -> Result<Vec<QueueDepth>, Unavailable> {
        let now = self.clock.now().wall;
        let depths = self.ask(move |to| async move { queue::depths(&to.database, now).await }).await?;
        let depth = |(name, counts): (String, rows::QueueCounts)| {
            let name = IntegrationName::new(&name).map_err(|error| Unavailable(error.to_string()))?;
            Ok(counts.of(name))
        };
        depths.into_iter().map(depth).collect()
    }

    async fn unfinished_runs(&self) -> Result<Vec<RunId>, Unavailable> {
        self.ask(|to| async move { runs::unfinished_ids(&to.database).await }).await
    }

    async fn unfinished(&self, id: RunId) -> Result<Option<NewRun>, Unavailable> {
        let found = self.ask(move |to| async move { runs::unfinished(&to.database, &id).await }).await?;
        found.map(|found| found.open(&self.keyring)).transpose()
    }

    async fn keep_configuration(&self, id: ConfigurationId, files: Bytes) -> Result<(), Unavailable> {
        let (sealed, at) = (rows::seal_configuration(id, &files, &self.keyring), self.clock.now().wall);
        self.ask(move |to| async move { configurations::keep(&to.database, id, &sealed, at).await }).await
    }

    async fn configuration(&self, id: ConfigurationId) -> Result<Option<Bytes>, Unavailable> {
        let found = self.ask(move |to| async move { configurations::one(&to.database, id).await }).await?;
        found.map(|sealed| rows::open_configuration(id, &sealed, &self.keyring)).transpose()
    }

    async fn forget_old_configurations(
        &self,
        current: Vec<ConfigurationId>,
        before: Wall,
        limit: usize,
    ) -> Result<usize, Unavailable> {
        let forget = move |to: Rc<Parts>| async move {
            configurations::forget_old(&to.database, &current, before, limit).await
        };
        self.ask(forget).await
    }

    async fn forget_old_runs(&self, before: Wall, limit: usize) -> Result<usize, Unavailable> {
        let now = self.clock.now().wall;
        self.ask(move |to| async move { runs::forget_old(&to.database, before, now, limit).await }).await
    }

    async fn check(&self) -> Result<(), Unavailable> {
        let at = rows::millis(self.clock.now().wall);
        let touch = "UPDATE checks SET at = $1";
        self.ask(move |to| async move { to.database.count(Durable::Check, touch, &[&at]).await.map(drop) })
            .await
    }
}
