//! A request that a connection did not take is sent once more at once, on a new connection: it is no retry, and costs
//! neither a try nor a doubt. Over HTTP/2 the provider says so itself: it refuses the stream.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Response, StatusCode};
use rustls::ALL_VERSIONS;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::support::authority::Authority;
use crate::support::{Config, Server, charge, logs};

/// What a provider does with the second and later requests of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Refuses their streams, unread.
    Refuse,
    /// Goes away, telling that it has not read them.
    GoAway,
    /// Resets them, perhaps having acted.
    Reset,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

/// An HTTP/2 provider that serves the first request of each connection; `strict`: of its first connection only.
struct Refusing {
    address: SocketAddr,
    seen: Arc<Seen>,
    _serving: JoinSet<()>,
}

impl Refusing {
    async fn start(authority: &Authority, then: Then, strict: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let acceptor = TlsAcceptor::from(authority.issue("localhost").server(ALL_VERSIONS, None, &[b"h2"]));
        let seen = Arc::<Seen>::default();
        let mut serving = JoinSet::new();
        let shared = Arc::clone(&seen);
        serving.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let first = shared.connections.fetch_add(1, Ordering::AcqRel) == 0;
                let stream = acceptor.accept(stream).await.expect("a handshake");
                let shared = Arc::clone(&shared);
                tokio::spawn(converse(stream, then, first || !strict, shared));
            }
        });
        Self { address, seen, _serving: serving }
    }

    fn counts(&self) -> (usize, usize) {
        (self.seen.connections.load(Ordering::Acquire), self.seen.requests.load(Ordering::Acquire))
    }
}

async fn converse(
    stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    then: Then,
    serves_first: bool,
    seen: Arc<Seen>,
) {
    let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
    let mut served = !serves_first;
    while let Some(Ok((_request, mut respond))) = connection.accept().await {
        seen.requests.fetch_add(1, Ordering::AcqRel);
        if !served {
            served = true;
            let response = Response::builder().status(StatusCode::OK).body(()).expect("a response");
            let mut body = respond.send_response(response, false).expect("a stream");
            body.send_data(Bytes::from_static(b"{\"ok\":true}"), true).expect("a stream");
            continue;
        }
        match then {
            Then::Refuse => respond.send_reset(h2::Reason::REFUSED_STREAM),
            Then::Reset => respond.send_reset(h2::Reason::INTERNAL_ERROR),
            Then::GoAway => {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
                connection.graceful_shutdown();
            }
        }
    }
}

/// A server in front of it, with two charges made: how the second one ended.
async fn second_charge(name: &str, then: Then, strict: bool) -> (serde_json::Value, (usize, usize)) {
    logs::keep();
    let (dir, authority) = (tempfile::tempdir().expect("a directory"), Authority::new(name));
    let provider = Refusing::start(&authority, then, strict).await;
    let url = format!("https://localhost:{}", provider.address.port());
    let ca_file = authority.write(dir.path(), "ca.pem");
    let sections = format!("[tls]\nca_file = \"{}\"\n[retry]\nmax_retries = 0", ca_file.display());
    let server = Server::start(&Config::new().integration(name, &url, &sections));
    server.api.run(&format!("{name}.charge_once"), &charge()).await.ok();
    let second = server.api.run(&format!("{name}.charge_once"), &charge()).await.json();
    let run = if second["run"].is_object() { second["run"].clone() } else { second };
    (run, provider.counts())
}

fn sent_again(name: &str) -> Vec<Option<String>> {
    let lines = logs::of(causeway_actors::ATTEMPT_TARGET, name);
    let word = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    lines.iter().map(|line| line.fields.get("sent_again").and_then(word)).collect()
}

#[tokio::test]
async fn a_refused_stream_is_sent_once_more_on_a_new_connection() {
    for (name, then) in [("refuses", Then::Refuse), ("leaves", Then::GoAway)] {
        let (run, counts) = second_charge(name, then, false).await;
        assert_eq!((&run["status"], &run["steps"][0]["attempts"]), (&"succeeded".into(), &1.into()), "{run}");
        assert_eq!(counts, (2, 3), "{name}: the refused one came once more, on a connection of its own");
        assert_eq!(sent_again(name), [None, Some("redialled".to_owned())]);
    }
}

#[tokio::test]
async fn once_and_not_twice() {
    let (run, counts) = second_charge("always-refuses", Then::Refuse, true).await;
    assert_eq!((&run["status"], &run["error"]["class"]), (&"failed".into(), &"transient".into()), "{run}");
    assert_eq!(counts, (2, 3));
    assert_eq!(sent_again("always-refuses"), [None, Some("redialled".to_owned())]);
}

#[tokio::test]
async fn what_may_have_been_read_is_not_sent_again() {
    let (run, counts) = second_charge("resets", Then::Reset, false).await;
    assert_eq!((&run["status"], &run["error"]["class"]), (&"unknown".into(), &"ambiguous".into()), "{run}");
    assert_eq!(counts, (1, 2));
    assert_eq!(sent_again("resets"), [None, None]);
}
