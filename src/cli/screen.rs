//! Text for people: tables, colours, moments and spans. Values in, text out.
//!
//! A table has no lines, so that a line of it is one of `grep` and `awk` too, and is as wide as it must be; on a
//! terminal it is as wide as that, and cells go on in the next line.

use std::io::{self, IsTerminal};

use clap::builder::styling::AnsiColor;
use comfy_table::{Attribute, Color, ContentArrangement, Table, presets};
use jiff::Timestamp;

use super::output::plain;

/// The gap between two columns.
const GAP: u16 = 2;

/// Columns and rows of a terminal that does not tell.
const UNTOLD: (u16, u16) = (80, 24);

/// Whether to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What text is shown on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Screen {
    colour: bool,
    /// Columns and rows; `None`: no terminal.
    size: Option<(u16, u16)>,
}

/// What a piece of text tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Neutral,
    Good,
    Doubtful,
    Bad,
}

/// A piece of text that stands by itself, as in a table's cell. What comes from elsewhere is made harmless.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    text: String,
    tone: Tone,
}

impl Words {
    pub(super) fn new(text: &str) -> Self {
        Self::toned(text, Tone::Neutral)
    }

    pub(super) fn toned(text: &str, tone: Tone) -> Self {
        Self { text: plain(text), tone }
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl Screen {
    /// Standard output.
    pub(super) fn of_output(colour: Colour) -> Self {
        Self::of(io::stdout().is_terminal(), colour)
    }

    /// Standard error.
    pub(super) fn of_notes(colour: Colour) -> Self {
        Self::of(io::stderr().is_terminal(), colour)
    }

    fn of(is_terminal: bool, colour: Colour) -> Self {
        let wanted = |variable: &str, unwanted: &dyn Fn(&str) -> bool| {
            !std::env::var(variable).is_ok_and(|value| unwanted(&value))
        };
        let colour = match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => {
                is_terminal
                    && wanted("NO_COLOR", &|value| !value.is_empty())
                    && wanted("TERM", &|value| value == "dumb")
            }
        };
        // It looks at `NO_COLOR` too, and does not know of our option.
        crossterm::style::force_color_output(colour);
        let size = is_terminal.then(|| {
            let told = crossterm::terminal::size().ok();
            told.filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or(UNTOLD)
        });
        Self { colour, size }
    }

    /// Columns and rows, of a terminal.
    pub(super) const fn size(self) -> Option<(u16, u16)> {
        self.size
    }

    /// A table; without a trailing line break.
    pub(super) fn table(self, header: &[&str], rows: Vec<Vec<Words>>) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).force_no_tty();
        if let Some((columns, _)) = self.size {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
        }
        if self.colour {
            table.enforce_styling();
        }
        if !header.is_empty() {
            let cell = |word: &&str| comfy_table::Cell::new(word).add_attribute(Attribute::Bold);
            table.set_header(header.iter().map(cell).collect::<Vec<_>>());
        }
        for row in rows {
            table.add_row(row.into_iter().map(cell).collect::<Vec<_>>());
        }
        let last = table.column_count().saturating_sub(1);
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if index == last { 0 } else { GAP }));
        }
        table.trim_fmt()
    }

    /// A sentence, in as many lines as it takes.
    pub(super) fn sentence(self, words: Words) -> String {
        self.table(&[], vec![vec![words]])
    }

    /// A word within a line that is not a table's.
    pub(super) fn word(self, words: &Words) -> String {
        let colour = match words.tone {
            Tone::Good => AnsiColor::Green,
            Tone::Doubtful => AnsiColor::Yellow,
            Tone::Bad => AnsiColor::Red,
            Tone::Neutral => return words.text.clone(),
        };
        if !self.colour {
            return words.text.clone();
        }
        let style = colour.on_default();
        format!("{style}{}{style:#}", words.text)
    }
}

fn cell(words: Words) -> comfy_table::Cell {
    let cell = comfy_table::Cell::new(words.text);
    match words.tone {
        Tone::Neutral => cell,
        Tone::Good => cell.fg(Color::DarkGreen),
        Tone::Doubtful => cell.fg(Color::DarkYellow),
        Tone::Bad => cell.fg(Color::DarkRed),
    }
}

/// A span of time, short: `250 ms`, `4.2 s`, `2m 10s`, `3h 05m`, `5d 3h`.
pub(super) fn span(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0 => format!("{millis} ms"),
        1..10 => format!("{seconds}.{} s", millis % 1_000 / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..172_800 => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A moment as the API writes it, for people: `2026-11-24 03:20:00 UTC`.
pub(super) fn moment(written: &str) -> String {
    let read = written.parse::<Timestamp>();
    read.map_or_else(|_| plain(written), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// The same, without the day if `seen` is on it too: `03:20:00 UTC`.
pub(super) fn moment_seen(written: &str, seen: &str) -> String {
    let (at, seen) = (moment(written), moment(seen));
    match (at.split_once(' '), seen.split_once(' ')) {
        (Some((day, time)), Some((today, _))) if day == today => time.to_owned(),
        _ => at,
    }
}

/// How long it is from one moment to another, in milliseconds.
pub(super) fn between(from: &str, to: &str) -> Option<u64> {
    let (from, to) = (from.parse::<Timestamp>().ok()?, to.parse::<Timestamp>().ok()?);
    u64::try_from(to.as_millisecond() - from.as_millisecond()).ok()
}

/// `1 step`, `2 steps`.
pub(super) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<Words>> {
        vec![
            vec![Words::toned("good", Tone::Good), Words::new("a few words")],
            vec![Words::new("x\u{1b}[2J"), Words::new("")],
        ]
    }

    #[test]
    fn a_table_has_aligned_columns_and_no_lines() {
        let text = Screen::default().table(&["ONE", "TWO"], rows());
        assert_eq!(text, "ONE         TWO\ngood        a few words\nx\\u{1b}[2J");
    }

    #[test]
    fn on_a_terminal_it_fits_and_its_cells_go_on_below() {
        let narrow = Screen { colour: false, size: Some((20, 10)) };
        let text = narrow.table(&["ONE", "TWO"], rows());
        assert!(text.lines().all(|line| line.chars().count() <= 20), "{text}");
        assert!(text.lines().count() > 3, "{text}");
        let text = narrow.sentence(Words::new("a sentence that is longer than that"));
        assert_eq!(text, "a sentence that is\nlonger than that");
    }

    #[test]
    fn colours_are_there_only_where_they_are_wanted() {
        let word = Words::toned("good", Tone::Good);
        let coloured = Screen { colour: true, size: None };
        assert_eq!(coloured.word(&word), "\u{1b}[32mgood\u{1b}[0m");
        assert_eq!(coloured.word(&Words::new("x")), "x");
        assert_eq!(Screen::default().word(&word), "good");
    }

    #[test]
    fn spans_and_moments_are_short() {
        let spans = [0, 999, 1_000, 9_999, 10_000, 130_000, 11_100_000, 442_800_000];
        let written = ["0 ms", "999 ms", "1.0 s", "9.9 s", "10 s", "2m 10s", "3h 05m", "5d 3h"];
        assert_eq!(spans.map(span), written);
        assert_eq!(moment("2026-11-24T03:20:00.123Z"), "2026-11-24 03:20:00 UTC");
        assert_eq!(moment("so\non"), "so\\u{a}on");
        assert_eq!(moment_seen("2026-11-24T03:20:00Z", "2026-11-24T23:00:00Z"), "03:20:00 UTC");
        assert_eq!(moment_seen("2026-11-25T03:20:00Z", "2026-11-24T23:00:00Z"), "2026-11-25 03:20:00 UTC");
        assert_eq!(moment_seen("so", "so"), "so");
        assert_eq!(between("2026-11-24T03:20:00Z", "2026-11-24T03:20:01.5Z"), Some(1_500));
        assert_eq!(between("2026-11-24T03:20:00Z", "2026-11-24T03:19:59Z"), None);
        assert_eq!((count(1, "step"), count(0, "step")), ("1 step".to_owned(), "0 steps".to_owned()));
    }
}
