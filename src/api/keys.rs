//! Idempotency keys: who asks twice with the same key is answered once.
//!
//! A key holds for one client, connection and operation. What was asked for with it is told apart by a fingerprint of
//! the operation, the version if the caller named one, and the input with its members in order and without blanks.

use actix_web::HttpRequest;
use actix_web::http::header::HeaderName;
use causeway_actors::metric::{Labels, Metric};
use causeway_actors::store::Claim;
use causeway_core::idempotency::canonical;
use causeway_core::json::Json;
use causeway_core::name::{ClientName, OperationName};
use sha2::{Digest, Sha256};

use super::problem::{Code, Problem};
use crate::settings::{KeyMode, KeySettings};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest key, in characters.
const MAX_KEY: usize = 255;

/// The key of a request, as far as its operation takes one.
pub(super) fn key(
    request: &HttpRequest,
    operation: &OperationName,
    keys: KeySettings,
) -> Result<Option<String>, Problem> {
    let mut given = request.headers().get_all(KEY);
    let (first, more) = (given.next(), given.next());
    let text = match (first, more) {
        (_, Some(_)) => return Err(malformed()),
        (Some(value), None) => Some(value.to_str().map_err(|_| malformed())?.trim()),
        (None, None) => None,
    };
    match (keys.mode, text) {
        (KeyMode::Off, _) | (KeyMode::Optional, None) => Ok(None),
        (KeyMode::Required, None) => {
            let detail = format!(
                "`{operation}` is only run with the header `Idempotency-Key`: send one that is new for each charge, \
                 order or whatever is meant, and the same when you ask again"
            );
            Err(Problem::new(Code::IdempotencyKeyRequired, detail))
        }
        (KeyMode::Required | KeyMode::Optional, Some(text)) => unquoted(text).map(Some),
    }
}

/// A key may stand in quotes, as a structured field has it (RFC 8941), or bare.
fn unquoted(text: &str) -> Result<String, Problem> {
    let key = match text.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"').ok_or_else(malformed)?,
        None => text,
    };
    let fits = (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if fits && !key.contains('"') { Ok(key.to_owned()) } else { Err(malformed()) }
}

fn malformed() -> Problem {
    let detail = "`Idempotency-Key` is 1 to 255 visible ASCII characters, in quotes or bare, once";
    Problem::new(Code::MalformedRequest, detail)
}

/// What a key claims.
pub(super) fn claim(
    key: &str,
    client: Option<&ClientName>,
    operation: &OperationName,
    version: Option<u32>,
    input: &Json,
    keys: KeySettings,
) -> Claim {
    let scope = digest(&[client.map_or("", ClientName::as_str), "", operation.as_str(), key]);
    let version = version.map_or_else(String::new, |version| version.to_string());
    let fingerprint = digest(&[operation.as_str(), &version, &canonical(input)]);
    Claim { scope, fingerprint, retention: keys.retention }
}

/// No part can be taken for the end of another: each begins with its length.
fn digest(parts: &[&str]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().into()
}

/// Counts what became of a key.
pub(super) fn count(operation: &OperationName, result: &'static str) {
    let labels = Labels::none().named("operation", operation.shared()).word("result", result);
    Metric::Idempotency.counter(&labels).increment(1);
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use bytes::Bytes;

    use super::*;

    fn asked(values: &[&str], mode: KeyMode) -> Result<Option<String>, String> {
        let mut request = TestRequest::default();
        for value in values {
            request = request.append_header((KEY, *value));
        }
        let keys = KeySettings { mode, ..KeySettings::default() };
        key(&request.to_http_request(), &OperationName::new("a").unwrap(), keys)
            .map_err(|problem| problem.to_string().split(':').next().unwrap().to_owned())
    }

    #[test]
    fn a_key_is_quoted_or_bare() {
        for (written, key) in
            [("k", "k"), ("\"k\"", "k"), (" a/b=c ", "a/b=c"), (&"x".repeat(255), &"x".repeat(255))]
        {
            assert_eq!(asked(&[written], KeyMode::Optional), Ok(Some(key.to_owned())), "{written}");
        }
        for wrong in ["", "\"\"", "\"k", "k\"", "a b", "a\"b", &"x".repeat(256)] {
            assert_eq!(asked(&[wrong], KeyMode::Optional), Err("malformed_request".to_owned()), "{wrong}");
        }
        assert_eq!(asked(&["a", "b"], KeyMode::Optional), Err("malformed_request".to_owned()));
    }

    #[test]
    fn whether_there_must_be_one_is_the_operations_to_say() {
        assert_eq!(asked(&[], KeyMode::Optional), Ok(None));
        assert_eq!(asked(&[], KeyMode::Off), Ok(None));
        assert_eq!(asked(&["k"], KeyMode::Off), Ok(None));
        assert_eq!(asked(&[], KeyMode::Required), Err("idempotency_key_required".to_owned()));
        assert_eq!(asked(&["k"], KeyMode::Required), Ok(Some("k".to_owned())));
    }

    #[test]
    fn what_differs_is_another_claim() {
        let json = |text: &'static str| Json::parse(Bytes::from_static(text.as_bytes())).unwrap();
        let (operation, other) = (OperationName::new("a").unwrap(), OperationName::new("b").unwrap());
        let client = ClientName::new("checkout").unwrap();
        let keys = KeySettings::default();
        let base = claim("k", None, &operation, None, &json("{\"a\":1,\"b\":2}"), keys);
        assert_eq!(claim("k", None, &operation, None, &json("{ \"b\":2, \"a\":1 }"), keys), base);
        for different in [
            claim("l", None, &operation, None, &Json::NULL, keys),
            claim("k", Some(&client), &operation, None, &Json::NULL, keys),
            claim("k", None, &other, None, &Json::NULL, keys),
        ] {
            assert_ne!(different.scope, base.scope);
        }
        for different in [
            claim("k", None, &operation, Some(1), &json("{\"a\":1,\"b\":2}"), keys),
            claim("k", None, &operation, None, &json("{\"a\":1,\"b\":3}"), keys),
        ] {
            assert_eq!(different.scope, base.scope);
            assert_ne!(different.fingerprint, base.fingerprint);
        }
    }
}
