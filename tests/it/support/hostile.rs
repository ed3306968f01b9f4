//! A provider that misbehaves, byte by byte, until it is told to be well.
//!
//! A conversation is a list of [`Step`]s, played on each connection from its beginning; at its end the connection is
//! closed. What it sends is counted, so a test can say how far it was listened to; what it is asked is kept, byte by
//! byte.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// How often it looks whether what it waits for is there.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What a well provider answers.
const WELL: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";

/// What one that is to be well from the start has to say otherwise.
const NOTHING: &[Step] = &[];

/// One part of a conversation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Reads a whole request. A client that leaves ends the conversation.
    Read,
    /// Reads as much as has come, at least a byte.
    ReadSome,
    /// Says this.
    Say(&'static str),
    /// Says these bytes.
    Bytes(&'static [u8]),
    /// Says this so many times.
    Repeat(&'static str, usize),
    /// Says this until nobody listens.
    Endless(&'static str),
    /// Says this a byte at a time, with this pause after each.
    Drip(&'static str, Duration),
    /// Waits until this many requests have been read whole, on all connections together.
    Await(usize),
    /// Says nothing more, and waits for the client to leave.
    Hang,
    /// Breaks the connection off, without a goodbye.
    Reset,
}

/// A request, as its bytes came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    /// The request line and the headers, without the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Raw {
    /// Method, target and version.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The values under this name, in lower case.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let headers = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        headers.filter(|(given, _)| *given == name).map(|(_, value)| value).collect()
    }
}

/// What it counts.
#[derive(Default)]
struct Counts {
    well: AtomicBool,
    sent: AtomicU64,
    connections: AtomicUsize,
    open: AtomicUsize,
    requests: Mutex<Vec<Raw>>,
}

/// One for each connection, in this order; the last one for all further connections too.
type Conversations = Arc<[&'static [Step]]>;

/// A provider on the test's own runtime. Dropping it stops it.
pub(crate) struct Hostile {
    address: SocketAddr,
    counts: Arc<Counts>,
    /// A port that is taken, and on which nobody listens yet.
    refusing: Mutex<Option<TcpSocket>>,
    conversations: Conversations,
    serving: Mutex<JoinSet<()>>,
}

impl Hostile {
    /// Plays `conversation` on each connection.
    pub(crate) fn start(conversation: &'static [Step]) -> Self {
        Self::start_each(&[conversation])
    }

    /// Plays the first on the first connection, and so on, and the last on all further ones.
    pub(crate) fn start_each(conversations: &[&'static [Step]]) -> Self {
        let hostile = Self::refuse();
        Self { conversations: conversations.into(), ..hostile }.listening()
    }

    /// Is well.
    pub(crate) fn well() -> Self {
        Self::refuse().heal()
    }

    /// Refuses connections.
    pub(crate) fn refuse() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)).expect("a free port");
        let address = socket.local_addr().expect("a bound address");
        Self {
            address,
            counts: Arc::default(),
            refusing: Mutex::new(Some(socket)),
            conversations: Arc::new([]),
            serving: Mutex::default(),
        }
    }

    fn listening(self) -> Self {
        let socket = self.refusing.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(socket) = socket {
            let listener = socket.listen(128).expect("a listener");
            let serving = serve(listener, Arc::clone(&self.conversations), Arc::clone(&self.counts));
            self.serving.lock().unwrap_or_else(PoisonError::into_inner).spawn(serving);
        }
        self
    }

    /// Is well from now on, on new connections.
    pub(crate) fn heal(self) -> Self {
        self.counts.well.store(true, Ordering::Release);
        self.listening()
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many bytes the system took over from it.
    pub(crate) fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::Acquire)
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Acquire)
    }

    /// How many conversations are under way.
    pub(crate) fn open(&self) -> usize {
        self.counts.open.load(Ordering::Acquire)
    }

    /// The requests read whole, oldest first.
    pub(crate) fn raw(&self) -> Vec<Raw> {
        self.counts.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same, each as one text.
    pub(crate) fn requests(&self) -> Vec<String> {
        let text = |raw: Raw| format!("{}\r\n\r\n{}", raw.head, String::from_utf8_lossy(&raw.body));
        self.raw().into_iter().map(text).collect()
    }
}

async fn serve(listener: TcpListener, conversations: Conversations, counts: Arc<Counts>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let number = counts.connections.fetch_add(1, Ordering::AcqRel);
        let conversation = *conversations.get(number).or(conversations.last()).unwrap_or(&NOTHING);
        let counts = Arc::clone(&counts);
        connections.spawn(async move {
            // A client that breaks its connection is the client's affair.
            if counts.well.load(Ordering::Acquire) {
                let _ = be_well(stream, &counts).await;
            } else {
                counts.open.fetch_add(1, Ordering::AcqRel);
                let _ = play(stream, conversation, &counts).await;
                counts.open.fetch_sub(1, Ordering::AcqRel);
            }
        });
    }
}

async fn be_well(mut stream: TcpStream, counts: &Counts) -> std::io::Result<()> {
    while read_request(&mut stream, counts).await?.is_some() {
        stream.write_all(WELL).await?;
    }
    Ok(())
}

async fn play(mut stream: TcpStream, conversation: &[Step], counts: &Counts) -> std::io::Result<()> {
    for step in conversation {
        match *step {
            Step::Read => {
                if read_request(&mut stream, counts).await?.is_none() {
                    return Ok(());
                }
            }
            Step::ReadSome => {
                stream.read_u8().await?;
            }
            Step::Say(text) => say(&mut stream, text.as_bytes(), counts).await?,
            Step::Bytes(bytes) => say(&mut stream, bytes, counts).await?,
            Step::Repeat(text, times) => {
                // In pieces that are worth a system call.
                let piece = text.repeat(1000.min(times));
                for _ in 0..times / 1000 {
                    say(&mut stream, piece.as_bytes(), counts).await?;
                }
            }
            Step::Endless(text) => {
                let piece = text.repeat(1 + 16_384 / text.len());
                loop {
                    say(&mut stream, piece.as_bytes(), counts).await?;
                }
            }
            Step::Drip(text, pause) => {
                for byte in text.bytes() {
                    say(&mut stream, &[byte], counts).await?;
                    tokio::time::sleep(pause).await;
                }
            }
            Step::Await(requests) => {
                let read = || counts.requests.lock().unwrap_or_else(PoisonError::into_inner).len();
                while read() < requests {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
            Step::Hang => while stream.read(&mut [0; 1024]).await? > 0 {},
            Step::Reset => {
                stream.set_zero_linger()?;
                return Ok(());
            }
        }
    }
    stream.shutdown().await
}

async fn say(stream: &mut TcpStream, bytes: &[u8], counts: &Counts) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    counts.sent.fetch_add(bytes.len() as u64, Ordering::AcqRel);
    Ok(())
}

/// Reads one request with its body, and keeps it; `None` if the connection ends before it does.
async fn read_request(stream: &mut TcpStream, counts: &Counts) -> std::io::Result<Option<()>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let body = &bytes[end + 4..];
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a length")) {
                let raw = Raw { head, body: body.to_vec() };
                counts.requests.lock().unwrap_or_else(PoisonError::into_inner).push(raw);
                return Ok(Some(()));
            }
        }
        let mut buffer = [0; 16_384];
        match stream.read(&mut buffer).await? {
            0 => return Ok(None),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}
