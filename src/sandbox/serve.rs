//! One request from its head to its answer: noted, read whole, acted on or not, and answered as the plan says.
//!
//! Work that was begun is finished even if the client leaves meanwhile, as a real provider's would be: a late effect
//! runs in a task of its own. Only the end of the sandbox stops it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HeaderValue, RETRY_AFTER};
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::answer::{self, Answer, Refusal};
use super::behaviour::{Action, Behaviour, MAX_WAIT};
use super::call::Call;
use super::control;
use super::ledger::Ending;
use super::provider::{Admission, ping};
use super::state::{Shared, Visit};
use super::wire::{self, Cut};

/// The largest request body, in bytes.
pub(super) const MAX_BODY: usize = 1024 * 1024;
/// How much of a body that is too large is still read, so that its sender gets to see the refusal.
const MAX_DRAINED: usize = 16 * MAX_BODY;

/// The other end of one connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// What the provider knows.
    pub(super) shared: Arc<Shared>,
    /// Closes when the sandbox stops.
    pub(super) stopping: watch::Receiver<()>,
    /// The connection's number.
    pub(super) connection: u64,
}

/// What a client gets to see.
enum Reply {
    Answer(Answer),
    /// What the connection ends with.
    Cut(Cut, Ending),
}

/// Why there is no whole body.
enum Unread {
    TooLarge,
    Gone,
}

/// Answers one request, or says how its connection is to be cut.
pub(super) async fn serve(peer: Peer, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
    let (head, body) = request.into_parts();
    if control::is_for(head.uri.path()) {
        return match read(body).await {
            Ok(body) => Ok(control::answer(&peer.shared, &head, &body).map(Full::new)),
            Err(Unread::TooLarge) => Ok(too_large().map(Full::new)),
            Err(Unread::Gone) => Err(Cut::silent()),
        };
    }
    let (visit, behaviour) = Visit::begin(&peer.shared, peer.connection, &head);
    let reply = match read(body).await {
        Ok(body) => behave(&peer, behaviour, Call::new(&head, body), visit.number).await,
        Err(Unread::TooLarge) => Reply::Answer(too_large()),
        Err(Unread::Gone) => return Err(Cut::silent()),
    };
    match reply {
        Reply::Answer(answer) => {
            visit.end(Ending::Answered { status: answer.status().as_u16() });
            Ok(answer.map(Full::new))
        }
        Reply::Cut(cut, ending) => {
            visit.end(ending);
            Err(cut)
        }
    }
}

async fn behave(peer: &Peer, behaviour: Behaviour, call: Call, number: u64) -> Reply {
    let wait = behaviour.wait(peer.shared.seed, number);
    if !behaviour.acts() {
        pause(wait).await;
        return shape(behaviour.action, None).await;
    }
    match act(peer, call, number, wait).await {
        Some(own) => shape(behaviour.action, Some(own)).await,
        None => closed(),
    }
}

/// The provider's own answer, after `wait`; `None` if a reset or the sandbox's end came in between.
async fn act(peer: &Peer, call: Call, number: u64, wait: Duration) -> Option<Answer> {
    let work = work(peer.clone(), call, number, wait);
    if wait.is_zero() {
        return work.await;
    }
    let permit = Arc::clone(&peer.shared.late).acquire_owned().await.ok()?;
    let late = tokio::spawn(async move {
        let answer = work.await;
        drop(permit);
        answer
    });
    late.await.ok().flatten()
}

async fn work(mut peer: Peer, call: Call, number: u64, wait: Duration) -> Option<Answer> {
    let admission = peer.shared.lock().provider.admit(&call, peer.shared.clock.mono());
    tokio::select! {
        () = pause(wait) => {}
        _ = peer.stopping.changed() => return None,
    }
    match admission {
        Admission::Answer(answer) => Some(answer),
        Admission::Act(ticket) => {
            let now = peer.shared.clock.now();
            peer.shared.lock().provider.act(ticket, number, now)
        }
    }
}

/// What the client sees of the provider's own answer, if it has one.
async fn shape(action: Action, own: Option<Answer>) -> Reply {
    match action {
        Action::Normal {} | Action::Delay { .. } => own.map_or_else(closed, Reply::Answer),
        Action::Status { status, headers, body, act: _ } => {
            Reply::Answer(with_headers(planned(status, body), headers.iter()))
        }
        Action::Hang { .. } => {
            sleep(MAX_WAIT).await;
            closed()
        }
        Action::DropBefore {} | Action::DropAfter {} => closed(),
        Action::RateLimit { retry_after, status } => {
            Reply::Answer(with_headers(planned(status, None), [(RETRY_AFTER, retry_after)]))
        }
        Action::Truncate { after_bytes, .. } => {
            let answer = own.unwrap_or_else(ping);
            let ending = Ending::Truncated { status: answer.status().as_u16() };
            Reply::Cut(Cut::after(wire::truncated(&answer, after_bytes)), ending)
        }
        Action::Stall { after_bytes, .. } => {
            let answer = own.unwrap_or_else(ping);
            let ending = Ending::Truncated { status: answer.status().as_u16() };
            Reply::Cut(Cut::after(wire::truncated(&answer, after_bytes)).held(MAX_WAIT), ending)
        }
        Action::Drip { bytes, every_ms, .. } => {
            let answer = own.unwrap_or_else(ping);
            let ending = Ending::Answered { status: answer.status().as_u16() };
            let cut = Cut::after(wire::head(&answer, answer.body().len()).into());
            Reply::Cut(cut.dripping(answer.body(), bytes, Duration::from_millis(every_ms)), ending)
        }
        Action::Garbage {} => Reply::Cut(Cut::after(Bytes::from_static(wire::GARBAGE)), Ending::Garbage {}),
    }
}

fn planned(status: u16, body: Option<Value>) -> Answer {
    // The plan has checked the status; a wrong one could only be answered as what it is, an error of the sandbox.
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match body {
        Some(Value::String(text)) => answer::plain(status, text),
        Some(value) => answer::json(status, &value),
        None => {
            let message = format!("the sandbox was told to answer {status}");
            Refusal { status, kind: "sandbox", code: "simulated", message }.into()
        }
    }
}

fn with_headers<N, V>(mut answer: Answer, headers: impl IntoIterator<Item = (N, V)>) -> Answer
where
    N: AsRef<str>,
    V: AsRef<str>,
{
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_ref().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value.as_ref())) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

fn closed() -> Reply {
    Reply::Cut(Cut::silent(), Ending::Closed {})
}

fn too_large() -> Answer {
    let message = format!("a request body may have at most {MAX_BODY} bytes");
    Refusal::invalid(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message).into()
}

async fn pause(wait: Duration) {
    // A timer of zero would still round up to the runtime's next millisecond.
    if !wait.is_zero() {
        sleep(wait).await;
    }
}

async fn read(mut body: Incoming) -> Result<Bytes, Unread> {
    let whole = async {
        let (mut kept, mut seen) = (BytesMut::new(), 0_usize);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Unread::Gone)?;
            let data = frame.data_ref().map_or(&b""[..], |data| data);
            seen += data.len();
            if seen <= MAX_BODY {
                kept.extend_from_slice(data);
            } else if seen > MAX_DRAINED {
                break;
            }
        }
        if seen > MAX_BODY { Err(Unread::TooLarge) } else { Ok(kept.freeze()) }
    };
    timeout(MAX_WAIT, whole).await.unwrap_or(Err(Unread::Gone))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::Method;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::super::plan::Rule;
    use super::super::testing::{ANY, CHARGE, Raw, charge, exchange, get, send};
    use super::super::{Control, Sandbox};
    use super::*;

    fn sandbox(rule: Rule) -> (Sandbox, Control) {
        let sandbox = Sandbox::start(ANY).unwrap();
        sandbox.control().plan(rule).unwrap();
        let control = sandbox.control();
        (sandbox, control)
    }

    fn once(action: Action) -> Rule {
        Rule::sequence([action.into()])
    }

    fn endings(control: &Control) -> Vec<Ending> {
        control.ledger().arrivals.iter().map(|arrival| arrival.ending).collect()
    }

    fn effects(control: &Control) -> usize {
        control.ledger().effects.len()
    }

    /// Waits until the ledger says so; a test that waits in vain fails by its runner's limit or here.
    async fn until(control: &Control, holds: impl Fn(&Control) -> bool) {
        let waiting = async {
            while !holds(control) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(10), waiting).await.expect("the ledger never said so");
    }

    #[tokio::test]
    async fn a_planned_status_replaces_the_answer_and_acts_only_if_told_to() {
        let headers = BTreeMap::from([("X-Trace".to_owned(), "7".to_owned())]);
        let quiet = Action::Status { status: 500, headers, body: Some(json!({ "a": 1 })), act: false };
        let acting =
            Action::Status { status: 502, headers: BTreeMap::new(), body: Some(json!("<html>")), act: true };
        let (sandbox, control) = sandbox(Rule::sequence([quiet.into(), acting.into()]));
        let first = charge(sandbox.addr(), "a").await;
        assert_eq!((first.status(), first.headers()["x-trace"].as_str()), (500, "7"));
        assert_eq!((first.json(), effects(&control)), (json!({ "a": 1 }), 0));
        let second = charge(sandbox.addr(), "a").await;
        assert_eq!((second.status(), second.body(), effects(&control)), (502, "<html>", 1));
        let third = charge(sandbox.addr(), "a").await;
        assert_eq!((third.status(), effects(&control)), (200, 1));
        assert_eq!(third.headers()["idempotent-replayed"], "true");
    }

    #[tokio::test]
    async fn a_drip_is_the_whole_answer_piece_by_piece() {
        let drip = Action::Drip { bytes: 100, every_ms: 20, act: true };
        let (sandbox, control) = sandbox(once(drip));
        let clock = causeway_actors::clock::Clock::start();
        let answer = charge(sandbox.addr(), "k").await;
        assert!(clock.mono().since_origin() >= Duration::from_millis(40), "at least two pieces");
        assert_eq!((answer.status(), effects(&control)), (200, 1));
        assert_eq!(answer.json()["object"], "charge");
        assert_eq!(endings(&control), [Ending::Answered { status: 200 }]);
    }

    #[tokio::test]
    async fn a_stall_sends_a_part_and_holds_the_connection() {
        let (sandbox, control) = sandbox(once(Action::Stall { after_bytes: 5, act: true }));
        let mut stream = send(sandbox.addr(), "POST /v1/charges", &[], CHARGE).await;
        let mut seen = Vec::new();
        let part = timeout(Duration::from_millis(300), stream.read_to_end(&mut seen)).await;
        assert!(part.is_err(), "it is not closed");
        let text = String::from_utf8_lossy(&seen);
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!((body.len(), effects(&control)), (5, 1));
    }

    #[tokio::test]
    async fn statuses_that_have_no_body_are_sent_without_one() {
        let (sandbox, _) = sandbox(Rule::sequence([204, 304].map(Behaviour::status)));
        for status in [204, 304] {
            let answer = get(sandbox.addr(), "/v1/ping").await;
            assert_eq!((answer.status(), answer.body()), (status, ""));
        }
    }

    #[tokio::test]
    async fn a_delay_is_never_shorter_than_asked() {
        let delay = Behaviour::from(Action::Delay { ms: 60, jitter_ms: 5 });
        let steps = [delay.clone(), delay.delayed(Duration::from_millis(40))];
        let (sandbox, control) = sandbox(Rule::sequence(steps));
        for least_us in [60_000, 100_000] {
            assert_eq!(charge(sandbox.addr(), "k").await.status(), 200);
            let arrival = control.ledger().arrivals.pop().unwrap();
            assert!(arrival.ended_us.unwrap() - arrival.at_us >= least_us, "{arrival:?}");
        }
    }

    #[tokio::test]
    async fn a_late_effect_happens_though_the_client_has_left() {
        let (sandbox, control) = sandbox(once(Action::Delay { ms: 500, jitter_ms: 0 }));
        let stream = send(sandbox.addr(), "POST /v1/charges", &[("Idempotency-Key", "k")], CHARGE).await;
        until(&control, |control| control.counters().open == 1).await;
        drop(stream);
        until(&control, |control| endings(control) == [Ending::ClientLeft {}]).await;
        until(&control, |control| effects(control) == 1).await;
        assert_eq!(charge(sandbox.addr(), "k").await.headers()["idempotent-replayed"], "true");
    }

    #[tokio::test]
    async fn a_key_in_progress_conflicts() {
        let (sandbox, control) = sandbox(once(Action::Delay { ms: 300, jitter_ms: 0 }));
        let (first, second) = tokio::join!(charge(sandbox.addr(), "k"), async {
            until(&control, |control| control.counters().open == 1).await;
            charge(sandbox.addr(), "k").await
        });
        assert_eq!((first.status(), second.status(), effects(&control)), (200, 409, 1));
        assert_eq!(control.counters().peak_open, 2);
    }

    #[tokio::test]
    async fn a_key_with_another_body_is_refused() {
        let (sandbox, control) = sandbox(Rule::sequence([]));
        assert_eq!(charge(sandbox.addr(), "k").await.status(), 200);
        let other = CHARGE.replace("100", "101");
        let refused = exchange(sandbox.addr(), "POST /v1/charges", &[("Idempotency-Key", "k")], &other).await;
        assert_eq!((refused.status(), effects(&control)), (422, 1));
    }

    #[tokio::test]
    async fn a_hanging_provider_is_silent_until_the_client_leaves() {
        for act in [false, true] {
            let (sandbox, control) = sandbox(once(Action::Hang { act }));
            let mut stream = send(sandbox.addr(), "POST /v1/charges", &[], CHARGE).await;
            until(&control, |control| control.counters().open == 1).await;
            let answer = timeout(Duration::from_millis(100), stream.read_u8()).await;
            assert!(answer.is_err(), "a hanging provider said something: {answer:?}");
            assert_eq!((endings(&control), effects(&control)), (vec![Ending::Open {}], usize::from(act)));
            drop(stream);
            until(&control, |control| endings(control) == [Ending::ClientLeft {}]).await;
            assert_eq!(control.counters().open, 0);
        }
    }

    #[tokio::test]
    async fn a_dropped_connection_carries_not_a_byte() {
        for (action, effect) in [(Action::DropBefore {}, 0), (Action::DropAfter {}, 1)] {
            let (sandbox, control) = sandbox(once(action));
            assert!(charge(sandbox.addr(), "k").await.0.is_empty());
            assert_eq!((endings(&control), effects(&control)), (vec![Ending::Closed {}], effect));
            assert_eq!(charge(sandbox.addr(), "k").await.status(), 200);
            assert_eq!(effects(&control), 1);
        }
    }

    #[tokio::test]
    async fn a_rate_limit_says_when_to_come_back() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let late = Action::RateLimit { retry_after: date.into(), status: 503 };
        let soon = Action::RateLimit { retry_after: "2".into(), status: 429 };
        let (sandbox, control) = sandbox(Rule::sequence([soon.into(), late.into()]));
        let first = charge(sandbox.addr(), "k").await;
        assert_eq!((first.status(), first.headers()["retry-after"].as_str()), (429, "2"));
        let second = charge(sandbox.addr(), "k").await;
        assert_eq!((second.status(), second.headers()["retry-after"].as_str()), (503, date));
        assert_eq!(effects(&control), 0);
    }

    fn announced(raw: &Raw) -> usize {
        raw.headers()["content-length"].parse().unwrap()
    }

    #[tokio::test]
    async fn a_truncated_answer_announces_more_than_it_sends() {
        let truncate = |after_bytes, act| Behaviour::from(Action::Truncate { after_bytes, act });
        let steps = [truncate(10, true), truncate(0, false), truncate(1_000_000, true)];
        let (sandbox, control) = sandbox(Rule::sequence(steps));
        let cut = charge(sandbox.addr(), "a").await;
        assert_eq!((cut.status(), cut.body().len(), effects(&control)), (200, 10, 1));
        assert!(announced(&cut) > 100);
        let idle = charge(sandbox.addr(), "b").await;
        assert_eq!((idle.body(), announced(&idle), effects(&control)), ("", 299, 1));
        let whole = get(sandbox.addr(), "/v1/ping").await;
        assert_eq!((whole.body().len(), announced(&whole)), (299, 300));
        assert_eq!(endings(&control), [Ending::Truncated { status: 200 }; 3]);
    }

    #[tokio::test]
    async fn garbage_is_no_http() {
        let (sandbox, control) = sandbox(once(Action::Garbage {}));
        assert_eq!(charge(sandbox.addr(), "k").await.0, wire::GARBAGE);
        assert_eq!((endings(&control), effects(&control)), (vec![Ending::Garbage {}], 0));
    }

    #[tokio::test]
    async fn a_plan_is_followed_in_the_order_of_arrival_by_matching_requests_only() {
        let rule = Rule { then: Behaviour::status(504), ..Rule::sequence([503, 502].map(Behaviour::status)) };
        let (sandbox, control) = sandbox(rule.on(&Method::POST, "/v1/charges"));
        let mut seen = Vec::new();
        for _ in 0..4 {
            assert_eq!(get(sandbox.addr(), "/v1/ping").await.status(), 200);
            seen.push(charge(sandbox.addr(), "k").await.status());
        }
        assert_eq!(seen, [503, 502, 504, 504]);
        assert!(control.rules()[0].steps.is_empty());
    }

    #[tokio::test]
    async fn the_ledger_tells_what_arrived_and_what_it_did() {
        let (sandbox, control) = sandbox(Rule::sequence([]));
        charge(sandbox.addr(), "k 1").await;
        get(sandbox.addr(), "/v1/charges?reference=x").await;
        let ledger = control.ledger();
        let [posted, listed] = &ledger.arrivals[..] else { panic!("not two arrivals: {ledger:?}") };
        assert_eq!((posted.method.as_str(), posted.key.as_deref()), ("POST", Some("k 1")));
        assert_eq!(
            (listed.path.as_str(), listed.ending),
            ("/v1/charges?reference=x", Ending::Answered { status: 200 })
        );
        assert!(posted.at_us < listed.at_us && posted.connection < listed.connection);
        let effect = &ledger.effects[0];
        assert_eq!((effect.arrival, effect.amount, effect.key.as_deref()), (posted.number, 100, Some("k 1")));
        assert_eq!((ledger.counters.requests, ledger.counters.connections), (2, 2));
    }

    #[tokio::test]
    async fn a_reset_stops_what_is_under_way() {
        let (sandbox, control) = sandbox(once(Action::Delay { ms: 500, jitter_ms: 0 }));
        let (cut, ()) = tokio::join!(charge(sandbox.addr(), "k"), async {
            until(&control, |control| control.counters().open == 1).await;
            // A whole exchange later the first request's body has been read too.
            get(sandbox.addr(), "/v1/ping").await;
            control.reset();
        });
        assert!(cut.0.is_empty());
        assert_eq!(effects(&control), 0);
        assert_eq!(charge(sandbox.addr(), "k").await.status(), 200);
    }

    #[tokio::test]
    async fn bodies_are_bounded_whether_declared_or_chunked() {
        let (sandbox, control) = sandbox(Rule::sequence([]));
        let large = " ".repeat(MAX_BODY + 1);
        let declared = exchange(sandbox.addr(), "POST /v1/charges", &[], &large).await;
        assert_eq!(declared.status(), 413);

        let mut stream = TcpStream::connect(sandbox.addr()).await.unwrap();
        let head =
            "POST /v1/charges HTTP/1.1\r\nhost: s\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunked = format!("{head}{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
        stream.write_all(chunked.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(Raw(answer).status(), 413);

        let largest = format!("{}{CHARGE}", " ".repeat(MAX_BODY - CHARGE.len()));
        assert_eq!(exchange(sandbox.addr(), "POST /v1/charges", &[], &largest).await.status(), 200);
        assert_eq!(effects(&control), 1);
    }

    #[tokio::test]
    async fn ill_formed_requests_are_answered_with_400_or_cut_and_the_sandbox_lives() {
        let (sandbox, control) = sandbox(Rule::sequence([]));
        assert_eq!(exchange(sandbox.addr(), "POST /v1/charges", &[], "{\"amount\":").await.status(), 400);
        for bytes in [&b"\0\xff\r\n\r\n"[..], b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/charges HTTP/1.1\r\nA"] {
            let mut stream = TcpStream::connect(sandbox.addr()).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            assert!(answer.is_empty() || Raw(answer).status() == 400);
        }
        assert_eq!((charge(sandbox.addr(), "k").await.status(), effects(&control)), (200, 1));
    }

    #[tokio::test]
    async fn a_client_that_leaves_within_its_body_has_no_effect() {
        let (sandbox, control) = sandbox(Rule::sequence([]));
        let mut stream = TcpStream::connect(sandbox.addr()).await.unwrap();
        stream
            .write_all(b"POST /v1/charges HTTP/1.1\r\nhost: s\r\ncontent-length: 50\r\n\r\n{")
            .await
            .unwrap();
        until(&control, |control| control.counters().open == 1).await;
        drop(stream);
        until(&control, |control| endings(control) == [Ending::ClientLeft {}]).await;
        assert_eq!(effects(&control), 0);
    }

    #[tokio::test]
    async fn one_connection_serves_many_requests() {
        let (sandbox, control) = sandbox(Rule::sequence([]));
        let mut stream = TcpStream::connect(sandbox.addr()).await.unwrap();
        for _ in 0..3 {
            stream.write_all(b"GET /v1/ping HTTP/1.1\r\nhost: s\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"\"}") {
                assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
            }
            assert_eq!(Raw(answer).status(), 200);
        }
        assert_eq!((control.counters().requests, control.counters().connections), (3, 1));
    }
}
