//! How mapping fails, at configuration time and at run time, without a word of what was mapped.

use std::fmt::{self, Write as _};

use jaq_json::Val;

use super::Kind;
use super::work::{MAX_STEPS, MAX_WORK};
use super::write::Unprintable;

/// How much of a program a message shows, in characters.
const SHOWN: usize = 80;

/// Where in a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Bytes from the beginning.
    pub offset: usize,
    /// 1-based line.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
}

impl Place {
    pub(super) fn at(source: &str, offset: usize) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            offset: before.len(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// Why a text is not taken as a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// What is wrong, and what would be right.
    pub message: String,
    /// Where, if it can be told.
    pub place: Option<Place>,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.place {
            Some(place) => write!(f, " (line {} column {} of the program)", place.line, place.column),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CompileError {}

/// Why a mapping did not yield what it should. Names the program and the kind of the fault, never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// The document to be mapped cannot be read.
    #[error("the document to be mapped is not usable: {0}")]
    Input(String),
    /// The program failed, or yielded what cannot be used.
    #[error("the {kind} program `{program}` {fault}")]
    Program {
        /// What the program is for.
        kind: Kind,
        /// The beginning of its source.
        program: String,
        /// What went wrong.
        fault: Fault,
    },
}

/// What went wrong with a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It yielded nothing.
    #[error("yields no value: let it yield exactly one (`// null` helps where a path may be empty)")]
    NoValue,
    /// It yielded several values.
    #[error("yields more than one value: collect them with `[…]` or take one with `first(…)`")]
    ManyValues,
    /// It raised an error with words of its own.
    #[error("raised: {0}")]
    Raised(String),
    /// It raised an error that is built from the data, or that jq raised.
    #[error("failed: {0}")]
    Failed(String),
    /// It ran too long.
    #[error("takes more than {MAX_STEPS} steps: let it look at less")]
    TooManySteps,
    /// It goes through too much.
    #[error(
        "goes through more than {MAX_WORK} elements: let it look at less, and not at all of it again and again"
    )]
    TooMuchWork,
    /// Its result cannot be printed.
    #[error("yields a value that {0}")]
    Unprintable(String),
    /// Its result has not the form that is needed.
    #[error("yields {found}, where {expected} is needed")]
    Form {
        /// What it yielded, by type or by name.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The library panicked.
    #[error("could not be carried out: a fault in the mapping library")]
    Panicked,
}

impl From<Unprintable> for Fault {
    fn from(unprintable: Unprintable) -> Self {
        Self::Unprintable(unprintable.to_string())
    }
}

/// The beginning of a program, on one line.
pub(super) fn shown(source: &str) -> String {
    let mut words = source.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = words.char_indices().nth(SHOWN) {
        words.truncate(cut);
        words.push('…');
    }
    words
}

/// The kind of a value, as a message names it.
pub(super) const fn kind_of(value: &Val) -> &'static str {
    match value {
        Val::Null => "null",
        Val::Bool(_) => "a boolean",
        Val::Num(_) => "a number",
        Val::BStr(_) | Val::TStr(_) => "a string",
        Val::Arr(_) => "an array",
        Val::Obj(_) => "an object",
    }
}

/// Tells what jq raised without the values it quotes: only its own words and the kinds of the values remain.
///
/// `literals` are the messages that stand in the program itself, and so are no data.
pub(super) fn raised(error: jaq_core::Error<Val>, literals: &[String]) -> Fault {
    let mut ends = Ends::default();
    // A text longer than what is looked at is cut off on purpose.
    let _ = write!(ends, "{error}");
    let (head, tail) = (ends.head.as_str(), ends.tail.as_str());
    let operand = |prefix: &str| head.strip_prefix(prefix).map(first_kind);
    let last = if ends.is_whole() { last_kind(tail) } else { "another value" };
    if let Some(left) = operand("cannot index ") {
        return Fault::Failed(format!("{left} cannot be indexed with {last}"));
    }
    if let Some(left) = operand("cannot calculate ") {
        return Fault::Failed(format!("cannot calculate with {left} and {last}"));
    }
    if let Some(left) = operand("cannot use ") {
        let needed = NEEDED.iter().find(|needed| tail.ends_with(&format!(" as {needed}")));
        return Fault::Failed(format!("{left} cannot be used as {}", needed.unwrap_or(&"something else")));
    }
    if head.starts_with("invalid path expression") {
        return Fault::Failed("an update needs a path on its left side".to_owned());
    }
    let value = error.into_val();
    // Only our own functions raise bytes: they name kinds, never values.
    if let Val::BStr(text) = &value {
        return Fault::Failed(String::from_utf8_lossy(text).into_owned());
    }
    if let Val::TStr(text) = value {
        if let Some(literal) = literals.iter().find(|literal| literal.as_bytes() == text.as_ref().as_ref()) {
            return Fault::Raised(literal.clone());
        }
        if let Some(known) = KNOWN.iter().find(|known| text.starts_with(known.as_bytes())) {
            return Fault::Failed((*known).to_owned());
        }
    }
    Fault::Failed("an error was raised (its text is withheld: it may quote data)".to_owned())
}

/// The beginnings of errors that quote values.
const QUOTING: [&str; 4] = ["cannot index ", "cannot calculate ", "cannot use ", "invalid path expression "];
/// How much of a quoting error `catch` is given, in bytes.
const MAX_CAUGHT: usize = 512;

/// The same error, cut off if it quotes values: they may be large, or share their parts a billion times.
pub(super) fn shortened(error: jaq_core::Error<Val>) -> jaq_core::Error<Val> {
    let mut beginning = Beginning(String::new());
    // A text longer than what is looked at is cut off on purpose.
    let _ = write!(beginning, "{error}");
    if QUOTING.iter().any(|quoting| beginning.0.starts_with(quoting)) {
        return jaq_core::Error::str(beginning.0);
    }
    match error.into_val() {
        // Words of ours.
        Val::BStr(text) => jaq_core::Error::new(Val::utf8_str(*text)),
        value @ (Val::Null | Val::Bool(_) | Val::Num(_) | Val::TStr(_) | Val::Arr(_) | Val::Obj(_)) => {
            jaq_core::Error::new(value)
        }
    }
}

/// Keeps a text's beginning.
struct Beginning(String);

impl fmt::Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend(text.chars().take(MAX_CAUGHT.saturating_sub(self.0.len())));
        if self.0.len() < MAX_CAUGHT { Ok(()) } else { Err(fmt::Error) }
    }
}

/// What jaq's type errors end with.
const NEEDED: [&str; 7] = [
    "integer",
    "number",
    "string",
    "array",
    "iterable (array or object)",
    "rangeable (array or string)",
    "character",
];

/// Beginnings of messages that quote nothing up to there.
const KNOWN: [&str; 15] = [
    "the sum is too large",
    "an index is a string or a number",
    "the key of an object is a string",
    "an update needs a shorter path",
    "a path is too long",
    "cannot parse as number",
    "cannot parse as boolean",
    "cannot parse",
    "not well-formed JSON",
    "nested deeper",
    "the product is too large",
    "split input and separator must be strings",
    "invalid regex flag",
    "invalid regex",
    "is larger than",
];

fn first_kind(quoted: &str) -> &'static str {
    match quoted.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(_) | None => "a number",
    }
}

fn last_kind(text: &str) -> &'static str {
    match text.as_bytes().last() {
        Some(b'"') => "a string",
        Some(b'}') => "an object",
        Some(b']') => "an array",
        Some(b'e') => "a boolean",
        Some(b'l') => "null",
        Some(_) | None => "a number",
    }
}

/// Keeps the two ends of a text of any length, so that an error about a large document costs no copy of it.
#[derive(Default)]
struct Ends {
    head: String,
    tail: String,
    length: usize,
}

impl Ends {
    /// The bytes kept at either end.
    const KEPT: usize = 64;
    /// Where looking on ends: the tail is then that of a part.
    const MAX: usize = 1 << 16;

    const fn is_whole(&self) -> bool {
        self.length <= Self::MAX
    }
}

impl fmt::Write for Ends {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.length += text.len();
        if !self.is_whole() {
            return Err(fmt::Error);
        }
        if self.head.len() < Self::KEPT {
            self.head.extend(text.chars().take(Self::KEPT));
        }
        let mut from = text.len().saturating_sub(Self::KEPT);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        self.tail.push_str(&text[from..]);
        if self.tail.len() > 8 * Self::KEPT {
            let cut =
                (self.tail.len() - Self::KEPT..).find(|&at| self.tail.is_char_boundary(at)).unwrap_or(0);
            self.tail.drain(..cut);
        }
        Ok(())
    }
}
