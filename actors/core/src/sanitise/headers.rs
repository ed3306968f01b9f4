//! Which headers are shown.
//!
//! A list of what is harmless, not of what is secret: providers invent headers, and one that nobody knows may carry
//! a key. What is shown still passes the detectors.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};
use serde::{Serialize, Serializer};

use super::mask::What;
use super::secrets::KnownSecrets;
use super::{Rules, form};

/// The longest header value shown, in bytes.
const MAX_VALUE: usize = 1024;

/// Headers that are shown, in order.
const SHOWN: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "cache-control",
    "cf-ray",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "date",
    "deprecation",
    "etag",
    "expires",
    "host",
    "idempotency-key",
    "idempotency-replayed",
    "idempotent-replayed",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "keep-alive",
    "last-modified",
    "link",
    "location",
    "original-request",
    "pragma",
    "prefer",
    "preference-applied",
    "ratelimit",
    "ratelimit-limit",
    "ratelimit-policy",
    "ratelimit-remaining",
    "ratelimit-reset",
    "request-id",
    "retry-after",
    "server",
    "server-timing",
    "stripe-should-retry",
    "stripe-version",
    "sunset",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "x-amz-request-id",
    "x-amzn-requestid",
    "x-amzn-trace-id",
    "x-api-version",
    "x-cache",
    "x-correlation-id",
    "x-github-request-id",
    "x-idempotency-key",
    "x-ms-request-id",
    "x-rate-limit-limit",
    "x-rate-limit-remaining",
    "x-rate-limit-reset",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-resource",
    "x-ratelimit-used",
    "x-request-id",
    "x-request-timeout-ms",
    "x-retry-after",
    "x-runtime",
    "x-should-retry",
    "x-trace-id",
];

/// Headers whose value is a URL.
const URLS: [&str; 2] = ["content-location", "location"];

/// Headers, fit to be logged. A map from lower-case names to values; repeated ones are joined with `, `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafeHeaders(Vec<(HeaderName, Cow<'static, str>)>);

impl SafeHeaders {
    pub(super) fn new(headers: &HeaderMap, rules: &Rules, secrets: &KnownSecrets) -> Self {
        let safe = headers.keys().map(|name| {
            let shown = SHOWN.binary_search(&name.as_str()).is_ok()
                && !rules.hidden_headers.iter().any(|hidden| hidden == name.as_str());
            let value = if shown {
                Cow::Owned(value(headers, name, rules, secrets))
            } else {
                Cow::Borrowed(What::Header.placeholder())
            };
            (name.clone(), value)
        });
        Self(safe.collect())
    }

    /// Names and values, each name once.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), &**value))
    }
}

impl Serialize for SafeHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

fn value(headers: &HeaderMap, name: &HeaderName, rules: &Rules, secrets: &KnownSecrets) -> String {
    let mut out = Vec::new();
    for (index, value) in headers.get_all(name).iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        let value = secrets.hide(value.as_bytes(), usize::MAX);
        if URLS.contains(&name.as_str()) {
            form::url(&mut out, &value, rules);
        } else {
            form::text(&mut out, &value, rules);
        }
    }
    super::escape::cut(out, MAX_VALUE, 0)
}
