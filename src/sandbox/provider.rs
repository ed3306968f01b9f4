//! The providers themselves, when they are well: a request in, an answer out, no sockets and no time of their own.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/charges` `{amount, currency, source, reference?}` | 200 with the charge; 402 for `tok_declined`; 400 with what is wrong |
//! | `GET /v1/charges/{id}` | 200 with the charge, or 404 |
//! | `GET /v1/charges?reference=…` | 200 with a list, newest first, at most 100 |
//! | `GET /v1/balance` | 200 with the sum of the charges by currency |
//! | `GET /v1/ping` | 200 with 299 bytes |
//! | refunds, customers, messages, contacts, invoices, checks | as `objects` says |
//!
//! A request that does something is handled in two moves, so that time can pass between them: [`Provider::admit`] claims its
//! idempotency key, [`Provider::act`] does it and settles the key.

use std::sync::LazyLock;

use bytes::Bytes;
use causeway_core::time::{Mono, Now};
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::Options;
use super::answer::{self, Answer, Refusal};
use super::call::{Call, Order};
use super::charges::{Charges, document};
use super::keys::Keys;
use super::ledger::Effect;
use super::objects::{self, Kind, Objects, REFUND};

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
    objects: Objects,
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
    /// What was asked for, once [`Provider::act`] is told so.
    Act(Ticket),
}

/// The right to do one thing.
#[derive(Debug)]
pub(super) struct Ticket {
    deed: Deed,
    key: Option<String>,
    epoch: u64,
}

/// What is to be done.
#[derive(Debug)]
enum Deed {
    Charge(Order),
    Create(&'static Kind, Map<String, Value>),
    Change(&'static Kind, String, Map<String, Value>),
}

impl Provider {
    /// A provider without charges, which keeps `capacity` of them and as many keys.
    pub(super) fn new(options: Options, capacity: usize) -> Self {
        let charges = Charges::new(options.seed, capacity);
        let objects = Objects::new(options.seed, capacity);
        Self { options, charges, objects, keys: Keys::new(capacity), capacity, epoch: 0 }
    }

    /// Checks a request, and claims its key if it asks for something to be done.
    pub(super) fn admit(&mut self, call: &Call, now: Mono) -> Admission {
        if let Some(key) = &self.options.key
            && !call.carries(key.expose_secret())
        {
            return Admission::Answer(unauthorised());
        }
        let at = objects::at(&call.path);
        let deed = match (call.method.as_str(), call.path.as_str(), at) {
            ("POST", "/v1/charges", _) => call.order().map(Deed::Charge),
            ("POST", _, Some((kind, None))) => self.creation(call, kind),
            ("PATCH", _, Some((kind, Some(id)))) if kind.changes() => {
                let fields = call.fields().and_then(|fields| kind.read(fields, false));
                fields.map(|fields| Deed::Change(kind, id.to_owned(), fields))
            }
            ("GET" | "HEAD", path, _) => {
                return Admission::Answer(self.read(call, path, now).unwrap_or_else(Answer::from));
            }
            (_, path, _) => return Admission::Answer(unknown(path)),
        };
        let admitted = deed.and_then(|deed| self.claim(call, deed));
        admitted.unwrap_or_else(|refusal| Admission::Answer(refusal.into()))
    }

    fn creation(&self, call: &Call, kind: &'static Kind) -> Result<Deed, Refusal> {
        let mut fields = kind.read(call.fields()?, true)?;
        if kind.object == REFUND {
            let id = fields.get("charge").and_then(Value::as_str).unwrap_or_default();
            let charge = self.charges.get(id).ok_or_else(|| no_charge(id))?;
            let left = charge.amount.saturating_sub(self.objects.refunded(id));
            let amount = fields.get("amount").and_then(Value::as_u64).unwrap_or(left);
            if amount > left || amount == 0 {
                let message = format!("{left} is left of the charge to be refunded");
                return Err(Refusal::invalid(StatusCode::BAD_REQUEST, "charge_already_refunded", message));
            }
            fields.insert("amount".to_owned(), json!(amount));
            fields.insert("currency".to_owned(), json!(charge.currency));
        }
        Ok(Deed::Create(kind, fields))
    }

    /// Does what `ticket` allows, which arrival number `arrival` asked for; `None` after a reset.
    pub(super) fn act(&mut self, ticket: Ticket, arrival: u64, now: Now) -> Option<Answer> {
        let Ticket { deed, key, epoch } = ticket;
        if epoch != self.epoch {
            return None;
        }
        let answer = match deed {
            Deed::Charge(order) if order.source == "tok_declined" => declined(),
            Deed::Charge(order) => {
                let charge = self.charges.create(order, key.clone(), arrival, now);
                answer::json(StatusCode::OK, &document(charge))
            }
            Deed::Create(kind, fields) => {
                let made = self.objects.create(kind, fields, key.clone(), arrival, now);
                answer::json(kind.created(), &made)
            }
            Deed::Change(kind, id, fields) => {
                match self.objects.change(&id, fields, key.clone(), arrival, now) {
                    Some(changed) => answer::json(StatusCode::OK, &changed),
                    None => missing(kind, &id).into(),
                }
            }
        };
        if let Some(key) = key.filter(|_| !self.options.ignores_keys) {
            self.keys.settle(&key, &answer);
        }
        Some(answer)
    }

    /// Forgets everything that was done, and the keys; ids begin again.
    pub(super) fn reset(&mut self) {
        self.charges = Charges::new(self.options.seed, self.capacity);
        self.objects = Objects::new(self.options.seed, self.capacity);
        self.keys = Keys::new(self.capacity);
        self.epoch += 1;
    }

    /// What was done, oldest first, and how much of it made room.
    pub(super) fn effects(&self) -> (Vec<Effect>, u64) {
        let mut effects = self.charges.kept();
        effects.extend(self.objects.effects().cloned());
        effects.sort_by_key(|effect| effect.at_us);
        (effects, self.charges.dropped() + self.objects.dropped())
    }

    fn claim(&mut self, call: &Call, deed: Deed) -> Result<Admission, Refusal> {
        let key = call.checked_key()?;
        let claimed = key.filter(|_| !self.options.ignores_keys);
        if let Some(answer) = claimed.and_then(|key| self.keys.claim(key, call.fingerprint())) {
            return Ok(Admission::Answer(answer));
        }
        Ok(Admission::Act(Ticket { deed, key: key.map(str::to_owned), epoch: self.epoch }))
    }

    fn read(&self, call: &Call, path: &str, now: Mono) -> Result<Answer, Refusal> {
        match objects::at(path) {
            Some((kind, Some(id))) => {
                let found = self.objects.get(kind, id, now).ok_or_else(|| missing(kind, id))?;
                return Ok(answer::json(StatusCode::OK, &found));
            }
            Some((kind, None)) => {
                let (data, more) = self.objects.newest(kind, &call.parameters()?, now);
                return Ok(answer::json(
                    StatusCode::OK,
                    &json!({ "object": "list", "data": data, "has_more": more }),
                ));
            }
            None => {}
        }
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
        let charge = self.charges.get(id).ok_or_else(|| no_charge(id))?;
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

fn no_charge(id: &str) -> Refusal {
    let message = format!("there is no charge with the id `{id}`");
    Refusal::invalid(StatusCode::NOT_FOUND, "resource_missing", message)
}

fn missing(kind: &Kind, id: &str) -> Refusal {
    let message = format!("there is no {} with the id `{id}`", kind.object);
    Refusal::invalid(StatusCode::NOT_FOUND, "resource_missing", message)
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
    let of_object = objects::at(path).map(|(kind, id)| kind.allowed(id));
    let allowed = match path {
        _ if of_object.is_some() => of_object.unwrap_or_default(),
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
        let answer = match provider.admit(call, Mono::default()) {
            Admission::Answer(answer) => answer,
            Admission::Act(ticket) => provider.act(ticket, 1, Now::default()).unwrap(),
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
    fn no_more_is_refunded_than_was_charged() {
        let mut provider = well();
        let id = charge(&mut provider, None, GOOD).1["id"].clone();
        let mut refund = |key: &str, body: Value| {
            let call = call(Method::POST, "/v1/refunds", &[("Idempotency-Key", key)], &body.to_string());
            let (status, document) = answered(&mut provider, &call);
            (status, document["amount"].clone(), document["error"]["code"].clone())
        };
        let null = Value::Null;
        assert_eq!(refund("a", json!({ "charge": id, "amount": 30 })), (200, json!(30), null.clone()));
        assert_eq!(refund("a", json!({ "charge": id, "amount": 30 })), (200, json!(30), null.clone()));
        assert_eq!(
            refund("b", json!({ "charge": id, "amount": 71 })),
            (400, null.clone(), json!("charge_already_refunded"))
        );
        assert_eq!(refund("c", json!({ "charge": id })), (200, json!(70), null.clone()), "what is left");
        assert_eq!(refund("d", json!({ "charge": id })).0, 400);
        assert_eq!(refund("e", json!({ "charge": "ch_0" })), (404, null, json!("resource_missing")));
        let kinds: Vec<String> = provider.effects().0.into_iter().map(|effect| effect.kind).collect();
        assert_eq!(kinds, ["charge", "refund", "refund"]);
    }

    #[test]
    fn other_objects_are_made_changed_and_found() {
        let mut provider = well();
        let ada = r#"{"email":"ada@example.com","stage":"lead"}"#;
        let (status, contact) = answered(&mut provider, &call(Method::POST, "/v1/contacts", &[], ada));
        assert_eq!((status, &contact["stage"]), (201, &json!("lead")));
        let path = format!("/v1/contacts/{}", contact["id"].as_str().unwrap());
        let change = call(Method::PATCH, &path, &[], r#"{"stage":"won"}"#);
        assert_eq!(answered(&mut provider, &change).1["stage"], "won");
        let (_, list) = get(&mut provider, "/v1/contacts?email=ada%40example.com&stage=won");
        assert_eq!(list["data"][0]["id"], contact["id"]);
        assert_eq!(get(&mut provider, "/v1/contacts?stage=lead").1["data"], json!([]));
        let change = call(Method::PATCH, "/v1/contacts/con_0", &[], "{}");
        assert_eq!(answered(&mut provider, &change).0, 404);
        for (method, path, allow) in [
            (Method::DELETE, "/v1/contacts", "GET, HEAD, POST"),
            (Method::PUT, &*path, "GET, HEAD, PATCH"),
            (Method::PATCH, "/v1/messages/msg_0", "GET, HEAD"),
        ] {
            let Admission::Answer(answer) = provider.admit(&call(method, path, &[], "{}"), Mono::default())
            else {
                panic!("{path}")
            };
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()[ALLOW]),
                (405, &HeaderValue::from_static(allow))
            );
        }
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
        let Admission::Act(ticket) =
            provider.admit(&call(Method::POST, "/v1/charges", &[], GOOD), Mono::default())
        else {
            panic!("a good request was not admitted");
        };
        provider.reset();
        assert!(provider.act(ticket, 1, Now::default()).is_none());
        assert!(provider.effects().0.is_empty());
    }
}
