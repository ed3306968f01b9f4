//! Configuration, as files' texts.

use std::fs;
use std::path::Path;

use causeway::settings::Settings;

/// A directory of configuration files that is not on disk.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    files: Vec<(String, String)>,
}

/// Any free port, and one I/O thread: integrations are neighbours on it.
const SERVER: &str = r#"
region = "test"

[listen]
api = "127.0.0.1:0"
admin = "127.0.0.1:0"
io_threads = 1
drain = "10s"
"#;

/// What the simulated provider serves: a charge with a key, one without, and two calls that only read.
const ENDPOINTS: &str = r#"
[endpoints.charge]
method = "POST"
path = "/v1/charges"
request = '{ body: { amount: .amount, currency: .currency, source: .source, reference: $run.id } }'
response = '{ id: .body.id, status: .body.status }'
idempotency = { header = "Idempotency-Key" }
classify = [{ when = '.status == 402', class = "client", code = '.body.error.code', message = '.body.error.message' }]

[endpoints.charge_once]
method = "POST"
path = "/v1/charges"
request = '{ body: { amount: .amount, currency: .currency, source: .source, reference: $run.id } }'
response = '{ id: .body.id, status: .body.status }'
idempotency = "none"

[endpoints.ping]
method = "GET"
path = "/v1/ping"
response = '{ ok: .body.ok }'

[endpoints.balance]
method = "GET"
path = "/v1/balance"
"#;

const CALLS: [&str; 4] = ["charge", "charge_once", "ping", "balance"];

impl Config {
    /// A server without integrations.
    pub(crate) fn new() -> Self {
        Self { files: Vec::new() }.file("causeway.toml", SERVER)
    }

    /// A server in front of the provider at `base_url`, named `payments`. `sections` are the integration's own:
    /// `[retry]`, `[breaker]` and so on.
    pub(crate) fn payments(base_url: &str, sections: &str) -> Self {
        Self::new().integration("payments", base_url, sections)
    }

    /// Adds a provider, and the operations `NAME.charge`, `NAME.charge_once`, `NAME.ping` and `NAME.balance`.
    pub(crate) fn integration(self, name: &str, base_url: &str, sections: &str) -> Self {
        let integration = format!("base_url = \"{base_url}\"\n{sections}\n{ENDPOINTS}");
        let mut config = self.file(&format!("integrations/{name}.toml"), &integration);
        for call in CALLS {
            let operation =
                format!("deadline = \"15s\"\n[[steps]]\nname = \"{call}\"\ncall = \"{name}.{call}\"\n");
            config = config.file(&format!("operations/{name}.{call}.toml"), &operation);
        }
        config
    }

    /// Adds a file, in place of one of the same name.
    pub(crate) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.retain(|(present, _)| present != path);
        self.files.push((path.to_owned(), text.to_owned()));
        self
    }

    /// The settings; the test fails if anything is wrong with them.
    pub(crate) fn settings(&self) -> Settings {
        let files: Vec<(&str, &str)> =
            self.files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        Settings::from_texts(&files).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// Writes the files, for a server in a process of its own.
    pub(crate) fn write(&self, dir: &Path) {
        for (path, text) in &self.files {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().expect("a file is in a directory"))
                .expect("a directory is made");
            fs::write(path, text).expect("a file is written");
        }
    }
}
