//! Keeps web pages out.
//!
//! Where no key is asked for, a listener accepts loopback addresses only, so a browser on the same machine could reach them
//! on behalf of any page it shows, by a cross-site request or by a host name that has been rebound to 127.0.0.1. So
//! the host that is asked for must be a loopback one; and a request that says where it comes from (`Origin`,
//! `Sec-Fetch-Site`), as browsers do, is answered only if that is this very server.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderName};

use super::problem::{Code, Problem};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what a web page has sent, or has had sent.
pub(super) fn keep_out(request: &HttpRequest) -> Result<(), Problem> {
    if is_our_own(request) {
        return Ok(());
    }
    let detail = "the request asks for a host that is not a loopback address, or comes from a web page of another \
                  origin; call from a program on this machine, under 127.0.0.1 or localhost";
    Err(Problem::new(Code::ForeignOrigin, detail))
}

fn is_our_own(request: &HttpRequest) -> bool {
    let text = |name: &HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    let Some(host) = text(&header::HOST) else { return true };
    let origin =
        text(&header::ORIGIN).is_none_or(|origin| origin.split_once("://").is_some_and(|(_, at)| at == host));
    let site = text(&SEC_FETCH_SITE).is_none_or(|site| matches!(site, "same-origin" | "none"));
    origin && site && is_loopback(host)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names() {
        for host in ["127.0.0.1:8080", "localhost", "localhost:1", "[::1]:8080", "127.9.9.9", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["evil.com", "evil.com:8080", "10.0.0.1:80", "localhost.evil.com", "", "::2"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
