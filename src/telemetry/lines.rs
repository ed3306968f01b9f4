//! One JSON object a line, put together in one piece.
//!
//! An attempt's event has some thirty fields; the general serialiser spends more on them than the exchange's own
//! bookkeeping does. Field names are identifiers in our own code and need no escaping; values do, and get it.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats events as JSON lines: `timestamp`, `level`, `target`, and the event's own fields.
pub(super) struct JsonLines;

/// The bytes that a line is expected to have.
const LENGTH: usize = 4096;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = String::with_capacity(LENGTH);
        object(&mut text, event)?;
        line.write_str(&text)
    }
}

fn object(line: &mut String, event: &Event<'_>) -> fmt::Result {
    let about = event.metadata();
    line.push_str("{\"timestamp\":\"");
    SystemTime.format_time(&mut Writer::new(line))?;
    line.push_str("\",\"level\":\"");
    line.push_str(about.level().as_str());
    line.push_str("\",\"target\":\"");
    line.push_str(about.target());
    line.push('"');
    let mut fields = Fields { line, result: Ok(()) };
    event.record(&mut fields);
    fields.result?;
    line.push_str("}\n");
    Ok(())
}

struct Fields<'a> {
    line: &'a mut String,
    result: fmt::Result,
}

impl Fields<'_> {
    fn field(&mut self, field: &Field, value: impl FnOnce(&mut String) -> fmt::Result) {
        if self.result.is_err() {
            return;
        }
        self.line.push_str(",\"");
        let name = field.name();
        self.line.push_str(name.strip_prefix("r#").unwrap_or(name));
        self.line.push_str("\":");
        self.result = value(self.line);
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, |line| {
            line.push('"');
            escape(line, value);
            line.push('"');
            Ok(())
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, |line| write!(line, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, |line| write!(line, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, |line| line.write_str(if value { "true" } else { "false" }));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.field(
            field,
            |line| if value.is_finite() { write!(line, "{value}") } else { line.write_str("null") },
        );
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.field(field, |line| {
            line.push('"');
            write!(Escaping(line), "{value:?}")?;
            line.push('"');
            Ok(())
        });
    }
}

/// Escapes what is formatted through it.
struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

/// Writes text as the inside of a JSON string (RFC 8259 §7); runs that need no escape go out whole.
fn escape(line: &mut String, text: &str) {
    line.reserve(text.len());
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f)) {
        let (plain, special) = rest.split_at(at);
        line.push_str(plain);
        let mut characters = special.chars();
        match characters.next() {
            Some('"') => line.push_str("\\\""),
            Some('\\') => line.push_str("\\\\"),
            Some('\n') => line.push_str("\\n"),
            Some(other) => drop(write!(line, "\\u{:04x}", u32::from(other))),
            None => {}
        }
        rest = characters.as_str();
    }
    line.push_str(rest);
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_kind_of_value_is_one_line_of_json() {
        let lines = Lines::default();
        let written = lines.clone();
        let layer =
            tracing_subscriber::fmt::layer().event_format(JsonLines).with_writer(move || lines.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(
                text = "a\"b\\c\nd\u{1}\u{7f}ü",
                debugged = ?"x\ty",
                shown = %"p\"q",
                count = 3_u64,
                less = -1_i64,
                yes = true,
                ratio = 0.5,
                odd = f64::NAN,
                absent = None::<&str>,
                "said \"so\""
            );
        });
        let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.matches('\n').count(), 1);
        let line: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(line["text"], "a\"b\\c\nd\u{1}\u{7f}ü");
        assert_eq!(line["debugged"], "\"x\\ty\"");
        assert_eq!((&line["shown"], &line["message"]), (&"p\"q".into(), &"said \"so\"".into()));
        assert_eq!((&line["count"], &line["less"], &line["yes"]), (&3.into(), &(-1).into(), &true.into()));
        assert_eq!((&line["ratio"], &line["odd"]), (&0.5.into(), &serde_json::Value::Null));
        assert_eq!((&line["level"], line.get("absent")), (&"INFO".into(), None));
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }
}
