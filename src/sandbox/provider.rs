//! The payments provider itself, when it is well: a request in, an answer out, no sockets and no time of its own.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/charges` `{amount, currency, source, reference?}` | 200 with the charge; 402 for `tok_declined`; 400 with what is wrong |
//! | `GET /v1/charges/{id}` | 200 with the charge, or 404 |
//! | `GET /v1/charges?reference=…` | 200 with a list, newest first, at most 100 |
//! | `GET /v1/balance` | 200 with the sum of the charges by currency |
//! | `GET /v1/ping` | 200 with 299 bytes |
//!
//! A request for a charge is handled in two moves, so that time can pass between them: [`Provider::admit`] claims its
//! idempotency key, [`Provider::act`] creates the charge and settles the key.

use std::sync::LazyLock;

use bytes::Bytes;
use causeway_core::time::Now;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use secrecy::ExposeSecret;
use serde_json::json;

use super::Options;
use super::answer::{self, Answer, Refusal};
use super::call::{Call, Order};
use super::charges::{Charges, document};
use super::keys::Keys;
use super::ledger::Effect;

/// The length of a ping's body.
const PING_LENGTH: usize = 299;

static PING: LazyLock<Bytes> = LazyLock::new(|| {
    let (head, tail) = (r#"{"object":"ping","ok":true,"padding":""#, r#""}"#);
    Bytes::from(format!("{head}{}{tail}", "x".repeat(PING_LENGTH - head.len() - tail.len())))
});

/// The provider's state.
#[derive(Debug)]
pub(super) struct Provider {
    options: Options,
    charges: Charges,
    keys: Keys,
    capacity: usize,
    /// Counts resets: what was admitted before one does nothing after it.
    epoch: u64,
}

/// What comes of a request.
#[derive(Debug)]
pub(super) enum Admission {
    /// This answer, and no effect.
    Answer(Answer),
    /// A charge, once [`Provider::act`] is told so.
    Charge(Ticket),
}

/// The right to create one charge.
#[derive(Debug)]
pub(super) struct Ticket {
    order: Order,
    key: Option<String>,
    epoch: u64,
}

impl Provider {
    /// A provider without charges, which keeps `capacity` of them and as many keys.
    pub(super) fn new(options: Options, capacity: usize) -> Self {
        let charges = Charges::new(options.seed, capacity);
        Self { options, charges, keys: Keys::new(capacity), capacity, epoch: 0 }
    }

    /// Checks a request, and claims its key if it asks for a charge.
    pub(super) fn admit(&mut self, call: &Call) -> Admission {
        if let Some(key) = &self.options.key
            && !call.carries(key.expose_secret())
        {
            return Admission::Answer(unauthorised());
        }
        match (call.method.as_str(), call.path.as_str()) {
            ("POST", "/v1/charges") => {
                self.admit_charge(call).unwrap_or_else(|refusal| Admission::Answer(refusal.into()))
            }
            ("GET" | "HEAD", path) => Admission::Answer(self.read(call, path).unwrap_or_else(Answer::from)),
            (_, path) => Admission::Answer(unknown(path)),
        }
    }

    /// Creates the charge of `ticket`, which arrival number `arrival` asked for; `None` after a reset.
    pub(super) fn act(&mut self, ticket: Ticket, arrival: u64, now: Now) -> Option<Answer> {
        let Ticket { order, key, epoch } = ticket;
        if epoch != self.epoch {
            return None;
        }
        let answer = if order.source == "tok_declined" {
            declined()
        } else {
            answer::json(StatusCode::OK, &document(self.charges.create(order, key.clone(), arrival, now)))
        };
        if let Some(key) = key.filter(|_| !self.options.ignores_keys) {
            self.keys.settle(&key, &answer);
        }
        Some(answer)
    }

    /// Forgets all charges and keys; ids begin again.
    pub(super) fn reset(&mut self) {
        self.charges = Charges::new(self.options.seed, self.capacity);
        self.keys = Keys::new(self.capacity);
        self.epoch += 1;
    }

    /// The charges kept, and how many made room.
    pub(super) fn effects(&self) -> (Vec<Effect>, u64) {
        (self.charges.kept(), self.charges.dropped())
    }

    fn admit_charge(&mut self, call: &Call) -> Result<Admission, Refusal> {
        let key = call.checked_key()?;
        let order = call.order()?;
        let claimed = key.filter(|_| !self.options.ignores_keys);
        if let Some(answer) = claimed.and_then(|key| self.keys.claim(key, call.fingerprint())) {
            return Ok(Admission::Answer(answer));
        }
        Ok(Admission::Charge(Ticket { order, key: key.map(str::to_owned), epoch: self.epoch }))
    }

    fn read(&self, call: &Call, path: &str) -> Result<Answer, Refusal> {
        match path {
            "/v1/ping" => Ok(ping()),
            "/v1/balance" => Ok(self.balance()),
            "/v1/charges" => self.list(call),
            _ => match path.strip_prefix("/v1/charges/") {
                Some(id) => self.charge(id),
                None => Ok(unknown(path)),
            },
        }
    }

    fn charge(&self, id: &str) -> Result<Answer, Refusal> {
        let charge = self.charges.get(id).ok_or_else(|| {
            let message = format!("there is no charge with the id `{id}`");
            Refusal::invalid(StatusCode::NOT_FOUND, "resource_missing", message)
        })?;
        Ok(answer::json(StatusCode::OK, &document(charge)))
    }

    fn list(&self, call: &Call) -> Result<Answer, Refusal> {
        let reference = call.parameter("reference")?;
        let (found, more) = self.charges.newest(reference.as_deref());
        let data: Vec<_> = found.into_iter().map(document).collect();
        Ok(answer::json(StatusCode::OK, &json!({ "object": "list", "data": data, "has_more": more })))
    }

    fn balance(&self) -> Answer {
        let sums = self.charges.totals().iter();
        let available: Vec<_> =
            sums.map(|(currency, amount)| json!({ "amount": amount, "currency": currency })).collect();
        answer::json(StatusCode::OK, &json!({ "object": "balance", "available": available }))
    }
}

/// The answer to a ping, which changes nothing and needs nothing.
pub(super) fn ping() -> Answer {
    let mut answer = Response::new(PING.clone());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn unauthorised() -> Answer {
    let message = "the bearer token in Authorization is missing or wrong".to_owned();
    let (status, kind, code) = (StatusCode::UNAUTHORIZED, "authentication_error", "invalid_api_key");
    let mut answer = Answer::from(Refusal { status, kind, code, message });
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}

fn declined() -> Answer {
    let message = "the card was declined".to_owned();
    let (status, kind, code) = (StatusCode::PAYMENT_REQUIRED, "card_error", "card_declined");
    Refusal { status, kind, code, message }.into()
}

fn unknown(path: &str) -> Answer {
    let allowed = match path {
        "/v1/charges" => "GET, HEAD, POST",
        "/v1/ping" | "/v1/balance" => "GET, HEAD",
        _ if path.starts_with("/v1/charges/") => "GET, HEAD",
        _ => {
            let message = format!("nothing is served at `{path}`");
            return Refusal::invalid(StatusCode::NOT_FOUND, "url_unknown", message).into();
        }
    };
    let message = format!("`{path}` takes only {allowed}");
    let mut answer =
        Answer::from(Refusal::invalid(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

#[cfg(test)]
mod tests {
    use http::{Method, Request};
    use serde_json::Value;

    use super::*;

    const GOOD: &str = r#"{"amount":100,"currency":"usd","source":"tok_visa","reference":"r1"}"#;

    fn call(method: Method, target: &str, headers: &[(&str, &str)], body: &str) -> Call {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Call::new(&parts, Bytes::copy_from_slice(body.as_bytes()))
    }

    fn answered(provider: &mut Provider, call: &Call) -> (u16, Value) {
        let answer = match provider.admit(call) {
            Admission::Answer(answer) => answer,
            Admission::Charge(ticket) => provider.act(ticket, 1, Now::default()).unwrap(),
        };
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap())
    }

    fn charge(provider: &mut Provider, key: Option<&str>, body: &str) -> (u16, Value) {
        let headers: Vec<_> = key.map(|key| ("Idempotency-Key", key)).into_iter().collect();
        answered(provider, &call(Method::POST, "/v1/charges", &headers, body))
    }

    fn get(provider: &mut Provider, target: &str) -> (u16, Value) {
        answered(provider, &call(Method::GET, target, &[], ""))
    }

    fn well() -> Provider {
        Provider::new(Options::default(), 100)
    }

    #[test]
    fn a_charge_is_created_and_found_again() {
        let mut provider = well();
        let (status, created) = charge(&mut provider, None, GOOD);
        assert_eq!(
            (status, &created["object"], &created["status"]),
            (200, &json!("charge"), &json!("succeeded"))
        );
        let id = created["id"].as_str().unwrap();
        assert_eq!(get(&mut provider, &format!("/v1/charges/{id}")), (200, created.clone()));
        let (_, list) = get(&mut provider, "/v1/charges?reference=r1");
        assert_eq!(list, json!({ "object": "list", "data": [created], "has_more": false }));
        let (_, balance) = get(&mut provider, "/v1/balance");
        assert_eq!(
            balance,
            json!({ "object": "balance", "available": [{ "amount": 100, "currency": "usd" }] })
        );
    }

    #[test]
    fn what_does_not_exist_is_said_so() {
        let mut provider = well();
        assert_eq!(get(&mut provider, "/v1/charges/ch_0").1["error"]["code"], "resource_missing");
        assert_eq!(get(&mut provider, "/v2").0, 404);
        assert_eq!(answered(&mut provider, &call(Method::DELETE, "/v1/ping", &[], "")).0, 405);
    }

    #[test]
    fn a_ping_has_299_bytes_of_json() {
        let answer = ping();
        assert_eq!(answer.body().len(), 299);
        assert_eq!(serde_json::from_slice::<Value>(answer.body()).unwrap()["ok"], true);
    }

    #[test]
    fn a_declined_card_has_no_effect_and_its_key_remembers() {
        let mut provider = well();
        let body = GOOD.replace("tok_visa", "tok_declined");
        let (status, error) = charge(&mut provider, Some("k"), &body);
        assert_eq!((status, &error["error"]["code"]), (402, &json!("card_declined")));
        assert_eq!(charge(&mut provider, Some("k"), &body), (402, error));
        assert!(provider.effects().0.is_empty());
    }

    #[test]
    fn a_malformed_request_leaves_its_key_free() {
        let mut provider = well();
        assert_eq!(charge(&mut provider, Some("k"), "{").0, 400);
        assert_eq!(charge(&mut provider, Some("k"), GOOD).0, 200);
        assert_eq!(charge(&mut provider, Some(""), GOOD).0, 400);
        assert_eq!(charge(&mut provider, Some(&"k".repeat(256)), GOOD).0, 400);
    }

    #[test]
    fn one_key_makes_one_charge_unless_the_provider_ignores_keys() {
        let mut provider = well();
        let first = charge(&mut provider, Some("k"), GOOD);
        assert_eq!(charge(&mut provider, Some("k"), GOOD), first);
        assert_eq!(provider.effects().0.len(), 1);

        let mut keyless = Provider::new(Options { ignores_keys: true, ..Options::default() }, 100);
        let first = charge(&mut keyless, Some("k"), GOOD);
        assert_ne!(charge(&mut keyless, Some("k"), GOOD).1["id"], first.1["id"]);
        let (effects, _) = keyless.effects();
        assert_eq!((effects.len(), effects[1].key.as_deref()), (2, Some("k")));
    }

    #[test]
    fn a_wrong_bearer_token_is_refused_before_anything_else() {
        let mut provider = Provider::new(Options { key: Some("sk_1".into()), ..Options::default() }, 100);
        for authorization in ["Bearer sk_2", "Bearer sk_1x", "Basic sk_1", "Bearer"] {
            let call = call(Method::POST, "/v1/charges", &[("Authorization", authorization)], GOOD);
            assert_eq!(answered(&mut provider, &call).0, 401, "{authorization}");
        }
        assert_eq!(charge(&mut provider, None, GOOD).0, 401);
        let call = call(Method::POST, "/v1/charges", &[("Authorization", "bearer sk_1")], GOOD);
        assert_eq!(answered(&mut provider, &call).0, 200);
    }

    #[test]
    fn what_was_admitted_before_a_reset_does_nothing_after_it() {
        let mut provider = well();
        let Admission::Charge(ticket) = provider.admit(&call(Method::POST, "/v1/charges", &[], GOOD)) else {
            panic!("a good request was not admitted");
        };
        provider.reset();
        assert!(provider.act(ticket, 1, Now::default()).is_none());
        assert!(provider.effects().0.is_empty());
    }
}
