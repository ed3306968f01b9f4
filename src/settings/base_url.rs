//! `base_url`: where an integration's endpoints are.
//!
//! HTTPS, always; plain HTTP only where nothing leaves the machine. No message repeats the URL: a user, a password or
//! a key in the query are what people paste.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use http::Uri;
use http::uri::{Authority, Scheme};

use super::reader::Value;

/// A scheme, a host and perhaps a port and a path prefix. Printed, it is what an endpoint's path is appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    scheme: Scheme,
    authority: Authority,
    prefix: String,
}

impl BaseUrl {
    /// `https`; `http` only for a loopback host.
    pub const fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The host, and the port if one is written.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What stands before an endpoint's path: empty, or beginning and not ending with `/`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn read(value: Value<'_>) -> Option<Self> {
        let text = value.string("a URL such as \"https://api.example.com\"")?;
        match Self::parse(text, PlainHttp::Loopback) {
            Ok(url) => Some(url),
            Err(wrong) => value.wrong(wrong.message()),
        }
    }

    /// Where telemetry goes: no secret and no payload, so plain HTTP will do within one's own network.
    pub(super) fn read_collector(value: Value<'_>) -> Option<Self> {
        let text = value.string("a URL such as \"http://127.0.0.1:4318\"")?;
        match Self::parse(text, PlainHttp::Anywhere) {
            Ok(url) => Some(url),
            Err(Wrong::UserInfo) => value.wrong(
                "the URL carries a user or a password; remove them and set OTEL_EXPORTER_OTLP_HEADERS in the environment",
            ),
            Err(Wrong::Query) => value.wrong("the URL has a query; remove it"),
            Err(wrong) => value.wrong(wrong.message()),
        }
    }

    fn parse(text: &str, plain: PlainHttp) -> Result<Self, Wrong> {
        if text.contains('#') {
            return Err(Wrong::Fragment);
        }
        let parts = text.parse::<Uri>().map_err(|_| Wrong::NoUrl)?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(Wrong::NoUrl);
        };
        if authority.as_str().contains('@') {
            return Err(Wrong::UserInfo);
        }
        if !is_host(authority.host()) || !has_usable_port(&authority) {
            return Err(Wrong::NoUrl);
        }
        let scheme = match scheme.as_str().to_ascii_lowercase().as_str() {
            "https" => Scheme::HTTPS,
            "http" if plain == PlainHttp::Anywhere || is_loopback(authority.host()) => Scheme::HTTP,
            "http" => return Err(Wrong::PlainHttp),
            _ => return Err(Wrong::NoUrl),
        };
        let path = parts.path_and_query.ok_or(Wrong::NoUrl)?;
        if path.query().is_some() {
            return Err(Wrong::Query);
        }
        let prefix = path.path().trim_end_matches('/');
        if !prefix.bytes().all(is_path_byte) {
            return Err(Wrong::NoUrl);
        }
        Ok(Self { scheme, authority, prefix: prefix.to_owned() })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

/// Whether a byte may stand in a path as it is: RFC 3986 §3.3, and the `/` between segments.
pub(super) const fn is_path_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
        | b'-' | b'.' | b'_' | b'~' | b'%' | b'/' | b':' | b'@'
        | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

/// Where to plain HTTP may be spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlainHttp {
    Loopback,
    Anywhere,
}

/// Why a text is no base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    NoUrl,
    UserInfo,
    PlainHttp,
    Query,
    Fragment,
}

impl Wrong {
    const fn message(self) -> &'static str {
        match self {
            Self::NoUrl => "this is not a base URL; write one such as \"https://api.example.com/v2\"",
            Self::UserInfo => {
                "the URL carries a user or a password; remove them and write [auth] with references"
            }
            Self::PlainHttp => {
                "http sends everything in the open; write https (http is for 127.0.0.0/8, ::1, localhost)"
            }
            Self::Query => {
                "the URL has a query; remove it and write it in the endpoints' `request` or in [auth]"
            }
            Self::Fragment => "the URL has a fragment, which is never sent; remove the `#` and what follows",
        }
    }
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

fn has_usable_port(authority: &Authority) -> bool {
    let after_host = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    match after_host.strip_prefix(':') {
        Some(port) => port.parse::<u16>().is_ok_and(|port| port != 0),
        None => after_host.is_empty(),
    }
}

fn is_loopback(host: &str) -> bool {
    let v6 = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || v6.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_anywhere_and_http_on_this_machine() {
        for (text, printed, prefix) in [
            ("https://api.stripe.com", "https://api.stripe.com", ""),
            ("https://api.stripe.com/", "https://api.stripe.com", ""),
            ("HTTPS://api.example.com:8443/v2/", "https://api.example.com:8443/v2", "/v2"),
            ("https://[2001:db8::1]:443/a/b", "https://[2001:db8::1]:443/a/b", "/a/b"),
            ("http://127.8.9.10:9000", "http://127.8.9.10:9000", ""),
            ("http://localhost:1/x", "http://localhost:1/x", "/x"),
            ("http://[::1]", "http://[::1]", ""),
        ] {
            let url = BaseUrl::parse(text, PlainHttp::Loopback).unwrap();
            assert_eq!((url.to_string().as_str(), url.prefix()), (printed, prefix), "{text}");
        }
    }

    #[test]
    fn telemetry_may_go_to_ones_own_network_in_the_open() {
        for text in ["http://collector.internal:4318", "http://10.0.0.1:4318", "https://collector.example"] {
            assert_eq!(BaseUrl::parse(text, PlainHttp::Anywhere).unwrap().to_string(), text);
        }
        assert_eq!(BaseUrl::parse("http://user:pw@x", PlainHttp::Anywhere), Err(Wrong::UserInfo));
    }

    #[test]
    fn what_cannot_be_a_base_is_refused() {
        for (text, wrong) in [
            ("", Wrong::NoUrl),
            ("api.stripe.com", Wrong::NoUrl),
            ("/v1", Wrong::NoUrl),
            ("ftp://x", Wrong::NoUrl),
            ("https://", Wrong::NoUrl),
            ("https://:80", Wrong::NoUrl),
            ("https://x:", Wrong::NoUrl),
            ("https://x:0", Wrong::NoUrl),
            ("https://x:65536", Wrong::NoUrl),
            ("https://exämple.com", Wrong::NoUrl),
            ("https://a b", Wrong::NoUrl),
            ("https://x/{y}", Wrong::NoUrl),
            ("https://x/ü", Wrong::NoUrl),
            ("http://api.stripe.com", Wrong::PlainHttp),
            ("http://127.0.0.1.example.com", Wrong::PlainHttp),
            ("http://localhost.example.com", Wrong::PlainHttp),
            ("http://10.0.0.1", Wrong::PlainHttp),
            ("http://[::ffff:127.0.0.1]", Wrong::PlainHttp),
            ("https://user:pw@x", Wrong::UserInfo),
            ("http://localhost@evil.example", Wrong::UserInfo),
            ("https://x/?key=1", Wrong::Query),
            ("https://x?key=1", Wrong::Query),
            ("https://x/#a", Wrong::Fragment),
        ] {
            assert_eq!(BaseUrl::parse(text, PlainHttp::Loopback), Err(wrong), "{text}");
        }
    }
}
