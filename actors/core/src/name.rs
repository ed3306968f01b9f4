//! Names and identifiers: one type each, so that no call can mix them up.
//!
//! A name is written by a person in a file and becomes a metric label, so it is short and plain; an id is made by
//! the server. Both are shared (`Arc<str>`): cloning one costs a reference count.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// The longest name accepted, in bytes.
pub const MAX_NAME: usize = 64;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a valid name: use 1 to {MAX_NAME} of a–z, 0–9, `_`, `-`{dots}, beginning with a letter"
)]
pub struct InvalidName {
    text: String,
    dots: &'static str,
}

fn validate(text: &str, dots: bool) -> Result<(), InvalidName> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    let fits = !text.is_empty()
        && text.len() <= MAX_NAME
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| plain(byte) || (dots && byte == b'.'));
    if fits {
        return Ok(());
    }
    let shown = text.chars().take(MAX_NAME).flat_map(char::escape_default).collect();
    Err(InvalidName { text: shown, dots: if dots { ", `.`" } else { "" } })
}

macro_rules! shared_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, shared.
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, dots: $dots:literal) => {
        shared_text!($(#[$doc])* $name);

        impl $name {
            /// Takes `text` as a name.
            ///
            /// # Errors
            /// [`InvalidName`], saying which characters a name may have.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                validate(text, $dots)?;
                Ok(Self(Arc::from(text)))
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }
    };
}

name!(
    /// The name of an external system: its file's name (`stripe`).
    IntegrationName, dots: false
);
name!(
    /// The name of one call an integration offers (`create_charge`).
    EndpointName, dots: false
);
name!(
    /// The name of a business capability (`payments.charge`).
    OperationName, dots: true
);
name!(
    /// The name of one endpoint call inside an operation (`charge`).
    StepName, dots: false
);
name!(
    /// The name of one rate budget (`reads`).
    LimitName, dots: false
);
name!(
    /// The name under which integrations share a rate budget (`stripe-account`).
    GroupName, dots: false
);

name!(
    /// The name of a business service that calls (`checkout`).
    ClientName, dots: false
);
name!(
    /// The name of a person or machine that operates the server (`oncall`).
    OperatorName, dots: false
);

impl OperationName {
    /// What an integration's own calls go by in logs.
    pub fn probe() -> Self {
        Self(Arc::from("probe"))
    }
}

impl StepName {
    /// What an integration's own calls go by in logs.
    pub fn probe() -> Self {
        Self(Arc::from("probe"))
    }
}

shared_text!(
    /// The id of one execution of an operation: `run_` and a UUID of version 7.
    RunId
);

impl RunId {
    /// Takes over an id that the server has made, or that a caller asks about.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }
}

shared_text!(
    /// What links a run to the business event behind it: taken over from the caller, else made.
    CorrelationId
);

impl CorrelationId {
    /// The longest correlation id taken over, in bytes.
    pub const MAX: usize = 128;

    /// Of what no caller has begun: its own id.
    pub fn of(id: &RunId) -> Self {
        Self(id.shared())
    }

    /// Takes over a correlation id if it is 1 to [`Self::MAX`] visible ASCII characters.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=Self::MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(Arc::from(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["stripe", "create_charge", "a", "xero-eu", "s3"] {
            assert!(IntegrationName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "Stripe", "9lives", "a.b", "a b", "ä", "a/b", "x\n", &"a".repeat(65)] {
            assert!(IntegrationName::new(bad).is_err(), "{bad:?}");
        }
        assert!(OperationName::new("payments.charge").is_ok());
        let message = EndpointName::new("Bad\nName").unwrap_err().to_string();
        assert!(message.contains("Bad\\nName"), "{message}");
    }

    #[test]
    fn the_probes_names_are_names() {
        assert_eq!(OperationName::new("probe"), Ok(OperationName::probe()));
        assert_eq!(StepName::new("probe"), Ok(StepName::probe()));
    }

    #[test]
    fn correlation_ids_are_visible_ascii() {
        assert!(CorrelationId::new("order-17/α").is_none());
        assert!(CorrelationId::new("").is_none());
        assert!(CorrelationId::new(&"x".repeat(129)).is_none());
        assert!(CorrelationId::new("order-17").is_some());
    }
}
