//! The log lines of this process, kept for tests to read.

use std::fmt;
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

static LINES: LazyLock<Mutex<Vec<Line>>> = LazyLock::new(Mutex::default);

/// One line: where it came from, how bad it is, and its fields.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) target: String,
    pub(crate) level: tracing::Level,
    pub(crate) fields: Map<String, Value>,
}

/// Begins to keep what is logged. Call before what is to be seen; more than once does no harm.
pub(crate) fn keep() {
    let subscriber = tracing_subscriber::registry().with(Keeper);
    // Another test of this process may have been first: what it keeps, all see.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// What has been logged by `target` about an integration.
pub(crate) fn of(target: &str, integration: &str) -> Vec<Line> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let matches =
        |line: &&Line| line.target == target && line.fields.get("integration") == Some(&integration.into());
    lines.iter().filter(matches).cloned().collect()
}

/// Everything that has been logged, as one text.
pub(crate) fn all() -> String {
    format!("{:?}", LINES.lock().unwrap_or_else(PoisonError::into_inner))
}

struct Keeper;

impl<S: Subscriber> Layer<S> for Keeper {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (target, level) = (event.metadata().target().to_owned(), *event.metadata().level());
        if target.starts_with("causeway") {
            let line = Line { target, level, fields: fields.0 };
            LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}
