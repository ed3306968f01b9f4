//! What the simulated providers hold besides charges: refunds and customers, messages, contacts, invoices, identity
//! checks. One table says what each is made of; a line more is another kind of object.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/refunds` `{charge, amount?, reason?}` | 200; 400 beyond what is left of the charge |
//! | `POST /v1/customers` `{email, name?}` | 200 |
//! | `POST /v1/messages` `{to, subject, text?}` | 202, `queued`; `sent` a second later |
//! | `POST /v1/contacts` `{email, name?, company?, stage?}` | 201; `PATCH /v1/contacts/{id}` changes it |
//! | `POST /v1/invoices` `{customer, amount, currency, reference?}` | 201, `open`; `PATCH` changes its `status` |
//! | `POST /v1/checks` `{name, document}` | 202, `pending`; two seconds later `clear`, or `consider` for the document `refused` |
//! | `GET` of each with its id, or with `?field=value` | the object, or 404; a list, newest first, at most 100 |

use std::collections::{HashMap, VecDeque};

use causeway_core::time::{Mono, Now};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::charges::PAGE;
use super::ledger::{Effect, micros};
use super::mix;

/// The longest text that an object keeps, in bytes.
const MAX_TEXT: usize = 1024;

/// A kind of object.
#[derive(Debug)]
pub(super) struct Kind {
    /// Where it is created and listed.
    pub(super) path: &'static str,
    /// Its name in its documents and in the ledger.
    pub(super) object: &'static str,
    prefix: &'static str,
    created: StatusCode,
    status: &'static str,
    /// What it becomes by itself, and how long that takes in milliseconds.
    becomes: Option<(&'static str, u64)>,
    fields: &'static [Field],
    changes: bool,
}

#[derive(Debug)]
struct Field {
    name: &'static str,
    form: Form,
    required: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    /// A text with an `@` in it.
    Address,
    /// A positive integer.
    Amount,
}

const fn must(name: &'static str, form: Form) -> Field {
    Field { name, form, required: true }
}

const fn may(name: &'static str, form: Form) -> Field {
    Field { name, form, required: false }
}

/// What refunds refer to.
pub(super) const REFUND: &str = "refund";

const KINDS: [Kind; 6] = [
    Kind {
        path: "/v1/refunds",
        object: REFUND,
        prefix: "re",
        created: StatusCode::OK,
        status: "succeeded",
        becomes: None,
        fields: &[must("charge", Form::Text), may("amount", Form::Amount), may("reason", Form::Text)],
        changes: false,
    },
    Kind {
        path: "/v1/customers",
        object: "customer",
        prefix: "cus",
        created: StatusCode::OK,
        status: "active",
        becomes: None,
        fields: &[must("email", Form::Address), may("name", Form::Text)],
        changes: false,
    },
    Kind {
        path: "/v1/messages",
        object: "message",
        prefix: "msg",
        created: StatusCode::ACCEPTED,
        status: "queued",
        becomes: Some(("sent", 1_000)),
        fields: &[must("to", Form::Address), must("subject", Form::Text), may("text", Form::Text)],
        changes: false,
    },
    Kind {
        path: "/v1/contacts",
        object: "contact",
        prefix: "con",
        created: StatusCode::CREATED,
        status: "active",
        becomes: None,
        fields: &[
            must("email", Form::Address),
            may("name", Form::Text),
            may("company", Form::Text),
            may("stage", Form::Text),
        ],
        changes: true,
    },
    Kind {
        path: "/v1/invoices",
        object: "invoice",
        prefix: "inv",
        created: StatusCode::CREATED,
        status: "open",
        becomes: None,
        fields: &[
            must("customer", Form::Text),
            must("amount", Form::Amount),
            must("currency", Form::Text),
            may("reference", Form::Text),
            may("status", Form::Text),
        ],
        changes: true,
    },
    Kind {
        path: "/v1/checks",
        object: "check",
        prefix: "chk",
        created: StatusCode::ACCEPTED,
        status: "pending",
        becomes: Some(("clear", 2_000)),
        fields: &[must("name", Form::Text), must("document", Form::Text)],
        changes: false,
    },
];

/// The kind that a path is about, and the object's id if it names one.
pub(super) fn at(path: &str) -> Option<(&'static Kind, Option<&str>)> {
    KINDS.iter().find_map(|kind| match path.strip_prefix(kind.path)? {
        "" => Some((kind, None)),
        rest => rest.strip_prefix('/').filter(|id| !id.is_empty()).map(|id| (kind, Some(id))),
    })
}

impl Kind {
    /// What may be sent to its path, or to one of its objects.
    pub(super) const fn allowed(&self, id: Option<&str>) -> &'static str {
        match (id, self.changes) {
            (None, _) => "GET, HEAD, POST",
            (Some(_), true) => "GET, HEAD, PATCH",
            (Some(_), false) => "GET, HEAD",
        }
    }

    pub(super) const fn changes(&self) -> bool {
        self.changes
    }

    pub(super) const fn created(&self) -> StatusCode {
        self.created
    }

    /// The fields of an object to be made, or of a change to one.
    pub(super) fn read(
        &self,
        mut given: Map<String, Value>,
        whole: bool,
    ) -> Result<Map<String, Value>, Refusal> {
        let mut read = Map::new();
        for field in self.fields {
            match given.remove(field.name) {
                None | Some(Value::Null) if whole && field.required => {
                    return Err(bad("parameter_missing", format!("{} is missing", field.name)));
                }
                None | Some(Value::Null) => {}
                Some(value) if field.form.takes(&value) => {
                    read.insert(field.name.to_owned(), value);
                }
                Some(_) => {
                    let form = field.form.words();
                    return Err(bad("parameter_invalid", format!("{} must be {form}", field.name)));
                }
            }
        }
        match given.keys().next() {
            Some(name) => Err(bad("parameter_unknown", format!("{} has no {name}", self.object))),
            None => Ok(read),
        }
    }
}

impl Form {
    fn takes(self, value: &Value) -> bool {
        match self {
            Self::Amount => value.as_u64().is_some_and(|amount| amount > 0),
            Self::Text => value.as_str().is_some_and(|text| (1..=MAX_TEXT).contains(&text.len())),
            Self::Address => value
                .as_str()
                .is_some_and(|text| text.len() <= MAX_TEXT && text.trim_matches('@').contains('@')),
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Amount => "a positive integer",
            Self::Text => "a text of 1 to 1024 bytes",
            Self::Address => "an e-mail address",
        }
    }
}

/// The objects of all kinds, oldest first.
#[derive(Debug)]
pub(super) struct Objects {
    seed: u64,
    created: u64,
    order: VecDeque<String>,
    by_id: HashMap<String, Object>,
    effects: VecDeque<Effect>,
    dropped: u64,
    capacity: usize,
}

#[derive(Debug)]
struct Object {
    kind: &'static Kind,
    document: Map<String, Value>,
    made: Mono,
}

impl Objects {
    /// None yet; the latest `capacity` will be kept. Equal seeds give equal ids.
    pub(super) fn new(seed: u64, capacity: usize) -> Self {
        let (order, by_id, effects) = (VecDeque::new(), HashMap::new(), VecDeque::new());
        Self { seed, created: 0, order, by_id, effects, dropped: 0, capacity }
    }

    /// Makes an object.
    pub(super) fn create(
        &mut self,
        kind: &'static Kind,
        fields: Map<String, Value>,
        key: Option<String>,
        arrival: u64,
        now: Now,
    ) -> Value {
        if self.order.len() >= self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
        let position = self.created;
        self.created += 1;
        let id = format!("{}_{:016x}{position:08x}", kind.prefix, mix(self.seed.wrapping_add(position)));
        let created = now.wall.unix_millis() / 1000;
        let mut document = Map::new();
        document.insert("id".to_owned(), json!(id));
        document.insert("object".to_owned(), json!(kind.object));
        document.insert("status".to_owned(), json!(kind.status));
        document.insert("created".to_owned(), json!(created));
        document.extend(fields);
        self.note(kind.object, &id, &document, key, arrival, now);
        self.order.push_back(id.clone());
        let object = Object { kind, document, made: now.mono };
        let shown = object.shown(now.mono);
        self.by_id.insert(id, object);
        shown
    }

    /// Changes an object; `None` if there is none.
    pub(super) fn change(
        &mut self,
        id: &str,
        fields: Map<String, Value>,
        key: Option<String>,
        arrival: u64,
        now: Now,
    ) -> Option<Value> {
        let object = self.by_id.get_mut(id)?;
        object.document.extend(fields);
        let (kind, document) = (object.kind, object.document.clone());
        let shown = object.shown(now.mono);
        self.note(&format!("{}.changed", kind.object), id, &document, key, arrival, now);
        Some(shown)
    }

    fn note(
        &mut self,
        kind: &str,
        id: &str,
        document: &Map<String, Value>,
        key: Option<String>,
        arrival: u64,
        now: Now,
    ) {
        if self.effects.len() >= self.capacity {
            self.effects.pop_front();
            self.dropped += 1;
        }
        let text = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
        self.effects.push_back(Effect {
            kind: kind.to_owned(),
            id: id.to_owned(),
            arrival,
            at_us: micros(now.mono),
            created: now.wall.unix_millis() / 1000,
            amount: document.get("amount").and_then(Value::as_u64).unwrap_or_default(),
            currency: text("currency").unwrap_or_default(),
            key,
            reference: text("reference").or_else(|| text("charge")),
        });
    }

    /// An object of this kind.
    pub(super) fn get(&self, kind: &Kind, id: &str, now: Mono) -> Option<Value> {
        let object = self.by_id.get(id).filter(|object| object.kind.object == kind.object)?;
        Some(object.shown(now))
    }

    /// The newest of a kind first, those whose `field` is `value`; at most [`PAGE`], and whether there are more.
    pub(super) fn newest(&self, kind: &Kind, wanted: &[(String, String)], now: Mono) -> (Vec<Value>, bool) {
        let has = |shown: &Value, (field, value): &(String, String)| {
            let number = value.parse::<u64>().ok();
            let shown = &shown[field.as_str()];
            shown.as_str() == Some(value) || (number.is_some() && shown.as_u64() == number)
        };
        let of_kind = self.order.iter().rev().filter_map(|id| self.by_id.get(id));
        let shown = of_kind.filter(|it| it.kind.object == kind.object).map(|it| it.shown(now));
        let mut found: Vec<Value> =
            shown.filter(|it| wanted.iter().all(|pair| has(it, pair))).take(PAGE + 1).collect();
        let more = found.len() > PAGE;
        found.truncate(PAGE);
        (found, more)
    }

    /// How much of a charge has been refunded.
    pub(super) fn refunded(&self, charge: &str) -> u64 {
        let of_charge =
            |effect: &&Effect| effect.kind == REFUND && effect.reference.as_deref() == Some(charge);
        self.effects.iter().filter(of_charge).map(|effect| effect.amount).sum()
    }

    /// What was done, oldest first.
    pub(super) fn effects(&self) -> impl Iterator<Item = &Effect> {
        self.effects.iter()
    }

    /// How many of these made room for later ones.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Object {
    fn shown(&self, now: Mono) -> Value {
        let mut document = self.document.clone();
        if let Some((status, after)) = self.kind.becomes
            && now.since(self.made).as_millis() >= u128::from(after)
        {
            let refused = document.get("document").is_some_and(|text| text == "refused");
            document.insert("status".to_owned(), json!(if refused { "consider" } else { status }));
        }
        Value::Object(document)
    }
}

fn bad(code: &'static str, message: String) -> Refusal {
    Refusal::invalid(StatusCode::BAD_REQUEST, code, message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use causeway_core::time::Wall;

    use super::*;

    fn now(millis: u64) -> Now {
        Now { mono: Mono::from_origin(Duration::from_millis(millis)), wall: Wall::from_unix_millis(5_000) }
    }

    fn fields(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn kind(path: &str) -> &'static Kind {
        at(path).unwrap().0
    }

    #[test]
    fn paths_lead_to_kinds() {
        assert_eq!(at("/v1/contacts").map(|(kind, id)| (kind.object, id)), Some(("contact", None)));
        assert_eq!(
            at("/v1/contacts/con_1").map(|(kind, id)| (kind.object, id)),
            Some(("contact", Some("con_1")))
        );
        assert!(
            at("/v1/contactsx").is_none() && at("/v1/contacts/").is_none() && at("/v1/nothing").is_none()
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let read = |path: &str, value: Value| kind(path).read(fields(value), true).map_err(|it| it.code);
        assert_eq!(read("/v1/messages", json!({ "to": "a@b.c" })), Err("parameter_missing"));
        assert_eq!(read("/v1/messages", json!({ "to": "nobody", "subject": "s" })), Err("parameter_invalid"));
        assert_eq!(read("/v1/messages", json!({ "to": "a@b.c", "subject": "" })), Err("parameter_invalid"));
        assert_eq!(
            read("/v1/messages", json!({ "to": "a@b.c", "subject": "s", "x": 1 })),
            Err("parameter_unknown")
        );
        assert!(read("/v1/messages", json!({ "to": "a@b.c", "subject": "s", "text": null })).is_ok());
        assert!(
            kind("/v1/contacts").read(fields(json!({ "stage": "won" })), false).is_ok(),
            "a change is no whole"
        );
    }

    #[test]
    fn objects_are_made_found_changed_and_change_by_themselves() {
        let mut objects = Objects::new(1, 100);
        let contact = fields(json!({ "email": "ada@example.com" }));
        let made = objects.create(kind("/v1/contacts"), contact, Some("k".into()), 7, now(0));
        let id = made["id"].as_str().unwrap();
        assert!(id.starts_with("con_"), "{id}");
        let wanted = [("email".to_owned(), "ada@example.com".to_owned())];
        assert_eq!(objects.newest(kind("/v1/contacts"), &wanted, now(1).mono).0, std::slice::from_ref(&made));
        assert!(objects.newest(kind("/v1/customers"), &[], now(1).mono).0.is_empty());
        let changed = objects.change(id, fields(json!({ "stage": "won" })), None, 8, now(2)).unwrap();
        assert_eq!((&changed["stage"], &changed["email"]), (&json!("won"), &json!("ada@example.com")));
        let kinds: Vec<(&str, u64)> = objects.effects().map(|it| (it.kind.as_str(), it.arrival)).collect();
        assert_eq!(kinds, [("contact", 7), ("contact.changed", 8)]);

        let check = |document: &str| fields(json!({ "name": "Ada", "document": document }));
        let (good, bad) = (check("passport"), check("refused"));
        let ids: Vec<String> = [good, bad]
            .map(|check| objects.create(kind("/v1/checks"), check, None, 1, now(0)))
            .iter()
            .map(|made| made["id"].as_str().unwrap().to_owned())
            .collect();
        let status = |millis: u64, id: &str| {
            objects.get(kind("/v1/checks"), id, now(millis).mono).unwrap()["status"].clone()
        };
        assert_eq!((status(1_999, &ids[0]), status(2_000, &ids[0])), (json!("pending"), json!("clear")));
        assert_eq!(status(2_000, &ids[1]), "consider");
    }

    #[test]
    fn the_latest_are_kept() {
        let mut objects = Objects::new(1, 2);
        let message = || fields(json!({ "to": "a@b.c", "subject": "s" }));
        (0..3).for_each(|n| drop(objects.create(kind("/v1/messages"), message(), None, n, now(0))));
        assert_eq!(objects.newest(kind("/v1/messages"), &[], now(0).mono).0.len(), 2);
        assert_eq!((objects.effects().count(), objects.dropped()), (2, 1));
    }
}
