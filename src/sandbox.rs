//! Simulated providers (payments, e-mail, CRM, accounting, identity checks) that can be told to misbehave, down to the
//! socket.
//!
//! The demo talks to it, the `sandbox` command serves it, and the end-to-end tests compare what Causeway claims with
//! what the provider saw. It keeps a ledger of every request that arrived and of every effect it had, so that "charged
//! once" and "none went early" can be checked rather than believed. It speaks HTTP/1.1 through hyper directly: a web
//! framework would not let a service close a connection without an answer, answer half, or answer nonsense.
//!
//! Life-cycle: [`Sandbox::start`] binds and serves on the current runtime; a [`Control`] handle, or the control API on
//! the same address, sets the plan and reads the ledger; stopping or dropping the sandbox closes its listener and
//! all connections. The ledger stays readable through the handle.
//!
//! The parts, in the order a request meets them:
//!
//! - `tls`: the handshake, where one is asked for;
//! - `wire`: the socket, hyper on it, and the bytes that are no HTTP;
//! - `serve`: one request from its head to its answer, behaving as the [`plan`] says, a sequence of
//!   [`behaviour`]s;
//! - `state`: what all connections share; [`ledger`] is what it notes;
//! - `call`, `provider`, `charges`, `objects`, `keys`, `answer`: the providers when they are well;
//! - [`control`]: the handle and its HTTP form.

mod answer;
pub mod behaviour;
mod call;
mod charges;
pub mod control;
mod keys;
pub mod ledger;
mod objects;
pub mod plan;
mod provider;
mod serve;
mod state;
#[cfg(test)]
mod testing;
mod tls;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub use self::behaviour::{Action, Behaviour};
pub use self::control::Control;
pub use self::ledger::{Arrival, Counters, Effect, Ending, Ledger};
pub use self::plan::{PlanError, Rule};
use self::serve::Peer;
use self::state::Shared;
use self::tls::Identity;

/// The most connections at once; more wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 10_000;
/// The listener's backlog.
const BACKLOG: u32 = 1024;
/// The wait after a connection could not be accepted, which mostly means that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What kind of provider a sandbox simulates.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The bearer token that every request but those to the control API must carry; `None` for no authentication.
    pub key: Option<SecretString>,
    /// Decides ids and jitter: equal seeds and equal requests give equal ids.
    pub seed: u64,
    /// A provider without idempotency keys: they are noted in the ledger and otherwise ignored.
    pub ignores_keys: bool,
    /// The most connections the provider takes at once, those to the control API among them: it closes what comes beyond
    /// without a word. `None` for as many as the sandbox can hold; more then wait.
    pub max_connections: Option<usize>,
    /// Speaks TLS only, with a certificate of an authority made for this sandbox: see [`Sandbox::authority`].
    pub tls: bool,
}

/// A running provider. Dropping it stops it.
#[derive(Debug)]
pub struct Sandbox {
    addr: SocketAddr,
    control: Control,
    authority: Option<Arc<str>>,
    /// Everything ends when this is dropped.
    running: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

impl Sandbox {
    /// Serves a provider without authentication on `listen` (port 0: any free one), on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, or no runtime is there to serve on.
    pub fn start(listen: SocketAddr) -> io::Result<Self> {
        Self::start_with(listen, Options::default())
    }

    /// Serves the provider that `options` describes on `listen`, as [`Sandbox::start`] does.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, or no runtime is there to serve on.
    pub fn start_with(listen: SocketAddr, options: Options) -> io::Result<Self> {
        let runtime = Handle::try_current().map_err(|error| {
            io::Error::other(format!("cannot serve a sandbox outside a tokio runtime: {error}"))
        })?;
        let listener = bind(listen).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot serve a sandbox on {listen}: {error}"))
        })?;
        let addr = listener.local_addr()?;
        let identity = options.tls.then(|| Identity::new(addr.ip())).transpose()?;
        let door = Door {
            listener,
            acceptor: identity.as_ref().map(Identity::acceptor),
            max_connections: options.max_connections,
        };
        let shared = Arc::new(Shared::new(options));
        let (running, stopping) = watch::channel(());
        let accepting = runtime.spawn(door.accept(Arc::clone(&shared), stopping));
        let authority = identity.map(|identity| identity.authority.into());
        Ok(Self { addr, control: Control::new(shared), authority, running, accepting })
    }

    /// Serves a provider without authentication on a thread and a runtime of its own.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound or the thread cannot be started.
    pub fn run_in_thread(listen: SocketAddr) -> io::Result<SandboxThread> {
        SandboxThread::start(listen, Options::default())
    }

    /// Serves the provider that `options` describes on a thread and a runtime of its own.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound or the thread cannot be started.
    pub fn run_in_thread_with(listen: SocketAddr, options: Options) -> io::Result<SandboxThread> {
        SandboxThread::start(listen, options)
    }

    /// The address it is bound to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it is reached: the base URL of an integration that calls it.
    pub fn url(&self) -> String {
        url(self.addr, self.authority.as_deref())
    }

    /// The certificate, as PEM, of the authority that a client has to trust; `None` without TLS.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// A handle that steers and reads it.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Closes the listener and all connections; on return both are closed.
    pub async fn stop(self) {
        drop(self.running);
        if let Err(error) = self.accepting.await {
            tracing::warn!(%error, "the sandbox's listener did not end in order");
        }
    }
}

/// A provider on a thread of its own. Dropping it stops it and waits for the thread's end.
#[derive(Debug)]
pub struct SandboxThread {
    addr: SocketAddr,
    control: Control,
    authority: Option<Arc<str>>,
    running: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl SandboxThread {
    fn start(listen: SocketAddr, options: Options) -> io::Result<Self> {
        let (started, start) = mpsc::sync_channel(1);
        let (running, stopping) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("sandbox".to_owned())
            .spawn(move || run(listen, options, &started, stopping))?;
        let (addr, control, authority) =
            start.recv().map_err(|_| io::Error::other("the sandbox's thread ended before it served"))??;
        Ok(Self { addr, control, authority, running: Some(running), thread: Some(thread) })
    }

    /// The address it is bound to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it is reached: the base URL of an integration that calls it.
    pub fn url(&self) -> String {
        url(self.addr, self.authority.as_deref())
    }

    /// The certificate, as PEM, of the authority that a client has to trust; `None` without TLS.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// A handle that steers and reads it.
    pub fn control(&self) -> Control {
        self.control.clone()
    }
}

impl Drop for SandboxThread {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the sandbox's thread ended in a panic");
        }
    }
}

type Started = io::Result<(SocketAddr, Control, Option<Arc<str>>)>;

fn run(
    listen: SocketAddr,
    options: Options,
    started: &mpsc::SyncSender<Started>,
    stopping: oneshot::Receiver<()>,
) {
    let served = Builder::new_current_thread().enable_all().build().map(|runtime| {
        runtime.block_on(async {
            let sandbox = Sandbox::start_with(listen, options)?;
            // A starter that is gone has dropped the other end of `stopping` too.
            let _ = started.send(Ok((sandbox.addr(), sandbox.control(), sandbox.authority.clone())));
            let _ = stopping.await;
            sandbox.stop().await;
            Ok(())
        })
    });
    if let Err(error) = served.and_then(|served| served) {
        let _ = started.send(Err(error));
    }
}

fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

fn url(addr: SocketAddr, authority: Option<&str>) -> String {
    let scheme = if authority.is_some() { "https" } else { "http" };
    format!("{scheme}://{addr}")
}

/// Where clients come in.
struct Door {
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    max_connections: Option<usize>,
}

impl Door {
    async fn accept(self, shared: Arc<Shared>, mut stopping: watch::Receiver<()>) {
        let mut connections = JoinSet::new();
        let peers = stopping.clone();
        let mut connection = 0;
        loop {
            tokio::select! {
                _ = stopping.changed() => break,
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        // Those that have ended make room.
                        while connections.try_join_next().is_some() {}
                        if self.max_connections.is_some_and(|most| connections.len() >= most) {
                            shared.lock().book.refused();
                            continue;
                        }
                        connection += 1;
                        shared.lock().book.connected();
                        let peer = Peer { shared: Arc::clone(&shared), stopping: peers.clone(), connection };
                        connections.spawn(attend(stream, self.acceptor.clone(), peer));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the sandbox cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        connections.shutdown().await;
    }
}

/// Serves one connection to its end, secured first where that is asked for.
async fn attend(stream: TcpStream, acceptor: Option<TlsAcceptor>, peer: Peer) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off delayed sending for a client");
    }
    match acceptor {
        None => wire::drive(stream, peer).await,
        Some(acceptor) => {
            if let Some(stream) = tls::secured(acceptor, stream).await {
                wire::drive(stream, peer).await;
            }
        }
    }
}

/// A well-spread number for each number (the finaliser of splitmix64), so that a seed and a counter decide ids and
/// jitter. It is one-to-one: different numbers never meet.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use tokio::io::AsyncReadExt;

    use super::testing::{ANY, CHARGE, charge, exchange, get, send};
    use super::*;

    fn refuses(addr: SocketAddr) -> bool {
        TcpStream::connect(addr).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    }

    #[tokio::test]
    async fn stopping_closes_the_listener_and_every_connection() {
        let sandbox = Sandbox::start(ANY).unwrap();
        let (addr, control) = (sandbox.addr(), sandbox.control());
        control.plan(Rule::always(Action::Hang { act: true }.into())).unwrap();
        let mut hanging = send(addr, "POST /v1/charges", &[], CHARGE).await;
        while control.counters().open == 0 {
            tokio::task::yield_now().await;
        }
        sandbox.stop().await;
        assert_eq!(hanging.read(&mut [0]).await.unwrap_or(0), 0);
        assert!(refuses(addr));
        assert_eq!(control.ledger().effects.len(), 1);
    }

    #[tokio::test]
    async fn dropping_stops_too() {
        let sandbox = Sandbox::start(ANY).unwrap();
        let addr = sandbox.addr();
        let mut idle = tokio::net::TcpStream::connect(addr).await.unwrap();
        drop(sandbox);
        assert_eq!(idle.read(&mut [0]).await.unwrap_or(0), 0);
        assert!(refuses(addr));
    }

    #[test]
    fn a_sandbox_in_a_thread_ends_with_its_handle() {
        let sandbox = Sandbox::run_in_thread(ANY).unwrap();
        let addr = sandbox.addr();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(runtime.block_on(charge(addr, "k")).status(), 200);
        assert_eq!(sandbox.control().ledger().effects.len(), 1);
        drop(sandbox);
        assert!(refuses(addr));
    }

    #[test]
    fn a_sandbox_runs_inside_an_actix_system() {
        actix::System::new().block_on(async {
            let sandbox = Sandbox::start(ANY).unwrap();
            assert_eq!(get(sandbox.addr(), "/v1/ping").await.body().len(), 299);
            sandbox.stop().await;
        });
    }

    #[test]
    fn what_prevents_a_start_is_said() {
        assert!(Sandbox::start(ANY).unwrap_err().to_string().contains("tokio runtime"));
        let sandbox = Sandbox::run_in_thread(ANY).unwrap();
        let taken = Sandbox::run_in_thread(sandbox.addr()).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        assert!(taken.to_string().contains(&sandbox.addr().to_string()));
    }

    #[tokio::test]
    async fn the_key_is_asked_for_and_never_shown() {
        let options = Options { key: Some("sk_secret".into()), ..Options::default() };
        assert!(!format!("{options:?}").contains("sk_secret"));
        let sandbox = Sandbox::start_with(ANY, options).unwrap();
        let refused = charge(sandbox.addr(), "k").await;
        assert_eq!((refused.status(), refused.headers()["www-authenticate"].as_str()), (401, "Bearer"));
        let headers = [("Authorization", "Bearer sk_secret")];
        let granted = exchange(sandbox.addr(), "POST /v1/charges", &headers, CHARGE).await;
        assert_eq!(granted.status(), 200);
        let ledger = sandbox.control().ledger();
        assert!(!format!("{ledger:?}{sandbox:?}").contains("sk_secret"));
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_are_closed_without_a_word() {
        let options = Options { max_connections: Some(2), ..Options::default() };
        let sandbox = Sandbox::start_with(ANY, options).unwrap();
        let control = sandbox.control();
        let mut within = Vec::new();
        for count in 1..=2 {
            within.push(tokio::net::TcpStream::connect(sandbox.addr()).await.unwrap());
            while control.counters().connections < count {
                tokio::task::yield_now().await;
            }
        }
        let mut beyond = tokio::net::TcpStream::connect(sandbox.addr()).await.unwrap();
        assert_eq!(beyond.read(&mut [0]).await.unwrap_or(0), 0);
        let counters = control.counters();
        assert_eq!((counters.connections, counters.refused_connections, counters.requests), (2, 1, 0));

        // One that ends makes room, as soon as the sandbox has seen its end.
        drop(within.pop());
        let served = async {
            loop {
                let mut answer = Vec::new();
                let mut stream = send(sandbox.addr(), "GET /v1/ping", &[], "").await;
                if stream.read_to_end(&mut answer).await.is_ok_and(|bytes| bytes > 0) {
                    return super::testing::Raw(answer).status();
                }
            }
        };
        let served = tokio::time::timeout(Duration::from_secs(30), served).await;
        assert_eq!(served, Ok(200));
    }

    #[tokio::test]
    async fn plain_text_meets_no_http_where_tls_is_asked_for() {
        let sandbox = Sandbox::start_with(ANY, Options { tls: true, ..Options::default() }).unwrap();
        assert!(sandbox.url().starts_with("https://127.0.0.1:"), "{}", sandbox.url());
        assert!(sandbox.authority().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(!format!("{sandbox:?}").contains("PRIVATE KEY"));
        let mut plain = send(sandbox.addr(), "GET /v1/ping", &[], "").await;
        let mut answer = Vec::new();
        let _ = plain.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
        assert_eq!(sandbox.control().counters().requests, 0);
    }

    #[test]
    fn mixed_numbers_never_meet() {
        let mixed: std::collections::HashSet<_> = (0..10_000).map(mix).collect();
        assert_eq!(mixed.len(), 10_000);
    }

    const PAYMENTS: &str = include_str!("sandbox/demo/integrations/payments.toml");
    const EMAIL: &str = include_str!("sandbox/demo/integrations/email.toml");
    const CRM: &str = include_str!("sandbox/demo/integrations/crm.toml");
    const OPERATIONS: [&str; 2] = [
        include_str!("sandbox/demo/operations/payments.charge.toml"),
        include_str!("sandbox/demo/operations/payments.ping.toml"),
    ];

    #[tokio::test]
    async fn the_demo_calls_what_the_sandbox_serves() {
        let sandbox = Sandbox::start(ANY).unwrap();
        for integration in [PAYMENTS, EMAIL, CRM] {
            let integration: toml::Table = integration.parse().unwrap();
            assert_eq!(integration["base_url"].as_str(), Some("{{sandbox}}"));
            for (name, endpoint) in integration["endpoints"].as_table().unwrap() {
                let text = |key: &str| endpoint[key].as_str().unwrap().to_owned();
                let line = format!("{} {}", text("method"), text("path"));
                let status = exchange(sandbox.addr(), &line, &[], CHARGE).await.status();
                // Not all of them take a charge for what they are asked.
                assert!([200, 400].contains(&status), "{name}: {status}");
            }
        }
        let payments: toml::Table = PAYMENTS.parse().unwrap();
        for operation in OPERATIONS {
            let operation: toml::Table = operation.parse().unwrap();
            let [step] = &operation["steps"].as_array().unwrap()[..] else {
                panic!("not one step: {operation}")
            };
            let (integration, endpoint) = step["call"].as_str().unwrap().split_once('.').unwrap();
            assert_eq!(integration, "payments");
            assert!(payments["endpoints"].get(endpoint).is_some(), "{endpoint}");
        }
        let server: toml::Table = include_str!("sandbox/demo/causeway.toml").parse().unwrap();
        assert!(server["listen"]["api"].as_str().unwrap().parse::<SocketAddr>().unwrap().ip().is_loopback());
    }
}
