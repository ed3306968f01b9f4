//! `causeway keys new`: makes a key that opens the business API or the admin API, or one that seals what is on disk.
//!
//! A key is 43 letters and digits of the system's randomness, 256 bits, so that a click marks it whole and no shell
//! changes it. Its beginning tells what it is, to people, to scanners of source code, and to our own sanitiser.

use std::fmt;

use rustls::crypto::SecureRandom;
use serde_json::json;
use zeroize::Zeroizing;

use super::client::Api;
use super::{CommandError, output};
use crate::adapters::store::sealing;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters behind the prefix: 62⁴³ is a little more than 2²⁵⁶.
const LENGTH: usize = 43;
/// Bytes below this stand for each character equally often.
const FAIR: u8 = 248;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a key and print it, this once; nothing is kept of it.
    #[command(after_help = "Examples:
  causeway keys new
  causeway keys new operator
  causeway keys new encryption
  (umask 077 && causeway keys new client > /run/secrets/checkout)")]
    New {
        /// Whose it is to be: one's that calls the business API, one's that uses the admin API, or the server's own.
        #[arg(value_enum, default_value_t = Kind::Client)]
        kind: Kind,
        /// Print a JSON document, and no advice.
        #[arg(long)]
        json: bool,
    },
}

/// Whose a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// A business service's.
    Client,
    /// A person's or machine's that operates the server.
    Operator,
    /// The server's own, which seals what it keeps on disk.
    Encryption,
}

impl Kind {
    /// Those that open an API.
    const ALL: [Self; 2] = [Self::Client, Self::Operator];

    const fn prefix(self) -> &'static str {
        match self {
            Self::Client => "cwc_",
            Self::Operator => "cwo_",
            Self::Encryption => "",
        }
    }

    /// Which API a key opens, by its beginning.
    pub(super) fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| key.starts_with(kind.prefix()))
    }

    /// What such a key opens.
    pub(super) const fn api(self) -> Api {
        match self {
            Self::Client => Api::Business,
            Self::Operator | Self::Encryption => Api::Admin,
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::Client => CLIENT,
            Self::Operator => OPERATOR,
            Self::Encryption => ENCRYPTION,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Operator => "operator",
            Self::Encryption => "encryption",
        })
    }
}

const CLIENT: &str = r#"
This key is shown once and kept nowhere. Put it where the server reads secrets, and name that place in causeway.toml:

  [[clients]]
  name = "checkout"
  key = { env = "CHECKOUT_KEY" }      # or { file = "/run/secrets/checkout" }
  operations = ["payments.*"]         # what it may run

The caller sends `Authorization: Bearer KEY`; `causeway call` reads it from CAUSEWAY_CLIENT_KEY. A reload takes it up."#;

const OPERATOR: &str = r#"
This key is shown once and kept nowhere. Put it where the server reads secrets, and name that place in causeway.toml:

  [[operators]]
  name = "oncall"
  key = { env = "ONCALL_KEY" }        # or { file = "/run/secrets/oncall" }
  role = "operator"                   # viewer: look | operator: act on integrations too | admin: reload too

`causeway status`, `integrations` and `breaker` read it from CAUSEWAY_OPERATOR_KEY. A reload takes it up."#;

const ENCRYPTION: &str = r#"
This key is shown once and kept nowhere. Put it where the server reads secrets, keep a copy apart from copies of the
database, and name its place in causeway.toml, before the keys that there are:

  [[encryption.keys]]
  id = "k1"                           # any name of its own: what it seals carries it
  key = { env = "CAUSEWAY_KEY" }      # or { file = "/run/secrets/causeway" }

It seals what is written from the next start on; what older keys have sealed is opened with them, so leave them in."#;

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let Action::New { kind, json } = &args.action;
    let random = rustls::crypto::ring::default_provider().secure_random;
    let key = match kind {
        Kind::Encryption => sealing::new_key(),
        Kind::Client | Kind::Operator => new(*kind, random).map_err(|_| sealing::NoRandom),
    };
    let key = key.map_err(|error| CommandError::Failed(format!("making a key: {error}")))?;
    if *json {
        return output::show_json(&json!({ "kind": kind.to_string(), "key": key.as_str() }).to_string());
    }
    output::say(&key)?;
    output::note(kind.advice());
    Ok(())
}

fn new(kind: Kind, random: &dyn SecureRandom) -> Result<Zeroizing<String>, rustls::crypto::GetRandomFailed> {
    let prefix = kind.prefix();
    // All its room at once: a string that grows leaves copies behind.
    let mut key = Zeroizing::new(String::with_capacity(prefix.len() + LENGTH));
    key.push_str(prefix);
    let mut bytes = Zeroizing::new([0; LENGTH]);
    while key.len() < prefix.len() + LENGTH {
        random.fill(&mut *bytes)?;
        let missing = prefix.len() + LENGTH - key.len();
        key.extend(bytes.iter().filter_map(character).take(missing));
    }
    Ok(key)
}

/// What a random byte stands for; `None` where it would make some characters likelier than others.
fn character(byte: &u8) -> Option<char> {
    (*byte < FAIR).then(|| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::MIN_KEY;
    use std::collections::HashSet;

    #[test]
    fn a_key_has_256_bits_that_nobody_has_had_before() {
        assert!((LENGTH as f64) * (ALPHABET.len() as f64).log2() >= 256.0);
        let random = rustls::crypto::ring::default_provider().secure_random;
        let keys: HashSet<String> =
            (0..1_000).map(|_| new(Kind::Client, random).unwrap().to_string()).collect();
        assert_eq!(keys.len(), 1_000);
        for key in &keys {
            assert!(key.len() >= MIN_KEY && key.len() == 4 + LENGTH, "{key}");
            assert_eq!(Kind::of_key(key), Some(Kind::Client));
            assert!(key[4..].bytes().all(|byte| byte.is_ascii_alphanumeric()), "{key}");
        }
        assert_eq!(Kind::of_key(&new(Kind::Operator, random).unwrap()), Some(Kind::Operator));
        assert_eq!(Kind::of_key("cw_0123456789abcdef"), None);
    }

    #[test]
    fn no_character_is_likelier_than_another() {
        let drawn: Vec<char> = (0..=u8::MAX).filter_map(|byte| character(&byte)).collect();
        assert_eq!(drawn.len(), usize::from(FAIR));
        for each in ALPHABET {
            assert_eq!(drawn.iter().filter(|drawn| **drawn == char::from(*each)).count(), 4);
        }
    }
}
