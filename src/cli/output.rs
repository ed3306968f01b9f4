//! What commands print: results on standard output, everything about them on standard error.
//!
//! A reader that has gone away (`causeway … | head`) is no error; a disk that is full is one. What comes from elsewhere
//! passes through [`plain`] before it reaches a terminal, which would obey the control characters in it.

use std::io::{self, IsTerminal, Write};

use serde::de::IgnoredAny;

use super::CommandError;
use crate::settings::one_line;

/// How far each level of a JSON document is indented.
const INDENT: &str = "  ";

/// Prints a line to standard output.
pub(super) fn say(text: &str) -> Result<(), CommandError> {
    write(&format!("{text}\n"))
}

/// Prints to standard output, as it is.
pub(super) fn write(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::Failed(format!("writing to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints an error to standard error.
pub(super) fn complain(text: &str) {
    let lines: Vec<String> = text.lines().map(plain).collect();
    note(&format!("causeway: {}", lines.join("\n")));
}

/// Prints what is about the result, and no part of it, to standard error.
pub(super) fn note(text: &str) {
    // Nobody is left to be told.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a JSON document, indented for a terminal.
pub(super) fn show_json(text: &str) -> Result<(), CommandError> {
    let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
    match (io::stdout().is_terminal(), is_json) {
        (true, true) => say(&pretty(text)),
        (true, false) => say(&plain(text)),
        (false, _) => say(text),
    }
}

/// `text` in one line, without anything that a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    one_line(text)
}

/// A JSON document, indented. Its numbers stay as they are written: a price is no float.
fn pretty(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let mut characters =
        text.chars().filter(|character| !character.is_ascii_whitespace() || *character == ' ').peekable();
    while let Some(character) = characters.next() {
        match character {
            ' ' => {}
            '"' => {
                out.push('"');
                string(&mut characters, &mut out);
            }
            '{' | '[' => {
                out.push(character);
                while characters.next_if_eq(&' ').is_some() {}
                if let Some(close) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => out.push(character),
        }
    }
    out
}

/// The rest of a string, in which what is left of control characters is escaped.
fn string(characters: &mut impl Iterator<Item = char>, out: &mut String) {
    let mut escaped = false;
    for character in characters {
        if one_line(character.encode_utf8(&mut [0; 4])).len() == character.len_utf8() {
            out.push(character);
        } else {
            out.push_str(&format!("\\u{:04x}", u32::from(character)));
        }
        if character == '"' && !escaped {
            return;
        }
        escaped = character == '\\' && !escaped;
    }
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    (0..depth).for_each(|_| out.push_str(INDENT));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_nothing_in_it_changes() {
        let document = r#"{"amount":12.10,"big":123456789012345678901234567890,"e":{ },"l":[1, {"a":"x, \"y\": {z}\\"},[]]}"#;
        let expected = r#"{
  "amount": 12.10,
  "big": 123456789012345678901234567890,
  "e": {},
  "l": [
    1,
    {
      "a": "x, \"y\": {z}\\"
    },
    []
  ]
}"#;
        assert_eq!(pretty(document), expected);
        assert_eq!(pretty(expected), expected, "once more changes nothing");
        assert_eq!(pretty("12.10"), "12.10");
    }

    #[test]
    fn a_terminal_is_never_told_what_to_do() {
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\u{a}");
        let hidden = "[\"a\u{9b}2Jb\u{202e}c\"]";
        assert_eq!(pretty(hidden), "[\n  \"a\\u009b2Jb\\u202ec\"\n]");
    }
}
