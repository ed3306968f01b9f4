//! One file: its text, its places, and what was found wrong in it or is to be advised against.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use toml::de::DeTable;

use super::probe::Probe;
use super::table::Table;
use crate::settings::error::{Advice, Position, SettingsError};

/// The most errors reported of one file: more are the same mistake over and over.
const MAX_ERRORS: usize = 100;

/// A file that is being read.
pub(in crate::settings) struct Document<'d> {
    file: Arc<str>,
    base: &'d Path,
    text: &'d str,
    line_starts: Vec<usize>,
    wrong: RefCell<Vec<Remark>>,
    unwise: RefCell<Vec<Remark>>,
    /// Where there is no file, and what is asked for is written down instead.
    probe: Option<&'d Probe>,
}

#[derive(PartialEq, Eq)]
struct Remark {
    offset: usize,
    message: String,
}

impl<'d> Document<'d> {
    /// The text of `file` (as it is shown in messages), whose relative paths begin at `base`.
    pub(in crate::settings) fn new(file: Arc<str>, base: &'d Path, text: &'d str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0).chain(ends.map(|(offset, _)| offset + 1)).collect();
        let (wrong, unwise) = Default::default();
        Self { file, base, text, line_starts, wrong, unwise, probe: None }
    }

    /// No file at all: whatever is asked for is there, and `probe` is told of it.
    pub(super) fn probing(probe: &'d Probe) -> Self {
        Self { probe: Some(probe), ..Self::new("".into(), Path::new(""), "") }
    }

    /// What is told of everything that is asked for, if that is what the document is for.
    pub(super) const fn probe(&self) -> Option<&'d Probe> {
        self.probe
    }

    /// Parses the text and lends the root table to `read`; `None` if the text is not TOML.
    pub(in crate::settings) fn read<'r, T>(&'r self, read: impl FnOnce(&mut Table<'r>) -> T) -> Option<T> {
        let (root, syntax) = DeTable::parse_recoverable(self.text);
        if syntax.is_empty() {
            return Some(Table::lend(self, String::new(), 0, root.into_inner(), read));
        }
        for error in syntax {
            // Only the error's own words: its `Display` quotes the line, and a secret may stand there.
            let offset = error.span().map_or(self.text.len(), |span| span.start);
            self.wrong(offset, format!("this is not TOML: {}", error.message()));
        }
        None
    }

    /// Where relative paths in this file begin.
    pub(super) const fn base(&self) -> &'d Path {
        self.base
    }

    /// Records that something at `offset` is wrong.
    pub(super) fn wrong(&self, offset: usize, message: String) {
        self.wrong.borrow_mut().push(Remark { offset, message });
    }

    /// Records that something at `offset` is right and yet to be advised against.
    pub(super) fn unwise(&self, offset: usize, message: String) {
        self.unwise.borrow_mut().push(Remark { offset, message });
    }

    /// The text from `offset` on.
    pub(super) fn rest(&self, offset: usize) -> &'d str {
        self.text.get(offset..).unwrap_or_default()
    }

    /// The place of the byte at `offset`.
    pub(super) fn position(&self, offset: usize) -> Position {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = self.text.get(start..offset).unwrap_or_default();
        Position { file: Arc::clone(&self.file), line, column: before.chars().count() + 1 }
    }

    /// What was found wrong, in the order of its places, at most [`MAX_ERRORS`] and a line that says how many more.
    pub(in crate::settings) fn errors(&self) -> Vec<SettingsError> {
        let mut wrong = self.wrong.borrow_mut();
        wrong.sort_by_key(|wrong| wrong.offset);
        let told = wrong.iter().take(MAX_ERRORS);
        let mut errors: Vec<SettingsError> =
            told.map(|wrong| SettingsError::at(self.position(wrong.offset), wrong.message.clone())).collect();
        if let Some(rest) = wrong.len().checked_sub(MAX_ERRORS).filter(|rest| *rest > 0) {
            let message = format!("and {rest} more errors; correct the first {MAX_ERRORS} and check again");
            errors.push(SettingsError::whole(Arc::clone(&self.file), message));
        }
        errors
    }

    /// What was advised against, in the order of its places, at most [`MAX_ERRORS`].
    pub(in crate::settings) fn advice(&self) -> Vec<Advice> {
        let mut unwise = self.unwise.borrow_mut();
        unwise.sort_by_key(|remark| remark.offset);
        let told = unwise.iter().take(MAX_ERRORS);
        told.map(|remark| Advice::at(self.position(remark.offset), remark.message.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_as_editors_do() {
        let document = Document::new("f".into(), Path::new(""), "a\nüb\n\nc");
        let place = |offset| document.position(offset).to_string();
        assert_eq!(place(0), "f:1:1");
        assert_eq!(place(2), "f:2:1");
        assert_eq!(place(4), "f:2:2");
        assert_eq!(place(6), "f:3:1");
        assert_eq!(place(7), "f:4:1");
        assert_eq!(place(8), "f:4:2");
    }

    #[test]
    fn errors_are_ordered_and_bounded() {
        let document = Document::new("f".into(), Path::new(""), "");
        for offset in (0..MAX_ERRORS + 5).rev() {
            document.wrong(offset, offset.to_string());
        }
        let errors: Vec<String> = document.errors().iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), MAX_ERRORS + 1);
        assert!(errors[1].ends_with(": 1"), "{}", errors[1]);
        assert_eq!(errors[MAX_ERRORS], "f: and 5 more errors; correct the first 100 and check again");
    }
}
