//! What an attempt may do once more inside itself: outside the count of retries, their budget and the breaker.
//!
//! Three things are no retry, because the first request has certainly not acted:
//!
//! - it was *not sent*, on a connection that had served before: the provider has closed it meanwhile. It is sent once
//!   more, at once, on a connection of its own;
//! - it was answered by a *redirect* to the same origin, and the endpoint lets them be followed;
//! - it was refused with *401*, and there is another credential to try: once.
//!
//! [`Again`] remembers what an attempt has used up of this. The attempt's whole timeout and the run's deadline bind
//! all of it together.

use http::{Method, StatusCode, Uri};
use url::Url;

use crate::classify::Phase;
use crate::failure::Failure;

/// The most redirects an endpoint may have followed.
pub const MAX_REDIRECTS: u8 = 10;
/// The longest target of a redirect that is read, in bytes.
const MAX_LOCATION: usize = 8 * 1024;

/// What an attempt has done again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Again {
    /// It was sent once more because a connection turned out to be closed.
    pub redialled: bool,
    /// It was sent once more with another credential.
    pub reauthenticated: bool,
    /// The redirects followed.
    pub redirects: u8,
}

impl Again {
    /// Whether a request whose exchange broke is sent once more, on a new connection.
    pub fn redial(&mut self, phase: Phase, reused: bool) -> bool {
        let redial = phase == Phase::NotSent && reused && !self.redialled;
        self.redialled |= redial;
        redial
    }

    /// Where a redirect leads that is to be followed; at most `limit` are.
    pub fn follow(
        &mut self,
        limit: u8,
        method: &Method,
        sent_to: &Uri,
        answer: &Redirect<'_>,
    ) -> Option<Uri> {
        if self.redirects >= limit.min(MAX_REDIRECTS) || !keeps_method(method, answer.status) {
            return None;
        }
        let target = same_origin(sent_to, answer.location?)?;
        self.redirects += 1;
        Some(target)
    }

    /// Whether another credential is worth asking for. A rule of the endpoint that says what its 401 means is
    /// believed.
    pub fn reauthenticate(&mut self, failure: &Failure) -> bool {
        let refused = failure.provider_status == Some(StatusCode::UNAUTHORIZED.as_u16()) && !failure.ruled;
        let again = refused && !self.reauthenticated;
        self.reauthenticated |= again;
        again
    }
}

/// What a redirect is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Redirect<'a> {
    /// The status.
    pub status: u16,
    /// The Location header, if it is text.
    pub location: Option<&'a str>,
}

/// Whether following means the same request once more. 301, 302 and 303 may turn others than GET and HEAD into GET
/// (RFC 9110, section 15.4), which would be another call than the one that was asked for.
fn keeps_method(method: &Method, status: u16) -> bool {
    match status {
        307 | 308 => true,
        301..=303 => matches!(*method, Method::GET | Method::HEAD),
        _ => false,
    }
}

/// Where `location` leads from `base`, if that is the same scheme, host and port: credentials go nowhere else, and
/// never from TLS to the clear.
fn same_origin(base: &Uri, location: &str) -> Option<Uri> {
    if location.len() > MAX_LOCATION {
        return None;
    }
    let base = Url::parse(&base.to_string()).ok()?;
    let mut target = base.join(location).ok()?;
    let plain = target.username().is_empty() && target.password().is_none();
    if target.origin() != base.origin() || !plain {
        return None;
    }
    target.set_fragment(None);
    target.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::ErrorClass;

    const HERE: &str = "https://api.example.com/v1/charges?page=2";

    fn follow(limit: u8, method: &Method, status: u16, location: &str) -> Option<String> {
        let here = Uri::from_static(HERE);
        let answer = Redirect { status, location: Some(location) };
        Again::default().follow(limit, method, &here, &answer).map(|target| target.to_string())
    }

    #[test]
    fn only_the_same_origin_is_followed() {
        for (location, target) in [
            ("/v2/charges", "https://api.example.com/v2/charges"),
            ("other?a=b%20c#part", "https://api.example.com/v1/other?a=b%20c"),
            ("../x/./y", "https://api.example.com/x/y"),
            ("?page=3", "https://api.example.com/v1/charges?page=3"),
            ("https://api.example.com/a", "https://api.example.com/a"),
            ("https://API.EXAMPLE.com:443/a", "https://api.example.com/a"),
            ("//api.example.com/a", "https://api.example.com/a"),
        ] {
            assert_eq!(follow(1, &Method::GET, 302, location).as_deref(), Some(target), "{location}");
        }
        for elsewhere in [
            "http://api.example.com/a",
            "https://api.example.com:8443/a",
            "https://evil.example/a",
            "//evil.example/a",
            "https://api.example.com.evil.example/",
            "https://api.example.com@evil.example/",
            "https://user@api.example.com/",
            "\\\\evil.example\\a",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://",
            "http:// [",
        ] {
            assert_eq!(follow(1, &Method::GET, 302, elsewhere), None, "{elsewhere}");
        }
        assert_eq!(follow(1, &Method::GET, 302, &"x".repeat(MAX_LOCATION + 1)), None);
    }

    #[test]
    fn a_redirect_never_makes_another_call_of_it() {
        for status in [301, 302, 303, 307, 308] {
            assert!(follow(1, &Method::GET, status, "/a").is_some(), "{status}");
            assert!(follow(1, &Method::HEAD, status, "/a").is_some(), "{status}");
            assert_eq!(follow(1, &Method::POST, status, "/a").is_some(), status >= 307, "{status}");
        }
        for status in [200, 300, 304, 305, 306, 404] {
            assert_eq!(follow(1, &Method::GET, status, "/a"), None, "{status}");
        }
    }

    #[test]
    fn as_many_are_followed_as_the_endpoint_says() {
        let here = Uri::from_static(HERE);
        let answer = Redirect { status: 302, location: Some("/a") };
        for (limit, followed) in [(0, 0), (2, 2), (u8::MAX, MAX_REDIRECTS)] {
            let mut again = Again::default();
            while again.follow(limit, &Method::GET, &here, &answer).is_some() {}
            assert_eq!(again.redirects, followed);
        }
        let nowhere = Redirect { status: 302, location: None };
        assert_eq!(Again::default().follow(1, &Method::GET, &here, &nowhere), None);
    }

    #[test]
    fn only_what_was_not_sent_on_a_used_connection_is_redialled_and_once() {
        let mut again = Again::default();
        assert!(!again.redial(Phase::NotSent, false));
        assert!(!again.redial(Phase::Sent, true));
        assert!(again.redial(Phase::NotSent, true));
        assert!(!again.redial(Phase::NotSent, true));
    }

    #[test]
    fn a_401_is_worth_another_credential_once_unless_a_rule_says_what_it_is() {
        let failure = |status| Failure::new(ErrorClass::Client, "c", "m").status(Some(status));
        let mut again = Again::default();
        assert!(!again.reauthenticate(&failure(403)));
        assert!(!again.reauthenticate(&Failure { ruled: true, ..failure(401) }));
        assert!(again.reauthenticate(&failure(401)));
        assert!(!again.reauthenticate(&failure(401)));
    }
}
