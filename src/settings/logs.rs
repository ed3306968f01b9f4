//! `[logs]`: what is logged, and how.

use std::ops::RangeInclusive;

use tracing::Level;

use super::reader::Table;
use super::reader::forms::{choice, number, size};

/// Bounds of the part of a body that is logged, in bytes.
const MAX_BODY: RangeInclusive<usize> = 0..=1 << 20;

const FORMATS: [(&str, LogFormat); 2] = [("json", LogFormat::Json), ("pretty", LogFormat::Pretty)];

const LEVELS: [(&str, Level); 5] = [
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
    ("trace", Level::TRACE),
];

const BODIES: [(&str, LogBodies); 2] = [("sanitised", LogBodies::Sanitised), ("none", LogBodies::None)];

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSettings {
    /// For machines or for people; default `json`.
    pub format: LogFormat,
    /// The least severe level that is logged; default `info`.
    pub level: Level,
    /// Whether the bodies of attempts are logged; default `sanitised`.
    pub bodies: LogBodies,
    /// How much of a body is logged, in bytes; default 8 KiB.
    pub max_body: usize,
    /// The share of successful attempts that is logged, 0 to 1; failures always are. Default 1.
    pub sample_success: f64,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a terminal.
    Pretty,
}

/// Whether bodies are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogBodies {
    /// Yes, with secrets and personal data masked.
    Sanitised,
    /// No.
    None,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            format: LogFormat::Json,
            level: Level::INFO,
            bodies: LogBodies::Sanitised,
            max_body: 8 << 10,
            sample_success: 1.0,
        }
    }
}

impl LogSettings {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let default = Self::default();
        Self {
            format: table.or("format", default.format, choice(&FORMATS)),
            level: table.or("level", default.level, choice(&LEVELS)),
            bodies: table.or("bodies", default.bodies, choice(&BODIES)),
            max_body: table.or("max_body", default.max_body, size(MAX_BODY)),
            sample_success: table.or("sample_success", default.sample_success, number(0.0..=1.0)),
        }
    }
}
