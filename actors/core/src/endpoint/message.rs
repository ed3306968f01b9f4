//! A provider's own words about a failure, found where providers put them, and made fit to be shown.

use serde_json::Value;

use super::Answer;
use crate::json;
use crate::sanitise::Sanitiser;

/// The longest provider message shown, in bytes.
pub(super) const MAX_MESSAGE: usize = 256;
/// The longest provider code taken over, in bytes.
const MAX_CODE: usize = 64;
/// The largest error body that is searched for a message, in bytes.
const MAX_SEARCHED: usize = 64 * 1024;

/// Where providers put the message: RFC 9457, and the shapes in common use.
const PLACES: [&str; 7] =
    ["/error/message", "/message", "/detail", "/error_description", "/errors/0/message", "/error", "/title"];

/// What to tell of a refusal: the provider's message where one is found, else only the status.
pub(super) fn of(answer: &Answer<'_>, sanitiser: &Sanitiser) -> String {
    match find(answer.body) {
        Some(text) => sanitiser.text(&text, MAX_MESSAGE),
        None => format!("the provider answered {}", answer.status),
    }
}

fn find(body: &[u8]) -> Option<String> {
    if body.len() > MAX_SEARCHED || json::check_depth(body).is_err() {
        return None;
    }
    let document: Value = serde_json::from_slice(body).ok()?;
    let text = PLACES.iter().find_map(|place| document.pointer(place)?.as_str())?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// Takes a provider's code over if it is short and plain enough to be a stable identifier.
pub(super) fn stable_code(code: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    let fits = (1..=MAX_CODE).contains(&code.len()) && code.bytes().all(plain);
    fits.then(|| code.to_owned())
}
