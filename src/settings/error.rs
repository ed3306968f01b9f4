//! What is wrong with a set of files, and where.

use std::fmt;
use std::sync::Arc;

/// A place in a file, as editors count: lines and columns from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file's path, as it is shown.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing that is wrong: what, and what would be right. Prints as one line, `file:line:column: message`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct SettingsError {
    place: Place,
    message: String,
}

/// Where it is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// At one place in a file.
    At(Position),
    /// In a file or directory as a whole: it cannot be read, or has no right to its name.
    Whole(Arc<str>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(position) => position.fmt(f),
            Self::Whole(file) => f.write_str(file),
        }
    }
}

impl SettingsError {
    /// Something wrong at one place of a file.
    pub fn at(position: Position, message: impl Into<String>) -> Self {
        Self { place: Place::At(position), message: message.into() }
    }

    /// Something wrong with a file or directory as a whole.
    pub fn whole(file: Arc<str>, message: impl Into<String>) -> Self {
        Self { place: Place::Whole(file), message: message.into() }
    }
}

/// Something that is right and yet to be advised against: what, and what would be better. Prints like an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    place: Place,
    message: String,
}

impl Advice {
    /// Something unwise at one place of a file.
    pub fn at(position: Position, message: impl Into<String>) -> Self {
        Self { place: Place::At(position), message: message.into() }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// A finding as machines read it: the place and the message apart.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// The file, as it is shown.
    pub file: String,
    /// The line, from 1; absent where the file as a whole is meant.
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: Option<usize>,
    /// What it is, and what would be right or better.
    pub message: String,
}

impl Finding {
    fn new(place: &Place, message: &str) -> Self {
        let (file, line, column) = match place {
            Place::At(position) => (&position.file, Some(position.line), Some(position.column)),
            Place::Whole(file) => (file, None, None),
        };
        Self { file: file.to_string(), line, column, message: message.to_owned() }
    }
}

impl From<&SettingsError> for Finding {
    fn from(error: &SettingsError) -> Self {
        Self::new(&error.place, &error.message)
    }
}

impl From<&Advice> for Finding {
    fn from(advice: &Advice) -> Self {
        Self::new(&advice.place, &advice.message)
    }
}

/// Where a value stands: beside the value and no part of it, so one is as good as another.
#[derive(Clone, Debug)]
pub struct At(pub Position);

impl PartialEq for At {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for At {}

/// A value, and where it stands, so that what is found out about it later can be told there. Two are equal if their
/// values are.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it begins in its file.
    pub at: Position,
}

impl<T: PartialEq> PartialEq for Placed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Placed<T> {}

/// Everything that is wrong with a set of files, one error a line, file by file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsErrors(Vec<SettingsError>);

impl SettingsErrors {
    /// The errors, in the order of files and places.
    pub fn iter(&self) -> std::slice::Iter<'_, SettingsError> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts them in the order of these files, and of the places in each; what is told twice is told once.
    pub(super) fn sort(&mut self, files: &[Arc<str>]) {
        let rank = |error: &SettingsError| {
            let (file, line, column) = match &error.place {
                Place::Whole(file) => (file, 0, 0),
                Place::At(position) => (&position.file, position.line, position.column),
            };
            (files.iter().position(|known| known == file).map_or(0, |rank| rank + 1), line, column)
        };
        self.0.sort_by_key(rank);
        self.0.dedup();
    }

    /// Adds one.
    pub fn push(&mut self, error: SettingsError) {
        self.0.push(error);
    }
}

impl<'a> IntoIterator for &'a SettingsErrors {
    type Item = &'a SettingsError;
    type IntoIter = std::slice::Iter<'a, SettingsError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for SettingsErrors {
    type Item = SettingsError;
    type IntoIter = std::vec::IntoIter<SettingsError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Extend<SettingsError> for SettingsErrors {
    fn extend<I: IntoIterator<Item = SettingsError>>(&mut self, errors: I) {
        self.0.extend(errors);
    }
}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsErrors {}
