//! What steps may call: the endpoints of all integrations.
//!
//! An endpoint that is declared can be called, even if its table is wrong: that is told where it stands, and not
//! again wherever it is called.

use std::collections::BTreeMap;
use std::fmt;

use causeway_core::name::{EndpointName, IntegrationName};

use super::reader::{Value, shown, suggestion};

/// One endpoint of one integration, as `integration.endpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The integration.
    pub integration: IntegrationName,
    /// Its endpoint.
    pub endpoint: EndpointName,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.integration, self.endpoint)
    }
}

/// The endpoints that each integration declares; `None` where its file could not be read at all.
#[derive(Default)]
pub(super) struct Catalogue(BTreeMap<String, Option<Vec<String>>>);

impl Catalogue {
    /// Adds an integration and what it declares.
    pub(super) fn declare(&mut self, integration: &str, endpoints: Option<Vec<String>>) {
        self.0.insert(integration.to_owned(), endpoints);
    }

    /// Reads the name of an endpoint that exists.
    pub(super) fn resolve(&self, value: &Value<'_>) -> Option<Call> {
        let text = value.string("an endpoint such as \"stripe.create_charge\"")?;
        let Some((integration, endpoint)) = text.split_once('.') else {
            let right = "write integration.endpoint, such as \"stripe.create_charge\"";
            return value.wrong(&format!("\"{}\" names no endpoint; {right}", shown(text)));
        };
        let Some(declared) = self.0.get(integration) else {
            let hint = suggestion(integration, self.0.keys().map(String::as_str), "there are");
            return value.wrong(&format!("there is no integration \"{}\"{hint}", shown(integration)));
        };
        if let Some(declared) = declared
            && !declared.iter().any(|known| known == endpoint)
        {
            let hint = suggestion(endpoint, declared.iter().map(String::as_str), "it has");
            return value.wrong(&format!("{integration} has no endpoint \"{}\"{hint}", shown(endpoint)));
        }
        // A declared name that is no name is told where it is declared.
        let integration = IntegrationName::new(integration).ok()?;
        Some(Call { integration, endpoint: EndpointName::new(endpoint).ok()? })
    }
}
