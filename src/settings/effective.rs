//! The configuration as it holds: what the files say, over what it starts from.
//!
//! What stands in the files is taken as it is written; secrets are references there, or it would not have been read. Under
//! it lies what every key defaults to: the server's from the project's own `causeway.toml`, which has every default, an
//! integration's from `[defaults]`.

use serde_json::{Map, Value as Json, json};

use super::files::{Source, Subject};

/// The server's file with every default in it.
const DEFAULTS: &str = include_str!("../../config/causeway.toml");

/// What an integration's file may say otherwise than `[defaults]`, section by section.
const SECTIONS: [&str; 4] = ["timeouts", "retry", "breaker", "pool"];

/// One file, as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    pub(super) subject: Subject,
    /// The file's path, as it is shown.
    pub file: String,
    /// What it says.
    pub says: Json,
    /// Its text.
    pub text: String,
}

impl Written {
    /// Of a file that could be read.
    pub(super) fn of(source: &Source) -> Option<Self> {
        let text = source.text.clone()?;
        let says = toml::from_str(&text).ok()?;
        Some(Self { subject: source.subject.clone(), file: source.shown.to_string(), says, text })
    }

    /// Its path inside the configuration's directory.
    pub fn path(&self) -> String {
        match &self.subject {
            Subject::Server => "causeway.toml".to_owned(),
            Subject::Integration(name) => format!("integrations/{name}.toml"),
            Subject::Operation(name) => format!("operations/{name}.toml"),
        }
    }

    /// The integration that it is about, if it is about one.
    pub fn integration(&self) -> Option<&str> {
        match &self.subject {
            Subject::Integration(name) => Some(name),
            Subject::Server | Subject::Operation(_) => None,
        }
    }
}

/// The whole configuration, as these files make it.
pub fn effective(files: &[Written]) -> Json {
    let mut server: Json = toml::from_str(DEFAULTS).unwrap_or_default();
    let (mut integrations, mut operations) = (Map::new(), Map::new());
    for written in files {
        match &written.subject {
            Subject::Server => lay_over(&mut server, &written.says),
            Subject::Integration(name) => {
                integrations.insert(name.clone(), integration(&server["defaults"], &written.says));
            }
            Subject::Operation(name) => {
                operations.insert(name.clone(), written.says.clone());
            }
        }
    }
    json!({ "server": server, "integrations": integrations, "operations": operations })
}

/// An integration's file over what it starts from.
fn integration(defaults: &Json, says: &Json) -> Json {
    let mut whole = Map::new();
    for section in SECTIONS {
        whole.insert(section.to_owned(), defaults[section].clone());
    }
    let mut whole = Json::Object(whole);
    lay_over(&mut whole, says);
    let list = |of: &Json| of["limits"].as_array().cloned().unwrap_or_default();
    let mut limits = list(says);
    let named = |limits: &[Json], name: &Json| limits.iter().any(|limit| limit["name"] == *name);
    let others: Vec<Json> =
        list(defaults).into_iter().filter(|limit| !named(&limits, &limit["name"])).collect();
    limits.extend(others);
    whole["limits"] = Json::Array(limits);
    whole
}

/// Tables are joined key by key; of anything else the upper one holds.
fn lay_over(lower: &mut Json, upper: &Json) {
    match (lower, upper) {
        (Json::Object(lower), Json::Object(upper)) => {
            for (key, value) in upper {
                lay_over(lower.entry(key.clone()).or_insert(Json::Null), value);
            }
        }
        (lower, upper) => *lower = upper.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    const SERVER: &str = r#"
        region = "eu-west-2"
        [logs]
        level = "warn"
        [defaults.timeouts]
        total = "7s"
        [defaults.breaker]
        failure_rate = 0.5
        [[defaults.limits]]
        name = "all"
        kind = "token_bucket"
        requests = 10
        per = "1s"
        [[defaults.limits]]
        name = "day"
        kind = "calendar"
        requests = 1000
        per = "day"
    "#;
    const ECHO: &str = r#"
        base_url = "https://api.example.com"
        headers = { Accept = "application/json" }
        [auth]
        type = "bearer"
        token = { env = "ECHO_KEY" }
        [timeouts]
        connect = "300ms"
        [retry.queued]
        max_retries = 3
        [breaker]
        open_for = "5s"
        [[limits]]
        name = "all"
        kind = "sliding_window"
        requests = 5
        per = "1s"
        [endpoints.ping]
        method = "GET"
        path = "/ping"
    "#;
    const PING: &str = "[[steps]]\nname = \"ping\"\ncall = \"echo.ping\"\n";

    /// Written out and read again, what is shown is the very settings that hold.
    #[test]
    fn what_is_shown_is_what_holds() {
        for (server, echo) in [(SERVER, ECHO), ("", ECHO), (SERVER, "base_url = \"https://x.example\"")] {
            let operation = if echo == ECHO { PING } else { "" };
            let mut files = vec![("causeway.toml", server), ("integrations/echo.toml", echo)];
            files.extend((!operation.is_empty()).then_some(("operations/echo.ping.toml", operation)));
            let settings = Settings::from_texts(&files).unwrap();
            let shown = effective(&settings.files);
            let text = |part: &Json| toml::to_string(part).unwrap();
            let (server, echo) = (text(&shown["server"]), text(&shown["integrations"]["echo"]));
            let mut again = vec![("causeway.toml", &*server), ("integrations/echo.toml", &*echo)];
            again.extend((!operation.is_empty()).then_some(("operations/echo.ping.toml", operation)));
            let again = Settings::from_texts(&again).unwrap();
            assert_eq!(again.server, settings.server);
            assert_eq!(again.integrations, settings.integrations);
            assert_eq!(again.operations, settings.operations);
        }
    }

    #[test]
    fn every_default_is_told_and_secrets_are_references() {
        let settings = Settings::from_texts(&[
            ("causeway.toml", SERVER),
            ("integrations/echo.toml", ECHO),
            ("operations/echo.ping.toml", PING),
        ]);
        let shown = effective(&settings.unwrap().files);
        assert_eq!(
            (&shown["server"]["region"], &shown["server"]["logs"]["format"]),
            (&"eu-west-2".into(), &"json".into())
        );
        let echo = &shown["integrations"]["echo"];
        assert_eq!(echo["auth"]["token"], json!({ "env": "ECHO_KEY" }));
        assert_eq!(
            echo["timeouts"],
            json!({ "connect": "300ms", "first_byte": "5s", "body": "5s", "total": "7s" })
        );
        assert_eq!(
            (&echo["retry"]["queued"]["max_retries"], &echo["retry"]["max_retries"]),
            (&3.into(), &3.into())
        );
        let kinds: Vec<_> = echo["limits"].as_array().unwrap().iter().map(|limit| &limit["kind"]).collect();
        assert_eq!(kinds, ["sliding_window", "calendar"]);
        assert_eq!(shown["operations"]["echo.ping"]["steps"][0]["call"], "echo.ping");
    }
}
