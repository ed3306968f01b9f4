//! The files that show every key with its default, and the schemas that editors complete them by, tell the truth.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::*;

const SERVER: &str = include_str!("../../config/causeway.toml");
const INTEGRATION: &str = include_str!("../../docs/reference/integration.toml");

#[test]
fn the_servers_file_has_the_defaults_of_the_code() {
    let integration = "base_url = \"https://x\"\n";
    let written =
        Settings::from_texts(&[("causeway.toml", SERVER), ("integrations/x.toml", integration)]).unwrap();
    assert_eq!(written.server, ServerSettings::default());
    let without = Settings::from_texts(&[("integrations/x.toml", integration)]).unwrap();
    assert_eq!(
        written.integrations, without.integrations,
        "and so integrations start from what they would start from without it"
    );
}

#[test]
fn the_reference_of_integrations_has_the_defaults_of_the_code() {
    let bare = "base_url = \"https://api.example.com\"\n[endpoints.create_charge]\nmethod = \"POST\"\npath = \"/v1/charges\"\n";
    let read =
        |text: &str| Settings::from_texts(&[("integrations/x.toml", text)]).unwrap().integrations.remove(0);
    assert_eq!(read(INTEGRATION), read(bare));
}

#[test]
fn every_key_that_is_read_is_shown() {
    let [server, integration, _] = schemas();
    for (file, text, schema, repeated) in [
        (
            "config/causeway.toml",
            SERVER,
            server,
            &["defaults.limits.learn.", "clients.key.file", "operators.key.file", "encryption.keys.key.file"]
                [..],
        ),
        (
            "docs/reference/integration.toml",
            INTEGRATION,
            integration,
            &[
                "endpoints.timeouts.",
                "endpoints.retry.",
                "auth.username.",
                "auth.password.",
                "auth.value.",
                "endpoints.classify.scope.",
            ],
        ),
    ] {
        let shown = shown_keys(text);
        let mut known = BTreeSet::new();
        keys_of(&schema.schema, "", &mut known);
        assert!(known.len() > 40, "{known:?}");
        let hidden: Vec<&String> = known
            .difference(&shown)
            .filter(|key| !repeated.iter().any(|prefix| key.starts_with(prefix)))
            .collect();
        assert!(hidden.is_empty(), "{file} does not show {hidden:?}: write each with its default");
    }
}

/// The paths of all keys of a schema, lists and tables of the author's names left out.
fn keys_of(schema: &Json, path: &str, known: &mut BTreeSet<String>) {
    for alternative in schema["anyOf"].as_array().into_iter().flatten() {
        keys_of(alternative, path, known);
    }
    for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        keys_of(schema, &path, known);
        known.insert(path);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            keys_of(&schema[inner], path, known);
        }
    }
}

/// The paths of all keys that a text writes, be it in a comment; tables are keys too.
fn shown_keys(text: &str) -> BTreeSet<String> {
    let mut shown = BTreeSet::new();
    let mut table = String::new();
    for line in text.lines() {
        let line = line.trim_start_matches('#');
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            table = header.trim_start_matches('[').replace("endpoints.create_charge", "endpoints");
            let parts: Vec<&str> = table.split('.').collect();
            shown.extend((1..=parts.len()).map(|count| parts[..count].join(".")));
        } else if let Some((key, value)) = line.split_once(" = ").filter(|(key, _)| !key.contains(' ')) {
            let path = if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
            let words: Vec<&str> = value.split_whitespace().collect();
            let inner =
                words.windows(2).filter(|pair| pair[1] == "=").map(|pair| format!("{path}.{}", pair[0]));
            shown.extend(inner);
            shown.insert(path);
        }
    }
    shown
}

#[test]
fn the_schemas_that_are_kept_are_those_of_the_code() {
    for schema in schemas() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas").join(schema.file);
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == schema.text(), "{} is stale: run `causeway schema docs/schemas`", path.display());
    }
}

fn json(text: &str) -> Json {
    serde_json::to_value(toml::from_str::<toml::Value>(text).unwrap()).unwrap()
}

fn valid(schema: &Json, text: &str) -> bool {
    jsonschema::validator_for(schema).unwrap().is_valid(&json(text))
}

#[test]
fn the_schemas_accept_every_file_that_comes_with_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let [server, integration, operation] = schemas().map(|schema| schema.schema);
    for schema in [&server, &integration, &operation] {
        assert!(jsonschema::meta::is_valid(schema), "it is a schema itself");
    }
    for folder in ["config", "src/sandbox/demo", "scripts/bench.d/causeway"] {
        let dir = root.join(folder);
        assert!(valid(&server, &std::fs::read_to_string(dir.join("causeway.toml")).unwrap()), "{folder}");
        for (folder, schema) in [("integrations", &integration), ("operations", &operation)] {
            for entry in std::fs::read_dir(dir.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                assert!(valid(schema, &std::fs::read_to_string(&path).unwrap()), "{}", path.display());
            }
        }
    }
    assert!(valid(&integration, INTEGRATION));
}

#[test]
fn the_schemas_know_what_goes_together() {
    let [server, integration, operation] = schemas().map(|schema| schema.schema);
    let base = "base_url = \"https://x\"\n";
    let of_integration = |text: &str| valid(&integration, &format!("{base}{text}"));
    for good in [
        "",
        "auth = { type = \"basic\", username = { env = \"U\" } }",
        "auth = { type = \"header\", name = \"X-Key\", value = { file = \"/k\" } }",
        "limits = [{ kind = \"calendar\", requests = 1, per = \"day\", timezone = \"UTC\" }]",
        "limits = [{ kind = \"concurrent\", requests = 1, scope = { by = '.user' }, learn = true }]",
        "endpoints.e = { method = \"GET\", path = \"/\", idempotency = \"safe\", cost = '.items | length' }",
        "endpoints.e = { method = \"GET\", path = \"/\", idempotency = { header = \"K\" }, cost = 3 }",
        "headers = { Accept = \"a\" }",
    ] {
        assert!(of_integration(good), "{good}");
    }
    for wrong in [
        "titel = \"X\"",
        "auth = { type = \"bearer\" }",
        "auth = { type = \"bearer\", token = \"secret\" }",
        "auth = { type = \"bearer\", token = { env = \"T\" }, username = { env = \"U\" } }",
        "auth = { type = \"none\", token = { env = \"T\" } }",
        "timeouts = { total = \"10\" }",
        "timeouts = { total = 10 }",
        "retry = { jitter = 2 }",
        "limits = [{ kind = \"concurrent\", requests = 1, per = \"1s\" }]",
        "limits = [{ kind = \"calendar\", requests = 1, per = \"1d\" }]",
        "limits = [{ kind = \"sliding_window\", requests = 0, per = \"1s\" }]",
        "endpoints.e = { method = \"GET\" }",
        "endpoints.e = { method = \"FETCH\", path = \"/\" }",
        "endpoints.e = { method = \"GET\", path = \"/\", idempotency = true }",
        "pool = { http2 = \"yes\" }",
        "store = {}",
    ] {
        assert!(!of_integration(wrong), "{wrong}");
    }
    assert!(!valid(&integration, "title = \"X\""));
    assert!(!valid(&server, "[logs]\nlevel = \"loud\""));
    assert!(!valid(&operation, "[[steps]]\nname = \"s\""));
}
