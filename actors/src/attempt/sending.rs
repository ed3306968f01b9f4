//! The exchanges of one attempt: one, and what may follow it at once.
//!
//! Nearly always there is a single exchange. [`Again`] says when another one follows inside the attempt: on a new
//! connection, with another credential, at the target of a redirect. All of them together are bound by the attempt's
//! whole timeout; one that has been asked to stop, or whose deadline has passed, sends nothing more.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use causeway_core::again::{Again, Redirect};
use causeway_core::classify::{self, Cut, Phase};
use causeway_core::endpoint::{Endpoint, Materialised};
use causeway_core::failure::{ErrorClass, Failure};
use causeway_core::integration::AttemptEnd;
use causeway_core::json::Json;
use causeway_core::time::Mono;
use http::{StatusCode, Uri, header};
use tokio::sync::oneshot;

use super::{Guard, Reader, StepState, Trace, cut_failure, unsent, wire_request};
use crate::clock::Clock;
use crate::plan::{Auth, IntegrationPlan};
use crate::ports::{Carrier, Client, Exchange, Flight, WireRequest};

/// What the exchanges of one attempt share.
pub(super) struct Sending<'a> {
    pub(super) plan: &'a Arc<IntegrationPlan>,
    pub(super) endpoint: &'a Endpoint,
    pub(super) step: &'a StepState,
    pub(super) client: &'a Rc<dyn Client>,
    pub(super) clock: &'a Clock,
    pub(super) guard: &'a mut Guard,
    pub(super) ears: Ears,
}

/// What an attempt listens for while its request is out.
pub(super) struct Ears {
    stop: oneshot::Receiver<()>,
    listening: bool,
    cancelled: bool,
    overdue: bool,
}

impl Ears {
    pub(super) const fn new(stop: oneshot::Receiver<()>) -> Self {
        Self { stop, listening: true, cancelled: false, overdue: false }
    }
}

/// How the next request of an attempt differs.
struct Variant {
    auth: Arc<Auth>,
    carrier: Carrier,
    target: Option<Uri>,
}

#[expect(clippy::large_enum_variant, reason = "made once an exchange, and taken apart at once")]
enum Ended {
    Landed(Exchange),
    Cut(Cut, Phase),
}

impl Sending<'_> {
    /// Sends until there is an end to report.
    pub(super) async fn run(
        mut self,
        request: &Materialised,
        reader: Reader,
        trace: &mut Trace,
    ) -> AttemptEnd<Json> {
        let started = self.clock.mono();
        let recent = self.endpoint.resend.needs_recent_connection() && !self.endpoint.verified;
        let mut variant = Variant {
            auth: self.plan.auth.current(),
            carrier: if recent { Carrier::Recent } else { Carrier::Any },
            target: None,
        };
        let mut any_sent = Phase::NotSent;
        loop {
            let wire = match self.write(request, &variant, started, trace) {
                Ok(wire) => wire,
                Err(failure) => return AttemptEnd { phase: any_sent, ..unsent(failure) },
            };
            let sent_to = (self.endpoint.follow_redirects > 0).then(|| wire.uri.clone());
            let mut end = match self.fly(wire).await {
                Ended::Cut(cut, phase) => AttemptEnd { phase, ..cut_end(cut, phase) },
                Ended::Landed(exchange) => {
                    (trace.reused, trace.timings) = (Some(exchange.reused), exchange.timings);
                    let mut again = trace.again;
                    if let Some(next) = self.next(&exchange, sent_to.as_ref(), &mut again)
                        && self.goes_on(started)
                    {
                        trace.again = again;
                        next.apply(&mut variant);
                        any_sent = either(any_sent, exchange.phase);
                        continue;
                    }
                    reader.clone().read(exchange, trace).await
                }
            };
            any_sent = either(any_sent, end.phase);
            if let Err(failure) = &end.result
                && let Some(auth) = self.another_credential(failure, &variant.auth, started, trace).await
            {
                variant.auth = auth;
                continue;
            }
            let took = self.clock.mono().since(started);
            trace.timings.total = took;
            (end.phase, end.took) = (any_sent, took);
            return end;
        }
    }

    /// The request that goes out next, in the time that is left.
    fn write(
        &self,
        request: &Materialised,
        variant: &Variant,
        started: Mono,
        trace: &Trace,
    ) -> Result<WireRequest, Failure> {
        let mut wire = wire_request(
            self.plan,
            request,
            self.step,
            trace.span,
            &variant.auth,
            variant.target.as_ref(),
            self.clock.mono(),
        )?;
        wire.carrier = variant.carrier;
        if trace.again != Again::default() {
            wire.timeouts.total = self.left(started);
        }
        Ok(wire)
    }

    fn left(&self, started: Mono) -> Duration {
        self.endpoint.timeouts.total.saturating_sub(self.clock.mono().since(started))
    }

    /// Whether there is anyone to send once more for, and time.
    fn goes_on(&self, started: Mono) -> bool {
        let in_time = self.clock.mono() < self.step.call.deadline && !self.left(started).is_zero();
        in_time && !self.ears.cancelled && !self.ears.overdue
    }

    /// What follows an exchange before it is read.
    fn next(&self, exchange: &Exchange, sent_to: Option<&Uri>, again: &mut Again) -> Option<Next> {
        match &exchange.result {
            Err(_) => again.redial(exchange.phase, exchange.reused).then_some(Next::Redial),
            Ok(response) if response.status.is_redirection() => {
                let location = response.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
                let redirect = Redirect { status: response.status.as_u16(), location };
                let Endpoint { follow_redirects, method, .. } = self.endpoint;
                again.follow(*follow_redirects, method, sent_to?, &redirect).map(Next::Follow)
            }
            Ok(_) => None,
        }
    }

    /// Another credential, where the failure asks for one and there is one; else an alarm, where it asks for one.
    async fn another_credential(
        &self,
        failure: &Failure,
        used: &Arc<Auth>,
        started: Mono,
        trace: &mut Trace,
    ) -> Option<Arc<Auth>> {
        let unauthorised = failure.provider_status == Some(StatusCode::UNAUTHORIZED.as_u16());
        let refused = unauthorised && failure.class == ErrorClass::Client && !failure.ruled;
        if !refused && failure.class != ErrorClass::Credential {
            return None;
        }
        let (plan, clock) = (self.plan, self.clock);
        let mut again = trace.again;
        if self.goes_on(started) && again.reauthenticate(failure) {
            let another = plan.auth.instead_of(used, &plan.name, clock, self.left(started)).await;
            if another.is_some() && self.goes_on(started) {
                trace.again = again;
                return another;
            }
        }
        plan.auth.alarm(&plan.name, self.endpoint.name.as_str(), failure, clock.mono());
        None
    }

    /// Waits for the exchange, for the caller's leaving and for the deadline, whichever ends the attempt.
    async fn fly(&mut self, request: WireRequest) -> Ended {
        self.guard.phase = Phase::Sent;
        let mut flight: Pin<Box<dyn Flight>> = self.client.send(request);
        let deadline = tokio::time::sleep_until(self.clock.instant(self.step.call.deadline));
        tokio::pin!(deadline);
        let ears = &mut self.ears;
        loop {
            let cut = tokio::select! {
                biased;
                exchange = flight.as_mut() => return Ended::Landed(exchange),
                stopped = &mut ears.stop, if ears.listening => {
                    ears.listening = false;
                    // The sender is dropped when the actor is rebuilt: nobody asks for anything then.
                    if stopped.is_err() { continue }
                    ears.cancelled = true;
                    Cut::Cancelled
                }
                () = &mut deadline, if !ears.overdue => {
                    ears.overdue = true;
                    Cut::Deadline
                }
            };
            let phase = flight.phase();
            if classify::may_cut(self.guard.safety, phase) {
                return Ended::Cut(cut, phase);
            }
            if cut == Cut::Deadline {
                self.guard.overdue();
            }
        }
    }
}

/// What follows an exchange inside its attempt.
enum Next {
    Redial,
    Follow(Uri),
}

impl Next {
    fn apply(self, variant: &mut Variant) {
        match self {
            Self::Redial => variant.carrier = Carrier::New,
            Self::Follow(target) => variant.target = Some(target),
        }
    }
}

const fn either(one: Phase, other: Phase) -> Phase {
    match (one, other) {
        (Phase::NotSent, Phase::NotSent) => Phase::NotSent,
        (Phase::Sent, _) | (_, Phase::Sent) => Phase::Sent,
    }
}

fn cut_end(cut: Cut, phase: Phase) -> AttemptEnd<Json> {
    AttemptEnd { cut: Some(cut), ..unsent(cut_failure(cut, phase)) }
}
