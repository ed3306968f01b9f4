//! What commands print. A reader that has gone away (`causeway … | head`) is no error.

use std::io::{self, Write};

/// Prints a line to standard output.
pub(super) fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints an error to standard error.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "causeway: {text}");
}

/// Prints a JSON document, indented for a terminal.
pub(super) fn show_json(text: &str) {
    use io::IsTerminal;
    let pretty = io::stdout().is_terminal().then(|| {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        serde_json::to_string_pretty(&value).ok()
    });
    say(pretty.flatten().as_deref().unwrap_or(text));
}
