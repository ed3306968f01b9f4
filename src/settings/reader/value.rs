//! A value, where it stands, and what may be asked of it.

use std::borrow::Cow;
use std::path::Path;

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Document;
use super::table::Table;
use super::{nearest, shown};
use crate::settings::error::Position;

/// A value not yet read.
pub(in crate::settings) struct Value<'d> {
    document: &'d Document<'d>,
    path: String,
    offset: usize,
    inner: DeValue<'d>,
}

/// A key that the author chose, and where it stands.
pub(in crate::settings) struct Key<'d> {
    document: &'d Document<'d>,
    path: String,
    offset: usize,
    text: Cow<'d, str>,
}

impl<'d> Value<'d> {
    pub(super) fn new(document: &'d Document<'d>, path: String, value: Spanned<DeValue<'d>>) -> Self {
        Self { document, path, offset: value.span().start, inner: value.into_inner() }
    }

    /// Records what is wrong and what would be right.
    pub(in crate::settings) fn tell(&self, message: &str) {
        self.document.wrong(self.offset, format!("`{}`: {message}", self.path));
    }

    /// The same where a form gives up.
    pub(in crate::settings) fn wrong<T>(&self, message: &str) -> Option<T> {
        self.tell(message);
        None
    }

    /// Records that the value is right and yet to be advised against.
    pub(in crate::settings) fn advise(&self, message: &str) {
        self.document.unwise(self.offset, format!("`{}`: {message}", self.path));
    }

    /// Records that the value is of another type than `expected`. The value itself is not repeated: it may be secret.
    pub(in crate::settings) fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        self.tell_type(expected);
        None
    }

    fn tell_type(&self, expected: &str) {
        self.tell(&format!("{} cannot stand here; write {expected}", self.type_name()));
    }

    /// Where the value stands.
    pub(in crate::settings) fn position(&self) -> Position {
        self.document.position(self.offset)
    }

    /// Where the text of a string begins in the file, behind its quotes; `None` where places in the text are not
    /// places in the file, because something in it is escaped.
    pub(in crate::settings) fn text_position(&self) -> Option<Position> {
        let written = self.document.rest(self.offset);
        let text = self.inner.as_str()?;
        let quotes = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| written.starts_with(quotes))?;
        let mut start = quotes.len();
        if quotes.len() == 3 {
            let rest = written.get(start..)?;
            start += if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
        }
        written.get(start..)?.starts_with(text).then(|| self.document.position(self.offset + start))
    }

    /// Says, for the schema, more of the value's form than its type.
    pub(in crate::settings) fn shape(&self, shape: impl FnOnce() -> Json) {
        if let Some(probe) = self.document.probe() {
            probe.shaped(&self.path, shape());
        }
    }

    /// Whether the document is probed; the type is written down then, and there is no value to be had.
    fn probed(&self, kind: &str) -> bool {
        let Some(probe) = self.document.probe() else { return false };
        probe.shaped(&self.path, json!({ "type": kind }));
        true
    }

    /// Of `options`, each of which is to be tried, the one to be tried now; `None` if the document is not probed.
    pub(super) fn probed_choice<T>(&self, options: &'static [(&'static str, T)]) -> Option<&'static T> {
        let probe = self.document.probe()?;
        let words: Vec<&str> = options.iter().map(|(word, _)| *word).collect();
        probe.shaped(&self.path, json!({ "enum": words }));
        let (word, option) = options.get(probe.decide(&self.path, options.len()))?;
        probe.chose(&self.path, word);
        Some(option)
    }

    /// Where relative paths begin in the value's file.
    pub(in crate::settings) const fn base(&self) -> &'d Path {
        self.document.base()
    }

    /// The string, or wrong: `expected` should stand there.
    pub(in crate::settings) fn string(&self, expected: &str) -> Option<&str> {
        if self.probed("string") {
            return None;
        }
        self.inner.as_str().or_else(|| self.wrong_type(expected))
    }

    /// The boolean, or wrong.
    pub(in crate::settings) fn boolean(&self) -> Option<bool> {
        if self.probed("boolean") {
            return None;
        }
        self.inner.as_bool().or_else(|| self.wrong_type("true or false"))
    }

    /// The integer, `Some(None)` for one that fits no `i64`, or wrong.
    pub(in crate::settings) fn integer(&self, expected: &str) -> Option<Option<i64>> {
        if self.probed("integer") {
            return None;
        }
        match self.inner.as_integer() {
            Some(integer) => Some(i64::from_str_radix(integer.as_str(), integer.radix()).ok()),
            None => self.wrong_type(expected),
        }
    }

    /// The float, or the integer as one, or wrong.
    pub(in crate::settings) fn float(&self, expected: &str) -> Option<f64> {
        if self.probed("number") {
            return None;
        }
        if let Some(float) = self.inner.as_float() {
            return float.as_str().parse().ok().or_else(|| self.wrong_type(expected));
        }
        if self.inner.is_integer() {
            let integer = self.integer(expected)?;
            return integer
                .and_then(|integer| i32::try_from(integer).ok())
                .map(f64::from)
                .or(Some(f64::INFINITY));
        }
        self.wrong_type(expected)
    }

    /// Whether it is this word.
    pub(in crate::settings) fn is(&self, word: &str) -> bool {
        self.inner.as_str() == Some(word)
    }

    /// Whether it is a string.
    pub(in crate::settings) fn is_string(&self) -> bool {
        match self.document.probe() {
            Some(probe) => probe.decide(&format!("{} is a string", self.path), 2) == 1,
            None => self.inner.is_str(),
        }
    }

    /// Whether it is a table.
    pub(in crate::settings) fn is_table(&self) -> bool {
        match self.document.probe() {
            Some(probe) => probe.decide(&format!("{} is a table", self.path), 2) == 0,
            None => self.inner.is_table(),
        }
    }

    /// Lends the table to `read`, or wrong: `expected` should stand there.
    pub(in crate::settings) fn table<T>(
        self,
        expected: &str,
        read: impl FnOnce(&mut Table<'d>) -> Option<T>,
    ) -> Option<T> {
        self.probed("object");
        let DeValue::Table(entries) = self.inner else { return self.wrong_type(expected) };
        Table::lend(self.document, self.path, self.offset, entries, read)
    }

    /// Lends the table to `read`; if it is none, that is wrong, and an empty one is read.
    pub(super) fn table_or_empty<T>(self, read: impl FnOnce(&mut Table<'d>) -> T) -> T {
        if !self.probed("object") && !self.inner.is_table() {
            self.tell_type("a table");
        }
        let entries = if let DeValue::Table(entries) = self.inner { entries } else { DeTable::new() };
        Table::lend(self.document, self.path, self.offset, entries, read)
    }

    /// The members of a list, at most `most`, or wrong.
    pub(in crate::settings) fn members(self, most: usize) -> Option<Vec<Self>> {
        if self.probed("array") {
            self.shape(|| json!({ "maxItems": most }));
            return Some(vec![Self { path: format!("{}[]", self.path), ..self }]);
        }
        if let DeValue::Array(members) = &self.inner
            && members.len() > most
        {
            return self.wrong(&format!("{} members are too many; write at most {most}", members.len()));
        }
        let DeValue::Array(members) = self.inner else { return self.wrong_type("a list") };
        let member = |(index, member)| Self::new(self.document, format!("{}[{index}]", self.path), member);
        Some(members.into_iter().enumerate().map(member).collect())
    }

    /// The entries of a table whose keys are the author's, in the file's order, at most `most`, or wrong.
    pub(in crate::settings) fn entries(self, most: usize) -> Option<Vec<(Key<'d>, Self)>> {
        if self.probed("object") {
            self.shape(|| json!({ "maxProperties": most }));
            let path = format!("{}.*", self.path);
            let key = Key { document: self.document, path: path.clone(), offset: 0, text: "name".into() };
            return Some(vec![(key, Self { path, ..self })]);
        }
        if let DeValue::Table(entries) = &self.inner
            && entries.len() > most
        {
            return self.wrong(&format!("{} entries are too many; write at most {most}", entries.len()));
        }
        let DeValue::Table(entries) = self.inner else { return self.wrong_type("a table") };
        let mut entries: Vec<(Key<'d>, Self)> = entries
            .into_iter()
            .map(|(key, value)| {
                let path = format!("{}.{}", self.path, shown(key.get_ref()));
                let offset = key.span().start;
                let value = Self::new(self.document, path.clone(), value);
                (Key { document: self.document, path, offset, text: key.into_inner() }, value)
            })
            .collect();
        entries.sort_by_key(|(key, _)| key.offset);
        Some(entries)
    }

    /// The value as JSON, dates as they are written; wrong if a number in it is none that JSON has.
    pub(in crate::settings) fn json(&self) -> Option<Json> {
        if self.document.probe().is_some() {
            return None;
        }
        json_of(&self.inner)
            .or_else(|| self.wrong("`inf`, `nan` and numbers beyond 64 bits are not in JSON; write others"))
    }

    /// Wrong: `text` is none of `known`; suggests the nearest.
    pub(in crate::settings) fn wrong_choice<T>(&self, text: &str, known: &[&str]) -> Option<T> {
        let all: Vec<String> = known.iter().map(|known| format!("\"{known}\"")).collect();
        let hint = match nearest(text, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write {}", all.join(" or ")),
        };
        self.wrong(&format!("\"{}\" is not available; {hint}", shown(text)))
    }

    const fn type_name(&self) -> &'static str {
        match self.inner {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }
}

/// Bounded by how deep TOML may nest.
fn json_of(value: &DeValue<'_>) -> Option<Json> {
    Some(match value {
        DeValue::String(text) => Json::from(text.as_ref()),
        DeValue::Integer(integer) => Json::from(i64::from_str_radix(integer.as_str(), integer.radix()).ok()?),
        DeValue::Float(float) => Json::from(serde_json::Number::from_f64(float.as_str().parse().ok()?)?),
        DeValue::Boolean(boolean) => Json::from(*boolean),
        DeValue::Datetime(date) => Json::from(date.to_string()),
        DeValue::Array(members) => {
            Json::Array(members.iter().map(|member| json_of(member.get_ref())).collect::<Option<_>>()?)
        }
        DeValue::Table(entries) => {
            let entry = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
                Some((key.get_ref().to_string(), json_of(value.get_ref())?))
            };
            Json::Object(entries.iter().map(entry).collect::<Option<_>>()?)
        }
    })
}

impl Key<'_> {
    /// The key itself.
    pub(in crate::settings) fn text(&self) -> &str {
        &self.text
    }

    /// Records what is wrong with the key, and what would be right.
    pub(in crate::settings) fn tell(&self, message: &str) {
        self.document.wrong(self.offset, format!("`{}`: {message}", self.path));
    }

    /// The same where a form gives up.
    pub(in crate::settings) fn wrong<T>(&self, message: &str) -> Option<T> {
        self.tell(message);
        None
    }
}
