//! `[listen]`: where the server listens, and how much it takes on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

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
/// The most networks of proxies.
const MAX_PROXIES: usize = 100;
/// Bounds of the threads: more than any machine has cores only cost.
const IO_THREADS: RangeInclusive<u32> = 0..=1024;

/// Addresses and bounds of the server's own HTTP side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSettings {
    /// The business API; loopback, unless there are clients. Port 0 lets the system choose one.
    pub api: SocketAddr,
    /// Admin API, metrics and health; loopback, unless there are operators. Port 0 lets the system choose one.
    pub admin: SocketAddr,
    /// Networks of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
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
            trusted_proxies: Vec::new(),
            max_body: 1 << 20,
            head_timeout: Duration::from_secs(10),
            max_in_flight: 4000,
            drain: Duration::from_secs(25),
            io_threads: 0,
        }
    }
}

/// Which listeners ask for a key.
#[derive(Clone, Copy)]
pub(super) struct Keyed {
    pub(super) api: bool,
    pub(super) admin: bool,
}

impl ListenSettings {
    pub(super) fn read(table: &mut Table<'_>, keyed: Keyed) -> Self {
        let default = Self::default();
        let read = Self {
            api: table.or("api", default.api, address(keyed.api, "clients", "call")),
            admin: table.or("admin", default.admin, address(keyed.admin, "operators", "operate it")),
            trusted_proxies: table.list("trusted_proxies", MAX_PROXIES, network),
            max_body: table.or("max_body", default.max_body, size(MAX_BODY)),
            head_timeout: table.or("head_timeout", default.head_timeout, duration(HEAD_TIMEOUT)),
            max_in_flight: table.or("max_in_flight", default.max_in_flight, integer(MAX_IN_FLIGHT)),
            drain: table.or("drain", default.drain, duration(DRAIN)),
            io_threads: table.or("io_threads", default.io_threads, integer(IO_THREADS)),
        };
        table.not_yet(&["hooks", "public_url", "api_tls", "admin_tls", "hooks_tls"]);
        if read.api == read.admin && read.api.port() != 0 {
            let later = if table.had("admin") { "admin" } else { "api" };
            table.wrong(later, "`api` and `admin` cannot share an address; give one of them another port");
        }
        read
    }
}

/// A network as CIDR, or one address.
fn network(value: Value<'_>) -> Option<IpNet> {
    let text = value.string("a network such as \"10.0.0.0/8\"")?;
    let read = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    match read {
        Ok(network) => Some(network),
        Err(_) => {
            let right = "write an address and a prefix, such as \"10.0.0.0/8\"";
            value.wrong(&format!("\"{}\" is not a network; {right}", shown(text)))
        }
    }
}

/// An address; without keys that say who may use it, a loopback one.
fn address(
    keyed: bool,
    section: &'static str,
    may: &'static str,
) -> impl FnOnce(Value<'_>) -> Option<SocketAddr> {
    move |value| {
        let text = value.string("an address such as \"127.0.0.1:8080\"")?;
        let Ok(address) = text.parse::<SocketAddr>() else {
            let right = "write an IP address and a port, such as \"127.0.0.1:8080\"";
            return value.wrong(&format!("\"{}\" is not an address; {right}", shown(text)));
        };
        if address.ip().to_canonical().is_loopback() {
            return Some(address);
        }
        if !keyed {
            let port = address.port();
            return value.wrong(&format!(
                "{address} can be reached from other machines, and no [[{section}]] says who may {may}; add one, or \
                 write a loopback address, \"127.0.0.1:{port}\" or \"[::1]:{port}\""
            ));
        }
        value.advise("keys and data go over the network as they are; put a proxy that speaks TLS in front");
        Some(address)
    }
}
