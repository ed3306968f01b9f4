//! Who may call and who may operate: reads the keys that the settings name.

use causeway_core::time::Mono;
use secrecy::ExposeSecret;

use super::Secrets;
use crate::access::{Access, Client, Keys, Operator};
use crate::adapters::secrets;
use crate::settings::{Placed, SecretRef, ServerSettings, SettingsError, SettingsErrors};

/// Reads the keys; what is wrong with one is told where it is named. Where the secrets are elsewhere, no key opens
/// anything.
pub(super) fn access(settings: &ServerSettings, from: Secrets, errors: &mut SettingsErrors) -> Access {
    let now = Mono::from_origin(std::time::Duration::ZERO);
    let clients = settings.clients.iter().map(|client| (&client.key, Client::new(client.clone(), now)));
    let operators = settings.operators.iter().map(|operator| (&operator.key, Operator::new(operator)));
    Access { clients: keys(clients, from, errors), operators: keys(operators, from, errors) }
}

fn keys<'a, T: std::fmt::Display>(
    entries: impl Iterator<Item = (&'a Placed<SecretRef>, T)>,
    from: Secrets,
    errors: &mut SettingsErrors,
) -> Option<Keys<T>> {
    let mut keys = None;
    for (reference, opens) in entries {
        let keys = keys.get_or_insert_with(Keys::default);
        if from == Secrets::Elsewhere {
            continue;
        }
        let mut wrong = |message: String| errors.push(SettingsError::at(reference.at.clone(), message));
        match secrets::resolve(&reference.value) {
            Ok(key) => {
                keys.add(key.expose_secret(), opens).unwrap_or_else(|error| wrong(error.to_string()));
            }
            Err(error) => wrong(error.to_string()),
        }
    }
    keys
}
