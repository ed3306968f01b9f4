//! Every key of the configuration on one page, written from the schemas: it cannot fall behind the readers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value as Json;

use super::schema::schemas;

/// What there is to be said of a key.
#[derive(Default)]
struct Forms {
    forms: Vec<String>,
    required: bool,
}

/// The page, as Markdown.
pub fn keys() -> String {
    let mut page = "# Every key\n\nWritten by `causeway schema`, from what the server reads. Defaults and meanings: \
                    [configuration.md](../configuration.md).\n`x.*` stands for any name, `x[]` for each member of a list; \
                    a required key must be there where its table is.\n"
        .to_owned();
    for (schema, file) in
        schemas().iter().zip(["causeway.toml", "integrations/NAME.toml", "operations/NAME.toml"])
    {
        let mut found = BTreeMap::new();
        collect(&schema.schema, "", &mut found);
        // Nothing is written to but a string, which takes everything.
        let _ = write!(page, "\n## {file}\n\n| key | form | |\n|---|---|---|\n");
        for (key, Forms { forms, required }) in found {
            let forms = forms.join(" or ");
            let _ = writeln!(page, "| `{key}` | {forms} | {} |", if required { "required" } else { "" });
        }
    }
    page
}

/// Finds the keys below a schema. Bounded by how deep the readers' tables are.
fn collect(schema: &Json, path: &str, found: &mut BTreeMap<String, Forms>) {
    for alternative in alternatives(schema) {
        let required = |key: &str| {
            alternative["required"].as_array().is_some_and(|keys| keys.iter().any(|required| required == key))
        };
        for (key, value) in alternative["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            tell(value, path, required(key), found);
        }
        if alternative["additionalProperties"].is_object() {
            tell(&alternative["additionalProperties"], format!("{path}.*"), false, found);
        }
    }
}

fn tell(value: &Json, path: String, required: bool, found: &mut BTreeMap<String, Forms>) {
    for alternative in alternatives(value) {
        let known = found.entry(path.clone()).or_default();
        known.required |= required;
        let form = form(alternative);
        if !known.forms.contains(&form) {
            known.forms.push(form);
        }
        if alternative["items"].is_object() {
            collect(&alternative["items"], &format!("{path}[]"), found);
        }
    }
    collect(value, &path, found);
}

fn alternatives(schema: &Json) -> Vec<&Json> {
    match schema["anyOf"].as_array() {
        Some(all) => all.iter().flat_map(alternatives).collect(),
        None => vec![schema],
    }
}

/// What may stand there, in words.
fn form(schema: &Json) -> String {
    let word = |word: &Json| format!("`{word}`");
    if !schema["const"].is_null() {
        return word(&schema["const"]);
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(word).collect::<Vec<_>>().join(", ");
    }
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    match schema["type"].as_str() {
        Some("string") if pattern.contains("ms|s") => "duration".to_owned(),
        Some("string") if pattern.contains("KiB") => "size".to_owned(),
        Some("object") => "table".to_owned(),
        Some("array") => "list".to_owned(),
        Some(kind) => kind.to_owned(),
        None => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_that_is_kept_is_that_of_the_code() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas/keys.md");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == keys(), "docs/schemas/keys.md is stale: run `causeway schema docs/schemas`");
    }

    #[test]
    fn keys_are_told_with_their_forms() {
        let page = keys();
        for row in [
            "| `listen.drain` | duration |  |",
            "| `logs.format` | `\"json\"`, `\"pretty\"` |  |",
            "| `logs.max_body` | size |  |",
            "| `base_url` | string | required |",
            "| `steps[].call` | string | required |",
            "| `traces.otlp` | string |  |",
        ] {
            assert!(page.contains(row), "{row} is not in\n{page}");
        }
    }
}
