//! `[listen]`: where the server listens, and how much it takes on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::reader::forms::{duration, integer, size};
use super::reader::{Table, Value, shown};

/// Bounds of an API request's body, in bytes.
const MAX_BODY: RangeInclusive<usize> = 1..=64 << 20;
/// Bounds of the time a request's head may take: the listeners' clock ticks every half second, so less than one would
/// refuse whole requests, and long ones let idle callers hold sockets.
const HEAD_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
/// Bounds of the runs at once: each holds memory until it ends.
const MAX_IN_FLIGHT: RangeInclusive<u32> = 1..=1_000_000;
/// Bounds of the drain: zero stops at once.
const DRAIN: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);
/// Bounds of the threads: more than any machine has cores only cost.
const IO_THREADS: RangeInclusive<u32> = 0..=1024;

/// Addresses and bounds of the server's own HTTP side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSettings {
    /// The business API; loopback. Port 0 lets the system choose one.
    pub api: SocketAddr,
    /// Admin API, metrics and health; loopback. Port 0 lets the system choose one.
    pub admin: SocketAddr,
    /// The largest body of an API request, in bytes.
    pub max_body: usize,
    /// A request whose head is not whole by then is closed.
    pub head_timeout: Duration,
    /// Runs at once, over all callers.
    pub max_in_flight: u32,
    /// How long runs may go on after the server is asked to stop.
    pub drain: Duration,
    /// Threads that integrations are placed on; 0: one per core.
    pub io_threads: u32,
}

impl Default for ListenSettings {
    fn default() -> Self {
        Self {
            api: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            admin: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081),
            max_body: 1 << 20,
            head_timeout: Duration::from_secs(10),
            max_in_flight: 4000,
            drain: Duration::from_secs(25),
            io_threads: 0,
        }
    }
}

impl ListenSettings {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let default = Self::default();
        let read = Self {
            api: table.or("api", default.api, address),
            admin: table.or("admin", default.admin, address),
            max_body: table.or("max_body", default.max_body, size(MAX_BODY)),
            head_timeout: table.or("head_timeout", default.head_timeout, duration(HEAD_TIMEOUT)),
            max_in_flight: table.or("max_in_flight", default.max_in_flight, integer(MAX_IN_FLIGHT)),
            drain: table.or("drain", default.drain, duration(DRAIN)),
            io_threads: table.or("io_threads", default.io_threads, integer(IO_THREADS)),
        };
        table.not_yet(&["hooks", "trusted_proxies", "public_url", "api_tls", "admin_tls", "hooks_tls"]);
        if read.api == read.admin && read.api.port() != 0 {
            let later = if table.had("admin") { "admin" } else { "api" };
            table.wrong(later, "`api` and `admin` cannot share an address; give one of them another port");
        }
        read
    }
}

fn address(value: Value<'_>) -> Option<SocketAddr> {
    let text = value.string("an address such as \"127.0.0.1:8080\"")?;
    let Ok(address) = text.parse::<SocketAddr>() else {
        let right = "write an IP address and a port, such as \"127.0.0.1:8080\"";
        return value.wrong(&format!("\"{}\" is not an address; {right}", shown(text)));
    };
    if !address.ip().to_canonical().is_loopback() {
        let port = address.port();
        return value.wrong(&format!(
            "{address} can be reached from other machines, and there are no client keys yet to say who may call; \
             write a loopback address, \"127.0.0.1:{port}\" or \"[::1]:{port}\""
        ));
    }
    Some(address)
}
