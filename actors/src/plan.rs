//! What the actors are built from: one plan per integration, complete and checked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use causeway_core::endpoint::{Endpoint, Materialised};
use causeway_core::idempotency::Role;
use causeway_core::integration::IntegrationSpec;
use causeway_core::json::Json;
use causeway_core::mapping::Program;
use causeway_core::name::{IntegrationName, StepName};
use causeway_core::operation::{Run, Verify};
use causeway_core::priority::Priority;
use causeway_core::sanitise::Sanitiser;
use causeway_core::time::Mono;
use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::credential::Credential;
use crate::ports::TlsSpec;

/// The largest response body that is read, in bytes.
pub const MAX_RESPONSE_BODY: usize = 4 << 20;

/// One external system.
#[derive(Debug)]
pub struct IntegrationPlan {
    /// Its name.
    pub name: IntegrationName,
    /// For people.
    pub title: Option<String>,
    /// Scheme, authority and path prefix, without a slash at its end.
    pub base_url: String,
    /// What every request's query has besides its own: `name=value`, percent-encoded.
    pub query: Option<String>,
    /// What a request proves itself with.
    pub auth: Credential,
    /// Whom it trusts.
    pub tls: Arc<TlsSpec>,
    /// Its endpoints; an endpoint's index names it in messages.
    pub endpoints: Vec<Endpoint>,
    /// For each endpoint, how its provider can be asked whether it has acted.
    pub verifies: Vec<Option<Arc<Verify>>>,
    /// For each of `spec.limits` that is kept by a key of the request: what makes the key of a step's input (a
    /// program of [`Kind::Request`](causeway_core::mapping::Kind::Request)).
    pub limit_keys: Vec<Option<Program>>,
    /// What its decisions are made from.
    pub spec: IntegrationSpec,
    /// How queued runs are executed at it.
    pub queue: QueueSpec,
    /// Tells whose data its provider shows from whose it would with another account: a result of the one is no answer
    /// to a request of the other.
    pub account: u64,
    /// Whether it has an I/O thread of its own.
    pub dedicated_thread: bool,
}

/// How queued runs are executed at an integration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// How many at once.
    pub slots: u32,
    /// How long one is held without a sign of life.
    pub lease: Duration,
    /// How many may wait; beyond it new ones are refused.
    pub max_pending: u32,
}

impl Default for QueueSpec {
    fn default() -> Self {
        Self { slots: 16, lease: Duration::from_secs(30), max_pending: 100_000 }
    }
}

/// What a request proves itself with.
#[derive(Clone)]
pub enum Auth {
    /// Nothing.
    None,
    /// A header, marked sensitive.
    Header(HeaderName, HeaderValue),
    /// A query parameter, percent-encoded.
    Query(String, SecretString),
}

/// Whether it is the same secret in the same place. Both are secrets of our own, so how long it takes tells nobody
/// anything.
impl PartialEq for Auth {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Header(name, value), Self::Header(other, theirs)) => name == other && value == theirs,
            (Self::Query(name, value), Self::Query(other, theirs)) => {
                name == other && value.expose_secret() == theirs.expose_secret()
            }
            (Self::None | Self::Header(..) | Self::Query(..), _) => false,
        }
    }
}

/// Shows the kind and never the secret.
impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Header(name, _) => write!(f, "Header({name}, [secret])"),
            Self::Query(name, _) => write!(f, "Query({name}, [secret])"),
        }
    }
}

/// How attempts are logged.
#[derive(Clone, Debug)]
pub struct LogPlan {
    /// Whether bodies are shown, sanitised.
    pub bodies: bool,
    /// The most bytes of a body that are shown.
    pub max_body: usize,
    /// The share of successful attempts that are logged, 0 to 1; failures always are.
    pub sample_success: f64,
    /// Masks what must not be shown.
    pub sanitiser: Sanitiser,
}

/// A step to execute: all that an attempt must know of its run.
#[derive(Clone, Debug)]
pub struct StepCall {
    /// The run, for names and mappings.
    pub run: Arc<RunContext>,
    /// The step's name.
    pub step: StepName,
    /// The step's place in its run, from 0.
    pub index: usize,
    /// Which of the step's calls.
    pub role: Role,
    /// The endpoint's index in its integration.
    pub endpoint: usize,
    /// The step's input.
    pub input: Json,
    /// Whether that is its run's, which is kept with the run.
    pub repeats_input: bool,
    /// Whom it stands before in the integration's queue.
    pub priority: Priority,
    /// When the answer is no longer of use.
    pub deadline: Mono,
    /// How long ago a former life of the run may have sent it first: it is in doubt whether it has acted.
    pub in_doubt_for: Option<Duration>,
    /// The request, where it has been written down already.
    pub request: Option<Materialised>,
    /// Until when its run is leased, of a queued one: one attempt is made, and another one later.
    pub lease: Option<LeasedUntil>,
}

/// Until when a run is leased; whoever keeps it moves that on.
#[derive(Clone, Debug)]
pub struct LeasedUntil(Arc<AtomicU64>);

impl LeasedUntil {
    /// Until then.
    pub fn new(until: Mono) -> Self {
        Self(Arc::new(AtomicU64::new(millis(until))))
    }

    /// From now on until then.
    pub fn move_to(&self, until: Mono) {
        self.0.store(millis(until), Ordering::Release);
    }

    /// Whether it holds at this time.
    pub fn holds(&self, now: Mono) -> bool {
        self.0.load(Ordering::Acquire) > millis(now)
    }
}

/// Since the clock's origin.
fn millis(at: Mono) -> u64 {
    u64::try_from(at.since_origin().as_millis()).unwrap_or(u64::MAX)
}

/// What identifies a run to the world.
#[derive(Clone, Debug)]
pub struct RunContext {
    /// `run_…`.
    pub id: causeway_core::name::RunId,
    /// What links it to the event behind it.
    pub correlation_id: causeway_core::name::CorrelationId,
    /// The operation's name.
    pub operation: causeway_core::name::OperationName,
    /// The trace it belongs to.
    pub trace: TraceContext,
}

impl RunContext {
    /// Of a run and the trace it came with.
    pub fn of(run: &Run, trace: TraceContext) -> Self {
        Self {
            id: run.id().clone(),
            correlation_id: run.correlation_id().clone(),
            operation: run.plan().operation.clone(),
            trace,
        }
    }
}

/// A W3C trace context: what `traceparent` carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// 16 bytes, not all zero.
    pub trace_id: u128,
    /// The caller's span, if a caller gave one.
    pub caller: Option<u64>,
    /// The run's own span.
    pub run: u64,
    /// Whether the trace is recorded: as the caller says, or as we have decided for one of our own.
    pub sampled: bool,
}

impl TraceContext {
    /// A trace of our own that nobody records.
    pub const fn unrecorded(trace_id: u128) -> Self {
        Self { trace_id, caller: None, run: 0, sampled: false }
    }

    /// Reads a `traceparent` of version 00; anything else is no trace context. `run` is the span of the run that begins.
    ///
    /// Source: <https://www.w3.org/TR/trace-context/#traceparent-header>.
    pub fn parse(header: &str, run: u64) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, len: usize| {
            text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        if parts.next().is_some() || version != "00" || !hex(trace, 32) || !hex(parent, 16) || !hex(flags, 2)
        {
            return None;
        }
        let trace_id = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
        let caller = u64::from_str_radix(parent, 16).ok().filter(|id| *id != 0)?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(Self { trace_id, caller: Some(caller), run, sampled: flags & 1 == 1 })
    }

    /// Writes the `traceparent` of a child span.
    pub fn header(self, span: u64) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, span.max(1), u8::from(self.sampled))
    }

    /// As it is written down with its run.
    pub fn stored(self) -> String {
        let Self { trace_id, caller, run, sampled } = self;
        format!("{trace_id:032x}-{:016x}-{run:016x}-{}", caller.unwrap_or(0), u8::from(sampled))
    }

    /// Reads what [`Self::stored`] has written.
    pub fn from_stored(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let trace_id = u128::from_str_radix(parts.next()?, 16).ok()?;
        let caller = u64::from_str_radix(parts.next()?, 16).ok().filter(|caller| *caller != 0);
        let run = u64::from_str_radix(parts.next()?, 16).ok()?;
        Some(Self { trace_id, caller, run, sampled: parts.next()? == "1" })
    }

    /// The trace's id, as logs show it.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The span of the run's step at this place, from 0.
    pub fn step(self, index: usize) -> u64 {
        spread(self.run.wrapping_add(index as u64).wrapping_add(1)).max(1)
    }
}

/// Spreads numbers that are close to each other over 64 bits, no two to the same.
///
/// Source: the finaliser of SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
const fn spread(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The wait that rounds up to whole seconds, as the Retry-After header tells it; at least one.
pub fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparent_is_read_and_written() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = TraceContext::parse(header, 7).unwrap();
        assert_eq!(trace.header(0x00f0_67aa_0ba9_02b7), header);
        assert_eq!((trace.caller, trace.run, trace.sampled), (Some(0x00f0_67aa_0ba9_02b7), 7, true));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(TraceContext::parse(bad, 7), None, "{bad}");
        }
    }

    #[test]
    fn every_step_of_a_run_has_a_span_of_its_own() {
        let trace = TraceContext { run: 7, ..TraceContext::unrecorded(1) };
        let spans: std::collections::BTreeSet<u64> = (0..64).map(|index| trace.step(index)).collect();
        assert_eq!(spans.len(), 64);
        assert!(!spans.contains(&trace.run) && !spans.contains(&0));
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_never_too_few() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1001)), 2);
        assert_eq!(whole_seconds(Duration::from_secs(30)), 30);
    }
}
