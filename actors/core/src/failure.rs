//! How a failure is told: by class, stable code, reason, and the provider's own words.
//!
//! The class says what a caller must do, the code is stable for programs, the reason says where in the exchange it
//! broke, and the message is for people. Nothing here ever carries a secret: messages are sanitised before they
//! become part of a [`Failure`].

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::DrainScope;

/// What kind of failure it was. The first four come from the provider, the others are decided here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// It failed, it did not act, and trying again may help.
    Transient,
    /// The provider asks for patience.
    RateLimited,
    /// The request itself is refused; trying again will not help.
    Client,
    /// It may or may not have acted.
    Ambiguous,
    /// The breaker refuses calls.
    BreakerOpen,
    /// No token of a rate budget in time.
    Throttled,
    /// No room in the pool or its queue.
    Overloaded,
    /// The time is up.
    Deadline,
    /// It answered, but not with what can be used.
    InvalidResponse,
    /// Its credentials or ours were not accepted: certificate, pin, key.
    Credential,
    /// Our own mapping, configuration or code failed.
    Internal,
}

impl ErrorClass {
    /// Every class, in the order of the contract.
    pub const ALL: [Self; 11] = [
        Self::Transient,
        Self::RateLimited,
        Self::Client,
        Self::Ambiguous,
        Self::BreakerOpen,
        Self::Throttled,
        Self::Overloaded,
        Self::Deadline,
        Self::InvalidResponse,
        Self::Credential,
        Self::Internal,
    ];

    /// The name used in answers, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::RateLimited => "rate_limited",
            Self::Client => "client",
            Self::Ambiguous => "ambiguous",
            Self::BreakerOpen => "breaker_open",
            Self::Throttled => "throttled",
            Self::Overloaded => "overloaded",
            Self::Deadline => "deadline",
            Self::InvalidResponse => "invalid_response",
            Self::Credential => "credential",
            Self::Internal => "internal",
        }
    }
}

/// Where in the exchange it broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing broke: the provider answered, or the failure is not about an exchange.
    None,
    /// The name did not resolve.
    Dns,
    /// The connection was refused.
    Refused,
    /// No connection within the connect timeout (name, TCP and TLS together).
    ConnectTimeout,
    /// The connection could not be made for another reason.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The certificate was not acceptable.
    Certificate,
    /// No response head in time.
    FirstByteTimeout,
    /// The body did not end in time.
    BodyTimeout,
    /// The attempt as a whole took too long.
    TotalTimeout,
    /// The connection was reset or closed before the response was whole.
    Reset,
    /// The body is larger than the bound.
    BodyTooLarge,
    /// What came back is not HTTP.
    Protocol,
    /// The caller left.
    Cancelled,
    /// The attempt ended without a word: its task was dropped or panicked.
    Lost,
}

impl Reason {
    /// The name used in answers, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Certificate => "certificate",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::TotalTimeout => "total_timeout",
            Self::Reset => "reset",
            Self::BodyTooLarge => "body_too_large",
            Self::Protocol => "protocol",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }
}

/// One failure, as answers and logs tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What a caller must do about it.
    pub class: ErrorClass,
    /// Stable, snake_case; the provider's own code where a rule extracts one.
    pub code: Cow<'static, str>,
    /// Where the exchange broke.
    pub reason: Reason,
    /// For people; sanitised.
    pub message: Cow<'static, str>,
    /// The provider's HTTP status, if it answered.
    pub provider_status: Option<u16>,
    /// How long to wait before trying again, if known.
    #[serde(rename = "retry_after_ms", serialize_with = "millis", deserialize_with = "from_millis")]
    pub retry_after: Option<Duration>,
    /// Whether a rule of the endpoint has given the class, and not the status alone.
    #[serde(skip)]
    pub ruled: bool,
    /// Whom a `rate_limited` holds up, where a rule of the endpoint says so.
    #[serde(skip)]
    pub scope: Option<DrainScope>,
}

impl Failure {
    /// A failure decided here, without an exchange.
    pub fn new(
        class: ErrorClass,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            class,
            code: code.into(),
            reason: Reason::None,
            message: message.into(),
            provider_status: None,
            retry_after: None,
            ruled: false,
            scope: None,
        }
    }

    /// The same, with where the exchange broke.
    #[must_use]
    pub const fn because(mut self, reason: Reason) -> Self {
        self.reason = reason;
        self
    }

    /// The same, with a wait to surface.
    #[must_use]
    pub const fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// The same, with the provider's status.
    #[must_use]
    pub const fn status(mut self, status: Option<u16>) -> Self {
        self.provider_status = status;
        self
    }
}

fn from_millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
}

fn millis<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    span.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
}
