//! The configuration as it may be shown, and what is to be said of it.
//!
//! Secrets are references in the files. What somebody wrote by mistake where no secret belongs, in a fixed header or a
//! program, is masked like anything else that leaves the process.

use causeway_core::json::Json as CheckedJson;
use causeway_core::sanitise::Sanitiser;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::settings::{Finding, Settings, effective};

/// The longest line of a program or a text that is shown, in bytes.
const MAX_LINE: usize = 16 << 10;
/// The largest document that is shown, in bytes.
const MAX_DOCUMENT: usize = 64 << 10;
/// Tables of headers: their values are shown by the headers' names.
const HEADERS: &str = "headers";

/// The configuration that holds, as it may be shown.
#[derive(Debug)]
pub(crate) struct Shown {
    /// `server`, `integrations`, `operations`.
    pub(super) config: Json,
    /// The files that it was read from.
    pub(super) files: Vec<String>,
    pub(super) notices: Vec<Notice>,
    sanitiser: Sanitiser,
}

/// Something that an operator should know of and that stops nothing.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Notice {
    /// The integration that it concerns, if it concerns one.
    pub(super) integration: Option<String>,
    /// What sort it is: `configuration`.
    pub(super) kind: &'static str,
    #[serde(flatten)]
    pub(super) finding: Finding,
}

impl Shown {
    /// Of these settings, masked by this sanitiser.
    pub(crate) fn new(settings: &Settings, sanitiser: &Sanitiser) -> Self {
        let mut config = effective(&settings.files);
        mask(&mut config, sanitiser);
        let notices = settings.advice.iter().map(|advice| {
            let finding = Finding::from(advice);
            let file = settings.files.iter().find(|written| written.file == finding.file);
            let integration = file.and_then(|written| written.integration()).map(str::to_owned);
            Notice { integration, kind: "configuration", finding }
        });
        let files = settings.files.iter().map(|written| written.file.clone()).collect();
        Self { notices: notices.collect(), config, files, sanitiser: sanitiser.clone() }
    }

    /// What an integration's file says of it under this key, if it is a text.
    pub(super) fn of_integration(&self, name: &str, key: &str) -> Option<String> {
        self.config["integrations"][name][key].as_str().map(str::to_owned)
    }

    /// A document as logs would show it.
    pub(super) fn masked(&self, json: &CheckedJson) -> Json {
        let text = self.sanitiser.body(Some("application/json"), json.bytes(), MAX_DOCUMENT);
        serde_json::from_str(&text).unwrap_or(Json::String(text))
    }

    /// What is to be said of an integration.
    pub(super) fn notices_of(&self, name: &str) -> Vec<Notice> {
        let of_it = |notice: &&Notice| notice.integration.as_deref() == Some(name);
        self.notices.iter().filter(of_it).cloned().collect()
    }
}

/// Bounded by how deep TOML may nest.
fn mask(json: &mut Json, sanitiser: &Sanitiser) {
    match json {
        Json::String(text) => {
            let lines: Vec<String> = text.split('\n').map(|line| sanitiser.text(line, MAX_LINE)).collect();
            *text = lines.join("\n");
        }
        Json::Array(members) => members.iter_mut().for_each(|member| mask(member, sanitiser)),
        Json::Object(entries) => {
            for (key, value) in entries {
                if let (HEADERS, Json::Object(headers)) = (key.as_str(), &mut *value) {
                    mask_headers(headers, sanitiser);
                } else {
                    mask(value, sanitiser);
                }
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

fn mask_headers(headers: &mut Map<String, Json>, sanitiser: &Sanitiser) {
    for (name, value) in headers {
        let header = name.parse::<HeaderName>().ok().zip(value.as_str().map(HeaderValue::from_str));
        let shown = header.and_then(|(name, given)| {
            let only = HeaderMap::from_iter([(name.clone(), given.ok()?)]);
            let safe = serde_json::to_value(sanitiser.headers(&only)).ok()?;
            safe.get(name.as_str()).cloned()
        });
        *value = shown.unwrap_or_else(|| Json::from("[masked]"));
    }
}

#[cfg(test)]
mod tests {
    use causeway_core::sanitise::Extra;

    use super::*;

    #[test]
    fn what_was_written_in_the_wrong_place_is_masked() {
        let card = "4242424242424242";
        let echo = format!(
            r#"
            base_url = "https://api.example.com"
            headers = {{ Accept = "application/json", X-Account = "s3cr3t-enough" }}
            [auth]
            type = "bearer"
            token = {{ env = "ECHO_KEY" }}
            [endpoints.pay]
            method = "POST"
            path = "/pay"
            idempotency = "none"
            request = '''
            {{ body: {{ card: "{card}",
                        amount: .amount }} }}
            '''
            "#
        );
        let settings = Settings::from_texts(&[
            ("integrations/echo.toml", &echo),
            ("operations/echo.pay.toml", "[[steps]]\nname = \"pay\"\ncall = \"echo.pay\"\n"),
        ])
        .unwrap();
        let shown = Shown::new(&settings, &Sanitiser::new(&Extra::default()));
        let whole = shown.config.to_string();
        assert!(!whole.contains(card) && !whole.contains("s3cr3t-enough"), "{whole}");
        let echo = &shown.config["integrations"]["echo"];
        assert_eq!(echo["headers"]["Accept"], "application/json");
        assert_eq!(echo["auth"]["token"]["env"], "ECHO_KEY");
        let program = echo["endpoints"]["pay"]["request"].as_str().unwrap();
        assert!(program.contains("[masked:card]") && program.lines().count() > 2, "{program}");
        let about: Vec<_> =
            shown.notices_of("echo").into_iter().map(|notice| notice.finding.message).collect();
        assert!(about.iter().any(|message| message.contains("there are no limits")), "{about:?}");
        assert!(shown.notices_of("other").is_empty());
    }
}
