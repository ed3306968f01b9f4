//! Configuration, as files' texts.

use std::fs;
use std::path::Path;

use causeway::settings::Settings;
use causeway_actors::clock::Clock;

use super::Provider;

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

    /// Adds providers with the endpoints of [`Self::integration`].
    pub(crate) fn providers(self, providers: &[(&str, &Provider)], sections: &str) -> Self {
        providers
            .iter()
            .fold(self, |config, (name, provider)| config.integration(name, &provider.url(), sections))
    }

    /// Adds an operation.
    pub(crate) fn operation(self, name: &str, text: &str) -> Self {
        self.file(&format!("operations/{name}.toml"), text)
    }

    /// Adds a file, in place of one of the same name.
    pub(crate) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.retain(|(present, _)| present != path);
        self.files.push((path.to_owned(), text.to_owned()));
        self
    }

    /// Adds to a file's end.
    pub(crate) fn append(self, path: &str, text: &str) -> Self {
        self.edited(path, |before| format!("{before}\n{text}"))
    }

    /// Puts `new` in place of `old`, which must stand in the file.
    pub(crate) fn replace(self, path: &str, old: &str, new: &str) -> Self {
        self.edited(path, |before| {
            assert!(before.contains(old), "{old} is not in {path}");
            before.replacen(old, new, 1)
        })
    }

    /// Writes a file anew, from what stands in it.
    pub(crate) fn edited(mut self, path: &str, edit: impl FnOnce(&str) -> String) -> Self {
        let file = self.files.iter_mut().find(|(present, _)| present == path).expect("the file is there");
        file.1 = edit(&file.1);
        self
    }

    /// The settings; the test fails if anything is wrong with them.
    pub(crate) fn settings(&self) -> Settings {
        let files: Vec<(&str, &str)> =
            self.files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        Settings::from_texts(&files).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The same, with its store in this directory, unless it says where that is.
    pub(crate) fn kept_in(self, dir: &Path) -> Self {
        let store = format!("\n[store]\nurl = \"sqlite://{}\"\n", dir.join("data/causeway.db").display());
        let says = |(path, text): &(String, String)| path == "causeway.toml" && text.contains("[store]");
        if self.files.iter().any(says) { self } else { self.append("causeway.toml", &store) }
    }

    /// Writes the files, for a server in a process of its own, with its store beside them.
    pub(crate) fn write(&self, dir: &Path) {
        for (path, text) in &self.clone().kept_in(dir).files {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().expect("a file is in a directory"))
                .expect("a directory is made");
            fs::write(path, text).expect("a file is written");
        }
    }
}

/// A zone in which it is about noon: the day does not turn during the test.
pub(crate) fn zone_at_noon() -> String {
    let hour = Clock::start().now().wall.unix_millis() / 3_600_000 % 24;
    // `Etc/GMT+3` is three hours behind Greenwich.
    match i64::try_from(hour).expect("an hour") - 12 {
        0 => "UTC".to_owned(),
        behind if behind > 0 => format!("Etc/GMT+{behind}"),
        ahead => format!("Etc/GMT{ahead}"),
    }
}
