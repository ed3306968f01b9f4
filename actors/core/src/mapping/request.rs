//! The parts of a request, taken from what a request program yields.

use std::borrow::Cow;

use bytes::Bytes;
use jaq_json::Val;

use super::error::{Fault, kind_of};
use super::write;
use crate::json::Json;

/// What a request is made of. Nothing is encoded yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestParts {
    /// What fills the placeholders of the endpoint's path.
    pub path: Vec<(String, String)>,
    /// Query parameters in order; a list yields its name several times, `null` is left out.
    pub query: Vec<(String, String)>,
    /// Headers in order; `null` is left out.
    pub headers: Vec<(String, String)>,
    /// The body, before it is brought into the endpoint's form. `None` if the program names none; a `null` that it
    /// names is the JSON text `null`.
    pub body: Option<Json>,
}

/// Takes `{path, query, headers, body}` apart. `source` tells which names stand in the program, and so are no data.
pub(super) fn parts(value: &Val, source: &str) -> Result<RequestParts, Fault> {
    const EXPECTED: &str = "an object of `path`, `query`, `headers` and `body`, each optional,";
    let Val::Obj(members) = value else {
        return Err(Fault::Form { found: kind_of(value).to_owned(), expected: EXPECTED });
    };
    let mut parts = RequestParts::default();
    for (key, member) in members.iter() {
        match name(key)?.as_bytes() {
            b"path" => parts.path = Pairs::PATH.take(member, source)?,
            b"query" => parts.query = Pairs::QUERY.take(member, source)?,
            b"headers" => parts.headers = Pairs::HEADERS.take(member, source)?,
            b"body" => parts.body = Some(document(member)?),
            other => return Err(Fault::Form { found: named("the key", other, source), expected: EXPECTED }),
        }
    }
    Ok(parts)
}

/// Prints a value and checks what was printed, as any other text is.
pub(super) fn document(value: &Val) -> Result<Json, Fault> {
    let text = write::json(value)?;
    Json::parse(Bytes::from(text)).map_err(|error| Fault::Unprintable(format!("is no JSON: {error}")))
}

/// A string as it is, a number or boolean as printed.
pub(super) fn scalar(value: &Val) -> Option<String> {
    match value {
        Val::TStr(text) => Some(String::from_utf8_lossy(text).into_owned()),
        Val::Bool(_) | Val::Num(_) => write::json(value).ok().and_then(|text| String::from_utf8(text).ok()),
        Val::Null | Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => None,
    }
}

/// How one part of a request is taken: from an object of scalars.
struct Pairs {
    part: &'static str,
    /// Whether a list gives its name several values.
    lists: bool,
    /// Whether `null` leaves its name out; else it is a fault.
    nulls: bool,
    expected: &'static str,
}

impl Pairs {
    const PATH: Self = Self {
        part: "path",
        lists: false,
        nulls: false,
        expected: "a string, number or boolean for every placeholder",
    };
    const QUERY: Self = Self {
        part: "query",
        lists: true,
        nulls: true,
        expected: "a string, number, boolean, list of these, or null",
    };
    const HEADERS: Self =
        Self { part: "headers", lists: false, nulls: true, expected: "a string, number, boolean or null" };

    fn take(&self, value: &Val, source: &str) -> Result<Vec<(String, String)>, Fault> {
        let members = match value {
            Val::Obj(members) => members,
            Val::Null => return Ok(Vec::new()),
            Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::TStr(_) | Val::Arr(_) => {
                let found = format!("{} as `{}`", kind_of(value), self.part);
                return Err(Fault::Form { found, expected: "an object" });
            }
        };
        let mut pairs = Vec::with_capacity(members.len());
        for (key, member) in members.iter() {
            let name = name(key)?;
            let single = std::slice::from_ref(member);
            let items = if let (true, Val::Arr(items)) = (self.lists, member) { items } else { single };
            for item in items {
                self.push(&mut pairs, &name, item, source)?;
            }
        }
        Ok(pairs)
    }

    fn push(
        &self,
        pairs: &mut Vec<(String, String)>,
        name: &str,
        value: &Val,
        source: &str,
    ) -> Result<(), Fault> {
        if self.nulls && matches!(value, Val::Null) {
            return Ok(());
        }
        let Some(text) = scalar(value) else {
            let place = named(&format!("for `{}`,", self.part), name.as_bytes(), source);
            let found = format!("{} {place}", kind_of(value));
            return Err(Fault::Form { found, expected: self.expected });
        };
        pairs.push((name.to_owned(), text));
        Ok(())
    }
}

fn name(key: &Val) -> Result<Cow<'_, str>, Fault> {
    let Val::TStr(name) = key else {
        return Err(Fault::Form { found: "a key that is no string".to_owned(), expected: "a string" });
    };
    Ok(String::from_utf8_lossy(name))
}

/// Names a key only if it stands in the program: otherwise it is made from data.
fn named(what: &str, name: &[u8], source: &str) -> String {
    match std::str::from_utf8(name) {
        Ok(name) if !name.is_empty() && source.contains(name) => format!("{what} `{name}`"),
        Ok(_) | Err(_) => format!("{what} a name made from data"),
    }
}
