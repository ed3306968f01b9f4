//! The dashboards that are delivered, and what they ask.

use std::fs;
use std::path::Path;

use serde_json::Value;

pub(crate) const FILES: [&str; 3] = ["integration.json", "mesh-overview.json", "queues.json"];

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn dashboard(file: &str) -> Value {
    let path = repository().join("dashboards").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}: {}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

pub(crate) fn list<'a>(of: &'a Value, pointer: &str) -> &'a [Value] {
    of.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("no list at {pointer} in {of}"))
}

pub(crate) fn text<'a>(of: &'a Value, pointer: &str) -> &'a str {
    of.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no text at {pointer} in {of}"))
}

/// The panels that show something: rows are titles.
pub(crate) fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "/panels").iter().filter(|panel| panel["type"] != "row")
}

/// Something that is asked of Prometheus, and where it stands.
pub(crate) struct Query {
    pub(crate) place: String,
    pub(crate) expr: String,
}

/// The queries of a dashboard's panels and annotations.
pub(crate) fn queries(file: &str) -> Vec<Query> {
    let dashboard = dashboard(file);
    let of_panel = |panel: &Value, target: &Value| {
        let title = text(panel, "/title");
        let place = format!("{file}: {title}, {}", text(target, "/refId"));
        Query { place, expr: text(target, "/expr").to_owned() }
    };
    let panels =
        panels(&dashboard).flat_map(|panel| list(panel, "/targets").iter().map(move |t| of_panel(panel, t)));
    let annotations = list(&dashboard, "/annotations/list").iter().map(|annotation| Query {
        place: format!("{file}: annotation {}", text(annotation, "/name")),
        expr: text(annotation, "/expr").to_owned(),
    });
    panels.chain(annotations).collect()
}

/// The variables, which are queries too: the label, and the selector of the series that have it.
pub(crate) fn variables(file: &str) -> Vec<(String, String)> {
    let dashboard = dashboard(file);
    let queries = list(&dashboard, "/templating/list").iter().filter(|variable| variable["type"] == "query");
    queries
        .map(|variable| {
            let query = text(variable, "/query/query");
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (selector, label) = inner.and_then(|inner| inner.rsplit_once(", ")).expect("label_values(…)");
            assert_eq!(label, text(variable, "/name"), "{file}: a variable is named as its label");
            (label.to_owned(), selector.to_owned())
        })
        .collect()
}
