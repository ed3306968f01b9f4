//! `causeway.toml`: the server itself.

use super::access::{self, ClientSettings, OperatorSettings};
use super::defaults::DefaultSettings;
use super::listen::{Keyed, ListenSettings};
use super::logs::LogSettings;
use super::reader::{Table, Value, shown};
use super::redact::RedactSettings;
use super::store::{EncryptionSettings, StoreSettings, StoreUrl};
use super::traces::TraceSettings;

/// The longest region, in bytes.
const MAX_REGION: usize = 64;

/// What the contract has and this version does not.
const NOT_YET: [&str; 3] = ["secrets", "subscriptions", "allow_chaos"];

/// `causeway.toml`. Everything in it has a default, and so has the file.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSettings {
    /// Where this server runs, as shown to operators (`eu-west-2`); default `local`.
    pub region: String,
    /// `[listen]`: addresses and bounds of the server's own HTTP side.
    pub listen: ListenSettings,
    /// `[[clients]]`: who may call the business API; where there is none, whoever is on this machine.
    pub clients: Vec<ClientSettings>,
    /// `[[operators]]`: who may use the admin API; where there is none, whoever is on this machine.
    pub operators: Vec<OperatorSettings>,
    /// `[store]`: where runs are kept.
    pub store: StoreSettings,
    /// `[encryption]`: what seals them.
    pub encryption: EncryptionSettings,
    /// `[logs]`: what is logged, and how.
    pub logs: LogSettings,
    /// `[traces]`: where spans go.
    pub traces: TraceSettings,
    /// `[redact]`: what is masked besides the built-in list.
    pub redact: RedactSettings,
    /// `[defaults]`: what every integration starts from.
    pub defaults: DefaultSettings,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            region: "local".to_owned(),
            listen: ListenSettings::default(),
            clients: Vec::new(),
            operators: Vec::new(),
            store: StoreSettings::default(),
            encryption: EncryptionSettings::default(),
            logs: LogSettings::default(),
            traces: TraceSettings::default(),
            redact: RedactSettings::default(),
            defaults: DefaultSettings::default(),
        }
    }
}

impl ServerSettings {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        table.not_yet(&NOT_YET);
        let (clients, operators) = (access::clients(table), access::operators(table));
        // What is wrong with a client is told of it, not of the listener.
        let keyed = Keyed { api: table.had("clients"), admin: table.had("operators") };
        let region = table.or("region", "local".to_owned(), region);
        let listen = table.section("listen", |table| ListenSettings::read(table, keyed));
        let store = table.section("store", StoreSettings::read);
        let had_keys = table.had("encryption");
        let encryption = table.section("encryption", EncryptionSettings::read);
        if matches!(store.url, StoreUrl::Postgres(_)) && encryption.keys.is_empty() && !had_keys {
            let message = "a database is sealed under keys of yours: give [encryption] keys (`causeway keys new encryption` \
                           makes one)";
            table.wrong("store", message);
        }
        Self {
            region,
            listen,
            clients,
            operators,
            store,
            encryption,
            logs: table.section("logs", LogSettings::read),
            traces: table.section("traces", TraceSettings::read),
            redact: table.section("redact", RedactSettings::read),
            defaults: table.section("defaults", DefaultSettings::read),
        }
    }
}

fn region(value: Value<'_>) -> Option<String> {
    let text = value.string("a string such as \"eu-west-2\"")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=MAX_REGION).contains(&text.len()) && text.bytes().all(plain) {
        return Some(text.to_owned());
    }
    let form = format!("write 1 to {MAX_REGION} letters, digits, `.`, `_` or `-`");
    value.wrong(&format!("\"{}\" is not a region; {form}", shown(text)))
}
