//! The breaker's own tries: recovery needs no traffic.
//!
//! An open breaker waits for a call to find out whether its provider works again; where nobody calls, or too few to
//! fill a half-open cycle, it would wait for ever. With a [`ProbeSpec`] the integration makes a call itself as soon as
//! the breaker is due, and goes on, one at a time, until the cycle has its verdict. When is decided here; whoever
//! performs [`Effect::Probe`] makes the call and [admits](Integration::admit) it like any other. It passes breaker,
//! limits and pool, and is logged and counted as an attempt, but it is one attempt, and nobody waits for it. While a
//! person rules the breaker there is none.

use std::time::Duration;

use super::{CallEnd, CallId, Effect, ErrorClass, Integration, Mono, Now, Probe, ProbeSpec};

/// The longest pause between the beginnings of two probes, unless the limits ask for a longer one.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How long a probe may wait for tokens and the pool. Its attempt's own time comes on top: a deadline that cut the
/// attempt short would take the verdict from it.
pub(super) const PROBE_PATIENCE: Duration = Duration::from_secs(5);

/// Marks the ids of probes: callers' ids count from zero and never come this far.
const PROBE: u64 = 1 << 62;

/// What is known of the probes.
#[derive(Debug, Default)]
pub(super) struct Prober {
    /// The one that is under way.
    out: Option<CallId>,
    /// When the last one began.
    began: Option<Mono>,
    /// How long there is to be no other after it.
    wait: Duration,
    /// Whether there is to be none.
    quiet: bool,
}

impl Prober {
    /// Takes over a probe of a former life: while it is out there is no other.
    pub(super) fn adopt(&mut self, call: CallId) {
        if call.is_probe() {
            self.out = Some(call);
        }
    }

    /// Hears of the end of every call. One that could not be made, `anew` is soon enough for: the next may be no better.
    pub(super) fn ended<T>(&mut self, call: CallId, end: &CallEnd<T>, anew: Duration) {
        if self.out != Some(call) {
            return;
        }
        self.out = None;
        self.wait = match end {
            CallEnd::Failed(failure) if failure.class == ErrorClass::Throttled => {
                failure.retry_after.unwrap_or_default()
            }
            CallEnd::Failed(failure) if failure.class == ErrorClass::Internal => anew,
            CallEnd::Succeeded(_) | CallEnd::Failed(_) | CallEnd::Unknown(_) | CallEnd::Cancelled => {
                Duration::ZERO
            }
        };
    }
}

impl CallId {
    /// Whether the call is one of the integration's own.
    pub const fn is_probe(self) -> bool {
        self.0 >> 62 == 1
    }
}

impl<T> Integration<T> {
    /// Whether it may probe: not while its actor takes no calls. It may until this is said.
    pub const fn let_probe(&mut self, allowed: bool) {
        self.prober.quiet = !allowed;
    }

    /// Probes if it is time to.
    pub(super) fn probe(&mut self, now: Mono) {
        let Some(ProbeSpec { timeout, .. }) = self.breaker.spec().probe else { return };
        if self.probe_at().is_none_or(|at| at > now) {
            return;
        }
        // Attempts are named once, across restarts too, and only one probe is out: so is the probe.
        let call = CallId(PROBE | self.next_attempt);
        (self.prober.out, self.prober.began) = (Some(call), Some(now));
        self.effects.push_back(Effect::Probe(Probe { call, deadline: now + timeout + PROBE_PATIENCE }));
    }

    /// A probe that was asked for cannot be made, and the next may be no better: it is tried again when the breaker
    /// would be due anew.
    pub fn cannot_probe(&mut self, call: CallId) {
        if self.prober.out == Some(call) {
            self.prober.out = None;
            self.prober.wait = self.breaker.spec().open_for;
        }
    }

    /// When the next probe is due, which may be past; `None` while none is of use, or one is out.
    pub(super) fn probe_at(&self) -> Option<Mono> {
        let spec = self.breaker.spec();
        if spec.probe.is_none() || self.prober.out.is_some() || self.prober.quiet {
            return None;
        }
        // A cycle's probes must fit into it.
        let pause = PROBE_EVERY.min(spec.half_open_for / spec.half_open_calls.saturating_add(1));
        let earliest = self.prober.began.map_or(Mono::ZERO, |began| began + pause.max(self.prober.wait));
        self.breaker.probe_from().map(|from| from.max(earliest))
    }

    /// Takes back a probe that a person's decision has made pointless.
    pub(super) fn end_probe(&mut self, now: Now) {
        let Some(call) = self.prober.out.filter(|_| self.breaker.probe_from().is_none()) else { return };
        if self.calls.contains_key(&call) {
            self.cancel(now, call);
        } else {
            self.prober.out = None;
            self.effects.retain(|effect| !matches!(effect, Effect::Probe(probe) if probe.call == call));
        }
    }
}
