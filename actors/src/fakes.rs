//! Scripted ports, for tests of the actors with paused time.
//!
//! A [`ScriptedTransport`] answers each request with what its script returns for it: after a virtual delay, broken or
//! whole, before or after the request has left. As a real one does, it ends what takes longer than the request's
//! total timeout. It keeps every request with what became of it, so a test can compare what callers are told with
//! what the provider saw, and assert that nothing leaks.
//!
//! A [`ScriptedLedger`] is a disk for what of limits outlives the process: as slow as it is told, and it may fail.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use causeway_core::classify::Phase;
use causeway_core::failure::Reason;
use causeway_core::limits::{Record, Subject};
use causeway_core::time::Mono;
use http::{HeaderMap, HeaderValue, StatusCode};
use metrics::Gauge;
use tokio::sync::oneshot;
use tokio::time::Sleep;

use crate::clock::Clock;
use crate::ports::{
    Broken, Carrier, Client, Exchange, Flight, Ledger, Target, Timings, Transport, WireRequest, WireResponse,
};

/// What a scripted request comes to.
#[derive(Clone, Debug)]
pub struct Script {
    /// Until the request has left.
    pub leaves_after: Duration,
    /// Until it ends, from its start.
    pub ends_after: Duration,
    /// How it ends.
    pub ending: Ending,
    /// Whether its connection had served before.
    pub reused: bool,
}

/// How a scripted request ends.
#[derive(Clone, Debug)]
pub enum Ending {
    /// With this status, Retry-After in seconds, and body.
    Answers(u16, Option<u32>, &'static str),
    /// Broken for this reason.
    Breaks(Reason),
    /// Its task panics.
    Panics,
}

impl Script {
    /// Leaves at once, and ends at once so.
    pub const fn ends(ending: Ending) -> Self {
        Self { leaves_after: Duration::ZERO, ends_after: Duration::ZERO, ending, reused: false }
    }

    /// Answers at once.
    pub const fn answers(status: u16, body: &'static str) -> Self {
        Self::ends(Ending::Answers(status, None, body))
    }

    /// Leaves, and nothing more is heard of it.
    pub const fn hangs() -> Self {
        Self::ends(Ending::Breaks(Reason::TotalTimeout)).after(Duration::MAX)
    }

    /// The same, ending after a while.
    #[must_use]
    pub const fn after(mut self, ends_after: Duration) -> Self {
        self.ends_after = ends_after;
        self
    }

    /// The same, on a connection that had served before.
    #[must_use]
    pub const fn reused(mut self) -> Self {
        self.reused = true;
        self
    }

    /// The same, without ever leaving.
    #[must_use]
    pub const fn unsent(mut self) -> Self {
        self.leaves_after = Duration::MAX;
        self
    }
}

/// A request as the provider saw it, and what became of it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Which connections might carry it.
    pub carrier: Carrier,
    /// What it was to come to.
    pub script: Script,
    /// When it was handed to the transport.
    pub at: Mono,
    /// When it was over.
    pub over: Option<Mono>,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a scripted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is on the wire.
    Flying,
    /// It ended as its script says.
    Ended(Phase),
    /// It was dropped before.
    Dropped(Phase),
}

type Play = dyn Fn(usize, &WireRequest) -> Script + Send + Sync;

/// A transport that plays a script; clones share what they have seen.
#[derive(Clone)]
pub struct ScriptedTransport {
    play: Arc<Play>,
    clock: Clock,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl ScriptedTransport {
    /// `play` is asked what becomes of the n-th request (from 0).
    pub fn new(clock: Clock, play: impl Fn(usize, &WireRequest) -> Script + Send + Sync + 'static) -> Self {
        Self { play: Arc::new(play), clock, seen: Arc::default() }
    }

    /// Every request so far, in the order of their sending.
    pub fn seen(&self) -> Vec<Seen> {
        self.lock().clone()
    }

    /// How many requests are on the wire.
    pub fn flying(&self) -> usize {
        self.lock().iter().filter(|seen| seen.fate == Fate::Flying).count()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn over(&self, number: usize, fate: Fate) {
        if let Some(seen) = self.lock().get_mut(number).filter(|seen| seen.fate == Fate::Flying) {
            (seen.fate, seen.over) = (fate, Some(self.clock.mono()));
        }
    }
}

impl Transport for ScriptedTransport {
    fn open(&self, _: &Target, _: &Gauge) -> Rc<dyn Client> {
        Rc::new(self.clone())
    }
}

impl Client for ScriptedTransport {
    fn send(&self, request: WireRequest) -> Pin<Box<dyn Flight>> {
        let mut seen = self.lock();
        let number = seen.len();
        let mut script = (self.play)(number, &request);
        if script.ends_after > request.timeouts.total {
            script.ends_after = request.timeouts.total;
            script.ending = Ending::Breaks(Reason::TotalTimeout);
        }
        let (headers, body, at) = (request.headers, request.body, self.clock.mono());
        let carrier = request.carrier;
        seen.push(Seen {
            headers,
            body,
            carrier,
            script: script.clone(),
            at,
            over: None,
            fate: Fate::Flying,
        });
        Box::pin(ScriptedFlight {
            leaves: Box::pin(tokio::time::sleep(script.leaves_after)),
            ends: Box::pin(tokio::time::sleep(script.ends_after)),
            left: Cell::new(false),
            script,
            number,
            transport: self.clone(),
        })
    }
}

struct ScriptedFlight {
    leaves: Pin<Box<Sleep>>,
    ends: Pin<Box<Sleep>>,
    left: Cell<bool>,
    script: Script,
    number: usize,
    transport: ScriptedTransport,
}

impl Future for ScriptedFlight {
    type Output = Exchange;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Exchange> {
        if !self.left.get() && self.leaves.as_mut().poll(cx).is_ready() {
            self.left.set(true);
        }
        ready!(self.ends.as_mut().poll(cx));
        let answers = matches!(self.script.ending, Ending::Answers(..));
        let phase = if answers { Phase::Sent } else { self.phase() };
        self.transport.over(self.number, Fate::Ended(phase));
        let result = match &self.script.ending {
            Ending::Answers(status, wait, body) => Ok(response(*status, *wait, body)),
            Ending::Breaks(reason) => Err(Broken {
                reason: *reason,
                message: reason.as_str().to_owned(),
                status: None,
                headers: HeaderMap::new(),
            }),
            Ending::Panics => self.explode(),
        };
        Poll::Ready(Exchange { result, phase, reused: self.script.reused, timings: Timings::default() })
    }
}

fn response(status: u16, wait: Option<u32>, body: &'static str) -> WireResponse {
    let wait = wait.map(|wait| (http::header::RETRY_AFTER, HeaderValue::from(wait)));
    WireResponse {
        status: StatusCode::from_u16(status).unwrap_or_default(),
        headers: HeaderMap::from_iter(wait),
        body: Bytes::from_static(body.as_bytes()),
    }
}

impl ScriptedFlight {
    #[expect(clippy::panic, reason = "a script may ask for it")]
    fn explode(&self) -> ! {
        panic!("asked to, with {:?}", self.script)
    }
}

impl Flight for ScriptedFlight {
    fn phase(&self) -> Phase {
        if self.left.get() { Phase::Sent } else { Phase::NotSent }
    }
}

impl Drop for ScriptedFlight {
    fn drop(&mut self) {
        self.transport.over(self.number, Fate::Dropped(self.phase()));
    }
}

/// A disk for what of limits outlives the process. Clones are the same.
#[derive(Clone, Default)]
pub struct ScriptedLedger(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    records: HashMap<Subject, Record>,
    takes: Duration,
    fails: bool,
    asked: usize,
}

impl ScriptedLedger {
    /// From now on each writing takes so long.
    pub fn takes(&self, takes: Duration) {
        self.lock().takes = takes;
    }

    /// From now on each writing fails, or none.
    pub fn fails(&self, fails: bool) {
        self.lock().fails = fails;
    }

    /// How often something was to be written.
    pub fn asked(&self) -> usize {
        self.lock().asked
    }

    /// What is on it.
    pub fn records(&self) -> Vec<Record> {
        self.lock().records.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for ScriptedLedger {
    fn keep(&self, records: Vec<Record>) -> oneshot::Receiver<bool> {
        let (told, hears) = oneshot::channel();
        let (disk, takes) = (self.clone(), {
            let mut disk = self.lock();
            disk.asked += 1;
            disk.takes
        });
        tokio::spawn(async move {
            tokio::time::sleep(takes).await;
            let mut disk = disk.lock();
            if !disk.fails {
                disk.records.extend(records.into_iter().map(|record| (record.subject.clone(), record)));
            }
            // Whoever asked may have gone.
            let _ = told.send(!disk.fails);
        });
        hears
    }
}
