//! Who may call, and who may operate: keys, and what each opens.
//!
//! A key is compared by a digest that only this process can make, so it is nowhere kept as it was read, and how long a
//! comparison takes tells nothing of it. Whoever sends wrong keys again and again is locked out for a while
//! (`lockout`). What a client may do at once and how often outlives a reload that leaves its bounds as they are.

mod lockout;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use causeway_core::limits::token_bucket::TokenBucket;
use causeway_core::name::{ClientName, OperatorName};
use causeway_core::time::Mono;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

pub use self::lockout::Lockout;
use crate::settings::{ClientSettings, OperatorSettings, Role};

/// The shortest key that is taken, in bytes: shorter ones can be guessed.
pub const MIN_KEY: usize = 16;

/// Who may use the two APIs.
#[derive(Debug, Default)]
pub struct Access {
    /// Who may call the business API; `None`: whoever is on this machine.
    pub clients: Option<Keys<Client>>,
    /// Who may use the admin API; `None`: whoever is on this machine.
    pub operators: Option<Keys<Operator>>,
}

/// What keys open.
pub struct Keys<T>(HashMap<Digest, Arc<T>>);

/// What is kept of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Digest([u8; 32]);

/// Why a key is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is too short.
    #[error(
        "the key is shorter than {MIN_KEY} characters and can be guessed; `causeway keys new` makes a good one"
    )]
    TooShort,
    /// It has characters that do not fit into a header.
    #[error("the key has characters that cannot be sent in a header; `causeway keys new` makes a good one")]
    NotSendable,
    /// Somebody else has it.
    #[error("the key is that of `{0}` too; each needs its own")]
    Taken(String),
}

/// A business service that calls.
pub struct Client {
    settings: ClientSettings,
    runs: Option<Arc<Semaphore>>,
    rate: Option<Mutex<TokenBucket>>,
}

/// A person or machine that operates the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Its name.
    pub name: OperatorName,
    /// What it may do.
    pub role: Role,
}

/// Why a client's call is not taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It calls too often; one more is taken after this long.
    TooOften(Duration),
    /// So many of its runs are under way as may be.
    TooMany(u32),
}

impl Access {
    /// The same, with what the clients have under way and have used up in `former`.
    #[must_use]
    pub fn going_on_from(mut self, former: &Self) -> Self {
        let Some((clients, former)) = self.clients.as_mut().zip(former.clients.as_ref()) else { return self };
        for client in clients.0.values_mut() {
            let same = |known: &&Arc<Client>| known.settings.name == client.settings.name;
            if let Some(known) = former.0.values().find(same) {
                *client = Arc::new(client.going_on_from(known));
            }
        }
        self
    }
}

impl<T> Default for Keys<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> fmt::Debug for Keys<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl<T: fmt::Display> Keys<T> {
    /// Adds a key and what it opens.
    ///
    /// # Errors
    /// [`KeyError`], which never tells the key.
    pub fn add(&mut self, key: &str, opens: T) -> Result<(), KeyError> {
        if key.len() < MIN_KEY {
            return Err(KeyError::TooShort);
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(KeyError::NotSendable);
        }
        match self.0.entry(Digest::of(key)) {
            Entry::Occupied(known) => Err(KeyError::Taken(known.get().to_string())),
            Entry::Vacant(place) => {
                place.insert(Arc::new(opens));
                Ok(())
            }
        }
    }
}

impl<T> Keys<T> {
    /// What a key opens.
    pub fn find(&self, key: &str) -> Option<&Arc<T>> {
        let digest = Digest::of(key);
        let (known, opens) = self.0.get_key_value(&digest)?;
        bool::from(known.0.ct_eq(&digest.0)).then_some(opens)
    }
}

impl Digest {
    /// With a salt that nobody knows, so that what is found out about a digest says nothing about a key.
    fn of(key: &str) -> Self {
        static SALT: LazyLock<[Uuid; 2]> = LazyLock::new(|| [Uuid::new_v4(), Uuid::new_v4()]);
        let mut hash = Sha256::new();
        SALT.iter().for_each(|salt| hash.update(salt.as_bytes()));
        hash.update(key.as_bytes());
        Self(hash.finalize().into())
    }
}

impl Client {
    /// Of its settings.
    pub fn new(settings: ClientSettings, now: Mono) -> Self {
        let runs = settings.max_in_flight.map(|most| Arc::new(Semaphore::new(most as usize)));
        let rate = settings.rate.as_ref().map(|rate| Mutex::new(TokenBucket::new(rate, now)));
        Self { settings, runs, rate }
    }

    fn going_on_from(&self, former: &Self) -> Self {
        let same_runs = self.settings.max_in_flight == former.settings.max_in_flight;
        let same_rate = self.settings.rate == former.settings.rate;
        let runs = if same_runs { &former.runs } else { &self.runs };
        let rate = if same_rate { &former.rate } else { &self.rate };
        let rate = rate.as_ref().map(|rate| rate.lock().unwrap_or_else(PoisonError::into_inner).clone());
        Self { settings: self.settings.clone(), runs: runs.clone(), rate: rate.map(Mutex::new) }
    }

    /// Its name.
    pub const fn name(&self) -> &ClientName {
        &self.settings.name
    }

    /// Whether it may run the operation.
    pub fn may_run(&self, operation: &str) -> bool {
        self.settings.may_run(operation)
    }

    /// Takes a call in: a place among its runs, where these are bounded.
    ///
    /// # Errors
    /// A [`Refusal`]; nothing is taken then.
    pub fn admit(&self, now: Mono) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        let place = match &self.runs {
            None => None,
            Some(runs) => {
                let most = self.settings.max_in_flight.unwrap_or_default();
                Some(Arc::clone(runs).try_acquire_owned().map_err(|_| Refusal::TooMany(most))?)
            }
        };
        if let Some(rate) = &self.rate {
            let mut rate = rate.lock().unwrap_or_else(PoisonError::into_inner);
            if !rate.take(now, 1) {
                return Err(Refusal::TooOften(rate.ready_in(now, 1).unwrap_or(Duration::from_secs(1))));
            }
        }
        Ok(place)
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.name.fmt(f)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.settings.name).finish()
    }
}

impl Operator {
    /// Of its settings.
    pub fn new(settings: &OperatorSettings) -> Self {
        Self { name: settings.name.clone(), role: settings.role }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    const KEY: &str = "cw_0123456789abcdef";

    fn client(bounds: &str) -> ClientSettings {
        let server = format!(
            "[[clients]]\nname = \"shop\"\nkey = {{ env = \"K\" }}\noperations = [\"payments.*\"]\n{bounds}\n"
        );
        let files = [("causeway.toml", &*server), ("integrations/x.toml", "base_url = \"https://x\"\n")];
        Settings::from_texts(&files).unwrap().server.clients.remove(0)
    }

    fn at(millis: u64) -> Mono {
        Mono::from_origin(Duration::from_millis(millis))
    }

    #[test]
    fn a_key_opens_what_it_was_added_for_and_is_not_kept() {
        let mut keys = Keys::default();
        keys.add(KEY, "shop").unwrap();
        assert_eq!(keys.find(KEY).map(|opens| **opens), Some("shop"));
        for wrong in ["", "cw_0123456789abcdeF", "cw_0123456789abcdef ", &KEY[1..]] {
            assert!(keys.find(wrong).is_none(), "{wrong}");
        }
        assert_eq!(keys.add(KEY, "other"), Err(KeyError::Taken("shop".to_owned())));
        assert_eq!(keys.add("short", "other"), Err(KeyError::TooShort));
        assert_eq!(keys.add("sixteen characters", "other"), Err(KeyError::NotSendable));
        assert_eq!(format!("{keys:?}"), "1 keys");
    }

    #[test]
    fn a_client_is_held_to_its_bounds() {
        let client = Client::new(client("max_in_flight = 2\nrate = \"4/s\""), at(0));
        let held = [client.admit(at(0)).unwrap(), client.admit(at(0)).unwrap()];
        assert_eq!(client.admit(at(0)).err(), Some(Refusal::TooMany(2)));
        drop(held);
        let _two_more = [client.admit(at(0)).unwrap(), client.admit(at(0)).unwrap()];
        drop(_two_more);
        assert_eq!(client.admit(at(0)).err(), Some(Refusal::TooOften(Duration::from_millis(250))));
        assert!(client.admit(at(250)).is_ok());
        assert!(client.may_run("payments.charge") && !client.may_run("crm.update"));
    }

    #[test]
    fn a_reload_forgets_nothing_of_a_client_that_stays_as_it_is() {
        let access = |bounds: &str| {
            let mut keys = Keys::default();
            keys.add(KEY, Client::new(client(bounds), at(0))).unwrap();
            Access { clients: Some(keys), operators: None }
        };
        let of = |access: &Access| Arc::clone(access.clients.as_ref().unwrap().find(KEY).unwrap());
        let first = access("max_in_flight = 1\nrate = \"1/h\"");
        let held = of(&first).admit(at(0)).unwrap();
        let second = access("max_in_flight = 1\nrate = \"1/h\"").going_on_from(&first);
        assert_eq!(of(&second).admit(at(1)).err(), Some(Refusal::TooMany(1)));
        drop(held);
        assert!(matches!(of(&second).admit(at(1)), Err(Refusal::TooOften(_))));
        let third = access("max_in_flight = 1").going_on_from(&second);
        assert!(of(&third).admit(at(2)).is_ok());
    }
}
