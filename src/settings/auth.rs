//! `[auth]`: how an integration's requests are authenticated.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use http::HeaderName;

use super::error::Placed;
use super::headers::request_header;
use super::reader::forms::{choice, choice_or_later};
use super::reader::{Table, Value};
use super::secret::SecretRef;

/// The longest name of a query parameter, in bytes.
const MAX_PARAMETER: usize = 128;

const KINDS: [(&str, Kind); 5] = [
    ("none", Kind::None),
    ("basic", Kind::Basic),
    ("bearer", Kind::Bearer),
    ("header", Kind::Header),
    ("query", Kind::Query),
];

const ACCOUNTS: [(&str, Account); 2] = [("service", Account::Service), ("personal", Account::Personal)];

/// Whose account it is.
#[derive(Clone, Copy)]
enum Account {
    Service,
    Personal,
}

#[derive(Clone, Copy)]
enum Kind {
    None,
    Basic,
    Bearer,
    Header,
    Query,
}

/// How an integration's requests are authenticated. Secrets are references; the adapter reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AuthSettings {
    /// Not at all.
    #[default]
    None,
    /// HTTP basic authentication (RFC 7617).
    Basic {
        /// Who; a reference too, for many providers take a key here.
        username: Placed<SecretRef>,
        /// The password; empty if absent.
        password: Option<Placed<SecretRef>>,
    },
    /// A bearer token (RFC 6750).
    Bearer {
        /// The token.
        token: Placed<SecretRef>,
    },
    /// A key in a header of the provider's own.
    Header {
        /// The header.
        name: HeaderName,
        /// Its whole value.
        value: Placed<SecretRef>,
    },
    /// A key in the query.
    Query {
        /// The parameter, not yet encoded.
        name: String,
        /// Its value, not yet encoded.
        value: Placed<SecretRef>,
    },
}

impl AuthSettings {
    pub(super) fn read(value: Value<'_>) -> Option<Self> {
        value.table("a table, [auth]", |table| {
            let account = table.or("account", Account::Service, choice(&ACCOUNTS));
            if matches!(account, Account::Personal) {
                let risk = "the account of a person ends when that person leaves or changes a password";
                table.advise("account", &format!("{risk}; have one made for the service"));
            }
            let Some(kind) = table.required("type", "\"bearer\"", choice_or_later(&KINDS, &["oauth2"]))
            else {
                table.ignore_rest();
                return None;
            };
            match kind {
                Kind::None => Some(Self::None),
                Kind::Basic => Self::basic(table),
                Kind::Bearer => secret(table, "token").map(|token| Self::Bearer { token }),
                Kind::Header => {
                    let name = table.required("name", "\"X-Api-Key\"", request_header);
                    let value = secret(table, "value");
                    Some(Self::Header { name: name?, value: value? })
                }
                Kind::Query => {
                    let name = table.required("name", "\"key\"", parameter);
                    let value = secret(table, "value");
                    Some(Self::Query { name: name?, value: value? })
                }
            }
        })
    }

    /// Tells accounts apart by where their credentials come from; one that is rotated at its source stays the same.
    pub fn account(&self) -> u64 {
        let (kind, name, sources) = match self {
            Self::None => ("none", "", [None, None]),
            Self::Basic { username, password } => ("basic", "", [Some(username), password.as_ref()]),
            Self::Bearer { token } => ("bearer", "", [Some(token), None]),
            Self::Header { name, value } => ("header", name.as_str(), [Some(value), None]),
            Self::Query { name, value } => ("query", name.as_str(), [Some(value), None]),
        };
        let mut hasher = DefaultHasher::new();
        let sources = sources.map(|source| source.map(|source| &source.value));
        (kind, name, sources).hash(&mut hasher);
        hasher.finish()
    }

    fn basic(table: &mut Table<'_>) -> Option<Self> {
        let username = secret(table, "username");
        let password = table.optional("password", placed);
        Some(Self::Basic { username: username?, password })
    }
}

fn secret(table: &mut Table<'_>, key: &'static str) -> Option<Placed<SecretRef>> {
    table.required(key, "{ env = \"NAME\" }", placed)
}

pub(super) fn placed(value: Value<'_>) -> Option<Placed<SecretRef>> {
    let at = value.position();
    SecretRef::read(value).map(|value| Placed { value, at })
}

fn parameter(value: Value<'_>) -> Option<String> {
    let text = value.string("the name of a query parameter")?;
    if (1..=MAX_PARAMETER).contains(&text.len()) && !text.contains(char::is_control) {
        return Some(text.to_owned());
    }
    let form = format!("write 1 to {MAX_PARAMETER} bytes without control characters");
    value.wrong(&format!("this is not the name of a query parameter; {form}"))
}
