//! A table that hands out its keys and reports those nobody asked for.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Document;
use super::value::{Key, Value};
use super::{shown, suggestion};
use crate::settings::error::Position;

/// A table being read. It exists only while a closure borrows it ([`Table::lend`]).
pub(in crate::settings) struct Table<'d> {
    document: &'d Document<'d>,
    path: String,
    offset: usize,
    entries: DeTable<'d>,
    asked: Vec<Asked>,
    elsewhere: Vec<(&'static str, &'static str)>,
    ignoring: bool,
}

/// What is said of a key of the contract that this version does not have.
const NOT_YET: &str = "is not available in this version; remove it";

/// A key that was asked for, and where its value stands if it was there.
struct Asked {
    key: &'static str,
    offset: Option<usize>,
}

impl<'d> Table<'d> {
    /// Lends the table to `read`, then reports the keys it did not ask for.
    pub(super) fn lend<T>(
        document: &'d Document<'d>,
        path: String,
        offset: usize,
        entries: DeTable<'d>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let (asked, elsewhere) = Default::default();
        let mut table = Self { document, path, offset, entries, asked, elsewhere, ignoring: false };
        let read = read(&mut table);
        table.report_unknown();
        read
    }

    /// Takes the key's value, unread; `None` if it is not there.
    pub(in crate::settings) fn take(&mut self, key: &'static str) -> Option<Value<'d>> {
        if let Some(probe) = self.document.probe() {
            probe.asked(&self.path, key, false);
            let probed = Spanned::new(0..0, DeValue::Table(DeTable::new()));
            return Some(Value::new(self.document, self.path_of(key), probed));
        }
        let value = self.entries.remove(key);
        let offset = value.as_ref().map(|value| value.span().start);
        self.asked.push(Asked { key, offset });
        Some(Value::new(self.document, self.path_of(key), value?))
    }

    /// The key's value; `None` if it is not there, or is wrong.
    pub(in crate::settings) fn optional<T>(
        &mut self,
        key: &'static str,
        form: impl FnOnce(Value<'d>) -> Option<T>,
    ) -> Option<T> {
        self.take(key).and_then(form)
    }

    /// The key's value, or `default` if it is not there.
    pub(in crate::settings) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        form: impl FnOnce(Value<'d>) -> Option<T>,
    ) -> T {
        self.optional(key, form).unwrap_or(default)
    }

    /// The key's value; if it is not there, that is wrong, and `example` is what it could be.
    pub(in crate::settings) fn required<T>(
        &mut self,
        key: &'static str,
        example: &str,
        form: impl FnOnce(Value<'d>) -> Option<T>,
    ) -> Option<T> {
        let taken = self.take(key);
        if let Some(probe) = self.document.probe() {
            probe.asked(&self.path, key, true);
        }
        let Some(value) = taken else {
            let message = format!("`{}` is missing; write for example {key} = {example}", self.path_of(key));
            self.document.wrong(self.offset, message);
            return None;
        };
        form(value)
    }

    /// A table in which everything has a default: absent, it is read as an empty one.
    pub(in crate::settings) fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let value = self.take(key).unwrap_or_else(|| {
            let empty = Spanned::new(self.offset..self.offset, DeValue::Table(DeTable::new()));
            Value::new(self.document, self.path_of(key), empty)
        });
        value.table_or_empty(read)
    }

    /// The members of a list of tables (`[[key]]`) that are right, at most `most` of them; none if it is absent.
    pub(in crate::settings) fn list<T>(
        &mut self,
        key: &'static str,
        most: usize,
        form: impl FnMut(Value<'d>) -> Option<T>,
    ) -> Vec<T> {
        let members = self.optional(key, |value| value.members(most)).unwrap_or_default();
        members.into_iter().filter_map(form).collect()
    }

    /// The same, and `default` if it is absent.
    pub(in crate::settings) fn list_or<T: Clone>(
        &mut self,
        key: &'static str,
        most: usize,
        default: &[T],
        form: impl FnMut(Value<'d>) -> Option<T>,
    ) -> Vec<T> {
        let read = self.list(key, most, form);
        if self.had(key) { read } else { default.to_vec() }
    }

    /// The entries of a table whose keys are the author's, in the file's order, at most `most` of them; none if it is
    /// absent.
    pub(in crate::settings) fn entries(
        &mut self,
        key: &'static str,
        most: usize,
    ) -> Vec<(Key<'d>, Value<'d>)> {
        self.optional(key, |value| value.entries(most)).unwrap_or_default()
    }

    /// Records that the value of a key that was taken is wrong, in the light of others.
    pub(in crate::settings) fn wrong(&self, key: &'static str, message: &str) {
        let asked = self.asked.iter().find(|asked| asked.key == key).and_then(|asked| asked.offset);
        self.document.wrong(asked.unwrap_or(self.offset), format!("`{}`: {message}", self.path_of(key)));
    }

    /// Records that the table as a whole is wrong.
    pub(in crate::settings) fn wrong_whole(&self, message: &str) {
        let subject = if self.path.is_empty() { String::new() } else { format!("`{}`: ", self.path) };
        self.document.wrong(self.offset, format!("{subject}{message}"));
    }

    /// Records that the value of a key that was taken is right and yet to be advised against.
    pub(in crate::settings) fn advise(&self, key: &'static str, message: &str) {
        let asked = self.asked.iter().find(|asked| asked.key == key).and_then(|asked| asked.offset);
        self.document.unwise(asked.unwrap_or(self.offset), format!("`{}`: {message}", self.path_of(key)));
    }

    /// Records that the table as a whole is right and yet to be advised against.
    pub(in crate::settings) fn advise_whole(&self, message: &str) {
        let subject = if self.path.is_empty() { String::new() } else { format!("`{}`: ", self.path) };
        self.document.unwise(self.offset, format!("{subject}{message}"));
    }

    /// Where the key's value stands; where it is not there, the table.
    pub(in crate::settings) fn position_of(&self, key: &'static str) -> Position {
        let asked = self.asked.iter().find(|asked| asked.key == key).and_then(|asked| asked.offset);
        self.document.position(asked.unwrap_or(self.offset))
    }

    /// Names keys of the contract that this version may not have: those that nobody asks for are told as such, and not
    /// as unknown.
    pub(in crate::settings) fn not_yet(&mut self, keys: &[&'static str]) {
        self.elsewhere.extend(keys.iter().map(|key| (*key, NOT_YET)));
    }

    /// Names a key that belongs elsewhere, and what is to be said of it where nobody asks for it here.
    pub(in crate::settings) fn not_here(&mut self, key: &'static str, why: &'static str) {
        self.elsewhere.push((key, why));
    }

    /// Whether the key was there when it was taken.
    pub(in crate::settings) fn had(&self, key: &'static str) -> bool {
        self.asked.iter().any(|asked| asked.key == key && asked.offset.is_some())
    }

    /// Whether the key is there and has not been taken yet.
    pub(in crate::settings) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Whether keys are left that nobody has asked for.
    pub(in crate::settings) fn has_more(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Reports no unknown keys: what this table is could not be read, so nobody knows its keys.
    pub(in crate::settings) const fn ignore_rest(&mut self) {
        self.ignoring = true;
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { shown(key) } else { format!("{}.{}", self.path, shown(key)) }
    }

    fn report_unknown(self) {
        if self.ignoring {
            return;
        }
        for key in self.entries.keys() {
            let name = key.get_ref().as_ref();
            if let Some((_, why)) = self.elsewhere.iter().find(|(known, _)| *known == name) {
                self.document.wrong(key.span().start, format!("`{}` {why}", self.path_of(name)));
                continue;
            }
            let hint = suggestion(name, self.asked.iter().map(|asked| asked.key), "known here:");
            self.document.wrong(key.span().start, format!("unknown key `{}`{hint}", self.path_of(name)));
        }
    }
}
