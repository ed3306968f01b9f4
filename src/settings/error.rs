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
