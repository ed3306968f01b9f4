//! Static headers, and names of headers.

use causeway_core::endpoint::framing;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::reader::{Key, Table, Value, shown};

/// The most static headers of an integration or endpoint.
const MAX_HEADERS: usize = 64;
/// The longest value of a static header, in bytes.
const MAX_VALUE: usize = 4096;

/// Headers whose value is a credential whoever the provider is.
const CREDENTIALS: [HeaderName; 3] = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE];

/// Parts of a header's name that say that its value is a credential.
const CREDENTIAL_WORDS: [&str; 6] = ["api-key", "apikey", "auth-token", "access-token", "secret", "password"];

/// Reads `headers`, a table of static headers; none if it is absent.
pub(super) fn read(table: &mut Table<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (key, value) in table.entries("headers", MAX_HEADERS) {
        let Some((name, value)) = static_header(&key, &value) else { continue };
        if headers.insert(name, value).is_some() {
            key.tell("the header is given twice, in another spelling; remove one");
        }
    }
    headers
}

/// The name of a header that a request may be given.
pub(super) fn request_header(value: Value<'_>) -> Option<HeaderName> {
    let name = header_name(&value)?;
    if framing(&name) {
        return value.wrong(&of_the_connection(&name));
    }
    Some(name)
}

/// The name of a header.
pub(super) fn header_name(value: &Value<'_>) -> Option<HeaderName> {
    let text = value.string("the name of a header")?;
    HeaderName::try_from(text).ok().or_else(|| value.wrong(&no_name(text)))
}

fn static_header(key: &Key<'_>, value: &Value<'_>) -> Option<(HeaderName, HeaderValue)> {
    let Ok(name) = HeaderName::try_from(key.text()) else {
        return key.wrong(&no_name(key.text()));
    };
    if framing(&name) {
        return key.wrong(&of_the_connection(&name));
    }
    if CREDENTIALS.contains(&name) || CREDENTIAL_WORDS.iter().any(|word| name.as_str().contains(word)) {
        let auth = "write it in [auth], as a reference: type = \"header\", name, value = { env = \"NAME\" }";
        return key.wrong(&format!("the header carries a secret; {auth}"));
    }
    header_value(value).map(|value| (name, value))
}

/// The value of a header that is no secret.
pub(super) fn header_value(value: &Value<'_>) -> Option<HeaderValue> {
    let text = value.string("a string")?;
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    match HeaderValue::from_str(text) {
        Ok(header) if visible && text.len() <= MAX_VALUE => Some(header),
        Ok(_) | Err(_) => {
            value.wrong(&format!("this is no header value; write at most {MAX_VALUE} ASCII characters"))
        }
    }
}

fn no_name(text: &str) -> String {
    format!("\"{}\" is not the name of a header; write letters, digits and `-`", shown(text))
}

fn of_the_connection(name: &HeaderName) -> String {
    format!("the header `{name}` belongs to the connection and is written with it; remove it")
}
