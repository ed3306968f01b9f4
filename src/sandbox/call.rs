//! One request as the provider reads it: whole, and with its fields parsed from JSON or a form.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::answer::Refusal;

/// The longest idempotency key, and the longest text that a charge keeps, in bytes.
const MAX_TEXT: usize = 255;

/// A whole request.
#[derive(Debug)]
pub(super) struct Call {
    /// The method.
    pub(super) method: Method,
    /// The path, as sent.
    pub(super) path: String,
    /// `Idempotency-Key`, as sent.
    pub(super) key: Option<String>,
    query: String,
    bearer: Option<Bytes>,
    form: bool,
    body: Bytes,
}

/// What a charge is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// In the currency's smallest unit; at least 1.
    pub(super) amount: u64,
    /// Three lower-case letters.
    pub(super) currency: String,
    /// What is charged.
    pub(super) source: String,
    /// The caller's own name for it.
    pub(super) reference: Option<String>,
}

impl Call {
    /// Puts a request's head and its body together.
    pub(super) fn new(parts: &Parts, body: Bytes) -> Self {
        let content_type = parts.headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let form = b"application/x-www-form-urlencoded";
        Self {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            key: key_of(parts),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            bearer: bearer_of(parts),
            form: content_type.get(..form.len()).is_some_and(|start| start.eq_ignore_ascii_case(form)),
            body,
        }
    }

    /// Whether the request carries `key` as its bearer token.
    pub(super) fn carries(&self, key: &str) -> bool {
        self.bearer.as_deref() == Some(key.as_bytes())
    }

    /// What two requests with one key must share to be the same request.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.path, self.form, &self.body).hash(&mut hasher);
        hasher.finish()
    }

    /// The first value of a query parameter.
    pub(super) fn parameter(&self, name: &str) -> Result<Option<String>, Refusal> {
        let found = pairs(&self.query)?.into_iter().find(|(key, _)| key == name);
        Ok(found.map(|(_, value)| value))
    }

    /// The key, if it is one a provider takes.
    pub(super) fn checked_key(&self) -> Result<Option<&str>, Refusal> {
        match self.key.as_deref() {
            Some(key) if key.is_empty() || key.len() > MAX_TEXT => Err(bad(
                "idempotency_key_invalid",
                format!("Idempotency-Key must have 1 to {MAX_TEXT} characters"),
            )),
            key => Ok(key),
        }
    }

    /// The charge that the body asks for.
    pub(super) fn order(&self) -> Result<Order, Refusal> {
        let fields = self.fields()?;
        let amount = fields.get("amount").and_then(Value::as_u64).filter(|amount| *amount > 0);
        let amount = amount.ok_or_else(|| bad("amount_invalid", "amount must be a positive integer"))?;
        let currency = text(&fields, "currency")?.filter(|currency| is_currency(currency));
        let currency =
            currency.ok_or_else(|| bad("currency_invalid", "currency must be three letters, such as usd"))?;
        let source = text(&fields, "source")?.filter(|source| !source.is_empty());
        let source = source
            .ok_or_else(|| bad("source_missing", "source must name what to charge, such as tok_visa"))?;
        let reference = text(&fields, "reference")?.map(str::to_owned);
        Ok(Order { amount, currency: currency.to_ascii_lowercase(), source: source.to_owned(), reference })
    }

    /// All parameters of the query.
    pub(super) fn parameters(&self) -> Result<Vec<(String, String)>, Refusal> {
        pairs(&self.query)
    }

    /// The fields of the body.
    pub(super) fn fields(&self) -> Result<Map<String, Value>, Refusal> {
        if !self.form {
            return serde_json::from_slice(&self.body).map_err(|error| {
                bad("body_unreadable", format!("the body must be a JSON object (or a form): {error}"))
            });
        }
        let body = std::str::from_utf8(&self.body);
        let body = body.map_err(|_| bad("body_unreadable", "the form must be UTF-8"))?;
        Ok(pairs(body)?.into_iter().map(|(name, value)| typed(name, value)).collect())
    }
}

/// `Idempotency-Key`, for the ledger and the provider alike.
pub(super) fn key_of(parts: &Parts) -> Option<String> {
    let value = parts.headers.get("idempotency-key")?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn bearer_of(parts: &Parts) -> Option<Bytes> {
    let value = parts.headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| Bytes::copy_from_slice(token))
}

/// A form has only texts; its amount is read as the number it stands for.
fn typed(name: String, value: String) -> (String, Value) {
    match value.parse::<u64>() {
        Ok(number) if name == "amount" => (name, number.into()),
        _ => (name, value.into()),
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Refusal> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= MAX_TEXT => Ok(Some(text)),
        Some(_) => {
            Err(bad("parameter_invalid", format!("{name} must be a text of at most {MAX_TEXT} bytes")))
        }
    }
}

fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn pairs(encoded: &str) -> Result<Vec<(String, String)>, Refusal> {
    let pairs = encoded.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(n, v)| Ok((decode(n)?, decode(v)?)))
        .collect()
}

fn decode(encoded: &str) -> Result<String, Refusal> {
    let spaced = encoded.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned);
    decoded.map_err(|_| bad("encoding_invalid", "percent-encoded text must be UTF-8"))
}

fn bad(code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal::invalid(StatusCode::BAD_REQUEST, code, message)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn call(content_type: &str, body: &'static [u8]) -> Call {
        let request =
            Request::post("/v1/charges?reference=a%20b&reference=c").header(CONTENT_TYPE, content_type);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Call::new(&parts, Bytes::from_static(body))
    }

    #[test]
    fn json_and_a_form_ask_for_the_same_charge() {
        let json = call(
            "application/json",
            br#"{"amount":100,"currency":"USD","source":"tok_visa","reference":"r 1"}"#,
        );
        let form = call(
            "application/x-www-form-urlencoded; charset=utf-8",
            b"amount=100&currency=usd&source=tok_visa&reference=r+%31&x",
        );
        let order = json.order().unwrap();
        assert_eq!(order, form.order().unwrap());
        assert_eq!(
            (order.amount, order.currency.as_str(), order.reference.as_deref()),
            (100, "usd", Some("r 1"))
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases: [(&'static [u8], &str); 10] = [
            (b"", "body_unreadable"),
            (b"[1]", "body_unreadable"),
            (b"{\"amount\":1", "body_unreadable"),
            (b"{\"amount\":\xff}", "body_unreadable"),
            (br#"{"amount":0,"currency":"usd","source":"t"}"#, "amount_invalid"),
            (br#"{"amount":-1,"currency":"usd","source":"t"}"#, "amount_invalid"),
            (br#"{"amount":1.5,"currency":"usd","source":"t"}"#, "amount_invalid"),
            (br#"{"amount":"1","currency":"usd","source":"t"}"#, "amount_invalid"),
            (br#"{"amount":1,"currency":"dollars","source":"t"}"#, "currency_invalid"),
            (br#"{"amount":1,"currency":"usd"}"#, "source_missing"),
        ];
        for (body, code) in cases {
            assert_eq!(call("application/json", body).order().unwrap_err().code, code);
        }
    }

    #[test]
    fn deep_nesting_is_refused_not_followed() {
        let deep: &'static [u8] = vec![b'['; 100_000].leak();
        assert_eq!(call("application/json", deep).order().unwrap_err().code, "body_unreadable");
    }

    #[test]
    fn a_query_parameter_is_decoded_and_the_first_counts() {
        let call = call("", b"");
        assert_eq!(call.parameter("reference").unwrap().as_deref(), Some("a b"));
        assert_eq!(call.parameter("limit").unwrap(), None);
    }

    #[test]
    fn other_bytes_have_another_fingerprint() {
        assert_eq!(call("", b"a").fingerprint(), call("", b"a").fingerprint());
        assert_ne!(call("", b"a").fingerprint(), call("", b"b").fingerprint());
    }
}
