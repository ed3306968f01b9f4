//! Reads TOML into typed values and misses no error on the way.
//!
//! A deserialiser stops at the first thing that is wrong; people want all of it. So a file is parsed into a tree that
//! knows where each value stood, and the sections take their keys out of it one by one:
//!
//! - a [`Document`] is one file: its text, where its lines begin, and what was found wrong;
//! - a [`Table`] hands out its keys, remembers which ones it was asked for, and, once a section is done with it,
//!   reports those left over as unknown, with the nearest known one;
//! - a [`Value`] is read by a *form*: a function from a value to `Some` typed value, or to `None` once it has recorded
//!   what is wrong. [`forms`] has those that many sections share.
//!
//! `None` therefore never means "ask again" or "use a default" but "already told": reading goes on, to find what
//! else is wrong, and whoever lacks the value gives up without a further word. That a section cannot forget its
//! unknown keys is why tables are lent to closures and never handed out.
//!
//! A message begins with the key's path, says what is wrong and what would be right, and fits one line: texts from a
//! file are shortened and escaped by [`shown`].

mod document;
pub(super) mod forms;
mod probe;
mod table;
mod value;

pub(super) use document::Document;
pub(super) use probe::schema;
pub(super) use table::Table;
pub(super) use value::{Key, Value};

/// The longest piece of a file that a message repeats, in characters.
const MAX_SHOWN: usize = 64;

/// The most candidates that a message lists.
const MAX_LISTED: usize = 16;

/// Words further apart than one edit in this many characters are not taken for each other.
const CHARACTERS_PER_EDIT: usize = 3;

/// `text` fit for a message: short, and without control characters.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => one_line(text.get(..end).unwrap_or_default()) + "…",
        None => one_line(text),
    }
}

/// `text` without control characters, line separators and marks that turn the direction of writing.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().flat_map(escaped).collect()
}

fn escaped(character: char) -> impl Iterator<Item = char> {
    let escape =
        character.is_control() || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}');
    let (plain, unicode) =
        if escape { (None, Some(character.escape_unicode())) } else { (Some(character), None) };
    plain.into_iter().chain(unicode.into_iter().flatten())
}

/// Of `candidates`, the one that `word` is most likely a slip of.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().take(MAX_SHOWN + 1).count();
    if length > MAX_SHOWN {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= 1.max(length.min(candidate.chars().count()) / CHARACTERS_PER_EDIT)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean …?` if a candidate is near, else `known` and the first of the candidates.
pub(super) fn suggestion<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
    known: &str,
) -> String {
    if let Some(near) = nearest(word, candidates.clone()) {
        return format!("; did you mean `{}`?", shown(near));
    }
    listed(candidates, known)
}

/// `known` and the first of the candidates; nothing if there are none.
pub(super) fn listed<'a>(candidates: impl IntoIterator<Item = &'a str>, known: &str) -> String {
    let mut candidates = candidates.into_iter().map(|candidate| format!("`{}`", shown(candidate)));
    let listed: Vec<String> = candidates.by_ref().take(MAX_LISTED).collect();
    let more = if candidates.next().is_some() { ", …" } else { "" };
    if listed.is_empty() { String::new() } else { format!("; {known} {}{more}", listed.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let known = ["connect", "first_byte", "body", "total"];
        assert_eq!(nearest("conect", known), Some("connect"));
        assert_eq!(nearest("firstbyte", known), Some("first_byte"));
        assert_eq!(nearest("bdoy", known), Some("body"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", ["a"]), Some("a"));
        assert_eq!(nearest(&"connect".repeat(100), known), None);
    }

    #[test]
    fn a_shown_text_is_one_short_line() {
        assert_eq!(shown("plain ü"), "plain ü");
        assert_eq!(shown("two\nlines\u{1b}[31m"), "two\\u{a}lines\\u{1b}[31m");
        assert_eq!(shown(&"x".repeat(65)), format!("{}…", "x".repeat(64)));
    }
}
